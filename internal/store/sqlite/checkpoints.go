package sqlite

import (
	"context"
	"database/sql/driver"
	"slices"
	"strconv"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// PutCheckpoints implements store.Chains.
func (s *Store) PutCheckpoints(ctx context.Context, checkpoints []store.Checkpoint) error {
	return s.writer.do(ctx, &putCheckpoints{checkpoints: checkpoints})
}

type putCheckpoints struct {
	checkpoints []store.Checkpoint
	chains      []*tenantState // one for each
}

const (
	// What is replaced gets another row, so that it comes in the feed once more.
	replaceCheckpoint = `
INSERT OR REPLACE INTO audit_checkpoints (tenant, sequence, time, note) VALUES (?, ?, ?, ?)`

	upsertCheckpointed = `
INSERT INTO audit_chains (tenant, checkpoint) VALUES (?, ?)
ON CONFLICT DO UPDATE SET checkpoint = max(checkpoint, excluded.checkpoint)`
)

func (p *putCheckpoints) check(t *tx) error {
	p.chains = p.chains[:0]
	for i := range p.checkpoints {
		chain, err := t.chain(p.checkpoints[i].Tenant)
		if err != nil {
			return err
		}
		p.chains = append(p.chains, chain)
	}
	return nil
}

func (p *putCheckpoints) store(t *tx) error {
	for i, chain := range p.chains {
		c := &p.checkpoints[i]
		if err := t.exec(replaceCheckpoint, chain.id[:], toSequence(c.Sequence), t.nanos(chain), c.Note); err != nil {
			return err
		}
		if err := t.exec(upsertCheckpointed, chain.id[:], toSequence(c.Sequence)); err != nil {
			return err
		}
	}
	return nil
}

func (*putCheckpoints) committed() {}

func (p *putCheckpoints) size() int {
	n := 0
	for i := range p.checkpoints {
		n += len(p.checkpoints[i].Note)
	}
	return n
}

const (
	checkpointColumns = `tenant, sequence, time, note, row`

	selectCheckpoints = `SELECT ` + checkpointColumns + `
FROM audit_checkpoints WHERE tenant = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`

	selectCheckpointsFrom = `SELECT ` + checkpointColumns + `
FROM audit_checkpoints WHERE tenant = ? AND sequence >= ? ORDER BY sequence LIMIT ?`

	selectCheckpointFeed = `SELECT ` + checkpointColumns + `
FROM audit_checkpoints WHERE row > ? ORDER BY row LIMIT ?`
)

// Checkpoints implements store.Chains.
func (s *Store) Checkpoints(ctx context.Context, tenant config.TenantID, page store.Page) ([]store.Checkpoint, store.Cursor, error) {
	list := list[store.Checkpoint]{
		query:    store.Query{Tenant: tenant, Parts: []string{"audit checkpoints"}},
		page:     page,
		position: func(c *store.Checkpoint) string { return strconv.FormatUint(c.Sequence, 10) },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Checkpoint)) error {
		before := int64(newest)
		if after != "" {
			var err error
			if before, err = strconv.ParseInt(after, 10, 64); err != nil {
				return err
			}
		}
		return c.query(selectCheckpoints, func(r row) error { add(checkpointOf(r)); return nil }, tenant[:], before, limit)
	})
}

// CheckpointsFrom implements store.Chains.
func (s *Store) CheckpointsFrom(ctx context.Context, tenant config.TenantID, sequence uint64, limit int) ([]store.Checkpoint, error) {
	return s.checkpoints(ctx, limit, selectCheckpointsFrom, tenant[:], toSequence(sequence), int64(limit))
}

// CheckpointFeed implements store.Chains.
func (s *Store) CheckpointFeed(ctx context.Context, after int64, limit int) ([]store.Checkpoint, error) {
	return s.checkpoints(ctx, limit, selectCheckpointFeed, after, int64(limit))
}

func (s *Store) checkpoints(ctx context.Context, limit int, text string, arguments ...driver.Value) ([]store.Checkpoint, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var checkpoints []store.Checkpoint
	err := s.read(ctx, func(c *conn) error {
		return c.query(text, func(r row) error { checkpoints = append(checkpoints, checkpointOf(r)); return nil }, arguments...)
	})
	return checkpoints, err
}

func checkpointOf(r row) store.Checkpoint {
	return store.Checkpoint{Tenant: r.tenant(0), Sequence: uint64(r.int(1)), Time: r.time(2), Note: r.bytes(3), Position: r.int(4)}
}

const (
	// The newest of all is the last of its day.
	selectThinned = `
SELECT ` + checkpointColumns + ` FROM audit_checkpoints WHERE row IN (
    SELECT row FROM (
        SELECT row, row_number() OVER (PARTITION BY time / 86400000000000 ORDER BY sequence DESC) AS place
        FROM audit_checkpoints WHERE tenant = ?1 AND time < ?2)
    WHERE place > 1 AND row <= ?3)
ORDER BY row`

	deleteCheckpoint = `DELETE FROM audit_checkpoints WHERE row = ?`
)

// ThinCheckpoints implements store.Chains. A reader finds what goes, because
// looking for it takes longer than other writes are to wait.
func (s *Store) ThinCheckpoints(ctx context.Context, tenant config.TenantID, thinning store.Thinning) error {
	var rows []int64
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectThinned, func(r row) error {
			if found := checkpointOf(r); thinning.Spare == nil || !thinning.Spare(&found) {
				rows = append(rows, found.Position)
			}
			return nil
		}, tenant[:], toNanos(thinning.Before), thinning.Through)
	})
	if err != nil {
		return err
	}
	for some := range slices.Chunk(rows, forgetAtOnce) {
		if err := s.writer.do(ctx, &dropCheckpoints{rows: some}); err != nil {
			return err
		}
	}
	return nil
}

type dropCheckpoints struct {
	uncounted
	rows []int64
}

func (*dropCheckpoints) check(*tx) error { return nil }

func (d *dropCheckpoints) store(t *tx) error {
	for _, row := range d.rows {
		if err := t.exec(deleteCheckpoint, row); err != nil {
			return err
		}
	}
	return nil
}
