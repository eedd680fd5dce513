package sqlite

import (
	"context"
	"database/sql"
	"errors"
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

// MasterCheck implements store.Keys.
func (k *Keys) MasterCheck(ctx context.Context) ([]byte, error) {
	var check []byte
	err := k.db.QueryRowContext(ctx, `SELECT value FROM master`).Scan(&check)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, config.Errorf(config.KindNotFound, "no master key has been used here yet")
	}
	return check, engineError(err)
}

// SetMasterCheck implements store.Keys.
func (k *Keys) SetMasterCheck(ctx context.Context, check []byte) error {
	added, err := k.insert(ctx, `INSERT INTO master (only, value) VALUES (1, ?) ON CONFLICT DO NOTHING`, check)
	if err == nil && !added {
		err = config.Errorf(config.KindAlreadyExists, "a master key has been used here already")
	}
	return err
}

// TenantKey implements store.Keys.
func (k *Keys) TenantKey(ctx context.Context, tenant config.TenantID) ([]byte, error) {
	var wrapped []byte
	err := k.db.QueryRowContext(ctx, `SELECT wrapped FROM tenant_keys WHERE tenant = ?`, tenant[:]).Scan(&wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, config.Errorf(config.KindNotFound, "there is no key of tenant %s", tenant)
	case err == nil && wrapped == nil:
		return nil, destroyedKey(tenant)
	}
	return wrapped, engineError(err)
}

// AddTenantKey implements store.Keys.
func (k *Keys) AddTenantKey(ctx context.Context, tenant config.TenantID, wrapped []byte) error {
	added, err := k.insert(ctx, `INSERT INTO tenant_keys (tenant, wrapped) VALUES (?, ?) ON CONFLICT DO NOTHING`, tenant[:], wrapped)
	if err != nil || added {
		return err
	}
	if _, err := k.TenantKey(ctx, tenant); err != nil {
		return err
	}
	return config.Errorf(config.KindAlreadyExists, "there is a key of tenant %s already", tenant)
}

// DestroyTenantKey implements store.Keys. With secure_delete on, the key is
// overwritten in the page; the log that still holds the page as it was is
// written home and cut to nothing.
func (k *Keys) DestroyTenantKey(ctx context.Context, tenant config.TenantID) error {
	_, err := k.db.ExecContext(ctx, `
INSERT INTO tenant_keys (tenant, wrapped) VALUES (?, NULL)
ON CONFLICT DO UPDATE SET wrapped = NULL`, tenant[:])
	if err != nil {
		return engineError(err)
	}
	var busy, frames, moved int
	err = k.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = unavailable("the key is destroyed, but a copy remains in the write-ahead log", nil).
			Hint("destroy it again when nothing else reads the key store")
	}
	return engineError(err)
}

// insert says whether a row was added.
func (k *Keys) insert(ctx context.Context, text string, arguments ...any) (bool, error) {
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
