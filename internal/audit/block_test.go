package audit

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// worlds are few values of each member, so that generated filters meet generated
// records, and some that are odd.
var (
	someEvents    = []string{"secret.read", "secret.set", "config.change", "config.reads", "authentication.failures", "authentication.failed", ""}
	someActors    = []string{"token:a", "token:b", "jwt:c", "anonymous", ""}
	someActions   = []string{"secret.read", "config.write", "config.read", ""}
	someSources   = []string{"10.1.2.3", "10.1.9.9", "::ffff:10.1.2.3", "2001:db8::1", "fe80::1%eth0", "invalid IP", ""}
	someResources = []string{
		tenantA + "/environments/production/a", tenantA + "/environments/production2/a", tenantA + "/environments/production",
		tenantA + "/environments/base/secrets/db", "tenants/ffffffffffffffffffffffffffffffff/environments/production/a", "server/keys", "server", "",
	}
	someIDs = []string{"", "", "id-1", "id-2", "0af7651916cd43dd8448eb211c80319c"}
)

func blockRecord(t *rapid.T) Record {
	pick := func(name string, from []string) string { return rapid.SampledFrom(from).Draw(t, name) }
	return Record{
		Time:  time.Unix(rapid.Int64Range(-4000, 4000).Draw(t, "seconds"), rapid.Int64Range(0, 3).Draw(t, "nanos")).UTC(),
		Event: pick("event", someEvents), Actor: pick("actor", someActors), Action: pick("action", someActions),
		Outcome: Outcome(pick("outcome", []string{"success", "denied", "failed"})), Source: pick("source", someSources),
		Resource: pick("resource", someResources), Resources: rapid.SliceOfN(rapid.SampledFrom(someResources), 0, 2).Draw(t, "resources"),
		RequestID: pick("request", someIDs), TraceID: pick("trace", someIDs), Session: pick("session", someIDs),
		Details: map[string]string{"count": pick("count", []string{"1", "2", "70", "x"})},
	}
}

func anyFilter(t *rapid.T) Filter {
	some := func(name string, from []string) []string {
		none := rapid.Just([]string(nil))
		return rapid.OneOf(none, none, none, rapid.SliceOfN(rapid.SampledFrom(from), 1, 3)).Draw(t, name)
	}
	at := rapid.OneOf(rapid.Just(time.Time{}), rapid.Just(time.Time{}), rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-4000, 4000).Draw(t, "seconds"), rapid.Int64Range(0, 3).Draw(t, "nanos"))
	}))
	id := func(name string) string {
		return rapid.OneOf(rapid.Just(""), rapid.Just(""), rapid.Just(""), rapid.SampledFrom(append(someIDs, "none"))).Draw(t, name)
	}
	return Filter{
		From: at.Draw(t, "from"), To: at.Draw(t, "to"),
		Events:   some("events", append(someEvents, "secret.*", "config.*", "tag.set")),
		Actors:   some("actors", append(someActors, "token:none")),
		Actions:  some("actions", append(someActions, "config.*", "none")),
		Outcomes: rapid.OneOf(rapid.Just([]Outcome(nil)), rapid.Just([]Outcome{Denied, Failed})).Draw(t, "outcomes"),
		Resource: rapid.SampledFrom(append(someResources, "", "", "", "", "", "", "environments/production", "environments", "tenants", "none")).Draw(t, "resource"),
		Source: rapid.SampledFrom([]netip.Prefix{
			{}, {}, {}, {}, {}, {}, netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("::ffff:10.0.0.0/104"),
		}).Draw(t, "source"),
		RequestID: id("request"), TraceID: id("trace"), Session: id("session"),
	}
}

func chained(records []Record, first uint64) []Link {
	links, head := make([]Link, len(records)), Head{Sequence: first - 1}
	for i, r := range records {
		links[i] = head.Next(r.Canonical())
		head = links[i].Head()
	}
	return links
}

