package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// canaryAPI is the description that the server gives of itself. What it says is
// called, so a route that is added later is called too.
type canaryAPI struct {
	Paths      map[string]map[string]canaryRoute
	Components struct {
		Schemas map[string]map[string]any
	}
}

type canaryRoute struct {
	Parameters []struct {
		Name, In string
		Schema   struct{ Type string }
	}
	RequestBody *struct {
		Content map[string]struct{ Schema map[string]any }
	}
}

func (r canaryRoute) queries() (names map[string]string) {
	names = map[string]string{}
	for _, p := range r.Parameters {
		if p.In == "query" {
			names[p.Name] = p.Schema.Type
		}
	}
	return names
}

func (r canaryRoute) body() (mediaType string, schema map[string]any) {
	if r.RequestBody == nil {
		return api.TypeJSON, nil
	}
	for _, mediaType := range []string{api.TypeJSON, api.TypeMergePatch} {
		if content, ok := r.RequestBody.Content[mediaType]; ok {
			return mediaType, content.Schema
		}
	}
	return api.TypeJSON, map[string]any{}
}

// methods that a route may have, and some that none should.
var canaryMethods = []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"}

// routes walks the description of the API.
func (c *canaryRun) routes(t *testing.T) {
	c = c.within(t)
	var d canaryAPI
	if err := json.Unmarshal(c.must(c.server.token, "GET", api.RouteOpenAPI, "").body, &d); err != nil {
		t.Fatal(err)
	}
	c.call(c.server.token, "GET", api.RouteDocumentation, nil)
	readers := c.found("readers")
	served, total := 0, 0
	for i, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range canaryMethods {
			route, described := d.Paths[path][strings.ToLower(method)]
			var ok bool
			switch {
			case !described:
				c.call(readers.token, method, readers.fill(path), []byte(c.fields()))
				continue
			case method == http.MethodGet:
				ok = c.reads(readers, path, route)
			default:
				ok = c.writes(c.found(fmt.Sprintf("w%d-%s", i, strings.ToLower(method))), d, method, path, route)
			}
			if total++; ok {
				served++
			} else {
				t.Logf("%s %s is never served here, only refused", method, path)
			}
		}
	}
	if total < 50 || served < total*8/10 {
		t.Errorf("only %d of %d routes were served", served, total)
	}
}

// habitat is a tenant with all that a route can be about.
type habitat struct {
	tenant, token string
	own, server   string // ids of a token of the tenant, and of one of the server
	grant         string // id of access that was asked for
}

func (c *canaryRun) found(tenant string) habitat {
	c.t.Helper()
	founded, err := c.server.client.CreateTenant(c.t.Context(), api.NewTenant{Name: tenant})
	if err != nil {
		c.t.Fatal(err)
	}
	h := habitat{tenant: tenant, token: founded.Token.Value}
	c.settle(h.token, tenant, "base")
	c.must(h.token, "PUT", api.Build(api.RouteLayer, tenant, "base", canaryPath), strings.Replace(canaryDocument, "list", "array", 1))
	c.must(h.token, "PUT", api.Build(api.RouteTag, tenant, "mark"), `{}`)
	own, err := c.as(h).CreateToken(c.t.Context(), api.NewToken{Name: "spare"})
	if err != nil {
		c.t.Fatal(err)
	}
	server, err := c.server.client.CreateServerToken(c.t.Context(), api.NewToken{Name: "spare"})
	if err != nil {
		c.t.Fatal(err)
	}
	h.own, h.server, h.grant = own.ID, server.ID, c.governs(h)
	return h
}

func (c *canaryRun) as(h habitat) *client.Client {
	c.t.Helper()
	to, err := client.New(c.server.client.Address(), client.WithToken(h.token), client.WithTenant(h.tenant))
	if err != nil {
		c.t.Fatal(err)
	}
	return to
}

// fill puts something into each part of a path that can be chosen.
func (h habitat) fill(path string) string {
	id := h.server
	if strings.Contains(path, "{tenant}") {
		id = h.own
	}
	if strings.Contains(path, "/grants/") {
		id = h.grant
	}
	filled := strings.NewReplacer("{tenant}", h.tenant, "{environment}", "base", "{path}", canaryPath, "{version}", "2", "{revision}", "2", "{tag}", "mark", "{id}", id).Replace(path)
	for {
		open := strings.IndexByte(filled, '{')
		if open < 0 {
			return filled
		}
		filled = filled[:open] + "canary" + filled[strings.IndexByte(filled, '}')+1:]
	}
}

