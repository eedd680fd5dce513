package httpapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestTags(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	var set api.TagResult
	n.call(t, "PUT", n.path(api.RouteTag, "v1.0"), `{"message":"out"}`).want(t, 200).into(t, &set)
	if set.Tag.Revision != 2 || set.Revision != 3 || set.Status != api.StatusCommitted || set.Tag.Author != "admin" {
		t.Errorf("%+v", set)
	}
	n.put(t, "base", "p", `{"x":2}`)
	n.call(t, "GET", n.path(api.RouteConfig, "base", "p")+"?at=v1.0", nil).want(t, 200).wantBody(t, `{"x":1}`)
	var tag api.Tag
	n.call(t, "GET", n.path(api.RouteTag, "v1.0"), nil).want(t, 200).into(t, &tag)
	if tag != set.Tag {
		t.Errorf("%+v", tag)
	}
	n.call(t, "PUT", n.path(api.RouteTag, "v1.0"), `{"revision":4}`).want(t, 200).into(t, &set)
	n.call(t, "GET", n.path(api.RouteConfig, "base", "p")+"?at=v1.0", nil).want(t, 200).wantBody(t, `{"x":2}`)
	n.call(t, "DELETE", n.path(api.RouteTag, "v1.0"), nil).want(t, 200)
	n.call(t, "GET", n.path(api.RouteTag, "v1.0"), nil).refused(t, api.CodeNotFound)
	n.call(t, "DELETE", n.path(api.RouteTag, "v1.0"), nil).refused(t, api.CodeNotFound)
}

func TestEnvironments(t *testing.T) {
	n := newWorld(t).newTenant(t)
	var put api.EnvironmentResult
	n.call(t, "PUT", n.path(api.RouteEnvironment, "canary"), `{"parent":"production"}`).want(t, 200).into(t, &put)
	if diff := cmp.Diff(api.Environment{Name: "canary", Parent: "production", Version: 1}, put.Environment); diff != "" || put.Status != api.StatusCommitted {
		t.Errorf("%+v", put)
	}
	n.call(t, "PUT", n.path(api.RouteEnvironment, "canary"), `{"parent":"production"}`).want(t, 200).into(t, &put)
	if put.Status != api.StatusUnchanged {
		t.Errorf("%+v", put)
	}
	n.put(t, "production", "p", `{"x":1}`)
	n.document(t, "canary", "p", `{"x":1}`)
	n.call(t, "PUT", n.path(api.RouteEnvironment, "production"), `{"parent":"canary"}`).refused(t, api.CodeInvalidTree)
	if p := n.call(t, "DELETE", n.path(api.RouteEnvironment, "production"), nil).refused(t, api.CodeInUse); len(p.Errors) != 1 || p.Errors[0].Environment != "canary" {
		t.Errorf("%+v", p)
	}
	n.call(t, "PUT", n.path(api.RouteEnvironment, "canary"), `{"parent":""}`).want(t, 200)
	n.call(t, "GET", n.path(api.RouteConfig, "canary", "p"), nil).refused(t, api.CodeNotFound)
	var one api.Environment
	n.call(t, "GET", n.path(api.RouteEnvironment, "canary"), nil).want(t, 200).into(t, &one)
	if one != (api.Environment{Name: "canary", Version: 2}) {
		t.Errorf("%+v", one)
	}
	n.call(t, "DELETE", n.path(api.RouteEnvironment, "canary"), nil).want(t, 200)
	var all api.EnvironmentList
	n.call(t, "GET", n.path(api.RouteEnvironments), nil).want(t, 200).into(t, &all)
	if len(all.Environments) != 5 || all.Revision != 5 {
		t.Errorf("%+v", all)
	}
}

