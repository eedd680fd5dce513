package httpapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

// loginWorld is a server that takes logins of a local issuer, which gives its
// user the role admin in a tenant.
type loginWorld struct {
	*world
	*testing.T
	issuer  *issuertest.Issuer
	tenant  *tenant
	issuers []identity.Issuer
}

const loopbackHost, publicHost = "127.0.0.1:8700", "config.example.com"

// newLoginWorld takes further lines of the issuer's login section and what comes
// before it.
func newLoginWorld(t *testing.T, settings string) *loginWorld {
	t.Helper()
	w := &loginWorld{T: t, issuer: issuertest.NewAt(t, shared.clock.now)}
	w.world = newWorld(t, func(o *httpapi.Options) {
		o.Clock, o.Logins = shared.clock.now, func() []identity.Issuer { return w.issuers }
	})
	w.tenant = w.newTenant(t)
	w.issuer.Register("web", "")
	w.use("audience: [web]\n  login: {client_id: web, scopes: [email]}" + settings)
	t.Cleanup(func() {
		if err := shared.verifier.Use(nil); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *loginWorld) use(settings string) {
	w.Helper()
	file, err := identity.ParseFile([]byte(fmt.Sprintf("issuers:\n- name: corp\n  issuer: %s\n  ca: %s\n  %s\n  bindings:\n  - {when: {sub: user-1}, tenant: %s, roles: [admin]}\n",
		w.issuer.URL, w.issuer.CA, settings, w.tenant.name)))
	if err == nil {
		err = w.verifier.Use(file)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.issuers = file.Issuers
}

// forBrowsers says whether a route answers pages, which these tests look at.
func forBrowsers(r httpapi.Route) bool {
	return r.Pattern == api.RouteLogin || r.Pattern == api.RouteLoginCallback || r.Pattern == api.RouteLogout
}

// browser is a browser at an address, which keeps cookies by their names.
type browser struct {
	*loginWorld
	host    string
	from    string // its address
	tls     bool
	cookies map[string]*http.Cookie
}

func (w *loginWorld) browser(host string) *browser {
	return &browser{loginWorld: w, host: host, from: "192.0.2.1:1", cookies: map[string]*http.Cookie{}}
}

// open asks for a page, with headers in pairs.
func (b *browser) open(method, target string, headers ...string) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, target, http.NoBody)
	r.Host, r.RemoteAddr, r.TLS = b.host, b.from, nil
	if b.tls {
		r.TLS = &tls.ConnectionState{}
	}
	for _, cookie := range b.cookies {
		r.AddCookie(cookie)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	b.server.ServeHTTP(answer, r)
	for _, cookie := range answer.Result().Cookies() {
		if b.cookies[cookie.Name] = cookie; cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		}
	}
	return answer
}

// begin opens the login page, and answers where the issuer sends the browser to.
func (b *browser) begin(query string) string {
	b.Helper()
	answer := b.open("GET", api.RouteLogin+query)
	if answer.Code != http.StatusFound {
		b.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	client := *b.issuer.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(answer.Header().Get("Location"))
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil {
		b.Fatalf("%v: %s", err, response.Status)
	}
	return back.RequestURI()
}

func (b *browser) login() {
	b.Helper()
	if answer := b.open("GET", b.begin("")); answer.Code != http.StatusOK {
		b.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
}

// wantPage checks what every page is like.
func wantPage(t *testing.T, answer *httptest.ResponseRecorder, status int, says string) {
	t.Helper()
	if text := html.UnescapeString(answer.Body.String()); answer.Code != status || !strings.Contains(text, says) {
		t.Errorf("status %d, want %d that says %q: %s", answer.Code, status, says, text)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	} {
		if got := answer.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if strings.Contains(answer.Body.String(), "<script") {
		t.Error("the page has a script")
	}
}

// A browser with real cookies over real connections.
func TestBrowserLogin(t *testing.T) {
	w := newLoginWorld(t, "")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := *w.issuer.Client
	client.Jar = jar
	open := func(method, target string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, w.http.URL+target, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text := &strings.Builder{}
		_ = response.Write(text)
		return response.StatusCode, text.String()
	}
	if status, _ := open("GET", api.RouteIdentity); status != http.StatusUnauthorized {
		t.Fatalf("let in before the login with status %d", status)
	}
	status, page := open("GET", api.RouteLogin+"?issuer=corp&to=/docs%3Fa=1%26b=2")
	if status != http.StatusOK || !strings.Contains(html.UnescapeString(page), `http-equiv="refresh" content="0;url=/docs?a=1&b=2"`) {
		t.Fatalf("status %d: %s", status, page)
	}
	status, who := open("GET", api.RouteIdentity)
	if status != http.StatusOK || !strings.Contains(who, `"id":"corp:user-1"`) || !strings.Contains(who, `"name":"ada@example.com"`) {
		t.Errorf("status %d: %s", status, who)
	}
	if status, text := open("PUT", w.tenant.path(api.RouteTag, "by-browser")); status != http.StatusOK && status != http.StatusBadRequest {
		t.Errorf("a write of the same browser: status %d: %s", status, text)
	}
	if status, _ = open("POST", api.RouteLogout); status != http.StatusOK {
		t.Errorf("logout: status %d", status)
	}
	if status, _ = open("GET", api.RouteIdentity); status != http.StatusUnauthorized {
		t.Errorf("let in after the logout with status %d", status)
	}
}

func TestLoginMethods(t *testing.T) {
	w := newLoginWorld(t, "")
	var methods api.LoginMethods
	w.call(t, "", "GET", api.RouteLoginMethods, nil).want(t, 200).wantHeaders(t, "Cache-Control", "no-store").into(t, &methods)
	want := api.LoginIssuer{Name: "corp", Issuer: w.issuer.URL, ClientID: "web", Scopes: []string{"openid", "email"}, Browser: true}
	if len(methods.Issuers) != 1 || fmt.Sprint(methods.Issuers[0]) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", methods.Issuers, want)
	}
	for _, settings := range []string{"audience: [web]", "audience: [web]\n  replay: true\n  login: {client_id: web}"} {
		w.use(settings)
		w.call(t, "", "GET", api.RouteLoginMethods, nil).want(t, 200).wantBody(t, `{"issuers":[]}`+"\n")
		wantPage(t, w.browser(loopbackHost).open("GET", api.RouteLogin+"?issuer=corp"), http.StatusNotFound, "no such issuer")
	}
	w.use("audience: [web]\n  login: {client_id: web, client_secret_file: /nowhere}")
	w.call(t, "", "GET", api.RouteLoginMethods, nil).want(t, 200).wantBody(t,
		`{"issuers":[{"name":"corp","issuer":"`+w.issuer.URL+`","client_id":"","scopes":["openid"],"browser":true}]}`+"\n")
	plain := newWorld(t)
	plain.call(t, "", "GET", api.RouteLoginMethods, nil).want(t, 200).wantBody(t, `{"issuers":[]}`+"\n")
}

func TestLoginCookies(t *testing.T) {
	w := newLoginWorld(t, "")
	for name, test := range map[string]struct {
		host           string
		tls            bool
		session, comes string
	}{
		"over TLS":              {publicHost, true, transport.SessionCookie, "https://config.example.com/login/callback"},
		"behind a proxy":        {publicHost, false, transport.SessionCookie, "https://config.example.com/login/callback"},
		"over TLS on loopback":  {loopbackHost, true, transport.SessionCookie, "https://127.0.0.1:8700/login/callback"},
		"plain on loopback":     {loopbackHost, false, transport.SessionCookieLoopback, "http://127.0.0.1:8700/login/callback"},
		"plain, by name":        {"localhost", false, transport.SessionCookieLoopback, "http://localhost/login/callback"},
		"a name that looks so":  {"127.0.0.1.evil.test", false, transport.SessionCookie, "https://127.0.0.1.evil.test/login/callback"},
		"loopback of version 6": {"[::1]:8700", false, transport.SessionCookieLoopback, "http://[::1]:8700/login/callback"},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser(test.host)
			b.tls = test.tls
			answer := b.open("GET", api.RouteLogin)
			location, err := answer.Result().Location()
			if err != nil {
				t.Fatalf("%v: %s", err, answer.Body)
			}
			for parameter, want := range map[string]string{"redirect_uri": test.comes, "code_challenge_method": "S256", "response_type": "code", "scope": "openid email"} {
				if got := location.Query().Get(parameter); got != want {
					t.Errorf("%s is %q, want %q", parameter, got, want)
				}
			}
			plain := test.session == transport.SessionCookieLoopback
			wantCookie(t, b.cookies[test.session+"-login"], !plain, http.SameSiteLaxMode, 600)
			b.login()
			if _, left := b.cookies[test.session+"-login"]; left || len(b.cookies) != 1 {
				t.Errorf("the browser keeps %v", b.cookies)
			}
			wantCookie(t, b.cookies[test.session], !plain, http.SameSiteStrictMode, 630) // the token's ten minutes and the leeway
			if got := b.open("GET", api.RouteIdentity); got.Code != http.StatusOK {
				t.Errorf("the session is not taken: %s", got.Body)
			}
		})
	}
}

func wantCookie(t *testing.T, c *http.Cookie, secure bool, site http.SameSite, age int) {
	t.Helper()
	if c == nil {
		t.Fatal("there is no cookie")
	}
	if !c.HttpOnly || c.Secure != secure || c.SameSite != site || c.Path != "/" || c.Domain != "" || c.MaxAge > age || c.MaxAge < age-60 {
		t.Errorf("the cookie is set as %s", strings.Replace(c.Raw, c.Value, "…", 1))
	}
}

func TestSessionsAreGuarded(t *testing.T) {
	w := newLoginWorld(t, "")
	b := w.browser(loopbackHost)
	b.login()
	for name, test := range map[string]struct {
		headers []string
		ok      bool
	}{
		"same origin":                  {[]string{"Sec-Fetch-Site", "same-origin"}, true},
		"typed in":                     {[]string{"Sec-Fetch-Site", "none"}, true},
		"same site":                    {[]string{"Sec-Fetch-Site", "same-site"}, false},
		"cross site":                   {[]string{"Sec-Fetch-Site", "cross-site"}, false},
		"cross site from our origin":   {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "http://" + loopbackHost}, false},
		"an old browser, our origin":   {[]string{"Origin", "http://" + loopbackHost}, true},
		"an old browser, another":      {[]string{"Origin", "https://evil.test"}, false},
		"an old browser, another port": {[]string{"Origin", "http://127.0.0.1:8701"}, false},
		"an old browser, no origin":    {[]string{"Origin", "null"}, false},
		"no browser":                   {nil, true},
	} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "GET"} {
			answer := b.open(method, w.tenant.path(api.RouteLayer, "base", "nothing"), test.headers...)
			forbidden := answer.Code == http.StatusForbidden && strings.Contains(answer.Body.String(), `"pointer":"Origin"`)
			if want := !test.ok && method != "GET"; method != "POST" && forbidden != want || method == "POST" && want && !forbidden {
				t.Errorf("%s %s: status %d: %s", method, name, answer.Code, answer.Body)
			}
			if answer.Code == http.StatusUnauthorized {
				t.Errorf("%s %s: the session is not taken", method, name)
			}
		}
		if answer := b.open("POST", api.RouteLogout, test.headers...); (answer.Code == http.StatusOK) != test.ok {
			t.Errorf("logout %s: status %d", name, answer.Code)
		}
		b.login()
	}
}

