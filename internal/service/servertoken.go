package service

import (
	"context"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// CreateServerToken issues a token of a server administrator.
func (s *Service) CreateServerToken(ctx context.Context, who Caller, r TokenRequest) (IssuedToken, error) {
	if err := s.guardServer(ctx, who, access.ServerTokenWrite, access.Resource{Name: "tokens/" + r.Name}); err != nil {
		return IssuedToken{}, err
	}
	r.TenantAdmin, r.ServerAdmin = false, true
	if err := r.check(); err != nil {
		return IssuedToken{}, err
	}
	if err := mayIssueServer(who, r.Grants); err != nil {
		return IssuedToken{}, s.refused(ctx, who, access.ServerTokenWrite, config.TenantID{}, access.Resource{Name: "tokens/" + r.Name}, err)
	}
	return once(ctx, s, who, config.TenantID{}, func() (IssuedToken, error) {
		token, err := s.issue(ctx, who, config.TenantID{}, r)
		if err != nil {
			return IssuedToken{}, err
		}
		return s.createServerToken(ctx, who, token)
	})
}

// mayIssueServer says whether a caller may give a token of the server what it is
// to have: no less narrow than his own, and nothing that belongs to a tenant.
func mayIssueServer(who Caller, g access.Grants) error {
	if len(g.Roles)+len(g.Environments)+len(g.Paths) > 0 {
		return config.Errorf(config.KindBadRequest, "a token of the server has no roles, environments or paths").At("/roles").
			Hint("issue it in a tenant")
	}
	if err := mayUnbind(who, g); err != nil {
		return err
	}
	own := who.Principal.Scope
	if own == nil || len(own.Actions) == 0 {
		return nil
	}
	for _, action := range g.Actions {
		if !slices.Contains(own.Actions, action) {
			return config.Errorf(config.KindForbidden, "your token does not have %s, and cannot give it", action).At("/actions")
		}
	}
	if len(g.Actions) == 0 {
		return config.Errorf(config.KindForbidden, "your token is narrowed to actions, and cannot give all").At("/actions")
	}
	return nil
}

// createServerToken commits a token of the server.
func (s *Service) createServerToken(ctx context.Context, who Caller, token IssuedToken) (IssuedToken, error) {
	answer := token
	answer.Status = Committed
	w, err := s.serverWrite(ctx, who, store.EntryToken, token.ID, "token "+token.ID+" ("+token.Name+") was issued",
		s.record(who, "token.create", access.ServerTokenWrite, resourceName(access.Resource{Name: "tokens/" + token.ID})), answer)
	if err != nil {
		return IssuedToken{}, err
	}
	w.AddTokens = []store.Token{token.row}
	token.Outcome, err = s.commitServer(ctx, w)
	return token, err
}

// RevokeServerToken takes a server token back.
func (s *Service) RevokeServerToken(ctx context.Context, who Caller, id string) (Deleted, error) {
	if err := s.guardServer(ctx, who, access.ServerTokenWrite, access.Resource{Name: "tokens/" + id}); err != nil {
		return Deleted{}, err
	}
	return once(ctx, s, who, config.TenantID{}, func() (Deleted, error) {
		token, err := s.tokenOf(ctx, config.TenantID{}, id)
		if err != nil {
			return Deleted{}, err
		}
		result := Deleted{Name: id}
		if !token.Revoked.IsZero() {
			result.Status = Unchanged
			return result, nil
		}
		w, err := s.serverWrite(ctx, who, store.EntryToken, id, "token "+id+" ("+token.Name+") was revoked",
			s.record(who, "token.revoke", access.ServerTokenWrite, resourceName(access.Resource{Name: "tokens/" + id})), Deleted{Outcome{Status: Committed}, id})
		if err != nil {
			return Deleted{}, err
		}
		w.RevokeTokens = []string{id}
		result.Outcome, err = s.commitServer(ctx, w)
		s.tokens.Forget(id)
		return result, err
	})
}

// ServerTokens answers a page of the server's tokens.
func (s *Service) ServerTokens(ctx context.Context, who Caller, page Page) ([]TokenInfo, Cursor, error) {
	if err := s.guardServer(ctx, who, access.ServerTokenRead, access.Resource{}); err != nil {
		return nil, "", err
	}
	return s.tokenPage(ctx, who, config.TenantID{}, page)
}

// commitServer commits a mutation of the server itself, which depends on nothing.
func (s *Service) commitServer(ctx context.Context, w store.Write) (Outcome, error) {
	receipt, err := s.store.Commit(ctx, config.TenantID{}, w)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Status: Committed, Revision: receipt.Revision, Time: receipt.Time}, nil
}
