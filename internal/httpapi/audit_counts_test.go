package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// What stands in onRecord beside events.
const (
	silent   = ""        // nothing is put on record
	counted  = "counted" // a read that is counted
	ofServer = "server:" // before an event of the server's chain
	ofItself = "itself:" // before an event of the chain of the tenant that is created
)

// onRecord is what each route puts on record when it did what it was asked, as
// docs/audit.md has it. A route that is not here fails the test.
var onRecord = map[string]string{
	"GET " + api.RouteConfig: counted, "GET " + api.RouteConfigs: counted, "GET " + api.RouteLayer: counted, "GET " + api.RouteWatch: counted,
	"GET " + api.RouteBundle: counted, "GET " + api.RouteHistory: counted, "GET " + api.RouteDiff: counted, "GET " + api.RouteAcks: counted,
	"GET " + api.RouteChanges: counted, "GET " + api.RouteChange: counted,

	"PUT " + api.RouteLayer: "config.change", "PATCH " + api.RouteLayer: "config.change", "DELETE " + api.RouteLayer: "config.change",
	"POST " + api.RouteDestroy: "config.destroy", "POST " + api.RouteChanges: "config.change", "POST " + api.RouteRollback: "config.rollback",
	"POST " + api.RouteRevert: "config.revert", "POST " + api.RoutePromote: "config.promote",

	"GET " + api.RouteSecret: silent, "GET " + api.RouteSecrets: silent, "GET " + api.RouteSecretHistory: silent, "GET " + api.RouteSecretDiff: silent,
	"GET " + api.RouteSecretAdopt: silent, "POST " + api.RouteAcks: silent,
	"PUT " + api.RouteSecret: "secret.set", "PATCH " + api.RouteSecret: "secret.update", "DELETE " + api.RouteSecret: "secret.delete",
	"POST " + api.RouteSecretRotate: "secret.rotate", "POST " + api.RouteSecretActive: "secret.activate", "POST " + api.RouteSecretRevoke: "secret.revoke",
	"POST " + api.RouteSecretUndo: "secret.undelete", "POST " + api.RouteSecretDestroy: "secret.destroy",

	"GET " + api.RouteTags: silent, "GET " + api.RouteTag: silent, "PUT " + api.RouteTag: "tag.set", "DELETE " + api.RouteTag: "tag.delete",
	"GET " + api.RouteEnvironments: silent, "GET " + api.RouteEnvironment: silent,
	"PUT " + api.RouteEnvironment: "environment.change", "DELETE " + api.RouteEnvironment: "environment.change",

	"GET " + api.RouteTenants: silent, "GET " + api.RouteTenant: silent,
	"POST " + api.RouteTenants:  ofServer + "tenant.create " + ofItself + "tenant.create " + ofItself + "token.create",
	"DELETE " + api.RouteTenant: ofServer + "tenant.delete " + ofServer + "key.destroy",
	"GET " + api.RouteTokens:    silent, "POST " + api.RouteTokens: "token.create", "DELETE " + api.RouteToken: "token.revoke", "POST " + api.RouteTokenRotate: "token.rotate",
	"GET " + api.RouteServerTokens: silent, "POST " + api.RouteServerTokens: "token.create", "DELETE " + api.RouteServerToken: "token.revoke", "POST " + api.RouteServerRotate: "token.rotate",
	"GET " + api.RouteKeys: silent, "POST " + api.RouteKeysRotate: "key.rotate", "POST " + api.RouteKeysRetire: "key.retire",
	"GET " + api.RouteMasterKeys: silent, "POST " + api.RouteMasterRotate: "key.rotate",

	"GET " + api.RoutePolicies: silent, "GET " + api.RoutePolicy: silent, "GET " + api.RoutePolicyHistory: silent, "GET " + api.RoutePolicyDiff: silent,
	"PUT " + api.RoutePolicy: "policy.put", "DELETE " + api.RoutePolicy: "policy.delete", "POST " + api.RoutePolicyUndo: "policy.rollback",
	"POST " + api.RoutePolicyTest: silent, "POST " + api.RoutePolicyTry: silent, "GET " + api.RoutePolicySchema: silent, "POST " + api.RouteExplain: silent,
	"GET " + api.RouteRoles: silent, "GET " + api.RouteRole: silent, "GET " + api.RouteRoleHistory: silent, "PUT " + api.RouteRole: "role.put", "DELETE " + api.RouteRole: "role.delete",
	"GET " + api.RouteQuota: silent, "PUT " + api.RouteQuota: "quota.set",
	"GET " + api.RouteGrants: silent, "POST " + api.RouteGrants: "grant.request " + ofServer + "grant.request",
	"POST " + api.RouteGrantApprove: "grant.approve " + ofServer + "grant.approve", "DELETE " + api.RouteGrant: "grant.end " + ofServer + "grant.end",

	"GET " + api.RouteAudit: "audit.read", "GET " + api.RouteAuditCounts: "audit.read", "GET " + api.RouteAuditExport: "audit.export",
	"GET " + api.RouteAuditTail: "audit.tail", "GET " + api.RouteAuditVerify: "audit.verify", "GET " + api.RouteAuditStatus: silent, "GET " + api.RouteAuditNotes: silent,
	"PUT " + api.RouteAuditHold: "audit.hold.set " + ofServer + "audit.hold.set", "DELETE " + api.RouteAuditHold: "audit.hold.lift " + ofServer + "audit.hold.lift",
	"GET " + api.RouteServerAudit: "audit.read", "GET " + api.RouteServerCounts: "audit.read", "GET " + api.RouteServerExport: "audit.export",
	"GET " + api.RouteServerTail: "audit.tail", "GET " + api.RouteServerVerify: "audit.verify", "GET " + api.RouteServerStatus: silent, "GET " + api.RouteServerNotes: silent,
	"PUT " + api.RouteServerHold: "audit.hold.set", "DELETE " + api.RouteServerHold: "audit.hold.lift",
	"GET " + api.RouteAuditKeys: silent, "POST " + api.RouteAuditRotate: "audit.key.rotate",
	"GET " + api.RouteCompliance: "compliance.report", "GET " + api.RouteServerComply: "compliance.report",

	"GET " + api.RouteIdentity: silent, "GET " + api.RouteVersion: silent, "GET " + api.RouteLoginMethods: silent, "GET " + api.RouteLogin: silent,
	"GET " + api.RouteLoginCallback: silent, "POST " + api.RouteLogout: silent, "GET " + api.RouteLive: silent, "GET " + api.RouteReady: silent,
	"GET " + api.RouteStartup: silent, "GET " + api.RouteOpenAPI: silent, "GET " + api.RouteDocumentation: silent, "GET " + api.RouteAuditSchema: silent,
}

