package access_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

var (
	acme   = config.TenantID{1}
	globex = config.TenantID{2}

	document = access.Resource{Tenant: acme, Environment: "production", Path: config.MustPath("gateway/eu-1")}
	inAcme   = access.Resource{Tenant: acme}
	inGlobex = access.Resource{Tenant: globex}
	server   = access.Resource{}

	nobody      = access.Principal{}
	nameless    = access.Principal{Tenant: acme, TenantAdmin: true, ServerAdmin: true}
	plain       = access.Principal{ID: "plain", Tenant: acme}
	admin       = access.Principal{ID: "admin", Tenant: acme, TenantAdmin: true}
	serverAdmin = access.Principal{ID: "server", ServerAdmin: true}
	both        = access.Principal{ID: "both", Tenant: acme, TenantAdmin: true, ServerAdmin: true}
	// A token of the server alone is nobody's tenant admin, whatever its row says.
	stray = access.Principal{ID: "stray", TenantAdmin: true}
)

type verdict string

const (
	allow  verdict = "allow"
	deny   verdict = "deny"
	absent verdict = "absent" // denied, as if it did not exist
)

func judge(t *testing.T, want verdict, p access.Principal, a access.Action, r access.Resource) {
	t.Helper()
	d := new(access.Guard).Decide(p, a, r)
	got := deny
	switch {
	case d.Allowed:
		got = allow
	case d.Foreign:
		got = absent
	}
	if got != want {
		t.Errorf("%s wants %s on %v: %s (%s), want %s", p.ID, a, r, got, strings.Join(d.Reasons, "; "), want)
	}
	if d.Allowed && d.Foreign {
		t.Errorf("%s is allowed what is foreign", p.ID)
	}
	if len(d.Reasons) == 0 {
		t.Errorf("%s wants %s: the decision has no reason", p.ID, a)
	}
}

// The sheet: every action, on the tenant acme (or on the server, for actions
// that have no tenant), by everybody.
func TestPolicySheet(t *testing.T) {
	for _, a := range tenantActions {
		judge(t, allow, admin, a, document)
		judge(t, allow, both, a, document)
		judge(t, deny, plain, a, document)
		judge(t, deny, serverAdmin, a, document)
		judge(t, absent, nobody, a, document)
		judge(t, absent, nameless, a, document)
		judge(t, absent, stray, a, document)

		judge(t, absent, admin, a, inGlobex)
		judge(t, absent, plain, a, inGlobex)
		judge(t, deny, both, a, inGlobex)
		judge(t, deny, serverAdmin, a, inGlobex)

		judge(t, deny, admin, a, server)
		judge(t, deny, both, a, server)
		judge(t, deny, stray, a, server)
	}
	for _, a := range serverActions {
		judge(t, allow, serverAdmin, a, server)
		judge(t, allow, both, a, server)
		judge(t, deny, admin, a, server)
		judge(t, deny, plain, a, server)
		judge(t, deny, nobody, a, server)
		judge(t, deny, nameless, a, server)
		judge(t, deny, stray, a, server)

		judge(t, deny, serverAdmin, a, inAcme)
		judge(t, deny, admin, a, inAcme)
		judge(t, absent, admin, a, inGlobex)
	}
}

func TestTenantSheet(t *testing.T) {
	judge(t, allow, admin, access.TenantRead, inAcme)
	judge(t, allow, serverAdmin, access.TenantRead, inAcme)
	judge(t, allow, both, access.TenantRead, inGlobex)
	judge(t, deny, plain, access.TenantRead, inAcme)
	judge(t, absent, admin, access.TenantRead, inGlobex)
	judge(t, absent, nobody, access.TenantRead, inAcme)
	judge(t, deny, admin, access.TenantRead, server)
	judge(t, deny, both, access.TenantRead, server)

	judge(t, allow, serverAdmin, access.TenantManage, inAcme)
	judge(t, allow, serverAdmin, access.TenantManage, server)
	judge(t, allow, both, access.TenantManage, inGlobex)
	judge(t, deny, admin, access.TenantManage, inAcme)
	judge(t, deny, admin, access.TenantManage, server)
	judge(t, absent, admin, access.TenantManage, inGlobex)
	judge(t, deny, nobody, access.TenantManage, server)
}

