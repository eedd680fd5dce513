package service_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func equal(t *rapid.T, what string, want, got any) {
	if diff := cmp.Diff(want, got, alike); diff != "" {
		t.Fatalf("%s (-model +service)\n%s", what, diff)
	}
}

func noError(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(describe(err))
	}
}

func digestOf(text string) canon.Digest { return sha256.Sum256([]byte(text)) }

// readings are how an outcome shows in a read.
var readings = map[outcomeOfRead]config.Kind{isAbsent: config.KindNotFound, isThere: "", isGone: config.KindGone}

// checkRead compares one effective document at a revision.
func (tw *twin) checkRead(t *rapid.T, s state, env int, where string, at config.At) {
	what := fmt.Sprintf("%s in %s at %q", where, s.envs[env].name, at)
	want, outcome := tw.effective(s, env, where)
	read, err := tw.s.Config(context.Background(), tw.who, tw.tenant, s.envs[env].name, path(where), service.ReadOptions{At: at})
	if kind := config.KindOf(err); kind != readings[outcome] {
		t.Fatalf("%s: %v, want %q", what, err, readings[outcome])
	}
	if err == nil {
		equal(t, what, want, string(read.Document.Document.Canonical()))
		equal(t, what+": digest", digestOf(want), read.Document.Digest)
	}
}

// checkNow compares every document now, and that there are no other environments.
func (tw *twin) checkNow(t *rapid.T) {
	now := tw.now()
	for _, env := range now.ids() {
		for _, where := range modelPaths {
			tw.checkRead(t, now, env, where, config.At{})
		}
	}
	infos, revision, err := tw.s.Environments(context.Background(), tw.who, tw.tenant)
	noError(t, err)
	equal(t, "revision", config.Revision(tw.newest()), revision)
	got := map[string]string{}
	for _, info := range infos {
		got[info.Name] = info.Parent
	}
	want := map[string]string{}
	for _, e := range now.envs {
		want[e.name] = now.envs[e.parent].name
	}
	equal(t, "environments", want, got)
}

// checkSample compares one environment at one point of the past.
func (tw *twin) checkSample(t *rapid.T) {
	revision := rapid.IntRange(1, tw.newest()).Draw(t, "checked revision")
	s := tw.states[revision]
	if len(s.envs) == 0 {
		return
	}
	env := rapid.SampledFrom(s.ids()).Draw(t, "checked environment")
	at := config.At{Revision: config.Revision(revision)}
	for _, where := range modelPaths {
		tw.checkRead(t, s, env, where, at)
		tw.checkLayer(t, s, slot{env, where}, at)
	}
	tw.checkBundle(t, revision, env)
	tw.checkList(t, revision, env)
}

func (tw *twin) checkLayer(t *rapid.T, s state, where slot, at config.At) {
	what := fmt.Sprintf("layer of %s at %s at %q", s.envs[where.env].name, where.path, at)
	read, err := tw.s.Layer(context.Background(), tw.who, tw.tenant, s.envs[where.env].name, path(where.path), service.ReadOptions{At: at})
	c, outcome := s.layers[where], isThere
	switch {
	case c.doc == nil:
		outcome = isAbsent
	case tw.destroyed(s, where):
		outcome = isGone
	}
	if kind := config.KindOf(err); kind != readings[outcome] {
		t.Fatalf("%s: %v, want %q", what, err, readings[outcome])
	}
	if err == nil {
		equal(t, what, encode(c.doc), string(read.Document.Canonical()))
		equal(t, what, []int{c.version, c.rev}, []int{int(read.Origin.Version), int(read.Origin.Revision)})
	}
}

func (tw *twin) checkBundle(t *rapid.T, revision, env int) {
	s, what := tw.states[revision], fmt.Sprintf("bundle of %s at revision %d", tw.states[revision].envs[env].name, revision)
	b, err := tw.s.Bundle(context.Background(), tw.who, tw.tenant, s.envs[env].name, config.Prefix{},
		service.ReadOptions{At: config.At{Revision: config.Revision(revision)}})
	noError(t, err)
	var want, gone []string
	var members []canon.Named
	for _, where := range modelPaths {
		switch text, outcome := tw.effective(s, env, where); outcome {
		case isThere:
			want = append(want, where+text)
			members = append(members, canon.Named{Name: where, Digest: digestOf(text)})
		case isGone:
			gone = append(gone, where)
		}
	}
	var got, errors []string
	for _, d := range b.Documents {
		got = append(got, d.Path.String()+string(d.Document.Canonical()))
	}
	for _, e := range b.Errors {
		equal(t, what+": error", config.KindGone, config.KindOf(e.Err))
		errors = append(errors, e.Path.String())
	}
	equal(t, what, want, got)
	equal(t, what+": errors", gone, errors)
	equal(t, what+": digest", canon.SumSet(members), b.Digest)
}

