package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

const (
	oneDay  = 24 * time.Hour
	oneYear = 365*oneDay + 6*time.Hour
)

// archive is object storage in memory that can fail at any call, before or after
// it did what it was asked.
type archive struct {
	mu      sync.Mutex
	objects map[string][]byte
	calls   int
	fail    int // the call that fails; 0 for none
	after   bool
	bent    bool // it gives back other bytes
}

func (*archive) Name() string { return "memory" }

// call is what each call goes through.
func (a *archive) call(do func()) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	fails := a.calls == a.fail
	if !fails || a.after {
		do()
	}
	if fails {
		return errDown
	}
	return nil
}

func (a *archive) Put(_ context.Context, key string, body []byte) error {
	return a.call(func() { a.objects[key] = bytes.Clone(body) })
}

func (a *archive) Get(_ context.Context, key string) (body []byte, err error) {
	failed := a.call(func() {
		body = a.objects[key]
		if body == nil {
			err = config.Errorf(config.KindNotFound, "there is no %s", key)
		}
	})
	if a.bent && len(body) > 0 {
		body = append(bytes.Clone(body), 0)
	}
	return body, errors.Join(err, failed)
}

func (a *archive) Delete(_ context.Context, key string) error {
	return a.call(func() { delete(a.objects, key) })
}

// keys are those of what it holds, sorted.
func (a *archive) keys() []string { return slices.Sorted(maps.Keys(a.objects)) }

// auditor is a tenant's administrator over a service with an archive, whose
// chains a test fills, moves and looks at.
type auditor struct {
	*actor
	archive *archive
	setup   service.AuditSetup
	metrics *telemetry.Metrics
	log     *bytes.Buffer
	name    string // of the installation
}

func newAuditor(t testing.TB) *auditor {
	t.Helper()
	a := &auditor{actor: newTenant(t), archive: &archive{objects: map[string][]byte{}}, log: &bytes.Buffer{}}
	a.restart()
	keys, err := a.s.AuditKeys(t.Context())
	must(t, err)
	a.name = keys[0].Name
	return a
}

// restart is a new process over the same store, which knows nothing but that.
func (a *auditor) restart() { a.s = a.process(a.engine) }

// process is a service over a store.
func (a *auditor) process(over store.Store) *service.Service {
	a.metrics = telemetry.NewMetrics(a.clock.read)
	return service.New(service.Options{
		Store: over, Keyring: a.keyring, Clock: a.clock.read, Limits: func() service.Limits { return *a.limits.Load() },
		Archive: a.archive, Audit: func() service.AuditSetup { return a.setup }, Metrics: a.metrics,
		Logger: slog.New(slog.NewTextHandler(a.log, nil)),
	})
}

func (a *auditor) chain() service.Chain { return service.Chain{Tenant: a.tenant} }

// append appends records to a tenant's chain, at most a thousand at a time.
func (a *auditor) append(id config.TenantID, records ...audit.Record) {
	a.t.Helper()
	for some := range slices.Chunk(records, 1000) {
		must(a.t, a.engine.AppendAudit(a.t.Context(), id, some...))
	}
}

// made are n records that differ, as a tenant's verbs could have made them.
func made(n, from int) []audit.Record {
	events := []string{"config.change", "secret.read", "policy.put", "authorization.denied", "token.create"}
	outcomes := []audit.Outcome{audit.Success, audit.Success, audit.Success, audit.Denied, audit.Failed}
	var records []audit.Record
	for i := from; i < from+n; i++ {
		r := audit.Record{
			Event: events[i%5], Outcome: outcomes[i%5], Actor: fmt.Sprintf("token:t%d", i%17), Action: events[i%5],
			Resource: fmt.Sprintf("tenants/00/environments/e%d/p%d", i%3, i%41), RequestID: fmt.Sprintf("r%d", i/7),
			Source: netip.AddrFrom4([4]byte{10, 1, byte(i % 4), byte(i % 29)}).String(), Session: fmt.Sprintf("s%d", i%101),
		}
		if i%50 == 0 {
			r.Resources = []string{fmt.Sprintf("tenants/00/environments/e%d/q", i%3), "tenants/00/z"}
		}
		records = append(records, r)
	}
	return records
}

