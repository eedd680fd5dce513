package storetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func idempotent(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	find := func(principal, key string) (store.Idempotent, error) {
		return w.Idempotent(w.ctx, n.ID, principal, key)
	}
	_, err := find("ann", "k1")
	refused(t, err, config.KindNotFound)

	outcome := store.Idempotent{
		Principal: "ann", Key: "k1", Fingerprint: digest(7), Sealed: []byte("answer"), Expires: w.clock.read().Add(24 * time.Hour),
	}
	change := write(layer(base, "gateway", 1, "1"))
	change.Idempotent = &outcome
	receipt := n.commit(t, change)
	kept, err := find("ann", "k1")
	ok(t, err)
	want := outcome
	want.Revision, want.Time = receipt.Revision, receipt.Time
	same(t, kept, want)
	for _, other := range [][2]string{{"ann", "K1"}, {"bob", "k1"}, {"ann", "k1 "}, {"annk", "1"}} {
		_, err := find(other[0], other[1])
		refused(t, err, config.KindNotFound)
	}

	change = write(layer(base, "gateway", 2, "2"))
	change.Idempotent = &outcome
	_, err = w.Commit(w.ctx, n.ID, change)
	refused(t, err, config.KindIdempotencyInFlight)
	refused(t, w.Remember(w.ctx, n.ID, outcome), config.KindIdempotencyInFlight)

	unchanged := outcome
	unchanged.Key, unchanged.Time, unchanged.Revision = "k2", w.clock.read(), 2
	ok(t, w.Remember(w.ctx, n.ID, unchanged))
	same(t, n.revision(t), config.Revision(2))
	kept, err = find("ann", "k2")
	ok(t, err)
	same(t, kept, unchanged)
	refused(t, w.Remember(w.ctx, config.TenantID{15: 99}, unchanged), config.KindNotFound)

	w.clock.advance(24 * time.Hour)
	_, err = find("ann", "k1")
	refused(t, err, config.KindNotFound)
	outcome.Expires = w.clock.read().Add(time.Hour)
	n.commit(t, change) // an expired key is free
	ok(t, w.ForgetIdempotent(w.ctx, w.clock.read()))
	_, err = find("ann", "k1")
	ok(t, err)
	ok(t, w.ForgetIdempotent(w.ctx, outcome.Expires))
	outcome.Expires = outcome.Expires.Add(time.Hour)
	ok(t, w.Remember(w.ctx, n.ID, outcome))
}

func tokens(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	now := w.clock.read()
	made := []store.Token{
		{ID: "a", Tenant: n.ID, Name: "ci", Hash: digest(1), TenantAdmin: true, Author: "ann", Created: now, Expires: now.Add(time.Hour)},
		{ID: "B", Tenant: n.ID, Name: "both", Hash: digest(2), TenantAdmin: true, ServerAdmin: true, Author: "ann", Created: now, Expires: now.Add(time.Minute)},
		{ID: "b", Tenant: n.ID, Name: "for ever", Hash: digest(3), Author: "ann", Created: now},
	}
	change := write()
	change.AddTokens = made
	n.commit(t, change)
	server := store.Token{ID: "server", Name: "root", Hash: digest(4), ServerAdmin: true, Author: "init", Created: now, Expires: now.Add(time.Hour)}
	change = write()
	change.AddTokens = []store.Token{server}
	_, err := w.Commit(w.ctx, config.TenantID{}, change)
	ok(t, err)
	_, err = w.Commit(w.ctx, config.TenantID{}, change)
	refused(t, err, config.KindConflict)

	for _, want := range append(slices.Clone(made), server) {
		got, err := w.Token(w.ctx, want.ID)
		ok(t, err)
		same(t, got, want)
	}
	for _, id := range []string{"", "A", "a ", "c"} {
		_, err := w.Token(w.ctx, id)
		refused(t, err, config.KindNotFound)
	}
	list := func(id config.TenantID, limit int) []store.Token {
		return pages(t, limit, func(p store.Page) ([]store.Token, store.Cursor, error) { return w.Tokens(w.ctx, id, p) })
	}
	for limit := 1; limit <= 4; limit++ {
		same(t, list(n.ID, limit), []store.Token{made[1], made[0], made[2]})
		same(t, list(config.TenantID{}, limit), []store.Token{server})
	}

	w.clock.advance(time.Minute)
	change = write()
	change.RevokeTokens = []string{"a"}
	revoked := n.commit(t, change)
	w.clock.advance(time.Minute)
	n.commit(t, change) // again: the first time stands
	got, err := w.Token(w.ctx, "a")
	ok(t, err)
	same(t, got.Revoked, revoked.Time)
	got, err = w.Token(w.ctx, "b")
	ok(t, err)
	same(t, got.Revoked.IsZero(), true)
}

