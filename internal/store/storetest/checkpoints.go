package storetest

import (
	"bytes"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (n *tenant) putBlock(t tb, first, last uint64) {
	t.Helper()
	ok(t, n.PutBlock(n.ctx, n.ID, store.Block{First: first, Last: last, Sealed: bodyOf(n, first, last)}))
}

// blocks are the first records of the tenant's blocks, newest first.
func (n *tenant) blocks(t tb) []uint64 {
	t.Helper()
	blocks, err := n.Blocks(n.ctx, n.ID, math.MaxUint64, 100)
	ok(t, err)
	var first []uint64
	for _, b := range blocks {
		same(t, string(b.Sealed), string(bodyOf(n, b.First, b.Last)))
		first = append(first, b.First)
	}
	return first
}

func blocks(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	other.putBlock(t, 1, 3)
	for _, c := range []struct{ first, last, indexed uint64 }{
		{4, 6, 0}, // a gap before it
		{1, 3, 6}, // which is closed
		{10, 12, 6},
		{13, 15, 6},
		{10, 11, 6},
		{7, 9, 11}, // up to the next gap
		{7, 8, 8},
		{7, 9, 11},
		{12, 12, 15},
		{1, 3, 15},
	} {
		n.putBlock(t, c.first, c.last)
		same(t, n.chain(t).Indexed, c.indexed)
	}
	same(t, n.blocks(t), []uint64{13, 12, 10, 7, 4, 1})
	for _, c := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{{13, 2, []uint64{12, 10}}, {5, 9, []uint64{4, 1}}, {4, 9, []uint64{1}}, {1, 9, nil}, {0, 9, nil}} {
		got, err := w.Blocks(w.ctx, n.ID, c.before, c.limit)
		ok(t, err)
		var first []uint64
		for _, b := range got {
			first = append(first, b.First)
		}
		same(t, first, c.want)
	}
	for _, b := range []store.Block{{First: 0, Last: 1}, {First: 2, Last: 1}} {
		if err := w.PutBlock(w.ctx, n.ID, b); err == nil {
			t.Errorf("a block of the records %d to %d was taken", b.First, b.Last)
		}
	}
	same(t, other.blocks(t), []uint64{1})
	same(t, other.chain(t).Indexed, uint64(3))
}

func noteOf(n *tenant, sequence uint64) []byte {
	return fmt.Appendf(nil, "%s\n%d\n— подпись", n.Name, sequence)
}

func (n *tenant) checkpointAt(sequence uint64) store.Checkpoint {
	return store.Checkpoint{Tenant: n.ID, Sequence: sequence, Note: noteOf(n, sequence)}
}

func (n *tenant) putCheckpoints(t tb, sequences ...uint64) {
	t.Helper()
	var checkpoints []store.Checkpoint
	for _, sequence := range sequences {
		checkpoints = append(checkpoints, n.checkpointAt(sequence))
	}
	ok(t, n.PutCheckpoints(n.ctx, checkpoints))
}

// checkpoints are the sequence numbers of the tenant's, in the order of the chain.
func (n *tenant) checkpoints(t tb) []uint64 {
	t.Helper()
	all, err := n.CheckpointsFrom(n.ctx, n.ID, 0, 1000)
	ok(t, err)
	var sequences []uint64
	for _, c := range all {
		same(t, string(c.Note), string(noteOf(n, c.Sequence)))
		sequences = append(sequences, c.Sequence)
	}
	return sequences
}

func (w *world) checkpointFeed(t tb, after int64, limit int) []store.Checkpoint {
	t.Helper()
	var all []store.Checkpoint
	for {
		some, err := w.CheckpointFeed(w.ctx, after, limit)
		ok(t, err)
		if len(some) == 0 {
			return all
		}
		same(t, len(some) <= limit, true)
		for _, c := range some {
			same(t, c.Position > after, true)
			after = c.Position
		}
		all = append(all, some...)
	}
}

func checkpoints(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	n.records(t, 9)
	start := w.clock.read()
	n.putCheckpoints(t)
	refused(t, w.PutCheckpoints(w.ctx, []store.Checkpoint{n.checkpointAt(1), {Tenant: config.TenantID{15: 99}, Sequence: 1, Note: []byte("x")}}), config.KindNotFound)
	same(t, len(n.checkpoints(t)), 0)
	same(t, n.chain(t).Checkpoint, uint64(0))

	w.clock.advance(-time.Hour) // never before the newest record
	ok(t, w.PutCheckpoints(w.ctx, []store.Checkpoint{n.checkpointAt(4), other.checkpointAt(1), n.checkpointAt(2)}))
	same(t, n.chain(t).Checkpoint, uint64(4))
	same(t, other.chain(t).Checkpoint, uint64(1))
	w.clock.advance(2 * time.Hour)
	n.putCheckpoints(t, 3)
	same(t, n.chain(t).Checkpoint, uint64(4)) // upwards only
	n.putCheckpoints(t, 9)
	same(t, n.chain(t).Checkpoint, uint64(9))
	same(t, n.checkpoints(t), []uint64{2, 3, 4, 9})

	fed := w.checkpointFeed(t, 0, 100)
	var order [][2]uint64
	for _, c := range fed {
		order = append(order, [2]uint64{uint64(c.Tenant[15]), c.Sequence})
	}
	same(t, order, [][2]uint64{{1, 4}, {2, 1}, {1, 2}, {1, 3}, {1, 9}})
	same(t, []time.Time{fed[0].Time, fed[3].Time}, []time.Time{start, start.Add(time.Hour)})
	for limit := 1; limit <= 6; limit++ {
		same(t, w.checkpointFeed(t, 0, limit), fed)
		listed := pages(t, limit, func(p store.Page) ([]store.Checkpoint, store.Cursor, error) { return w.Checkpoints(w.ctx, n.ID, p) })
		same(t, listed, []store.Checkpoint{fed[4], fed[0], fed[3], fed[2]})
	}
	some, err := w.CheckpointsFrom(w.ctx, n.ID, 3, 2)
	ok(t, err)
	same(t, some, []store.Checkpoint{fed[3], fed[0]})
	some, err = w.CheckpointsFrom(w.ctx, n.ID, math.MaxUint64, 2)
	ok(t, err)
	same(t, len(some), 0)

	n.putCheckpoints(t, 9) // the newest: it comes once more, at a position of its own
	again := w.checkpointFeed(t, fed[4].Position, 10)
	same(t, len(again), 1)
	same(t, again[0].Sequence, uint64(9))
	same(t, n.checkpoints(t), []uint64{2, 3, 4, 9})
	same(t, n.chain(t).Checkpoint, uint64(9))
	same(t, len(w.checkpointFeed(t, again[0].Position, 10)), 0)
	n.putCheckpoints(t, 2)
	same(t, len(w.checkpointFeed(t, again[0].Position, 10)), 1)
	same(t, other.checkpoints(t), []uint64{1})
}

func thinCheckpoints(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	start := w.clock.read() // noon
	sequence := uint64(0)
	for range 3 * 24 { // one an hour for three days: 12 on the first and 12 on the last
		sequence++
		n.putCheckpoints(t, sequence)
		other.putCheckpoints(t, sequence)
		w.clock.advance(time.Hour)
	}
	thin := func(before time.Time) {
		t.Helper()
		ok(t, w.ThinCheckpoints(w.ctx, n.ID, store.Thinning{Before: before, Through: math.MaxInt64}))
	}
	thin(start)
	same(t, len(n.checkpoints(t)), 72)
	thin(start.Add(14 * time.Hour)) // 02:00 of the second day, which is not of it
	same(t, n.checkpoints(t)[:4], []uint64{12, 14, 15, 16})
	same(t, len(n.checkpoints(t)), 72-11-1)
	thin(start.Add(14 * time.Hour))
	same(t, len(n.checkpoints(t)), 72-11-1)
	thin(start.Add(365 * 24 * time.Hour))
	same(t, n.checkpoints(t), []uint64{12, 36, 60, 72})
	same(t, n.chain(t).Checkpoint, uint64(72))
	same(t, len(other.checkpoints(t)), 72)

	n.putCheckpoints(t, 30) // kept on the last day, in which another goes further
	fed := w.checkpointFeed(t, 0, 100)
	thin(start.Add(365 * 24 * time.Hour))
	same(t, n.checkpoints(t), []uint64{12, 36, 60, 72})
	n.putCheckpoints(t, 73) // not where the one was that was dropped
	same(t, len(w.checkpointFeed(t, fed[len(fed)-1].Position, 100)), 1)
	ok(t, w.ThinCheckpoints(w.ctx, config.TenantID{15: 99}, store.Thinning{Before: start, Through: math.MaxInt64}))
}

// thinSome leaves what is not to be thinned, though it is old enough.
func thinSome(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	for sequence := range uint64(8) {
		other.putCheckpoints(t, sequence+1)
		n.putCheckpoints(t, sequence+1)
	}
	later := w.clock.read().Add(24 * time.Hour)
	thin := func(thinning store.Thinning) { t.Helper(); ok(t, w.ThinCheckpoints(w.ctx, n.ID, thinning)) }
	thin(store.Thinning{})
	thin(store.Thinning{Before: later})
	thin(store.Thinning{Through: math.MaxInt64})
	same(t, len(n.checkpoints(t)), 8)

	var asked []store.Checkpoint
	there, err := w.CheckpointsFrom(w.ctx, n.ID, 0, 10)
	ok(t, err)
	thin(store.Thinning{Before: later, Through: there[5].Position, Spare: func(c *store.Checkpoint) bool {
		asked = append(asked, *c)
		asked[len(asked)-1].Note = bytes.Clone(c.Note)
		return c.Sequence == 2 || c.Sequence == 5
	}})
	same(t, asked, there[:6])
	same(t, n.checkpoints(t), []uint64{2, 5, 7, 8})
	thin(store.Thinning{Before: later, Through: math.MaxInt64})
	same(t, n.checkpoints(t), []uint64{8})
	same(t, len(other.checkpoints(t)), 8)
}

// thinMany is more than an engine drops at once.
func thinMany(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	var many []store.Checkpoint
	for i := range uint64(5000) {
		many = append(many, n.checkpointAt(i+1))
	}
	ok(t, w.PutCheckpoints(w.ctx, many))
	ok(t, w.ThinCheckpoints(w.ctx, n.ID, store.Thinning{Before: w.clock.read().Add(1), Through: math.MaxInt64}))
	same(t, n.checkpoints(t), []uint64{5000})
}

func signingKeys(t *testing.T, w *world) {
	list := func() []store.SigningKey {
		t.Helper()
		keys, err := w.SigningKeys(w.ctx)
		ok(t, err)
		return keys
	}
	same(t, len(list()), 0)
	key := func(version uint32) store.SigningKey {
		return store.SigningKey{
			Version: version, Name: "llm-config-0123456789abcdef", Public: fmt.Sprint("public ", version), Sealed: fmt.Append(nil, "sealed ", version),
			Created: keyTime.Add(time.Duration(version)),
		}
	}
	record := audit.Record{Event: "audit.key", Actor: "system"}
	for _, version := range []uint32{0, 2} {
		refused(t, w.AddSigningKey(w.ctx, key(version), record, nil), config.KindConflict)
	}
	same(t, len(auditOf(t, w, config.TenantID{})), 0)
	ok(t, w.AddSigningKey(w.ctx, key(1), record, nil))
	record.Time = w.clock.read()
	links := auditOf(t, w, config.TenantID{})
	same(t, len(links), 1)
	same(t, string(links[0].Record), string(record.Canonical()))

	const rivals = 8 // one of them adds the second version
	var added atomic.Int64
	var wg sync.WaitGroup
	for range rivals {
		wg.Go(func() {
			switch err := w.AddSigningKey(w.ctx, key(2), record, nil); {
			case err == nil:
				added.Add(1)
			case config.KindOf(err) != config.KindConflict:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, added.Load(), int64(1))
	same(t, list(), []store.SigningKey{key(1), key(2)})
	same(t, len(auditOf(t, w, config.TenantID{})), 2)

	outcome := store.Idempotent{Principal: "ann", Key: "rotated", Sealed: []byte("rotated"), Expires: w.clock.read().Add(time.Hour)}
	ok(t, w.AddSigningKey(w.ctx, key(3), record, &outcome))
	outcome.Time = w.clock.read()
	kept, err := w.Idempotent(w.ctx, config.TenantID{}, "ann", "rotated")
	ok(t, err)
	same(t, kept, outcome)
	refused(t, w.AddSigningKey(w.ctx, key(4), record, &outcome), config.KindIdempotencyInFlight)
	same(t, list(), []store.SigningKey{key(1), key(2), key(3)})
	same(t, len(auditOf(t, w, config.TenantID{})), 3)
}
