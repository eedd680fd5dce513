package httpapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the code says; look at the difference, then run the test with -update (-file +code)\n%s", file, diff)
	}
}

// The table of routes changes only by intent.
func TestRouteTable(t *testing.T) {
	var table bytes.Buffer
	for _, r := range newWorld(t).server.Routes() {
		guard, action := "guarded", r.Action
		if r.Public {
			guard, action = "public", "-"
		}
		fmt.Fprintf(&table, "%-7s %s %s %s\n", r.Method, r.Pattern, guard, action)
	}
	golden(t, filepath.Join("testdata", "routes.golden"), table.Bytes())
}

// Every row has actions that there are, or says that being somebody is enough.
// Whoever adds a route says so on purpose.
func TestRoutesHaveActions(t *testing.T) {
	open := []string{api.RouteIdentity, api.RouteVersion, api.RoutePolicySchema, api.RouteAuditKeys}
	for _, r := range newWorld(t).server.Routes() {
		switch {
		case r.Public:
			if r.Action != "" {
				t.Errorf("%s %s is public and asks for %s", r.Method, r.Pattern, r.Action)
			}
		case r.Action == "authenticated":
			if !slices.Contains(open, r.Pattern) {
				t.Errorf("%s %s asks for no action", r.Method, r.Pattern)
			}
		default:
			for _, action := range actionsOf(r) {
				if _, known := access.InfoOf(action); !known {
					t.Errorf("%s %s asks for %q, which is no action", r.Method, r.Pattern, action)
				}
			}
		}
	}
}

// actionsOf are the actions that a route asks for.
func actionsOf(r httpapi.Route) (all []access.Action) {
	for name := range strings.SplitSeq(r.Action, "+") {
		all = append(all, access.Action(name))
	}
	return all
}

// in says whether who may do all of a group may do what a route asks for first.
func in(group access.Group, r httpapi.Route) bool {
	info, known := access.InfoOf(actionsOf(r)[0])
	return known && slices.Contains(info.Groups, group)
}

// bodies are minimal valid ones of the routes that take any.
var bodies = map[string]string{
	"PUT " + api.RouteLayer:         `{"stolen":true}`,
	"PATCH " + api.RouteLayer:       `{"stolen":true}`,
	"POST " + api.RouteChanges:      `{"edits":[{"op":"put","environment":"base","path":"canary","document":{"stolen":true}}]}`,
	"POST " + api.RouteRollback:     `{"environment":"base","to":"2"}`,
	"POST " + api.RouteRevert:       `{"revision":3}`,
	"POST " + api.RoutePromote:      `{"from":"base","to":"staging","all":true}`,
	"PUT " + api.RouteTag:           `{}`,
	"PUT " + api.RouteEnvironment:   `{"parent":"staging"}`,
	"POST " + api.RouteTenants:      `{"name":"stolen"}`,
	"POST " + api.RouteTokens:       `{"name":"stolen"}`,
	"POST " + api.RouteServerTokens: `{"name":"stolen"}`,

	"PUT " + api.RouteSecret:         `{"generate":{"kind":"hex"}}`,
	"PATCH " + api.RouteSecret:       `{"description":"stolen"}`,
	"POST " + api.RouteSecretRotate:  `{"generate":{"kind":"hex"}}`,
	"POST " + api.RouteSecretActive:  `{"version":1}`,
	"POST " + api.RouteSecretRevoke:  `{}`,
	"POST " + api.RouteSecretUndo:    `{}`,
	"POST " + api.RouteSecretDestroy: `{"versions":[1]}`,
	"POST " + api.RouteAcks:          `{"client":"stolen","revision":1}`,
	"POST " + api.RouteKeysRotate:    `{}`,
	"POST " + api.RouteKeysRetire:    `{"version":1}`,
	"POST " + api.RouteMasterRotate:  `{}`,
	"POST " + api.RouteTokenRotate:   `{}`,
	"POST " + api.RouteServerRotate:  `{}`,

	"PUT " + api.RoutePolicy:      `{"text":"permit (principal in Role::\"application\", action == Action::\"tag.write\", resource);"}`,
	"POST " + api.RoutePolicyUndo: `{"to":1}`,
	"POST " + api.RoutePolicyTest: `{}`,
	"POST " + api.RoutePolicyTry:  `{"name":"canary"}`,
	"PUT " + api.RouteRole:        `{"description":"stolen"}`,
	"POST " + api.RouteExplain:    `{"action":"config.read","environment":"base","path":"canary"}`,
	"PUT " + api.RouteQuota:       `{"limits":{"documents":7}}`,
	"POST " + api.RouteGrants:     `{"reason":"stolen"}`,
	"POST " + api.RouteLogout:     ``,

	"PUT " + api.RouteAuditHold:  `{"reason":"stolen"}`,
	"PUT " + api.RouteServerHold: `{"reason":"stolen"}`,
}

