package service_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// written is a tenant with a document whose value is the number of its version,
// each version written one second after the one before.
func written(t *testing.T, versions int) (a *actor, revisions []config.Revision, times []time.Time) {
	t.Helper()
	a = newTenant(t)
	for n := range versions {
		times = append(times, a.clock.move(time.Second))
		revisions = append(revisions, a.set("base", "a", fmt.Sprintf(`{"v":%d}`, n+1)))
	}
	a.clock.move(time.Second)
	return a, revisions, times
}

func stamp(t time.Time) string { return t.Format(time.RFC3339Nano) }

func TestAtARevisionVersionTimeOrTag(t *testing.T) {
	a, revisions, times := written(t, 3)
	a.tag("second", revisions[1])
	a.tag("newest", 0)
	a.write(a.del("base", "a"))
	a.set("edge", "a", `{"edge":1}`)
	const v1, v2, v3 = `{"v":1}`, `{"v":2}`, `{"v":3}`
	for when, want := range map[string]string{
		"":                 absent,
		"1":                absent,
		text(revisions[0]): v1,
		text(revisions[2]): v3, text(revisions[2] + 1): v3, text(revisions[2] + 3): absent,
		"v1": v1, "v2": v2, "v3": v3, "v4": absent,
		stamp(midnight): absent, stamp(times[0].Add(-1)): absent, stamp(times[0]): v1, stamp(times[0].Add(1)): v1,
		stamp(times[1].Add(-1)): v1, stamp(times[1]): v2, stamp(times[2].Add(time.Hour)): absent,
		times[1].In(time.FixedZone("", 3600)).Format(time.RFC3339): v2,
		"second": v2, "newest": v3,
	} {
		a.readsAt(when, "base", "a", want)
	}
	a.readsAt("v1", "edge", "a", `{"edge":1}`) // a version of edge's own layer, not of the one it inherits
	a.tag("second", revisions[2])
	a.readsAt("second", "base", "a", v3)
}

// Every verb that takes an AT refuses the same ones in the same way.
func TestPointsThatAreNotThere(t *testing.T) {
	a, revisions, _ := written(t, 2)
	future := config.At{Revision: a.revision() + 1}
	for name, c := range map[string]struct {
		at   config.At
		kind config.Kind
	}{
		"a revision of the future":     {future, config.KindNotFound},
		"a version that never was":     {config.At{Version: 3}, config.KindNotFound},
		"a time before the tenant":     {config.At{Time: midnight.Add(-1)}, config.KindNotFound},
		"a tag that was never set":     {config.At{Tag: "nothing"}, config.KindNotFound},
		"a revision far in the future": {config.At{Revision: 1 << 62}, config.KindNotFound},
	} {
		ctx, p := t.Context(), path("a")
		_, read := a.s.Config(ctx, a.who, a.tenant, "base", p, service.ReadOptions{At: c.at})
		_, layer := a.s.Layer(ctx, a.who, a.tenant, "base", p, service.ReadOptions{At: c.at})
		_, explain := a.s.Explain(ctx, a.who, a.tenant, "base", p, service.ReadOptions{At: c.at})
		_, diff := a.s.Diff(ctx, a.who, a.tenant, p, service.DiffPoint{Environment: "base", At: c.at}, service.DiffPoint{Environment: "base"}, false)
		_, diffTo := a.s.Diff(ctx, a.who, a.tenant, p, service.DiffPoint{Environment: "base"}, service.DiffPoint{Environment: "base", At: c.at}, true)
		_, rollback := a.s.Rollback(ctx, a.who, a.tenant, service.RollbackRequest{Environment: "base", Path: p, To: c.at})
		_, promote := a.s.Promote(ctx, a.who, a.tenant, service.PromoteRequest{From: "base", To: "edge", Paths: []config.Path{p}, At: c.at})
		for verb, err := range map[string]error{"get": read, "layer": layer, "explain": explain, "diff from": diff, "diff to": diffTo, "rollback": rollback, "promote": promote} {
			t.Run(name+" in "+verb, func(t *testing.T) { same(t, "pointer", "at", mustBe(t, c.kind, err).Pointer) })
		}
		if c.at.Version != 0 {
			c.kind = config.KindBadRequest // of which path?
		}
		_, bundle := a.s.Bundle(ctx, a.who, a.tenant, "base", config.Prefix{}, service.ReadOptions{At: c.at})
		_, list := a.s.List(ctx, a.who, a.tenant, service.ListRequest{Environment: "base", At: c.at})
		_, whole := a.s.Rollback(ctx, a.who, a.tenant, service.RollbackRequest{Environment: "base", To: c.at})
		_, all := a.s.Promote(ctx, a.who, a.tenant, service.PromoteRequest{From: "base", To: "edge", All: true, At: c.at})
		for verb, err := range map[string]error{"bundle": bundle, "list": list, "rollback of all": whole, "promote of all": all} {
			t.Run(name+" in "+verb, func(t *testing.T) { same(t, "pointer", "at", mustBe(t, c.kind, err).Pointer) })
		}
	}
	same(t, "revision", revisions[1], a.revision())
}

