package httpapi_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// party is one of two tenants that do the same things with other values.
type party struct {
	*tenant
	canary  string // in everything that it writes
	random  *rand.Rand
	values  int
	cursors []string
	tokens  []string        // ids
	grants  []string        // ids
	written int64           // the revision of the newest write of a layer
	served  map[string]bool // routes that answered with success
	watches []*stream
}

// value is a new text with the canary in it.
func (p *party) value() string {
	p.values++
	return fmt.Sprintf("%s-%d", p.canary, p.values)
}

func (p *party) pick(from ...string) string { return from[p.random.IntN(len(from))] }

func (p *party) environment() string {
	return p.pick("base", "development", "staging", "production", "edge", "extra", "nowhere")
}

func (p *party) documentPath() string {
	return p.pick("a", "a/b", "a/c", "gateway/models", "gateway/"+p.canary)
}

func (p *party) at() string {
	return p.pick("", "1", fmt.Sprint(1+p.random.IntN(40)), "v1", "v2", "tag-1", "2020-01-01T00:00:00Z", p.canary)
}

func (p *party) document() string {
	return p.pick(
		fmt.Sprintf(`{"k":%q}`, p.value()), fmt.Sprintf(`{"k":%q,"key":"${secret:a}"}`, p.value()), fmt.Sprintf(`{"k":%q,"ref":"${config:a#/k}"}`, p.value()),
		fmt.Sprintf(`{%q:{"n":null,"list":[%q]}}`, p.canary, p.value()), fmt.Sprintf(`{"k":%q,}`, p.value()),
		fmt.Sprintf(`{"k":"${config:%s}"}`, p.canary),
	)
}

