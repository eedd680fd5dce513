package service_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	counterClients = 64
	counterPaths   = 4
)

// 64 clients increment the same few numbers by compare-and-set while others
// watch: no increment is lost, revisions have no gap, and every watcher sees
// every revision that concerns it, in order and once.
func TestSoakCompareAndSet(t *testing.T) {
	a := newTenant(t)
	each := soakOr(60, 3)
	begin := a.revision()
	watchers := map[string]*follower{
		"of all":            {in: service.WatchRequest{Environment: "base", Data: true}},
		"of an heir":        {in: service.WatchRequest{Environment: "edge", Data: true}},
		"of one path":       {in: service.WatchRequest{Environment: "base", Data: true, Prefix: prefix(t, "counter/1")}},
		"that comes back":   {in: service.WatchRequest{Environment: "edge", Data: true}, restless: true},
		"that is forgetful": {in: service.WatchRequest{Environment: "base", Data: true}, restless: true, forgetful: true},
	}
	var watching sync.WaitGroup
	for _, f := range watchers {
		f.in.Resume, f.in.After = true, begin
		watching.Go(func() { f.follow(a) })
	}
	var clients sync.WaitGroup
	for client := range counterClients {
		clients.Go(func() {
			for i := range each {
				increment(a, path(fmt.Sprintf("counter/%d", (client+i)%counterPaths)))
			}
		})
	}
	clients.Wait()
	a.write(a.put("base", "counter/1/end", `{}`))
	watching.Wait()

	total := 0
	for i := range counterPaths {
		total += int(doc(t, a.get("edge", fmt.Sprintf("counter/%d", i))).Root()["n"].(float64))
	}
	same(t, "increments", counterClients*each, total)
	relevant := changesOf(a, begin)
	same(t, "changes", counterClients*each+1, len(relevant["base"]))
	for name, f := range watchers {
		want := relevant["base"]
		if f.in.Prefix != (config.Prefix{}) {
			want = relevant["counter/1"]
		}
		if !slices.Equal(want, f.revisions) {
			t.Errorf("the watcher %s saw %d revisions, want %d:\n%v\n%v", name, len(f.revisions), len(want), f.revisions, want)
		}
	}
	a.chain(t, a.id)
}

func prefix(t *testing.T, text string) config.Prefix {
	t.Helper()
	p, err := config.ParsePrefix(text)
	must(t, err)
	return p
}

// increment adds one to a number, however often others come in between.
func increment(a *actor, where config.Path) {
	for {
		read, err := a.s.Layer(a.t.Context(), a.who, a.tenant, "base", where, service.ReadOptions{})
		n, version := 0.0, config.Version(0)
		switch config.KindOf(err) {
		case "":
			n, version = read.Document.Root()["n"].(float64), read.Origin.Version
		case config.KindNotFound:
		default:
			a.t.Error(describe(err))
			return
		}
		_, err = a.try(service.Edit{
			Op: service.Put, Environment: "base", Path: where, Document: config.NewDocument(map[string]any{"n": n + 1}), IfVersion: &version,
		})
		switch config.KindOf(err) {
		case "":
			return
		case config.KindPreconditionFailed, config.KindConflict:
		default:
			a.t.Error(describe(err))
			return
		}
	}
}

// changesOf are the revisions after begin that changed anything, and those that
// changed something at or below counter/1; the log must have no gap.
func changesOf(a *actor, begin config.Revision) map[string][]config.Revision {
	a.t.Helper()
	relevant := map[string][]config.Revision{}
	for next := begin + 1; ; next++ {
		entries, err := a.engine.Entries(a.t.Context(), a.id, next-1, 1)
		must(a.t, err)
		if len(entries) == 0 {
			same(a.t, "newest revision", next-1, a.revision())
			return relevant
		}
		if entries[0].Revision != next {
			a.t.Fatalf("revision %d follows %d", entries[0].Revision, next-1)
		}
		relevant["base"] = append(relevant["base"], next)
		if prefix := (entries[0].Subject.Path + "/")[:10]; prefix == "counter/1/" {
			relevant["counter/1"] = append(relevant["counter/1"], next)
		}
	}
}

