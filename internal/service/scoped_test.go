package service_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func prefixesOf(t *testing.T, texts ...string) (all []config.Prefix) {
	t.Helper()
	for _, text := range texts {
		all = append(all, prefix(t, text))
	}
	return all
}

// An admin's token that is narrowed to something else is refused by every verb,
// but for the names of things that belong to the whole tenant.
func TestANarrowedTokenIsRefusedForAllElse(t *testing.T) {
	nameVerbs := []string{"Tag", "Tags", "Environments"}
	wide := []string{"LogEntry", "Revert", "Rollback", "Promote"} // on what is only found out to be another's
	for narrowed, c := range map[string]struct {
		grants access.Grants
		shown  []string // the verbs that answer all the same
	}{
		"to another environment": {access.Grants{Environments: []string{"staging"}}, append(nameVerbs, "Log")},
		// What one runs, and an environment itself, are no matter of paths.
		"to another path":                {access.Grants{Paths: prefixesOf(t, "gateways", "other")}, append(nameVerbs, "Log", "List", "Bundle", "Watch", "Secrets", "Environment", "Ack")},
		"to a path below":                {access.Grants{Paths: prefixesOf(t, "gateway/eu")}, append(nameVerbs, "Log", "List", "Bundle", "Watch", "Secrets", "Environment", "Ack")},
		"to another path elsewhere":      {access.Grants{Environments: []string{"staging"}, Paths: prefixesOf(t, "gateway")}, append(nameVerbs, "Log")},
		"to an action":                   {access.Grants{Actions: []access.Action{access.TagRead}}, []string{"Tag", "Tags"}},
		"to the audit chain":             {access.Grants{Actions: []access.Action{access.AuditRead}}, slices.Collect(maps.Keys(onChain))},
		"to reading in another place":    {access.Grants{Environments: []string{"staging"}, Actions: []access.Action{access.ConfigRead}}, []string{"Log"}},
		"to an action on the server":     {access.Grants{Actions: []access.Action{access.TenantManage}}, nil},
		"to an environment's names only": {access.Grants{Environments: []string{"staging"}, Actions: []access.Action{access.TagRead}}, []string{"Tag", "Tags"}},
	} {
		t.Run(narrowed, func(t *testing.T) {
			s := newWorld(t).stage(t, "acme")
			b := s.as(c.grants)
			if !b.who.Principal.HasRole(access.RoleAdmin) {
				t.Fatal("the token is no admin's")
			}
			for name, v := range together(inside, about) {
				if slices.Contains(c.shown, name) {
					if err := s.call(v, b.who, s.fit); config.KindOf(err) == config.KindForbidden {
						t.Errorf("%s is denied: %v", name, err)
					}
					continue
				}
				if name == "Tenant" && len(c.grants.Actions) == 0 {
					must(t, s.call(v, b.who, s.fit))
					continue
				}
				if slices.Contains(wide, name) {
					before := len(s.chain(t, s.id))
					mustBe(t, config.KindForbidden, s.call(v, b.who, s.fit))
					same(t, "records of the denial", before+1, len(s.chain(t, s.id)))
					continue
				}
				t.Run(name, func(t *testing.T) { s.denied(t, v, b.who, config.KindForbidden, s.id) })
			}
			for name, v := range onServer {
				if err := s.call(v, b.who, s.fit); config.KindOf(err) != config.KindForbidden {
					t.Errorf("%s is answered by %v", name, err)
				}
			}
		})
	}
}

