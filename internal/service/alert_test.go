package service_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// alarmed is a tenant whose server raises alerts.
type alarmed struct {
	*glass
	rules   atomic.Pointer[[]audit.AlertRule]
	metrics *telemetry.Metrics
	log     bytes.Buffer
}

func newAlarmed(t *testing.T) *alarmed {
	t.Helper()
	a := &alarmed{glass: newGlass(t), metrics: telemetry.NewMetrics(nil)}
	a.rules.Store(&[]audit.AlertRule{})
	a.restart()
	a.follow(a.s)
	return a
}

// restart is another process in the place of the one before.
func (a *alarmed) restart() {
	a.glass.stage.s = a.another()
}

func (a *alarmed) another() *service.Service {
	return a.serving(service.Options{
		Audit:   func() service.AuditSetup { return service.AuditSetup{Alerts: *a.rules.Load()} },
		Metrics: a.metrics, Logger: slog.New(slog.NewTextHandler(&a.log, nil)),
	})
}

// set makes the rules of the settings.
func (a *alarmed) setRules(texts ...string) {
	a.t.Helper()
	rules, err := audit.ParseAlertRules(texts)
	must(a.t, err)
	a.rules.Store(&rules)
}

func (a *alarmed) follow(s *service.Service) {
	a.t.Helper()
	for more := true; more; {
		var err error
		more, err = s.FollowAlerts(a.t.Context())
		must(a.t, err)
	}
}

// alerts are those that are on record, and for whom, the latest last. Each is to
// be in the metrics and in the log as well.
func (a *alarmed) alerts() []string {
	a.t.Helper()
	a.follow(a.s)
	var all []string
	counts := map[string]int{}
	for _, r := range a.eventsOn(a.t, config.TenantID{}, "audit.alert") {
		d := r.Details
		all = append(all, d["alert"]+" "+d["actor"]+d["address"]+d["tenant"]+d["resource"]+" "+d["count"])
		counts[d["alert"]]++
		if r.Outcome != audit.Success || !strings.HasPrefix(r.Reason, d["alert"]+": ") || d["record"] == "" {
			a.t.Errorf("an alert is on record as %+v", r)
		}
	}
	w := httptest.NewRecorder()
	a.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for name, n := range counts {
		if line := fmt.Sprintf("llm_config_manager_audit_alerts_total{alert=%q} %d\n", name, n); !strings.Contains(w.Body.String(), line) {
			a.t.Errorf("the metrics lack %s", line)
		}
		if logged := strings.Count(a.log.String(), "alert="+name+" "); logged != n {
			a.t.Errorf("%d of %d alerts %s are in the log", logged, n, name)
		}
	}
	return all
}

func (a *alarmed) raised(what string, want ...string) {
	a.t.Helper()
	if got := a.alerts(); !slices.Equal(got, want) {
		a.t.Errorf("%s: raised was %q, want %q", what, got, want)
	}
}

// denied has an actor denied something so many times.
func (a *alarmed) deny(who service.Caller, times int) {
	a.t.Helper()
	for range times {
		_, _, err := a.s.ServerTokens(a.t.Context(), who, page(1))
		mustBe(a.t, config.KindForbidden, err)
	}
}

func (a *alarmed) failToAuthenticate(from netip.Addr, times int) {
	a.t.Helper()
	for range times {
		_, err := a.s.Authenticate(a.t.Context(), service.Credentials{Bearer: "llmc_wrong"}, service.Caller{Source: from})
		mustBe(a.t, config.KindUnauthenticated, err)
	}
	a.clock.move(time.Minute)
	must(a.t, a.s.FlushCounts(a.t.Context()))
}

func TestManyFailedAuthenticationsAreAnAlert(t *testing.T) {
	a := newAlarmed(t)
	other := netip.MustParseAddr("198.51.100.7")
	a.failToAuthenticate(someone, 9)
	a.failToAuthenticate(other, 3)
	a.raised("below the threshold")
	a.failToAuthenticate(someone, 1)
	a.raised("at the threshold", "brute-force "+someone.String()+" 10")
	a.failToAuthenticate(someone, 20)
	a.raised("within the window", "brute-force "+someone.String()+" 10")
	a.failToAuthenticate(other, 12)
	a.raised("from another address", "brute-force "+someone.String()+" 10", "brute-force "+other.String()+" 15")
	a.clock.move(10 * time.Minute)
	a.failToAuthenticate(someone, 10)
	a.raised("in the next window", "brute-force "+someone.String()+" 10", "brute-force "+other.String()+" 15", "brute-force "+someone.String()+" 10")
}

