package service

import "net/netip"

// Failures is how often authentication failed within this minute for who comes
// from where an address is.
func (s *Service) Failures(source netip.Addr) int64 { return s.failures.Count(source) }
