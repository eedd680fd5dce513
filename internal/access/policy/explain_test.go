package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const explained = `@id("deploy")
permit (principal in Role::"deployer", action == Action::"config.write", resource in Folder::"staging/gateway");
@id("ci")
permit (principal is Identity, action == Action::"config.write", resource) when { principal.hasTag("repository") && principal.getTag("repository").contains("acme/x") } unless { context.weekday > 5 };
@id("freeze")
forbid (principal, action, resource in Environment::"production") when { resource.hasTag("frozen") && resource.getTag("frozen") == "yes" };
@id("network")
forbid (principal, action == Action::"secret.read", resource) unless { context.source.isInRange(ip("10.0.0.0/8")) };
@id("one")
permit (principal == Token::"alice", action in [Action::"config.write"], resource == Document::"staging/other");`

func explain(t *testing.T, s *policy.Set, r *access.Request) policy.Explanation {
	t.Helper()
	e := s.Explain(r)
	if d := s.Decide(r); fmt.Sprint(d) != fmt.Sprint(e.Decision) {
		t.Errorf("explained is %+v, decided %+v", e.Decision, d)
	}
	return e
}

func ids(refs []policy.Ref) (all []string) {
	for _, ref := range refs {
		all = append(all, ref.ID)
	}
	return all
}

