package httpapi

import (
	"context"
	"net/http"
	"time"
)

// SetPace makes watches faster than anybody would want them, for tests.
func (s *Server) SetPace(tick, comment, patience time.Duration) {
	s.pace = pace{tick: tick, comment: comment, patience: patience, retry: s.pace.retry}
}

// Handle adds a route, for tests of what each request passes.
func (s *Server) Handle(method, pattern string, handler http.HandlerFunc) {
	s.handle(method, pattern, authenticated, handler)
}

// BodyOf is the body of a request as it was read, and what its idempotency key
// is kept with.
func BodyOf(ctx context.Context) (body, fingerprint []byte) {
	state := stateOf(ctx)
	return state.body, state.caller.Idempotency.Request
}
