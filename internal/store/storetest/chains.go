package storetest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// server is the server's own chain.
func (w *world) server() *tenant { return &tenant{w, config.Tenant{}} }

// records appends n records to the tenant's chain.
func (n *tenant) records(t tb, many int) {
	t.Helper()
	for range many {
		ok(t, n.AppendAudit(n.ctx, n.ID, write().Audit))
	}
}

func (n *tenant) chain(t tb) store.Chain {
	t.Helper()
	chain, err := n.Chain(n.ctx, n.ID)
	ok(t, err)
	return chain
}

func (n *tenant) delete(t tb) {
	t.Helper()
	_, err := n.DeleteTenant(n.ctx, n.ID, serverWrite("goodbye"))
	ok(t, err)
}

func sequencesOf(links []audit.Link) []uint64 {
	var sequences []uint64
	for _, l := range links {
		sequences = append(sequences, l.Sequence)
	}
	return sequences
}

func chains(t *testing.T, w *world) {
	nobody := config.TenantID{15: 99}
	_, err := w.Chain(w.ctx, nobody)
	refused(t, err, config.KindNotFound)
	same(t, w.server().chain(t), store.Chain{Hot: 1})

	n := w.createTenant(t, "alpha")
	w.clock.advance(time.Minute)
	n.records(t, 2)
	newest := auditOf(t, w, n.ID)[2]
	want := store.Chain{Tenant: n.ID, Head: newest.Head(), Time: w.clock.read(), Hot: 1}
	same(t, n.chain(t), want)
	w.clock.advance(time.Minute) // what is no record does not make the newest one younger
	ok(t, w.AppendAccess(w.ctx, n.ID, []store.Served{filledServed}))
	n.putCheckpoints(t, 1)
	want.Checkpoint = 1
	same(t, n.chain(t), want)
	same(t, w.server().chain(t).Head.Sequence, uint64(1))

	back, err := w.AuditBack(w.ctx, nobody, 10, 10)
	ok(t, err)
	same(t, len(back), 0)
	for name, err := range map[string]error{
		"PutBlock":       w.PutBlock(w.ctx, nobody, store.Block{First: 1, Last: 2, Sealed: []byte("x")}),
		"PutCheckpoints": w.PutCheckpoints(w.ctx, []store.Checkpoint{{Tenant: nobody, Sequence: 1, Note: []byte("x")}}),
		"PackLinks":      w.PackLinks(w.ctx, nobody, store.Segment{First: 1, Last: 1}, []byte("x")),
		"ArchiveSegment": w.ArchiveSegment(w.ctx, nobody, 1, "x"),
		"DisposeSegment": w.DisposeSegment(w.ctx, nobody, 1, audit.Record{}),
		"ForgetLocation": w.ForgetLocation(w.ctx, nobody, 1),
		"Hold":           w.Hold(w.ctx, nobody, store.Hold{Reason: "x"}, audit.Record{}, nil),
	} {
		if config.KindOf(err) != config.KindNotFound {
			t.Errorf("%s of a chain that never was: %v", name, err)
		}
	}
}

func scanChains(t *testing.T, w *world) {
	var made []*tenant
	for i := range 4 { // of 1, 2, 3 and 4 records
		n := w.createTenant(t, fmt.Sprint("tenant-", i))
		n.records(t, i)
		made = append(made, n)
	}
	made[1].delete(t)
	made[2].putBlock(t, 1, 2)
	made[3].putCheckpoints(t, 4)
	made[0].putCheckpoints(t, 1)
	made[0].hold(t, "a reason") // a record more, of its chain and of the server's

	scan := func(scan store.ChainScan) (ids []byte) {
		t.Helper()
		for {
			chains, err := w.ScanChains(w.ctx, scan)
			ok(t, err)
			if len(chains) == 0 {
				return ids
			}
			same(t, len(chains) <= scan.Limit, true)
			for _, c := range chains {
				alone, err := w.Chain(w.ctx, c.Tenant)
				ok(t, err)
				same(t, c, alone)
				ids = append(ids, c.Tenant[15])
			}
			scan.After = &chains[len(chains)-1].Tenant
		}
	}
	for limit := 1; limit <= 6; limit++ {
		for _, c := range []struct {
			scan store.ChainScan
			want []byte
		}{
			{store.ChainScan{}, []byte{0, 1, 2, 3, 4}},
			{store.ChainScan{After: &config.TenantID{}}, []byte{1, 2, 3, 4}},
			{store.ChainScan{After: &config.TenantID{15: 3}}, []byte{4}},
			{store.ChainScan{Unindexed: 1}, []byte{0, 1, 2, 3, 4}},
			{store.ChainScan{Unindexed: 2}, []byte{0, 1, 2, 4}},
			{store.ChainScan{Unindexed: 4}, []byte{0, 4}},
			{store.ChainScan{Unindexed: 99}, nil},
			{store.ChainScan{Uncheckpointed: true}, []byte{0, 1, 2, 3}},
			{store.ChainScan{Uncheckpointed: true, Unindexed: 2}, []byte{0, 1, 2}},
		} {
			c.scan.Limit = limit
			same(t, scan(c.scan), c.want)
		}
	}
}

