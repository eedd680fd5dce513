package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

func TestAuditVerbs(t *testing.T) {
	const ofTenant, ofServer, id = "/api/v1/tenants/acme", "/api/v1", "0123456789abcdef0123456789abcdef"
	r := newRecording(t)
	ctx := t.Context()
	at := time.Date(2026, 11, 1, 12, 0, 0, 5, time.FixedZone("", 3600))
	everything := AuditQuery{
		From: at, To: at.Add(time.Hour), Events: []string{"secret.*", "config.change"}, Actors: []string{"token:a"}, Actions: []string{"config.read"},
		Outcomes: []string{"denied", "failed"}, Resource: "environments/base", Source: "10.0.0.0/8", RequestID: "r", TraceID: "t", Session: "s",
	}
	const asQuery = "action=config.read&actor=token%3Aa&event=secret.%2A&event=config.change&from=2026-11-01T11%3A00%3A00.000000005Z&"
	const restOfQuery = "outcome=denied&outcome=failed&request_id=r&resource=environments%2Fbase&session=s&source=10.0.0.0%2F8&to=2026-11-01T12%3A00%3A00.000000005Z&trace_id=t "
	for _, test := range []struct {
		want string
		call func() (any, error)
	}{
		{"GET " + ofTenant + "/audit ", func() (any, error) { return r.Audit().Search(ctx, AuditQuery{}, Page{}) }},
		{"GET " + ofTenant + "/audit?" + asQuery + restOfQuery, func() (any, error) { return r.Audit().Search(ctx, everything, Page{}) }},
		{"GET " + ofServer + "/audit?cursor=c&limit=5 ", func() (any, error) {
			return r.ServerAudit().Search(ctx, AuditQuery{}, Page{Limit: 5, Cursor: "c"})
		}},
		{"GET " + ofServer + "/audit?deleted=" + id + " ", func() (any, error) { return r.DeletedAudit(id).Search(ctx, AuditQuery{}, Page{}) }},
		{"GET " + ofServer + "/audit?deleted= ", func() (any, error) { return r.DeletedAudit("").Search(ctx, AuditQuery{}, Page{}) }},
		{"GET " + ofTenant + "/audit/counts?by=event&by=actor&event=a&window=1h0m0s ", func() (any, error) {
			return r.Audit().Counts(ctx, AuditQuery{Events: []string{"a"}}, []string{"event", "actor"}, time.Hour)
		}},
		{"GET " + ofServer + "/audit/counts?by=event ", func() (any, error) {
			return r.ServerAudit().Counts(ctx, AuditQuery{}, []string{"event"}, 0)
		}},
		{"GET " + ofTenant + "/audit/status ", func() (any, error) { return r.Audit().Status(ctx) }},
		{"GET " + ofServer + "/audit/status?deleted=" + id + " ", func() (any, error) { return r.DeletedAudit(id).Status(ctx) }},
		{"GET " + ofTenant + "/audit/checkpoints?limit=2 ", func() (any, error) { return r.Audit().Checkpoints(ctx, Page{Limit: 2}) }},
		{"GET " + ofServer + "/audit/checkpoints ", func() (any, error) { return r.ServerAudit().Checkpoints(ctx, Page{}) }},
		{"PUT " + ofTenant + `/audit/hold {"reason":"a case"}`, func() (any, error) { return r.Audit().SetHold(ctx, "a case") }},
		{"PUT " + ofServer + `/audit/hold?deleted=` + id + ` {"reason":"a case"}`, func() (any, error) { return r.DeletedAudit(id).SetHold(ctx, "a case") }},
		{"DELETE " + ofTenant + "/audit/hold ", func() (any, error) { return r.Audit().LiftHold(ctx) }},
		{"DELETE " + ofServer + "/audit/hold ", func() (any, error) { return r.ServerAudit().LiftHold(ctx) }},
		{"GET " + ofTenant + "/compliance/soc2?from=2026-11-01T11%3A00%3A00.000000005Z ", func() (any, error) { return r.Audit().Compliance(ctx, "soc2", at, time.Time{}) }},
		{"GET " + ofServer + "/compliance/a%2Fb ", func() (any, error) { return r.ServerAudit().Compliance(ctx, "a/b", time.Time{}, time.Time{}) }},
		{"GET " + ofServer + "/audit/keys ", func() (any, error) { return r.AuditKeys(ctx) }},
		{"POST " + ofServer + "/audit/keys/rotate ", func() (any, error) { return r.RotateAuditKey(ctx) }},
	} {
		if _, err := test.call(); err != nil {
			t.Errorf("%s: %v", test.want, err)
		}
		if got := r.last.line + " " + r.last.body; got != test.want {
			t.Errorf("sent %s\nwant %s", got, test.want)
		}
	}
	_, err := r.ForTenant("").Audit().Status(ctx)
	wantError(t, err, "no tenant is given")
}

