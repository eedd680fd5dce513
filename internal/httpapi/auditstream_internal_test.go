package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// downloads serves a download over connections in memory, so that it works where
// time is a test's own, and answers a client of it.
func downloads(t *testing.T, http2 bool, write func(io.Writer) error) (client *http.Client, ended <-chan error) {
	t.Helper()
	s := &Server{pace: defaultPace}
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	listener := pipes{make(chan net.Conn), make(chan struct{})}
	errs := make(chan error, 1)
	server := &http.Server{
		Protocols: &protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
			out := s.newDownload(w)
			err := write(out.compressedFor(r))
			errs <- err
			s.finishDownload(w, r, out, err)
		}),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	transport := &http.Transport{Protocols: &protocols, DialContext: listener.dial, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
	return &http.Client{Transport: transport}, errs
}

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- ours:
		return theirs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func fetch(t *testing.T, client *http.Client) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server.test/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

var chunk = []byte(strings.Repeat("x", chunkBytes))

func protocolsOf(t *testing.T, test func(t *testing.T, http2 bool)) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, http2) })
		})
	}
}

// What is made slowly is not given up: only a reader has a time for what it takes.
func TestDownloadMayPause(t *testing.T) {
	protocolsOf(t, func(t *testing.T, http2 bool) {
		client, _ := downloads(t, http2, func(w io.Writer) error {
			for range 3 {
				<-time.After(time.Hour)
				if _, err := w.Write(chunk); err != nil {
					return err
				}
			}
			return nil
		})
		response := fetch(t, client)
		body, err := io.ReadAll(response.Body)
		if err != nil || len(body) != 3*len(chunk) || response.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d bytes, %v, %v", len(body), err, response.Header)
		}
	})
}

// A reader that takes nothing is left after a while.
func TestDownloadToADeafReader(t *testing.T) {
	protocolsOf(t, func(t *testing.T, http2 bool) {
		began := time.Now()
		client, ended := downloads(t, http2, func(w io.Writer) error {
			for {
				if _, err := w.Write(chunk); err != nil {
					return err
				}
			}
		})
		fetch(t, client)
		if err := <-ended; !errors.Is(err, errGone) {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took < defaultPace.patience || took > 2*defaultPace.patience {
			t.Errorf("it ended after %s", took)
		}
	})
}

// What fails before anything was sent is answered by a problem; after that the
// answer is cut off.
func TestDownloadFails(t *testing.T) {
	refusal := config.Errorf(config.KindUnavailable, "the archive is away")
	protocolsOf(t, func(t *testing.T, http2 bool) {
		for _, before := range []int{0, 100, 3 * chunkBytes} {
			client, _ := downloads(t, http2, func(w io.Writer) error {
				if _, err := w.Write(make([]byte, before)); err != nil {
					return err
				}
				return refusal
			})
			response := fetch(t, client)
			body, err := io.ReadAll(response.Body)
			if before < chunkBytes {
				if err != nil || response.StatusCode != api.CodeUnavailable.Status() || response.Header.Get("Content-Type") != api.ProblemType || !strings.Contains(string(body), "the archive is away") {
					t.Errorf("after %d bytes: %d %v %s %v", before, response.StatusCode, response.Header, body, err)
				}
			} else if err == nil || response.StatusCode != http.StatusOK {
				t.Errorf("after %d bytes: %d, and %d bytes as if it were whole", before, response.StatusCode, len(body))
			}
		}
	})
}