// somebody makes requests.
type somebody struct {
	name, token string
	actor       string // as records have it; of who is nobody: anonymous
	tenant      string // name of its tenant; "" for the server
}

// auditLedger is what was asked and answered, and what has to be on record
// because of it, by docs/audit.md and not by the code.
type auditLedger struct {
	*world
	random   *rand.Rand
	id       string              // of the victim
	gone     bool                // the victim was deleted
	founded  []api.FoundedTenant // which the workload created
	asked    []string            // what was asked, and what came of it
	want     map[string][]string // request id → what is to be on record
	beside   map[string]bool     // ids of requests that may leave more than they were asked for
	reads    map[string]int64    // actor → permitted reads
	unsure   map[string]int64    // actor → what may have been one
	failures map[string]int64    // source → failed authentications
	served   map[string]bool     // routes that did what they were asked
	refused  map[string]bool     // routes that were denied to somebody
}

func newAuditLedger(t *testing.T, w *world) *auditLedger {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &auditLedger{
		world: w, random: rand.New(rand.NewPCG(seed, 1)), want: map[string][]string{}, beside: map[string]bool{},
		reads: map[string]int64{}, unsure: map[string]int64{}, failures: map[string]int64{}, served: map[string]bool{}, refused: map[string]bool{},
	}
}

