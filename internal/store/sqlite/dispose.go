package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// DisposeSegment implements store.Chains.
func (s *Store) DisposeSegment(ctx context.Context, tenant config.TenantID, first uint64, record audit.Record) error {
	return s.writer.do(ctx, &disposeSegment{tenant: tenant, first: first, record: record})
}

type disposeSegment struct {
	uncounted
	tenant  config.TenantID
	first   uint64
	record  audit.Record
	chain   *tenantState
	segment store.Segment
}

// existsKeptBefore finds a segment before another that is not disposed of.
const existsKeptBefore = `
SELECT 1 FROM audit_segments WHERE tenant = ? AND first < ? AND state != 3 LIMIT 1`

func (d *disposeSegment) check(t *tx) (err error) {
	if d.chain, err = t.chain(d.tenant); err != nil {
		return err
	}
	if d.segment, err = t.segment(d.tenant, d.first); err != nil {
		return err
	}
	if d.segment.State != store.Warm && d.segment.State != store.Cold {
		return notKept(d.first)
	}
	kept, err := t.exists(existsKeptBefore, d.tenant[:], int64(d.first))
	if err != nil {
		return err
	}
	if kept {
		return config.Errorf(config.KindConflict, "a segment before the one that begins at record %d is not disposed of", d.first).
			Hint("dispose of the oldest first")
	}
	return t.query(selectHold, func(r row) error {
		return config.Errorf(config.KindConflict, "a legal hold stands on the audit chain since %s, by %s", r.time(0).Format(time.RFC3339), r.text(1)).
			Hint("nothing of it is disposed of until the hold is lifted")
	}, d.tenant[:])
}

const (
	updateDisposed = `UPDATE audit_segments SET state = ? WHERE tenant = ? AND first = ?`
	deleteBlocks   = `DELETE FROM audit_blocks WHERE tenant = ?1 AND first <= ?2 AND last <= ?2` // first, for the index
)

func (d *disposeSegment) store(t *tx) error {
	if err := t.exec(updateDisposed, int64(store.Disposed), d.tenant[:], int64(d.first)); err != nil {
		return err
	}
	if err := t.exec(deleteBlocks, d.tenant[:], int64(d.segment.Last)); err != nil {
		return err
	}
	if d.segment.State == store.Warm {
		t.erase = true
		if err := t.exec(deleteSegmentBody, d.tenant[:], int64(d.first)); err != nil {
			return err
		}
	}
	d.record.Time = t.now(d.chain)
	return t.append(d.chain, d.record)
}

// ForgetLocation implements store.Chains.
func (s *Store) ForgetLocation(ctx context.Context, tenant config.TenantID, first uint64) error {
	return s.writer.do(ctx, &forgetLocation{tenant: tenant, first: first})
}

type forgetLocation struct {
	uncounted
	tenant config.TenantID
	first  uint64
}

func (f *forgetLocation) check(t *tx) error {
	if _, err := t.chain(f.tenant); err != nil {
		return err
	}
	segment, err := t.segment(f.tenant, f.first)
	if err == nil && segment.State != store.Disposed {
		err = config.Errorf(config.KindConflict, "no segment that was disposed of begins at record %d", f.first)
	}
	return err
}

func (f *forgetLocation) store(t *tx) error {
	return t.exec(updateSegment, int64(store.Disposed), "", f.tenant[:], int64(f.first))
}
