package access_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func prefixes(t testing.TB, texts ...string) []config.Prefix {
	t.Helper()
	all := make([]config.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := config.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// asked is a resource as these sheets write it: "" for the tenant, an
// environment, environment:path, secret environment:path, environment:prefix/….
func asked(t testing.TB, environment, path, prefix string) access.Resource {
	t.Helper()
	r := access.Resource{Tenant: acme, Environment: environment, Prefix: prefixes(t, prefix)[0]}
	if path != "" {
		r.Path = config.MustPath(path)
	}
	return r
}

// sheet says of a scope what it contains and touches.
type sheet struct {
	*testing.T
	scope *access.Scope
}

func (s sheet) check(contains, touches bool, a access.Action, r access.Resource) {
	s.Helper()
	if s.scope.Contains(a, r) != contains {
		s.Errorf("Contains(%s, %s %s %s) is %v", a, r.Environment, r.Path, r.Prefix, !contains)
	}
	if s.scope.Touches(a, r) != touches {
		s.Errorf("Touches(%s, %s %s %s) is %v", a, r.Environment, r.Path, r.Prefix, !touches)
	}
}

func (s sheet) document(allowed bool, a access.Action, environment, path string) {
	s.Helper()
	s.check(allowed, allowed, a, asked(s.T, environment, path, ""))
	r := asked(s.T, environment, path, "")
	r.Secret = true
	if r.Secret = true; s.scope.Contains(access.SecretRead, r) != allowed && (s.scope == nil || len(s.scope.Actions) == 0) {
		s.Errorf("the secret %s in %s is decided otherwise than the document", path, environment)
	}
}

func (s sheet) collection(contains, touches bool, a access.Action, environment, prefix string) {
	s.Helper()
	s.check(contains, touches, a, asked(s.T, environment, "", prefix))
}

func (s sheet) tenant(allowed bool, actions ...access.Action) {
	s.Helper()
	for _, a := range actions {
		if s.scope.Contains(a, access.Resource{Tenant: acme}) != allowed {
			s.Errorf("%s on the tenant: %v", a, !allowed)
		}
	}
}

var (
	nameActions   = []access.Action{access.TenantRead, access.TagRead, access.EnvironmentRead}
	tenantActions = []access.Action{
		access.TokenRead, access.TokenWrite, access.PolicyRead, access.PolicyWrite, access.AuditRead, access.KeyRead, access.KeyWrite,
		access.QuotaRead, access.GrantRead, access.GrantEnd, access.TagWrite, access.EnvironmentWrite, access.AckWrite, access.TenantManage,
		access.ConfigRead, access.ConfigWrite, access.SecretRead, access.SecretList, access.ServerTokenWrite,
	}
)

func TestNoScopeHoldsEverything(t *testing.T) {
	for _, scope := range []*access.Scope{nil, {}} {
		s := sheet{t, scope}
		s.document(true, access.ConfigRead, "production", "a/b")
		s.collection(true, true, access.SecretList, "", "")
		s.collection(true, true, access.ConfigWrite, "production", "a")
		s.tenant(true, nameActions...)
		s.tenant(true, tenantActions...)
	}
}

func TestATokenOfAnEnvironment(t *testing.T) {
	s := sheet{t, &access.Scope{Environments: []string{"staging", "edge"}}}
	s.document(true, access.ConfigRead, "staging", "a")
	s.document(true, access.ConfigWrite, "edge", "a/b")
	s.document(false, access.ConfigRead, "production", "a")
	s.document(false, access.ConfigRead, "stagin", "a")
	s.document(false, access.ConfigRead, "staging-2", "a")
	s.document(false, access.ConfigRead, "Staging", "a")
	s.collection(true, true, access.ConfigRead, "staging", "")
	s.collection(true, true, access.ConfigRead, "staging", "a")
	s.collection(false, false, access.ConfigRead, "production", "")
	s.collection(false, true, access.ConfigRead, "", "") // some of the tenant's are its own
	s.collection(true, true, access.AckWrite, "staging", "")
	s.collection(false, false, access.AckWrite, "production", "")
	s.collection(true, true, access.EnvironmentRead, "staging", "")
	s.collection(true, true, access.EnvironmentWrite, "staging", "")
	s.tenant(true, nameActions...)
	s.tenant(false, tenantActions...)
}

func TestATokenOfPaths(t *testing.T) {
	s := sheet{t, &access.Scope{Paths: prefixes(t, "a/b", "gateway")}}
	for _, environment := range []string{"base", "production"} {
		s.document(true, access.ConfigRead, environment, "a/b")
		s.document(true, access.ConfigRead, environment, "a/b/c")
		s.document(true, access.ConfigWrite, environment, "gateway/eu-1")
		for _, other := range []string{"a", "a/bc", "a/b-c", "a/b.c", "a/b_c", "gateways", "gatewa", "x/a/b", "b", "A/b"} {
			s.document(false, access.ConfigRead, environment, other)
		}
	}
	s.collection(true, true, access.ConfigRead, "production", "a/b")
	s.collection(true, true, access.ConfigRead, "production", "a/b/c")
	s.collection(false, true, access.ConfigRead, "production", "a")
	s.collection(false, true, access.ConfigRead, "production", "")
	s.collection(false, true, access.ConfigRead, "", "")
	s.collection(false, false, access.ConfigRead, "production", "a/bc")
	s.collection(false, false, access.ConfigRead, "production", "x")
	// What is no document's and no secret's is not for it, but to say what it runs and where.
	s.collection(true, true, access.AckWrite, "production", "")
	s.collection(true, true, access.EnvironmentRead, "production", "")
	if s.scope.Contains(access.EnvironmentWrite, asked(t, "production", "", "")) {
		t.Error("a token of some paths may change an environment")
	}
	s.tenant(true, nameActions...)
	s.tenant(false, tenantActions...)
}

func TestATokenOfActions(t *testing.T) {
	s := sheet{t, &access.Scope{Actions: []access.Action{access.ConfigRead, access.TokenRead}}}
	s.document(true, access.ConfigRead, "production", "a")
	s.document(false, access.ConfigWrite, "production", "a")
	s.collection(true, true, access.ConfigRead, "", "")
	s.collection(false, false, access.SecretList, "production", "")
	s.tenant(true, access.ConfigRead, access.TokenRead)
	s.tenant(false, access.TokenWrite, access.TenantRead, access.TagRead, access.PolicyRead, "", "config", "config.read ")
}

func TestAllThreeNarrowings(t *testing.T) {
	s := sheet{t, &access.Scope{Environments: []string{"staging"}, Paths: prefixes(t, "a"), Actions: []access.Action{access.ConfigRead, access.TagRead}}}
	s.document(true, access.ConfigRead, "staging", "a/b")
	s.document(false, access.ConfigRead, "production", "a/b")
	s.document(false, access.ConfigRead, "staging", "b")
	s.document(false, access.ConfigWrite, "staging", "a/b")
	s.collection(false, true, access.ConfigRead, "staging", "")
	s.collection(false, false, access.ConfigRead, "production", "")
	s.tenant(true, access.TagRead)
	s.tenant(false, access.TenantRead, access.EnvironmentRead, access.TokenRead)
}

var (
	someEnvironments = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"base", "production", "staging"}), 0, 2, rapid.ID[string])
	somePaths        = rapid.SampledFrom([]string{"a", "a/b", "a/b/c", "a/bc", "ab", "b", "b/a"})
	someActions      = rapid.SampledFrom([]access.Action{access.ConfigRead, access.ConfigWrite, access.SecretList, access.SecretRead})
	someScopes       = rapid.Custom(func(t *rapid.T) *access.Scope {
		s := &access.Scope{Environments: someEnvironments.Draw(t, "environments"), Actions: rapid.SliceOfN(someActions, 0, 2).Draw(t, "actions")}
		for _, text := range rapid.SliceOfN(somePaths, 0, 2).Draw(t, "paths") {
			p, err := config.ParsePrefix(text)
			if err != nil {
				t.Fatal(err)
			}
			s.Paths = append(s.Paths, p)
		}
		return s
	})
)