// addresses are where requests come from, by the word of a proxy, and what their
// failed authentications are counted by.
var addresses = []struct{ source, network string }{
	{"192.0.2.1", "192.0.2.1"}, {"192.0.2.7", "192.0.2.7"}, {"198.51.100.9", "198.51.100.9"}, {"2001:db8::1", "2001:db8::"}, {"2001:db8::2", "2001:db8::"},
}

// requestPrefix begins the ids of the requests in the ledger.
const requestPrefix = "count-"

// exchange is a request and its answer.
type exchange struct {
	who               *somebody
	route             httpapi.Route
	target, body      string
	id, source, trace string
	network           string
	got               *answer
}

// ask makes a request as somebody, and notes what has to be on record then.
func (l *auditLedger) ask(t *testing.T, who *somebody, r httpapi.Route, target, body string, headers ...string) {
	t.Helper()
	from := addresses[l.random.IntN(len(addresses))]
	x := exchange{
		who: who, route: r, target: target, body: body, source: from.source, network: from.network,
		id: fmt.Sprintf("%s%05d", requestPrefix, len(l.asked)), trace: fmt.Sprintf("%016x%016x", l.random.Uint64(), 1+l.random.Uint64()>>1),
	}
	headers = append(headers, api.HeaderIdempotent, "", api.HeaderRequestID, x.id, "X-Forwarded-For", x.source, "Traceparent", "00-"+x.trace+"-00f067aa0ba902b7-01")
	if goesOn(r) {
		x.got = l.begin(t, who.token, target, headers...)
	} else {
		x.got = l.call(t, who.token, r.Method, target, body, headers...)
	}
	l.asked = append(l.asked, fmt.Sprintf("%s %s as %s: %d %.200s", r.Method, target, who.name, x.got.status, x.got.body))
	if x.got.status >= 500 {
		t.Fatalf("%s\n%v", l.asked[len(l.asked)-1], l.log.errors(t))
	}
	l.note(t, &x)
}

