package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAudit(t *testing.T) {
	m := NewMetrics(nil)
	text := scrape(t, m)
	shows(t, text, `audit_chains_broken 0`, `audit_checkpoints_total 0`, `audit_checkpoint_timestamp_seconds 0`)
	if strings.Contains(text, "audit_sink_up{") || strings.Contains(text, "audit_alerts_total{") {
		t.Error("sinks and alerts are shown of which nothing is known")
	}
	m.AuditBroken(1)
	m.AuditBroken(2)
	m.AuditAlert("brute-force")
	m.AuditAlert("brute-force")
	m.AuditAlert("sink-down")
	m.AuditSink("file:///a", true)
	m.AuditSink("https://b.example", true)
	m.AuditSink("https://b.example", false)
	m.AuditCheckpoints(3, time.Unix(1_800_000_000, 0))
	m.AuditCheckpoints(2, time.Unix(1_800_000_060, 0))
	shows(t, scrape(t, m),
		`audit_chains_broken 2`,
		`audit_alerts_total{alert="brute-force"} 2`,
		`audit_alerts_total{alert="sink-down"} 1`,
		`audit_sink_up{sink="file:///a"} 1`,
		`audit_sink_up{sink="https://b.example"} 0`,
		`audit_checkpoints_total 5`,
		`audit_checkpoint_timestamp_seconds 1.80000006e+09`,
	)
}

func TestANilMetricsCountsNoAudit(t *testing.T) {
	var m *Metrics
	m.AuditBroken(1)
	m.AuditAlert("brute-force")
	m.AuditSink("file:///a", true)
	m.AuditCheckpoints(1, time.Now())
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusNotFound {
		t.Errorf("answered %d", w.Code)
	}
}