// anyRequest is a valid request for a route on what the victim has.
func anyRequest(t *testing.T, r httpapi.Route, victim *victim) (target, body string, headers []string) {
	t.Helper()
	fill := map[string]string{
		"{tenant}": victim.name, "{environment}": "base", "{path...}": "canary", "{tag}": "canary", "{revision}": "2", "{id}": victim.tokenID,
		"{policy}": "canary", "{role}": "canary", "{framework}": "soc2",
	}
	if strings.HasPrefix(r.Pattern, api.RouteGrants) {
		fill["{id}"] = victim.grantID
	}
	if r.Method == http.MethodPut && r.Pattern == api.RouteEnvironment {
		fill["{environment}"] = "production"
	}
	target = r.Pattern
	for wildcard, value := range fill {
		target = strings.ReplaceAll(target, wildcard, value)
	}
	if strings.ContainsAny(target, "{}") {
		t.Fatalf("%s: the test does not know how to fill this pattern", r.Pattern)
	}
	body, known := bodies[r.Method+" "+r.Pattern]
	if !known && (r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodPost) && !bodyless(r) {
		t.Fatalf("%s %s: the test has no body for this route", r.Method, r.Pattern)
	}
	switch {
	case r.Pattern == api.RouteDestroy:
		target += "?version=1"
	case r.Pattern == api.RouteSecretDiff:
		target += "?from=1"
	case r.Pattern == api.RouteAuditCounts || r.Pattern == api.RouteServerCounts:
		target += "?by=event"
	case r.Method == http.MethodPatch && r.Pattern == api.RouteLayer:
		headers = []string{"Content-Type", api.TypeMergePatch}
	}
	return target, body, headers
}

// victim is a tenant with something of everything in it.
type victim struct {
	*tenant
	tokenID, grantID string
}

func newVictim(t *testing.T, w *world, canary string) *victim {
	t.Helper()
	v := &victim{tenant: w.newTenant(t)}
	v.put(t, "base", "canary", `{"value":"`+canary+`"}`)
	v.put(t, "base", "canary", `{"value":"`+canary+`-2"}`)
	v.call(t, "PUT", v.path(api.RouteTag, "canary"), `{"message":"`+canary+`"}`).want(t, 200)
	var issued api.IssuedToken
	v.call(t, "POST", v.path(api.RouteTokens), api.NewToken{Name: canary}).want(t, 201).into(t, &issued)
	v.tokenID = issued.ID
	for range 2 {
		v.call(t, "PUT", v.path(api.RouteSecret, "base", "canary"), `{"generate":{"kind":"password"},"description":"`+canary+`"}`).want(t, 200)
	}
	for i := range 2 {
		text := fmt.Sprintf("// %s %d\npermit (principal in Role::\"application\", action == Action::\"tag.write\", resource);", canary, i)
		v.call(t, "PUT", v.path(api.RoutePolicy, "canary"), api.PutPolicy{Text: text}).want(t, 200)
	}
	v.call(t, "PUT", v.path(api.RouteRole, "canary"), api.PutRole{Description: canary}).want(t, 200)
	v.grantID = v.askAccess(t, w.serverAdmin(t))
	return v
}

// serverAdmin issues a token of a server administrator.
func (w *world) serverAdmin(t testing.TB) string {
	t.Helper()
	var issued api.IssuedToken
	w.call(t, w.root, "POST", api.RouteServerTokens, api.NewToken{Name: "administrator"}).want(t, 201).into(t, &issued)
	return issued.Value
}

// askAccess asks for access to the tenant, and answers the grant's id.
func (n *tenant) askAccess(t testing.TB, administrator string) string {
	t.Helper()
	var asked api.GrantResult
	n.world.call(t, administrator, "POST", n.path(api.RouteGrants), api.RequestGrant{Reason: "to look"}).want(t, 201).into(t, &asked)
	return asked.Grant.ID
}

// intruder is somebody who must get nothing, and what is answered to them.
type intruder struct {
	name, token string
	wants       func(httpapi.Route) []api.Code
}

func just(codes ...api.Code) func(httpapi.Route) []api.Code {
	return func(httpapi.Route) []api.Code { return codes }
}

// ofTheServer are routes that are of no tenant.
func ofTheServer(r httpapi.Route) bool { return !strings.Contains(r.Pattern, "{tenant}") }

