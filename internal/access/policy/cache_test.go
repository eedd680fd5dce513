package policy_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// once asks a cache, and says whether it had to decide anew.
func once(c *policy.Cache, s *policy.Set, r *access.Request) (d access.Decision, anew bool) {
	d = c.Decide(s, r, func(access.Decision) { anew = true })
	return d, anew
}

// What may not be kept is decided each time, and the rest once for each of what it
// depends on.
func TestCacheKeepsWhatItMay(t *testing.T) {
	labels := func() (map[string]string, error) { return map[string]string{"open": "yes"}, nil }
	broken := func() (map[string]string, error) { return nil, config.Errorf(config.KindUnavailable, "not now") }
	certificate := &access.Certificate{Fingerprint: [32]byte{1}}
	unsealed := plain
	unsealed.Key = [32]byte{}
	base := access.Request{Principal: plain, Action: access.ConfigRead, Resource: document, Source: netip.MustParseAddr("10.0.0.1"), Labels: labels}
	with := func(change func(r *access.Request)) *access.Request {
		r := base
		change(&r)
		return &r
	}
	later := with(func(r *access.Request) { r.Time = time.Unix(1e9, 0) })
	elsewhere := with(func(r *access.Request) { r.Source = netip.MustParseAddr("10.0.0.2") })
	nowhere := with(func(r *access.Request) { r.Source = netip.Addr{} })
	certified := with(func(r *access.Request) { r.Principal.Certificate = certificate })
	for name, c := range map[string]struct {
		condition string
		then      *access.Request // asked after base
		anew      bool
	}{
		"the same":                  {`true`, &base, false},
		"at another time":           {`true`, later, false},
		"from elsewhere":            {`true`, elsewhere, false},
		"with a certificate":        {`true`, certified, false},
		"depends on time":           {`context.weekday == 1`, &base, true},
		"depends on labels":         {`resource.hasTag("open")`, &base, true},
		"on source":                 {`context.source == ip("10.0.0.1")`, &base, false},
		"on source, from elsewhere": {`context.source == ip("10.0.0.1")`, elsewhere, true},
		"on source, from nowhere":   {`context has source`, nowhere, true},
		"on certificate":            {`context has certificate`, &base, false},
		"on certificate, with one":  {`context has certificate`, certified, true},
		"on all of the context":     {`[context].isEmpty()`, &base, true},
		"without a key":             {`true`, with(func(r *access.Request) { r.Principal = unsealed }), true},
		"without labels":            {`true`, with(func(r *access.Request) { r.Labels = broken }), false},
	} {
		s := compile(t, `permit (principal, action == Action::"config.read", resource) when { `+c.condition+` };`)
		cache := policy.NewCache(100)
		if _, anew := once(cache, s, &base); !anew {
			t.Errorf("%s: the first answer is not new", name)
		}
		for range 2 {
			d, anew := once(cache, s, c.then)
			if want := s.Decide(c.then); fmt.Sprint(d) != fmt.Sprint(want) {
				t.Errorf("%s: got %+v, want %+v", name, d, want)
			}
			if anew != c.anew {
				t.Errorf("%s: decided anew is %t, want %t", name, anew, c.anew)
			}
			if name == "on source, from elsewhere" || name == "on source, from nowhere" || name == "on certificate, with one" {
				c.anew = false // now both are known
			}
		}
	}
	s, cache := compile(t, `permit (principal, action, resource) when { resource.hasTag("open") };`), policy.NewCache(100)
	for range 2 {
		if d, anew := once(cache, s, with(func(r *access.Request) { r.Labels = broken })); d.Err == nil || d.Allowed || !anew {
			t.Errorf("labels that cannot be read: %+v, decided anew is %t", d, anew)
		}
	}
}

