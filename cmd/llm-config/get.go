package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// documentFormats are the -o formats of verbs that print a document.
var documentFormats = []string{asJSON, asYAML, asTOML, asEnv, asValue, asTable}

// getter is one `get` on its way.
type getter struct {
	*scope
	out     *output
	at      string
	layer   bool
	explain bool
	reveal  bool
}

func newGetCommand(a *app) *cobra.Command {
	c := a.command("get PATH[#/POINTER]", "Print a document, or one value of it",
		`Print the effective document at PATH: what the environment and its parents say,
merged, with ${config:…} resolved. Behind # a JSON pointer names one value.

It prints JSON, to a terminal and to a pipe alike, unless -o says otherwise:
value prints a string, number or boolean bare, env prints NAME=value lines for a
shell (see docs/run.md), table prints a line for each value.

--at reads the past: a revision (1042), a version of the environment's own layer
(v3), a time (2026-11-01T12:00:00Z) or a tag. --layer prints what the environment
itself says. --explain says for each value which layer it is from, who wrote it
when, and what it shadows; what is long is cut in its table, and whole in -o json.

References to secrets are printed as they stand. --reveal puts their values in
their place, if you may read every one of them; that they were read is on record.`,
		`  llm-config get -e production gateway/limits
  llm-config get -e production gateway/limits#/requests_per_minute -o value
  llm-config get -e production gateway/models --at release-12 -o yaml
  llm-config get -e production gateway/limits --explain
  llm-config get -e production gateway/models --reveal | ./gateway --config -`)
	g := &getter{scope: a.environmentFlags(c), out: a.outputFlag(c, documentFormats...)}
	c.Flags().StringVar(&g.at, "at", "", "read the past: a revision, v3, a time or a tag")
	complete(c, "at", g.completeTags)
	c.Flags().BoolVar(&g.layer, "layer", false, "only what the environment itself says")
	c.Flags().BoolVar(&g.explain, "explain", false, "say where each value comes from")
	c.Flags().BoolVar(&g.reveal, "reveal", false, "values of secrets in the place of references to them")
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, other := range []string{"layer", "explain", "at"} {
			if err := exclusive(c, "reveal", other); err != nil {
				return err
			}
		}
		if err := exclusive(c, "layer", "explain"); err != nil {
			return err
		}
		return g.run(c, args[0])
	}
	return c
}

func (g *getter) run(c *cobra.Command, argument string) error {
	path, pointerText, _ := strings.Cut(argument, "#")
	pointer, err := config.ParsePointer(pointerText)
	if err != nil {
		return inArgument(argument, err)
	}
	from, err := g.client(c)
	if err != nil {
		return err
	}
	if g.explain {
		if !c.Flags().Changed("output") {
			g.out.format = asTable
		}
		return g.showExplanation(c.Context(), from, path, pointer)
	}
	document, err := g.read(c.Context(), from, path)
	if err != nil {
		return err
	}
	value, found := pointer.Lookup(document.Root())
	if !found {
		return failf("%s has nothing at %s", path, pointer).hint("`llm-config get %s` shows what there is", path)
	}
	return g.out.showValue(path, pointer, value, environRules{revealed: g.reveal, revealable: !g.layer})
}

func (g *getter) read(ctx context.Context, from *client.Client, path string) (config.Document, error) {
	read := from.Config
	if g.layer {
		read = from.Layer
	}
	document, err := read(ctx, g.environment, path, client.Read{At: g.at, Reveal: g.reveal})
	if err != nil {
		return config.Document{}, err
	}
	return config.Decode(config.JSON, document.Data, localLimits)
}

// showValue prints a document or a part of it.
func (o *output) showValue(path string, pointer config.Pointer, value any, rules environRules) error {
	p := o.app.printer()
	switch o.format {
	case asTable:
		t := newTable("POINTER", "VALUE")
		eachLeaf(pointer, value, func(at config.Pointer, leaf any) {
			t.row(at.String(), p.value(string(canon.Append(nil, leaf))))
		})
		t.print(p)
		return nil
	case asValue:
		text, ok := bare(value)
		if !ok {
			return failf("%s is an object or array, which has no bare form", place{path, pointer}).
				hint("point to a value in it, as in %s#/name, or ask for -o json", path)
		}
		p.printf("%s\n", text)
		return nil
	case asEnv:
		object, ok := value.(map[string]any)
		if !ok {
			return failf("%s is not an object, so it has no names for variables", place{path, pointer}).hint("ask for -o value")
		}
		return o.showVariables(path, object, rules)
	}
	text, err := config.EncodeValue(value, config.Format(o.format))
	if err != nil {
		return err
	}
	_, err = o.app.stdout.Write(text)
	return err
}

