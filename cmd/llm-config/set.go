package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/convert"
)

// writer is what all verbs that write one layer have in common.
type writer struct {
	*scope
	out       *output
	message   *string
	dryRun    bool
	ifVersion int64
}

func (a *app) writer(c *cobra.Command) *writer {
	w := &writer{scope: a.environmentFlags(c), out: a.outputFlag(c, changeFormats...), message: a.messageFlag(c)}
	c.Flags().BoolVar(&w.dryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.Flags().Int64Var(&w.ifVersion, "if-version", 0, "only if the layer's version is `N`; 0: only if there is no layer")
	return w
}

// version is what --if-version says, nil when it was not given.
func (w *writer) version(c *cobra.Command) *int64 {
	if !c.Flags().Changed("if-version") {
		return nil
	}
	return &w.ifVersion
}

// write puts a layer, or deletes it when the document is absent, and prints
// what came of it.
func (w *writer) write(ctx context.Context, to *client.Client, path string, document config.Document, ifVersion *int64) error {
	how := client.Write{Message: *w.message, IfVersion: ifVersion}
	var result *api.ChangeResult
	var err error
	switch {
	case w.dryRun:
		edit := api.Edit{Op: api.OpPut, Environment: w.environment, Path: path, Document: document.Canonical(), IfVersion: ifVersion}
		if !document.Exists() {
			edit.Op = api.OpDelete
		}
		result, err = to.PostChange(ctx, api.Change{Message: *w.message, Edits: []api.Edit{edit}, DryRun: true})
	case document.Exists():
		result, err = to.PutLayer(ctx, w.environment, path, document.Canonical(), how)
	default:
		result, err = to.DeleteLayer(ctx, w.environment, path, how)
	}
	if err != nil {
		return err
	}
	if !document.Exists() && len(result.Edits) == 0 {
		return failf("there is nothing at %s in %s itself", path, w.environment).hint("`llm-config ls` lists what there is, and the layers it is made of")
	}
	return w.out.showChange(result)
}

func newSetCommand(a *app) *cobra.Command {
	c := a.command("set PATH KEY=VALUE…", "Set values in a layer",
		`Set values in what the environment itself says at PATH. All of one set is one
change: either every value is set or none.

A key is names joined by dots: a.b.c, with \. for a dot in a name; below an array
a name is an index. A value that is JSON is JSON, and anything else is text, unless
it begins like JSON, with { [ or ", and is none.
KEY=@FILE takes the value from a file, byte for byte when it is text; text that
begins with @ is given in JSON quotes, KEY='"@home"'. KEY=null writes a removal
mark, which hides what the environment inherits; unset takes an entry away.

Two people who set different keys at the same time both succeed: when the layer
has moved, set reads it anew. With --if-version it does not.`,
		`  llm-config set -e production gateway/limits requests_per_minute=600 burst=20
  llm-config set -e base gateway/models models.gpt-4o.prompt=@prompt.txt -m "new prompt"
  llm-config set -e staging gateway/flags 'note="600"' old_router=null`)
	w := a.writer(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		assignments, err := parseAssignments(args[1:])
		if err != nil {
			return err
		}
		err = w.update(c.Context(), c, args[0], func(layer config.Document) (config.Document, error) {
			for _, s := range assignments {
				if layer, err = s.key.Set(layer, s.value); err != nil {
					return layer, err
				}
			}
			return layer, nil
		})
		if err == nil || errors.Is(err, errDifference) {
			w.noteKeys(args[0], assignments)
		}
		return err
	}
	return c
}

// noteKeys suggests a secret for what looks like a key. It shows no value.
func (w *writer) noteKeys(path string, assignments []assignment) {
	for _, s := range assignments {
		value, isText := s.value.(string)
		if !isText || refersToSecret(value) {
			continue
		}
		if why, looks := convert.LooksLikeKey(s.key.String(), value); looks {
			w.app.note("%s looks like a key (%s), and whoever may read the document reads it: keep it with `llm-config secret set -e %s %s`, and set %s='${secret:%s}'",
				s.key, why, w.environment, path, s.key, path)
		}
	}
}

func newUnsetCommand(a *app) *cobra.Command {
	c := a.command("unset PATH KEY…", "Take entries away from a layer",
		`Take entries away from what the environment itself says at PATH. What it inherits
there shows again; to hide that, write a removal mark with set KEY=null.`,
		`  llm-config unset -e production gateway/limits requests_per_minute burst`)
	w := a.writer(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		keys := make([]config.Key, len(args)-1)
		for i, text := range args[1:] {
			if err := notAPointer(text, ""); err != nil {
				return err
			}
			var err error
			if keys[i], err = config.ParseKey(text); err != nil {
				return inArgument(text, err)
			}
		}
		return w.update(c.Context(), c, args[0], func(layer config.Document) (config.Document, error) {
			for _, key := range keys {
				var found bool
				var err error
				if layer, found, err = key.Unset(layer); err != nil {
					return layer, err
				}
				if !found {
					return layer, failf("the layer %s has no entry %s", layerKey{w.environment, args[0]}, key).
						hint("`llm-config get %s --explain` says which layer an inherited value is from", args[0])
				}
			}
			return layer, nil
		})
	}
	return c
}

// maxTries bounds how often update begins anew because others write as well.
const maxTries = 20

// maxPause is the most that is waited after the first try; after the nth, n
// times as much.
const maxPause = 10 * time.Millisecond

// update changes a layer by reading, editing and writing it on the condition
// that it is still what was read.
func (w *writer) update(ctx context.Context, c *cobra.Command, path string, edit func(config.Document) (config.Document, error)) error {
	to, err := w.client(c)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		layer, version, err := readLayer(ctx, to, w.environment, path)
		if err != nil {
			return err
		}
		if given := w.version(c); given != nil {
			version = *given
		}
		after, err := edit(layer)
		if err != nil {
			return err
		}
		err = w.write(ctx, to, path, after, &version)
		switch {
		case err == nil:
			w.showDifferences(layer, after)
			return nil
		case !contended(err) || w.version(c) != nil:
			return err
		case try == maxTries:
			return failf("others wrote %s each of the %d times that it was tried, so nothing was written", layerKey{w.environment, path}, maxTries).
				hint("try again when less is being written there")
		}
		if err := w.app.pause(ctx, rand.N(time.Duration(try)*maxPause)); err != nil { //nolint:gosec // spreading writers needs no secret
			return err
		}
	}
}