// Requests that differ in one thing only, each asked of one cache in turn: none
// gets the answer of another. The names are alike in tenants, places and ids.
func TestCacheMixesNothingUp(t *testing.T) {
	who := func(change func(p *access.Principal)) access.Principal {
		p := access.Principal{ID: "a", Method: access.MethodToken, Tenant: acme, Roles: []string{access.RoleViewer}}
		change(&p)
		return p.Sealed()
	}
	same := func(*access.Principal) {}
	request := func(p access.Principal, a access.Action, change func(r *access.Resource)) *access.Request {
		r := access.Resource{Tenant: acme, TenantName: "acme", Environment: "a", Path: config.MustPath("b/c")}
		change(&r)
		return &access.Request{Principal: p, Action: a, Resource: r}
	}
	here := func(*access.Resource) {}
	scoped := func(environments, paths string, actions ...access.Action) func(p *access.Principal) {
		return func(p *access.Principal) {
			p.Scope = &access.Scope{Actions: actions}
			if environments != "" {
				p.Scope.Environments = []string{environments}
			}
			if paths != "" {
				p.Scope.Paths = []config.Prefix{prefix(paths)}
			}
		}
	}
	requests := []*access.Request{
		request(who(same), access.ConfigRead, here),
		request(who(same), access.ConfigWrite, here),
		request(who(same), access.SecretList, here),
		request(who(func(p *access.Principal) { p.Roles = []string{access.RoleOperator} }), access.ConfigWrite, here),
		request(who(func(p *access.Principal) { p.Roles = nil }), access.ConfigRead, here),
		request(who(func(p *access.Principal) { p.Roles = []string{"view", "er"} }), access.ConfigRead, here),
		request(who(func(p *access.Principal) { p.Tenant = globex }), access.ConfigRead, here),
		request(who(func(p *access.Principal) { p.Tenant = globex; p.ServerAdmin = true }), access.ConfigRead, here),
		request(who(func(p *access.Principal) { p.Method = access.MethodIdentity; p.Roles = nil }), access.ConfigRead, here),
		request(who(func(p *access.Principal) { p.Method = access.MethodCertificate; p.Roles = nil }), access.ConfigRead, here),
		request(who(func(p *access.Principal) {
			p.Roles = nil
			p.Claims = map[string][]string{"x": {"y"}}
			p.Method = access.MethodIdentity
		}), access.ConfigRead, here),
		request(who(func(p *access.Principal) {
			p.Roles = nil
			p.Claims = map[string][]string{"y": {"x"}}
			p.Method = access.MethodIdentity
		}), access.ConfigRead, here),
		request(who(scoped("a", "")), access.ConfigRead, here),
		request(who(scoped("b", "")), access.ConfigRead, here),
		request(who(scoped("", "a")), access.ConfigRead, here),
		request(who(scoped("", "b")), access.ConfigRead, here),
		request(who(scoped("", "", access.ConfigRead)), access.ConfigRead, here),
		request(who(scoped("", "", access.ConfigWrite)), access.ConfigRead, here),
		request(who(same), access.ConfigRead, func(r *access.Resource) { r.Tenant, r.TenantName = globex, "acme" }),
		request(who(same), access.SecretList, func(r *access.Resource) { r.Secret = true }),
		request(who(same), access.ConfigRead, func(r *access.Resource) { r.Secret = true }),
		request(who(same), access.ConfigRead, func(r *access.Resource) { r.Path = config.Path{}; r.Prefix = prefix("b/c") }),
		request(who(same), access.ConfigRead, func(r *access.Resource) { r.Path = config.MustPath("b") }),
		request(who(same), access.ConfigRead, func(r *access.Resource) { r.Environment = "b"; r.Path = config.MustPath("a/c") }),
		request(who(same), access.TenantRead, func(r *access.Resource) { *r = access.Resource{} }),
		request(who(func(p *access.Principal) { p.ID = "a,b" }), access.ConfigDestroy, here),
		request(who(func(p *access.Principal) { p.ID = "" }), access.ConfigRead, here),
	}
	const text = `
		permit (principal is Identity, action == Action::"config.read", resource) when { principal.hasTag("x") && principal.getTag("x").contains("y") };
		permit (principal is Workload, action == Action::"config.read", resource in Path::"b");
		permit (principal == Token::"a,b", action, resource == Document::"a/b/c");
		forbid (principal, action, resource is Folder);
		forbid (principal, action, resource == Document::"a/b");
		forbid (principal, action, resource in Environment::"b");`
	sets := []*policy.Set{compile(t, text), compile(t, text+"forbid (principal, action, resource);"), compile(t, "")}
	cache := policy.NewCache(10_000)
	for range 3 {
		for i, r := range requests {
			for j, s := range sets {
				if got, want := cache.Decide(s, r, nil), s.Decide(r); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("request %d of set %d: got %+v, want %+v", i, j, got, want)
				}
			}
		}
	}
}

func TestCacheHitAllocatesNothing(t *testing.T) {
	c, s, requests := cached(t)
	if n := testing.AllocsPerRun(100, func() {
		for _, r := range requests {
			c.Decide(s, r, nil)
		}
	}); n != 0 {
		t.Errorf("%d hits make %v allocations", len(requests), n)
	}
}

// A set and a cache are shared by all requests; the race detector watches.
func TestDecidingTogether(t *testing.T) {
	s, err := policy.Compile(realistic(100))
	if err != nil {
		t.Fatal(err)
	}
	c, requests := policy.NewCache(20), readers()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, r := range requests {
				if got, want := c.Decide(s, r, nil), s.Decide(r); got.Allowed != want.Allowed || got.Allowed != s.Explain(r).Decision.Allowed {
					t.Errorf("got %+v, want %+v", got, want)
				}
				s.Anywhere(r)
			}
		})
	}
	all.Wait()
}
