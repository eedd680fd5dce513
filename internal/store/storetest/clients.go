package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// ack is what a client said just now, good for 90 seconds.
func (n *tenant) ack(environment config.EnvironmentID, principal, client, text string) store.Ack {
	now := n.clock.read()
	return store.Ack{
		Environment: environment, Principal: principal, Client: client, Time: now, Expires: now.Add(90 * time.Second), Sealed: []byte(text),
	}
}

func (n *tenant) acks(t tb, environment config.EnvironmentID, now time.Time) []store.Ack {
	t.Helper()
	acks, err := n.Acks(n.ctx, n.ID, environment, now)
	ok(t, err)
	return acks
}

func acks(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	start := w.clock.read()
	want := []store.Ack{
		n.ack(base, "token b", "A", "1"), n.ack(base, "token a", "a", "2"), n.ack(base, "token b", "a", "3"), n.ack(base, "token", "a b", "4"),
	}
	for _, i := range []int{2, 0, 3, 1} {
		ok(t, w.PutAck(w.ctx, n.ID, want[i], 10))
	}
	other := n.ack(production, "token a", "a", "5")
	ok(t, w.PutAck(w.ctx, n.ID, other, 10))
	same(t, n.acks(t, base, start), want)
	same(t, n.acks(t, production, start), []store.Ack{other})
	same(t, len(n.acks(t, 3, start)), 0)
	same(t, n.revision(t), config.Revision(1))
	same(t, len(auditOf(t, w, n.ID)), 1)

	w.clock.advance(60 * time.Second)
	want[1] = n.ack(base, "token a", "a", "2 again")
	ok(t, w.PutAck(w.ctx, n.ID, want[1], 5))
	same(t, n.acks(t, base, w.clock.read()), want)
	same(t, len(n.acks(t, base, start.Add(90*time.Second-1))), 4)
	same(t, n.acks(t, base, start.Add(90*time.Second)), want[1:2]) // the end is not of it
	same(t, len(n.acks(t, production, start.Add(90*time.Second))), 0)
	same(t, len(n.acks(t, base, start.Add(150*time.Second))), 0)
	refused(t, w.PutAck(w.ctx, config.TenantID{15: 99}, other, 10), config.KindNotFound)
}

func acksDropped(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	start := w.clock.read()
	for i := range 3 {
		ok(t, w.PutAck(w.ctx, n.ID, n.ack(base, "token", fmt.Sprint(i), "x"), 3))
		w.clock.advance(time.Second)
	}
	refusedAsFull := func(client string) {
		t.Helper()
		err := w.PutAck(w.ctx, n.ID, n.ack(production, "token", client, "x"), 3)
		refused(t, err, config.KindOverloaded)
		var e *config.Error
		same(t, errors.As(err, &e) && e.Limit == 3 && e.Actual == 4, true)
	}
	refusedAsFull("new")
	refusedAsFull("0") // the same client in another environment is another one
	ok(t, w.PutAck(w.ctx, n.ID, n.ack(base, "token", "2", "again"), 3))
	same(t, len(n.acks(t, base, start)), 3)

	w.clock.advance(start.Add(90*time.Second - 1).Sub(w.clock.read()))
	refusedAsFull("new")
	same(t, len(n.acks(t, base, start)), 3)
	w.clock.advance(1) // the first expires now
	ok(t, w.PutAck(w.ctx, n.ID, n.ack(production, "token", "new", "x"), 3))
	same(t, len(n.acks(t, base, start)), 2) // it is gone, whenever one asks
	refusedAsFull("newer")
	w.clock.advance(time.Hour) // all expire, one's own too
	ok(t, w.PutAck(w.ctx, n.ID, n.ack(base, "token", "1", "back"), 1))
	same(t, len(n.acks(t, base, start)), 1)
	same(t, len(n.acks(t, production, start)), 0)
	w.clock.advance(90 * time.Second) // one's own expires just now, and counts once
	ok(t, w.PutAck(w.ctx, n.ID, n.ack(base, "token", "1", "again"), 1))
	refused(t, w.PutAck(w.ctx, n.ID, n.ack(base, "token", "2", "x"), 1), config.KindOverloaded)
	other := w.createTenant(t, "beta") // it counts for itself
	ok(t, w.PutAck(w.ctx, other.ID, other.ack(base, "token", "1", "x"), 1))
}

// concurrentAcks lets more clients tell than there may be.
func concurrentAcks(t *testing.T, w *world) {
	const clients, most = 40, 25
	n := w.createTenant(t, "alpha")
	var taken atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			switch err := w.PutAck(w.ctx, n.ID, n.ack(base, "token", fmt.Sprint(i), "x"), most); {
			case err == nil:
				taken.Add(1)
			case config.KindOf(err) != config.KindOverloaded:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, taken.Load(), int64(most))
	same(t, len(n.acks(t, base, w.clock.read())), most)
}

func (n *tenant) served(t tb, what store.Served) bool {
	t.Helper()
	found, err := n.WasServed(n.ctx, n.ID, what)
	ok(t, err)
	return found
}