// What lists show to a narrowed token is what it is narrowed to.
func TestWhatANarrowedTokenSees(t *testing.T) {
	a := newTenant(t)
	for _, environment := range []string{"production", "staging"} {
		for _, at := range []string{"a", "a/b", "a/bc", "ab"} {
			a.set(environment, at, `{"v":1}`)
			a.putSecret(environment, at, environment+at)
		}
	}
	b := a.as(access.Grants{Environments: []string{"staging"}, Paths: prefixesOf(t, "a/b")})
	list, err := b.s.List(t.Context(), b.who, b.tenant, service.ListRequest{Environment: "staging"})
	must(t, err)
	same(t, "documents", []string{"a/b"}, names(list.Entries, func(e service.ListEntry) string { return e.Path.String() }))
	secrets, err := b.s.Secrets(t.Context(), b.who, b.tenant, service.SecretListRequest{Environment: "staging"})
	must(t, err)
	same(t, "secrets", []string{"a/b"}, names(secrets.Secrets, func(i service.SecretInfo) string { return i.Path.String() }))
	_, bundle := b.bundle("staging", "", "")
	same(t, "bundle", []string{"a/b"}, names(bundle.Documents, func(d service.BundleDocument) string { return d.Path.String() }))
	_, err = b.s.List(t.Context(), b.who, b.tenant, service.ListRequest{Environment: "production"})
	mustBe(t, config.KindForbidden, err)
	entries, _, err := b.s.Log(t.Context(), b.who, b.tenant, nil, page(100))
	must(t, err)
	for _, entry := range entries {
		for _, e := range entry.Edits {
			if e.Environment != "staging" || e.Path.String() != "a/b" {
				t.Errorf("the log shows %s in %s", e.Path, e.Environment)
			}
		}
	}
	w := b.watch(service.WatchRequest{Environment: "staging"})
	a.set("staging", "a/bc", `{"v":2}`)
	a.set("staging", "a/b", `{"v":2}`)
	notices, err := w.Take(t.Context())
	must(t, err)
	same(t, "notices", 1, len(notices))
}