func mustBuild(t testing.TB, links []Link) *Block {
	t.Helper()
	b, err := BuildBlock(links)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseBlock(slices.Clone(b.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestBlockFindsWhatMatches holds a Block against asking the Filter about each record.
func TestBlockFindsWhatMatches(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(blockRecord), 1, 40).Draw(rt, "records")
		first := rapid.SampledFrom([]uint64{1, 4097}).Draw(rt, "first")
		b := mustBuild(t, chained(records, first))
		if b.First() != first || b.Last() != first+uint64(len(records))-1 {
			rt.Fatalf("the block is of %d to %d", b.First(), b.Last())
		}
		for range 8 {
			f := anyFilter(rt)
			before := rapid.OneOf(rapid.Just(uint64(math.MaxUint64)), rapid.Uint64Range(0, first+50)).Draw(rt, "before")
			limit := rapid.IntRange(0, 12).Draw(rt, "limit")
			var want []uint64
			for i := len(records) - 1; i >= 0; i-- {
				if s := first + uint64(i); f.Matches(&records[i]) && s < before && len(want) < limit {
					want = append(want, s)
				}
			}
			found += len(want)
			if got := b.Find(&f, before, limit); !slices.Equal(got, want) {
				rt.Fatalf("%+v: found %d, want %d", f, got, want)
			}
		}
	})
	if found == 0 {
		t.Error("no filter matched anything")
	}
}

// TestBlockCounts holds a Block against counting record by record.
func TestBlockCounts(t *testing.T) {
	groups, over := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(blockRecord), 1, 40).Draw(rt, "records")
		b := mustBuild(t, chained(records, 1))
		dimensions := rapid.Permutation([]Dimension{ByEvent, ByActor, ByAction, ByOutcome, BySource}).Draw(rt, "by")
		want := Counts{
			By:     dimensions[:rapid.IntRange(0, maxDimensions).Draw(rt, "dimensions")],
			Window: rapid.SampledFrom([]time.Duration{0, time.Second, 7 * time.Second, time.Hour}).Draw(rt, "window"),
			Most:   rapid.SampledFrom([]int{0, 1, 5}).Draw(rt, "most"),
		}
		if err := want.Check(); err != nil {
			rt.Fatal(err)
		}
		got := want
		for range 2 { // the second time into groups that are there
			f := anyFilter(rt)
			if rapid.Bool().Draw(rt, "all") {
				f = Filter{}
			}
			for i := range records {
				if f.Matches(&records[i]) {
					want.Add(&records[i])
				}
			}
			b.Count(&f, &got)
		}
		if !maps.Equal(got.Groups, want.Groups) || got.Over != want.Over {
			rt.Fatalf("got %v, %v, want %v, %v", got.Groups, got.Over, want.Groups, want.Over)
		}
		groups += len(want.Groups)
		if want.Over {
			over++
		}
	})
	if groups == 0 || over == 0 {
		t.Errorf("%d groups were counted, and %d times there were too many", groups, over)
	}
}

func TestCounts(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 999) }
	c := Counts{By: []Dimension{ByEvent, ByActor}, Window: time.Minute, Most: 3}
	for _, r := range []Record{
		{Time: at(119), Event: "config.reads", Actor: "a", Details: map[string]string{"count": "10"}},
		{Time: at(60), Event: "config.reads", Actor: "a"},
		{Time: at(59), Event: "config.reads", Actor: "a"},
		{Time: at(-1), Event: "tag.set", Actor: "b"},
		{Time: at(0), Event: "tag.set", Actor: "b"}, // one group too many
		{Time: at(-60), Event: "tag.set", Actor: "b"},
	} {
		c.Add(&r)
	}
	want := map[CountKey]Count{
		{60, [2]string{"config.reads", "a"}}: {2, 11},
		{0, [2]string{"config.reads", "a"}}:  {1, 1},
		{-60, [2]string{"tag.set", "b"}}:     {2, 2},
	}
	if !maps.Equal(c.Groups, want) || !c.Over {
		t.Errorf("got %v, %v, want %v", c.Groups, c.Over, want)
	}
}