// answered calls a route as the tenant's administrator and, where that is not
// enough, as the server's, or as another who has nothing to do with either.
func (c *canaryRun) answered(h habitat, method, target string, body []byte, headers ...string) canaryAnswer {
	c.t.Helper()
	a := c.call(h.token, method, target, body, headers...)
	if a.status == http.StatusForbidden || a.status == http.StatusNotFound || a.status == http.StatusUnauthorized {
		for _, token := range []string{c.server.token, c.approver} {
			if other := c.call(token, method, target, body, headers...); other.status < a.status {
				return other
			}
		}
	}
	return a
}

// reads calls a route with each parameter alone, with all of them, and with all
// of it revealed where that may be asked.
func (c *canaryRun) reads(h habitat, path string, route canaryRoute) (served bool) {
	c.t.Helper()
	target, named := h.fill(path), route.queries()
	queries := []url.Values{{}, {"reveal": {"true"}}}
	all := url.Values{}
	for name, kind := range named {
		for _, value := range queryValues(name, kind) {
			queries = append(queries, url.Values{name: {value}}, url.Values{name: {value}, "reveal": {"true"}})
			all[name] = []string{value}
		}
	}
	queries = append(queries, all)
	without := maps.Clone(all)
	delete(without, "reveal")
	for _, q := range append(queries, without) {
		at := target
		if len(q) > 0 {
			at += "?" + q.Encode()
		}
		a := c.answered(h, http.MethodGet, at, nil, "If-None-Match", `"r1"`)
		served = served || a.status < 300
	}
	for _, accept := range []string{api.TypeYAML, api.TypeTOML, "text/html", api.TypeEvents} {
		c.answered(h, http.MethodGet, target, nil, "Accept", accept)
	}
	return served
}

func queryValues(name, kind string) []string {
	switch {
	case kind == "boolean":
		return []string{"true"}
	case kind == "integer":
		return []string{"1", "2"}
	case name == "format":
		return []string{"json", "yaml", "toml"}
	case name == "include":
		return []string{"data"}
	case name == "label":
		return []string{"bird=yes"}
	case name == "field":
		return []string{"value", "nested"}
	case name == "glob":
		return []string{"**"}
	case name == "prefix":
		return []string{"llm"}
	case name == "kind":
		return []string{"secret", "change"}
	}
	return []string{"1", "2", "mark", canaryPath}
}

// writes calls a route with what its description demands, with all sorts of
// bodies that are none, and with the other marker in each text of the body.
func (c *canaryRun) writes(h habitat, d canaryAPI, method, path string, route canaryRoute) (served bool) {
	c.t.Helper()
	target := h.fill(path)
	mediaType, schema := route.body()
	send := func(query string, body []byte, headers ...string) canaryAnswer {
		return c.answered(h, method, target+query, body, append([]string{"Content-Type", mediaType, api.HeaderIdempotent, "k" + strconv.Itoa(int(time.Now().UnixNano()))}, headers...)...)
	}
	for _, query := range []string{"?dry_run=true", "?reveal=true"} {
		if _, named := route.queries()[query[1:strings.IndexByte(query, '=')]]; named || query == "?reveal=true" {
			send(query, d.encode(c.plainBody(d, schema)))
		}
	}
	if schema != nil {
		for name, body := range malformed(c.stuffed.core) {
			if strings.HasSuffix(name, "twice") && (strings.Contains(path, "/layers/") || strings.HasSuffix(path, "/changes")) {
				continue // names in documents are their writer's, and are pointed at
			}
			c.lookStuffed(method+" "+path+", "+name, send("", []byte(body)))
		}
		for name, mediaType := range map[string]string{"text": "text/plain", "YAML": api.TypeYAML, "TOML": api.TypeTOML, "a form": "application/x-www-form-urlencoded"} {
			c.lookStuffed(method+" "+path+" as "+name, send("", []byte(c.stuffed.core+": ["), "Content-Type", mediaType))
		}
		for _, s := range c.bodies(d, "", schema, 4).stuffed {
			if a := send("", d.encode(s.body)); !isCanaryAddress(s.at) && !isPolicyText(path, s.at) {
				c.lookStuffed(method+" "+path+", "+s.at, a)
			}
		}
	}
	if version := route.queries()["version"]; version != "" {
		served = send("?version=1", d.encode(c.plainBody(d, schema))).status < 300
	}
	if body, known := canaryServed[method+" "+path]; known {
		served = send("", []byte(body)).status < 300
	}
	// The last one may take away what all the others are about.
	a := send("", d.encode(c.plainBody(d, schema)))
	if a.status >= 400 {
		a = send("?force=true", d.encode(c.plainBody(d, schema)))
	}
	return served || a.status < 300
}

