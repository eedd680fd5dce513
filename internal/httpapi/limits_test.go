package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/limit"
)

// stopped is a clock that goes on when a test says so.
func stopped(o *httpapi.Options) *clock {
	c, began := &clock{}, time.Now()
	o.Clock = func() time.Time { return began.Add(time.Duration(c.ahead.Load())) }
	return c
}

// limited is a world with limits, and the clock that they are counted by.
func limited(t testing.TB, l httpapi.Limits, changes ...func(*httpapi.Options)) (*world, *clock) {
	t.Helper()
	var c *clock
	return newWorld(t, append(changes, withLimits(l), func(o *httpapi.Options) { c = stopped(o) })...), c
}

// exhaust makes requests until there is none left.
func (n *tenant) exhaust(t testing.TB) {
	t.Helper()
	status := 0
	for status != api.CodeRateLimited.Status() {
		status = n.call(t, "GET", api.RouteIdentity, nil).status
	}
}

// between checks a header that is a number with some chance in it.
func (a *answer) between(t testing.TB, name string, least, most int) {
	t.Helper()
	if n, err := strconv.Atoi(a.header.Get(name)); err != nil || n < least || n > most {
		t.Errorf("%s is %q, want %d to %d", name, a.header.Get(name), least, most)
	}
}

// A tenant makes exactly as many requests as it may, is told what is left, and
// takes nothing from another.
func TestRequestsAMinute(t *testing.T) {
	w, clock := limited(t, httpapi.Limits{RequestsPerMinute: 10})
	n, other := w.newTenant(t), w.newTenant(t)
	get := func() *answer { return n.call(t, "GET", api.RouteIdentity, nil) }
	for left := 9; left >= 0; left-- {
		get().want(t, 200).wantHeaders(t, "RateLimit-Limit", "10", "RateLimit-Remaining", strconv.Itoa(left), "RateLimit-Reset", strconv.Itoa(60-6*left), "Retry-After", "")
	}
	for range 15 {
		got := get().wantHeaders(t, "RateLimit-Limit", "10", "RateLimit-Remaining", "0", "RateLimit-Reset", "60")
		if p := got.refused(t, api.CodeRateLimited); p.Limit != 10 || p.Next == "" {
			t.Errorf("%+v", p)
		}
		got.between(t, "Retry-After", 6, 8)
	}
	n.call(t, "GET", other.path(api.RouteConfig, "base", "a"), nil).refused(t, api.CodeRateLimited) // wherever it tries
	other.call(t, "GET", api.RouteIdentity, nil).want(t, 200).wantHeaders(t, "RateLimit-Remaining", "9")
	w.call(t, w.root, "GET", api.RouteIdentity, nil).want(t, 200)
	w.call(t, "", "GET", api.RouteLive, nil).want(t, 200).wantHeaders(t, "RateLimit-Limit", "")
	clock.advance(30 * time.Second)
	for range 5 {
		get().want(t, 200)
	}
	get().refused(t, api.CodeRateLimited)
}

// A tenant's limits may be its own, and may change at any time.
func TestLimitsOfATenant(t *testing.T) {
	var mu sync.Mutex
	own := limit.Limits{Requests: 2}
	w, _ := limited(t, httpapi.Limits{Tenant: func(config.TenantID) limit.Limits {
		mu.Lock()
		defer mu.Unlock()
		return own
	}})
	n := w.newTenant(t)
	get := func() *answer { return n.call(t, "GET", api.RouteIdentity, nil) }
	get().want(t, 200).wantHeaders(t, "RateLimit-Limit", "2")
	get().want(t, 200)
	get().refused(t, api.CodeRateLimited)
	mu.Lock()
	own = limit.Limits{}
	mu.Unlock()
	get().want(t, 200).wantHeaders(t, "RateLimit-Limit", "")
}

// What did not change and what a client acknowledges is not charged like a
// request; what did change is, also when nothing was left.
func TestUnchangedIsNotCharged(t *testing.T) {
	w, clock := limited(t, httpapi.Limits{RequestsPerMinute: 60, TenantWatchers: 10})
	n := w.newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	target := n.path(api.RouteConfig, "base", "p")
	read := func() *answer { return n.call(t, "GET", target, nil) }
	tag := read().want(t, 200).wantHeaders(t, "RateLimit-Remaining", "58").header.Get("ETag")
	for range 70 {
		n.call(t, "GET", target, nil, "If-None-Match", tag).want(t, 304).wantHeaders(t, "RateLimit-Limit", "160")
	}
	for range 70 {
		n.call(t, "POST", n.path(api.RouteAcks, "base"), api.Ack{Client: "c", Revision: 1}).want(t, 200)
	}
	for left := 57; left >= 0; left-- {
		read().want(t, 200).wantHeaders(t, "RateLimit-Remaining", strconv.Itoa(left))
	}
	read().refused(t, api.CodeRateLimited)
	n.call(t, "GET", target, nil, "If-None-Match", `"another"`).want(t, 200) // owed
	clock.advance(time.Second)
	read().refused(t, api.CodeRateLimited)
	clock.advance(time.Second)
	read().want(t, 200)
	read().refused(t, api.CodeRateLimited)
}

