package service_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// somePolicy is a file that changes nothing for those who are not deployers.
const somePolicy = `@id("deploy")
permit (principal in Role::"deployer", action == Action::"config.write", resource in Environment::"staging");
//test allow role:deployer config.write document staging/gateway
//test deny role:deployer config.write document production/gateway
`

// ruleVerbs are the verbs on what governs a tenant.
var ruleVerbs = map[string]verb{
	"Policies": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, _, err := s.Policies(ctx, who, tenant)
		return err
	},
	"Policy": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Policy(ctx, who, tenant, in.name, 0)
		return err
	},
	"RuleHistory": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, _, err := s.RuleHistory(ctx, who, tenant, store.RulePolicy, in.name, in.page)
		return err
	},
	"PolicyDiff": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, _, err := s.PolicyDiff(ctx, who, tenant, in.name, nil, nil)
		return err
	},
	"PutPolicy": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.PutPolicy(ctx, who, tenant, in.name, service.PolicyRequest{Text: "// nothing yet\n", Message: in.message})
		return err
	},
	"RollbackPolicy": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RollbackPolicy(ctx, who, tenant, in.name, in.version, in.message, false)
		return err
	},
	"TestPolicies": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.TestPolicies(ctx, who, tenant, in.name, nil)
		return err
	},
	"SimulatePolicies": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.SimulatePolicies(ctx, who, tenant, in.name, nil, in.page.Limit)
		return err
	},
	"Roles": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.Roles(ctx, who, tenant)
		return err
	},
	"Role": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.Role(ctx, who, tenant, in.name, 0)
		return err
	},
	"PutRole": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.PutRole(ctx, who, tenant, in.name, service.RoleRequest{Description: "others", Message: in.message})
		return err
	},
	"ExplainDecision": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.ExplainDecision(ctx, who, tenant, service.DecisionQuestion{
			Action: access.ConfigRead, Resource: access.Resource{Environment: in.environment, Path: in.path},
		})
		return err
	},
}

// tenantVerbs are those on a tenant that a server admin may use as well.
var tenantVerbs = map[string]verb{
	"Quota": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.Quota(ctx, who, tenant)
		return err
	},
	"PutQuota": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.PutQuota(ctx, who, tenant, service.QuotaRequest{Message: in.message})
		return err
	},
	"Grants": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.Grants(ctx, who, tenant)
		return err
	},
	"RequestGrant": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.RequestGrant(ctx, who, tenant, service.GrantRequest{Reason: in.message})
		return err
	},
	"ApproveGrant": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.ApproveGrant(ctx, who, tenant, in.name)
		return err
	},
	"AuditStatus": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, _ arguments) error {
		_, err := s.AuditStatus(ctx, who, service.Chain{Tenant: tenant})
		return err
	},
	"HoldAudit": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.HoldAudit(ctx, who, service.Chain{Tenant: tenant}, in.message)
		return err
	},
	"EndGrant": func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
		_, err := s.EndGrant(ctx, who, tenant, in.name, "")
		return err
	},
}

// servers are the verbs on a tenant that are a server admin's alone.
var servers = map[string]bool{"DeleteTenant": true, "PutQuota": true, "RequestGrant": true, "ApproveGrant": true, "HoldAudit": true}

// putPolicy writes a file of policies that must be taken.
func (a *actor) putPolicy(name, text string) service.PolicyResult {
	a.t.Helper()
	result, err := a.s.PutPolicy(a.t.Context(), a.who, a.tenant, name, service.PolicyRequest{Text: text})
	must(a.t, err)
	return result
}

// putRole defines a role that must be taken.
func (a *actor) putRole(name string, includes ...string) {
	a.t.Helper()
	_, err := a.s.PutRole(a.t.Context(), a.who, a.tenant, name, service.RoleRequest{Includes: includes})
	must(a.t, err)
}

// as is a caller with roles, and narrowed, in the actor's tenant.
func (a *actor) as(grants access.Grants) *actor {
	a.t.Helper()
	token, err := a.s.CreateToken(a.t.Context(), a.who, a.tenant, service.TokenRequest{Name: "somebody", Grants: grants})
	must(a.t, err)
	return a.holder(token)
}

// rootToo is another server admin, whom root did not make.
func (w *world) rootToo(t testing.TB) service.Caller {
	t.Helper()
	p := access.Principal{ID: "oooooooooooooooo", Name: "olga", Method: access.MethodToken, ServerAdmin: true}.Sealed()
	return service.Caller{Principal: p, RequestID: "request-2", Source: someone}
}