// canaryServed are bodies for routes that refuse the least that their
// description demands. A route that is not here is called all the same.
var canaryServed = map[string]string{
	"POST /api/v1/tenants":                                                            `{"name":"one-more"}`,
	"POST /api/v1/tenants/{tenant}/changes":                                           `{"edits":[{"op":"put","environment":"base","path":"llm/other","document":{"a":"${secret:llm/canary}"}}]}`,
	"PUT /api/v1/tenants/{tenant}/policies/{policy}":                                  `{"text":"` + strings.ReplaceAll(canaryRule, `"`, `\"`) + `"}`,
	"POST /api/v1/tenants/{tenant}/policy-test":                                       `{"name":"canary","text":"` + strings.ReplaceAll(canaryRule, `"`, `\"`) + `"}`,
	"POST /api/v1/tenants/{tenant}/policy-simulate":                                   `{"name":"canary"}`,
	"POST /api/v1/tenants/{tenant}/policy-rollback/{policy}":                          `{"to":1}`,
	"POST /api/v1/tenants/{tenant}/authz/explain":                                     `{"action":"config.read","environment":"base","path":"llm/canary","roles":["canary"]}`,
	"POST /api/v1/tenants/{tenant}/promote":                                           `{"from":"base","to":"staging","all":true}`,
	"POST /api/v1/tenants/{tenant}/revert":                                            `{"revision":6}`,
	"POST /api/v1/tenants/{tenant}/environments/{environment}/secret-activate/{path}": `{"version":1}`,
	"POST /api/v1/tenants/{tenant}/environments/{environment}/secret-revoke/{path}":   `{"version":1}`,
	"POST /api/v1/tenants/{tenant}/environments/{environment}/secret-rotate/{path}":   `{"generate":{"kind":"hex"}}`,
}

// lookStuffed wants a refusal that is the caller's to mend, and that says nothing
// of what stood in the request.
func (c *canaryRun) lookStuffed(what string, a canaryAnswer) {
	c.t.Helper()
	c.lookRefused(what, a)
	if a.status >= 500 {
		c.t.Errorf("%s: %d %s", what, a.status, a.body)
	}
}

func (c *canaryRun) lookRefused(what string, a canaryAnswer) {
	c.t.Helper()
	if found := c.stuffed.in(a.all()); found != "" && a.status >= 400 {
		c.t.Errorf("%s: the refusal holds what stood in the request (%s): %d %s", what, found, a.status, a.body)
	}
}

// isCanaryAddress says whether a member names something. What it names is said
// again when it is not there, like the path of a URL.
func isCanaryAddress(member string) bool {
	last := member[strings.LastIndexByte(member, '.')+1:]
	return slices.Contains([]string{"environment", "path", "paths", "from", "to", "at", "parent", "name", "signing"}, last)
}

// isPolicyText says whether a member is the text of policies. Its author is told
// what he wrote where it is wrong; the log is not.
func isPolicyText(path, member string) bool {
	return member == "text" && slices.Contains([]string{api.RoutePolicy, api.RoutePolicyTest, api.RoutePolicyTry}, path)
}