func auditBack(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	n.records(t, 4)
	other.records(t, 1)
	all := auditOf(t, w, n.ID)
	for _, c := range []struct {
		before uint64
		limit  int
		want   []uint64
	}{
		{6, 10, []uint64{5, 4, 3, 2, 1}}, {math.MaxUint64, 2, []uint64{5, 4}}, {4, 2, []uint64{3, 2}}, {2, 9, []uint64{1}}, {1, 9, nil}, {0, 9, nil},
	} {
		links, err := w.AuditBack(w.ctx, n.ID, c.before, c.limit)
		ok(t, err)
		same(t, sequencesOf(links), c.want)
		for _, l := range links {
			same(t, l, all[l.Sequence-1])
		}
	}
	for _, c := range []struct{ ask, want []uint64 }{
		{nil, nil}, {[]uint64{3}, []uint64{3}}, {[]uint64{5, 1, 3, 1}, []uint64{1, 3, 5}}, {[]uint64{0, 6, 2, math.MaxUint64}, []uint64{2}},
	} {
		asked := slices.Clone(c.ask)
		links, err := w.AuditOf(w.ctx, n.ID, asked)
		ok(t, err)
		same(t, sequencesOf(links), c.want)
		same(t, asked, c.ask) // the caller's stay as they are
		for _, l := range links {
			same(t, l, all[l.Sequence-1])
		}
	}
	links, err := w.Audit(w.ctx, n.ID, math.MaxUint64, 10)
	ok(t, err)
	same(t, len(links), 0)
}

// feed reads the feed to its end from a position.
func (w *world) feed(t tb, after int64, limit int) []store.FedLink {
	t.Helper()
	var all []store.FedLink
	for {
		links, err := w.AuditFeed(w.ctx, after, limit)
		ok(t, err)
		if len(links) == 0 {
			return all
		}
		same(t, len(links) <= limit, true)
		for _, l := range links {
			same(t, l.Position > after, true)
			after = l.Position
		}
		all = append(all, links...)
	}
}

func (w *world) feedEnd(t tb) int64 {
	t.Helper()
	end, err := w.FeedEnd(w.ctx)
	ok(t, err)
	return end
}

func auditFeed(t *testing.T, w *world) {
	same(t, w.feedEnd(t), int64(0))
	a, b := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	for range 3 {
		a.records(t, 2)
		b.records(t, 1)
	}
	all := w.feed(t, 0, 100)
	same(t, w.feedEnd(t), all[len(all)-1].Position)
	want := map[config.TenantID][]audit.Link{}
	for _, id := range []config.TenantID{{}, a.ID, b.ID} {
		want[id] = auditOf(t, w, id)
	}
	got := map[config.TenantID][]audit.Link{}
	for _, l := range all {
		got[l.Tenant] = append(got[l.Tenant], l.Link)
	}
	same(t, got, want)
	for limit := 1; limit <= 5; limit++ {
		same(t, w.feed(t, 0, limit), all)
	}
	same(t, w.feed(t, all[4].Position, 3), all[5:])

	// What is packed leaves holes, and positions are not used again.
	a.pack(t, 1, 6)
	b.pack(t, 1, 3)
	var hot []store.FedLink
	for _, l := range all {
		if l.Tenant == (config.TenantID{}) || l.Tenant == a.ID && l.Sequence > 6 || l.Tenant == b.ID && l.Sequence > 3 {
			hot = append(hot, l)
		}
	}
	same(t, w.feed(t, 0, 2), hot)
	last := all[len(all)-1].Position
	same(t, w.feedEnd(t), last)
	a.records(t, 1)
	a.pack(t, 7, 7)
	b.records(t, 1)
	later := w.feed(t, last, 1)
	same(t, len(later), 2)
	same(t, []config.TenantID{later[0].Tenant, later[1].Tenant}, []config.TenantID{a.ID, b.ID})
	same(t, later[0].Position > last && later[1].Position > later[0].Position, true)
	same(t, w.feedEnd(t), later[1].Position)
}

