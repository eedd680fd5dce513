package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
)

const testOrigin = "llm-config-0011223344556677/tenants/0a0b0c0d0e0f00112233445566778899"

// auditWire answers the routes of one chain, without looking at rights.
type auditWire struct {
	url     string
	links   []audit.Link
	export  []byte          // what an export answers
	report  api.AuditReport // what verifying answers
	key     *audit.SigningKey
	hold    *api.AuditHold
	asked   []url.Values // the queries that came
	follows chan audit.Link
	behind  int // how many records came after the status was asked for

	disposed uint64 // the last record that was disposed of; 0 for none
}

func newAuditWire(t *testing.T, n int) *auditWire {
	t.Helper()
	w := &auditWire{links: audittest.Links(n), key: audittest.Key(t, "llm-config-0011223344556677", 1), follows: make(chan audit.Link)}
	w.export = audittest.Export(t, testOrigin, w.links, 4, w.key)
	w.report = api.AuditReport{Origin: testOrigin, Holds: true, First: 1, Last: int64(n), Records: int64(n)}
	mux := http.NewServeMux()
	for route, handler := range map[string]http.HandlerFunc{
		api.RouteAudit: w.search, api.RouteServerAudit: w.search, api.RouteAuditCounts: w.counts, api.RouteAuditExport: w.download,
		api.RouteServerExport: w.download, api.RouteAuditTail: w.tail, api.RouteAuditVerify: w.verify, api.RouteServerVerify: w.verify,
		api.RouteAuditStatus: w.status, api.RouteServerStatus: w.status, api.RouteAuditNotes: w.notes, api.RouteAuditKeys: w.keys,
	} {
		mux.HandleFunc("GET "+route, func(rw http.ResponseWriter, r *http.Request) {
			w.asked = append(w.asked, r.URL.Query())
			handler(rw, r)
		})
	}
	mux.HandleFunc("PUT "+api.RouteAuditHold, w.setHold)
	mux.HandleFunc("DELETE "+api.RouteAuditHold, func(rw http.ResponseWriter, _ *http.Request) {
		w.hold = nil
		answer(rw, api.AuditHoldResult{})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// session is a command line that talks to w.
func (w *auditWire) session(t *testing.T) *session {
	t.Helper()
	return newSession(t, &wire{url: w.url})
}

func wireRecord(l audit.Link) api.AuditRecord {
	return api.AuditRecord{Sequence: int64(l.Sequence), Hash: hex.EncodeToString(l.Hash[:]), Record: l.Record}
}

// search answers all records, in pages.
func (w *auditWire) search(rw http.ResponseWriter, r *http.Request) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	skip, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	page := api.AuditPage{Records: []api.AuditRecord{}}
	for i := len(w.links) - 1 - skip; i >= 0 && len(page.Records) < limit; i-- {
		page.Records = append(page.Records, wireRecord(w.links[i]))
	}
	if skip+limit < len(w.links) {
		page.Next = strconv.Itoa(skip + limit)
	}
	rw.Header().Set("Content-Type", api.TypeJSON)
	encoder := json.NewEncoder(rw)
	encoder.SetEscapeHTML(false) // which would be another text than the hash is of
	_ = encoder.Encode(page)
}

func (w *auditWire) counts(rw http.ResponseWriter, r *http.Request) {
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	counts := api.AuditCounts{By: r.URL.Query()["by"], Window: r.URL.Query().Get("window")}
	group := map[string]string{"event": "secret.read", "outcome": "denied"}
	counts.Counts = []api.AuditCount{{Start: &start, Group: group, Records: 2, Total: 37}}
	answer(rw, counts)
}

// download answers the export; behind a record, that of one record alone.
func (w *auditWire) download(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", api.TypeNDJSON)
	after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
	if after == 0 {
		_, _ = rw.Write(w.export)
		return
	}
	if after < w.disposed || w.disposed > 0 && after > uint64(len(w.links)) {
		problem(rw, api.Problem{Code: api.CodeNotFound, Detail: "it is not there", Pointer: "after"})
		return
	}
	e, _ := audit.NewExporter(rw, testOrigin, audit.Head{Sequence: after}, false)
	for _, l := range w.links {
		if l.Sequence > after {
			_ = e.Link(l)
		}
	}
	_ = e.End()
}

func (w *auditWire) tail(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", api.TypeEvents)
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	flush := http.NewResponseController(rw)
	_ = flush.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case l := <-w.follows:
			if l.Sequence <= after {
				continue
			}
			text, _ := json.Marshal(wireRecord(l))
			fmt.Fprintf(rw, "id: %d\nevent: %s\ndata: %s\n\n", l.Sequence, api.EventRecord, text)
			_ = flush.Flush()
		}
	}
}

