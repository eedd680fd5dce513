package service

import (
	"context"
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
	r.Tenant = state.tenant.ID
	decision := s.policy.Decide(who.Principal, action, r)
	if decision.Allowed {
		return state, nil
	}
	chain := state.tenant.ID
	if decision.Foreign {
		chain = config.TenantID{}
	}
	if err := s.recordDenial(ctx, who, action, chain, r, decision); err != nil {
		return nil, err
	}
	if decision.Foreign {
		return nil, noTenant(tenant)
	}
	return nil, forbidden(action)
}

// guardRead is the first call of every verb that reads documents. What it
// permits is counted, by the environments that there are.
func (s *Service) guardRead(ctx context.Context, who Caller, tenant string, r access.Resource) (*tenantState, error) {
	state, err := s.guard(ctx, who, access.ConfigRead, tenant, r)
	if err != nil {
		return nil, err
	}
	environment := r.Environment
	if _, err := state.tree.Load().Named(environment); err != nil {
		environment = ""
	}
	s.reads.count(who.Principal, state.tenant.ID, environment)
	return state, nil
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
	decision := s.policy.Decide(who.Principal, action, r)
	if decision.Allowed {
		return nil
	}
	if err := s.recordDenial(ctx, who, action, config.TenantID{}, r, decision); err != nil {
		return err
	}
	return forbidden(action)
}

func (s *Service) recordDenial(ctx context.Context, who Caller, action access.Action, chain config.TenantID, r access.Resource, d access.Decision) error {
	record := s.record(who, "authorization.denied", action, resourceName(r))
	record.Outcome = audit.Denied
	record.Reason = strings.Join(d.Reasons, "; ")
	if chain != (config.TenantID{}) {
		record.Tenant = chain.String()
	}
	if err := s.store.AppendAudit(ctx, chain, record); err != nil {
		return unavailable(err, "the denial could not be put on record")
	}
	return nil
}

// record begins an audit record of a successful action.
func (s *Service) record(who Caller, event string, action access.Action, resource string) audit.Record {
	return audit.Record{
		Time: s.clock(), Event: event, Actor: who.Principal.Actor(), Action: string(action),
		Resource: resource, Outcome: audit.Success,
		RequestID: who.RequestID, Source: who.Source, UserAgent: who.UserAgent,
	}
}

// resourceName is how a resource is known in the records.
func resourceName(r access.Resource) string {
	var b strings.Builder
	if r.Tenant != (config.TenantID{}) {
		b.WriteString("tenants/" + r.Tenant.String())
	} else {
		b.WriteString("server")
	}
	if r.Environment != "" {
		b.WriteString("/environments/" + r.Environment)
	}
	if r.Secret {
		b.WriteString("/secrets")
	}
	if !r.Path.IsZero() {
		b.WriteString("/" + r.Path.String())
	}
	if r.Name != "" {
		b.WriteString("/" + r.Name)
	}
	return b.String()
}

func noTenant(name string) error {
	return config.Errorf(config.KindNotFound, "there is no tenant %q", name).
		Hint("check its name, and that your token is one of that tenant")
}

func forbidden(action access.Action) error {
	return config.Errorf(config.KindForbidden, "your token does not allow %s here", action).
		Hint("ask an administrator of the tenant")
}
