package main

import (
	"crypto/tls"
	"net/netip"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/internal/settings"
)

// certificate is the server's, which can be replaced while it serves.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func (c *certificate) load(certFile, keyFile string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return failf("the certificate cannot be used: %v", err).hint("check --tls-cert and --tls-key: PEM files that belong together")
	}
	c.current.Store(&pair)
	return nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// fromLoopbackOrProxy says whether a peer may speak plain HTTP.
func fromLoopbackOrProxy(remote string, s *settings.Settings) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	address := peer.Addr().Unmap()
	if address.IsLoopback() {
		return true
	}
	for _, proxy := range s.TrustedProxies {
		if proxy.Contains(address) {
			return true
		}
	}
	return false
}
