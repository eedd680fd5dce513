package sqlite

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// PutBlock implements store.Chains.
func (s *Store) PutBlock(ctx context.Context, tenant config.TenantID, block store.Block) error {
	if block.First < 1 || block.Last < block.First {
		return fmt.Errorf("a block of the records %d to %d is of none", block.First, block.Last)
	}
	return s.writer.do(ctx, &putBlock{tenant: tenant, block: block})
}

type putBlock struct {
	tenant config.TenantID
	block  store.Block
}

const (
	upsertBlock = `
INSERT INTO audit_blocks (tenant, first, last, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last = excluded.last, sealed = excluded.sealed`

	selectIndexed   = `SELECT indexed FROM audit_chains WHERE tenant = ?`
	selectBlockLast = `SELECT last FROM audit_blocks WHERE tenant = ? AND first = ?`

	upsertIndexed = `
INSERT INTO audit_chains (tenant, indexed) VALUES (?, ?)
ON CONFLICT DO UPDATE SET indexed = excluded.indexed`
)

func (p *putBlock) check(t *tx) error {
	_, err := t.chain(p.tenant)
	return err
}

// store goes on behind the block as far as blocks are there already: one that
// left a gap counts once the gap is filled.
func (p *putBlock) store(t *tx) error {
	err := t.exec(upsertBlock, p.tenant[:], toSequence(p.block.First), toSequence(p.block.Last), p.block.Sealed)
	if err != nil {
		return err
	}
	indexed, err := t.count(selectIndexed, p.tenant[:])
	if err != nil || toSequence(p.block.First) > indexed+1 {
		return err
	}
	indexed = toSequence(p.block.Last)
	for {
		next, err := t.count(selectBlockLast, p.tenant[:], indexed+1)
		if err != nil {
			return err
		}
		if next == 0 {
			return t.exec(upsertIndexed, p.tenant[:], indexed)
		}
		indexed = next
	}
}

func (*putBlock) committed()  {}
func (p *putBlock) size() int { return len(p.block.Sealed) }

const selectBlocks = `
SELECT first, last, sealed FROM audit_blocks WHERE tenant = ? AND first < ? ORDER BY first DESC LIMIT ?`

// Blocks implements store.Chains.
func (s *Store) Blocks(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]store.Block, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var blocks []store.Block
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectBlocks, func(r row) error {
			blocks = append(blocks, store.Block{First: uint64(r.int(0)), Last: uint64(r.int(1)), Sealed: r.bytes(2)})
			return nil
		}, tenant[:], toSequence(before), int64(limit))
	})
	return blocks, err
}
