package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newEditCommand(a *app) *cobra.Command {
	c := a.command("edit PATH", "Edit a layer in your editor",
		`Open what the environment itself says at PATH in $VISUAL or $EDITOR, and write it
when the editor ends. What the server refuses is opened again with the reason on
top; an empty file, or one left as it was, changes nothing.

When somebody else has written the layer meanwhile, your text is kept in a file
and, at a terminal, edit offers to open it again on the new version.`,
		`  llm-config edit -e production gateway/limits
  EDITOR="code --wait" llm-config edit -e base gateway/models -o json`)
	s, out := a.environmentFlags(c), a.outputFlag(c, asYAML, asJSON, asTOML)
	c.Flags().Lookup("output").Usage = "what to write the layer in: yaml, json, toml"
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		e := &editing{app: a, client: to, key: layerKey{s.environment, args[0]}, format: config.Format(out.format), message: *message}
		return e.run(c.Context())
	}
	return c
}

// editing is one layer in somebody's editor. The file is removed only when
// nothing in it can be missed.
type editing struct {
	app     *app
	client  *client.Client
	key     layerKey
	format  config.Format
	message string

	layer   config.Document // as it was read
	version int64
	onTop   bool // the text stands on top of what somebody else wrote: saved as it is, it is written
	file    string
}

// errNothingToDo ends an edit that the person left without a change.
var errNothingToDo = errors.New("nothing to do")

func (e *editing) run(ctx context.Context) error {
	if err := e.read(ctx); err != nil {
		return err
	}
	text, err := e.opened()
	if err != nil {
		return err
	}
	comment := fmt.Sprintf("%s, version %d: what the environment itself says.\n"+
		"An empty file changes nothing. Comments are not kept.", e.key, e.version)
	for {
		saved, err := e.ask(ctx, comment, text)
		switch {
		case errors.Is(err, errNothingToDo):
			e.app.printer().printf("unchanged\n")
			return os.Remove(e.file)
		case err != nil:
			return err
		}
		result, err := e.write(ctx, saved)
		if err == nil {
			printChange(e.app.printer(), result)
			return os.Remove(e.file)
		}
		if comment, err = e.again(ctx, err); err != nil {
			return err
		}
		text = saved
	}
}

func (e *editing) read(ctx context.Context) (err error) {
	e.layer, e.version, err = readLayer(ctx, e.client, e.key.environment, e.key.path)
	return err
}

// opened is the layer as the editor first shows it.
func (e *editing) opened() ([]byte, error) {
	file, err := os.CreateTemp("", "llm-config-*-"+strings.ReplaceAll(e.key.path, "/", "-")+"."+string(e.format))
	if err != nil {
		return nil, err
	}
	e.file = file.Name()
	if err := file.Close(); err != nil {
		return nil, err
	}
	layer := e.layer
	if !layer.Exists() {
		layer = config.NewDocument(map[string]any{})
	}
	return config.Encode(layer, e.format)
}

// ask opens the editor on a text with a comment above it, and returns what was
// saved below the comment. The same text saved again means: leave it, unless it
// would replace what somebody else wrote.
func (e *editing) ask(ctx context.Context, comment string, text []byte) ([]byte, error) {
	if err := os.WriteFile(e.file, append([]byte(commented(comment)), text...), 0o600); err != nil {
		return nil, err
	}
	if err := e.app.openEditor(ctx, e.file); err != nil {
		return nil, e.kept(failf("the editor failed: %v", err))
	}
	saved, err := os.ReadFile(e.file)
	if err != nil {
		return nil, err
	}
	saved = withoutComment(saved)
	if len(bytes.TrimSpace(saved)) == 0 || bytes.Equal(saved, text) && !e.onTop {
		return nil, e.leave(text)
	}
	return saved, nil
}

// leave ends without a change; a text that was refused is kept.
func (e *editing) leave(text []byte) error {
	layer, err := config.Decode(e.format, text, localLimits)
	if err == nil && (bytes.Equal(layer.Canonical(), e.layer.Canonical()) || !e.layer.Exists() && len(layer.Root()) == 0) {
		return errNothingToDo
	}
	if err := os.WriteFile(e.file, text, 0o600); err != nil {
		return err
	}
	return e.kept(failf("nothing was written"))
}

