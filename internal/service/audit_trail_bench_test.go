package service_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// trailDays is how long the records of a trail took to come about.
const trailDays = 7

// trailRecords is how many there are: LLM_CONFIG_AUDIT_RECORDS, or few.
func trailRecords(b *testing.B) int {
	b.Helper()
	text := os.Getenv("LLM_CONFIG_AUDIT_RECORDS")
	if text == "" {
		return 50_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2*audit.BlockRecords {
		b.Fatalf("LLM_CONFIG_AUDIT_RECORDS=%s: write a number of at least %d", text, 2*audit.BlockRecords)
	}
	return n
}

// trail is a tenant's chain of records of all kinds.
type trail struct {
	*actor
	records int
	now     atomic.Int64 // nanoseconds, which each look at the clock moves by step
	step    atomic.Int64
	data    *sqlite.Store
}

func (t *trail) clock() time.Time { return time.Unix(0, t.now.Add(t.step.Load())) }

func (t *trail) chain() service.Chain { return service.Chain{Tenant: t.tenant} }

// BenchmarkAuditTrail fills a chain of LLM_CONFIG_AUDIT_RECORDS records, and
// measures in this order: filling, the index, checkpoints, verification, searches
// and counts, packing alone and beside readers of secrets, and searches in what
// was packed. The parts depend on those before, so they are run together; with
// -v it says how far it is.
func BenchmarkAuditTrail(b *testing.B) {
	t := newTrail(b)
	once(b, "fill", func(b *testing.B) figures {
		before, began := t.pages(b), time.Now()
		t.fill(b)
		return figures{"records/s": t.rate(began), "bytes/record": t.perRecord(t.pages(b) - before)}
	})
	once(b, "index", func(b *testing.B) figures {
		before, began := t.pages(b), time.Now()
		repeat(b, t.s.IndexAudit)
		return figures{"records/s": t.rate(began), "bytes/record": t.perRecord(t.pages(b) - before)}
	})
	once(b, "checkpoints", func(b *testing.B) figures {
		began := time.Now()
		repeat(b, t.s.SignCheckpoints)
		return figures{"records/s": t.rate(began)}
	})
	once(b, "verify hot", t.verify)
	t.searches(b, "hot", 300, 50)
	once(b, "counts by event and hour", t.counts)
	once(b, "pack alone", func(b *testing.B) figures { return t.pack(b, 0.5, false) })
	once(b, "pack beside readers", func(b *testing.B) figures { return t.pack(b, 1, true) })
	once(b, "verify packed", t.verify)
	repeat(b, t.s.IndexAudit) // of the reads that were put on record meanwhile
	t.searches(b, "packed", 100, 20)
}

// figures are what a part of the benchmark came to, by unit.
type figures map[string]float64

// once runs a part a single time, however often it is to be measured: it leaves
// the chain other than it was.
func once(b *testing.B, name string, run func(*testing.B) figures) {
	var found figures
	b.Run(name, func(b *testing.B) {
		if found == nil {
			found = run(b)
		}
		for unit, figure := range found {
			b.ReportMetric(figure, unit)
		}
		b.ReportMetric(0, "ns/op")
	})
}

// rate is how many records a second there were of all, since it began.
func (t *trail) rate(began time.Time) float64 {
	return float64(t.records) / time.Since(began).Seconds()
}

func (t *trail) perRecord(bytes int64) float64 { return float64(bytes) / float64(t.records) }

func (t *trail) verify(b *testing.B) figures {
	began := time.Now()
	report, err := t.s.VerifyAudit(b.Context(), t.who, t.chain(), nil)
	if err != nil || report.Broken != nil || report.Records < uint64(t.records) {
		b.Fatal(report, err)
	}
	return figures{"records/s": float64(report.Records) / time.Since(began).Seconds()}
}

// counts counts all records, by a process that has just begun and once more.
func (t *trail) counts(b *testing.B) figures {
	s, found := t.fresh(), figures{}
	for _, state := range []string{"cold", "warm"} {
		began := time.Now()
		counts, err := s.AuditCounts(b.Context(), t.who, t.chain(), audit.Filter{}, []audit.Dimension{audit.ByEvent}, time.Hour)
		if err != nil || len(counts.Groups) < trailDays*24 {
			b.Fatal(len(counts.Groups), err)
		}
		found[state+"-ms"] = milliseconds(time.Since(began))
	}
	return found
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// quantile is that of durations, which it sorts.
func quantile(took []time.Duration, q float64) float64 {
	slices.Sort(took)
	return milliseconds(took[int(q*float64(len(took)-1))])
}

func repeat(b *testing.B, run func(context.Context) (bool, error)) {
	b.Helper()
	for {
		more, err := run(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func newTrail(b *testing.B) *trail {
	b.Helper()
	w := newWorld(b)
	t := &trail{actor: w.found(b, "acme"), records: trailRecords(b)}
	t.putSecret("base", "db", "one")
	must(b, t.engine.Close())
	t.now.Store(midnight.UnixNano())
	data, err := sqlite.Open(b.Context(), filepath.Dir(t.master), sqlite.Options{Clock: t.clock})
	must(b, err)
	b.Cleanup(func() { _ = data.Close() })
	t.data, t.engine = data, &engine{Store: data}
	t.s = t.fresh()
	return t
}

// fresh is another process over the same store: nothing is in its caches.
func (t *trail) fresh() *service.Service {
	return service.New(service.Options{
		Store: t.data, Keyring: t.keyring, Clock: t.clock,
		Audit: func() service.AuditSetup { return service.AuditSetup{Hot: trailDays * 24 * time.Hour} },
	})
}

// pages is the size of the database without what is free in it.
func (t *trail) pages(b *testing.B) int64 {
	b.Helper()
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(t.master), "data.db"))
	must(b, err)
	defer db.Close()
	var pages, free, size int64
	for _, of := range []struct {
		pragma string
		to     *int64
	}{{"page_count", &pages}, {"freelist_count", &free}, {"page_size", &size}} {
		must(b, db.QueryRowContext(b.Context(), "PRAGMA "+of.pragma).Scan(of.to))
	}
	return (pages - free) * size
}

const (
	fillAtOnce   = 1000
	trailActors  = 50
	trailSecrets = 500
)

// fill appends the records as the server does, some at a time.
func (t *trail) fill(b *testing.B) {
	b.Helper()
	t.step.Store(int64(trailDays*24*time.Hour) / int64(t.records))
	defer t.step.Store(0)
	records, told := make([]audit.Record, fillAtOnce), time.Now()
	for n := 0; n < t.records; n += fillAtOnce {
		for i := range records {
			records[i] = t.record(n + i)
		}
		must(b, t.data.AppendAudit(b.Context(), t.id, records[:min(fillAtOnce, t.records-n)]...))
		if testing.Verbose() && time.Since(told) > 10*time.Second {
			told = time.Now()
			b.Logf("%d of %d records", n, t.records)
		}
	}
}

func actorOf(i int) string { return fmt.Sprintf("token:7f3a9c2e%04d", i) }

func secretOf(i int) string { return fmt.Sprintf("environments/production/secrets/app-%d/api-key", i) }

func sourceOf(actor int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 20, byte(actor % 8), byte(actor)})
}

// requestOf has as many digits that cannot be foreseen as the id of a request.
func requestOf(n int) string {
	random := rand.New(rand.NewPCG(4, uint64(n)))
	return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
}

// record is the n-th of a trail: of a hundred, 70 are reads of secrets, 14 counts
// of reads, 8 changes, 3 steps of secrets, 2 denials, 2 failed authentications,
// and 1 of what is rare. The same n is always the same record.
func (t *trail) record(n int) audit.Record {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	who, prefix := int(random.ExpFloat64()*10)%trailActors, "tenants/"+t.id.String()+"/"
	r := audit.Record{
		Event: "secret.read", Actor: actorOf(who), Action: "secret.read", Tenant: t.id.String(), Outcome: audit.Success,
		Resource: prefix + secretOf(random.IntN(trailSecrets)), RequestID: requestOf(n), Source: sourceOf(who).String(),
		UserAgent: "llm-config-go/1.0 (linux; amd64)", Details: map[string]string{"version": strconv.Itoa(1 + random.IntN(9))},
	}
	if random.IntN(2) == 0 {
		r.TraceID = fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
	}
	document := prefix + fmt.Sprintf("environments/production/apps/app-%d/gateway", random.IntN(trailSecrets))
	switch kind := random.IntN(100); {
	case kind < 70:
	case kind < 84:
		r.Event, r.Action, r.Resource = "config.reads", "config.read", prefix+"environments/production"
		r.Details = map[string]string{"count": strconv.Itoa(1 + random.IntN(5000))}
		r.RequestID, r.TraceID, r.Source, r.UserAgent = "", "", "", ""
	case kind < 92:
		r.Event, r.Action, r.Resource, r.Revision = "config.change", "config.write", document, int64(n)
		r.Details = map[string]string{"edits": "1", "content": fmt.Sprintf("hmac:%016x%016x", random.Uint64(), random.Uint64())}
	case kind < 95:
		r.Event, r.Action, r.Revision = "secret.rotate", "secret.write", int64(n)
	case kind < 97:
		r.Event, r.Outcome, r.Reason, r.Details = "authorization.denied", audit.Denied, "no policy allows it", nil
	case kind < 99:
		r.Event, r.Outcome, r.Action, r.Resource, r.Details = "authentication.failed", audit.Failed, "authenticate", prefix[:len(prefix)-1], nil
		r.Actor, r.Source = "unknown", fmt.Sprintf("192.0.%d.%d", random.IntN(256), random.IntN(256))
	default:
		r.Event, r.Action, r.Resource, r.Details = "token.create", "token.write", prefix+fmt.Sprintf("tokens/%08x", random.Uint32()), nil
	}
	return r
}

const searchPage = 100

// searches measures some hundred random searches of each kind, by a process that
// has been searched before and by one that has just begun.
func (t *trail) searches(b *testing.B, where string, warm, cold int) {
	random := rand.New(rand.NewPCG(2, 3))
	at := func(part float64) time.Time {
		return midnight.Add(time.Duration(part * float64(trailDays*24*time.Hour)))
	}
	absent := requestOf(-1)
	for _, kind := range []struct {
		name   string
		filter func() audit.Filter
	}{
		{"request id", func() audit.Filter { return audit.Filter{RequestID: requestOf(random.IntN(t.records))} }},
		{"absent request id", func() audit.Filter { return audit.Filter{RequestID: absent} }},
		{"actor", func() audit.Filter { return audit.Filter{Actors: []string{actorOf(random.IntN(trailActors))}} }},
		{"event", func() audit.Filter {
			events := []string{"secret.read", "config.change", "secret.*", "token.create", "authentication.failed"}
			return audit.Filter{Events: events[random.IntN(len(events)):][:1]}
		}},
		{"outcome denied", func() audit.Filter { return audit.Filter{Outcomes: []audit.Outcome{audit.Denied}} }},
		{"resource", func() audit.Filter {
			return audit.Filter{Resource: fmt.Sprintf("environments/production/secrets/app-%d", random.IntN(trailSecrets))}
		}},
		{"source", func() audit.Filter {
			address := sourceOf(random.IntN(trailActors))
			return audit.Filter{Source: netip.PrefixFrom(address, []int{24, 32}[random.IntN(2)]).Masked()}
		}},
		{"an hour", func() audit.Filter {
			from := at(random.Float64())
			return audit.Filter{From: from, To: from.Add(time.Hour)}
		}},
		{"actor, event and an hour", func() audit.Filter {
			from := at(random.Float64())
			return audit.Filter{Actors: []string{actorOf(random.IntN(trailActors))}, Events: []string{"config.change"}, From: from, To: from.Add(time.Hour)}
		}},
	} {
		for _, m := range []struct {
			state string
			times int
		}{{"cold", cold}, {"warm", warm}} {
			b.Run(fmt.Sprintf("search %s/%s/%s", where, m.state, kind.name), func(b *testing.B) {
				s := t.fresh()
				t.search(b, s, kind.filter())
				var took []time.Duration
				for b.Loop() {
					for range m.times {
						if m.state == "cold" {
							s = t.fresh()
						}
						began := time.Now()
						t.search(b, s, kind.filter())
						took = append(took, time.Since(began))
					}
				}
				b.ReportMetric(quantile(took, 0.5), "p50-ms")
				b.ReportMetric(quantile(took, 0.99), "p99-ms")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func (t *trail) search(b *testing.B, s *service.Service, filter audit.Filter) {
	b.Helper()
	page, err := s.Audit(b.Context(), t.who, t.chain(), filter, service.Page{Limit: searchPage})
	must(b, err)
	if filter.RequestID == "" && filter.From.IsZero() && len(page.Links) == 0 {
		b.Errorf("nothing is found by %+v", filter)
	}
}

// pack moves the time on until so much of the trail is no longer hot, and packs
// it, beside readers of a secret or alone.
func (t *trail) pack(b *testing.B, part float64, readers bool) figures {
	ago := time.Duration(part * float64(trailDays*24*time.Hour))
	if part == 1 {
		ago += 25 * time.Hour // also what fills no segment
	}
	t.now.Store(midnight.Add(trailDays*24*time.Hour + ago).UnixNano())
	before, found := t.warm(b), figures{}
	var took time.Duration
	pack := func() {
		began := time.Now()
		repeat(b, t.s.RetainAudit)
		took = time.Since(began)
	}
	if readers {
		found["read-p99-alone-ms"] = quantile(t.reading(b, func() { <-time.After(2 * time.Second) }), 0.99)
		found["read-p99-ms"] = quantile(t.reading(b, pack), 0.99)
	} else {
		pack()
	}
	after := t.warm(b)
	found["records/s"] = float64(after.Records-before.Records) / took.Seconds()
	found["bytes/record"] = float64(after.Bytes) / float64(after.Records)
	return found
}

func (t *trail) warm(b *testing.B) service.AuditTier {
	b.Helper()
	status, err := t.s.AuditStatus(b.Context(), t.who, t.chain())
	must(b, err)
	return status.Warm
}

// reading reads a secret over and over from all readers while work is done, and
// answers how long each read took.
func (t *trail) reading(b *testing.B, work func()) []time.Duration {
	b.Helper()
	var done atomic.Bool
	took := make([][]time.Duration, benchReaders)
	var reading sync.WaitGroup
	for i := range benchReaders {
		reading.Go(func() {
			for !done.Load() {
				began := time.Now()
				r, err := t.s.RevealSecret(b.Context(), t.who, t.tenant, "production", path("db"), service.RevealRequest{})
				if err != nil {
					b.Error(err)
					return
				}
				r.Wipe()
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	work()
	done.Store(true)
	reading.Wait()
	return slices.Concat(took...)
}
