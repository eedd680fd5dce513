package service_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// full is the real engine on a disk that can be full: nothing that is to be on
// record can be written then.
type full struct {
	store.Store
	is atomic.Bool
}

func (f *full) err() error {
	if !f.is.Load() {
		return nil
	}
	return config.Errorf(config.KindUnavailable, "the disk is full").Hint("free space below the data directory")
}

func (f *full) AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error {
	return f.AppendAccess(ctx, tenant, nil, records...)
}

func (f *full) AppendAccess(ctx context.Context, tenant config.TenantID, served []store.Served, records ...audit.Record) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.AppendAccess(ctx, tenant, served, records...)
}

func (f *full) Commit(ctx context.Context, tenant config.TenantID, write store.Write) (store.Receipt, error) {
	if err := f.err(); err != nil {
		return store.Receipt{}, err
	}
	return f.Store.Commit(ctx, tenant, write)
}

func (f *full) CreateTenant(ctx context.Context, tenant config.Tenant, write, server store.Write) (store.Receipt, error) {
	if err := f.err(); err != nil {
		return store.Receipt{}, err
	}
	return f.Store.CreateTenant(ctx, tenant, write, server)
}

func (f *full) DeleteTenant(ctx context.Context, tenant config.TenantID, write store.Write) (store.Receipt, error) {
	if err := f.err(); err != nil {
		return store.Receipt{}, err
	}
	return f.Store.DeleteTenant(ctx, tenant, write)
}

func (f *full) Hold(ctx context.Context, tenant config.TenantID, hold store.Hold, record audit.Record, outcome *store.Idempotent) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.Hold(ctx, tenant, hold, record, outcome)
}

func (f *full) AddSigningKey(ctx context.Context, key store.SigningKey, record audit.Record, outcome *store.Idempotent) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.Store.AddSigningKey(ctx, key, record, outcome)
}

// filling is a world on such a disk.
func filling(t *testing.T) (*world, *full) {
	t.Helper()
	w := newWorld(t)
	f := &full{Store: w.engine.Store}
	w.engine.Store = f
	return w, f
}

// quiet are the verbs that put nothing on record where they are permitted.
var quiet = map[string]bool{
	"Config": true, "Layer": true, "List": true, "Bundle": true, "Explain": true, "History": true, "Diff": true, "Watch": true,
	"Log": true, "LogEntry": true, "Environments": true, "Environment": true, "Tag": true, "Tags": true, "Tokens": true,
	"Secret": true, "Secrets": true, "SecretDiff": true, "SecretAdoption": true, "Ack": true, "Acks": true, "TenantKeys": true,
	"Policies": true, "Policy": true, "RuleHistory": true, "PolicyDiff": true, "TestPolicies": true, "SimulatePolicies": true,
	"Roles": true, "Role": true, "ExplainDecision": true, "Quota": true, "Grants": true, "Tenant": true,
	"Tenants": true, "ServerTokens": true, "MasterKeys": true, "AuditStatus": true, "AuditCheckpoints": true,
}

// While nothing can be put on record, what has to be is refused with a reason and
// what to do about it, and what has not goes on; afterwards all is as before.
func TestWhatAFullDiskKeepsFromBeingDone(t *testing.T) {
	w, disk := filling(t)
	_, err := w.s.AuditKeys(t.Context()) // of a server that runs for a while
	must(t, err)
	for _, table := range []map[string]verb{inside, about, onServer} {
		for name, v := range table {
			t.Run(name, func(t *testing.T) {
				s := w.stage(t, "t-"+strings.ToLower(name))
				who := s.ready(t, name)
				switch name { // what would else change nothing
				case "RevealConfig":
					s.set("production", "gateway", `{"key":"${secret:gateway}"}`)
				case "RollbackPolicy":
					s.putPolicy(s.fit.name, "// nothing\n")
				case "SetTag":
					s.fit.revision--
				}
				revision, records := s.revision(), [2]int{len(s.chain(t, s.id)), len(s.chain(t, config.TenantID{}))}
				disk.is.Store(true)
				err := s.call(v, who, s.fit)
				denied := s.call(v, s.stranger.who, s.fit)
				disk.is.Store(false)
				if quiet[name] {
					must(t, err)
				} else if e := mustBe(t, config.KindUnavailable, err); e.Next == "" {
					t.Errorf("nothing is said about what to do: %s", describe(err))
				}
				if e := mustBe(t, config.KindUnavailable, denied); !strings.Contains(e.Error(), "put on record") || e.Next == "" {
					t.Errorf("a denial is answered by %s", describe(denied))
				}
				same(t, "revision", revision, s.revision())
				same(t, "records", records, [2]int{len(s.chain(t, s.id)), len(s.chain(t, config.TenantID{}))})
				must(t, s.call(v, who, s.fit))
			})
		}
	}
}