func (w *auditWire) verify(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", api.TypeNDJSON)
	encoder := json.NewEncoder(rw)
	_ = encoder.Encode(api.AuditProgress{Checked: 1, Of: w.report.Last})
	_ = encoder.Encode(api.AuditProgress{Checked: w.report.Last, Of: w.report.Last, Report: &w.report})
}

func (w *auditWire) status(rw http.ResponseWriter, _ *http.Request) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	answer(rw, api.AuditStatus{
		Origin: testOrigin, Sequence: int64(len(w.links) - w.behind), Hash: "ab", Time: &at, Hot: 10, Warm: api.AuditTier{Records: 1, Segments: 1, Bytes: 2048}, Disposed: int64(w.disposed),
		Checkpoint: &api.AuditCheckpoint{Sequence: 8, Time: at}, Hold: w.hold, Broken: "record 3 is gone",
	})
}

func (w *auditWire) notes(rw http.ResponseWriter, r *http.Request) {
	list := api.AuditCheckpoints{Checkpoints: []api.AuditCheckpoint{}}
	if len(w.links) > 0 {
		last := w.links[len(w.links)-1]
		note, _ := audit.Checkpoint{Origin: testOrigin, Head: last.Head(), Time: time.Unix(0, 0)}.Sign(w.key)
		list.Checkpoints = append(list.Checkpoints, api.AuditCheckpoint{Sequence: int64(last.Sequence), Time: time.Unix(0, 0), Note: string(note)})
	}
	if r.URL.Query().Get("limit") != "1" {
		list.Next = "older"
	}
	answer(rw, list)
}

func (w *auditWire) keys(rw http.ResponseWriter, _ *http.Request) {
	answer(rw, api.AuditKeys{Keys: []api.AuditKey{{Version: 1, Public: w.key.Public()}}})
}

func (w *auditWire) setHold(rw http.ResponseWriter, r *http.Request) {
	var in api.PutAuditHold
	_ = json.NewDecoder(r.Body).Decode(&in)
	w.hold = &api.AuditHold{Reason: in.Reason, Author: "root", Time: time.Unix(0, 0)}
	answer(rw, api.AuditHoldResult{Hold: w.hold})
}

func TestMoment(t *testing.T) {
	for _, c := range []struct {
		text string
		end  bool
		want string // "" is refused
	}{
		{"2026-11-22", false, "2026-11-22T00:00:00Z"},
		{"2026-11-22", true, "2026-11-23T00:00:00Z"},
		{"2026-12-31", true, "2027-01-01T00:00:00Z"},
		{"2026-11-22T09:30:00Z", true, "2026-11-22T09:30:00Z"},
		{"2026-11-22T09:30:00.5+02:00", false, "2026-11-22T09:30:00.5+02:00"},
		{"2026-11-31", false, ""},
		{"2026-11-22T09:30", false, ""},
		{"yesterday", false, ""},
		{"", false, ""},
	} {
		m := moment{end: c.end}
		err := m.Set(c.text)
		if got := m.String(); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q (end %t) is %q (%v), want %q", c.text, c.end, got, err, c.want)
		}
	}
}

func TestAuditFilterSince(t *testing.T) {
	f := &auditFilter{since: span(7 * day)}
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	query, err := f.query(newAuditSearchCommand(&app{}), now)
	if want := now.AddDate(0, 0, -7); err != nil || !query.From.Equal(want) {
		t.Errorf("the last seven days begin %s (%v), want %s", query.From, err, want)
	}
}

