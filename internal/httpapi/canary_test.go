package httpapi_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// marker is a text that stands for a value of a secret in the wrong place.
type marker struct {
	core  string // what is looked for
	text  string // core among characters that need escapes
	forms []string
	lower []string // the forms, in lower case
}

func newMarker() marker {
	m := marker{core: fmt.Sprintf("canary%016x%08x", rand.Uint64(), rand.Uint32())}
	m.text = `k<"&\` + m.core + `%é`
	inside := []byte(m.core)
	units, percent := "", ""
	for _, c := range inside[:8] {
		units += fmt.Sprintf(`\u%04x`, c)
		percent += fmt.Sprintf("%%%02x", c)
	}
	m.forms = []string{m.core, hex.EncodeToString(inside), units, percent}
	for shift := range 3 { // base64 has a form for each place among three bytes; the ends depend on what is beside
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			form := encoding.EncodeToString(append(make([]byte, shift), inside...))
			m.forms = append(m.forms, form[4:len(form)-8])
		}
	}
	for _, form := range m.forms {
		m.lower = append(m.lower, strings.ToLower(form))
	}
	return m
}

// in finds a form of the marker in a text, "" when there is none.
func (m marker) in(text string) string {
	lower := strings.ToLower(text)
	for i, form := range m.forms {
		if strings.Contains(text, form) || strings.Contains(lower, m.lower[i]) {
			return form
		}
	}
	return ""
}

func (m marker) json() string {
	text, _ := json.Marshal(m.text) // strings always encode
	return string(text)
}

// Every form in which a marker could come back is found, or the tests below
// would say nothing.
func TestMarkersAreFound(t *testing.T) {
	m := newMarker()
	for _, shown := range []string{
		m.text, m.json(), url.QueryEscape(m.text), url.PathEscape(m.text), fmt.Sprintf("%q %x %X", m.text, m.text, m.text), strings.ToUpper(m.text),
		base64.StdEncoding.EncodeToString([]byte(m.text)), base64.RawURLEncoding.EncodeToString([]byte("x" + m.text)), base64.StdEncoding.EncodeToString([]byte("xy" + m.text)),
	} {
		if m.in("some "+shown+" text") == "" {
			t.Errorf("not found in %s", shown)
		}
	}
	if found := m.in(newMarker().text); found != "" {
		t.Errorf("%q is found where it is not", found)
	}
}

// auditFirst puts the routes first that read all records, while there are few.
func auditFirst(routes []httpapi.Route) []httpapi.Route {
	reads := func(r httpapi.Route) bool {
		return strings.Contains(r.Pattern, "/audit") || strings.Contains(r.Pattern, "/compliance")
	}
	var first, then []httpapi.Route
	for _, r := range routes {
		if reads(r) {
			first = append(first, r)
		} else {
			then = append(then, r)
		}
	}
	return append(first, then...)
}

// attack is a request with a marker in it that some route should not like.
type attack struct {
	name    string
	query   string
	body    any
	headers []string
	names   bool // the marker is a name
}

// wireSchemas looks things up in the description of the API, so that a route that
// is added is attacked in all its members and parameters.
type wireSchemas struct {
	paths      map[string]map[string]described
	components map[string]map[string]any
}

func readWireSchemas(t *testing.T, w *world) wireSchemas {
	t.Helper()
	d := readDescription(t, w)
	var rest struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(d.raw, &rest); err != nil {
		t.Fatal(err)
	}
	return wireSchemas{d.Paths, rest.Components.Schemas}
}

func (s wireSchemas) of(r httpapi.Route) described {
	return s.paths[wildcard.ReplaceAllString(r.Pattern, "{$1}")][strings.ToLower(r.Method)]
}

func (s wireSchemas) resolve(schema map[string]any) map[string]any {
	for {
		target, ok := schema["$ref"].(string)
		if !ok {
			return schema
		}
		schema = s.components[strings.TrimPrefix(target, "#/components/schemas/")]
	}
}

// members are the places in a body to which a value can be put, as functions
// that put one there.
func (s wireSchemas) members(schema map[string]any, depth int) map[string]func(value any) any {
	schema = s.resolve(schema)
	places := map[string]func(any) any{}
	if items, ok := schema["items"].(map[string]any); ok && depth > 0 {
		for name, put := range s.members(items, depth-1) {
			places["[]"+name] = func(v any) any { return []any{put(v)} }
		}
		places["[]"] = func(v any) any { return []any{v} }
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		places[name] = func(v any) any { return map[string]any{name: v} }
		if depth == 0 {
			continue
		}
		for below, put := range s.members(property.(map[string]any), depth-1) {
			places[name+"."+below] = func(v any) any { return map[string]any{name: put(v)} }
		}
	}
	return places
}

func (s wireSchemas) body(r httpapi.Route) map[string]any {
	op := s.of(r)
	if op.RequestBody == nil {
		return nil
	}
	for _, mediaType := range []string{api.TypeJSON, api.TypeMergePatch} {
		if content, ok := op.RequestBody.Content[mediaType].(map[string]any); ok {
			return content["schema"].(map[string]any)
		}
	}
	return nil
}

// isAddress says whether a member names something. What it names is said again
// when it is not there, like the path of a URL.
func isAddress(member string) bool {
	last := member[strings.LastIndexAny(member, ".]")+1:]
	return slices.Contains([]string{"environment", "path", "paths", "from", "to", "at", "parent", "name", "signing", "event", "action", "outcome", ""}, last)
}

// inMembers are attacks by what stands where in a body.
func (s wireSchemas) inMembers(r httpapi.Route, m marker) (attacks []attack) {
	for name, put := range s.members(s.body(r), 3) {
		values := map[string]any{
			"an array": []any{m.text}, "an object": map[string]any{"a": m.text}, "an object of it": map[string]any{m.text: 1}, "deep": map[string]any{"a": []any{map[string]any{"b": m.text}}},
		}
		if !isAddress(name) {
			values["a text"], values["a long text"] = m.text, m.text+strings.Repeat("x", 5000)
			values["texts"] = map[string]any{"value": m.text, "other": m.text}
		}
		for what, value := range values {
			text, _ := json.Marshal(put(value)) // maps of texts always encode
			a := attack{name: what + " in " + name, body: string(text), names: what == "an object of it"}
			attacks = append(attacks, a)
			a.name, a.headers = a.name+" in YAML", asYAML
			attacks = append(attacks, a)
		}
	}
	return attacks
}

// broken are bodies that are no bodies.
func broken(m marker, valid string) (attacks []attack) {
	quoted := m.json()
	unknown := strings.TrimSuffix(valid, "}") + `,"surprise":{"a":[` + quoted + `]}}`
	if valid == "{}" || valid == "" {
		unknown = `{"surprise":` + quoted + `}`
	}
	for name, text := range map[string]string{
		"a text": quoted, "an array": "[" + quoted + "]", "bare": m.core, "cut short": `{"message":` + quoted[:len(quoted)-1],
		"cut short within": `{"fields":{"value":` + quoted + `,"other":{"a":[` + quoted, "an open member": `{"fields":{"value":` + quoted + `}`,
		"something behind": valid + quoted, "an unknown member": unknown, "a member twice": `{"message":` + quoted + `,"message":` + quoted + `}`,
		"a field twice": `{"fields":{"value":` + quoted + `,"value":` + quoted + `}}`, "a member in escapes twice": `{"message":` + quoted + `,"\u006dessage":` + quoted + `}`,
		"a field that is null": `{"fields":{"value":null,"other":` + quoted + `}}`, "a weak field": `{"fields":{"value":` + quoted + `},"expires_at":"yesterday"}`,
		"no base64": `{"fields":{"value":` + quoted + `},"base64":["value"]}`, "a name for base64": `{"fields":{"value":"x"},"base64":[` + quoted + `]}`,
		"a name of a field": `{"fields":{` + quoted + `:1}}`, "a key twice in a field": `{"fields":{"value":{"a":` + quoted + `,"a":` + quoted + `}}}`,
		"a number in a field": `{"fields":{"value":{` + quoted + `:1e999}}}`, "a bad escape": `{"fields":{"value":"\q` + m.core + `"}}`, "a control character": "{\"message\":\"\x01" + m.core + `"}`,
		"no UTF-8": `{"message":"` + m.core + "\xff\"}", "a lone surrogate": `{"message":"\ud800` + m.core + `"}`, "no text in a field": `{"fields":{"value":"` + m.core + "\xc0\xaf\"}}",
		"too deep": strings.Repeat(`{"message":[`, 60) + quoted + strings.Repeat("]}", 60), "far too deep": strings.Repeat("[", 20_000) + quoted, "too deep in a field": `{"fields":{"value":` + strings.Repeat("[", 40) + quoted + strings.Repeat("]", 40) + `}}`,
		"too large": `{"message":"` + strings.Repeat(m.core, 3<<18) + `"}`, "a large field": `{"fields":{"value":"` + strings.Repeat(m.core, 4000) + `"}}`, "a large name": `{"fields":{"` + strings.Repeat(m.core, 40) + `":1}}`,
	} {
		attacks = append(attacks, attack{name: name, body: text, names: strings.Contains(text, "{"+quoted+":")})
	}
	for name, text := range map[string]string{
		"bare in YAML": m.core, "a list in YAML": "- " + m.core + "\n- [", "an alias in YAML": "message: *" + m.core, "an anchor in YAML": "message: &" + m.core + " [\n",
		"a tag in YAML": "message: !" + m.core + " x", "an open quote in YAML": "fields:\n  value: '" + m.core, "a bad escape in YAML": `message: "\q` + m.core + `"`,
		"a tab in YAML": "fields:\n\tvalue: " + m.core, "a colon in YAML": "message: a: " + m.core, "twice in YAML": "message: " + m.core + "\nmessage: " + m.core,
		"a directive in YAML": "%" + m.core + "\n---\n{}", "two documents in YAML": "message: x\n---\n" + m.core, "no UTF-8 in YAML": "message: " + m.core + "\xff",
		"a block in YAML": "message: |" + m.core + "\n x", "a merge in YAML": "<<: " + m.core, "a number in YAML": "fields: {value: " + m.core + "}\nexpires_at: 0o" + m.core,
	} {
		attacks = append(attacks, attack{name: name, body: text, headers: asYAML})
	}
	for name, text := range map[string]string{
		"bare in TOML": "message = " + m.core, "an open quote in TOML": `message = "` + m.core, "a bad escape in TOML": `message = "\q` + m.core + `"`,
		"twice in TOML": "message = '" + m.core + "'\nmessage = '" + m.core + "'", "an open table in TOML": "[fields]\nvalue = ['" + m.core + "'", "a date in TOML": "message = 2020-" + m.core,
		"an open block in TOML": "message = '''" + m.core, "no UTF-8 in TOML": "message = '" + m.core + "\xff'", "a number in TOML": "message = 0x" + m.core, "an inline table in TOML": "fields = { value = '" + m.core + "', ",
	} {
		attacks = append(attacks, attack{name: name, body: text, headers: asTOML})
	}
	return attacks
}

// pasted are attacks on bodies that hold values, where even a name may be one.
func pasted(m marker) []attack {
	return []attack{
		{name: "a member", body: `{"` + m.core + `":1}`}, {name: "a member twice", body: `{"` + m.core + `":1,"` + m.core + `":1}`},
		{name: "a member of generate", body: `{"generate":{"` + m.core + `":1}}`}, {name: "a member of a webhook", body: `{"rotation":{"webhook":{"` + m.core + `":1}}}`},
		{name: "a key in YAML", body: m.core + ": [", headers: asYAML}, {name: "a key twice in YAML", body: m.core + ": 1\n" + m.core + ": 1", headers: asYAML}, {name: "a key of no value in YAML", body: m.core + ": .nan", headers: asYAML},
		{name: "a key in TOML", body: m.core, headers: asTOML}, {name: "a table in TOML", body: "[" + m.core + "]\nx = [", headers: asTOML}, {name: "a key of no value in TOML", body: m.core + " = nan", headers: asTOML},
		{name: "within a field", body: `{"fields":{"value":{"` + m.core + `":{"x":1,"x":2}}}}`}, {name: "within a field cut short", body: `{"fields":{"value":{"` + m.core + `":[`},
	}
}

// aside are attacks in parameters and headers.
func (s wireSchemas) aside(r httpapi.Route, m marker, valid string) (attacks []attack) {
	names := []string{"surprise", "reveal", "format", "version", "field", "min_revision", "limit", "cursor", "force", "dry_run", "deleted", "own", "label", "include", "kind"}
	headers := []string{
		"If-Match", "If-None-Match", "Content-Type", "Accept", "Accept-Encoding", "Content-Encoding", api.HeaderIdempotent, api.HeaderMessage,
		"Last-Event-ID", "Authorization", "Cookie", "Range", "X-Forwarded-For", "User-Agent", "Origin", "Referer",
	}
	for _, p := range s.of(r).Parameters {
		if p.In == "query" && !isAddress(p.Name) {
			names = append(names, p.Name)
		}
		if p.In == "header" {
			headers = append(headers, p.Name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		value := name + "=" + url.QueryEscape(m.text)
		attacks = append(attacks, attack{name: "parameter " + name, query: value, body: valid}, attack{name: "parameter " + name + " twice", query: value + "&" + value, body: valid},
			attack{name: "parameter " + name + " with values", query: "reveal=true&" + value, body: valid})
	}
	attacks = append(attacks, attack{name: "a query that does not parse", query: "a=%zz" + m.core, body: valid})
	for _, name := range headers {
		for _, value := range []string{m.core, `"` + m.core + `"`, m.core + " " + m.core, "Bearer " + m.core, "application/json; charset=" + m.core, "%" + m.core} {
			attacks = append(attacks, attack{name: "header " + name, body: valid, headers: []string{name, value}})
		}
	}
	return attacks
}

// Whatever is wrong with a request, its refusal and the log say nothing of what
// was in it. The table of routes is walked with every member and parameter that
// the description has, so that a new route is covered as it is.
func TestRefusalsHoldNothingOfTheRequest(t *testing.T) {
	w := newWorld(t)
	s := readWireSchemas(t, w)
	for _, r := range auditFirst(w.server.Routes()) {
		if r.Method == http.MethodGet && goesOn(r) { // their own test follows
			continue
		}
		m := newMarker()
		v := newVictim(t, w, "a-document")
		target, valid, _ := anyRequest(t, r, v)
		token := v.entitled(t, r)
		attacks := s.aside(r, m, valid)
		if r.Method != http.MethodGet && r.Method != http.MethodDelete {
			attacks = slices.Concat(attacks, broken(m, valid), s.inMembers(r, m))
		}
		if r.Pattern == api.RouteSecret && r.Method != http.MethodGet {
			attacks = append(attacks, pasted(m)...)
		}
		refused, served := 0, map[string]int{}
		for _, a := range attacks {
			if served[a.name] == 2 {
				continue // it is a header that nobody reads
			}
			at := target
			if a.query != "" {
				at = strings.Split(target, "?")[0] + "?" + a.query
			}
			if a.names && (r.Pattern == api.RouteLayer || r.Pattern == api.RouteChanges) {
				continue // names in documents are their writer's, and are pointed at
			}
			got := w.call(t, token, r.Method, at, a.body, a.headers...)
			if got.status < 400 {
				served[a.name]++
				continue
			}
			refused++
			if found := m.in(fmt.Sprint(got.header) + string(got.body)); found != "" || got.status >= 500 {
				t.Errorf("%s %s, %s: %d with %q: %s", r.Method, r.Pattern, a.name, got.status, found, got.body)
			}
		}
		if refused < 10 && !r.Public {
			t.Errorf("%s %s: %d of %d attacks were refused: the test does not say much", r.Method, r.Pattern, refused, len(attacks))
		}
		if found := m.in(w.log.String()); found != "" {
			t.Errorf("%s %s: the log holds %q", r.Method, r.Pattern, found)
		}
	}
}

// A value of a secret is in the answers that were asked to reveal it, and in no
// other answer of any route, no event and no line of the log.
func TestValuesAreWhereTheyWereAskedFor(t *testing.T) {
	w := newWorld(t)
	m := newMarker()
	text := "x#" + m.core + "!Y"
	fields := map[string]any{
		"value": text, "bytes": base64.StdEncoding.EncodeToString([]byte(text)), "nested": map[string]any{"a": []any{text}, text: true},
	}
	for _, r := range w.server.Routes() {
		if goesOn(r) {
			continue
		}
		v := newVictim(t, w, "a-document")
		s := v.watch(t, "base", "?include=data")
		s.next(t)
		set := map[string]any{"fields": fields, "base64": []string{"bytes"}, "allow_weak": "a test"}
		for range 2 { // one is in use, one in grace
			got := v.call(t, "PUT", v.path(api.RouteSecret, "base", "canary"), set).want(t, 200)
			if m.in(string(got.body)) != "" {
				t.Fatalf("%s", got.body)
			}
		}
		v.put(t, "base", "canary", `{"value":"${secret:canary#value}","text":"a ${secret:canary#bytes}","nested":"${secret:canary#nested}"}`)
		target, body, headers := anyRequest(t, r, v)
		token := v.entitled(t, r)
		got := w.call(t, token, r.Method, target, body, headers...)
		if found := m.in(fmt.Sprint(got.header) + string(got.body)); found != "" {
			t.Errorf("%s %s: %q in %s", r.Method, r.Pattern, found, got.body)
		}
		if revealed := w.call(t, token, r.Method, strings.Split(target, "?")[0]+"?reveal=true", nil); r.Method == http.MethodGet {
			asked := slices.Contains([]string{api.RouteSecret, api.RouteConfig, api.RouteBundle}, r.Pattern)
			if there := m.in(string(revealed.body)) != ""; there != asked {
				t.Errorf("%s %s: asked to reveal it answers %d %s", r.Method, r.Pattern, revealed.status, revealed.body)
			}
			if found := m.in(fmt.Sprint(revealed.header)); found != "" {
				t.Errorf("%s %s: %q in %v", r.Method, r.Pattern, found, revealed.header)
			}
		}
		if r.Pattern == api.RouteTenant && r.Method == http.MethodDelete {
			continue
		}
		v.put(t, "base", "the/end", `{}`)
		for e := s.next(t); !strings.Contains(e.data, "the/end"); e = s.next(t) {
			if found := m.in(e.data); found != "" {
				t.Errorf("after %s %s: %q in %s", r.Method, r.Pattern, found, e.data)
			}
		}
		s.stop()
	}
	if found := m.in(w.log.String()); found != "" {
		t.Errorf("the log holds %q", found)
	}
}

// A watch that is refused says nothing of what it was asked with.
func TestRefusedWatchesHoldNothing(t *testing.T) {
	w := newWorld(t)
	n, m := w.newTenant(t), newMarker()
	for name, query := range map[string]string{
		"reveal": "reveal=" + url.QueryEscape(m.text), "include": "include=" + url.QueryEscape(m.text), "surprise": "surprise=" + url.QueryEscape(m.text), "twice": "include=data&include=" + m.core,
	} {
		got := n.call(t, "GET", n.path(api.RouteWatch, "base")+"?"+query, nil)
		if got.status != 400 || m.in(string(got.body)) != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	got := n.call(t, "GET", n.path(api.RouteWatch, "base"), nil, "Last-Event-ID", m.core)
	if got.status != 400 || m.in(string(got.body)+w.log.String()) != "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, name := range []string{"surprise", "from", "to", "outcome", "source", "trace_id", "deleted", "limit"} {
		got := n.call(t, "GET", n.path(api.RouteAuditTail)+"?"+name+"="+url.QueryEscape(m.text), nil)
		if p := got.refused(t, api.CodeBadRequest); p.Pointer != name || name != "outcome" && m.in(string(got.body)) != "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if p := n.call(t, "GET", n.path(api.RouteWatch, "base")+"?reveal=true", nil).refused(t, api.CodeBadRequest); p.Pointer != "reveal" || !strings.Contains(p.Detail, "values of secrets") {
		t.Errorf("%+v", p)
	}
}

// The attacks have not become fewer: they are what the description says.
func TestAttacksAreMany(t *testing.T) {
	w := newWorld(t)
	s := readWireSchemas(t, w)
	members := s.members(s.body(httpapi.Route{Method: http.MethodPut, Pattern: api.RouteSecret}), 3)
	for _, name := range []string{"fields", "expires_at", "generate.kind", "rotation.webhook.url", "rotation.generator.length", "labels", "base64.[]"} {
		if members[name] == nil {
			t.Errorf("%s is not attacked, only %v", name, slices.Sorted(maps.Keys(members)))
		}
	}
}
