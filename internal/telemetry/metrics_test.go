package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// scrape answers the samples, one a line, as Prometheus gets them.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func shows(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\nllm_config_manager_"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("there is no %q; of that family there is\n%s", line, family(text, name))
		}
	}
}

func family(text, name string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "llm_config_manager_"+name) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestANilMetricsCountsNothing(t *testing.T) {
	var m *Metrics
	m.SecretAccess("read", "acme")
	m.SecretRotation("success")
	m.SecretOverdue()
	m.JobFailed("settle")
	m.KeyState("tenant", "acme", time.Now(), time.Now(), 1)
	m.CertificateExpires("server", time.Now())
	m.ConnectionRefused()
	next := http.NotFoundHandler()
	if w := httptest.NewRecorder(); m.Requests(nil, next) == nil {
		t.Errorf("no handler: %v", w)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusNotFound {
		t.Errorf("answered %d", w.Code)
	}
}

func TestSecretsAndJobs(t *testing.T) {
	m := NewMetrics(nil)
	m.SecretAccess("read", "acme")
	m.SecretAccess("read", "acme")
	m.SecretRotation("success")
	m.SecretRotation("failure")
	m.SecretOverdue()
	m.JobFailed("settle")
	shows(t, scrape(t, m),
		`secret_access_total{operation="read",tenant_id="acme"} 2`,
		`secret_rotations_total{backend="internal",result="success"} 1`,
		`secret_rotations_total{backend="internal",result="failure"} 1`,
		`secret_rotations_overdue 1`,
		`job_failures_total{job="settle"} 1`,
	)
}

func TestConnections(t *testing.T) {
	m := NewMetrics(nil)
	m.ConnectionRefused()
	m.CertificateExpires("server", time.Unix(1800000000, 0))
	m.CertificateExpires("client-ca", time.Unix(1900000000, 0))
	m.CertificateExpires("client-ca", time.Time{})
	text := scrape(t, m)
	shows(t, text, `connections_refused_total 1`, `certificate_expires_timestamp_seconds{certificate="server"} 1.8e+09`)
	if strings.Contains(text, "client-ca") {
		t.Error("a kind that there is no more is shown")
	}
}

func TestKeyStates(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMetrics(func() time.Time { return now })
	m.KeyState("master", "", now.Add(-time.Hour), now.Add(time.Hour), 3)
	m.KeyState("tenant", "acme", now.Add(-2*time.Hour), time.Time{}, 0)
	now = now.Add(time.Minute)
	text := scrape(t, m)
	shows(t, text,
		`key_age_seconds{level="master",tenant=""} 3660`,
		`key_due_timestamp_seconds{level="master",tenant=""} 1.8000036e+09`,
		`key_rewrap_pending{level="master",tenant=""} 3`,
		`key_age_seconds{level="tenant",tenant="acme"} 7260`,
		`key_rewrap_pending{level="tenant",tenant="acme"} 0`,
	)
	if strings.Contains(text, `key_due_timestamp_seconds{level="tenant"`) {
		t.Error("a key that is never due has a due date")
	}
	now = now.Add(keyStateAge)
	m.KeyState("master", "", now, now, 0)
	text = scrape(t, m)
	shows(t, text, `key_age_seconds{level="master",tenant=""} 0`)
	if strings.Contains(text, "acme") {
		t.Error("a key of which nothing was told for long is still shown")
	}
}

// TestTenantsAreBounded: past the first thousand all share a label, and their
// keys show the worst of them.
func TestTenantsAreBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMetrics(func() time.Time { return now })
	for i := range maxTenantLabels + 3 {
		tenant := fmt.Sprintf("t%d", i)
		m.SecretAccess("read", tenant)
		m.KeyState("tenant", tenant, now.Add(-time.Duration(i)*time.Second), now.Add(time.Duration(i)*time.Second), 1)
	}
	text := scrape(t, m)
	shows(t, text,
		`secret_access_total{operation="read",tenant_id="t999"} 1`,
		`secret_access_total{operation="read",tenant_id="other"} 3`,
		`key_age_seconds{level="tenant",tenant="other"} 1002`,
		`key_due_timestamp_seconds{level="tenant",tenant="other"} 1.800001e+09`,
		`key_rewrap_pending{level="tenant",tenant="other"} 3`,
	)
	if n := strings.Count(family(text, "secret_access_total"), "\n"); n != maxTenantLabels+1 {
		t.Errorf("%d tenants are told apart", n)
	}
}