func (e *editing) write(ctx context.Context, text []byte) (*api.ChangeResult, error) {
	layer, err := config.Decode(e.format, text, localLimits)
	if err != nil {
		return nil, err
	}
	return e.client.PutLayer(ctx, e.key.environment, e.key.path, layer.Canonical(), client.Write{Message: e.message, IfVersion: &e.version})
}

// again says whether the editor can be opened once more after an error, and
// with what comment.
func (e *editing) again(ctx context.Context, err error) (comment string, _ error) {
	f := asFailure(err)
	e.onTop = false
	switch {
	case errors.Is(err, client.ErrPreconditionFailed):
		return e.moved(ctx)
	case !mendable(err):
		return "", e.kept(f)
	}
	lines := append([]string{"REFUSED: " + f.Error()}, f.details...)
	return strings.Join(lines, "\n") + "\nSave it as it is, or empty, to leave it.", nil
}

// mendable says that another text might be taken.
func mendable(err error) bool {
	var refusal *config.Error
	if errors.As(err, &refusal) {
		return true
	}
	for _, code := range []api.Code{api.CodeInvalidDocument, api.CodeInvalidReference, api.CodeTooLarge, api.CodeReferenced} {
		if errors.Is(err, &api.Problem{Code: code}) {
			return true
		}
	}
	return false
}

// moved offers to go on on top of what somebody else wrote.
func (e *editing) moved(ctx context.Context) (comment string, _ error) {
	before, was := e.layer, e.version
	if err := e.read(ctx); err != nil {
		return "", e.kept(asFailure(err))
	}
	f := failf("%s went from version %d to %d while you were editing", e.key, was, e.version)
	if !e.app.interactive || !e.app.confirm(f.what+". Open your text again on the new version?", true) {
		return "", e.kept(f)
	}
	e.onTop = true
	lines := []string{f.what + ", by this:"}
	for _, d := range config.Diff(before, e.layer) {
		from, to := string(canon.Append(nil, d.From)), string(canon.Append(nil, d.To))
		if d.Op == config.DiffAdd {
			from = "nothing"
		}
		if d.Op == config.DiffRemove {
			to = "nothing"
		}
		lines = append(lines, fmt.Sprintf("  %s: %s → %s", cmp.Or(d.Pointer, "(document)"), from, to))
	}
	return strings.Join(append(lines, "What you save replaces it all, also when you save it as it is. Empty it to leave it."), "\n"), nil
}

// kept adds where the person's text is.
func (e *editing) kept(f *failure) error { return f.keptIn(e.file) }

// keptIn is f with the file that a person's text is in.
func (f *failure) keptIn(file string) *failure {
	copied := *f
	copied.next = "your text is in " + file
	if f.next != "" {
		copied.next = f.next + "; " + copied.next
	}
	return &copied
}

func commented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("# " + clean(strings.TrimRight(line, "\n")) + "\n")
	}
	return b.String()
}

// withoutComment takes away the lines at the top that begin with #, which are a
// comment in no JSON.
func withoutComment(text []byte) []byte {
	for bytes.HasPrefix(text, []byte("#")) {
		_, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
	}
	return text
}

// openEditor runs the person's editor on a file and waits for its end.
func (a *app) openEditor(ctx context.Context, file string) error {
	editor := cmp.Or(a.getenv("VISUAL"), a.getenv("EDITOR"), "vi")
	// The shell takes apart what may hold flags, as in EDITOR="code --wait".
	c := exec.CommandContext(ctx, "sh", "-c", editor+` "$1"`, "sh", file) //nolint:gosec // the person's own editor
	c.Stdin, c.Stdout, c.Stderr, c.Env = a.stdin, a.stdout, a.stderr, a.environ()
	// Ctrl-C in an editor is the editor's: it must not end us and strand it.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	return c.Run()
}

// confirm asks a question at the terminal.
func (a *app) confirm(question string, byDefault bool) bool {
	choice := "[y/N]"
	if byDefault {
		choice = "[Y/n]"
	}
	fmt.Fprintf(a.stderr, "%s %s ", question, choice)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	case "":
		return byDefault
	}
	return false
}
