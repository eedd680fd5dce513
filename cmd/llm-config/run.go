package main

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Exit codes of `run` where the command did not start, as shells have them.
const (
	exitCannotRun = 126
	exitNoCommand = 127
)

func newRunCommand(a *app) *cobra.Command {
	c := a.command("run PATH… -- COMMAND…", "Run a command with documents as its environment",
		`Run a command with the values of effective documents as environment variables:
limits.requests-per-minute becomes LIMITS_REQUESTS_PER_MINUTE. With --json each
document is one variable that holds its JSON, named after its path.

Variables that you have set yourself stay, unless --override. Names that steer
loaders, shells and interpreters (PATH, LD_PRELOAD, NODE_OPTIONS, …) are refused,
unless --allow-env permits them one by one. The command does not get
LLM_CONFIG_TOKEN, unless --keep-token. docs/run.md has all the rules.

The command takes the place of this program, so signals and its exit status are
its own. With --restart-on-change this program stays, forwards signals, and starts
the command anew when the variables change: SIGTERM, and SIGKILL after --grace.`,
		`  llm-config run -e production gateway/limits -- ./gateway --port 8080
  llm-config run -e production gateway/models --json -- ./gateway
  llm-config run -e staging gateway/limits --restart-on-change --grace 30s -- ./gateway`)
	r := &running{app: a, scope: a.environmentFlags(c)}
	c.Args = r.split
	c.Flags().BoolVar(&r.rules.json, "json", false, "one variable a document, holding its JSON")
	c.Flags().BoolVar(&r.override, "override", false, "let documents win over variables that are set")
	c.Flags().StringArrayVar(&r.rules.allowed, "allow-env", nil, "permit the steering variable `NAME`; may be given again")
	c.Flags().BoolVar(&r.rules.keepReferences, "keep-references", false, "pass references to secrets on as text")
	c.Flags().BoolVar(&r.keepToken, "keep-token", false, "leave "+envToken+" to the command, which otherwise does not get it")
	restart := c.Flags().Bool("restart-on-change", false, "start the command anew when the variables change")
	c.Flags().DurationVar(&r.grace, "grace", 10*time.Second, "with --restart-on-change, how long the command may take to end")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if !*restart {
			if err := needs(c, "restart-on-change", "grace"); err != nil {
				return err
			}
		}
		if r.from, err = r.scope.client(c); err != nil {
			return err
		}
		set, revision, err := r.load(c.Context(), 0)
		if err != nil {
			return err
		}
		if r.file, err = lookCommand(r.command[0]); err != nil {
			return r.app.cannotRun(err)
		}
		if *restart {
			return r.supervise(c.Context(), set, revision)
		}
		err = syscall.Exec(r.file, r.command, r.environ(set)) //nolint:gosec // to run what the user gives is the purpose
		return r.app.cannotRun(&exec.Error{Name: r.command[0], Err: err})
	}
	return c
}

// running is one `run` on its way.
type running struct {
	app       *app
	scope     *scope
	from      *client.Client
	rules     environRules
	override  bool
	keepToken bool
	grace     time.Duration
	paths     []string
	command   []string
	file      string // of the command
}

// split tells the paths from the command at the dashes.
func (r *running) split(c *cobra.Command, args []string) error {
	dashes := c.ArgsLenAtDash()
	if dashes < 0 {
		return failf("the command is missing").hint("write it behind --, as in `llm-config run gateway/limits -- ./gateway`")
	}
	r.paths, r.command = args[:dashes], args[dashes:]
	switch {
	case len(r.paths) == 0:
		return failf("PATH is missing").hint("name the documents before --, as in `llm-config run gateway/limits -- ./gateway`")
	case len(r.command) == 0:
		return failf("nothing is behind --").hint("write the command there, as in `llm-config run gateway/limits -- ./gateway`")
	}
	for _, path := range r.paths {
		if err := checkArgument("PATH", path); err != nil {
			return inArgument(path, err)
		}
	}
	return nil
}

// load reads the documents, all at one revision that is at least the given one,
// and makes variables of them.
func (r *running) load(ctx context.Context, least int64) (set []variable, revision int64, err error) {
	read := client.Read{MinRevision: least}
	documents := make([]namedDocument, len(r.paths))
	for i, path := range r.paths {
		got, err := r.from.Config(ctx, r.scope.environment, path, read)
		if err != nil {
			return nil, 0, err
		}
		if i == 0 {
			revision = got.Revision
			read = client.Read{At: number(revision)}
		}
		document, err := config.Decode(config.JSON, got.Data, localLimits)
		if err != nil {
			return nil, 0, inArgument(path, err)
		}
		documents[i] = namedDocument{path, document}
	}
	set, err = r.rules.variables(documents)
	return set, revision, err
}

func (r *running) environ(set []variable) []string {
	own := r.app.environ()
	if !r.keepToken {
		own = keep(own, func(entry string) bool { return !strings.HasPrefix(entry, envToken+"=") })
	}
	return mergeEnviron(own, set, r.override)
}

// lookCommand finds a command on the caller's PATH. The documents have no say.
func lookCommand(name string) (string, error) { return exec.LookPath(name) }

// cannotRun reports a command that did not start, with the exit code that a
// shell has for it.
func (a *app) cannotRun(err error) error {
	code, f := exitCannotRun, failf("cannot run the command: %v", err)
	switch {
	case errors.Is(err, exec.ErrDot):
		f = failf("the command is in this folder, and PATH is searched here").hint("write ./ before its name")
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		code = exitNoCommand
		f = f.hint("check its name, and PATH")
	}
	a.report(f)
	return exitStatus(code)
}

// isPermanent says that reading anew gives the same: the documents themselves
// cannot become variables.
func isPermanent(err error) bool {
	var f *failure
	return errors.As(err, &f)
}
