// Command llm-config is the server of LLM-Config-Manager and the command line
// that talks to it. Each group of verbs has a file of its own and knows nothing
// but package client: whatever the command line can do, a program can do too.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	a := &app{
		stdin:       os.Stdin,
		stdout:      os.Stdout,
		stderr:      os.Stderr,
		getenv:      os.Getenv,
		environ:     os.Environ,
		interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr),
		pause:       pause,
	}
	os.Exit(a.execute(context.Background(), os.Args[1:]))
}

// app is the process's surroundings, which every verb takes from here and
// nowhere else.
type app struct {
	stdin       io.Reader
	stdout      io.Writer
	stderr      io.Writer
	getenv      func(string) string
	environ     func() []string
	interactive bool // a person can be asked
	pause       func(context.Context, time.Duration) error
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// execute runs one command line and returns the code to exit with.
func (a *app) execute(ctx context.Context, args []string) int {
	root := newRootCommand(a)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return flagError(c, args, err) })
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	c, err := root.ExecuteContextC(ctx)
	return a.report(addressed(c, err))
}