func TestManyDenialsAreAnAlert(t *testing.T) {
	a := newAlarmed(t)
	a.deny(a.who, 49)
	a.deny(a.stranger.who, 49)
	a.raised("below the threshold")
	a.deny(a.who, 30)
	first := "denial-burst " + a.who.Principal.Actor() + " 50"
	a.raised("above it", first)
	a.clock.move(4 * time.Minute)
	a.deny(a.who, 60)
	a.raised("within the window", first)
	a.clock.move(time.Minute)
	a.deny(a.who, 1)
	a.raised("after it, where 60 are within the one that ends now", first, first)
}

func TestManySecretsReadAreAnAlert(t *testing.T) {
	a := newAlarmed(t)
	const many = 200
	for i := range many {
		a.putSecret("base", fmt.Sprintf("s%d", i), "x")
	}
	for i := range many - 1 {
		a.revealed("base", fmt.Sprintf("s%d", i))
	}
	for range many { // of one that was read already
		a.revealed("base", "s7")
	}
	a.raised("below the threshold")
	reader := a.as(access.Grants{Roles: []string{access.RoleApplication}})
	_, err := reader.s.RevealSecret(t.Context(), reader.who, a.tenant, "base", path("s199"), service.RevealRequest{})
	must(t, err)
	a.raised("by another")
	a.revealed("base", "s199")
	a.raised("at the threshold", "mass-secret-reads "+a.who.Principal.Actor()+" 200")
}

func TestBreakGlassIsAnAlert(t *testing.T) {
	a := newAlarmed(t)
	id := a.ask(a.bob, access.RoleViewer, time.Hour)
	a.raised("asked for")
	must(t, a.approve(a.olga, id))
	approved := "break-glass " + a.id.String() + " 1"
	a.raised("approved", approved)
	must(t, a.looks(a.bob))
	used := "break-glass-use " + a.bob.Principal.Actor() + " 1"
	a.raised("used", approved, used)
	must(t, a.looks(a.bob))
	a.raised("used again", approved, used)
	a.clock.move(16 * time.Minute)
	must(t, a.looks(a.bob))
	a.raised("used later", approved, used, used)
}