func (tw *twin) checkList(t *rapid.T, revision, env int) {
	s := tw.states[revision]
	list, err := tw.s.List(context.Background(), tw.who, tw.tenant, service.ListRequest{
		Environment: s.envs[env].name, At: config.At{Revision: config.Revision(revision)},
	})
	noError(t, err)
	var want, got []string
	for _, where := range modelPaths {
		line, newest := "", 0
		for _, id := range s.chain(env) {
			if c := s.layers[slot{id, where}]; c.doc != nil {
				line += fmt.Sprintf(" %s:%d", s.envs[id].name, c.version)
				newest = max(newest, c.rev)
			}
		}
		if line != "" {
			want = append(want, fmt.Sprintf("%s@%d%s", where, newest, line))
		}
	}
	for _, e := range list.Entries {
		line := fmt.Sprintf("%s@%d", e.Path, e.Revision)
		for _, l := range e.Layers {
			line += fmt.Sprintf(" %s:%d", l.Environment, l.Version)
		}
		got = append(got, line)
	}
	equal(t, fmt.Sprintf("list at revision %d", revision), want, got)
}

// checkEverything compares the whole past.
func (tw *twin) checkEverything(t *rapid.T) {
	for revision := 1; revision <= tw.newest(); revision++ {
		for _, env := range tw.states[revision].ids() {
			tw.checkBundle(t, revision, env)
			tw.checkList(t, revision, env)
		}
		tw.checkEntry(t, revision)
	}
	for _, env := range tw.now().ids() {
		for _, where := range modelPaths {
			tw.checkHistory(t, slot{env, where})
		}
	}
	tw.checkDiffs(t)
	tw.chain(tw.t, tw.id)
}

func (tw *twin) checkEntry(t *rapid.T, revision int) {
	entry, err := tw.s.LogEntry(context.Background(), tw.who, tw.tenant, config.Revision(revision))
	noError(t, err)
	if !entry.Time.Equal(tw.times[revision]) {
		t.Fatalf("revision %d is of %s, want %s", revision, entry.Time, tw.times[revision])
	}
	s := tw.states[revision]
	want, got := map[string]string{}, map[string]string{}
	for where, text := range tw.effects[revision] {
		want[s.envs[where.env].name+" "+where.path] = digestIfAny(text)
	}
	for _, e := range entry.Effects {
		got[e.Environment+" "+e.Path.String()] = ""
		if e.Exists {
			got[e.Environment+" "+e.Path.String()] = e.Digest.String()
		}
	}
	equal(t, fmt.Sprintf("effects of revision %d", revision), want, got)
	edits, wantEdits := map[string]int{}, map[string]int{}
	for _, e := range entry.Edits {
		edits[e.Environment+" "+e.Path.String()] = int(e.Version)
	}
	for _, where := range tw.edits[revision] {
		wantEdits[s.envs[where.env].name+" "+where.path] = s.layers[where].version
	}
	equal(t, fmt.Sprintf("edits of revision %d", revision), wantEdits, edits)
}

func digestIfAny(text string) string {
	if text == absent {
		return ""
	}
	return digestOf(text).String()
}

func (tw *twin) checkHistory(t *rapid.T, where slot) {
	environment := tw.now().envs[where.env].name
	h, err := tw.s.History(context.Background(), tw.who, tw.tenant, environment, path(where.path), false, page(1000))
	if len(tw.history[where]) == 0 {
		equal(t, "history of nothing", config.KindNotFound, config.KindOf(err))
		return
	}
	noError(t, err)
	var want, got []string
	for _, v := range slices.Backward(tw.history[where]) {
		state := store.Live
		switch {
		case v.destroyed:
			state = store.Destroyed
		case v.doc == nil:
			state = store.Deleted
		}
		want = append(want, fmt.Sprintf("v%d@%d %d", v.version, v.rev, state))
	}
	for _, v := range h.Versions {
		got = append(got, fmt.Sprintf("v%d@%d %d", v.Version, v.Revision, v.State))
	}
	equal(t, "history of "+where.path+" in "+environment, want, got)
}