func TestKeyStatesAreBounded(t *testing.T) {
	var k keyStates
	now := time.Unix(1_800_000_000, 0)
	for i := range maxKeyStates + 10 {
		k.set(keyName{"tenant", fmt.Sprint(i)}, keyState{created: now, told: now})
	}
	k.set(keyName{"tenant", "0"}, keyState{created: now, told: now, pending: 1})
	if len(k.all) != maxKeyStates || k.all[keyName{"tenant", "0"}].pending != 1 {
		t.Errorf("%d states are held", len(k.all))
	}
}

const (
	listRoute  = "GET /api/v1/tenants/{tenant}/environments/{environment}/configs"
	pathRoute  = "PUT /api/v1/tenants/{tenant}/environments/{environment}/layers/{path...}"
	watchRoute = "GET /api/v1/tenants/{tenant}/environments/{environment}/watch"
	liveRoute  = "GET /health/live"
)

// counted sends requests through the middleware to a handler.
func counted(m *Metrics, handler http.HandlerFunc) func(method, target, body string) *httptest.ResponseRecorder {
	h := m.Requests([]string{listRoute, pathRoute, watchRoute, liveRoute}, handler)
	return func(method, target, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
		return w
	}
}

func TestRequests(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMetrics(func() time.Time { return now })
	send := counted(m, func(w http.ResponseWriter, r *http.Request) {
		now = now.Add(20 * time.Millisecond)
		_, _ = io.ReadAll(r.Body)
		if r.URL.Query().Has("events") {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		if r.URL.Query().Has("created") {
			w.WriteHeader(http.StatusContinue)
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusTeapot) // too late
		}
		_, _ = w.Write([]byte("answer"))
	})
	send(http.MethodGet, "/api/v1/tenants/acme/environments/base/configs", "")
	send(http.MethodPut, "/api/v1/tenants/acme/environments/base/layers/a/b?created", strings.Repeat("x", 250))
	send(http.MethodGet, "/api/v1/tenants/acme/environments/base/watch?events", "")
	send(http.MethodGet, "/health/live", "")
	text := scrape(t, m)
	list, path := `endpoint="/api/v1/tenants/{tenant}/environments/{environment}/configs",method="GET"`,
		`endpoint="/api/v1/tenants/{tenant}/environments/{environment}/layers/{path...}",method="PUT"`
	shows(t, text,
		`requests_total{`+list+`,status_code="200",tenant_id="acme"} 1`,
		`requests_total{`+path+`,status_code="201",tenant_id="acme"} 1`,
		`requests_total{endpoint="/health/live",method="GET",status_code="200",tenant_id=""} 1`,
		`requests_total{endpoint="/api/v1/tenants/{tenant}/environments/{environment}/watch",method="GET",status_code="200",tenant_id="acme"} 1`,
		`request_duration_seconds_bucket{`+list+`,tenant_id="acme",le="0.01"} 0`,
		`request_duration_seconds_bucket{`+list+`,tenant_id="acme",le="0.05"} 1`,
		`request_size_bytes_sum{`+path+`} 250`,
		`request_size_bytes_bucket{`+path+`,le="100"} 0`,
		`request_size_bytes_bucket{`+path+`,le="1000"} 1`,
		`response_size_bytes_bucket{`+path+`,le="1e+06"} 1`,
		`response_size_bytes_sum{`+list+`} 6`,
	)
	if strings.Contains(family(text, "request_duration_seconds"), "watch") {
		t.Error("a watch, which lasts as long as somebody listens, counts as a slow request")
	}
}

