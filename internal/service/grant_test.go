package service_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// glass is a tenant with two server admins, neither of whom made the other.
type glass struct {
	*stage
	bob   service.Caller // with a token that root issued
	olga  service.Caller // with nothing from root
	world *world
}

func newGlass(t *testing.T) *glass {
	t.Helper()
	w := newWorld(t)
	g := &glass{stage: w.stage(t, "acme"), world: w, olga: w.rootToo(t)}
	g.bob = g.serverAdmin(w.root, "bob")
	return g
}

func (g *glass) serverAdmin(from service.Caller, name string) service.Caller {
	g.t.Helper()
	token, err := g.s.CreateServerToken(g.t.Context(), from, service.TokenRequest{Name: name})
	must(g.t, err)
	return g.authenticate(g.t, token.Reveal())
}

func (g *glass) ask(who service.Caller, role string, span time.Duration) string {
	g.t.Helper()
	result, err := g.s.RequestGrant(g.t.Context(), who, g.tenant, service.GrantRequest{Role: role, Reason: "ticket 7", For: span})
	must(g.t, err)
	return result.Grant.ID
}

func (g *glass) approve(who service.Caller, id string) error {
	_, err := g.s.ApproveGrant(g.t.Context(), who, g.tenant, id)
	return err
}

// give is access from the asking to the approval.
func (g *glass) give(to service.Caller, role string, span time.Duration) string {
	g.t.Helper()
	id := g.ask(to, role, span)
	must(g.t, g.approve(g.olga, id))
	return id
}

func (g *glass) end(who service.Caller, id string) error {
	_, err := g.s.EndGrant(g.t.Context(), who, g.tenant, id, "enough")
	return err
}

func (g *glass) looks(who service.Caller) error {
	_, err := g.s.Config(g.t.Context(), who, g.tenant, "production", path("gateway"), service.ReadOptions{})
	return err
}

func (g *glass) state(id string) string {
	g.t.Helper()
	all, err := g.s.Grants(g.t.Context(), g.who, g.tenant)
	must(g.t, err)
	for _, one := range all {
		if one.ID == id {
			return string(one.State)
		}
	}
	return "none"
}

// records counts those of an event on a chain.
func (g *glass) records(chain config.TenantID, event string) (found []string) {
	g.t.Helper()
	for _, record := range g.chain(g.t, chain) {
		if strings.Contains(record, `"event":"`+event+`"`) {
			found = append(found, record)
		}
	}
	return found
}

func TestTheLifeOfBreakGlass(t *testing.T) {
	g := newGlass(t)
	server := config.TenantID{}
	mustBe(t, config.KindForbidden, g.looks(g.bob))
	id := g.ask(g.bob, access.RoleViewer, time.Hour)
	same(t, "state", "requested", g.state(id))
	mustBe(t, config.KindForbidden, g.looks(g.bob)) // asking gives nothing
	mustBe(t, config.KindForbidden, g.approve(g.bob, id))
	g.clock.move(time.Minute)
	must(t, g.approve(g.olga, id))
	same(t, "state", "active", g.state(id))
	mustBe(t, config.KindGone, g.approve(g.olga, id))

	must(t, g.looks(g.bob))
	mustBe(t, config.KindForbidden, g.looks(g.olga)) // who approves has nothing of it
	mustBe(t, config.KindForbidden, g.looks(g.root))
	mustBe(t, config.KindForbidden, g.looks(g.serverAdmin(g.bob, "his")))
	if uses := g.records(g.id, "grant.use"); len(uses) != 1 || !strings.Contains(uses[0], id) || !strings.Contains(uses[0], g.bob.Principal.Actor()) {
		t.Errorf("the use is on record as %s", uses)
	}
	same(t, "uses on the server's record", 0, len(g.records(server, "grant.use")))

	must(t, g.end(g.bob, id))
	same(t, "state", "ended", g.state(id))
	mustBe(t, config.KindForbidden, g.looks(g.bob))
	mustBe(t, config.KindGone, g.end(g.who, id))
	mustBe(t, config.KindGone, g.approve(g.olga, id))
	for _, event := range []string{"grant.request", "grant.approve", "grant.end"} {
		for _, chain := range []config.TenantID{g.id, server} {
			if all := g.records(chain, event); len(all) != 1 || !strings.Contains(all[0], "ticket 7") || !strings.Contains(all[0], id) {
				t.Errorf("%s is on record as %s", event, all)
			}
		}
	}
	for _, unknown := range []string{"", "nothing", strings.ToUpper(id)} {
		mustBe(t, config.KindNotFound, g.approve(g.olga, unknown))
		mustBe(t, config.KindNotFound, g.end(g.who, unknown))
	}
}