func TestMinRevision(t *testing.T) {
	a, revisions, _ := written(t, 2)
	newest := revisions[1]
	reads := map[string]func(s *service.Service, least config.Revision) error{
		"get": func(s *service.Service, least config.Revision) error {
			read, err := s.Config(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{MinRevision: least})
			if err == nil && read.Revision < least {
				t.Errorf("answered with revision %d", read.Revision)
			}
			return err
		},
		"layer": func(s *service.Service, least config.Revision) error {
			_, err := s.Layer(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{MinRevision: least})
			return err
		},
		"explain": func(s *service.Service, least config.Revision) error {
			_, err := s.Explain(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{MinRevision: least})
			return err
		},
		"bundle": func(s *service.Service, least config.Revision) error {
			_, err := s.Bundle(t.Context(), a.who, a.tenant, "base", config.Prefix{}, service.ReadOptions{MinRevision: least})
			return err
		},
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			must(t, read(a.s, 0))
			must(t, read(a.s, newest))
			e := mustBe(t, config.KindRevisionInFuture, read(a.s, newest+1))
			same(t, "pointer", "min_revision", e.Pointer)
		})
	}
}

// A read that asks for what is on its way waits, not too long and not too many.
func TestWaitingForARevision(t *testing.T) {
	a, _, _ := written(t, 1)
	a.limits.Store(&service.Limits{Waiters: 1})
	behind := a.over(a.start())
	behind.reads("base", "a", `{"v":1}`)
	ahead := a.set("base", "a", `{"v":2}`) // which the other process is not told of

	read := func(ctx context.Context) error {
		_, err := behind.s.Config(ctx, a.who, a.tenant, "base", path("a"), service.ReadOptions{MinRevision: ahead})
		return err
	}
	// start answers once a read waits, which is known by the next being turned away.
	start := func(ctx context.Context) <-chan error {
		waiting := make(chan error, 1)
		go func() {
			err := read(ctx)
			for config.KindOf(err) == config.KindOverloaded {
				err = read(ctx)
			}
			waiting <- err
		}()
		for {
			short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			err := read(short)
			cancel()
			if config.KindOf(err) == config.KindOverloaded {
				e := mustBe(t, config.KindOverloaded, err)
				if e.Limit != 1 || e.Actual != 2 {
					t.Errorf("the refusal names %d and %d", e.Limit, e.Actual)
				}
				return waiting
			}
		}
	}
	ctx, giveUp := context.WithCancel(t.Context())
	waiting := start(ctx)
	giveUp()
	same(t, "pointer", "min_revision", mustBe(t, config.KindNotYet, <-waiting).Pointer)

	// One that arrives ends the wait. What the process commits itself it knows.
	waiting = start(t.Context())
	behind.tag("here", 1)
	must(t, <-waiting)
	behind.readsAt(text(ahead), "base", "a", `{"v":2}`)

	// A tenant that is deleted meanwhile ends it, too.
	ahead = a.set("base", "a", `{"v":3}`)
	waiting = start(t.Context())
	_, err := behind.s.DeleteTenant(t.Context(), a.root, a.tenant)
	must(t, err)
	mustBe(t, config.KindNotFound, <-waiting)
}
