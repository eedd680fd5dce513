package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// PutDecisions implements store.Decisions.
func (s *Store) PutDecisions(ctx context.Context, tenant config.TenantID, decisions []store.PastDecision, most int) error {
	return s.writer.do(ctx, &putDecisions{tenant: tenant, decisions: decisions, most: int64(most)})
}

type putDecisions struct {
	tenant    config.TenantID
	decisions []store.PastDecision
	most      int64
}

func (p *putDecisions) check(t *tx) error {
	_, err := t.tenant(p.tenant)
	return err
}

const (
	upsertDecision = `
INSERT INTO decisions (tenant, key, time, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET time = excluded.time, sealed = excluded.sealed`

	deleteOldDecisions = `
DELETE FROM decisions WHERE tenant = ?1 AND key IN (
    SELECT key FROM decisions WHERE tenant = ?1 ORDER BY time DESC, key DESC LIMIT -1 OFFSET ?2)`
)

func (p *putDecisions) store(t *tx) error {
	for i := range p.decisions {
		d := &p.decisions[i]
		if err := t.exec(upsertDecision, p.tenant[:], d.Key[:], toNanos(d.Time), d.Sealed); err != nil {
			return err
		}
	}
	return t.exec(deleteOldDecisions, p.tenant[:], p.most)
}

func (p *putDecisions) committed() {}

func (p *putDecisions) size() int {
	n := 0
	for i := range p.decisions {
		n += len(p.decisions[i].Sealed)
	}
	return n
}

const selectDecisions = `
SELECT key, time, sealed FROM decisions WHERE tenant = ? ORDER BY time DESC, key DESC LIMIT ?`

// Decisions implements store.Decisions.
func (s *Store) Decisions(ctx context.Context, tenant config.TenantID, limit int) ([]store.PastDecision, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var decisions []store.PastDecision
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectDecisions, func(r row) error {
			decisions = append(decisions, store.PastDecision{Key: r.hash(0), Time: r.time(1), Sealed: r.bytes(2)})
			return nil
		}, tenant[:], int64(limit))
	})
	return decisions, err
}
