package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
)

// loginWorld is a server that takes the tokens of a local issuer, and a person
// with a folder of settings.
type loginWorld struct {
	*session
	*testing.T
	issuer   *issuertest.Issuer
	verifier *identity.Verifier
	server   *httptest.Server
	methods  []api.LoginIssuer
	file     loginFile
	browser  func(address string) // what the person does with an address on standard error
}

func newLoginWorld(t *testing.T) *loginWorld {
	t.Helper()
	w := &loginWorld{T: t, issuer: issuertest.New(t), verifier: identity.New(identity.Options{})}
	w.issuer.Register("cli", "")
	w.audience("cli")
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api.RouteLoginMethods, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a token is sent where none is needed")
		}
		answer(rw, api.LoginMethods{Issuers: w.methods})
	})
	mux.HandleFunc("GET "+api.RouteIdentity, func(rw http.ResponseWriter, r *http.Request) {
		c, err := w.verifier.JWT(r.Context(), strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if err != nil {
			problem(rw, api.Problem{Code: api.CodeUnauthenticated, Detail: "nobody"})
			return
		}
		answer(rw, api.Identity{ID: c.ID, Name: c.Name, Method: c.Method, Roles: c.Roles, Tenant: c.Tenant, Expires: c.Expires})
	})
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	w.methods = []api.LoginIssuer{{Name: "corp", Issuer: w.issuer.URL, ClientID: "cli", Scopes: []string{"openid", "offline_access"}}}
	w.session = newSession(t, &wire{url: w.server.URL})
	folder := t.TempDir()
	w.env = map[string]string{envAddr: w.server.URL, "XDG_CONFIG_HOME": folder}
	w.file = loginFile(filepath.Join(folder, "llm-config", "credentials.json"))
	w.browser = w.visit
	w.stderr = &reader{buffer: &w.err, line: func(line string) {
		if strings.HasPrefix(line, w.issuer.URL+issuertest.PathAuthorize) {
			go w.browser(line)
		}
	}}
	w.pause = func(ctx context.Context, d time.Duration) error {
		if d == browserTime { // the browser is faster, in every test but one
			return pause(ctx, 20*time.Second)
		}
		return ctx.Err()
	}
	return w
}

// audience puts an identities file in force that takes tokens for a client.
func (w *loginWorld) audience(client string) {
	w.Helper()
	file, err := identity.ParseFile([]byte(fmt.Sprintf("issuers:\n- name: corp\n  issuer: %s\n  ca: %s\n  audience: [%s]\n  bindings:\n  - {when: {sub: user-1}, tenant: acme, roles: [operator]}\n",
		w.issuer.URL, w.issuer.CA, client)))
	if err == nil {
		err = w.verifier.Use(file)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// reader reads along what is written, line by line.
type reader struct {
	mu     sync.Mutex
	buffer *bytes.Buffer
	line   func(string)
}

func (r *reader) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		r.line(strings.TrimSpace(line))
	}
	return r.buffer.Write(b)
}

// visit is a browser that follows the issuer back to the command line.
func (w *loginWorld) visit(address string) {
	response, err := w.issuer.Client.Get(address)
	if err != nil {
		w.Error(err)
		return
	}
	defer response.Body.Close()
	text := &bytes.Buffer{}
	_ = response.Write(text)
	for _, want := range []string{"200 OK", "may be closed", "Content-Security-Policy: default-src 'none'", "Cache-Control: no-store"} {
		if !strings.Contains(text.String(), want) {
			w.Errorf("the page does not say %q: %s", want, text)
		}
	}
}

// back is where the issuer sends a browser.
func (w *loginWorld) back(address string) *url.URL {
	client := *w.issuer.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(address)
	if err != nil {
		w.Error(err)
		return &url.URL{}
	}
	defer response.Body.Close()
	back, err := response.Location()
	if err != nil {
		w.Error(err)
	}
	return back
}

