package httpapi

import (
	"bytes"
	"html/template"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
)

// plain registers a route that is written by hand, with its description.
func (s *Server) plain(method, pattern, action string, handler http.HandlerFunc, op *huma.Operation) {
	op.Method, op.Path, op.Metadata = method, pattern, map[string]any{actionKey: action}
	if isPublic(pattern) {
		op.Security = []map[string][]string{}
	}
	s.spec.AddOperation(op)
	s.handle(method, pattern, action, handler)
}

// describe finishes the description: every operation says how it fails, and
// wildcards are written as OpenAPI has them.
func (s *Server) describe() {
	failure := &huma.Response{
		Description: "What is wrong, where, and what to do about it (RFC 9457)",
		Content:     map[string]*huma.MediaType{api.ProblemType: {Schema: schemaOf[Problem](s.spec)}},
	}
	paths := make(map[string]*huma.PathItem, len(s.spec.Paths))
	for pattern, item := range s.spec.Paths {
		for _, op := range operations(item) {
			op.op.Path = strings.ReplaceAll(op.op.Path, "...}", "}")
			if op.op.Responses == nil {
				op.op.Responses = map[string]*huma.Response{}
			}
			if action := actionOf(op.op); action != nobody && action != authenticated {
				op.op.Extensions = map[string]any{"x-actions": strings.Split(action, "+")}
			}
			if !isPublic(pattern) || pattern == api.RouteLoginMethods {
				inEveryFormat(op.op)
			}
			op.op.Responses["default"] = failure
			if op.op.OperationID == "rotate-secret" {
				op.op.Responses[strconv.Itoa(api.CodeRotationFailed.Status())] = &huma.Response{
					Description: "The webhook made no new value, or it did not work: the version in use is what it was, the failure is on record, and the same request is answered so again",
					Content:     failure.Content,
				}
			}
		}
		paths[strings.ReplaceAll(pattern, "...}", "}")] = item
	}
	s.spec.Paths = paths
}

// inEveryFormat says that what comes and goes as JSON does so in YAML and TOML too.
func inEveryFormat(op *huma.Operation) {
	bodies := []map[string]*huma.MediaType{}
	if op.RequestBody != nil {
		bodies = append(bodies, op.RequestBody.Content)
	}
	answers := false
	for _, response := range op.Responses {
		bodies = append(bodies, response.Content)
		answers = answers || response.Content[api.TypeJSON] != nil
	}
	if answers && !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "format" }) {
		op.Parameters = append(op.Parameters, in("query", "format", "string", "json, yaml or toml; beats Accept"))
	}
	for _, content := range bodies {
		for _, mediaType := range mediaTypes {
			if asJSON := content[api.TypeJSON]; asJSON != nil && content[mediaType] == nil {
				content[mediaType] = asJSON
			}
		}
	}
}

// namedOperation is an operation with its method.
type namedOperation struct {
	Method string
	op     *huma.Operation
}

func operations(item *huma.PathItem) []namedOperation {
	var all []namedOperation
	for _, o := range []namedOperation{
		{"GET", item.Get}, {"PUT", item.Put}, {"POST", item.Post}, {"PATCH", item.Patch}, {"DELETE", item.Delete},
	} {
		if o.op != nil {
			all = append(all, o)
		}
	}
	return all
}

