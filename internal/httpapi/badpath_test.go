package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// traversals are ways out of where a path belongs, none of which may be cleaned,
// decoded twice or redirected.
var traversals = []string{
	"..", ".", "a/..", "a/../b", "a/./b", "../../environments", "%2e", "%2e%2e", "%2E%2E/b", ".%2e", "a/%2e%2e/b",
	"a%2fb", "a%2Fb", "..%2f..%2fb", "%2fa", "a%2f", "a%5cb", "a%5Cb", "..%5c..%5cb", `a\b`, `..\..\b`,
	"a//b", "/a", "a/", "//", "%00", "a%00b", "a/%00", "a%00.json",
	"%c0%ae%c0%ae/b", "%c0%af", "a%c0%afb", "%e0%80%af", "%c1%9c", "%fe", "a%ff",
	"%252e%252e", "a%252fb", "%25%32%65", "%u002e", "%uff0e",
	"%ef%bc%8f", "a%e2%81%84b", "a%e2%88%95b", "%ef%bc%8e%ef%bc%8e", "%e2%80%a4%e2%80%a4", "%d0%b0", "a%cc%81", "\xef\xbc\x8f", "\xd0\xb0",
	"..;/b", "a;b", "a%20b", "a+b/%0d%0aX-Evil:%201", "a%0ab", "a%7f", "~root", ".git", "-a", "a:b", "a,b", "a&b", "a*", "%", "%4", "%zz",
}

// Every route that has a path refuses what is no path, with a problem document
// and without a redirect, and nothing is changed.
func TestTraversal(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"secret":"canary-a"}`)
	n.put(t, "base", "b", `{"secret":"canary-b"}`)
	before := n.state(t)
	routes := []struct{ method, route string }{
		{"GET", api.RouteConfig}, {"GET", api.RouteLayer}, {"PUT", api.RouteLayer}, {"PATCH", api.RouteLayer}, {"DELETE", api.RouteLayer},
		{"GET", api.RouteHistory}, {"GET", api.RouteDiff}, {"POST", api.RouteDestroy},
		{"GET", api.RouteSecret}, {"PUT", api.RouteSecret}, {"PATCH", api.RouteSecret}, {"DELETE", api.RouteSecret}, {"GET", api.RouteSecretHistory},
		{"GET", api.RouteSecretAdopt}, {"POST", api.RouteSecretRotate}, {"POST", api.RouteSecretActive}, {"POST", api.RouteSecretRevoke},
		{"POST", api.RouteSecretUndo}, {"POST", api.RouteSecretDestroy},
	}
	for _, r := range routes {
		for _, traversal := range traversals {
			target := strings.Replace(n.path(r.route, "base"), "{path...}", traversal, 1)
			if r.route == api.RouteDestroy {
				target += "?version=1"
			}
			got := n.raw(t, request(r.method, target, n.token, bodyFor(r.route), "Content-Type: application/json", "Connection: close"))
			n.refusedPath(t, r.method+" "+target, got)
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// refusedPath is a refusal of a path; net/http itself refuses what is no URL.
func (n *tenant) refusedPath(t *testing.T, what string, got *answer) {
	t.Helper()
	switch {
	case got.status == 400 && got.header.Get("Content-Type") == "text/plain; charset=utf-8" && strings.HasPrefix(string(got.body), "400 Bad Request"):
	case got.status != 400 || strings.Contains(string(got.body), "canary"):
		t.Errorf("%q: %d %.300s", what, got.status, got.body)
	default:
		if p := got.refused(t, api.CodeInvalidPath); p.Next == "" {
			t.Errorf("%q: no next step: %s", what, got.body)
		}
	}
}

// Names of tenants, environments, tags and tokens are no way out either.
func TestTraversalInNames(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"secret":"canary-a"}`)
	before := n.state(t)
	for _, traversal := range traversals {
		for _, target := range []string{
			"/api/v1/tenants/" + traversal,
			"/api/v1/tenants/" + traversal + "/environments/base/configs/a",
			"/api/v1/tenants/" + n.name + "/environments/" + traversal,
			"/api/v1/tenants/" + n.name + "/environments/" + traversal + "/configs/a",
			"/api/v1/tenants/" + n.name + "/tags/" + traversal,
			"/api/v1/tenants/" + n.name + "/changes/" + traversal,
			"/api/v1/tenants/" + n.name + "/tokens/" + traversal,
			"/" + traversal,
		} {
			for _, method := range []string{"GET", "DELETE"} {
				got := n.raw(t, request(method, target, n.token, "", "Connection: close"))
				if got.status < 400 || got.status >= 500 || strings.Contains(string(got.body), "canary") {
					t.Errorf("%s %q: %d %.300s", method, target, got.status, got.body)
				}
			}
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// What is asked for in another form than a path is not served.
func TestRequestTargets(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	target := n.path(api.RouteConfig, "base", "a")
	n.raw(t, request("GET", "http://elsewhere.example"+target, n.token, "", "Connection: close")).want(t, 200)
	n.raw(t, request("GET", target+"?", n.token, "", "Connection: close")).want(t, 200)
	n.raw(t, request("GET", "/api/v1/tenants/"+n.name+"/environments/base/configs/%61", n.token, "", "Connection: close")).want(t, 200)
	for _, bad := range []string{"*", "http:opaque", target[1:], "http://elsewhere.example"} {
		if got := n.raw(t, request("GET", bad, n.token, "", "Connection: close")); got.status != 400 && got.status != 404 {
			t.Errorf("%q: %d %.200s", bad, got.status, got.body)
		}
	}
	if got := n.raw(t, request("CONNECT", "elsewhere.example:443", n.token, "", "Connection: close")); got.status != 400 {
		t.Errorf("CONNECT: %d %.200s", got.status, got.body)
	}
}

// A path has its bounds, which the refusal names.
func TestPathBounds(t *testing.T) {
	n := newWorld(t).newTenant(t)
	long, deep := strings.Repeat("a", 512), "a"+strings.Repeat("/a", 15)
	for _, path := range []string{long, deep, "A.b_c~d@e+f=g-h", "0"} {
		n.put(t, "base", path, `{}`)
		n.call(t, "GET", n.path(api.RouteConfig, "base", path), nil).want(t, 200).wantBody(t, `{}`)
	}
	for path, bounds := range map[string][2]int64{long + "a": {512, 513}, deep + "/a": {16, 17}} {
		p := n.call(t, "PUT", n.path(api.RouteLayer, "base", path), `{}`).refused(t, api.CodeInvalidPath)
		if p.Limit != bounds[0] || p.Actual != bounds[1] {
			t.Errorf("%d bytes: %+v", len(path), p)
		}
	}
}

// state is all that a tenant holds, to see that nothing changed.
func (n *tenant) state(t testing.TB) string {
	t.Helper()
	state := ""
	for _, target := range []string{
		n.path(api.RouteChanges) + "?limit=1000", n.path(api.RouteBundle, "base"), n.path(api.RouteEnvironments), n.path(api.RouteTags), n.path(api.RouteTokens),
		n.path(api.RouteSecrets, "base") + "?deleted=true", n.path(api.RouteSecrets, "production") + "?own=true", n.path(api.RouteAcks, "base"),
		n.path(api.RoutePolicies), n.path(api.RouteRoles), n.path(api.RouteGrants),
	} {
		state += fmt.Sprintf("%s\n", n.call(t, "GET", target, nil).want(t, 200).body)
	}
	return state
}

// bodyFor is a body that a route takes.
func bodyFor(route string) string {
	if strings.Contains(route, "/secret") {
		return "{}"
	}
	return `{"x":1}`
}