// tells runs a command line that must end with the code and say these things. It
// must never say a token.
func (w *loginWorld) tells(code int, line string, wants ...string) {
	w.Helper()
	w.out.Reset()
	w.err.Reset()
	before := w.kept()
	w.run(w.T, code, strings.Fields(line)...)
	all := w.out.String() + w.err.String()
	for _, want := range wants {
		if !strings.Contains(all, want) {
			w.Errorf("%s does not say %q:\n%s", line, want, all)
		}
	}
	for _, one := range []stored{before, w.kept()} {
		for _, token := range []string{one.IDToken, one.Refresh} {
			if token != "" && strings.Contains(all, token) {
				w.Errorf("%s shows a token", line)
			}
		}
	}
}

func (w *loginWorld) login() {
	w.Helper()
	w.tells(exitDone, "login --no-browser --issuer-ca-file "+w.issuer.CA, "corp:user-1", "operator of acme")
}

// kept is the login that is kept for the server.
func (w *loginWorld) kept() (one stored) {
	w.Helper()
	text, err := os.ReadFile(string(w.file))
	if err != nil {
		return stored{}
	}
	var all struct{ Servers map[string]stored }
	if json.Unmarshal(text, &all) != nil {
		return stored{}
	}
	return all.Servers[w.server.URL]
}

// keep changes what is kept.
func (w *loginWorld) keep(edit func(*stored)) {
	w.Helper()
	err := w.file.change(w.Context(), w.app, func(all map[string]stored) error {
		one := all[w.server.URL]
		edit(&one)
		all[w.server.URL] = one
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

func TestLoginByBrowser(t *testing.T) {
	w := newLoginWorld(t)
	w.tells(exitFailed, "whoami", "no token is given", "or run `llm-config login`")
	w.login()
	for name, want := range map[string]os.FileMode{string(w.file): 0o600, filepath.Dir(string(w.file)): 0o700, string(w.file) + ".lock": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the rights %v, want %v: %v", name, info.Mode().Perm(), want, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(string(w.file))); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v: %v", left, err)
	}
	w.tells(exitDone, "whoami", "ada@example.com  corp:user-1  identity  operator of acme")
	w.env[envAddr] = strings.ToUpper(w.server.URL[:4]) + w.server.URL[4:] + "/"
	w.tells(exitDone, "whoami", "corp:user-1")
	w.env[envAddr] = "http://127.0.0.1:1"
	w.tells(exitFailed, "whoami", "no token is given")
	w.env[envAddr] = w.server.URL

	w.env[envToken] = "llmc_wrong"
	w.tells(exitFailed, "whoami", "nobody")
	w.login()
	if !strings.Contains(w.err.String(), "LLM_CONFIG_TOKEN is set, and beats this login") {
		t.Errorf("said %s", &w.err)
	}
	delete(w.env, envToken)
	w.tells(exitFailed, "whoami --token-file "+written(t, "token", "llmc_wrong"), "nobody")
}

func TestLoginByDevice(t *testing.T) {
	w := newLoginWorld(t)
	w.issuer.Pending(2)
	for _, line := range []string{"login --device", "login"} { // there is no screen
		w.tells(exitDone, line+" --issuer-ca-file "+w.issuer.CA, "enter the code BDWP-HQPK", w.issuer.URL+"/device", "corp:user-1")
		w.tells(exitDone, "whoami", "corp:user-1")
	}
	w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) {
		d := w.issuer.Discovery()
		delete(d, "device_authorization_endpoint")
		_ = json.NewEncoder(rw).Encode(d)
	})
	w.tells(exitFailed, "login --issuer-ca-file "+w.issuer.CA, "no login for devices", "use --no-browser")
}

