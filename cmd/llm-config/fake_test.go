package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// wire answers the few routes that some tests need more from than a server
// does: a write by somebody else at the right moment, say.
type wire struct {
	t        *testing.T
	url      string
	onPut    func(message string) // before a write is judged
	onListed func()               // after a list was made, before it is answered

	conflicts int          // how many writes are answered by a conflict first
	reads     atomic.Int64 // documents and layers answered

	mu       sync.Mutex
	revision int64
	layers   map[layerKey]wireLayer
	secrets  map[string]string // reference → what a revealed document has in its place
	watchers []chan api.WatchEvent
}

type wireLayer struct {
	version  int64
	document json.RawMessage
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t, revision: 1, layers: map[layerKey]wireLayer{}, secrets: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.RouteLayer, w.document)
	mux.HandleFunc("GET "+api.RouteConfig, w.document)
	mux.HandleFunc("GET "+api.RouteConfigs, w.list)
	mux.HandleFunc("PUT "+api.RouteLayer, w.put)
	mux.HandleFunc("GET "+api.RouteWatch, w.watch)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *wire) document(rw http.ResponseWriter, r *http.Request) {
	defer w.reads.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	layer, ok := w.layers[layerKey{r.PathValue("environment"), r.PathValue("path")}]
	if !ok {
		problem(rw, api.Problem{Code: api.CodeNotFound, Detail: "not there"})
		return
	}
	rw.Header().Set("Content-Type", api.TypeJSON)
	rw.Header().Set(api.HeaderRevision, strconv.FormatInt(w.revision, 10))
	rw.Header().Set(api.HeaderVersion, strconv.FormatInt(layer.version, 10))
	text := string(layer.document)
	if r.URL.Query().Get("reveal") == "true" {
		for reference, value := range w.secrets {
			text = strings.ReplaceAll(text, reference, value)
		}
	}
	_, _ = io.WriteString(rw, text)
}

// rotate gives a secret another value and tells the watchers of the documents
// that refer to it.
func (w *wire) rotate(reference, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision++
	w.secrets[reference] = value
	event := api.WatchEvent{Revision: w.revision}
	for key, layer := range w.layers {
		if bytes.Contains(layer.document, []byte(reference)) {
			event.Changes = append(event.Changes, api.WatchChange{Path: key.path, Digest: "d", Secret: &api.SecretRef{Path: "openai"}})
		}
	}
	for _, watcher := range w.watchers {
		watcher <- event
	}
}

// list only says at which revision it is, and that there is one environment.
func (w *wire) list(rw http.ResponseWriter, r *http.Request) {
	if r.PathValue("environment") != "staging" {
		problem(rw, api.Problem{Code: api.CodeNotFound, Detail: "there is no environment of this name"})
		return
	}
	w.mu.Lock()
	list := api.ConfigList{Revision: w.revision, Configs: []api.ConfigEntry{}}
	w.mu.Unlock()
	if w.onListed != nil {
		w.onListed()
	}
	answer(rw, list)
}

func (w *wire) put(rw http.ResponseWriter, r *http.Request) {
	document, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	if w.onPut != nil {
		w.onPut(r.Header.Get(api.HeaderMessage))
	}
	key := layerKey{r.PathValue("environment"), r.PathValue("path")}
	w.mu.Lock()
	now := w.layers[key]
	w.mu.Unlock()
	expected, conditional := api.ParseLayerETag(r.Header.Get("If-Match"))
	switch {
	case bytes.Contains(document, []byte("refuse me")):
		problem(rw, api.Problem{Code: api.CodeInvalidReference, Detail: "that refers to nothing", Pointer: "/a", Next: "create it first"})
		return
	case w.conflicts > 0:
		w.conflicts--
		problem(rw, api.Problem{Code: api.CodeConflict, Detail: "others were faster"})
		return
	case bytes.Contains(document, []byte("forbidden")):
		problem(rw, api.Problem{Code: api.CodeForbidden, Detail: "you may not"})
		return
	case conditional && expected != now.version, r.Header.Get("If-None-Match") == "*" && now.version != 0:
		problem(rw, api.Problem{Code: api.CodePreconditionFailed, Detail: "the layer moved"})
		return
	}
	version := w.set(key, string(document))
	answer(rw, api.ChangeResult{
		Committed: api.Committed{Status: api.StatusCommitted, Revision: w.revision},
		Edits:     []api.EditResult{{Op: api.OpPut, Environment: key.environment, Path: key.path, Version: version}},
	})
}

// set writes a layer and tells the watchers.
func (w *wire) set(key layerKey, document string) (version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision++
	layer := wireLayer{w.layers[key].version + 1, json.RawMessage(document)}
	w.layers[key] = layer
	for _, watcher := range w.watchers {
		watcher <- api.WatchEvent{Revision: w.revision, Changes: []api.WatchChange{{Path: key.path, Digest: "d"}}}
	}
	return layer.version
}

func (w *wire) layer(key layerKey) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.layers[key].document)
}

func (w *wire) watch(rw http.ResponseWriter, r *http.Request) {
	events := make(chan api.WatchEvent, 100)
	w.mu.Lock()
	w.watchers = append(w.watchers, events)
	after, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if after < w.revision { // as a server catches up
		var all []api.WatchChange
		for key := range w.layers {
			all = append(all, api.WatchChange{Path: key.path, Digest: "d"})
		}
		events <- api.WatchEvent{Revision: w.revision, Changes: all}
	}
	w.mu.Unlock()
	rw.Header().Set("Content-Type", api.TypeEvents)
	rw.WriteHeader(http.StatusOK)
	flusher := http.NewResponseController(rw)
	_ = flusher.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			text, _ := json.Marshal(event)
			fmt.Fprintf(rw, "id: %d\nevent: %s\ndata: %s\n\n", event.Revision, api.EventChange, text)
			_ = flusher.Flush()
		}
	}
}

func answer(rw http.ResponseWriter, body any) {
	rw.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(rw).Encode(body)
}

func problem(rw http.ResponseWriter, p api.Problem) {
	rw.Header().Set("Content-Type", api.ProblemType)
	rw.WriteHeader(p.Code.Status())
	_ = json.NewEncoder(rw).Encode(p)
}

// session is the command line against a wire.
type session struct {
	*app
	out, err bytes.Buffer
	env      map[string]string
}

func newSession(t *testing.T, w *wire) *session {
	t.Helper()
	s := &session{env: map[string]string{
		envAddr: w.url, envToken: "token", envTenant: "acme", envEnvironment: "staging",
	}}
	s.app = &app{
		stdin: &bytes.Buffer{}, stdout: &s.out, stderr: &s.err,
		getenv:  func(name string) string { return s.env[name] },
		environ: func() []string { return []string{"PATH=/usr/bin:/bin"} },
		pause:   func(context.Context, time.Duration) error { return nil },
	}
	return s
}

// run runs a command line and checks its exit code.
func (s *session) run(t *testing.T, code int, args ...string) {
	t.Helper()
	if got := s.execute(t.Context(), args); got != code {
		t.Fatalf("%q: exit code %d, want %d\nstdout: %s\nstderr: %s", args, got, code, &s.out, &s.err)
	}
}
