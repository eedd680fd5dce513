package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
)

// search reads what the records of a tenant that a query selects say, newest first.
func (n *tenant) search(t testing.TB, query string) []api.AuditEvent {
	t.Helper()
	return n.searchAt(t, n.token, n.path(api.RouteAudit)+"?"+query)
}

func (w *world) searchAt(t testing.TB, token, target string) (found []api.AuditEvent) {
	t.Helper()
	var page api.AuditPage
	w.call(t, token, "GET", target, nil).want(t, 200).wantHeaders(t, "Cache-Control", "no-store").into(t, &page)
	for _, r := range page.Records {
		var e api.AuditEvent
		decoder := json.NewDecoder(bytes.NewReader(r.Record))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&e); err != nil || len(r.Hash) != 64 || r.Sequence < 1 {
			t.Fatalf("%+v: %v", r, err)
		}
		found = append(found, e)
	}
	return found
}

func eventsOf(records []api.AuditEvent) string {
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = r.Event
	}
	return strings.Join(names, " ")
}

// id is the id of the tenant.
func (n *tenant) id(t testing.TB) string {
	t.Helper()
	var it api.Tenant
	n.call(t, "GET", n.path(api.RouteTenant), nil).want(t, 200).into(t, &it)
	return it.ID
}

const (
	aTrace  = "0af7651916cd43dd8448eb211c80319c"
	aParent = "00-" + aTrace + "-b7ad6b7169203331-01"
)

