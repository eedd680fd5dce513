package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// fakeServer speaks the wire of reads and watches, over connections in memory,
// so that it works where time is a test's own.
type fakeServer struct {
	t      *testing.T
	conns  chan net.Conn
	closed chan struct{}
	client *Client

	mu        sync.Mutex
	away      bool // connections are refused
	open      []net.Conn
	revision  int64
	documents map[string]string     // path → canonical text
	events    []fakeEvent           // everything that was told
	told      chan struct{}         // closed, and replaced, at every event
	cut       chan struct{}         // closed, and replaced, to end every stream
	reads     map[string]int        // path → how often it was read
	minimums  map[string][]string   // path → the min_revision of every read
	resumes   []string              // the Last-Event-ID of every watch
	prefixes  []string              // the prefix of every watch
	secrets   map[string]fakeSecret // path → its state
	ackTimes  []time.Time           // when each acknowledgement came
	ackBodies []api.Ack
	onAck     func(w http.ResponseWriter) (handled bool)
	onRead    func(w http.ResponseWriter, r *http.Request, path string) (handled bool)
	onWatch   func(w http.ResponseWriter, r *http.Request) (handled bool)
}

// fakeSecret is a secret of the field "value", whose values tell their version.
type fakeSecret struct {
	current, previous int64     // 0 for none
	until             time.Time // of previous
	at                int64     // the revision that made it so
}

func fakeValue(path string, version int64) string { return fmt.Sprintf("canary-%s-%d", path, version) }

type fakeEvent struct {
	revision int64
	text     string
}

func newFake(t *testing.T, documents map[string]string) *fakeServer {
	t.Helper()
	f := &fakeServer{
		t: t, conns: make(chan net.Conn), closed: make(chan struct{}), revision: 10, documents: maps.Clone(documents),
		told: make(chan struct{}), cut: make(chan struct{}), reads: map[string]int{}, minimums: map[string][]string{},
		secrets: map[string]fakeSecret{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.RouteConfig, f.serveRead)
	mux.HandleFunc("GET "+api.RouteWatch, f.serveWatch)
	mux.HandleFunc("GET "+api.RouteSecret, f.serveSecret)
	mux.HandleFunc("POST "+api.RouteAcks, f.serveAck)
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(f) }()
	transport := &http.Transport{DialContext: f.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
	f.client = must(New("http://config.test", WithHTTPClient(&http.Client{Transport: transport}), WithTenant("acme")))
	f.client.jitter = func(d time.Duration) time.Duration { return d }
	return f
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (f *fakeServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, fmt.Errorf("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case f.conns <- ours:
	case <-f.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.open = append(f.open, theirs)
	return theirs, nil
}

func (f *fakeServer) Accept() (net.Conn, error) {
	select {
	case conn := <-f.conns:
		return conn, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *fakeServer) Close() error   { close(f.closed); return nil }
func (f *fakeServer) Addr() net.Addr { return &net.TCPAddr{} }

// goAway breaks every connection and refuses new ones.
func (f *fakeServer) goAway() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = true
	for _, conn := range f.open {
		_ = conn.Close()
	}
	f.open = nil
}

func (f *fakeServer) comeBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = false
}

// endStreams ends every watch in good order.
func (f *fakeServer) endStreams() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.cut)
	f.cut = make(chan struct{})
}

func (f *fakeServer) serveRead(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("path")
	f.mu.Lock()
	f.reads[path]++
	f.minimums[path] = append(f.minimums[path], r.URL.Query().Get("min_revision"))
	hook, text, revision := f.onRead, f.documents[path], f.revision
	f.mu.Unlock()
	if hook != nil && hook(w, r, path) {
		return
	}
	if text == "" {
		problem(w, api.CodeNotFound, "there is no document "+path)
		return
	}
	digest := digestOf([]byte(text))
	if r.URL.Query().Get("reveal") == "true" {
		revealed, header, ok := f.revealed(text)
		if !ok {
			problem(w, api.CodeSecretUnavailable, "a secret is not there, or not for you")
			return
		}
		if header != "" {
			w.Header().Set(api.HeaderSecrets, header)
		}
		text = revealed
	}
	document(w, text, revision, digest)
}

