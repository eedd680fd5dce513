package service_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// examined is a tenant on a server that is set up as it should be.
type examined struct {
	*glass
	posture service.Posture
	setup   service.AuditSetup
	options service.Options
	anchor  *mast
	shelf   *shelf
}

// mast is a place for checkpoints.
type mast struct {
	kept    []uint64
	refuses bool // because it has others
}

func (*mast) Name() string { return "mast" }

func (m *mast) Keep(_ context.Context, _ string, sequence uint64, _ []byte) error {
	if m.refuses {
		return config.Errorf(config.KindConflict, "the mast has another checkpoint of record %d", sequence)
	}
	m.kept = append(m.kept, sequence)
	return nil
}

func newExamined(t *testing.T) *examined {
	t.Helper()
	x := &examined{glass: newGlass(t), anchor: &mast{}, shelf: newShelf(), posture: service.Posture{
		Known: true, TLS: true, ClientAuth: "optional", Keeper: "file", Anchors: []string{"mast"}, AlertHooks: 1,
		RequestsLimited: true, ConnectionsLimited: true, Version: "1.2.3",
	}}
	x.setup.Every = time.Minute
	x.serve()
	x.give(x.bob, access.RoleViewer, time.Hour)
	x.putSecret("production", "lasting", "one")
	x.sign()
	return x
}

// serve is another process, set up as is said by then.
func (x *examined) serve() {
	o := x.options
	o.Archive, o.Posture, o.Audit = x.shelf, func() service.Posture { return x.posture }, func() service.AuditSetup { return x.setup }
	x.glass.stage.s = x.serving(o)
}

// sign signs where the chains stand, and brings that to the mast.
func (x *examined) sign() {
	x.t.Helper()
	_, err := x.s.SignCheckpoints(x.t.Context())
	must(x.t, err)
	_, err = x.s.KeepCheckpoints(x.t.Context(), x.anchor)
	must(x.t, err)
}

func (x *examined) results(of compliance.Scope) map[compliance.CheckName]compliance.Result {
	x.t.Helper()
	who, chain := x.root, service.Chain{}
	if of == compliance.OfTenant {
		who, chain = x.who, service.Chain{Tenant: x.tenant}
	}
	results, err := service.RunChecks(x.t.Context(), x.s, who, chain)
	must(x.t, err)
	return results
}

func TestEveryCheckHasItsCode(t *testing.T) {
	want := names(compliance.Checks, func(c compliance.Check) string { return string(c.Name) })
	got := names(service.CheckNames(), func(n compliance.CheckName) string { return string(n) })
	slices.Sort(want)
	slices.Sort(got)
	same(t, "checks", want, got)
	for _, c := range compliance.Checks {
		if !slices.ContainsFunc(spoils, func(s spoil) bool { return s.check == c.Name }) {
			t.Errorf("%s is never seen to fail", c.Name)
		}
	}
}

func TestEveryCheckPassesWhereAllIsWell(t *testing.T) {
	x := newExamined(t)
	for _, scope := range []compliance.Scope{compliance.OfServer, compliance.OfTenant} {
		results := x.results(scope)
		for _, c := range compliance.Checks {
			r, ran := results[c.Name]
			if should := c.Scope == scope || c.Scope == compliance.OfBoth; ran != should {
				t.Errorf("%s in a report of a %s: ran is %t", c.Name, scope, ran)
			}
			if ran && (r.Status != compliance.Passed || r.Detail == "" || r.Ran.IsZero() || r.Check != c.Name) {
				t.Errorf("%s of the %s: %+v", c.Name, scope, r)
			}
		}
	}
}

