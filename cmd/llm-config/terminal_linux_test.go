package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what a terminal shows.
type screen struct {
	terminal *os.File

	mu    sync.Mutex
	shown bytes.Buffer
	moved chan struct{} // closed, and replaced, when more is shown
}

// atTerminal starts the command line at a terminal of its own.
func atTerminal(t *testing.T, url string, args ...string) (*exec.Cmd, *screen) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("this test needs pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	fd := int(terminal.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	side, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	name, value := noRaceWait()
	c := exec.CommandContext(t.Context(), "llm-config", args...)
	c.Env = []string{
		"LLM_CONFIG_ADDR=" + url, "LLM_CONFIG_TOKEN=x", "LLM_CONFIG_TENANT=acme", "LLM_CONFIG_ENV=staging", "TERM=dumb", name + "=" + value,
	}
	c.Stdin, c.Stdout, c.Stderr = side, side, side
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	s := &screen{terminal: terminal, moved: make(chan struct{})}
	go s.read()
	return c, s
}

func (s *screen) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.terminal.Read(buffer)
		s.mu.Lock()
		s.shown.Write(buffer[:n])
		close(s.moved)
		s.moved = make(chan struct{})
		s.mu.Unlock()
		if err != nil { // nobody is at the other side any more
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// expect waits until something is shown.
func (s *screen) expect(t *testing.T, text string) {
	t.Helper()
	for limit := time.After(time.Minute); ; {
		s.mu.Lock()
		found, moved := strings.Contains(s.shown.String(), text), s.moved
		s.mu.Unlock()
		if found {
			return
		}
		select {
		case <-moved:
		case <-limit:
			t.Fatalf("%q did not come; the terminal shows\n%s", text, s.text())
		}
	}
}

func (s *screen) enter(t *testing.T, line string) {
	t.Helper()
	// The key is a carriage return, which a terminal in its usual mode makes a newline.
	if _, err := fmt.Fprint(s.terminal, line+"\r"); err != nil {
		t.Fatal(err)
	}
}

func TestTerminalShowsNoValueThatIsTyped(t *testing.T) {
	w := newSecretsWire(t)
	c, s := atTerminal(t, w.url, "secret", "set", "openai")
	s.expect(t, "Value of value:")
	s.enter(t, canary)
	s.expect(t, "The same again:")
	s.enter(t, canary)
	s.expect(t, "staging:openai is version 1")
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.text(), canary) {
		t.Errorf("the terminal shows what was typed:\n%s", s.text())
	}
	if got := string(w.put().Fields["value"]); got != `"`+canary+`"` {
		t.Errorf("written was %s", got)
	}
}

func TestTerminalRefusesTwoDifferentValues(t *testing.T) {
	w := newSecretsWire(t)
	c, s := atTerminal(t, w.url, "secret", "set", "openai", "--field", "key")
	s.expect(t, "Value of key:")
	s.enter(t, canary)
	s.expect(t, "The same again:")
	s.enter(t, canary+"x")
	s.expect(t, "the two differ, so nothing was written; try again")
	if err := c.Wait(); c.ProcessState.ExitCode() != exitFailed || strings.Contains(s.text(), canary) || w.put() != nil {
		t.Errorf("%v, written %v\n%s", err, w.put() != nil, s.text())
	}
}

func TestTerminalMasksUnlessReveal(t *testing.T) {
	w := newSecretsWire(t)
	for _, c := range []struct {
		args  []string
		code  int
		shown bool
		want  string
	}{
		{[]string{"openai"}, 0, false, mask},
		{[]string{"openai#value"}, 0, false, mask},
		{[]string{"openai", "-o", "table"}, 0, false, mask},
		{[]string{"openai", "-o", "json"}, 0, false, `"current": 1`},
		{[]string{"openai", "-o", "value"}, exitFailed, false, "give --reveal to show it here"},
		{[]string{"openai", "--reveal"}, 0, true, "staging:openai version 1 (active)"},
		{[]string{"openai", "--reveal", "-o", "value"}, 0, true, ""},
		{[]string{"openai", "--reveal", "-o", "json"}, 0, true, `"fields"`},
	} {
		command, s := atTerminal(t, w.url, append([]string{"secret", "get"}, c.args...)...)
		err := command.Wait()
		if code := command.ProcessState.ExitCode(); code != c.code {
			t.Errorf("%q: exit code %d, %v", c.args, code, err)
		}
		if c.shown {
			s.expect(t, canary)
		}
		s.expect(t, c.want)
		if !c.shown && strings.Contains(s.text(), canary) {
			t.Errorf("%q shows the value\n%s", c.args, s.text())
		}
	}
	if w.revealed.Load() != 3 {
		t.Errorf("the values left the server %d times, want 3", w.revealed.Load())
	}
}

func TestTerminalAsksBeforeWhatCannotBeUndone(t *testing.T) {
	w := newSecretsWire(t)
	c, s := atTerminal(t, w.url, "secret", "revoke", "openai")
	s.expect(t, "Revoke the version of staging:openai that is in grace, for ever? [y/N]")
	s.enter(t, "")
	if err := c.Wait(); c.ProcessState.ExitCode() != exitFailed {
		t.Errorf("after no: %v", err)
	}
	c, s = atTerminal(t, w.url, "secret", "destroy", "openai", "--all")
	s.expect(t, "Make every version of staging:openai unreadable for ever? [y/N]")
	s.enter(t, "y")
	if err := c.Wait(); err != nil {
		t.Errorf("after yes: %v\n%s", err, s.text())
	}
	if got := w.calls(http.MethodPost); len(got) != 1 || !strings.Contains(got[0], "secret-destroy") {
		t.Errorf("calls: %q", got)
	}
}

func TestTerminalIsLeftByCtrlC(t *testing.T) {
	w := newSecretsWire(t)
	c, s := atTerminal(t, w.url, "secret", "set", "openai")
	s.expect(t, "Value of value:")
	s.enter(t, canary+"\x03")
	s.expect(t, "no value was given, so nothing was written")
	if err := c.Wait(); c.ProcessState.ExitCode() != exitFailed || strings.Contains(s.text(), canary) || w.put() != nil {
		t.Errorf("%v\n%s", err, s.text())
	}
}
