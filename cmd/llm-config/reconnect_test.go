package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

const (
	manyWatchers = 1000 // as many as a tenant may have
	backWithin   = 20 * time.Second
)

// TestWatchersComeBackAtOnce cuts as many watches as a tenant may have, all at
// once, and has all of them come back in the same moment: once because the
// network broke, and once because the server was killed. All are let in at the
// first try, and are told of what changes next.
func TestWatchersComeBackAtOnce(t *testing.T) {
	data, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
	start := func() *runningServer {
		return startServer(t, data, "--listen", address, "--rate-limit", "1000", "--tenant-watchers", fmt.Sprint(manyWatchers))
	}
	server := start()
	write(t, server.client, "base", "a", `{"n":0}`)
	watches := openWatchesAtOnce(t, server)
	watches.hearOf(t, write(t, server.client, "base", "a", `{"n":1}`))

	watches.cut()
	watches = openWatchesAtOnce(t, server)
	watches.hearOf(t, write(t, server.client, "base", "a", `{"n":2}`))

	if err := server.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = server.cmd.Wait()
	watches.cut()
	server = start()
	watches = openWatchesAtOnce(t, server)
	watches.hearOf(t, write(t, server.client, "base", "a", `{"n":3}`))
	watches.cut()
}

// openWatch is a watch that was let in.
type openWatch struct {
	conn   net.Conn
	answer *http.Response
	events *bufio.Scanner
}

type openWatches []*openWatch

// openWatchesAtOnce asks for all watches in the same moment.
func openWatchesAtOnce(t *testing.T, server *runningServer) openWatches {
	t.Helper()
	all, errs := make(openWatches, manyWatchers), make([]error, manyWatchers)
	ctx, cancel := context.WithTimeout(t.Context(), backWithin)
	defer cancel()
	begin := time.Now()
	var coming sync.WaitGroup
	for i := range all {
		coming.Go(func() { all[i], errs[i] = openOneWatch(ctx, server) })
	}
	coming.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			if refused++; refused <= 3 {
				t.Error(err)
			}
		}
	}
	if refused > 0 {
		t.Fatalf("%d of %d watches were not let in", refused, manyWatchers)
	}
	t.Logf("all are back after %s", time.Since(begin).Round(time.Millisecond))
	return all
}

func openOneWatch(ctx context.Context, server *runningServer) (*openWatch, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(server.client.Address(), "http://"))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: config.test\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n",
		api.Build(api.RouteWatch, "default", "base"), server.token); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(answer.Body)
		return nil, fmt.Errorf("a watch is answered %s: %s", answer.Status, said)
	}
	return &openWatch{conn, answer, bufio.NewScanner(answer.Body)}, conn.SetDeadline(time.Now().Add(time.Minute))
}

// cut ends all connections without a word.
func (all openWatches) cut() {
	for _, w := range all {
		if tcp, ok := w.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = w.conn.Close()
	}
}

// hearOf waits until each watch was told of a revision.
func (all openWatches) hearOf(t *testing.T, revision int64) {
	t.Helper()
	want := "id: " + number(revision)
	for i, w := range all {
		for w.events.Scan() && w.events.Text() != want { //nolint:revive // it is the condition that does it
		}
		if w.events.Text() != want {
			t.Fatalf("watch %d was not told of revision %d: %v", i, revision, w.events.Err())
		}
	}
}