func TestComplianceMarkdown(t *testing.T) {
	r := newRecording(t)
	r.header.Set("Content-Type", "text/markdown; charset=utf-8")
	r.answer = "# SOC 2"
	text, err := r.Audit().ComplianceMarkdown(t.Context(), "soc2", time.Time{}, time.Time{})
	if err != nil || string(text) != "# SOC 2" || r.last.header.Get("Accept") != "text/markdown" {
		t.Errorf("%s, %v, %v", text, err, r.last.header)
	}
	_, err = r.Audit().Compliance(t.Context(), "soc2", time.Time{}, time.Time{})
	wantError(t, err, "it is not application/json")
}

func TestAuditAll(t *testing.T) {
	var cursors []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cursors = append(cursors, r.URL.Query().Get("cursor"))
		w.Header().Set("Content-Type", api.TypeJSON)
		n := int64(len(cursors))
		page := api.AuditPage{Records: []api.AuditRecord{{Sequence: 9 - 2*n, Record: json.RawMessage("{}")}, {Sequence: 8 - 2*n, Record: json.RawMessage("{}")}}}
		if n < 3 {
			page.Next = fmt.Sprintf("after-%d", n)
		}
		_ = json.NewEncoder(w).Encode(page)
	}))
	defer server.Close()
	var got []int64
	for r, err := range must(New(server.URL, WithTenant("acme"))).Audit().All(t.Context(), AuditQuery{}, Page{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Sequence)
	}
	if !slices.Equal(got, []int64{7, 6, 5, 4, 3, 2}) || strings.Join(cursors, ",") != ",after-1,after-2" {
		t.Errorf("%v by %q", got, cursors)
	}
}

// tails is a client whose connections give these texts and then end, the last
// one staying open, and after what each of them asked to go on.
func tails(texts ...string) (c *Client, resumes *[]string) {
	resumes = new([]string)
	c = must(New("http://config.test", WithTenant("acme"), WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		after := "now"
		if ids := r.Header["Last-Event-Id"]; len(ids) == 1 {
			after = ids[0]
		}
		n := len(*resumes)
		*resumes = append(*resumes, after)
		body := io.NopCloser(strings.NewReader(texts[n]))
		if n == len(texts)-1 {
			body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(texts[n]), untilDone{r.Context()}), body}
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {api.TypeEvents}}, Body: body}, nil
	})})))
	return c, resumes
}

type untilDone struct{ ctx context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

func recordEvent(sequence int64) string {
	return eventText(api.EventRecord, sequence, api.AuditRecord{Sequence: sequence, Record: json.RawMessage(`{"event":"x"}`)})
}

// However often the connection is lost, each record comes once.
func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, resumes := tails(
			"",
			progressEvent(4),
			recordEvent(5)+recordEvent(6)+"event: record\nid: 7\ndata: {",
			recordEvent(6)+recordEvent(7)+progressEvent(9)+"event: news\nid: 10\ndata: of a kind to come\n\n: still here\n\n",
			recordEvent(12)+recordEvent(13),
		)
		var got []string
		for r, err := range c.Audit().Tail(t.Context(), AuditQuery{}, nil) {
			if err != nil {
				wantError(t, err, "the server ended the audit tail")
				got = append(got, "lost")
				continue
			}
			got = append(got, fmt.Sprint(r.Sequence))
			if r.Sequence == 13 {
				break
			}
		}
		if text := strings.Join(got, " "); text != "lost lost 5 6 lost 7 lost 12 13" {
			t.Error(text)
		}
		if text := strings.Join(*resumes, " "); text != "now now 4 6 9" {
			t.Errorf("it went on after %s", text)
		}
		first := int64(0)
		c, resumes = tails(recordEvent(1))
		for range c.Audit().Tail(t.Context(), AuditQuery{}, &first) {
			break
		}
		if (*resumes)[0] != "0" || first != 0 {
			t.Errorf("it went on after %s", *resumes)
		}
	})
}

func TestTailRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"event: record\nid: x\ndata: {}\n\n":                                      `the id "x" of an event is no sequence number`,
		"event: record\nid: -1\ndata: {}\n\n":                                     "is no sequence number",
		"event: record\nid: 5\ndata: {\n\n":                                       "record 5 cannot be read",
		"event: record\nid: 5\ndata: {\"sequence\":6,\"record\":{}}\n\n":          "says that it is record 6",
		"event: record\nid: 5\ndata: " + strings.Repeat("x", maxEvent+1) + "\n\n": "record 5 is over",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := tails(text)
			for r, err := range c.Audit().Tail(t.Context(), AuditQuery{}, nil) {
				if err == nil {
					t.Errorf("%.40q gives %+v", text, r)
				}
				wantError(t, err, want)
				break
			}
		})
	}
}

// streaming is a client of a server that answers as the test says.
func streaming(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return must(New(server.URL, WithTenant("acme"), WithRetry(Retry{Base: 1, Max: 1})))
}

func ndjson(w http.ResponseWriter) { w.Header().Set("Content-Type", api.TypeNDJSON) }

// An export may be as long as it likes.
func TestExport(t *testing.T) {
	const lines = 70
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	asked := ""
	c := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		ndjson(w)
		for range lines {
			_, _ = w.Write(line)
		}
	})
	body, err := c.Audit().Export(t.Context(), ExportOptions{Form: "cloudevents", After: 7, Query: AuditQuery{Events: []string{"a"}}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, body)
	if err := errors.Join(err, body.Close()); err != nil || n != lines<<20 || n <= maxAnswer {
		t.Errorf("%d bytes, %v", n, err)
	}
	if asked != "/api/v1/tenants/acme/audit/export?after=7&event=a&format=cloudevents" {
		t.Errorf("asked for %s", asked)
	}
}

// What is cut off is an error, of an export as of a report.
func TestCutOff(t *testing.T) {
	c := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		ndjson(w)
		_, _ = io.WriteString(w, `{"checked":1,"of":9}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	body, err := c.Audit().Export(t.Context(), ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	wantError(t, err, "cut off before its end", c.Address())
	if len(text) == 0 {
		t.Error("what came before is lost")
	}
	_ = body.Close()
	_, err = c.Audit().Verify(t.Context(), nil)
	wantError(t, err, "cut off before its end")
}

func TestVerify(t *testing.T) {
	for answer, want := range map[string]string{
		`{"checked":1,"of":9}` + "\n" + `{"checked":9,"of":9,"report":{"holds":true,"last":9}}` + "\n": "",
		`{"checked":1,"of":9}` + "\n": "cut off before its end",
		"{\n":                         "a line that cannot be read",
	} {
		c := streaming(t, func(w http.ResponseWriter, _ *http.Request) { ndjson(w); _, _ = io.WriteString(w, answer) })
		var told []int64
		report, err := c.ServerAudit().Verify(t.Context(), func(p api.AuditProgress) { told = append(told, p.Checked) })
		switch {
		case want != "":
			wantError(t, err, want)
		case err != nil || !report.Holds || report.Last != 9 || !slices.Equal(told, []int64{1}):
			t.Errorf("%+v, %v, %v", report, told, err)
		}
	}
}

// A download that is refused is tried again as other reads are; a refusal for
// good is its problem.
func TestDownloadRefused(t *testing.T) {
	tries := 0
	c := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries < 3 {
			problem(w, api.CodeOverloaded, "too many requests are in flight")
			return
		}
		problem(w, api.CodeForbidden, "this is not for you")
	})
	_, err := c.Audit().Export(t.Context(), ExportOptions{})
	if !errors.Is(err, ErrForbidden) || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
	c = streaming(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	_, err = c.Audit().Verify(t.Context(), nil)
	wantError(t, err, "it is no problem document")
}

// A server that sends nothing for long is given up; a caller that reads nothing
// for long is not.
func TestDownloadSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := tails("some text")
		c.http.Transport = ndjsonOnly{c.http.Transport}
		body, err := c.Audit().Export(t.Context(), ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pass(10 * patience)
		if n, err := body.Read(make([]byte, 100)); n != 9 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		began := time.Now()
		_, err = body.Read(make([]byte, 100))
		wantError(t, err, "silent for too long")
		if took := time.Since(began); took != patience {
			t.Errorf("it took %s", took)
		}
		_ = body.Close()
	})
}

// ndjsonOnly passes answers off as lines.
type ndjsonOnly struct{ http.RoundTripper }

func (o ndjsonOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Header.Set("Content-Type", api.TypeNDJSON)
	}
	return response, err
}