func schemaOf[T any](spec *huma.OpenAPI) *huma.Schema {
	return spec.Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

func in(where, name, kind, doc string) *huma.Param {
	return &huma.Param{Name: name, In: where, Required: where == "path", Description: doc, Schema: &huma.Schema{Type: kind}}
}

func placeParameters(more ...*huma.Param) []*huma.Param {
	return append([]*huma.Param{
		in("path", "tenant", "string", "Name of the tenant"),
		in("path", "environment", "string", "Name of the environment"),
	}, more...)
}

var pathParameter = in("path", "path", "string", "Address of the document or secret; it contains slashes, which are sent as they are")

func headers(named ...string) map[string]*huma.Param {
	all := map[string]*huma.Param{}
	for i := 0; i+1 < len(named); i += 2 {
		all[named[i]] = &huma.Param{Description: named[i+1], Schema: &huma.Schema{Type: "string"}}
	}
	return all
}

// document is a document as a body, in each of its formats.
func document() map[string]*huma.MediaType {
	content := map[string]*huma.MediaType{}
	for _, mediaType := range mediaTypes {
		content[mediaType] = &huma.MediaType{Schema: &huma.Schema{Type: "object", AdditionalProperties: true}}
	}
	return content
}

var readQuery = []*huma.Param{
	in("query", "at", "string", "A revision, v3 (a version of the layer), an RFC 3339 time or a tag; left out, now"),
	in("query", "min_revision", "integer", "Wait up to two seconds until this revision is there"),
	in("query", "format", "string", "json, yaml or toml; beats Accept"),
	in("header", "If-None-Match", "string", "Answer 304 when the ETag is still this"),
}

func readConfigOperation(spec *huma.OpenAPI) *huma.Operation {
	content := document()
	content[api.TypeJSON].Schema = &huma.Schema{
		AnyOf: []*huma.Schema{{Type: "object", AdditionalProperties: true}, schemaOf[api.Explanation](spec)},
	}
	return &huma.Operation{
		OperationID: "get-config", Tags: []string{"configs"}, Summary: "Read an effective document",
		Description: "The layers of the environment and its ancestors, merged, with ${config:…} references resolved. The answer is the document itself.",
		Parameters: placeParameters(append([]*huma.Param{
			pathParameter, in("query", "explain", "boolean", "Answer where each leaf comes from instead"), revealParameter,
		}, readQuery...)...),
		Responses: map[string]*huma.Response{
			"200": {Description: "The document", Content: content, Headers: headers("ETag", "Of digest, format and encoding",
				api.HeaderRevision, "The revision the answer holds for", api.HeaderDigest, "SHA-256 of the document's RFC 8785 form",
				api.HeaderSecrets, "With reveal: path and version of each secret in the document, as in db/main 3, openai 7")},
			"304": {Description: "It is what you have"},
		},
	}
}

func readLayerOperation(*huma.OpenAPI) *huma.Operation {
	return &huma.Operation{
		OperationID: "get-layer", Tags: []string{"layers"}, Summary: "Read what one environment itself says",
		Parameters: placeParameters(append([]*huma.Param{pathParameter}, readQuery...)...),
		Responses: map[string]*huma.Response{
			"200": {Description: "The layer, removal marks included", Content: document(), Headers: headers("ETag", `"v<version>"`,
				api.HeaderRevision, "The revision it was read at", api.HeaderVersion, "The layer's version", api.HeaderDigest, "SHA-256 of the layer's RFC 8785 form")},
			"304": {Description: "It is what you have"},
		},
	}
}

func writeLayerOperation(spec *huma.OpenAPI, method string) *huma.Operation {
	op := &huma.Operation{
		Tags: []string{"layers"},
		Parameters: placeParameters(pathParameter,
			in("query", "dry_run", "boolean", "Answer the plan and change nothing"),
			in("header", "If-Match", "string", "The layer's ETag, or * for any"),
			in("header", "If-None-Match", "string", "* when there must be no layer"),
			in("header", api.HeaderIdempotent, "string", "A write that comes again with the same key is answered as before, for 24 hours"),
			in("header", api.HeaderMessage, "string", "Why; percent-encoded"),
		),
		Responses: map[string]*huma.Response{
			"200": {Description: "What it did", Content: map[string]*huma.MediaType{api.TypeJSON: {Schema: schemaOf[api.ChangeResult](spec)}},
				Headers: headers("ETag", "Of the new version", api.HeaderRevision, "The revision it made", api.HeaderReplayed, "true on an answer that was given before")},
		},
	}
	switch method {
	case http.MethodPut:
		op.OperationID, op.Summary = "put-layer", "Replace what one environment itself says"
		op.RequestBody = &huma.RequestBody{Required: true, Content: document()}
	case http.MethodPatch:
		op.OperationID, op.Summary = "patch-layer", "Change what one environment itself says"
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			api.TypeMergePatch: {Schema: &huma.Schema{Type: "object", AdditionalProperties: true}},
			api.TypeJSONPatch:  {Schema: &huma.Schema{Type: "array", Items: &huma.Schema{Type: "object", AdditionalProperties: true}}},
		}}
	default:
		op.OperationID, op.Summary = "delete-layer", "Delete what one environment itself says"
	}
	return op
}

