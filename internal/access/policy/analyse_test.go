package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var ownRoles = []Role{
	{Name: "deployer", Includes: []string{"viewer"}},
	{Name: "lead", Includes: []string{"deployer"}},
	{Name: "guest"},
}

// sourceWith is a tenant with one file of policies.
func sourceWith(text string) Source {
	return Source{Tenant: "acme", Roles: ownRoles, Files: []File{{Name: "team", Text: text}}}
}

func mustAnalyse(t *testing.T, src Source, file string) (found []string) {
	t.Helper()
	report := Check(src, file)
	if report.Refused() {
		t.Fatalf("%+v\n%v", report, src.Files)
	}
	for _, f := range report.Findings {
		text := fmt.Sprintf("%s %s %s", f.Ref.ID, f.Certainty, f.Kind)
		if f.Other != nil {
			text += " by " + f.Other.ID
		}
		found = append(found, text)
	}
	return found
}

// Each text is a file of policies a, b, … and the findings are what is said of it.
func TestAnalysis(t *testing.T) {
	number := func(policies []string) (text string) {
		for i, p := range policies {
			text += fmt.Sprintf("@id(%q)\n%s\n", string(rune('a'+i)), p)
		}
		return text
	}
	const gateway = `resource in Folder::"production/gateway"`
	for name, c := range map[string]struct{ policies, want []string }{
		"nothing to say": {[]string{
			`permit (principal in Role::"guest", action == Action::"config.read", ` + gateway + `);`,
			`forbid (principal in Role::"guest", action == Action::"config.write", ` + gateway + `);`,
		}, nil},
		"a condition that is false": {[]string{`permit (principal, action, resource) when { false };`}, []string{"a certain unreachable"}},
		"conditions fold": {[]string{
			`permit (principal, action, resource) when { !(1 == 1) || false };`,
			`forbid (principal, action, resource) unless { if true then 2 > 1 else context.method == "token" };`,
			`permit (principal, action, resource) when { context.method == "token" } when { "a" like "b*" };`,
		}, []string{"a certain unreachable", "b certain unreachable", "c certain unreachable"}},
		"a condition that may fail first": {[]string{`permit (principal in Role::"guest", action, resource) when { context.weekday * 2 == 4 && false };`}, nil},
		"a role that is not there":        {[]string{`permit (principal in Role::"ghost", action, resource);`}, []string{"a certain unreachable"}},
		"another tenant":                  {[]string{`permit (principal, action, resource in Tenant::"acme2");`}, []string{"a certain unreachable"}},
		"what no tenant decides":          {[]string{`permit (principal, action, resource == Server::"server");`}, []string{"a certain unreachable"}},
		"what a role has already":         {[]string{`permit (principal in Role::"lead", action == Action::"config.read", ` + gateway + `);`}, []string{"a certain shadowed by viewer"}},
		"what a group has already": {[]string{
			`permit (principal in Role::"guest", action in Action::"operate", resource in Environment::"production");`,
			`permit (principal in Role::"guest", action in [Action::"config.read", Action::"tag.write", Action::"secret.write"], ` + gateway + `);`,
		}, []string{"b certain shadowed by a"}},
		"a path holds folders": {[]string{
			`permit (principal in Role::"guest", action == Action::"config.read", ` + gateway + `);`,
			`permit (principal in Role::"guest", action == Action::"config.read", resource in Path::"gateway");`,
			`permit (principal in Role::"guest", action == Action::"config.read", resource in Folder::"production/gateway-eu");`,
		}, []string{"a certain shadowed by b"}},
		"several together": {[]string{
			`permit (principal in Role::"guest", action in [Action::"config.read", Action::"secret.list"], ` + gateway + `);`,
			`permit (principal in Role::"guest", action in [Action::"secret.list", Action::"config.write"], resource in Path::"gateway");`,
			`permit (principal in Role::"guest", action == Action::"config.read", resource in Environment::"production");`,
		}, []string{"a certain shadowed by c"}},
		"the later of two": {[]string{
			`permit (principal in Role::"guest", action == Action::"config.read", resource is Document);`,
			`permit (principal in Role::"guest", action in [Action::"config.read"], resource is Document in Tenant::"acme");`,
		}, []string{"b certain shadowed by a"}},
		"the same, as the action is taken nowhere else": {[]string{
			`permit (principal in Role::"guest", action == Action::"tag.read", resource == Tenant::"acme");`,
			`permit (principal in Role::"guest", action == Action::"tag.read", resource);`,
		}, []string{"b certain shadowed by a"}},
		"in office hours and always": {[]string{
			`permit (principal in Role::"guest", action == Action::"config.read", resource) when { context.weekday < 6 };`,
			`permit (principal in Role::"guest", action == Action::"config.read", resource);`,
		}, []string{"a certain shadowed by b"}},
		"within one on conditions": {[]string{
			`permit (principal in Role::"guest", action == Action::"config.read", resource) when { context.weekday < 6 };`,
			`permit (principal in Role::"guest", action == Action::"config.read", ` + gateway + `);`,
		}, []string{"b possible shadowed by a"}},
		"shadowed but for failing": {[]string{
			`permit (principal in Role::"viewer", action == Action::"config.read", resource) when { context.weekday * 9223372036854775807 == 0 };`,
		}, []string{"a possible shadowed by viewer"}},
		"forbids": {[]string{
			`forbid (principal in Role::"guest", action in Action::"operate", resource);`,
			`forbid (principal in Role::"guest", action == Action::"config.write", resource) when { context.weekday < 6 };`,
		}, []string{"b certain shadowed by a"}},
		"all forbidden": {[]string{
			`permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`,
			`forbid (principal, action == Action::"secret.read", resource in Path::"gateway");`,
		}, []string{"a certain unreachable by b"}},
		"all forbidden on conditions": {[]string{
			`permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`,
			`forbid (principal, action == Action::"secret.read", resource in Path::"gateway") unless { context has certificate };`,
		}, []string{"a possible unreachable by b"}},
		"the very opposite": {[]string{
			`permit (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`,
			`forbid (principal in Role::"guest", action in [Action::"secret.read"], ` + gateway + `) when { true };`,
		}, []string{"a certain unreachable by b", "a certain contradictory by b"}},
		"in part": {[]string{
			`permit (principal in Role::"guest", action in Action::"run", resource in Environment::"production");`,
			`forbid (principal, action in [Action::"secret.read", Action::"secret.write"], resource in Path::"gateway");`,
		}, []string{"a possible contradictory by b"}},
		"a forbid about everything is no news": {[]string{
			`permit (principal in Role::"guest", action in Action::"run", resource in Environment::"production");`,
			`forbid (principal, action, resource) when { context.weekday > 5 };`,
		}, []string{"a possible unreachable by b"}},
		"nor is a permit about everything": {[]string{
			`permit (principal, action, resource) when { context.weekday > 5 };`,
			`forbid (principal in Role::"guest", action == Action::"secret.read", ` + gateway + `);`,
		}, nil},
		"two people": {[]string{
			`permit (principal == Token::"x", action == Action::"secret.read", resource);`,
			`forbid (principal == Token::"y", action == Action::"secret.read", resource);`,
			`forbid (principal is Identity, action == Action::"secret.read", resource);`,
		}, nil},
		"a permit for all is not for server admins from elsewhere": {[]string{
			`permit (principal, action == Action::"audit.read", resource);`,
			`permit (principal in Role::"server-admin", action == Action::"audit.read", resource);`,
			`permit (principal in Role::"guest", action == Action::"audit.read", resource);`,
		}, []string{"c certain shadowed by a"}},
	} {
		got := mustAnalyse(t, sourceWith(number(c.policies)), "team")
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// A file is told what it does to others, and nothing of what others do to each other.
func TestAnalysisOfOneFile(t *testing.T) {
	src := Source{Tenant: "acme", Roles: ownRoles, Files: []File{
		{Name: "calm", Text: `@id("calm") permit (principal in Role::"guest", action == Action::"tag.read", resource);`},
		{Name: "more", Text: `@id("more") permit (principal in Role::"guest", action == Action::"config.write", resource in Folder::"staging/x");`},
		{Name: "stop", Text: `@id("stop") forbid (principal in Role::"guest", action == Action::"config.write", resource in Environment::"staging");`},
	}}
	for file, want := range map[string][]string{
		"calm": nil,
		"more": {"more certain unreachable by stop"},
		"stop": {"more certain unreachable by stop"},
		"":     {"more certain unreachable by stop"},
	} {
		if got := mustAnalyse(t, src, file); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

// ---- A small world, in which everything that can be asked is asked.

func smallWorld() (all []*access.Request) {
	principals := []access.Principal{
		{ID: "a", Method: access.MethodToken, Roles: []string{"admin"}},
		{ID: "v", Method: access.MethodToken, Roles: []string{"viewer"}},
		{ID: "x", Method: access.MethodToken, Roles: []string{"guest", "operator"}},
		{ID: "g", Method: access.MethodToken, Roles: []string{"ghost"}},
		{ID: "ci:x", Method: access.MethodIdentity, Issuer: "ci", Roles: []string{"lead"}},
		{ID: "ci:y", Method: access.MethodIdentity, Issuer: "ci", Roles: []string{"deployer", "guest"}},
		{ID: "dns:x", Method: access.MethodCertificate, Roles: []string{"application"}},
		{ID: "both", Method: access.MethodToken, Roles: []string{"guest"}, ServerAdmin: true},
		{ID: "out", Method: access.MethodToken, ServerAdmin: true},
	}
	tenant := access.Resource{Tenant: testTenant, TenantName: "acme"}
	var things []access.Resource
	add := func(environment, prefix, path string, secret bool) {
		r := tenant
		r.Environment, r.Secret = environment, secret
		r.Prefix, _ = config.ParsePrefix(prefix)
		if path != "" {
			r.Path = config.MustPath(path)
		}
		things = append(things, r)
	}
	add("", "", "", false)
	for _, environment := range []string{"production", "staging"} {
		add(environment, "", "", false)
		add(environment, "gw", "", false)
		add(environment, "gw/eu", "", false)
		add(environment, "", "gw", false)
		add(environment, "", "gw/eu", false)
		add(environment, "", "gw/eu", true)
		add(environment, "", "gw-2", true)
	}
	for i, p := range principals {
		if p.Roles != nil {
			p.Tenant = testTenant
		}
		p = p.Sealed()
		for j, thing := range things {
			for _, info := range access.Actions {
				r := &access.Request{Principal: p, Action: info.Action, Resource: thing, Time: testTime.AddDate(0, 0, (i+j)%7)}
				if (i+j)%2 == 0 {
					r.Source = netip.MustParseAddr("127.0.0.1")
				}
				if info.On&subjectOf(&r.Resource) != 0 {
					all = append(all, r)
				}
			}
		}
	}
	return all
}

var (
	randomPrincipals = []string{
		`principal`, `principal is Token`, `principal is Identity`, `principal == Token::"x"`, `principal == Token::"out"`, `principal == Identity::"ci:x"`, `principal in Token::"a"`,
		`principal in Role::"viewer"`, `principal in Role::"admin"`, `principal in Role::"guest"`, `principal in Role::"deployer"`, `principal in Role::"lead"`,
		`principal in Role::"application"`, `principal in Role::"ghost"`, `principal in Role::"server-admin"`, `principal is Token in Role::"guest"`,
	}
	randomActions = []string{
		`action`, `action in Action::"view"`, `action in Action::"run"`, `action in Action::"operate"`, `action in Action::"administer"`, `action == Action::"config.read"`, `action == Action::"secret.read"`,
		`action == Action::"tenant.read"`, `action == Action::"environment.read"`, `action in [Action::"config.read", Action::"config.write"]`, `action in [Action::"secret.read", Action::"view"]`,
	}
	randomResources = []string{
		`resource`, `resource is Document`, `resource is Secret`, `resource is Folder`, `resource in Tenant::"acme"`, `resource == Tenant::"acme"`, `resource in Tenant::"other"`,
		`resource in Environment::"production"`, `resource == Environment::"production"`, `resource in Path::"gw"`, `resource in Path::"gw/eu"`, `resource in Folder::"production/gw"`,
		`resource in Folder::"staging/gw/eu"`, `resource == Folder::"production/gw"`, `resource is Secret in Environment::"staging"`, `resource is Document in Path::"gw"`,
		`resource == Document::"production/gw/eu"`, `resource in Secret::"staging/gw-2"`, `resource is Folder in Folder::"production/gw"`, `resource is Environment in Environment::"staging"`,
	}
	randomConditions = []string{
		`true`, `false`, `1 == 2 || true`, `context.weekday < 4`, `context has source && context.source.isLoopback()`, `context.weekday * 2000000000000000000 > 0`,
		`false && context.weekday + 1 == 2`, `context.method == "token" && false`, `principal in Role::"guest"`, `!(principal in Role::"viewer")`, `if context.weekday < 3 then true else 1 < 2`,
		`context.weekday * 2000000000000000000 > 0 || true`, `["a"].contains("a")`, `ip("10.0.0.1").isLoopback()`,
	}
)

func pick(random *rand.Rand, from []string) string { return from[random.IntN(len(from))] }

// randomPolicy is one that fits the schema. Now and then it has the head of
// another one.
func randomPolicy(random *rand.Rand, others ...string) string {
	for {
		head := "(" + pick(random, randomPrincipals) + ", " + pick(random, randomActions) + ", " + pick(random, randomResources) + ")"
		if len(others) > 0 && random.IntN(4) == 0 {
			head = regexp.MustCompile(`\(.*?\)`).FindString(pick(random, others))
		}
		text := []string{"permit", "permit", "forbid"}[random.IntN(3)] + " " + head
		for range random.IntN(3) {
			text += []string{" when", " unless"}[random.IntN(2)] + " { " + pick(random, randomConditions) + " }"
		}
		text += ";"
		if report := Check(sourceWith(text), "team"); !report.Refused() {
			return text
		}
	}
}

func decisions(t *testing.T, src Source, requests []*access.Request) []bool {
	t.Helper()
	set, err := Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]bool, len(requests))
	for i, r := range requests {
		all[i] = set.Decide(r).Allowed
	}
	return all
}

// Whatever is certain is so for every request that there is: a policy that is
// certainly unreachable or shadowed can go, and no decision changes.
func TestCertainFindingsHold(t *testing.T) {
	requests := smallWorld()
	random := rand.New(rand.NewPCG(1, 2))
	found := map[string]int{}
	for range 150 {
		var policies []string
		for range 2 + random.IntN(6) {
			policies = append(policies, randomPolicy(random, policies...))
		}
		src := sourceWith(strings.Join(policies, "\n"))
		before := decisions(t, src, requests)
		for _, f := range Check(src, "team").Findings {
			found[f.Certainty+" "+f.Kind]++
			if f.Certainty != Certain || f.Kind == FindingContradictory {
				continue
			}
			var without []string
			for i, p := range policies {
				if i != f.Ref.Line-1 {
					without = append(without, p)
				}
			}
			after := decisions(t, sourceWith(strings.Join(without, "\n")), requests)
			if i := firstDifference(before, after); i >= 0 {
				r := requests[i]
				t.Errorf("%s %s: %s\nbut %s %s on %+v depends on it:\n%s", f.Certainty, f.Kind, f.Message, r.Principal.Actor(), r.Action, r.Resource, src.Files[0].Text)
			}
		}
	}
	for _, kind := range []string{FindingUnreachable, FindingShadowed, FindingContradictory} {
		if found[Certain+" "+kind] == 0 || found[Possible+" "+kind] == 0 {
			t.Errorf("the random policies are too tame: %v", found)
		}
	}
}

func firstDifference(a, b []bool) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// What the checks know of heads is what deciding does: a policy alone allows
// exactly what its rule says.
func TestRulesSelectWhatPoliciesDo(t *testing.T) {
	requests := smallWorld()
	random := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		text := fmt.Sprintf("permit (%s, %s, %s);", pick(random, randomPrincipals), pick(random, randomActions), pick(random, randomResources))
		src := sourceWith(text)
		s, err := newSheet(src)
		if err != nil {
			t.Fatal(err)
		}
		set, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		own := s.of("team")[0]
		for _, r := range requests {
			h := &holder{sheet: s, author: r.Principal}
			want := false
			for _, rule := range []*rule{own, s.rules[0], s.rules[1], s.rules[2], s.rules[3], s.rules[4]} {
				want = want || h.isIn(rule, r.Action) && rule.at(r.Action).contains(thing(r.Resource))
			}
			if got := set.Decide(r).Allowed; got != want {
				t.Fatalf("%s\n%s %s on %+v: decided %v, the rule says %v", text, r.Principal.Actor(), r.Action, r.Resource, got, want)
			}
		}
	}
}

func thing(r access.Resource) places {
	p := places{kinds: subjectOf(&r), environment: r.Environment, prefix: r.Prefix, exact: true}
	if !r.Path.IsZero() {
		p.prefix = prefixAt(r.Path)
	}
	p.exact = p.kinds&onItems != 0
	return p
}

// Containment and intersection of places agree with what is in them.
func TestPlaces(t *testing.T) {
	var things []places
	seen := map[places]bool{}
	for _, r := range smallWorld() {
		if p := thing(r.Resource); !seen[p] {
			seen[p] = true
			things = append(things, p)
		}
	}
	var sets []places
	for _, text := range randomResources {
		src := sourceWith("permit (principal, action, " + text + ");")
		s, err := newSheet(src)
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, s.of("team")[0].where)
	}
	for _, a := range sets {
		for _, b := range sets {
			both := a.intersect(b)
			for _, x := range things {
				if got, want := both.contains(x), a.contains(x) && b.contains(x); got != want {
					t.Errorf("%v is in the intersection of %v and %v: %v, want %v", x, a, b, got, want)
				}
				if a.contains(b) && b.contains(x) && !a.contains(x) {
					t.Errorf("%v contains %v, but not %v of it", a, b, x)
				}
			}
			if a.overlaps(b) != b.overlaps(a) || a.contains(b) && !b.empty() && !a.overlaps(b) {
				t.Errorf("%v and %v: overlap %v and %v", a, b, a.overlaps(b), b.overlaps(a))
			}
		}
	}
}