// index, sign and retain do all that there is to do. What is disposed of is signed
// before.
func (a *auditor) index()  { a.all("index", a.s.IndexAudit) }
func (a *auditor) sign()   { a.all("sign", a.s.SignCheckpoints) }
func (a *auditor) retain() { a.t.Helper(); a.sign(); a.all("retain", a.s.RetainAudit) }

func (a *auditor) all(what string, do func(context.Context) (bool, error)) {
	a.t.Helper()
	for range 10_000 {
		more, err := do(a.t.Context())
		if err != nil {
			a.t.Fatalf("%s: %s", what, describe(err))
		}
		if !more {
			return
		}
	}
	a.t.Fatalf("%s never ends", what)
}

// stands is where a chain stands.
func (a *auditor) stands(id config.TenantID) store.Chain {
	a.t.Helper()
	chain, err := a.engine.Chain(a.t.Context(), id)
	must(a.t, err)
	return chain
}

// tiers are the segments of a chain: how many are warm, cold and disposed of.
func (a *auditor) tiers(id config.TenantID) (tiers [3]int) {
	a.t.Helper()
	segments, err := a.engine.Segments(a.t.Context(), id, 0, 1000)
	must(a.t, err)
	next := uint64(1)
	for _, s := range segments {
		if s.First != next {
			a.t.Fatalf("a segment begins at record %d, want %d", s.First, next)
		}
		next = s.Last + 1
		tiers[s.State-1]++
		if s.State == store.Cold && a.archive.objects[s.Location] == nil {
			a.t.Fatalf("nothing is at %s", s.Location)
		}
	}
	if hot := a.stands(id).Hot; hot != next {
		a.t.Fatalf("the oldest hot record is %d, want %d", hot, next)
	}
	return tiers
}

// verified is the report of a chain.
func (a *auditor) verified(chain service.Chain) audit.Report {
	a.t.Helper()
	who := a.who
	if chain.Tenant == "" {
		who = a.root
	}
	report, err := a.s.VerifyAudit(a.t.Context(), who, chain, nil)
	must(a.t, err)
	return report
}

// holds wants a chain to verify, in the store and as an export.
func (a *auditor) holds(stage string, chain service.Chain) {
	a.t.Helper()
	if report := a.verified(chain); report.Broken != nil {
		a.t.Fatalf("%s: %v", stage, report.Broken)
	}
	if report := a.follow(a.export(chain, service.ExportRequest{})); report.Broken != nil {
		a.t.Fatalf("%s: the export: %v", stage, report.Broken)
	}
}

// export is the text of an export of a chain, NDJSON if nothing else is asked for.
func (a *auditor) export(chain service.Chain, request service.ExportRequest) []byte {
	a.t.Helper()
	text, err := a.tryExport(chain, request)
	must(a.t, err)
	return text
}

func (a *auditor) tryExport(chain service.Chain, request service.ExportRequest) ([]byte, error) {
	if request.Form == "" {
		request.Form = service.ExportNDJSON
	}
	who := a.who
	if chain.Tenant == "" {
		who = a.root
	}
	write, err := a.s.ExportAudit(a.t.Context(), who, chain, request)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = write(&text)
	return text.Bytes(), err
}

// public are the public keys of checkpoints.
func (a *auditor) public() (public []string) {
	a.t.Helper()
	keys, err := a.s.AuditKeys(a.t.Context())
	must(a.t, err)
	for _, key := range keys {
		public = append(public, key.Public)
	}
	return public
}

// follow verifies an export by the server's own verifier.
func (a *auditor) follow(export []byte) audit.Report {
	a.t.Helper()
	i, err := audit.NewImporter(bytes.NewReader(export))
	must(a.t, err)
	f := audit.NewFollower(i.Origin, i.From, a.public()...)
	must(a.t, f.Export(i))
	return f.Finish()
}

// found are the sequence numbers of all pages of a search.
func (a *auditor) found(chain service.Chain, filter audit.Filter, limit int) (all []uint64) {
	a.t.Helper()
	who := a.who
	if chain.Tenant == "" {
		who = a.root
	}
	for page := page(limit); ; {
		found, err := a.s.Audit(a.t.Context(), who, chain, filter, page)
		must(a.t, err)
		for _, l := range found.Links {
			all = append(all, l.Sequence)
		}
		if page.Cursor = found.Next; found.Next == "" {
			return all
		}
	}
}

