package httpapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// Each request has one line in the log, which says who did what with which
// outcome, and has no token, no body and no query in it.
func TestLogLines(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "a", `{"key":"canary-in-body"}`)
	id := strings.Repeat("a", 32)
	target := n.path(api.RouteConfig, "base", "a")
	n.call(t, "GET", target+"?at=1&canary-in-query", nil, api.HeaderRequestID, id, "Cookie", "canary-in-cookie").refused(t, api.CodeBadRequest)
	found := w.log.of(t, id)
	if len(found) != 1 {
		t.Fatalf("%d lines: %v", len(found), found)
	}
	for name, want := range map[string]any{
		"message": "request", "level": "INFO", "method": "GET", "path": target, "status": 400.0, "code": "bad_request", "tenant": n.name, "client": "127.0.0.1",
	} {
		if found[0][name] != want {
			t.Errorf("%s is %v, want %v", name, found[0][name], want)
		}
	}
	if actor, _ := found[0]["actor"].(string); !strings.HasPrefix(actor, "token:") {
		t.Errorf("the actor is %q", actor)
	}
	n.call(t, "PUT", n.path(api.RouteLayer, "base", "a"), `{"key":"canary-in-body",}`).refused(t, api.CodeInvalidDocument)
	w.call(t, n.token+"x", "GET", target, nil).refused(t, api.CodeUnauthenticated)
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "x"}).want(t, 201).into(t, &issued)
	for _, secret := range []string{"canary", n.token[30:], issued.Value[30:]} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %q in it", secret)
		}
	}
}

// A request's id is taken over if it is one, else made, and is in the header,
// the problem document and the log.
func TestRequestIDs(t *testing.T) {
	w := newWorld(t)
	for _, sent := range []string{"0123456789abcdef0123456789abcdef", "order-7.retry_2"} {
		w.call(t, "", "GET", api.RouteLive, nil, api.HeaderRequestID, sent).want(t, 200).wantHeaders(t, api.HeaderRequestID, sent)
	}
	for _, sent := range []string{"", "a b", strings.Repeat("x", 1000), `<script>"`, "a{b}"} {
		got := w.call(t, "", "GET", api.RouteIdentity, nil, api.HeaderRequestID, sent)
		got.refused(t, api.CodeUnauthenticated)
		if id := got.header.Get(api.HeaderRequestID); id == sent || len(id) != 32 || len(w.log.of(t, id)) != 1 {
			t.Errorf("%q: the id is %q", sent, id)
		}
	}
}

// Who sent a request is its peer, unless a trusted proxy says otherwise.
func TestForwardedFor(t *testing.T) {
	client := func(w *world, forwarded ...string) string {
		t.Helper()
		lines := []string{"Connection: close"}
		for _, f := range forwarded {
			lines = append(lines, "X-Forwarded-For: "+f)
		}
		id := w.raw(t, request("GET", api.RouteLive, "", "", lines...)).want(t, 200).header.Get(api.HeaderRequestID)
		return fmt.Sprint(w.log.of(t, id)[0]["client"])
	}
	untrusting := newWorld(t)
	if got := client(untrusting, "192.0.2.1"); got != "127.0.0.1" {
		t.Errorf("without trusted proxies the client is %s", got)
	}
	other := newWorld(t, withLimits(httpapi.Limits{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}))
	if got := client(other, "192.0.2.1"); got != "127.0.0.1" {
		t.Errorf("from a peer that is no trusted proxy the client is %s", got)
	}
	trusting := newWorld(t, withLimits(httpapi.Limits{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
	}}))
	for want, forwarded := range map[string][]string{
		"192.0.2.1":   {"192.0.2.1"},
		"192.0.2.2":   {"192.0.2.1, 192.0.2.2, 10.1.2.3"},
		"192.0.2.3":   {"192.0.2.9", "192.0.2.3,10.0.0.1"},
		"2001:db8::1": {"2001:db8::1"},
		"192.0.2.4":   {"::ffff:192.0.2.4"},
		"192.0.2.5":   {"192.0.2.5:443"},
		"192.0.2.6":   {"192.0.2.6:4711, 10.0.0.1:80"},
		"2001:db8::2": {"[2001:db8::2]:443"},
		"2001:db8::3": {"[2001:db8::3]"},
		"10.9.9.9":    {"10.9.9.9, 10.0.0.1"},
		"127.0.0.1":   nil, // the proxy asks for itself
	} {
		if got := client(trusting, forwarded...); got != want {
			t.Errorf("forwarded for %q the client is %s, want %s", forwarded, got, want)
		}
	}
	// Whoever the proxy does not name has no address, least of all the proxy's.
	for _, forwarded := range [][]string{
		{""}, {"unknown"}, {"nonsense, 10.0.0.1"}, {"192.0.2.1, unknown"}, {"192.0.2.1,"}, {"127.0.0.1:"}, {"127.0.0.1:99999"}, {"_hidden"}, {"for=127.0.0.1"}, {"[127.0.0.1"},
	} {
		if got := client(trusting, forwarded...); got != "unknown" {
			t.Errorf("forwarded for %q the client is %s", forwarded, got)
		}
	}
}

