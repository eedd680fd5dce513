package transport

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestCheckOrigin(t *testing.T) {
	for _, origin := range []string{
		"https://console.example.com", "https://console.example.com:8443", "https://a_b.example", "https://10.0.0.7", "https://[2001:db8::7]:8443", "https://xn--bcher-kva.example",
		"http://localhost", "http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000", "http://app.localhost:3000",
	} {
		if err := CheckOrigin(origin); err != nil {
			t.Errorf("%s is refused: %v", origin, err)
		}
	}
	for origin, says := range map[string]string{
		"*": "wildcard", "https://*": "wildcard", "https://*.example.com": "wildcard", "https://a.example.com:*": "wildcard",
		"null": "sandbox", "": "https://", "console.example.com": "https://", "ftp://a.test": "https://", "file://": "https://", "HTTPS://a.test": "https://", "chrome-extension://abc": "https://",
		"https://": "no host", "https://:8443": "no host", "https://a.test:": "no host", "https://a..test": "no host", "https://b\u00fccher.example": "no host", "https://[::1": "no host",
		"https://[2001:db8:0::7]": "no host", "https://a%62.test": "no host", "https://[fe80::1%25eth0]": "no host",
		"https://Console.example.com": "capitals",
		"https://a.test/":             "more than an origin", "https://a.test/path": "more than an origin", "https://a.test?x": "more than an origin", "https://a.test#x": "more than an origin",
		"https://user@a.test": "more than an origin", "https://a.test b": "more than an origin", `https://a.test\b`: "more than an origin",
		"https://a.test:443": `write "https://a.test"`, "http://localhost:80": `write "http://localhost"`, "https://a.test:0": "port", "https://a.test:08443": "port", "https://a.test:99999": "port",
		"http://a.test": "plain HTTP", "http://10.0.0.7": "plain HTTP", "http://localhost.example.com": "plain HTTP",
	} {
		if err := CheckOrigin(origin); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, and expected %q", origin, err, says)
		}
	}
}

// preflight makes a request a browser's question.
func preflight(origin, method string, headers ...string) func(*http.Request) {
	return func(r *http.Request) {
		r.Method = http.MethodOptions
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		r.Header.Set("Access-Control-Request-Method", method)
		if len(headers) > 0 {
			r.Header.Set("Access-Control-Request-Headers", strings.Join(headers, ","))
		}
	}
}

const console = "https://console.test"

func TestPreflights(t *testing.T) {
	var cors CORS
	cors.Allow([]string{console, "http://localhost:3000"})
	handler := cors.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a preflight reached the routes") }))
	for what, test := range map[string]struct {
		ask     func(*http.Request)
		allowed bool
	}{
		"a read":                 {preflight(console, "GET", "authorization"), true},
		"a write":                {preflight(console, "PUT", "authorization", "content-type", "idempotency-key", "if-match"), true},
		"a delete":               {preflight(console, "DELETE", "authorization"), true},
		"a patch, from loopback": {preflight("http://localhost:3000", "PATCH", "content-type"), true},
		"a watch that resumes":   {preflight(console, "GET", "authorization", "last-event-id"), true},
		"another origin":         {preflight("https://evil.test", "GET", "authorization"), false},
		"another port":           {preflight(console+":8443", "GET"), false},
		"another scheme":         {preflight("http://console.test", "GET"), false},
		"a name that begins so":  {preflight(console+".evil.test", "GET"), false},
		"a name that ends so":    {preflight("https://evil-console.test", "GET"), false},
		"capitals":               {preflight("https://CONSOLE.test", "GET"), false},
		"null":                   {preflight("null", "GET"), false},
		"no origin":              {preflight("", "GET"), false},
		"a method that is none":  {preflight(console, "TRACE"), false},
		"a header that is none":  {preflight(console, "GET", "x-forwarded-for"), false},
		"a cookie":               {preflight(console, "GET", "cookie"), false},
	} {
		t.Run(what, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodOptions, "/api/v1/tenants", http.NoBody)
			test.ask(r)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			want(t, "the preflight", w.Code, 204)
			origin := w.Header().Get("Access-Control-Allow-Origin")
			if test.allowed && origin != r.Header.Get("Origin") || !test.allowed && origin != "" {
				t.Errorf("the origin %q is allowed", origin)
			}
			if test.allowed && w.Header().Get("Access-Control-Max-Age") != "600" {
				t.Errorf("it is remembered for %q", w.Header().Get("Access-Control-Max-Age"))
			}
			neverCredentials(t, w.Header())
			if !variesByOrigin(w.Header()["Vary"]) {
				t.Errorf("Vary is %q", w.Header()["Vary"])
			}
		})
	}
}