// From rows to segments to the archive to nothing, the chain holds, can be
// searched and exported, and its last record stays a row.
func TestRecordsAge(t *testing.T) {
	a := newAuditor(t)
	full := 4096 - int(a.stands(a.id).Head.Sequence) // to the end of the first block
	a.append(a.id, made(full+500, 0)...)
	a.index()
	a.sign()
	expect := func(stage string, warm, cold, disposed int) {
		t.Helper()
		a.retain()
		same(t, stage, [3]int{warm, cold, disposed}, a.tiers(a.id))
		a.holds(stage, a.chain())
		kept := a.found(a.chain(), audit.Filter{Events: []string{"policy.put"}}, 1000)
		want := 0
		for i := range full + 500 {
			if i%5 == 2 && (disposed == 0 || i >= full && disposed == 1) {
				want++
			}
		}
		same(t, stage+": records found", want, len(kept))
	}
	expect("at first", 0, 0, 0)
	a.clock.move(7*oneDay - time.Second)
	expect("a second before seven days", 0, 0, 0)
	a.clock.move(time.Second)
	expect("after seven days, the full block", 1, 0, 0)
	a.clock.move(oneDay)
	expect("after eight days, what was left over", 2, 0, 0)
	a.clock.move(29*oneDay - time.Second)
	expect("a second before 37 days", 3, 0, 0) // with the records of this test
	a.sign()
	a.clock.move(time.Second)
	expect("after 37 days", 2, 2, 0)
	same(t, "objects, with the server's", 3, len(a.archive.keys()))
	if key := a.archive.keys()[1]; key != fmt.Sprintf("%s/tenants/%s/%020d-%020d.ndjson.zst", a.name, a.id, 1, 4096) {
		t.Errorf("the first is called %s", key)
	}
	a.clock.move(7*oneYear - 37*oneDay - time.Second)
	a.retain()
	same(t, "a second before seven years: disposed of", 0, a.tiers(a.id)[2])
	a.clock.move(time.Second)
	a.retain()
	same(t, "after seven years: disposed of", 2, a.tiers(a.id)[2])
	a.sign()
	a.holds("after seven years", a.chain())
	report := a.verified(a.chain())
	if report.Disposed < 4500 {
		t.Errorf("%d records are disposed of", report.Disposed)
	}
	for _, key := range a.archive.keys() {
		if strings.Contains(key, a.id.String()+"/"+fmt.Sprintf("%020d", 1)) {
			t.Errorf("%s is still there", key)
		}
	}
	disposals := a.found(a.chain(), audit.Filter{Events: []string{"audit.dispose"}}, 10)
	same(t, "records of disposal", 2, len(disposals))

	for range 3 { // the records of disposal are disposed of in their turn
		a.clock.move(8 * oneYear)
		a.retain()
		a.sign()
		a.holds("later", a.chain())
	}
	a.clock.move(9 * oneDay)
	a.retain()
	same(t, "broken", false, a.known(a.id))
	if chain := a.stands(a.id); chain.Hot != chain.Head.Sequence {
		t.Errorf("record %d is the oldest hot one, and %d the last", chain.Hot, chain.Head.Sequence)
	}
	a.holds("in the end", a.chain())
	a.holds("the server's", service.Chain{})
}

// A hold keeps records from being disposed of, and the tenant from being deleted.
func TestHoldStopsDisposal(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(50, 0)...)
	hold, err := a.s.HoldAudit(t.Context(), a.root, a.chain(), "case 7")
	must(t, err)
	same(t, "reason", "case 7", hold.Hold.Reason)
	a.clock.move(9 * oneDay)
	a.retain()
	a.clock.move(10 * oneYear)
	a.retain()
	same(t, "while it is held", [3]int{0, 1, 0}, a.tiers(a.id))
	_, err = a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	mustBe(t, config.KindInUse, err)
	_, err = a.s.HoldAudit(t.Context(), a.who, a.chain(), "")
	mustBe(t, config.KindForbidden, err)
	hold, err = a.s.HoldAudit(t.Context(), a.root, a.chain(), "")
	must(t, err)
	same(t, "what stands", store.Hold{}, hold.Hold)
	a.retain()
	same(t, "after it was lifted", [3]int{0, 0, 2}, a.tiers(a.id)) // with the record of the hold
	_, err = a.s.HoldAudit(t.Context(), a.root, a.chain(), strings.Repeat("x", 1025))
	mustBe(t, config.KindTooLarge, err)
}

