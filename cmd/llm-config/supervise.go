package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// forwarded are the signals that reach the command as they reached us.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
}

// ending are those after which the command is not started again.
var ending = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT}

// reloadAfter is how long to wait before reading again what could not be read.
const reloadAfter = 5 * time.Second

// supervise keeps the command running on the newest variables until it ends by
// itself or is told to.
func (r *running) supervise(ctx context.Context, set []variable, revision int64) (err error) {
	if r.folder != nil {
		defer func() {
			if left := r.folder.remove(); left != nil {
				r.app.say(nil, "values of secrets are left in %s: %v", r.folder.name, left)
			}
		}()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	signals := make(chan os.Signal, len(forwarded))
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)

	c, err := r.start(set)
	if err != nil {
		return r.app.cannotRun(err)
	}
	changed := r.follow(ctx, revision)
	var kill <-chan time.Time // set while the command is being ended for a restart
	last := false             // the command is not to be started again
	for {
		select {
		case next := <-changed:
			if slices.Equal(next, set) {
				continue
			}
			set = next
			if kill == nil {
				r.app.say(nil, "the variables changed; starting %s anew", r.command[0])
				c.signal(syscall.SIGTERM)
				kill = time.After(r.grace)
			}
		case <-kill:
			c.signal(syscall.SIGKILL)
		case s := <-signals:
			last = last || slices.Contains(ending, s)
			c.signal(s.(syscall.Signal)) //nolint:forcetypeassert // all of forwarded are
		case code := <-c.ended:
			if kill == nil || last {
				return exitStatus(code)
			}
			kill = nil
			c.signal(syscall.SIGKILL) // what it left behind would be in the next one's way
			if c, err = r.start(set); err != nil {
				return r.app.cannotRun(err)
			}
		}
	}
}

// child is the command while it runs, in a process group of its own.
type child struct {
	group int
	ended chan int // its exit code
}

// firstExtraFile is the number that a command has the first of exec.Cmd's
// ExtraFiles as.
const firstExtraFile = 3

func (r *running) start(set []variable) (*child, error) {
	d, err := r.deliver(set, func(i int, _ *os.File) int { return firstExtraFile + i })
	if err != nil {
		return nil, err
	}
	defer d.close()
	c := exec.Command(r.file, r.command[1:]...) //nolint:gosec,noctx // to run what the user gives is the purpose, and signals end it
	c.Args[0] = r.command[0]
	c.Env = r.environ(d.set)
	c.ExtraFiles = d.files
	c.Stdin, c.Stdout, c.Stderr = r.app.childStdin(), r.app.stdout, r.app.stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	running := &child{group: c.Process.Pid, ended: make(chan int, 1)}
	go func() {
		err := c.Wait()
		running.ended <- exitCode(c, err)
	}()
	return running, nil
}

// childStdin is empty instead of a terminal: a process group in the background
// is stopped when it reads from one.
func (a *app) childStdin() io.Reader {
	if isTerminal(a.stdin) {
		return nil
	}
	return a.stdin
}

// signal signals the whole group. One that is gone needs no signal.
func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(-c.group, s) }

// exitCode is the command's, or 128+n when signal n ended it.
func exitCode(c *exec.Cmd, err error) int {
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if code := c.ProcessState.ExitCode(); code != 0 || err == nil {
		return code
	}
	return exitFailed
}

// follow sends the variables of each new state of the documents. A state that
// cannot be read or used is reported and left out.
func (r *running) follow(ctx context.Context, after int64) <-chan []variable {
	changed := make(chan []variable)
	moved := make(chan int64, 1) // the newest revision that concerns us
	go r.watch(ctx, after, moved)
	go func() {
		var least int64
		var again <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case least = <-moved:
			case <-again:
			}
			again = nil
			set, _, err := r.load(ctx, least)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				f := asFailure(err)
				r.app.say(f.details, "%v; %s goes on as it is", f, r.command[0])
				if !isPermanent(err) {
					again = time.After(reloadAfter)
				}
				continue
			}
			select {
			case changed <- set:
			case <-ctx.Done():
				return
			}
		}
	}()
	return changed
}

// watch tells the newest revision at which one of the documents changed.
func (r *running) watch(ctx context.Context, after int64, moved chan int64) {
	told := false
	for event, err := range r.from.Watch(ctx, r.scope.environment, client.WatchQuery{After: after}) {
		if err != nil {
			if ctx.Err() == nil && !told && !errors.Is(err, context.Canceled) {
				r.app.say(nil, "%v; %s goes on with what it has", asFailure(err), r.command[0])
			}
			told = true
			continue
		}
		told = false
		if !r.concerns(event) {
			continue
		}
		select {
		case <-moved:
		default:
		}
		moved <- event.Revision
	}
}

func (r *running) concerns(event client.Event) bool {
	return event.Reset != nil || event.Change != nil && slices.ContainsFunc(event.Change.Changes, func(c api.WatchChange) bool {
		return slices.Contains(r.paths, c.Path)
	})
}