// A bound token is nobody's over another connection, and its watches end when
// they would be.
func TestABoundTokenOverAnotherConnection(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	near, far := someone, netip.MustParseAddr("198.51.100.1")
	token := a.issue(service.TokenRequest{Name: "bound", Grants: access.Grants{Addresses: []netip.Prefix{netip.PrefixFrom(near, 32)}}})
	come := func(from netip.Addr) (service.Caller, error) {
		return a.s.Authenticate(t.Context(), service.Credentials{Bearer: token.Reveal()}, service.Caller{Source: from})
	}
	who, err := come(near)
	must(t, err)
	for _, from := range []netip.Addr{far, {}} {
		_, err := come(from)
		_, unknown := a.s.Authenticate(t.Context(), service.Credentials{Bearer: "llmc_wrong"}, service.Caller{Source: from})
		same(t, "the answer", mustBe(t, config.KindUnauthenticated, unknown).Error(), mustBe(t, config.KindUnauthenticated, err).Error())
	}
	moved := who // as if the address of the connection were another now
	moved.Source = far
	for _, c := range []struct {
		who  service.Caller
		kind config.Kind
	}{{who, ""}, {moved, config.KindUnauthenticated}} {
		w, err := a.s.Watch(t.Context(), c.who, a.tenant, service.WatchRequest{Environment: "base"})
		must(t, err)
		if err := w.Recheck(t.Context()); config.KindOf(err) != c.kind {
			t.Errorf("a recheck answers %v", err)
		}
		w.Close()
	}
	certified := a.issue(service.TokenRequest{Name: "certified", Grants: access.Grants{Certificate: "spiffe://acme/ci"}})
	_, err = a.s.Authenticate(t.Context(), service.Credentials{Bearer: certified.Reveal()}, service.Caller{Source: near})
	mustBe(t, config.KindUnauthenticated, err)

	// Its successor is bound as it is, and whoever has it gives nothing that is bound less.
	rotated, err := a.s.RotateToken(t.Context(), who, a.tenant, token.ID, service.TokenStep{})
	must(t, err)
	_, err = a.s.Authenticate(t.Context(), service.Credentials{Bearer: rotated.Reveal()}, service.Caller{Source: far})
	mustBe(t, config.KindUnauthenticated, err)
	for _, grants := range []access.Grants{{}, {Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, {Certificate: "dns:x"}} {
		_, err := a.s.CreateToken(t.Context(), who, a.tenant, service.TokenRequest{Name: "more", Grants: grants})
		mustBe(t, config.KindForbidden, err)
	}
	_, err = a.s.RotateToken(t.Context(), who, a.tenant, a.who.Principal.ID, service.TokenStep{})
	mustBe(t, config.KindForbidden, err)
}

// Nobody gives what he does not have, by issuing nor by rotating.
func TestNobodyIssuesWhatHeDoesNotHave(t *testing.T) {
	a := newTenant(t)
	a.putRole("issuer", "operator")
	a.putRole("deployer")
	a.putPolicy("issuers", `permit (principal in Role::"issuer", action in [Action::"token.write", Action::"token.read"], resource);
permit (principal in Role::"deployer", action == Action::"config.destroy", resource);`)
	issuer := a.as(access.Grants{Roles: []string{"issuer"}})
	narrow := a.as(access.Grants{Actions: []access.Action{access.TokenWrite, access.ConfigRead}})
	tokens := map[string]service.IssuedToken{}
	for name, grants := range map[string]access.Grants{
		"admin": {}, "operator": {Roles: []string{access.RoleOperator}}, "viewer": {Roles: []string{access.RoleViewer}}, "application": {Roles: []string{access.RoleApplication}},
		"deployer": {Roles: []string{"deployer"}}, "admin of staging": {Environments: []string{"staging"}},
		"a reading admin": {Actions: []access.Action{access.ConfigRead}}, "a writing admin": {Actions: []access.Action{access.ConfigRead, access.ConfigWrite}},
		"a viewer who reads": {Roles: []string{access.RoleViewer}, Actions: []access.Action{access.ConfigRead}},
	} {
		tokens[name] = a.issue(service.TokenRequest{Name: name, Grants: grants})
	}
	for name, c := range map[string]struct {
		who  *actor
		may  []string
		rest config.Kind
	}{
		"an operator who issues": {issuer, []string{"operator", "viewer", "a reading admin", "a writing admin", "a viewer who reads"}, config.KindForbidden},
		"a narrowed admin":       {narrow, []string{"a reading admin", "a viewer who reads"}, config.KindForbidden},
		"an admin":               {a, sortedNames(tokens), ""},
	} {
		for other, token := range tokens {
			request := service.TokenRequest{Name: "given", Grants: token.Grants}
			if token.TenantAdmin {
				request.Grants.Roles = []string{access.RoleAdmin}
			}
			_, created := c.who.s.CreateToken(t.Context(), c.who.who, a.tenant, request)
			rotated, rotate := c.who.s.RotateToken(t.Context(), c.who.who, a.tenant, token.ID, service.TokenStep{})
			for how, err := range map[string]error{"issuing": created, "rotating": rotate} {
				if may := slices.Contains(c.may, other); may && err != nil || !may && config.KindOf(err) != c.rest {
					t.Errorf("%s, %s %s: %v", name, how, other, err)
				}
			}
			if rotate == nil {
				same(t, "what the successor is given", token.Grants, rotated.Grants)
				same(t, "that it is an admin's", token.TenantAdmin, rotated.TenantAdmin)
			}
		}
	}
	for _, role := range []string{"no-such", access.RoleServerAdmin, "", "Admin", "break-glass-x"} {
		_, err := a.s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "x", Grants: access.Grants{Roles: []string{role}}})
		mustBe(t, config.KindBadRequest, err)
	}
	_, err := a.s.CreateToken(t.Context(), a.who, a.tenant, service.TokenRequest{Name: "x", Grants: access.Grants{Environments: []string{"nowhere"}}})
	mustBe(t, config.KindNotFound, err)
}