// A hold and a new key that come again with their idempotency key are answered as
// before, and are done once; with another request the key is refused.
func TestAuditWritesComeAgain(t *testing.T) {
	a := newAuditor(t)
	again := func(key, request string) service.Caller {
		who := a.root
		who.Idempotency = &service.Idempotency{Key: key, Request: []byte(request)}
		return who
	}
	records := func() int {
		return len(a.eventsOn(t, config.TenantID{}, "audit.hold.set", "audit.hold.lift", "audit.key.rotate"))
	}
	for _, step := range []struct {
		name string
		do   func(who service.Caller) (any, service.Outcome, error)
	}{
		{"hold", func(who service.Caller) (any, service.Outcome, error) {
			r, err := a.s.HoldAudit(t.Context(), who, a.chain(), "case 7")
			return r.Hold, r.Outcome, err
		}},
		{"lift", func(who service.Caller) (any, service.Outcome, error) {
			r, err := a.s.HoldAudit(t.Context(), who, a.chain(), "")
			return r.Hold, r.Outcome, err
		}},
		{"rotate", func(who service.Caller) (any, service.Outcome, error) {
			r, err := a.s.RotateAuditKey(t.Context(), who)
			return r.Keys, r.Outcome, err
		}},
	} {
		_, err := a.s.AuditKeys(t.Context()) // the first key is there
		must(t, err)
		before := records()
		answer, outcome, err := step.do(again(step.name, step.name))
		must(t, err)
		same(t, step.name+": replayed", false, outcome.Replayed)
		a.clock.move(time.Hour)
		second, replay, err := step.do(again(step.name, step.name))
		must(t, err)
		same(t, step.name+": the answer", answer, second)
		outcome.Replayed = true
		same(t, step.name+": the outcome", outcome, replay)
		same(t, step.name+": records", before+1, records())
		_, _, err = step.do(again(step.name, "another"))
		mustBe(t, config.KindIdempotencyMismatch, err)
	}
	stands, err := a.s.AuditStatus(t.Context(), a.who, a.chain())
	must(t, err)
	same(t, "the hold", store.Hold{}, stands.Hold)
	keys, err := a.s.AuditKeys(t.Context())
	must(t, err)
	same(t, "keys", 2, len(keys))
}

// Chains of deleted tenants age as others do, and are the server's administrators' to read.
func TestChainsOfDeletedTenantsAge(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(300, 0)...)
	a.sign()
	_, err := a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	must(t, err)
	chain := service.Chain{Deleted: a.id.String()}
	read := func(stage string) {
		t.Helper()
		report, err := a.s.VerifyAudit(t.Context(), a.root, chain, nil)
		must(t, err)
		if report.Broken != nil {
			t.Fatalf("%s: %v", stage, report.Broken)
		}
		write, err := a.s.ExportAudit(t.Context(), a.root, chain, service.ExportRequest{Form: service.ExportNDJSON})
		must(t, err)
		var text bytes.Buffer
		must(t, write(&text))
		if report := a.follow(text.Bytes()); report.Broken != nil {
			t.Fatalf("%s: the export: %v", stage, report.Broken)
		}
		found, err := a.s.Audit(t.Context(), a.root, chain, audit.Filter{Events: []string{"policy.put"}}, page(1000))
		must(t, err)
		want := 60
		if a.tiers(a.id)[2] > 0 {
			want = 0
		}
		same(t, stage+": found", want, len(found.Links))
		notes, _, err := a.s.AuditCheckpoints(t.Context(), a.root, chain, page(100))
		must(t, err)
		if len(notes) == 0 {
			t.Errorf("%s: no checkpoints", stage)
		}
	}
	read("at first")
	a.clock.move(9 * oneDay)
	a.retain()
	same(t, "after nine days", [3]int{1, 0, 0}, a.tiers(a.id))
	read("after nine days")
	a.clock.move(40 * oneDay)
	a.retain()
	same(t, "after fifty days", [3]int{0, 1, 0}, a.tiers(a.id))
	read("after fifty days")
	a.clock.move(8 * oneYear)
	a.retain()
	same(t, "after eight years", [3]int{0, 0, 1}, a.tiers(a.id))
	read("after eight years")
}