// begin reads no more than the header of an answer that has no end.
func (l *auditLedger) begin(t *testing.T, token, target string, headers ...string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.http.URL+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := l.http.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got := &answer{status: response.StatusCode, header: response.Header}
	if got.status != http.StatusOK {
		if got.body, err = io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func (x *exchange) served() bool { return x.got.status < 300 || x.got.status == http.StatusNotModified }

// entry is a record as the ledger compares it.
func entry(chain, tenant, event string, outcome audit.Outcome, actor, source, trace string) string {
	return strings.Join([]string{chain, tenant, event, string(outcome), actor, source, trace}, " ")
}

// The chains that the ledger is compared with.
const (
	serverChain  = "server"
	victimChain  = "tenant"
	foundedChain = "founded" // of any tenant that the workload created
)

// note says from an answer what has to be on record.
func (l *auditLedger) note(t *testing.T, x *exchange) {
	t.Helper()
	name, chain, tenant := x.route.Method+" "+x.route.Pattern, victimChain, l.id
	if ofTheServer(x.route) {
		chain, tenant = serverChain, ""
	}
	put := func(chain, tenant, event string, outcome audit.Outcome) {
		l.want[x.id] = append(l.want[x.id], entry(chain, tenant, event, outcome, x.who.actor, x.source, x.trace))
	}
	on, known := onRecord[name]
	foreign := !ofTheServer(x.route) && x.who.tenant != "" && (l.gone || !strings.HasPrefix(x.target+"/", api.Build(api.RouteTenant, x.who.tenant)+"/"))
	switch status := x.got.status; {
	case !known:
		t.Errorf("%s: say in onRecord what this route puts on record", name)
	case status == http.StatusUnauthorized: // also of a login that came to nothing
		l.failures[x.network]++
	case x.route.Public:
	case status == http.StatusForbidden && denied(x.got):
		l.refused[name] = true
		put(chain, tenant, "authorization.denied", audit.Denied)
	case status == http.StatusNotFound && foreign:
		l.refused[name] = true
		put(serverChain, "", "authorization.denied", audit.Denied)
	case x.served():
		l.served[name] = true
		l.did(t, x, on, chain, tenant, put)
	}
	if x.route.Pattern == api.RouteDiff && !foreign {
		l.unsure[x.who.actor]++ // it reads one for each of its points
	}
	if on == counted && !x.served() && x.got.status != http.StatusUnauthorized && !foreign {
		l.unsure[x.who.actor]++ // it may read, and what it asked for came to nothing before or after that was found out
	}
	// What documents refer to, what compliance checks try, and what a secret
	// inherits from where its reader may not look is on record besides.
	l.beside[x.id] = strings.Contains(x.target, "reveal=true") && x.route.Pattern != api.RouteSecret || on == "compliance.report" ||
		strings.Contains(x.route.Pattern, "/secret") && x.who.name == "narrowed to an environment"
}

// denied says whether it was rights that were wanting, and not room.
func denied(got *answer) bool {
	var problem api.Problem
	return json.Unmarshal(got.body, &problem) == nil && problem.Code == api.CodeForbidden
}

// did notes what a request that was served has to leave.
func (l *auditLedger) did(t *testing.T, x *exchange, on, chain, tenant string, put func(chain, tenant, event string, outcome audit.Outcome)) {
	t.Helper()
	var result struct{ Status api.Status }
	_ = json.Unmarshal(x.got.body, &result) // not all answers are objects
	if result.Status == api.StatusUnchanged || result.Status == api.StatusPlanned || x.got.header.Get(api.HeaderReplayed) != "" {
		return
	}
	if x.route.Pattern == api.RouteSecret && strings.Contains(x.target, "reveal=true") {
		on = "secret.read"
	}
	if x.route.Pattern == api.RouteSecret && strings.Contains(x.body, `"stage":true`) {
		on = "secret.stage"
	}
	about := l.id
	if x.route.Pattern == api.RouteTenants && x.route.Method == http.MethodPost {
		var founded api.FoundedTenant
		x.got.into(t, &founded)
		l.founded, about = append(l.founded, founded), founded.Tenant.ID
	}
	for word := range strings.FieldsSeq(on) {
		event, atServer := strings.CutPrefix(word, ofServer)
		event, atItself := strings.CutPrefix(event, ofItself)
		switch {
		case event == counted:
			l.reads[x.who.actor]++
		case atItself:
			put(foundedChain, about, event, audit.Success)
		case atServer:
			put(serverChain, about, event, audit.Success)
		default:
			put(chain, tenant, event, audit.Success)
		}
	}
}

// kept are the records of a chain.
type kept struct {
	name    string
	records []api.AuditRecord
}

// search reads a chain by pages.
func (l *auditLedger) search(t *testing.T, token, name, target string) kept {
	t.Helper()
	k := kept{name: name}
	for cursor := ""; ; {
		var page api.AuditPage
		l.call(t, token, "GET", with(target, "limit=97"+cursor), nil).want(t, 200).into(t, &page)
		k.records = append(k.records, page.Records...)
		if page.Next == "" {
			slices.Reverse(k.records)
			return k
		}
		cursor = "&cursor=" + page.Next
	}
}

// compare holds the records of chains against the ledger.
func (l *auditLedger) compare(t *testing.T, chains ...kept) {
	t.Helper()
	found, reads, failures := map[string][]string{}, map[string]int64{}, map[string]int64{}
	for _, k := range chains {
		for _, record := range k.records {
			e, err := audit.ParseRecord(record.Record)
			if err != nil {
				t.Fatal(err)
			}
			count, _ := strconv.ParseInt(e.Details["count"], 10, 64)
			switch {
			case e.Event == "authentication.failed":
				failures[networkOf(t, e.Source)]++
			case e.Event == "authentication.failures":
				failures[e.Source] += count - 1
			case e.Event == "config.reads":
				reads[e.Actor] += count
			case strings.HasPrefix(e.RequestID, requestPrefix) && e.Actor != "token:compliance-check":
				found[e.RequestID] = append(found[e.RequestID], entry(k.name, e.Tenant, e.Event, e.Outcome, e.Actor, e.Source, e.TraceID))
			case e.RequestID == "" && e.Actor != "system:server":
				t.Errorf("a record is of no request: %s", record.Record)
			}
		}
	}
	for i, asked := range l.asked {
		id := fmt.Sprintf("%s%05d", requestPrefix, i)
		got, want := found[id], l.want[id]
		if l.beside[id] {
			got = slices.DeleteFunc(got, aside)
			want = slices.DeleteFunc(want, aside)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s, %s (-ledger +records)\n%s", id, asked, diff)
		}
		delete(found, id)
	}
	if len(found) > 0 {
		t.Errorf("records of requests that nobody made: %v", found)
	}
	if diff := cmp.Diff(l.failures, failures); diff != "" {
		t.Errorf("failed authentications (-ledger +records)\n%s", diff)
	}
	for actor, n := range reads {
		if least := l.reads[actor]; n < least || n > least+l.unsure[actor] {
			t.Errorf("%s read %d documents on record, and %d to %d by the ledger", actor, n, least, least+l.unsure[actor])
		}
		delete(l.reads, actor)
	}
	if len(l.reads) > 0 {
		t.Errorf("reads that are not on record: %v", l.reads)
	}
}

// aside says whether an entry is of what a request met on its way.
func aside(e string) bool {
	event := strings.Fields(e)[2]
	return event == "secret.read" || event == "secret.unavailable" || event == "authorization.denied"
}

func networkOf(t *testing.T, source string) string {
	t.Helper()
	address, err := netip.ParseAddr(source)
	if err != nil {
		t.Fatal(err)
	}
	return access.Network(address).String()
}

// sameExport holds an export against what the search found, and has the program
// that trusts nobody follow it.
func (l *auditLedger) sameExport(t *testing.T, program, target string, k kept) {
	t.Helper()
	text := l.call(t, l.root, "GET", target, nil).want(t, 200).body
	links, report := exported(t, text)
	if report.Broken != nil || len(links) < len(k.records) {
		t.Fatalf("%s: %+v, %d records", k.name, report, len(links))
	}
	for _, record := range k.records {
		if line := fmt.Sprintf("\n{\"hash\":%q,\"record\":%s,\"sequence\":%d}\n", record.Hash, record.Record, record.Sequence); !bytes.Contains(text, []byte(line)) {
			t.Fatalf("%s: the export lacks what the search found: %s", k.name, line)
		}
	}
	var keys api.AuditKeys
	l.call(t, l.root, "GET", api.RouteAuditKeys, nil).want(t, 200).into(t, &keys)
	var args []string
	for _, key := range keys.Keys {
		args = append(args, "-key", key.Public)
	}
	file := filepath.Join(t.TempDir(), "export.ndjson")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), program, append(args, file)...).CombinedOutput()
	if err != nil || !strings.Contains(string(said), fmt.Sprintf(": records 1 to %d\n", len(links))) {
		t.Errorf("%s has %d records, and the verifier says (%v):\n%s", k.name, len(links), err, said)
	}
}

