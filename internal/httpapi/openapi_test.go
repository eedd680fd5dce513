package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// description is what the tests look at of the OpenAPI document.
type description struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]described
	raw     []byte
}

type described struct {
	OperationID string `json:"operationId"`
	Summary     string
	Tags        []string
	Actions     []string `json:"x-actions"`
	Security    *[]map[string][]string
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                map[string]any
	}
	RequestBody *struct {
		Required bool
		Content  map[string]any
	}
	Responses map[string]struct {
		Description string
		Content     map[string]any
	}
}

func readDescription(t *testing.T, w *world) *description {
	t.Helper()
	got := w.call(t, "", "GET", api.RouteOpenAPI, nil).want(t, 200).wantHeaders(t, "Content-Type", "application/openapi+json")
	d := &description{raw: got.body}
	got.into(t, d)
	if d.OpenAPI != "3.1.0" || d.Info.Version != "v0.0.0-test" {
		t.Errorf("openapi %s of version %s", d.OpenAPI, d.Info.Version)
	}
	return d
}

var wildcard = regexp.MustCompile(`\{([a-z]+)(\.\.\.)?\}`)

// Every route is described, and nothing else is; each description says what a
// reader or a generator needs.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	w := newWorld(t)
	d := readDescription(t, w)
	known, ids := map[string]bool{}, map[string]bool{}
	for _, r := range w.server.Routes() {
		if isPage(r) || forBrowsers(r) {
			continue // which describe themselves
		}
		path, method := wildcard.ReplaceAllString(r.Pattern, "{$1}"), strings.ToLower(r.Method)
		known[method+" "+path] = true
		op, ok := d.Paths[path][method]
		if !ok {
			t.Errorf("%s %s is not described", r.Method, r.Pattern)
			continue
		}
		name := r.Method + " " + path
		if ids[op.OperationID] || op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
			t.Errorf("%s: operation id %q, summary %q, tags %q", name, op.OperationID, op.Summary, op.Tags)
		}
		ids[op.OperationID] = true
		if public := op.Security != nil && len(*op.Security) == 0; public != r.Public {
			t.Errorf("%s: its security is %v, and public is %v", name, op.Security, r.Public)
		}
		checkParameters(t, name, path, op)
		checkAnswers(t, name, op)
		if needs := r.Method == http.MethodPut || r.Method == http.MethodPatch || r.Method == http.MethodPost && !bodyless(r); needs != (op.RequestBody != nil) {
			t.Errorf("%s: its body is described as %v", name, op.RequestBody)
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			if !known[method+" "+path] {
				t.Errorf("%s %s is described and is no route", method, path)
			}
		}
	}
	if !bytes.Contains(d.raw, []byte(`"security":[{"token":[]}]`)) || !bytes.Contains(d.raw, []byte(`"scheme":"bearer"`)) {
		t.Error("the default security is not a bearer token")
	}
}

// isPage says whether a route is of what describes the others.
func isPage(r httpapi.Route) bool {
	return r.Pattern == api.RouteOpenAPI || r.Pattern == api.RouteDocumentation || r.Pattern == api.RouteAuditSchema
}

// bodyless says whether a route takes a POST that says all in its URL.
func bodyless(r httpapi.Route) bool {
	return r.Pattern == api.RouteDestroy || r.Pattern == api.RouteGrantApprove || r.Pattern == api.RouteAuditRotate
}

func checkParameters(t *testing.T, name, path string, op described) {
	t.Helper()
	var inPath []string
	for _, p := range op.Parameters {
		if p.Description == "" || p.Schema["type"] == nil {
			t.Errorf("%s: the parameter %s has no description or type", name, p.Name)
		}
		if p.In == "path" {
			inPath = append(inPath, p.Name)
			if !p.Required {
				t.Errorf("%s: %s is not required", name, p.Name)
			}
		}
		if p.Name == "path" && !strings.Contains(p.Description, "slashes") {
			t.Errorf("%s: it is not said that a path contains slashes", name)
		}
	}
	var wanted []string
	for _, m := range wildcard.FindAllStringSubmatch(path, -1) {
		wanted = append(wanted, m[1])
	}
	slices.Sort(inPath)
	slices.Sort(wanted)
	if !slices.Equal(inPath, wanted) {
		t.Errorf("%s: path parameters %v, want %v", name, inPath, wanted)
	}
}

