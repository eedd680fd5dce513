package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuantilesAreRightToTheWidthOfABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1, int64(time.Hour)), 1, 200).Draw(t, "durations")
		var h histogram
		for _, v := range values {
			h.add(time.Duration(v))
		}
		slices.Sort(values)
		for _, q := range []float64{0.5, 0.99, 1} {
			exact := float64(values[max(0, int(q*float64(len(values))+0.999999)-1)])
			if got := float64(h.quantile(q)); got < exact || got > exact*1.0625+1 {
				t.Fatalf("quantile %g of %v is %g, not %g", q, values, got, exact)
			}
		}
	})
}

func TestEachWriteIsNew(t *testing.T) {
	seen := map[string]bool{}
	for turn := range 2 {
		prepare := writes("token", "7", turn)
		for n := range 1200 {
			seen[string(prepare(n))] = true
		}
	}
	if len(seen) != 2400 {
		t.Errorf("2400 writes are of %d kinds", len(seen))
	}
}

func TestTheWireReadsWhatNetHTTPWrites(t *testing.T) {
	const text = `{"a":1}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Config-Revision", "42")
		if r.Method == http.MethodPost {
			_ = http.NewResponseController(w).Flush() // so that its length is not known
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	w, err := dial(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for range 2 { // the connection is kept
		a, err := w.must(request("PUT", "/x", "secret", []byte("{}")))
		if err != nil || a != (answer{status: 200, revision: 42, length: len(text)}) || string(w.body) != text {
			t.Errorf("got %+v, %q, %v", a, w.body, err)
		}
	}
	for range 2 {
		a, err := w.must(request("POST", "/x", "secret", []byte("{}")))
		if err != nil || a != (answer{status: 200, revision: 42, length: -1, chunked: true}) || string(w.body) != text {
			t.Errorf("in chunks: got %+v, %q, %v", a, w.body, err)
		}
	}
	if _, err := w.must(request("GET", "/x", "wrong", nil)); err == nil || !strings.Contains(err.Error(), "GET /x") || !strings.Contains(err.Error(), "401") {
		t.Errorf("a refusal is told as %v", err)
	}
}

func TestABareHandlerAnswersWhatWasRecorded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "answer")
	raw := "HTTP/1.1 201 Created\r\nETag: \"v1\"\r\nDate: then\r\nContent-Length: 2\r\n\r\n{}"
	if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
		t.Fatal(err)
	}
	recorded, err := readAnswer(file)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	recorded.serve(w, httptest.NewRequest(http.MethodPut, "/", strings.NewReader("body")))
	if w.Code != http.StatusCreated || w.Header().Get("ETag") != `"v1"` || w.Header().Get("Date") != "" || w.Body.String() != "{}" {
		t.Errorf("answered %d %v %s", w.Code, w.Header(), w.Body)
	}
	if err := bare([]string{"192.0.2.1:80", "read", file}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("a handler off loopback: %v", err)
	}
}

func TestParse(t *testing.T) {
	o, names, err := parse([]string{"-connections", "1,20", "-pairs", "3", "write"})
	if err != nil || !slices.Equal(o.connections, []int{1, 20}) || o.pairs != 3 || !slices.Equal(names, []string{"write"}) {
		t.Errorf("got %+v, %v, %v", o, names, err)
	}
	for _, args := range [][]string{{"-connections", "0"}, {"-connections", "x"}, {"-pairs", "0"}, {"sprint"}, {"-nonsense"}, {"-policies", "some"}} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestHowMuchLongerBesideNoise(t *testing.T) {
	var r row
	for _, ms := range []int{2, 6} {
		var beside, alone outcome
		for range 100 {
			beside.latency.add(time.Duration(ms) * time.Millisecond)
			alone.latency.add(time.Millisecond)
		}
		r.add(beside, alone)
	}
	if got := r.times(0.5); got != "2.00 (2.00–5.94)" {
		t.Errorf("got %s", got)
	}
	var h heard
	h.add(429, 2)
	h.add(200, 1)
	if got := h.String(); got != "200 1 times, 429 2 times" {
		t.Errorf("got %s", got)
	}
}

func TestReport(t *testing.T) {
	var r row
	for _, ratio := range []float64{0.5, 0.7, 0.6} {
		r.add(outcome{perSecond: ratio * 1000, perRequest: 20 * time.Microsecond}, outcome{perSecond: 1000, perRequest: 10 * time.Microsecond})
	}
	r.name = "reading"
	var out bytes.Buffer
	newReport(&out).table("read", []row{r})
	if want := "| reading | server | 600 | 0.60 (0.50–0.70) | 20µs | 0s | 0s |\n|  | bare handler | 1000 |  | 10µs | 0s | 0s |\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("got\n%s", out.String())
	}
	for d, want := range map[time.Duration]string{999: "999ns", 1234567: "1.23ms", 61234 * time.Microsecond: "61.2ms"} {
		if got := rounded(d); got != want {
			t.Errorf("%d is rounded to %s", d, got)
		}
	}
}