// follower is a watcher that keeps what it sees.
type follower struct {
	in        service.WatchRequest
	restless  bool // it leaves at random and resumes where it was
	forgetful bool // or some revisions before, of which it then knows that it saw them
	revisions []config.Revision
	numbers   map[config.Path]float64
}

func (f *follower) follow(a *actor) {
	f.numbers = map[config.Path]float64{}
	for done := false; !done; {
		done = f.watch(a)
	}
}

// watch follows until the end, which it answers, or until it gets restless.
func (f *follower) watch(a *actor) (ended bool) {
	seen := f.in.After
	if f.forgetful {
		f.in.After = max(1, f.in.After-config.Revision(rand.N(20)))
	}
	w, err := a.s.Watch(a.t.Context(), a.who, a.tenant, f.in)
	if err != nil {
		a.t.Error(describe(err))
		return true
	}
	defer w.Close()
	for {
		next, _ := w.Wait()
		<-next
		notices, err := w.Take(a.t.Context())
		if err != nil {
			a.t.Error(describe(err))
			return true
		}
		for _, n := range notices {
			if n.Event.Revision <= seen {
				continue // as the forgetful one asked for
			}
			if !f.see(a, n) {
				return true
			}
		}
		if f.restless && rand.N(4) == 0 {
			f.in.After = w.Position()
			return false
		}
	}
}

// see keeps what a notice says, and says whether there is more to come.
func (f *follower) see(a *actor, n service.Notice) (more bool) {
	if n.Reset != "" || len(n.Changes) != 1 {
		a.t.Errorf("revision %d is told as %d changes, reset %q", n.Event.Revision, len(n.Changes), n.Reset)
		return false
	}
	f.revisions = append(f.revisions, n.Event.Revision)
	c := n.Changes[0]
	if c.Path == path("counter/1/end") {
		return false
	}
	if number := c.Effective.Document.Root()["n"].(float64); number != f.numbers[c.Path]+1 {
		a.t.Errorf("%s goes from %v to %v", c.Path, f.numbers[c.Path], number)
		return false
	}
	f.numbers[c.Path]++
	return true
}

// skew is two writes each of which is fine, and which together break something.
type skew struct {
	prepare     []service.Edit
	left, right func(a *actor) error
}

func edits(edits ...service.Edit) func(a *actor) error {
	return func(a *actor) error {
		_, err := a.try(edits...)
		return err
	}
}

// skews are made anew for each round, at paths of their own.
func skews(a *actor, round string) map[string]skew {
	at := func(name string) string { return name + "/" + round }
	refer := func(name string) string { return `{"r":"${config:` + at(name) + `#/x}"}` }
	target := a.put("base", at("target"), `{"x":1}`)
	half := func(name string) string { return `{"` + name + `":"` + strings.Repeat("0", 60) + `"}` }
	return map[string]skew{
		"a target goes, a reference comes": {
			[]service.Edit{target}, edits(a.del("base", at("target"))), edits(a.put("base", at("referrer"), refer("target"))),
		},
		"a member goes in an heir, a reference comes above": {
			[]service.Edit{target}, edits(a.put("staging", at("target"), `{"x":null}`)), edits(a.put("base", at("referrer"), refer("target"))),
		},
		"a target goes above, a reference comes in an heir": {
			[]service.Edit{target}, edits(a.patch("base", at("target"), `{"x":null}`)), edits(a.put("edge", at("referrer"), refer("target"))),
		},
		"two references that close a circle": {
			[]service.Edit{a.put("base", at("one"), `{"x":1}`), a.put("base", at("two"), `{"x":1}`)},
			edits(a.put("base", at("one"), `{"x":"${config:`+at("two")+`#/x}"}`)), edits(a.put("base", at("two"), `{"x":"${config:`+at("one")+`#/x}"}`)),
		},
		"a reference that moves on, and its new target goes": {
			[]service.Edit{target, a.put("base", at("other"), `{"x":2}`), a.put("base", at("referrer"), refer("target"))},
			edits(a.put("base", at("referrer"), refer("other"))), edits(a.del("base", at("other"))),
		},
		"a target goes, what is referred to leads to it": {
			[]service.Edit{target, a.put("base", at("way"), `{"y":1}`), a.put("base", at("referrer"), `{"r":"${config:`+at("way")+`#/y}"}`)},
			edits(a.put("base", at("way"), `{"y":"${config:`+at("target")+`#/x}"}`)), edits(a.del("base", at("target"))),
		},
		"two layers that are too large together": {
			nil, edits(a.put("base", at("large"), half("a"))), edits(a.put("edge", at("large"), half("b"))),
		},
		"a promotion, and what it refers to goes": {
			[]service.Edit{a.put("staging", at("referrer"), refer("target")), a.put("staging", at("target"), `{"x":1}`), a.put("production", at("target"), `{"x":1}`)},
			func(a *actor) error {
				_, err := a.promote(service.PromoteRequest{From: "staging", To: "production", Paths: paths(at("referrer"))})
				return err
			},
			edits(a.del("production", at("target"))),
		},
	}
}