// contended says that others wrote meanwhile: this layer, or what the server
// needed to judge the write.
func contended(err error) bool {
	return errors.Is(err, client.ErrPreconditionFailed) || errors.Is(err, client.ErrConflict)
}

// showDifferences prints what a write changed in a layer, so that a mistyped
// key is seen. A dry run has shown it.
func (w *writer) showDifferences(before, after config.Document) {
	if w.dryRun || w.out.format != asTable {
		return
	}
	if !before.Exists() {
		before = config.NewDocument(map[string]any{})
	}
	var all []api.Difference
	for _, d := range config.Diff(before, after) {
		all = append(all, api.Difference{Op: string(d.Op), Pointer: d.Pointer, From: canon.Append(nil, d.From), To: canon.Append(nil, d.To)})
	}
	printDifferences(w.app.printer(), all)
}

// readLayer reads a layer as it is now; an absent one has version 0.
func readLayer(ctx context.Context, from *client.Client, environment, path string) (config.Document, int64, error) {
	read, err := from.Layer(ctx, environment, path, client.Read{})
	if errors.Is(err, client.ErrNotFound) {
		return config.Document{}, 0, nil
	}
	if err != nil {
		return config.Document{}, 0, err
	}
	layer, err := config.Decode(config.JSON, read.Data, localLimits)
	return layer, read.Version, err
}

// assignment is one KEY=VALUE.
type assignment struct {
	key   config.Key
	value any
}

func parseAssignments(args []string) ([]assignment, error) {
	assignments := make([]assignment, len(args))
	for i, arg := range args {
		text, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, failf("%q is not KEY=VALUE", arg).hint("write it like requests_per_minute=600")
		}
		if err := notAPointer(text, "="+value); err != nil {
			return nil, err
		}
		var err error
		if assignments[i].key, err = config.ParseKey(text); err != nil {
			return nil, inArgument(text, err)
		}
		if assignments[i].value, err = parseValue(value); err != nil {
			return nil, inArgument(text, err)
		}
		if other, ok := overlapping(assignments[:i], assignments[i].key); ok {
			return nil, failf("%s and %s set the same", other, assignments[i].key).hint("give one of them")
		}
	}
	return assignments, nil
}

// notAPointer keeps a JSON pointer from becoming a name that begins with a slash.
func notAPointer(key, rest string) error {
	if !strings.HasPrefix(key, "/") {
		return nil
	}
	pointer, err := config.ParsePointer(key)
	if err != nil {
		return nil //nolint:nilerr // no pointer, so the key is judged as a key
	}
	names := pointer.Tokens()
	for i, name := range names {
		names[i] = strings.ReplaceAll(name, ".", `\.`)
	}
	return failf("%s is a JSON pointer, and a key is names joined by dots", key).hint("write it like %s", strings.Join(names, ".")+rest)
}

// overlapping finds a key that is this one, above it or below it.
func overlapping(assignments []assignment, key config.Key) (config.Key, bool) {
	for _, a := range assignments {
		shorter, longer := a.key.String()+".", key.String()+"."
		if len(shorter) > len(longer) {
			shorter, longer = longer, shorter
		}
		if strings.HasPrefix(longer, shorter) {
			return a.key, true
		}
	}
	return config.Key{}, false
}

func parseValue(text string) (any, error) {
	name, fromFile := strings.CutPrefix(text, "@")
	if !fromFile {
		return typedValue(text)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := readBounded(file)
	if err != nil {
		return nil, err
	}
	return config.ParseValue(string(content))
}

// typedValue refuses what looks like JSON and is none: it is a mistake more
// often than text.
func typedValue(text string) (any, error) {
	value, err := config.ParseValue(text)
	if _, isText := value.(string); err != nil || !isText || text == "" || !strings.ContainsRune(`{["`, rune(text[0])) || json.Valid([]byte(text)) {
		return value, err
	}
	return nil, failf("%s begins like JSON and is none", shorten(text, maxCell)).
		hint(`quote names and strings for JSON and the whole for the shell, as in KEY='{"a":"b"}'; text goes in JSON quotes, KEY='"[text"'`)
}

// inArgument says which argument an error is about.
func inArgument(text string, err error) error {
	if text == "" {
		text = `""`
	}
	f := *asFailure(err)
	f.what = text + ": " + f.what
	return &f
}