// request is a random request for a route of a tenant.
func (p *party) request(r httpapi.Route, of string) (target, body string, headers []string) {
	target = r.Pattern
	if r.Pattern == api.RouteGrant {
		target = strings.Replace(target, "{id}", p.pick(p.grants...), 1)
	}
	if r.Pattern == api.RouteEnvironment && (r.Method == http.MethodDelete || p.random.IntN(2) == 0) { // others are watched
		target = strings.Replace(target, "{environment}", "spare", 1)
	}
	token := "none"
	if len(p.tokens) > 0 {
		token = p.pick(p.tokens...)
	}
	for wildcard, value := range map[string]string{
		"{tenant}": of, "{environment}": p.environment(), "{path...}": p.documentPath(), "{tag}": p.pick("tag-1", "tag-2", p.canary),
		"{revision}": fmt.Sprint(1 + p.random.IntN(40)), "{id}": token, "{policy}": p.pick("one", "two", p.canary), "{role}": p.pick("one", "two", p.canary),
		"{framework}": p.pick("soc2", "gdpr", "hipaa"),
	} {
		target = strings.ReplaceAll(target, wildcard, value)
	}
	headers = []string{api.HeaderMessage, p.value(), api.HeaderRequestID, "of-" + p.canary, "User-Agent", p.canary, "If-None-Match", p.pick("", "", `"v1"`)}
	switch r.Method + " " + r.Pattern {
	case "GET " + api.RouteConfig:
		target += p.pick("", "?explain=true", "?reveal=true", "?format=yaml", "?format=toml", "?at="+p.at(), "?min_revision=3", "?min_revision=100000")
	case "GET " + api.RouteLayer:
		target += p.pick("", "?format=yaml", "?at="+p.at())
	case "GET " + api.RoutePolicyDiff:
		target += p.pick("", "?from=0", "?from=1&to=2", "?to=1")
	case "DELETE " + api.RoutePolicy, "DELETE " + api.RouteRole:
		target += p.pick("", "?if_version=1", "?message="+p.value())
	case "GET " + api.RouteConfigs, "GET " + api.RouteTags, "GET " + api.RouteTokens, "GET " + api.RouteChanges, "GET " + api.RouteHistory,
		"GET " + api.RoutePolicyHistory, "GET " + api.RouteRoleHistory:
		target += p.pick("", "?limit=1", "?limit=1&cursor="+p.cursor())
	case "GET " + api.RouteDiff:
		target += p.pick("", "?from=1", "?from="+p.at()+"&to="+p.at(), "?from=base@&to=production@", "?layer=true&from=v1")
	case "GET " + api.RouteBundle:
		target += p.pick("", "?prefix=a", "?at="+p.at(), "?reveal=true")
	case "POST " + api.RouteDestroy:
		target += p.pick("?version=1", "?version=2", "")
	case "GET " + api.RouteSecret:
		query := p.pick("", "?reveal=true", "?reveal=true&field=value", "?reveal=true&version=2", "?deleted=true", "?format=yaml", "?reveal=true&format=toml")
		return target + query, "", append(headers, "If-None-Match", "")
	case "GET " + api.RouteSecrets:
		target += p.pick("", "?own=true", "?deleted=true", "?label=team", "?label=team="+p.canary, "?limit=1", "?limit=1&cursor="+p.cursor())
	case "GET " + api.RouteAuditCounts:
		target += p.pick("?by=event", "?by=actor&by=outcome&window=1h")
	case "GET " + api.RouteAudit:
		target += p.pick("", "?event=config.*", "?outcome=denied&limit=1", "?resource=environments/"+p.environment(), "?limit=1&cursor="+p.cursor())
	case "GET " + api.RouteAuditExport:
		target += p.pick("", "?format=cloudevents", "?after=3", "?actor=nobody")
	case "GET " + api.RouteSecretDiff:
		target += p.pick("?from=1", "?from=1&to=2", "?from=base@&to=production@")
	case "DELETE " + api.RouteSecret:
		target += p.pick("", "?force=true")
	case "PUT " + api.RouteSecret:
		headers = append(headers, "If-None-Match", "", api.HeaderIdempotent, p.pick("", "", "key-3", "key-4"))
		return target, p.body(r), headers
	case "PUT " + api.RouteLayer:
		headers = append(headers, "If-None-Match", p.pick("", "*"), api.HeaderIdempotent, p.pick("", "key-1", "key-2"))
		return target + p.pick("", "", "?dry_run=true"), p.document(), headers
	case "PATCH " + api.RouteLayer:
		return target, fmt.Sprintf(`{"patched":%q}`, p.value()), append(headers, "If-None-Match", "", "Content-Type", api.TypeMergePatch)
	}
	return target, p.body(r), append(headers, "If-None-Match", "")
}

// body is a random body for the routes that take a request.
func (p *party) body(r httpapi.Route) string {
	message, dry := p.value(), p.pick("true", "false", "false")
	switch r.Method + " " + r.Pattern {
	case "POST " + api.RouteChanges:
		return fmt.Sprintf(`{"message":%q,"dry_run":%s,"edits":[{"op":"put","environment":%q,"path":%q,"document":%s}]}`,
			message, dry, p.environment(), p.documentPath(), p.document())
	case "POST " + api.RouteRollback:
		return fmt.Sprintf(`{"environment":%q,"to":"%d","message":%q,"dry_run":%s}`, p.environment(), 1+p.random.IntN(20), message, dry)
	case "POST " + api.RouteRevert:
		return fmt.Sprintf(`{"revision":%s,"message":%q,"force":%s,"dry_run":%s}`, p.pick(fmt.Sprint(1+p.random.IntN(40)), fmt.Sprint(max(p.written, 1))), message, p.pick("true", "false"), dry)
	case "POST " + api.RoutePromote:
		return fmt.Sprintf(`{"from":%q,"to":%q,"all":true,"message":%q,"dry_run":%s}`, p.environment(), p.environment(), message, dry)
	case "PUT " + api.RouteTag:
		return fmt.Sprintf(`{"message":%q}`, message)
	case "PUT " + api.RouteEnvironment:
		return fmt.Sprintf(`{"parent":%q,"message":%q}`, p.pick("base", "base", "staging", p.canary), message)
	case "POST " + api.RouteTokens:
		return fmt.Sprintf(`{"name":%q}`, message)
	}
	if body := p.bodyOfRule(r); body != "" {
		return body
	}
	return p.bodyOfSecret(r)
}