// A watch or an acknowledgement that is refused is charged like a request, so that
// records of denials cost what they do elsewhere.
func TestFailingToWatchIsCharged(t *testing.T) {
	w, clock := limited(t, httpapi.Limits{RequestsPerMinute: 10, TenantWatchers: 1000})
	n := w.newTenant(t)
	elsewhere := n.path(api.RouteWatch, "no-such")
	for range 5 {
		n.call(t, "GET", elsewhere, nil).want(t, 404)
		n.call(t, "POST", n.path(api.RouteAcks, "no-such"), api.Ack{Client: "c", Revision: 1}).want(t, 404)
	}
	n.call(t, "GET", api.RouteIdentity, nil).refused(t, api.CodeRateLimited)
	for range 20 {
		n.call(t, "GET", elsewhere, nil).refused(t, api.CodeRateLimited)
		n.call(t, "POST", n.path(api.RouteAcks, "base"), api.Ack{Client: "c", Revision: 1}).refused(t, api.CodeRateLimited)
	}
	clock.advance(time.Minute)
	for range 100 { // what is no failure costs nothing
		n.call(t, "POST", n.path(api.RouteAcks, "base"), api.Ack{Client: "c", Revision: 1}).want(t, 200)
	}
	n.call(t, "GET", api.RouteIdentity, nil).want(t, 200).wantHeaders(t, "RateLimit-Remaining", "9")
}

// A tenant that has as many requests in flight as it may stops nobody else, and
// its watches are counted apart.
func TestConnectionsOfATenant(t *testing.T) {
	w, _ := limited(t, httpapi.Limits{InFlight: 4, RequestsPerMinute: -1})
	n, other := w.newTenant(t), w.newTenant(t)
	first, second := n.holdBody(t, n.path(api.RouteLayer, "base", "a")), n.holdBody(t, n.path(api.RouteLayer, "base", "b"))
	got := n.call(t, "GET", n.path(api.RouteConfigs, "base"), nil)
	if p := got.refused(t, api.CodeRateLimited); p.Limit != 2 || p.Actual != 3 || p.Next == "" {
		t.Errorf("%+v", p)
	}
	got.wantHeaders(t, "Retry-After", "1")
	n.watch(t, "base", "").wantProgress(t, 1)
	other.call(t, "GET", other.path(api.RouteConfigs, "base"), nil).want(t, 200)
	other.put(t, "base", "a", `{}`)
	for _, held := range []*connection{first, second} {
		held.send(t, "{}")
		held.answer(t, "PUT").want(t, 200)
	}
	n.call(t, "GET", n.path(api.RouteConfigs, "base"), nil).want(t, 200)
}

// watcher is a watch without a connection, so that there can be many.
type watcher struct {
	header http.Header
	once   sync.Once
	status chan int // gets the status when the watch is open or refused
	ended  chan struct{}
	stop   context.CancelFunc
}

func (w *watcher) Header() http.Header         { return w.header }
func (w *watcher) Write(b []byte) (int, error) { w.WriteHeader(http.StatusOK); return len(b), nil }
func (w *watcher) WriteHeader(status int)      { w.once.Do(func() { w.status <- status }) }
func (w *watcher) FlushError() error           { return nil }

// begin opens a watch from where everybody comes who has no connection.
func (n *tenant) begin(t testing.TB) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{header: http.Header{}, status: make(chan int, 1), ended: make(chan struct{}), stop: cancel}
	go func() {
		defer close(w.ended)
		n.server.ServeHTTP(w, n.request(ctx, "GET", n.path(api.RouteWatch, "base"), n.token))
	}()
	t.Cleanup(w.end)
	return w
}

func (w *watcher) end() {
	w.stop()
	<-w.ended
}

