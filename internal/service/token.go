package service

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// How long tokens are valid.
const (
	DefaultTokenTime = 30 * 24 * time.Hour
	MaxTokenTime     = 366 * 24 * time.Hour
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name        string
	TTL         time.Duration // 0 for DefaultTokenTime
	TenantAdmin bool
	ServerAdmin bool
	Grants      access.Grants // roles without admin, which TenantAdmin says
}

// IssuedToken is a new token at the only moment at which it is known. The
// token itself is left out of what is kept, so a replay does not have it.
type IssuedToken struct {
	Outcome
	TokenInfo
	issued access.IssuedToken
	row    store.Token
}

// Format hides the token from package fmt, which looks into fields that are not exported.
func (t IssuedToken) Format(f fmt.State, verb rune) { t.issued.Format(f, verb) }

// Reveal is the token itself, "" in a replay.
func (t IssuedToken) Reveal() string { return t.issued.Reveal() }

// TokenInfo is what may be known of a token.
type TokenInfo struct {
	ID          string
	Name        string
	TenantAdmin bool
	ServerAdmin bool
	Grants      access.Grants
	Author      string
	Created     time.Time
	Expires     time.Time
	Revoked     time.Time // zero while it stands
	LastUsed    time.Time // to about a minute; zero while it never was
}

// Roles are all roles that the token has in its tenant, sorted.
func (t TokenInfo) Roles() []string {
	roles := slices.Clone(t.Grants.Roles)
	if t.TenantAdmin {
		roles = append(roles, access.RoleAdmin)
	}
	slices.Sort(roles)
	return roles
}

func tokenInfo(t store.Token) TokenInfo {
	grants, _ := access.ParseGrants(t.Grants) // a row that does not parse is no token, and looks like one of nobody
	grants.Ancestors = nil
	return TokenInfo{
		ID: t.ID, Name: t.Name, TenantAdmin: t.TenantAdmin, ServerAdmin: t.ServerAdmin, Grants: grants,
		Author: t.Author, Created: t.Created, Expires: t.Expires, Revoked: t.Revoked, LastUsed: t.LastUsed,
	}
}

func (r *TokenRequest) check() error {
	if r.TTL == 0 {
		r.TTL = DefaultTokenTime
	}
	if r.TTL < time.Second || r.TTL > MaxTokenTime {
		return config.Errorf(config.KindBadRequest, "a token is valid for a second up to %d days", MaxTokenTime/(24*time.Hour)).At("ttl_seconds").
			Over(int64(MaxTokenTime/time.Second), int64(r.TTL/time.Second))
	}
	ok := len(r.Name) > 0 && len(r.Name) <= config.MaxNameBytes
	for _, c := range r.Name {
		ok = ok && c != unicode.ReplacementChar && unicode.IsPrint(c)
	}
	if !ok {
		return config.Errorf(config.KindBadRequest, "a token's name has 1 to %d printable characters", config.MaxNameBytes).At("name").
			Hint("say what the token is for")
	}
	return r.Grants.Check()
}

// issue draws a token that is not kept yet.
func (s *Service) issue(ctx context.Context, who Caller, tenant config.TenantID, r TokenRequest) (IssuedToken, error) {
	issued, err := access.NewToken(s.random)
	if err != nil {
		return IssuedToken{}, unavailable(err, "no random numbers can be had")
	}
	now := s.clock().UTC().Truncate(time.Microsecond)
	if r.Grants.Ancestors, err = ancestorsOf(who, r.Grants.Ancestors); err != nil {
		return IssuedToken{}, err
	}
	row := store.Token{
		ID: issued.ID, Tenant: tenant, Name: r.Name, Hash: issued.Hash,
		TenantAdmin: r.TenantAdmin, ServerAdmin: r.ServerAdmin, Grants: r.Grants.Encode(), Author: who.Principal.Author(),
		Created: now, Expires: now.Add(r.TTL),
	}
	if row.MAC, err = tokenMAC(ctx, s.keyring, row); err != nil {
		return IssuedToken{}, err
	}
	return IssuedToken{TokenInfo: tokenInfo(row), issued: issued, row: row}, nil
}

// maxAncestors bounds the actors that a token began with: two at most but where
// many rotate each other's.
const maxAncestors = 64