func TestCountsCheck(t *testing.T) {
	for _, c := range []struct {
		counts Counts
		want   string
	}{
		{Counts{}, ""},
		{Counts{By: []Dimension{ByOutcome, BySource}, Window: 24 * time.Hour}, ""},
		{Counts{By: []Dimension{ByEvent, ByActor, ByAction}}, "(at by)"},
		{Counts{By: []Dimension{"tenant"}}, `"tenant" (at by)`},
		{Counts{By: []Dimension{ByEvent, ByEvent}}, "twice (at by)"},
		{Counts{Window: -time.Second}, "(at window)"},
		{Counts{Window: 1500 * time.Millisecond}, "(at window)"},
	} {
		err := c.counts.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: the error is %v, want %q", c.counts, err, c.want)
		}
	}
}

func TestBlockOfAnyTime(t *testing.T) {
	times := []time.Time{{}, time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Unix(0, 0), time.Unix(-1, 5)}
	records := make([]Record, len(times))
	for i, at := range times {
		records[i].Time = at
	}
	b := mustBuild(t, chained(records, 1))
	for i, at := range times {
		if got := b.time(i); !got.Equal(at) {
			t.Errorf("got %v, want %v", got, at)
		}
	}
	if first, last := b.Times(); !first.Equal(times[0]) || !last.Equal(times[3]) {
		t.Errorf("the times are %v and %v", first, last)
	}
	if got := b.Find(&Filter{From: times[1]}, 100, 10); !slices.Equal(got, []uint64{2}) {
		t.Errorf("found %d", got)
	}
}

func TestBuildBlockRefuses(t *testing.T) {
	links := chained(make([]Record, BlockRecords+1), 1)
	for name, c := range map[string]struct {
		links []Link
		want  string
	}{
		"nothing":       {nil, "1 to 4096"},
		"too many":      {links, "1 to 4096"},
		"the middle":    {links[1:5], "behind a multiple"},
		"a gap":         {[]Link{links[0], links[2]}, "do not follow"},
		"what is no":    {[]Link{{Sequence: 1, Record: []byte("{}")}}, "record 1 cannot be indexed"},
		"out of order":  {[]Link{links[0], links[0]}, "do not follow"},
		"another later": {[]Link{links[0], {Sequence: 2, Record: []byte(`{"schema":9}`)}}, "record 2 cannot be indexed"},
	} {
		if _, err := BuildBlock(c.links); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, c.want)
		}
	}
	if b := mustBuild(t, links[:BlockRecords]); b.Last() != BlockRecords {
		t.Errorf("the last record is %d", b.Last())
	}
}

func TestParseBlockRefuses(t *testing.T) {
	good := mustBuild(t, chained([]Record{typical, full, {}}, 1)).Encode()
	for n := range good {
		if _, err := ParseBlock(good[:n]); err == nil {
			t.Errorf("the first %d bytes are a block", n)
		}
	}
	if _, err := ParseBlock(append(slices.Clone(good), 0)); err == nil {
		t.Error("a byte more is a block")
	}
	if _, err := ParseBlock(append([]byte{2}, good[1:]...)); err == nil || !strings.Contains(err.Error(), "built again") {
		t.Errorf("the error is %v", err)
	}
}