func TestWhatIsTheServersIsNoTenants(t *testing.T) {
	s := newWorld(t).stage(t, "acme")
	for name := range servers {
		v := tenantVerbs[name]
		if v == nil {
			v = about[name]
		}
		t.Run(name, func(t *testing.T) { s.denied(t, v, s.who, config.KindForbidden, s.id) })
	}
	// Not even where a policy says so: only what its author has can be given.
	_, err := s.s.PutPolicy(t.Context(), s.who, s.tenant, "more", service.PolicyRequest{
		Text: `permit (principal, action == Action::"quota.write", resource);`,
	})
	if kind := config.KindOf(err); kind != config.KindInvalidPolicy && kind != config.KindForbidden {
		t.Errorf("a policy that gives the tenant its own limits is answered by %v", err)
	}
}

func (s *stage) askForAccess(t *testing.T, who service.Caller) string {
	t.Helper()
	result, err := s.s.RequestGrant(t.Context(), who, s.tenant, service.GrantRequest{Reason: "ticket 7", For: time.Hour})
	must(t, err)
	return result.Grant.ID
}

// A new environment inherits references, and whoever makes it needs the right to
// refer there as whoever writes one does.
func TestANewEnvironmentIsNoWayToReferToASecret(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "key", "k")
	a.set("base", "a", `{"key":"${secret:key#value}"}`)
	a.putPolicy("no-edge", `forbid (principal, action == Action::"secret.refer", resource in Environment::"lab");`)
	_, err := a.s.PutEnvironment(t.Context(), a.who, a.tenant, "lab", service.EnvironmentRequest{})
	mustBe(t, config.KindForbidden, err)
	a.create("other")
}

// A name that is written wrong protects nothing, and whoever wrote it is told.
func TestAPolicyOfAnEnvironmentThatIsNotThere(t *testing.T) {
	a := newTenant(t)
	for name, test := range map[string]struct {
		head string
		told bool
	}{
		"an environment that is there":       {`resource in Environment::"production"`, false},
		"one that is not":                    {`resource in Environment::"no-such-place"`, true},
		"a folder in one that is not":        {`resource in Folder::"stagin/gateway"`, true},
		"a path, which is of no environment": {`resource in Path::"no-such-place"`, false},
	} {
		result := a.putPolicy("p", `forbid (principal in Role::"operator", action == Action::"config.write", `+test.head+`);`)
		told := false
		for _, f := range result.Report.Findings {
			told = told || f.Kind == policy.FindingUnreachable && f.Certainty == policy.Possible && strings.Contains(f.Message, "there is no environment")
		}
		if told != test.told {
			t.Errorf("%s: %+v", name, result.Report.Findings)
		}
	}
}

// A token is explained as it would be let in.
func TestAnExplanationLooksAtTheTokenItself(t *testing.T) {
	a := newTenant(t)
	a.set("production", "gateway", `{}`)
	bound := a.as(access.Grants{Roles: []string{"viewer"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	explain := func(source string, at time.Time) service.ExplainedDecision {
		t.Helper()
		e, err := a.s.ExplainDecision(t.Context(), a.who, a.tenant, service.DecisionQuestion{
			Action: access.ConfigRead, Resource: access.Resource{Environment: "production", Path: path("gateway")},
			Token: bound.who.Principal.ID, Source: netip.MustParseAddr(source), Time: at,
		})
		must(t, err)
		return e
	}
	same(t, "from where it is bound to", true, explain("192.0.2.9", time.Time{}).Decision.Allowed)
	for why, e := range map[string]service.ExplainedDecision{
		"bound":   explain("198.51.100.1", time.Time{}),
		"expired": explain("192.0.2.9", midnight.Add(service.MaxTokenTime)),
	} {
		if e.Decision.Allowed || !strings.Contains(e.Narrowing, why) {
			t.Errorf("%s: %+v", why, e.Explanation)
		}
	}
	_, err := a.s.RevokeToken(t.Context(), a.who, a.tenant, bound.who.Principal.ID)
	must(t, err)
	if e := explain("192.0.2.9", time.Time{}); e.Decision.Allowed || !strings.Contains(e.Narrowing, "revoked") {
		t.Errorf("%+v", e.Explanation)
	}
	_, err = a.s.ExplainDecision(t.Context(), a.who, a.tenant, service.DecisionQuestion{Action: access.ConfigRead, Roles: []string{"nobody-has"}})
	mustBe(t, config.KindBadRequest, err)
}
