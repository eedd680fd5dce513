package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// serving is another process over the same store, made as the options say.
func (w *world) serving(o service.Options) *service.Service {
	o.Store, o.Keyring, o.Clock = w.engine, w.keyring, w.clock.read
	return service.New(o)
}

// shelf is an archive.
type shelf struct {
	mu     sync.Mutex
	bodies map[string][]byte // by key
}

func newShelf() *shelf { return &shelf{bodies: map[string][]byte{}} }

func (s *shelf) Name() string { return "shelf" }

func (s *shelf) Put(_ context.Context, key string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[key] = bytes.Clone(body)
	return nil
}

func (s *shelf) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, there := s.bodies[key]
	if !there {
		return nil, config.Errorf(config.KindNotFound, "there is no %s", key)
	}
	return bytes.Clone(body), nil
}

func (s *shelf) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bodies, key)
	return nil
}

// collector is a sink that keeps what it is given.
type collector struct {
	name string
	mu   sync.Mutex
	got  []service.SinkRecord
	fail error // what it answers, having taken nothing
}

func (c *collector) Name() string { return c.name }

func (c *collector) Deliver(_ context.Context, records []service.SinkRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.got = append(c.got, records...)
	}
	return c.fail
}

func (c *collector) failing(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = err
}

// taken is what it was given of a chain behind a record, each once, in the order in
// which it came for the first time. What is before can come as well, packed
// together with what is wanted.
func (c *collector) taken(t tester, chain string, after int) (links []audit.Link) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.got {
		if !strings.HasSuffix(r.Origin, chain) || r.Sequence <= uint64(after) {
			continue
		}
		i, known := slices.BinarySearchFunc(links, r.Sequence, func(l audit.Link, s uint64) int { return int(l.Sequence) - int(s) })
		switch {
		case !known && i == len(links):
			links = append(links, r.Link)
		case !known:
			t.Fatalf("record %d of %s comes behind a later one", r.Sequence, chain)
		case !bytes.Equal(links[i].Record, r.Record) || links[i].Hash != r.Hash:
			t.Fatalf("record %d of %s comes in two forms", r.Sequence, chain)
		}
	}
	return links
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// chainOf is how the origin of a chain ends.
func chainOf(tenant config.TenantID) string {
	if tenant == (config.TenantID{}) {
		return "/server"
	}
	return "/tenants/" + tenant.String()
}

// delivers delivers until there is no more, and says how often it was asked to.
func delivers(t tester, s *service.Service, sink service.Sink, filter audit.Filter) (times int) {
	t.Helper()
	for more := true; more; times++ {
		var err error
		if more, err = s.DeliverAudit(t.Context(), sink, filter); err != nil {
			t.Fatal(describe(err))
		}
	}
	return times
}

// retains moves old records until there are no more chains to see to.
func retains(t tester, s *service.Service) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = s.RetainAudit(t.Context()); err != nil {
			t.Fatal(describe(err))
		}
	}
}

// eventsOn are the records of some events on a chain that are hot.
func (w *world) eventsOn(t testing.TB, tenant config.TenantID, events ...string) (found []audit.Record) {
	t.Helper()
	for after := uint64(0); ; {
		links, err := w.engine.Audit(t.Context(), tenant, after, 1000)
		must(t, err)
		if len(links) == 0 {
			return found
		}
		for _, l := range links {
			after = l.Sequence
			r, err := audit.ParseRecord(l.Record)
			must(t, err)
			if slices.Contains(events, r.Event) {
				found = append(found, r)
			}
		}
	}
}

// feeding is a world whose records are packed and archived while they are
// delivered, now and then by another process.
type feeding struct {
	*world
	s       *service.Service
	shelf   *shelf
	chains  []config.TenantID
	written map[config.TenantID][]audit.Link // by chain, all that was ever on it
	begun   map[config.TenantID]int          // by chain, how many there were when the sinks were told of
	packed  int
}

var shortRetention = service.AuditSetup{Hot: time.Hour, Warm: 48 * time.Hour, Keep: 1000 * day}

