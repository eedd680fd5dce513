package storetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var disposeRecord = audit.Record{Event: "audit.dispose", Actor: "system", Outcome: audit.Success}

// segment is what one would pack of hot links.
func (n *tenant) segment(t tb, first, last uint64) store.Segment {
	t.Helper()
	links, err := n.Audit(n.ctx, n.ID, first-1, int(last-first+1))
	ok(t, err)
	s := store.Segment{
		First: first, Last: last, FirstTime: time.Unix(int64(first), 0).UTC(), LastTime: time.Unix(int64(last), 0).UTC(), Digest: digest(first),
	}
	if len(links) > 0 {
		s.Hash = links[len(links)-1].Hash
	}
	segments, err := n.Segments(n.ctx, n.ID, 0, math.MaxInt32)
	ok(t, err)
	if len(segments) > 0 {
		s.From = segments[len(segments)-1].Hash
	}
	return s
}

func bodyOf(n *tenant, first, last uint64) []byte {
	return fmt.Appendf(nil, "records %d to %d of %s", first, last, n.Name)
}

// pack packs the oldest hot links and answers the segment as it must be kept.
func (n *tenant) pack(t tb, first, last uint64) store.Segment {
	t.Helper()
	links, err := n.AuditOf(n.ctx, n.ID, []uint64{last})
	ok(t, err)
	same(t, len(links), 1)
	s, body := n.segment(t, first, last), bodyOf(n, first, last)
	position := n.positionOf(t, last)
	ok(t, n.PackLinks(n.ctx, n.ID, s, body))
	s.Tenant, s.State, s.Bytes, s.LastPosition = n.ID, store.Warm, int64(len(body)), position
	kept, err := n.Segments(n.ctx, n.ID, last-1, 1)
	ok(t, err)
	s.Packed = kept[0].Packed
	same(t, kept[0], s)
	return s
}

// positionOf is where a link is in the feed.
func (n *tenant) positionOf(t tb, sequence uint64) int64 {
	t.Helper()
	for _, l := range n.feed(t, 0, 1000) {
		if l.Tenant == n.ID && l.Sequence == sequence {
			return l.Position
		}
	}
	t.Fatalf("record %d is not in the feed", sequence)
	return 0
}

func (n *tenant) segments(t tb) []store.Segment {
	t.Helper()
	segments, err := n.Segments(n.ctx, n.ID, 0, 100)
	ok(t, err)
	return segments
}

func (n *tenant) hold(t tb, reason string) {
	t.Helper()
	hold := store.Hold{Reason: reason}
	if reason != "" {
		hold.Author = "counsel"
	}
	ok(t, n.Hold(n.ctx, n.ID, hold, audit.Record{Event: "audit.hold", Reason: reason}, nil))
}

// chainSeen is all that can be read of a tenant's chain.
func (n *tenant) chainSeen(t tb) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name := range ofChains {
		value, _, err := reads[name](n.world, n.ID, store.Page{Limit: 100})
		ok(t, err)
		all[name] = value
	}
	return all
}

