package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const selectSigningKeys = `
SELECT version, name, public, sealed, created FROM signing_keys ORDER BY version`

// SigningKeys implements store.Chains.
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	var keys []store.SigningKey
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectSigningKeys, func(r row) error {
			keys = append(keys, store.SigningKey{
				Version: uint32(r.int(0)), Name: r.text(1), Public: r.text(2), Sealed: r.bytes(3), Created: r.time(4),
			})
			return nil
		})
	})
	return keys, err
}

// AddSigningKey implements store.Chains.
func (s *Store) AddSigningKey(ctx context.Context, key store.SigningKey, record audit.Record, outcome *store.Idempotent) error {
	return s.writer.do(ctx, &addSigningKey{key: key, record: record, outcome: outcome})
}

type addSigningKey struct {
	uncounted
	key     store.SigningKey
	record  audit.Record
	outcome *store.Idempotent
	server  *tenantState
}

const (
	selectNewestSigningKey = `SELECT coalesce(max(version), 0) FROM signing_keys`

	insertSigningKey = `
INSERT INTO signing_keys (version, name, public, sealed, created) VALUES (?, ?, ?, ?, ?)`
)

func (a *addSigningKey) check(t *tx) (err error) {
	if a.server, err = t.chain(config.TenantID{}); err != nil {
		return err
	}
	if err := t.checkServerUnkept(a.outcome); err != nil {
		return err
	}
	newest, err := t.count(selectNewestSigningKey)
	if err == nil && int64(a.key.Version) != newest+1 {
		err = moved("the key that signs checkpoints")
	}
	return err
}

func (a *addSigningKey) store(t *tx) error {
	k := &a.key
	if err := t.exec(insertSigningKey, int64(k.Version), k.Name, k.Public, k.Sealed, toNanos(k.Created)); err != nil {
		return err
	}
	a.record.Time = t.now(a.server)
	if err := t.keepForServer(a.outcome, a.server.nanos); err != nil {
		return err
	}
	return t.append(a.server, a.record)
}
