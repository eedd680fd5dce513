package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const selectDataKeys = `
SELECT epoch, wrapped, key_version, reserved FROM data_keys WHERE tenant = ? ORDER BY epoch`

// DataKeys implements store.DataKeys.
func (s *Store) DataKeys(ctx context.Context, tenant config.TenantID) ([]store.DataKey, error) {
	var keys []store.DataKey
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectDataKeys, func(r row) error {
			keys = append(keys, store.DataKey{
				Epoch: uint32(r.int(0)), Wrapped: r.bytes(1), KeyVersion: uint32(r.int(2)), Reserved: r.int(3),
			})
			return nil
		}, tenant[:])
	})
	return keys, err
}

// AddDataKey implements store.DataKeys.
func (s *Store) AddDataKey(ctx context.Context, tenant config.TenantID, key store.DataKey) error {
	return s.writer.do(ctx, &addDataKey{tenant: tenant, key: key})
}

// addDataKey has no tenant to check: a tenant's first key is there before it is,
// because what founds the tenant is sealed already.
type addDataKey struct {
	uncounted
	tenant config.TenantID
	key    store.DataKey
}

const (
	existsDeleted = `SELECT 1 FROM tenants WHERE id = ? AND deleted != 0`
	existsDataKey = `SELECT 1 FROM data_keys WHERE tenant = ? AND epoch = ?`
	insertDataKey = `INSERT INTO data_keys (tenant, epoch, wrapped, key_version, reserved) VALUES (?, ?, ?, ?, ?)`
)

func (a *addDataKey) check(t *tx) error {
	deleted, err := t.exists(existsDeleted, a.tenant[:])
	if err != nil {
		return err
	}
	if deleted {
		return noTenant()
	}
	found, err := t.exists(existsDataKey, a.tenant[:], int64(a.key.Epoch))
	if err != nil {
		return err
	}
	if found {
		return config.Errorf(config.KindConflict, "there is a data key of epoch %d already", a.key.Epoch)
	}
	return nil
}

func (a *addDataKey) store(t *tx) error {
	return t.exec(insertDataKey, a.tenant[:], int64(a.key.Epoch), a.key.Wrapped, int64(a.key.KeyVersion), a.key.Reserved)
}

// ReserveSeals implements store.DataKeys.
func (s *Store) ReserveSeals(ctx context.Context, tenant config.TenantID, epoch uint32, n int64) (int64, error) {
	r := &reserveSeals{tenant: tenant, epoch: epoch, n: n}
	err := s.writer.do(ctx, r)
	return r.before, err
}

type reserveSeals struct {
	uncounted
	tenant config.TenantID
	epoch  uint32
	n      int64
	before int64
}

const (
	selectReserved = `SELECT reserved FROM data_keys WHERE tenant = ? AND epoch = ?`
	updateReserved = `UPDATE data_keys SET reserved = reserved + ? WHERE tenant = ? AND epoch = ?`
)

func (a *reserveSeals) check(t *tx) error {
	found := false
	err := t.query(selectReserved, func(r row) error {
		a.before, found = r.int(0), true
		return nil
	}, a.tenant[:], int64(a.epoch))
	if err == nil && !found {
		err = config.Errorf(config.KindNotFound, "there is no data key of epoch %d", a.epoch)
	}
	return err
}

func (a *reserveSeals) store(t *tx) error {
	return t.exec(updateReserved, a.n, a.tenant[:], int64(a.epoch))
}
