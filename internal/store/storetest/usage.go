package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (n *tenant) usage(t tb) store.Usage {
	t.Helper()
	usage, err := n.Usage(n.ctx, n.ID)
	ok(t, err)
	return usage
}

// using is a write that uses more, or less, of something.
func using(documents, bytes, secrets int64) store.Write {
	w := write()
	w.Uses = store.Usage{Documents: documents, Bytes: bytes, Secrets: secrets}
	return w
}

func usage(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	same(t, n.usage(t), store.Usage{})
	n.commit(t, using(2, 300, 1))
	n.commit(t, using(1, -100, 0))
	n.commit(t, write())
	same(t, n.usage(t), store.Usage{Documents: 3, Bytes: 200, Secrets: 1})
	n.commit(t, using(-1, 1<<40, -5)) // never below zero
	same(t, n.usage(t), store.Usage{Documents: 2, Bytes: 1<<40 + 200})
	n.commit(t, using(0, 0, 4)) // from zero, not from what would have been below
	same(t, n.usage(t), store.Usage{Documents: 2, Bytes: 1<<40 + 200, Secrets: 4})
	same(t, other.usage(t), store.Usage{})

	made := founding(config.TenantID{15: 50})
	made.Uses = store.Usage{Documents: 1, Bytes: 2, Secrets: 3}
	_, err := w.CreateTenant(w.ctx, config.Tenant{ID: config.TenantID{15: 50}, Name: "gamma"}, made, serverWrite("gamma"))
	ok(t, err)
	founded, err := w.Usage(w.ctx, config.TenantID{15: 50})
	ok(t, err)
	same(t, founded, made.Uses)
	_, err = w.Usage(w.ctx, config.TenantID{15: 99})
	refused(t, err, config.KindNotFound)
}

func quota(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, using(10, 1000, 5))
	for _, c := range []struct {
		uses, quota store.Usage
		what        string // that is exceeded, "" when nothing is
		limit, to   int64
	}{
		{store.Usage{Documents: 1}, store.Usage{Documents: 10}, "documents", 10, 11},
		{store.Usage{Documents: 1}, store.Usage{Documents: 11}, "", 0, 0},
		{store.Usage{Documents: 2}, store.Usage{Documents: 11}, "documents", 11, 12},
		{store.Usage{Bytes: 501}, store.Usage{Bytes: 1500}, "bytes", 1500, 1501},
		{store.Usage{Bytes: 500}, store.Usage{Bytes: 1500}, "", 0, 0},
		{store.Usage{Secrets: 1}, store.Usage{Secrets: 5}, "secrets", 5, 6},
		{store.Usage{Documents: 1, Bytes: 1, Secrets: 1}, store.Usage{Documents: 99, Bytes: 9999, Secrets: 5}, "secrets", 5, 6},
		{store.Usage{Documents: 1 << 40, Bytes: 1 << 40, Secrets: 1 << 40}, store.Usage{}, "", 0, 0}, // a zero field binds nothing
		{store.Usage{Documents: 1, Bytes: 1}, store.Usage{Secrets: 1}, "", 0, 0},
		{store.Usage{}, store.Usage{Documents: 1, Bytes: 1, Secrets: 1}, "", 0, 0}, // over it already, and not growing
		{store.Usage{Documents: -1, Bytes: -1}, store.Usage{Documents: 1, Bytes: 1, Secrets: 1}, "", 0, 0},
		{store.Usage{Documents: -1, Bytes: 1}, store.Usage{Documents: 1, Bytes: 1}, "bytes", 1, 1001},
	} {
		change := using(c.uses.Documents, c.uses.Bytes, c.uses.Secrets)
		change.Quota = c.quota
		revision, chain := n.revision(t), len(auditOf(t, w, n.ID))
		_, err := w.Commit(w.ctx, n.ID, change)
		if c.what == "" {
			ok(t, err)
			n.commit(t, using(-c.uses.Documents, -c.uses.Bytes, -c.uses.Secrets))
		} else {
			refused(t, err, config.KindQuotaExceeded)
			var e *config.Error
			same(t, errors.As(err, &e), true)
			same(t, []any{e.Pointer, e.Limit, e.Actual}, []any{c.what, c.limit, c.to})
			same(t, n.revision(t), revision)
			same(t, len(auditOf(t, w, n.ID)), chain)
		}
		same(t, n.usage(t), store.Usage{Documents: 10, Bytes: 1000, Secrets: 5})
	}
	other := w.createTenant(t, "beta") // it counts for itself
	change := using(1, 1, 1)
	change.Quota = store.Usage{Documents: 1, Bytes: 1, Secrets: 1}
	other.commit(t, change)
	change.Expect = store.Expect{Revision: 1, Everything: true}
	_, err := w.Commit(w.ctx, other.ID, change)
	refused(t, err, config.KindConflict) // what was planned on the past is told so, whatever it would use
}