func TestAuditSearchAsksForWhatItIsTold(t *testing.T) {
	w := newAuditWire(t, 3)
	w.session(t).run(t, exitDone, "audit", "search", "--from", "2026-11-01", "--to", "2026-11-30", "--event", "secret.*,tenant.create", "--actor", "ci",
		"--action", "secret.read", "--outcome", "denied", "--outcome", "failed", "--resource", "environments/production", "--source", "10.0.0.0/8",
		"--request-id", "r", "--trace-id", "0af7651916cd43dd8448eb211c80319c", "--session", "s", "--limit", "7")
	want := url.Values{
		"from": {"2026-11-01T00:00:00Z"}, "to": {"2026-12-01T00:00:00Z"}, "event": {"secret.*", "tenant.create"}, "actor": {"ci"},
		"action": {"secret.read"}, "outcome": {"denied", "failed"}, "resource": {"environments/production"}, "source": {"10.0.0.0/8"},
		"request_id": {"r"}, "trace_id": {"0af7651916cd43dd8448eb211c80319c"}, "session": {"s"}, "limit": {"7"},
	}
	if diff := cmp.Diff([]url.Values{want}, w.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAuditSearchPrints(t *testing.T) {
	w := newAuditWire(t, 3)
	w.links = []audit.Link{
		audit.Head{}.Next([]byte(`{"actor":"token 7f (ci)","details":{"b":"2","a":"1"},"event":"secret.read","outcome":"denied","resource":"tenants/0a0b/environments/production/openai","resources":["x","y"],"revision":42,"schema":1,"source":"10.1.2.3","time":"2026-11-22T09:00:00.123456789Z"}`)),
		audit.Head{Sequence: 1}.Next([]byte("{\"event\":\"evil\\u001b[31m\",\"resource\":\"tenants/0a0b\",\"schema\":1,\"time\":\"2026-11-22T09:00:01Z\"}")),
	}
	for _, c := range []struct {
		args []string
		out  string
		note string
	}{
		{[]string{}, "RECORD  TIME                  EVENT         ACTOR          RESOURCE                             OUTCOME  SOURCE\n" +
			"2       2026-11-22T09:00:01Z  evil\\x1b[31m  -              tenants/0a0b                         -        -\n" +
			"1       2026-11-22T09:00:00Z  secret.read   token 7f (ci)  environments/production/openai (+2)  denied   10.1.2.3\n", ""},
		{[]string{"-o", "value"}, "2\n1\n", ""},
		{[]string{"--server", "-o", "value", "--limit", "1"}, "2\n", ""},
		{[]string{"--limit", "1", "--cursor", "0", "-o", "table"}, "", "there are more; the same with --cursor 1 goes on"},
		{[]string{"--details"}, "10.1.2.3  -       -       42        -        a=1, b=2\n", ""},
		{[]string{"--server"}, "tenants/0a0b/environments/production/openai", ""},
	} {
		s := w.session(t)
		if slices.Contains(c.args, "--server") {
			delete(s.env, envTenant)
		}
		s.run(t, exitDone, append([]string{"audit", "search"}, c.args...)...)
		if got := s.out.String(); !strings.Contains(got, c.out) {
			t.Errorf("%q: printed\n%swant\n%s", c.args, got, c.out)
		}
		if got := s.err.String(); (got == "") != (c.note == "") || !strings.Contains(got, c.note) {
			t.Errorf("%q: noted %q, want %q", c.args, got, c.note)
		}
	}
}

// What a record says is printed as it was written, for whoever checks its hash.
func TestAuditJSONKeepsTheBytesOfRecords(t *testing.T) {
	w := newAuditWire(t, 2)
	w.links[1].Record = []byte(`{"event":"a<b>&c","schema":1,"time":"2026-11-22T09:00:01Z"}`)
	s := w.session(t)
	s.run(t, exitDone, "audit", "tail", "-n", "1", "-o", "json")
	if got := s.out.String(); !strings.Contains(got, string(w.links[1].Record)) || strings.Count(got, "\n") != 1 {
		t.Errorf("printed %q", got)
	}
}

func TestAuditRefusesWhatCannotBe(t *testing.T) {
	w := newAuditWire(t, 3)
	for args, want := range map[string]string{
		"search --since 1h --from 2026-11-01":      "--since and --from exclude each other",
		"search --from 2026-11-02 --to 2026-11-01": "so it is empty",
		"search --from soon":                       "write a date like 2026-11-22",
		"search --since 1ms":                       "write a duration like 12h or 7d",
		"search --limit 0":                         "--limit is from 1 to 1000",
		"search --server --tenant acme":            "--server and --tenant exclude each other",
		"search --server --deleted 0a":             "--server and --deleted exclude each other",
		"show none":                                `"none" is not the number of a record`,
		"show 0":                                   `"0" is not the number of a record`,
		"show 4":                                   "there is no record 4",
		"count --by event,actor,action":            "--by takes one or two, and here are 3",
		"count --by weather":                       `records are not counted by "weather"`,
		"count --by event,event":                   "--by names event twice",
		"tail -n 0":                                "-n 0 shows nothing",
		"tail -n 10001":                            "-n is from 0 to 10000",
		"tail -f --to 2026-11-22":                  "-f goes on with what comes, and --to ends before it",
		"export --format csv":                      `there is no form "csv" of an export`,
		"export --after -1":                        "-1 is not the number of a record",
		"export -o json":                           "to standard output the export itself goes",
		"verify --key a+b+c":                       "--key means nothing without --checkpoint",
		"verify --file x --server":                 "--file and --server exclude each other",
		"verify --file nowhere.ndjson":             "no such file",
		"verify --checkpoint nowhere.note":         "no such file",
		"verify --file x --key nonsense":           "write it as `llm-config audit key ls -o value` prints it",
		"checkpoint save":                          "no file is given",
		"checkpoint ls -n 0":                       "-n is from 1 to 1000",
		"hold set":                                 "no reason is given",
		"hold lift":                                "this cannot be undone",
		"search --limit 1 --limit 2":               "--limit is given twice",
		"verify --file audit_test.go":              "audit_test.go: line 1: not the header of an export",
		"verify --file audit_test.go --checkpoint audit.go": "a checkpoint proves nothing without the key that signed it",
	} {
		s := w.session(t)
		s.run(t, exitFailed, append([]string{"audit"}, strings.Fields(args)...)...)
		if got := s.err.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %qwant %q", args, got, want)
		}
	}
}

func TestAuditShow(t *testing.T) {
	w := newAuditWire(t, 3)
	s := w.session(t)
	s.run(t, exitDone, "audit", "show", "2")
	for _, want := range []string{
		"record 2\n", "  time         2026-11-01T12:00:02Z\n", "  event        secret.read", "  meaning      The value of a secret left the server", "  actor        token 00003dde (service-2)\n",
		"  details      environment=production\n", "  hash         " + hex.EncodeToString(w.links[1].Hash[:]) + "\n",
	} {
		if got := s.out.String(); !strings.Contains(got, want) {
			t.Errorf("printed\n%swithout %q", got, want)
		}
	}
}

func TestAuditShowOfADisposedRecord(t *testing.T) {
	w := newAuditWire(t, 3)
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, testOrigin, audit.Head{}, false)
	if err == nil {
		err = e.Stub(audit.Stub{First: 1, Last: 2, Hash: w.links[1].Hash})
	}
	if err = errors.Join(err, e.Link(w.links[2]), e.End()); err != nil {
		t.Fatal(err)
	}
	w.export = b.Bytes()
	w.disposed = 2
	for sequence, want := range map[string]string{
		"1": "record 1 was disposed of, with all up to 2; `llm-config audit search --event audit.dispose` says when and by whom",
		"2": "record 2 was disposed of, with all up to 2; `llm-config audit search --event audit.dispose` says when and by whom",
		"9": "there is no record 9; ",
	} {
		s := w.session(t)
		s.run(t, exitFailed, "audit", "show", sequence)
		if got := s.err.String(); !strings.Contains(got, want) {
			t.Errorf("printed %q, want %q", got, want)
		}
	}
}

