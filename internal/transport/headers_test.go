package transport

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	var cors CORS
	cors.Allow([]string{"https://console.test"})
	proxies := func() []netip.Prefix { return nil }
	own := "default-src 'self'"
	handler := SecurityHeaders(OnlyTrusted(proxies, cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Security-Policy", own)
		}
		w.WriteHeader(http.StatusNotFound)
	}))))
	for what, test := range map[string]struct {
		change func(*http.Request)
		status int
		policy string
	}{
		"an answer of a route":  {func(*http.Request) {}, 404, "default-src 'none'; frame-ancestors 'none'"},
		"a page":                {func(r *http.Request) { r.URL.Path = "/page" }, 404, own},
		"plain HTTP from afar":  {func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, 403, "default-src 'none'; frame-ancestors 'none'"},
		"a preflight":           {preflight("https://console.test", "PUT"), 204, "default-src 'none'; frame-ancestors 'none'"},
		"a preflight of others": {preflight("https://evil.test", "PUT"), 204, "default-src 'none'; frame-ancestors 'none'"},
	} {
		t.Run(what, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = "127.0.0.1:1"
			test.change(r)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			want(t, what, w.Code, test.status)
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
				"Content-Security-Policy": test.policy, "Strict-Transport-Security": "", "Server": "",
			} {
				if got := w.Header().Get(name); got != value {
					t.Errorf("%s is %q, and expected %q", name, got, value)
				}
			}
		})
	}
}

func TestOnlyTLSForAYear(t *testing.T) {
	for host, value := range map[string]string{
		"config.example.com": "max-age=31536000", "config.example.com:8700": "max-age=31536000", "localhost.example.com": "max-age=31536000",
		"localhost": "", "localhost:8700": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host, r.TLS = host, &tls.ConnectionState{}
		w := httptest.NewRecorder()
		SecurityHeaders(ok).ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); got != value {
			t.Errorf("%s: %q", host, got)
		}
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

func TestSecurityHeadersCostNoMemory(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.RemoteAddr, r.TLS = "127.0.0.1:1", &tls.ConnectionState{}
	out := &discard{http.Header{}}
	var cors CORS
	w := newWorld(t)
	handler := SecurityHeaders(OnlyTrusted(func() []netip.Prefix { return nil }, w.tls.StillTrusted(cors.Handler(ok))))
	if n := testing.AllocsPerRun(100, func() { handler.ServeHTTP(out, r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOnlyTrusted(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/64")}
	handler := OnlyTrusted(func() []netip.Prefix { return proxies }, ok)
	for remote, status := range map[string]int{
		"127.0.0.1:1": 200, "127.9.9.9:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200, "10.1.2.3:1": 200, "[::ffff:10.1.2.3]:1": 200, "[2001:db8::7]:1": 200,
		"10.2.0.1:1": 403, "192.0.2.1:1": 403, "[2001:db8:0:1::7]:1": 403, "": 403, "@": 403, "localhost:1": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		r.Header.Set("X-Forwarded-Proto", "https")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		want(t, "plain HTTP from "+remote, w.Code, status)
		r.TLS = &tls.ConnectionState{}
		w = httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		want(t, "TLS from "+remote, w.Code, 200)
	}
}
