package sqlite

import (
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const insertEntry = `
INSERT INTO log (tenant, revision, time, kind, author, subject_environment, subject_path, subject_version, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

// store gives the write its revision and stores all of it.
func (c *commit) store(t *tx) error {
	c.receipt = t.next(c.state)
	for _, store := range []func(*tx) error{
		c.storeEntry, c.storeLayers, c.storeDestroyed, c.storeSecrets, c.storeEnvironments, c.storeTags, c.storeTokens,
		c.storeRules, c.storeIdempotent,
	} {
		if err := store(t); err != nil {
			return err
		}
	}
	c.state.usage = c.usage()
	if err := c.storeRecord(t, c.write.Audit); err != nil {
		return err
	}
	for _, record := range c.write.MoreAudit {
		if err := c.storeRecord(t, record); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) storeRecord(t *tx, record audit.Record) error {
	record.Time, record.Revision = c.receipt.Time, int64(c.receipt.Revision)
	return t.append(c.state, record)
}

func (c *commit) storeEntry(t *tx) error {
	e := &c.write.Entry
	return t.exec(insertEntry, c.tenant[:], int64(c.receipt.Revision), c.state.nanos, string(e.Kind), e.Author,
		int64(e.Subject.Environment), e.Subject.Path, e.Subject.Version, e.Sealed)
}

const (
	insertVersion = `
INSERT INTO layer_versions (tenant, path, environment, revision, version, time, author, state, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

	upsertHead = `
INSERT INTO layers (tenant, path, environment, revision, version, state, row)
VALUES (?, ?, ?, ?, ?, ?, last_insert_rowid())
ON CONFLICT DO UPDATE SET revision = excluded.revision, version = excluded.version, state = excluded.state, row = excluded.row`

	insertEdge = `
INSERT INTO edges (tenant, to_path, from_path, environment, revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING`

	deleteEdge = `
DELETE FROM edges WHERE tenant = ? AND to_path = ? AND from_path = ? AND environment = ?`
)

func (c *commit) storeLayers(t *tx) error {
	for i := range c.write.Layers {
		if err := c.storeLayer(t, &c.write.Layers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) storeLayer(t *tx, l *store.LayerWrite) error {
	tenant, path, environment := c.tenant[:], l.Path.String(), int64(l.Environment)
	revision, version, state := int64(c.receipt.Revision), int64(l.Version), int64(l.State)
	err := t.exec(insertVersion, tenant, path, environment, revision, version,
		c.state.nanos, c.write.Entry.Author, state, l.Sealed)
	if err != nil {
		return err
	}
	if err := t.exec(upsertHead, tenant, path, environment, revision, version, state); err != nil {
		return err
	}
	for _, to := range l.DropEdges {
		if err := t.exec(deleteEdge, tenant, to.String(), path, environment); err != nil {
			return err
		}
	}
	for _, to := range l.AddEdges {
		if err := t.exec(insertEdge, tenant, to.String(), path, environment, revision); err != nil {
			return err
		}
	}
	return c.storeSecretEdges(t, l)
}

const (
	insertSecretEdge = `
INSERT INTO secret_edges (tenant, to_path, from_path, environment, revision) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING`

	deleteSecretEdge = `
DELETE FROM secret_edges WHERE tenant = ? AND to_path = ? AND from_path = ? AND environment = ?`
)

func (c *commit) storeSecretEdges(t *tx, l *store.LayerWrite) error {
	for _, to := range l.DropSecrets {
		if err := t.exec(deleteSecretEdge, c.tenant[:], to.String(), l.Path.String(), int64(l.Environment)); err != nil {
			return err
		}
	}
	for _, to := range l.AddSecrets {
		if err := t.exec(insertSecretEdge, c.tenant[:], to.String(), l.Path.String(), int64(l.Environment), int64(c.receipt.Revision)); err != nil {
			return err
		}
	}
	return nil
}

const updateDestroyed = `
UPDATE layer_versions SET state = ?, sealed = ? WHERE row = ?`

func (c *commit) storeDestroyed(t *tx) error {
	for i, row := range c.destroy {
		t.erase = true
		if err := t.exec(updateDestroyed, int64(store.Destroyed), c.write.Destroy[i].Sealed, row); err != nil {
			return err
		}
	}
	return nil
}

const insertEnvironment = `
INSERT INTO environments (tenant, id, version, revision, name, parent, isolate_secrets, deleted)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)`

func (c *commit) storeEnvironments(t *tx) error {
	for i := range c.write.Environments {
		e := &c.write.Environments[i]
		c.state.environments = c.receipt.Revision
		err := t.exec(insertEnvironment, c.tenant[:], int64(e.ID), int64(e.Version), int64(c.receipt.Revision),
			e.Name, int64(e.Parent), toInt(e.IsolateSecrets), toInt(e.Deleted))
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	deleteTag = `
DELETE FROM tags WHERE tenant = ? AND name = ?`

	replaceTag = `
INSERT OR REPLACE INTO tags (tenant, name, target, revision, time, author) VALUES (?, ?, ?, ?, ?, ?)`
)

func (c *commit) storeTags(t *tx) error {
	for _, name := range c.write.DeleteTags {
		if err := t.exec(deleteTag, c.tenant[:], name); err != nil {
			return err
		}
	}
	for i := range c.write.SetTags {
		tag := &c.write.SetTags[i]
		err := t.exec(replaceTag, c.tenant[:], tag.Name, int64(tag.Target), int64(c.receipt.Revision),
			c.state.nanos, c.write.Entry.Author)
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	insertToken = `
INSERT INTO tokens (id, tenant, name, hash, tenant_admin, server_admin, author, created, expires, revoked, mac, grants, last_used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	revokeToken = `
UPDATE tokens SET revoked = ? WHERE id = ? AND tenant = ? AND revoked = 0`

	expireToken = `
UPDATE tokens SET expires = ?, mac = ? WHERE id = ? AND tenant = ?`
)

func (c *commit) storeTokens(t *tx) error {
	for i := range c.write.AddTokens {
		k := &c.write.AddTokens[i]
		err := t.exec(insertToken, k.ID, k.Tenant[:], k.Name, k.Hash[:], toInt(k.TenantAdmin), toInt(k.ServerAdmin),
			k.Author, toNanos(k.Created), toNanos(k.Expires), toNanos(k.Revoked), k.MAC[:],
			k.Grants, toNanos(k.LastUsed))
		if err != nil {
			return err
		}
	}
	for _, id := range c.write.RevokeTokens {
		if err := t.exec(revokeToken, c.state.nanos, id, c.tenant[:]); err != nil {
			return err
		}
	}
	for i := range c.write.ExpireTokens {
		e := &c.write.ExpireTokens[i]
		if err := t.exec(expireToken, toNanos(e.Expires), e.MAC[:], e.ID, c.tenant[:]); err != nil {
			return err
		}
	}
	return nil
}

func (c *commit) storeIdempotent(t *tx) error {
	if c.write.Idempotent == nil {
		return nil
	}
	outcome := *c.write.Idempotent
	outcome.Revision, outcome.Time = c.receipt.Revision, c.receipt.Time
	return t.keep(c.tenant, outcome)
}

func noVersion(path config.Path, version config.Version) error {
	return config.Errorf(config.KindNotFound, "%s has no version %d here", path, version).Hint("`llm-config history %s` lists them", path)
}
