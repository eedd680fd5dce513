package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

func (n *tenant) explain(t testing.TB, in api.ExplainDecision) (out api.ExplainedDecision) {
	t.Helper()
	n.call(t, "POST", n.path(api.RouteExplain), in).want(t, 200).into(t, &out)
	return out
}

func TestExplainedDecisions(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.putPolicy(t, "night", `@id("no-nights")
forbid (principal, action == Action::"secret.read", resource in Folder::"production/providers")
when { context has source && context.source.isInRange(ip("10.0.0.0/8")) };`)
	allowed := n.explain(t, api.ExplainDecision{Action: "secret.read", Environment: "production", Path: "providers/openai", Secret: true})
	if allowed.Decision != "allow" || allowed.Resource != `Secret::"production/providers/openai"` || !strings.HasPrefix(allowed.Principal, `Token::"`) || allowed.Action != "secret.read" {
		t.Errorf("%+v", allowed)
	}
	if diff := cmp.Diff([]string{"admin"}, allowed.Roles); diff != "" || len(allowed.Deciding) == 0 || allowed.Deciding[0].File != "" || !strings.Contains(allowed.Deciding[0].Text, `Role::"admin"`) {
		t.Errorf("%+v", allowed)
	}
	denied := n.explain(t, api.ExplainDecision{Action: "secret.read", Environment: "production", Path: "providers/openai", Secret: true, Source: "10.1.2.3"})
	if denied.Decision != "deny" || len(denied.Deciding) != 1 || denied.Deciding[0].File != "night" || denied.Deciding[0].Policy != "no-nights" || denied.Deciding[0].Effect != "forbid" ||
		denied.Deciding[0].Line == 0 || !strings.Contains(denied.Deciding[0].Text, "isInRange") || len(denied.Reasons) == 0 {
		t.Errorf("%+v", denied)
	}
	viewer := n.explain(t, api.ExplainDecision{Action: "config.write", Environment: "base", Path: "a", Roles: []string{"viewer"}})
	if viewer.Decision != "deny" || len(viewer.Needed) == 0 || len(viewer.Needed[0].Lacking) == 0 || viewer.Needed[0].Text == "" || viewer.Deciding == nil {
		t.Errorf("%+v", viewer)
	}
	for _, test := range []struct {
		in   api.ExplainDecision
		want string
	}{
		{api.ExplainDecision{Action: "config.read", Environment: "base", Path: "gateway/eu-1"}, `Document::"base/gateway/eu-1"`},
		{api.ExplainDecision{Action: "config.read", Environment: "base", Prefix: "gateway"}, `Folder::"base/gateway"`},
		{api.ExplainDecision{Action: "config.read", Environment: "base"}, `Environment::"base"`},
		{api.ExplainDecision{Action: "tag.read"}, fmt.Sprintf("Tenant::%q", n.name)},
	} {
		if got := n.explain(t, test.in); got.Resource != test.want || got.Decision != "allow" {
			t.Errorf("%+v, want %s", got, test.want)
		}
	}
	who := n.explain(t, api.ExplainDecision{Action: "config.read", Environment: "base", Path: "a", Principal: "identity:ci:repo:acme/x", Roles: []string{"viewer"}})
	if who.Principal != `Identity::"ci:repo:acme/x"` || who.Decision != "allow" {
		t.Errorf("%+v", who)
	}
	who = n.explain(t, api.ExplainDecision{Action: "config.read", Environment: "base", Path: "a", Principal: "workload:spiffe://td/x"})
	if who.Principal != `Workload::"spiffe://td/x"` || who.Decision != "deny" || who.Roles == nil {
		t.Errorf("%+v", who)
	}
}

