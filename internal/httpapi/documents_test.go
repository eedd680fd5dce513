package httpapi_test

import (
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestSmoke(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "gateway/models", `{"a":1}`)
	n.call(t, "GET", n.path(api.RouteConfig, "production", "gateway/models"), nil).want(t, 200).wantBody(t, `{"a":1}`)
	n.call(t, "GET", n.path(api.RouteConfig, "production", "gateway/other"), nil).refused(t, api.CodeNotFound)
	t.Log(n.log.String())
}

var long = strings.Repeat("You answer briefly. ", 100)