// The log says of a name no more than names can have.
func TestLongNamesInTheLog(t *testing.T) {
	w := newWorld(t)
	id := w.call(t, w.root, "GET", "/api/v1/tenants/"+strings.Repeat("t", 20_000)+"/tags", nil).want(t, 404).header.Get(api.HeaderRequestID)
	if line := fmt.Sprint(w.log.of(t, id)[0]); len(line) > 2000 {
		t.Errorf("the log has a line of %d bytes", len(line))
	}
}

// A panic is an opaque 500 whose cause is in the log alone; what is not ready
// says so.
func TestPanics(t *testing.T) {
	var check atomic.Value
	w := newWorld(t, func(o *httpapi.Options) { o.Ready = func() error { return check.Load().(func() error)() } })
	check.Store(func() error { panic("canary of a panic") })
	got := w.call(t, "", "GET", api.RouteReady, nil)
	p := got.refused(t, api.CodeInternal)
	if strings.Contains(string(got.body), "canary") || p.Next == "" {
		t.Errorf("%s", got.body)
	}
	found := w.log.of(t, p.RequestID)
	if len(found) != 2 || found[0]["cause"] != "canary of a panic" || found[0]["stack"] == "" || found[1]["level"] != "ERROR" || found[1]["status"] != 500.0 {
		t.Errorf("%v", found)
	}
	check.Store(func() error { return errors.New("still reading") })
	w.call(t, "", "GET", api.RouteReady, nil).want(t, 503).wantBody(t, `{"status":"failing","checks":{"server":"still reading","store":"ok"}}`+"\n")
	check.Store(func() error { panic(http.ErrAbortHandler) })
	c := w.open(t)
	c.send(t, request("GET", api.RouteReady, "", ""))
	c.ended(t)
	check.Store(func() error { return nil })
	w.call(t, "", "GET", api.RouteStartup, nil).want(t, 200).wantBody(t, `{"status":"ok","checks":{"store":"ok"}}`+"\n")
}

// Without its store the server says so, and lets nobody in on what it remembers.
func TestStoreDown(t *testing.T) {
	b, closeStore, err := openBackend(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := serve(t, b)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	n.document(t, "base", "p", `{"x":1}`)
	if err := closeStore(); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(2 * time.Second)
	w.call(t, "", "GET", api.RouteLive, nil).want(t, 200)
	w.call(t, "", "GET", api.RouteReady, nil).want(t, 503).wantBody(t, `{"status":"failing","checks":{"store":"it does not answer"}}`+"\n")
	anonymous := w.call(t, "", "GET", api.RouteIdentity, nil) // whose failure could not be put on record
	for _, got := range []*answer{
		anonymous, n.call(t, "GET", n.path(api.RouteConfig, "base", "p"), nil), n.call(t, "PUT", n.path(api.RouteLayer, "base", "p"), `{}`), n.call(t, "DELETE", n.path(api.RouteTenant), nil),
	} {
		p := got.refused(t, api.CodeUnavailable)
		if got.header.Get("Retry-After") != "1" || strings.Contains(strings.ToLower(string(got.body)), "sql") {
			t.Errorf("%v %+v", got.header, p)
		}
	}
}

// Another method than the routes have is refused with those they have; HEAD is
// answered like GET, without a body.
func TestMethods(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	before := n.state(t)
	layer := n.path(api.RouteLayer, "base", "a")
	for method, cases := range map[string]map[string]string{
		"POST":    {layer: "GET, HEAD, PUT, PATCH, DELETE", n.path(api.RouteConfig, "base", "a"): "GET, HEAD", api.RouteIdentity: "GET, HEAD", api.RouteLive: "GET, HEAD"},
		"PUT":     {n.path(api.RouteChanges): "GET, HEAD, POST", api.RouteTenants: "GET, HEAD, POST"},
		"OPTIONS": {layer: "GET, HEAD, PUT, PATCH, DELETE", api.RouteOpenAPI: "GET, HEAD"},
		"TRACE":   {layer: "GET, HEAD, PUT, PATCH, DELETE"},
		"BREW":    {n.path(api.RouteRollback): "POST"},
		"PATCH":   {n.path(api.RouteAuditExport): "GET", api.RouteServerVerify: "GET", n.path(api.RouteAuditTail): "GET, HEAD", n.path(api.RouteAudit): "GET, HEAD"},
		"get":     {layer: "GET, HEAD, PUT, PATCH, DELETE"},
	} {
		for target, allow := range cases {
			got := n.call(t, method, target, nil)
			if p := got.refused(t, api.CodeMethodNotAllowed); p.Next == "" || got.header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow is %q, want %q: %+v", method, target, got.header.Get("Allow"), allow, p)
			}
		}
	}
	for _, target := range []string{n.path(api.RouteConfig, "base", "a"), layer, n.path(api.RouteConfigs, "base"), api.RouteLive, api.RouteDocumentation} {
		get, head := n.call(t, "GET", target, nil).want(t, 200), n.call(t, "HEAD", target, nil).want(t, 200)
		if len(head.body) != 0 || head.header.Get("ETag") != get.header.Get("ETag") || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %v, %q", target, head.header, head.body)
		}
	}
	n.call(t, "HEAD", n.path(api.RouteWatch, "base"), nil).want(t, 200).wantHeaders(t, "Content-Type", api.TypeEvents)
	n.call(t, "GET", "/api/v2", nil).refused(t, api.CodeNotFound)
	n.call(t, "GET", "/", nil).refused(t, api.CodeNotFound)
	if after := n.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// holdBody begins a write whose body does not come, and returns when the server
