package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// live says that the process answers.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, api.Health{Status: "ok"}, config.JSON)
}

// probeAge is how long the answer of the store is believed. Anybody may ask
// whether the server is ready, and must not make it write each time.
const probeAge = time.Second

// probed is what the store last answered.
type probed struct {
	mu   sync.Mutex // held while the store is asked
	when time.Time
	err  error
}

// probe asks the store whether it works, once for all who ask within a second.
func (s *Server) probe(ctx context.Context) error {
	s.probed.mu.Lock()
	defer s.probed.mu.Unlock()
	if now := time.Now(); s.probed.when.IsZero() || now.Sub(s.probed.when) >= probeAge {
		s.probed.err = s.service.Ping(context.WithoutCancel(ctx))
		s.probed.when = now
	}
	return s.probed.err
}

// readiness says whether requests will be served: the store answers, the
// keyring is open, and the server is not about to end.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	health := api.Health{Status: "ok", Checks: map[string]string{"store": "ok"}}
	if err := s.probe(r.Context()); err != nil {
		s.logger.ErrorContext(r.Context(), "the store does not answer", "error", telemetry.Causes(err))
		health.Status, health.Checks["store"] = "failing", "it does not answer"
	}
	if s.ready != nil {
		if err := s.ready(); err != nil {
			health.Status, health.Checks["server"] = "failing", err.Error()
		}
	}
	select {
	case <-s.stopping:
		health.Status = "stopping"
	default:
	}
	buffer := &bufferedWriter{ResponseWriter: w, header: http.Header{"Content-Type": jsonHeader}, status: http.StatusOK}
	if err := writeJSON(buffer, health); err != nil {
		s.fail(w, r, err)
		return
	}
	if health.Status != "ok" {
		w.Header()["Content-Type"] = jsonHeader
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write(buffer.body.Bytes())
		return
	}
	s.finish(w, r, buffer)
}
