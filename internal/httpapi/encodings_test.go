package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// bent are other ways to write a path, by which somebody may hope to reach what
// is there without being asked who they are.
var bent = map[string]func(path string) string{
	"as it is":               func(p string) string { return p },
	"encoded slashes":        func(p string) string { return "/" + strings.ReplaceAll(p[1:], "/", "%2f") },
	"encoded slashes, upper": func(p string) string { return "/" + strings.ReplaceAll(p[1:], "/", "%2F") },
	"an encoded slash":       func(p string) string { return inMiddle(p, "%2f") },
	"slashes encoded twice":  func(p string) string { return inMiddle(p, "%252f") },
	"backslashes":            func(p string) string { return inMiddle(p, "%5c") },
	"two slashes":            func(p string) string { return inMiddle(p, "//") },
	"two slashes first":      func(p string) string { return "/" + p },
	"a dot":                  func(p string) string { return inMiddle(p, "/./") },
	"an encoded dot":         func(p string) string { return inMiddle(p, "/%2e/") },
	"there and back":         func(p string) string { return inMiddle(p, "/x/%2e%2e/") },
	"from a public page":     func(p string) string { return "/health/live/.." + "/.." + p },
	"from the documentation": func(p string) string { return "/docs/%2e%2e" + p },
	"below a public page":    func(p string) string { return "/openapi.json" + p },
	"a parameter of a path":  func(p string) string { return p + ";/docs" },
	"parameters within":      func(p string) string { return inMiddle(p, ";x=1/") },
	"upper case":             strings.ToUpper,
	"a capital":              func(p string) string { return strings.Replace(p, "/api/", "/Api/", 1) },
	"a slash behind":         func(p string) string { return p + "/" },
	"a dot behind":           func(p string) string { return p + "." },
	"dots behind":            func(p string) string { return p + "..." },
	"a space behind":         func(p string) string { return p + "%20" },
	"a NUL behind":           func(p string) string { return p + "%00" },
	"a suffix":               func(p string) string { return p + ".json" },
	"a slash of Unicode":     func(p string) string { return inMiddle(p, "%ef%bc%8f") },
	"a dot of Unicode":       func(p string) string { return inMiddle(p, "/%ef%bc%8e/") },
	"an overlong slash":      func(p string) string { return inMiddle(p, "%c0%af") },
	"every letter encoded":   percent,
	"another scheme":         func(p string) string { return "http://elsewhere.example" + p },
	"somebody's name":        func(p string) string { return "http://root@elsewhere.example" + p },
}

// inMiddle puts something in the place of the slash in a path's middle.
func inMiddle(p, with string) string {
	at := strings.IndexByte(p[len(p)/2:], '/')
	if at < 0 {
		return p + with
	}
	at += len(p) / 2
	return p[:at] + with + p[at+1:]
}

