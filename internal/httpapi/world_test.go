package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// backend is a service on the real engine. Opening one takes a while, so the
// tests share it, each with tenants of its own.
type backend struct {
	service  *service.Service
	verifier *identity.Verifier
	data     *sqlite.Store
	clock    *clock
	keyFile  string
	root     string // a token of a server administrator
	tenants  atomic.Int64
}

// clock goes on like time.Now, and may be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

var shared *backend

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "httpapi")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		var closeBackend func() error
		if shared, closeBackend, err = openBackend(dir); err == nil {
			defer func() { _ = closeBackend() }()
			return m.Run()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func openBackend(dir string) (*backend, func() error, error) {
	ctx, c := context.Background(), &clock{}
	data, err := sqlite.Open(ctx, dir, sqlite.Options{Clock: c.now})
	if err != nil {
		return nil, nil, err
	}
	keys, err := sqlite.OpenKeys(ctx, dir)
	if err != nil {
		return nil, nil, errors.Join(err, data.Close())
	}
	closeAll := func() error { return errors.Join(data.Close(), keys.Close()) }
	file := filepath.Join(dir, "master.key")
	if err := seal.CreateFileKey(file); err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	keeper, err := seal.OpenFileKeeper(file)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	keyring, err := seal.OpenKeyring(ctx, seal.Keepers{Write: keeper}, keys, data, seal.Options{Clock: c.now})
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	b := &backend{data: data, clock: c, keyFile: file, verifier: identity.New(identity.Options{Clock: c.now})}
	b.service = service.New(service.Options{Store: data, Keyring: keyring, Clock: c.now, Identities: b.verifier})
	err = b.service.FirstToken(ctx, func(token string) error {
		b.root = token
		return nil
	})
	return b, closeAll, err
}

// world is a server over TCP.
type world struct {
	*backend
	server  *httpapi.Server
	http    *httptest.Server
	log     *lines
	address string
}

// newWorld serves the shared backend, with changes to how.
func newWorld(t testing.TB, changes ...func(*httpapi.Options)) *world {
	t.Helper()
	return serve(t, shared, changes...)
}

func serve(t testing.TB, b *backend, changes ...func(*httpapi.Options)) *world {
	t.Helper()
	w := &world{backend: b, log: &lines{}}
	options := httpapi.Options{
		Service: w.service, Version: "v0.0.0-test",
		Limits: func() httpapi.Limits { return httpapi.Limits{RequestsPerMinute: -1} },
		Logger: telemetry.NewLogger(w.log, slog.LevelDebug, telemetry.JSON),
		After:  func(time.Duration) <-chan time.Time { return overAlready },
	}
	for _, change := range changes {
		change(&options)
	}
	w.server = httpapi.New(options)
	w.http = httptest.NewUnstartedServer(w.server)
	w.http.Config.MaxHeaderBytes = 64 << 10
	w.http.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.http.Start()
	w.http.Client().Transport.(*http.Transport).DisableCompression = true
	w.address = w.http.Listener.Addr().String()
	t.Cleanup(w.http.Close)
	return w
}

// overAlready is a timer for tests that have no time to wait.
var overAlready = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

func withLimits(l httpapi.Limits) func(*httpapi.Options) {
	return func(o *httpapi.Options) { o.Limits = func() httpapi.Limits { return l } }
}

// tenant is a tenant with a token of its administrator.
type tenant struct {
	*world
	name, token string
}

// newTenant founds a tenant.
func (w *world) newTenant(t testing.TB) *tenant {
	t.Helper()
	name := fmt.Sprintf("tenant-%d", w.tenants.Add(1))
	var founded api.FoundedTenant
	w.call(t, w.root, "POST", api.RouteTenants, api.NewTenant{Name: name}).want(t, 201).into(t, &founded)
	return &tenant{w, name, founded.Token.Value}
}

// path fills the wildcards that come after the tenant's.
func (n *tenant) path(route string, values ...string) string {
	return api.Build(route, append([]string{n.name}, values...)...)
}

// call makes a request of the tenant's administrator.
func (n *tenant) call(t testing.TB, method, target string, body any, headers ...string) *answer {
	t.Helper()
	return n.world.call(t, n.token, method, target, body, headers...)
}

// put writes a layer and answers the revision it made.
func (n *tenant) put(t testing.TB, environment, path, document string) int64 {
	t.Helper()
	var result api.ChangeResult
	n.call(t, "PUT", n.path(api.RouteLayer, environment, path), document).want(t, 200).into(t, &result)
	return result.Revision
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call makes one request. A body that is a string or bytes is sent as it is,
// anything else as JSON; headers come in pairs.
func (w *world) call(t testing.TB, token, method, target string, body any, headers ...string) *answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.http.URL+target, bodyOf(t, body))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", api.TypeJSON)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := w.http.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return &answer{response.StatusCode, response.Header, text}
}

func bodyOf(t testing.TB, body any) io.Reader {
	switch body := body.(type) {
	case nil:
		return nil
	case string:
		return strings.NewReader(body)
	case []byte:
		return bytes.NewReader(body)
	case io.Reader:
		return body
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}

func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.500s", a.status, status, a.body)
	}
	return a
}

func (a *answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %.500s", err, a.body)
	}
}

// wantBody checks the whole body.
func (a *answer) wantBody(t testing.TB, want string) *answer {
	t.Helper()
	if string(a.body) != want {
		t.Fatalf("got %.500s\nwant %.500s", a.body, want)
	}
	return a
}

// wantHeaders checks headers, in pairs.
func (a *answer) wantHeaders(t testing.TB, pairs ...string) *answer {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := a.header.Get(pairs[i]); got != pairs[i+1] {
			t.Errorf("%s is %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
	return a
}

// refused checks that the answer is a problem document in good order, and
// answers it.
func (a *answer) refused(t testing.TB, code api.Code) *api.Problem {
	t.Helper()
	var p api.Problem
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("status %d and no problem document (%v): %.500q", a.status, err, a.body)
	}
	switch {
	case p.Code != code:
		t.Fatalf("refused as %s, want %s: %.500s", p.Code, code, a.body)
	case a.status != code.Status() || p.Status != a.status || p.Title != http.StatusText(a.status) || p.Type != "urn:llm-config:problem:"+string(code):
		t.Errorf("the problem document does not fit its status %d: %.500s", a.status, a.body)
	case p.Detail == "" || p.RequestID == "" || p.RequestID != a.header.Get(api.HeaderRequestID):
		t.Errorf("the problem document lacks a detail or the request's id: %.500s", a.body)
	}
	a.wantHeaders(t, "Content-Type", api.ProblemType, "Cache-Control", "no-store", "ETag", "")
	return &p
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// of answers the lines about a request.
func (l *lines) of(t testing.TB, requestID string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the log has a line that is no JSON: %q", line)
		}
		if entry["request"] == requestID {
			found = append(found, entry)
		}
	}
	return found
}

// errors answers the lines about faults of the server.
func (l *lines) errors(t testing.TB) (found []string) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			found = append(found, line)
		}
	}
	return found
}

// dial opens a connection that is closed with the test.
func (w *world) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}
