package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// AppendAudit implements store.Auditor.
func (s *Store) AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error {
	return s.writer.do(ctx, &appendAudit{tenant: tenant, records: records})
}

type appendAudit struct {
	uncounted
	tenant  config.TenantID
	records []audit.Record
}

func (a *appendAudit) check(t *tx) error {
	_, err := t.tenant(a.tenant)
	return err
}

func (a *appendAudit) store(t *tx) error {
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
	return nil
}

const selectAudit = `
SELECT sequence, hash, record FROM audit WHERE tenant = ? AND sequence > ? ORDER BY sequence LIMIT ?`

// Audit implements store.Auditor.
func (s *Store) Audit(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]audit.Link, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var links []audit.Link
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectAudit, func(r row) error {
			links = append(links, audit.Link{Sequence: uint64(r.int(0)), Hash: r.hash(1), Record: r.bytes(2)})
			return nil
		}, tenant[:], int64(after), int64(limit))
	})
	return links, err
}