// Each parameter of a search selects by what its name says.
func TestAuditSearch(t *testing.T) {
	n := newWorld(t).newTenant(t)
	n.put(t, "base", "gateway/eu", `{"x":1}`)
	n.setSecret(t, "base", "db/main", strong)
	n.call(t, "PUT", n.path(api.RouteLayer, "staging", "other"), `{}`, api.HeaderRequestID, "request-7", "Traceparent", aParent).want(t, 200)
	viewer := n.as(t, "viewer")
	n.world.call(t, viewer, "PUT", n.path(api.RouteLayer, "base", "gateway/eu"), `{}`).refused(t, api.CodeForbidden)
	all := n.search(t, "")
	if len(all) < 6 || all[len(all)-1].Event != "tenant.create" || all[0].Event != "audit.read" {
		t.Fatalf("%s", eventsOf(all))
	}
	denied := n.search(t, "outcome=denied")
	if len(denied) != 1 || denied[0].Actor == all[0].Actor || denied[0].Action != "config.write" || denied[0].Outcome != "denied" {
		t.Fatalf("%+v", denied)
	}
	change := n.search(t, "request_id=request-7")
	if len(change) != 1 || change[0].TraceID != aTrace || change[0].Source == "" || change[0].RequestID != "request-7" {
		t.Fatalf("%+v", change)
	}
	at := url.QueryEscape(change[0].Time.Format(time.RFC3339Nano))
	for query, want := range map[string]string{
		"event=config.change":                        "config.change config.change",
		"event=secret.*&event=tenant.create":         "secret.set tenant.create",
		"action=secret.*":                            "secret.set",
		"actor=" + url.QueryEscape(denied[0].Actor):  "authorization.denied",
		"outcome=denied&outcome=failed":              "authorization.denied",
		"resource=environments/base/configs/gateway": "authorization.denied config.change",
		"resource=environments/staging":              "config.change",
		"trace_id=" + aTrace:                         "config.change",
		"session=none":                               "",
		"source=127.0.0.1&event=config.*":            "config.change config.change",
		"source=127.0.0.0/8&event=secret.set":        "secret.set",
		"source=::ffff:127.0.0.1&event=secret.set":   "secret.set",
		"source=10.0.0.0/8":                          "",
		"event=config.*&from=" + at:                  "config.change",
		"event=config.*&to=" + at:                    "config.change",
	} {
		if got := eventsOf(n.search(t, query)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// What a search cannot mean is refused, and the parameter is named.
func TestAuditParameters(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	filters := map[string]string{
		"from=yesterday": "from", "from=12": "from", "to=2026-11-01": "to", "to=2026-11-01T00:00:00+01:00": "to", // whose plus sign is a space
		"from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z": "to", "from=&from=": "from",
		"event=": "event", "event=no.such": "event", "actor=": "actor", "action=*": "action", "outcome=maybe": "outcome",
		"resource=a//b": "resource", "resource=a&resource=b": "resource",
		"source=somewhere": "source", "source=10.0.0.0/33": "source", "source=fe80::1%25eth0": "source", "source=::ffff:10.0.0.0/104": "source",
		"trace_id=xyz": "trace_id", "request_id=" + strings.Repeat("x", 1025): "request_id",
		strings.Repeat("actor=a&", 32) + "actor=a": "actor", "surprise=1": "surprise", "deleted=" + aTrace: "deleted", "prefix=a": "prefix",
	}
	for _, route := range []string{api.RouteAudit, api.RouteAuditCounts + "?by=event", api.RouteAuditExport, api.RouteAuditTail} {
		for query, pointer := range filters {
			n.refusedAt(t, route, query, pointer)
		}
	}
	for query, pointer := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "limit=1&limit=2": "limit", "cursor=x&cursor=y": "cursor"} {
		n.refusedAt(t, api.RouteAudit, query, pointer)
		n.refusedAt(t, api.RouteAuditNotes, query, pointer)
	}
	for query, pointer := range map[string]string{
		"": "by", "by=": "by", "by=colour": "by", "by=event&by=event": "by", "by=event&by=actor&by=action": "by",
		"by=event&window=1": "window", "by=event&window=0s": "window", "by=event&window=1500ms": "window", "by=event&window=-1h": "window",
		"by=event&window=745h": "window", "by=event&window=1h&window=2h": "window", "by=event&limit=5": "limit",
	} {
		n.refusedAt(t, api.RouteAuditCounts, query, pointer)
	}
	for query, pointer := range map[string]string{"format=xml": "format", "format=": "format", "after=-1": "after", "after=x": "after", "after=": "after", "limit=5": "limit"} {
		n.refusedAt(t, api.RouteAuditExport, query, pointer)
	}
	for _, route := range []string{api.RouteAuditVerify, api.RouteAuditStatus, api.RouteAuditNotes} {
		n.refusedAt(t, route, "event=config.change", "event")
	}
	for _, last := range []string{"x", "-1", "99999999999999999999"} {
		if p := n.call(t, "GET", n.path(api.RouteAuditTail), nil, "Last-Event-ID", last).refused(t, api.CodeBadRequest); p.Pointer != "Last-Event-ID" {
			t.Errorf("%+v", p)
		}
	}
	for _, route := range []string{api.RouteServerAudit, api.RouteServerExport, api.RouteServerTail, api.RouteServerVerify, api.RouteServerStatus, api.RouteServerNotes, api.RouteServerCounts + "?by=event"} {
		for _, id := range []string{"", "acme", aTrace[1:], strings.ToUpper(aTrace), strings.Repeat("0", 32)} {
			if p := w.call(t, w.root, "GET", with(route, "deleted="+id), nil).refused(t, api.CodeBadRequest); p.Pointer != "deleted" {
				t.Errorf("%s %s: %+v", route, id, p)
			}
		}
		w.call(t, w.root, "GET", with(route, "deleted="+aTrace), nil).refused(t, api.CodeNotFound)
	}
}

func with(target, query string) string {
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

func (n *tenant) refusedAt(t *testing.T, route, query, pointer string) {
	t.Helper()
	got := n.call(t, "GET", with(n.path(route), query), nil)
	var p api.Problem
	if err := json.Unmarshal(got.body, &p); err != nil || got.status != 400 && got.status != 413 || p.Pointer != pointer {
		t.Errorf("%s, %.100s: %d %.300s, want %s to be named", route, query, got.status, got.body, pointer)
	}
}

// Records are counted by what was asked for, and by windows.
func TestAuditCounts(t *testing.T) {
	n := newWorld(t).newTenant(t)
	for i := range 3 {
		n.put(t, "base", "p", fmt.Sprintf(`{"x":%d}`, i))
	}
	n.setSecret(t, "base", "s", strong)
	var counts api.AuditCounts
	n.call(t, "GET", n.path(api.RouteAuditCounts)+"?by=event&by=outcome&action=config.*&action=secret.*", nil).want(t, 200).into(t, &counts)
	want := []api.AuditCount{
		{Group: map[string]string{"event": "config.change", "outcome": "success"}, Records: 3, Total: 3},
		{Group: map[string]string{"event": "secret.set", "outcome": "success"}, Records: 1, Total: 1},
	}
	if diff := cmp.Diff(api.AuditCounts{By: []string{"event", "outcome"}, Counts: want}, counts); diff != "" {
		t.Error(diff)
	}
	n.call(t, "GET", n.path(api.RouteAuditCounts)+"?by=actor&window=24h&event=config.change", nil).want(t, 200).into(t, &counts)
	total := int64(0)
	for _, c := range counts.Counts {
		if c.Start == nil || c.Start.Truncate(24*time.Hour) != *c.Start {
			t.Errorf("%+v", c)
		}
		total += c.Total
	}
	if counts.Window != "24h0m0s" || total != 3 {
		t.Errorf("%+v", counts)
	}
}

// exported reads an export and follows its chain.
func exported(t *testing.T, text []byte) (links []audit.Link, report audit.Report) {
	t.Helper()
	in, err := audit.NewImporter(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	f := audit.NewFollower(in.Origin, in.From)
	for {
		line, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return links, f.Finish()
		case err != nil:
			t.Fatal(err)
		case line.Link != nil:
			links = append(links, *line.Link)
			if !f.Link(*line.Link) {
				t.Fatalf("%+v", f.Finish())
			}
		}
	}
}

// An export is the chain, in each encoding; it is put on record.
func TestAuditExport(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	for i := range 20 {
		n.put(t, "base", "p", fmt.Sprintf(`{"x":%d}`, i))
	}
	target := n.path(api.RouteAuditExport)
	before := -1
	for _, encoding := range []string{"", "gzip", "br", "zstd", "identity"} {
		got := n.call(t, "GET", target, nil, "Accept-Encoding", encoding).want(t, 200)
		got.wantHeaders(t, "Content-Type", api.TypeNDJSON, "Cache-Control", "no-store", "Content-Encoding", strings.TrimPrefix(encoding, "identity"), "ETag", "")
		if name := got.header.Get("Content-Disposition"); !strings.HasPrefix(name, `attachment; filename="audit-tenant-`+n.name+`-2`) || !strings.HasSuffix(name, `Z.ndjson"`) {
			t.Errorf("%s", name)
		}
		links, report := exported(t, got.decoded(t))
		if report.Broken != nil || len(links) <= before || !strings.Contains(string(links[len(links)-1].Record), `"event":"audit.export"`) {
			t.Errorf("%q: %+v, %d links after %d", encoding, report, len(links), before)
		}
		before = len(links)
	}
	links, _ := exported(t, n.call(t, "GET", target+"?after=7", nil).want(t, 200).body)
	if links[0].Sequence != 8 {
		t.Errorf("after 7 comes %d", links[0].Sequence)
	}
	n.call(t, "GET", target+"?after=100000", nil).refused(t, api.CodeNotFound)
	filtered := n.call(t, "GET", target+"?event=config.*", nil).want(t, 200)
	if !bytes.Contains(filtered.body, []byte(`"filtered":true`)) || bytes.Count(filtered.body, []byte(`"event":"config.change"`)) != 20 {
		t.Errorf("%.300s", filtered.body)
	}
	events := n.call(t, "GET", target+"?format=cloudevents&event=config.*", nil).want(t, 200)
	if name := events.header.Get("Content-Disposition"); !strings.HasSuffix(name, `.cloudevents.ndjson"`) || bytes.Count(events.body, []byte(`"specversion":"1.0"`)) != 20 || bytes.Count(events.body, []byte("\n")) != 20 {
		t.Errorf("%s %.300s", name, events.body)
	}
	if none := n.call(t, "GET", target+"?format=cloudevents&actor=token:nobody", nil).want(t, 200); len(none.body) != 0 || none.header.Get("Content-Type") != api.TypeNDJSON {
		t.Errorf("%v %s", none.header, none.body)
	}
	server := w.call(t, w.root, "GET", api.RouteServerExport, nil).want(t, 200)
	if _, report := exported(t, server.body); report.Broken != nil || !strings.HasSuffix(report.Origin, "/server") || !strings.Contains(server.header.Get("Content-Disposition"), "audit-server-2") {
		t.Errorf("%+v %v", report, server.header)
	}
	for _, route := range []string{target, api.RouteServerExport, n.path(api.RouteAuditVerify)} {
		if got := n.call(t, "HEAD", route, nil); got.status != 405 || got.header.Get("Allow") != "GET" {
			t.Errorf("HEAD %s: %d %v", route, got.status, got.header)
		}
	}
}

// Verifying answers lines, of which the last one has the report.
func TestAuditVerify(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{}`)
	n.sign(t)
	for token, target := range map[string]string{n.token: n.path(api.RouteAuditVerify), w.root: api.RouteServerVerify} {
		got := w.call(t, token, "GET", target, nil).want(t, 200).wantHeaders(t, "Content-Type", api.TypeNDJSON, "Cache-Control", "no-store", "X-Accel-Buffering", "no")
		lines := strings.Split(strings.TrimSuffix(string(got.body), "\n"), "\n")
		var last api.AuditProgress
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
			t.Fatalf("%v: %s", err, got.body)
		}
		r := last.Report
		if r == nil || !r.Holds || r.Broken != nil || r.First != 1 || r.Records != r.Last || r.Checkpoints == 0 || r.Signed == 0 || r.SignedAt == nil || len(r.Hash) != 64 || last.Checked != r.Last || last.Of != r.Last {
			t.Errorf("%s", got.body)
		}
	}
}

// The status, the checkpoints and the keys fit together.
func TestAuditStatus(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	n.put(t, "base", "p", `{}`)
	n.sign(t)
	var status api.AuditStatus
	n.call(t, "GET", n.path(api.RouteAuditStatus), nil).want(t, 200).into(t, &status)
	if status.Sequence < 2 || status.Hot != status.Sequence || status.Time == nil || len(status.Hash) != 64 || !strings.HasSuffix(status.Origin, "/tenants/"+n.id(t)) || status.Broken != "" || status.Hold != nil {
		t.Errorf("%+v", status)
	}
	var list api.AuditCheckpoints
	n.call(t, "GET", n.path(api.RouteAuditNotes), nil).want(t, 200).into(t, &list)
	if len(list.Checkpoints) == 0 || status.Checkpoint == nil || list.Checkpoints[0] != *status.Checkpoint {
		t.Fatalf("%+v, %+v", list, status.Checkpoint)
	}
	var keys, rotated api.AuditKeys
	n.call(t, "GET", api.RouteAuditKeys, nil).want(t, 200).into(t, &keys)
	var public []string
	for _, k := range keys.Keys {
		public = append(public, k.Public)
	}
	c, err := audit.OpenCheckpoint([]byte(list.Checkpoints[0].Note), public...)
	if err != nil || c.Origin != status.Origin || int64(c.Head.Sequence) != list.Checkpoints[0].Sequence {
		t.Errorf("%+v, %v", c, err)
	}
	n.call(t, "POST", api.RouteAuditRotate, nil).refused(t, api.CodeForbidden)
	w.call(t, w.root, "POST", api.RouteAuditRotate, nil).want(t, 200).into(t, &rotated)
	if len(rotated.Keys) != len(keys.Keys)+1 || !slices.Equal(rotated.Keys[:len(keys.Keys)], keys.Keys) {
		t.Errorf("%+v after %+v", rotated, keys)
	}
}

// A hold is set and lifted by who manages the server, and stays on record.
func TestAuditHold(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	target := n.path(api.RouteAuditHold)
	n.call(t, "PUT", target, `{"reason":"a case"}`).refused(t, api.CodeForbidden)
	w.call(t, w.root, "PUT", target, `{}`).refused(t, api.CodeBadRequest)
	for _, body := range []string{`{"reason":""}`, `{"reason":"` + strings.Repeat("x", 1025) + `"}`} {
		if p := w.call(t, w.root, "PUT", target, body).refused(t, api.CodeBadRequest); p.Pointer != "/reason" {
			t.Errorf("%s: %+v", body, p)
		}
	}
	var result api.AuditHoldResult
	w.call(t, w.root, "PUT", target, `{"reason":"a case"}`).want(t, 200).into(t, &result)
	var status api.AuditStatus
	n.call(t, "GET", n.path(api.RouteAuditStatus), nil).want(t, 200).into(t, &status)
	if result.Hold == nil || result.Hold.Reason != "a case" || result.Hold.Author == "" || status.Hold == nil || *status.Hold != *result.Hold {
		t.Errorf("%+v, %+v", result.Hold, status.Hold)
	}
	w.call(t, w.root, "DELETE", n.path(api.RouteTenant), nil).refused(t, api.CodeInUse)
	w.call(t, w.root, "DELETE", target, nil).want(t, 200).wantBody(t, "{}\n")
	w.call(t, w.root, "DELETE", target, nil).refused(t, api.CodeNotFound)
	if got := eventsOf(n.search(t, "event=audit.hold.*")); got != "audit.hold.lift audit.hold.set" {
		t.Error(got)
	}
}

// The chain of a deleted tenant stays, and is the server's to read.
func TestAuditOfDeletedTenant(t *testing.T) {
	w := newWorld(t)
	n := w.newTenant(t)
	id := n.id(t)
	deleted := "?deleted=" + id
	w.call(t, w.root, "GET", api.RouteServerAudit+deleted, nil).refused(t, api.CodeNotFound) // while it is there
	n.put(t, "base", "p", `{}`)
	w.call(t, w.root, "DELETE", n.path(api.RouteTenant), nil).want(t, 200)
	if got := w.searchAt(t, w.root, api.RouteServerAudit+deleted+"&event=config.change"); len(got) != 1 || got[0].Tenant != id {
		t.Errorf("%+v", got)
	}
	export := w.call(t, w.root, "GET", api.RouteServerExport+deleted, nil).want(t, 200)
	if _, report := exported(t, export.body); report.Broken != nil || !strings.HasSuffix(report.Origin, "/tenants/"+id) || !strings.Contains(export.header.Get("Content-Disposition"), "audit-deleted-"+id) {
		t.Errorf("%+v %v", report, export.header)
	}
	w.call(t, w.root, "PUT", api.RouteServerHold+deleted, `{"reason":"a case"}`).want(t, 200)
	w.call(t, w.root, "DELETE", api.RouteServerHold+deleted, nil).want(t, 200)
	w.call(t, w.newTenant(t).token, "GET", api.RouteServerAudit+deleted, nil).refused(t, api.CodeForbidden)
}

// tail opens the tail of a tenant's chain.
func (n *tenant) tail(t testing.TB, query string, headers ...string) *stream {
	t.Helper()
	return n.events(t, n.path(api.RouteAuditTail)+query, headers...)
}

// wantRecord takes the next event that is no progress, which must be a record of
// this event, and answers its sequence number.
func (s *stream) wantRecord(t testing.TB, event string) int64 {
	t.Helper()
	e := s.next(t)
	for e.kind == api.EventProgress {
		e = s.next(t)
	}
	var r api.AuditRecord
	if err := json.Unmarshal([]byte(e.data), &r); err != nil || e.kind != api.EventRecord || r.Sequence != e.revision(t) || !strings.Contains(string(r.Record), `"event":"`+event+`"`) {
		t.Fatalf("%+v: %v, want %s", e, err, event)
	}
	return r.Sequence
}

func quick(w *world) *world {
	w.server.SetPace(10*time.Millisecond, 50*time.Millisecond, patience)
	return w
}

// Who follows a chain is told where it stands, of each record as it comes and,
// after coming back, of each that was missed.
func TestAuditTail(t *testing.T) {
	t.Parallel()
	n := quick(newWorld(t)).newTenant(t)
	s := n.tail(t, "")
	begun := s.next(t)
	if begun.kind != api.EventProgress {
		t.Fatalf("%+v", begun)
	}
	first := s.wantRecord(t, "audit.tail") // itself
	if first != begun.revision(t)+1 {
		t.Errorf("%d comes after %+v", first, begun)
	}
	n.put(t, "base", "p", `{}`)
	second := s.wantRecord(t, "config.change")
	s.stop()
	for i := range 600 { // more than are read at once
		n.put(t, "base", "p", fmt.Sprintf(`{"x":%d}`, i))
	}
	s = n.tail(t, "", "Last-Event-ID", strconv.FormatInt(second, 10))
	for i := range int64(600) {
		if got := s.wantRecord(t, "config.change"); got != second+1+i {
			t.Fatalf("%d, want %d", got, second+1+i)
		}
	}
	s.wantRecord(t, "audit.tail")
	s.stop()
	s = n.tail(t, "?event=tag.*", "Last-Event-ID", "0")
	n.call(t, "PUT", n.path(api.RouteTag, "release"), `{}`).want(t, 200)
	last := s.wantRecord(t, "tag.set")
	n.put(t, "base", "p", `{}`)
	for { // progress is told of what is not wanted
		if e := s.next(t); e.kind == api.EventProgress && e.revision(t) > last {
			break
		} else if e.kind == api.EventRecord {
			t.Fatalf("%+v", e)
		}
	}
	for e := s.next(t); e.comment != "still here"; e = s.next(t) {
		if e.kind == api.EventRecord {
			t.Fatalf("%+v", e)
		}
	}
	n.call(t, "HEAD", n.path(api.RouteAuditTail), nil).want(t, 200).wantHeaders(t, "Content-Type", api.TypeEvents)
	n.call(t, "GET", n.path(api.RouteAuditTail), nil, "Last-Event-ID", "100000").refused(t, api.CodeNotFound)
}

// A tail ends with the rights of who follows.
func TestAuditTailEndsWithItsToken(t *testing.T) {
	w := quick(newWorld(t))
	n := w.newTenant(t)
	var issued api.IssuedToken
	n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "x"}).want(t, 201).into(t, &issued)
	s := (&tenant{w, n.name, issued.Value}).tail(t, "")
	s.wantRecord(t, "audit.tail")
	n.call(t, "DELETE", n.path(api.RouteToken, issued.ID), nil).want(t, 200)
	w.clock.advance(2 * time.Second) // rights are asked for once a second
	s.wantEnd(t)
	w.call(t, issued.Value, "GET", n.path(api.RouteAuditTail), nil).refused(t, api.CodeTokenRevoked)
}

// A server that stops tells who follows where to go on.
func TestAuditTailAtShutdown(t *testing.T) {
	t.Parallel()
	w := quick(newWorld(t))
	n := w.newTenant(t)
	s := n.tail(t, "")
	at := s.wantRecord(t, "audit.tail")
	w.server.Stop()
	rest := s.wantEnd(t)
	last := rest[len(rest)-1]
	if ms, err := strconv.Atoi(last.retry); err != nil || ms < 0 || ms > 10_000 || last.kind != api.EventProgress || last.revision(t) < at {
		t.Errorf("%+v: %v", last, err)
	}
}

// Tails take places of watches and no others.
func TestAuditTailsCountAsWatches(t *testing.T) {
	w, _ := limited(t, httpapi.Limits{TenantWatchers: 1, TenantConnections: 1})
	n := quick(w).newTenant(t)
	s := n.tail(t, "")
	s.wantRecord(t, "audit.tail")
	for _, target := range []string{n.path(api.RouteAuditTail), n.path(api.RouteWatch, "base")} {
		if p := n.call(t, "GET", target, nil).refused(t, api.CodeRateLimited); p.Limit != 1 {
			t.Errorf("%+v", p)
		}
	}
	n.call(t, "GET", n.path(api.RouteAuditStatus), nil).want(t, 200) // one connection is enough for others
	s.stop()
}