// goesOn says whether a route's answer has no end.
func goesOn(r httpapi.Route) bool {
	return r.Pattern == api.RouteWatch || r.Pattern == api.RouteAuditTail || r.Pattern == api.RouteServerTail
}

func intruders(t *testing.T, w *world, v *victim) []intruder {
	t.Helper()
	issue := func(token api.NewToken) api.IssuedToken {
		var issued api.IssuedToken
		v.call(t, "POST", v.path(api.RouteTokens), token).want(t, 201).into(t, &issued)
		return issued
	}
	viewer := issue(api.NewToken{Name: "viewer", TokenRights: api.TokenRights{Roles: []string{access.RoleViewer}}})
	expired, revoked := issue(api.NewToken{Name: "x", TTLSeconds: 1}), issue(api.NewToken{Name: "x"})
	w.clock.advance(2 * time.Second)
	v.call(t, "DELETE", v.path(api.RouteToken, revoked.ID), nil).want(t, 200)
	administrator := w.serverAdmin(t)
	forged := administrator[:30] + strings.Repeat("a", 60)
	return []intruder{
		{"nobody", "", just(api.CodeUnauthenticated)},
		{"a malformed token", "llmc_x", just(api.CodeUnauthenticated)},
		{"a forged token", forged[:len(administrator)], just(api.CodeUnauthenticated)},
		{"an expired token", expired.Value, just(api.CodeTokenExpired)},
		{"a revoked token", revoked.Value, just(api.CodeTokenRevoked)},
		{"another tenant", w.newTenant(t).token, func(r httpapi.Route) []api.Code {
			if ofTheServer(r) {
				return []api.Code{api.CodeForbidden}
			}
			return []api.Code{api.CodeNotFound}
		}},
		{"a viewer", viewer.Value, just(api.CodeForbidden)},
		{"a server administrator", administrator, just(api.CodeForbidden)},
	}
}

// openTo says which routes serve whom beside a tenant's own administrator.
func openTo(who string, r httpapi.Route) bool {
	if r.Action == "authenticated" {
		return who == "another tenant" || who == "a viewer" || who == "a server administrator"
	}
	switch who {
	case "a viewer":
		return in(access.View, r)
	case "a server administrator":
		return in(access.Serve, r) || r.Pattern == api.RouteAuditStatus // shows holds, which they see to
	}
	return false
}

// Every route that is not public refuses whoever has no right to it, gives
// nothing away and changes nothing. A route without a guard fails here.
func TestEveryRouteIsGuarded(t *testing.T) {
	w, m := newWorld(t), newMarker()
	v := newVictim(t, w, m.core)
	v.hide(t, m)
	all := intruders(t, w, v)
	before := v.state(t)
	for _, r := range w.server.Routes() {
		target, body, headers := anyRequest(t, r, v)
		for _, who := range all {
			if openTo(who.name, r) {
				continue
			}
			got := w.call(t, who.token, r.Method, target, body, headers...)
			if r.Public {
				if !forBrowsers(r) {
					got.want(t, 200)
				}
				continue
			}
			what := fmt.Sprintf("%s for %s %s", who.name, r.Method, r.Pattern)
			refusedAs(t, what, got, who.wants(r))
			shownNothing(t, what, m, got)
		}
	}
	if after := v.state(t); after != before {
		t.Errorf("something changed (-before +after)\n%s", cmp.Diff(before, after))
	}
}

// hide puts a marker into the value of the victim's secret, and into a document
// that refers to it.
func (v *victim) hide(t testing.TB, m marker) {
	t.Helper()
	v.call(t, "PUT", v.path(api.RouteSecret, "base", "canary"), map[string]any{
		"fields": map[string]any{"value": "x#" + m.core + "!Y"}, "allow_weak": "a test",
	}).want(t, 200)
	v.put(t, "base", "canary", `{"value":"`+m.core+`","key":"${secret:canary#value}"}`)
}

// shownNothing checks that no form of the marker is in an answer.
func shownNothing(t testing.TB, what string, m marker, got *answer) {
	t.Helper()
	if found := m.in(fmt.Sprint(got.header) + string(got.body)); found != "" {
		t.Errorf("%s: %q is in the answer %d %v %s", what, found, got.status, got.header, got.body)
	}
}