// What is only counted is counted on, and on record once that can be.
func TestCountsOutliveAFullDisk(t *testing.T) {
	w, disk := filling(t)
	a := w.found(t, "acme")
	a.set("base", "a", `{"v":1}`)
	a.putSecret("base", "key", "one")
	must(t, a.s.FlushCounts(t.Context()))
	records := len(a.chain(t, a.id))
	watch := a.watch(service.WatchRequest{Environment: "base"})
	a.reads("base", "a", `{"v":1}`)
	fail := func(kind config.Kind) {
		t.Helper()
		_, err := a.s.Authenticate(t.Context(), service.Credentials{Bearer: "llmc_wrong"}, service.Caller{Source: someone})
		if e := mustBe(t, kind, err); kind == config.KindUnavailable && e.Next == "" {
			t.Errorf("nothing is said about what to do: %s", describe(err))
		}
	}
	fail(config.KindUnauthenticated) // which is on record
	disk.is.Store(true)
	for minute := range 5 {
		a.reads("base", "a", `{"v":1}`)
		a.reads("edge", "a", `{"v":1}`)
		a.getsNone("base", "key", config.KindUnavailable)
		a.refused(config.KindUnavailable, a.put("base", "a", `{"v":2}`))
		if minute == 0 {
			fail(config.KindUnauthenticated) // which is counted
			fail(config.KindUnauthenticated)
		} else {
			fail(config.KindUnavailable) // which would be the first of the minute
		}
		a.clock.move(time.Minute)
		if err := a.s.FlushCounts(t.Context()); config.KindOf(err) != config.KindUnavailable {
			t.Errorf("that counts are not on record is answered by %v", err)
		}
	}
	if next, _ := watch.Wait(); isClosed(next) {
		t.Error("a watch was told something")
	}
	same(t, "records", records, len(a.chain(t, a.id)))

	disk.is.Store(false)
	a.set("base", "a", `{"v":3}`)
	a.gets("base", "key", "one")
	if len(told(t, watch)) == 0 {
		t.Error("a watch was not told of a change afterwards")
	}
	a.reads("base", "a", `{"v":3}`)
	must(t, a.s.FlushCounts(t.Context()))
	counts := map[string]string{}
	for _, r := range a.eventsOn(t, a.id, "config.reads") {
		counts[r.Resource[strings.LastIndexByte(r.Resource, '/')+1:]] += r.Details["count"] + ";"
	}
	same(t, "reads on record", map[string]string{"base": "8;", "edge": "5;"}, counts)
	failures := a.eventsOn(t, config.TenantID{}, "authentication.failures")
	if len(failures) != 1 || failures[0].Details["count"] != "3" {
		t.Errorf("failed authentications are on record as %+v", failures)
	}
	same(t, "first failures on record", 1, len(a.eventsOn(t, config.TenantID{}, "authentication.failed")))
	fail(config.KindUnauthenticated)
}

// Counts that cannot be put on record are kept within bounds: what there is no
// room for is counted together.
func TestFailuresThatAreKeptAreBounded(t *testing.T) {
	w, disk := filling(t)
	for minute := range 3 {
		disk.is.Store(false)
		for i := range 4 {
			from := service.Caller{Source: someone.Next()}
			if i%2 == 0 {
				from.Source = someone
			}
			_, err := w.s.Authenticate(t.Context(), service.Credentials{Bearer: fmt.Sprint(i)}, from)
			mustBe(t, config.KindUnauthenticated, err)
		}
		disk.is.Store(true)
		w.clock.move(time.Minute)
		if err := w.s.FlushCounts(t.Context()); err == nil {
			t.Errorf("minute %d: counts are not on record, and nobody is told", minute)
		}
	}
	disk.is.Store(false)
	must(t, w.s.FlushCounts(t.Context()))
	total := int64(0)
	for _, r := range w.eventsOn(t, config.TenantID{}, "authentication.failed", "authentication.failures") {
		total += r.Weight()
	}
	same(t, "failed authentications on record", int64(12), total)
}