func watchOperation(spec *huma.OpenAPI) *huma.Operation {
	schemaOf[api.WatchEvent](spec)
	schemaOf[api.WatchReset](spec)
	return &huma.Operation{
		OperationID: "watch", Tags: []string{"configs"}, Summary: "Follow what changes in an environment",
		Description: "Server-sent events. `change` has a WatchEvent, `reset` a WatchReset, `progress` only an id. Ids are revisions; " +
			"Last-Event-ID resumes, in order and without duplicates.",
		Parameters: placeParameters(
			in("query", "prefix", "string", "Only this path and those below it"),
			in("query", "include", "string", "data adds the documents"),
			in("header", "Last-Event-ID", "integer", "The revision to go on after; left out, now"),
		),
		Responses: map[string]*huma.Response{
			"200": {Description: "The stream", Content: map[string]*huma.MediaType{api.TypeEvents: {Schema: &huma.Schema{Type: "string"}}}},
		},
	}
}

func healthOperation(spec *huma.OpenAPI, id, summary string) *huma.Operation {
	content := map[string]*huma.MediaType{api.TypeJSON: {Schema: schemaOf[api.Health](spec)}}
	return &huma.Operation{
		OperationID: id, Tags: []string{"health"}, Summary: summary,
		Responses: map[string]*huma.Response{
			"200": {Description: "Yes", Content: content},
			"503": {Description: "No, or not now", Content: content},
		},
	}
}

// documented is an operation for the page that people read.
type documented struct {
	Method, Path, Summary, Description string
	Action                             string
	Parameters                         []*huma.Param
	Bodies                             []string
}

var (
	openAPIHeader       = http.Header{"Content-Type": {"application/openapi+json"}}
	auditSchemaHeader   = http.Header{"Content-Type": {"application/schema+json"}}
	documentationHeader = http.Header{
		"Content-Type":            {"text/html; charset=utf-8"},
		"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	}
)

// documentation is a page that needs nothing from anywhere else.
func (s *Server) documentation() []byte {
	groups := map[string][]documented{}
	for _, pattern := range slices.Sorted(maps.Keys(s.spec.Paths)) {
		for _, o := range operations(s.spec.Paths[pattern]) {
			d := documented{Method: o.Method, Path: pattern, Summary: o.op.Summary, Description: o.op.Description, Action: actionOf(o.op), Parameters: o.op.Parameters}
			if o.op.RequestBody != nil {
				d.Bodies = slices.Sorted(maps.Keys(o.op.RequestBody.Content))
			}
			groups[o.op.Tags[0]] = append(groups[o.op.Tags[0]], d)
		}
	}
	var text bytes.Buffer
	page := struct {
		Version string
		Groups  map[string][]documented
	}{s.version, groups}
	if err := documentationPage.Execute(&text, page); err != nil {
		panic(err) // nothing in it comes from outside
	}
	return text.Bytes()
}

var documentationPage = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM-Config-Manager API</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h2{text-transform:capitalize;border-bottom:1px solid #d7dce3;margin-top:2.5rem}
details{margin:.4rem 0}summary{cursor:pointer}code{font:14px/1.4 ui-monospace,monospace}
.m{display:inline-block;min-width:4.2rem;font-weight:600}table{border-collapse:collapse;margin:.5rem 0 .5rem 1rem}
td{padding:.15rem .8rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#d9dee6;background:#14181e}h2{border-color:#343c47}}
</style></head><body>
<h1>LLM-Config-Manager API</h1>
<p>Version {{.Version}}. The whole description is at <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).
Send your token as <code>Authorization: Bearer llmc_…</code>. Errors are <code>application/problem+json</code> with a stable <code>code</code>.</p>
{{range $tag, $operations := .Groups}}<h2>{{$tag}}</h2>
{{range $operations}}<details><summary><code><span class="m">{{.Method}}</span>{{.Path}}</code><br>{{.Summary}}</summary>
{{with .Description}}<p>{{.}}</p>{{end}}{{with .Action}}<p>Needs <code>{{.}}</code></p>{{end}}
<table>{{range .Parameters}}<tr><td><code>{{.Name}}</code></td><td>{{.In}}</td><td>{{.Description}}</td></tr>{{end}}
{{range .Bodies}}<tr><td>body</td><td colspan="2"><code>{{.}}</code></td></tr>{{end}}</table></details>
{{end}}{{end}}</body></html>
`))