func newFeeding(t *testing.T) *feeding {
	t.Helper()
	f := &feeding{world: newWorld(t), shelf: newShelf(), written: map[config.TenantID][]audit.Link{}, begun: map[config.TenantID]int{}}
	f.chains = []config.TenantID{{}, f.found(t, "acme").id, f.found(t, "other").id}
	f.restart()
	return f
}

func (f *feeding) restart() {
	f.s = f.serving(service.Options{Archive: f.shelf, Audit: func() service.AuditSetup { return shortRetention }})
}

// note keeps what came to the chains, which is still hot then.
func (f *feeding) note(t tester) {
	t.Helper()
	for _, id := range f.chains {
		for {
			links, err := f.engine.Audit(t.Context(), id, uint64(len(f.written[id])), 1000)
			if err != nil {
				t.Fatal(describe(err))
			}
			if len(links) == 0 {
				break
			}
			if links[0].Sequence != uint64(len(f.written[id]))+1 {
				t.Fatalf("records were packed before they were noted")
			}
			f.written[id] = append(f.written[id], links...)
		}
	}
}

func (f *feeding) append(t tester, chain config.TenantID, n int) {
	t.Helper()
	records := make([]audit.Record, n)
	for i := range records {
		event := []string{"secret.read", "tag.set"}[i%2]
		records[i] = audit.Record{Event: event, Actor: "somebody", Outcome: audit.Success, RequestID: fmt.Sprint(len(f.written[chain]) + i)}
	}
	if err := f.engine.AppendAudit(t.Context(), chain, records...); err != nil {
		t.Fatal(describe(err))
	}
	f.note(t)
}

// pack waits until what is hot now is not any more.
func (f *feeding) pack(t tester, wait time.Duration) {
	t.Helper()
	f.note(t)
	f.clock.move(wait)
	for _, id := range f.chains { // which stay behind
		f.append(t, id, 1)
	}
	retains(t, f.s)
	f.note(t)
	for _, id := range f.chains {
		segments, err := f.engine.Segments(t.Context(), id, 0, 1000)
		if err != nil {
			t.Fatal(describe(err))
		}
		f.packed += len(segments)
	}
}

// all expects a sink to have all that came since the sinks were told of, and
// that the filter selects.
func (f *feeding) all(t tester, c *collector, event string) {
	t.Helper()
	f.note(t)
	for _, id := range f.chains {
		var want []audit.Link
		for _, l := range f.written[id][f.begun[id]:] {
			if event == "" || bytes.Contains(l.Record, []byte(`"event":"`+event+`"`)) {
				want = append(want, l)
			}
		}
		got := c.taken(t, chainOf(id), f.begun[id])
		if !slices.EqualFunc(want, got, func(a, b audit.Link) bool {
			return a.Sequence == b.Sequence && a.Hash == b.Hash && bytes.Equal(a.Record, b.Record)
		}) {
			t.Fatalf("of %s, %s has %d records and not the %d that there are", chainOf(id), c.name, len(got), len(want))
		}
	}
}

// However appending, packing, archiving, outages and restarts come one after the
// other, a sink has every record of every chain in the end, in its order.
func TestSinksGetEveryRecordInOrder(t *testing.T) {
	packed := 0
	rapid.Check(t, func(rt *rapid.T) {
		f := newFeeding(t)
		whole, part := &collector{name: "whole"}, &collector{name: "part"}
		reads := audit.Filter{Events: []string{"secret.read"}}
		delivers(rt, f.s, whole, audit.Filter{}) // which begins
		delivers(rt, f.s, part, reads)
		f.note(rt)
		for _, id := range f.chains {
			f.begun[id] = len(f.written[id])
		}
		once := func(c *collector, filter audit.Filter) {
			_, err := f.s.DeliverAudit(rt.Context(), c, filter)
			if err != nil {
				rt.Fatal(describe(err))
			}
			f.note(rt)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				f.append(t, rapid.SampledFrom(f.chains).Draw(t, "chain"), rapid.IntRange(1, 300).Draw(t, "records"))
			},
			"pack":    func(t *rapid.T) { f.pack(t, time.Duration(rapid.IntRange(1, 60).Draw(t, "hours"))*time.Hour) },
			"whole":   func(*rapid.T) { once(whole, audit.Filter{}) },
			"part":    func(*rapid.T) { once(part, reads) },
			"fail":    func(*rapid.T) { whole.failing(errDown) },
			"succeed": func(*rapid.T) { whole.failing(nil) },
			"restart": func(*rapid.T) { f.restart() },
		})
		whole.failing(nil)
		delivers(rt, f.s, whole, audit.Filter{})
		delivers(rt, f.s, part, reads)
		f.all(rt, whole, "")
		f.all(rt, part, "secret.read")
		packed += f.packed
	})
	if packed == 0 {
		t.Error("nothing was ever packed")
	}
}