// What the process does not say about itself is not taken for good.
func TestChecksThatCannotRun(t *testing.T) {
	x := newExamined(t)
	x.posture = service.Posture{}
	results := x.results(compliance.OfTenant)
	for name, r := range x.results(compliance.OfServer) {
		results[name] = r
	}
	for _, name := range []compliance.CheckName{
		compliance.MasterKeyKept, compliance.TransportEncrypted, compliance.LimitsOn, compliance.AlertsOn, compliance.CheckpointsElsewhere,
	} {
		if r := results[name]; r.Status != compliance.CannotRun || r.Detail == "" {
			t.Errorf("%s is %+v", name, r)
		}
	}
	must(t, x.engine.Store.Close())
	x.posture.Known = true
	_, err := service.RunChecks(t.Context(), x.s, x.who, service.Chain{Tenant: x.tenant})
	if err == nil {
		t.Error("a report is made without a store")
	}
}

// spoil makes a check fail.
type spoil struct {
	check compliance.CheckName
	of    compliance.Scope
	what  string
	do    func(x *examined)
	says  string // within the detail
}

const (
	server = compliance.OfServer
	tenant = compliance.OfTenant
)

// tweak alters what the process says about itself.
func tweak(alter func(p *service.Posture)) func(x *examined) {
	return func(x *examined) { alter(&x.posture) }
}

