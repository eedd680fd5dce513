package service_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// watch begins a watch that ends with the test.
func (a *actor) watch(in service.WatchRequest) *service.Watcher {
	a.t.Helper()
	w, err := a.s.Watch(a.t.Context(), a.who, a.tenant, in)
	must(a.t, err)
	a.t.Cleanup(w.Close)
	return w
}

// resume goes on after a revision.
func (a *actor) resume(environment string, after config.Revision) *service.Watcher {
	a.t.Helper()
	return a.watch(service.WatchRequest{Environment: environment, Resume: true, After: after, Data: true})
}

// told is what a watcher is told until there is no more, one line for each
// document: revision, path, and what it says now; or why it must read anew.
func told(t *testing.T, w *service.Watcher) []string {
	t.Helper()
	lines := []string{}
	for {
		before := w.Position()
		notices, err := w.Take(t.Context())
		must(t, err)
		for _, n := range notices {
			if n.Reset != "" {
				lines = append(lines, fmt.Sprintf("%d reset: %s", n.Event.Revision, n.Reset))
			}
			for _, c := range n.Changes {
				lines = append(lines, tell(t, w, n, c))
			}
		}
		if w.Position() == before {
			return lines
		}
	}
}

func tell(t *testing.T, w *service.Watcher, n service.Notice, c watch.Change) string {
	t.Helper()
	document := c.Effective.Document
	switch {
	case !n.Whole:
		t.Errorf("something of revision %d is left out", n.Event.Revision)
	case !c.Exists && document.Exists(), document.Exists() && document.Digest() != c.Digest:
		t.Errorf("%s at revision %d does not have its digest", c.Path, n.Event.Revision)
	}
	return fmt.Sprintf("%d %s %s by v%d of %s", n.Event.Revision, c.Path, document.Canonical(), c.Cause.Version, w.EnvironmentName(c.Cause.Environment))
}

func TestWatchTellsWhatChangedInAnEnvironment(t *testing.T) {
	a := newTenant(t)
	begin := a.revision()
	a.write(a.put("base", "limits", `{"rpm":1}`), a.put("base", "gw/a", `{"rpm":"${config:limits#/rpm}"}`), a.put("base", "gw-b", `{}`))
	production := a.watch(service.WatchRequest{Environment: "production", Data: true})
	prefix, err := config.ParsePrefix("gw")
	must(t, err)
	below := a.watch(service.WatchRequest{Environment: "production", Prefix: prefix, Data: true})
	silent := a.watch(service.WatchRequest{Environment: "staging"})
	same(t, "position of a new watch", a.revision(), production.Position())
	same(t, "what is told before anything happened", []string{}, told(t, production))

	a.set("base", "limits", `{"rpm":2}`)          // 3
	a.set("development", "gw-b", `{"dev":true}`)  // 4, not to be seen
	a.set("production", "gw-b", `{"prod":true}`)  // 5
	a.tag("release", 0)                           // 6
	a.set("base", "gw-b", `{"prod":true}`)        // 7, changes nothing in production
	a.write(a.del("base", "gw/a"))                // 8
	a.set("production", "limits", `{"rpm":null}`) // 9
	want := []string{
		`3 gw/a {"rpm":2} by v2 of base`, `3 limits {"rpm":2} by v2 of base`,
		`5 gw-b {"prod":true} by v1 of production`,
		`8 gw/a  by v2 of base`,
		`9 limits {} by v1 of production`,
	}
	same(t, "production", want, told(t, production))
	same(t, "below gw", []string{want[0], want[3]}, told(t, below))
	if got := told(t, silent); len(got) != 4 {
		t.Errorf("without data there are %q", got)
	}
	for _, w := range []*service.Watcher{production, below, silent} {
		same(t, "position, also where nothing could be seen", a.revision(), w.Position())
	}
	// From the log the same is told in the same words.
	same(t, "resumed", want, told(t, a.resume("production", begin+1)))
	same(t, "resumed from the beginning", 3, len(told(t, a.resume("production", begin)))-len(want))
	same(t, "frame key", watch.FrameKey{Environment: 4, Data: true}, production.FrameKey())
}

