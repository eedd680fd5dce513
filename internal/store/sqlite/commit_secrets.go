package sqlite

import (
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// checkTwice refuses a write that cannot be meant: two records of one secret, or
// two values of one version.
func checkTwice(secrets []store.SecretWrite) error {
	type place struct {
		environment config.EnvironmentID
		path        config.Path
	}
	seen := make(map[place]bool, len(secrets))
	for i := range secrets {
		w := &secrets[i]
		at := place{w.Environment, w.Path}
		if seen[at] {
			return fmt.Errorf("one write holds two records of the secret of environment %d at %s", w.Environment, w.Path)
		}
		seen[at] = true
		versions := make(map[config.Version]bool, len(w.AddValues))
		for j := range w.AddValues {
			version := w.AddValues[j].Version
			if versions[version] {
				return fmt.Errorf("one write holds two values of version %d of the secret %s", version, w.Path)
			}
			versions[version] = true
		}
	}
	return nil
}

const (
	selectSecretVersion = `SELECT version FROM secrets WHERE tenant = ? AND path = ? AND environment = ?`

	existsSecretValue = `
SELECT 1 FROM secret_values WHERE tenant = ? AND path = ? AND environment = ? AND version = ?`
)

const (
	existsNewSecret     = `SELECT 1 FROM secrets WHERE tenant = ? AND path = ? AND revision > ? LIMIT 1`
	existsNewSecretEdge = `SELECT 1 FROM secret_edges WHERE tenant = ? AND to_path = ? AND revision > ? LIMIT 1`
)

// checkSecretsStand refuses when a secret, or what refers to it, moved that was
// expected to stand still.
func (c *commit) checkSecretsStand(t *tx) error {
	if err := c.checkStand(t, existsNewSecret, c.write.Expect.Secrets, "the secret "); err != nil {
		return err
	}
	return c.checkStand(t, existsNewSecretEdge, c.write.Expect.SecretEdges, "what refers to the secret ")
}

func (c *commit) checkSecrets(t *tx) error {
	for i := range c.write.Secrets {
		if err := c.checkSecret(t, &c.write.Secrets[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) checkSecret(t *tx, w *store.SecretWrite) error {
	var newest config.Version
	err := t.query(selectSecretVersion, func(r row) error {
		newest = config.Version(r.int(0))
		return nil
	}, c.tenant[:], w.Path.String(), int64(w.Environment))
	if err != nil {
		return err
	}
	if w.Version != newest+1 {
		return moved("the secret " + w.Path.String())
	}
	for i := range w.AddValues {
		found, err := t.exists(existsSecretValue, c.tenant[:], w.Path.String(), int64(w.Environment), int64(w.AddValues[i].Version))
		if err != nil {
			return err
		}
		if found {
			return moved("the secret " + w.Path.String())
		}
	}
	return nil
}

const (
	upsertSecret = `
INSERT INTO secrets (tenant, path, environment, version, revision, time, author, deleted, due, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, revision = excluded.revision, time = excluded.time,
    author = excluded.author, deleted = excluded.deleted, due = excluded.due, sealed = excluded.sealed`

	deleteSecretValue = `
DELETE FROM secret_values WHERE tenant = ? AND path = ? AND environment = ? AND version = ?`

	insertSecretValue = `
INSERT INTO secret_values (tenant, path, environment, version, sealed, wrapped, key_version)
VALUES (?, ?, ?, ?, ?, ?, ?)`
)

func (c *commit) storeSecrets(t *tx) error {
	for i := range c.write.Secrets {
		if err := c.storeSecret(t, &c.write.Secrets[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) storeSecret(t *tx, w *store.SecretWrite) error {
	tenant, path, environment := c.tenant[:], w.Path.String(), int64(w.Environment)
	err := t.exec(upsertSecret, tenant, path, environment, int64(w.Version), int64(c.receipt.Revision), c.state.nanos,
		c.write.Entry.Author, toInt(w.Deleted), toNanos(w.Due), w.Sealed)
	if err != nil {
		return err
	}
	for _, version := range w.DropValues {
		t.erase = true
		if err := t.exec(deleteSecretValue, tenant, path, environment, int64(version)); err != nil {
			return err
		}
	}
	for i := range w.AddValues {
		v := &w.AddValues[i]
		err := t.exec(insertSecretValue, tenant, path, environment, int64(v.Version), v.Sealed, v.Wrapped, int64(v.KeyVersion))
		if err != nil {
			return err
		}
	}
	return nil
}