// chainOfDeleted has all that there is of a chain outlive its tenant.
func chainOfDeleted(t *testing.T, w *world) {
	n, other := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	n.records(t, 9)
	other.records(t, 1)
	other.pack(t, 1, 1)
	for _, m := range []*tenant{n, other} {
		m.putBlock(t, 1, 1)
		m.putCheckpoints(t, 1)
	}
	first := n.pack(t, 1, 3)
	second := n.pack(t, 4, 5)
	before, seenBefore := n.chain(t), n.chainSeen(t)
	intact := other.chainSeen(t)
	n.delete(t)
	before.Deleted = true
	same(t, n.chain(t), before)
	seenBefore["Chain"] = before
	same(t, n.chainSeen(t), seenBefore)

	refused(t, w.AppendAudit(w.ctx, n.ID, write().Audit), config.KindNotFound)
	n.hold(t, "after the end")
	refused(t, w.DisposeSegment(w.ctx, n.ID, 1, disposeRecord), config.KindConflict)
	n.hold(t, "")
	ok(t, w.ArchiveSegment(w.ctx, n.ID, 4, "s3://archive/4"))
	ok(t, w.DisposeSegment(w.ctx, n.ID, 1, disposeRecord))
	n.putBlock(t, 2, 6)
	n.putCheckpoints(t, 13)
	n.pack(t, 6, 12)
	segments, err := w.Segments(w.ctx, n.ID, 0, 10)
	ok(t, err)
	first.State, second.State, second.Location = store.Disposed, store.Cold, "s3://archive/4"
	same(t, segments[:2], []store.Segment{first, second})
	chain := n.chain(t)
	same(t, []uint64{chain.Head.Sequence, chain.Hot, chain.Indexed, chain.Checkpoint}, []uint64{13, 13, 6, 13})
	same(t, chain.Deleted, true)
	same(t, len(auditOf(t, w, n.ID)), 1)
	_, err = w.Tenant(w.ctx, n.ID) // nothing brings it back
	refused(t, err, config.KindNotFound)
	refused(t, w.AppendAudit(w.ctx, n.ID, write().Audit), config.KindNotFound)
	refused(t, w.PutAck(w.ctx, n.ID, n.ack(base, "ann", "client", "x"), 10), config.KindNotFound)
	same(t, other.chainSeen(t), intact)
}

func positions(t *testing.T, w *world) {
	at := func(consumer string) int64 {
		t.Helper()
		position, err := w.Position(w.ctx, consumer)
		ok(t, err)
		return position
	}
	same(t, at("sink"), int64(0))
	ok(t, w.PutPosition(w.ctx, "sink", 7))
	ok(t, w.PutPosition(w.ctx, "Sink", 9))
	same(t, []int64{at("sink"), at("Sink"), at("sink "), at("")}, []int64{7, 9, 0, 0})
	ok(t, w.PutPosition(w.ctx, "sink", math.MaxInt64))
	same(t, []int64{at("sink"), at("Sink")}, []int64{math.MaxInt64, 9})
}

// packingUnderWrites follows the feed, by segments where links are packed in the
// meantime, while others append: each record comes, in order, and none twice.
func packingUnderWrites(t *testing.T, w *world) {
	const writers, each = 4, 60
	tenants := []*tenant{w.createTenant(t, "alpha"), w.createTenant(t, "beta")}
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range each {
				if err := w.AppendAudit(w.ctx, tenants[i%2].ID, write().Audit, write().Audit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, n := range tenants {
		wg.Go(func() {
			for n.chain(t).Head.Sequence < 1+writers*each {
				if c := n.chain(t); c.Hot < c.Head.Sequence {
					n.pack(t, c.Hot, c.Head.Sequence-1)
				}
			}
		})
	}
	wg.Wait()
	for _, n := range tenants {
		head := audit.Head{}
		segments, err := w.Segments(w.ctx, n.ID, 0, 1000)
		ok(t, err)
		for _, s := range segments {
			same(t, []any{s.First, s.From}, []any{head.Sequence + 1, head.Hash})
			head = audit.Head{Sequence: s.Last, Hash: s.Hash}
		}
		for _, l := range auditOf(t, w, n.ID) { // which checks that they follow the last segment
			head = l.Head()
		}
		same(t, head, n.chain(t).Head)
		same(t, head.Sequence, uint64(1+writers*each))
	}
}