// Two are needed, and one who makes himself a second is still one.
func TestWhoMayApprove(t *testing.T) {
	g := newGlass(t)
	w := g.world
	child := g.serverAdmin(g.bob, "child")
	sibling := g.serverAdmin(w.root, "sibling")
	rotated, err := g.s.RotateServerToken(t.Context(), g.bob, g.bob.Principal.ID, service.TokenStep{})
	must(t, err)
	successor := g.authenticate(t, rotated.Reveal())
	byAnother, err := g.s.RotateServerToken(t.Context(), g.olga, sibling.Principal.ID, service.TokenStep{})
	must(t, err)
	taken := g.authenticate(t, byAnother.Reveal())
	for name, c := range map[string]struct {
		asks, approves service.Caller
		ok             bool
	}{
		"himself":                           {g.bob, g.bob, false},
		"who issued his token":              {g.bob, w.root, false},
		"whose token he issued":             {w.root, g.bob, false},
		"whose token's token he issued":     {w.root, child, false},
		"who issued the token of who did":   {child, w.root, false},
		"the successor of his token":        {g.bob, successor, false},
		"the token that his succeeds":       {successor, g.bob, false},
		"who issued the one that his is of": {successor, w.root, false},
		"a sibling":                         {g.bob, sibling, false},
		"a stranger":                        {g.bob, g.olga, true},
		"who rotated another's token":       {g.olga, taken, false},
		"whose token he took by rotating":   {taken, g.olga, false},
		"the one whose token was taken":     {taken, sibling, false},
		"a stranger's stranger":             {g.olga, g.bob, true},
		"a child of the taken token's root": {taken, g.bob, false},
	} {
		t.Run(name, func(t *testing.T) {
			id := g.ask(c.asks, access.RoleViewer, time.Hour)
			err := g.approve(c.approves, id)
			if c.ok {
				must(t, err)
				return
			}
			mustBe(t, config.KindForbidden, err)
			same(t, "state", "requested", g.state(id))
			mustBe(t, config.KindForbidden, g.looks(c.asks))
		})
		for _, one := range g.grants() { // the next begins without any
			_ = g.end(g.who, one.ID)
		}
	}
}

func (g *glass) grants() []service.Grant {
	all, err := g.s.Grants(g.t.Context(), g.who, g.tenant)
	must(g.t, err)
	return all
}

func TestBreakGlassEndsByTheClock(t *testing.T) {
	g := newGlass(t)
	id := g.give(g.bob, access.RoleViewer, time.Hour)
	w, err := g.s.Watch(t.Context(), g.bob, g.tenant, service.WatchRequest{Environment: "production"})
	must(t, err)
	defer w.Close()
	g.clock.move(time.Hour - 1)
	must(t, g.looks(g.bob))
	must(t, w.Recheck(t.Context()))
	same(t, "state", "active", g.state(id))
	g.clock.move(1)
	mustBe(t, config.KindForbidden, g.looks(g.bob))
	mustBe(t, config.KindForbidden, w.Recheck(t.Context()))
	same(t, "state", "expired", g.state(id))
	mustBe(t, config.KindGone, g.end(g.who, id))
	g.set("production", "gateway", `{"key":"after"}`)
	if notices, err := w.Take(t.Context()); err == nil && len(notices) > 0 {
		t.Errorf("a watcher whose access is over hears %v", notices)
	}

	// A request waits for a day.
	late := g.ask(g.bob, access.RoleViewer, time.Hour)
	g.clock.move(24*time.Hour - 1)
	still := g.ask(g.bob, access.RoleViewer, time.Hour)
	g.clock.move(1)
	mustBe(t, config.KindGone, g.approve(g.olga, late))
	must(t, g.approve(g.olga, still))
	// And what is over is listed for a month.
	g.clock.move(30*24*time.Hour + 2*time.Hour)
	fresh := g.ask(g.bob, access.RoleViewer, time.Hour)
	var ids []string
	for _, one := range g.grants() {
		ids = append(ids, one.ID)
	}
	same(t, "grants that are listed", []string{fresh}, ids)
}

