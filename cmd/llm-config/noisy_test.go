package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// neighbour is a tenant beside others on one server.
type neighbour struct {
	name, token, address string
	http                 *http.Client
}

func newNeighbour(t *testing.T, server *runningServer, name string) *neighbour {
	t.Helper()
	founded, err := server.client.CreateTenant(t.Context(), api.NewTenant{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.client.Address(), client.WithToken(founded.Token.Value), client.WithTenant(name))
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, "base", "a", `{"b":1}`)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &neighbour{name, founded.Token.Value, server.client.Address(), &http.Client{Transport: transport, Timeout: time.Minute}}
}

// read reads a document, and says how long that took.
func (n *neighbour) read(ctx context.Context) (status int, header http.Header, took time.Duration, err error) {
	begin := time.Now()
	status, header, err = ask(ctx, n.http, n.address+api.Build(api.RouteConfig, n.name, "base", "a"), n.token)
	return status, header, time.Since(begin), err
}

func ask(ctx context.Context, c *http.Client, url, token string) (status int, header http.Header, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header, errors.Join(err, answer.Body.Close())
}

// noise is what a tenant was answered that asks all the time.
type noise struct {
	mu       sync.Mutex
	statuses map[int]int
	hasty    int // refusals that do not say when to come back
}

func (n *noise) make(ctx context.Context, t *testing.T, noisy *neighbour) {
	for ctx.Err() == nil {
		status, header, _, err := noisy.read(context.WithoutCancel(ctx))
		if err != nil {
			t.Error(err)
			return
		}
		n.mu.Lock()
		n.statuses[status]++
		if status != http.StatusOK && header.Get("Retry-After") == "" {
			n.hasty++
		}
		n.mu.Unlock()
	}
}

// TestNoisyTenant has one tenant ask as fast as eight connections can, far above
// its limit, and another read now and then, with and without that beside it. The
// noisy one is refused; the quiet one never is, and is about as fast as alone. How
// fast exactly is measured by `make load LOAD=noisy`, which nothing runs beside.
func TestNoisyTenant(t *testing.T) {
	server := startServer(t, filepath.Join(t.TempDir(), "data"), "--rate-limit", "1000")
	noisy, quiet := newNeighbour(t, server, "noisy"), newNeighbour(t, server, "quiet")
	heard := noise{statuses: map[int]int{}}
	began := time.Now()
	var alone, beside []time.Duration
	for range 5 {
		alone = append(alone, readQuietly(t, quiet)...)
		ctx, cancel := context.WithCancel(t.Context())
		var making sync.WaitGroup
		for range 8 {
			making.Go(func() { heard.make(ctx, t, noisy) })
		}
		beside = append(beside, readQuietly(t, quiet)...)
		cancel()
		making.Wait()
	}
	for range 1500 { // also where the machine made little noise
		status, _, _, _ := noisy.read(t.Context())
		heard.statuses[status]++
	}
	took := time.Since(began)
	t.Logf("the noisy one was answered %v; the quiet one read in %s alone, in %s beside it (medians)", heard.statuses, middle(alone), middle(beside))
	if most := 1000 + int(1000*took.Minutes()) + 1; heard.statuses[http.StatusOK] > most || heard.statuses[http.StatusTooManyRequests] == 0 || len(heard.statuses) != 2 {
		t.Errorf("the noisy tenant may make %d requests in %s, and was answered %v", most, took, heard.statuses)
	}
	if heard.hasty > 0 {
		t.Errorf("%d refusals do not say when to come back", heard.hasty)
	}
	if bound := 10*middle(alone) + 20*time.Millisecond; middle(beside) > bound {
		t.Errorf("beside the noisy tenant a read takes %s (median), and %s without it", middle(beside), middle(alone))
	}
}

// readQuietly reads as much as leaves a tenant within its limit.
func readQuietly(t *testing.T, quiet *neighbour) (all []time.Duration) {
	t.Helper()
	for range 60 {
		status, _, took, err := quiet.read(t.Context())
		if err != nil || status != http.StatusOK {
			t.Fatalf("the quiet tenant is answered %d, %v", status, err)
		}
		all = append(all, took)
	}
	return all
}

func middle(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[len(all)/2] }

// TestFullServerIsReachedByItsAdmins fills all places for requests with bodies
// that never arrive, as two tenants that each take all they may. Others are told
// to come back, while probes and whoever manages the server are answered at once.
func TestFullServerIsReachedByItsAdmins(t *testing.T) {
	server := startServer(t, filepath.Join(t.TempDir(), "data"), "--max-in-flight", "16")
	slow, slower, other := newNeighbour(t, server, "slow"), newNeighbour(t, server, "slower"), newNeighbour(t, server, "other")
	held := append(holdPlaces(t, slow, 8), holdPlaces(t, slower, 8)...)
	full := func() bool {
		status, header, _, err := other.read(t.Context())
		return err == nil && status == http.StatusServiceUnavailable && header.Get("Retry-After") != ""
	}
	if !full() {
		t.Fatal("there is still room")
	}

	c := &http.Client{Timeout: time.Minute}
	defer c.CloseIdleConnections()
	for _, path := range []string{api.RouteLive, api.RouteReady, api.RouteStartup, api.RouteTenants, api.Build(api.RouteQuota, slow.name)} {
		var took []time.Duration
		for range 20 {
			begin := time.Now()
			if status, _, err := ask(t.Context(), c, server.client.Address()+path, server.token); err != nil || status != http.StatusOK {
				t.Fatalf("while the server is full, %s is answered %d, %v", path, status, err)
			}
			took = append(took, time.Since(begin))
		}
		if middle(took) > 100*time.Millisecond {
			t.Errorf("while the server is full, %s takes %s (median)", path, middle(took))
		}
	}
	if !full() {
		t.Error("the server is no longer full, so that nothing was tested")
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	until(t, func() bool {
		status, _, _, err := other.read(t.Context())
		return err == nil && status == http.StatusOK
	})
}

// holdPlaces begins so many writes, and sends nothing of their bodies once the
// server asks for them, which it does when they have their places.
func holdPlaces(t *testing.T, n *neighbour, places int) (held []net.Conn) {
	t.Helper()
	for range places {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(n.address, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: config.test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
			api.Build(api.RouteLayer, n.name, "base", "b"), n.token); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("a write is answered %q, %v", line, err)
		}
		held = append(held, conn)
	}
	return held
}
