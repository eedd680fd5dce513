package service

import (
	"context"
	"net/netip"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Authenticate finds out who came with a bearer token. The first failure of a
// source and minute is on record before it is answered; the others are counted.
func (s *Service) Authenticate(ctx context.Context, bearer string, who Caller, source netip.Addr) (access.Principal, error) {
	p, err := s.tokens.Authenticate(ctx, bearer)
	if err == nil || config.KindOf(err) == config.KindUnavailable {
		return p, err
	}
	if !s.failures.Add(source) {
		return p, err
	}
	record := s.record(who, "authentication.failed", "", "server")
	record.Outcome, record.Reason = audit.Denied, string(config.KindOf(err))
	if auditErr := s.store.AppendAudit(ctx, config.TenantID{}, record); auditErr != nil {
		return p, unavailable(auditErr, "the failed authentication could not be put on record")
	}
	return p, err
}

// Identity is who the service takes a caller for.
type Identity struct {
	access.Principal
	Tenant string // name of the principal's tenant
}

// Identity answers who the caller is.
func (s *Service) Identity(ctx context.Context, who Caller) (Identity, error) {
	identity := Identity{Principal: who.Principal}
	if who.Principal.Tenant == (config.TenantID{}) {
		return identity, nil
	}
	tenant, err := s.store.Tenant(ctx, who.Principal.Tenant)
	identity.Tenant = tenant.Name
	return identity, err
}
