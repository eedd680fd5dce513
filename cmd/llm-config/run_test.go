package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start starts the command line in a process of its own.
func start(t *testing.T, w *wire, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "llm-config", args...)
	c.Env = []string{
		"PATH=/usr/bin:/bin", "LLM_CONFIG_ADDR=" + w.url, "LLM_CONFIG_TOKEN=x",
		"LLM_CONFIG_TENANT=acme", "LLM_CONFIG_ENV=staging", "OWN=caller",
	}
	name, value := noRaceWait()
	c.Env = append(c.Env, name+"="+value)
	r, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.(*os.File).SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(r)
}

// ends reads what a command still prints and returns its exit code, 128+n when
// signal n ended it.
func ends(t *testing.T, c *exec.Cmd, r io.Reader) (code int, printed string) {
	t.Helper()
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Wait()
	if context.Cause(t.Context()) != nil {
		t.Fatal("the test ended first")
	}
	return exitCode(c, err), string(rest)
}

// expect reads lines up to one that says this.
func expect(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	var before strings.Builder
	for {
		line, err := r.ReadString('\n')
		if strings.TrimSpace(line) == want {
			return
		}
		if before.WriteString(line); err != nil {
			t.Fatalf("%q did not come; before the end (%v) came\n%s", want, err, &before)
		}
	}
}