// bodyOfRule is a random body for the routes of policies and roles.
func (p *party) bodyOfRule(r httpapi.Route) string {
	text := fmt.Sprintf("// %s\n@id(%q)\npermit (principal in Role::\"application\", action == Action::\"tag.read\", resource);", p.value(), p.canary)
	switch r.Method + " " + r.Pattern {
	case "PUT " + api.RoutePolicy:
		return fmt.Sprintf(`{"text":%q,"message":%q,"dry_run":%s}`, text, p.value(), p.pick("true", "false", "false"))
	case "POST " + api.RoutePolicyUndo:
		return fmt.Sprintf(`{"to":%d,"message":%q}`, 1+p.random.IntN(3), p.value())
	case "POST " + api.RoutePolicyTest:
		return p.pick("{}", `{"all":true}`, fmt.Sprintf(`{"name":"one","text":%q}`, text+"\n//test allow role:application tag.read tenant"))
	case "POST " + api.RoutePolicyTry:
		return p.pick(`{"name":"one"}`, fmt.Sprintf(`{"name":%q,"text":%q}`, p.canary, text))
	case "PUT " + api.RouteRole:
		return fmt.Sprintf(`{"description":%q,"includes":[%q],"message":%q}`, p.value(), p.pick("viewer", "application", p.canary), p.value())
	case "POST " + api.RouteExplain:
		return fmt.Sprintf(`{"action":"secret.read","environment":%q,"path":%q,"secret":true%s}`,
			p.environment(), p.documentPath(), p.pick("", `,"roles":["one"]`, `,"token":"`+p.pick(append(p.tokens, "none")...)+`"`))
	}
	return ""
}

// bodyOfSecret is a random body for the routes of secrets and keys.
func (p *party) bodyOfSecret(r httpapi.Route) string {
	message, version := p.value(), 1+p.random.IntN(4)
	switch r.Method + " " + r.Pattern {
	case "PUT " + api.RouteSecret:
		return fmt.Sprintf(`{"fields":{"value":%q,"more":{%q:[1]}},"allow_weak":%q,"labels":{"team":%q},"stage":%s}`,
			message, p.canary, message, p.canary, p.pick("true", "false", "false"))
	case "PATCH " + api.RouteSecret:
		return fmt.Sprintf(`{"description":%q,"owner":%q}`, message, p.canary)
	case "POST " + api.RouteSecretRotate:
		return fmt.Sprintf(`{"generate":{"kind":"uuid"},"message":%q}`, message)
	case "POST " + api.RouteSecretActive, "POST " + api.RouteSecretRevoke:
		return p.pick("{}", fmt.Sprintf(`{"version":%d,"message":%q}`, version, message))
	case "POST " + api.RouteSecretUndo:
		return fmt.Sprintf(`{"message":%q}`, message)
	case "POST " + api.RouteSecretDestroy:
		return p.pick(fmt.Sprintf(`{"versions":[%d]}`, version), `{"all":true}`)
	case "POST " + api.RouteAcks:
		return fmt.Sprintf(`{"client":%q,"revision":1%s}`, p.canary, p.pick("", `,"secrets":{"a":1}`, `,"secrets":{"a":2}`))
	case "POST " + api.RouteKeysRetire:
		return fmt.Sprintf(`{"version":%d,"message":%q}`, version, message)
	case "POST " + api.RouteKeysRotate:
		return fmt.Sprintf(`{"message":%q}`, message)
	}
	return ""
}

// cursor is one that was handed out, mostly of another list.
func (p *party) cursor() string {
	if len(p.cursors) == 0 {
		return "none"
	}
	return p.pick(p.cursors...)
}

