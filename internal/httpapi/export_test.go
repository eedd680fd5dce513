package httpapi

import "time"

// SetPace makes watches faster than anybody would want them, for tests.
func (s *Server) SetPace(tick, comment, patience time.Duration) {
	s.pace = pace{tick: tick, comment: comment, patience: patience, retry: s.pace.retry}
}
