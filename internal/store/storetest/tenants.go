package storetest

import (
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func tenants(t *testing.T, w *world) {
	a := w.createTenant(t, "alpha")
	same(t, a.revision(t), config.Revision(1))
	found, err := w.TenantNamed(w.ctx, "alpha")
	ok(t, err)
	same(t, found, a.Tenant)
	found, err = w.Tenant(w.ctx, a.ID)
	ok(t, err)
	same(t, found, a.Tenant)

	for _, name := range []string{"", "beta", "Alpha", "alpha "} {
		_, err = w.TenantNamed(w.ctx, name)
		refused(t, err, config.KindNotFound)
	}
	for _, id := range []config.TenantID{{}, {15: 99}} {
		_, err = w.Tenant(w.ctx, id)
		refused(t, err, config.KindNotFound)
	}
	_, err = w.Revision(w.ctx, config.TenantID{15: 99})
	refused(t, err, config.KindNotFound)
	_, err = w.Commit(w.ctx, config.TenantID{15: 99}, write())
	refused(t, err, config.KindNotFound)
	refused(t, w.AppendAudit(w.ctx, config.TenantID{15: 99}, write().Audit), config.KindNotFound)

	entries, err := w.Entries(w.ctx, config.TenantID{}, 0, 10)
	ok(t, err)
	same(t, len(entries), 1)
	same(t, entries[0].Subject.Path, "alpha")

	before := len(auditOf(t, w, config.TenantID{}))
	for _, clash := range []struct {
		tenant config.Tenant
		kind   config.Kind
	}{
		{config.Tenant{ID: config.TenantID{15: 50}, Name: "alpha"}, config.KindAlreadyExists},
		{config.Tenant{ID: a.ID, Name: "other"}, config.KindConflict},
		{config.Tenant{ID: config.TenantID{}, Name: "server"}, config.KindConflict},
	} {
		_, err = w.CreateTenant(w.ctx, clash.tenant, founding(clash.tenant.ID), serverWrite("clash"))
		refused(t, err, clash.kind)
	}
	same(t, len(auditOf(t, w, config.TenantID{})), before)

	for _, name := range []string{"delta", "alpha-2", "beta"} {
		w.createTenant(t, name)
	}
	for limit := 1; limit <= 5; limit++ {
		all := pages(t, limit, func(p store.Page) ([]config.Tenant, store.Cursor, error) { return w.ListTenants(w.ctx, p) })
		same(t, namesOf(all), []string{"alpha", "alpha-2", "beta", "delta"})
	}
}

func namesOf(tenants []config.Tenant) []string {
	var names []string
	for _, tenant := range tenants {
		names = append(names, tenant.Name)
	}
	return names
}

func tenantDeleted(t *testing.T, w *world) {
	a, b := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	fill(t, a)
	fill(t, b)
	kept := auditOf(t, w, a.ID)
	due, err := w.DueSecrets(w.ctx, w.clock.read(), 10)
	ok(t, err)
	same(t, len(due), 4)
	intact := seen(t, w, b.ID)

	receipt, err := w.DeleteTenant(w.ctx, a.ID, serverWrite("goodbye"))
	ok(t, err)
	last, err := w.EntriesOf(w.ctx, config.TenantID{}, []config.Revision{receipt.Revision})
	ok(t, err)
	same(t, last[0].Subject.Path, "goodbye")

	_, err = w.TenantNamed(w.ctx, "alpha")
	refused(t, err, config.KindNotFound)
	_, err = w.Tenant(w.ctx, a.ID)
	refused(t, err, config.KindNotFound)
	_, err = w.Token(w.ctx, tokenID(a.ID))
	refused(t, err, config.KindNotFound)
	checkEmpty(t, w, a.ID)
	same(t, auditOf(t, w, a.ID), kept)
	same(t, seen(t, w, b.ID), intact)

	_, err = w.Commit(w.ctx, a.ID, write(layer(base, "a", 1, "x")))
	refused(t, err, config.KindNotFound)
	refused(t, w.AddDataKey(w.ctx, a.ID, store.DataKey{Epoch: 1, Wrapped: []byte("k")}), config.KindNotFound)
	refused(t, w.PutAck(w.ctx, a.ID, a.ack(base, "ann", "client", "x"), 10), config.KindNotFound)
	refused(t, w.AppendAccess(w.ctx, a.ID, []store.Served{filledServed}, write().Audit), config.KindNotFound)
	refused(t, w.PutDecisions(w.ctx, a.ID, []store.PastDecision{{Key: digest(1)}}, 10), config.KindNotFound)
	due, err = w.DueSecrets(w.ctx, w.clock.read(), 10)
	ok(t, err)
	same(t, len(due), 2)
	for _, id := range []config.TenantID{a.ID, {15: 77}, {}} {
		_, err = w.DeleteTenant(w.ctx, id, serverWrite("again"))
		refused(t, err, config.KindNotFound)
	}
	revision, err := w.Revision(w.ctx, config.TenantID{})
	ok(t, err)
	same(t, revision, receipt.Revision)
}

func tenantMadeAnew(t *testing.T, w *world) {
	a := w.createTenant(t, "alpha")
	fill(t, a)
	_, err := w.DeleteTenant(w.ctx, a.ID, serverWrite("alpha"))
	ok(t, err)
	_, err = w.CreateTenant(w.ctx, config.Tenant{ID: a.ID, Name: "alpha"}, founding(a.ID), serverWrite("alpha"))
	refused(t, err, config.KindConflict)

	again := w.createTenant(t, "alpha")
	if again.ID == a.ID {
		t.Fatal("the suite gave an id twice")
	}
	same(t, again.revision(t), config.Revision(1))
	same(t, len(again.at(t, 0, filledPath)), 0)
	same(t, again.usage(t), store.Usage{})
	same(t, again.put(t, layer(base, filledPath, 0, "new")).Revision, config.Revision(2))
	found, err := w.TenantNamed(w.ctx, "alpha")
	ok(t, err)
	same(t, found.ID, again.ID)
}

func environments(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	next, err := w.NextEnvironment(w.ctx, n.ID)
	ok(t, err)
	same(t, next, config.EnvironmentID(3))

	set := func(version config.Version, name string, deleted bool) (store.Receipt, error) {
		change := write()
		e := config.Environment{ID: 3, Name: name, Parent: base, IsolateSecrets: name == "stage", Version: version}
		change.Environments = []store.EnvironmentWrite{{Environment: e, Deleted: deleted}}
		return w.Commit(w.ctx, n.ID, change)
	}
	staging, err := set(1, "staging", false)
	ok(t, err)
	renamed, err := set(2, "stage", false)
	ok(t, err)
	_, err = set(2, "twice", false)
	refused(t, err, config.KindConflict)
	_, err = set(4, "gap", false)
	refused(t, err, config.KindConflict)
	gone, err := set(3, "stage", true)
	ok(t, err)

	for at, want := range map[config.Revision][]string{
		1:                {"base", "production"},
		staging.Revision: {"base", "production", "staging"},
		renamed.Revision: {"base", "production", "stage"},
		gone.Revision:    {"base", "production"},
		0:                {"base", "production"},
	} {
		all, err := w.Environments(w.ctx, n.ID, at)
		ok(t, err)
		var names []string
		for i, e := range all {
			names = append(names, e.Name)
			same(t, e.ID, config.EnvironmentID(i+1))
		}
		same(t, names, want)
	}
	all, err := w.Environments(w.ctx, n.ID, renamed.Revision)
	ok(t, err)
	same(t, all[2], config.Environment{ID: 3, Name: "stage", Parent: base, IsolateSecrets: true, Version: 2})
	all, err = w.Environments(w.ctx, n.ID, staging.Revision)
	ok(t, err)
	same(t, all[2], config.Environment{ID: 3, Name: "staging", Parent: base, Version: 1})

	next, err = w.NextEnvironment(w.ctx, n.ID)
	ok(t, err)
	same(t, next, config.EnvironmentID(4)) // an id is not used again
}

func clockBackwards(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	first := n.put(t, layer(base, "a", 0, "1"))
	w.clock.advance(-time.Hour)
	second := n.put(t, layer(base, "a", 0, "2"))
	same(t, second.Time, first.Time)
	ok(t, w.AppendAudit(w.ctx, n.ID, write().Audit))
	w.clock.advance(2 * time.Hour)
	third := n.put(t, layer(base, "a", 0, "3"))
	same(t, third.Time, w.clock.read())

	other := w.createTenant(t, "beta") // its time is its own
	same(t, other.put(t, layer(base, "a", 0, "1")).Time, w.clock.read())
	layers := n.at(t, 0, "a")
	same(t, layers[0].Time, third.Time)
	entries, err := w.EntriesOf(w.ctx, n.ID, []config.Revision{second.Revision})
	ok(t, err)
	same(t, entries[0].Time, first.Time)
}
