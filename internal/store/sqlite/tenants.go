package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// CreateTenant implements store.Tenants.
func (s *Store) CreateTenant(ctx context.Context, tenant config.Tenant, founding, server store.Write) (store.Receipt, error) {
	f, err := newCommit(tenant.ID, &founding)
	if err != nil {
		return store.Receipt{}, err
	}
	w, err := newCommit(config.TenantID{}, &server)
	if err != nil {
		return store.Receipt{}, err
	}
	err = s.writer.do(ctx, &createTenant{tenant, f, w})
	return f.receipt, err
}

type createTenant struct {
	tenant           config.Tenant
	founding, server *commit
}

const (
	existsTenant      = `SELECT 1 FROM tenants WHERE id = ?`
	existsTenantNamed = `SELECT 1 FROM tenants WHERE name = ?`
	insertTenant      = `
INSERT INTO tenants (id, name, created, deleted, revision, time, environments, audit_sequence, audit_hash)
VALUES (?, ?, ?, 0, 0, 0, 0, 0, zeroblob(32))`
)

func (c *createTenant) check(t *tx) error {
	used, err := t.exists(existsTenant, c.tenant.ID[:])
	if err != nil {
		return err
	}
	if used {
		return config.Errorf(config.KindConflict, "the tenant id %s has been used", c.tenant.ID)
	}
	taken, err := t.exists(existsTenantNamed, c.tenant.Name)
	if err != nil {
		return err
	}
	if taken {
		return config.Errorf(config.KindAlreadyExists, "there is a tenant %q already", c.tenant.Name)
	}
	if err := c.server.check(t); err != nil {
		return err
	}
	return c.founding.checkOn(t, &tenantState{id: c.tenant.ID})
}

func (c *createTenant) store(t *tx) error {
	if err := t.exec(insertTenant, c.tenant.ID[:], c.tenant.Name, toNanos(c.tenant.Created)); err != nil {
		return err
	}
	t.tenants[c.tenant.ID] = c.founding.state
	if err := c.founding.store(t); err != nil {
		return err
	}
	return c.server.store(t)
}

func (c *createTenant) committed() {
	c.founding.committed()
	c.server.committed()
}

func (c *createTenant) size() int { return c.founding.size() + c.server.size() }

// DeleteTenant implements store.Tenants.
func (s *Store) DeleteTenant(ctx context.Context, tenant config.TenantID, server store.Write) (store.Receipt, error) {
	w, err := newCommit(config.TenantID{}, &server)
	if err != nil {
		return store.Receipt{}, err
	}
	err = s.writer.do(ctx, &deleteTenant{tenant: tenant, commit: w})
	return w.receipt, err
}

// deleteTenant is the server's commit, and the end of a tenant with it.
type deleteTenant struct {
	tenant config.TenantID
	*commit
}

func (d *deleteTenant) check(t *tx) error {
	if d.tenant == (config.TenantID{}) {
		return noTenant()
	}
	if _, err := t.tenant(d.tenant); err != nil {
		return err
	}
	if err := t.checkNotHeld(d.tenant); err != nil {
		return err
	}
	return d.commit.check(t)
}

// tenantData is all that goes with a tenant: everything but what there is of its
// audit chain and the row that keeps its id from being used again. Secrets, and what clients
// say of them, go by a trigger of that row, because they must go too when the
// release before this one deletes the tenant.
var tenantData = []string{
	`DELETE FROM layers WHERE tenant = ?`,
	`DELETE FROM layer_versions WHERE tenant = ?`,
	`DELETE FROM edges WHERE tenant = ?`,
	`DELETE FROM log WHERE tenant = ?`,
	`DELETE FROM environments WHERE tenant = ?`,
	`DELETE FROM tags WHERE tenant = ?`,
	`DELETE FROM tokens WHERE tenant = ?`,
	`DELETE FROM idempotent WHERE tenant = ?`,
	`DELETE FROM data_keys WHERE tenant = ?`,
}

const tombstone = `
UPDATE tenants SET name = NULL, deleted = ? WHERE id = ?`

func (d *deleteTenant) store(t *tx) error {
	state, err := t.tenant(d.tenant)
	if err != nil {
		return err
	}
	if err := t.saveTenant(state); err != nil {
		return err
	}
	delete(t.tenants, d.tenant)
	if err := d.commit.store(t); err != nil {
		return err
	}
	for _, text := range tenantData {
		if err := t.exec(text, d.tenant[:]); err != nil {
			return err
		}
	}
	return t.exec(tombstone, toNanos(d.receipt.Time), d.tenant[:])
}

const selectTenantNamed = `
SELECT id, name, created FROM tenants WHERE name = ?`

// TenantNamed implements store.Tenants.
func (s *Store) TenantNamed(ctx context.Context, name string) (config.Tenant, error) {
	var tenant config.Tenant
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectTenantNamed, func(r row) error { tenant = tenantOf(r); return nil }, name)
	})
	if err == nil && tenant.Name == "" {
		err = noTenant()
	}
	return tenant, err
}

const selectTenantByID = `
SELECT id, name, created FROM tenants WHERE id = ? AND name IS NOT NULL`

// Tenant implements store.Tenants.
func (s *Store) Tenant(ctx context.Context, id config.TenantID) (config.Tenant, error) {
	var tenant config.Tenant
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectTenantByID, func(r row) error { tenant = tenantOf(r); return nil }, id[:])
	})
	if err == nil && tenant.Name == "" {
		err = noTenant()
	}
	return tenant, err
}

const selectTenants = `
SELECT id, name, created FROM tenants WHERE name > ? ORDER BY name LIMIT ?`

// ListTenants implements store.Tenants.
func (s *Store) ListTenants(ctx context.Context, page store.Page) ([]config.Tenant, store.Cursor, error) {
	list := list[config.Tenant]{
		query:    store.Query{Parts: []string{"tenants"}},
		page:     page,
		position: func(t *config.Tenant) string { return t.Name },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(config.Tenant)) error {
		return c.query(selectTenants, func(r row) error { add(tenantOf(r)); return nil }, after, limit)
	})
}

func tenantOf(r row) config.Tenant {
	t := config.Tenant{Name: r.text(1), Created: r.time(2)}
	copy(t.ID[:], r.bytes(0))
	return t
}
