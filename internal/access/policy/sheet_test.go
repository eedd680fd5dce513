package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var (
	acme   = config.TenantID{1}
	globex = config.TenantID{2}

	server      = access.Resource{}
	inAcme      = access.Resource{Tenant: acme, TenantName: "acme"}
	inGlobex    = access.Resource{Tenant: globex, TenantName: "globex"}
	production  = access.Resource{Tenant: acme, TenantName: "acme", Environment: "production"}
	folder      = access.Resource{Tenant: acme, TenantName: "acme", Environment: "production", Prefix: prefix("gateway")}
	document    = access.Resource{Tenant: acme, TenantName: "acme", Environment: "production", Path: config.MustPath("gateway/eu-1")}
	secret      = access.Resource{Tenant: acme, TenantName: "acme", Environment: "production", Path: config.MustPath("providers/openai"), Secret: true}
	placeless   = access.Resource{Tenant: acme, TenantName: "acme", Path: config.MustPath("gateway/eu-1")}
	nobody      = access.Principal{}
	nameless    = access.Principal{Method: access.MethodToken, Tenant: acme, Roles: []string{access.RoleAdmin}, ServerAdmin: true}
	plain       = member("plain")
	viewer      = member("viewer", access.RoleViewer)
	application = member("application", access.RoleApplication)
	operator    = member("operator", access.RoleOperator)
	admin       = member("admin", access.RoleAdmin)
	serverAdmin = access.Principal{ID: "server", Method: access.MethodToken, ServerAdmin: true}.Sealed()
	both        = access.Principal{ID: "both", Method: access.MethodToken, Tenant: acme, Roles: []string{access.RoleAdmin}, ServerAdmin: true}.Sealed()
	// Of no tenant, whatever roles its row holds.
	stray = access.Principal{ID: "stray", Method: access.MethodToken, Roles: []string{access.RoleAdmin, access.RoleServerAdmin}}.Sealed()
	// No row gives the role of a server admin.
	pretender = member("pretender", access.RoleServerAdmin)
)

func prefix(text string) config.Prefix {
	p, err := config.ParsePrefix(text)
	if err != nil {
		panic(err)
	}
	return p
}

// member has roles in acme.
func member(id string, roles ...string) access.Principal {
	return access.Principal{ID: id, Method: access.MethodToken, Tenant: acme, Roles: roles}.Sealed()
}

