package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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

A value that refers to a secret is handed on as a file that only the command
inherits: NAME_FILE=/dev/fd/N names it, and NAME is not set. --secrets-dir writes
files in a folder of your own instead, and --secrets-env puts the values into the
environment, where every process that the command starts has them too.

The command takes the place of this program, so signals and its exit status are
its own. With --restart-on-change this program stays, forwards signals, and starts
the command anew when the variables or secrets change: SIGTERM, and SIGKILL after
--grace.`,
		`  llm-config run -e production gateway/limits -- ./gateway --port 8080
  llm-config run -e production gateway/models --json -- ./gateway
  llm-config run -e production gateway/keys -- sh -c 'curl -H "Authorization: Bearer $(cat "$OPENAI_FILE")" …'
  llm-config run -e production gateway/keys --secrets-env -- ./legacy
  llm-config run -e staging gateway/limits --restart-on-change --grace 30s -- ./gateway`)
	r := &running{app: a, scope: a.environmentFlags(c)}
	c.Args = r.split
	c.Flags().BoolVar(&r.rules.json, "json", false, "one variable a document, holding its JSON")
	c.Flags().BoolVar(&r.override, "override", false, "let documents win over variables that are set")
	c.Flags().StringArrayVar(&r.rules.allowed, "allow-env", nil, "permit the steering variable `NAME`; may be given again")
	c.Flags().BoolVar(&r.rules.keepReferences, "keep-references", false, "pass references to secrets on as text")
	c.Flags().StringVar(&r.secretsDir, "secrets-dir", "", "write values of secrets into files in `DIR`, which only you may use")
	secretsEnv := c.Flags().Bool("secrets-env", false, "put values of secrets into the environment")
	c.Flags().BoolVar(&r.keepToken, "keep-token", false, "leave "+envToken+" and the client certificate to the command, which otherwise does not get them")
	restart := c.Flags().Bool("restart-on-change", false, "start the command anew when the variables change")
	c.Flags().DurationVar(&r.grace, "grace", 10*time.Second, "with --restart-on-change, how long the command may take to end")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		for _, pair := range [][]string{{"keep-references", "secrets-dir"}, {"keep-references", "secrets-env"}, {"secrets-dir", "secrets-env"}} {
			if err := exclusive(c, pair...); err != nil {
				return err
			}
		}
		r.rules.byFile = !*secretsEnv
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
		if r.secretsDir != "" {
			if r.folder, err = openSecretsFolder(r.secretsDir); err != nil {
				return err
			}
		}
		if *restart {
			return r.supervise(c.Context(), set, revision)
		}
		return r.exec(set)
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

	secretsDir string
	folder     *secretsFolder // of --secrets-dir; nil without
}

// exec puts the command in the place of this process. What is in --secrets-dir
// stays there: nobody of ours is left to remove it.
func (r *running) exec(set []variable) error {
	d, err := r.deliver(set, func(_ int, file *os.File) int { return int(file.Fd()) })
	if err != nil {
		return err
	}
	for _, file := range d.files {
		if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	err = syscall.Exec(r.file, r.command, r.environ(d.set)) //nolint:gosec // to run what the user gives is the purpose
	d.close()
	return r.app.cannotRun(&exec.Error{Name: r.command[0], Err: err})
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
	for range maxListings {
		documents, digests, revision, err := r.read(ctx, least)
		if err != nil {
			return nil, 0, err
		}
		still, err := r.reveal(ctx, documents, digests, revision)
		if err != nil {
			return nil, 0, err
		}
		if still {
			set, err = r.rules.variables(documents)
			return set, revision, err
		}
	}
	return nil, 0, errors.New("the documents change faster than they can be read")
}

// reveal reads again, with values, the documents that refer to secrets, and
// says whether they still were what they were: a document with values cannot be
// asked for as it was in the past.
func (r *running) reveal(ctx context.Context, documents []namedDocument, digests []string, revision int64) (still bool, err error) {
	if r.rules.keepReferences {
		return true, nil
	}
	for i := range documents {
		d := &documents[i]
		references, err := config.References(d.document)
		if err != nil {
			return false, inArgument(d.path, err)
		}
		if !slices.ContainsFunc(references, func(l config.Located) bool { return l.Reference.Kind == config.ReferSecret }) {
			continue
		}
		got, err := r.from.Config(ctx, r.scope.environment, d.path, client.Read{MinRevision: revision, Reveal: true})
		if err != nil {
			return false, fmt.Errorf("%s: %w", d.path, err)
		}
		if got.Digest != digests[i] {
			return false, nil
		}
		if d.revealed, err = config.Decode(config.JSON, got.Data, localLimits); err != nil {
			return false, inArgument(d.path, err)
		}
	}
	return true, nil
}

// read reads the documents with references as they stand.
func (r *running) read(ctx context.Context, least int64) (documents []namedDocument, digests []string, revision int64, err error) {
	read := client.Read{MinRevision: least}
	for i, path := range r.paths {
		got, err := r.from.Config(ctx, r.scope.environment, path, read)
		if err != nil {
			return nil, nil, 0, err
		}
		if i == 0 {
			revision = got.Revision
			read = client.Read{At: number(revision)}
		}
		document, err := config.Decode(config.JSON, got.Data, localLimits)
		if err != nil {
			return nil, nil, 0, inArgument(path, err)
		}
		documents = append(documents, namedDocument{path: path, document: document})
		digests = append(digests, got.Digest)
	}
	return documents, digests, revision, nil
}

func (r *running) environ(set []variable) []string {
	own := r.app.environ()
	if !r.keepToken {
		own = keep(own, func(entry string) bool {
			name, _, _ := strings.Cut(entry, "=")
			return name != envToken && name != envClientCert && name != envClientKey
		})
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