// Whatever a scope contains is found by way of every collection that holds it;
// and a scope that contains a collection contains all that is in it.
func TestWhatIsContainedIsTouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, a := someScopes.Draw(t, "scope"), someActions.Draw(t, "action")
		environment := rapid.SampledFrom([]string{"base", "production", "staging"}).Draw(t, "environment")
		at := somePaths.Draw(t, "path")
		item := access.Resource{Tenant: acme, Environment: environment, Path: config.MustPath(at), Secret: rapid.Bool().Draw(t, "secret")}
		for _, prefix := range []string{"", "a", "a/b", "a/b/c", "a/bc", "ab", "b", "b/a"} {
			p, err := config.ParsePrefix(prefix)
			if err != nil {
				t.Fatal(err)
			}
			if !p.Contains(item.Path) {
				continue
			}
			for _, where := range []string{"", environment} {
				collection := access.Resource{Tenant: acme, Environment: where, Prefix: p, Secret: item.Secret}
				if s.Contains(a, item) && !s.Touches(a, collection) {
					t.Fatalf("%+v contains %s in %s and does not touch %q in %q", s, at, environment, prefix, where)
				}
				if s.Contains(a, collection) && !s.Contains(a, item) {
					t.Fatalf("%+v contains all of %q in %q, but not %s in %s", s, prefix, where, at, environment)
				}
				if s.Contains(a, collection) && !s.Touches(a, collection) {
					t.Fatalf("%+v contains %q in %q and does not touch it", s, prefix, where)
				}
			}
		}
	})
}