func TestAuditCount(t *testing.T) {
	w := newAuditWire(t, 1)
	s := w.session(t)
	s.run(t, exitDone, "audit", "count", "--by", "event,outcome", "--window", "1d")
	if want := "FROM                  EVENT        OUTCOME  RECORDS  TOTAL\n2026-11-22T09:00:00Z  secret.read  denied   2        37\n"; s.out.String() != want {
		t.Errorf("printed\n%swant\n%s", &s.out, want)
	}
	if got := w.asked[0]; got.Get("window") != "24h0m0s" || !slices.Equal(got["by"], []string{"event", "outcome"}) {
		t.Errorf("asked %v", got)
	}
	s = w.session(t)
	s.run(t, exitDone, "audit", "count")
	if want := "EVENT        RECORDS  TOTAL\nsecret.read  2        37\n"; s.out.String() != want {
		t.Errorf("printed\n%swant\n%s", &s.out, want)
	}
}

func TestAuditTailFollowsBehindWhatItShowed(t *testing.T) {
	w := newAuditWire(t, 5)
	w.behind = 2
	s := w.session(t)
	r, pipe := io.Pipe()
	s.stdout = pipe
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() { ended <- s.execute(ctx, []string{"audit", "tail", "-f", "-n", "2", "-o", "value"}) }()
	want := []string{"4", "5", "6", "7"}
	next := w.links[4].Head().Next(audittest.Record(6))
	after := next.Head().Next(audittest.Record(7))
	go func() {
		for _, l := range []audit.Link{w.links[4], next, after} { // the first was shown already
			w.follows <- l
		}
	}()
	for _, want := range want {
		line := make([]byte, len(want)+1)
		if _, err := io.ReadFull(r, line); err != nil || string(line) != want+"\n" {
			t.Fatalf("printed %q (%v), want %q", line, err, want)
		}
	}
	stop()
	<-ended
}