// rewritten alters a record of the tenant's chain in the database.
func rewritten(from, to string) func(x *examined) {
	return func(x *examined) {
		x.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), ?, ?) AS BLOB) WHERE tenant = ?`, from, to, x.id[:])
	}
}

// refusedNote has the mast refuse the next checkpoint of each chain.
func refusedNote(x *examined) {
	x.set("base", "late", `{}`)
	x.anchor.refuses = true
	x.sign()
}

// redefined are other rules for alerts.
func redefined(texts ...string) func(x *examined) {
	return func(x *examined) {
		rules, err := audit.ParseAlertRules(texts)
		must(x.t, err)
		x.setup.Alerts = rules
	}
}

func (x *examined) appends(records ...audit.Record) {
	x.t.Helper()
	must(x.t, x.engine.AppendAudit(x.t.Context(), x.id, records...))
}

var spoils = []spoil{
	{compliance.DenyByDefault, tenant, "a policy that permits everybody", func(x *examined) {
		x.putPolicy("all", `permit (principal, action == Action::"config.read", resource);`)
	}, "config.read on"},
	{compliance.StrangersRefused, server, "random numbers that are none", func(x *examined) {
		x.options.Random = zeros{}
		x.serve()
		_, err := x.s.CreateServerToken(x.t.Context(), x.root, service.TokenRequest{Name: "guessable"})
		must(x.t, err)
	}, "a made-up token one is token:"},
	{compliance.TenantIsolation, tenant, "a store that answers otherwise for what is not there", func(x *examined) {
		x.engine.Store = talkative{x.engine.Store}
	}, "is another than"},
	{compliance.AdminsFew, tenant, "eleven administrators more", func(x *examined) {
		for range 11 {
			x.issue(service.TokenRequest{Name: "admin", TenantAdmin: true})
		}
	}, "12 of 12 valid tokens"},
	{compliance.AdminsFew, server, "eleven administrators more", func(x *examined) {
		for range 11 {
			x.serverAdmin(x.root, "more")
		}
	}, "13 of 13 valid tokens"},
	{compliance.TokensExpire, tenant, "an endless token", func(x *examined) {
		x.tamper(`UPDATE tokens SET expires = 0 WHERE tenant = ?`, x.id[:])
	}, "1 have no end"},
	{compliance.TokensExpire, tenant, "a token that nobody uses", func(x *examined) {
		x.issue(service.TokenRequest{Name: "idle", TTL: 200 * day})
		x.clock.move(91 * day)
	}, "1 were not used"},
	{compliance.BreakGlassBounded, tenant, "access without a reason", func(x *examined) {
		x.alterGrants(func(reason, _, _ *string, _ *time.Duration) { *reason = "" })
	}, "no second person"},
	{compliance.BreakGlassBounded, tenant, "access that its user approved", func(x *examined) {
		x.alterGrants(func(_, approver, requester *string, _ *time.Duration) { *approver = *requester })
	}, "no second person"},
	{compliance.BreakGlassBounded, tenant, "access for a day", func(x *examined) {
		x.alterGrants(func(_, _, _ *string, lasts *time.Duration) { *lasts = day })
	}, "no near end"},
	{compliance.PoliciesTested, tenant, "an untested policy", func(x *examined) {
		x.putPolicy("untested", `forbid (principal in Role::"viewer", action == Action::"config.write", resource);`)
	}, "untested have no test case"},
	{compliance.DenialsRecorded, tenant, "a store that forgets denials", func(x *examined) {
		x.engine.Store = forgetful{x.engine.Store}
	}, "is not among"},
	{compliance.DenialsRecorded, server, "a store that forgets denials", func(x *examined) {
		x.engine.Store = forgetful{x.engine.Store}
	}, "is not among"},
	{compliance.DenialsRecorded, tenant, "nothing is denied", func(x *examined) {
		x.putPolicy("all", `permit (principal, action == Action::"token.write", resource);`)
	}, "was allowed"},
	{compliance.ChangesRecorded, tenant, "the record of a revision that is another's", rewritten(`"revision":3,`, `"revision":999,`), "1 of the"},
	{compliance.ChangesRecorded, tenant, "a record that was removed", func(x *examined) {
		x.tamper(`DELETE FROM audit WHERE tenant = ? AND sequence = 3`, x.id[:])
	}, "newest revisions have no record"},
	{compliance.RecordsComplete, tenant, "a record of nobody", func(x *examined) {
		x.appends(audit.Record{Event: "tag.set", Outcome: audit.Success})
	}, "lacks its"},
	{compliance.RecordsComplete, tenant, "a record of an event that there is not", func(x *examined) {
		x.appends(audit.Record{Event: "tag.sat", Actor: "somebody", Outcome: audit.Success})
	}, "lacks its event"},
	{compliance.RecordsComplete, tenant, "a record that cannot be read", func(x *examined) {
		x.tamper(`UPDATE audit SET record = x'7b' WHERE tenant = ? AND sequence = 5`, x.id[:])
	}, "record 5 cannot be read"},
	{compliance.SecretValuesAbsent, tenant, "a client that says its token instead of its name", func(x *examined) {
		who := x.who
		who.UserAgent = x.issue(service.TokenRequest{Name: "leaky"}).Reveal()
		_, err := x.s.RevealSecret(x.t.Context(), who, x.tenant, "production", path("gateway"), service.RevealRequest{})
		must(x.t, err)
	}, "looks like a credential"},
	{compliance.SecretValuesAbsent, tenant, "a private key as a reason", func(x *examined) {
		x.appends(audit.Record{Event: "tag.set", Actor: "a", Outcome: audit.Success, Reason: "-----BEGIN EC PRIVATE KEY-----"})
	}, "looks like a credential"},
	{compliance.SecretValuesAbsent, tenant, "a provider's key in a detail", func(x *examined) {
		x.appends(audit.Record{Event: "tag.set", Actor: "a", Outcome: audit.Success, Details: map[string]string{"x": "sk-proj-abcdefghijklmnopqrstuvwx"}})
	}, "looks like a credential"},
	{compliance.ClockSteady, tenant, "a clock that was put back", func(x *examined) { x.clock.move(-time.Hour) }, "ahead of the clock"},
	{compliance.ClockSteady, tenant, "a record with an earlier time", func(x *examined) {
		x.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), '"time":"2026', '"time":"2025') AS BLOB) WHERE tenant = ? AND sequence = 5`, x.id[:])
	}, "record 5 is earlier"},
	{compliance.ChainVerified, tenant, "a record that was altered", rewritten(`"outcome":"success"`, `"outcome":"denied"`), "edited"},
	{compliance.ChainVerified, tenant, "a record that was removed", func(x *examined) {
		x.tamper(`DELETE FROM audit WHERE tenant = ? AND sequence = 3`, x.id[:])
	}, ""},
	{compliance.ChainVerified, server, "a record that was altered", func(x *examined) {
		x.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'acme', 'emca') AS BLOB) WHERE tenant = zeroblob(16)`)
		x.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'success', 'failed') AS BLOB) WHERE tenant = zeroblob(16) AND sequence = 2`)
	}, ""},
	{compliance.CheckpointFresh, tenant, "nothing is signed any more", func(x *examined) {
		x.set("base", "late", `{}`)
		x.clock.move(3 * time.Minute)
	}, "no checkpoint is of it"},
	{compliance.CheckpointFresh, tenant, "checkpoints that were removed", func(x *examined) {
		x.tamper(`DELETE FROM audit_checkpoints`)
		x.clock.move(3 * time.Minute)
	}, "record 1 was written"},
	{compliance.CheckpointsElsewhere, tenant, "no place apart", tweak(func(p *service.Posture) { p.Anchors = nil }), "set audit-checkpoints"},
	{compliance.CheckpointsElsewhere, tenant, "a place on the same disk", tweak(func(p *service.Posture) { p.AnchorsBeside = p.Anchors }), "on the disk of the database alone, in mast"},
	{compliance.CheckpointsElsewhere, tenant, "a place that is behind", func(x *examined) {
		x.set("base", "late", `{}`)
		_, err := x.s.SignCheckpoints(x.t.Context())
		must(x.t, err)
		x.clock.move(3 * time.Minute)
	}, "mast does not have"},
	{compliance.CheckpointsElsewhere, tenant, "a place that has another one", refusedNote, "has another one of it"},
	{compliance.CheckpointsElsewhere, tenant, "a place that had another one before the server was started again", func(x *examined) {
		refusedNote(x)
		x.serve()
	}, "has another one of it"},
	{compliance.ChainVerified, tenant, "a place that has another checkpoint", refusedNote, "has another one of it"},
	{compliance.RetentionConfigured, tenant, "records that are kept for a year", func(x *examined) { x.setup.Keep = 366 * day }, "raise audit-keep"},
	{compliance.RetentionConfigured, tenant, "records that stay hot", func(x *examined) { x.clock.move(10 * day) }, "still a row"},
	{compliance.RetentionConfigured, tenant, "records that are not archived", func(x *examined) {
		x.clock.move(10 * day)
		x.set("base", "late", `{}`)
		retains(x.t, x.s)
		x.clock.move(40 * day)
	}, "should be in the archive"},
	{compliance.RetentionConfigured, tenant, "records whose time is over", func(x *examined) {
		x.clock.move(10 * day)
		x.set("base", "late", `{}`)
		retains(x.t, x.s)
		x.setup.Hot, x.setup.Warm = 20*366*day, 20*366*day
		x.clock.move(8 * 366 * day)
	}, "is over"},
	{compliance.HoldRespected, tenant, "records that were disposed of under hold", func(x *examined) {
		_, err := x.s.HoldAudit(x.t.Context(), x.root, service.Chain{Tenant: x.tenant}, "case 7")
		must(x.t, err)
		x.appends(audit.Record{Event: audit.DisposeEvent, Actor: "system", Outcome: audit.Success})
	}, "disposes of records"},
	{compliance.AlertsOn, server, "an alert that is off", func(x *examined) {
		x.setup.Alerts = []audit.AlertRule{{Name: "brute-force", Off: true}}
	}, "brute-force is off"},
	{compliance.AlertsOn, server, "an alert of something else", redefined("break-glass: 1000000 tag.set in 1s per tenant"),
		`break-glass was redefined so that it finds less, as it is of other events, more of them raise it, its time is shorter: the rule is "break-glass: 1000000 tag.set in 1s per tenant", and built in is "break-glass: 1 grant.approve in 1m per tenant"`},
	{compliance.AlertsOn, tenant, "an alert of some of the events", redefined("brute-force: 10 authentication.failed in 5m per address"), "it is of other events"},
	{compliance.AlertsOn, server, "an alert by more", redefined("denial-burst: 51 authorization.denied in 5m per actor"), "more of them raise it"},
	{compliance.AlertsOn, server, "an alert within less time", redefined("denial-burst: 50 authorization.denied in 1m per actor"), "its time is shorter"},
	{compliance.AlertsOn, server, "an alert that is silent for longer", redefined("break-glass: 1 grant.approve in 24h per tenant"), "silent for longer"},
	{compliance.AlertsOn, server, "an alert by others", redefined("brute-force: 10 authentication.* in 5m per actor"), "counts apart by something else"},
	{compliance.AlertsOn, server, "an alert by what is different", redefined("denial-burst: 50 different authorization.denied in 5m per actor"), "only different resources"},
	{compliance.AlertsOn, tenant, "nobody who is told", tweak(func(p *service.Posture) { p.AlertHooks = 0 }), "set alert-webhooks"},
	{compliance.SealedAtRest, tenant, "a document in clear", func(x *examined) {
		x.tamper(`UPDATE layer_versions SET sealed = CAST('{"key":"in clear"}' AS BLOB) WHERE tenant = ?`, x.id[:])
	}, "does not open"},
	{compliance.SealedAtRest, tenant, "a secret's value in clear", func(x *examined) {
		x.tamper(`UPDATE secret_values SET sealed = CAST('{"value":"in clear"}' AS BLOB) WHERE tenant = ?`, x.id[:])
	}, "does not open"},
	{compliance.SealedAtRest, tenant, "the value of another secret", func(x *examined) {
		x.tamper(`UPDATE secret_values SET sealed = (SELECT sealed FROM secret_values WHERE path = 'gateway' AND version = 1), wrapped = (SELECT wrapped FROM secret_values WHERE path = 'gateway' AND version = 1) WHERE path = 'lasting'`)
	}, "does not open"},
	{compliance.SealedAtRest, server, "the server's log in clear", func(x *examined) {
		x.tamper(`UPDATE log SET sealed = CAST('made a tenant' AS BLOB) WHERE tenant = zeroblob(16)`)
	}, "does not open"},
	{compliance.KeysInTime, tenant, "a key that is overdue", func(x *examined) { x.clock.move(seal.TenantKeyAge + day) }, "was due"},
	{compliance.KeysInTime, server, "the keys of the server", func(x *examined) { x.clock.move(seal.MasterKeyAge + day) }, "was due"},
	{compliance.MasterKeyKept, server, "--dev", tweak(func(p *service.Posture) { p.Development = true }), "development server"},
	{compliance.MasterKeyKept, tenant, "a key beside the data", tweak(func(p *service.Posture) { p.KeyBeside = true }), "keep it elsewhere"},
	{compliance.SecretsRotated, tenant, "a rotation that is overdue", func(x *examined) {
		rotation := secret.Rotation{Every: time.Hour, Generator: &secret.Generator{Kind: secret.GenerateHex}}
		x.put1("production", "db", service.SecretRequest{Fields: x.fields("db"), Metadata: service.SecretMetadata{Rotation: &rotation}})
		x.clock.move(3 * time.Hour)
	}, "db in production was due"},
	{compliance.SecretsRotated, tenant, "a secret whose time is over", func(x *examined) {
		x.put1("production", "db", service.SecretRequest{Fields: x.fields("db"), Expires: x.clock.read().Add(time.Hour)})
		x.clock.move(2 * time.Hour)
	}, "no version that is good"},
	{compliance.TransportEncrypted, server, "plain HTTP", tweak(func(p *service.Posture) { p.TLS = false }), "over plain HTTP to others"},
	{compliance.LimitsOn, server, "no limit of requests", tweak(func(p *service.Posture) { p.RequestsLimited = false }), "set rate-limit"},
	{compliance.LimitsOn, server, "no limit of connections", tweak(func(p *service.Posture) { p.ConnectionsLimited = false }), "set tenant-connections"},
	{compliance.LimitsOn, tenant, "a quota without a limit", func(x *examined) {
		_, err := x.s.PutQuota(x.t.Context(), x.root, x.tenant, service.QuotaRequest{Limits: service.QuotaLimits{RequestsPerMinute: number(0)}})
		must(x.t, err)
	}, "requests a minute"},
}