// texts that are easily taken for one another when they are strung together.
var someText = rapid.SampledFrom([]string{"", "a", "b", "ab", "a:b", ":", "\x00", "\x01", "a\x00", "\x00a", "\x01a", "admin", "staging"})

func drawPrincipal(t *rapid.T) access.Principal {
	p := access.Principal{
		ID: someText.Draw(t, "id"), Method: someText.Draw(t, "method"), Issuer: someText.Draw(t, "issuer"),
		Roles: rapid.SliceOfN(someText, 0, 3).Draw(t, "roles"), ServerAdmin: rapid.Bool().Draw(t, "server admin"),
	}
	p.Tenant[0] = rapid.Uint8Range(0, 1).Draw(t, "tenant")
	p.Tenant[15] = rapid.Uint8Range(0, 1).Draw(t, "tenant")
	if rapid.Bool().Draw(t, "has claims") {
		p.Claims = rapid.MapOfN(someText, rapid.SliceOfN(someText, 0, 2), 0, 2).Draw(t, "claims")
	}
	if rapid.Bool().Draw(t, "is narrowed") {
		p.Scope = someScopes.Draw(t, "scope")
	}
	return p
}

// counts is all that a decision may depend on, written so that nothing is
// mistaken for anything else.
func counts(p access.Principal) string {
	texts := fmt.Sprintf("%q %q %q %x %q %v", p.ID, p.Method, p.Issuer, p.Tenant, p.Roles, p.ServerAdmin)
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		texts += fmt.Sprintf(" %q=%q", name, p.Claims[name])
	}
	if p.Scope != nil {
		texts += fmt.Sprintf(" narrowed %q %q %q", p.Scope.Environments, p.Scope.Paths, p.Scope.Actions)
	}
	return texts
}

// Keys are the same for the same principals and for no others.
func TestKeysAreOfAllThatCounts(t *testing.T) {
	seen := map[[32]byte]string{}
	known := map[string][32]byte{}
	rapid.Check(t, func(t *rapid.T) {
		for range 200 {
			p := drawPrincipal(t)
			key, text := p.Sealed().Key, counts(p)
			if other, there := seen[key]; there && other != text {
				t.Fatalf("two principals have one key:\n%s\n%s", text, other)
			}
			if before, there := known[text]; there && before != key {
				t.Fatalf("one principal has two keys: %s", text)
			}
			seen[key], known[text] = text, key
		}
	})
}