// eachLeaf visits all that is neither object nor array, and empty ones.
func eachLeaf(at config.Pointer, value any, visit func(config.Pointer, any)) {
	object, ok := value.(map[string]any)
	if !ok || len(object) == 0 {
		visit(at, value)
		return
	}
	for _, name := range canon.SortedKeys(object) {
		eachLeaf(at.Append(name), object[name], visit)
	}
}

// bare is a scalar's text without quotes.
func bare(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case map[string]any, []any:
		return "", false
	}
	return string(canon.Append(nil, value)), true
}

// showVariables prints lines that a POSIX shell reads back.
func (o *output) showVariables(path string, object map[string]any, rules environRules) error {
	variables, err := rules.variables([]namedDocument{{path: path, document: config.NewDocument(object)}})
	if err != nil {
		return err
	}
	for _, v := range variables {
		o.app.printer().printf("%s=%s\n", v.name, shellQuote(v.value))
	}
	return nil
}

// shellQuote writes text so that a POSIX shell takes it for one word.
func shellQuote(text string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("_-./:,@%+", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func (g *getter) showExplanation(ctx context.Context, from *client.Client, path string, pointer config.Pointer) error {
	if g.out.format == asValue || g.out.format == asEnv {
		return failf("an explanation has no form -o %s", g.out.format).hint("use table, json, yaml or toml")
	}
	explanation, err := from.Explain(ctx, g.environment, path, client.Read{At: g.at})
	if err != nil {
		return err
	}
	below := func(text string) bool {
		return text == pointer.String() || strings.HasPrefix(text, pointer.String()+"/")
	}
	explanation.Leaves = keep(explanation.Leaves, func(l api.Leaf) bool { return below(l.Pointer) })
	explanation.Removals = keep(explanation.Removals, func(r api.Removal) bool { return below(r.Pointer) })
	if len(pointer.Tokens()) > 0 && len(explanation.Leaves)+len(explanation.Removals) == 0 {
		return failf("%s has nothing at %s", path, pointer).hint("`llm-config get %s --explain` shows what there is", path)
	}
	return g.out.show(view{data: explanation, people: func(p *printer) { printExplanation(p, explanation) }})
}

func keep[T any](all []T, wanted func(T) bool) []T {
	var kept []T
	for _, one := range all {
		if wanted(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

func printExplanation(p *printer, e *api.Explanation) {
	t := newTable("POINTER", "VALUE", "LAYER", "REVISION", "AUTHOR", "TIME", "SHADOWS")
	line := func(pointer cell, value string, o api.LayerOrigin, shadows []api.Shadow) {
		t.cells(pointer, cell{text: value}, cell{text: layerText(o)}, cell{text: number(o.Revision)},
			cell{text: o.Author}, cell{text: when(o.Time)}, cell{p.shadows(shadows), styleDim})
	}
	for _, leaf := range e.Leaves {
		value := p.excerpt(string(leaf.Value))
		if leaf.Reference != "" {
			value += " ← " + p.excerpt(leaf.Reference)
		}
		line(cell{text: leaf.Pointer}, value, leaf.Origin, leaf.Shadows)
	}
	for _, r := range e.Removals {
		line(cell{r.Pointer, styleRed}, "(removed)", r.Origin, r.Removes)
	}
	t.print(p)
}

func layerText(o api.LayerOrigin) string { return o.Environment + " v" + number(o.Version) }

// maxShadow bounds each of the values that are shadowed, as there may be many.
const maxShadow = 40

// shadows is what other layers say, nearest first.
func (p *printer) shadows(shadows []api.Shadow) string {
	texts := make([]string, len(shadows))
	for i, s := range shadows {
		texts[i] = shorten(string(s.Value), maxShadow) + " (" + layerText(s.Origin) + ")"
	}
	return p.excerpt(strings.Join(texts, ", "))
}