func neverCredentials(t *testing.T, h http.Header) {
	t.Helper()
	if got := h.Values("Access-Control-Allow-Credentials"); got != nil {
		t.Errorf("credentials are allowed: %q", got)
	}
	if got := h.Get("Access-Control-Allow-Origin"); got == "*" {
		t.Error("everybody is allowed")
	}
}

func TestAnswersToOtherOrigins(t *testing.T) {
	shared := []string{"Accept, Accept-Encoding"}
	var cors CORS
	handler := cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Vary"] = shared
		if r.URL.Path == "/silent" {
			return
		}
		_, _ = w.Write([]byte("{}"))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("events would not leave: %v", err)
		}
	}))
	ask := func(origin string) http.Header {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		neverCredentials(t, w.Result().Header)
		return w.Result().Header
	}
	without := func(what string, h http.Header) {
		t.Helper()
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: there is %s", what, name)
			}
		}
	}
	h := ask(console)
	without("no origins", h)
	if got := strings.Join(h["Vary"], ", "); got != shared[0] {
		t.Errorf("no origins: Vary is %q", got)
	}

	cors.Allow([]string{console})
	h = ask(console)
	if h.Get("Access-Control-Allow-Origin") != console {
		t.Errorf("the origin %q is allowed", h.Get("Access-Control-Allow-Origin"))
	}
	for _, name := range []string{"Etag", "X-Config-Revision", "X-Config-Digest", "Ratelimit-Remaining", "Retry-After", "X-Request-Id"} {
		if !strings.Contains(h.Get("Access-Control-Expose-Headers"), name) {
			t.Errorf("%s is not exposed: %s", name, h.Get("Access-Control-Expose-Headers"))
		}
	}
	for _, origin := range []string{console, "https://evil.test", ""} {
		if got := strings.Join(ask(origin)["Vary"], ", "); got != "Accept, Accept-Encoding, Origin" {
			t.Errorf("%q: Vary is %q", origin, got)
		}
	}
	without("another origin", ask("https://evil.test"))
	without("no origin", ask(""))
	if len(shared) != 1 || shared[0] != "Accept, Accept-Encoding" {
		t.Errorf("what answers share was written into: %q", shared)
	}

	cors.Allow(nil)
	without("none any more", ask(console))
}

// TestMatched passes the pattern on to whoever counts requests.
func TestMatched(t *testing.T) {
	var cors CORS
	cors.Allow([]string{console})
	out := &matching{ResponseRecorder: httptest.NewRecorder()}
	cors.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(interface{ Matched(string) }).Matched("GET /a/{b}")
	})).ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/a/b", http.NoBody))
	if out.pattern != "GET /a/{b}" {
		t.Errorf("told %q", out.pattern)
	}
}

type matching struct {
	*httptest.ResponseRecorder
	pattern string
}

func (m *matching) Matched(pattern string) { m.pattern = pattern }

func TestCheckCrossOrigin(t *testing.T) {
	type header map[string]string
	check := func(method string, h header) error {
		r := httptest.NewRequest(method, "https://config.test/api/v1/logout", http.NoBody)
		for name, value := range h {
			r.Header.Set(name, value)
		}
		return CheckCrossOrigin(r)
	}
	allow := func(method string, h header) {
		t.Helper()
		if err := check(method, h); err != nil {
			t.Errorf("%s %v: %v", method, h, err)
		}
	}
	deny := func(method string, h header) {
		t.Helper()
		if err := check(method, h); config.KindOf(err) != config.KindForbidden {
			t.Errorf("%s %v: %v", method, h, err)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "MADEUP"} {
		allow(method, header{"Sec-Fetch-Site": "same-origin"})
		allow(method, header{"Sec-Fetch-Site": "none"})
		allow(method, header{"Origin": "https://config.test"})
		allow(method, header{})
		allow(method, header{"Sec-Fetch-Site": "cross-site", "Authorization": "Bearer llmc_x"})
		deny(method, header{"Sec-Fetch-Site": "cross-site"})
		deny(method, header{"Sec-Fetch-Site": "same-site"}) // another port of localhost, another name of the company
		deny(method, header{"Sec-Fetch-Site": "cross-site", "Origin": "https://config.test"})
		deny(method, header{"Sec-Fetch-Site": "made-up"})
		deny(method, header{"Origin": "https://evil.test"})
		deny(method, header{"Origin": "https://config.test.evil.test"})
		deny(method, header{"Origin": "https://config.test:8443"})
		deny(method, header{"Origin": "null"})
		for _, authorization := range []string{"Basic eDp5", "Digest username=x", "Negotiate x", "Bearer", "Bearer ", "Bearers x", " "} {
			deny(method, header{"Sec-Fetch-Site": "cross-site", "Authorization": authorization}) // which a browser may add by itself
		}
		allow(method, header{"Sec-Fetch-Site": "cross-site", "Authorization": "bearer llmc_x"})
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		allow(method, header{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"})
	}
}
