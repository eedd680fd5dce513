package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// narrowed is a token of the tenant's administrator that is good for these
// actions alone.
func (n *tenant) narrowed(t testing.TB, actions ...access.Action) string {
	t.Helper()
	var issued api.IssuedToken
	rights := api.TokenRights{Roles: []string{access.RoleAdmin}}
	for _, action := range actions {
		rights.Actions = append(rights.Actions, string(action))
	}
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "narrowed", TokenRights: rights}).want(t, 201).into(t, &issued)
	return issued.Value
}

// ledger reads the denials that are put on record.
type ledger struct {
	*world
	chains []config.TenantID
	seen   map[config.TenantID]uint64
}

func (v *victim) ledger(t testing.TB) *ledger {
	t.Helper()
	var tenant api.Tenant
	v.call(t, "GET", v.path(api.RouteTenant), nil).want(t, 200).into(t, &tenant)
	id, err := config.ParseTenantID(tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{v.world, []config.TenantID{id, {}}, map[config.TenantID]uint64{}}
}

// denials are the actions that were denied to a request, in order.
func (l *ledger) denials(t testing.TB, requestID string) (denied []access.Action) {
	t.Helper()
	for _, chain := range l.chains {
		for {
			links, err := l.data.Audit(t.Context(), chain, l.seen[chain], 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range links {
				l.seen[chain] = link.Sequence
				var record struct {
					Event, Action string
					RequestID     string `json:"request_id"`
				}
				if err := json.Unmarshal(link.Record, &record); err != nil {
					t.Fatal(err)
				}
				if record.Event == "authorization.denied" && record.RequestID == requestID {
					denied = append(denied, access.Action(record.Action))
				}
			}
			if len(links) < 1000 {
				break
			}
		}
	}
	return denied
}

// The first thing that each route asks for is what the table says: whoever may
// do something else alone is denied just that, and nothing else is looked at.
func TestFirstActionIsTheTables(t *testing.T) {
	w := newWorld(t)
	v := newVictim(t, w, "canary")
	records := v.ledger(t)
	tokens := map[access.Action]string{}
	for _, allowed := range []access.Action{access.TagRead, access.AuditRead} {
		tokens[allowed] = v.narrowed(t, allowed)
	}
	before := v.state(t)
	for i, r := range w.server.Routes() {
		if r.Public || r.Action == "authenticated" {
			continue
		}
		allowed := access.TagRead
		if slices.Contains(actionsOf(r), allowed) {
			allowed = access.AuditRead
		}
		target, body, headers := anyRequest(t, r, v)
		id := fmt.Sprintf("first-%d", i)
		refusedAs(t, r.Method+" "+r.Pattern, w.call(t, tokens[allowed], r.Method, target, body, append(headers, api.HeaderRequestID, id)...), []api.Code{api.CodeForbidden})
		if denied := records.denials(t, id); len(denied) != 1 || denied[0] != actionsOf(r)[0] {
			t.Errorf("%s %s was denied %v; the table has %s", r.Method, r.Pattern, denied, r.Action)
		}
	}
	if after := v.state(t); after != before {
		t.Error("something changed")
	}
}

// further are requests for which a route asks for more than its first action.
var further = []struct {
	route  string
	action access.Action
	query  string
	body   string
}{
	{"GET " + api.RouteConfig, access.SecretRead, "?reveal=true", ""},
	{"GET " + api.RouteBundle, access.SecretRead, "?reveal=true", ""},
	{"GET " + api.RouteSecret, access.SecretRead, "?reveal=true", ""},
	{"PUT " + api.RouteLayer, access.SecretRefer, "", `{"x":"${secret:canary}"}`},
	{"PATCH " + api.RouteLayer, access.SecretRefer, "", `{"x":"${secret:canary}"}`},
	{"POST " + api.RouteChanges, access.SecretRefer, "", `{"edits":[{"op":"put","environment":"base","path":"canary","document":{"x":"${secret:canary}"}}]}`},
	{"POST " + api.RouteRollback, access.SecretRefer, "", `{"environment":"base","to":"REFERS"}`},
	{"POST " + api.RouteRevert, access.SecretRefer, "", `{"revision":NOMORE}`},
	{"POST " + api.RoutePromote, access.ConfigRead, "", `{"from":"base","to":"staging","all":true}`},
	{"POST " + api.RoutePromote, access.SecretRefer, "", `{"from":"development","to":"staging","all":true}`},
	{"PUT " + api.RouteEnvironment, access.ConfigRead, "", `{"parent":"development"}`},
	{"PUT " + api.RouteEnvironment, access.SecretRefer, "", `{"parent":"development"}`},
	{"PUT " + api.RouteSecret, access.SecretActivate, "", `{"generate":{"kind":"hex"}}`},
	{"PATCH " + api.RouteSecret, access.SecretActivate, "", `{"rotation":{"generator":{"kind":"hex"},"every_seconds":86400}}`},
	{"POST " + api.RouteSecretRotate, access.SecretWrite, "", `{"generate":{"kind":"hex"}}`},
}

// Whatever else the table has for a route is asked for where a request needs it.
func TestFurtherActionsAreTheTables(t *testing.T) {
	w := newWorld(t)
	v := newVictim(t, w, "canary")
	refers := v.put(t, "base", "canary", `{"x":"${secret:canary#value}"}`)
	noMore := v.put(t, "base", "canary", `{"x":1}`)
	v.put(t, "development", "refers", `{"x":"${secret:canary#value}"}`)
	v.put(t, "base", "refers", `{"x":"${secret:canary#value}"}`)
	v.put(t, "development", "new", `{"x":"${secret:canary#value}"}`)
	records, routes := v.ledger(t), map[string]httpapi.Route{}
	for _, r := range w.server.Routes() {
		routes[r.Method+" "+r.Pattern] = r
	}
	tested := map[string]bool{}
	for i, f := range further {
		r, what := routes[f.route], f.route+" "+string(f.action)
		tested[what] = true
		actions := actionsOf(r)
		if !slices.Contains(actions[1:], f.action) {
			t.Errorf("%s is not in the table, which has %s", what, r.Action)
		}
		target, _, headers := anyRequest(t, r, v)
		if r.Method == http.MethodGet && r.Pattern == api.RouteConfig {
			target = strings.Replace(target, "/canary", "/refers", 1)
		}
		body := strings.NewReplacer("REFERS", fmt.Sprint(refers), "NOMORE", fmt.Sprint(noMore)).Replace(f.body)
		others := slices.DeleteFunc(slices.Clone(actions), func(a access.Action) bool { return a == f.action })
		id := fmt.Sprintf("further-%d", i)
		got := w.call(t, v.narrowed(t, others...), r.Method, strings.Split(target, "?")[0]+f.query, body, append(headers, api.HeaderRequestID, id)...)
		if denied := records.denials(t, id); !slices.Contains(denied, f.action) {
			t.Errorf("%s was answered %d, and %v was denied: %.300s", what, got.status, denied, got.body)
		}
	}
	for name, r := range routes {
		for _, action := range actionsOf(r)[1:] {
			if what := name + " " + string(action); !tested[what] && !needsWebhook[what] {
				t.Errorf("there is no request for which %s is asked for", what)
			}
		}
	}
}

// needsWebhook are actions that are asked for where a rotation calls a webhook,
// which the servers of these tests do not. The service's own tests have them.
var needsWebhook = map[string]bool{
	"PUT " + api.RouteSecret + " secret.refer": true, "PATCH " + api.RouteSecret + " secret.refer": true,
}