// malformed are bodies that hold a text and are refused whatever route they go to.
func malformed(core string) map[string]string {
	q := `"` + core + `"`
	return map[string]string{
		"a text": q, "bare": core, "a list": "[" + q, "cut short": `{"fields":{"value":` + q[:len(q)-1], "cut short later": `{"fields":{"value":` + q + `}`,
		"twice": `{"fields":{"value":` + q + `,"value":` + q + `}}`, "a key twice": `{"fields":{` + q + `:1,` + q + `:2}}`, "a member twice": `{` + q + `:1,` + q + `:2}`,
		"something behind": `{}` + q, "a bad escape": `{"fields":{"value":"\q` + core + `"}}`, "no UTF-8": `{"fields":{"value":"` + core + "\xff\"}}", "a lone surrogate": `{"fields":{"value":"\ud800` + core + `"}}`,
		"too deep": strings.Repeat(`{"fields":[`, 200) + q + strings.Repeat("]}", 200), "not a number": `{"fields":{"value":` + core + `}}`, "a control character": "{\"fields\":{\"value\":\"\x01" + core + `"}}`,
	}
}

// malformedSecrets sends values where a secret is written, in bodies that are
// wrong in any way.
func (c *canaryRun) malformedSecrets(t *testing.T) {
	c = c.within(t)
	target := c.at(api.RouteSecret, "base", canaryPath)
	bodies := malformed(c.m.core)
	q := `"` + c.m.core + `"`
	maps.Copy(bodies, map[string]string{
		"an unknown member": `{"fields":{"value":` + q + `},"surprise":` + q + `}`, "a name that is unknown": `{` + q + `:1}`, "values as a list": `{"fields":[` + q + `]}`, "values as a text": `{"fields":` + q + `}`,
		"no base64": `{"fields":{"value":"` + c.m.core + `!"},"base64":["value"]}`, "JSON as base64": `{"fields":{"value":{"a":` + q + `}},"base64":["value"]}`, "base64 of nothing": `{"fields":{"value":"x"},"base64":[` + q + `]}`,
		"a bad name": `{"fields":{"` + c.m.core + ` /":"x"}}`, "a number too large": `{"fields":{"value":{` + q + `:1e999}}}`, "null": `{"fields":{"value":null,"other":` + q + `}}`,
		"a time": `{"fields":{"value":` + q + `},"expires_at":` + q + `}`, "a version": `{"fields":{"value":` + q + `},"if_version":` + q + `}`, "a generator": `{"generate":{"kind":` + q + `}}`, "a generator and a value": `{"generate":{"kind":"hex"},"fields":{"value":` + q + `}}`,
		"a generator that is a text": `{"generate":` + q + `}`, "a rotation": `{"fields":{"value":` + q + `},"rotation":{"generator":{"kind":` + q + `}}}`, "an overlap": `{"fields":{"value":` + q + `},"rotation":{"overlap":` + q + `}}`,
		"a webhook": `{"fields":{"value":` + q + `},"rotation":{"webhook":{"url":` + q + `,"signing":"hooks/signing"}}}`, "a webhook with a password": `{"rotation":{"webhook":{"url":"https://u:` + c.m.core + `@127.0.0.1/","signing":"hooks/signing"}}}`,
		"a webhook's query": `{"rotation":{"webhook":{"url":"https://127.0.0.1:1/?token=` + c.m.core + `%zz","signing":"x y"}}}`, "stage": `{"fields":{"value":` + q + `},"stage":` + q + `}`, "now and stage": `{"fields":{"value":` + q + `},"stage":true,"now":true}`,
		"a weak value": `{"fields":{"value":"` + c.m.core[:markerPiece] + `"}}`, "a weak value among JSON": `{"fields":{"value":{"password":"` + c.m.core[:markerPiece] + `"}}}`, "a weak value and another": `{"fields":{"other":` + q + `,"value":"password"}}`,
		"too deep in a field": `{"fields":{"value":` + strings.Repeat("[", 40) + q + strings.Repeat("]", 40) + `}}`, "a large field": `{"fields":{"value":"` + strings.Repeat(c.m.core, 4000) + `"}}`,
		"too large": `{"fields":{"value":"` + strings.Repeat(c.m.core, 11<<15) + `"}}`, "a large name": `{"fields":{"` + strings.Repeat(c.m.core, 40) + `":"x"}}`, "many fields": `{"fields":{` + strings.Repeat(q+`:1,`, 100) + `"x":1}}`,
		"a stale condition": `{"fields":{"value":` + q + `},"if_version":77}`, "a grace that is past": `{"fields":{"value":` + q + `},"grace_seconds":-1}`, "a label": `{"fields":{"value":` + q + `},"labels":["` + c.m.core + `"]}`,
	})
	for name, body := range bodies {
		if name == "not a number" {
			continue // in YAML it is a text
		}
		for _, mediaType := range []string{api.TypeJSON, api.TypeYAML, api.TypeTOML, "text/plain", "multipart/form-data"} {
			if a := c.call(c.server.token, "PUT", target, []byte(body), "Content-Type", mediaType, api.HeaderIdempotent, strings.ReplaceAll(name, " ", "-")+"-"+mediaType[len(mediaType)-4:]); a.status < 400 || a.status >= 500 {
				t.Errorf("%s as %s: %d %s", name, mediaType, a.status, a.body)
			}
			if len(body) < 1<<20 { // else it is not read, and the answer may be lost
				c.stranger("llmc_nobody", "PUT", target, []byte(body), "Content-Type", mediaType)
			}
		}
	}
	for _, headers := range [][]string{{"If-Match", `"r99"`}, {"If-None-Match", "*"}, {"Content-Encoding", "gzip"}, {"If-Match", "nonsense"}, {"Content-Type", "application/json; charset=x"}, {"Authorization", "Bearer " + c.m.core}, {"Cookie", "a=" + c.m.core}} {
		c.stranger(c.server.token, "PUT", target, []byte(c.fields()), headers...)
	}
	for range 2 { // the same key for another request
		c.call(c.server.token, "PUT", target, []byte(strings.Replace(c.fields(), "a canary", "another", 1)), api.HeaderIdempotent, "canary-defaultbase")
	}
	for _, query := range []string{"surprise=" + c.m.core, "version=" + c.m.core, "a=%zz" + c.m.core, c.m.core} {
		c.call(c.server.token, "PUT", target+"?"+query, []byte(c.fields()))
		c.call(c.server.token, "GET", target+"?"+query, nil)
	}
	c.rawRequests(target)
	c.call(c.server.token, "PATCH", target, []byte(c.fields()))
	c.call(c.server.token, "PUT", c.at(api.RouteSecret, "nowhere", canaryPath), []byte(c.fields()))
	c.call(c.server.token, "PUT", c.at(api.RouteSecret, "base", "a//b"), []byte(c.fields()))
}

