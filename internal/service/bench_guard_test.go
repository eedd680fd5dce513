package service_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// hundred is the policies of a tenant with many teams, in five files. A third of
// them speak of reading documents, and one in ten of those of the document that
// is read. Where passing is said, two more look at labels and at the time, so that
// no decision is kept.
func hundred(passing bool) (files []string) {
	texts := make([]strings.Builder, 5)
	actions := []string{`action == Action::"config.read"`, `action in Action::"operate"`, `action == Action::"secret.read"`}
	for i := range 100 {
		place := fmt.Sprintf(`resource in Folder::"production/team-%d"`, i%10)
		if i%30 == 0 {
			place = `resource in Folder::"production/gateway"`
		}
		condition := []string{``, ` when { context has source && context.source.isInRange(ip("10.0.0.0/8")) }`}[i/3%2]
		fmt.Fprintf(&texts[i%len(texts)], "permit (principal in Role::\"team-%d\", %s, %s)%s;\n", i%4, actions[i%len(actions)], place, condition)
	}
	for i := range texts {
		files = append(files, texts[i].String())
	}
	if passing {
		files = append(files, `forbid (principal, action == Action::"config.read", resource) when { resource.hasTag("frozen") && resource.getTag("frozen") == "yes" };`+"\n"+
			`forbid (principal, action == Action::"config.read", resource in Folder::"production/gateway") when { context.time < datetime("2020-01-01T00:00:00Z") };`)
	}
	return files
}

// guarded is a tenant with a document, and who reads it.
func guarded(b testing.TB, policies []string, scope *access.Scope) (*service.Service, string, service.Caller) {
	b.Helper()
	s, names, callers := openBench(b, 1)
	ctx, tenant, admin := b.Context(), names[0], callers[0]
	_, err := s.Change(ctx, admin, tenant, service.ChangeRequest{Edits: []service.Edit{
		{Op: service.Put, Environment: "base", Path: path("gateway/limits"), Document: limitsDocument(1, 1)},
	}})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 4 {
		if _, err := s.PutRole(ctx, admin, tenant, fmt.Sprintf("team-%d", i), service.RoleRequest{}); err != nil {
			b.Fatal(err)
		}
	}
	for i, text := range policies {
		if _, err := s.PutPolicy(ctx, admin, tenant, fmt.Sprintf("team-%d", i), service.PolicyRequest{Text: text}); err != nil {
			b.Fatal(err)
		}
	}
	who := service.Caller{Source: netip.MustParseAddr("10.1.2.3"), Principal: access.Principal{
		ID: "reader", Name: "reader", Method: access.MethodToken, Tenant: admin.Principal.Tenant,
		Roles: []string{"team-0", "team-1", access.RoleApplication}, Scope: scope,
	}.Sealed()}
	return s, tenant, who
}

// TestGuardOfTheKnownCostsNoMemory asks what was decided before.
func TestGuardOfTheKnownCostsNoMemory(t *testing.T) {
	s, tenant, who := guarded(t, hundred(false), nil)
	resource := access.Resource{Environment: "production", Path: path("gateway/limits")}
	if n := testing.AllocsPerRun(1000, func() {
		if err := service.Guard(t.Context(), s, who, tenant, resource); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("the guard of what was decided before makes %v allocations", n)
	}
}

// BenchmarkGuard measures a read of an effective document that is in memory, and
// the part of it that asks whether the caller may.
func BenchmarkGuard(b *testing.B) {
	prefix, err := config.ParsePrefix("gateway")
	if err != nil {
		b.Fatal(err)
	}
	scope := &access.Scope{Environments: []string{"production"}, Paths: []config.Prefix{prefix}, Actions: []access.Action{access.ConfigRead}}
	for _, test := range []struct {
		name     string
		policies []string
		scope    *access.Scope
	}{
		{"policies=builtin", nil, nil},
		{"policies=100", hundred(false), nil},
		{"policies=100,narrowed", hundred(false), scope},
		{"policies=100,passing", hundred(true), nil},
	} {
		s, tenant, who := guarded(b, test.policies, test.scope)
		resource := access.Resource{Environment: "production", Path: path("gateway/limits")}
		ctx := b.Context()
		b.Run(test.name+"/read", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Config(ctx, who, tenant, resource.Environment, resource.Path, service.ReadOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(test.name+"/guard", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := service.Guard(ctx, s, who, tenant, resource); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
