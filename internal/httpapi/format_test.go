package httpapi_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

// Every route that answers a value answers it in the format that ?format= names.
func TestEveryAnswerHasItsFormat(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "a", `{"b":1}`)
	for _, test := range []struct{ method, target, body, wants string }{
		{"GET", n.path(api.RouteConfigs, "base"), "", "configs:\n"},
		{"GET", n.path(api.RouteChanges), "", "changes:\n"},
		{"GET", n.path(api.RouteConfig, "base", "a"), "", "b: 1\n"},
		{"PUT", n.path(api.RouteLayer, "base", "a"), `{"b":2}`, "status: committed\n"},
		{"PUT", n.path(api.RouteTag, "t"), `{}`, "status: committed\n"},
	} {
		a := n.call(t, test.method, test.target+"?format=yaml", test.body).want(t, 200)
		if a.header.Get("Content-Type") != api.TypeYAML || !strings.Contains(string(a.body), test.wants) {
			t.Errorf("%s %s: %s: %s", test.method, test.target, a.header.Get("Content-Type"), a.body)
		}
		n.call(t, test.method, test.target+"?format=xml", test.body).want(t, 400)
	}
}

// A precondition that a route does not keep is refused, not passed over.
func TestPreconditionsAreNotPassedOver(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for _, header := range [][]string{{"If-Match", `"v1"`}, {"If-None-Match", "*"}} {
		for _, target := range []string{n.path(api.RouteTag, "t"), n.path(api.RouteEnvironment, "qa")} {
			n.call(t, "PUT", target, `{}`, header...).want(t, 400)
		}
		n.call(t, "POST", n.path(api.RouteChanges), `{"edits":[{"op":"put","environment":"base","path":"a","document":{}}]}`, header...).want(t, 400)
	}
	n.call(t, "GET", n.path(api.RouteTag, "t"), nil).want(t, 404)
}