func TestABrokenChainIsAnAlert(t *testing.T) {
	a := newAlarmed(t)
	_, err := a.s.VerifyAudit(t.Context(), a.who, service.Chain{Tenant: a.tenant}, nil)
	must(t, err)
	a.raised("as it was written")
	a.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'config', 'konfig') AS BLOB) WHERE tenant = ? AND sequence = 3`, a.id[:])
	report, err := a.s.VerifyAudit(t.Context(), a.who, service.Chain{Tenant: a.tenant}, nil)
	must(t, err)
	if report.Broken == nil {
		t.Fatal("the chain is not broken")
	}
	a.raised("altered", "chain-broken "+a.id.String()+" 1")
	_, err = a.s.VerifyAudit(t.Context(), a.who, service.Chain{Tenant: a.tenant}, nil)
	must(t, err)
	a.raised("looked at again", "chain-broken "+a.id.String()+" 1")
}

// What cannot be read does not silence the alerts: it is one.
func TestARecordThatCannotBeReadIsAnAlert(t *testing.T) {
	a := newAlarmed(t)
	a.deny(a.who, 1)
	a.tamper(`UPDATE audit SET record = x'7b' WHERE sequence = (SELECT max(sequence) FROM audit WHERE tenant = ?1) AND tenant = ?1`, make([]byte, 16))
	a.deny(a.who, 50)
	a.follow(a.s)
	all := []string{}
	links, err := a.engine.Audit(t.Context(), config.TenantID{}, 0, 1000)
	must(t, err)
	for _, l := range links {
		if r, err := audit.ParseRecord(l.Record); err == nil && r.Event == "audit.alert" {
			all = append(all, r.Details["alert"])
		}
	}
	same(t, "alerts", []string{"denial-burst", "chain-broken"}, all)
}

func TestASinkThatIsDownIsAnAlert(t *testing.T) {
	a := newAlarmed(t)
	sink := &collector{name: "s"}
	delivers(t, a.s, sink, audit.Filter{})
	a.set("base", "a", `{"v":1}`)
	delivers(t, a.s, sink, audit.Filter{})
	a.raised("while it takes records")
	// Each sink is an alert of its own, also when their names begin alike.
	long := "file:///" + strings.Repeat("x", 200)
	more := []*collector{{name: "https://one"}, {name: long + "1"}, {name: long + "2"}}
	for _, another := range more {
		delivers(t, a.s, another, audit.Filter{})
	}
	want := []string{"sink-down server/audit/sinks/s 1", "sink-down server/audit/sinks/https:/one 1"}
	for _, n := range []string{"1", "2"} {
		want = append(want, "sink-down server/audit/sinks/"+strings.Replace(long, "///", "/", 1)+n+" 1")
	}
	a.set("base", "a", `{"v":2}`)
	for _, down := range append([]*collector{sink}, more...) {
		down.failing(errDown)
		_, err := a.s.DeliverAudit(t.Context(), down, audit.Filter{})
		must(t, err)
	}
	a.raised("down", want...)
}

// A process that ends in the middle of a window has told the next how far it was.
func TestAlertsOutliveTheProcess(t *testing.T) {
	a := newAlarmed(t)
	alert := "denial-burst " + a.who.Principal.Actor() + " 50"
	for i := range 5 {
		a.restart()
		a.deny(a.who, 10)
		a.clock.move(50 * time.Second)
		if i < 4 {
			a.raised("below the threshold")
		}
	}
	a.raised("at the threshold", alert)
	for range 3 {
		a.restart()
		a.raised("after another start", alert)
		a.deny(a.who, 50)
		a.raised("within the window, after another start", alert)
		a.clock.move(time.Minute)
	}
}

// Nor does it matter which instance runs the job, however often that changes.
func TestAlertsAreRaisedByOneInstance(t *testing.T) {
	a := newAlarmed(t)
	other := a.another()
	for i := range 60 {
		a.deny(a.who, 1)
		a.follow([]*service.Service{a.s, other}[i%2])
	}
	a.follow(other)
	a.raised("by two instances", "denial-burst "+a.who.Principal.Actor()+" 50")
}

func TestAlertsThatCannotBePutOnRecordAreNotLost(t *testing.T) {
	a := newAlarmed(t)
	a.deny(a.who, 30)
	a.follow(a.s)
	a.deny(a.who, 30)
	a.engine.auditDown.Store(true)
	for range 3 {
		if _, err := a.s.FollowAlerts(t.Context()); err == nil {
			t.Error("an alert is lost, and nobody is told")
		}
	}
	a.engine.auditDown.Store(false)
	alert := "denial-burst " + a.who.Principal.Actor() + " 50"
	a.raised("when it can be", alert)
	a.raised("and again", alert)

	// Another process takes it over.
	a.deny(a.stranger.who, 50)
	a.engine.auditDown.Store(true)
	if _, err := a.s.FollowAlerts(t.Context()); err == nil {
		t.Error("an alert is lost, and nobody is told")
	}
	a.engine.auditDown.Store(false)
	a.restart()
	a.raised("by another process", alert, "denial-burst "+a.stranger.who.Principal.Actor()+" 50")
}

func TestRulesOfTheSettings(t *testing.T) {
	a := newAlarmed(t)
	a.setRules("denial-burst: off")
	a.deny(a.who, 60)
	a.raised("a rule that is off")
	a.setRules("denial-burst: 3 authorization.denied in 1m per address", "tags: 2 tag.* in 1h per tenant")
	a.clock.move(10 * time.Minute)
	a.deny(a.who, 3)
	replaced := "denial-burst " + someone.String() + " 3"
	a.raised("a rule in the place of a built-in one", replaced)
	a.tag("one", 2)
	a.tag("two", 2)
	// The stage has set one before the rule was there.
	a.raised("a rule more", replaced, "tags "+a.id.String()+" 2")
	a.setRules()
	a.clock.move(10 * time.Minute)
	a.deny(a.who, 50)
	a.raised("the built-in rules again", replaced, "tags "+a.id.String()+" 2", "denial-burst "+a.who.Principal.Actor()+" 50")
}

func TestOldRecordsRaiseNothing(t *testing.T) {
	a := newAlarmed(t)
	a.deny(a.who, 60)
	a.clock.move(61 * time.Minute)
	a.raised("an hour later")
	a.restart()
	a.raised("by another process")
	a.deny(a.who, 50)
	a.raised("new ones", "denial-burst "+a.who.Principal.Actor()+" 50")
}

// Whatever a rule is on, alerts are not the reason of alerts.
func TestAlertsRaiseNoAlerts(t *testing.T) {
	a := newAlarmed(t)
	a.setRules("all: 1 audit.* in 1s per tenant", "alerts: 1 audit.alert in 1s per tenant")
	_, err := a.s.AuditStatus(t.Context(), a.who, service.Chain{Tenant: a.tenant})
	must(t, err)
	_, err = a.s.VerifyAudit(t.Context(), a.who, service.Chain{Tenant: a.tenant}, nil)
	must(t, err)
	for range 5 {
		a.clock.move(time.Minute)
		a.raised("however long one waits", "all server 1", "all "+a.id.String()+" 1") // the first because of the first key
	}
}
