package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	chainColumns = `t.id, t.deleted, t.audit_sequence, t.audit_hash, t.time,
    (SELECT a.sequence FROM audit a WHERE a.tenant = t.id ORDER BY a.sequence LIMIT 1),
    c.indexed, c.checkpoint, c.hold_reason, c.hold_author, c.hold_time
FROM tenants t LEFT JOIN audit_chains c ON c.tenant = t.id`

	selectChain = `SELECT ` + chainColumns + ` WHERE t.id = ?`

	// An id is behind the empty blob, which cannot be an argument.
	selectChains = `SELECT ` + chainColumns + `
WHERE t.id > coalesce(?1, x'')
AND (?2 = 0 OR t.audit_sequence - coalesce(c.indexed, 0) >= ?2)
AND (?3 = 0 OR t.audit_sequence > coalesce(c.checkpoint, 0))
ORDER BY t.id LIMIT ?4`
)

// Chain implements store.Chains.
func (s *Store) Chain(ctx context.Context, tenant config.TenantID) (store.Chain, error) {
	var chain store.Chain
	found := false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectChain, func(r row) error { chain, found = chainOf(r), true; return nil }, tenant[:])
	})
	if err == nil && !found {
		err = noChain()
	}
	return chain, err
}

// ScanChains implements store.Chains.
func (s *Store) ScanChains(ctx context.Context, scan store.ChainScan) ([]store.Chain, error) {
	if err := checkLimit(scan.Limit); err != nil {
		return nil, err
	}
	var after []byte
	if scan.After != nil {
		after = scan.After[:]
	}
	var chains []store.Chain
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectChains, func(r row) error { chains = append(chains, chainOf(r)); return nil },
			after, toSequence(scan.Unindexed), toInt(scan.Uncheckpointed), int64(scan.Limit))
	})
	return chains, err
}

func chainOf(r row) store.Chain {
	c := store.Chain{
		Tenant: r.tenant(0), Deleted: r.bool(1), Head: audit.Head{Sequence: uint64(r.int(2)), Hash: r.hash(3)}, Time: r.time(4),
		Hot: uint64(r.int(5)), Indexed: uint64(r.int(6)), Checkpoint: uint64(r.int(7)),
		Hold: store.Hold{Reason: r.text(8), Author: r.text(9), Time: r.time(10)},
	}
	if c.Hot == 0 {
		c.Hot = c.Head.Sequence + 1
	}
	return c
}

func noChain() error {
	return config.Errorf(config.KindNotFound, "there is no such audit chain").Hint("name a tenant that there is, or was")
}

const (
	selectPosition = `SELECT position FROM audit_positions WHERE consumer = ?`

	upsertPosition = `
INSERT INTO audit_positions (consumer, position) VALUES (?, ?)
ON CONFLICT DO UPDATE SET position = excluded.position`
)

// Position implements store.Chains.
func (s *Store) Position(ctx context.Context, consumer string) (int64, error) {
	var position int64
	err := s.read(ctx, func(c *conn) (err error) {
		position, err = c.count(selectPosition, consumer)
		return err
	})
	return position, err
}

// PutPosition implements store.Chains.
func (s *Store) PutPosition(ctx context.Context, consumer string, position int64) error {
	return s.writer.do(ctx, &putPosition{consumer: consumer, position: position})
}

type putPosition struct {
	uncounted
	consumer string
	position int64
}

func (*putPosition) check(*tx) error     { return nil }
func (p *putPosition) store(t *tx) error { return t.exec(upsertPosition, p.consumer, p.position) }
