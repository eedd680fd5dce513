package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// expecting is a change of a path that no other case touches.
func expecting(expect store.Expect) store.Write {
	change := write(layer(base, "unrelated", 1, "text"))
	change.Expect = expect
	return change
}

// holds says whether a write would be taken, without leaving it behind.
func (n *tenant) holds(t *testing.T, expect store.Expect) bool {
	t.Helper()
	change := expecting(expect)
	change.DeleteTags = []string{"no such tag"} // refused last, if the expectation holds
	before := n.revision(t)
	_, err := n.Commit(n.ctx, n.ID, change)
	same(t, n.revision(t), before)
	switch config.KindOf(err) {
	case config.KindNotFound:
		return true
	case config.KindConflict:
		return false
	}
	t.Fatalf("the error is %v", err)
	return false
}

func expectPaths(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "gateway", 0, "1"))       // 2
	n.put(t, layer(production, "gateway", 0, "2")) // 3
	n.put(t, layer(base, "models", 0, "3"))        // 4
	n.put(t, layer(base, "models", 0, ""))         // 5
	for _, c := range []struct {
		revision config.Revision
		paths    []string
		want     bool
	}{
		{2, []string{"gateway"}, false}, // another environment's layer counts
		{3, []string{"gateway"}, true},
		{3, []string{"gateway", "models"}, false},
		{4, []string{"models"}, false}, // a deletion counts
		{5, []string{"gateway", "models"}, true},
		{1, []string{"gateway/eu", "Gateway", "gatewa"}, true},
		{1, nil, true},
	} {
		expect := store.Expect{Revision: c.revision, Paths: pathsOf(c.paths)}
		if n.holds(t, expect) != c.want {
			t.Errorf("at %d, %v stand still: %v, want %v", c.revision, c.paths, !c.want, c.want)
		}
	}
	other := w.createTenant(t, "beta")
	other.put(t, layer(base, "elsewhere", 0, "1"))
	same(t, n.holds(t, store.Expect{Revision: 1, Paths: pathsOf([]string{"elsewhere"})}), true)
	change := expecting(store.Expect{Revision: 5, Paths: pathsOf([]string{"gateway"})})
	same(t, n.commit(t, change).Revision, config.Revision(6))
}

func expectReferrers(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	l := layer(base, "gateway", 1, "1")
	l.AddEdges = pathsOf([]string{"limits"})
	n.commit(t, write(l)) // 2
	l = layer(base, "gateway", 2, "2")
	l.AddEdges = pathsOf([]string{"limits"}) // there already: not new
	n.commit(t, write(l))                    // 3
	limits := pathsOf([]string{"models", "limits"})
	same(t, n.holds(t, store.Expect{Revision: 1, Referrers: limits}), false)
	same(t, n.holds(t, store.Expect{Revision: 2, Referrers: limits}), true)
	same(t, n.holds(t, store.Expect{Revision: 1, Referrers: pathsOf([]string{"gateway", "limit"})}), true)
	l = layer(base, "gateway", 3, "3")
	l.DropEdges = pathsOf([]string{"limits"})
	n.commit(t, write(l)) // 4
	same(t, n.holds(t, store.Expect{Revision: 1, Referrers: limits}), true)
}

func expectEnvironments(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "gateway", 0, "1")) // 2
	same(t, n.holds(t, store.Expect{Revision: 1, Environments: true}), true)
	change := write()
	change.Environments = []store.EnvironmentWrite{{Environment: config.Environment{ID: 3, Name: "edge", Version: 1}}}
	n.commit(t, change) // 3
	same(t, n.holds(t, store.Expect{Revision: 2, Environments: true}), false)
	same(t, n.holds(t, store.Expect{Revision: 2}), true)
	same(t, n.holds(t, store.Expect{Revision: 3, Environments: true}), true)
}

func expectEverything(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	w.createTenant(t, "beta").put(t, layer(base, "gateway", 0, "1"))
	same(t, n.holds(t, store.Expect{Revision: 1, Everything: true}), true)
	n.commit(t, write())
	same(t, n.holds(t, store.Expect{Revision: 1, Everything: true}), false)
	ok(t, w.AppendAudit(w.ctx, n.ID, write().Audit)) // makes no revision
	same(t, n.holds(t, store.Expect{Revision: 2, Everything: true}), true)
}