// rawRequests are no HTTP, or end in the middle.
func (c *canaryRun) rawRequests(target string) {
	c.t.Helper()
	head := "PUT " + target + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + c.server.token + "\r\nContent-Type: application/json\r\n"
	body := c.fields()
	for name, text := range map[string]string{
		"no HTTP": c.m.core + "\r\n\r\n", "a bad header": head + c.m.core + "\r\n\r\n", "a bad name": head + "X " + c.m.core + ": a\r\n\r\n", "a bad value": head + "X: \x00" + c.m.core + "\r\n\r\n",
		"a bad length": head + "Content-Length: " + c.m.core + "\r\n\r\n" + body, "a body cut short": head + "Content-Length: 100000\r\n\r\n" + body, "a bad chunk": head + "Transfer-Encoding: chunked\r\n\r\n" + c.m.core + "\r\n",
		"a chunk cut short": head + "Transfer-Encoding: chunked\r\n\r\nffff\r\n" + body, "a bad encoding": head + "Transfer-Encoding: " + c.m.core + "\r\n\r\n", "a bad method": c.m.core + " / HTTP/1.1\r\nHost: a\r\n\r\n",
		"a body as a request": head + "Content-Length: 0\r\n\r\n" + body + "\r\n\r\n", "a bad version": "PUT / " + c.m.core + "\r\n\r\n", "a bad host": "GET /health/live HTTP/1.1\r\nHost: " + c.m.core + "/?\r\n\r\n",
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(c.server.client.Address(), "http://"))
		if err != nil {
			c.t.Fatal(err)
		}
		_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = io.WriteString(connection, text)
		half, _ := connection.(*net.TCPConn)
		if err = errors.Join(err, half.CloseWrite()); err != nil {
			c.t.Error(err)
		}
		answer, _ := io.ReadAll(connection) // what there is of it
		c.look(name, answer)
		_ = connection.Close()
	}
}

