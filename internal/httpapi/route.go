package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of a request's body that is not itself a document. The documents in
// it have their own.
const (
	maxBodyDepth = config.MaxNesting + 8
	maxBodyNodes = 1 << 20
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
			api.TypeJSON: {Marshal: writeJSON, Unmarshal: readAs(config.JSON)},
			api.TypeYAML: {Marshal: writeAs(config.YAML), Unmarshal: readAs(config.YAML)},
			api.TypeTOML: {Marshal: writeAs(config.TOML), Unmarshal: readAs(config.TOML)},
			"json":       {Marshal: writeJSON, Unmarshal: readAs(config.JSON)},
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
			return err
		}
		_, err = w.Write(body)
		return err
	}
}

// readAs decodes a body as strictly as a document: no duplicate keys, no number
// that would change, no invalid text.
func readAs(format config.Format) func([]byte, any) error {
	return func(body []byte, into any) error {
		if format == config.JSON {
			if _, err := canon.Decode(body, canon.Limits{Bytes: len(body) + 1, Depth: maxBodyDepth, Nodes: maxBodyNodes}); err != nil {
				return badBody(err)
			}
			return json.Unmarshal(body, into)
		}
		doc, err := config.Decode(format, body, config.Limits{Bytes: len(body) + 1})
		if err != nil {
			return asBody(err)
		}
		return json.Unmarshal(doc.Canonical(), into)
	}
}

// badBody says what is wrong with the JSON of a request.
func badBody(err error) error {
	var fault *canon.Error
	if !errors.As(err, &fault) {
		return err
	}
	kind := config.KindBadRequest
	if fault.TooLarge {
		kind = config.KindTooLarge
	}
	return config.Errorf(kind, "line %d, column %d: %s", fault.Line, fault.Column, fault.Reason).At(fault.Pointer).Over(fault.Limit, fault.Actual)
}

// asBody makes the refusal of a document one of a request's body.
func asBody(err error) error {
	var e *config.Error
	if errors.As(err, &e) && e.Kind == config.KindInvalidDocument {
		refusal := *e
		refusal.Kind = config.KindBadRequest
		return &refusal
	}
	return err
}

// adapter is huma's for net/http, with our errors and our table of routes.
type adapter struct {
	huma.Adapter
	s *Server
}

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	a.s.handle(op.Method, op.Path, func(w http.ResponseWriter, r *http.Request) {
		format, err := acceptedFormat(r)
		if err != nil {
			a.s.fail(w, r, err)
			return
		}
		r.Header["Accept"] = contentType(format) // one that huma has, so that it need not choose
		buffer := &bufferedWriter{ResponseWriter: w, header: http.Header{}}
		handler(humago.NewContext(op, r, buffer))
		a.s.finish(w, r, buffer)
	})
}

// bufferedWriter holds an answer until it is known whether it is an error, and
// what it is to be compressed as.
type bufferedWriter struct {
	http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *bufferedWriter) Header() http.Header         { return w.header }
func (w *bufferedWriter) WriteHeader(status int)      { w.status = status }
func (w *bufferedWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// finish answers with what a handler made. Errors were noted by the handler;
// what huma wrote of them is not used.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, b *bufferedWriter) {
	state := stateOf(r.Context())
	if b.status >= http.StatusBadRequest {
		s.fail(w, r, b.failure(state))
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

// failure is the error behind an answer of huma's.
func (w *bufferedWriter) failure(state *requestState) error {
	if state.err != nil {
		return state.err
	}
	return internalError
}

// handle registers a route.
func (s *Server) handle(method, pattern string, handler http.HandlerFunc) {
	s.routes = append(s.routes, Route{Method: method, Pattern: pattern, Public: isPublic(pattern)})
	s.mux.HandleFunc(method+" "+pattern, handler)
}

// operation describes a route.
type operation struct {
	method, path, id, tag, summary string
	status                         int // of success; 0 for 200
}

// typed registers a route whose request and answer are typed: the one way on
// which every JSON request goes.
func typed[I, O any](s *Server, a huma.API, op operation, handler func(context.Context, *I) (*O, error)) {
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
	return huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{op.tag},
		DefaultStatus: op.status, MaxBodyBytes: -1, BodyReadTimeout: 0,
		Errors: nil,
	}
}

// unrouted answers what no route takes: 405 where another method would do.
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		p := newProblem(api.CodeMethodNotAllowed, "this route does not take "+r.Method)
		p.Next = "use " + strings.Join(allowed, " or ")
		s.fail(w, r, p)
		return
	}
	p := newProblem(api.CodeNotFound, "there is no such route")
	p.Next = "see /docs"
	s.fail(w, r, p)
}
