package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// system is the caller of what the server does for itself.
func system() Caller {
	return Caller{Principal: access.Principal{ID: "server", Name: "server", Method: "system", ServerAdmin: true}}
}

// DevelopmentTenant is the tenant of a development server.
const DevelopmentTenant = "default"

// DevelopmentToken makes sure that there is the tenant of a development server,
// and answers a token that is server admin and admin of that tenant: the
// existing one while it stands, else a new one.
func (s *Service) DevelopmentToken(ctx context.Context, existing string) (string, error) {
	request := TokenRequest{Name: "development", TenantAdmin: true, ServerAdmin: true}
	if err := request.check(); err != nil {
		return "", err
	}
	tenant, err := s.store.TenantNamed(ctx, DevelopmentTenant)
	if config.KindOf(err) == config.KindNotFound {
		founded, err := s.found(ctx, system(), DevelopmentTenant, request)
		return founded.Token.Reveal(), err
	}
	if err != nil {
		return "", err
	}
	if p, err := s.tokens.Authenticate(ctx, existing, access.Connection{}); err == nil && p.Tenant == tenant.ID && p.HasRole(access.RoleAdmin) && p.ServerAdmin {
		return existing, nil
	}
	state, err := s.tenants.named(ctx, DevelopmentTenant)
	if err != nil {
		return "", err
	}
	token, err := s.createToken(ctx, system(), state, request)
	return token.Reveal(), err
}

// FirstToken issues a token of a server administrator when none stands, neither
// at the first start nor after the last one expired or was revoked, so that
// somebody can begin. It hands the token to keep before the token stands, so
// that none ever stands that nobody has.
func (s *Service) FirstToken(ctx context.Context, keep func(token string) error) error {
	now := s.clock()
	for page := (store.Page{Limit: MaxPage}); ; {
		tokens, next, err := s.store.Tokens(ctx, config.TenantID{}, page)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if t.Revoked.IsZero() && now.Before(t.Expires) {
				return nil
			}
		}
		if next == "" {
			break
		}
		page.Cursor = next
	}
	request := TokenRequest{Name: "first", ServerAdmin: true}
	if err := request.check(); err != nil {
		return err
	}
	token, err := s.issue(ctx, system(), config.TenantID{}, request)
	if err != nil {
		return err
	}
	if err := keep(token.Reveal()); err != nil {
		return err
	}
	_, err = s.createServerToken(ctx, system(), token)
	return err
}
