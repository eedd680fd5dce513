package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"time"
)

// renewBefore is how long before a client's certificate ends its connection is
// wound up: longer than an idle one is kept, so that whoever has a new
// certificate by then comes back with it and never meets a refusal.
const renewBefore = 5 * time.Minute

var closing = []string{"close"}

// StillTrusted judges connections that outlive what they were let in with. Who
// came with a certificate that has ended since, or with one of an authority that
// is no longer listed, is refused and has to come anew.
func (t *TLS) StillTrusted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			m := t.current.Load()
			if err := m.judge(r.TLS, t.clock()); err != nil {
				w.Header()["Connection"] = closing
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			if soon := t.clock().Add(renewBefore); len(r.TLS.VerifiedChains) > 0 && m.judge(r.TLS, soon) != nil {
				w.Header()["Connection"] = closing
			}
		}
		next.ServeHTTP(w, r)
	})
}

// judge says whether a handshake would let this client in at a moment.
func (m *material) judge(state *tls.ConnectionState, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		if m.required {
			return errors.New("this connection was made without a client certificate, and one is required by now; connect anew with one")
		}
		return nil
	}
	for _, chain := range state.VerifiedChains {
		if m.lists(chain[len(chain)-1]) && lasts(chain, now) {
			return nil
		}
	}
	return errors.New("the client certificate that this connection was made with has ended, or its authority is no longer accepted; connect anew with another")
}

func (m *material) lists(root *x509.Certificate) bool {
	for _, authority := range m.authorities {
		if authority == root || bytes.Equal(authority.Raw, root.Raw) {
			return true
		}
	}
	return false
}

func lasts(chain []*x509.Certificate, now time.Time) bool {
	for _, certificate := range chain {
		if now.After(certificate.NotAfter) {
			return false
		}
	}
	return true
}

// OnlyTrusted refuses plain HTTP from off loopback, unless one of the proxies
// brings it. They are asked for at each request, so that they can be reloaded.
func OnlyTrusted(proxies func() []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && !fromLoopbackOr(proxies(), r.RemoteAddr) {
			w.Header()["Connection"] = closing
			http.Error(w, "plain HTTP is taken from this machine and from trusted proxies only; use https, or see --trusted-proxy", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromLoopbackOr says whether a peer may speak plain HTTP.
func fromLoopbackOr(proxies []netip.Prefix, remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	address := peer.Addr().Unmap()
	if address.IsLoopback() {
		return true
	}
	for _, proxy := range proxies {
		if proxy.Contains(address) {
			return true
		}
	}
	return false
}
