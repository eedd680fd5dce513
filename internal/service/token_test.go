package service_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (a *actor) issue(r service.TokenRequest) service.IssuedToken {
	a.t.Helper()
	token, err := a.s.CreateToken(a.t.Context(), a.who, a.tenant, r)
	must(a.t, err)
	return token
}

// holder is the actor with another of the tenant's tokens.
func (a *actor) holder(token service.IssuedToken) *actor {
	a.t.Helper()
	b := *a
	b.token = token.Reveal()
	b.who = a.authenticate(a.t, b.token)
	return &b
}

func (a *actor) authenticates(kind config.Kind) {
	a.t.Helper()
	_, err := a.s.Authenticate(a.t.Context(), service.Credentials{Bearer: a.token}, service.Caller{Source: someone})
	if config.KindOf(err) != kind {
		a.t.Errorf("authenticating answers %v, want %q", err, kind)
	}
}

func TestATenantsTokens(t *testing.T) {
	a := newTenant(t)
	token := a.issue(service.TokenRequest{Name: "gateway", TTL: time.Hour, ServerAdmin: true})
	info := service.TokenInfo{ID: token.ID, Name: "gateway", TenantAdmin: true, Author: "ann", Created: midnight, Expires: midnight.Add(time.Hour)}
	same(t, "what may be known of it", info, token.TokenInfo)
	b := a.holder(token)
	if p := b.who.Principal; p.ServerAdmin || !p.HasRole(access.RoleAdmin) || p.Tenant != a.id {
		t.Errorf("the token is of %+v", p)
	}
	if shown := fmt.Sprintf("%v %+v %#v", token, token, &token); strings.Contains(shown, b.token[len("llmc_")+17:]) {
		t.Errorf("the token shows itself: %s", shown)
	}
	entry := a.logged(token.Revision)
	same(t, "summary", "token "+token.ID+" (gateway) was issued", entry.Summary)
	same(t, "kind", store.EntryToken, entry.Kind)
	b.set("base", "a", `{}`)
	same(t, "author", "gateway", a.logged(a.revision()).Author)

	tokens, _, err := a.s.Tokens(t.Context(), a.who, a.tenant, page(10))
	must(t, err)
	same(t, "tokens", 2, len(tokens))
	_, _, err = a.s.Tokens(t.Context(), a.who, a.tenant, page(-1))
	mustBe(t, config.KindBadRequest, err)
	for _, info := range tokens {
		if info.Name == "gateway" {
			same(t, "listed", token.TokenInfo, info)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	a := newTenant(t)
	b := a.holder(a.issue(service.TokenRequest{Name: "short", TTL: time.Hour}))
	w := b.watch(service.WatchRequest{Environment: "base"})
	b.clock.move(time.Hour - 1)
	b.authenticates("")
	must(t, w.Recheck(t.Context()))
	b.clock.move(1)
	b.authenticates(config.KindTokenExpired)
	mustBe(t, config.KindTokenExpired, w.Recheck(t.Context()))
	a.authenticates("")
	same(t, "lifetime when none is asked for", service.DefaultTokenTime, a.issue(service.TokenRequest{Name: "x"}).Expires.Sub(a.clock.read()))
}

func TestBoundsOfTokens(t *testing.T) {
	a := newTenant(t)
	for name, c := range map[string]struct {
		request service.TokenRequest
		pointer string // "" when it is allowed
	}{
		"a second":          {service.TokenRequest{Name: "x", TTL: time.Second}, ""},
		"less":              {service.TokenRequest{Name: "x", TTL: time.Second - 1}, "ttl_seconds"},
		"negative":          {service.TokenRequest{Name: "x", TTL: -time.Hour}, "ttl_seconds"},
		"the longest":       {service.TokenRequest{Name: "x", TTL: service.MaxTokenTime}, ""},
		"too long":          {service.TokenRequest{Name: "x", TTL: service.MaxTokenTime + 1}, "ttl_seconds"},
		"no name":           {service.TokenRequest{}, "name"},
		"a long name":       {service.TokenRequest{Name: strings.Repeat("x", config.MaxNameBytes)}, ""},
		"a longer name":     {service.TokenRequest{Name: strings.Repeat("x", config.MaxNameBytes+1)}, "name"},
		"a line break":      {service.TokenRequest{Name: "a\nb"}, "name"},
		"no UTF-8":          {service.TokenRequest{Name: "a\xff"}, "name"},
		"letters of others": {service.TokenRequest{Name: "Zoë 東京"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.s.CreateToken(t.Context(), a.who, a.tenant, c.request)
			_, serverErr := a.s.CreateServerToken(t.Context(), a.root, c.request)
			for _, err := range []error{err, serverErr} {
				if c.pointer == "" {
					must(t, err)
					continue
				}
				same(t, "pointer", c.pointer, mustBe(t, config.KindBadRequest, err).Pointer)
			}
		})
	}
}

// Roles and actions that are not there are pointed at, as they were sent, and not
// said: what is taken for one may be anything.
func TestATokensRolesAndActionsThatAreNotThere(t *testing.T) {
	a := newTenant(t)
	for name, c := range map[string]struct {
		grants  access.Grants
		pointer string
	}{
		"a role":            {access.Grants{Roles: []string{"hunter2"}}, "/roles/0"},
		"behind admin":      {access.Grants{Roles: []string{access.RoleAdmin, access.RoleViewer, "hunter2"}}, "/roles/2"},
		"the server's role": {access.Grants{Roles: []string{access.RoleServerAdmin}}, "/roles/0"},
		"no role":           {access.Grants{Roles: []string{access.RoleViewer, ""}}, "/roles/1"},
		"an action":         {access.Grants{Actions: []access.Action{access.ConfigRead, "hunter2"}}, "/actions/1"},
	} {
		_, err := a.s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "x", Grants: c.grants})
		refused := mustBe(t, config.KindBadRequest, err)
		same(t, name, c.pointer, refused.Pointer)
		if strings.Contains(refused.Error()+refused.Next, "hunter2") {
			t.Errorf("%s: the refusal says it: %v", name, refused)
		}
	}
}

