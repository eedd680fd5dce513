package policy_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const requestsPerSet = 40

// The product and the plainest evaluator agree: on random policies, of random
// principals, with one cache for all of it.
func TestNaiveEvaluatorSoak(t *testing.T) {
	cases := 10_000
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		cases = 1_000_000
	}
	cache := policy.NewCache(20_000)
	seen := map[verdict]int{}
	kinds := map[string]int{} // what decided
	hits, failures := 0, 0
	for seed := range uint64(cases / requestsPerSet) {
		d := dice{rand.New(rand.NewPCG(seed, 4))}
		governed := map[config.TenantID]*tenant{{}: newTenant(t, d, ""), acme: newTenant(t, d, "acme"), globex: newTenant(t, d, "globex")}
		principals := []access.Principal{d.principal(), d.principal(), d.principal(), d.principal(), d.principal()}
		var before []*access.Request
		for range requestsPerSet {
			r := d.again(d.request(principals))
			if len(before) > 0 && d.one(2) {
				r = d.again(pick(d, before))
			}
			before = append(before, r)
			of := governed[r.Resource.Tenant]
			want, set := of.naive.decide(r), of.set
			seen[want.verdict]++
			direct := set.Decide(r)
			kinds[kindOf(direct)]++
			missed := false
			cached := cache.Decide(set, r, func(access.Decision) { missed = true })
			if !missed {
				hits++
			}
			if want.failed {
				failures++
			}
			for how, got := range map[string]access.Decision{"decided": direct, "cached": cached, "explained": set.Explain(r).Decision} {
				if (outcome{verdictOf(got), got.Err != nil}) != want {
					t.Fatalf("seed %d: %s is %+v, want %+v, for %+v\nof %+v\n%s", seed, how, got, want, r, r.Principal, of.text)
				}
			}
			if direct.Allowed {
				showsWhatIsAllowed(t, set, r)
			}
		}
	}
	t.Logf("%d requests: %v, %v, %d from the cache, %d without labels", cases, seen, kinds, hits, failures)
	least := min(seen[allow], seen[deny], seen[absent], kinds["permit"], kinds["forbid"], kinds["failure"], kinds["built-in"], hits)
	if least < cases/100 || failures < cases/500 {
		t.Error("the requests are too much alike")
	}
}

// kindOf says what decided, by the first reason.
func kindOf(d access.Decision) string {
	if strings.HasSuffix(d.Reasons[0], "could not be evaluated") {
		return "failure"
	}
	kind, _, _ := strings.Cut(d.Reasons[0], " ")
	return kind
}

// Whatever may be seen by itself lies in collections that may have something to show.
func showsWhatIsAllowed(t *testing.T, set *policy.Set, r *access.Request) {
	t.Helper()
	item := r.Resource
	collections := []access.Resource{{Tenant: item.Tenant, TenantName: item.TenantName, Environment: item.Environment}, {Tenant: item.Tenant, TenantName: item.TenantName}}
	path := item.Path.String()
	for path != "" && strings.Contains(path, "/") {
		path = path[:strings.LastIndexByte(path, '/')]
		collections = append(collections, access.Resource{Tenant: item.Tenant, TenantName: item.TenantName, Environment: item.Environment, Prefix: prefix(path)})
	}
	info, _ := access.InfoOf(r.Action)
	if !info.Path || item.Path.IsZero() {
		return
	}
	for _, c := range collections {
		wide := *r
		wide.Resource = c
		if !set.Anywhere(&wide) {
			t.Fatalf("%s may be taken on %+v, and nowhere in %+v, by %+v", r.Action, item, c, r.Principal)
		}
	}
}

// tenant is one of a random world, in both forms.
type tenant struct {
	naive naive
	set   *policy.Set
	text  string
}

func newTenant(t *testing.T, d dice, called string) *tenant {
	t.Helper()
	plainly, src := d.tenant(called)
	var text strings.Builder
	for _, f := range src.Files {
		text.WriteString(f.Text)
	}
	set, err := policy.Compile(src)
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	return &tenant{plainly, set, text.String()}
}