func TestEveryCheckFailsWhereItShould(t *testing.T) {
	for _, s := range spoils {
		t.Run(fmt.Sprintf("%s of the %s: %s", s.check, s.of, s.what), func(t *testing.T) {
			x := newExamined(t)
			s.do(x)
			if r := x.results(s.of)[s.check]; r.Status != compliance.Failed || !strings.Contains(r.Detail, s.says) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Rules that find more than the built-in ones are as good.
func TestStricterAlertsAreOn(t *testing.T) {
	x := newExamined(t)
	redefined("brute-force: 5 authentication.* in 10m per address", "mass-secret-reads: 100 secret.* in 5m per actor",
		"break-glass: 1 grant.* in 1s per tenant", "denial-burst: 1 authorization.* in 1m per actor", "mine: 1 tag.set in 1m per actor")(x)
	if r := x.results(compliance.OfServer)[compliance.AlertsOn]; r.Status != compliance.Passed {
		t.Errorf("%+v", r)
	}
}

// zeros is a source of random numbers that are none.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// talkative is a store that says of a tenant that is not there that it was.
type talkative struct{ store.Store }

func (s talkative) TenantNamed(ctx context.Context, name string) (config.Tenant, error) {
	found, err := s.Store.TenantNamed(ctx, name)
	if config.KindOf(err) == config.KindNotFound {
		err = config.Errorf(config.KindGone, "the tenant %q was deleted", name)
	}
	return found, err
}

// forgetful is a store that keeps no denials.
type forgetful struct{ store.Store }

func (s forgetful) AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error {
	records = slices.DeleteFunc(slices.Clone(records), func(r audit.Record) bool { return r.Outcome == audit.Denied })
	return s.Store.AppendAudit(ctx, tenant, records...)
}

func (x *examined) alterGrants(alter func(reason, approver, requester *string, lasts *time.Duration)) {
	x.t.Helper()
	must(x.t, service.AlterGrants(x.t.Context(), x.s, x.tenant, alter))
}

// What is not over loopback or trusted proxies only has to be encrypted.
func TestTransportThatNobodyElseReaches(t *testing.T) {
	x := newExamined(t)
	for _, alter := range []func(p *service.Posture){
		func(p *service.Posture) { p.Loopback = true },
		func(p *service.Posture) { p.Proxies = true },
	} {
		x.posture.TLS = false
		alter(&x.posture)
		if r := x.results(compliance.OfServer)[compliance.TransportEncrypted]; r.Status != compliance.Passed {
			t.Errorf("%+v", r)
		}
		x.posture.Loopback, x.posture.Proxies = false, false
	}
}

func (x *examined) report(framework compliance.Framework, chain service.Chain, from, to time.Time) (compliance.Report, error) {
	who := x.who
	if chain.Tenant == "" {
		who = x.root
	}
	return x.s.Compliance(x.t.Context(), who, chain, framework, from, to)
}

func TestReportsOfCompliance(t *testing.T) {
	x := newExamined(t)
	for range 5 {
		x.revealed("production", "lasting")
	}
	x.reads("production", "gateway", `{"key":"new"}`)
	x.reads("production", "gateway", `{"key":"new"}`)
	must(t, x.s.FlushCounts(t.Context()))
	x.sign()
	x.clock.move(time.Second)
	end := x.clock.read()
	x.clock.move(time.Second)
	x.revealed("production", "lasting") // which is not within the time of the report
	for _, framework := range compliance.Frameworks {
		for _, chain := range []service.Chain{{}, {Tenant: x.tenant}} {
			r, err := x.report(framework.Name, chain, midnight, end)
			must(t, err)
			if r.Tenant != chain.Tenant || r.Version != "1.2.3" || !r.Verification.Holds || r.Verification.SignedTo == 0 || len(r.Controls) == 0 {
				t.Errorf("%s of %q: %+v", framework.Name, chain.Tenant, r.Verification)
			}
			for _, c := range r.Controls {
				if c.Status == compliance.Unmet {
					t.Errorf("%s of %q: %+v", c.Control.ID, chain.Tenant, c.Results)
				}
			}
			id := x.id
			if chain.Tenant == "" {
				id = config.TenantID{}
			}
			for _, e := range r.Evidence() {
				want := int64(0)
				var newest uint64
				for i, record := range x.eventsOn(t, id, names(audit.Events, func(e audit.EventInfo) string { return e.Name })...) {
					if record.Event == e.Event && record.Time.Before(end) {
						want, newest = want+record.Weight(), uint64(i)+1
					}
				}
				if e.Count != want || want > 0 && e.Samples[0].Sequence != newest {
					t.Errorf("%s of %q: %s was counted %d times, and is %d times on record, the last time as %d: %+v", framework.Name, chain.Tenant, e.Event, e.Count, want, newest, e.Samples)
				}
			}
		}
	}
	reports := x.eventsOn(t, x.id, "compliance.report")
	if len(reports) != len(compliance.Frameworks) || reports[0].Details["framework"] != string(compliance.Frameworks[0].Name) ||
		reports[0].Details["to"] != end.Format(time.RFC3339Nano) || reports[0].Actor != x.who.Principal.Actor() {
		t.Errorf("the reports are on record as %+v", reports)
	}
	same(t, "reports of the server on record", len(compliance.Frameworks), len(x.eventsOn(t, config.TenantID{}, "compliance.report")))

	before := len(x.chain(t, x.id))
	_, err := x.report("soc3", service.Chain{Tenant: x.tenant}, time.Time{}, time.Time{})
	mustBe(t, config.KindBadRequest, err)
	_, err = x.report(compliance.SOC2, service.Chain{Tenant: x.tenant}, end, midnight)
	mustBe(t, config.KindBadRequest, err)
	same(t, "records of reports that were not made", before, len(x.chain(t, x.id)))
}

// A chain that is broken is what a report is for.
func TestReportsOfABrokenChain(t *testing.T) {
	for what, statement := range map[string]string{
		"a record that cannot be read": `UPDATE audit SET record = x'7b' WHERE tenant = ? AND sequence = 5`,
		"a record that is missing":     `DELETE FROM audit WHERE tenant = ? AND sequence = 5`,
		"a segment that is not one":    `UPDATE audit_segment_bodies SET body = x'00' WHERE tenant = ?`,
	} {
		x := newExamined(t)
		if strings.Contains(statement, "segment") {
			x.clock.move(10 * day)
			x.set("base", "late", `{}`)
			retains(t, x.s)
			x.serve()
		}
		x.tamper(statement, x.id[:])
		r, err := x.report(compliance.SOC2, service.Chain{Tenant: x.tenant}, time.Time{}, time.Time{})
		must(t, err)
		if r.Verification.Holds || r.Verification.Problem == "" {
			t.Errorf("%s: %+v", what, r.Verification)
		}
		same(t, what+": records of it", 1, len(x.eventsOn(t, config.TenantID{}, "audit.broken")))
	}
}

// Tenants whose names are words of the answer are isolated like others.
func TestIsolationOfTenantsWithNamesThatAreWords(t *testing.T) {
	x := newExamined(t)
	for _, name := range []string{"is", "no", "tenant", "a"} {
		a := x.found(t, name)
		results, err := service.RunChecks(t.Context(), x.s, a.who, service.Chain{Tenant: name})
		must(t, err)
		if r := results[compliance.TenantIsolation]; r.Status != compliance.Passed {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