func checkAnswers(t *testing.T, name string, op described) {
	t.Helper()
	if failure, ok := op.Responses["default"]; !ok || failure.Description == "" || failure.Content[api.ProblemType] == nil {
		t.Errorf("%s: it is not said how it fails", name)
	}
	success := 0
	for status, r := range op.Responses {
		if strings.HasPrefix(status, "2") {
			success++
			if r.Description == "" || len(r.Content) == 0 {
				t.Errorf("%s: the answer %s is not described", name, status)
			}
		}
	}
	if r := op.Responses["200"]; r.Content[api.TypeJSON] != nil && op.Tags[0] != "health" && (r.Content[api.TypeYAML] == nil || r.Content[api.TypeTOML] == nil) {
		t.Errorf("%s: its other formats are not described", name)
	}
	if success != 1 {
		t.Errorf("%s: %d ways to succeed", name, success)
	}
}

func TestOpenAPIDescribesFailedRotations(t *testing.T) {
	path := wildcard.ReplaceAllString(api.RouteSecretRotate, "{$1}")
	responses := readDescription(t, newWorld(t)).Paths[path]["post"].Responses
	if responses["424"].Content[api.ProblemType] == nil || responses["default"].Content[api.ProblemType] == nil {
		t.Errorf("a rotation answers %v", responses)
	}
}