// checkDiffs compares neighbours in history, and environments.
func (tw *twin) checkDiffs(t *rapid.T) {
	for range 10 {
		from := rapid.IntRange(1, tw.newest()).Draw(t, "from revision")
		to := rapid.IntRange(1, tw.newest()).Draw(t, "to revision")
		where := rapid.SampledFrom(modelPaths).Draw(t, "diff of")
		if len(tw.states[from].envs) == 0 || len(tw.states[to].envs) == 0 {
			continue
		}
		fromEnv := rapid.SampledFrom(tw.states[from].ids()).Draw(t, "from environment")
		toEnv := rapid.SampledFrom(tw.states[to].ids()).Draw(t, "to environment")
		before, beforeOutcome := tw.effective(tw.states[from], fromEnv, where)
		after, afterOutcome := tw.effective(tw.states[to], toEnv, where)
		d, err := tw.s.Diff(context.Background(), tw.who, tw.tenant, path(where),
			service.DiffPoint{Environment: tw.states[from].envs[fromEnv].name, At: config.At{Revision: config.Revision(from)}},
			service.DiffPoint{Environment: tw.states[to].envs[toEnv].name, At: config.At{Revision: config.Revision(to)}}, false)
		switch {
		case beforeOutcome == isGone || afterOutcome == isGone:
			equal(t, "diff with what is gone", config.KindGone, config.KindOf(err))
		case beforeOutcome == isAbsent && afterOutcome == isAbsent:
			equal(t, "diff of nothing", config.KindNotFound, config.KindOf(err))
		default:
			noError(t, err)
			equal(t, "diff", config.Diff(maybe(tw.t, before), maybe(tw.t, after)), d.Differences)
		}
	}
}

// follow begins to watch production, wherever it may move.
func (tw *twin) follow(t *rapid.T, after config.Revision) {
	w, err := tw.s.Watch(context.Background(), tw.who, tw.tenant, service.WatchRequest{
		Environment: tw.now().envs[tw.watched].name, Resume: true, After: after, Data: true,
	})
	noError(t, err)
	tw.w = w
}

// unfollow ends the watch, if there is one, and answers how far it came.
func (tw *twin) unfollow() (position config.Revision) {
	if tw.w != nil {
		position = tw.w.Position()
		tw.w.Close()
		tw.w = nil
	}
	return position
}

// expect notes what the watcher is to be told of a revision that was made.
func (tw *twin) expect(status service.Status) {
	if status != service.Committed || tw.watched == 0 {
		return
	}
	revision := tw.newest()
	if slices.Contains(tw.resets[revision], tw.watched) {
		tw.expected = append(tw.expected, fmt.Sprintf("%d reset", revision))
	}
	for _, where := range slices.SortedFunc(maps.Keys(tw.effects[revision]), func(a, b slot) int { return config.Path.Compare(path(a.path), path(b.path)) }) {
		if where.env == tw.watched {
			tw.expected = append(tw.expected, fmt.Sprintf("%d %s %s", revision, where.path, digestIfAny(tw.effects[revision][where])))
		}
	}
}

// checkWatch compares what the watcher is told, now and then.
func (tw *twin) checkWatch(t *rapid.T) {
	if tw.watched == 0 || rapid.IntRange(0, 2).Draw(t, "take") > 0 {
		return
	}
	deleted := !tw.now().has(tw.watched)
	for tw.w.Position() < config.Revision(tw.newest()) {
		notices, err := tw.w.Take(context.Background())
		for _, n := range notices {
			if n.Reset != "" {
				tw.told = append(tw.told, fmt.Sprintf("%d reset", n.Event.Revision))
			}
			for _, c := range n.Changes {
				digest := ""
				if c.Exists {
					digest = c.Digest.String()
				}
				tw.told = append(tw.told, fmt.Sprintf("%d %s %s", n.Event.Revision, c.Path, digest))
			}
		}
		if err != nil {
			if !deleted || config.KindOf(err) != config.KindNotFound {
				t.Fatal(describe(err))
			}
			tw.watched = 0
			return
		}
	}
	if !deleted {
		equal(t, "what the watcher is told", tw.expected, tw.told)
	}
}
