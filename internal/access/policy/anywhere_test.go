package policy_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
)

// Collections of documents unless the action says otherwise: who may find
// something in them, by one policy.
func TestAnywhere(t *testing.T) {
	tenant := inAcme
	at := func(environment, below string) access.Resource {
		return access.Resource{Tenant: acme, TenantName: "acme", Environment: environment, Prefix: prefix(below)}
	}
	deployer := member("d", "deployer")
	narrow := func(environment, below string, actions ...access.Action) access.Principal {
		p := viewer
		p.Scope = &access.Scope{Actions: actions}
		if environment != "" {
			p.Scope.Environments = []string{environment}
		}
		if below != "" {
			p.Scope.Paths = append(p.Scope.Paths, prefix(below))
		}
		return p.Sealed()
	}
	head := func(resource string) string {
		return `permit (principal in Role::"deployer", action == Action::"config.read", ` + resource + `);`
	}
	except := func(forbid string) string {
		return `permit (principal, action, resource); forbid (` + forbid
	}
	for _, c := range []struct {
		policy string
		p      access.Principal
		a      access.Action
		r      access.Resource
		want   bool
	}{
		{"", viewer, access.ConfigRead, tenant, true},
		{"", viewer, access.ConfigRead, at("production", "gateway"), true},
		{"", viewer, access.SecretRead, at("production", ""), false},
		{"", plain, access.ConfigRead, tenant, false},
		{"", nobody, access.ConfigRead, tenant, false},
		{"", serverAdmin, access.ConfigRead, tenant, false},
		{"", admin, access.ConfigRead, inGlobex, false},
		{"", admin, "config.*", tenant, false},
		{"", admin, access.TagRead, at("production", ""), false},
		{"", admin, access.TagRead, tenant, true},
		{"", viewer, access.EnvironmentRead, tenant, true},
		{"", serverAdmin, access.ServerTokenRead, server, true},
		{"", admin, access.ServerTokenRead, server, false},
		{"", viewer, access.ConfigRead, document, true},

		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, tenant, true},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", ""), true},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", "gateway"), true},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", "gateway/eu"), true},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", "gateway/eu/1"), true},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", "gateway/us"), false},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("production", "gateway/eu-1"), false},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigRead, at("staging", "gateway"), false},
		{head(`resource in Folder::"production/gateway/eu"`), deployer, access.ConfigWrite, at("production", "gateway"), false},
		{head(`resource in Folder::"production/gateway/eu"`), plain, access.ConfigRead, at("production", "gateway"), false},
		{head(`resource in Path::"gateway"`), deployer, access.ConfigRead, at("staging", ""), true},
		{head(`resource in Path::"gateway"`), deployer, access.ConfigRead, at("staging", "models"), false},
		{head(`resource == Document::"production/a/b"`), deployer, access.ConfigRead, at("production", "a"), true},
		{head(`resource == Document::"production/a/b"`), deployer, access.ConfigRead, at("production", "a/b/c"), false},
		{head(`resource in Environment::"production"`), deployer, access.ConfigRead, tenant, true},
		{head(`resource in Environment::"production"`), deployer, access.ConfigRead, at("staging", ""), false},
		{head(`resource in Tenant::"acme"`), deployer, access.ConfigRead, at("staging", "x"), true},
		{head(`resource in Tenant::"globex"`), deployer, access.ConfigRead, at("staging", "x"), false},
		{head(`resource is Document`), deployer, access.ConfigRead, at("staging", "x"), true},
		{head(`resource is Secret`), deployer, access.ConfigRead, at("staging", "x"), false},
		{head(`resource`) + "\n", deployer, access.ConfigRead, at("staging", "x"), true},
		{`permit (principal, action, resource) when { resource.hasTag("open") };`, plain, access.ConfigRead, tenant, true},
		{`permit (principal, action, resource) when { false };`, plain, access.ConfigRead, tenant, false},

		{except(`principal, action, resource);`), admin, access.ConfigRead, tenant, false},
		{except(`principal, action, resource) when { context.method == "token" };`), admin, access.ConfigRead, tenant, true},
		{except(`principal, action, resource) unless { false };`), admin, access.ConfigRead, tenant, false},
		{except(`principal, action, resource in Environment::"production");`), admin, access.ConfigRead, at("production", "x"), false},
		{except(`principal, action, resource in Environment::"production");`), admin, access.ConfigRead, at("staging", "x"), true},
		{except(`principal, action, resource in Environment::"production");`), admin, access.ConfigRead, tenant, true},
		{except(`principal, action, resource == Environment::"production");`), admin, access.ConfigRead, at("production", ""), true},
		{except(`principal, action, resource is Document);`), admin, access.ConfigRead, tenant, false},
		{except(`principal, action, resource is Document);`), admin, access.SecretList, tenant, true},
		{except(`principal, action, resource in Folder::"production/a");`), admin, access.ConfigRead, at("production", "a/b"), false},
		{except(`principal, action, resource in Folder::"production/a");`), admin, access.ConfigRead, at("production", ""), true},
		{except(`principal == Token::"other", action, resource);`), admin, access.ConfigRead, tenant, true},
		{except(`principal, action == Action::"config.write", resource);`), admin, access.ConfigRead, tenant, true},

		{`permit (principal, action, resource);`, serverAdmin, access.ConfigRead, tenant, false},
		{`permit (principal == Token::"server", action, resource);`, serverAdmin, access.ConfigRead, tenant, true},
		{`forbid (principal, action, resource);`, serverAdmin, access.TenantRead, tenant, true},

		{"", narrow("production", ""), access.ConfigRead, tenant, true},
		{"", narrow("production", ""), access.ConfigRead, at("staging", ""), false},
		{"", narrow("", "gateway/eu"), access.ConfigRead, at("staging", "gateway"), true},
		{"", narrow("", "gateway/eu"), access.ConfigRead, at("staging", "gateway/us"), false},
		{"", narrow("", "", access.ConfigWrite), access.ConfigRead, tenant, false},
	} {
		s := compile(t, c.policy, policy.Role{Name: "deployer"})
		if got := s.Anywhere(&access.Request{Principal: c.p, Action: c.a, Resource: c.r}); got != c.want {
			t.Errorf("%s by %s anywhere in %s/%s: %t, want %t, by %s", c.a, c.p.ID, c.r.Environment, c.r.Prefix, got, c.want, c.policy)
		}
	}
}
