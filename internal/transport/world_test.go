package transport

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport/devca"
)

// world is a server with a real chain on a real socket, and a clock of its own.
type world struct {
	tls       *TLS
	files     Files
	authority *devca.Authority // of the server
	metrics   *telemetry.Metrics
	address   string

	mu  sync.Mutex
	now time.Time
	log bytes.Buffer
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Write takes the log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.log.String()
	w.log.Reset()
	return text
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Now(), metrics: telemetry.NewMetrics(nil), authority: newAuthority(t)}
	w.files = filesOf(w.server(t))
	w.tls = NewTLS(TLSOptions{Logger: slog.New(slog.NewTextHandler(w, nil)), Metrics: w.metrics, Clock: w.clock})
	w.load(t, w.files)
	return w
}

func newAuthority(t *testing.T) *devca.Authority {
	t.Helper()
	return issue(devca.Open(t.TempDir(), time.Now()))(t)
}

func issue[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// server makes another certificate for the server, in the same files.
func (w *world) server(t *testing.T) *devca.Issued {
	t.Helper()
	return issue(w.authority.Server([]string{"127.0.0.1", "localhost"}, 90))(t)
}

func filesOf(issued *devca.Issued) Files { return Files{Cert: issued.CertFile, Key: issued.KeyFile} }

func (w *world) load(t *testing.T, files Files) {
	t.Helper()
	if err := w.tls.Load(files); err != nil {
		t.Fatal(err)
	}
}

// ask has handshakes ask for certificates of these authorities.
func (w *world) ask(t *testing.T, mode string, authorities ...*devca.Authority) {
	t.Helper()
	var text []byte
	for _, a := range authorities {
		text = append(text, issue(os.ReadFile(a.Issued().CertFile))(t)...)
	}
	w.files.ClientAuth, w.files.ClientCA = mode, filepath.Join(t.TempDir(), "clients.crt")
	if err := os.WriteFile(w.files.ClientCA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.load(t, w.files)
}

// serve serves until the test ends.
func (w *world) serve(t *testing.T, handler http.Handler) {
	t.Helper()
	listener := issue(net.Listen("tcp", "127.0.0.1:0"))(t)
	w.address = listener.Addr().String()
	server := NewServer(ServerOptions{Handler: handler, Logger: slog.New(slog.DiscardHandler)})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(tls.NewListener(listener, w.tls.Config()))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// trusting is what a client that trusts the server's authority begins with.
func (w *world) trusting(identity *devca.Issued) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(w.authority.Certificate)
	c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if identity != nil {
		pair, err := tls.LoadX509KeyPair(identity.CertFile, identity.KeyFile)
		if err != nil {
			panic(err)
		}
		// Shown whatever the server says that it takes, as somebody would who tries.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// client is an HTTP client with connections of its own.
func (w *world) client(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: !slices.Contains(config.NextProtos, "http/1.1")}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// get asks once and answers the status, with the header in the answer; 0 when
// the connection did not come about.
func (w *world) get(t *testing.T, c *http.Client) (int, *http.Response) {
	t.Helper()
	answer, err := c.Get("https://" + w.address + "/")
	if err != nil {
		// Where the server's word comes after the client has gone on writing, only the broken connection is seen.
		broken := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "conn could not be established")
		if !broken && !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("not refused by the handshake: %v", err)
		}
		return 0, nil
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer
}

func want(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: answered %d, and expected %d", what, got, want)
	}
}

var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