func TestParseBlockRefusesWhatPointsNowhere(t *testing.T) {
	for name, spoil := range map[string]func(*blockWriter){
		"an event":         func(w *blockWriter) { w.event[0] = 1 },
		"a source":         func(w *blockWriter) { w.source[0] = math.MaxUint64 },
		"a resource":       func(w *blockWriter) { w.targets[0] = 3 },
		"too many of them": func(w *blockWriter) { w.several[0] = maxBlockResources + 1 },
		"many, together": func(w *blockWriter) {
			w.several[0], w.several[1], w.targets = maxBlockResources, 1, make([]uint64, maxBlockResources+1)
		},
		"no events at all":  func(w *blockWriter) { w.events = collector{} },
		"two texts of four": func(w *blockWriter) { w.event[0], w.event[1] = 0, 2 },
	} {
		w := newBlockWriter(2)
		w.add(&typical)
		w.add(&typical)
		spoil(w)
		if _, err := ParseBlock(w.encode(1)); err == nil {
			t.Errorf("%s: it is a block", name)
		}
	}
	for name, encoded := range map[string]string{
		"text of nobody":   "\x01" + "\x01\x00" + "\x02ab",             // one text that ends at 1, of 2 bytes
		"beyond the end":   "\x01" + "\x03\x00" + "\x02ab",             // it ends at 3
		"an end too early": "\x03" + "\x00\x01\x02\x01\x02" + "\x02ab", // they end at 2, 1 and 2
		"too many":         "\x09" + "\x00\x00" + "\x00",
		"too wide":         "\x01" + "\x00\x09" + "\x00",
	} {
		r := blockReader{rest: []byte(encoded)}
		if r.dictionary(8); !r.failed {
			t.Errorf("%s: it is a dictionary", name)
		}
	}
}

// use searches and counts in a block by all that one can ask for.
func use(b *Block) {
	b.Find(&Filter{
		From: time.Unix(0, 0), Events: []string{"*.*", "secret.*"}, Source: netip.MustParsePrefix("::/0"), Resource: "server", TraceID: typical.TraceID,
	}, math.MaxUint64, 1)
	counts := Counts{By: []Dimension{ByEvent, BySource}, Window: time.Hour}
	b.Count(&Filter{Resource: "tenants", To: time.Unix(1<<40, 0)}, &counts)
	b.Count(&Filter{}, &counts)
	for _, d := range []Dimension{ByActor, ByAction, ByOutcome} {
		b.Count(&Filter{}, &Counts{By: []Dimension{d}})
	}
}

// TestAnyByteOfABlock holds that a block that was altered is refused, or can be used.
func TestAnyByteOfABlock(t *testing.T) {
	several := typical
	several.Resources = []string{"server/a", "server/b"}
	good := mustBuild(t, chained([]Record{full, several, {}, typical}, 4097)).Encode()
	taken := 0
	for i := range good {
		for _, change := range []byte{1, 2, 0x7f, 0x80, 0xff} {
			altered := slices.Clone(good)
			altered[i] ^= change
			if b, err := ParseBlock(altered); err == nil {
				use(b)
				taken++
			}
		}
	}
	if taken == 0 {
		t.Error("every alteration was refused: nothing was used")
	}
}

// FuzzParseBlock holds that whatever is taken for a block can be searched and
// counted, and encodes to the same bytes.
func FuzzParseBlock(f *testing.F) {
	several := typical
	several.Resources = []string{"server/a", "server/b"}
	f.Add(mustBuild(f, chained([]Record{typical}, 1)).Encode())
	f.Add(mustBuild(f, chained([]Record{full, several, {}, typical}, 4097)).Encode())
	f.Fuzz(func(t *testing.T, encoded []byte) {
		b, err := ParseBlock(encoded)
		if err != nil {
			return
		}
		if !slices.Equal(b.Encode(), encoded) {
			t.Fatal("it encodes to other bytes")
		}
		all := b.Find(&Filter{}, math.MaxUint64, BlockRecords)
		if len(all) == 0 || all[0] != b.Last() || all[len(all)-1] != b.First() || b.Size() < len(encoded) {
			t.Fatalf("the block of %d to %d has %d records", b.First(), b.Last(), len(all))
		}
		use(b)
	})
}