// The requests of the small world fit the schema, as the analysis trusts all to.
func TestRequestsFitTheSchema(t *testing.T) {
	for _, r := range smallWorld() {
		r.Principal.Certificate = &access.Certificate{DNS: []string{"x"}}
		q := ask(r)
		if _, refused := q.enter(); refused {
			q.done()
			continue
		}
		q.reads = readsContext | readsClaims | readsPlace
		request := cedar.Request{Principal: q.principal, Action: q.action.UID, Resource: q.resource, Context: q.context()}
		if err := validator().Request(request); err != nil {
			t.Fatalf("%v: %v", request, err)
		}
		for _, uid := range []cedar.EntityUID{q.principal, q.resource} {
			entity, _ := q.Get(uid)
			if err := validator().Entity(entity); err != nil {
				t.Fatalf("%v: %v", uid, err)
			}
		}
		q.done()
	}
}

// A thousand policies are as many as a tenant may have, and somebody waits.
func BenchmarkCheck(b *testing.B) {
	random := rand.New(rand.NewPCG(5, 6))
	src := Source{Tenant: "acme", Roles: ownRoles}
	for i := range 20 {
		var text strings.Builder
		for range MaxPolicies / 20 {
			text.WriteString(randomPolicy(random) + "\n")
		}
		src.Files = append(src.Files, File{Name: fmt.Sprintf("f%d", i), Text: text.String()})
	}
	for b.Loop() {
		if Check(src, "f3").Refused() {
			b.Fatal("the policies are refused")
		}
	}
}
