package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// certificateRounds is how often the certificate is replaced.
const certificateRounds = 20

// TestCertificatesChangeUnderLoad replaces certificate and key of a server that
// eight clients ask all the time, by renaming files into place and by writing
// into those that are there, so that for a moment they do not belong together.
// No request fails, and connections that are open stay open.
func TestCertificatesChangeUnderLoad(t *testing.T) {
	dir := t.TempDir()
	pairs := developPairs(t, dir)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	pairs.putByRename(t, 0, cert, key)
	server := startServer(t, filepath.Join(dir, "data"), "--tls-cert", cert, "--tls-key", key)
	trusting, err := client.New(server.client.Address(), client.WithToken(server.token), client.WithTenant("default"), client.WithRootCAs(pairs.roots))
	if err != nil {
		t.Fatal(err)
	}
	write(t, trusting, "base", "a", `{"b":1}`)

	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var askers []*asker
	for i := range 8 {
		a := newAsker(server, pairs.roots, i%2 == 0, i%4 < 2)
		askers = append(askers, a)
		running.Go(func() { a.run(ctx, t) })
	}
	for round := range certificateRounds {
		if n := round + 1; round%2 == 0 {
			pairs.putByRename(t, n, cert, key)
		} else {
			pairs.putByWriting(t, n, cert, key)
		}
		want := pairs.serials[(round+1)%len(pairs.serials)]
		until(t, func() bool { return shownSerial(t, server, developed{roots: pairs.roots}) == want })
		for _, a := range askers { // each has asked again since, twice
			before := a.asked.Load()
			until(t, func() bool { return a.asked.Load() > before+1 })
		}
	}
	cancel()
	running.Wait()
	for i, a := range askers {
		t.Logf("client %d, HTTP/%d, connections kept: %t: %d requests over %d connections", i, a.version, a.kept, a.asked.Load(), a.made.Load())
		if a.failed.Load() > 0 {
			t.Errorf("client %d: %d of %d requests failed", i, a.failed.Load(), a.asked.Load())
		}
		if a.kept && a.made.Load() != 1 {
			t.Errorf("client %d made %d connections, though it keeps them", i, a.made.Load())
		}
	}
}

// keyPairs are certificates of two authorities in turn, with their keys.
type keyPairs struct {
	roots   *x509.CertPool // both authorities
	certs   [][]byte
	keys    [][]byte
	serials []string
}

func developPairs(t *testing.T, dir string) *keyPairs {
	t.Helper()
	p := &keyPairs{roots: x509.NewCertPool()}
	for i := range 4 {
		made := developCertificates(t, filepath.Join(dir, fmt.Sprintf("authority-%d", i%2)))
		p.roots.AppendCertsFromPEM(contents(t, made.Authority.Certificate))
		certText, keyText := contents(t, made.Server.Certificate), contents(t, made.Server.Key)
		pair, err := tls.X509KeyPair(certText, keyText)
		if err != nil {
			t.Fatal(err)
		}
		p.certs, p.keys, p.serials = append(p.certs, certText), append(p.keys, keyText), append(p.serials, pair.Leaf.SerialNumber.String())
	}
	return p
}

func contents(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// putByRename replaces each of the files at once, and one after the other.
func (p *keyPairs) putByRename(t *testing.T, n int, cert, key string) {
	t.Helper()
	n %= len(p.certs)
	for file, text := range map[string][]byte{cert: p.certs[n], key: p.keys[n]} {
		next := file + ".next"
		if err := errors.Join(os.WriteFile(next, text, 0o600), os.Rename(next, file)); err != nil {
			t.Fatal(err)
		}
	}
}

// putByWriting writes into the files, so that half of one can be read.
func (p *keyPairs) putByWriting(t *testing.T, n int, cert, key string) {
	t.Helper()
	n %= len(p.certs)
	for file, text := range map[string][]byte{cert: p.certs[n], key: p.keys[n]} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An asker reads a document all the time.
type asker struct {
	client  *http.Client
	url     string
	token   string
	kept    bool // its connection, from request to request
	version int  // of HTTP

	asked, failed, made atomic.Int64 // made are connections
}

func newAsker(server *runningServer, roots *x509.CertPool, kept, http2 bool) *asker {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	a := &asker{
		url: server.client.Address() + api.Build(api.RouteConfig, "default", "base", "a"), token: server.token, kept: kept, version: 1,
		client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: &protocols, DisableKeepAlives: !kept && !http2,
		}},
	}
	if http2 {
		a.version = 2
	}
	return a
}

func (a *asker) run(ctx context.Context, t *testing.T) {
	defer a.client.CloseIdleConnections()
	for ctx.Err() == nil {
		if err := a.ask(context.WithoutCancel(ctx)); err != nil {
			a.failed.Add(1)
			t.Error(err)
		}
		a.asked.Add(1)
		if !a.kept {
			a.client.CloseIdleConnections()
		}
	}
}

func (a *asker) ask(ctx context.Context) error {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		if !c.Reused {
			a.made.Add(1)
		}
	}})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(body) != `{"b":1}` || answer.ProtoMajor != a.version) {
		err = fmt.Errorf("answered %s %s: %s", answer.Proto, answer.Status, body)
	}
	return err
}
