package service_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// linear is a chain as it was ever written, to be gone through record by record.
type linear struct {
	*auditor
	records []audit.Record // record n is at n-1
	links   []audit.Link
}

// read reads what was appended since.
func (l *linear) read() {
	l.t.Helper()
	for {
		links, err := l.engine.Audit(l.t.Context(), l.id, uint64(len(l.links)), 10_000)
		must(l.t, err)
		if len(links) == 0 {
			return
		}
		for _, link := range links {
			if link.Sequence != uint64(len(l.links))+1 {
				l.t.Fatalf("record %d was not read before it was packed", len(l.links)+1)
			}
			r, err := audit.ParseRecord(link.Record)
			must(l.t, err)
			l.records, l.links = append(l.records, r), append(l.links, link)
		}
	}
}

// matching are the sequence numbers that a filter selects of first to last, newest first.
func (l *linear) matching(filter audit.Filter, first, last uint64) (all []uint64) {
	for n := last; n >= first; n-- {
		if filter.Matches(&l.records[n-1]) {
			all = append(all, n)
		}
	}
	return all
}

// disposed is the last record that is no more.
func (l *linear) disposed() uint64 {
	l.t.Helper()
	segments, err := l.engine.Segments(l.t.Context(), l.id, 0, 1000)
	must(l.t, err)
	end := uint64(0)
	for _, s := range segments {
		if s.State == 3 {
			end = s.Last
		}
	}
	return end
}

// aged is a chain with records of every age: disposed of, in the archive, in
// segments and in rows, most of them in blocks.
func aged(t *testing.T) *linear {
	t.Helper()
	l := &linear{auditor: newAuditor(t)}
	add := func(n int) {
		for range n / 500 {
			l.append(l.id, made(500, len(l.records))...)
			l.clock.move(7 * time.Minute)
			l.read()
		}
	}
	add(5000)
	l.index()
	l.clock.move(38 * oneDay)
	l.retain()
	l.read()
	l.clock.move(7*oneYear - 36*oneDay)
	add(4500)
	l.index()
	l.retain()
	l.read()
	l.clock.move(38 * oneDay)
	l.retain()
	l.read()
	add(4500)
	l.clock.move(7*oneDay + time.Hour)
	l.retain()
	l.read()
	add(1000)
	l.index()
	l.read()
	tiers := l.tiers(l.id)
	if chain := l.stands(l.id); tiers[0] == 0 || tiers[1] == 0 || tiers[2] == 0 || chain.Indexed < 8192 || chain.Hot > chain.Head.Sequence-1000 {
		t.Fatalf("%v, %+v", tiers, chain)
	}
	return l
}

// drawFilter draws a filter that selects some, all or none.
func (l *linear) drawFilter(rt *rapid.T) audit.Filter {
	var f audit.Filter
	some := func(what string) bool { return rapid.IntRange(0, 2).Draw(rt, what) == 0 }
	if some("with events") {
		f.Events = rapid.SliceOfN(rapid.SampledFrom([]string{"config.change", "secret.read", "audit.*", "secret.*", "token.create", "policy.put", "audit.dispose"}), 1, 3).Draw(rt, "events")
	}
	if some("with actors") {
		f.Actors = rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 20), func(i int) string { return fmt.Sprintf("token:t%d", i) }), 1, 3).Draw(rt, "actors")
	}
	if some("with outcomes") {
		f.Outcomes = []audit.Outcome{rapid.SampledFrom([]audit.Outcome{audit.Success, audit.Denied, audit.Failed}).Draw(rt, "outcome")}
	}
	if some("with resource") {
		f.Resource = rapid.SampledFrom([]string{"environments/e1", "environments/e2/p7", "tenants/00", "z", "environments/e0/q", "environments/e", "nothing"}).Draw(rt, "resource")
	}
	if some("with source") {
		f.Source = netip.MustParsePrefix(rapid.SampledFrom([]string{"10.1.0.0/16", "10.1.2.0/24", "10.1.3.4/32", "192.0.2.1/32", "11.0.0.0/8"}).Draw(rt, "source"))
	}
	if rapid.IntRange(0, 9).Draw(rt, "with request") == 0 {
		f.RequestID = "r" + strconv.Itoa(rapid.IntRange(0, len(l.records)/7).Draw(rt, "request"))
	}
	if rapid.IntRange(0, 9).Draw(rt, "with session") == 0 {
		f.Session = "s" + strconv.Itoa(rapid.IntRange(0, 110).Draw(rt, "session"))
	}
	when := func(what string) time.Time { return l.records[rapid.IntRange(0, len(l.records)-1).Draw(rt, what)].Time }
	if some("with from") {
		f.From = when("from")
	}
	if some("with to") {
		if f.To = when("to"); !f.From.Before(f.To) {
			f.To = f.From.Add(time.Hour)
		}
	}
	return f
}