// Pages of checkpoints go on in the chain of a tenant whose key is destroyed.
func TestCheckpointsOfDeletedTenantsArePaged(t *testing.T) {
	a := newAuditor(t)
	for i := range 3 {
		a.append(a.id, made(2, i)...)
		a.clock.move(time.Minute)
		a.sign()
	}
	_, err := a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	must(t, err)
	n := 0
	for page := page(1); ; n++ {
		notes, next, err := a.s.AuditCheckpoints(t.Context(), a.root, service.Chain{Deleted: a.id.String()}, page)
		must(t, err)
		same(t, "a page", 1, len(notes))
		if page.Cursor = next; next == "" {
			break
		}
	}
	same(t, "further pages", 2, n)
}

// failing is a store whose steps of retention fail, before or after they are made.
type failing struct {
	store.Store
	calls, fail int
	after       bool
}

func (f *failing) step(do func() error) error {
	f.calls++
	if f.calls != f.fail {
		return do()
	}
	if f.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDown
}

func (f *failing) PackLinks(ctx context.Context, id config.TenantID, s store.Segment, body []byte) error {
	return f.step(func() error { return f.Store.PackLinks(ctx, id, s, body) })
}

func (f *failing) ArchiveSegment(ctx context.Context, id config.TenantID, first uint64, location string) error {
	return f.step(func() error { return f.Store.ArchiveSegment(ctx, id, first, location) })
}

func (f *failing) DisposeSegment(ctx context.Context, id config.TenantID, first uint64, r audit.Record) error {
	return f.step(func() error { return f.Store.DisposeSegment(ctx, id, first, r) })
}

func (f *failing) ForgetLocation(ctx context.Context, id config.TenantID, first uint64) error {
	return f.step(func() error { return f.Store.ForgetLocation(ctx, id, first) })
}

func (f *failing) ThinCheckpoints(ctx context.Context, id config.TenantID, thinning store.Thinning) error {
	return f.step(func() error { return f.Store.ThinCheckpoints(ctx, id, thinning) })
}

// Whatever step fails, before it is made or after, the next run goes on from
// there, in this process or in another: nothing is lost and nothing is there twice.
func TestRetentionResumes(t *testing.T) {
	steps := 0 // that failed in the end
	for _, after := range []bool{false, true} {
		for _, anew := range []bool{false, true} {
			a := newAuditor(t)
			a.append(a.id, made(20, 0)...)
			broken := &failing{Store: a.engine, after: after}
			// age runs retention until it is through, each of its calls failing once.
			age := func() {
				t.Helper()
				for call := 1; ; call++ {
					if anew || call == 1 {
						a.s = a.process(broken)
					}
					broken.calls, broken.fail, a.archive.calls, a.archive.fail, a.archive.after = 0, 1, 0, 0, after
					if call%2 == 0 {
						broken.fail, a.archive.fail = 0, 1
					}
					if call > 60 {
						broken.fail, a.archive.fail = 0, 0
					}
					_, err := a.s.RetainAudit(t.Context())
					if err == nil && call > 60 {
						break
					}
					if err != nil {
						steps++
						if !errors.Is(err, errDown) {
							t.Fatal(describe(err))
						}
					}
					if call%10 == 0 {
						broken.fail, a.archive.fail = 0, 0
						a.holds(fmt.Sprintf("after call %d", call), a.chain())
						same(t, "found", 4, len(a.found(a.chain(), audit.Filter{Events: []string{"policy.put"}}, 100)))
					}
				}
			}
			a.clock.move(9 * oneDay)
			age()
			a.clock.move(40 * oneDay)
			age()
			if len(a.archive.keys()) == 0 {
				t.Fatal("nothing was archived")
			}
			for key := range a.archive.objects {
				if !strings.HasPrefix(key, a.name+"/") {
					t.Errorf("what is %s?", key)
				}
			}
		}
	}
	if steps < 20 {
		t.Errorf("only %d steps failed", steps)
	}
}