// ancestorsOf are the actors that a token which a caller issues began with: that of
// the one that it succeeds, if any, and the caller's.
func ancestorsOf(who Caller, before []string) ([]string, error) {
	all := slices.Clone(before)
	if who.Principal.Method != access.MethodSystem {
		all = append(all, who.Principal.Roots()...)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > maxAncestors {
		return nil, config.Errorf(config.KindTooLarge, "too many had a hand in this token").Hint("create another one").
			Over(maxAncestors, int64(len(all)))
	}
	return all, nil
}

// CreateToken issues a token of a tenant: an administrator's when no role is
// named. Nobody gives away what he does not have himself.
func (s *Service) CreateToken(ctx context.Context, who Caller, tenant string, r TokenRequest) (IssuedToken, error) {
	state, err := s.guard(ctx, who, access.TokenWrite, tenant, access.Resource{Name: "tokens/" + r.Name})
	if err != nil {
		return IssuedToken{}, err
	}
	asked := r.Grants.Roles
	r.ServerAdmin, r.TenantAdmin = false, len(r.Grants.Roles) == 0 || slices.Contains(r.Grants.Roles, access.RoleAdmin)
	r.Grants.Roles = slices.DeleteFunc(slices.Clone(r.Grants.Roles), func(role string) bool { return role == access.RoleAdmin })
	if err := r.check(); err != nil {
		return IssuedToken{}, err
	}
	if err := knownRoles(state.rules.Load().source, asked); err != nil {
		return IssuedToken{}, err
	}
	if err := s.mayIssue(who, state, r); err != nil {
		return IssuedToken{}, s.refused(ctx, who, access.TokenWrite, state.tenant.ID, access.Resource{Name: "tokens/" + r.Name}, err)
	}
	return once(ctx, s, who, state.tenant.ID, func() (IssuedToken, error) {
		return s.createToken(ctx, who, state, r)
	})
}

// knownRoles refuses roles that a tenant does not have. It points at them and
// does not say them: what was taken for a role may be anything.
func knownRoles(src policy.Source, roles []string) error {
	for i, role := range roles {
		if !slices.Contains(access.BuiltinRoles, role) && roleNamed(src, role).Name == "" {
			return config.Errorf(config.KindBadRequest, "there is no such role").At(fmt.Sprintf("/roles/%d", i)).Hint("`llm-config role ls` lists them")
		}
	}
	return nil
}

// mayIssue says whether a caller may give a token what it is to have.
func (s *Service) mayIssue(who Caller, state *tenantState, r TokenRequest) error {
	rules, roles := state.rules.Load(), slices.Clone(r.Grants.Roles)
	if r.TenantAdmin {
		roles = append(roles, access.RoleAdmin)
	}
	for _, name := range r.Grants.Environments {
		if _, err := state.tree.Load().Named(name); err != nil {
			return err
		}
	}
	if err := mayUnbind(who, r.Grants); err != nil {
		return err
	}
	return policy.MayGive(rules.source, s.principalIn(who, state), roles, r.Grants.Scope())
}

// mayUnbind refuses a token that could be used where the caller's cannot.
func mayUnbind(who Caller, g access.Grants) error {
	if g.Binding().Within(who.Principal.Bound) {
		return nil
	}
	return config.Errorf(config.KindForbidden, "your token is bound to addresses or a certificate, and what you give must be as well").
		At("/addresses").Hint("name addresses and the certificate within those of your own token")
}

// createToken issues a token of a tenant and commits it.
func (s *Service) createToken(ctx context.Context, who Caller, state *tenantState, r TokenRequest) (IssuedToken, error) {
	token, err := s.issue(ctx, who, state.tenant.ID, r)
	if err != nil {
		return IssuedToken{}, err
	}
	token.Outcome, err = s.commit(ctx, state, "", func(ctx context.Context, n *snapshot) (*proposal, error) {
		record := s.record(who, "token.create", access.TokenWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "tokens/" + token.ID}))
		p, err := s.proposeEntry(who, n, store.EntryToken, token.ID, "", "token "+token.ID+" ("+token.Name+") was issued", record)
		if err != nil {
			return nil, err
		}
		p.write.AddTokens = []store.Token{token.row}
		answer := token
		answer.Status = Committed
		return p, s.keep(ctx, who, n.tenant, &p.write, answer)
	})
	return token, err
}

// RevokeToken takes a token of a tenant back; its watches end within a second.
func (s *Service) RevokeToken(ctx context.Context, who Caller, tenant, id string) (Deleted, error) {
	state, err := s.guard(ctx, who, access.TokenWrite, tenant, access.Resource{Name: "tokens/" + id})
	if err != nil {
		return Deleted{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (Deleted, error) {
		result := Deleted{Name: id}
		outcome, err := s.commit(ctx, state, id, func(ctx context.Context, n *snapshot) (*proposal, error) {
			token, err := s.tokenOf(ctx, n.tenant, id)
			if err != nil || !token.Revoked.IsZero() {
				return nil, err
			}
			record := s.record(who, "token.revoke", access.TokenWrite, resourceName(access.Resource{Tenant: n.tenant, Name: "tokens/" + id}))
			p, err := s.proposeEntry(who, n, store.EntryToken, id, "", "token "+id+" ("+token.Name+") was revoked", record)
			if err != nil {
				return nil, err
			}
			p.write.RevokeTokens = []string{id}
			p.event.Access = true
			p.after = func(store.Receipt) { s.tokens.Forget(id) }
			return p, s.keep(ctx, who, n.tenant, &p.write, Deleted{Outcome{Status: Committed}, id})
		})
		result.Outcome = outcome
		return result, err
	})
}

// tokenOf finds a token of a tenant; one of another tenant is absent.
func (s *Service) tokenOf(ctx context.Context, tenant config.TenantID, id string) (store.Token, error) {
	token, err := s.store.Token(ctx, id)
	if err != nil && config.KindOf(err) != config.KindNotFound {
		return token, err
	}
	if err != nil || token.Tenant != tenant {
		return store.Token{}, noSuchToken(id)
	}
	return token, nil
}

// Tokens answers a page of a tenant's tokens.
func (s *Service) Tokens(ctx context.Context, who Caller, tenant string, page Page) ([]TokenInfo, Cursor, error) {
	state, err := s.guard(ctx, who, access.TokenRead, tenant, access.Resource{})
	if err != nil {
		return nil, "", err
	}
	return s.tokenPage(ctx, who, state.tenant.ID, page)
}

func (s *Service) tokenPage(ctx context.Context, who Caller, tenant config.TenantID, page Page) ([]TokenInfo, Cursor, error) {
	pages := s.pagesOf(who, tenant, "tokens")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	rows, next, err := s.store.Tokens(ctx, tenant, asked)
	if err != nil {
		return nil, "", err
	}
	infos := make([]TokenInfo, 0, len(rows))
	for _, row := range rows {
		infos = append(infos, tokenInfo(row))
	}
	cursor, err := pages.seal(ctx, next)
	return infos, cursor, err
}