// However it is searched, what is found is what a walk over all records finds,
// also while records come, blocks are built and records are packed between pages.
func TestSearchIsComplete(t *testing.T) {
	l := aged(t)
	rapid.Check(t, func(rt *rapid.T) {
		for range 5 {
			filter := l.drawFilter(rt)
			limit := rapid.SampledFrom([]int{0, 3, 50, 333, 1000}).Draw(rt, "limit")
			var found []uint64
			var want []uint64
			for in := page(limit); ; {
				got, err := l.s.Audit(t.Context(), l.who, l.chain(), filter, in)
				must(t, err)
				l.read()
				if in.Cursor == "" {
					want = l.matching(filter, l.disposed()+1, uint64(len(l.records)))
				}
				if most := max(limit, 1); limit > 0 && len(got.Links) > most {
					t.Fatalf("%d records on a page of %d", len(got.Links), most)
				}
				for _, link := range got.Links {
					found = append(found, link.Sequence)
					if string(link.Record) != string(l.links[link.Sequence-1].Record) || link.Hash != l.links[link.Sequence-1].Hash {
						t.Fatalf("record %d is not what it was", link.Sequence)
					}
				}
				if in.Cursor = got.Next; got.Next == "" {
					break
				}
				if limit == 3 && len(found) > 60 { // that is enough of small pages
					want = want[:min(len(want), len(found))]
					break
				}
				switch rapid.IntRange(0, 11).Draw(rt, "meanwhile") {
				case 0:
					l.append(l.id, made(500, len(l.records))...)
				case 1:
					l.index()
				case 2:
					l.clock.move(time.Hour)
					l.retain()
				case 3:
					l.restart()
				}
				l.read()
			}
			if !slices.Equal(want, found) {
				t.Fatalf("%+v, %d a page: %d found, %d there", filter, limit, len(found), len(want))
			}
		}
	})
}

// Counts are those of a walk over all records.
func TestCountsAreComplete(t *testing.T) {
	l := aged(t)
	dimensions := []audit.Dimension{audit.ByEvent, audit.ByActor, audit.ByAction, audit.ByOutcome, audit.BySource}
	rapid.Check(t, func(rt *rapid.T) {
		filter := l.drawFilter(rt)
		by := rapid.SliceOfNDistinct(rapid.SampledFrom(dimensions), 0, 2, rapid.ID).Draw(rt, "by")
		window := rapid.SampledFrom([]time.Duration{0, time.Hour, oneDay}).Draw(rt, "window")
		got, err := l.s.AuditCounts(t.Context(), l.who, l.chain(), filter, by, window)
		must(t, err)
		l.read()
		want := audit.Counts{By: by, Window: window}
		for _, n := range l.matching(filter, l.disposed()+1, uint64(len(l.records))) {
			want.Add(&l.records[n-1])
		}
		same(t, "groups", len(want.Groups), len(got.Groups))
		for _, g := range got.Groups {
			key := audit.CountKey{}
			if window > 0 {
				key.Start = g.Start.Unix()
			}
			copy(key.Values[:], g.Values)
			if g.Count != want.Groups[key] {
				t.Fatalf("%v: %v, want %v", key, g.Count, want.Groups[key])
			}
		}
		if rapid.Bool().Draw(rt, "more") {
			l.append(l.id, made(100, len(l.records))...)
			l.read()
		}
	})
}