func expectSecrets(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, writeSecrets(secret(base, "openai", 1, "1")))       // 2
	n.commit(t, writeSecrets(secret(production, "openai", 1, "2"))) // 3
	n.commit(t, writeSecrets(secret(base, "mistral", 1, "3")))      // 4
	n.commit(t, writeSecrets(secret(base, "mistral", 2, "")))       // 5
	n.put(t, layer(base, "document", 0, "no secret"))               // 6
	ok(t, w.Rewrap(w.ctx, n.ID, nil))
	w.createTenant(t, "beta").commit(t, writeSecrets(secret(base, "openai", 1, "other")))
	for _, c := range []struct {
		revision config.Revision
		paths    []string
		want     bool
	}{
		{2, []string{"openai"}, false}, // another environment's record counts
		{3, []string{"openai"}, true},
		{3, []string{"openai", "mistral"}, false},
		{4, []string{"mistral"}, false}, // a deletion counts
		{5, []string{"openai", "mistral"}, true},
		{1, []string{"openai/eu", "OpenAI", "opena", "document"}, true},
		{1, nil, true},
	} {
		expect := store.Expect{Revision: c.revision, Secrets: pathsOf(c.paths)}
		if n.holds(t, expect) != c.want {
			t.Errorf("at %d, the secrets %v stand still: %v, want %v", c.revision, c.paths, !c.want, c.want)
		}
	}
	same(t, n.holds(t, store.Expect{Revision: 1, Paths: pathsOf([]string{"openai"})}), true) // a secret is no layer
}

func expectSecretEdges(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	refer := func(version config.Version, add, drop []string) {
		t.Helper()
		l := layer(base, "gateway", version, "text")
		l.AddSecrets, l.DropSecrets = pathsOf(add), pathsOf(drop)
		n.commit(t, write(l))
	}
	refer(1, []string{"openai"}, nil) // 2
	refer(2, []string{"openai"}, nil) // 3; there already: not new
	openai := pathsOf([]string{"mistral", "openai"})
	same(t, n.holds(t, store.Expect{Revision: 1, SecretEdges: openai}), false)
	same(t, n.holds(t, store.Expect{Revision: 2, SecretEdges: openai}), true)
	same(t, n.holds(t, store.Expect{Revision: 1, SecretEdges: pathsOf([]string{"gateway", "opena"})}), true)
	same(t, n.holds(t, store.Expect{Revision: 1, Referrers: openai}), true)
	refer(3, nil, []string{"openai"}) // 4
	same(t, n.holds(t, store.Expect{Revision: 1, SecretEdges: openai}), true)
}

// refusedLeavesNothing refuses a write that holds something of everything.
func refusedLeavesNothing(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	fill(t, n)
	before, chain := seen(t, w, n.ID), auditOf(t, w, n.ID)
	full := func(change func(*store.Write)) error {
		l := layer(base, "new", 1, "text")
		l.AddEdges = pathsOf([]string{"target"})
		wr := write(l, layer(base, filledPath, 3, "text"))
		wr.Environments = []store.EnvironmentWrite{{Environment: config.Environment{ID: 3, Name: "new", Version: 1}}}
		wr.SetTags = []store.Tag{{Name: "new", Target: 1}}
		wr.AddTokens = []store.Token{{ID: "new token", Tenant: n.ID}}
		wr.RevokeTokens = []string{tokenID(n.ID)}
		wr.ExpireTokens = []store.TokenExpiry{{ID: tokenID(n.ID)}}
		wr.Layers[0].AddSecrets = pathsOf([]string{"openai"})
		drop := secret(base, "openai", 2, "text", value(2, 1, "two"))
		drop.DropValues = []config.Version{1}
		wr.Secrets = []store.SecretWrite{secret(production, "new", 1, "text", value(1, 1, "x")), drop}
		wr.Idempotent = &store.Idempotent{Principal: "ann", Key: "new", Expires: w.clock.read().AddDate(1, 0, 0)}
		wr.Committed = func(store.Receipt) { t.Error("Committed was called for a write that was refused") }
		wr.Rules = []store.RuleWrite{rule(store.RulePolicy, "new", 1, "text"), rule(store.RulePolicy, "main", 3, "")}
		wr.Uses = store.Usage{Documents: 2, Bytes: 8, Secrets: 1}
		change(&wr)
		_, err := w.Commit(w.ctx, n.ID, wr)
		return err
	}
	refused(t, full(func(wr *store.Write) { wr.Expect.Paths = pathsOf([]string{filledPath}) }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Layers[1].Version = 9 }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Environments[0].Version = 2 }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Secrets[1].Version = 3 }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Secrets[1].AddValues[0].Version = 1 }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.ExpireTokens[0].ID = "absent" }), config.KindNotFound)
	refused(t, full(func(wr *store.Write) { wr.DeleteTags = []string{"absent"} }), config.KindNotFound)
	refused(t, full(func(wr *store.Write) { wr.RevokeTokens = []string{"absent"} }), config.KindNotFound)
	refused(t, full(func(wr *store.Write) { wr.AddTokens[0].ID = tokenID(n.ID) }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Idempotent.Key = "key" }), config.KindIdempotencyInFlight)
	refused(t, full(func(wr *store.Write) {
		wr.Destroy = []store.LayerDestroy{{Environment: base, Path: config.MustPath("absent"), Version: 1}}
	}), config.KindNotFound)
	refused(t, full(func(wr *store.Write) { wr.Rules[1].Version = 2 }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Expect.Rules = true }), config.KindConflict)
	refused(t, full(func(wr *store.Write) { wr.Quota.Bytes = 1 }), config.KindQuotaExceeded)
	if err := full(func(wr *store.Write) { wr.AddTokens[0].Tenant = config.TenantID{15: 99} }); err == nil {
		t.Error("a token of another tenant was taken")
	}
	if err := full(func(wr *store.Write) { wr.Layers = append(wr.Layers, wr.Layers[0]) }); err == nil {
		t.Error("two versions of one layer were taken")
	}
	same(t, seen(t, w, n.ID), before)
	same(t, auditOf(t, w, n.ID), chain)
	ok(t, full(func(wr *store.Write) { wr.Committed = nil }))
}

