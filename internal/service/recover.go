package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// RecoverTenant issues a token of a tenant's administrator without being asked
// by one. It is for whoever holds the master key and the data, on whose machine
// it runs: no server administrator can do it over the API, or he could read
// every tenant. It is on the tenant's record like any other. With drop it deletes
// the tenant's policies before: where these forbid everything, no token is of use.
func (s *Service) RecoverTenant(ctx context.Context, tenant string, drop bool) (IssuedToken, error) {
	if drop {
		if err := s.dropPolicies(ctx, tenant); err != nil {
			return IssuedToken{}, err
		}
	}
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return IssuedToken{}, err
	}
	request := TokenRequest{Name: "recovery", TenantAdmin: true}
	if err := request.check(); err != nil {
		return IssuedToken{}, err
	}
	return s.createToken(ctx, system(), state, request)
}

// dropPolicies deletes a tenant's policies; where the rules are not as they were
// written, all of them, because nobody knows which can be believed. Their versions
// stay, and can be written anew.
func (s *Service) dropPolicies(ctx context.Context, name string) error {
	tenant, err := s.store.TenantNamed(ctx, name)
	if err != nil {
		return err
	}
	rows, err := s.store.Rules(ctx, tenant.ID)
	if err != nil {
		return err
	}
	_, broken := s.loadRules(ctx, tenant, 0)
	heads, p := map[ruleKey]store.Rule{}, &proposal{}
	for _, row := range rows {
		heads[ruleKey{row.Kind, row.Name}] = row
	}
	for _, row := range rows {
		if row.Kind != store.RulePolicy && (broken == nil || row.Kind == store.RuleManifest) {
			continue
		}
		if err := s.proposeRule(ctx, tenant.ID, heads, p, ruleWrite{kind: row.Kind, name: row.Name, deleted: true}); err != nil {
			return err
		}
	}
	if len(p.write.Rules) == 0 {
		return nil
	}
	if err := s.proposeManifest(ctx, tenant.ID, heads, p); err != nil {
		return err
	}
	return s.commitDropped(ctx, tenant, p)
}

// commitDropped puts it on the tenant's log and record.
func (s *Service) commitDropped(ctx context.Context, tenant config.Tenant, p *proposal) (err error) {
	who, w := system(), &p.write
	w.Entry = store.Entry{Kind: store.EntryRule, Author: who.Principal.Author()}
	if w.Entry.Subject, err = s.subjectOf(store.EntryRule, "recovery"); err != nil {
		return err
	}
	if w.Entry.Sealed, err = s.sealEntry(ctx, tenant.ID, w.Entry.Subject, entryBody{Summary: "the policies were deleted by a recovery"}); err != nil {
		return err
	}
	w.Audit = s.record(who, "policy.recover", access.PolicyWrite, resourceName(access.Resource{Tenant: tenant.ID, Name: "policies"}))
	w.Audit.Tenant = tenant.ID.String()
	_, err = s.store.Commit(ctx, tenant.ID, *w)
	return err
}