// revealed puts the values of secrets where a text refers to them.
func (f *fakeServer) revealed(text string) (revealed, header string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var used []string
	for _, path := range slices.Sorted(maps.Keys(f.secrets)) {
		reference := "${secret:" + path + "#value}"
		if version := f.secrets[path].current; strings.Contains(text, reference) && version != 0 {
			text = strings.ReplaceAll(text, reference, fakeValue(path, version))
			used = append(used, fmt.Sprintf("%s %d", path, version))
		}
	}
	return text, strings.Join(used, ", "), !strings.Contains(text, "${secret:")
}

func (f *fakeServer) serveSecret(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("path")
	f.mu.Lock()
	f.reads[path]++
	f.minimums[path] = append(f.minimums[path], r.URL.Query().Get("min_revision"))
	hook, secret, revision := f.onRead, f.secrets[path], f.revision
	f.mu.Unlock()
	if hook != nil && hook(w, r, path) {
		return
	}
	if secret.current == 0 {
		problem(w, api.CodeNotFound, "there is no secret "+path)
		return
	}
	secretAnswer(w, path, secret, revision)
}

func secretAnswer(w http.ResponseWriter, path string, s fakeSecret, revision int64) {
	version := func(number int64) api.RevealedVersion {
		text, _ := json.Marshal(fakeValue(path, number))
		return api.RevealedVersion{Version: number, Fields: map[string]json.RawMessage{"value": text}}
	}
	out := api.RevealedSecret{Environment: "base", Path: path, Revision: revision, RevealedVersion: version(s.current)}
	if s.previous != 0 && time.Now().Before(s.until) {
		previous := version(s.previous)
		previous.Until = &s.until
		out.Previous = &previous
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fakeServer) serveAck(w http.ResponseWriter, r *http.Request) {
	var ack api.Ack
	if err := json.NewDecoder(r.Body).Decode(&ack); err != nil || r.Header.Get(api.HeaderIdempotent) != "" {
		f.t.Errorf("an acknowledgement that is none: %v, header %v", err, r.Header)
	}
	f.mu.Lock()
	f.ackTimes, f.ackBodies = append(f.ackTimes, time.Now()), append(f.ackBodies, ack)
	hook := f.onAck
	f.mu.Unlock()
	if hook != nil && hook(w) {
		return
	}
	w.Header().Set("Content-Type", api.TypeJSON)
	_ = json.NewEncoder(w).Encode(api.AckResult{ExpiresAt: time.Now().Add(90 * time.Second)})
}

// acked is the last acknowledgement, and how many there were.
func (f *fakeServer) acked() (last api.Ack, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.ackBodies); n > 0 {
		last = f.ackBodies[n-1]
	}
	return last, len(f.ackBodies)
}

func (f *fakeServer) setOnAck(hook func(w http.ResponseWriter) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onAck = hook
}

// putSecret makes a new state of a secret at the next revision, and tells of it
// and of the documents that refer to it.
func (f *fakeServer) putSecret(path string, s fakeSecret) int64 {
	revision := f.putSecretQuietly(path, s)
	f.send(revision, f.secretEvent(revision, path, s.current))
	return revision
}

func (f *fakeServer) putSecretQuietly(path string, s fakeSecret) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	s.at = f.revision
	f.secrets[path] = s
	return f.revision
}

func (f *fakeServer) secretEvent(revision int64, path string, version int64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	event := api.WatchEvent{Revision: revision, Secrets: []api.SecretNotice{{Path: path, Version: version}}}
	for _, name := range slices.Sorted(maps.Keys(f.documents)) {
		if text := f.documents[name]; strings.Contains(text, "${secret:"+path+"#") {
			event.Changes = append(event.Changes, api.WatchChange{
				Path: name, Digest: digestOf([]byte(text)), Document: json.RawMessage(text),
				Secret: &api.SecretRef{Environment: "base", Path: path, Version: version},
			})
		}
	}
	return eventText(api.EventChange, revision, event)
}

func document(w http.ResponseWriter, text string, revision int64, digest string) {
	w.Header().Set("Content-Type", api.TypeJSON)
	w.Header().Set(api.HeaderRevision, strconv.FormatInt(revision, 10))
	w.Header().Set(api.HeaderDigest, digest)
	fmt.Fprint(w, text)
}

func problem(w http.ResponseWriter, code api.Code, detail string) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(code.Status())
	text, _ := json.Marshal(api.Problem{Code: code, Detail: detail, Status: code.Status()})
	_, _ = w.Write(text)
}

