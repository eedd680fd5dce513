package service_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestCreateTenant(t *testing.T) {
	w := newWorld(t)
	founded, err := w.s.CreateTenant(t.Context(), w.root, "acme", service.TokenRequest{})
	must(t, err)
	if founded.Status != service.Committed || founded.Revision != 1 || !founded.Time.Equal(midnight) || founded.Tenant.Name != "acme" || founded.Tenant.ID == (config.TenantID{}) {
		t.Errorf("the answer is %+v", founded)
	}
	same(t, "name of the first token", "admin", founded.Token.Name)
	who := w.authenticate(t, founded.Token.Reveal())
	if p := who.Principal; p.Tenant != founded.Tenant.ID || !p.HasRole(access.RoleAdmin) || p.ServerAdmin {
		t.Errorf("the first token is of %+v", p)
	}
	a := &actor{w, t, "acme", founded.Tenant.ID, founded.Token.Reveal(), who}
	same(t, "environments", firstTree, a.tree())
	entry := a.logged(1)
	if entry.Kind != store.EntryTenant || entry.Summary != "tenant acme was created" {
		t.Errorf("the log has %+v", entry)
	}
	own := records(t, w.chain(t, a.id))
	same(t, "records of the tenant", 2, len(own))
	server := records(t, w.chain(t, config.TenantID{}))
	for i, got := range []audit.Record{own[0], own[1], server[len(server)-1]} {
		want := []audit.Record{
			{Event: "tenant.create", Resource: "tenants/" + a.id.String(), Revision: 1},
			{Event: "token.create", Resource: "tenants/" + a.id.String() + "/tokens/" + founded.Token.ID, Revision: 1},
			{Event: "tenant.create", Resource: "tenants/" + a.id.String(), Revision: server[len(server)-1].Revision},
		}[i]
		want.Time, want.Actor, want.Tenant, want.Outcome = midnight, w.root.Principal.Actor(), a.id.String(), audit.Success
		want.Action, want.Source, want.RequestID, want.UserAgent = "tenant.manage", someone.String(), w.root.RequestID, w.root.UserAgent
		same(t, "record "+want.Event, want, got)
	}
	identity, err := w.s.Identity(t.Context(), who)
	must(t, err)
	same(t, "identity", service.Identity{Principal: who.Principal, Tenant: "acme"}, identity)
	identity, err = w.s.Identity(t.Context(), w.root)
	must(t, err)
	same(t, "identity of a server admin", service.Identity{Principal: w.root.Principal}, identity)

	for name, kind := range map[string]config.Kind{"acme": config.KindAlreadyExists, "No Good": config.KindInvalidName, "": config.KindInvalidName} {
		_, err := w.s.CreateTenant(t.Context(), w.root, name, service.TokenRequest{})
		mustBe(t, kind, err)
	}
	_, err = w.s.CreateTenant(t.Context(), w.root, "long", service.TokenRequest{TTL: service.MaxTokenTime + 1})
	mustBe(t, config.KindBadRequest, err)
	a.set("base", "a", `{}`) // the one that is there was not touched
}

// records reads the records of a chain.
func records(t *testing.T, chain []string) []audit.Record {
	t.Helper()
	read := make([]audit.Record, 0, len(chain))
	for _, text := range chain {
		r, err := audit.ParseRecord([]byte(text))
		must(t, err)
		read = append(read, r)
	}
	return read
}

func TestTenants(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"b", "a", "c"} {
		w.found(t, name)
	}
	first, next, err := w.s.Tenants(t.Context(), w.root, page(2))
	must(t, err)
	rest, end, err := w.s.Tenants(t.Context(), w.root, service.Page{Limit: 2, Cursor: next})
	must(t, err)
	if len(first) != 2 || first[0].Name != "a" || first[1].Name != "b" || len(rest) != 1 || rest[0].Name != "c" || end != "" {
		t.Errorf("the pages are %v and %v", first, rest)
	}
	_, _, err = w.s.Tenants(t.Context(), w.root, page(-1))
	mustBe(t, config.KindBadRequest, err)
	tenant, err := w.s.Tenant(t.Context(), w.root, "b")
	must(t, err)
	same(t, "tenant", first[1].ID, tenant.ID)
	_, err = w.s.Tenant(t.Context(), w.root, "d")
	mustBe(t, config.KindNotFound, err)
}