// A browser shows a certificate as it sends a cookie: without being asked.
func TestCertificatesOfBrowsersAreGuarded(t *testing.T) {
	w := newWorld(t)
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-origin": http.StatusUnauthorized} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", api.RouteTenants, strings.NewReader("{}"))
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
		r.Header.Set("Sec-Fetch-Site", site)
		answer := httptest.NewRecorder()
		if w.server.ServeHTTP(answer, r); answer.Code != want {
			t.Errorf("%s: status %d: %s", site, answer.Code, answer.Body)
		}
	}
}

func TestWhatIsNoSession(t *testing.T) {
	w := newLoginWorld(t, "")
	b := w.browser(loopbackHost)
	b.login()
	session := b.cookies[transport.SessionCookieLoopback].Value
	for name, test := range map[string]struct {
		host, cookie, value string
		headers             []string
		status              int
	}{
		"the session":                   {loopbackHost, transport.SessionCookieLoopback, session, nil, 200},
		"plain, off loopback":           {publicHost, transport.SessionCookieLoopback, session, nil, 401},
		"the other cookie, on loopback": {loopbackHost, transport.SessionCookie, session, nil, 401},
		"a token of this server":        {loopbackHost, transport.SessionCookieLoopback, w.tenant.token, nil, 401},
		"a session that was changed":    {loopbackHost, transport.SessionCookieLoopback, session[:len(session)-8] + "AAAAAAAA", nil, 401},
		"the header beats it":           {loopbackHost, transport.SessionCookieLoopback, session, []string{"Authorization", "Bearer llmc_wrong"}, 401},
		"also with another scheme":      {loopbackHost, transport.SessionCookieLoopback, session, []string{"Authorization", "Basic YTpi"}, 401},
		"also when it holds nothing":    {loopbackHost, transport.SessionCookieLoopback, session, []string{"Authorization", "Bearer"}, 401},
		"the header alone":              {loopbackHost, "other", "x", []string{"Authorization", "Bearer " + w.tenant.token}, 200},
		"the header, from another site": {loopbackHost, transport.SessionCookieLoopback, session, []string{"Authorization", "Bearer " + w.tenant.token, "Sec-Fetch-Site", "cross-site"}, 200},
	} {
		other := w.browser(test.host)
		other.cookies[test.cookie] = &http.Cookie{Name: test.cookie, Value: test.value}
		if answer := other.open("GET", api.RouteIdentity, test.headers...); answer.Code != test.status {
			t.Errorf("%s: status %d, want %d", name, answer.Code, test.status)
		}
	}
	w.clock.advance(11 * time.Minute)
	if answer := b.open("GET", api.RouteIdentity); answer.Code != http.StatusUnauthorized {
		t.Errorf("the token is over, and the session still taken: %d", answer.Code)
	}
}