// With a screen the browser is opened, by the desktop.
func TestLoginOpensABrowser(t *testing.T) {
	w := newLoginWorld(t)
	bin, opened := t.TempDir(), filepath.Join(t.TempDir(), "opened")
	script := "#!/bin/sh\nprintf %s \"$1\" > " + opened + "\n"
	for _, name := range []string{"xdg-open", "open"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	w.interactive, w.env["DISPLAY"] = true, ":0"
	w.login()
	if _, err := os.Stat(opened); err == nil {
		t.Error("--no-browser opened a browser")
	}
	w.browser = func(string) {
		for range 500 {
			if address, err := os.ReadFile(opened); err == nil && bytes.Contains(address, []byte("code_challenge_method=S256")) {
				w.visit(string(address))
				return
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Error("no browser was opened")
	}
	w.tells(exitDone, "login --issuer-ca-file "+w.issuer.CA, "corp:user-1")
}

// Whatever comes back that is not the answer to this login ends it, and nothing
// is kept.
func TestLoginRefuses(t *testing.T) {
	w := newLoginWorld(t)
	come := func(change url.Values) func(string) {
		return func(address string) {
			back := w.back(address)
			query := back.Query()
			maps.Copy(query, change)
			back.RawQuery = query.Encode()
			w.visit(back.String())
		}
	}
	gives := func(claims map[string]any) func(string) {
		return func(address string) {
			w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(rw).Encode(map[string]any{"access_token": "a", "id_token": w.issuer.Sign(w.issuer.Claims("user-1", claims))})
			})
			w.visit(address)
		}
	}
	for says, browser := range map[string]func(string){
		"the answer to another login":           come(url.Values{"state": {"other"}}),
		"came back from another issuer":         come(url.Values{"iss": {"https://evil.test"}}),
		"refused the login: access_denied":      come(url.Values{"error": {"access_denied"}}),
		"refused the login: invalid_grant":      come(url.Values{"code": {"other"}}),
		"token is the answer to another login":  gives(map[string]any{"aud": "cli", "nonce": "other"}),
		"is for another client than cli":        gives(map[string]any{"aud": "web"}),
		"it knows nobody like you, or takes no": func(address string) { w.issuer.User(map[string]any{"sub": "user-2"}); w.visit(address) },
		"no tokens for the client \"cli\"": func(address string) {
			w.issuer.User(map[string]any{"sub": "user-1"})
			w.audience("web")
			w.visit(address)
		},
	} {
		w.browser = browser
		w.tells(exitFailed, "login --no-browser --issuer-ca-file "+w.issuer.CA, says)
		if w.kept().IDToken != "" {
			t.Errorf("%s: a login is kept", says)
		}
		w.issuer.Answer(issuertest.PathToken, nil)
		w.issuer.User(map[string]any{"sub": "user-1"})
		w.audience("cli")
	}
}

// One request ends the wait, and nothing else that comes to the port.
func TestLoginTakesOneRequest(t *testing.T) {
	w := newLoginWorld(t)
	w.browser = func(address string) {
		back := w.back(address)
		for target, host := range map[string]string{"/": "", "/favicon.ico": "", back.RequestURI(): "evil.test"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+back.Host+target, http.NoBody)
			if err != nil {
				t.Error(err)
				continue
			}
			r.Host = host
			response, err := w.server.Client().Do(r)
			if err != nil {
				t.Error(err)
				continue
			}
			if response.Body.Close(); response.StatusCode != http.StatusNotFound {
				t.Errorf("%s of %s: status %d", target, host, response.StatusCode)
			}
		}
		w.visit(back.String())
	}
	w.tells(exitDone, "login --no-browser --issuer-ca-file "+w.issuer.CA, "corp:user-1")

	c := &callback{host: "127.0.0.1:1", answer: make(chan url.Values, 1)}
	for _, want := range []int{http.StatusOK, http.StatusGone} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, callbackPath+"?code=1", http.NoBody)
		r.Host = c.host
		got := httptest.NewRecorder()
		if c.ServeHTTP(got, r); got.Code != want {
			t.Errorf("status %d, want %d", got.Code, want)
		}
	}
}

func TestLoginEnds(t *testing.T) {
	w := newLoginWorld(t)
	w.browser = func(string) {}
	w.pause = func(context.Context, time.Duration) error { return nil }
	w.tells(exitFailed, "login --no-browser --issuer-ca-file "+w.issuer.CA, "did not come back within 5m0s")
}

