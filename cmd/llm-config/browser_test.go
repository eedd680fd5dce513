package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
)

// Pages of other sites, which are told by their address what to do. What they are
// answered, as far as the browser lets them know, is in the pre.
var foreignPages = map[string]string{
	// link leads to another page.
	"/link": `<script>location = new URLSearchParams(location.search).get("to")</script>`,
	// form sends a form, as every page may, to wherever it likes.
	"/form": `<form method="post" enctype="text/plain"><input name="a" value="b"></form>
<script>document.forms[0].action = new URLSearchParams(location.search).get("to"); document.forms[0].submit()</script>`,
	// fetch makes a request of each method in ask: with the token, else with what the browser has.
	"/fetch": `<pre></pre><script>(async () => {
	const query = new URLSearchParams(location.search), token = query.get("token"), headers = {"Content-Type": "application/json"}
	if (token) headers.Authorization = "Bearer " + token
	for (const method of query.getAll("ask")) {
		let said = "unread"
		try {
			const answer = await fetch(query.get("to"), {method, headers, credentials: token ? "omit" : "include", body: method == "PUT" ? '{"b":2}' : undefined})
			said = answer.status + " " + await answer.text()
		} catch {}
		document.querySelector("pre").textContent += method + " " + said + "\n"
	}
	document.querySelector("pre").textContent += "done"
})()</script>`,
}

// browserWorld is a server that takes logins and a listed origin, and a browser.
type browserWorld struct {
	*testing.T
	*runningServer
	profile string // the browser's folder, in which cookies are
	program string
	port    string // of the other sites, which are one under several names
}

func newBrowserWorld(t *testing.T) *browserWorld {
	t.Helper()
	w := &browserWorld{T: t, profile: t.TempDir(), program: chromium(t)}
	sites := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte("<!doctype html>" + foreignPages[r.URL.Path]))
	}))
	t.Cleanup(sites.Close)
	w.port = sites.URL[strings.LastIndex(sites.URL, ":"):]

	issuer := issuertest.New(t)
	issuer.Register("web", "")
	issuer.URL = strings.Replace(issuer.Plain(t), "127.0.0.1", "localhost", 1) // another site than the server
	file := filepath.Join(t.TempDir(), "identities.yaml")
	text := fmt.Sprintf("issuers:\n- name: corp\n  issuer: %s\n  audience: [web]\n  login: {client_id: web, scopes: [email]}\n  bindings:\n  - {when: {sub: user-1}, tenant: default, roles: [admin]}\n", issuer.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.runningServer = startServer(t, filepath.Join(t.TempDir(), "data"), "--identities", file, "--cors-origins", w.at("localhost"))
	write(t, w.client, "base", "a", `{"b":1}`)
	return w
}

// chromium is the browser's program.
func chromium(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err == nil {
		return program
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is not installed (package chromium), which CI has to have")
	}
	t.Skip("Chromium is not installed (package chromium)")
	return ""
}

// at is the origin of the other sites under one of their names.
func (w *browserWorld) at(host string) string { return "http://" + host + w.port }

// own is an address of the server.
func (w *browserWorld) own(path string) string { return w.client.Address() + path }

// open has the browser open an address, and answers the page that it ends up with
// once there is nothing more to load. It is another process each time, which has
// of the ones before it what browsers keep.
func (w *browserWorld) open(address string) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	// The sandbox needs more rights than containers have, and the pages are ours.
	c := exec.CommandContext(ctx, w.program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--password-store=basic",
		"--user-data-dir="+w.profile, "--virtual-time-budget=10000", "--dump-dom", address)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // with its helpers
	c.WaitDelay = 5 * time.Second
	c.Env = append(os.Environ(), "HOME="+w.profile)
	var said bytes.Buffer
	c.Stderr = &said
	page, err := c.Output()
	if err != nil {
		w.Fatalf("the browser ended: %v\n%s", err, &said)
	}
	return html.UnescapeString(string(page))
}

// shows checks that the browser ends up with a page that has some texts.
func (w *browserWorld) shows(address string, wants ...string) {
	w.Helper()
	page := w.open(address)
	for _, want := range wants {
		if !strings.Contains(page, want) {
			w.Errorf("%s: the page does not say %q: %s", address, want, page)
		}
	}
}

// foreign is the address of a page of another site that is to do something with
// an address of the server.
func (w *browserWorld) foreign(origin, page, path string, more url.Values) string {
	query := url.Values{"to": {w.own(path)}}
	for name, values := range more {
		query[name] = values
	}
	return origin + page + "?" + query.Encode()
}

// has checks what the document is by now.
func (w *browserWorld) has(want string) {
	w.Helper()
	document, err := w.client.Layer(w.Context(), "base", "a", client.Read{})
	if err != nil {
		w.Fatal(err)
	}
	if string(document.Data) != want {
		w.Errorf("the document is %s, and expected %s", document.Data, want)
	}
}

// TestRealBrowser has a browser log in and go to sites that mean no good. Another
// site's requests come without the cookie. Another port of the server's own host
// is the same site to a browser: its requests have the cookie, and the server has
// to refuse them. With a token, pages of listed origins may do what it allows.
func TestRealBrowser(t *testing.T) {
	w := newBrowserWorld(t)
	elsewhere, neighbour, listed := w.at("evil.localhost"), w.at("127.0.0.1"), w.at("localhost")
	me := w.own(api.RouteIdentity)
	w.shows(me, `"unauthenticated"`)
	login := api.RouteLogin + "?issuer=corp&to=" + api.RouteIdentity
	w.shows(w.foreign(elsewhere, "/link", login, nil), `"corp:user-1"`, `"ada@example.com"`) // wherever the link to it stands
	w.shows(me, `"corp:user-1"`)                                                             // also another process of the browser
	w.shows(w.foreign(elsewhere, "/link", api.RouteIdentity, nil), `"unauthenticated"`)
	w.shows(w.foreign(neighbour, "/link", api.RouteIdentity, nil), `"corp:user-1"`)

	changes, layer := api.Build(api.RouteChanges, "default"), api.Build(api.RouteLayer, "default", "base", "a")
	for origin, refusal := range map[string]string{elsewhere: `"status":401`, neighbour: `"pointer":"Origin"`} {
		w.shows(w.foreign(origin, "/form", changes, nil), refusal)
		w.shows(w.foreign(origin, "/form", api.RouteLogout, nil), "This did not work", "another site had this browser send the request")
	}
	const unread = "GET unread\nPUT unread\nDELETE unread\ndone"
	asks := url.Values{"ask": {"GET", "PUT", "DELETE"}}
	for _, origin := range []string{elsewhere, neighbour, listed} {
		w.shows(w.foreign(origin, "/fetch", layer, asks), unread)
		w.has(`{"b":1}`)
	}
	w.shows(me, `"corp:user-1"`)

	asks.Set("token", w.token)
	for _, origin := range []string{elsewhere, neighbour} {
		w.shows(w.foreign(origin, "/fetch", layer, asks), unread)
		w.has(`{"b":1}`)
	}
	asks["ask"] = []string{"GET", "PUT"}
	w.shows(w.foreign(listed, "/fetch", layer, asks), `GET 200 {"b":1}`, "PUT 200 {")
	w.has(`{"b":2}`)
}