// check refuses a round in which both were done, or anything is broken, or
// neither was done.
func (s skew) check(a *actor, left, right error) {
	a.t.Helper()
	switch {
	case left == nil && right == nil:
		a.t.Error("both were done")
	case left != nil && right != nil:
		a.t.Errorf("neither was done:\n%s\n%s", describe(left), describe(right))
	}
	for _, err := range []error{left, right} {
		switch config.KindOf(err) {
		case "", config.KindReferenced, config.KindInvalidReference, config.KindTooLarge:
		default:
			a.t.Error(describe(err))
		}
	}
}

func (a *actor) mustStand() {
	a.t.Helper()
	for _, environment := range config.FirstEnvironments {
		if _, b := a.bundle(environment, "", ""); len(b.Errors) > 0 {
			a.t.Errorf("%s in %s is broken: %s", b.Errors[0].Path, environment, describe(b.Errors[0].Err))
		}
	}
}

// skewed runs a test for each skew, in a tenant of its own.
func skewed(t *testing.T, test func(a *actor, name string)) {
	t.Helper()
	w := newWorld(t)
	w.limits.Store(&service.Limits{Document: 100})
	for name := range skews(&actor{t: t}, "0") {
		tenant := "skew-" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
		t.Run(name, func(t *testing.T) {
			a := w.found(t, tenant)
			test(a, name)
			a.mustStand()
		})
	}
}

func TestSoakWriteSkew(t *testing.T) {
	skewed(t, func(a *actor, name string) {
		for round := range soakOr(1000, 30) {
			s := skews(a, strconv.Itoa(round))[name]
			if len(s.prepare) > 0 {
				a.write(s.prepare...)
			}
			var left, right error
			var both sync.WaitGroup
			both.Go(func() { left = s.left(a) })
			both.Go(func() { right = s.right(a) })
			both.Wait()
			if s.check(a, left, right); a.t.Failed() {
				return
			}
		}
	})
}

// The same with each of the two coming in just before the other commits.
func TestWriteSkewInBothOrders(t *testing.T) {
	skewed(t, func(a *actor, name string) {
		for order := range 2 {
			s := skews(a, strconv.Itoa(order))[name]
			if len(s.prepare) > 0 {
				a.write(s.prepare...)
			}
			first, second := s.left, s.right
			if order == 1 {
				first, second = second, first
			}
			var begun atomic.Bool
			var firstErr error
			remove := a.engine.onCommit(func(*store.Write) {
				if begun.CompareAndSwap(false, true) {
					firstErr = first(a)
				}
			})
			secondErr := second(a)
			remove()
			if firstErr != nil {
				a.t.Errorf("the one that came in between is refused: %s", describe(firstErr))
			}
			s.check(a, firstErr, secondErr)
		}
	})
}