func TestExplainingWhatWouldBeNeeded(t *testing.T) {
	s := compile(t, explained, policy.Role{Name: "deployer"})
	e := explain(t, s, &access.Request{Principal: plain, Action: access.ConfigWrite, Resource: document})
	var got []string
	for _, need := range e.Needed {
		got = append(got, need.Ref.ID+": "+strings.Join(need.Lacking, "; "))
	}
	want := []string{
		`operator: the principal is not in Role::"operator"`,
		`admin: the principal is not in Role::"admin"`,
		`deploy: the principal is not in Role::"deployer"; the resource is not in Folder::"staging/gateway"`,
		`ci: the principal is not a Identity; its condition is false: when { principal.hasTag("repository") && principal.getTag("repository").contains("acme/x") }`,
		`one: the principal is not Token::"alice"; the resource is not Document::"staging/other"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("needed:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(e.Missing, []string{`resource tag "frozen"`}) || len(e.Deciding)+len(e.Failed) > 0 || e.Narrowing != "" {
		t.Errorf("got %+v", e)
	}
}

func TestExplainingWhatDecided(t *testing.T) {
	s := compile(t, explained, policy.Role{Name: "deployer"})
	frozen := func() (map[string]string, error) { return map[string]string{"frozen": "yes"}, nil }
	broken := func() (map[string]string, error) { return nil, config.Errorf(config.KindUnavailable, "not now") }
	narrow := admin
	narrow.Scope = &access.Scope{Environments: []string{"staging"}, Paths: []config.Prefix{prefix("gateway"), prefix("models")}, Actions: []access.Action{access.ConfigRead}}
	narrow = narrow.Sealed()
	for name, c := range map[string]struct {
		r                         access.Request
		allowed                   bool
		deciding, failed, missing []string
		narrowing, reason         string
	}{
		"a built-in permit": {
			r: access.Request{Principal: admin, Action: access.ConfigWrite, Resource: document}, allowed: true,
			deciding: []string{"admin", "operator"}, missing: []string{`resource tag "frozen"`}, reason: "built-in policy for the role admin",
		},
		"a forbid": {
			r:        access.Request{Principal: admin, Action: access.ConfigWrite, Resource: document, Labels: frozen},
			deciding: []string{"freeze"}, reason: `forbid "freeze" in file "team" (line 5)`,
		},
		"a failure": {
			r:      access.Request{Principal: admin, Action: access.SecretRead, Resource: secret},
			failed: []string{"network"}, missing: []string{"context.source", `resource tag "frozen"`}, reason: `forbid "network" in file "team" (line 7) could not be evaluated`,
		},
		"the source": {
			r:       access.Request{Principal: admin, Action: access.SecretRead, Resource: secret, Source: netip.MustParseAddr("10.1.1.1")},
			allowed: true, deciding: []string{"admin"}, missing: []string{`resource tag "frozen"`}, reason: "built-in policy for the role admin",
		},
		"labels that cannot be read": {
			r:      access.Request{Principal: admin, Action: access.ConfigWrite, Resource: document, Labels: broken},
			reason: "the labels that a policy looks at cannot be read",
		},
		"a narrow token": {
			r:         access.Request{Principal: narrow, Action: access.ConfigWrite, Resource: document},
			narrowing: "the token is narrowed to the environments staging; the paths gateway, models; the actions config.read",
			missing:   []string{`resource tag "frozen"`},
			reason:    "the token is narrowed to the environments staging; the paths gateway, models; the actions config.read",
		},
		"nothing": {
			r:      access.Request{Principal: plain, Action: access.TagWrite, Resource: inAcme},
			reason: "no policy permits tag.write here",
		},
		"another tenant": {
			r:      access.Request{Principal: plain, Action: access.TagWrite, Resource: inGlobex},
			reason: "the principal has nothing to do with this tenant",
		},
	} {
		e := explain(t, s, &c.r)
		var failed []string
		for _, f := range e.Failed {
			failed = append(failed, f.Ref.ID)
			if f.Message == "" {
				t.Errorf("%s: the failure has no message", name)
			}
		}
		if e.Decision.Allowed != c.allowed || e.Narrowing != c.narrowing || !slices.Equal(ids(e.Deciding), c.deciding) ||
			!slices.Equal(failed, c.failed) || !slices.Equal(e.Missing, c.missing) || e.Decision.Reasons[0] != c.reason {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestExplainingNamesWhatIsMissing(t *testing.T) {
	s := compile(t, `
		permit (principal, action == Action::"config.read", resource) when { principal.getTag("team").contains("a") || context.issuer == "ci" };
		permit (principal, action == Action::"config.read", resource) when { context has certificate && context.certificate has spiffe };
		permit (principal, action == Action::"config.read", resource) when { context.certificate.spiffe == "x" || context.certificate.dns.contains("y") };
		permit (principal, action == Action::"config.read", resource) when { context.token.environments.isEmpty() && context.method == "token" };
		permit (principal == Token::"other", action == Action::"config.read", resource) when { principal.hasTag("unasked") };`)
	p := plain
	p.Certificate = &access.Certificate{DNS: []string{"z"}}
	e := explain(t, s, &access.Request{Principal: p, Action: access.ConfigRead, Resource: document})
	if want := []string{"context.certificate.spiffe", "context.issuer", `principal tag "team"`}; !slices.Equal(e.Missing, want) {
		t.Errorf("missing: %q, want %q", e.Missing, want)
	}
	p.Certificate = nil
	e = explain(t, s, &access.Request{Principal: p, Action: access.ConfigRead, Resource: document})
	if want := []string{"context.certificate", "context.issuer", `principal tag "team"`}; !slices.Equal(e.Missing, want) {
		t.Errorf("missing: %q, want %q", e.Missing, want)
	}
}

func TestExplanationsAreBounded(t *testing.T) {
	s := compile(t, strings.Repeat(`permit (principal == Token::"x", action == Action::"config.read", resource);`, 50))
	if e := explain(t, s, &access.Request{Principal: plain, Action: access.ConfigRead, Resource: document}); len(e.Needed) != 10 {
		t.Errorf("%d permits are needed", len(e.Needed))
	}
	// To an outsider, what is not for outsiders would not help.
	for _, need := range explain(t, s, &access.Request{Principal: serverAdmin, Action: access.SecretRead, Resource: secret}).Needed {
		if need.Ref.File != "" {
			t.Errorf("an outsider would need %+v", need)
		}
	}
}

func TestTextOfPolicies(t *testing.T) {
	s := compile(t, explained, policy.Role{Name: "deployer"})
	for ref, want := range map[policy.Ref]string{
		{File: "team", ID: "deploy"}: `@id("deploy")`,
		{ID: "viewer"}:               `@id("viewer")`,
		{File: "team", ID: "viewer"}: "",
		{ID: "deploy"}:               "",
		{}:                           "",
	} {
		got := s.Text(ref)
		if first, _, _ := strings.Cut(got, "\n"); first != want || got != "" && !strings.HasSuffix(got, ";") {
			t.Errorf("%+v: got %q, want %q", ref, got, want)
		}
	}
}