func TestLoginChoosesTheIssuer(t *testing.T) {
	w := newLoginWorld(t)
	two := api.LoginIssuer{Name: "other", Issuer: "https://other.test", ClientID: "x"}
	w.methods = append(w.methods, two)
	w.tells(exitFailed, "login", "several issuers", "give --issuer as corp or other")
	w.tells(exitFailed, "login --issuer none", `no issuer "none"`, "give --issuer as corp or other")
	w.tells(exitDone, "login --issuer corp --device --issuer-ca-file "+w.issuer.CA, "corp:user-1")
	w.methods[0].ClientID = ""
	w.tells(exitFailed, "login --issuer corp", "in the browser alone", "open "+w.server.URL+"/login?issuer=corp")
	w.methods = nil
	w.tells(exitFailed, "login", "the server takes no logins")
	w.tells(exitFailed, "login --device --no-browser", "--device and --no-browser exclude each other")
	for _, addr := range []string{"http://config.example.com", "http://10.0.0.1:8700", "http://127.0.0.1.evil.test"} {
		w.tells(exitFailed, "login --addr "+addr, "is plain HTTP", "use an https:// address")
	}
}

func TestLoginIsRenewed(t *testing.T) {
	w := newLoginWorld(t)
	w.login()
	first := w.kept()
	soon := func(one *stored) { one.Expires = time.Now().Add(30 * time.Second) }
	w.keep(soon)
	w.tells(exitDone, "whoami", "corp:user-1")
	second := w.kept()
	if second.IDToken == first.IDToken || second.Refresh == first.Refresh || time.Until(second.Expires) < 5*time.Minute {
		t.Error("the login was not renewed, or not kept")
	}
	asked := w.issuer.Asked(issuertest.PathToken)
	w.tells(exitDone, "whoami", "corp:user-1")
	if w.issuer.Asked(issuertest.PathToken) != asked {
		t.Error("a fresh login is renewed")
	}

	w.keep(func(one *stored) { soon(one); one.Refresh = "spent" })
	w.tells(exitDone, "whoami", "corp:user-1") // for as long as it lasts
	w.keep(func(one *stored) { one.Expires = time.Now().Add(-time.Second) })
	w.tells(exitFailed, "whoami", "your login at "+w.server.URL+" is over, and cannot be renewed", "invalid_grant", "run `llm-config login`")
	w.keep(func(one *stored) { one.Refresh = "" })
	w.tells(exitFailed, "whoami", "your login at "+w.server.URL+" is over since", "run `llm-config login`")
	w.keep(func(one *stored) { soon(one) })
	w.tells(exitDone, "whoami", "corp:user-1")

	w.login()
	w.issuer.User(map[string]any{"sub": "user-2"})
	w.keep(func(one *stored) { one.Expires = time.Now().Add(-time.Second) })
	w.tells(exitFailed, "whoami", "somebody else's")
}

// A refresh token that is good once is spent by one of those who need it at once.
func TestOneRenewsForAll(t *testing.T) {
	w := newLoginWorld(t)
	w.login()
	w.keep(func(one *stored) { one.Expires = time.Now().Add(-time.Second) })
	asked := w.issuer.Asked(issuertest.PathToken)
	patient := &app{getenv: w.getenv, pause: pause}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if token, err := patient.loginToken(t.Context(), w.file, w.server.URL); err != nil || token == "" {
				t.Errorf("got no token: %v", err)
			}
		})
	}
	all.Wait()
	if got := w.issuer.Asked(issuertest.PathToken) - asked; got != 1 {
		t.Errorf("the issuer was asked %d times", got)
	}
}

