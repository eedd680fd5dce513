package client

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

// sent is a request as it arrived.
type sent struct {
	line   string // method and escaped URI
	header http.Header
	body   string
}

// recording is a client of a server that keeps the last request and answers
// with what the test sets.
type recording struct {
	*Client
	last   sent
	status int
	header http.Header
	answer string
}

func newRecording(t *testing.T, options ...Option) *recording {
	t.Helper()
	r := &recording{status: http.StatusOK, header: http.Header{"Content-Type": {api.TypeJSON}}, answer: "{}"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.last = sent{q.Method + " " + q.RequestURI, q.Header, string(body)}
		for name, values := range r.header {
			w.Header()[name] = values
		}
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, r.answer)
	}))
	t.Cleanup(server.Close)
	r.Client = must(New(server.URL, append([]Option{WithTenant("acme"), WithToken("secret")}, options...)...))
	return r
}

func TestVerbs(t *testing.T) {
	const env = "/api/v1/tenants/acme/environments/production"
	r := newRecording(t)
	r.header.Set(api.HeaderRevision, "12")
	ctx := t.Context()
	parent := "base"
	for _, test := range []struct {
		want string // method, URI and body
		call func() (any, error)
	}{
		{"GET " + env + "/configs/gateway/chat ", func() (any, error) { return r.Config(ctx, "production", "gateway/chat", Read{}) }},
		{"GET " + env + "/configs/a?at=v3&min_revision=7&reveal=true ", func() (any, error) {
			return r.Config(ctx, "production", "a", Read{At: "v3", MinRevision: 7, Reveal: true})
		}},
		{"GET " + env + "/configs/a?at=release&explain=true ", func() (any, error) { return r.Explain(ctx, "production", "a", Read{At: "release"}) }},
		{"GET " + env + "/configs?at=release&cursor=c&glob=%2A%2Fchat&limit=5&prefix=gateway ", func() (any, error) {
			return r.Configs(ctx, "production", List{Prefix: "gateway", Glob: "*/chat", At: "release", Page: Page{Limit: 5, Cursor: "c"}})
		}},
		{"GET " + env + "/bundle?at=7&min_revision=9&prefix=gateway ", func() (any, error) {
			return r.Bundle(ctx, "production", BundleQuery{Prefix: "gateway", At: "7", MinRevision: 9})
		}},
		{"GET " + env + "/diff/a/b?from=staging%4012&layer=true&to=13 ", func() (any, error) {
			return r.Diff(ctx, "production", "a/b", DiffQuery{From: "staging@12", To: "13", Layer: true})
		}},
		{"GET " + env + "/history/a/b?effective=true&limit=2 ", func() (any, error) {
			return r.History(ctx, "production", "a/b", HistoryQuery{Effective: true, Page: Page{Limit: 2}})
		}},
		{"GET " + env + "/layers/a/b?at=9 ", func() (any, error) { return r.Layer(ctx, "production", "a/b", Read{At: "9"}) }},
		{"PUT " + env + `/layers/a/b {"x":1}`, func() (any, error) { return r.PutLayer(ctx, "production", "a/b", []byte(`{"x":1}`), Write{}) }},
		{"PATCH " + env + `/layers/a/b {"x":2}`, func() (any, error) { return r.PatchLayer(ctx, "production", "a/b", []byte(`{"x":2}`), Write{}) }},
		{"DELETE " + env + "/layers/a/b?dry_run=true ", func() (any, error) { return r.DeleteLayer(ctx, "production", "a/b", Write{DryRun: true}) }},
		{"POST " + env + "/destroy/a/b?version=4 ", func() (any, error) { return r.Destroy(ctx, "production", "a/b", 4, "pasted key") }},
		{`POST /api/v1/tenants/acme/changes {"message":"why","edits":[{"op":"put","environment":"production","path":"a","document":{},"if_version":0}]}`, func() (any, error) {
			return r.PostChange(ctx, api.Change{Message: "why", Edits: []api.Edit{{Op: api.OpPut, Environment: "production", Path: "a", Document: json.RawMessage(`{}`), IfVersion: IfVersion(0)}}})
		}},
		{"GET /api/v1/tenants/acme/changes?limit=3 ", func() (any, error) { return r.Changes(ctx, Page{Limit: 3}) }},
		{"GET /api/v1/tenants/acme/changes/12 ", func() (any, error) { return r.Change(ctx, 12) }},
		{`POST /api/v1/tenants/acme/rollback {"environment":"production","to":"12"}`, func() (any, error) {
			return r.Rollback(ctx, api.Rollback{Environment: "production", To: "12"})
		}},
		{`POST /api/v1/tenants/acme/revert {"revision":12,"force":true}`, func() (any, error) { return r.Revert(ctx, api.Revert{Revision: 12, Force: true}) }},
		{`POST /api/v1/tenants/acme/promote {"from":"staging","to":"production","all":true}`, func() (any, error) {
			return r.Promote(ctx, api.Promote{From: "staging", To: "production", All: true})
		}},
		{"GET /api/v1/tenants/acme/tags ", func() (any, error) { return r.Tags(ctx, Page{}) }},
		{"GET /api/v1/tenants/acme/tags/v1.0 ", func() (any, error) { return r.Tag(ctx, "v1.0") }},
		{`PUT /api/v1/tenants/acme/tags/v1.0 {"revision":5}`, func() (any, error) { return r.PutTag(ctx, "v1.0", api.TagInput{Revision: 5}) }},
		{"DELETE /api/v1/tenants/acme/tags/v1.0 ", func() (any, error) { return r.DeleteTag(ctx, "v1.0", "") }},
		{"GET /api/v1/tenants/acme/environments ", func() (any, error) { return r.Environments(ctx) }},
		{"GET /api/v1/tenants/acme/environments/edge ", func() (any, error) { return r.Environment(ctx, "edge") }},
		{`PUT /api/v1/tenants/acme/environments/edge {"parent":"base"}`, func() (any, error) {
			return r.PutEnvironment(ctx, "edge", api.EnvironmentInput{Parent: &parent})
		}},
		{"DELETE /api/v1/tenants/acme/environments/edge ", func() (any, error) { return r.DeleteEnvironment(ctx, "edge", "done with") }},
		{"GET /api/v1/tenants?limit=1 ", func() (any, error) { return r.Tenants(ctx, Page{Limit: 1}) }},
		{"GET /api/v1/tenants/other ", func() (any, error) { return r.GetTenant(ctx, "other") }},
		{"DELETE /api/v1/tenants/other ", func() (any, error) { return r.DeleteTenant(ctx, "other") }},
		{"GET /api/v1/tenants/acme/tokens ", func() (any, error) { return r.Tokens(ctx, Page{}) }},
		{"DELETE /api/v1/tenants/acme/tokens/t1 ", func() (any, error) { return r.RevokeToken(ctx, "t1") }},
		{"GET /api/v1/tokens ", func() (any, error) { return r.ServerTokens(ctx, Page{}) }},
		{"DELETE /api/v1/tokens/t1 ", func() (any, error) { return r.RevokeServerToken(ctx, "t1") }},
		{"GET /api/v1/tenants/acme/policies ", func() (any, error) { return r.Policies(ctx) }},
		{"GET /api/v1/tenants/acme/policies/night ", func() (any, error) { return r.Policy(ctx, "night", 0) }},
		{"GET /api/v1/tenants/acme/policies/night?version=3 ", func() (any, error) { return r.Policy(ctx, "night", 3) }},
		{`PUT /api/v1/tenants/acme/policies/night {"text":"forbid (principal, action, resource);","if_version":0,"dry_run":true}`, func() (any, error) {
			return r.PutPolicy(ctx, "night", api.PutPolicy{Text: "forbid (principal, action, resource);", IfVersion: IfVersion(0), DryRun: true})
		}},
		{"DELETE /api/v1/tenants/acme/policies/night ", func() (any, error) { return r.DeletePolicy(ctx, "night", PolicyDelete{}) }},
		{"DELETE /api/v1/tenants/acme/policies/night?dry_run=true&if_version=4&message=done+with+%26+over ", func() (any, error) {
			return r.DeletePolicy(ctx, "night", PolicyDelete{Message: "done with & over", IfVersion: IfVersion(4), DryRun: true})
		}},
		{"GET /api/v1/tenants/acme/policy-history/night?cursor=c&limit=2 ", func() (any, error) { return r.PolicyHistory(ctx, "night", Page{Limit: 2, Cursor: "c"}) }},
		{"GET /api/v1/tenants/acme/policy-diff/night ", func() (any, error) { return r.DiffPolicy(ctx, "night", PolicyDiffQuery{}) }},
		{"GET /api/v1/tenants/acme/policy-diff/night?from=0&to=2 ", func() (any, error) {
			return r.DiffPolicy(ctx, "night", PolicyDiffQuery{From: IfVersion(0), To: IfVersion(2)})
		}},
		{`POST /api/v1/tenants/acme/policy-rollback/night {"to":2,"message":"why"}`, func() (any, error) {
			return r.RollbackPolicy(ctx, "night", api.RollbackPolicy{To: 2, Message: "why"})
		}},
		{`POST /api/v1/tenants/acme/policy-test {"all":true}`, func() (any, error) { return r.TestPolicies(ctx, api.TestPolicies{All: true}) }},
		{`POST /api/v1/tenants/acme/policy-simulate {"name":"night","limit":5}`, func() (any, error) {
			return r.SimulatePolicies(ctx, api.SimulatePolicies{Name: "night", Limit: 5})
		}},
		{"GET /api/v1/tenants/acme/roles ", func() (any, error) { return r.Roles(ctx) }},
		{"GET /api/v1/tenants/acme/roles/deployer?version=2 ", func() (any, error) { return r.Role(ctx, "deployer", 2) }},
		{`PUT /api/v1/tenants/acme/roles/deployer {"includes":["viewer"],"if_version":1}`, func() (any, error) {
			return r.PutRole(ctx, "deployer", api.PutRole{Includes: []string{"viewer"}, IfVersion: IfVersion(1)})
		}},
		{"DELETE /api/v1/tenants/acme/roles/deployer?if_version=2&message=m ", func() (any, error) {
			return r.DeleteRole(ctx, "deployer", RoleDelete{Message: "m", IfVersion: IfVersion(2)})
		}},
		{"GET /api/v1/tenants/acme/role-history/deployer?limit=1 ", func() (any, error) { return r.RoleHistory(ctx, "deployer", Page{Limit: 1}) }},
		{`POST /api/v1/tenants/acme/authz/explain {"action":"config.read","environment":"production","path":"a"}`, func() (any, error) {
			return r.ExplainDecision(ctx, api.ExplainDecision{Action: "config.read", Environment: "production", Path: "a"})
		}},
		{"GET /api/v1/tenants/acme/quota ", func() (any, error) { return r.Quota(ctx) }},
		{`PUT /api/v1/tenants/acme/quota {"limits":{"watchers":0},"if_version":0}`, func() (any, error) {
			return r.PutQuota(ctx, api.PutQuota{Limits: api.QuotaLimits{Watchers: new(int64(0))}, IfVersion: IfVersion(0)})
		}},
		{"GET /api/v1/tenants/acme/grants ", func() (any, error) { return r.Grants(ctx) }},
		{`POST /api/v1/tenants/acme/grants {"role":"viewer","reason":"they asked","seconds":60}`, func() (any, error) {
			return r.RequestGrant(ctx, api.RequestGrant{Role: "viewer", Reason: "they asked", Seconds: 60})
		}},
		{"POST /api/v1/tenants/acme/grants/g1/approve ", func() (any, error) { return r.ApproveGrant(ctx, "g1") }},
		{"DELETE /api/v1/tenants/acme/grants/g1?message=enough ", func() (any, error) { return r.EndGrant(ctx, "g1", "enough") }},
		{"GET /api/v1/identity ", func() (any, error) { return r.Identity(ctx) }},
		{"GET /api/v1/version ", func() (any, error) { return r.Version(ctx) }},
		{"GET /health/live ", func() (any, error) { return r.Live(ctx) }},
		{"GET /health/ready ", func() (any, error) { return r.Ready(ctx) }},
		{"GET /health/startup ", func() (any, error) { return r.Startup(ctx) }},
	} {
		if _, err := test.call(); err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		if got := r.last.line + " " + r.last.body; got != test.want {
			t.Errorf("sent %s\nwant %s", got, test.want)
		}
		if got := r.last.header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("%s: Authorization %q", test.want, got)
		}
		writes := !strings.HasPrefix(test.want, "GET ")
		if key := r.last.header.Get(api.HeaderIdempotent); writes != (len(key) == 32) {
			t.Errorf("%s: Idempotency-Key %q", test.want, key)
		}
	}
}