// A tenant's admin ends what a server admin has, and his watch with it.
func TestATenantEndsBreakGlass(t *testing.T) {
	g := newGlass(t)
	id := g.give(g.bob, access.RoleViewer, time.Hour)
	w, err := g.s.Watch(t.Context(), g.bob, g.tenant, service.WatchRequest{Environment: "production"})
	must(t, err)
	defer w.Close()
	g.set("production", "gateway", `{"key":"1"}`)
	must(t, g.end(g.who, id))
	g.set("production", "gateway", `{"key":"2"}`)
	mustBe(t, config.KindForbidden, g.looks(g.bob))
	_, err = w.Take(t.Context())
	mustBe(t, config.KindForbidden, err)
	viewer := g.as(access.Grants{Roles: []string{access.RoleViewer}})
	next := g.give(g.bob, access.RoleViewer, time.Hour)
	mustBe(t, config.KindForbidden, g.end(viewer.who, next)) // who may not see who has access
	mustBe(t, config.KindNotFound, g.end(g.stranger.who, next))
	must(t, g.looks(g.bob))
}

func TestWhatBreakGlassGives(t *testing.T) {
	for role, may := range map[string][]string{
		access.RoleViewer:      {"Config", "List", "Bundle", "Environments", "Tags", "Secret", "Secrets"},
		access.RoleApplication: {"Config", "List", "Bundle", "Environments", "Tags", "Secret", "Secrets", "RevealSecret"},
		access.RoleOperator:    {"Config", "List", "Bundle", "Environments", "Tags", "Secret", "Secrets", "Change", "SetTag", "PutSecret", "Policies"},
	} {
		t.Run(role, func(t *testing.T) {
			g := newGlass(t)
			g.give(g.bob, role, time.Hour)
			for _, name := range []string{
				"Config", "List", "Bundle", "Environments", "Tags", "Secret", "Secrets", "RevealSecret", "Change", "SetTag", "PutSecret",
				"Policies", "PutPolicy", "PutRole", "CreateToken", "Tokens", "DestroySecret", "Destroy", "PutEnvironment", "RotateTenantKey",
			} {
				err := g.call(inside[name], g.bob, g.fit)
				if slices.Contains(may, name) {
					must(t, err)
				} else {
					mustBe(t, config.KindForbidden, err)
				}
			}
		})
	}
	g := newGlass(t)
	for _, in := range []service.GrantRequest{
		{Role: access.RoleAdmin, Reason: "x"}, {Role: access.RoleServerAdmin, Reason: "x"}, {Role: "deployer", Reason: "x"}, {Role: "release", Reason: "x"},
		{Reason: ""}, {Reason: " "}, {Reason: "a\nb"}, {Reason: "\xff"}, {Reason: strings.Repeat("x", 513)},
		{Reason: "x", For: 4*time.Hour + 1}, {Reason: "x", For: time.Minute - 1}, {Reason: "x", For: -time.Hour},
	} {
		_, err := g.s.RequestGrant(t.Context(), g.bob, g.tenant, in)
		mustBe(t, config.KindBadRequest, err)
	}
	same(t, "grants", 0, len(g.grants()))
}

// Access to one tenant is none to another, also when that one is asked by the
// same person at the same time.
func TestBreakGlassIsOfOneTenant(t *testing.T) {
	g := newGlass(t)
	g.give(g.bob, access.RoleOperator, time.Hour)
	must(t, g.looks(g.bob))
	_, err := g.s.Config(t.Context(), g.bob, g.stranger.tenant, "production", path("gateway"), service.ReadOptions{})
	mustBe(t, config.KindForbidden, err)
	_, err = g.s.RequestGrant(t.Context(), g.bob, g.stranger.tenant, service.GrantRequest{Reason: "x"})
	must(t, err)
	_, err = g.s.Config(t.Context(), g.bob, g.stranger.tenant, "production", path("gateway"), service.ReadOptions{})
	mustBe(t, config.KindForbidden, err)
	must(t, g.looks(g.bob))
	if _, err := g.s.ApproveGrant(t.Context(), g.olga, g.stranger.tenant, g.grants()[0].ID); config.KindOf(err) != config.KindNotFound {
		t.Errorf("a grant of another tenant is approved by %v", err)
	}
}