// committed is called once, when the write can be read, before Commit returns.
func committed(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	var called []store.Receipt
	change := write(layer(base, "gateway", 1, "1"))
	change.Committed = func(r store.Receipt) {
		called = append(called, r)
		same(t, said(n.at(t, 0, "gateway")), []string{"1 gateway@2 1"})
	}
	receipt := n.commit(t, change)
	same(t, called, []store.Receipt{receipt})

	first, second := founding(config.TenantID{15: 50}), serverWrite("beta")
	var order []string
	first.Committed = func(store.Receipt) { order = append(order, "founding") }
	second.Committed = func(store.Receipt) { order = append(order, "server") }
	made, err := w.CreateTenant(w.ctx, config.Tenant{ID: config.TenantID{15: 50}, Name: "beta"}, first, second)
	ok(t, err)
	same(t, made.Revision, config.Revision(1))
	_, err = w.DeleteTenant(w.ctx, config.TenantID{15: 50}, second)
	ok(t, err)
	same(t, order, []string{"founding", "server", "server"})
}

// concurrentWriters must get revisions without gaps or repeats, in commit order.
func concurrentWriters(t *testing.T, w *world) {
	const writers, each = 16, 20
	tenants := []*tenant{w.createTenant(t, "alpha"), w.createTenant(t, "beta")}
	heard := map[config.TenantID][]config.Revision{}
	got := map[config.TenantID][]config.Revision{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		n := tenants[i%2]
		wg.Go(func() {
			for v := range each {
				change := write(layer(base, fmt.Sprint("path-", i), config.Version(v+1), "text"))
				change.Committed = func(r store.Receipt) {
					mu.Lock()
					defer mu.Unlock()
					heard[n.ID] = append(heard[n.ID], r.Revision)
				}
				receipt, err := n.Commit(w.ctx, n.ID, change)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[n.ID] = append(got[n.ID], receipt.Revision)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, n := range tenants {
		var want []config.Revision
		for r := range writers / 2 * each {
			want = append(want, config.Revision(r+2))
		}
		same(t, heard[n.ID], want)
		slices.Sort(got[n.ID])
		same(t, got[n.ID], want)
		entries, err := w.Entries(w.ctx, n.ID, 1, len(want)+1)
		ok(t, err)
		same(t, len(entries), len(want))
		auditOf(t, w, n.ID)
	}
}

// contendedWriters count in one layer by compare and set: no count is lost.
func contendedWriters(t *testing.T, w *world) {
	const writers, each = 8, 10
	n := w.createTenant(t, "alpha")
	var conflicts atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				err := increment(w, n.ID)
				switch {
				case err == nil:
					done++
				case config.KindOf(err) == config.KindConflict:
					conflicts.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	same(t, string(n.at(t, 0, "count")[0].Sealed), fmt.Sprint(writers*each))
	same(t, n.revision(t), config.Revision(writers*each+1))
	t.Logf("%d conflicts", conflicts.Load())
}

func increment(w *world, id config.TenantID) error {
	path := config.MustPath("count")
	revision, err := w.Revision(w.ctx, id)
	if err != nil {
		return err
	}
	layers, err := w.LayersAt(w.ctx, id, revision, []config.Path{path})
	if err != nil {
		return err
	}
	count, version := 0, config.Version(0)
	if len(layers) == 1 {
		version = layers[0].Version
		if _, err := fmt.Sscan(string(layers[0].Sealed), &count); err != nil {
			return err
		}
	}
	change := write(layer(base, "count", version+1, fmt.Sprint(count+1)))
	change.Expect = store.Expect{Revision: revision, Paths: []config.Path{path}}
	_, err = w.Commit(w.ctx, id, change)
	return err
}

func contextHeeded(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	_, err := w.Commit(ctx, n.ID, write(layer(base, "gateway", 1, "1")))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
	same(t, n.revision(t), config.Revision(1))
}

func closed(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	ok(t, w.Ping(w.ctx))
	ok(t, w.Close())
	_, err := w.Commit(w.ctx, n.ID, write())
	refused(t, err, config.KindUnavailable)
	_, err = w.Revision(w.ctx, n.ID)
	refused(t, err, config.KindUnavailable)
	refused(t, w.Ping(w.ctx), config.KindUnavailable)
}
