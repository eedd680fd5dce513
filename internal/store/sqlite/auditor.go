package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// AppendAudit implements store.Auditor.
func (s *Store) AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error {
	return s.AppendAccess(ctx, tenant, nil, records...)
}

// AppendAccess implements store.Auditor.
func (s *Store) AppendAccess(ctx context.Context, tenant config.TenantID, served []store.Served, records ...audit.Record) error {
	return s.writer.do(ctx, &appendAccess{tenant: tenant, served: served, records: records})
}

type appendAccess struct {
	uncounted
	tenant  config.TenantID
	served  []store.Served
	records []audit.Record
}

func (a *appendAccess) check(t *tx) error {
	_, err := t.tenant(a.tenant)
	return err
}

const insertServed = `
INSERT INTO served (tenant, principal, environment, path, version, time) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING`

func (a *appendAccess) store(t *tx) error {
	state, err := t.tenant(a.tenant)
	if err != nil {
		return err
	}
	for _, record := range a.records {
		record.Time = t.now(state)
		if err := t.append(state, record); err != nil {
			return err
		}
	}
	for i := range a.served {
		w, first := &a.served[i], t.nanos(state)
		err := t.exec(insertServed, a.tenant[:], w.Principal, int64(w.Environment), w.Path.String(), int64(w.Version), first)
		if err != nil {
			return err
		}
	}
	return nil
}

const existsServed = `
SELECT 1 FROM served WHERE tenant = ? AND principal = ? AND environment = ? AND path = ? AND version = ?`

// WasServed implements store.Auditor.
func (s *Store) WasServed(ctx context.Context, tenant config.TenantID, what store.Served) (bool, error) {
	found := false
	err := s.read(ctx, func(c *conn) (err error) {
		found, err = c.exists(existsServed, tenant[:], what.Principal, int64(what.Environment), what.Path.String(), int64(what.Version))
		return err
	})
	return found, err
}

// forgetAtOnce bounds how long forgetting keeps other writes waiting.
const forgetAtOnce = 2000

// ForgetServed implements store.Auditor.
func (s *Store) ForgetServed(ctx context.Context, before time.Time) error {
	f := &forgetServed{before: toNanos(before), more: true}
	for f.more {
		if err := s.writer.do(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

type forgetServed struct {
	uncounted
	before int64
	more   bool
}

const (
	deleteServed = `
DELETE FROM served WHERE (tenant, principal, environment, path, version) IN (
    SELECT tenant, principal, environment, path, version FROM served WHERE time < ? ORDER BY time LIMIT ?)`

	existsServedBefore = `SELECT 1 FROM served WHERE time < ? LIMIT 1`
)

func (*forgetServed) check(*tx) error { return nil }

func (f *forgetServed) store(t *tx) error {
	if err := t.exec(deleteServed, f.before, int64(forgetAtOnce)); err != nil {
		return err
	}
	more, err := t.exists(existsServedBefore, f.before)
	f.more = more
	return err
}