func TestDeleteTenantDestroysItsKeyAndEndsItsWatches(t *testing.T) {
	w := newWorld(t)
	a, b := w.found(t, "acme"), w.found(t, "other")
	a.set("base", "a", `{"key":"swordfish"}`)
	b.set("base", "a", `{"of":"other"}`)
	row, err := w.engine.LayerVersion(t.Context(), a.id, 1, path("a"), 1)
	must(t, err)
	watcher := a.watch(service.WatchRequest{Environment: "base"})
	next, open := watcher.Wait()
	if !open {
		t.Fatal("a watch ended before it began")
	}
	before := len(w.chain(t, a.id))
	deleted, err := w.s.DeleteTenant(t.Context(), w.root, "acme")
	must(t, err)
	if deleted.Status != service.Committed || deleted.Name != "acme" {
		t.Errorf("the answer is %+v", deleted)
	}
	<-next // who waited is woken
	if _, open := watcher.Wait(); open {
		t.Error("the watch of a deleted tenant goes on")
	}
	_, err = w.keys.TenantKey(t.Context(), a.id)
	mustBe(t, config.KindGone, err)
	_, err = w.keyring.Open(t.Context(), seal.Place{Kind: seal.Layer, Tenant: a.id, Environment: 1, Path: "a", Version: 1}, row.Sealed)
	mustBe(t, config.KindGone, err)
	mustBe(t, config.KindGone, w.keyring.Found(t.Context(), a.id)) // and nothing brings it back
	_, err = a.s.Config(t.Context(), a.who, "acme", "base", path("a"), service.ReadOptions{})
	mustBe(t, config.KindNotFound, err)
	_, err = a.try(a.put("base", "a", `{}`))
	mustBe(t, config.KindNotFound, err)
	_, err = w.s.Identity(t.Context(), a.who)
	mustBe(t, config.KindNotFound, err)
	w.clock.move(time.Second)
	_, err = w.s.Authenticate(t.Context(), service.Credentials{Bearer: a.token}, service.Caller{Source: someone})
	mustBe(t, config.KindUnauthenticated, err)
	_, err = w.s.DeleteTenant(t.Context(), w.root, "acme")
	mustBe(t, config.KindNotFound, err)
	if got := len(w.chain(t, a.id)); got < before {
		t.Errorf("of %d audit records %d are left", before, got)
	}
	for _, r := range records(t, w.chain(t, config.TenantID{})) {
		if (r.Event == "tenant.delete" || r.Event == "key.destroy") && r.Tenant != a.id.String() {
			t.Errorf("%s is of the tenant %q", r.Event, r.Tenant)
		}
	}
	must(t, w.s.FlushCounts(t.Context())) // with counts of a tenant that is no more
	b.reads("base", "a", `{"of":"other"}`)
}

func TestATenantOfTheSameNameIsANewOne(t *testing.T) {
	w := newWorld(t)
	old := w.found(t, "acme")
	old.set("base", "a", `{"key":"swordfish"}`)
	old.tag("release", 0)
	old.mustMove("team", "staging")
	old.reads("base", "a", `{"key":"swordfish"}`)
	_, err := w.s.DeleteTenant(t.Context(), w.root, "acme")
	must(t, err)
	young := w.found(t, "acme")
	if young.id == old.id {
		t.Fatal("an id was given twice")
	}
	same(t, "revision", config.Revision(1), young.revision())
	same(t, "environments", firstTree, young.tree())
	young.reads("base", "a", absent)
	young.readsAt("1", "base", "a", absent)
	_, err = young.s.Tag(t.Context(), young.who, "acme", "release")
	mustBe(t, config.KindNotFound, err)
	tokens, _, err := young.s.Tokens(t.Context(), young.who, "acme", page(10))
	must(t, err)
	same(t, "tokens", 1, len(tokens))
	same(t, "version", config.Version(1), young.write(young.put("base", "a", `{"new":1}`)).Edits[0].Version)
	// Who was admin of the old one is a stranger.
	_, err = young.s.Config(t.Context(), old.who, "acme", "base", path("a"), service.ReadOptions{})
	mustBe(t, config.KindNotFound, err)
}