// Each call of each step fails once, one after the other, over all the life of records.
func TestEachStepOfRetentionMayFail(t *testing.T) {
	for _, after := range []bool{false, true} {
		for fail := 1; ; fail += soakOr(1, 5) {
			a := newAuditor(t)
			a.append(a.id, made(20, 0)...)
			engine := &failing{Store: a.engine, after: after, fail: fail}
			a.archive.fail, a.archive.after = fail, after
			a.s = a.process(engine)
			failures := 0
			for _, age := range []time.Duration{9 * oneDay, 40 * oneDay, 8 * oneYear} {
				a.clock.move(age)
				for range 4 {
					for _, do := range []func(context.Context) (bool, error){a.s.SignCheckpoints, a.s.RetainAudit} {
						if _, err := do(t.Context()); err != nil {
							failures++
							if !errors.Is(err, errDown) {
								t.Fatal(describe(err))
							}
						}
					}
				}
			}
			a.archive.fail, engine.fail = 0, 0
			tiers := a.tiers(a.id)
			if tiers[0] != 0 || tiers[2] == 0 {
				t.Fatalf("failure %d: %v", fail, tiers)
			}
			a.holds(fmt.Sprintf("failure %d", fail), a.chain())
			segments, err := a.engine.Segments(t.Context(), a.id, 0, 100)
			must(t, err)
			for _, s := range segments {
				if s.State == store.Disposed && s.Location != "" {
					t.Errorf("failure %d: %s is not forgotten", fail, s.Location)
				}
			}
			same(t, "records of disposal", tiers[2], len(a.found(a.chain(), audit.Filter{Events: []string{"audit.dispose"}}, 10)))
			for _, key := range a.archive.keys() {
				if strings.HasPrefix(key, a.name+"/tenants/"+a.id.String()) && tiers[1] == 0 {
					t.Errorf("failure %d: %s was left behind", fail, key)
				}
			}
			if failures == 0 {
				if fail < 10 {
					t.Errorf("only %d calls were made", fail)
				}
				break
			}
		}
	}
}

// An archive that gives back other bytes than it was given keeps a segment where
// it is; one that does so later is noticed by whoever reads there.
func TestBentArchiveIsNoticed(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(20, 0)...)
	a.clock.move(9 * oneDay)
	a.retain()
	a.clock.move(40 * oneDay)
	a.archive.bent = true
	_, err := a.s.RetainAudit(t.Context())
	if config.KindOf(err) != config.KindUnavailable || !strings.Contains(err.Error(), "does not give back") {
		t.Errorf("it was not noticed: %v", err)
	}
	same(t, "while it is bent", [3]int{1, 0, 0}, a.tiers(a.id))
	a.archive.bent = false
	a.retain()
	a.holds("in the archive", a.chain())
	a.archive.bent = true
	a.restart()
	_, err = a.s.Audit(t.Context(), a.who, a.chain(), audit.Filter{}, page(1000))
	mustBe(t, config.KindUnavailable, err)
	report := a.verified(a.chain())
	if report.Broken == nil || report.Broken.Sequence != 1 {
		t.Errorf("it holds: %+v", report)
	}
}

// An archive that is down is no broken chain.
func TestArchiveDownIsNoBreak(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(20, 0)...)
	a.clock.move(9 * oneDay)
	a.retain()
	a.clock.move(40 * oneDay)
	a.retain()
	a.restart()
	a.archive.calls, a.archive.fail = 0, 1
	_, err := a.s.VerifyAudit(t.Context(), a.who, a.chain(), nil)
	mustBe(t, config.KindUnavailable, err)
	a.holds("when it is back", a.chain())
}

