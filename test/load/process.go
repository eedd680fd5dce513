package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server that this tool started.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	log     string
}

// start runs a command that will listen on the address, and waits until it does.
func start(ctx context.Context, name, address, log string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: name, address: address, log: log, cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = patience
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if w, err := dial(ctx, address); err == nil {
			a, err := w.do([]byte("GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
			w.close()
			if err == nil && a.status == 200 {
				return p, nil
			}
		}
	}
	p.stop()
	said, _ := os.ReadFile(log)
	return nil, fmt.Errorf("%s is not ready after %s; it said:\n%s", name, patience, said)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	_ = p.cmd.Wait()
}

// cpu is the time that the process has spent computing, in user and system.
func (p *process) cpu() (time.Duration, error) {
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux that Go runs on
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc/…/stat has too few fields")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(err1, err2)
}

// An arena holds the folder of a measurement and the server in it.
type arena struct {
	dir    string
	server *process
	token  string
	bares  int
}

func newArena(ctx context.Context, o options) (*arena, error) {
	dir, err := os.MkdirTemp("", "llm-config-load-")
	if err != nil {
		return nil, err
	}
	a := &arena{dir: dir}
	limit := "none" // what is measured is the server, not its limits
	if o.limited {
		limit = "1000000000" // one that is never reached
	}
	a.server, a.token, err = a.serve(ctx, o.server, "server", filepath.Join(dir, "server.log"), "--rate-limit", limit, "--tenant-connections", "none", "--tenant-watchers", "100000")
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// serve starts a server with a folder and a log of its own, and answers the token
// of who may do everything there.
func (a *arena) serve(ctx context.Context, binary, name, log string, flags ...string) (*process, string, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, "", err
	}
	data := filepath.Join(a.dir, name)
	args := append([]string{binary, "serve", "--dev", "--data", data, "--listen", address}, flags...)
	p, err := start(ctx, "the server", address, log, args...)
	if err != nil {
		return nil, "", err
	}
	token, err := os.ReadFile(filepath.Join(data, "dev-token"))
	if err != nil {
		p.stop()
		return nil, "", err
	}
	return p, strings.TrimSpace(string(token)), nil
}

// startBare runs this program once more, as a handler that answers what is in
// the file.
func (a *arena) startBare(ctx context.Context, kind, recorded string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a.bares++
	return start(ctx, "the bare handler", address, filepath.Join(a.dir, fmt.Sprintf("bare-%d.log", a.bares)),
		self, "bare", address, kind, recorded)
}

func (a *arena) close() {
	if a.server != nil {
		a.server.stop()
	}
	if err := os.RemoveAll(a.dir); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
	}
}

// freeAddress is an address on loopback that nobody listened on a moment ago.
func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