func TestATenantIsDeletedOnlyOnce(t *testing.T) {
	w := newWorld(t)
	w.found(t, "acme")
	results := make(chan error)
	for range 8 {
		go func() {
			_, err := w.s.DeleteTenant(context.Background(), w.root, "acme")
			results <- err
		}()
	}
	done := 0
	for range 8 {
		if err := <-results; err == nil {
			done++
		} else if config.KindOf(err) != config.KindNotFound {
			t.Error(describe(err))
		}
	}
	same(t, "deletions", 1, done)
}

func TestDevelopmentToken(t *testing.T) {
	w := newWorld(t)
	first, err := w.s.DevelopmentToken(t.Context(), "")
	must(t, err)
	p := w.authenticate(t, first).Principal
	if !p.HasRole(access.RoleAdmin) || !p.ServerAdmin || p.Name != "development" {
		t.Errorf("the token is of %+v", p)
	}
	same(t, "lifetime", service.DefaultTokenTime, p.Expires.Sub(midnight))
	if made := records(t, w.chain(t, p.Tenant))[1]; made.Event != "token.create" || made.Actor != "system:server" || !strings.HasSuffix(made.Resource, "/tokens/"+p.ID) {
		t.Errorf("the record of the token is %+v", made)
	}
	again, err := w.s.DevelopmentToken(t.Context(), first)
	must(t, err)
	same(t, "token of the next start", true, again == first)
	a := &actor{w, t, service.DevelopmentTenant, p.Tenant, first, w.authenticate(t, first)}
	a.set("base", "a", `{}`)
	for _, unfit := range []string{"", "llmc_nonsense", w.found(t, "acme").token} {
		other, err := w.s.DevelopmentToken(t.Context(), unfit)
		must(t, err)
		if q := w.authenticate(t, other).Principal; q.ID == p.ID || q.Tenant != p.Tenant || !q.ServerAdmin {
			t.Errorf("for an unfit token there is one of %+v", q)
		}
	}
	w.clock.move(service.DefaultTokenTime)
	anew, err := w.s.DevelopmentToken(t.Context(), first)
	must(t, err)
	if anew == first {
		t.Error("an expired token is handed out again")
	}
	a.who = w.authenticate(t, anew)
	a.reads("edge", "a", `{}`)
}

func TestFirstTokenIsGivenOnce(t *testing.T) {
	w := newWorld(t) // which took it
	again, err := firstToken(t, w.s)
	must(t, err)
	same(t, "the second first token", "", again)
	if p := w.root.Principal; !p.ServerAdmin || p.HasRole(access.RoleAdmin) || p.Tenant != (config.TenantID{}) || p.Method != access.MethodToken {
		t.Errorf("the first token is of %+v", p)
	}
}

func TestARefusedTenantLeavesNoKeyBehind(t *testing.T) {
	w := newWorld(t)
	w.found(t, "acme")
	keys := func() int {
		rows, err := w.keys.TenantKeys(t.Context(), nil, 100)
		must(t, err)
		return len(rows)
	}
	before := keys()
	_, err := w.s.CreateTenant(t.Context(), w.root, "acme", service.TokenRequest{})
	mustBe(t, config.KindAlreadyExists, err)
	same(t, "keys and marks of destroyed ones", before, keys())
}
