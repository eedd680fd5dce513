package sqlite

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	segmentColumns = `tenant, first, last, from_hash, hash, first_time, last_time, position, state, location, bytes, digest, packed`

	selectSegments = `SELECT ` + segmentColumns + ` FROM audit_segments WHERE tenant = ? AND last > ? ORDER BY last LIMIT ?`

	selectSegment = `SELECT ` + segmentColumns + ` FROM audit_segments WHERE tenant = ? AND first = ?`

	selectFedSegment = `SELECT ` + segmentColumns + `
FROM audit_segments WHERE position > ? AND state != 3 ORDER BY position LIMIT 1`

	selectSegmentBody = `SELECT body FROM audit_segment_bodies WHERE tenant = ? AND first = ?`
)

// Segments implements store.Chains.
func (s *Store) Segments(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]store.Segment, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var segments []store.Segment
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectSegments, func(r row) error { segments = append(segments, segmentOf(r)); return nil },
			tenant[:], toSequence(after), int64(limit))
	})
	return segments, err
}

// FedSegment implements store.Chains.
func (s *Store) FedSegment(ctx context.Context, after int64) (store.Segment, error) {
	var segment store.Segment
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectFedSegment, func(r row) error { segment = segmentOf(r); return nil }, after)
	})
	if err == nil && segment.First == 0 {
		err = config.Errorf(config.KindNotFound, "there is no segment behind position %d", after)
	}
	return segment, err
}

// SegmentBody implements store.Chains.
func (s *Store) SegmentBody(ctx context.Context, tenant config.TenantID, first uint64) ([]byte, error) {
	var body []byte
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectSegmentBody, func(r row) error { body = r.bytes(0); return nil }, tenant[:], toSequence(first))
	})
	if err == nil && body == nil {
		err = config.Errorf(config.KindNotFound, "no segment with a body begins at record %d", first)
	}
	return body, err
}

func segmentOf(r row) store.Segment {
	return store.Segment{
		Tenant: r.tenant(0), First: uint64(r.int(1)), Last: uint64(r.int(2)), From: r.hash(3), Hash: r.hash(4),
		FirstTime: r.time(5), LastTime: r.time(6), LastPosition: r.int(7), State: store.SegmentState(r.int(8)),
		Location: r.text(9), Bytes: r.int(10), Digest: r.hash(11), Packed: r.time(12),
	}
}

// segment is a segment of a chain; a zero one when none begins there.
func (t *tx) segment(tenant config.TenantID, first uint64) (store.Segment, error) {
	var segment store.Segment
	err := t.query(selectSegment, func(r row) error { segment = segmentOf(r); return nil }, tenant[:], toSequence(first))
	return segment, err
}

// PackLinks implements store.Chains.
func (s *Store) PackLinks(ctx context.Context, tenant config.TenantID, segment store.Segment, body []byte) error {
	if n := segment.Last - segment.First + 1; segment.First <= segment.Last && n > store.MaxPacked {
		return fmt.Errorf("a segment of %d records is of more than %d", n, store.MaxPacked)
	}
	return s.writer.do(ctx, &packLinks{tenant: tenant, segment: segment, body: body})
}

type packLinks struct {
	tenant  config.TenantID
	segment store.Segment
	body    []byte
	chain   *tenantState
}

const (
	selectLastHash   = `SELECT hash FROM audit_segments WHERE tenant = ? ORDER BY first DESC LIMIT 1`
	selectOldestLink = `SELECT sequence FROM audit WHERE tenant = ? ORDER BY sequence LIMIT 1`
	selectLinkRow    = `SELECT row, hash FROM audit WHERE tenant = ? AND sequence = ?`
)

func (p *packLinks) check(t *tx) error {
	chain, err := t.chain(p.tenant)
	if err != nil {
		return err
	}
	p.chain = chain
	if err := t.insertLinks(); err != nil {
		return err
	}
	var from [32]byte
	if err := t.query(selectLastHash, func(r row) error { from = r.hash(0); return nil }, p.tenant[:]); err != nil {
		return err
	}
	oldest, err := t.count(selectOldestLink, p.tenant[:])
	if err != nil {
		return err
	}
	var hash [32]byte
	err = t.query(selectLinkRow, func(r row) error { p.segment.LastPosition, hash = r.int(0), r.hash(1); return nil },
		p.tenant[:], toSequence(p.segment.Last))
	if err != nil {
		return err
	}
	if toSequence(p.segment.First) != oldest || p.segment.From != from || p.segment.Hash != hash || p.segment.Last >= chain.audit.Sequence {
		return moved("what is hot of the audit chain")
	}
	return nil
}

const (
	insertSegment = `
INSERT INTO audit_segments (tenant, first, last, from_hash, hash, first_time, last_time, position, state, location, bytes, digest, packed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?)`

	insertSegmentBody = `INSERT INTO audit_segment_bodies (tenant, first, body) VALUES (?, ?, ?)`

	deleteLinks = `DELETE FROM audit WHERE tenant = ? AND sequence BETWEEN ? AND ?`
)

func (p *packLinks) store(t *tx) error {
	tenant, g := p.tenant[:], &p.segment
	err := t.exec(insertSegment, tenant, int64(g.First), int64(g.Last), g.From[:], g.Hash[:], toNanos(g.FirstTime), toNanos(g.LastTime),
		g.LastPosition, int64(store.Warm), int64(len(p.body)), g.Digest[:], t.nanos(p.chain))
	if err != nil {
		return err
	}
	if err := t.exec(insertSegmentBody, tenant, int64(g.First), p.body); err != nil {
		return err
	}
	return t.exec(deleteLinks, tenant, int64(g.First), int64(g.Last))
}

func (*packLinks) committed()  {}
func (p *packLinks) size() int { return len(p.body) }

// ArchiveSegment implements store.Chains.
func (s *Store) ArchiveSegment(ctx context.Context, tenant config.TenantID, first uint64, location string) error {
	return s.writer.do(ctx, &archiveSegment{tenant: tenant, first: first, location: location})
}

type archiveSegment struct {
	uncounted
	tenant   config.TenantID
	first    uint64
	location string
	cold     bool // it was before
}

const (
	updateSegment     = `UPDATE audit_segments SET state = ?, location = ? WHERE tenant = ? AND first = ?`
	deleteSegmentBody = `DELETE FROM audit_segment_bodies WHERE tenant = ? AND first = ?`
)

func (a *archiveSegment) check(t *tx) error {
	if _, err := t.chain(a.tenant); err != nil {
		return err
	}
	segment, err := t.segment(a.tenant, a.first)
	if err != nil {
		return err
	}
	a.cold = segment.State == store.Cold
	if !a.cold && segment.State != store.Warm {
		return notKept(a.first)
	}
	return nil
}

func (a *archiveSegment) store(t *tx) error {
	if a.cold {
		return nil
	}
	if err := t.exec(updateSegment, int64(store.Cold), a.location, a.tenant[:], int64(a.first)); err != nil {
		return err
	}
	return t.exec(deleteSegmentBody, a.tenant[:], int64(a.first))
}

func notKept(first uint64) error {
	return config.Errorf(config.KindConflict, "no segment of the audit chain that is kept begins at record %d", first).
		Hint("it was disposed of in the meantime, or never packed")
}