func TestNarrowedTokensOfTheServer(t *testing.T) {
	w := newWorld(t)
	create := func(who service.Caller, actions ...access.Action) (service.IssuedToken, error) {
		return w.s.CreateServerToken(t.Context(), who, service.TokenRequest{Name: "x", Grants: access.Grants{Actions: actions}})
	}
	token, err := create(w.root, access.ServerTokenWrite, access.TenantManage)
	must(t, err)
	narrow := w.authenticate(t, token.Reveal())
	_, _, err = w.s.Tenants(t.Context(), narrow, page(1))
	must(t, err)
	_, _, err = w.s.MasterKeys(t.Context(), narrow)
	mustBe(t, config.KindForbidden, err)
	for _, more := range [][]access.Action{nil, {access.ServerKeyWrite}, {access.TenantManage, access.GrantApprove}} {
		_, err := create(narrow, more...)
		mustBe(t, config.KindForbidden, err)
	}
	_, err = create(narrow, access.TenantManage)
	must(t, err)
	_, err = w.s.RotateServerToken(t.Context(), narrow, w.root.Principal.ID, service.TokenStep{})
	mustBe(t, config.KindForbidden, err)
	_, err = w.s.RotateServerToken(t.Context(), narrow, token.ID, service.TokenStep{})
	must(t, err)
	for _, g := range []access.Grants{{Roles: []string{access.RoleAdmin}}, {Environments: []string{"base"}}, {Paths: prefixesOf(t, "a")}} {
		_, err := w.s.CreateServerToken(t.Context(), w.root, service.TokenRequest{Name: "x", Grants: g})
		mustBe(t, config.KindBadRequest, err)
	}
}

// When a token was last used is known about a minute later.
func TestWhenATokenWasLastUsed(t *testing.T) {
	a := newTenant(t)
	token := a.issue(service.TokenRequest{Name: "used"})
	last := func() time.Time {
		t.Helper()
		row, err := a.engine.Token(t.Context(), token.ID)
		must(t, err)
		return row.LastUsed
	}
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "before it was used", time.Time{}, last())
	a.clock.move(time.Hour)
	b := a.holder(token)
	same(t, "before it was kept", time.Time{}, last())
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "afterwards", midnight.Add(time.Hour), last().UTC())
	revision := a.revision()
	a.clock.move(time.Hour)
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "when it was not used again", midnight.Add(time.Hour), last().UTC())
	b.authenticates("")
	must(t, a.s.FlushCounts(t.Context()))
	same(t, "when it was", midnight.Add(2*time.Hour), last().UTC())
	same(t, "revision", revision, a.revision())
	b.authenticates("") // its row is still the service's own
}

// What a token is given cannot be altered in the database, and a row of the first
// release, which was given nothing, is as good as it was.
func TestGrantsInTheDatabase(t *testing.T) {
	a := newTenant(t)
	token := a.issue(service.TokenRequest{Name: "narrow", Grants: access.Grants{Roles: []string{access.RoleViewer}, Environments: []string{"staging"}}})
	row, err := a.engine.Token(t.Context(), token.ID)
	must(t, err)
	for what, text := range map[string]string{
		"none": "", "more roles": strings.Replace(string(row.Grants), `"viewer"`, `"operator"`, 1), "no environments": `{"roles":["viewer"]}`,
		"a blank": string(row.Grants) + " ", "other ancestors": strings.Replace(string(row.Grants), "token:", "tokem:", 1),
	} {
		drawn, err := access.NewToken(strings.NewReader(strings.Repeat(what+"·", 64)))
		must(t, err)
		forged := row
		forged.ID, forged.Hash, forged.Grants = drawn.ID, drawn.Hash, []byte(text)
		_, err = a.engine.Commit(t.Context(), a.id, store.Write{
			Entry: store.Entry{Kind: store.EntryToken, Subject: store.Subject{Path: ":forged:" + what}}, AddTokens: []store.Token{forged},
		})
		must(t, err)
		_, err = a.start().Authenticate(t.Context(), service.Credentials{Bearer: drawn.Reveal()}, service.Caller{})
		mustBe(t, config.KindUnauthenticated, err)
		_, err = a.s.RotateToken(t.Context(), a.who, a.tenant, forged.ID, service.TokenStep{})
		mustBe(t, config.KindNotFound, err)
	}
	plain, err := a.engine.Token(t.Context(), a.who.Principal.ID)
	must(t, err)
	if strings.Contains(string(plain.Grants), "roles") || !plain.TenantAdmin {
		t.Errorf("an admin's row is %q", plain.Grants)
	}
}
