package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// realistic is the policies of a tenant with many teams. A third of them speak of
// reading configuration.
func realistic(n int) policy.Source {
	actions := []string{
		`action == Action::"config.read"`, `action in [Action::"config.write", Action::"secret.refer"]`, `action in Action::"view"`,
		`action == Action::"secret.read"`, `action == Action::"secret.activate"`, `action in [Action::"tag.write"]`,
	}
	principals := []string{`principal in Role::"team-%d"`, `principal == Identity::"ci:team-%d"`, `principal is Workload in Role::"team-%d"`, `principal in Role::"team-%d"`, `principal`}
	resources := []string{`resource in Folder::"production/team-%d"`, `resource in Path::"team-%d"`, `resource in Environment::"production"`, `resource in Folder::"staging/team-%d"`, `resource is Document`}
	conditions := []string{
		``, ` when { context has source && context.source.isInRange(ip("10.0.0.0/8")) }`, ` when { principal.hasTag("team") && principal.getTag("team").contains("team-1") }`,
		``, ` unless { resource.hasTag("frozen") && resource.getTag("frozen") == "yes" }`, ` when { context.weekday < 6 && context.time > datetime("2020-01-01") }`, ` when { resource.path like "team-*/models" || context.method == "identity" }`,
	}
	src := policy.Source{Tenant: "acme"}
	var texts [8]strings.Builder
	for i := range n {
		effect := "permit"
		if i%10 == 9 {
			effect = "forbid"
		}
		condition := conditions[i%len(conditions)]
		if effect == "forbid" {
			condition = ` when { resource.hasTag("frozen") }`
		}
		fill := func(text string) string { return strings.ReplaceAll(text, "%d", fmt.Sprint(i%20)) }
		fmt.Fprintf(&texts[i%len(texts)], "%s (%s, %s, %s)%s;\n", effect,
			fill(principals[i/3%len(principals)]), actions[i%len(actions)], fill(resources[i/7%len(resources)]), condition)
	}
	for i := range texts {
		src.Files = append(src.Files, policy.File{Name: fmt.Sprintf("team-%d", i), Text: texts[i].String()})
	}
	for i := range 20 {
		src.Roles = append(src.Roles, policy.Role{Name: fmt.Sprintf("team-%d", i), Includes: []string{access.RoleViewer}})
	}
	return src
}

// readers are requests of many teams to read documents of many.
func readers() (all []*access.Request) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	labels := map[string]string{"team": "team-1", "owner": "somebody"}
	for i := range 40 {
		p := access.Principal{
			ID: fmt.Sprintf("ci:team-%d", i%20), Method: access.MethodIdentity, Issuer: "ci", Tenant: acme,
			Roles: []string{fmt.Sprintf("team-%d", i%20)}, Claims: map[string][]string{"team": {fmt.Sprintf("team-%d", i%20)}, "repository": {"acme/x"}},
		}.Sealed()
		all = append(all, &access.Request{
			Principal: p, Action: access.ConfigRead, Time: at, Source: netip.MustParseAddr("10.1.2.3"),
			Resource: access.Resource{Tenant: acme, TenantName: "acme", Environment: "production", Path: config.MustPath(fmt.Sprintf("team-%d/models", i%20))},
			Labels:   func() (map[string]string, error) { return labels, nil },
		})
	}
	return all
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkDecide(b, realistic(n)) })
	}
	// The worst there is: the heads of all of them match, and every condition counts.
	one := `permit (principal, action in Action::"view", resource) when { principal.hasTag("x") && context.source.isInRange(ip("10.0.0.0/8")) };` + "\n"
	all := policy.Source{Tenant: "acme", Files: []policy.File{{Name: "all", Text: strings.Repeat(one, 100)}}, Roles: realistic(0).Roles}
	b.Run("100matching", func(b *testing.B) { benchmarkDecide(b, all) })
}

func benchmarkDecide(b *testing.B, src policy.Source) {
	b.Helper()
	s, err := policy.Compile(src)
	if err != nil {
		b.Fatal(err)
	}
	requests := readers()
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		s.Decide(requests[i%len(requests)])
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// cached is a cache that holds the answers to all of requests.
func cached(tb testing.TB) (*policy.Cache, *policy.Set, []*access.Request) {
	tb.Helper()
	s := compile(tb, `permit (principal, action == Action::"config.read", resource in Folder::"production/team-1") when { context.source.isInRange(ip("10.0.0.0/8")) };`)
	c, requests := policy.NewCache(policy.CachedDecisions), readers()
	for _, r := range requests {
		c.Decide(s, r, nil)
	}
	return c, s, requests
}

func BenchmarkDecideCached(b *testing.B) {
	c, s, requests := cached(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Decide(s, requests[i%len(requests)], nil)
	}
}

func BenchmarkDecideCachedParallel(b *testing.B) {
	c, s, requests := cached(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			c.Decide(s, requests[i%len(requests)], nil)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	src := realistic(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Compile(src); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAnywhere(b *testing.B) {
	s, err := policy.Compile(realistic(1000))
	if err != nil {
		b.Fatal(err)
	}
	r := *readers()[0]
	r.Resource.Path = config.Path{}
	b.ReportAllocs()
	for b.Loop() {
		s.Anywhere(&r)
	}
}