func TestPathsArriveAsGiven(t *testing.T) {
	for _, path := range []string{"a/b", "a b?c#d", "a%2fb", "../..", "a//b", "a/./b/", "ä/\x00", "a~b@c+d=e", "a;b,c", "{path}", "\xff"} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.Path }))
		c := must(New(server.URL+"/below", WithTenant("acme")))
		_, _ = c.Layer(t.Context(), "x/y", path, Read{})
		server.Close()
		if want := "/below/api/v1/tenants/acme/environments/x/y/layers/" + path; got != want {
			t.Errorf("%q arrived as %q", path, got)
		}
	}
	r := newRecording(t)
	_, _ = r.Tag(t.Context(), "a/b")
	if want := "GET /api/v1/tenants/acme/tags/a%2Fb"; r.last.line != want {
		t.Errorf("a name with a slash was sent as %s", r.last.line)
	}
}

func TestReadDocument(t *testing.T) {
	r := newRecording(t)
	r.header = http.Header{"Content-Type": {"application/yaml; charset=utf-8"}, "Etag": {`"v3"`},
		api.HeaderRevision: {"12"}, api.HeaderDigest: {"ab"}, api.HeaderVersion: {"3"}}
	r.answer = "x: 1\n"
	d, err := r.Layer(t.Context(), "base", "a", Read{Format: api.TypeYAML, IfNoneMatch: `"v2"`})
	want := &Document{Data: []byte("x: 1\n"), Format: api.TypeYAML, Revision: 12, Digest: "ab", ETag: `"v3"`, Version: 3}
	if diff := cmp.Diff(want, d); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if r.last.header.Get("Accept") != api.TypeYAML || r.last.header.Get("If-None-Match") != `"v2"` {
		t.Errorf("sent %v", r.last.header)
	}
	r.header.Set(api.HeaderVersion, "three")
	_, err = r.Layer(t.Context(), "base", "a", Read{})
	wantError(t, err, api.HeaderVersion)
	r.header.Del(api.HeaderRevision)
	_, err = r.Config(t.Context(), "base", "a", Read{})
	wantError(t, err, "does not say its revision")
	r.status, r.answer = http.StatusNotModified, ""
	if _, err = r.Config(t.Context(), "base", "a", Read{IfNoneMatch: `"x"`}); !errors.Is(err, ErrNotModified) {
		t.Errorf("not modified: %v", err)
	}
}