// Of a narrowed token it is said first that it is narrowed.
func TestExplainedNarrowing(t *testing.T) {
	n := newWorld(t).newTenant(t)
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "narrowed", TokenRights: api.TokenRights{Roles: []string{"admin"}, Environments: []string{"staging"}}}).want(t, 201).into(t, &issued)
	got := n.explain(t, api.ExplainDecision{Action: "config.read", Environment: "production", Path: "a", Token: issued.ID})
	if got.Decision != "deny" || !strings.Contains(got.Reasons[0], "staging") || slices.Contains(got.Reasons[1:], got.Reasons[0]) || got.Principal != fmt.Sprintf("Token::%q", issued.ID) {
		t.Errorf("%+v", got)
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for body, pointer := range map[string]string{
		`{"action":"config.fly"}`:                                                   "/action",
		`{"action":"config.read","path":"a"}`:                                       "/environment",
		`{"action":"config.read","prefix":"a"}`:                                     "/environment",
		`{"action":"config.read","environment":"base","path":"a//b"}`:               "/path",
		`{"action":"config.read","environment":"base","prefix":"../b"}`:             "/prefix",
		`{"action":"config.read","environment":"base","prefix":"a","path":"b"}`:     "/prefix",
		`{"action":"config.read","environment":"base","source":"10.0.0"}`:           "/source",
		`{"action":"config.read","environment":"base","source":"fe80::1%eth0"}`:     "/source",
		`{"action":"config.read","environment":"base","source":"10.0.0.0/8"}`:       "/source",
		`{"action":"config.read","environment":"base","principal":"somebody"}`:      "/principal",
		`{"action":"config.read","environment":"base","token":"x","roles":["a"]}`:   "/token",
		`{"action":"config.read","roles":["a"],"certificate":"CN=x"}`:               "/certificate",
		`{"action":"config.read","environment":"base","claims":{"repository":[]}}`:  "/principal",
		`{"action":"config.read","environment":"base","time":"yesterday"}`:          "/time",
		`{"action":"config.read","environment":"base","claims":{"repository":"x"}}`: "/claims/repository",
	} {
		code := api.CodeBadRequest
		if strings.Contains(body, "//") || strings.Contains(body, "..") {
			code = api.CodeInvalidPath
		}
		if p := n.call(t, "POST", n.path(api.RouteExplain), body).refused(t, code); p.Pointer != pointer {
			t.Errorf("%s: %+v", body, p)
		}
	}
	n.call(t, "POST", n.path(api.RouteExplain), `{"action":"config.read","token":"none"}`).refused(t, api.CodeNotFound)
	n.world.call(t, n.as(t, access.RoleViewer), "POST", n.path(api.RouteExplain), `{"action":"config.read"}`).refused(t, api.CodeForbidden)
}

// A tenant sees its limits, and who manages the server sets them.
func TestQuotas(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	n.setSecret(t, "base", "s", strong)
	n.watch(t, "base", "").next(t)
	var q api.Quota
	n.call(t, "GET", n.path(api.RouteQuota), nil).want(t, 200).into(t, &q)
	if q.Version != 0 || q.Limits != (api.QuotaLimits{}) || q.Used.Documents != 1 || q.Used.Secrets != 1 || q.Used.Bytes == 0 || q.Used.Watchers != 1 || q.Used.Connections != 1 {
		t.Errorf("%+v", q)
	}
	put := api.PutQuota{Limits: api.QuotaLimits{Documents: new(int64(1)), Bytes: new(int64(0))}, Message: "enough", IfVersion: new(int64(0))}
	n.call(t, "PUT", n.path(api.RouteQuota), put).refused(t, api.CodeForbidden)
	w.call(t, w.root, "PUT", n.path(api.RouteQuota), put, api.HeaderIdempotent, "quota").want(t, 200).into(t, &q)
	if q.Version != 1 || *q.Limits.Documents != 1 || *q.Limits.Bytes != 0 || q.Limits.Secrets != nil || q.Used.Documents != 1 {
		t.Errorf("%+v", q)
	}
	w.call(t, w.root, "PUT", n.path(api.RouteQuota), put, api.HeaderIdempotent, "quota").want(t, 200).wantHeaders(t, api.HeaderReplayed, "true")
	w.call(t, w.root, "PUT", n.path(api.RouteQuota), put).refused(t, api.CodePreconditionFailed)
	if p := n.call(t, "PUT", n.path(api.RouteLayer, "base", "b"), `{}`).refused(t, api.CodeQuotaExceeded); p.Limit != 1 {
		t.Errorf("%+v", p)
	}
	w.call(t, w.root, "PUT", n.path(api.RouteQuota), `{"limits":{"documents":-1}}`).refused(t, api.CodeBadRequest)
	w.call(t, w.root, "PUT", n.path(api.RouteQuota), `{"limits":{}}`).want(t, 200)
	n.put(t, "base", "b", `{}`)
	w.call(t, w.root, "GET", n.path(api.RouteQuota), nil).want(t, 200)
}