func TestLoginsAreTheirOwnersAlone(t *testing.T) {
	w := newLoginWorld(t)
	w.login()
	folder := filepath.Dir(string(w.file))
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		chmod(string(w.file), mode)
		for _, line := range []string{"whoami", "logout", "login --device --issuer-ca-file " + w.issuer.CA} {
			w.tells(exitFailed, line, "others may read or write", "run chmod 600 "+string(w.file))
		}
	}
	chmod(string(w.file), 0o600)
	chmod(folder, 0o770)
	w.tells(exitFailed, "login --device --issuer-ca-file "+w.issuer.CA, "others may write into", "run chmod 700 "+folder)
	chmod(folder, 0o700)
	w.tells(exitDone, "whoami", "corp:user-1")

	for _, text := range []string{"", "{}", "[]", `{"servers":[]}`, `{"servers":null}`} {
		if err := os.WriteFile(string(w.file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.tells(exitFailed, "whoami", "is not as this program wrote it")
	}
	if err := os.Remove(string(w.file)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(string(w.file), 0o700); err != nil {
		t.Fatal(err)
	}
	w.tells(exitFailed, "whoami", "is no plain file")
}

func TestLoginNeedsAPlace(t *testing.T) {
	w := newLoginWorld(t)
	for _, place := range []map[string]string{{}, {"XDG_CONFIG_HOME": "relative"}, {"HOME": "relative"}} {
		w.env = maps.Clone(place)
		w.env[envAddr] = w.server.URL
		w.tells(exitFailed, "login --device --issuer-ca-file "+w.issuer.CA, "there is no place to keep a login")
		w.tells(exitFailed, "whoami", "no token is given")
	}
	blocked := written(t, "file", "")
	w.env["XDG_CONFIG_HOME"] = blocked // not even root makes a folder below a file
	asked := w.issuer.Asked(issuertest.PathDevice)
	w.tells(exitFailed, "login --device --issuer-ca-file "+w.issuer.CA, "cannot mkdir "+blocked)
	if w.issuer.Asked(issuertest.PathDevice) != asked {
		t.Error("the person is sent to a browser for nothing")
	}
	w.env["XDG_CONFIG_HOME"], w.env["HOME"] = "relative", t.TempDir()
	w.tells(exitDone, "login --device --issuer-ca-file "+w.issuer.CA, "corp:user-1")
	if _, err := os.Stat(filepath.Join(w.env["HOME"], ".config", "llm-config", "credentials.json")); err != nil {
		t.Error(err)
	}
}

func TestLogout(t *testing.T) {
	w := newLoginWorld(t)
	var revoked []string
	w.issuer.Answer("/revoke", func(_ http.ResponseWriter, r *http.Request) {
		revoked = append(revoked, r.PostFormValue("token"))
	})
	w.tells(exitDone, "logout", "no login at "+w.server.URL+" is kept")
	w.tells(exitDone, "logout --all", "no login is kept")
	w.login()
	w.tells(exitDone, "logout", "logged out of "+w.server.URL)
	if w.kept().IDToken != "" || len(revoked) != 0 { // the issuer has no address for it
		t.Errorf("the login is kept, or was taken back: %d", len(revoked))
	}
	w.tells(exitFailed, "whoami", "no token is given")

	w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) {
		d := w.issuer.Discovery()
		d["revocation_endpoint"] = w.issuer.URL + "/revoke"
		_ = json.NewEncoder(rw).Encode(d)
	})
	w.login()
	refresh := w.kept().Refresh
	w.tells(exitDone, "logout --all", "logged out of "+w.server.URL)
	if len(revoked) != 1 || revoked[0] != refresh {
		t.Errorf("%d tokens were taken back", len(revoked))
	}
	w.issuer.Answer(issuertest.PathDiscovery, nil)
	w.login()
	w.issuer.Away(true)
	w.tells(exitDone, "logout", "logged out of "+w.server.URL, "the issuer was not told")
	if w.kept().IDToken != "" {
		t.Error("the login is kept")
	}
	w.tells(exitFailed, "logout --all --addr https://a.test", "exclude each other")
}

func TestLoginAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"https://Config.Example.com:443/": "https://config.example.com", "https://a.test:8443/base/": "https://a.test:8443/base",
		"http://127.0.0.1:8700": "http://127.0.0.1:8700", "http://localhost:80": "http://localhost", "http://[::1]:8700/": "http://[::1]:8700",
		"http://a.test": "", "ftp://a.test": "", "a.test": "", "": "", "http://[::1": "", "https://": "",
	} {
		got, err := loginAddress(addr)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, want %q: %v", addr, got, want, err)
		}
	}
}

var pathsOfTokens = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20}`)

// What may be printed for people is never a token, whatever the format.
func TestLoginPrintsNoToken(t *testing.T) {
	w := newLoginWorld(t)
	for _, format := range []string{"table", "json", "yaml", "value"} {
		w.tells(exitDone, "login --no-browser -o "+format+" --issuer-ca-file "+w.issuer.CA, "ada@example.com")
		if found := pathsOfTokens.FindString(w.out.String() + w.err.String()); found != "" {
			t.Errorf("-o %s shows %s", format, found)
		}
	}
}
