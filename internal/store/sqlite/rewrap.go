package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// keyVersionCounts count data keys by the version of the tenant's key.
var keyVersionCounts = []string{
	`SELECT key_version, count(*) FROM data_keys WHERE tenant = ? GROUP BY key_version`,
	`SELECT key_version, count(*) FROM secret_values WHERE tenant = ? GROUP BY key_version`,
}

// KeyVersions implements store.DataKeys.
func (s *Store) KeyVersions(ctx context.Context, tenant config.TenantID) (map[uint32]int64, error) {
	counts := map[uint32]int64{}
	err := s.snapshot(ctx, func(c *conn) error {
		for _, text := range keyVersionCounts {
			err := c.query(text, func(r row) error { counts[uint32(r.int(0))] += r.int(1); return nil }, tenant[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}

const (
	selectDataKeysBelow = `
SELECT epoch, wrapped, key_version FROM data_keys
WHERE tenant = ? AND key_version < ? ORDER BY epoch LIMIT ?`

	selectSecretKeysBelow = `
SELECT path, environment, version, wrapped, key_version FROM secret_values
WHERE tenant = ? AND key_version < ? ORDER BY key_version LIMIT ?`
)

// KeysBelow implements store.DataKeys.
func (s *Store) KeysBelow(ctx context.Context, tenant config.TenantID, version uint32, limit int) ([]store.WrappedKey, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var keys []store.WrappedKey
	err := s.snapshot(ctx, func(c *conn) error {
		err := c.query(selectDataKeysBelow, func(r row) error {
			keys = append(keys, store.WrappedKey{Epoch: uint32(r.int(0)), Wrapped: r.bytes(1), KeyVersion: uint32(r.int(2))})
			return nil
		}, tenant[:], int64(version), int64(limit))
		if err != nil || len(keys) == limit {
			return err
		}
		return c.query(selectSecretKeysBelow, func(r row) error {
			path, err := r.path(0)
			keys = append(keys, store.WrappedKey{
				Path: path, Environment: config.EnvironmentID(r.int(1)), Version: config.Version(r.int(2)),
				Wrapped: r.bytes(3), KeyVersion: uint32(r.int(4)),
			})
			return err
		}, tenant[:], int64(version), int64(limit-len(keys)))
	})
	return keys, err
}

// Rewrap implements store.DataKeys.
func (s *Store) Rewrap(ctx context.Context, tenant config.TenantID, keys []store.Rewrapped) error {
	return s.writer.do(ctx, &rewrap{tenant: tenant, keys: keys})
}

// rewrap has no tenant to check: a key that is not there is passed over.
type rewrap struct {
	tenant config.TenantID
	keys   []store.Rewrapped
}

const (
	updateDataKey = `
UPDATE data_keys SET wrapped = ?, key_version = ? WHERE tenant = ? AND epoch = ? AND wrapped = ?`

	updateSecretKey = `
UPDATE secret_values SET wrapped = ?, key_version = ?
WHERE tenant = ? AND path = ? AND environment = ? AND version = ? AND wrapped = ?`
)

func (*rewrap) check(*tx) error { return nil }

func (w *rewrap) store(t *tx) error {
	for i := range w.keys {
		if err := w.storeKey(t, &w.keys[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewrap) storeKey(t *tx, k *store.Rewrapped) error {
	if k.Epoch != 0 {
		return t.exec(updateDataKey, k.Wrapped, int64(k.KeyVersion), w.tenant[:], int64(k.Epoch), k.Before)
	}
	return t.exec(updateSecretKey, k.Wrapped, int64(k.KeyVersion), w.tenant[:], k.Path.String(), int64(k.Environment),
		int64(k.Version), k.Before)
}

func (*rewrap) committed() {}

func (w *rewrap) size() int {
	n := 0
	for i := range w.keys {
		n += len(w.keys[i].Wrapped)
	}
	return n
}