// TestMadeUpRequests must not make labels, whatever anybody sends.
func TestMadeUpRequests(t *testing.T) {
	m := NewMetrics(nil)
	send := counted(m, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	for i := range 3000 {
		send(http.MethodGet, fmt.Sprintf("/api/v1/tenants/made-up-%d/environments/base/configs", i), "")
		send(http.MethodGet, fmt.Sprintf("/nowhere/%d", i), "")
		send(fmt.Sprintf("METHOD%d", i), "/", "")
	}
	text := scrape(t, m)
	shows(t, text,
		`requests_total{endpoint="/api/v1/tenants/{tenant}/environments/{environment}/configs",method="GET",status_code="401",tenant_id="other"} 3000`,
		`requests_total{endpoint="none",method="GET",status_code="401",tenant_id=""} 3000`,
		`requests_total{endpoint="none",method="other",status_code="401",tenant_id=""} 3000`,
	)
	if n := strings.Count(family(text, "requests_total"), "\n"); n != 3 {
		t.Errorf("%d series", n)
	}
	if len(m.tenants.known) != 0 {
		t.Errorf("%d names that nobody has took labels away from tenants", len(m.tenants.known))
	}
}

func TestAClaimedLengthIsNotBelieved(t *testing.T) {
	m := NewMetrics(nil)
	h := m.Requests([]string{liveRoute}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/health/live", strings.NewReader("abc"))
	r.ContentLength = 1 << 62
	h.ServeHTTP(httptest.NewRecorder(), r)
	shows(t, scrape(t, m), `request_size_bytes_sum{endpoint="/health/live",method="GET"} 0`)
}

// TestAPanicIsCounted and goes on to whom it concerns.
func TestAPanicIsCounted(t *testing.T) {
	m := NewMetrics(nil)
	send := counted(m, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		panic(http.ErrAbortHandler)
	})
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("recovered %v", err)
			}
		}()
		send(http.MethodGet, "/health/live", "")
	}()
	shows(t, scrape(t, m), `requests_total{endpoint="/health/live",method="GET",status_code="500",tenant_id=""} 1`)
}

// TestTheConnectionStaysWithinReach: watches flush and set deadlines through the writer.
func TestTheConnectionStaysWithinReach(t *testing.T) {
	m := NewMetrics(nil)
	send := counted(m, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})
	if w := send(http.MethodGet, "/health/live", ""); !w.Flushed {
		t.Error("nothing was flushed")
	}
}

func TestTenantIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tenant := rapid.StringMatching(`[a-z0-9-]{1,20}`).Draw(t, "tenant")
		rest := rapid.StringMatching(`(/[a-z{}.]{0,9}){0,5}`).Draw(t, "rest")
		if got := tenantIn("/api/v1/tenants/{tenant}/x", "/api/v1/tenants/"+tenant+rest); got != tenant {
			t.Fatalf("got %q, want %q", got, tenant)
		}
		tenantIn("/api/v1/tenants/{tenant}/x", rapid.String().Draw(t, "path")) // must not panic
	})
	if got := tenantIn("/health/live", "/health/live"); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestProcess(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := NewMetrics(func() time.Time { return now })
	now = now.Add(90 * time.Second)
	text := scrape(t, m)
	shows(t, text, `uptime_seconds 90`)
	for _, name := range []string{"goroutines ", "memory_usage_bytes ", "cpu_usage_percent "} {
		sample := family(text, name)
		if sample == "" || name != "cpu_usage_percent " && strings.HasSuffix(sample, " 0\n") {
			t.Errorf("%q", sample)
		}
	}
	if resident, ok := residentMemory(); ok && resident < 1<<20 {
		t.Errorf("a process of %d bytes", resident)
	}
}

// TestUseOfProcessors is an average since the look before, and two looks in
// quick succession answer the same.
func TestUseOfProcessors(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newProcessCollector(func() time.Time { return now })
	c.used -= 5 * time.Second // as if that much had been used
	first := c.processors(now.Add(10 * time.Second))
	if first < 50 || first > 51 {
		t.Errorf("%f percent, want 50", first)
	}
	if again := c.processors(now.Add(10*time.Second + 1)); again != first {
		t.Errorf("%f percent a nanosecond later", again)
	}
}

func BenchmarkRequests(b *testing.B) {
	h := NewMetrics(nil).Requests([]string{listRoute, pathRoute, watchRoute, liveRoute}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	r, w := httptest.NewRequest(http.MethodGet, "/api/v1/tenants/acme/environments/base/configs", http.NoBody), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
