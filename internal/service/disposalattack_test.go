package service_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// archived is an auditor of a tenant whose oldest records are in the archive.
func archived(t *testing.T) *auditor {
	t.Helper()
	a := newAuditor(t)
	a.append(a.id, made(5, 0)...)
	a.sign()
	a.clock.move(9 * oneDay)
	a.append(a.id, made(3, 0)...)
	a.retain()
	a.clock.move(40 * oneDay)
	a.retain()
	if len(a.archive.keys()) == 0 {
		t.Fatal("nothing is in the archive")
	}
	return a
}

// Whoever writes to the database cannot have the server destroy what is in the
// archive: neither by saying that it was disposed of, also with a record of his
// own, nor by taking a legal hold away.
func TestTheDatabaseAloneDestroysNothing(t *testing.T) {
	for name, c := range map[string]struct {
		years   int // that pass meanwhile
		prepare func(*auditor)
		attack  func(*auditor)
	}{
		"said to be disposed of": {0, func(*auditor) {}, func(a *auditor) {
			a.sql(`UPDATE audit_segments SET state = 3 WHERE tenant = ?`, a.id[:])
		}},
		"and where another's lies": {0, func(*auditor) {}, func(a *auditor) {
			a.sql(`UPDATE audit_segments SET state = 3, location = 'elsewhere' WHERE tenant = ?`, a.id[:])
		}},
		"with a record": {0, func(*auditor) {}, func(a *auditor) {
			segments, err := a.engine.Segments(a.t.Context(), a.id, 0, 10)
			must(a.t, err)
			last := segments[len(segments)-1]
			stub := audit.Stub{First: 1, Last: last.Last, Hash: last.Hash}
			a.append(a.id, audit.Record{Event: audit.DisposeEvent, Actor: "system:server", Outcome: audit.Success, Details: stub.DisposeDetails([]byte("made up"))})
			a.sql(`UPDATE audit_segments SET state = 3 WHERE tenant = ?`, a.id[:])
		}},
		"the hold taken away": {8, func(a *auditor) {
			_, err := a.s.HoldAudit(a.t.Context(), a.root, service.Chain{Tenant: a.tenant}, "case 12")
			must(a.t, err)
		}, func(a *auditor) {
			a.sql(`UPDATE audit_chains SET hold_time = 0, hold_reason = '', hold_author = ''`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := archived(t)
			c.prepare(a)
			before := ofTenant(a)
			a.clock.move(time.Duration(c.years) * oneYear)
			c.attack(a)
			a.restart()
			a.retain()
			same(t, "objects of the archive", before, ofTenant(a))
			if !a.known(a.id) {
				t.Error("nobody is told")
			}
		})
	}
}

// ofTenant are the objects of the tenant's chain.
func ofTenant(a *auditor) []string {
	return slices.DeleteFunc(a.archive.keys(), func(key string) bool { return !strings.Contains(key, a.id.String()) })
}

// A tenant under legal hold that is not deleted keeps its key.
func TestAHeldTenantKeepsItsKey(t *testing.T) {
	a := newAuditor(t)
	a.set("production", "gateway", `{"n":1}`)
	_, err := a.s.HoldAudit(t.Context(), a.root, service.Chain{Tenant: a.tenant}, "case 12")
	must(t, err)
	_, err = a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	mustBe(t, config.KindInUse, err)
	_, err = a.s.Config(t.Context(), a.who, a.tenant, "production", path("gateway"), service.ReadOptions{})
	must(t, err)
}

// So many readings of one chain run at once, and no more; when one ends, there is
// room again.
func TestReadingsAreBounded(t *testing.T) {
	a := newAuditor(t)
	export := func(to writerFunc) error {
		write, err := a.s.ExportAudit(t.Context(), a.who, a.chain(), service.ExportRequest{Form: service.ExportNDJSON})
		must(t, err)
		return write(to)
	}
	// within is a reader of an export that has so many more made while it reads,
	// one within the other; err is what became of the innermost.
	var within func(more int, err *error) writerFunc
	within = func(more int, err *error) writerFunc {
		return func(b []byte) (int, error) {
			if more > 0 {
				*err = nil
				if failed := export(within(more-1, err)); failed != nil {
					*err = failed
				}
				more = 0
			}
			return len(b), nil
		}
	}
	var err error
	must(t, export(within(2, &err)))
	must(t, err)
	must(t, export(within(3, &err)))
	mustBe(t, config.KindOverloaded, err)
	must(t, export(within(2, &err)))
	must(t, err)
}

// writerFunc is a writer that a function is.
type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }
