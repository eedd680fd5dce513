package service

import (
	"context"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// guard is the first call of every verb on a tenant: it finds the tenant and
// decides whether the caller may. A tenant that is not the caller's is absent,
// and a denial is on record before it is answered; asking for one that does not
// exist is denied in the same way, so that neither answer nor time tells the two apart.
func (s *Service) guard(ctx context.Context, who Caller, action access.Action, tenant string, r access.Resource) (*tenantState, error) {
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return nil, s.guardAbsent(ctx, who, action, tenant, err)
	}
	return state, s.guardIn(ctx, who, action, state, r)
}

// guardIn is guard for a tenant that was found.
func (s *Service) guardIn(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource) error {
	return s.answer(ctx, who, action, state, r, s.decide(ctx, who, action, state, r))
}

// guardAny is the first call of verbs on collections, whose items are decided on
// one by one: it is enough that the caller may have any of them.
func (s *Service) guardAny(ctx context.Context, who Caller, action access.Action, tenant string, r access.Resource) (*tenantState, error) {
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return nil, s.guardAbsent(ctx, who, action, tenant, err)
	}
	return state, s.answer(ctx, who, action, state, r, s.decideAny(ctx, who, action, state, r))
}

// decideAny is decide for a collection of which the caller may have any item.
func (s *Service) decideAny(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource) ruling {
	decision := s.decide(ctx, who, action, state, r)
	if !decision.Allowed && !decision.Foreign && decision.Err == nil {
		rules := state.rules.Load()
		request, granted := s.ask(who, action, state, r, rules)
		decision.Allowed, decision.grant = rules.set.Anywhere(&request), granted
	}
	return decision
}

// ruling is a decision with the break-glass access that it was made under, if any.
type ruling struct {
	access.Decision
	grant *grant
}

// denied is a ruling that the policies need not be asked for.
func denied(reason string) ruling {
	return ruling{Decision: access.Decision{Reasons: []string{reason}}}
}

// answer puts on record what has to be, and answers a decision as an error.
func (s *Service) answer(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource, decision ruling) error {
	r.Tenant = state.tenant.ID
	switch {
	case decision.Err != nil && !unknowable(decision.Err):
		return unavailable(decision.Err, "what the decision depends on could not be read")
	case decision.Allowed:
		return s.recordGrantUse(ctx, who, action, state, r, decision.grant)
	}
	chain := state.tenant.ID
	if decision.Foreign {
		chain = config.TenantID{}
	}
	if err := s.recordDenial(ctx, who, action, chain, r, decision.Decision); err != nil {
		return err
	}
	if decision.Foreign {
		return noTenant(state.tenant.Name)
	}
	return forbidden(action)
}

// decide asks the policies, and puts nothing on record: for what is left out
// where the caller may not know of it. What was decided before costs no memory.
func (s *Service) decide(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource) ruling {
	rules := state.rules.Load()
	request, granted := s.ask(who, action, state, r, rules)
	if d, ok := s.decisions.Find(rules.set, &request); ok {
		return ruling{d, granted}
	}
	asked := s.labelled(ctx, state, r, rules, request)
	return ruling{s.decisions.Renew(rules.set, &asked, func(d access.Decision) { s.samples.add(&asked, d) }), granted}
}

// may says whether the policies let a caller take an action.
func (s *Service) may(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource) bool {
	return s.decide(ctx, who, action, state, r).Allowed
}

// question is what the policies are asked.
func (s *Service) question(ctx context.Context, who Caller, action access.Action, state *tenantState, r access.Resource, rules *rules) access.Request {
	request, _ := s.ask(who, action, state, r, rules)
	return s.labelled(ctx, state, r, rules, request)
}

// labelled is a question by which labels can be looked at, if any policy does.
func (s *Service) labelled(ctx context.Context, state *tenantState, r access.Resource, rules *rules, request access.Request) access.Request {
	if rules.labelled {
		request.Labels = func() (map[string]string, error) { return s.labelsOf(ctx, state, r) }
	}
	return request
}

// noEnvironment stands for all names that no environment can have.
const noEnvironment = "?"

// ask is a question without the labels, and the break-glass access that the caller
// has in it. Names that nothing can have are all asked
// about as one, or whoever makes them up would fill memory with answers.
func (s *Service) ask(who Caller, action access.Action, state *tenantState, r access.Resource, rules *rules) (request access.Request, granted *grant) {
	if r.Environment != "" && config.CheckName(r.Environment) != nil {
		r.Environment = noEnvironment
	}
	r.Tenant, r.TenantName = state.tenant.ID, state.tenant.Name
	request = access.Request{Principal: who.Principal, Action: action, Resource: r, Time: s.clock(), Source: who.Source}
	if who.Principal.ServerAdmin && len(rules.grants) > 0 {
		request.Principal, granted = rules.granted(who.Principal, state.tenant.ID, request.Time)
	}
	return request, granted
}

// guardRead is the first call of every verb that reads one document. What it
// permits is counted, by the environments that there are.
func (s *Service) guardRead(ctx context.Context, who Caller, tenant string, r access.Resource) (*tenantState, error) {
	state, err := s.guard(ctx, who, access.ConfigRead, tenant, r)
	if err == nil {
		s.countRead(who, state, r.Environment)
	}
	return state, err
}