func TestUnknownActionsAreDenied(t *testing.T) {
	for _, a := range []access.Action{"", "config", "config.", "Config.Read", "config.read ", "policy.write"} {
		judge(t, deny, both, a, inAcme)
		judge(t, deny, both, a, server)
		judge(t, deny, serverAdmin, a, inGlobex)
		judge(t, absent, admin, a, inGlobex)
	}
}

func TestTheZeroDecisionDenies(t *testing.T) {
	if (access.Decision{}).Allowed {
		t.Error("the zero Decision allows")
	}
}

var tenantActions = []access.Action{
	access.ConfigRead, access.ConfigWrite, access.ConfigDestroy, access.SecretRefer, access.SecretList, access.SecretRead, access.SecretWrite, access.SecretActivate, access.SecretDestroy,
	access.AckWrite, access.KeyRead, access.KeyWrite,
	access.EnvironmentRead, access.EnvironmentWrite, access.TagRead, access.TagWrite,
	access.TokenRead, access.TokenWrite, access.AuditRead,
}

var serverActions = []access.Action{
	access.ServerTokenRead, access.ServerTokenWrite, access.ServerAuditRead, access.ServerKeyRead, access.ServerKeyWrite,
	access.SettingsRead, access.SettingsWrite,
}

// Every constant of the source stands in the sheets above, written like the
// others, and somebody may do it.
func TestEveryActionIsInTheSheet(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "guard.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	sheet := map[access.Action]bool{access.TenantRead: true, access.TenantManage: true}
	for _, a := range append(tenantActions, serverActions...) {
		sheet[a] = true
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Action" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		a := access.Action(text)
		found++
		if !sheet[a] {
			t.Errorf("%s (%s) is in no sheet of this test", spec.Names[0], a)
		}
		noun, verb, ok := strings.Cut(text, ".")
		if !ok || !strings.EqualFold(strings.ReplaceAll(noun, "-", "")+verb, spec.Names[0].Name) {
			t.Errorf("%s is written %q", spec.Names[0], text)
		}
		guard := new(access.Guard)
		if !guard.Decide(both, a, inAcme).Allowed && !guard.Decide(both, a, server).Allowed {
			t.Errorf("nobody may do %s: it is missing from the table", a)
		}
		return true
	})
	if found != len(sheet) {
		t.Errorf("the source has %d actions, the sheets %d", found, len(sheet))
	}
}

func TestAllowingAllocatesNothing(t *testing.T) {
	guard := new(access.Guard)
	if n := testing.AllocsPerRun(100, func() {
		guard.Decide(admin, access.ConfigRead, document)
		guard.Decide(serverAdmin, access.TenantManage, inAcme)
	}); n != 0 {
		t.Errorf("allowing makes %v allocations", n)
	}
}

func TestNamesOfPrincipals(t *testing.T) {
	cases := []struct {
		p             access.Principal
		actor, author string
	}{
		{access.Principal{}, "anonymous", "anonymous"},
		{access.Principal{ID: "x", Method: "token"}, "token:x", "token:x"},
		{access.Principal{ID: "x", Method: "token", Name: "ci"}, "token:x", "ci"},
	}
	for _, c := range cases {
		if c.p.Actor() != c.actor || c.p.Author() != c.author {
			t.Errorf("%+v is %q and %q, want %q and %q", c.p, c.p.Actor(), c.p.Author(), c.actor, c.author)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	guard := new(access.Guard)
	b.ReportAllocs()
	for b.Loop() {
		guard.Decide(admin, access.ConfigRead, document)
	}
}