// None of these gets a session; all are told the same, and count as failures of
// where they came from.
func TestLoginRefuses(t *testing.T) {
	w := newLoginWorld(t, "")
	change := func(parameter, value string) func(*browser, string) string {
		return func(_ *browser, back string) string {
			u, err := url.Parse(back)
			if err != nil {
				t.Fatal(err)
			}
			query := u.Query()
			query.Set(parameter, value)
			u.RawQuery = query.Encode()
			return u.String()
		}
	}
	gives := func(claims map[string]any) func(*browser, string) string {
		return func(_ *browser, back string) string {
			w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": "a", "id_token": w.issuer.Sign(w.issuer.Claims("user-1", claims))})
			})
			return back
		}
	}
	exchanged := []string{"another code", "another nonce", "another audience", "a replayed code", "not let in", "for another"} // the others end before
	number := 0
	for name, spoil := range map[string]func(*browser, string) string{
		"another state":    change("state", "canary"),
		"another issuer":   change("iss", "https://evil.test"),
		"another code":     change("code", "canary"),
		"an error":         change("error", "access_denied"),
		"two states":       func(_ *browser, back string) string { return back + "&state=canary" },
		"another nonce":    gives(map[string]any{"aud": "web", "nonce": "canary"}),
		"another audience": gives(map[string]any{"aud": "canary"}),
		"without a cookie": func(b *browser, back string) string { clear(b.cookies); return back },
		"a replayed code":  func(b *browser, back string) string { b.again(back); return back },
		"a changed cookie": func(b *browser, back string) string { b.spoil(0); return back },
		"a changed end":    func(b *browser, back string) string { b.spoil(-1); return back },
		"another's cookie": func(b *browser, back string) string { return b.of(w.browser(loopbackHost), back) },
		"another process":  func(b *browser, back string) string { return b.of(newLoginWorld(t, "").browser(loopbackHost), back) },
		"not let in":       func(_ *browser, back string) string { w.issuer.User(map[string]any{"sub": "user-2"}); return back },
		"for another": func(_ *browser, back string) string {
			w.use("audience: [else]\n  login: {client_id: web}")
			return back
		},
		"no more logins":    func(_ *browser, back string) string { w.use("audience: [web]"); return back },
		"ten minutes later": func(b *browser, back string) string { b.clock.advance(10 * time.Minute); return back },
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser(loopbackHost)
			number++
			b.from = fmt.Sprintf("198.51.100.%d:1", number)
			back := spoil(b, b.begin(""))
			w.clock.advance(time.Minute - time.Duration(w.clock.now().UnixNano()%int64(time.Minute))) // a minute in which nothing failed
			asked := w.issuer.Asked(issuertest.PathToken)
			answer := b.open("GET", back)
			if reached := w.issuer.Asked(issuertest.PathToken) > asked; reached != slices.Contains(exchanged, name) {
				t.Errorf("the issuer was asked for tokens: %t", reached)
			}
			wantPage(t, answer, http.StatusUnauthorized, "The login did not work. To do: begin it again"[4:])
			if strings.Contains(answer.Body.String(), "canary") || strings.Contains(answer.Body.String(), "user-") || len(b.cookies) > 0 {
				t.Errorf("the browser has %v and %s", b.cookies, answer.Body)
			}
			if got := w.service.Failures(netip.MustParseAddrPort(b.from).Addr()); got != 1 {
				t.Errorf("%d failures of the source are counted", got)
			}
			w.issuer.Answer(issuertest.PathToken, nil)
			w.issuer.User(map[string]any{"sub": "user-1"})
			w.use("audience: [web]\n  login: {client_id: web, scopes: [email]}")
		})
	}
}