func TestWriteHeaders(t *testing.T) {
	r := newRecording(t)
	header := func(w Write) string {
		t.Helper()
		if _, err := r.PatchLayer(t.Context(), "base", "a", []byte("[]"), w); err != nil {
			t.Fatal(err)
		}
		h := r.last.header
		return strings.Join([]string{h.Get("Content-Type"), h.Get("If-Match"), h.Get("If-None-Match"), h.Get(api.HeaderMessage)}, "|")
	}
	for want, w := range map[string]Write{
		"application/merge-patch+json|||":                     {},
		`application/json-patch+json|"v3"||`:                  {Format: api.TypeJSONPatch, IfVersion: IfVersion(3)},
		"application/merge-patch+json||*|":                    {IfVersion: IfVersion(0)},
		"application/merge-patch+json|||1%2B1%0A%C3%A4%20%25": {Message: "1+1\nä %"},
	} {
		if got := header(w); got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
	_, err := r.DeleteLayer(t.Context(), "base", "a", Write{IfVersion: IfVersion(0)})
	wantError(t, err, "cannot be deleted")
	_, err = r.PostChange(t.Context(), api.Change{Edits: []api.Edit{{Document: json.RawMessage("{")}}})
	wantError(t, err, "cannot be written as JSON")
}

func TestIdempotencyKeyOfContext(t *testing.T) {
	r := newRecording(t)
	_, _ = r.Revert(WithIdempotencyKey(t.Context(), "mine"), api.Revert{Revision: 1})
	if got := r.last.header.Get(api.HeaderIdempotent); got != "mine" {
		t.Errorf("sent the key %q", got)
	}
	keys := map[string]bool{}
	for range 10 {
		_, _ = r.Revert(t.Context(), api.Revert{Revision: 1})
		key := r.last.header.Get(api.HeaderIdempotent)
		if _, err := hex.DecodeString(key); err != nil || keys[key] {
			t.Errorf("the key %q is not 128 new bits", key)
		}
		keys[key] = true
	}
}

func TestIssuedTokens(t *testing.T) {
	r := newRecording(t)
	r.status, r.answer = http.StatusCreated, `{"id":"t1","value":"v"}`
	token, err := r.CreateToken(t.Context(), api.NewToken{Name: "ci", TTLSeconds: 60})
	if err != nil || token.Value != "v" || r.last.line+r.last.body != `POST /api/v1/tenants/acme/tokens{"name":"ci","ttl_seconds":60}` {
		t.Errorf("%+v, %v after %+v", token, err, r.last)
	}
	if token, err = r.CreateServerToken(t.Context(), api.NewToken{Name: "ops"}); err != nil || token.ID != "t1" || r.last.line != "POST /api/v1/tokens" {
		t.Errorf("%+v, %v after %+v", token, err, r.last)
	}
	r.answer = `{"token":{"id":"t2","value":"w"},"tenant":{"name":"new"}}`
	founded, err := r.CreateTenant(t.Context(), api.NewTenant{Name: "new"})
	if err != nil || founded.Token.Value != "w" || r.last.line != "POST /api/v1/tenants" {
		t.Errorf("%+v, %v after %+v", founded, err, r.last)
	}
	r.answer = `{"id":"t1"}`
	token, err = r.CreateToken(t.Context(), api.NewToken{})
	if wantError(t, err, "t1", "revoke it"); !errors.Is(err, ErrTokenLost) || token.ID != "t1" {
		t.Errorf("a token without value: %+v, %v", token, err)
	}
	if _, err = r.CreateServerToken(t.Context(), api.NewToken{}); !errors.Is(err, ErrTokenLost) {
		t.Errorf("a server token without value: %v", err)
	}
	r.answer = `{"token":{"id":"t2"},"tenant":{"name":"new"}}`
	if founded, err = r.CreateTenant(t.Context(), api.NewTenant{}); !errors.Is(err, ErrTokenLost) || founded.Tenant.Name != "new" {
		t.Errorf("a tenant's token without value: %+v, %v", founded, err)
	}
}

func TestHealth(t *testing.T) {
	r := newRecording(t)
	r.status, r.answer = http.StatusServiceUnavailable, `{"status":"failing","checks":{"store":"locked"}}`
	if h, err := r.Ready(t.Context()); err != nil || h.Status != "failing" || h.Checks["store"] != "locked" {
		t.Errorf("%+v, %v", h, err)
	}
	r.header.Set("Content-Type", "text/plain")
	_, err := r.Ready(t.Context())
	wantError(t, err, "503")
}

func TestPages(t *testing.T) {
	// Every list has three entries on two pages, and then fails.
	pages := map[string]string{
		"":  `{"next_cursor":"2","configs":[{},{}],"entries":[{},{}],"changes":[{},{}],"tags":[{},{}],"tenants":[{},{}],"tokens":[{},{}],"secrets":[{},{}],"versions":[{},{}]}`,
		"2": `{"configs":[{}],"entries":[{}],"changes":[{}],"tags":[{}],"tenants":[{}],"tokens":[{}],"secrets":[{}],"versions":[{}]}`,
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 2 {
			problem(w, api.CodeInvalidCursor, "no cursor")
			return
		}
		w.Header().Set("Content-Type", api.TypeJSON)
		fmt.Fprint(w, pages[r.URL.Query().Get("cursor")])
	}))
	defer server.Close()
	c, ctx := must(New(server.URL, WithTenant("acme"))), t.Context()
	check := func(name string, list func() (entries int, err error)) {
		t.Helper()
		asked = 0
		if n, err := list(); n != 3 || err != nil {
			t.Errorf("%s: %d entries, %v", name, n, err)
		}
		if n, err := list(); n != 0 || !errors.Is(err, &api.Problem{Code: api.CodeInvalidCursor}) {
			t.Errorf("%s: %d entries and %v after the server fails", name, n, err)
		}
	}
	check("configs", func() (int, error) { return count(c.AllConfigs(ctx, "base", List{})) })
	check("secrets", func() (int, error) { return count(c.AllSecrets(ctx, "base", SecretList{})) })
	check("history", func() (int, error) { return count(c.AllHistory(ctx, "base", "a", HistoryQuery{})) })
	check("policy history", func() (int, error) { return count(c.AllPolicyHistory(ctx, "night", Page{})) })
	check("role history", func() (int, error) { return count(c.AllRoleHistory(ctx, "deployer", Page{})) })
	check("changes", func() (int, error) { return count(c.AllChanges(ctx, Page{})) })
	check("tags", func() (int, error) { return count(c.AllTags(ctx, Page{})) })
	check("tenants", func() (int, error) { return count(c.AllTenants(ctx, Page{})) })
	check("tokens", func() (int, error) { return count(c.AllTokens(ctx, Page{})) })
	check("server tokens", func() (int, error) { return count(c.AllServerTokens(ctx, Page{})) })
	asked = 0
	for range c.AllTags(ctx, Page{}) {
		break
	}
	if asked != 1 {
		t.Errorf("asked for %d pages to see one entry", asked)
	}
}

