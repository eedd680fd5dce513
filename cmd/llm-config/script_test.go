package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// TestMain makes this test binary the command line too, for the transcripts
// and for tests that need a process of their own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"llm-config": main})
}

// noRaceWait is a variable that spares processes built with the race detector
// the second that it would wait at their end.
func noRaceWait() (name, value string) { return "GORACE", "atexit_sleep_ms=0" }

// TestTranscripts runs the sessions in testdata against a server. Each has a
// tenant of its own, whose administrator's token it begins with; $SERVER_TOKEN
// is that of the server's.
func TestTranscripts(t *testing.T) {
	address, token := serve(t)
	admin, err := client.New(address, client.WithToken(token))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			tenant := strings.TrimPrefix(filepath.Base(e.WorkDir), "script-")
			founded, err := admin.CreateTenant(t.Context(), api.NewTenant{Name: tenant})
			if err != nil {
				return err
			}
			e.Setenv(envAddr, address)
			e.Setenv(envTenant, tenant)
			e.Setenv(envToken, founded.Token.Value)
			e.Setenv("SERVER_TOKEN", token)
			e.Setenv(noRaceWait())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a command that must end with the exit code given first.
func exits(s *testscript.TestScript, negated bool, args []string) {
	if negated || len(args) < 2 {
		s.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	s.Check(err)
	code := 0
	var ended *exec.ExitError
	if err := s.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		s.Check(err)
	}
	if code != want {
		s.Fatalf("exit code %d, want %d", code, want)
	}
}

// serve starts a development server and waits until it says where it is.
func serve(t *testing.T) (address, token string) {
	t.Helper()
	data := t.TempDir()
	c := exec.CommandContext(t.Context(), "llm-config", "serve", "--dev", "--data", data, "--listen", "127.0.0.1:0")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	var log bytes.Buffer
	c.Stderr = &log
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); address == "" && lines.Scan(); {
		address, _ = strings.CutPrefix(lines.Text(), "export LLM_CONFIG_ADDR=")
		if address == lines.Text() {
			address = ""
		}
	}
	if address == "" {
		_ = c.Wait()
		t.Fatalf("the server ended without saying where it is:\n%s", &log)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	text, err := os.ReadFile(filepath.Join(data, "dev-token"))
	if err != nil {
		t.Fatal(err)
	}
	return address, strings.TrimSpace(string(text))
}