// again uses a code up, as the same browser.
func (b *browser) again(back string) {
	b.Helper()
	kept := b.cookies[transport.SessionCookieLoopback+"-login"]
	if answer := b.open("GET", back); answer.Code != http.StatusOK {
		b.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	clear(b.cookies)
	b.cookies[kept.Name] = kept
}

// spoil changes a character of the cookie of the login in progress.
func (b *browser) spoil(at int) {
	cookie := b.cookies[transport.SessionCookieLoopback+"-login"]
	text := []byte(cookie.Value)
	at = (at + len(text)) % len(text)
	if text[at] = 'A'; cookie.Value[at] == 'A' {
		text[at] = 'Q'
	}
	cookie.Value = string(text)
}

// of takes over the cookie of another browser's login.
func (b *browser) of(other *browser, back string) string {
	b.Helper()
	other.begin("")
	b.cookies = other.cookies
	return back
}

func TestLoginGoesNowhereElse(t *testing.T) {
	w := newLoginWorld(t, "")
	for to, ok := range map[string]bool{
		"/": true, "/docs": true, "/docs/": true, "/a/b?c=d&e=%2F": true, "/a?to=https://evil.test": true,
		"": false, "docs": false, "https://evil.test": false, "HTTPS://evil.test": false, "//evil.test": false, "///evil.test": false, `/\evil.test`: false, `\\evil.test`: false, `\/evil.test`: false,
		"/\t/evil.test": false, "/\n/evil.test": false, "\t//evil.test": false, " //evil.test": false, "/ /evil.test": false, "/%2f/evil.test": false, "/%2Fevil.test": false, "/%5cevil.test": false, "/%09/evil.test": false,
		"/.//evil.test": false, "/a/..//evil.test": false, "/../evil": false, "/a//b": false, "javascript:alert(1)": false, "data:text/html,x": false, "http:/evil.test": false, "/docs#x": false,
		"/d\u00f6cs": false, "/\x00": false, "/%": false, "//user@evil.test": false, "/" + strings.Repeat("a", 1<<10): false,
	} {
		b := w.browser(loopbackHost)
		answer := b.open("GET", api.RouteLogin+"?to="+url.QueryEscape(to))
		if !ok {
			wantPage(t, answer, http.StatusBadRequest, "nobody is sent to there")
			if len(b.cookies) > 0 {
				t.Errorf("%q: a login was begun", to)
			}
			continue
		}
		if answer.Code != http.StatusFound {
			t.Errorf("%q: status %d: %s", to, answer.Code, answer.Body)
			continue
		}
		page := b.open("GET", b.begin("?to="+url.QueryEscape(to)))
		wantPage(t, page, http.StatusOK, `content="0;url=`+to+`"`)
	}
	for query, says := range map[string]string{"?issuer=none": "no such issuer", "?issuer=": "", "?to=/a&to=/b": "more than once", "?next=/docs": "takes issuer and to"} {
		if answer := w.browser(loopbackHost).open("GET", api.RouteLogin+query); says != "" {
			wantPage(t, answer, answer.Code, says)
			if answer.Code < 400 {
				t.Errorf("%s: status %d", query, answer.Code)
			}
		}
	}
}

// What is too large for a cookie would be dropped by browsers, without a word.
func TestLoginWithALargeToken(t *testing.T) {
	w := newLoginWorld(t, "")
	claims := map[string]any{"sub": "user-1"}
	for i := range 5 {
		claims[fmt.Sprintf("groups%d", i)] = strings.Repeat("g", 600)
	}
	w.issuer.User(claims)
	b := w.browser(loopbackHost)
	wantPage(t, b.open("GET", b.begin("")), http.StatusRequestEntityTooLarge, "too large for a browser to keep")
	if len(b.cookies) > 0 {
		t.Errorf("the browser has %v", b.cookies)
	}
}

func TestLoginWhileTheIssuerIsAway(t *testing.T) {
	w := newLoginWorld(t, "")
	w.issuer.Away(true)
	b := w.browser(loopbackHost)
	for range 3 {
		wantPage(t, b.open("GET", api.RouteLogin), http.StatusServiceUnavailable, "nobody can log in at this issuer now")
	}
	if asked := w.issuer.Asked(issuertest.PathDiscovery); asked != 1 {
		t.Errorf("the issuer was asked %d times at once", asked)
	}
	w.issuer.Away(false)
	w.clock.advance(5 * time.Second)
	back := b.begin("")
	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	b.from = "203.0.113.1:1"
	wantPage(t, b.open("GET", back), http.StatusServiceUnavailable, "nobody can log in at this issuer now")
	if got := w.service.Failures(netip.MustParseAddr("203.0.113.1")); got != 0 {
		t.Errorf("%d failures are counted that are the issuer's", got)
	}
	w.issuer.Answer(issuertest.PathToken, nil)
	b.login()
	b.login()
	if asked := w.issuer.Asked(issuertest.PathDiscovery); asked > 3 { // the verifier asks by itself
		t.Errorf("the issuer was asked %d times", asked)
	}
	w.issuer.CA = filepath.Join(t.TempDir(), "gone.pem")
	w.issuers[0].CA = w.issuer.CA
	wantPage(t, b.open("GET", api.RouteLogin), http.StatusServiceUnavailable, "nobody can log in at this issuer now")
}

func TestLoginWithASecret(t *testing.T) {
	w := newLoginWorld(t, "")
	w.issuer.Register("web", "horse battery staple")
	file := filepath.Join(t.TempDir(), "secret")
	w.use("audience: [web]\n  login: {client_id: web, client_secret_file: " + file + "}")
	wantPage(t, w.browser(loopbackHost).open("GET", api.RouteLogin), http.StatusServiceUnavailable, "now")
	for text, ok := range map[string]bool{"horse battery staple\n": true, "wrong": false, "\n": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b := w.browser(loopbackHost)
		if answer := b.open("GET", api.RouteLogin); answer.Code != http.StatusFound {
			if ok || text == "wrong" {
				t.Errorf("%q: status %d", text, answer.Code)
			}
			continue
		}
		if answer := b.open("GET", b.begin("")); (answer.Code == http.StatusOK) != ok {
			t.Errorf("%q: status %d: %s", text, answer.Code, answer.Body)
		}
	}
	if strings.Contains(w.log.String(), "horse battery") {
		t.Error("the log has the secret")
	}
}