// Who has access by break-glass has it after another approved, until it is over
// or the tenant ends it.
func TestBreakGlass(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	asker, sibling, other := w.serverAdmin(t), w.serverAdmin(t), w.otherOrigin(t)
	read := func(token string, status int) {
		t.Helper()
		w.call(t, token, "GET", n.path(api.RouteConfig, "base", "a"), nil).want(t, status)
	}
	read(asker, 403)
	var asked, done api.GrantResult
	w.call(t, asker, "POST", n.path(api.RouteGrants), api.RequestGrant{Reason: "a fault", Seconds: 600}, api.HeaderIdempotent, "ask").want(t, 201).into(t, &asked)
	if g := asked.Grant; asked.Status != "committed" || asked.Revision == 0 || g.State != "requested" || g.Role != "viewer" || g.Seconds != 600 || g.Reason != "a fault" || g.Approved != nil || g.Requester == "" || g.Expires == nil {
		t.Errorf("%+v", asked)
	}
	w.call(t, asker, "POST", n.path(api.RouteGrants), api.RequestGrant{Reason: "a fault", Seconds: 600}, api.HeaderIdempotent, "ask").want(t, 201).wantHeaders(t, api.HeaderReplayed, "true")
	read(asker, 403)
	approve := n.path(api.RouteGrantApprove, asked.Grant.ID)
	w.call(t, asker, "POST", approve, nil).refused(t, api.CodeForbidden)
	w.call(t, w.root, "POST", approve, nil).refused(t, api.CodeForbidden)  // who gave the asker the token
	w.call(t, sibling, "POST", approve, nil).refused(t, api.CodeForbidden) // who has one from the same hands
	n.call(t, "POST", approve, nil).refused(t, api.CodeForbidden)
	w.call(t, other, "POST", approve, nil).want(t, 200).into(t, &done)
	if g := done.Grant; g.State != "active" || g.Approver == "" || g.Approved == nil || g.Expires.Sub(*g.Approved) != 10*time.Minute {
		t.Errorf("%+v", done)
	}
	read(asker, 200)
	read(other, 403)
	w.call(t, asker, "PUT", n.path(api.RouteLayer, "base", "a"), `{}`).refused(t, api.CodeForbidden)
	var list api.GrantList
	n.call(t, "GET", n.path(api.RouteGrants), nil).want(t, 200).into(t, &list)
	if len(list.Grants) != 1 || list.Grants[0].ID != asked.Grant.ID {
		t.Errorf("%+v", list)
	}
	n.call(t, "DELETE", n.path(api.RouteGrant, asked.Grant.ID)+"?message=that%20is%20enough", nil).want(t, 200).into(t, &done)
	if g := done.Grant; g.State != "ended" || g.EndedBy == "" || g.Ended == nil {
		t.Errorf("%+v", done)
	}
	read(asker, 403)
	n.call(t, "DELETE", n.path(api.RouteGrant, asked.Grant.ID), nil).refused(t, api.CodeGone)
	var log api.LogList
	n.call(t, "GET", n.path(api.RouteChanges)+"?limit=1", nil).want(t, 200).into(t, &log)
	if len(log.Changes) != 1 || log.Changes[0].Message != "that is enough" {
		t.Errorf("%+v", log)
	}
	stranger := w.newTenant(t)
	for _, method := range []string{"GET", "POST", "DELETE"} {
		target, body := stranger.path(api.RouteGrants), any(`{"reason":"x"}`)
		if method == "DELETE" {
			target, body = stranger.path(api.RouteGrant, asked.Grant.ID), nil
			stranger.call(t, method, target, body).refused(t, api.CodeNotFound) // another tenant's grant is none here
			continue
		}
		n.call(t, method, target, body).refused(t, api.CodeNotFound)
	}
	for _, body := range []string{`{"reason":""}`, `{"reason":"x","role":"admin"}`, `{"reason":"x","seconds":59}`, `{"reason":"x","seconds":14401}`} {
		w.call(t, asker, "POST", n.path(api.RouteGrants), body).refused(t, api.CodeBadRequest)
	}
}

// What is told of a route on the page for people says what it needs.
func TestDocumentationSaysWhatIsNeeded(t *testing.T) {
	w := newWorld(t)
	page := string(w.call(t, "", "GET", api.RouteDocumentation, nil).want(t, 200).body)
	d := readDescription(t, w)
	for _, r := range w.server.Routes() {
		if r.Public {
			continue
		}
		if !strings.Contains(page, "<code>"+strings.ReplaceAll(r.Action, "+", "&#43;")+"</code>") {
			t.Errorf("%s is not on the page", r.Action)
		}
		op := d.Paths[wildcard.ReplaceAllString(r.Pattern, "{$1}")][strings.ToLower(r.Method)]
		if want := neededBy(r); !slices.Equal(op.Actions, want) {
			t.Errorf("%s %s is described as needing %v, want %v", r.Method, r.Pattern, op.Actions, want)
		}
	}
}

func neededBy(r httpapi.Route) (all []string) {
	if r.Action == "authenticated" {
		return nil
	}
	return strings.Split(r.Action, "+")
}

// otherOrigin is a server admin whose token has nothing to do with the root's.
func (w *world) otherOrigin(t testing.TB) string {
	t.Helper()
	token, err := w.service.DevelopmentToken(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenID is the part of a token that names it.
func tokenID(token string) string { return strings.Split(token, "_")[1] }
