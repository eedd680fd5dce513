package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

var testKey = []byte("whsec_" + base64.StdEncoding.EncodeToString([]byte("a signing key of thirty-two byte")))

// receiver is a TLS server on loopback.
func receiver(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// caller trusts the receiver's certificate and may call the hosts of a list; it
// waits hardly at all between attempts.
func caller(t *testing.T, s *httptest.Server, allowed ...string) *Caller {
	t.Helper()
	c := New(Options{Allowed: func() []string { return allowed }, Transport: trusting(s)})
	c.wait = time.Millisecond
	return c
}

// trusting lends TLS settings; the dialer that httptest would add is not to be used.
func trusting(s *httptest.Server) *http.Transport {
	roots := x509.NewCertPool()
	if s.Certificate() != nil {
		roots.AddCert(s.Certificate())
	}
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

func request(url string) Request {
	return Request{URL: url, Key: testKey, ID: "msg_1", Type: "secret.rotate", Body: map[string]any{"path": "llm/key"}}
}

// refuse checks that an error names all that it must, in its message or next step.
func refuse(t *testing.T, err error, kind config.Kind, says ...string) {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a refusal, got %v", err)
	}
	if e.Kind != kind {
		t.Errorf("want %s, got %s: %s", kind, e.Kind, e.Message)
	}
	for _, text := range says {
		if !strings.Contains(e.Message+"; "+e.Next, text) {
			t.Errorf("%q; %q does not say %q", e.Message, e.Next, text)
		}
	}
	if e.Next == "" {
		t.Errorf("%q names no next step", e.Message)
	}
}

// names answers every question for an IPv4 address with what it has, over UDP as
// a real server does, so that nothing between resolver and dialer is replaced.
func names(t *testing.T, answers func() netip.Addr) *net.Resolver {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { socket.Close(); <-done })
	go func() {
		defer close(done)
		packet := make([]byte, 512)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			_, _ = socket.WriteToUDPAddrPort(dnsAnswer(packet[:n], answers()), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", socket.LocalAddr().String())
	}}
}

// dnsAnswer answers the one question of a query.
func dnsAnswer(query []byte, address netip.Addr) []byte {
	end := 12
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	question := query[12 : end+5]
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if kind == 1 && address.Is4() || kind == 28 && address.Is6() {
		answer[7] = 1
		raw := address.AsSlice()
		answer = append(answer, 0xC0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
		answer = append(answer, raw...)
	}
	return answer
}

func drain(t *testing.T, r *http.Request) []byte {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return body
}