func packLinks(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	n.records(t, 8)
	other.records(t, 8)
	first := n.segment(t, 1, 3)
	changed := func(change func(*store.Segment)) store.Segment {
		s := first
		change(&s)
		return s
	}
	before := n.untouched(t)
	for name, s := range map[string]store.Segment{
		"not the oldest":     n.segment(t, 2, 3),
		"from elsewhere":     changed(func(s *store.Segment) { s.From = digest(1) }),
		"another hash":       changed(func(s *store.Segment) { s.Hash = digest(1) }),
		"the hash of others": changed(func(s *store.Segment) { s.Hash = other.segment(t, 1, 3).Hash }),
		"nothing left hot":   n.segment(t, 1, 9),
		"beyond the end":     changed(func(s *store.Segment) { s.Last = 10 }),
		"of none":            changed(func(s *store.Segment) { s.First, s.Last = 2, 1 }),
		"before the first":   changed(func(s *store.Segment) { s.First = 0 }),
	} {
		if err := w.PackLinks(w.ctx, n.ID, s, []byte("body")); config.KindOf(err) != config.KindConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.PackLinks(w.ctx, n.ID, changed(func(s *store.Segment) { s.Last = store.MaxPacked + 1 }), []byte("x")); err == nil {
		t.Error("a segment of too many records was packed")
	}
	same(t, n.untouched(t), before)

	w.clock.advance(time.Hour)
	newest := n.chain(t)
	packed := []store.Segment{n.pack(t, 1, 3), n.pack(t, 4, 4), n.pack(t, 5, 8)}
	same(t, packed[0].Packed, w.clock.read())
	same(t, n.segments(t), packed)
	newest.Hot = 9
	same(t, n.chain(t), newest)
	same(t, sequencesOf(auditOf(t, w, n.ID)), []uint64{9})
	refused(t, w.PackLinks(w.ctx, n.ID, n.segment(t, 9, 9), []byte("the newest")), config.KindConflict)
	refused(t, w.PackLinks(w.ctx, n.ID, first, []byte("again")), config.KindConflict)
	n.records(t, 1)
	same(t, sequencesOf(auditOf(t, w, n.ID)), []uint64{9, 10})

	for _, c := range []struct {
		after uint64
		limit int
		want  []store.Segment
	}{
		{0, 2, packed[:2]}, {2, 9, packed}, {3, 9, packed[1:]}, {4, 1, packed[2:]}, {7, 9, packed[2:]}, {8, 9, nil}, {math.MaxUint64, 9, nil},
	} {
		got, err := w.Segments(w.ctx, n.ID, c.after, c.limit)
		ok(t, err)
		same(t, got, c.want)
	}
	for _, s := range packed {
		body, err := w.SegmentBody(w.ctx, n.ID, s.First)
		ok(t, err)
		same(t, string(body), string(bodyOf(n, s.First, s.Last)))
		_, err = w.SegmentBody(w.ctx, other.ID, s.First)
		refused(t, err, config.KindNotFound)
	}
	_, err := w.SegmentBody(w.ctx, n.ID, 2)
	refused(t, err, config.KindNotFound)
	same(t, len(auditOf(t, w, other.ID)), 9)
	same(t, len(other.segments(t)), 0)
}

// untouched is what a refusal must leave as it is.
func (n *tenant) untouched(t tb) []any {
	t.Helper()
	return []any{n.chain(t), auditOf(t, n.world, n.ID), n.segments(t), n.feed(t, 0, 100)}
}

func fedSegments(t *testing.T, w *world) {
	a, b := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	_, err := w.FedSegment(w.ctx, 0)
	refused(t, err, config.KindNotFound)
	for range 4 {
		a.records(t, 1)
		b.records(t, 1)
	}
	b1, a1 := b.pack(t, 1, 3), a.pack(t, 1, 2)
	a2 := a.pack(t, 3, 4)
	fed := func() (all []store.Segment) {
		t.Helper()
		after := int64(0)
		for {
			s, err := w.FedSegment(w.ctx, after)
			if config.KindOf(err) == config.KindNotFound {
				return all
			}
			ok(t, err)
			same(t, s.LastPosition > after, true)
			all, after = append(all, s), s.LastPosition
		}
	}
	same(t, fed(), []store.Segment{a1, b1, a2})
	ok(t, w.ArchiveSegment(w.ctx, b.ID, 1, "file:b"))
	b1.State, b1.Location = store.Cold, "file:b"
	ok(t, w.DisposeSegment(w.ctx, a.ID, 1, disposeRecord))
	same(t, fed(), []store.Segment{b1, a2})
}

func archiveSegment(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	n.records(t, 4)
	refused(t, w.ArchiveSegment(w.ctx, n.ID, 1, "x"), config.KindConflict)
	kept := []store.Segment{n.pack(t, 1, 2), n.pack(t, 3, 4)}
	refused(t, w.ArchiveSegment(w.ctx, n.ID, 2, "x"), config.KindConflict)
	refused(t, w.ArchiveSegment(w.ctx, other.ID, 1, "x"), config.KindConflict)
	chain := n.chain(t)

	ok(t, w.ArchiveSegment(w.ctx, n.ID, 3, "s3://archive/ключ 3"))
	kept[1].State, kept[1].Location = store.Cold, "s3://archive/ключ 3"
	same(t, n.segments(t), kept)
	_, err := w.SegmentBody(w.ctx, n.ID, 3)
	refused(t, err, config.KindNotFound)
	_, err = w.SegmentBody(w.ctx, n.ID, 1)
	ok(t, err)
	ok(t, w.ArchiveSegment(w.ctx, n.ID, 3, "elsewhere")) // as after a crash before the answer
	same(t, n.segments(t), kept)
	same(t, n.chain(t), chain)

	refused(t, w.DisposeSegment(w.ctx, n.ID, 3, disposeRecord), config.KindConflict) // a warm one before it
	ok(t, w.ArchiveSegment(w.ctx, n.ID, 1, "file:1"))
	refused(t, w.DisposeSegment(w.ctx, n.ID, 3, disposeRecord), config.KindConflict) // a cold one
	ok(t, w.DisposeSegment(w.ctx, n.ID, 1, disposeRecord))
	refused(t, w.ArchiveSegment(w.ctx, n.ID, 1, "x"), config.KindConflict)
}

func disposeSegment(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	for _, m := range []*tenant{n, other} {
		m.records(t, 8)
		m.pack(t, 1, 3)
		m.pack(t, 4, 6)
		for _, b := range [][2]uint64{{1, 2}, {3, 4}, {5, 6}, {7, 8}} {
			m.putBlock(t, b[0], b[1])
		}
		m.putCheckpoints(t, 2)
	}
	intact, segments, chain := other.chainSeen(t), n.segments(t), n.chain(t)
	dispose := func(first uint64) error { return w.DisposeSegment(w.ctx, n.ID, first, disposeRecord) }
	for _, first := range []uint64{2, 4, 7, 0} { // none begins there, or not the oldest
		refused(t, dispose(first), config.KindConflict)
	}
	refused(t, w.ForgetLocation(w.ctx, n.ID, 1), config.KindConflict)
	refused(t, w.ForgetLocation(w.ctx, n.ID, 2), config.KindConflict)
	n.hold(t, "a reason")
	refused(t, dispose(1), config.KindConflict)
	n.hold(t, "")
	ok(t, w.ArchiveSegment(w.ctx, n.ID, 4, "file:4"))
	same(t, len(n.blocks(t)), 4)
	same(t, n.chain(t).Head.Sequence, chain.Head.Sequence+2) // of the hold

	w.clock.advance(time.Hour)
	ok(t, dispose(1))
	segments[0].State = store.Disposed
	segments[1].State, segments[1].Location = store.Cold, "file:4"
	same(t, n.segments(t), segments)
	_, err := w.SegmentBody(w.ctx, n.ID, 1)
	refused(t, err, config.KindNotFound)
	same(t, n.blocks(t), []uint64{7, 5, 3}) // the second reaches further
	same(t, n.chain(t).Indexed, uint64(8))
	links := auditOf(t, w, n.ID)
	record := disposeRecord
	record.Time = w.clock.read()
	same(t, string(links[len(links)-1].Record), string(record.Canonical()))
	same(t, n.chain(t).Head.Sequence, chain.Head.Sequence+3)

	refused(t, dispose(1), config.KindConflict)
	same(t, n.chain(t).Head.Sequence, chain.Head.Sequence+3)
	ok(t, dispose(4))
	segments[1].State = store.Disposed
	same(t, n.segments(t), segments) // where it lay is still known
	same(t, n.blocks(t), []uint64{7})
	for range 2 {
		ok(t, w.ForgetLocation(w.ctx, n.ID, 4))
	}
	segments[1].Location = ""
	same(t, n.segments(t), segments)
	auditOf(t, w, n.ID)
	n.pack(t, 7, 9) // the chain goes on
	same(t, other.chainSeen(t), intact)
}

func holds(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	lift := func(n *tenant) error {
		return w.Hold(w.ctx, n.ID, store.Hold{}, audit.Record{Event: "audit.hold.lift"}, nil)
	}
	server, before := len(auditOf(t, w, config.TenantID{})), n.chain(t)
	refused(t, lift(n), config.KindNotFound)
	same(t, n.chain(t), before)
	same(t, len(auditOf(t, w, config.TenantID{})), server)

	w.clock.advance(time.Hour)
	hold := store.Hold{Reason: "litigation № 7", Author: "counsel", Time: time.Unix(1, 0)} // the engine knows better
	record := audit.Record{Event: "audit.hold", Actor: "counsel", Reason: hold.Reason}
	ok(t, w.Hold(w.ctx, n.ID, hold, record, nil))
	hold.Time = w.clock.read()
	same(t, n.chain(t).Hold, hold)
	record.Time = w.clock.read()
	for _, id := range []config.TenantID{n.ID, {}} {
		links := auditOf(t, w, id)
		same(t, string(links[len(links)-1].Record), string(record.Canonical()))
	}
	same(t, len(auditOf(t, w, config.TenantID{})), server+1)
	same(t, w.server().chain(t).Hold, store.Hold{})

	_, err := w.DeleteTenant(w.ctx, n.ID, serverWrite("goodbye"))
	refused(t, err, config.KindInUse)
	_, err = w.Tenant(w.ctx, n.ID)
	ok(t, err)
	same(t, len(auditOf(t, w, config.TenantID{})), server+1)
	n.records(t, 1) // it keeps nobody from working
	n.put(t, layer(base, "gateway", 0, "1"))

	w.clock.advance(time.Hour)
	outcome := store.Idempotent{Principal: "counsel", Key: "held", Sealed: []byte("held"), Expires: w.clock.read().Add(time.Hour)}
	again := store.Hold{Reason: "again", Author: "counsel"}
	ok(t, w.Hold(w.ctx, n.ID, again, record, &outcome))
	outcome.Time = w.clock.read()
	kept, err := w.Idempotent(w.ctx, config.TenantID{}, "counsel", "held")
	ok(t, err)
	same(t, kept, outcome)
	refused(t, w.Hold(w.ctx, n.ID, store.Hold{Reason: "yet again"}, record, &outcome), config.KindIdempotencyInFlight)
	same(t, n.chain(t).Hold.Reason, "again")
	server++

	w.clock.advance(time.Hour)
	n.hold(t, "another")
	same(t, n.chain(t).Hold, store.Hold{Reason: "another", Author: "counsel", Time: w.clock.read()})
	ok(t, lift(n))
	same(t, n.chain(t).Hold, store.Hold{})
	refused(t, lift(n), config.KindNotFound)
	same(t, len(auditOf(t, w, config.TenantID{})), server+3)

	w.server().hold(t, "of the server itself") // on record once
	same(t, len(auditOf(t, w, config.TenantID{})), server+4)
	n.delete(t)
	ok(t, lift(w.server()))
	same(t, w.server().chain(t).Hold, store.Hold{})
}
