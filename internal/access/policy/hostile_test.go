package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
)

// Texts that an issuer, a certificate or a tenant may send, of which some would
// widen a policy if anything took them for a pattern, a path or a piece of Cedar.
var hostileTexts = []string{
	"alice", "Alice", "ALICE", "alice ", " alice", "alice\n", "alice\x00", "ali*", "*", "**", "?", "al.ce", "[a-z]+",
	"alice/x", "x/alice", "..", "../alice", "./alice", "alice/..", "alice//", "/alice", "%61lice", "alice%00",
	`alice"`, `"alice`, `\"alice`, `alice\`, `alice", action, resource); permit (principal, action, resource); //`, `" || true || "`,
	"ａlice", "аlice", "alicе", "e\u0301", "\u00e9", "\u202ealice", "\xff\xfe", "ci:alice", "alice:ci", "ci::alice", ":alice",
	"Role::\"admin\"", "admin", "server-admin", "viewer", "dns:alice", "spiffe://alice", "team/file", "policy 1", "",
}

// Whoever has an id is let in by the policy of that very id and no other, in
// whichever way they came.
func TestHostileIdsMatchNothingElse(t *testing.T) {
	types := map[string]string{access.MethodToken: "Token", access.MethodIdentity: "Identity", access.MethodCertificate: "Workload"}
	for i, named := range hostileTexts {
		if named == "\xff\xfe" || named == "" {
			continue // no text of Cedar, and nobody's id
		}
		s := compile(t, "permit (principal == Identity::"+quote(named)+", action, resource);\n"+
			"forbid (principal in Identity::"+quote(named)+`, action == Action::"config.destroy", resource);`)
		for j, id := range hostileTexts {
			for method := range types {
				p := access.Principal{ID: id, Method: method, Tenant: acme, Issuer: "ci", Claims: map[string][]string{named: {named}}}.Sealed()
				want := deny
				switch {
				case id == "":
					want = absent
				case i == j && method == access.MethodIdentity:
					want = allow
				}
				judge(t, s, want, p, access.ConfigRead, document)
				if want == allow {
					want = deny
				}
				judge(t, s, want, p, access.ConfigDestroy, document)
			}
		}
	}
}

func TestHostileClaimsAndLabelsMatchNothingElse(t *testing.T) {
	for i, named := range hostileTexts {
		if named == "\xff\xfe" {
			continue
		}
		byClaim := compile(t, `permit (principal, action, resource) when { principal.hasTag("ref") && principal.getTag("ref").contains(`+quote(named)+") };")
		byName := compile(t, `permit (principal, action, resource) when { principal.hasTag(`+quote(named)+") };")
		byLabel := compile(t, `permit (principal, action, resource) when { resource.hasTag("team") && resource.getTag("team") == `+quote(named)+" };")
		for j, text := range hostileTexts {
			claim := access.Principal{ID: "x", Method: access.MethodIdentity, Tenant: acme, Claims: map[string][]string{"ref": {text, "other"}}}.Sealed()
			name := access.Principal{ID: "x", Method: access.MethodIdentity, Tenant: acme, Claims: map[string][]string{text: {"x"}}}.Sealed()
			labels := func() (map[string]string, error) { return map[string]string{"team": text}, nil }
			for what, d := range map[string]access.Decision{
				"claim": byClaim.Decide(&access.Request{Principal: claim, Action: access.ConfigRead, Resource: document}),
				"name":  byName.Decide(&access.Request{Principal: name, Action: access.ConfigRead, Resource: document}),
				"label": byLabel.Decide(&access.Request{Principal: plain, Action: access.ConfigRead, Resource: document, Labels: labels}),
			} {
				if d.Allowed != (i == j) {
					t.Errorf("the %s %q is allowed by the policy for %q: %t", what, text, named, d.Allowed)
				}
			}
		}
	}
}

// Roles that a principal says it has count only where the tenant has them, and
// none makes a server admin.
func TestHostileRolesGiveNothing(t *testing.T) {
	s := compile(t, `permit (principal in Role::"deployer", action == Action::"config.write", resource);`, policy.Role{Name: "deployer"})
	for _, role := range append(hostileTexts, "Admin", "admin ", "deployer\n", "deployer,admin", `Role::"deployer"`) {
		p := member("x", role)
		if role == "admin" {
			continue
		}
		for _, a := range []access.Action{access.ConfigWrite, access.SecretRead, access.QuotaWrite, access.TenantManage} {
			judge(t, s, deny, p, a, map[bool]access.Resource{true: document, false: inAcme}[a == access.ConfigWrite])
		}
	}
}

// Files and ids that look alike when they are put together are different policies.
func TestPolicyKeysAreNeverShared(t *testing.T) {
	src := policy.Source{Tenant: "acme", Files: []policy.File{
		{Name: "a", Text: `@id("b/c") permit (principal == Token::"x", action, resource); @id("viewer") forbid (principal == Token::"y", action, resource);`},
		{Name: "viewer", Text: `@id("viewer") permit (principal == Token::"y", action, resource); @id("c") permit (principal == Token::"z", action, resource);`},
	}}
	s, err := policy.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range src.Files {
		for _, id := range []string{"b/c", "viewer", "c"} {
			if text := s.Text(policy.Ref{File: f.Name, ID: id}); text != "" && !strings.HasPrefix(text, fmt.Sprintf("@id(%q)", id)) {
				t.Errorf("%s/%s is %s", f.Name, id, text)
			}
		}
	}
	judge(t, s, allow, member("x"), access.ConfigRead, document)
	judge(t, s, deny, member("y"), access.ConfigRead, document)
	judge(t, s, allow, member("z"), access.ConfigRead, document)
}
