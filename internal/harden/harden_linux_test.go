package harden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What the child, which is this test binary, is asked to do.
const (
	envChild = "HARDEN_TEST_CHILD"
	envLimit = "HARDEN_TEST_LIMIT" // of locked memory, in bytes; without CAP_IPC_LOCK
)

func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// state is what the child finds out about itself after Process.
type state struct {
	Report   Report
	Line     string
	Dumpable int
	Core     unix.Rlimit
	Locked   int // VmLck, kB
	Held     int // bytes allocated afterwards
}

func child() error {
	runtime.LockOSThread() // capabilities are those of a thread
	if text := os.Getenv(envLimit); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
		if err := dropLock(); err != nil {
			return err
		}
	}
	s := state{Report: Process()}
	s.Line = s.Report.String()
	held := bytes.Repeat([]byte{1}, 64<<20) // must work under any limit
	s.Held = len(held)
	var err error
	if s.Dumpable, err = unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &s.Core); err != nil {
		return err
	}
	if s.Locked, err = lockedMemory(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}
	_, err = os.Stdin.Read(make([]byte, 1)) // until the parent has looked
	if held[0] != 1 || err != nil && err.Error() != "EOF" {
		return err
	}
	return nil
}

// dropLock gives up CAP_IPC_LOCK on this thread, which is the one that asks.
func dropLock() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	data[0].Permitted &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&header, &data[0])
}

func lockedMemory() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`VmLck:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0, fmt.Errorf("the status has no VmLck")
	}
	return strconv.Atoi(string(found[1]))
}

// harden starts a child and answers what it says; look runs while it lives.
func harden(t *testing.T, look func(pid int), env ...string) state {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), append(env, envChild+"=1")...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var s state
	err = json.NewDecoder(out).Decode(&s)
	if err == nil && look != nil {
		look(command.Process.Pid)
	}
	in.Close()
	if waited := command.Wait(); err != nil || waited != nil {
		t.Fatal(err, waited)
	}
	return s
}

func TestProcess(t *testing.T) {
	s := harden(t, func(pid int) {
		// The files of a process that is not dumpable belong to root, so that
		// nobody else opens them.
		var stat unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", pid), &stat); err != nil || stat.Uid != 0 {
			t.Errorf("its memory belongs to user %d, %v", stat.Uid, err)
		}
		if os.Getuid() == 0 {
			return
		}
		if f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid)); err == nil {
			f.Close()
			t.Error("its memory can be opened")
		}
	})
	if !s.Report.CoreDumpsOff || s.Core != (unix.Rlimit{}) {
		t.Errorf("core dumps: %+v, %+v", s.Report, s.Core)
	}
	if !s.Report.NotDumpable || s.Dumpable != 0 {
		t.Errorf("dumpable: %+v, %d", s.Report, s.Dumpable)
	}
	if s.Report.MemoryLocked != (s.Locked > 64<<10) {
		t.Errorf("locked: %+v, %d kB", s.Report, s.Locked)
	}
	if !s.Report.MemoryLocked && !strings.Contains(s.Line, arenaOnly) {
		t.Errorf("the report says nothing of the memory: %s", s.Line)
	}
}

// Under a limit the memory must not be locked: the next allocation would fail.
func TestProcessUnderALimit(t *testing.T) {
	s := harden(t, nil, envLimit+"=1048576", "GOMAXPROCS=1")
	if s.Report.MemoryLocked || s.Locked > 0 || s.Held != 64<<20 || !strings.Contains(s.Line, "CAP_IPC_LOCK") {
		t.Errorf("%+v", s)
	}
}

// Without a limit it is locked as a whole. Where the limit cannot be lifted, the
// report says that it was not.
func TestProcessWithoutALimit(t *testing.T) {
	if !mayLockAll() {
		if s := harden(t, nil); s.Report.MemoryLocked || !strings.Contains(s.Line, "CAP_IPC_LOCK") {
			t.Errorf("%+v", s)
		}
		return
	}
	s := harden(t, nil)
	if !s.Report.MemoryLocked || s.Locked < 64<<10 || len(s.Report.Notes) > 0 {
		t.Errorf("%+v", s)
	}
}