// everybody is who makes requests: by one of each kind.
func (l *auditLedger) everybody(t *testing.T, v *victim, stranger *tenant) (all []*somebody) {
	t.Helper()
	issue := func(rights api.TokenRights) string {
		var issued api.IssuedToken
		v.call(t, "POST", v.path(api.RouteTokens), api.NewToken{Name: "somebody", TokenRights: rights}).want(t, 201).into(t, &issued)
		return issued.Value
	}
	for _, who := range []somebody{
		{name: "administrator", token: v.token, tenant: v.name},
		{name: "viewer", token: v.as(t, access.RoleViewer), tenant: v.name},
		{name: "application", token: v.as(t, access.RoleApplication), tenant: v.name},
		{name: "narrowed to an environment", token: issue(api.TokenRights{Environments: []string{"staging"}}), tenant: v.name},
		{name: "narrowed to an action", token: issue(api.TokenRights{Actions: []string{"config.read"}}), tenant: v.name},
		{name: "bound to an address", token: issue(api.TokenRights{Addresses: []string{"203.0.113.0/24"}}), tenant: v.name},
		{name: "stranger", token: stranger.token, tenant: stranger.name},
		{name: "server administrator", token: l.serverAdmin(t)},
		{name: "nobody"},
		{name: "malformed", token: "llmc_x"},
		{name: "forged", token: v.token[:len(v.token)-4] + "aaaa"},
	} {
		who.actor = "anonymous"
		if strings.Count(who.token, "_") == 2 {
			who.actor = "token:" + tokenID(who.token)
		}
		all = append(all, &who)
	}
	return all
}