func TestTenants(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{"x":1}`)
	w.call(t, w.root, "POST", api.RouteTenants, api.NewTenant{Name: n.name}).refused(t, api.CodeAlreadyExists)
	for _, name := range []string{"", "Upper", "a/b", "..", "é"} {
		w.call(t, w.root, "POST", api.RouteTenants, api.NewTenant{Name: name}).refused(t, api.CodeInvalidName)
	}
	var read api.Tenant
	n.call(t, "GET", n.path(api.RouteTenant), nil).want(t, 200).into(t, &read)
	w.call(t, w.root, "GET", n.path(api.RouteTenant), nil).want(t, 200)
	var all api.TenantList
	w.call(t, w.root, "GET", api.RouteTenants+"?limit=1000", nil).want(t, 200).into(t, &all)
	found := false
	for _, tenant := range all.Tenants {
		found = found || tenant == read
	}
	if !found || read.Name != n.name {
		t.Errorf("%+v is not among %d", read, len(all.Tenants))
	}
	n.call(t, "DELETE", n.path(api.RouteTenant), nil).refused(t, api.CodeForbidden)
	w.call(t, w.root, "DELETE", n.path(api.RouteTenant), nil).want(t, 200)
	w.call(t, w.root, "GET", n.path(api.RouteTenant), nil).refused(t, api.CodeNotFound)
	if got := n.call(t, "GET", n.path(api.RouteConfig, "base", "p"), nil); got.status != 401 && got.status != 404 {
		t.Errorf("after the tenant was deleted: %d %s", got.status, got.body)
	}
	again := &tenant{world: w, name: n.name}
	var founded api.FoundedTenant
	w.call(t, w.root, "POST", api.RouteTenants, api.NewTenant{Name: n.name, Token: &api.NewToken{Name: "ci", TTLSeconds: 60}}).want(t, 201).into(t, &founded)
	again.token = founded.Token.Value
	if founded.Tenant.ID == read.ID || founded.Token.Name != "ci" || founded.Token.Expires.Sub(founded.Token.Created).Seconds() != 60 {
		t.Errorf("%+v", founded)
	}
	again.call(t, "GET", again.path(api.RouteConfig, "base", "p"), nil).refused(t, api.CodeNotFound)
	if got := n.call(t, "GET", n.path(api.RouteConfigs, "base"), nil); got.status != 401 && got.status != 404 {
		t.Errorf("the old token in the new tenant: %d %s", got.status, got.body)
	}
}

func TestTokensAndIdentity(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "ci: “main”"}).want(t, 201).wantHeaders(t, "Cache-Control", "no-store").into(t, &issued)
	var who api.Identity
	w.call(t, issued.Value, "GET", api.RouteIdentity, nil).want(t, 200).into(t, &who)
	if who.ID != issued.ID || who.Tenant != n.name || !who.TenantAdmin || who.ServerAdmin || who.Name != "ci: “main”" || who.Method != "token" || !who.Expires.Equal(issued.Expires) {
		t.Errorf("%+v", who)
	}
	n.call(t, "DELETE", n.path(api.RouteToken, issued.ID), nil).want(t, 200)
	w.call(t, issued.Value, "GET", api.RouteIdentity, nil).refused(t, api.CodeTokenRevoked)
	var list api.TokenList
	n.call(t, "GET", n.path(api.RouteTokens), nil).want(t, 200).into(t, &list)
	if len(list.Tokens) != 2 || list.Tokens[0].Revoked == nil && list.Tokens[1].Revoked == nil {
		t.Errorf("%+v", list)
	}
	stranger := w.newTenant(t)
	stranger.call(t, "DELETE", stranger.path(api.RouteToken, who.ID), nil).refused(t, api.CodeNotFound)
	n.call(t, "DELETE", n.path(api.RouteToken, "aaaaaaaaaaaaaaaa"), nil).refused(t, api.CodeNotFound)

	var root api.IssuedToken
	w.call(t, w.root, "POST", api.RouteServerTokens, api.NewToken{Name: "root"}).want(t, 201).into(t, &root)
	n.call(t, "DELETE", n.path(api.RouteToken, root.ID), nil).refused(t, api.CodeNotFound)
	w.call(t, w.root, "DELETE", api.Build(api.RouteServerToken, who.ID), nil).refused(t, api.CodeNotFound)
	who = api.Identity{}
	w.call(t, root.Value, "GET", api.RouteIdentity, nil).want(t, 200).into(t, &who)
	if who.Tenant != "" || !who.ServerAdmin {
		t.Errorf("%+v", who)
	}
	w.call(t, w.root, "GET", api.RouteServerTokens+"?limit=1000", nil).want(t, 200).into(t, &list)
	w.call(t, root.Value, "DELETE", api.Build(api.RouteServerToken, root.ID), nil).want(t, 200)
	w.call(t, root.Value, "GET", api.RouteServerTokens, nil).refused(t, api.CodeTokenRevoked)
	var version api.Version
	n.call(t, "GET", api.RouteVersion, nil).want(t, 200).into(t, &version)
	if version.Version != "v0.0.0-test" || version.Go == "" {
		t.Errorf("%+v", version)
	}
}
