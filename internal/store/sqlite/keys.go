package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Keys is the key store, in a file of its own so that a copy of the data never
// holds a key.
type Keys struct{ db *sql.DB }

var _ store.Keys = (*Keys)(nil)

// OpenKeys opens the key store in a directory, which it makes when there is none.
func OpenKeys(ctx context.Context, dir string) (*Keys, error) {
	dir, err := makeDirectory(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, keysFile)
	if err := prepareFile(ctx, path, "keys"); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", dsn(path, "synchronous(FULL)", "secure_delete(ON)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &Keys{db}, nil
}

// Close implements store.Keys.
func (k *Keys) Close() error { return k.db.Close() }

const (
	tenantKeyColumns = `tenant, wrapped, master, generation, newest, created, rotated`

	selectTenantKey       = `SELECT ` + tenantKeyColumns + ` FROM tenant_keys WHERE tenant = ?`
	selectTenantKeys      = `SELECT ` + tenantKeyColumns + ` FROM tenant_keys ORDER BY tenant LIMIT ?`
	selectTenantKeysAfter = `SELECT ` + tenantKeyColumns + ` FROM tenant_keys WHERE tenant > ? ORDER BY tenant LIMIT ?`
)

// TenantKey implements store.Keys.
func (k *Keys) TenantKey(ctx context.Context, tenant config.TenantID) (store.TenantKey, error) {
	keys, err := k.tenantKeys(ctx, selectTenantKey, tenant[:])
	switch {
	case err != nil:
		return store.TenantKey{}, err
	case len(keys) == 0:
		return store.TenantKey{}, config.Errorf(config.KindNotFound, "there is no key of tenant %s", tenant)
	case keys[0].Wrapped == nil:
		return store.TenantKey{}, destroyedKey(tenant)
	}
	return keys[0], nil
}

// TenantKeys implements store.Keys.
func (k *Keys) TenantKeys(ctx context.Context, after *config.TenantID, limit int) ([]store.TenantKey, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	if after == nil {
		return k.tenantKeys(ctx, selectTenantKeys, limit)
	}
	return k.tenantKeys(ctx, selectTenantKeysAfter, after[:], limit)
}

// tenantKeys reads keys; a tombstone has nothing but its tenant.
func (k *Keys) tenantKeys(ctx context.Context, text string, arguments ...any) ([]store.TenantKey, error) {
	rows, err := k.db.QueryContext(ctx, text, arguments...)
	if err != nil {
		return nil, engineError(err)
	}
	defer rows.Close()
	var keys []store.TenantKey
	for rows.Next() {
		var key store.TenantKey
		var tenant []byte
		var created, rotated int64
		if err := rows.Scan(&tenant, &key.Wrapped, &key.Master, &key.Generation, &key.Newest, &created, &rotated); err != nil {
			return nil, engineError(err)
		}
		key.Created, key.Rotated = fromNanos(created), fromNanos(rotated)
		if key.Wrapped == nil {
			key = store.TenantKey{}
		}
		copy(key.Tenant[:], tenant)
		keys = append(keys, key)
	}
	return keys, engineError(rows.Err())
}

// AddTenantKey implements store.Keys.
func (k *Keys) AddTenantKey(ctx context.Context, key store.TenantKey) error {
	added, err := k.changes(ctx, `
INSERT INTO tenant_keys (tenant, wrapped, master, generation, newest, created, rotated)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		key.Tenant[:], key.Wrapped, key.Master, key.Generation, key.Newest, toNanos(key.Created), toNanos(key.Rotated))
	if err != nil || added {
		return err
	}
	if _, err := k.TenantKey(ctx, key.Tenant); err != nil {
		return err
	}
	return config.Errorf(config.KindAlreadyExists, "there is a key of tenant %s already", key.Tenant)
}

// ReplaceTenantKey implements store.Keys.
func (k *Keys) ReplaceTenantKey(ctx context.Context, key store.TenantKey) error {
	replaced, err := k.changes(ctx, `
UPDATE tenant_keys SET wrapped = ?, master = ?, generation = ?, newest = ?, created = ?, rotated = ?
WHERE tenant = ? AND generation = ? AND wrapped IS NOT NULL`,
		key.Wrapped, key.Master, key.Generation, key.Newest, toNanos(key.Created), toNanos(key.Rotated),
		key.Tenant[:], key.Generation-1)
	if err != nil {
		return err
	}
	if replaced {
		// What it was goes with the log: now, or when whoever reads it has ended.
		if err := k.emptyLog(ctx, "the key is replaced"); config.KindOf(err) != config.KindUnavailable {
			return err
		}
		return nil
	}
	if _, err := k.TenantKey(ctx, key.Tenant); err != nil {
		return err
	}
	return moved("the key of tenant " + key.Tenant.String())
}

// DestroyTenantKey implements store.Keys. With secure_delete on, the key is
// overwritten in the page.
func (k *Keys) DestroyTenantKey(ctx context.Context, tenant config.TenantID) error {
	_, err := k.db.ExecContext(ctx, `
INSERT INTO tenant_keys (tenant, wrapped, master, generation, newest, created, rotated) VALUES (?, NULL, 0, 0, 0, 0, 0)
ON CONFLICT DO UPDATE SET wrapped = NULL, master = 0, generation = 0, newest = 0, created = 0, rotated = 0`, tenant[:])
	if err != nil {
		return engineError(err)
	}
	return k.emptyLog(ctx, "the key is destroyed")
}

// emptyLog writes the log home, which still holds pages as they were, and cuts
// it to nothing.
func (k *Keys) emptyLog(ctx context.Context, done string) error {
	var busy, frames, moved int
	err := k.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		return unavailable(done+", but a copy of what it was remains in the write-ahead log", nil).
			Hint("repeat it when nothing else reads the key store")
	}
	return engineError(err)
}

// changes says whether a statement changed a row.
func (k *Keys) changes(ctx context.Context, text string, arguments ...any) (bool, error) {
	result, err := k.db.ExecContext(ctx, text, arguments...)
	if err != nil {
		return false, engineError(err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func destroyedKey(tenant config.TenantID) error {
	return config.Errorf(config.KindGone, "the key of tenant %s is destroyed", tenant).
		Hint("what it sealed cannot be read again; create the tenant anew")
}