// A block that is built while a search goes through the very records finds none
// of them twice.
func TestBlockBuiltDuringSearch(t *testing.T) {
	l := &linear{auditor: newAuditor(t)}
	l.append(l.id, made(5000, 0)...)
	for _, count := range []bool{false, true} {
		m := &meddled{Store: l.engine}
		s := l.process(m)
		l.sql(`DELETE FROM audit_blocks`)
		l.sql(`UPDATE audit_chains SET indexed = 0`)
		m.back = l.index
		filter := audit.Filter{Events: []string{"policy.put", "token.create", "secret.read"}, To: midnight.Add(time.Second)}
		if count {
			got, err := s.AuditCounts(t.Context(), l.who, l.chain(), filter, []audit.Dimension{audit.ByAction}, 0)
			must(t, err)
			l.read()
			want := audit.Counts{By: []audit.Dimension{audit.ByAction}}
			for _, n := range l.matching(filter, 1, uint64(len(l.records))) {
				want.Add(&l.records[n-1])
			}
			for _, g := range got.Groups {
				same(t, g.Values[0], want.Groups[audit.CountKey{Values: [2]string{g.Values[0]}}], g.Count)
			}
			continue
		}
		var found []uint64
		for in := page(1000); ; {
			got, err := s.Audit(t.Context(), l.who, l.chain(), filter, in)
			must(t, err)
			for _, link := range got.Links {
				found = append(found, link.Sequence)
			}
			if in.Cursor = got.Next; got.Next == "" {
				break
			}
			l.sql(`DELETE FROM audit_blocks`)
			l.sql(`UPDATE audit_chains SET indexed = 0`)
			m.back = l.index
		}
		l.read()
		if want := l.matching(filter, 1, uint64(len(l.records))); !slices.Equal(want, found) {
			t.Errorf("%d found, %d there", len(found), len(want))
		}
	}
}

// What is done to the database never makes a search answer less without a word.
func TestNothingIsHidden(t *testing.T) {
	for name, c := range map[string]struct {
		bend  string
		whole bool // nothing is missing: the search finds all
	}{
		"a block altered":         {bend: `UPDATE audit_blocks SET sealed = CAST(substr(sealed, 1, 40) || x'00' || substr(sealed, 42) AS BLOB) WHERE tenant = ? AND first = 4097`},
		"another in its place":    {bend: `UPDATE audit_blocks SET sealed = (SELECT b.sealed FROM audit_blocks b WHERE b.tenant = audit_blocks.tenant AND b.first = 1) WHERE tenant = ? AND first = 4097`},
		"one stretched":           {bend: `UPDATE audit_blocks SET last = 8192 WHERE tenant = ? AND first = 1`},
		"one moved":               {bend: `UPDATE audit_blocks SET first = 4090 WHERE tenant = ? AND first = 4097`},
		"all blocks removed":      {bend: `DELETE FROM audit_blocks WHERE tenant = ?`, whole: true},
		"one block removed":       {bend: `DELETE FROM audit_blocks WHERE tenant = ? AND first = 4097`, whole: true},
		"a record removed":        {bend: `DELETE FROM audit WHERE tenant = ? AND sequence = 8197`},
		"an indexed one removed":  {bend: `DELETE FROM audit WHERE tenant = ? AND sequence = 5000`},
		"many records removed":    {bend: `DELETE FROM audit WHERE tenant = ? AND sequence > 8192 AND sequence < 8300`},
		"a segment removed":       {bend: `DELETE FROM audit_segments WHERE tenant = ?`},
		"the body of one removed": {bend: `DELETE FROM audit_segment_bodies WHERE tenant = ?`},
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cached %v", name, warm), func(t *testing.T) {
				l := hidden(t)
				filter := audit.Filter{Events: []string{"policy.put", "secret.read"}}
				want := l.found(l.chain(), filter, 1000)
				if !warm {
					l.restart()
				}
				l.sql(c.bend, l.id[:])
				if name == "one stretched" {
					l.sql(`DELETE FROM audit_blocks WHERE tenant = ? AND first = 4097`, l.id[:])
				}
				var found []uint64
				for in := page(1000); ; {
					got, err := l.s.Audit(t.Context(), l.who, l.chain(), filter, in)
					if err != nil {
						mustBe(t, config.KindUnavailable, err)
						if c.whole {
							t.Fatal(describe(err))
						}
						return
					}
					for _, link := range got.Links {
						found = append(found, link.Sequence)
					}
					if in.Cursor = got.Next; got.Next == "" {
						break
					}
				}
				if !slices.Equal(want, found) {
					t.Errorf("%d found, %d there, and no error", len(found), len(want))
				}
			})
		}
	}
}

// hidden is a chain of rows and a segment with two blocks.
func hidden(t *testing.T) *linear {
	t.Helper()
	l := &linear{auditor: newAuditor(t)}
	l.append(l.id, made(4200, 0)...)
	l.clock.move(7*oneDay + time.Hour)
	l.append(l.id, made(4200, 4200)...)
	l.index()
	l.retain()
	same(t, "tiers", [3]int{1, 0, 0}, l.tiers(l.id))
	return l
}

