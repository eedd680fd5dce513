package policy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// TestResult is how one test case went.
type TestResult struct {
	File    string
	Line    int
	Text    string // the test case, in its usual form
	Want    string // allow or deny
	Got     string // allow, deny, or "" when it could not be decided
	Passed  bool
	Reasons []string
}

// runTests runs the test cases of all files. The error says where one is
// malformed, that there are too many, or that the context ended.
func (s *Set) runTests(ctx context.Context, files []File) (all []TestResult, err error) {
	for _, f := range files {
		cases, err := testCases(f)
		if err != nil {
			return nil, err
		}
		if len(all)+len(cases) > MaxTests {
			return nil, config.Errorf(config.KindTooLarge, "there are too many test cases in the policy files").Over(MaxTests, int64(len(all)+len(cases)))
		}
		for _, c := range cases {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			all = append(all, s.runTest(f.Name, c))
		}
	}
	return all, nil
}

func (s *Set) runTest(file string, c testCase) TestResult {
	verdicts := map[bool]string{true: "allow", false: "deny"}
	result := TestResult{File: file, Line: c.line, Text: c.String(), Want: verdicts[c.allow]}
	for _, role := range c.roles {
		if s.roles[role] == nil && role != access.RoleServerAdmin {
			result.Reasons = []string{fmt.Sprintf("there is no role %q in this tenant", role)}
			return result
		}
	}
	decision := s.Decide(c.request(s.tenant))
	result.Got, result.Reasons = verdicts[decision.Allowed], decision.Reasons
	result.Passed = result.Got == result.Want
	return result
}

// testTenant is the id of the tenant in test cases: the name is all that policies see.
var testTenant = config.TenantID{0: 1}

// request is what the test case asks.
func (c testCase) request(tenant string) *access.Request {
	r := &access.Request{Action: c.action, Principal: c.principal(), Time: testTime}
	r.Resource = access.Resource{Tenant: testTenant, TenantName: tenant, Secret: c.kind == access.OnSecret}
	where, _ := thingOf(c.kind, c.place) // it was parsed before, as was all that follows
	r.Resource.Environment = where.environment
	switch c.kind {
	case access.OnFolder:
		r.Resource.Prefix = where.prefix
	case access.OnDocument, access.OnSecret:
		r.Resource.Path, _ = config.ParsePath(where.prefix.String())
	}
	labels := map[string]string{}
	for _, o := range c.options {
		switch name, isLabel := strings.CutPrefix(o.key, "label."); {
		case isLabel:
			labels[name] = o.value
		case o.key == "source":
			r.Source, _ = netip.ParseAddr(o.value)
		case o.key == "time":
			r.Time, _ = time.Parse(time.RFC3339, o.value)
		}
	}
	if c.kind == access.OnDocument || c.kind == access.OnSecret {
		r.Labels = func() (map[string]string, error) { return labels, nil }
	}
	r.Principal = r.Principal.Sealed()
	return r
}

// principal is who asks. Somebody who is known only by roles has a token, or is
// an identity if the test case tells of claims. Whoever is a server admin and
// nothing else is not of the tenant.
func (c testCase) principal() access.Principal {
	p := access.Principal{ID: c.who, Name: "test case", Method: methodOf[c.form], Tenant: testTenant}
	for _, role := range c.roles {
		if role == access.RoleServerAdmin {
			p.ServerAdmin = true
			continue
		}
		p.Roles = append(p.Roles, role)
	}
	slices.Sort(p.Roles)
	if p.ServerAdmin && len(p.Roles) == 0 {
		p.Tenant = config.TenantID{}
	}
	if c.form == "role" {
		p.ID, p.Method = "test:case", access.MethodToken
	}
	c.certify(&p)
	for _, o := range c.options {
		c.tell(&p, o)
	}
	for _, values := range p.Claims {
		slices.Sort(values)
	}
	if p.Method == access.MethodIdentity {
		p.Issuer, _, _ = strings.Cut(p.ID, ":")
	}
	return p
}

// certify gives the principal the certificate that its own name is of, if it has one.
func (c testCase) certify(p *access.Principal) {
	if name, ok := strings.CutPrefix(c.who, "dns:"); ok && c.form == "workload" {
		p.Certificate = &access.Certificate{DNS: []string{name}}
	} else if c.form == "workload" {
		p.Certificate = &access.Certificate{SPIFFE: c.who}
	}
}

func (c testCase) tell(p *access.Principal, o option) {
	name, isClaim := strings.CutPrefix(o.key, "claim.")
	if strings.HasPrefix(o.key, "certificate.") && p.Certificate == nil {
		p.Certificate = &access.Certificate{}
	}
	switch {
	case isClaim:
		if p.Claims == nil {
			p.Claims = map[string][]string{}
		}
		p.Claims[name] = append(p.Claims[name], o.value)
		if p.Method == access.MethodToken {
			p.Method = access.MethodIdentity
		}
	case o.key == "method":
		p.Method = o.value
	case o.key == "certificate.spiffe":
		p.Certificate.SPIFFE = o.value
	case o.key == "certificate.dns":
		p.Certificate.DNS = append(p.Certificate.DNS, o.value)
		slices.Sort(p.Certificate.DNS)
	}
}