// percent encodes all of a path but its slashes.
func percent(p string) string {
	var b strings.Builder
	for _, c := range []byte(p) {
		if c == '/' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// However the path of a route is written, whoever has no right to it gets
// nothing, and nothing is changed.
func TestEncodedPathsShowNothing(t *testing.T) {
	w, m := newWorld(t), newMarker()
	v := newVictim(t, w, m.core)
	v.hide(t, m)
	before, stranger := v.state(t), w.newTenant(t)
	for _, r := range w.server.Routes() {
		if r.Public || ofTheServer(r) {
			continue
		}
		target, body, headers := anyRequest(t, r, v)
		path, query, _ := strings.Cut(target, "?")
		lines := []string{"Connection: close", "Content-Type: " + api.TypeJSON}
		if len(headers) > 0 {
			lines[1] = headers[0] + ": " + headers[1]
		}
		for how, bend := range bent {
			at := bend(path)
			if query != "" {
				at += "?" + query
			}
			for _, token := range []string{"", stranger.token} {
				got := w.raw(t, request(r.Method, at, token, body, lines...))
				what := fmt.Sprintf("%s %s, %s, with the token %.8q", r.Method, r.Pattern, how, token)
				if got.status < 400 || got.status >= 500 {
					t.Errorf("%s: %d %.300s", what, got.status, got.body)
				}
				shownNothing(t, what, m, got)
			}
		}
	}
	if after := v.state(t); after != before {
		t.Error("something changed")
	}
}

// A tenant's name within the path is the one that is asked about: no way of
// writing it leads from one's own tenant to another.
func TestNoWayFromOneTenantToAnother(t *testing.T) {
	w, m := newWorld(t), newMarker()
	v, own := newVictim(t, w, m.core), w.newTenant(t)
	v.hide(t, m)
	rest := strings.TrimPrefix(v.path(api.RouteSecret, "base", "canary"), "/api/v1/tenants/"+v.name) + "?reveal=true"
	for _, between := range []string{
		"/..%2f%s", "/%%2e%%2e/%s", "/..;/%s", "%%2f..%%2f%s", "%%5c..%%5c%s", "/../%s", "//%s", "%%00/../%s", ";%s", ",%s", "%%20%s", "?/%s", "#/%s", "/environments/../../%s",
	} {
		target := "/api/v1/tenants/" + own.name + strings.Replace(strings.ReplaceAll(between, "%%", "%"), "%s", v.name, 1) + rest
		got := w.raw(t, request("GET", target, own.token, "", "Connection: close"))
		if got.status == 200 && !strings.Contains(target, "?/") && !strings.Contains(target, "#/") {
			t.Errorf("%s: %d %.300s", target, got.status, got.body)
		}
		shownNothing(t, target, m, got)
	}
}

// However credentials are written, they are those of one token or none at all.
func TestAuthorizationHeaders(t *testing.T) {
	w, m := newWorld(t), newMarker()
	v := newVictim(t, w, m.core)
	v.hide(t, m)
	target := v.path(api.RouteSecret, "base", "canary") + "?reveal=true"
	valid, foreign := v.token, w.newTenant(t).token
	for _, test := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"as documented", []string{"Authorization: Bearer " + valid}, 200},
		{"a scheme in small letters", []string{"Authorization: bearer " + valid}, 200},
		{"a scheme in capitals", []string{"AUTHORIZATION: BEARER " + valid}, 200},
		{"spaces around", []string{"Authorization:   Bearer " + valid + "  "}, 200},

		{"nothing", nil, 401},
		{"empty", []string{"Authorization:"}, 401},
		{"a scheme alone", []string{"Authorization: Bearer"}, 401},
		{"a scheme and a space", []string{"Authorization: Bearer "}, 401},
		{"no scheme", []string{"Authorization: " + valid}, 401},
		{"no space", []string{"Authorization: Bearer" + valid}, 401},
		{"two spaces", []string{"Authorization: Bearer  " + valid}, 401},
		{"a tab", []string{"Authorization: Bearer\t" + valid}, 401},
		{"another scheme", []string{"Authorization: Basic " + valid}, 401},
		{"a scheme that begins so", []string{"Authorization: Bearers " + valid}, 401},
		{"in quotes", []string{`Authorization: Bearer "` + valid + `"`}, 401},
		{"as a parameter", []string{"Authorization: Bearer token=" + valid}, 401},
		{"encoded", []string{"Authorization: Bearer " + percent(valid)}, 401},
		{"in capitals", []string{"Authorization: Bearer " + strings.ToUpper(valid)}, 401},
		{"a list", []string{"Authorization: Bearer " + valid + ", Bearer " + foreign}, 401},
		{"a list with nothing", []string{"Authorization: Bearer " + valid + ","}, 401},
		{"a list behind", []string{"Authorization: Bearer , Bearer " + valid}, 401},
		{"two tokens", []string{"Authorization: Bearer " + valid + " " + valid}, 401},
		{"something behind", []string{"Authorization: Bearer " + valid + "x"}, 401},
		{"cut short", []string{"Authorization: Bearer " + valid[:len(valid)-1]}, 401},
		{"a NUL of Unicode", []string{"Authorization: Bearer " + valid + "\xe2\x90\x80"}, 401},
		{"letters of Unicode", []string{"Authorization: Bearer " + strings.Replace(valid, "l", "\xef\xbd\x8c", 1)}, 401},
		{"in another header", []string{"X-Authorization: Bearer " + valid}, 401},
		{"of a proxy", []string{"Proxy-Authorization: Bearer " + valid}, 401},
		{"a cookie", []string{"Cookie: token=" + valid + "; Authorization=" + valid}, 401},
		{"a wrong one first", []string{"Authorization: Bearer llmc_x", "Authorization: Bearer " + valid}, 401},
		{"an empty one first", []string{"Authorization:", "Authorization: Bearer " + valid}, 401},

		{"another's first", []string{"Authorization: Bearer " + foreign, "Authorization: Bearer " + valid}, 401},
		{"another's last", []string{"Authorization: Bearer " + valid, "Authorization: Bearer " + foreign}, 401},
		{"the same twice", []string{"Authorization: Bearer " + valid, "Authorization: Bearer " + valid}, 401},
		{"100 KB", []string{"Authorization: Bearer " + strings.Repeat("x", 100<<10)}, http.StatusRequestHeaderFieldsTooLarge},
		{"much behind", []string{"Authorization: Bearer " + valid + strings.Repeat(" x", 50<<10)}, http.StatusRequestHeaderFieldsTooLarge},
		{"a NUL", []string{"Authorization: Bearer " + valid + "\x00"}, 400},
		{"folded", []string{"Authorization: Bearer", " " + valid}, 0},
		{"a space before the colon", []string{"Authorization : Bearer " + valid}, 400},
	} {
		got := w.raw(t, request("GET", target, "", "", append(test.lines, "Connection: close")...))
		if got.status != test.status && test.status != 0 {
			t.Errorf("%s: %d, want %d: %.300s", test.name, got.status, test.status, got.body)
		}
		if got.status != 200 {
			shownNothing(t, test.name, m, got)
		} else if !strings.Contains(string(got.body), m.core) {
			t.Errorf("%s: nothing was revealed, so the test does not say much: %s", test.name, got.body)
		}
	}
	for _, query := range []string{"token=", "access_token=", "authorization=Bearer%20"} {
		got := w.raw(t, request("GET", target+"&"+query+valid, "", "", "Connection: close")).want(t, 401)
		shownNothing(t, query, m, got)
	}
}
