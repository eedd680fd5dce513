package service

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Identities knows who has credentials that others vouch for.
type Identities interface {
	JWT(ctx context.Context, bearer string) (identity.Claimed, error)
	Certificate(leaf *x509.Certificate) (identity.Claimed, error)
	Still(claimed identity.Claimed) error
}

// Credentials are what a request comes with.
type Credentials struct {
	Bearer string
	Leaf   *x509.Certificate // of the client, verified; nil for none
}

// Authenticate finds out who came with credentials. A bearer token counts before
// a certificate, which then only proves whose connection it is. The first
// failure of a source and minute is on record before it is answered; the others
// are counted.
func (s *Service) Authenticate(ctx context.Context, c Credentials, who Caller) (Caller, error) {
	known, err := s.authenticated(ctx, c, who)
	if err == nil || config.KindOf(err) == config.KindUnavailable {
		return known, err
	}
	if !s.failures.Add(who.Source) {
		return who, err
	}
	record := s.record(who, "authentication.failed", "", "server")
	record.Outcome, record.Reason = audit.Denied, string(config.KindOf(err))
	if auditErr := s.store.AppendAudit(ctx, config.TenantID{}, record); auditErr != nil {
		return who, unavailable(auditErr, "the failed authentication could not be put on record")
	}
	return who, err
}

func (s *Service) authenticated(ctx context.Context, c Credentials, who Caller) (Caller, error) {
	var certificate *access.Certificate
	if c.Leaf != nil {
		certificate = identity.CertificateOf(c.Leaf)
	}
	switch {
	case c.Bearer == "" && c.Leaf != nil && s.identities != nil:
		claimed, err := s.identities.Certificate(c.Leaf)
		if err != nil {
			return who, err
		}
		return s.claimed(ctx, who, claimed, certificate)
	case s.identities != nil && identity.LooksLikeJWT(c.Bearer):
		claimed, err := s.identities.JWT(ctx, c.Bearer)
		if err != nil {
			return who, err
		}
		return s.claimed(ctx, who, claimed, certificate)
	}
	var err error
	who.Principal, err = s.tokens.Authenticate(ctx, c.Bearer, access.Connection{Source: who.Source, Certificate: certificate})
	return who, err
}

// claimed is the caller that somebody vouches for. A tenant that is not there
// lets nobody in, and does not say so.
func (s *Service) claimed(ctx context.Context, who Caller, c identity.Claimed, certificate *access.Certificate) (Caller, error) {
	p := access.Principal{
		ID: c.ID, Name: c.Name, Method: c.Method, Issuer: c.Issuer, Roles: c.Roles, ServerAdmin: c.ServerAdmin,
		Expires: c.Expires, Claims: c.Claims, Certificate: certificate,
	}
	if c.Tenant != "" {
		state, err := s.tenants.named(ctx, c.Tenant)
		if config.KindOf(err) == config.KindNotFound {
			e := access.Unauthenticated()
			e.Cause = errors.New("the tenant of the binding does not exist")
			return who, e
		}
		if err != nil {
			return who, err
		}
		p.Tenant = state.tenant.ID
	}
	who.Principal, who.Claimed, who.Session = p.Sealed(), &c, c.Session
	return who, nil
}

// recheck says whether a principal that was let in before still would be.
func (s *Service) recheck(ctx context.Context, who Caller) (access.Principal, error) {
	p := who.Principal
	if p.Method == access.MethodToken {
		return s.tokens.Recheck(ctx, p, access.Connection{Source: who.Source, Certificate: p.Certificate})
	}
	if s.identities == nil || who.Claimed == nil {
		return access.Principal{}, access.Unauthenticated()
	}
	if err := s.identities.Still(*who.Claimed); err != nil {
		return access.Principal{}, err
	}
	if p.Tenant == (config.TenantID{}) {
		return p, nil
	}
	_, err := s.store.Tenant(ctx, p.Tenant)
	if config.KindOf(err) == config.KindNotFound { // it was deleted
		return access.Principal{}, access.Unauthenticated()
	}
	return p, err
}

// Identity is who the service takes a caller for.
type Identity struct {
	access.Principal
	Grants access.Grants // of a token
	Tenant string        // name of the principal's tenant
}

// Identity answers who the caller is.
func (s *Service) Identity(ctx context.Context, who Caller) (Identity, error) {
	answer := Identity{Principal: who.Principal}
	if who.Principal.Method == access.MethodToken {
		row, err := s.store.Token(ctx, who.Principal.ID)
		if err != nil {
			return answer, err
		}
		if answer.Grants, err = access.ParseGrants(row.Grants); err != nil {
			return answer, unavailable(err, "the token cannot be read")
		}
		answer.Grants.Ancestors = nil
	}
	if who.Principal.Tenant == (config.TenantID{}) {
		return answer, nil
	}
	tenant, err := s.store.Tenant(ctx, who.Principal.Tenant)
	answer.Tenant = tenant.Name
	return answer, err
}
