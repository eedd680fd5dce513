package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// RotateToken gives a token of a tenant a successor of the same name and rights.
// The old one stays valid for its grace, so that whoever uses it can change over.
func (s *Service) RotateToken(ctx context.Context, who Caller, tenant, id string, r TokenStep) (IssuedToken, error) {
	state, err := s.guard(ctx, who, access.TokenWrite, tenant, access.Resource{Name: "tokens/" + id})
	if err != nil {
		return IssuedToken{}, err
	}
	if err := r.check(); err != nil {
		return IssuedToken{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (IssuedToken, error) {
		old, successor, err := s.succeed(ctx, who, state.tenant.ID, id, r)
		if err != nil {
			return IssuedToken{}, err
		}
		// Whoever rotates a token gets what it is good for.
		if err := s.mayIssue(who, state, TokenRequest{TenantAdmin: successor.TenantAdmin, Grants: successor.Grants}); err != nil {
			return IssuedToken{}, s.refused(ctx, who, access.TokenWrite, state.tenant.ID, access.Resource{Name: "tokens/" + id}, err)
		}
		successor.Outcome, err = s.commit(ctx, state, id, func(ctx context.Context, n *snapshot) (*proposal, error) {
			record := s.record(who, "token.rotate", access.TokenWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "tokens/" + id}))
			record.Details = map[string]string{"successor": successor.ID}
			p, err := s.proposeEntry(who, n, store.EntryToken, id, "", rotatedText(old, successor), record)
			if err != nil {
				return nil, err
			}
			if err := s.replaceToken(ctx, &p.write, old, successor, r); err != nil {
				return nil, err
			}
			p.event.Access = true
			p.after = func(store.Receipt) { s.tokens.Forget(id) }
			answer := successor
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		return successor, err
	})
}

// RotateServerToken gives a token of the server a successor.
func (s *Service) RotateServerToken(ctx context.Context, who Caller, id string, r TokenStep) (IssuedToken, error) {
	if err := s.guardServer(ctx, who, access.ServerTokenWrite, access.Resource{Name: "tokens/" + id}); err != nil {
		return IssuedToken{}, err
	}
	if err := r.check(); err != nil {
		return IssuedToken{}, err
	}
	return once(ctx, s, who, config.TenantID{}, func() (IssuedToken, error) {
		old, successor, err := s.succeed(ctx, who, config.TenantID{}, id, r)
		if err != nil {
			return IssuedToken{}, err
		}
		if err := mayIssueServer(who, successor.Grants); err != nil {
			return IssuedToken{}, s.refused(ctx, who, access.ServerTokenWrite, config.TenantID{}, access.Resource{Name: "tokens/" + id}, err)
		}
		record := s.record(who, "token.rotate", access.ServerTokenWrite, resourceName(access.Resource{Name: "tokens/" + id}))
		record.Details = map[string]string{"successor": successor.ID}
		answer := successor
		answer.Status = Committed
		w, err := s.serverWrite(ctx, who, store.EntryToken, id, rotatedText(old, successor), record, answer)
		if err != nil {
			return IssuedToken{}, err
		}
		if err := s.replaceToken(ctx, &w, old, successor, r); err != nil {
			return IssuedToken{}, err
		}
		successor.Outcome, err = s.commitServer(ctx, w)
		s.tokens.Forget(id)
		return successor, err
	})
}

func (r TokenStep) check() error {
	switch {
	case r.Now && r.Grace != nil:
		return config.Errorf(config.KindBadRequest, "there is no grace when the old token is revoked now").At("/grace_seconds").Hint("leave out one of them")
	case r.Grace != nil && (*r.Grace < 0 || *r.Grace > MaxTokenTime):
		return config.Errorf(config.KindBadRequest, "the grace is 0 seconds to %d days", MaxTokenTime/(24*time.Hour)).At("/grace_seconds")
	}
	return nil
}

func rotatedText(old store.Token, successor IssuedToken) string {
	return "token " + old.ID + " (" + old.Name + ") was rotated; its successor is " + successor.ID
}

// succeed issues the successor of a token that still stands.
func (s *Service) succeed(ctx context.Context, who Caller, tenant config.TenantID, id string, r TokenStep) (store.Token, IssuedToken, error) {
	old, err := s.tokenOf(ctx, tenant, id)
	if err != nil {
		return old, IssuedToken{}, err
	}
	// The row is the store's word; rights are taken from it only if it is ours.
	proven, err := provenTokens{s.store, s.keyring}.Token(ctx, id)
	if err != nil {
		return old, IssuedToken{}, err
	}
	if !proven.Revoked.IsZero() || !s.clock().Before(proven.Expires) {
		return old, IssuedToken{}, config.Errorf(config.KindGone, "token %s is revoked or expired", id).Hint("create another token")
	}
	if r.TTL == 0 {
		r.TTL = proven.Expires.Sub(proven.Created) // as long as it was meant to be
	}
	grants, err := access.ParseGrants(proven.Grants)
	if err != nil {
		return old, IssuedToken{}, unavailable(err, "the token cannot be read")
	}
	if len(grants.Ancestors) == 0 {
		grants.Ancestors = access.Principal{Method: access.MethodToken, ID: id}.Roots()
	}
	request := TokenRequest{Name: proven.Name, TTL: r.TTL, TenantAdmin: proven.TenantAdmin, ServerAdmin: proven.ServerAdmin, Grants: grants}
	if err := request.check(); err != nil {
		return old, IssuedToken{}, err
	}
	successor, err := s.issue(ctx, who, tenant, request)
	return proven, successor, err
}

// replaceToken adds the successor, and ends the old token now or after its grace.
func (s *Service) replaceToken(ctx context.Context, w *store.Write, old store.Token, successor IssuedToken, r TokenStep) error {
	w.AddTokens = []store.Token{successor.row}
	if r.Now || r.Grace != nil && *r.Grace == 0 {
		w.RevokeTokens = []string{old.ID}
		return nil
	}
	grace := DefaultTokenGrace
	if r.Grace != nil {
		grace = *r.Grace
	}
	end := successor.Created.Add(grace)
	if !end.Before(old.Expires) {
		return nil // it ends before that by itself
	}
	old.Expires = end
	mac, err := tokenMAC(ctx, s.keyring, old)
	if err != nil {
		return err
	}
	w.ExpireTokens = []store.TokenExpiry{{ID: old.ID, Expires: end, MAC: mac}}
	return nil
}
