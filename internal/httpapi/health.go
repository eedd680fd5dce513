package httpapi

import (
	"net/http"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// live says that the process answers.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, api.Health{Status: "ok"}, config.JSON)
}

// readiness says whether requests will be served: the store answers, the
// keyring is open, and the server is not about to end.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	health := api.Health{Status: "ok", Checks: map[string]string{"store": "ok"}}
	if err := s.service.Ping(r.Context()); err != nil {
		s.logger.ErrorContext(r.Context(), "the store does not answer", "error", causes(err))
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