// A sink that was away for longer than records are hot, and than they are in the
// database, gets them from where they are now.
func TestASinkThatWasAwayForLong(t *testing.T) {
	f := newFeeding(t)
	sink := &collector{name: "s"}
	delivers(t, f.s, sink, audit.Filter{})
	f.note(t)
	for _, id := range f.chains {
		f.begun[id] = len(f.written[id])
	}
	sink.failing(errDown)
	for range 4 {
		for _, id := range f.chains {
			f.append(t, id, 1200)
		}
		_, err := f.s.DeliverAudit(t.Context(), sink, audit.Filter{})
		must(t, err)
		f.pack(t, 40*time.Hour)
	}
	if len(f.shelf.bodies) == 0 {
		t.Fatal("nothing is in the archive")
	}
	f.restart()
	sink.failing(nil)
	delivers(t, f.s, sink, audit.Filter{})
	f.all(t, sink, "")
}

func TestANewSinkBeginsNow(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":1}`)
	sink := &collector{name: "s"}
	more, err := a.s.DeliverAudit(t.Context(), sink, audit.Filter{})
	must(t, err)
	same(t, "more", false, more)
	a.set("base", "a", `{"v":2}`)
	// Another process knows where it began.
	delivers(t, a.start(), sink, audit.Filter{})
	if len(sink.got) != 1 || !strings.Contains(string(sink.got[0].Record), `"event":"config.change"`) {
		t.Errorf("it has %d records: %+v", len(sink.got), sink.got)
	}
	// Its position is kept although nothing was delivered, and is its own.
	quiet, late := &collector{name: "quiet"}, &collector{name: "late"}
	delivers(t, a.s, quiet, audit.Filter{Events: []string{"tag.set"}})
	a.set("base", "a", `{"v":3}`)
	delivers(t, a.s, quiet, audit.Filter{Events: []string{"tag.set"}})
	a.tag("one", 2)
	delivers(t, a.s, quiet, audit.Filter{Events: []string{"tag.set"}})
	same(t, "tags", 1, len(quiet.got))
	delivers(t, a.s, late, audit.Filter{})
	delivers(t, a.s, late, audit.Filter{})
	same(t, "records of the one that begins last", 0, len(late.got))
}

// hung is a sink that takes nothing, and says so only when it has to.
type hung struct{ entered chan struct{} }

func (hung) Name() string { return "hung" }

func (h hung) Deliver(ctx context.Context, _ []service.SinkRecord) error {
	close(h.entered)
	<-ctx.Done()
	return ctx.Err()
}

// A sink that hangs keeps neither writers nor other sinks waiting. That the
// server ends meanwhile is not held against it.
func TestASinkThatHangs(t *testing.T) {
	a := newTenant(t)
	h, other := hung{make(chan struct{})}, &collector{name: "other"}
	for _, sink := range []service.Sink{h, other} {
		delivers(t, a.s, sink, audit.Filter{})
	}
	a.set("base", "a", `{"v":1}`)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := a.s.DeliverAudit(ctx, h, audit.Filter{})
		ended <- err
	}()
	<-h.entered
	for i := range 10 {
		a.set("base", "a", fmt.Sprintf(`{"v":"%d"}`, i))
		delivers(t, a.s, other, audit.Filter{})
	}
	same(t, "records at the other", 11, len(other.taken(t, chainOf(a.id), 0)))
	select {
	case err := <-ended:
		t.Fatalf("it did not hang: %v", err)
	default:
	}
	end()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the end is %v", err)
	}
	same(t, "records of it", 0, len(a.eventsOn(t, config.TenantID{}, "audit.sink.down")))
}