// Nothing is shown that is not on the tenant's record first, and nothing given
// that is not on the server's.
func TestBreakGlassIsOnRecordOrNot(t *testing.T) {
	g := newGlass(t)
	id := g.ask(g.bob, access.RoleViewer, time.Hour)
	g.engine.auditDown.Store(true)
	mustBe(t, config.KindUnavailable, g.approve(g.olga, id))
	_, err := g.s.RequestGrant(t.Context(), g.bob, g.tenant, service.GrantRequest{Reason: "x"})
	mustBe(t, config.KindUnavailable, err)
	g.engine.auditDown.Store(false)
	same(t, "state", "requested", g.state(id))
	must(t, g.approve(g.olga, id))
	must(t, g.looks(g.bob)) // so that the decision is known by now
	for _, name := range []string{"Config", "List", "Bundle", "Watch", "Log", "History", "Explain", "Secret", "Secrets", "Tags", "Environments"} {
		before := len(g.records(g.id, "grant.use"))
		must(t, g.call(inside[name], g.bob, g.fit))
		if after := len(g.records(g.id, "grant.use")); after <= before {
			t.Errorf("%s left no record of the access", name)
		}
		g.engine.auditDown.Store(true)
		mustBe(t, config.KindUnavailable, g.call(inside[name], g.bob, g.fit))
		g.engine.auditDown.Store(false)
	}
	// What he may do as a server admin is no use of it.
	before := len(g.records(g.id, "grant.use"))
	_, err = g.s.Tenant(t.Context(), g.bob, g.tenant)
	must(t, err)
	same(t, "records of what needs none", before, len(g.records(g.id, "grant.use")))
}

// Who is of the tenant himself, and has more by break-glass, is on record too.
func TestBreakGlassOfAMember(t *testing.T) {
	g := newGlass(t)
	member := g.bob
	member.Principal = access.Principal{
		ID: "ci:bob", Name: "bob", Method: access.MethodIdentity, Issuer: "ci", Tenant: g.id, Roles: []string{access.RoleViewer}, ServerAdmin: true,
	}.Sealed()
	must(t, g.looks(member))
	same(t, "uses before", 0, len(g.records(g.id, "grant.use")))
	mustBe(t, config.KindForbidden, g.call(inside["Change"], member, g.fit))
	g.give(member, access.RoleOperator, time.Hour)
	must(t, g.call(inside["Change"], member, g.fit))
	if len(g.records(g.id, "grant.use")) == 0 {
		t.Error("what a member does by break-glass is not on record")
	}
	g.set("production", "gateway", `{"key":"again"}`)
	elsewhere := member
	elsewhere.Principal.Tenant = g.stranger.id
	elsewhere.Principal = elsewhere.Principal.Sealed()
	must(t, g.looks(elsewhere)) // the same person; his roles over there count for nothing here
	mustBe(t, config.KindForbidden, g.call(inside["CreateToken"], elsewhere, g.fit))
}

// A narrowed token of a server admin has no more by break-glass than it says.
func TestBreakGlassWithANarrowedToken(t *testing.T) {
	g := newGlass(t)
	token, err := g.s.CreateServerToken(t.Context(), g.root, service.TokenRequest{
		Name: "narrow", Grants: access.Grants{Actions: []access.Action{access.GrantRequest, access.ConfigRead}},
	})
	must(t, err)
	narrow := g.authenticate(t, token.Reveal())
	g.give(narrow, access.RoleOperator, time.Hour)
	must(t, g.looks(narrow))
	mustBe(t, config.KindForbidden, g.call(inside["Change"], narrow, g.fit))
	mustBe(t, config.KindForbidden, g.call(inside["Tags"], narrow, g.fit))
}

// A tenant's own policies let server admins in, as far as they say and no further.
func TestATenantLetsServerAdminsIn(t *testing.T) {
	g := newGlass(t)
	g.putPolicy("all", `permit (principal, action == Action::"config.read", resource);`)
	mustBe(t, config.KindForbidden, g.looks(g.bob)) // who everybody is, is the tenant's people
	mustBe(t, config.KindNotFound, g.looks(g.stranger.who))
	g.putPolicy("support", `permit (principal in Role::"server-admin", action == Action::"config.read", resource in Folder::"production/gateway");`)
	must(t, g.looks(g.bob))
	mustBe(t, config.KindForbidden, func() error {
		_, err := g.s.Config(t.Context(), g.bob, g.tenant, "base", path("gateway"), service.ReadOptions{})
		return err
	}())
	for name, v := range inside {
		err := g.call(v, g.bob, g.fit)
		switch name {
		case "Config", "Explain", "History", "Layer", "Diff", "RevealConfig", "Log", "LogEntry", "List", "Bundle", "Watch":
			if kind := config.KindOf(err); kind == config.KindNotFound {
				t.Errorf("%s is answered by %v", name, err)
			}
		default:
			if config.KindOf(err) != config.KindForbidden {
				t.Errorf("%s is answered by %v", name, err)
			}
		}
	}
	mustBe(t, config.KindNotFound, g.looks(g.stranger.who))
	_, err := g.s.PutPolicy(t.Context(), g.who, g.tenant, "support", service.PolicyRequest{Delete: true})
	must(t, err)
	mustBe(t, config.KindForbidden, g.looks(g.bob))
}
