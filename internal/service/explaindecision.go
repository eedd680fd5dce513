package service

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// DecisionQuestion asks what would be decided. Without a token, a principal and
// roles it is about the caller.
type DecisionQuestion struct {
	Action   access.Action
	Resource access.Resource

	Token       string   // the id of a token of the tenant
	Principal   string   // identity:ISSUER:SUBJECT or workload:NAME
	Roles       []string // of that principal; alone, of anybody with them
	Claims      map[string][]string
	Source      netip.Addr // the zero Addr where it is unknown, or the caller's own
	Time        time.Time  // zero for now
	Certificate string     // spiffe:// or dns: name
}

// ExplainedDecision is a decision with its reasons.
type ExplainedDecision struct {
	policy.Explanation
	Request access.Request
	Texts   map[policy.Ref]string // of the policies that it names
}

// ExplainDecision answers what would be decided and why. Nothing is done, and a
// denial that is only asked about is not one.
func (s *Service) ExplainDecision(ctx context.Context, who Caller, tenant string, q DecisionQuestion) (ExplainedDecision, error) {
	state, err := s.guard(ctx, who, access.PolicyRead, tenant, access.Resource{Name: "authz/explain"})
	if err != nil {
		return ExplainedDecision{}, err
	}
	if _, known := access.InfoOf(q.Action); !known {
		return ExplainedDecision{}, config.Errorf(config.KindBadRequest, "there is no such action").At("/action").
			Hint("actions are named like config.read; docs/access.md lists them")
	}
	asked := who
	if asked.Principal, err = s.explained(ctx, who, state, q); err != nil {
		return ExplainedDecision{}, err
	}
	if q.about() {
		asked.Source = q.Source
	} else if q.Source.IsValid() {
		asked.Source = q.Source
	}
	end, err := s.policyTurn(ctx, state)
	if err != nil {
		return ExplainedDecision{}, err
	}
	defer end()
	rules := state.rules.Load()
	request := s.question(ctx, asked, q.Action, state, q.Resource, rules)
	if !q.Time.IsZero() {
		request.Time = q.Time
	}
	if request.Labels == nil {
		request.Labels = func() (map[string]string, error) { return s.labelsOf(ctx, state, request.Resource) }
	}
	answer := ExplainedDecision{Explanation: rules.set.Explain(&request), Request: request, Texts: map[policy.Ref]string{}}
	if q.Token != "" {
		if err := s.explainStanding(ctx, state, q.Token, request, &answer); err != nil {
			return ExplainedDecision{}, err
		}
	}
	for _, ref := range answer.refs() {
		answer.Texts[ref] = rules.set.Text(ref)
	}
	return answer, nil
}

// explainStanding denies what a token would be refused for before any policy is
// asked.
func (s *Service) explainStanding(ctx context.Context, state *tenantState, id string, request access.Request, answer *ExplainedDecision) error {
	token, err := s.tokenOf(ctx, state.tenant.ID, id)
	if err != nil {
		return err
	}
	bound := request.Principal.Bound
	var why string
	switch {
	case !token.Revoked.IsZero():
		why = "the token was revoked"
	case !request.Time.Before(token.Expires):
		why = "the token expired"
	case !bound.Allows(access.Connection{Source: request.Source, Certificate: request.Principal.Certificate}):
		why = "the token is bound to addresses or a certificate, and the request does not come by them"
	default:
		return nil
	}
	answer.Decision.Allowed, answer.Narrowing = false, why
	answer.Decision.Reasons, answer.Deciding = nil, nil
	return nil
}

func (e ExplainedDecision) refs() []policy.Ref {
	refs := slices.Clone(e.Deciding)
	for _, f := range e.Failed {
		refs = append(refs, f.Ref)
	}
	for _, n := range e.Needed {
		refs = append(refs, n.Ref)
	}
	return refs
}

// about says whether the question is about somebody else than the caller.
func (q DecisionQuestion) about() bool {
	return q.Token != "" || q.Principal != "" || len(q.Roles) > 0
}

// explained is who the question is about.
func (s *Service) explained(ctx context.Context, who Caller, state *tenantState, q DecisionQuestion) (access.Principal, error) {
	if !q.about() {
		if len(q.Claims) > 0 || q.Certificate != "" {
			return access.Principal{}, config.Errorf(config.KindBadRequest, "claims and a certificate need a principal or roles").At("/principal")
		}
		return who.Principal, nil
	}
	if q.Token != "" && (q.Principal != "" || len(q.Roles) > 0 || len(q.Claims) > 0) {
		return access.Principal{}, config.Errorf(config.KindBadRequest, "a token is who it is: leave out principal, roles and claims").At("/token")
	}
	certificate, err := namedCertificate(q.Certificate)
	if err != nil {
		return access.Principal{}, err
	}
	if q.Token != "" {
		return s.explainedToken(ctx, state, q.Token, certificate)
	}
	for _, role := range q.Roles {
		if !slices.Contains(access.BuiltinRoles, role) && role != access.RoleServerAdmin && roleNamed(state.rules.Load().source, role).Name == "" {
			return access.Principal{}, config.Errorf(config.KindBadRequest, "there is no such role").At("/roles").Hint("`llm-config role ls` lists them")
		}
	}
	p := access.Principal{
		ID: "anybody", Name: "anybody", Method: access.MethodToken, Tenant: state.tenant.ID,
		Roles: slices.Sorted(slices.Values(q.Roles)), Claims: q.Claims, Certificate: certificate,
	}
	if q.Principal != "" {
		if p, err = namedPrincipal(p, q.Principal); err != nil {
			return p, err
		}
	}
	return p.Sealed(), nil
}

func (s *Service) explainedToken(ctx context.Context, state *tenantState, id string, certificate *access.Certificate) (access.Principal, error) {
	if _, err := s.tokenOf(ctx, state.tenant.ID, id); err != nil {
		return access.Principal{}, err
	}
	p, err := s.tokens.Known(ctx, id)
	p.Certificate = certificate
	return p, err
}

func namedCertificate(name string) (*access.Certificate, error) {
	switch {
	case name == "":
		return nil, nil //nolint:nilnil // there is none
	case strings.HasPrefix(name, "spiffe://"):
		return &access.Certificate{SPIFFE: name}, nil
	case strings.HasPrefix(name, "dns:"):
		return &access.Certificate{DNS: []string{strings.TrimPrefix(name, "dns:")}}, nil
	}
	return nil, config.Errorf(config.KindBadRequest, "a certificate is named like spiffe://domain/path or dns:name").At("/certificate")
}

// namedPrincipal is a principal with the name that policies know one by.
func namedPrincipal(p access.Principal, name string) (access.Principal, error) {
	kind, id, _ := strings.Cut(name, ":")
	switch issuer, subject, both := strings.Cut(id, ":"); {
	case kind == "identity" && both && issuer != "" && subject != "":
		p.Method, p.Issuer, p.ID = access.MethodIdentity, issuer, id
	case kind == "workload" && id != "":
		p.Method, p.ID = access.MethodCertificate, id
	default:
		return p, config.Errorf(config.KindBadRequest, "a principal is named like identity:ISSUER:SUBJECT or workload:spiffe://domain/path").At("/principal")
	}
	p.Name = p.ID
	return p, nil
}