// learn takes from an answer what later requests may use.
func (p *party) learn(r httpapi.Route, got *answer, t *testing.T) {
	if got.status >= 400 {
		return
	}
	p.served[r.Method+" "+r.Pattern] = true
	if r.Pattern == api.RouteKeysRotate {
		p.rewrap(t)
	}
	if r.Method == http.MethodPut && r.Pattern == api.RouteLayer {
		var result api.ChangeResult
		got.into(t, &result)
		p.written = result.Revision
	}
	if r.Method == http.MethodPost && r.Pattern == api.RouteTokens {
		var issued api.IssuedToken
		got.into(t, &issued)
		p.tokens = append(p.tokens, issued.ID)
	}
	if r.Method == http.MethodGet && got.header.Get("Content-Type") == api.TypeJSON && bytes.Contains(got.body, []byte(`"next_cursor":"`)) {
		var page struct {
			Next string `json:"next_cursor"`
		}
		got.into(t, &page)
		p.cursors = append(p.cursors, page.Next)
	}
}

// Two tenants do random things on every route, at the same paths, and against
// each other. Neither ever gets to see anything of the other's.
func TestTwoTenants(t *testing.T) {
	w := newWorld(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	parties := [2]*party{}
	for i := range parties {
		p := &party{tenant: w.newTenant(t), canary: fmt.Sprintf("canary%016x", random.Uint64()), random: random, served: map[string]bool{}}
		for _, environment := range []string{"base", "production"} {
			p.watches = append(p.watches, p.watch(t, environment, "?include=data", "Last-Event-ID", "1"))
		}
		for range 8 {
			p.grants = append(p.grants, p.askAccess(t, w.serverAdmin(t)))
		}
		parties[i] = p
	}
	routes := slices.DeleteFunc(slices.Clone(w.server.Routes()), func(r httpapi.Route) bool {
		return ofTheServer(r) || goesOn(r) || r.Pattern == api.RouteTenant || in(access.Serve, r) && !in(access.View, r) && !in(access.Administer, r)
	})
	const atLeast, atMost = 600, 20_000
	for step := 0; step < atLeast || step < atMost && len(parties[0].served)+len(parties[1].served) < 2*len(routes); step++ {
		actor, other := parties[step%2], parties[1-step%2]
		r := routes[random.IntN(len(routes))]
		of := actor.name
		if random.IntN(5) == 0 {
			of = other.name
		}
		target, body, headers := actor.request(r, of)
		got := actor.call(t, r.Method, target, body, headers...)
		if shown := fmt.Sprint(got.header) + string(got.body); strings.Contains(shown, other.canary) || got.status >= 500 || of != actor.name && got.status < 400 {
			t.Fatalf("%s for %s got %d: %s\n%v", r.Method, target, got.status, shown, w.log.errors(t))
		}
		if of == actor.name {
			actor.learn(r, got, t)
		}
	}
	for i, p := range parties {
		for _, r := range routes {
			if !p.served[r.Method+" "+r.Pattern] {
				t.Errorf("%s %s never served anything: the test does not say much", r.Method, r.Pattern)
			}
		}
		p.watchedOnly(t, parties[1-i].canary)
	}
	if state := parties[0].state(t); !strings.Contains(state, parties[0].canary) || strings.Contains(state, parties[1].canary) {
		t.Errorf("%s", state)
	}
}

// watchedOnly reads what a party's watches were told of.
func (p *party) watchedOnly(t *testing.T, foreign string) {
	t.Helper()
	p.write(t, p.path(api.RouteChanges), `{"edits":[{"op":"put","environment":"base","path":"the/end","document":{}},{"op":"put","environment":"production","path":"the/end","document":{"x":1}}]}`)
	for _, s := range p.watches {
		for own := false; ; {
			e := s.next(t)
			if strings.Contains(e.data, foreign) {
				t.Fatalf("%+v", e)
			}
			own = own || strings.Contains(e.data, p.canary)
			if strings.Contains(e.data, "the/end") {
				if !own {
					t.Error("a watch showed nothing of the tenant's own")
				}
				break
			}
		}
	}
}