// waits for it.
func (n *tenant) holdBody(t *testing.T, target string, headers ...string) *connection {
	t.Helper()
	c := n.open(t)
	c.send(t, request("PUT", target, n.token, "", append(headers, "Content-Length: 2", "Content-Type: application/json", "Expect: 100-continue")...))
	line, err := c.in.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := c.in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return c
}

// With as many requests in flight as there may be, the next is told to come
// back; whether the server is alive can be asked all the same.
func TestOverload(t *testing.T) {
	w := newWorld(t, withLimits(httpapi.Limits{InFlight: 1}))
	n := w.newTenant(t)
	for _, path := range []string{"a", "environments/x/watch"} { // the latter only looks like a watch, which is not counted
		held := n.holdBody(t, n.path(api.RouteLayer, "base", path))
		got := n.call(t, "GET", api.RouteIdentity, nil)
		p := got.refused(t, api.CodeOverloaded)
		if got.header.Get("Retry-After") != "1" || p.Limit != 1 || p.Actual != 2 || p.Next == "" {
			t.Errorf("%v %+v", got.header, p)
		}
		w.call(t, "", "GET", api.RouteLive, nil).want(t, 200)
		w.call(t, "", "GET", api.RouteReady, nil).want(t, 200)
		held.send(t, "{}")
		held.answer(t, "PUT").want(t, 200)
		n.call(t, "GET", api.RouteIdentity, nil).want(t, 200)
	}
}

// A body that comes too slowly is given up, and what it holds is set free.
func TestSlowBody(t *testing.T) {
	w := newWorld(t, withLimits(httpapi.Limits{InFlight: 1, BodyTime: 50 * time.Millisecond}))
	n := w.newTenant(t)
	held := n.holdBody(t, n.path(api.RouteLayer, "base", "a"))
	held.send(t, "{")
	if p := held.answer(t, "PUT").refused(t, api.CodeTimeout); p.Next == "" {
		t.Errorf("%+v", p)
	}
	held.ended(t)
	n.call(t, "GET", n.path(api.RouteLayer, "base", "a"), nil).refused(t, api.CodeNotFound)
	n.put(t, "base", "a", "{}")
}

// Nobody can make the server keep a body without a token.
func TestBodiesOfNobody(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{api.RouteLive, api.RouteOpenAPI, api.RouteIdentity, "/", api.RouteTenants} {
		c := w.open(t)
		c.send(t, request("PUT", target, "", "", "Content-Length: 10000000", "Expect: 100-continue"))
		if got := c.answer(t, "PUT"); got.status != 401 && got.status != 405 {
			t.Errorf("%s: %d %s", target, got.status, got.body)
		}
	}
}

// A body ends where its bound is, whether or not its length is told before.
func TestBodyBounds(t *testing.T) {
	const limit = 10 << 20
	n := newWorld(t).newTenant(t)
	target := n.path(api.RouteChanges)
	c := n.open(t)
	c.send(t, request("POST", target, n.token, "", fmt.Sprintf("Content-Length: %d", limit+1), "Expect: 100-continue"))
	c.answer(t, "POST").refused(t, api.CodeTooLarge) // without a look at the body
	body := func(size int) string {
		const begin, end = `{"edits":[],"message":"`, `"}`
		return begin + strings.Repeat("x", size-len(begin)-len(end)) + end
	}
	for _, known := range []bool{true, false} {
		send := func(text string) *answer {
			if known {
				return n.call(t, "POST", target, text)
			}
			return n.call(t, "POST", target, io.MultiReader(strings.NewReader(text)))
		}
		if p := send(body(limit)).refused(t, api.CodeTooLarge); p.Limit != 4096 { // the message's bound, not the body's
			t.Errorf("10 MiB: %+v", p)
		}
		if p := send(body(limit+1)).refused(t, api.CodeTooLarge); p.Limit != limit || p.Actual != limit+1 || p.Next == "" {
			t.Errorf("10 MiB + 1: %+v", p)
		}
	}
	n.call(t, "GET", api.RouteIdentity, nil).want(t, 200)
}