// A tenant that is not one's own looks like one that is not there.
func TestForeignLooksAbsent(t *testing.T) {
	w := newWorld(t)
	v, stranger := newVictim(t, w, "canary"), w.newTenant(t)
	absent := strings.Repeat("x", len(v.name))
	for _, r := range w.server.Routes() {
		if r.Public || ofTheServer(r) {
			continue
		}
		target, body, headers := anyRequest(t, r, v)
		headers = append(headers, api.HeaderRequestID, "the-same")
		foreign := stranger.call(t, r.Method, target, body, headers...)
		nothing := stranger.call(t, r.Method, strings.Replace(target, v.name, absent, 1), body, headers...)
		nothing.body = bytes.ReplaceAll(nothing.body, []byte(absent), []byte(v.name))
		for _, a := range []*answer{foreign, nothing} {
			for _, name := range []string{"Date", "RateLimit-Remaining", "RateLimit-Reset"} { // of which time and the other request take some
				a.header.Del(name)
			}
		}
		if diff := cmp.Diff(nothing, foreign, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s %s (-absent +foreign)\n%s", r.Method, r.Pattern, diff)
		}
	}
}

func refusedAs(t *testing.T, what string, got *answer, codes []api.Code) {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(got.body, &p); err != nil || got.status < 400 {
		t.Errorf("%s: status %d: %.300s", what, got.status, got.body)
		return
	}
	for _, code := range codes {
		if p.Code == code && got.status == code.Status() {
			if asks := got.header.Get("WWW-Authenticate") != ""; asks != (got.status == 401) {
				t.Errorf("%s: WWW-Authenticate with status %d", what, got.status)
			}
			return
		}
	}
	t.Errorf("%s: refused as %s (%d), want %v", what, p.Code, got.status, codes)
}

// entitled is a token that serves for a route: of the tenant's administrator, or
// of a server administrator where no tenant gives the right.
func (v *victim) entitled(t testing.TB, r httpapi.Route) string {
	t.Helper()
	switch {
	case r.Pattern == api.RouteGrantApprove: // of another than the one who asked
		return v.otherOrigin(t)
	case ofTheServer(r) || in(access.Serve, r) && !in(access.Administer, r):
		return v.root
	}
	return v.token
}

// What a tenant's own administrator may do works on every route, so that the
// requests above are refused for who makes them and not for what they are.
func TestEveryRouteServes(t *testing.T) {
	w := newWorld(t)
	for _, r := range w.server.Routes() {
		if goesOn(r) || forBrowsers(r) {
			continue
		}
		t.Run(r.Method+" "+r.Pattern, func(t *testing.T) {
			v := newVictim(t, w, "canary")
			token := v.entitled(t, r)
			target, body, headers := anyRequest(t, r, v)
			switch r.Method + " " + r.Pattern {
			case "POST " + api.RouteTenants:
				body = strings.Replace(body, "stolen", v.name+"-child", 1)
			case "DELETE " + api.RouteEnvironment:
				target = v.path(r.Pattern, "edge")
			case "POST " + api.RouteSecretDestroy:
				v.call(t, "POST", v.path(api.RouteSecretRevoke, "base", "canary"), `{"version":1}`).want(t, 200)
			case "POST " + api.RouteSecretUndo:
				v.call(t, "DELETE", v.path(api.RouteSecret, "base", "canary"), nil).want(t, 200)
			case "POST " + api.RouteKeysRetire:
				v.rewrapped(t)
			case "POST " + api.RouteMasterRotate:
				if err := seal.AddFileKey(w.keyFile); err != nil {
					t.Fatal(err)
				}
			case "DELETE " + api.RouteServerToken, "POST " + api.RouteServerRotate:
				var issued api.IssuedToken
				w.call(t, w.root, "POST", api.RouteServerTokens, api.NewToken{Name: "x"}).want(t, 201).into(t, &issued)
				target = api.Build(r.Pattern, issued.ID)
			case "DELETE " + api.RouteAuditHold, "DELETE " + api.RouteServerHold:
				w.call(t, token, http.MethodPut, target, `{"reason":"a case"}`).want(t, 200)
			}
			got := w.call(t, token, r.Method, target, body, headers...)
			if got.status != 200 && got.status != 201 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// rewrapped rotates the tenant's key, and waits until the old one is not needed.
func (n *tenant) rewrapped(t *testing.T) {
	t.Helper()
	n.call(t, "POST", n.path(api.RouteKeysRotate), nil).want(t, 200)
	n.rewrap(t)
}

// rewrap does what the server does by and by after a key was rotated.
func (n *tenant) rewrap(t *testing.T) {
	t.Helper()
	n.clock.advance(3 * time.Minute) // writes under way may use the old key so long
	for more := true; more; {
		var err error
		if more, err = n.service.RewrapKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