func (n *tenant) request(ctx context.Context, method, target, token string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, target, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestWatchesOfATenant(t *testing.T) {
	w, _ := limited(t, httpapi.Limits{TenantWatchers: 1})
	n, other := w.newTenant(t), w.newTenant(t)
	first := n.begin(t)
	if status := <-first.status; status != 200 {
		t.Fatalf("the first is answered %d", status)
	}
	got := n.call(t, "GET", n.path(api.RouteWatch, "base"), nil)
	if p := got.refused(t, api.CodeRateLimited); p.Limit != 1 || p.Actual != 2 || p.Next == "" {
		t.Errorf("%+v", p)
	}
	got.between(t, "Retry-After", 5, 6)
	if status := <-other.begin(t).status; status != 200 {
		t.Errorf("another tenant's is answered %d", status)
	}
	first.end()
	if status := <-n.begin(t).status; status != 200 {
		t.Errorf("the next is answered %d", status)
	}
}

// All watchers of a tenant may come back at once, and once more, also when the
// tenant made as many requests as it may and somebody at the same address tries
// tokens.
func TestAllWatchersComeBackAtOnce(t *testing.T) {
	const watchers = 1000
	w, _ := limited(t, httpapi.Limits{RequestsPerMinute: 5})
	n := w.newTenant(t)
	n.exhaust(t)
	for range 100 {
		out := httptest.NewRecorder()
		w.server.ServeHTTP(out, n.request(t.Context(), "GET", n.path(api.RouteWatch, "base"), "llmc_x"))
		if out.Code != 401 {
			t.Fatalf("a bad token is answered %d", out.Code)
		}
	}
	for range 2 {
		all := make([]*watcher, watchers)
		for i := range all {
			all[i] = n.begin(t)
		}
		for _, one := range all {
			if status := <-one.status; status != 200 {
				t.Fatalf("a watcher is answered %d", status)
			}
		}
		for _, one := range all {
			one.end()
		}
	}
}

// With the server full of tenants' requests it still says that it lives, and
// those who manage it get in.
func TestManagedWhileFull(t *testing.T) {
	w, _ := limited(t, httpapi.Limits{InFlight: 1, RequestsPerMinute: 20})
	n, doomed := w.newTenant(t), w.newTenant(t)
	held := n.holdBody(t, n.path(api.RouteLayer, "base", "a"))
	for _, route := range []string{api.RouteLive, api.RouteReady, api.RouteStartup, api.RouteDocumentation, api.RouteOpenAPI} {
		w.call(t, "", "GET", route, nil).want(t, 200)
	}
	for _, target := range []string{api.RouteTenants, api.RouteServerTokens, api.RouteMasterKeys, api.RouteIdentity, api.RouteVersion, n.path(api.RouteTenant)} {
		w.call(t, w.root, "GET", target, nil).want(t, 200)
	}
	w.call(t, w.root, "DELETE", doomed.path(api.RouteTenant), nil).want(t, 200)
	w.call(t, "llmc_x", "GET", api.RouteTenants, nil).refused(t, api.CodeUnauthenticated)
	for _, target := range []string{api.RouteTenants, api.RouteIdentity, n.path(api.RouteTenant), n.path(api.RouteConfigs, "base")} {
		n.call(t, "GET", target, nil).refused(t, api.CodeOverloaded)
	}
	held.send(t, "{}")
	held.answer(t, "PUT").want(t, 200)
	n.exhaust(t)
	w.call(t, w.root, "GET", api.RouteTenants, nil).want(t, 200)
}

// unread is a body that nobody may look at.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, http.ErrBodyReadAfterClose
}
func (u unread) Close() error { return nil }

// Whoever is refused for want of room is refused before the body is read.
func TestBodiesOfWhatIsRefusedAreNotRead(t *testing.T) {
	full := func(o *httpapi.Options) { withLimits(httpapi.Limits{InFlight: 1})(o) }
	busy := func(o *httpapi.Options) { withLimits(httpapi.Limits{TenantConnections: 1})(o) }
	loud := func(o *httpapi.Options) { withLimits(httpapi.Limits{RequestsPerMinute: 1})(o); stopped(o) }
	for _, test := range []struct {
		name   string
		limits func(*httpapi.Options)
		status int
	}{{"full", full, 503}, {"busy", busy, 429}, {"loud", loud, 429}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.limits)
			n := w.newTenant(t)
			target := n.path(api.RouteLayer, "base", "a")
			held := n.holdBody(t, target)
			r := n.request(t.Context(), "PUT", target, n.token)
			r.Body, r.ContentLength = unread{t}, 1<<20
			out := httptest.NewRecorder()
			w.server.ServeHTTP(out, r)
			if out.Code != test.status || out.Header().Get("Retry-After") == "" {
				t.Errorf("%d %v", out.Code, out.Header())
			}
			held.send(t, "{}")
			held.answer(t, "PUT").want(t, 200)
		})
	}
}

