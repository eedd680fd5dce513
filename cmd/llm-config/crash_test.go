package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// crashRounds is how often the server is killed: 50 times in a soak.
func crashRounds() int {
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		return 50
	}
	return 5
}

const crashWriters = 16

// counter is the document that each writer keeps counting in, twice: both
// copies are written by one change.
type counter struct {
	N int `json:"n"`
}

// TestKilledServerKeepsItsWord kills the server with SIGKILL at random moments
// of a write load. Whatever it acknowledged must be there when it comes back,
// nothing may be there by half, and the chain of records must hold.
func TestKilledServerKeepsItsWord(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	acknowledged := make([]int, crashWriters) // writer → the last count that the server acknowledged
	for round := range crashRounds() {
		server := startServer(t, data)
		verifyCounters(t, server.client, round, acknowledged)
		writeUntilKilled(t, server, acknowledged)
		verifyChains(t, data)
	}
	server := startServer(t, data)
	verifyCounters(t, server.client, crashRounds(), acknowledged)
	verifyLog(t, server.client)
}

// withoutRaceWait is this process's environment for one that ends at once.
func withoutRaceWait() []string {
	name, value := noRaceWait()
	return append(os.Environ(), name+"="+value)
}

type runningServer struct {
	cmd    *exec.Cmd
	client *client.Client
	token  string
}

// startServer starts a development server as a process of its own, on an
// address of its choice unless the flags say another.
func startServer(t *testing.T, data string, flags ...string) *runningServer {
	t.Helper()
	args := append([]string{"serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error"}, flags...)
	c := exec.CommandContext(t.Context(), "llm-config", args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Env = withoutRaceWait()
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	greeting := make([]byte, 4096)
	var said string
	for !strings.Contains(said, "LLM_CONFIG_ENV") {
		n, err := out.Read(greeting)
		said += string(greeting[:n])
		if err != nil {
			t.Fatalf("the server ended: %v\n%s\n%s", err, said, &log)
		}
	}
	exports := map[string]string{}
	for line := range strings.Lines(said) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		exports[name] = value
	}
	// One attempt: a write that is tried again would blur what was acknowledged.
	cl, err := client.New(exports["LLM_CONFIG_ADDR"], client.WithToken(exports["LLM_CONFIG_TOKEN"]),
		client.WithTenant(exports["LLM_CONFIG_TENANT"]), client.WithRetry(client.Retry{Attempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	return &runningServer{c, cl, exports["LLM_CONFIG_TOKEN"]}
}

// writeUntilKilled lets every writer count, and kills the server after a random
// number of acknowledged changes.
func writeUntilKilled(t *testing.T, server *runningServer, acknowledged []int) {
	t.Helper()
	acks := make(chan struct{})
	var writers sync.WaitGroup
	for w := range crashWriters {
		writers.Go(func() {
			for n := acknowledged[w] + 1; ; n++ {
				if err := count(t.Context(), server.client, w, n); err != nil {
					return // the server is gone; whether n landed is open
				}
				acknowledged[w] = n
				acks <- struct{}{}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for left := 50 + rand.IntN(400); ; left-- {
		select {
		case <-acks:
		case <-done:
			_ = server.cmd.Wait()
			return
		}
		if left == 0 {
			if err := server.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
}

func count(ctx context.Context, c *client.Client, writer, n int) error {
	body, err := json.Marshal(counter{n})
	if err != nil {
		return err
	}
	_, err = c.PostChange(ctx, api.Change{Edits: []api.Edit{
		{Op: api.OpPut, Environment: "base", Path: fmt.Sprintf("left/writer-%d", writer), Document: body},
		{Op: api.OpPut, Environment: "production", Path: fmt.Sprintf("right/writer-%d", writer), Document: body},
	}})
	return err
}

// verifyCounters reads what every writer wrote: at least what was acknowledged,
// at most the one change that was under way, and the same in both places.
func verifyCounters(t *testing.T, c *client.Client, round int, acknowledged []int) {
	t.Helper()
	for w := range acknowledged {
		left, right := readCounter(t, c, "base", "left", w), readCounter(t, c, "production", "right", w)
		if left != right {
			t.Errorf("round %d, writer %d: half a change: %d and %d", round, w, left, right)
		}
		if left < acknowledged[w] || left > acknowledged[w]+1 {
			t.Errorf("round %d, writer %d: %d is there, %d was acknowledged", round, w, left, acknowledged[w])
		}
		acknowledged[w] = left
	}
}

func readCounter(t *testing.T, c *client.Client, environment, side string, writer int) int {
	t.Helper()
	doc, err := c.Config(t.Context(), environment, fmt.Sprintf("%s/writer-%d", side, writer), client.Read{})
	if err != nil {
		if errors.Is(err, client.ErrNotFound) {
			return 0
		}
		t.Fatal(err)
	}
	var value counter
	if err := json.Unmarshal(doc.Data, &value); err != nil {
		t.Fatal(err)
	}
	return value.N
}

// verifyLog walks the whole log: every revision once, newest first, times never
// going back.
func verifyLog(t *testing.T, c *client.Client) {
	t.Helper()
	next, last := int64(0), time.Time{}
	for entry, err := range c.AllChanges(t.Context(), client.Page{Limit: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		if next != 0 && entry.Revision != next {
			t.Fatalf("revision %d stands where %d belongs", entry.Revision, next)
		}
		if !last.IsZero() && entry.Time.After(last) {
			t.Fatalf("revision %d is of a later time than the one after it", entry.Revision)
		}
		next, last = entry.Revision-1, entry.Time
	}
	if next != 0 {
		t.Fatalf("the log ends above revision %d", next)
	}
}

// verifyChains opens the store as the killed server left it and checks the
// records of the tenant and of the server.
func verifyChains(t *testing.T, data string) {
	t.Helper()
	ctx := t.Context()
	s, err := sqlite.Open(ctx, data, sqlite.Options{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	tenant, err := s.TenantNamed(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	for _, chain := range []config.TenantID{{}, tenant.ID} {
		var head audit.Head
		for {
			links, err := s.Audit(ctx, chain, head.Sequence, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if len(links) == 0 {
				break
			}
			if head, err = audit.Verify(head, each(links)); err != nil {
				t.Fatal(err)
			}
		}
		if head.Sequence == 0 {
			t.Error("a chain is empty")
		}
	}
}

// each goes through links that were read already.
func each(links []audit.Link) iter.Seq2[audit.Link, error] {
	return func(yield func(audit.Link, error) bool) {
		for _, link := range links {
			if !yield(link, nil) {
				return
			}
		}
	}
}
