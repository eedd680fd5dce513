package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	secretColumns = `h.path, h.environment, h.version, h.revision, h.time, h.author, h.deleted, h.sealed`

	selectSecrets = `
SELECT ` + secretColumns + ` FROM secrets h WHERE h.tenant = ? AND h.path = ? ORDER BY h.environment`
)

// SecretsAt implements store.Secrets.
func (s *Store) SecretsAt(ctx context.Context, tenant config.TenantID, paths []config.Path) ([]store.Secret, error) {
	var secrets []store.Secret
	paths = slices.Compact(slices.SortedFunc(slices.Values(paths), config.Path.Compare))
	err := s.snapshot(ctx, func(c *conn) error {
		for _, path := range paths {
			err := c.query(selectSecrets, func(r row) error {
				secret, err := secretOf(r)
				secrets = append(secrets, secret)
				return err
			}, tenant[:], path.String())
			if err != nil {
				return err
			}
		}
		return nil
	})
	return secrets, err
}

// secretOf reads a row of secretColumns.
func secretOf(r row) (store.Secret, error) {
	path, err := r.path(0)
	return store.Secret{
		Path: path, Environment: config.EnvironmentID(r.int(1)), Version: config.Version(r.int(2)),
		Revision: config.Revision(r.int(3)), Time: r.time(4), Author: r.text(5), Deleted: r.bool(6), Sealed: r.bytes(7),
	}, err
}

// ScanSecrets implements store.Secrets.
func (s *Store) ScanSecrets(ctx context.Context, tenant config.TenantID, scan store.Scan) ([]store.Secret, store.Cursor, error) {
	scan.At = 0
	kind := "secrets"
	if scan.Deleted {
		kind = "secrets, deleted ones too"
	}
	sc := scanner[store.Secret]{
		scan:  scan,
		kind:  kind,
		below: scanSecretsBelow,
		exact: scanSecret,
		item:  secretOf,
		live:  func(secret store.Secret) bool { return scan.Deleted || !secret.Deleted },
		path:  func(secret store.Secret) config.Path { return secret.Path },
	}
	return sc.read(ctx, s, tenant)
}

const (
	scanSecrets = `
SELECT ` + secretColumns + ` FROM secrets h
WHERE h.tenant = ? AND h.environment IN (SELECT value FROM json_each(?)) `

	scanSecretsBelow = scanSecrets + `AND h.path > ? AND h.path < ? ORDER BY h.path, h.environment`
	scanSecret       = scanSecrets + `AND h.path = ? ORDER BY h.environment`
)

const selectSecretValue = `
SELECT sealed, wrapped, key_version FROM secret_values
WHERE tenant = ? AND path = ? AND environment = ? AND version = ?`

// SecretValue implements store.Secrets.
func (s *Store) SecretValue(
	ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version,
) (store.SecretValue, error) {
	value, found := store.SecretValue{Version: version}, false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectSecretValue, func(r row) error {
			value.Sealed, value.Wrapped, value.KeyVersion = r.bytes(0), r.bytes(1), uint32(r.int(2))
			found = true
			return nil
		}, tenant[:], path.String(), int64(environment), int64(version))
	})
	if err == nil && !found {
		err = config.Errorf(config.KindNotFound, "the secret %s has no value of version %d here", path, version).
			Hint("`llm-config secret history %s` lists its versions", path)
	}
	return value, err
}

const selectSecretReferrers = `
SELECT from_path, environment FROM secret_edges WHERE tenant = ? AND to_path = ?`

// SecretReferrers implements store.Secrets.
func (s *Store) SecretReferrers(ctx context.Context, tenant config.TenantID, to []config.Path) ([]store.Edge, error) {
	return s.referrers(ctx, selectSecretReferrers, tenant, to)
}

const selectDue = `
SELECT tenant, environment, path, due FROM secrets WHERE due != 0 AND due <= ?
ORDER BY due, tenant, path, environment LIMIT ?`

// DueSecrets implements store.Secrets.
func (s *Store) DueSecrets(ctx context.Context, until time.Time, limit int) ([]store.DueSecret, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var due []store.DueSecret
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectDue, func(r row) error {
			path, err := r.path(2)
			d := store.DueSecret{Environment: config.EnvironmentID(r.int(1)), Path: path, Due: r.time(3)}
			copy(d.Tenant[:], r.bytes(0))
			due = append(due, d)
			return err
		}, toNanos(until), int64(limit))
	})
	return due, err
}
