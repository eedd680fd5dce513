package httpapi_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/httpapi"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// aMinuteLater lets each request find the limits as if it were the first.
func aMinuteLater(o *httpapi.Options) {
	var minutes atomic.Int64
	began := time.Now()
	withLimits(httpapi.Limits{})(o)
	o.Clock = func() time.Time { return began.Add(time.Duration(minutes.Add(1)) * time.Minute) }
}

// BenchmarkReadConfig measures what the server adds to net/http for the read of
// an effective document that is in memory: token, guard, counts, log line.
func BenchmarkReadConfig(b *testing.B) {
	w := newWorld(b, func(o *httpapi.Options) { o.Logger = telemetry.NewLogger(io.Discard, slog.LevelInfo, telemetry.JSON) }, aMinuteLater)
	t := w.newTenant(b)
	t.put(b, "base", "gateway/limits", `{"requests_per_minute":600,"model":"gpt-5","notes":"for the autumn"}`)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, t.path(api.RouteConfig, "production", "gateway/limits"), http.NoBody)
	r.Header.Set("Authorization", "Bearer "+t.token)
	out := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(out.header)
		w.server.ServeHTTP(out, r)
	}
	if out.header.Get("ETag") == "" {
		b.Error("it was not answered")
	}
}

// BenchmarkRevealSecret measures the read of a secret's value with its durable
// record of access; how many share one write to disk depends on -cpu.
func BenchmarkRevealSecret(b *testing.B) {
	w := newWorld(b, func(o *httpapi.Options) { o.Logger = telemetry.NewLogger(io.Discard, slog.LevelInfo, telemetry.JSON) }, aMinuteLater)
	t := w.newTenant(b)
	t.setSecret(b, "base", "providers/openai", strong)
	target := t.path(api.RouteSecret, "production", "providers/openai") + "?reveal=true"
	b.ReportAllocs()
	b.SetParallelism(32) // readers for each processor
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, target, http.NoBody)
		r.Header.Set("Authorization", "Bearer "+t.token)
		out := &discard{http.Header{}}
		asked := false
		for pb.Next() {
			clear(out.header)
			w.server.ServeHTTP(out, r)
			asked = true
		}
		if asked && out.header.Get("Cache-Control") != "no-store" {
			b.Error("it was not answered")
		}
	})
}