// stuffedBody is a body with a marker in one place.
type stuffedBody struct {
	at   string
	body any
}

type canaryBodies struct {
	plain   any
	stuffed []stuffedBody
}

func (d canaryAPI) encode(body any) []byte {
	if body == nil {
		return nil
	}
	text, _ := json.Marshal(body) // made of what encodes
	return text
}

func (c *canaryRun) plainBody(d canaryAPI, schema map[string]any) any {
	if schema == nil {
		return nil
	}
	return c.bodies(d, "", schema, 4).plain
}

// bodies makes of a schema what it demands, and that again with a marker in
// each place in turn. Members called fields are those of secrets: what goes
// there is a value.
func (c *canaryRun) bodies(d canaryAPI, name string, schema map[string]any, depth int) canaryBodies {
	for {
		reference, ok := schema["$ref"].(string)
		if !ok {
			break
		}
		schema = d.Components.Schemas[strings.TrimPrefix(reference, "#/components/schemas/")]
	}
	wrong := []stuffedBody{{name, c.stuffed.core}} // also where it is no text
	if depth == 0 {
		return canaryBodies{plain: map[string]any{}, stuffed: wrong}
	}
	if choices, ok := schema["enum"].([]any); ok {
		return canaryBodies{choices[0], wrong}
	}
	kind, _ := schema["type"].(string)
	switch kind {
	case "string":
		return canaryBodies{plainText(name, schema), wrong}
	case "integer", "number":
		return canaryBodies{1, wrong}
	case "boolean":
		return canaryBodies{false, wrong}
	case "array":
		return c.inList(d, name, schema, depth)
	case "object":
		return c.inObject(d, name, schema, depth)
	}
	return canaryBodies{map[string]any{"a": 1}, []stuffedBody{{name, map[string]any{"a": c.stuffed.core}}}}
}

func (c *canaryRun) inList(d canaryAPI, name string, schema map[string]any, depth int) canaryBodies {
	items, _ := schema["items"].(map[string]any)
	item := c.bodies(d, name, items, depth-1)
	made := canaryBodies{plain: []any{item.plain}}
	for _, s := range item.stuffed {
		made.stuffed = append(made.stuffed, stuffedBody{s.at, []any{s.body}})
	}
	return made
}

func (c *canaryRun) inObject(d canaryAPI, name string, schema map[string]any, depth int) canaryBodies {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	plain := map[string]any{}
	made := canaryBodies{plain: plain}
	if _, free := schema["additionalProperties"].(map[string]any); free || schema["additionalProperties"] == true {
		core := c.stuffed.core
		if strings.HasSuffix(name, "fields") {
			core = c.m.core
		}
		made.stuffed = append(made.stuffed, stuffedBody{name, map[string]any{"value": core}}, stuffedBody{name, map[string]any{"value": []any{core}}})
	}
	for member, schema := range properties {
		below := c.bodies(d, strings.TrimPrefix(name+"."+member, "."), schema.(map[string]any), depth-1)
		if slices.Contains(required, any(member)) {
			plain[member] = below.plain
		}
		for _, s := range below.stuffed {
			made.stuffed = append(made.stuffed, stuffedBody{s.at, map[string]any{member: s.body}})
		}
	}
	for i, s := range made.stuffed { // what else is required goes in beside
		if body, ok := s.body.(map[string]any); ok && len(properties) > 0 {
			with := maps.Clone(plain)
			maps.Copy(with, body)
			made.stuffed[i].body = with
		}
	}
	return made
}

// plainText is a text that a member of this name may have.
func plainText(name string, schema map[string]any) string {
	if schema["format"] == "date-time" {
		return "2099-01-01T00:00:00Z"
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if text, known := map[string]string{
		"environment": "base", "path": canaryPath, "from": "base", "to": "2", "at": "2", "parent": "base", "signing": "hooks/signing", "url": "https://127.0.0.1:1/",
	}[last]; known {
		return text
	}
	return "x"
}