// logins are attempts that are held back until a test lets them go.
type logins struct {
	*tenant
	asked   chan time.Duration
	timer   chan time.Time
	answers chan int
}

func newLogins(t *testing.T, limits httpapi.Limits) *logins {
	t.Helper()
	l := &logins{asked: make(chan time.Duration, 2000), timer: make(chan time.Time), answers: make(chan int, 2000)}
	w := newWorld(t, withLimits(limits), func(o *httpapi.Options) {
		o.After = func(d time.Duration) <-chan time.Time { l.asked <- d; return l.timer }
	})
	l.tenant = w.newTenant(t)
	now := w.clock.now()
	w.clock.advance(now.Truncate(time.Minute).Add(time.Minute).Sub(now)) // failures count by the minute, and this one is long enough
	return l
}

// attempt begins an attempt from an address.
func (l *logins) attempt(ctx context.Context, source, token string) {
	r := l.request(ctx, "GET", l.path(api.RouteConfigs, "base"), token)
	r.RemoteAddr = source
	go func() {
		out := httptest.NewRecorder()
		l.server.ServeHTTP(out, r)
		l.answers <- out.Code
	}()
}

func (l *logins) answered(t *testing.T, status int) {
	t.Helper()
	if got := <-l.answers; got != status {
		t.Errorf("the answer is %d, want %d", got, status)
	}
}

const forger = "[2001:db8:1:2::1]:999"

// Each further failure of an address is answered later. While an answer waits
// it takes no place from anybody, not from the same address either.
func TestFailedLoginsAreHeldBack(t *testing.T) {
	l := newLogins(t, httpapi.Limits{InFlight: 1, TenantConnections: 1})
	l.attempt(t.Context(), forger, "llmc_x")
	l.answered(t, 401)
	for _, ms := range []int64{50, 100, 200, 400, 800, 1000, 1000} {
		l.attempt(t.Context(), forger, "llmc_x")
		if d := <-l.asked; d.Milliseconds() != ms {
			t.Errorf("it is held back %s, want %d ms", d, ms)
		}
	}
	l.attempt(t.Context(), "[2001:db8:1:2:3:4:5:6]:999", "") // a neighbour, who is the same
	if d := <-l.asked; d != time.Second {
		t.Errorf("the neighbour is held back %s", d)
	}
	if len(l.answers) != 0 {
		t.Error("an answer did not wait")
	}
	for range 5 {
		l.attempt(t.Context(), forger, l.token)
		l.answered(t, 200)
	}
	l.attempt(t.Context(), "[2001:db8:1:3::1]:999", "llmc_x")
	l.answered(t, 401) // whose first it is
	for range 8 {
		l.timer <- time.Time{}
		l.answered(t, 401)
	}
}

// Answers that nobody waits for, or that the end of the server would cut off,
// are not held back any longer.
func TestHeldBackNoLongerThanNeeded(t *testing.T) {
	l := newLogins(t, httpapi.Limits{})
	l.attempt(t.Context(), "192.0.2.77:1", "llmc_x")
	l.answered(t, 401)
	ctx, cancel := context.WithCancel(t.Context())
	l.attempt(ctx, "192.0.2.77:1", "llmc_x")
	<-l.asked
	cancel()
	l.answered(t, 401)
	l.attempt(t.Context(), "192.0.2.77:1", "llmc_x")
	<-l.asked
	l.server.Stop()
	l.answered(t, 401)
}

// No more than so many answers wait; the next are told so at once.
func TestHeldBackAtMost(t *testing.T) {
	l := newLogins(t, httpapi.Limits{})
	const source, most = "192.0.2.78:1", 64
	l.attempt(t.Context(), source, "llmc_x")
	l.answered(t, 401)
	for range most {
		l.attempt(t.Context(), source, "llmc_x")
		<-l.asked
	}
	for range 3 {
		l.attempt(t.Context(), source, "llmc_x")
		l.answered(t, 429)
	}
	l.attempt(t.Context(), source, l.token)
	l.answered(t, 200)
	for range most {
		l.timer <- time.Time{}
		l.answered(t, 401)
	}
	l.attempt(t.Context(), source, "llmc_x")
	<-l.asked
	l.timer <- time.Time{}
	l.answered(t, 401)
	if found := l.log.errors(t); len(found) > 0 {
		t.Errorf("the log has errors: %s", strings.Join(found, ""))
	}
}