// An operation of the workload.
type operation struct {
	who          *somebody
	route        httpapi.Route
	target, body string
	headers      []string
}

// workload is a request on each route by each of all, in any order, and as many
// random ones of the tenant's own.
func (l *auditLedger) workload(t *testing.T, v *victim, all []*somebody) (ops []operation) {
	t.Helper()
	p := &party{tenant: v.tenant, canary: "canary", random: l.random, served: map[string]bool{}, tokens: []string{v.tokenID}, grants: []string{v.grantID}}
	for _, r := range l.server.Routes() {
		for _, who := range all {
			if r.Method+" "+r.Pattern == "DELETE "+api.RouteTenant && who.tenant == "" && who.token != "" {
				continue // is the end
			}
			target, body, headers := anyRequest(t, r, v)
			ops = append(ops, operation{who, r, target, strings.Replace(body, `"name":"stolen"`, fmt.Sprintf(`"name":"stolen-%d"`, len(ops)), 1), headers})
			if !ofTheServer(r) && r.Pattern != api.RouteTenant {
				target, body, headers = p.request(r, v.name)
				ops = append(ops, operation{who, r, target, body, headers})
			} else {
				ops = append(ops, operation{who, r, with(target, "surprise=1"), `{"surprise":1}`, headers})
			}
		}
	}
	l.random.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return ops
}

// Two counts that know nothing of each other agree: what callers of every kind did
// and were answered on every route, and what is on record of it, by the search,
// by the export and by the program that verifies exports.
func TestAuditCountsAgree(t *testing.T) {
	program := filepath.Join(t.TempDir(), "llm-config-verify")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/llm-config-verify").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	b, closeBackend, err := openBackend(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := closeBackend(); err != nil {
			t.Error(err)
		}
	}()
	w := serve(t, b, withLimits(httpapi.Limits{RequestsPerMinute: -1, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}))
	l := newAuditLedger(t, w)
	v := newVictim(t, w, "canary")
	l.id = v.id(t)
	all := l.everybody(t, v, w.newTenant(t))
	flush := func() {
		t.Helper()
		if err := w.service.FlushCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	rounds := 1
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		rounds = 20
	}
	for range rounds {
		for i, op := range l.workload(t, v, all) {
			if i%400 == 0 { // so that minutes end, and nobody was denied too often within one
				w.clock.advance(time.Minute)
				flush()
			}
			l.ask(t, op.who, op.route, op.target, op.body, op.headers...)
		}
	}
	for _, r := range w.server.Routes() {
		name := r.Method + " " + r.Pattern
		if !r.Public && !l.refused[name] && r.Action != "authenticated" {
			t.Errorf("%s was denied to nobody: the test does not say much", name)
		}
	}
	w.clock.advance(2 * time.Minute)
	flush()
	l.lift(t, v)
	tenant := l.search(t, v.token, victimChain, v.path(api.RouteAudit))
	chains := []kept{tenant}
	for _, f := range l.founded {
		chains = append(chains, l.search(t, f.Token.Value, foundedChain, api.Build(api.RouteAudit, f.Tenant.Name)))
	}
	l.end(t, all, v)
	w.clock.advance(2 * time.Minute)
	flush()
	server := l.search(t, l.root, serverChain, api.RouteServerAudit)
	t.Logf("%d requests, %d records of the tenant and %d of the server", len(l.asked), len(tenant.records), len(server.records))
	l.compare(t, append(chains, server)...)
	l.sameExport(t, program, with(api.RouteServerExport, "deleted="+l.id), tenant)
	l.sameExport(t, program, api.RouteServerExport, server)
}