// Every reference in the document leads somewhere.
func TestOpenAPIReferences(t *testing.T) {
	d := readDescription(t, newWorld(t))
	var root any
	if err := json.Unmarshal(d.raw, &root); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if target, ok := v["$ref"].(string); ok {
				found++
				at := root
				for _, token := range strings.Split(strings.TrimPrefix(target, "#/"), "/") {
					object, _ := at.(map[string]any)
					at = object[token]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", target)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	if walk(root); found < 30 {
		t.Errorf("%d references only", found)
	}
}

// The document in the repository is the one that is served, so that what
// changes for callers is seen in review.
func TestOpenAPIFile(t *testing.T) {
	d := readDescription(t, newWorld(t))
	var text bytes.Buffer
	if err := json.Indent(&text, bytes.Replace(d.raw, []byte("v0.0.0-test"), []byte("dev"), 1), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("..", "..", "docs", "openapi.json"), append(bytes.TrimSpace(text.Bytes()), '\n'))
}

// schemas validates answers by the document.
type schemas struct {
	compiler *jsonschema.Compiler
	d        *description
}

func newSchemas(t *testing.T, d *description) *schemas {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("file:///openapi.json", document); err != nil {
		t.Fatal(err)
	}
	return &schemas{c, d}
}

// check validates an answer to a request for a route.
func (s *schemas) check(t *testing.T, method, route string, got *answer) {
	t.Helper()
	path := wildcard.ReplaceAllString(route, "{$1}")
	status := fmt.Sprint(got.status)
	op := s.d.Paths[path][strings.ToLower(method)]
	if _, described := op.Responses[status]; !described {
		status = "default"
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
	place := "/paths/" + escape(path) + "/" + strings.ToLower(method) + "/responses/" + status + "/content/" + escape(got.header.Get("Content-Type")) + "/schema"
	schema, err := s.compiler.Compile("file:///openapi.json#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(place))
	if err != nil {
		t.Errorf("%s %s answered %d %s, of which the document has no schema: %v", method, route, got.status, got.header.Get("Content-Type"), err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s %s: %v\n%s", method, route, err, got.body)
	}
}

// inLines says whether a route answers a JSON value a line; these have their own tests.
func inLines(r httpapi.Route) bool {
	switch r.Pattern {
	case api.RouteAuditExport, api.RouteServerExport, api.RouteAuditVerify, api.RouteServerVerify:
		return true
	}
	return false
}

// What every route answers, in success and in failure, is as described.
func TestAnswersAreAsDescribed(t *testing.T) {
	w := newWorld(t)
	s := newSchemas(t, readDescription(t, w))
	validated := 0
	for _, r := range w.server.Routes() {
		if goesOn(r) || inLines(r) || isPage(r) || r.Pattern == api.RoutePolicySchema || forBrowsers(r) {
			continue // which answer no JSON
		}
		v := newVictim(t, w, "canary")
		v.put(t, "production", "canary", `{"value":null,"more":[1,null]}`)
		token := v.entitled(t, r)
		target, body, headers := anyRequest(t, r, v)
		if r.Pattern == api.RouteTenants {
			body = strings.Replace(body, "stolen", v.name+"-child", 1)
		}
		if r.Method == http.MethodGet {
			s.check(t, r.Method, r.Pattern, w.call(t, token, r.Method, strings.Replace(target, "/base/", "/production/", 1), nil))
			if r.Pattern == api.RouteConfig {
				s.check(t, r.Method, r.Pattern, w.call(t, token, r.Method, target+"?explain=true", nil))
			}
		}
		s.check(t, r.Method, r.Pattern, w.call(t, token, r.Method, target, body, headers...))
		if !r.Public {
			s.check(t, r.Method, r.Pattern, w.call(t, "", r.Method, target, body, headers...).want(t, 401))
		}
		validated++
	}
	v := newVictim(t, w, "canary")
	v.put(t, "production", "canary", `{"value":"mine"}`)
	for _, dry := range []string{
		`{"from":"production","to":"staging","all":true,"dry_run":true}`, `{"from":"staging","to":"production","all":true,"prune":true,"dry_run":true}`,
	} {
		s.check(t, "POST", api.RoutePromote, v.call(t, "POST", v.path(api.RoutePromote), dry).want(t, 200))
	}
	s.check(t, "POST", api.RouteRevert, v.call(t, "POST", v.path(api.RouteRevert), `{"revision":2}`).want(t, 409))
	if validated < 35 {
		t.Errorf("%d routes only", validated)
	}
}

// What describes the API is made once, and need not be sent again while it is
// the same.
func TestPagesHaveETags(t *testing.T) {
	w := newWorld(t)
	for _, route := range []string{api.RouteOpenAPI, api.RouteDocumentation, api.RouteAuditSchema} {
		plain := w.call(t, "", "GET", route, nil).want(t, 200)
		seen := map[string]bool{}
		for _, encoding := range []string{"", "gzip", "br", "zstd"} {
			got := w.call(t, "", "GET", route, nil, "Accept-Encoding", encoding).want(t, 200).wantHeaders(t, "Content-Encoding", encoding)
			if tag := got.header.Get("ETag"); seen[tag] || !bytes.Equal(got.decoded(t), plain.body) {
				t.Errorf("%s in %q has the ETag %s and %d bytes", route, encoding, tag, len(got.body))
			} else {
				seen[tag] = true
				w.call(t, "", "GET", route, nil, "Accept-Encoding", encoding, "If-None-Match", tag).want(t, 304).wantBody(t, "").wantHeaders(t, "ETag", tag)
			}
		}
	}
}

// The page for people needs nothing from anywhere else.
func TestDocumentationPage(t *testing.T) {
	w := newWorld(t)
	got := w.call(t, "", "GET", api.RouteDocumentation, nil).want(t, 200).wantHeaders(t, "Content-Type", "text/html; charset=utf-8", "X-Content-Type-Options", "nosniff")
	if policy := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'unsafe-inline'") {
		t.Errorf("the page may load things: %s", policy)
	}
	page := string(got.body)
	if outside := regexp.MustCompile(`(?i)(src|href|url|import|action)\s*[=(]\s*["']?(https?:)?//`).FindString(page); outside != "" || strings.Contains(page, "<script") {
		t.Errorf("the page asks for something else: %q", outside)
	}
	for path := range readDescription(t, w).Paths {
		if !strings.Contains(page, path) {
			t.Errorf("%s is not on the page", path)
		}
	}
}
