package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// TestStartIsRefused lists what a server does not start with, and what it says.
func TestStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "master.key")
	if err := seal.CreateFileKey(key); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(dir, "short.key")
	if err := os.WriteFile(short, []byte("llm-config-master-key-v1:c2hvcnQ=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open.key")
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, text, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no master key":               {nil, "master-key-file"},
		"a key that is not there":     {[]string{"--master-key-file", filepath.Join(dir, "none.key")}, "none.key"},
		"a short key":                 {[]string{"--master-key-file", short}, "short.key"},
		"a key that others can read":  {[]string{"--master-key-file", open}, "chmod 600"},
		"plain HTTP to everybody":     {[]string{"--master-key-file", key, "--listen", "0.0.0.0:0"}, "tls-cert"},
		"half a certificate":          {[]string{"--master-key-file", key, "--tls-cert", "tls.crt"}, "tls-key"},
		"two master keys":             {[]string{"--master-key-file", key, "--master-key", "file:" + key}, "both given"},
		"a keeper that is none":       {[]string{"--master-key", "carrier-pigeon:hunter2"}, "carrier-pigeon"},
		"a previous key not there":    {[]string{"--master-key-file", key, "--previous-master-keys", "file:none.key"}, "entry 1"},
		"a webhook host that is none": {[]string{"--master-key-file", key, "--webhook-hosts", "https://a.test/"}, "webhook-hosts"},
		"a flag that is none":         {[]string{"--master-kay", key}, "unknown flag"},
		"development off loopback":    {[]string{"--dev", "--listen", "0.0.0.0:0"}, "loopback"},
	} {
		t.Run(name, func(t *testing.T) {
			says := refused(t, append([]string{"--data", filepath.Join(t.TempDir(), "data")}, test.args...)...)
			if !strings.Contains(says, test.says) {
				t.Errorf("it says %q, which does not name %q", says, test.says)
			}
		})
	}
}

// refused runs a server that must not start and answers what it said.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	var said bytes.Buffer
	c := exec.CommandContext(t.Context(), "llm-config", append([]string{"serve"}, args...)...)
	c.Env = withoutRaceWait()
	c.Stderr = &said
	var exit *exec.ExitError
	if err := c.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("it must end with code 1, not %v:\n%s", err, &said)
	}
	return said.String()
}

// TestWrongMasterKeyStopsTheStart opens data with another key than it was sealed under.
func TestWrongMasterKeyStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	data, other := filepath.Join(dir, "data"), filepath.Join(dir, "other.key")
	server := startServer(t, data)
	write(t, server.client, "base", "a", `{"b":1}`)
	stop(t, server)
	if err := seal.CreateFileKey(other); err != nil {
		t.Fatal(err)
	}
	if says := refused(t, "--dev", "--data", data, "--master-key-file", other, "--listen", "127.0.0.1:0"); !strings.Contains(says, "master key") {
		t.Errorf("it says %q, which does not name the master key", says)
	}
	server = startServer(t, data)
	if doc, err := server.client.Config(t.Context(), "base", "a", client.Read{}); err != nil || string(doc.Data) != `{"b":1}` {
		t.Errorf("with the right key: %v", err)
	}
}

// stop ends a server as an operator does; it must leave with code 0.
func stop(t *testing.T, server *runningServer) {
	t.Helper()
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := server.cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestSettingsReload changes the settings file: once the server has it on
// SIGHUP, once it sees the change by itself.
func TestSettingsReload(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "settings.yaml")
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("max-document: 1MiB\n")
	server := startServer(t, filepath.Join(dir, "data"), "--settings", file)
	document := []byte(`{"text":"` + strings.Repeat("x", 4096) + `"}`)
	put := func() error {
		_, err := server.client.PutLayer(t.Context(), "base", "large", document, client.Write{})
		return err
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	configure("max-document: 2KiB\n")
	if err := server.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return put() != nil })
	problem := (*api.Problem)(nil)
	if err := put(); !errors.As(err, &problem) || problem.Limit != 2048 {
		t.Errorf("after SIGHUP: %v", err)
	}
	configure("max-document: nonsense\n")
	configure("max-document: 1MiB\n")
	until(t, func() bool { return put() == nil })
}

// until asks again and again, for half a minute at most.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about within half a minute")
		}
	}
}

// TestShutdownTellsWatchers ends a server that is watched: the stream says when
// to come back and where it was, and the request that runs is finished.
func TestShutdownTellsWatchers(t *testing.T) {
	server := startServer(t, filepath.Join(t.TempDir(), "data"))
	revision := write(t, server.client, "base", "a", `{"b":1}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		server.client.Address()+api.Build(api.RouteWatch, "default", "base"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+server.token)
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	begin := make([]byte, 16)
	if _, err := io.ReadFull(answer.Body, begin); err != nil {
		t.Fatal(err)
	}
	stop(t, server)
	rest, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(begin) + string(rest)
	if revision != 2 || !strings.Contains(text, "retry: ") || !strings.HasSuffix(text, "id: 2\ndata:\n\n") {
		t.Errorf("the stream ended with %q", text)
	}
}

// TestTLS serves with a certificate of its own, and speaks nothing below TLS 1.3.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := makeCertificate(t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	server := startServer(t, filepath.Join(dir, "data"), "--tls-cert", filepath.Join(dir, "tls.crt"), "--tls-key", filepath.Join(dir, "tls.key"))
	if !strings.HasPrefix(server.client.Address(), "https://") {
		t.Fatalf("it is served at %s", server.client.Address())
	}
	trusting, err := client.New(server.client.Address(), client.WithToken(server.token), client.WithRootCAs(roots))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trusting.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := server.client.Identity(t.Context()); err == nil {
		t.Error("a client that does not know the certificate must not be served")
	}
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}}
	if c, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(server.client.Address(), "https://")); err == nil {
		_ = c.Close()
		t.Error("TLS 1.2 must be refused")
	}
}

func makeCertificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return roots
}
