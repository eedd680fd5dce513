package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// A request whose end two readers could see in different places is refused, and
// what hides behind it is never run.
func TestSmuggling(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	before := n.state(t)
	hidden := request("DELETE", n.path(api.RouteEnvironment, "edge"), n.token, "", api.HeaderRequestID+": hidden")
	put := func(body string, headers ...string) string {
		return request("PUT", n.path(api.RouteLayer, "base", "p"), n.token, "", headers...) + body
	}
	chunked := "0\r\n\r\n"
	for name, text := range map[string]string{
		"two lengths":                   put("{}"+hidden, "Content-Length: 2", "Content-Length: 100"),
		"a list of lengths":             put("{}"+hidden, "Content-Length: 2, 100"),
		"a signed length":               put("{}"+hidden, "Content-Length: +2"),
		"a negative length":             put("{}"+hidden, "Content-Length: -2"),
		"a length in hex":               put("{}"+hidden, "Content-Length: 0x2"),
		"an encoding that is none":      put(chunked+hidden, "Transfer-Encoding: xchunked"),
		"chunked and identity":          put(chunked+hidden, "Transfer-Encoding: chunked, identity"),
		"chunked twice":                 put(chunked+hidden, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
		"a space before the colon":      put(chunked+hidden, "Transfer-Encoding : chunked"),
		"a folded line":                 put(chunked+hidden, "X: y\r\n Transfer-Encoding: chunked", "Content-Length: 5000"),
		"a NUL in a header":             put(chunked+hidden, "X: a\x00b"),
		"a bare CR in a header":         put("{}"+hidden, "X: a\rContent-Length: 2"),
		"no host":                       strings.Replace(put("{}", "Content-Length: 2"), "Host: test\r\n", "", 1),
		"two hosts":                     put("{}", "Content-Length: 2", "Host: elsewhere"),
		"a chunk of a negative size":    put("-1\r\n"+hidden, "Transfer-Encoding: chunked"),
		"a chunk that is longer":        put("2\r\n{}"+hidden, "Transfer-Encoding: chunked"),
		"a body that is shorter":        put("{", "Content-Length: 2", "Connection: close"),
		"an old version with a chunk":   strings.Replace(put(chunked+hidden, "Transfer-Encoding: chunked"), "HTTP/1.1", "HTTP/1.0", 1),
		"a version that is none":        strings.Replace(put("{}", "Content-Length: 2"), "HTTP/1.1", "HTTP/1.1 x", 1),
		"a preface of another protocol": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
	} {
		c := w.open(t)
		c.send(t, text)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := c.answer(t, "PUT"); got.status < 400 || got.status > 505 || got.status == 500 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		if lines := w.log.of(t, "hidden"); len(lines) != 0 {
			t.Fatalf("%s: the hidden request was run: %v", name, lines)
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// With both a length and chunks the chunks count, as RFC 9112 has it, so that
// what follows the last one is a request of its own for every reader.
func TestLengthAndChunks(t *testing.T) {
	n := newWorld(t).newTenant(t)
	c := n.open(t)
	c.send(t, request("PUT", n.path(api.RouteLayer, "base", "p"), n.token, "", "Content-Length: 4", "Transfer-Encoding: chunked", "Content-Type: application/json")+
		"7\r\n{\"x\":1}\r\n0\r\n\r\n")
	c.answer(t, "PUT").want(t, 200)
	n.document(t, "base", "p", `{"x":1}`)
}

// Headers have their bound, before anybody is asked who they are.
func TestOversizedHeaders(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	for name, line := range map[string]string{
		"one that is long": "X-Long: " + strings.Repeat("x", 80<<10),
		"many":             strings.TrimSuffix(strings.Repeat("X: y\r\n", 20<<10), "\r\n"),
	} {
		if got := w.raw(t, request("GET", api.RouteIdentity, n.token, "", line)); got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %d %.200s", name, got.status, got.body)
		}
	}
	target := n.path(api.RouteConfigs, "base") + "?glob=" + strings.Repeat("x", 80<<10)
	if got := w.raw(t, request("GET", target, n.token, "")); got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a long target: %d %.200s", got.status, got.body)
	}
	p := n.call(t, "GET", fmt.Sprintf("/api/v1/tenants/%s/environments/base/configs", strings.Repeat("x", 10<<10)), nil).refused(t, api.CodeNotFound)
	if len(p.Detail) > 1024 {
		t.Errorf("%d bytes of the request come back", len(p.Detail))
	}
}

// A request that is answered before its body came does not spoil the next.
func TestConnectionsAreKept(t *testing.T) {
	n := newWorld(t).newTenant(t)
	c := n.open(t)
	for i := range 3 {
		c.send(t, request("POST", n.path(api.RouteConfig, "base", "p"), n.token, `{"x":1}`))
		c.answer(t, "POST").refused(t, api.CodeMethodNotAllowed)
		c.send(t, request("PUT", n.path(api.RouteLayer, "base", "p"), "", `{"x":1}`))
		c.answer(t, "PUT").refused(t, api.CodeUnauthenticated)
		c.send(t, request("PUT", n.path(api.RouteLayer, "base", "p"), n.token, fmt.Sprintf(`{"x":%d}`, i), "Content-Type: application/json"))
		c.answer(t, "PUT").want(t, 200)
	}
}