// A gap is on record once when it begins, whoever runs the job, and once when it
// is filled.
func TestAGapIsOnRecord(t *testing.T) {
	a := newTenant(t)
	sink := &collector{name: "s"}
	delivers(t, a.s, sink, audit.Filter{})
	sink.failing(errors.New("connection refused"))
	var began time.Time
	times := func() (all []string) { // of the records of both chains
		for _, id := range []config.TenantID{{}, a.id} {
			links, err := a.engine.Audit(t.Context(), id, 0, 10_000)
			must(t, err)
			for _, l := range links {
				r, err := audit.ParseRecord(l.Record)
				must(t, err)
				all = append(all, r.Time.Format(time.RFC3339Nano))
			}
		}
		slices.Sort(all)
		return all
	}
	a.clock.move(time.Second)
	had := len(times())
	for i := range 3 {
		a.clock.move(time.Second)
		a.set("base", "a", fmt.Sprintf(`{"v":"%d"}`, i))
		_, err := a.s.DeliverAudit(t.Context(), sink, audit.Filter{})
		must(t, err)
		if i == 0 {
			began = a.clock.read()
		}
	}
	from := times()[had]
	a.clock.move(time.Hour)
	second := a.start()
	_, err := second.DeliverAudit(t.Context(), sink, audit.Filter{})
	must(t, err)
	down := a.eventsOn(t, config.TenantID{}, "audit.sink.down")
	if len(down) != 1 || down[0].Details["sink"] != "s" || down[0].Details["from"] != from || down[0].Resource != "server/audit/sinks/s" ||
		down[0].Reason != "connection refused" || down[0].Outcome != audit.Failed {
		t.Fatalf("on record is %+v", down)
	}
	same(t, "records of its end", 0, len(a.eventsOn(t, config.TenantID{}, "audit.sink.up")))

	for range 3 { // more than is delivered at once
		must(t, a.engine.AppendAudit(t.Context(), a.id, make([]audit.Record, 400)...))
	}
	sink.failing(nil)
	_, err = second.DeliverAudit(t.Context(), sink, audit.Filter{})
	must(t, err)
	same(t, "records of its end, before the gap is filled", 0, len(a.eventsOn(t, config.TenantID{}, "audit.sink.up")))
	a.clock.move(time.Minute)
	last := times()
	third := a.start()
	delivers(t, third, sink, audit.Filter{})
	up := a.eventsOn(t, config.TenantID{}, "audit.sink.up")
	if len(up) != 1 {
		t.Fatalf("on record is %+v", up)
	}
	// All but the record of the end itself, which came behind it.
	same(t, "details", map[string]string{
		"sink": "s", "from": from, "to": last[len(last)-1], "records": fmt.Sprint(len(sink.got) - 1), "down": began.UTC().Format(time.RFC3339),
	}, up[0].Details)

	// The next gap is another one.
	sink.failing(errDown)
	a.set("base", "a", `{"v":"next"}`)
	_, err = third.DeliverAudit(t.Context(), sink, audit.Filter{})
	must(t, err)
	same(t, "gaps", 2, len(a.eventsOn(t, config.TenantID{}, "audit.sink.down")))
}

// A gap that cannot be put on record is, once it can.
func TestAGapWhileNothingCanBeRecorded(t *testing.T) {
	a := newTenant(t)
	sink := &collector{name: "s"}
	delivers(t, a.s, sink, audit.Filter{})
	a.set("base", "a", `{"v":1}`)
	sink.failing(errDown)
	a.engine.auditDown.Store(true)
	if _, err := a.s.DeliverAudit(t.Context(), sink, audit.Filter{}); err == nil {
		t.Error("nobody is told that the gap is on no record")
	}
	a.engine.auditDown.Store(false)
	_, err := a.s.DeliverAudit(t.Context(), sink, audit.Filter{})
	must(t, err)
	same(t, "gaps", 1, len(a.eventsOn(t, config.TenantID{}, "audit.sink.down")))
}

