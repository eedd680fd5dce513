package storetest

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// referenceChain is what there must be of a chain, and what may be done to it.
type referenceChain struct {
	head, hot uint64 // hot is the oldest hot link
	segments  []referenceSegment
	blocks    map[uint64]uint64 // first → last
	indexed   uint64
	notes     map[uint64]bool // sequence numbers of checkpoints
	highest   uint64
	held      bool
}

type referenceSegment struct {
	first, last uint64
	state       store.SegmentState
}

// randomChains compares a chain with the reference over random steps.
func randomChains(t *testing.T, w *world) {
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		made++
		n := &tenant{w, config.Tenant{ID: config.TenantID{0: 1, 14: byte(made >> 8), 15: byte(made)}, Name: fmt.Sprint("tenant-", made)}}
		_, err := w.CreateTenant(w.ctx, n.Tenant, founding(n.ID), serverWrite(n.Name))
		ok(rt, err)
		r := &referenceChain{head: 1, hot: 1, blocks: map[uint64]uint64{}, notes: map[uint64]bool{}}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			r.step(rt, n)
			r.compare(rt, n)
		}
		if r.held {
			n.hold(rt, "")
		}
		n.delete(rt) // for the chains after it not to be many
	})
}

func (r *referenceChain) step(t *rapid.T, n *tenant) {
	sequence := func(label string) uint64 { return rapid.Uint64Range(1, r.head+1).Draw(t, label) }
	switch rapid.SampledFrom([]string{"append", "pack", "archive", "dispose", "hold", "block", "checkpoint"}).Draw(t, "step") {
	case "append":
		many := rapid.IntRange(1, 5).Draw(t, "records")
		n.records(t, many)
		r.head += uint64(many)
	case "pack":
		first := rapid.SampledFrom([]uint64{r.hot, r.hot, sequence("first")}).Draw(t, "from")
		r.pack(t, n, first, sequence("last"))
	case "archive":
		first := r.begin(t)
		s := r.segment(first)
		may := s != nil && s.state != store.Disposed
		agreed(t, n.ArchiveSegment(n.ctx, n.ID, first, "file"), may, config.KindConflict)
		if may {
			s.state = store.Cold
		}
	case "dispose":
		first := r.begin(t)
		r.dispose(t, n, first)
	case "hold":
		lift := rapid.Bool().Draw(t, "lift")
		hold, before := store.Hold{Reason: "a reason"}, r.held
		if lift {
			hold = store.Hold{}
		}
		agreed(t, n.Hold(n.ctx, n.ID, hold, disposeRecord, nil), before || !lift, config.KindNotFound)
		if before || !lift {
			r.head, r.held = r.head+1, !lift
		}
	case "block":
		k := rapid.Uint64Range(0, 3).Draw(t, "block")
		n.putBlock(t, 4*k+1, 4*k+4)
		r.blocks[4*k+1] = 4*k + 4
		if 4*k <= r.indexed {
			r.indexed = 4*k + 4
			for r.blocks[r.indexed+1] != 0 {
				r.indexed = r.blocks[r.indexed+1]
			}
		}
	case "checkpoint":
		at := sequence("checkpoint")
		n.putCheckpoints(t, at)
		r.notes[at], r.highest = true, max(r.highest, at)
	}
}

// begin is where a segment begins, or none.
func (r *referenceChain) begin(t *rapid.T) uint64 {
	first := []uint64{1, r.hot}
	for _, s := range r.segments {
		first = append(first, s.first)
	}
	return rapid.SampledFrom(first).Draw(t, "segment")
}

func (r *referenceChain) segment(first uint64) *referenceSegment {
	for i := range r.segments {
		if r.segments[i].first == first {
			return &r.segments[i]
		}
	}
	return nil
}

func (r *referenceChain) pack(t *rapid.T, n *tenant, first, last uint64) {
	may := first == r.hot && last >= first && last < r.head
	err := n.PackLinks(n.ctx, n.ID, n.segment(t, first, max(first, last)), bodyOf(n, first, last))
	if last < first { // what segment made of it is another one
		may = first == r.hot && first < r.head
		last = first
	}
	agreed(t, err, may, config.KindConflict)
	if may {
		r.segments = append(r.segments, referenceSegment{first, last, store.Warm})
		r.hot = last + 1
	}
}

func (r *referenceChain) dispose(t *rapid.T, n *tenant, first uint64) {
	s := r.segment(first)
	may := s != nil && s.state != store.Disposed && !r.held
	for _, before := range r.segments {
		may = may && (before.first >= first || before.state == store.Disposed)
	}
	agreed(t, n.DisposeSegment(n.ctx, n.ID, first, disposeRecord), may, config.KindConflict)
	if !may {
		return
	}
	s.state = store.Disposed
	r.head++
	for first, last := range r.blocks {
		if last <= s.last {
			delete(r.blocks, first)
		}
	}
}

// agreed checks that what may be done was done, and what may not was refused.
func agreed(t tb, err error, may bool, kind config.Kind) {
	t.Helper()
	if may {
		ok(t, err)
	} else {
		refused(t, err, kind)
	}
}

func (r *referenceChain) compare(t tb, n *tenant) {
	t.Helper()
	chain := n.chain(t)
	same(t, []uint64{chain.Head.Sequence, chain.Hot, chain.Indexed, chain.Checkpoint}, []uint64{r.head, r.hot, r.indexed, r.highest})
	same(t, chain.Hold != store.Hold{}, r.held)
	links := auditOf(t, n.world, n.ID)
	same(t, uint64(len(links)), r.head-r.hot+1)
	same(t, links[len(links)-1].Head(), chain.Head)
	var segments []referenceSegment
	for _, s := range n.segments(t) {
		segments = append(segments, referenceSegment{s.First, s.Last, s.State})
		_, err := n.SegmentBody(n.ctx, n.ID, s.First)
		agreed(t, err, s.State == store.Warm, config.KindNotFound)
	}
	same(t, fmt.Sprint(segments), fmt.Sprint(r.segments))
	blocks, err := n.Blocks(n.ctx, n.ID, math.MaxUint64, 100)
	ok(t, err)
	kept := map[uint64]uint64{}
	for _, b := range blocks {
		kept[b.First] = b.Last
	}
	same(t, kept, r.blocks)
	notes := map[uint64]bool{}
	for _, sequence := range n.checkpoints(t) {
		notes[sequence] = true
	}
	same(t, notes, r.notes)
}