// Cursors are good for their caller, their chain and their list.
func TestCursorsOfChains(t *testing.T) {
	a := newAuditor(t)
	other := a.world.found(t, "other")
	a.append(a.id, made(20, 0)...)
	a.append(other.id, made(20, 0)...)
	found, err := a.s.Audit(t.Context(), a.who, a.chain(), audit.Filter{}, page(5))
	must(t, err)
	in := service.Page{Limit: 5, Cursor: found.Next}
	_, err = a.s.Audit(t.Context(), a.who, a.chain(), audit.Filter{}, in)
	must(t, err)
	second := a.holder(a.issue(service.TokenRequest{Name: "bob", TenantAdmin: true}))
	for name, ask := range map[string]func() error{
		"another caller": func() error {
			_, err := a.s.Audit(t.Context(), second.who, a.chain(), audit.Filter{}, in)
			return err
		},
		"another chain": func() error {
			_, err := a.s.Audit(t.Context(), other.who, service.Chain{Tenant: "other"}, audit.Filter{}, in)
			return err
		},
		"the server's": func() error {
			_, err := a.s.Audit(t.Context(), a.root, service.Chain{}, audit.Filter{}, in)
			return err
		},
		"another list": func() error {
			_, _, err := a.s.AuditCheckpoints(t.Context(), a.who, a.chain(), in)
			return err
		},
	} {
		if err := ask(); config.KindOf(err) != config.KindInvalidCursor {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// blockReads counts how often blocks are asked for.
type blockReads struct {
	store.Store
	n int
}

func (b *blockReads) Blocks(ctx context.Context, id config.TenantID, before uint64, limit int) ([]store.Block, error) {
	b.n++
	return b.Store.Blocks(ctx, id, before, limit)
}

// A search that ends long ago finds all, and does not go through what came since.
func TestSearchOfLongAgo(t *testing.T) {
	const blocks = 24
	l := &linear{auditor: newAuditor(t)}
	for range blocks * audit.BlockRecords / 1024 {
		l.clock.move(time.Minute)
		l.append(l.id, made(1024, 0)...)
	}
	l.index()
	l.read()
	l.clock.move(time.Hour) // before what the searches leave
	reads := &blockReads{Store: l.engine}
	s := l.process(reads)
	for _, n := range []int{1, 1023, 1024, 1025, 4095, 4096, 4097, 5000, 40_960, 40_961, 50_000, blocks*audit.BlockRecords - 1} {
		for name, to := range map[string]time.Time{"at": l.records[n].Time, "behind": l.records[n].Time.Add(time.Nanosecond)} {
			filter := audit.Filter{To: to, From: to.Add(-2 * time.Minute)}
			want := l.matching(filter, 1, uint64(len(l.records)))
			reads.n = 0
			var found []uint64
			for in := page(1000); ; {
				got, err := s.Audit(t.Context(), l.who, l.chain(), filter, in)
				must(t, err)
				for _, link := range got.Links {
					found = append(found, link.Sequence)
				}
				if in.Cursor = got.Next; in.Cursor == "" {
					break
				}
			}
			if !slices.Equal(want, found) {
				t.Errorf("%s record %d: %d found, %d there", name, n, len(found), len(want))
			}
			if pages := len(want)/1000 + 1; reads.n > 8*pages { // 5 to find the place, of 24
				t.Errorf("%s record %d: blocks were asked for %d times, on %d pages", name, n, reads.n, pages)
			}
			counts, err := s.AuditCounts(t.Context(), l.who, l.chain(), filter, nil, 0)
			must(t, err)
			counted := int64(0)
			for _, g := range counts.Groups {
				counted += g.Records
			}
			if counted != int64(len(want)) {
				t.Errorf("%s record %d: %d counted, %d there", name, n, counted, len(want))
			}
		}
	}
	l.sql(`DELETE FROM audit_blocks WHERE first = ?`, blocks/2*audit.BlockRecords+1) // which is asked first
	s = l.process(l.engine)
	filter := audit.Filter{To: l.records[1026].Time} // the first of the second thousand
	got, err := s.Audit(t.Context(), l.who, l.chain(), filter, page(5))
	must(t, err)
	same(t, "without a block", uint64(1026), got.Links[0].Sequence)
}
