package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	tokenColumns = `id, tenant, name, hash, tenant_admin, server_admin, author, created, expires, revoked, mac, grants, last_used`

	selectToken  = `SELECT ` + tokenColumns + ` FROM tokens WHERE id = ?`
	selectTokens = `SELECT ` + tokenColumns + ` FROM tokens WHERE tenant = ? AND id > ? ORDER BY id LIMIT ?`
)

// Token implements store.Identities.
func (s *Store) Token(ctx context.Context, id string) (store.Token, error) {
	var token store.Token
	found := false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectToken, func(r row) error { token, found = tokenOf(r), true; return nil }, id)
	})
	if err == nil && !found {
		err = noToken(id)
	}
	return token, err
}

// Tokens implements store.Identities.
func (s *Store) Tokens(ctx context.Context, tenant config.TenantID, page store.Page) ([]store.Token, store.Cursor, error) {
	list := list[store.Token]{
		query:    store.Query{Tenant: tenant, Parts: []string{"tokens"}},
		page:     page,
		position: func(t *store.Token) string { return t.ID },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Token)) error {
		return c.query(selectTokens, func(r row) error { add(tokenOf(r)); return nil }, tenant[:], after, limit)
	})
}

// TouchTokens implements store.TokenUses.
func (s *Store) TouchTokens(ctx context.Context, tenant config.TenantID, uses []store.TokenUse) error {
	return s.writer.do(ctx, &touchTokens{tenant: tenant, uses: uses})
}

// touchTokens has no tenant to check: a token that is not there is passed over.
type touchTokens struct {
	uncounted
	tenant config.TenantID
	uses   []store.TokenUse
}

const updateLastUsed = `
UPDATE tokens SET last_used = ?1 WHERE id = ?2 AND tenant = ?3 AND last_used < ?1`

func (*touchTokens) check(*tx) error { return nil }

func (u *touchTokens) store(t *tx) error {
	for i := range u.uses {
		if err := t.exec(updateLastUsed, toNanos(u.uses[i].Time), u.uses[i].ID, u.tenant[:]); err != nil {
			return err
		}
	}
	return nil
}

func tokenOf(r row) store.Token {
	t := store.Token{
		ID: r.text(0), Name: r.text(2), Hash: r.hash(3), TenantAdmin: r.bool(4), ServerAdmin: r.bool(5),
		Author: r.text(6), Created: r.time(7), Expires: r.time(8), Revoked: r.time(9), MAC: r.hash(10),
		Grants: r.bytes(11), LastUsed: r.time(12),
	}
	copy(t.Tenant[:], r.bytes(1))
	return t
}

func noToken(id string) error {
	return config.Errorf(config.KindNotFound, "there is no token %s", id).Hint("`llm-config token ls` lists them")
}
