package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newPolicyEditCommand(a *app) *cobra.Command {
	c := a.command("edit NAME", "Edit a policy file in your editor",
		`Open a policy file, or a new one, in $VISUAL or $EDITOR, and write it when the editor
ends. What the server refuses is opened again with the findings on top; an empty
file, or one left as it was, changes nothing. When somebody else has written the file
meanwhile, your text is kept in a file of its own.`,
		`  llm-config policy edit deployers
  EDITOR="code --wait" llm-config policy edit deployers -m "and production by night"`)
	s := a.tenantFlags(c)
	message := a.messageFlag(c)
	c.ValidArgsFunction = onlyFirst(s.completePolicies)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		e := &policyEditing{app: a, client: to, name: args[0], message: *message}
		return e.run(c.Context())
	}
	return c
}

// policyEditing is one policy file in somebody's editor. The file that the
// editor has is removed only when nothing in it can be missed.
type policyEditing struct {
	app     *app
	client  *client.Client
	name    string
	message string

	text    string // as it was read
	version int64  // 0 for a file that is new
	file    string
}

func (e *policyEditing) run(ctx context.Context) error {
	if err := e.read(ctx); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "llm-config-*-"+e.name+".cedar")
	if err != nil {
		return err
	}
	e.file = file.Name()
	if err := file.Close(); err != nil {
		return err
	}
	comment := fmt.Sprintf("%s, version %d. An empty file changes nothing.", e.name, e.version)
	for text := e.text; ; {
		saved, err := e.ask(ctx, comment, text)
		switch {
		case err != nil:
			return err
		case saved == e.text || strings.TrimSpace(saved) == "" && text == e.text:
			e.app.printer().printf("unchanged\n")
			return os.Remove(e.file)
		case saved == text || strings.TrimSpace(saved) == "":
			return e.keep(text)
		}
		result, err := e.client.PutPolicy(ctx, e.name, api.PutPolicy{Text: saved, Message: e.message, IfVersion: &e.version})
		if err == nil {
			p := e.app.printer()
			printFindings(p, result.Findings)
			printTests(p, result.Tests)
			printPolicyOutcome(p, result, "is version %d")
			return os.Remove(e.file)
		}
		if comment, err = e.again(err); err != nil {
			return err
		}
		text = saved
	}
}

// read takes the file as it stands; one that is not there begins empty.
func (e *policyEditing) read(ctx context.Context) error {
	file, err := e.client.Policy(ctx, e.name, 0)
	switch {
	case errors.Is(err, client.ErrNotFound):
		// Without a right to look, or without the tenant, so is the list.
		_, err = e.client.Policies(ctx)
		return err
	case err != nil:
		return err
	}
	e.text, e.version = file.Text, file.Version
	return nil
}

// editorComment begins the lines that are ours, at the top of what an editor
// shows. They are comments in Cedar, and none that a person would write.
const editorComment = "//: "

// ask opens the editor on a text with a comment above it, and returns what was
// saved below.
func (e *policyEditing) ask(ctx context.Context, comment, text string) (string, error) {
	var above strings.Builder
	for line := range strings.Lines(comment) {
		above.WriteString(editorComment + clean(strings.TrimRight(line, "\n")) + "\n")
	}
	if err := os.WriteFile(e.file, []byte(above.String()+text), 0o600); err != nil {
		return "", err
	}
	if err := e.app.openEditor(ctx, e.file); err != nil {
		return "", e.kept(failf("the editor failed: %v", err))
	}
	saved, err := os.ReadFile(e.file)
	if err != nil {
		return "", err
	}
	below := string(saved)
	for strings.HasPrefix(below, strings.TrimSpace(editorComment)) {
		_, below, _ = strings.Cut(below, "\n")
	}
	return below, nil
}

// again is the comment to open the editor with once more, where another text
// might be taken.
func (e *policyEditing) again(err error) (comment string, _ error) {
	f := asFailure(err)
	// A policy that gives too much is forbidden, and then it is in the details.
	tooMuch := errors.Is(err, client.ErrForbidden) && len(f.details) > 0
	if !errors.Is(err, client.ErrInvalidPolicy) && !errors.Is(err, client.ErrTooLarge) && !tooMuch {
		return "", e.kept(f)
	}
	lines := append([]string{"REFUSED: " + f.Error()}, f.details...)
	return strings.Join(lines, "\n") + "\nSave it as it is, or empty, to leave it.", nil
}

// keep ends without a change, with the person's text in the file.
func (e *policyEditing) keep(text string) error {
	if err := os.WriteFile(e.file, []byte(text), 0o600); err != nil {
		return err
	}
	return e.kept(failf("nothing was written"))
}

// kept adds where the person's text is.
func (e *policyEditing) kept(f *failure) error { return f.keptIn(e.file) }