// concurrentQuota has more writers than there is room for, of two tenants.
func concurrentQuota(t *testing.T, w *world) {
	const writers, most = 40, 25
	tenants := []*tenant{w.createTenant(t, "alpha"), w.createTenant(t, "beta")}
	var taken [2]atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 * writers {
		n := tenants[i%2]
		wg.Go(func() {
			change := write(layer(base, fmt.Sprint("path-", i), 1, "text"))
			change.Uses, change.Quota = store.Usage{Documents: 2, Bytes: 10}, store.Usage{Documents: 2*most + 1}
			switch _, err := w.Commit(w.ctx, n.ID, change); {
			case err == nil:
				taken[i%2].Add(1)
			case config.KindOf(err) != config.KindQuotaExceeded:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, n := range tenants {
		same(t, taken[i].Load(), int64(most))
		same(t, n.usage(t), store.Usage{Documents: 2 * most, Bytes: 10 * most})
		same(t, n.revision(t), config.Revision(most+1))
		auditOf(t, w, n.ID)
	}
}

func (n *tenant) decisions(t tb, limit int) []store.PastDecision {
	t.Helper()
	decisions, err := n.Decisions(n.ctx, n.ID, limit)
	ok(t, err)
	return decisions
}

func pastDecisions(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	start := w.clock.read()
	decided := func(key uint64, seconds int, text string) store.PastDecision {
		return store.PastDecision{Key: digest(key), Time: start.Add(time.Duration(seconds) * time.Second), Sealed: []byte(text)}
	}
	same(t, len(n.decisions(t, 10)), 0)
	ok(t, w.PutDecisions(w.ctx, other.ID, []store.PastDecision{decided(1, 99, "beta's")}, 10))
	ok(t, w.PutDecisions(w.ctx, n.ID, []store.PastDecision{decided(1, 2, "a"), decided(2, -4, "b"), decided(3, 10, "c")}, 10))
	want := []store.PastDecision{decided(3, 10, "c"), decided(1, 2, "a"), decided(2, -4, "b")}
	for limit := 1; limit <= 4; limit++ {
		same(t, n.decisions(t, limit), want[:min(limit, 3)])
	}
	// One takes the place of what was there, also when it is of an earlier time, or in one call.
	ok(t, w.PutDecisions(w.ctx, n.ID, []store.PastDecision{decided(3, 1, "c2"), decided(2, 20, "b1"), decided(2, 30, "b2")}, 3))
	want = []store.PastDecision{decided(2, 30, "b2"), decided(1, 2, "a"), decided(3, 1, "c2")}
	same(t, n.decisions(t, 10), want)
	ok(t, w.PutDecisions(w.ctx, n.ID, []store.PastDecision{decided(4, 0, "too old"), decided(5, 5, "d")}, 3))
	want = []store.PastDecision{decided(2, 30, "b2"), decided(5, 5, "d"), decided(1, 2, "a")}
	same(t, n.decisions(t, 10), want)
	ok(t, w.PutDecisions(w.ctx, n.ID, nil, 2)) // fewer from now on
	same(t, n.decisions(t, 10), want[:2])
	var equal []store.PastDecision // of one time: as many stay, whichever
	for key := range uint64(9) {
		equal = append(equal, decided(key, 60, fmt.Sprint(key)))
	}
	ok(t, w.PutDecisions(w.ctx, n.ID, equal, 4))
	got := n.decisions(t, 10)
	same(t, len(got), 4)
	for _, d := range got {
		same(t, slices.ContainsFunc(equal, func(e store.PastDecision) bool { return e.Key == d.Key && string(e.Sealed) == string(d.Sealed) }), true)
	}
	ok(t, w.PutDecisions(w.ctx, n.ID, equal, 0))
	same(t, len(n.decisions(t, 10)), 0)
	same(t, other.decisions(t, 10), []store.PastDecision{decided(1, 99, "beta's")})
	same(t, n.revision(t), config.Revision(1))
	same(t, len(auditOf(t, w, n.ID)), 1)
	refused(t, w.PutDecisions(w.ctx, config.TenantID{15: 99}, equal, 10), config.KindNotFound)
}

func tokenUses(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	now := w.clock.read()
	made := []store.Token{
		{ID: "a", Tenant: n.ID, Hash: digest(1), Grants: []byte("sealed\x00 grants"), Created: now, MAC: digest(10)},
		{ID: "b", Tenant: n.ID, Hash: digest(2), Created: now, LastUsed: now.Add(time.Minute)},
		{ID: "B", Tenant: n.ID, Hash: digest(3), Created: now},
	}
	change := write()
	change.AddTokens = made
	n.commit(t, change)
	server := store.Token{ID: "server", ServerAdmin: true, Grants: []byte("of the server"), Created: now}
	change = write()
	change.AddTokens = []store.Token{server}
	_, err := w.Commit(w.ctx, config.TenantID{}, change)
	ok(t, err)
	touch := func(id config.TenantID, uses ...store.TokenUse) {
		t.Helper()
		ok(t, w.TouchTokens(w.ctx, id, uses))
	}
	check := func() {
		t.Helper()
		for _, want := range append(slices.Clone(made), server) {
			got, err := w.Token(w.ctx, want.ID)
			ok(t, err)
			same(t, got, want)
		}
		list, _, err := w.Tokens(w.ctx, n.ID, store.Page{Limit: 10})
		ok(t, err)
		same(t, list, []store.Token{made[2], made[0], made[1]})
	}
	check()
	later := now.Add(time.Hour)
	touch(n.ID, store.TokenUse{ID: "absent", Time: later}, store.TokenUse{ID: "a", Time: later}, store.TokenUse{ID: "server", Time: later}, store.TokenUse{ID: "b", Time: now})
	made[0].LastUsed = later // of b the later time stays, and the server's is not this tenant's
	check()
	touch(n.ID, store.TokenUse{ID: "a", Time: later.Add(2)}, store.TokenUse{ID: "a", Time: later.Add(1)}, store.TokenUse{ID: "b", Time: later})
	made[0].LastUsed, made[1].LastUsed = later.Add(2), later
	check()
	touch(config.TenantID{}, store.TokenUse{ID: "server", Time: now}, store.TokenUse{ID: "B", Time: now})
	server.LastUsed = now
	check()
	touch(config.TenantID{15: 99}, store.TokenUse{ID: "a", Time: later.Add(time.Hour)})
	touch(n.ID)
	check()
	same(t, n.revision(t), config.Revision(2))
	same(t, len(auditOf(t, w, n.ID)), 2)
}