func TestRunExitCodes(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":600}`)
	w.set(layerKey{"staging", "steering"}, `{"path":"/evil"}`)
	notProgram := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(notProgram, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, restart := range []bool{false, true} {
		for _, c := range []struct {
			name    string
			args    []string
			code    int
			printed string
		}{
			{"variables", []string{"gateway/limits", "--", "sh", "-c", "echo $RPM $OWN; exit 7"}, 7, "600 caller\n"},
			{"a signal", []string{"gateway/limits", "--", "sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
			{"no such command", []string{"gateway/limits", "--", "no-such-command"}, exitNoCommand, "llm-config: cannot run the command"},
			{"no program", []string{"gateway/limits", "--", notProgram}, exitCannotRun, "llm-config: cannot run the command"},
			{"no document", []string{"nothing", "--", "true"}, exitFailed, "llm-config: not there"},
			{"a steering name", []string{"steering", "--", "true"}, exitFailed, "llm-config: these documents cannot become"},
			{"a steering name, allowed, the caller's own stays", []string{"steering", "--allow-env", "PATH", "--", "sh", "-c", "echo $PATH"}, 0, "/usr/bin:/bin\n"},
			{"no dashes", []string{"gateway/limits", "true"}, exitFailed, "llm-config: the command is missing"},
			{"no command", []string{"gateway/limits", "--"}, exitFailed, "llm-config: nothing is behind --"},
			{"no path", []string{"--", "true"}, exitFailed, "llm-config: PATH is missing"},
		} {
			args := append([]string{"run"}, c.args...)
			if restart {
				args = append([]string{"run", "--restart-on-change"}, c.args...)
			}
			command, r := start(t, w, args...)
			code, printed := ends(t, command, r)
			if code != c.code || !strings.HasPrefix(printed, c.printed) {
				t.Errorf("%s (restart %v): exit code %d and %q, want %d and %q", c.name, restart, code, printed, c.code, c.printed)
			}
		}
	}
}

func TestRunForwardsSignals(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":600}`)
	for _, restart := range []string{"--restart-on-change=false", "--restart-on-change=true"} {
		for name, signal := range map[string]syscall.Signal{
			"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
			"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH,
		} {
			script := `trap 'echo got; exit 5' ` + name + `; echo ready; while :; do sleep 0.01; done`
			c, r := start(t, w, "run", restart, limits.path, "--", "sh", "-c", script)
			expect(t, r, "ready")
			if err := c.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			expect(t, r, "got")
			if code, printed := ends(t, c, r); code != 5 {
				t.Errorf("%s, %s: exit code %d, then %q", restart, name, code, printed)
			}
		}
	}
}

func TestRunRestartsOnChange(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":1}`)
	c, r := start(t, w, "run", "--restart-on-change", limits.path, "--", "sh", "-c",
		`trap 'echo ending $RPM; exit 0' TERM; echo running $RPM; while :; do sleep 0.01; done`)
	expect(t, r, "running 1")

	w.set(limits, `{"rpm":2}`)
	expect(t, r, "llm-config: the variables changed; starting sh anew")
	expect(t, r, "ending 1")
	expect(t, r, "running 2")

	w.set(limits, `{"list":[]}`) // cannot become variables
	expect(t, r, "llm-config: these documents cannot become environment variables; --json gives each document as one variable; sh goes on as it is")
	expect(t, r, "gateway/limits#/list: an array has no form as a variable")
	w.set(layerKey{"staging", "other"}, `{"rpm":3}`) // does not concern us
	w.set(limits, `{"rpm":2}`)                       // as it was
	w.set(limits, `{"rpm":4}`)
	expect(t, r, "ending 2")
	expect(t, r, "running 4")

	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, printed := ends(t, c, r); code != 0 || !strings.HasSuffix(printed, "ending 4\n") {
		t.Errorf("exit code %d, then %q", code, printed)
	}
}

// A restart too many would show between the answers to a signal.
func TestRunRestartsOnlyWhenVariablesChange(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":1}`)
	c, r := start(t, w, "run", "--restart-on-change", limits.path, "--", "sh", "-c",
		`trap 'echo still $RPM' USR1; trap 'echo ending; exit 0' TERM; echo running; while :; do sleep 0.01; done`)
	expect(t, r, "running")
	undisturbed := func(what string) {
		for range 10 {
			if err := c.Process.Signal(syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			for line := ""; line != "still 1\n"; {
				var err error
				if line, err = r.ReadString('\n'); err != nil || line != "still 1\n" && !strings.HasPrefix(line, "User defined signal") {
					t.Fatalf("after %s: %q (%v)", what, line, err)
				}
			}
		}
	}
	before := w.reads.Load()
	w.set(limits, `{"rpm":1,"nothing":{}}`)
	for w.reads.Load() == before {
		runtime.Gosched()
	}
	undisturbed("a change that leaves the variables as they were")
	w.set(layerKey{"staging", "other"}, `{"rpm":2}`)
	undisturbed("a change of another document")
	if after := w.reads.Load(); after != before+1 {
		t.Errorf("documents were read %d times, want once", after-before)
	}
	w.set(limits, `{"rpm":3}`)
	expect(t, r, "ending")
}

func TestRunEndsWhenToldToWhileItRestarts(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":1}`)
	c, r := start(t, w, "run", "--restart-on-change", limits.path, "--", "sh", "-c",
		`trap 'echo told' TERM; trap 'echo ending; exit 4' USR1; echo running $RPM; while :; do sleep 0.01; done`)
	expect(t, r, "running 1")
	w.set(limits, `{"rpm":2}`)
	expect(t, r, "told")
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1} {
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		expect(t, r, map[syscall.Signal]string{syscall.SIGTERM: "told", syscall.SIGUSR1: "ending"}[signal])
	}
	if code, printed := ends(t, c, r); code != 4 {
		t.Errorf("exit code %d, then %q", code, printed)
	}
}

func TestRunKillsWhatDoesNotEnd(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":1}`)
	c, r := start(t, w, "run", "--restart-on-change", "--grace", "50ms", limits.path, "--", "sh", "-c",
		`if [ $RPM = 2 ]; then echo second; exit 6; fi; trap '' TERM; echo running; while :; do sleep 0.01; done`)
	expect(t, r, "running")
	w.set(limits, `{"rpm":2}`)
	expect(t, r, "second")
	if code, printed := ends(t, c, r); code != 6 {
		t.Errorf("exit code %d, then %q", code, printed)
	}
}

// A helper that the command left behind would hold its port, or its lock.
func TestRunEndsTheWholeGroupBeforeItRestarts(t *testing.T) {
	w := newWire(t)
	w.set(limits, `{"rpm":1}`)
	c, r := start(t, w, "run", "--restart-on-change", limits.path, "--", "sh", "-c",
		`if [ $RPM = 2 ]; then exit 0; fi
		(trap '' TERM; while :; do sleep 0.01; done) & echo running; wait`)
	expect(t, r, "running")
	w.set(limits, `{"rpm":2}`)
	// What is left behind holds standard output open, so this would not end.
	if code, printed := ends(t, c, r); code != 0 {
		t.Errorf("exit code %d, then %q", code, printed)
	}
}

func TestRunRestartsWhenASecretChanges(t *testing.T) {
	w := newWire(t)
	w.secrets["${secret:openai}"] = "first"
	w.set(limits, `{"key":"${secret:openai}","rpm":1}`)
	folder := filepath.Join(t.TempDir(), "secrets")
	for _, way := range [][]string{nil, {"--secrets-dir", folder}} {
		w.rotate("${secret:openai}", "first")
		args := append([]string{"run", "--restart-on-change"}, way...)
		c, r := start(t, w, append(args, limits.path, "--", "sh", "-c",
			`trap 'exit 0' TERM; echo "running <$KEY> $(cat $KEY_FILE)"; while :; do sleep 0.01; done`)...)
		expect(t, r, "running <> first")
		w.rotate("${secret:openai}", "second")
		expect(t, r, "llm-config: the variables changed; starting sh anew")
		expect(t, r, "running <> second")
		w.rotate("${secret:other}", "x") // does not concern us
		w.rotate("${secret:openai}", "third")
		expect(t, r, "running <> third")
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code, printed := ends(t, c, r); code != 0 || strings.Contains(printed, "third") {
			t.Errorf("exit code %d, then %q", code, printed)
		}
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of secrets is left: %v", err)
	}
}