func TestAuditTailTellsAnOutageOnce(t *testing.T) {
	s := newAuditWire(t, 1).session(t)
	follow := &auditTail{out: &output{app: s.app, format: asValue}}
	lost, refused := errors.New("connection refused"), &api.Problem{Status: http.StatusForbidden, Detail: "not any more"}
	err := follow.events(func(yield func(api.AuditRecord, error) bool) {
		for _, err := range []error{lost, lost, nil, lost, refused} {
			if !yield(api.AuditRecord{Sequence: 9, Record: []byte("{}")}, err) {
				return
			}
		}
	})
	if told := strings.Count(s.err.String(), "connection refused; trying again\n"); !errors.Is(err, refused) || told != 2 || s.out.String() != "9\n" {
		t.Errorf("ended with %v; two outages were told %d times:\n%s%s", err, told, &s.err, &s.out)
	}
}

func TestAuditExportWritesAWholeFile(t *testing.T) {
	w := newAuditWire(t, 10)
	file := filepath.Join(t.TempDir(), "acme.ndjson")
	s := w.session(t)
	s.run(t, exitDone, "audit", "export", "-f", file)
	if want := file + " holds 10 records (" + sizeText(int64(len(w.export))) + ")\n"; s.out.String() != want {
		t.Errorf("printed %q, want %q", &s.out, want)
	}
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(text, w.export) {
		t.Errorf("the file holds %d bytes of %d (%v)", len(text), len(w.export), err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is for others too: %v (%v)", info.Mode(), err)
	}
	s = w.session(t)
	s.run(t, exitDone, "audit", "export")
	if s.out.String() != string(w.export) || s.err.Len() > 0 {
		t.Errorf("standard output has %d bytes of %d, and was noted %q", s.out.Len(), len(w.export), &s.err)
	}
}

// An export that is cut off, at any line, leaves a file as it was.
func TestAuditExportThatIsCutOff(t *testing.T) {
	w := newAuditWire(t, 3)
	file := filepath.Join(t.TempDir(), "acme.ndjson")
	if err := os.WriteFile(file, []byte("of yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := audittest.Lines(w.export)
	for n := range lines {
		w.export = bytes.Join(lines[:n], nil)
		for _, args := range [][]string{{"-f", file}, {"-f", "-"}} {
			s := w.session(t)
			s.run(t, exitFailed, append([]string{"audit", "export"}, args...)...)
			if want := "the export was cut off after"; !strings.Contains(s.err.String(), want) {
				t.Errorf("%d lines: %q, want %q", n, &s.err, want)
			}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "of yesterday" {
		t.Errorf("the file holds %q (%v)", text, err)
	}
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the file is left %v (%v)", left, err)
	}
}

func TestAuditExportOfCloudEvents(t *testing.T) {
	w := newAuditWire(t, 3)
	w.export = []byte("{\"id\":\"1\"}\n{\"id\":\"2\"}\n")
	file := filepath.Join(t.TempDir(), "events")
	s := w.session(t)
	s.run(t, exitDone, "audit", "export", "--format", "cloudevents", "-f", file, "-o", "json")
	var said auditExport
	if err := json.Unmarshal(s.out.Bytes(), &said); err != nil || said.Records != 2 || said.Bytes != int64(len(w.export)) || said.Format != "cloudevents" {
		t.Errorf("printed %s (%v)", &s.out, err)
	}
	w.export = w.export[:len(w.export)-3]
	s = w.session(t)
	s.run(t, exitFailed, "audit", "export", "--format", "cloudevents")
}

// However an export comes over the wire, it is counted alike.
func TestExportLinesInAnyPieces(t *testing.T) {
	whole := audittest.Export(t, testOrigin, audittest.Links(9), 4, audittest.Key(t, "llm-config-0011223344556677", 1))
	rapid.Check(t, func(t *rapid.T) {
		lines, rest := &exportLines{}, whole
		for len(rest) > 0 {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			if lines.whole(formNDJSON) {
				t.Fatalf("whole with %d bytes to come", len(rest))
			}
			if written, err := lines.Write(rest[:n]); written != n || err != nil {
				t.Fatal(written, err)
			}
			rest = rest[n:]
		}
		if lines.records(formNDJSON) != 9 || lines.bytes != int64(len(whole)) || !lines.whole(formNDJSON) || !lines.whole(formCloudEvents) {
			t.Fatalf("counted %+v", lines)
		}
		if _, err := lines.Write([]byte("{")); err != nil || lines.whole(formNDJSON) {
			t.Fatalf("whole with more behind the end (%v)", err)
		}
	})
}

func TestAuditCheckpointsAndKeys(t *testing.T) {
	w := newAuditWire(t, 4)
	s := w.session(t)
	s.run(t, exitDone, "audit", "checkpoint", "ls")
	if !strings.Contains(s.out.String(), "4       1970-01-01T00:00:00Z\n") || !strings.Contains(s.err.String(), "--cursor older") {
		t.Errorf("printed\n%s%s", &s.out, &s.err)
	}
	file := filepath.Join(t.TempDir(), "note")
	s = w.session(t)
	s.run(t, exitDone, "audit", "checkpoint", "save", "-f", file)
	note, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.OpenCheckpoint(note, w.key.Public()); err != nil || c.Head != w.links[3].Head() {
		t.Errorf("saved %q: %v", note, err)
	}
	s = w.session(t)
	s.run(t, exitDone, "audit", "checkpoint", "save", "-f", "-")
	if s.out.String() != string(note) {
		t.Errorf("printed %q, want %q", &s.out, note)
	}
	w.links = nil
	s = w.session(t)
	s.run(t, exitFailed, "audit", "checkpoint", "save", "-f", file)
	if !strings.Contains(s.err.String(), "this chain has no checkpoint yet") {
		t.Errorf("printed %q", &s.err)
	}
	s = w.session(t)
	s.run(t, exitDone, "audit", "key", "ls", "-o", "value")
	if s.out.String() != w.key.Public()+"\n" {
		t.Errorf("printed %q", &s.out)
	}
}

func TestAuditStatusAndHold(t *testing.T) {
	w := newAuditWire(t, 11)
	s := w.session(t)
	s.run(t, exitDone, "audit", "hold", "set", "--reason", "case 7")
	s.run(t, exitDone, "audit", "hold", "show", "-o", "value")
	s.run(t, exitDone, "audit", "status")
	for _, want := range []string{
		"there is a legal hold since 1970-01-01T00:00:00Z by root: case 7\ncase 7\n", "  broken       record 3 is gone; `llm-config audit verify` looks again\n",
		"  newest       record 11, 2026-11-22T09:00:00Z\n", "  warm         1 record in 1 segment of 2KiB\n", "  cold         0 records\n",
		"  checkpoint   record 8, 2026-11-22T09:00:00Z\n", "  legal hold   since 1970-01-01T00:00:00Z by root: case 7\n",
	} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("printed\n%swithout %q", &s.out, want)
		}
	}
	s = w.session(t)
	s.run(t, exitDone, "audit", "hold", "lift", "--yes")
	if w.hold != nil || s.out.String() != "there is no legal hold\n" {
		t.Errorf("printed %q, and the hold is %v", &s.out, w.hold)
	}
}