func TestAWatchSeesOnlyItsTenant(t *testing.T) {
	w := newWorld(t)
	a, b := w.found(t, "acme"), w.found(t, "other")
	mine := a.watch(service.WatchRequest{Environment: "base", Data: true})
	b.set("base", "a", `{"of":"other"}`)
	if next, _ := mine.Wait(); isClosed(next) {
		t.Error("another tenant's change wakes the watcher")
	}
	same(t, "told", []string{}, told(t, mine))
	same(t, "resumed", []string{}, told(t, a.resume("base", 0)))
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWatchersAreWoken(t *testing.T) {
	a := newTenant(t)
	w := a.watch(service.WatchRequest{Environment: "base"})
	next, open := w.Wait()
	if !open || isClosed(next) {
		t.Fatal("nothing has happened")
	}
	a.set("edge", "a", `{}`)
	<-next
	next, _ = w.Wait()
	<-next // until it has taken what there is
	same(t, "told", []string{}, told(t, w))
	next, _ = w.Wait()
	a.s.EndWatches()
	<-next
	if _, open := w.Wait(); open {
		t.Error("it goes on after the end")
	}
}

func TestAWatchOfWhatMovedIsReset(t *testing.T) {
	a := newTenant(t)
	a.mustMove("team", "staging")
	begin := a.revision()
	team, edge := a.watch(service.WatchRequest{Environment: "team"}), a.watch(service.WatchRequest{Environment: "edge"})
	one := a.set("staging", "a", `{"s":1}`)
	moved := a.mustMove("staging", "edge")
	two := a.set("base", "a", `{"b":1}`)
	want := []string{
		text(one) + " a  by v1 of staging", text(moved) + " reset: the environments changed", text(two) + " a  by v1 of base",
	}
	got := told(t, team)
	same(t, "number of notices", len(want), len(got))
	same(t, "reset", want[1], got[1])
	same(t, "edge, which is above", 1, len(told(t, edge)))
	same(t, "resumed", want[1], told(t, a.resume("team", begin))[1])
}

func TestAWatchThatResumesFromBeforeItsEnvironmentIsReset(t *testing.T) {
	a := newTenant(t)
	begin := a.set("base", "a", `{}`)
	created := a.create("team").Revision
	same(t, "told", []string{text(created) + " reset: the environments changed"}, told(t, a.resume("team", begin)))
}

func TestAWatchOfADeletedEnvironmentEnds(t *testing.T) {
	a := newTenant(t)
	a.create("team")
	w, other := a.watch(service.WatchRequest{Environment: "team"}), a.watch(service.WatchRequest{Environment: "base"})
	a.set("base", "a", `{}`)
	must(t, a.deleteEnvironment("team"))
	notices, err := w.Take(t.Context())
	same(t, "notices from before", 1, len(notices))
	mustBe(t, config.KindNotFound, err)
	_, err = w.Take(t.Context())
	mustBe(t, config.KindNotFound, err)
	same(t, "another environment", 1, len(told(t, other)))
	_, err = a.s.Watch(t.Context(), a.who, a.tenant, service.WatchRequest{Environment: "team"})
	mustBe(t, config.KindNotFound, err)
}

func TestPositionsThatCannotBeResumed(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{}`)
	for away, reason := range map[config.Revision]string{1: "the position is ahead of the server", -10_001: "the position is too old"} {
		newest := a.revision()
		w := a.resume("base", newest+away)
		same(t, "told", []string{text(newest) + " reset: " + reason}, told(t, w))
		a.set("base", "a", `{"away":`+text(away)+`}`)
		same(t, "told afterwards", 1, len(told(t, w)))
	}
	same(t, "as old as may be", 3, len(told(t, a.resume("base", a.revision()-10_000))))
}

// Who is far behind reads the log in parts.
func TestResumingFarBehind(t *testing.T) {
	a := newTenant(t)
	begin := a.revision()
	a.set("base", "a", `{"n":0}`)
	const between = 300 // more than are read at once
	var wait sync.WaitGroup
	for worker := range 10 {
		wait.Go(func() {
			for i := range between / 10 {
				if _, err := a.s.SetTag(t.Context(), a.who, a.tenant, fmt.Sprintf("t%d-%d", worker, i), 1, ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	last := a.set("base", "a", `{"n":1}`)
	w := a.resume("base", begin)
	notices, err := w.Take(t.Context())
	must(t, err)
	if len(notices) != 1 || w.Position() >= last {
		t.Errorf("%d notices up to %d of %d at once", len(notices), w.Position(), last)
	}
	same(t, "the rest", []string{text(last) + ` a {"n":1} by v2 of base`}, told(t, w))
	same(t, "position", last, w.Position())
}

// What another process committed is told when this one is told of it, and does
// not look like a position that is ahead.
func TestAWatchIsNeverAheadOfItsProcess(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	behind := a.over(a.start())
	behind.reads("base", "a", `{"v":1}`)
	known := a.revision()
	a.set("base", "a", `{"v":2}`)
	w := behind.resume("base", 1)
	same(t, "what it knows", []string{text(known) + ` a {"v":1} by v1 of base`}, told(t, w))
	same(t, "position", known, w.Position())
	behind.tag("here", 1)
	same(t, "what it missed", []string{text(known+1) + ` a {"v":2} by v2 of base`}, told(t, w))
	same(t, "position", a.revision(), w.Position())
}

func TestWatchesAreBounded(t *testing.T) {
	a := newTenant(t)
	a.limits.Store(&service.Limits{Watchers: 2})
	in := service.WatchRequest{Environment: "base"}
	a.watch(in)
	second, err := a.s.Watch(t.Context(), a.who, a.tenant, in)
	must(t, err)
	_, err = a.s.Watch(t.Context(), a.who, a.tenant, in)
	e := mustBe(t, config.KindOverloaded, err)
	if e.Limit != 2 || e.Actual != 3 {
		t.Errorf("the refusal names %d and %d", e.Limit, e.Actual)
	}
	second.Close()
	a.watch(in)
}

// All who watch the same share one frame, and others do not.
func TestFramesAreShared(t *testing.T) {
	a := newTenant(t)
	one, two := a.watch(service.WatchRequest{Environment: "base"}), a.watch(service.WatchRequest{Environment: "base"})
	a.set("base", "a", `{}`)
	encoded := 0
	for _, w := range []*service.Watcher{one, two} {
		notices, err := w.Take(t.Context())
		must(t, err)
		_, err = notices[0].Event.Frame(w.FrameKey(), func() ([]byte, error) { encoded++; return []byte("x"), nil })
		must(t, err)
	}
	same(t, "frames encoded", 1, encoded)
}

func TestAWatchDoesNotHideThatTheLogCannotBeRead(t *testing.T) {
	a := newTenant(t)
	begin := a.revision()
	a.set("base", "a", `{}`)
	w := a.resume("base", begin)
	a.engine.logDown.Store(true)
	if _, err := w.Take(t.Context()); err == nil {
		t.Error("nothing is said")
	}
	same(t, "position", begin, w.Position())
	a.engine.logDown.Store(false)
	same(t, "told afterwards", 1, len(told(t, w)))
}
