package service_test

import (
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// counted are the reads on record of a tenant since a record: environment, and how often.
func (a *actor) counted(since int) []string {
	a.t.Helper()
	var found []string
	for _, record := range a.chain(a.t, a.id)[since:] {
		if !strings.Contains(record, `"event":"config.reads"`) || !strings.Contains(record, `"actor":"`+a.who.Principal.Actor()+`"`) {
			a.t.Errorf("a record of something else: %s", record)
		}
		_, count, _ := strings.Cut(record, `"count":"`)
		count, _, _ = strings.Cut(count, `"`)
		_, environment, _ := strings.Cut(record, "/environments/")
		environment, _, _ = strings.Cut(environment, `"`)
		found = append(found, environment+" "+count)
	}
	sort.Strings(found)
	return found
}

func TestReadsAreCountedAndPutOnRecord(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	records := len(a.chain(t, a.id))
	ctx, p := t.Context(), path("a")
	for _, read := range []func() error{
		func() error { _, err := a.s.Config(ctx, a.who, a.tenant, "base", p, service.ReadOptions{}); return err },
		func() error { _, err := a.s.Layer(ctx, a.who, a.tenant, "base", p, service.ReadOptions{}); return err },
		func() error {
			_, err := a.s.Explain(ctx, a.who, a.tenant, "base", p, service.ReadOptions{})
			return err
		},
		func() error {
			_, err := a.s.Bundle(ctx, a.who, a.tenant, "base", config.Prefix{}, service.ReadOptions{})
			return err
		},
		func() error {
			_, err := a.s.List(ctx, a.who, a.tenant, service.ListRequest{Environment: "base"})
			return err
		},
		func() error { _, err := a.s.History(ctx, a.who, a.tenant, "base", p, false, page(1)); return err },
		func() error {
			_, err := a.s.Diff(ctx, a.who, a.tenant, p, service.DiffPoint{Environment: "base"}, service.DiffPoint{Environment: "edge"}, false)
			return err
		},
	} {
		must(t, read())
	}
	a.watch(service.WatchRequest{Environment: "edge"})
	same(t, "records before the minute is over", records, len(a.chain(t, a.id)))
	must(t, a.s.FlushCounts(ctx))
	same(t, "records", []string{"base 7", "edge 2"}, a.counted(records))
	records = len(a.chain(t, a.id))
	must(t, a.s.FlushCounts(ctx))
	same(t, "records of nothing", records, len(a.chain(t, a.id)))
}

func TestCountsAreKeptUntilTheyAreOnRecord(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	records := len(a.chain(t, a.id))
	a.reads("base", "a", `{"v":1}`)
	a.engine.auditDown.Store(true)
	if err := a.s.FlushCounts(t.Context()); err == nil {
		t.Error("nothing could be put on record, and nobody is told")
	}
	a.engine.auditDown.Store(false)
	a.reads("base", "a", `{"v":1}`)
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "records", []string{"base 2"}, a.counted(records))

	records = len(a.chain(t, a.id))
	a.reads("base", "a", `{"v":1}`)
	_, err := a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	must(t, err)
	same(t, "records of a tenant that was deleted", []string{"base 1"}, a.counted(records))

	// There is no chain for what another process counted of it.
	b := a.found(t, "other")
	behind := b.over(b.start())
	b.set("base", "a", `{"v":1}`)
	behind.reads("base", "a", `{"v":1}`)
	_, err = b.s.DeleteTenant(t.Context(), b.root, b.tenant)
	must(t, err)
	must(t, behind.s.FlushCounts(t.Context()))
}

func TestNoReadIsCountedTwiceOrNotAtAll(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	records := len(a.chain(t, a.id))
	const readers, each = 4, 500
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			for range each {
				if _, err := a.s.Config(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		must(t, a.s.FlushCounts(t.Context()))
	}
	wait.Wait()
	must(t, a.s.FlushCounts(t.Context()))
	total := 0
	for _, line := range a.counted(records) {
		total += atoi(t, strings.TrimPrefix(line, "base "))
	}
	same(t, "reads on record", readers*each, total)
}

// Whoever asks for environments that are not there fills no record with them.
func TestReadsOfUnknownEnvironmentsAreCountedTogether(t *testing.T) {
	a := newTenant(t)
	records := len(a.chain(t, a.id))
	for _, environment := range []string{"one", "two", "Not A Name"} {
		a.reads(environment, "a", absent)
	}
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "records", []string{" 3"}, a.counted(records))
}