func TestRevokingATokenEndsItsWatches(t *testing.T) {
	a := newTenant(t)
	token := a.issue(service.TokenRequest{Name: "gateway"})
	b := a.holder(token)
	w, mine := b.watch(service.WatchRequest{Environment: "base"}), a.watch(service.WatchRequest{Environment: "base"})
	b.set("base", "a", `{"v":1}`)
	next, _ := w.Wait()
	revoked, err := a.s.RevokeToken(t.Context(), a.who, a.tenant, token.ID)
	must(t, err)
	same(t, "status", service.Committed, revoked.Status)
	a.set("base", "a", `{"v":2}`)
	<-next // the watcher is woken by it
	b.authenticates(config.KindTokenRevoked)
	notices, err := w.Take(t.Context())
	mustBe(t, config.KindTokenRevoked, err)
	same(t, "notices from before", 1, len(notices))
	same(t, "position", revoked.Revision-1, w.Position())
	mustBe(t, config.KindTokenRevoked, w.Recheck(t.Context()))
	notices, err = mine.Take(t.Context())
	must(t, err)
	same(t, "notices of another token", 2, len(notices))

	again, err := a.s.RevokeToken(t.Context(), a.who, a.tenant, token.ID)
	must(t, err)
	same(t, "status of the second time", service.Unchanged, again.Status)
	// One that resumes is refused, whether its events come from memory or from the log.
	for _, after := range []config.Revision{1, w.Position()} {
		_, err := b.watch(service.WatchRequest{Environment: "base", Resume: true, After: after}).Take(t.Context())
		mustBe(t, config.KindTokenRevoked, err)
	}
}

func TestTokensOfOthersAreNotThere(t *testing.T) {
	w := newWorld(t)
	a, b := w.found(t, "acme"), w.found(t, "other")
	server, err := w.s.CreateServerToken(t.Context(), w.root, service.TokenRequest{Name: "another"})
	must(t, err)
	for name, id := range map[string]string{"of another tenant": b.who.Principal.ID, "of the server": server.ID, "of nobody": "aaaaaaaaaaaaaaaa", "none": ""} {
		t.Run(name, func(t *testing.T) {
			_, err := a.s.RevokeToken(t.Context(), a.who, a.tenant, id)
			e := mustBe(t, config.KindNotFound, err)
			same(t, "message", fmt.Sprintf("there is no token %q", id), e.Message)
		})
	}
	_, err = w.s.RevokeServerToken(t.Context(), w.root, a.who.Principal.ID)
	mustBe(t, config.KindNotFound, err)
	b.authenticates("")
	a.authenticates("")
}

func TestServerTokens(t *testing.T) {
	w := newWorld(t)
	token, err := w.s.CreateServerToken(t.Context(), w.root, service.TokenRequest{Name: "ops", TenantAdmin: true})
	must(t, err)
	who := w.authenticate(t, token.Reveal())
	if p := who.Principal; !p.ServerAdmin || p.HasRole(access.RoleAdmin) || p.Tenant != (config.TenantID{}) {
		t.Errorf("the token is of %+v", p)
	}
	tokens, _, err := w.s.ServerTokens(t.Context(), who, page(10))
	must(t, err)
	same(t, "tokens", 2, len(tokens))
	revoked, err := w.s.RevokeServerToken(t.Context(), w.root, token.ID)
	must(t, err)
	same(t, "status", service.Committed, revoked.Status)
	_, err = w.s.Authenticate(t.Context(), service.Credentials{Bearer: token.Reveal()}, service.Caller{Source: someone})
	mustBe(t, config.KindTokenRevoked, err)
	again, err := w.s.RevokeServerToken(t.Context(), w.root, token.ID)
	must(t, err)
	same(t, "status of the second time", service.Unchanged, again.Status)
	_, err = w.s.RevokeServerToken(t.Context(), w.root, "aaaaaaaaaaaaaaaa")
	mustBe(t, config.KindNotFound, err)
	events := strings.Join(w.chain(t, config.TenantID{}), "\n")
	for _, event := range []string{`"event":"token.create"`, `"event":"token.revoke"`} {
		if !strings.Contains(events, event) {
			t.Errorf("the server's chain lacks %s", event)
		}
	}
}