func compile(t testing.TB, text string, roles ...policy.Role) *policy.Set {
	t.Helper()
	src := policy.Source{Tenant: "acme", Roles: roles}
	if text != "" {
		src.Files = []policy.File{{Name: "team", Text: text}}
	}
	s, err := policy.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type verdict string

const (
	allow  verdict = "allow"
	deny   verdict = "deny"
	absent verdict = "absent" // denied, as if it did not exist
)

func verdictOf(d access.Decision) verdict {
	switch {
	case d.Allowed:
		return allow
	case d.Foreign:
		return absent
	}
	return deny
}

// everybody is one cache for all sets, tenants and principals of the tests.
var everybody = policy.NewCache(100_000)

// judge asks the set, and the cache twice.
func judge(t *testing.T, s *policy.Set, want verdict, p access.Principal, a access.Action, r access.Resource) {
	t.Helper()
	request := &access.Request{Principal: p, Action: a, Resource: r}
	for _, d := range []access.Decision{s.Decide(request), everybody.Decide(s, request, nil), everybody.Decide(s, request, nil), s.Explain(request).Decision} {
		if got := verdictOf(d); got != want {
			t.Errorf("%s wants %s on %+v: %s (%s), want %s", p.ID, a, r, got, strings.Join(d.Reasons, "; "), want)
		}
		if d.Allowed && d.Foreign {
			t.Errorf("%s is allowed what is foreign", p.ID)
		}
		if len(d.Reasons) == 0 {
			t.Errorf("%s wants %s: the decision has no reason", p.ID, a)
		}
	}
}

// The sheet of the built-in roles: v viewer, a application, o operator, A admin,
// S a server admin who is of no tenant. Each row is an action and who may take it
// in the tenant, or on the server.
var sheet = map[access.Action]string{
	access.ConfigRead:       "v a o A",
	access.ConfigWrite:      "o A",
	access.ConfigDestroy:    "A",
	access.SecretRefer:      "o A",
	access.SecretList:       "v a o A",
	access.SecretRead:       "a A",
	access.SecretWrite:      "o A",
	access.SecretActivate:   "o A",
	access.SecretDestroy:    "A",
	access.AckWrite:         "a o A",
	access.EnvironmentRead:  "v a o A",
	access.EnvironmentWrite: "A",
	access.TagRead:          "v a o A",
	access.TagWrite:         "o A",
	access.KeyRead:          "o A",
	access.KeyWrite:         "A",
	access.TokenRead:        "A",
	access.TokenWrite:       "A",
	access.PolicyRead:       "o A",
	access.PolicyWrite:      "A",
	access.AuditRead:        "A",
	access.QuotaRead:        "v a o A S",
	access.GrantRead:        "A S",
	access.GrantEnd:         "A S",
	access.TenantRead:       "v a o A S",
	access.TenantManage:     "S",
	access.AuditHold:        "S",
	access.QuotaWrite:       "S",
	access.GrantRequest:     "S",
	access.GrantApprove:     "S",
	access.ServerTokenRead:  "S",
	access.ServerTokenWrite: "S",
	access.ServerAuditRead:  "S",
	access.ServerKeyRead:    "S",
	access.ServerKeyWrite:   "S",
	access.SettingsRead:     "S",
	access.SettingsWrite:    "S",
}

func TestBuiltinSheet(t *testing.T) {
	s := compile(t, "")
	who := map[string]access.Principal{"v": viewer, "a": application, "o": operator, "A": admin, "S": serverAdmin}
	if len(sheet) != len(access.Actions) {
		t.Errorf("the sheet has %d actions, the table %d", len(sheet), len(access.Actions))
	}
	for _, info := range access.Actions {
		row, ok := sheet[info.Action]
		if !ok {
			t.Errorf("%s is not in the sheet", info.Action)
		}
		may := strings.Fields(row)
		for subject, r := range map[access.Subject]access.Resource{
			access.OnServer: server, access.OnTenant: inAcme, access.OnEnvironment: production,
			access.OnFolder: folder, access.OnDocument: document, access.OnSecret: secret,
		} {
			fits := subject&info.On != 0
			for letter, p := range who {
				want := deny
				if fits && slices.Contains(may, letter) {
					want = allow
				}
				judge(t, s, want, p, info.Action, r)
			}
			want := deny
			if fits && (slices.Contains(may, "A") || slices.Contains(may, "S")) {
				want = allow
			}
			judge(t, s, want, both, info.Action, r)
			judge(t, s, deny, plain, info.Action, r)
			judge(t, s, deny, pretender, info.Action, r)
			judge(t, s, deny, serverAdmin, info.Action, placeless)
			judge(t, s, deny, both, info.Action, placeless)
			outside := absent
			if subject == access.OnServer {
				outside = deny
			}
			for _, p := range []access.Principal{nobody, nameless, stray} {
				judge(t, s, outside, p, info.Action, r)
			}
		}
		for _, p := range []access.Principal{viewer, application, operator, admin, plain, stray, nobody} {
			judge(t, s, absent, p, info.Action, inGlobex)
		}
		want := deny
		if info.On&access.OnTenant != 0 && slices.Contains(may, "S") {
			want = allow
		}
		judge(t, s, want, both, info.Action, inGlobex)
		judge(t, s, want, serverAdmin, info.Action, inGlobex)
	}
}

func TestUnknownActionsAndWaysInAreDenied(t *testing.T) {
	s := compile(t, "permit (principal, action, resource);")
	for _, a := range []access.Action{"", "config", "config.", "Config.Read", "config.read ", "policy.*", "view", "administer", "serve"} {
		judge(t, s, deny, both, a, inAcme)
		judge(t, s, deny, both, a, server)
		judge(t, s, deny, serverAdmin, a, inGlobex)
		judge(t, s, absent, admin, a, inGlobex)
	}
	for _, method := range []string{"", access.MethodSystem, "Token", "tokens"} {
		p := both
		p.Method = method
		judge(t, s, deny, p.Sealed(), access.ConfigRead, document)
		judge(t, s, deny, p.Sealed(), access.SettingsRead, server)
	}
}

func TestBuiltinFilesAreReadable(t *testing.T) {
	var roles []string
	for _, f := range policy.Builtin() {
		if !strings.HasPrefix(f.Text, "// ") || !strings.HasSuffix(f.Text, ";\n") {
			t.Errorf("%s does not begin with what it is for", f.Name)
		}
		for _, role := range []string{access.RoleViewer, access.RoleApplication, access.RoleOperator, access.RoleAdmin, access.RoleServerAdmin} {
			if strings.Contains(f.Text, fmt.Sprintf("principal in Role::%q", role)) {
				roles = append(roles, role)
			}
		}
	}
	if want := append(slices.Clone([]string{"viewer", "application", "operator", "admin"}), access.RoleServerAdmin); !slices.Equal(roles, want) {
		t.Errorf("the files are of %v, want %v", roles, want)
	}
}

// A tenant without files and roles takes no memory of its own.
func TestPlainTenantsShareASet(t *testing.T) {
	one, err := policy.Compile(policy.Source{Tenant: "one"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := policy.Compile(policy.Source{Tenant: "two"})
	if err != nil || one != two {
		t.Errorf("two sets for two plain tenants: %v", err)
	}
}

func TestOwnPolicies(t *testing.T) {
	const deployer = "deployer"
	roles := []policy.Role{{Name: "chief", Includes: []string{deployer, access.RoleViewer}}, {Name: deployer}}
	s := compile(t, `
		permit (principal in Role::"deployer", action == Action::"config.write", resource in Folder::"production/gateway");
		permit (principal == Token::"alice", action in Action::"run", resource is Secret in Path::"providers");
		forbid (principal, action in [Action::"config.write", Action::"secret.read"], resource in Environment::"production") when { resource.hasTag("frozen") };
		permit (principal in Role::"server-admin", action == Action::"config.read", resource in Environment::"staging");
		permit (principal == Token::"auditor", action == Action::"secret.list", resource);
		permit (principal, action == Action::"environment.read", resource);
		forbid (principal in Role::"admin", action in Action::"serve", resource == Tenant::"acme");
		permit (principal, action in Action::"serve", resource);
		forbid (principal, action == Action::"tenant.read", resource);
		forbid (principal is Token, action == Action::"secret.list", resource) when { principal == Token::"banned" };
		`, roles...)
	at := func(environment, path string, secret bool) access.Resource {
		return access.Resource{Tenant: acme, TenantName: "acme", Environment: environment, Path: config.MustPath(path), Secret: secret}
	}
	outside := func(id string, serverAdmin bool) access.Principal {
		return access.Principal{ID: id, Method: access.MethodToken, Tenant: globex, Roles: []string{access.RoleAdmin, deployer}, ServerAdmin: serverAdmin}.Sealed()
	}
	for _, c := range []struct {
		want verdict
		p    access.Principal
		a    access.Action
		r    access.Resource
	}{
		{allow, member("d", deployer), access.ConfigWrite, document},
		{allow, member("d", deployer), access.ConfigWrite, folder},
		{allow, member("d", "chief"), access.ConfigWrite, document},
		{allow, member("d", "chief"), access.ConfigRead, document},
		{deny, member("d", deployer), access.ConfigRead, document},
		{deny, member("d", deployer), access.ConfigWrite, production},
		{deny, member("d", deployer), access.ConfigWrite, at("production", "gateway-eu/x", false)},
		{deny, member("d", deployer), access.ConfigWrite, at("staging", "gateway/eu-1", false)},
		{deny, member("d", "Deployer", "deployer "), access.ConfigWrite, document},
		{allow, member("alice"), access.SecretRead, secret},
		{deny, member("alice"), access.SecretRead, at("production", "providers2/x", true)},
		{deny, member("alice"), access.ConfigRead, at("production", "providers/openai", false)},
		{deny, member("Alice"), access.SecretRead, secret},
		{allow, plain, access.EnvironmentRead, production},

		// From elsewhere only server admins come in, and only if named.
		{allow, serverAdmin, access.ConfigRead, at("staging", "x", false)},
		{deny, serverAdmin, access.ConfigRead, document},
		{deny, serverAdmin, access.EnvironmentRead, production},
		{deny, serverAdmin, access.SecretList, secret},
		{allow, outside("auditor", true), access.SecretList, secret},
		{absent, outside("auditor", false), access.SecretList, secret},
		{deny, outside("d", true), access.ConfigWrite, document},
		{absent, outside("d", false), access.ConfigWrite, document},
		{deny, outside("banned", true), access.SecretList, secret},
		{allow, both, access.ConfigRead, at("staging", "x", false)},

		// What is for server admins alone no tenant gives or takes; where its own
		// people may do it too, it has a say over them.
		{deny, admin, access.TenantManage, inAcme},
		{allow, serverAdmin, access.TenantManage, inAcme},
		{allow, both, access.TenantManage, inAcme},
		{allow, both, access.GrantRequest, inAcme},
		{deny, admin, access.QuotaRead, inAcme},
		{allow, plain, access.GrantRead, inAcme},
		{allow, serverAdmin, access.QuotaRead, inAcme},
		{allow, serverAdmin, access.TenantRead, inAcme},
		{deny, both, access.TenantRead, inAcme},
		{deny, both, access.QuotaRead, inAcme},
		{allow, serverAdmin, access.SettingsRead, server},
		{deny, admin, access.SettingsRead, server},
	} {
		judge(t, s, c.want, c.p, c.a, c.r)
	}
	labelled := &access.Request{Principal: member("d", deployer), Action: access.ConfigWrite, Resource: document,
		Labels: func() (map[string]string, error) { return map[string]string{"frozen": ""}, nil }}
	if d := s.Decide(labelled); d.Allowed || !d.Labelled || d.Reasons[0] != `forbid "policy 3" in file "team" (line 4)` {
		t.Errorf("a frozen document: %+v", d)
	}
}

func TestRolesAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		roles []policy.Role
		want  string
	}{
		"fine":              {[]policy.Role{{Name: "a", Includes: []string{"b", "admin"}}, {Name: "b", Includes: []string{"viewer"}}}, ""},
		"a diamond":         {[]policy.Role{{Name: "a", Includes: []string{"b", "c"}}, {Name: "b", Includes: []string{"d"}}, {Name: "c", Includes: []string{"d"}}, {Name: "d"}}, ""},
		"includes itself":   {[]policy.Role{{Name: "a", Includes: []string{"a"}}}, "include each other: a includes a"},
		"a cycle":           {[]policy.Role{{Name: "a", Includes: []string{"b"}}, {Name: "b", Includes: []string{"c"}}, {Name: "c", Includes: []string{"a"}}}, "a includes b includes c includes a"},
		"unknown":           {[]policy.Role{{Name: "a", Includes: []string{"b"}}}, `includes "b", which is none`},
		"the server's":      {[]policy.Role{{Name: "a", Includes: []string{access.RoleServerAdmin}}}, "which is none"},
		"a built-in name":   {[]policy.Role{{Name: access.RoleViewer}}, "is taken"},
		"the server's name": {[]policy.Role{{Name: access.RoleServerAdmin}}, "is taken"},
		"break-glass":       {[]policy.Role{{Name: "break-glass-1"}}, "is taken"},
		"twice":             {[]policy.Role{{Name: "a"}, {Name: "a"}}, "two roles"},
		"no name":           {[]policy.Role{{}}, "a role has a name"},
		"upper case":        {[]policy.Role{{Name: "A"}}, "a role has a name"},
		"too many":          {make([]policy.Role, policy.MaxRoles+1), "too many roles"},
	} {
		_, err := policy.Compile(policy.Source{Tenant: "acme", Roles: c.roles})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		case err != nil && config.KindOf(err) != config.KindInvalidPolicy && config.KindOf(err) != config.KindTooLarge:
			t.Errorf("%s: the kind is %s", name, config.KindOf(err))
		}
	}
}