// guardReadAny is the first call of every verb that reads a collection of them.
func (s *Service) guardReadAny(ctx context.Context, who Caller, tenant string, r access.Resource) (*tenantState, error) {
	state, err := s.guardAny(ctx, who, access.ConfigRead, tenant, r)
	if err == nil {
		s.countRead(who, state, r.Environment)
	}
	return state, err
}

func (s *Service) countRead(who Caller, state *tenantState, environment string) {
	if _, err := state.tree.Load().Named(environment); err != nil {
		environment = ""
	}
	s.reads.count(who.Principal, state.tenant.ID, environment)
}

// guardAbsent answers for a tenant that was not found.
func (s *Service) guardAbsent(ctx context.Context, who Caller, action access.Action, tenant string, cause error) error {
	if config.KindOf(cause) != config.KindNotFound {
		return cause
	}
	if !who.Principal.ServerAdmin { // who may list tenants, so there is nothing to hide
		asked := access.Resource{Name: "tenants/" + tenant}
		d := access.Decision{Reasons: []string{"there is no such tenant"}}
		if err := s.recordDenial(ctx, who, action, config.TenantID{}, asked, d); err != nil {
			return err
		}
	}
	return noTenant(tenant)
}

// guardServer is the first call of every verb on the server itself.
func (s *Service) guardServer(ctx context.Context, who Caller, action access.Action, r access.Resource) error {
	request := access.Request{Principal: who.Principal, Action: action, Resource: r, Time: s.clock(), Source: who.Source}
	decision := s.decisions.Decide(s.builtin, &request, nil)
	if decision.Allowed {
		return nil
	}
	if err := s.recordDenial(ctx, who, action, config.TenantID{}, r, decision); err != nil {
		return err
	}
	return forbidden(action)
}

// refused puts a refusal on record that comes after the guard: of what somebody
// may do in general, and not like this. Other errors are passed on.
func (s *Service) refused(ctx context.Context, who Caller, action access.Action, tenant config.TenantID, r access.Resource, err error) error {
	if config.KindOf(err) != config.KindForbidden {
		return err
	}
	r.Tenant = tenant
	if failed := s.recordDenial(ctx, who, action, tenant, r, access.Decision{Reasons: []string{reasonOf(err)}}); failed != nil {
		return failed
	}
	return err
}

// maxDenials is how many denials of a principal are recorded within a minute.
// Whoever collects more is told to wait, and only the first of those is recorded.
const maxDenials = 600

// Bounds of what is recorded of what callers choose themselves.
const (
	maxRecordedName   = 128
	maxRecordedReason = 1024
)

func (s *Service) recordDenial(ctx context.Context, who Caller, action access.Action, chain config.TenantID, r access.Resource, d access.Decision) error {
	record := s.record(who, "authorization.denied", action, resourceName(r))
	record.Outcome = audit.Denied
	record.Reason = beginning(strings.Join(d.Reasons, "; "), maxRecordedReason)
	if chain != (config.TenantID{}) {
		record.Tenant = chain.String()
	}
	count, wait := s.denials.Add(who.Principal.Actor())
	if count == maxDenials+1 {
		record.Reason = "more denials within a minute than are recorded; until it ends they are answered rate_limited"
	}
	if count <= maxDenials+1 {
		if err := s.store.AppendAudit(ctx, chain, record); err != nil {
			return unavailable(err, "the denial could not be put on record")
		}
	}
	if count > maxDenials {
		return config.Errorf(config.KindRateLimited, "your credentials were denied too often within this minute").
			Hint("see what they allow before trying again").Over(maxDenials, count).After(wait)
	}
	return nil
}

// beginning is the text, or as much of it as fits into so many bytes.
func beginning(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	return strings.ToValidUTF8(text[:bytes], "")
}

// record begins an audit record of a successful action.
func (s *Service) record(who Caller, event string, action access.Action, resource string) audit.Record {
	record := audit.Record{
		Time: s.clock(), Event: event, Actor: who.Principal.Actor(), Action: string(action),
		Resource: resource, Outcome: audit.Success,
		RequestID: who.RequestID, TraceID: who.TraceID, Session: who.Session, UserAgent: who.UserAgent,
	}
	if who.Source.IsValid() {
		record.Source = who.Source.String()
	}
	return record
}

// resourceName is how a resource is known in the records. A name that is longer
// than any can be is cut.
func resourceName(r access.Resource) string {
	var b strings.Builder
	if r.Tenant != (config.TenantID{}) {
		b.WriteString("tenants/" + r.Tenant.String())
	} else {
		b.WriteString("server")
	}
	if r.Environment != "" {
		b.WriteString("/environments/" + beginning(r.Environment, maxRecordedName))
	}
	switch {
	case r.Secret:
		b.WriteString("/secrets")
	case !r.Path.IsZero():
		b.WriteString("/configs")
	}
	if !r.Path.IsZero() {
		b.WriteString("/" + r.Path.String())
	}
	if r.Name != "" {
		b.WriteString("/" + beginning(r.Name, maxRecordedName))
	}
	return b.String()
}

func noTenant(name string) error {
	return config.Errorf(config.KindNotFound, "there is no tenant %q", name).
		Hint("check its name, and that your credentials are of that tenant")
}

func forbidden(action access.Action) error {
	whose := "the tenant"
	if info, _ := access.InfoOf(action); slices.Equal(info.Groups, []access.Group{access.Serve}) {
		whose = "the server"
	}
	return config.Errorf(config.KindForbidden, "your credentials do not allow %s here", action).Hint("ask an administrator of %s", whose)
}
