package service_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// Readers who read without a pause while a document is written never get one
// older than what was acknowledged before they asked, nor one that is older
// than the revision it is answered with.
func TestAReadIsNeverOlderThanWhatWasAcknowledged(t *testing.T) {
	a := newTenant(t)
	for i := range 20 { // many documents change at once, so that telling of them takes its time
		a.mustMove(fmt.Sprintf("heir-%d", i), "base")
	}
	var acknowledged, revision atomic.Int64
	write := func(n int) {
		result := a.write(a.put("base", "a", fmt.Sprintf(`{"n":%d}`, n)))
		acknowledged.Store(int64(n))
		revision.Store(int64(result.Revision))
	}
	write(0)
	byRevision := sync.Map{} // revision → n, as read
	hammer(t, 3, func() bool {
		atLeast, atLeastRevision := acknowledged.Load(), revision.Load()
		read, err := a.s.Config(t.Context(), a.who, a.tenant, "base", path("a"), service.ReadOptions{})
		if err != nil {
			t.Error(describe(err))
			return false
		}
		n := int64(read.Document.Document.Root()["n"].(float64))
		if n < atLeast || int64(read.Revision) < atLeastRevision {
			t.Errorf("read %d at revision %d, when %d at revision %d was acknowledged", n, read.Revision, atLeast, atLeastRevision)
			return false
		}
		if was, known := byRevision.LoadOrStore(read.Revision, n); known && was != n {
			t.Errorf("revision %d was answered with %d and with %d", read.Revision, was, n)
			return false
		}
		return true
	}, func() {
		for n := range soakOr(3000, 150) {
			write(n + 1)
		}
	})
}

// hammer runs read on several goroutines, again and again, while work is done.
func hammer(t *testing.T, readers int, read func() bool, work func()) {
	t.Helper()
	var wait sync.WaitGroup
	var done atomic.Bool
	for range readers {
		wait.Go(func() {
			for again := true; again && !done.Load(); {
				again = read()
			}
		})
	}
	work()
	done.Store(true)
	wait.Wait()
}

// A point in time may name a revision that this process has not been told of
// yet; it is answered as far as the process knows.
func TestWhatAnotherProcessCommittedIsNotMixedUp(t *testing.T) {
	a := newTenant(t)
	a.write(a.put("base", "a", `{"of":"base"}`), a.put("staging", "a", `{"of":"staging"}`))
	behind := a.over(a.start())
	behind.reads("edge", "a", `{"of":"base"}`) // it knows the tenant from now on
	known := a.revision()
	a.mustMove("edge", "staging")
	a.set("edge", "a", `{"edge":1}`)

	now := a.clock.read().Format("2006-01-02T15:04:05Z")
	read, err := behind.s.Config(t.Context(), a.who, a.tenant, "edge", path("a"), service.ReadOptions{At: at(t, now)})
	must(t, err)
	if got := string(read.Document.Document.Canonical()); got != `{"of":"base"}` || read.Revision != known {
		t.Errorf("got %s at revision %d, want what was known at %d", got, read.Revision, known)
	}
	_, err = behind.s.Config(t.Context(), a.who, a.tenant, "edge", path("a"), service.ReadOptions{At: config.At{Version: 1}})
	mustBe(t, config.KindNotFound, err)
	a.readsAt(now, "edge", "a", `{"edge":1,"of":"staging"}`)
	a.readsAt("v1", "edge", "a", `{"edge":1,"of":"staging"}`)
}