// Whoever alters a record or a segment keeps nothing else from being seen.
func TestAlteredRecordsDoNotEndTheFeed(t *testing.T) {
	f := newFeeding(t)
	a := &actor{world: f.world, t: t}
	sink := &collector{name: "s"}
	delivers(t, f.s, sink, audit.Filter{})
	f.append(t, f.chains[1], 30)
	f.append(t, f.chains[2], 30)
	f.pack(t, 30*time.Hour)
	f.append(t, f.chains[2], 3)
	a.tamper(`UPDATE audit_segment_bodies SET body = x'00' WHERE tenant = ?`, f.chains[1][:])
	a.tamper(`UPDATE audit SET record = x'7b' WHERE tenant = ? AND sequence = ?`, f.chains[2][:], len(f.written[f.chains[2]])-1)
	f.restart()
	delivers(t, f.s, sink, audit.Filter{})
	got := sink.taken(t, chainOf(f.chains[2]), 0)
	newest := f.written[f.chains[2]][len(f.written[f.chains[2]])-1]
	if got[len(got)-1].Sequence != newest.Sequence {
		t.Errorf("the feed ends at record %d", got[len(got)-1].Sequence)
	}
	var told []string
	for _, r := range f.eventsOn(t, config.TenantID{}, "audit.broken") {
		told = append(told, r.Resource)
	}
	slices.Sort(told)
	want := []string{"tenants/" + f.chains[1].String() + "/audit", "tenants/" + f.chains[2].String() + "/audit"}
	slices.Sort(want)
	same(t, "chains that are said to be broken", want, told)
}

// What the archive does not have is waited for: another place may be configured.
func TestAnArchiveThatDoesNotHaveIt(t *testing.T) {
	f := newFeeding(t)
	sink := &collector{name: "s"}
	delivers(t, f.s, sink, audit.Filter{})
	f.note(t)
	for _, id := range f.chains {
		f.begun[id] = len(f.written[id])
	}
	f.append(t, f.chains[1], 30)
	f.pack(t, 30*time.Hour)
	f.pack(t, 60*time.Hour)
	bodies := f.shelf.bodies
	f.shelf.bodies = map[string][]byte{}
	f.restart()
	if _, err := f.s.DeliverAudit(t.Context(), sink, audit.Filter{}); err == nil {
		t.Error("nobody is told that records are missing from the archive")
	}
	f.shelf.bodies = bodies
	delivers(t, f.s, sink, audit.Filter{})
	f.all(t, sink, "")
}

// A chain that cannot be indexed keeps no other from being.
func TestIndexingGoesOnBehindABrokenChain(t *testing.T) {
	w := newWorld(t)
	a, b := w.found(t, "acme"), w.found(t, "other")
	for _, id := range []config.TenantID{a.id, b.id} {
		must(t, w.engine.AppendAudit(t.Context(), id, make([]audit.Record, audit.BlockRecords)...))
	}
	a.tamper(`UPDATE audit SET record = x'7b' WHERE tenant = ? AND sequence = 7`, a.id[:])
	more, err := w.s.IndexAudit(t.Context())
	if err != nil || !more {
		t.Errorf("more is %t, the error %v", more, err)
	}
	for more := true; more; {
		more, err = w.s.IndexAudit(t.Context())
		must(t, err)
	}
	status, err := w.s.AuditStatus(t.Context(), a.who, service.Chain{Tenant: a.tenant})
	must(t, err)
	if status.Broken == "" {
		t.Error("a chain that does not hold is indexed as if it did")
	}
	for id, want := range map[config.TenantID]uint64{a.id: 0, b.id: audit.BlockRecords} {
		chain, err := w.engine.Chain(t.Context(), id)
		must(t, err)
		same(t, "records that are indexed", want, chain.Indexed)
	}
}