// What is in the archive is disposed of when its records say that their time is
// over; that the database says so is not enough.
func TestDatabaseAloneDisposesOfNothing(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(20, 0)...)
	a.clock.move(9 * oneDay)
	a.retain()
	a.clock.move(40 * oneDay)
	a.retain()
	a.sql(`UPDATE audit_segments SET first_time = 1, last_time = 1 WHERE tenant = ?`, a.id[:])
	a.restart()
	a.retain()
	if tiers := a.tiers(a.id); tiers[1] != 1 || tiers[2] != 0 {
		t.Errorf("it was disposed of: %v", tiers)
	}
	if !a.known(a.id) {
		t.Error("nobody was told")
	}
}

// One chain that cannot be seen to does not keep the others waiting.
func TestOneChainDoesNotStopRetention(t *testing.T) {
	a := newAuditor(t)
	b := a.world.found(t, "other")
	for _, id := range []config.TenantID{a.id, b.id} {
		a.append(id, made(20, 0)...)
	}
	first, second := a.id, b.id
	if bytes.Compare(b.id[:], a.id[:]) < 0 {
		first, second = b.id, a.id
	}
	a.sql(`UPDATE audit SET record = CAST('no record' AS BLOB) WHERE tenant = ? AND sequence = 5`, first[:])
	a.clock.move(9 * oneDay)
	if _, err := a.s.RetainAudit(t.Context()); err == nil || !strings.Contains(err.Error(), "record 5 cannot be read") {
		t.Errorf("the first was not told of: %v", err)
	}
	if a.tiers(second)[0] == 0 {
		t.Error("the second waits for the first")
	}
}

// A segment is not larger than can be read as a whole.
func TestSegmentsAreBounded(t *testing.T) {
	a := newAuditor(t)
	long := strings.Repeat("x", 3<<20)
	for i := range 12 {
		a.append(a.id, audit.Record{Event: "config.change", Actor: fmt.Sprint(i), Outcome: audit.Success, Reason: long})
	}
	a.clock.move(9 * oneDay)
	a.retain()
	segments, err := a.engine.Segments(t.Context(), a.id, 0, 100)
	must(t, err)
	if len(segments) < 3 {
		t.Errorf("36 MiB of records are in %d segments", len(segments))
	}
	a.holds("packed", a.chain())
}

// Of what is no longer hot one checkpoint a day stays.
func TestCheckpointsAreThinned(t *testing.T) {
	a := newAuditor(t)
	for range 3 {
		for range 4 {
			a.append(a.id, made(3, 0)...)
			a.sign()
			a.clock.move(6 * time.Hour)
		}
	}
	before, err := a.engine.CheckpointsFrom(t.Context(), a.id, 0, 100)
	must(t, err)
	same(t, "before", 12, len(before))
	a.clock.move(8 * oneDay)
	a.retain()
	left, err := a.engine.CheckpointsFrom(t.Context(), a.id, 0, 100)
	must(t, err)
	same(t, "after", 3, len(left))
	same(t, "the newest", before[11].Sequence, left[2].Sequence)
	a.holds("thinned", a.chain())
}

// What an anchor does not have yet is not thinned out, however old it is.
func TestCheckpointsWaitForAnchors(t *testing.T) {
	a := newAuditor(t)
	k := &anchor{fail: 3}
	a.setup.Anchors = []string{k.Name(), "never there"}
	for range 6 {
		a.append(a.id, made(3, 0)...)
		a.sign()
	}
	all := a.notes(a.id)
	a.clock.move(9 * oneDay)
	left := func(what string, want ...store.Checkpoint) {
		t.Helper()
		a.retain()
		same(t, what, want, a.notes(a.id))
	}
	_, err := a.s.KeepCheckpoints(t.Context(), k)
	if !errors.Is(err, errDown) {
		t.Fatalf("it did not fail: %v", err)
	}
	left("while another anchor has none", all...)
	a.setup.Anchors = []string{k.Name()}
	sent := slices.IndexFunc(all, func(c store.Checkpoint) bool { return !slices.Contains(k.kept, string(c.Note)) })
	if sent < 1 || sent == len(all) {
		t.Fatalf("the anchor has %d of them", sent)
	}
	left("while the anchor has some", all[sent:]...)
	a.all("keep", func(ctx context.Context) (bool, error) { return a.s.KeepCheckpoints(ctx, k) })
	left("in the end", all[len(all)-1])
	for _, c := range all {
		if !slices.Contains(k.kept, string(c.Note)) {
			t.Errorf("the anchor misses the checkpoint of record %d", c.Sequence)
		}
	}
}