// lift makes sure that no hold keeps the tenant from being deleted.
func (l *auditLedger) lift(t *testing.T, v *victim) {
	t.Helper()
	l.call(t, l.root, "PUT", v.path(api.RouteAuditHold), `{"reason":"a case"}`).want(t, 200)
	l.call(t, l.root, "DELETE", v.path(api.RouteAuditHold), nil).want(t, 200)
}

// end deletes the tenant, after which nobody gets anything of it; its chain stays.
func (l *auditLedger) end(t *testing.T, all []*somebody, v *victim) {
	t.Helper()
	routes := l.server.Routes()
	i := slices.IndexFunc(routes, func(r httpapi.Route) bool { return r.Method+" "+r.Pattern == "DELETE "+api.RouteTenant })
	root := &somebody{name: "root", token: l.root, actor: "token:" + tokenID(l.root)}
	l.ask(t, root, routes[i], v.path(api.RouteTenant), "")
	if l.gone = l.served["DELETE "+api.RouteTenant]; !l.gone {
		t.Error("the tenant was not deleted")
	}
	for _, who := range append(all, root) {
		l.ask(t, who, routes[i], v.path(api.RouteTenant), "")
	}
}

// Reads of documents are counted one by one, by who read and in which
// environment, whatever the route.
func TestAuditCountsReads(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "a", `{"x":1}`)
	viewer := n.as(t, access.RoleViewer)
	targets := []string{
		n.path(api.RouteConfig, "ENV", "a"), n.path(api.RouteConfig, "ENV", "a") + "?explain=true", n.path(api.RouteConfigs, "ENV"), n.path(api.RouteBundle, "ENV"),
		n.path(api.RouteHistory, "ENV", "a") + "?effective=true", n.path(api.RouteAcks, "ENV"), n.path(api.RouteConfig, "ENV", "none"),
	}
	environments := []string{"base", "staging", "production"}
	want := map[string]int64{}
	if err := w.service.FlushCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		token, environment := n.token, environments[rand.IntN(len(environments))]
		if rand.IntN(3) == 0 {
			token = viewer
		}
		w.call(t, token, "GET", strings.Replace(targets[rand.IntN(len(targets))], "ENV", environment, 1), nil)
		want["token:"+tokenID(token)+" "+environment]++
		if rand.IntN(50) == 0 {
			if err := w.service.FlushCounts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.service.FlushCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, e := range n.search(t, "event=config.reads&limit=1000") {
		_, environment, _ := strings.Cut(e.Resource, "/environments/")
		count, err := strconv.ParseInt(e.Details["count"], 10, 64)
		if err != nil || e.Outcome != "success" || e.Action != "config.read" {
			t.Errorf("%+v", e)
		}
		got[e.Actor+" "+environment] += count
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permitted reads (-made +on record)\n%s", diff)
	}
}