func (f *fakeServer) serveWatch(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.resumes = append(f.resumes, r.Header.Get("Last-Event-ID"))
	f.prefixes = append(f.prefixes, r.URL.Query().Get("prefix"))
	hook, cut := f.onWatch, f.cut
	f.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	after, _ := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	startStream(w)
	for sent, life := 0, time.NewTicker(15*time.Second); ; {
		f.mu.Lock()
		events, told := f.events[sent:], f.told
		f.mu.Unlock()
		for _, e := range events {
			if e.revision > after {
				fmt.Fprint(w, e.text)
			}
			sent++
		}
		w.(http.Flusher).Flush()
		select {
		case <-told:
		case <-life.C:
			fmt.Fprint(w, ": still here\n\n")
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func startStream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", api.TypeEvents)
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
}

// send tells every watcher this text, which is an event of a revision.
func (f *fakeServer) send(revision int64, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sendLocked(revision, text)
}

func (f *fakeServer) sendLocked(revision int64, text string) {
	f.events = append(f.events, fakeEvent{revision, text})
	close(f.told)
	f.told = make(chan struct{})
}

// put changes documents at the next revision, and tells: an empty text deletes.
func (f *fakeServer) put(documents map[string]string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(documents)
	f.sendLocked(f.revision, changeEvent(f.revision, documents))
	return f.revision
}

// set is what put does before it tells.
func (f *fakeServer) set(documents map[string]string) {
	f.revision++
	for path, text := range documents {
		f.documents[path] = text
	}
}

// setQuietly changes a document and tells nobody.
func (f *fakeServer) setQuietly(path, text string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(map[string]string{path: text})
	return f.revision
}

func changeEvent(revision int64, documents map[string]string) string {
	change := api.WatchEvent{Revision: revision}
	for _, path := range slices.Sorted(maps.Keys(documents)) {
		c := api.WatchChange{Path: path}
		if text := documents[path]; text != "" {
			c.Digest, c.Document = digestOf([]byte(text)), json.RawMessage(text)
		}
		change.Changes = append(change.Changes, c)
	}
	return eventText(api.EventChange, revision, change)
}

// bareChangeEvent tells digests without documents.
func bareChangeEvent(revision int64, path, digest string) string {
	return eventText(api.EventChange, revision,
		api.WatchEvent{Revision: revision, Changes: []api.WatchChange{{Path: path, Digest: digest}}})
}

func resetEvent(revision int64) string {
	return eventText(api.EventReset, revision, api.WatchReset{Revision: revision, Reason: "test"})
}

func progressEvent(revision int64) string {
	return fmt.Sprintf("event: progress\nid: %d\ndata:\n\n", revision)
}

func eventText(kind string, revision int64, data any) string {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", kind, revision, text)
}

func (f *fakeServer) setOnRead(hook func(w http.ResponseWriter, r *http.Request, path string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onRead = hook
}

func (f *fakeServer) setOnWatch(hook func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onWatch = hook
}

func (f *fakeServer) readsOf(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads[path]
}

func (f *fakeServer) watches() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.resumes)
}

// openStore opens a store on the fake, closed when the test ends.
func (f *fakeServer) openStore(paths ...string) *Store {
	f.t.Helper()
	return f.openWith(StoreOptions{}, paths...)
}

// openWith is openStore with options.
func (f *fakeServer) openWith(o StoreOptions, paths ...string) *Store {
	f.t.Helper()
	o.Environment = "production"
	s, err := OpenStore(f.t.Context(), f.client, o, paths...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Close)
	return s
}

func (f *fakeServer) wait(s *Store, revision int64) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	defer cancel()
	if err := s.Wait(ctx, revision); err != nil {
		f.t.Fatal(err)
	}
}

func text(t *testing.T, s *Store, path string) string {
	t.Helper()
	d, ok := s.Document(path)
	if !ok {
		t.Fatalf("the store holds no %s", path)
	}
	return string(d.Data)
}

func wantText(t *testing.T, s *Store, path, want string) {
	t.Helper()
	if got := text(t, s, path); got != want {
		t.Errorf("%s is %s, want %s", path, got, want)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q lacks %q", err, part)
		}
	}
}

// pass lets time pass, and what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