// Whoever trusts the first key gets to the newest one by the checkpoints that
// were signed by two, which stay when the others of their day go.
func TestCheckpointsOfTwoKeysStay(t *testing.T) {
	a := newAuditor(t)
	var want []uint64
	next := func() {
		t.Helper()
		a.append(a.id, made(3, 0)...)
		a.sign()
	}
	for range 3 {
		next()
		next()
		_, err := a.s.RotateAuditKey(t.Context(), a.root)
		must(t, err)
		next()
		want = append(want, a.stands(a.id).Checkpoint)
		next()
	}
	want = append(want, a.stands(a.id).Checkpoint) // the last of its day
	a.clock.move(9 * oneDay)
	a.retain()
	var left []uint64
	for _, c := range a.notes(a.id) {
		left = append(left, c.Sequence)
	}
	same(t, "left", want, left)
	a.holds("thinned", a.chain())
}

// A clock that jumps an hour back and forth neither unsettles the order of
// records nor what depends on their times.
func TestClockJumps(t *testing.T) {
	a := newAuditor(t)
	jumps := []time.Duration{time.Hour, -time.Hour, 2 * time.Minute, -time.Hour, time.Hour, time.Hour, -time.Hour}
	var latest time.Time
	for i := range 700 {
		now := a.clock.move(jumps[i%len(jumps)])
		if now.After(latest) {
			latest = now
		}
		a.append(a.id, made(8, 8*i)...)
		if i%50 == 0 {
			a.sign()
		}
	}
	a.index()
	a.holds("rows", a.chain())
	links, err := a.engine.Audit(t.Context(), a.id, 0, 10_000)
	must(t, err)
	var times []time.Time
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		must(t, err)
		times = append(times, r.Time)
	}
	if !slices.IsSortedFunc(times, time.Time.Compare) {
		t.Fatal("a record is earlier than the one before it")
	}
	byTime := func(stage string) {
		t.Helper()
		for _, at := range []int{len(times) / 3, len(times) / 2, 4095, 4096} {
			filter := audit.Filter{From: times[at], To: times[at].Add(10 * time.Minute)}
			var want []uint64
			for i, when := range times {
				if !when.Before(filter.From) && when.Before(filter.To) {
					want = append(want, links[i].Sequence)
				}
			}
			slices.Reverse(want)
			got := slices.DeleteFunc(a.found(a.chain(), filter, 1000), func(n uint64) bool { return n > uint64(len(times)) })
			if len(want) == 0 {
				t.Fatalf("%s: nothing is to be found", stage)
			}
			same(t, stage, want, got)
		}
	}
	byTime("rows")
	now := a.clock.read()
	a.clock.move(latest.Sub(now) + 8*oneDay)
	for _, jump := range []time.Duration{-time.Hour, time.Hour, -time.Hour, time.Hour} {
		a.clock.move(jump)
		a.retain()
		a.sign()
	}
	if tiers := a.tiers(a.id); tiers[0] < 2 {
		t.Errorf("segments: %v", tiers)
	}
	byTime("segments")
	a.holds("segments", a.chain())
	if a.known(a.id) {
		t.Error("the chain is taken for broken")
	}
}

// What no checkpoint is behind is not disposed of: the next one is signed from
// where the newest is.
func TestUnsignedRecordsAreKept(t *testing.T) {
	a := newAuditor(t)
	a.append(a.id, made(20, 0)...)
	a.clock.move(9 * oneDay)
	a.append(a.id, made(1, 0)...)
	a.clock.move(8 * oneYear)
	for range 3 {
		a.all("retain", a.s.RetainAudit)
		a.clock.move(oneYear)
	}
	same(t, "unsigned", 0, a.tiers(a.id)[2])
	a.retain()
	if a.tiers(a.id)[2] == 0 {
		t.Error("nothing was disposed of")
	}
	a.sign()
	a.holds("signed", a.chain())
	same(t, "broken", false, a.known(a.id))
}
