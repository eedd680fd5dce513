package service_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// events are how often an event is on the server's chain.
func (a *auditor) events(event string) (n int) {
	a.t.Helper()
	for _, l := range a.links(config.TenantID{}) {
		if r, err := audit.ParseRecord(l.Record); err == nil && r.Event == event {
			n++
		}
	}
	return n
}

// counted says whether the metrics have a line.
func (a *auditor) counted(line string) bool {
	a.t.Helper()
	scrape := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return strings.Contains(scrape.Body.String(), "llm_config_manager_"+line+"\n")
}

// What cannot be put on record of a broken chain is in the log and the metrics at
// once, and raises its alert, once, as soon as it can.
func TestBrokenChainsAreToldOfLater(t *testing.T) {
	for name, again := range map[string]func(a *auditor){
		"by the patrol": func(a *auditor) { a.all("patrol", a.s.PatrolAudit) },
		"by who looks": func(a *auditor) {
			report, err := a.s.VerifyAudit(a.t.Context(), a.who, a.chain(), nil)
			must(a.t, err)
			if report.Broken == nil {
				a.t.Error("it holds")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuditor(t)
			a.append(a.id, made(9, 0)...)
			a.all("alerts", a.s.FollowAlerts)
			a.all("patrol", a.s.PatrolAudit)
			a.sql(`UPDATE audit SET record = CAST('{}' AS BLOB) WHERE tenant = ? AND sequence = 5`, a.id[:])
			a.engine.auditDown.Store(true)
			a.sign()
			a.sign()
			if n := strings.Count(a.log.String(), `msg="an audit chain does not hold"`); n != 1 || !a.counted("audit_chains_broken 1") {
				t.Errorf("it is logged %d times", n)
			}
			a.engine.auditDown.Store(false)
			for range 2 {
				again(a)
				a.all("alerts", a.s.FollowAlerts)
			}
			same(t, "on record", 1, a.events("audit.broken"))
			same(t, "alerts on record", 1, a.events("audit.alert"))
			if !a.counted(`audit_alerts_total{alert="chain-broken"} 1`) {
				t.Error("the alert is not counted once")
			}
		})
	}
}

// The server's own chain takes no record any more: operators are alerted all the
// same, once for each chain.
func TestBrokenServerChainIsAnAlert(t *testing.T) {
	a := newAuditor(t)
	a.sign()
	server := config.TenantID{}
	a.sql(`INSERT INTO audit (tenant, sequence, hash, record) SELECT tenant, sequence + 1, hash, record FROM audit WHERE tenant = ? ORDER BY sequence DESC LIMIT 1`, server[:])
	a.restart()
	for range 3 {
		a.all("patrol", a.s.PatrolAudit)
	}
	if !a.counted("audit_chains_broken 1") || !a.counted(`audit_alerts_total{alert="chain-broken"} 1`) {
		t.Error("it is not counted once")
	}
	if n := strings.Count(a.log.String(), "alert=chain-broken"); n != 1 {
		t.Errorf("the alert is logged %d times", n)
	}

	off, err := audit.ParseAlertRules([]string{"chain-broken: off"})
	must(t, err)
	a.setup.Alerts = off
	a.restart()
	a.all("patrol", a.s.PatrolAudit)
	if !a.counted("audit_chains_broken 1") || a.counted(`audit_alerts_total{alert="chain-broken"} 1`) {
		t.Error("an alert is raised that is off")
	}
}

// stubborn is a place for checkpoints that has others of one chain.
type stubborn struct {
	anchor
	has string // of which chain; "" for none
}

func (k *stubborn) Keep(ctx context.Context, origin string, sequence uint64, note []byte) error {
	if origin == k.has {
		return config.Errorf(config.KindConflict, "there is another of record %d", sequence)
	}
	return k.anchor.Keep(ctx, origin, sequence, note)
}

// A chain of which a place has another checkpoint is broken, whatever the database
// says, also for another process, until the place has none.
func TestPlacesThatHaveOthersBreakTheChain(t *testing.T) {
	a := newAuditor(t)
	k := &stubborn{anchor: anchor{fail: -1}, has: audit.Origin(a.name, a.id)}
	start := func() {
		a.s = service.New(service.Options{
			Store: a.engine, Keyring: a.keyring, Clock: a.clock.read, Metrics: a.metrics,
			Posture: func() service.Posture { return service.Posture{Known: true, Anchors: []string{k.Name()}} },
		})
	}
	keep := func() {
		t.Helper()
		a.append(a.id, made(3, 0)...)
		a.sign()
		a.all("keep", func(ctx context.Context) (bool, error) { return a.s.KeepCheckpoints(ctx, k) })
	}
	broken := func(want bool) {
		t.Helper()
		if report := a.verified(a.chain()); (report.Broken != nil) != want {
			t.Errorf("the tenant's chain is %v", report.Broken)
		}
	}
	start()
	keep()
	first := a.notes(a.id)[0].Sequence
	broken(true)
	status, err := a.s.AuditStatus(t.Context(), a.who, a.chain())
	must(t, err)
	if status.Broken == "" {
		t.Error("the status says nothing")
	}
	if len(k.kept) == 0 {
		t.Error("those of the server's chain were not kept")
	}
	a.s = a.process(a.engine) // whose settings name no place, so that its break is what it found
	broken(false)
	keep()
	broken(true)

	start()
	broken(true)
	start()
	a.all("patrol", a.s.PatrolAudit)
	status, err = a.s.AuditStatus(t.Context(), a.who, a.chain())
	must(t, err)
	if !strings.Contains(status.Broken, "has another one") {
		t.Errorf("the patrol says %q", status.Broken)
	}

	start()
	k.has = ""
	keep()
	broken(false)
	if !strings.Contains(strings.Join(k.kept, ""), audit.Origin(a.name, a.id)+"\n"+strconv.FormatUint(first, 10)+"\n") {
		t.Error("the note that was refused is not kept")
	}
}