func served(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	start := w.clock.read()
	read := audit.Record{Event: "secret.read", Actor: "ann", Outcome: audit.Success}
	one := store.Served{Principal: "ann", Environment: base, Path: config.MustPath("openai"), Version: 3}
	two := store.Served{Principal: "ann", Environment: production, Path: config.MustPath("openai"), Version: 1}
	same(t, n.served(t, one), false)
	w.clock.advance(time.Hour)
	ok(t, w.AppendAccess(w.ctx, n.ID, []store.Served{one, one}, read, read))
	for _, other := range []store.Served{
		{Principal: "Ann", Environment: base, Path: one.Path, Version: 3},
		{Principal: "ann ", Environment: base, Path: one.Path, Version: 3},
		{Principal: "ann", Environment: production, Path: one.Path, Version: 3},
		{Principal: "ann", Environment: base, Path: config.MustPath("openai/x"), Version: 3},
		{Principal: "ann", Environment: base, Path: config.MustPath("OpenAI"), Version: 3},
		{Principal: "ann", Environment: base, Path: one.Path, Version: 2}, two, {},
	} {
		same(t, n.served(t, other), false)
	}
	same(t, n.served(t, one), true)
	links := auditOf(t, w, n.ID)
	same(t, len(links), 3)
	read.Time = w.clock.read()
	same(t, string(links[1].Record), string(read.Canonical()))
	same(t, string(links[2].Record), string(read.Canonical()))
	same(t, n.revision(t), config.Revision(1))

	w.clock.advance(time.Hour)
	ok(t, w.AppendAccess(w.ctx, n.ID, []store.Served{two, one}, read)) // one keeps its first time
	ok(t, w.AppendAccess(w.ctx, n.ID, nil))
	ok(t, w.ForgetServed(w.ctx, start.Add(time.Hour))) // what was served at that very time is kept
	same(t, []bool{n.served(t, one), n.served(t, two)}, []bool{true, true})
	ok(t, w.ForgetServed(w.ctx, start.Add(time.Hour+1)))
	same(t, []bool{n.served(t, one), n.served(t, two)}, []bool{false, true})
	same(t, len(auditOf(t, w, n.ID)), 4)

	nobody := config.TenantID{15: 99}
	refused(t, w.AppendAccess(w.ctx, nobody, []store.Served{one}, read), config.KindNotFound)
	was, err := w.WasServed(w.ctx, nobody, one)
	ok(t, err)
	same(t, was, false)
}

// servedMany is more than an engine forgets at once, of several tenants.
func servedMany(t *testing.T, w *world) {
	tenants := []*tenant{w.createTenant(t, "alpha"), w.createTenant(t, "beta")}
	what := func(i int) store.Served {
		return store.Served{Principal: "ann", Environment: base, Path: config.MustPath("openai"), Version: config.Version(i)}
	}
	var old []store.Served
	for i := range 3000 {
		old = append(old, what(i))
	}
	for _, n := range tenants {
		ok(t, w.AppendAccess(w.ctx, n.ID, old))
	}
	w.clock.advance(time.Second)
	for _, n := range tenants {
		ok(t, w.AppendAccess(w.ctx, n.ID, []store.Served{what(5000)}))
	}
	ok(t, w.ForgetServed(w.ctx, w.clock.read()))
	for _, n := range tenants {
		for _, i := range []int{0, 1, 1999, 2000, 2999} {
			same(t, n.served(t, what(i)), false)
		}
		same(t, n.served(t, what(5000)), true)
	}
}

// concurrentAccess reads secrets from many sides: no record is lost.
func concurrentAccess(t *testing.T, w *world) {
	const readers, each = 16, 10
	n := w.createTenant(t, "alpha")
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			for j := range each {
				what := store.Served{Principal: fmt.Sprint(i), Environment: base, Path: config.MustPath("openai"), Version: config.Version(j/5 + 1)}
				if err := w.AppendAccess(w.ctx, n.ID, []store.Served{what}, write().Audit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	same(t, len(auditOf(t, w, n.ID)), 1+readers*each)
	for i := range readers {
		for v := range config.Version(2) {
			same(t, n.served(t, store.Served{Principal: fmt.Sprint(i), Environment: base, Path: config.MustPath("openai"), Version: v + 1}), true)
		}
	}
}

func leases(t *testing.T, w *world) {
	start := w.clock.read()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	take := func(name, holder string, now, until int) bool {
		t.Helper()
		taken, err := w.TakeLease(w.ctx, name, holder, at(now), at(until))
		ok(t, err)
		return taken
	}
	for i, c := range []struct {
		name, holder string
		now, until   int
		want         bool
	}{
		{"rotation", "a", 0, 30, true},
		{"rotation", "b", 0, 30, false},
		{"rotation", "A", 0, 30, false},
		{"archive", "b", 0, 30, true}, // another lease
		{"rotation", "b", 29, 60, false},
		{"rotation", "a", 29, 60, true}, // the holder may take it again
		{"rotation", "b", 30, 90, false},
		{"rotation", "b", 60, 90, true}, // it is over then
		{"rotation", "a", 60, 90, false},
		{"rotation", "b", 61, 70, true}, // also for less long
		{"rotation", "a", 70, 99, true},
	} {
		if got := take(c.name, c.holder, c.now, c.until); got != c.want {
			t.Errorf("%d: %s has %s at %d: %v, want %v", i, c.holder, c.name, c.now, got, c.want)
		}
	}
	ok(t, w.DropLease(w.ctx, "rotation", "b"))
	ok(t, w.DropLease(w.ctx, "absent", "a"))
	same(t, take("rotation", "b", 71, 99), false) // only its holder ends it
	ok(t, w.DropLease(w.ctx, "rotation", "a"))
	same(t, take("rotation", "b", 71, 99), true)
	same(t, take("archive", "a", 1, 2), false)
}

// contendedLease is given to one of many.
func contendedLease(t *testing.T, w *world) {
	now := w.clock.read()
	var mu sync.Mutex
	var holders []string
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			taken, err := w.TakeLease(w.ctx, "rotation", fmt.Sprint(i), now, now.Add(time.Minute))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if taken {
				holders = append(holders, fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	same(t, len(holders), 1)
	for i := range 16 {
		taken, err := w.TakeLease(w.ctx, "rotation", fmt.Sprint(i), now, now.Add(time.Minute))
		ok(t, err)
		same(t, taken, slices.Contains(holders, fmt.Sprint(i)))
	}
}
