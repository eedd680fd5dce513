package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/transport/devca"
)

// TestClientCertificate shows a certificate to a server that wants one, and takes
// up the one that takes its place in the same files.
func TestClientCertificate(t *testing.T) {
	authority, err := devca.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var shown *x509.Certificate
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.TLS.PeerCertificates[0]
		w.Header().Set("Content-Type", api.TypeJSON)
		w.Header().Set("Connection", "close")
		fmt.Fprint(w, `{"version":"1"}`)
	}))
	accepted := x509.NewCertPool()
	accepted.AddCert(authority.Certificate)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: accepted}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	_, err = must(New(server.URL, WithRootCAs(roots), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "certificate required", "LLM_CONFIG_CLIENT_CERT", "WithClientCertificate")

	first, err := authority.Client("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	c := must(New(server.URL, WithRootCAs(roots), WithClientCertificate(first.CertFile, first.KeyFile), WithRetry(Retry{Attempts: 1})))
	if _, err := c.Version(t.Context()); err != nil || !shown.Equal(first.Certificate) {
		t.Fatalf("with a certificate: %v", err)
	}
	second, err := authority.Client("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context()); err != nil || !shown.Equal(second.Certificate) {
		t.Errorf("with the next certificate: %v", err)
	}

	other, err := devca.Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := other.Client("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = must(New(server.URL, WithRootCAs(roots), WithClientCertificate(stranger.CertFile, stranger.KeyFile), WithRetry(Retry{Attempts: 1}))).Version(t.Context())
	wantError(t, err, "refuses the handshake")
}