func count[T any](entries iter.Seq2[T, error]) (n int, err error) {
	for _, err := range entries {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestNewRefuses(t *testing.T) {
	for address, want := range map[string]string{
		"":                          "not a URL",
		"127.0.0.1:8700":            "http://127.0.0.1:8700",
		"localhost:8700":            "not a URL",
		"ftp://config.test":         "not a URL",
		"https://me:pw@config.test": "give a token",
		"https://config.test/?a=b":  "begins with ? or #",
	} {
		_, err := New(address)
		if wantError(t, err, want); strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: the error shows the password", address)
		}
	}
	_, err := New("https://config.test", WithHTTPClient(&http.Client{}), WithRootCAs(x509.NewCertPool()))
	wantError(t, err, "roots", "HTTP client")
	_, err = New("https://config.test", WithHTTPClient(&http.Client{}), WithClientCertificate("a.crt", "a.key"))
	wantError(t, err, "client certificate", "HTTP client")
	_, err = New("https://config.test", WithClientCertificate("nowhere.crt", "nowhere.key"))
	wantError(t, err, "the client certificate cannot be used", "nowhere.crt", "PEM")
}

func TestTenantIsNeeded(t *testing.T) {
	r := newRecording(t, WithTenant(""))
	for _, call := range []func() error{
		func() error { _, err := r.Environments(t.Context()); return err },
		func() error { _, err := r.Config(t.Context(), "base", "a", Read{}); return err },
		func() error { _, err := r.PostChange(t.Context(), api.Change{}); return err },
		func() error { _, err := r.DeleteTag(t.Context(), "a", ""); return err },
	} {
		wantError(t, call(), "no tenant is given")
	}
	if r.last.line != "" {
		t.Errorf("sent %s", r.last.line)
	}
	if _, err := r.ForTenant("other").Environments(t.Context()); err != nil || r.Tenant() != "" {
		t.Error(err)
	}
}

func TestTokenSourceIsAskedEachTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	r := newRecording(t, WithTokenSource(func(context.Context) (string, error) {
		text, err := os.ReadFile(file)
		return string(text), err
	}), WithUserAgent("gateway/1.2"))
	for _, token := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := r.last.header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("sent %q", got)
		}
	}
	if got := r.last.header.Get("User-Agent"); got != "gateway/1.2" {
		t.Errorf("User-Agent %q", got)
	}
	if err := os.WriteFile(file, []byte("key\x00pasted"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := r.Version(t.Context())
	if wantError(t, err, "Authorization", "cannot be sent"); strings.Contains(err.Error(), "pasted") {
		t.Errorf("the error shows the token: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	_, err = r.Version(t.Context())
	wantError(t, err, "the token cannot be read")
}

func TestTLSRoots(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.TypeJSON)
		fmt.Fprint(w, `{"version":"1"}`)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if v, err := must(New(server.URL, WithRootCAs(roots))).Version(t.Context()); err != nil || v.Version != "1" {
		t.Errorf("%+v, %v", v, err)
	}
	_, err := must(New(server.URL, WithRootCAs(x509.NewCertPool()), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "certificate", "LLM_CONFIG_CA_FILE", "WithRootCAs")
	_, err = must(New(strings.Replace(server.URL, "https:", "http:", 1), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "takes no plain HTTP: use https:// in the address")
	_, err = must(New(strings.Replace(server.URL, "127.0.0.1", "localhost", 1), WithRootCAs(roots), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "use an address that its certificate names")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, err = must(New(strings.Replace(plain.URL, "http:", "https:", 1), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "speaks plain HTTP: use http:// in the address")
}

func TestCallersHTTPClientIsLeftAlone(t *testing.T) {
	own := &http.Client{Timeout: 5}
	c := must(New("https://config.test", WithHTTPClient(own)))
	if own.CheckRedirect != nil || own.Timeout != 5 || c.http.Timeout != 0 {
		t.Error("the caller's HTTP client was changed")
	}
	if got := c.Address(); got != "https://config.test" {
		t.Errorf("the address is %s", got)
	}
}