// million are the encoded blocks of a million records of a busy tenant: 2,000
// actors and addresses, 20,000 resources, of which few are used much.
func million(b *testing.B) (blocks [][]byte, links []Link) {
	b.Helper()
	const total = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	zipf := func(n uint64) *rand.Zipf { return rand.NewZipf(random, 1.1, 8, n-1) }
	actors, resources, events := zipf(2000), zipf(20_000), zipf(uint64(len(Events)))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	head, run := Head{}, make([]Link, 0, BlockRecords)
	for i := range total {
		at = at.Add(time.Duration(random.Int64N(int64(5 * time.Second))))
		actor, event := actors.Uint64(), Events[events.Uint64()].Name
		r := typical
		r.Time, r.Event, r.Action = at, event, event
		r.Actor, r.Source = fmt.Sprintf("token:01JD8Z0Y8Q4W5E6R7T%06d", actor), fmt.Sprintf("10.%d.%d.%d", actor%7, actor/250, actor%250)
		r.Resource = fmt.Sprintf("%s/environments/production/secrets/providers/p%d", tenantA, resources.Uint64())
		r.RequestID, r.TraceID = fmt.Sprintf("01JD8Z0Y8Q4W5E6R7T%08d", i), fmt.Sprintf("%032x", random.Uint64())
		if i == total/2 {
			r.Actor = "token:rare"
		}
		run = append(run, head.Next(r.Canonical()))
		head = run[len(run)-1].Head()
		if len(run) < BlockRecords && i < total-1 {
			continue
		}
		block, err := BuildBlock(run)
		if err != nil {
			b.Fatal(err)
		}
		if links == nil {
			links = slices.Clone(run)
		}
		blocks, run = append(blocks, block.Encode()), run[:0]
	}
	return blocks, links
}

// BenchmarkBlocks is of a million records.
func BenchmarkBlocks(b *testing.B) {
	blocks, links := million(b)
	size := 0
	for _, encoded := range blocks {
		size += len(encoded)
	}
	b.Run("build one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := BuildBlock(links); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(size)/1e6, "bytes/record")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(links)), "ns/record")
	})
	for _, c := range []struct {
		name   string
		filter Filter
		least  int
	}{
		{"absent actor", Filter{Actors: []string{"token:absent"}}, 0},
		{"absent resource", Filter{Resource: "environments/production/secrets/absent"}, 0},
		{"absent source", Filter{Source: netip.MustParsePrefix("192.168.0.0/16")}, 0},
		{"absent request", Filter{RequestID: "absent"}, 0},
		{"rare actor", Filter{Actors: []string{"token:rare"}}, 1},
		{"rare resource", Filter{Resource: "environments/production/secrets/providers/p19876"}, 1},
		{"request", Filter{RequestID: fmt.Sprintf("01JD8Z0Y8Q4W5E6R7T%08d", 1234)}, 1},
		{"a day", Filter{From: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 16, 0, 0, 0, 0, time.UTC)}, 100},
		{"common event", Filter{Events: []string{Events[0].Name}}, 100},
	} {
		b.Run("find 100 of "+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				found := 0
				for i := len(blocks) - 1; i >= 0 && found < 100; i-- {
					block, err := ParseBlock(blocks[i])
					if err != nil {
						b.Fatal(err)
					}
					found += len(block.Find(&c.filter, math.MaxUint64, 100-found))
				}
				if found < c.least {
					b.Fatalf("found %d", found)
				}
			}
		})
	}
	for _, c := range []struct {
		name   string
		counts Counts
	}{
		{"event", Counts{By: []Dimension{ByEvent}}},
		{"event and hour", Counts{By: []Dimension{ByEvent}, Window: time.Hour, Most: 1_000_000}},
		{"actor and day", Counts{By: []Dimension{ByActor}, Window: 24 * time.Hour, Most: 1_000_000}},
	} {
		b.Run("count by "+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				counts := c.counts
				for _, encoded := range blocks {
					block, err := ParseBlock(encoded)
					if err != nil {
						b.Fatal(err)
					}
					block.Count(&Filter{}, &counts)
				}
				if len(counts.Groups) == 0 || counts.Over {
					b.Fatalf("%d groups", len(counts.Groups))
				}
			}
		})
	}
}
