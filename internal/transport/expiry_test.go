package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func (w *world) scraped(t *testing.T) string {
	t.Helper()
	out := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(out, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return out.Body.String()
}

func TestTheEndOfCertificatesIsWatched(t *testing.T) {
	w := newWorld(t)
	later := func(after time.Duration) string {
		t.Helper()
		w.advance(after)
		w.tls.CheckExpiry()
		return w.logged()
	}
	end := w.tls.current.Load().chain[0].NotAfter
	if line := `certificate_expires_timestamp_seconds{certificate="server"} ` + strconv.FormatFloat(float64(end.Unix()), 'g', -1, 64); !strings.Contains(w.scraped(t), line) {
		t.Errorf("there is no line %s", line)
	}
	w.logged()
	if text := later(end.Sub(w.clock()) - warnBefore - time.Minute); text != "" {
		t.Errorf("15 days before: %s", text)
	}
	if text := later(time.Minute); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "certificate=server") || !strings.Contains(text, end.UTC().Format(time.RFC3339)) {
		t.Errorf("14 days before: %s", text)
	}
	if text := later(warnBefore); !strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
		t.Errorf("at the end: %s", text)
	}

	// A load looks at once, at authorities too.
	authority := newAuthority(t)
	w.advance(authority.Certificate.NotAfter.Sub(w.clock()) - 20*24*time.Hour)
	w.ask(t, ClientAuthRequired, authority)
	if text := w.logged(); strings.Contains(text, "certificate=client-ca") || !strings.Contains(text, "level=ERROR") {
		t.Errorf("20 days before, with a server's certificate that has ended: %s", text)
	}
	if text := later(10 * 24 * time.Hour); !strings.Contains(text, "certificate=client-ca") || !strings.Contains(text, "level=WARN") {
		t.Errorf("an authority before its end: %s", text)
	}
	if !strings.Contains(w.scraped(t), `certificate_expires_timestamp_seconds{certificate="client-ca"}`) {
		t.Error("the metrics do not name the authorities")
	}
	w.files.ClientAuth = ClientAuthNone
	w.load(t, w.files)
	if strings.Contains(w.scraped(t), "client-ca") {
		t.Error("the metrics name authorities that are not in force")
	}
}

func TestEveryHour(t *testing.T) {
	w := newWorld(t)
	w.advance(80 * 24 * time.Hour)
	w.logged()
	ctx, cancel := context.WithCancel(t.Context())
	tick, done := make(chan time.Time), make(chan struct{})
	go func() { defer close(done); w.tls.watchExpiry(ctx, tick) }()
	tick <- time.Time{}
	tick <- time.Time{}
	cancel()
	<-done
	if text := w.logged(); strings.Count(text, "level=WARN") != 2 {
		t.Errorf("after two hours it has logged %q", text)
	}
}
