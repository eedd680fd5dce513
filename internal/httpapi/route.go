package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// newAPI makes the OpenAPI description and the formats that bodies come in.
func (s *Server) newAPI() huma.API {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	spec := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "LLM-Config-Manager", Version: s.version,
			Description: "Settings, prompts, routing and limits of LLM applications: typed, versioned, sealed, live.",
			License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/"}},
		Components: &huma.Components{
			Schemas: registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "An API token: llmc_…"},
			},
		},
		Security: []map[string][]string{{"token": {}}},
	}
	config := huma.Config{
		OpenAPI: spec, RejectUnknownQueryParameters: true, DefaultFormat: api.TypeJSON, NoFormatFallback: true,
		Formats: map[string]huma.Format{
			api.TypeJSON: {Marshal: writeJSON, Unmarshal: json.Unmarshal},
			api.TypeYAML: {Marshal: writeAs(config.YAML)},
			api.TypeTOML: {Marshal: writeAs(config.TOML)},

			api.ProblemType: {Marshal: func(io.Writer, any) error { return nil }}, // problems are written by fail
		},
	}
	s.spec = spec
	return huma.NewAPI(config, adapter{humago.NewAdapter(s.mux, ""), s})
}

// writeJSON writes a value and a line end. Documents within it keep their
// canonical bytes, so that their digests can be checked by who gets them.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func writeAs(format config.Format) func(io.Writer, any) error {
	return func(w io.Writer, v any) error {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		value, err := canon.Decode(body, canon.Limits{Bytes: len(body) + 1, Depth: maxBodyDepth, Nodes: len(body) + 1})
		if err != nil {
			return err
		}
		if body, err = config.EncodeValue(value, format); err != nil {
			return w.(*bufferedWriter).unwritable(v, err) //nolint:forcetypeassert // all answers are buffered
		}
		_, err = w.Write(body)
		return err
	}
}

// adapter is huma's for net/http, with our errors and our table of routes.
type adapter struct {
	huma.Adapter
	s *Server
}

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	a.s.handle(op.Method, op.Path, actionOf(op), func(w http.ResponseWriter, r *http.Request) {
		format, err := acceptedFormat(r)
		if err == nil {
			_, err = parseQuery(r, repeatable(op)...)
		}
		if err == nil {
			format, err = queriedFormat(r, format)
		}
		if err == nil && op.Method != http.MethodGet {
			err = noPrecondition(r.Header)
		}
		if err == nil && op.RequestBody != nil {
			if err = a.s.bodyAsJSON(r); op.Path != api.RouteChanges {
				err = nameless(err)
			}
		}
		if err != nil {
			a.s.fail(w, r, err)
			return
		}
		r.Header["Accept"] = contentType(format) // one that huma has, so that it need not choose
		buffer := bufferFor(w, r, format)
		handler(humago.NewContext(op, r, buffer))
		a.s.finish(w, r, buffer)
	})
}

// repeatable names the parameters that may be given more than once.
func repeatable(op *huma.Operation) []string {
	var names []string
	for _, p := range op.Parameters {
		if p.Schema.Type == huma.TypeArray {
			names = append(names, p.Name)
		}
	}
	return names
}

// bufferedWriter holds an answer until it is known whether it is an error, and
// what it is to be compressed as.
type bufferedWriter struct {
	http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
	landed bool  // it answers a write, which is done whatever becomes of the answer
	err    error // why there is no answer
}

// queriedFormat is the format that ?format= names, which beats what is accepted.
// It is taken out of the query, because every route that answers a value has it.
func queriedFormat(r *http.Request, accepted config.Format) (config.Format, error) {
	query := r.URL.Query()
	if !query.Has("format") {
		return accepted, nil
	}
	format, err := formatOf(query.Get("format"))
	query.Del("format")
	r.URL.RawQuery = query.Encode()
	return format, err
}

// noPrecondition refuses what would be a promise that these routes do not keep.
func noPrecondition(header http.Header) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if len(header.Values(name)) > 0 {
			return config.Errorf(config.KindBadRequest, "this route takes no precondition in a header").At(name).
				Hint("in a change, give each edit its if_version; layers take If-Match")
		}
	}
	return nil
}

func bufferFor(w http.ResponseWriter, r *http.Request, format config.Format) *bufferedWriter {
	return &bufferedWriter{
		ResponseWriter: w, header: http.Header{"Content-Type": contentType(format)},
		landed: r.Method != http.MethodGet && r.Method != http.MethodHead,
	}
}

// unwritable takes note of an answer that the format asked for cannot hold. Of
// what was done it tells in JSON.
func (w *bufferedWriter) unwritable(v any, err error) error {
	if w.landed {
		w.header["Content-Type"] = jsonHeader
		return writeJSON(w, v)
	}
	w.err = err // huma would panic
	return nil
}

func (w *bufferedWriter) Header() http.Header         { return w.header }
func (w *bufferedWriter) WriteHeader(status int)      { w.status = status }
func (w *bufferedWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// finish answers with what a handler made. Errors were noted by the handler;
// what huma wrote of them is not used.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, b *bufferedWriter) {
	if err := b.failure(stateOf(r.Context())); err != nil {
		s.fail(w, r, err)
		return
	}
	header := w.Header()
	for name, values := range b.header {
		header[name] = values
	}
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", "no-store")
	}
	header["Vary"] = varyHeader
	body := b.body.Bytes()
	if encoding, packed := compressed(r, body); packed != nil {
		header.Set("Content-Encoding", encoding)
		body = packed
	}
	if b.status == 0 {
		b.status = http.StatusOK
	}
	w.WriteHeader(b.status)
	_, _ = w.Write(body)
}

// failure is the error behind an answer of huma's, nil if it is none.
func (w *bufferedWriter) failure(state *requestState) error {
	switch {
	case w.err != nil:
		return w.err
	case w.status < http.StatusBadRequest:
		return nil
	case state.err != nil:
		return state.err
	}
	return internalError
}

// handle registers a route.
func (s *Server) handle(method, pattern, action string, handler http.HandlerFunc) {
	s.routes = append(s.routes, Route{Method: method, Pattern: pattern, Public: isPublic(pattern), Action: action})
	s.mux.HandleFunc(method+" "+pattern, handler)
}

// operation describes a route.
type operation struct {
	method, path     string
	action           string // as Route has it
	id, tag, summary string
	status           int // of success; 0 for 200
}

// typed registers a route whose request and answer are typed: the one way on
// which every JSON request goes.
func typed[I, O any](a huma.API, op operation, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a, op.describe(), func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			stateOf(ctx).err = err
			return nil, asHuma(err)
		}
		return out, nil
	})
}

func (op operation) describe() huma.Operation {
	described := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: -1, BodyReadTimeout: 0,
		Errors: nil, Metadata: map[string]any{actionKey: op.action},
	}
	if isPublic(op.path) {
		described.Security = []map[string][]string{}
	}
	return described
}

// actionKey is where an operation keeps its action.
const actionKey = "action"

func actionOf(op *huma.Operation) string {
	action, _ := op.Metadata[actionKey].(string)
	return action
}

// unrouted answers what no route takes: 405 where another method would do.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" && !strings.HasPrefix(pattern, refusedHead) {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		p := newProblem(api.CodeMethodNotAllowed, "this route does not take "+r.Method)
		p.Next = "use one of " + strings.Join(allowed, ", ")
		s.fail(w, r, p)
		return
	}
	p := newProblem(api.CodeNotFound, "there is no such route")
	p.Next = "see /docs"
	s.fail(w, r, p)
}