// Each field alone makes another key, and text that moves from one to the next
// does as well; what says nothing about rights makes none.
func TestEveryFieldThatCountsIsInTheKey(t *testing.T) {
	full := func() access.Principal {
		return access.Principal{
			ID: "id", Name: "ann", Method: access.MethodIdentity, Issuer: "ci", Tenant: acme, Roles: []string{"a", "b"},
			Claims: map[string][]string{"x": {"1", "2"}, "y": {"3"}}, Scope: &access.Scope{
				Environments: []string{"e"}, Paths: prefixes(t, "p"), Actions: []access.Action{access.ConfigRead},
			},
		}
	}
	base := full().Sealed().Key
	if base == (access.Principal{}).Sealed().Key || base != full().Sealed().Key {
		t.Fatal("the same principal has another key")
	}
	keys := map[[32]byte]string{base: "none"}
	for what, change := range map[string]func(*access.Principal){
		"id":                       func(p *access.Principal) { p.ID = "id2" },
		"method":                   func(p *access.Principal) { p.Method = access.MethodToken },
		"issuer":                   func(p *access.Principal) { p.Issuer = "ci2" },
		"issuer to id":             func(p *access.Principal) { p.ID, p.Issuer = "idc", "i" },
		"method to id":             func(p *access.Principal) { p.ID, p.Method = "ididentity", "" },
		"tenant":                   func(p *access.Principal) { p.Tenant[15] = 1 },
		"no tenant":                func(p *access.Principal) { p.Tenant = config.TenantID{} },
		"a role less":              func(p *access.Principal) { p.Roles = []string{"a"} },
		"a role more":              func(p *access.Principal) { p.Roles = []string{"a", "b", ""} },
		"one role of two":          func(p *access.Principal) { p.Roles = []string{"ab"} },
		"a server admin":           func(p *access.Principal) { p.ServerAdmin = true },
		"no claims":                func(p *access.Principal) { p.Claims = nil },
		"a claim's value":          func(p *access.Principal) { p.Claims = map[string][]string{"x": {"1"}, "y": {"3"}} },
		"a value moved":            func(p *access.Principal) { p.Claims = map[string][]string{"x": {"1"}, "y": {"2", "3"}} },
		"one value of two":         func(p *access.Principal) { p.Claims = map[string][]string{"x": {"12"}, "y": {"3"}} },
		"a claim's name":           func(p *access.Principal) { p.Claims = map[string][]string{"x": {"1", "2"}, "z": {"3"}} },
		"no scope":                 func(p *access.Principal) { p.Scope = nil },
		"an empty scope":           func(p *access.Principal) { p.Scope = &access.Scope{} },
		"an environment":           func(p *access.Principal) { p.Scope.Environments = []string{"e", "f"} },
		"a path":                   func(p *access.Principal) { p.Scope.Paths = prefixes(t, "p/q") },
		"an action":                func(p *access.Principal) { p.Scope.Actions = []access.Action{access.ConfigWrite} },
		"an environment as a path": func(p *access.Principal) { p.Scope.Environments, p.Scope.Paths = nil, prefixes(t, "e", "p") },
		"a role as an environment": func(p *access.Principal) { p.Roles, p.Scope.Environments = []string{"a"}, []string{"b", "e"} },
	} {
		p := full()
		change(&p)
		key := p.Sealed().Key
		if other, there := keys[key]; there {
			t.Errorf("%q and %q have one key", what, other)
		}
		keys[key] = what
	}
	p := full()
	p.Name, p.Ancestors, p.Certificate = "bob", []string{"token:x"}, &access.Certificate{}
	if key := p.Sealed().Key; !bytes.Equal(key[:], base[:]) {
		t.Error("what no decision depends on makes another key")
	}
}