func expireTokens(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	now := w.clock.read()
	made := []store.Token{
		{ID: "a", Tenant: n.ID, Name: "ci", Hash: digest(1), Author: "ann", Created: now, Expires: now.Add(time.Hour), MAC: digest(10)},
		{ID: "b", Tenant: n.ID, Name: "for ever", Hash: digest(2), TenantAdmin: true, Author: "ann", Created: now, MAC: digest(20)},
	}
	change := write()
	change.AddTokens = made
	n.commit(t, change)
	server := store.Token{ID: "server", ServerAdmin: true, Created: now, MAC: digest(30)}
	change = write()
	change.AddTokens = []store.Token{server}
	_, err := w.Commit(w.ctx, config.TenantID{}, change)
	ok(t, err)

	for _, id := range []string{"absent", "A", "server"} { // the server's is not this tenant's
		change = write()
		change.ExpireTokens = []store.TokenExpiry{{ID: "b", Expires: now, MAC: digest(21)}, {ID: id, Expires: now}}
		_, err = w.Commit(w.ctx, n.ID, change)
		refused(t, err, config.KindNotFound)
	}
	successor := store.Token{ID: "b2", Tenant: n.ID, Name: "for ever", TenantAdmin: true, Author: "ann", Created: now, MAC: digest(40)}
	change = write()
	change.AddTokens = []store.Token{successor}
	change.ExpireTokens = []store.TokenExpiry{{ID: "b", Expires: now.Add(time.Minute), MAC: digest(21)}, {ID: "a", MAC: digest(11)}}
	n.commit(t, change)
	made[1].Expires, made[1].MAC = now.Add(time.Minute), digest(21)
	made[0].Expires, made[0].MAC = time.Time{}, digest(11)
	for _, want := range append(made, successor, server) {
		got, err := w.Token(w.ctx, want.ID)
		ok(t, err)
		same(t, got, want)
	}
}

// auditOf reads what is hot of a chain to its end and checks that it holds.
func auditOf(t tb, w *world, id config.TenantID) []audit.Link {
	t.Helper()
	var all []audit.Link
	head := audit.Head{}
	segments, err := w.Segments(w.ctx, id, 0, 1000)
	ok(t, err)
	if n := len(segments); n > 0 {
		head = audit.Head{Sequence: segments[n-1].Last, Hash: segments[n-1].Hash}
	}
	for {
		links, err := w.Audit(w.ctx, id, head.Sequence, 7)
		ok(t, err)
		if len(links) == 0 {
			return all
		}
		head, err = audit.Verify(head, func(yield func(audit.Link, error) bool) {
			for _, l := range links {
				if !yield(l, nil) {
					return
				}
			}
		})
		ok(t, err)
		all = append(all, links...)
	}
}

func auditChain(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	w.clock.advance(time.Second)
	denied := audit.Record{Event: "denied", Actor: "bob", Outcome: audit.Denied, Details: map[string]string{"why": "no right"}}
	ok(t, w.AppendAudit(w.ctx, n.ID, denied, denied))
	ok(t, w.AppendAudit(w.ctx, n.ID))
	w.clock.advance(time.Second)
	change := write(layer(base, "gateway", 1, "1"))
	receipt := n.commit(t, change)
	same(t, receipt.Revision, config.Revision(2)) // records alone make no revision

	links := auditOf(t, w, n.ID)
	same(t, len(links), 4)
	denied.Time = receipt.Time.Add(-time.Second)
	same(t, string(links[1].Record), string(denied.Canonical()))
	same(t, string(links[2].Record), string(denied.Canonical()))
	record := change.Audit
	record.Time, record.Revision = receipt.Time, 2
	same(t, string(links[3].Record), string(record.Canonical()))
	if !strings.Contains(string(links[0].Record), `"tenant.create"`) {
		t.Errorf("the first record is %s", links[0].Record)
	}
	same(t, len(auditOf(t, w, config.TenantID{})), 1)
	links, err := w.Audit(w.ctx, n.ID, 1, 2)
	ok(t, err)
	same(t, []uint64{links[0].Sequence, links[1].Sequence}, []uint64{2, 3})
}

func dataKeys(t *testing.T, w *world) {
	unborn := config.TenantID{15: 1} // what founds a tenant is sealed before the tenant is there
	ok(t, w.AddDataKey(w.ctx, unborn, store.DataKey{Epoch: 1, Wrapped: []byte("w1")}))
	n := w.createTenant(t, "alpha")
	same(t, n.ID, unborn)
	ok(t, w.AddDataKey(w.ctx, n.ID, store.DataKey{Epoch: 10, Wrapped: []byte("w10"), KeyVersion: 3, Reserved: 5}))
	ok(t, w.AddDataKey(w.ctx, n.ID, store.DataKey{Epoch: 2, Wrapped: []byte("w2")}))
	ok(t, w.AddDataKey(w.ctx, config.TenantID{}, store.DataKey{Epoch: 1, Wrapped: []byte("server")}))
	refused(t, w.AddDataKey(w.ctx, n.ID, store.DataKey{Epoch: 2, Wrapped: []byte("other")}), config.KindConflict)

	const callers, each = 8, 10
	var mu sync.Mutex
	var befores []int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				before, err := w.ReserveSeals(w.ctx, n.ID, 10, 3)
				mu.Lock()
				befores = append(befores, before)
				mu.Unlock()
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	slices.Sort(befores)
	for i, before := range befores {
		same(t, before, int64(5+3*i))
	}
	_, err := w.ReserveSeals(w.ctx, n.ID, 3, 1)
	refused(t, err, config.KindNotFound)
	keys, err := w.DataKeys(w.ctx, n.ID)
	ok(t, err)
	same(t, keys, []store.DataKey{
		{Epoch: 1, Wrapped: []byte("w1")}, {Epoch: 2, Wrapped: []byte("w2")},
		{Epoch: 10, Wrapped: []byte("w10"), KeyVersion: 3, Reserved: 5 + 3*callers*each},
	})
}
