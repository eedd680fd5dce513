package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newApplyCommand(a *app) *cobra.Command {
	c := a.command("apply", "Make a folder's files the layers of a tenant",
		`Make the files of a folder what the environments themselves say:
DIR/<environment>/<path>.<json|yaml|toml>. The plan is printed first; then all of it
lands as one change, or none of it does. When somebody else writes one of those
layers meanwhile, nothing is applied.

Hidden files are left out, and files of other kinds are named and left out. Layers
that the folder does not hold stay, unless --prune: then those below the folder's
own prefixes are deleted, in every environment that has a folder. Its prefixes are
the first segments of the paths in any environment, or the --prefix that is given.

A change holds at most 1000 edits of 10 MiB; a larger plan is refused, and applied
in parts that you choose with --env and --prefix. $LLM_CONFIG_ENV does not narrow
what is applied.`,
		`  llm-config apply -f platform --dry-run
  llm-config apply -f platform -m "release 12"
  llm-config apply -f platform --prune --env staging`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	p := &applying{app: a, out: out}
	c.Flags().StringVarP(&p.dir, "file", "f", "", "`DIR` to apply (required)")
	c.Flags().StringVarP(&p.environment, "env", "e", "", "only this environment's folder (`NAME`)")
	c.Flags().StringVar(&p.prefixText, "prefix", "", "only the path `PREFIX` and those below it")
	c.Flags().BoolVar(&p.prune, "prune", false, "delete layers below the folder's prefixes that it does not hold")
	c.Flags().BoolVar(&p.dryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		if p.dir == "" {
			return failf("no folder is given").hint("name it with -f DIR")
		}
		if p.client, err = s.client(c); err != nil {
			return err
		}
		p.message = *message
		return p.run(c.Context())
	}
	return c
}

// applying is one `apply` on its way.
type applying struct {
	app         *app
	out         *output
	client      *client.Client
	dir         string
	environment string
	prefixText  string
	prefix      config.Prefix
	prune       bool
	dryRun      bool
	message     string
	now         heads // what the environments say
}

// planned is an edit with what the layer says now.
type planned struct {
	edit   api.Edit
	before config.Document
	after  config.Document
}

func (p *applying) run(ctx context.Context) (err error) {
	if p.prefix, err = config.ParsePrefix(p.prefixText); err != nil {
		return err
	}
	content, err := p.readFolder()
	if err != nil {
		return err
	}
	if err := p.checkEnvironments(ctx, content.environments); err != nil {
		return err
	}
	plan, err := p.plan(ctx, content)
	if err != nil {
		return err
	}
	if len(content.layers)+len(p.now.versions) == 0 && p.prefixText != "" {
		return failf("there is nothing at %s or below it, neither in %s nor in tenant %s", p.prefixText, p.dir, p.client.Tenant()).
			hint("`llm-config ls` lists what there is")
	}
	if len(plan) == 0 {
		nothing := api.Committed{Status: api.StatusUnchanged, Revision: p.now.revision}
		return p.out.showChange(&api.ChangeResult{Committed: nothing, Edits: []api.EditResult{}})
	}
	change, err := p.change(plan)
	if err != nil {
		return err
	}
	planShown := !p.dryRun && p.out.format == asTable
	if planShown {
		printLocalPlan(p.app.printer(), plan)
	}
	result, err := p.client.PostChange(ctx, change)
	if errors.Is(err, client.ErrPreconditionFailed) {
		return failf("layers were written by somebody else meanwhile, so nothing was applied").hint("apply again to see the new plan")
	}
	if err != nil {
		return err
	}
	if planShown {
		p.app.printer().printf("revision %d: %s\n", result.Revision, counted(len(result.Edits), "layer"))
		return nil
	}
	return p.out.showChange(result)
}

func (p *applying) readFolder() (folderContent, error) {
	f, err := openFolder(p.dir)
	if err != nil {
		return folderContent{}, err
	}
	defer f.close()
	content, err := f.read(p.environment)
	if err != nil {
		return content, err
	}
	for _, name := range content.skipped {
		p.app.note("left out %s: its name does not end in .json, .yaml or .toml", name)
	}
	if len(content.environments) == 0 {
		wanted := "any environment"
		if p.environment != "" {
			wanted = "the environment " + p.environment
		}
		return content, failf("%s has no folder of %s", p.dir, wanted).hint("it should hold <environment>/<path>.yaml files")
	}
	content.layers = keep(content.layers, func(l layerFile) bool { return p.prefix.Contains(l.path) })
	return content, nil
}

// checkEnvironments tells a missing environment from a layer that is not there.
func (p *applying) checkEnvironments(ctx context.Context, wanted []string) error {
	list, err := p.client.Environments(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range list.Environments {
		there[e.Name] = true
	}
	missing := keep(wanted, func(name string) bool { return !there[name] })
	if inside := filepath.Base(p.absolute()); len(missing) == len(wanted) && there[inside] {
		return failf("%s is the folder of an environment, and apply takes the one that holds it", p.dir).
			hint("did you mean -f %s?", filepath.Dir(filepath.Clean(p.dir)))
	}
	if len(missing) > 0 {
		return failf("tenant %s has no environment %s", p.client.Tenant(), strings.Join(missing, ", ")).
			hint("create it with `llm-config env create %s`, or rename the folder", missing[0])
	}
	return nil
}

// absolute names the folder itself, also when it was given as a dot.
func (p *applying) absolute() string {
	if name, err := filepath.Abs(p.dir); err == nil {
		return name
	}
	return p.dir
}

func (p *applying) plan(ctx context.Context, content folderContent) ([]planned, error) {
	var err error
	if p.now, err = listHeads(ctx, p.client, content.environments, p.prefix.String()); err != nil {
		return nil, err
	}
	puts := make([]planned, len(content.layers))
	err = p.app.each(ctx, "comparing", len(puts), func(ctx context.Context, i int) error {
		layer := content.layers[i]
		version := p.now.versions[layer.key()]
		puts[i] = planned{edit: putEdit(layer.key(), layer.document, version), after: layer.document}
		if version == 0 {
			return nil
		}
		before, err := readVersion(ctx, p.client, layer.key(), version)
		puts[i].before = before
		return err
	})
	if err != nil {
		return nil, err
	}
	plan := keep(puts, func(e planned) bool { return !bytes.Equal(e.before.Canonical(), e.after.Canonical()) })
	if p.prune {
		plan = append(plan, p.deletions(content)...)
	}
	return plan, nil
}

// deletions are for the layers that the folder could hold and does not: those
// below its prefixes, in every environment that has a folder, or all below a
// prefix that was asked for.
func (p *applying) deletions(content folderContent) (plan []planned) {
	held := map[layerKey]bool{}
	for _, l := range content.layers {
		held[l.key()] = true
	}
	for _, key := range p.now.keys() {
		within := p.prefixText != "" || content.prefixes[firstSegment(key.path)]
		if version := p.now.versions[key]; within && !held[key] {
			plan = append(plan, planned{edit: api.Edit{Op: api.OpDelete, Environment: key.environment, Path: key.path, IfVersion: &version}})
		}
	}
	return plan
}

// maxEdits is the most that one change holds.
const maxEdits = 1000

// change is the plan as one change. What does not fit is refused, not split:
// half a folder applied is a state that nobody wrote down.
func (p *applying) change(plan []planned) (api.Change, error) {
	change := api.Change{Message: p.message, DryRun: p.dryRun}
	for _, e := range plan {
		change.Edits = append(change.Edits, e.edit)
	}
	const advice = "apply a part at a time, with --env or --prefix"
	if len(plan) > maxEdits {
		return change, failf("the plan has %d edits, and one change holds at most %d", len(plan), maxEdits).hint(advice)
	}
	if text, err := json.Marshal(change); err != nil || len(text) > maxBody {
		return change, failf("the plan has %d bytes, and one change holds at most %d", len(text), maxBody).hint(advice)
	}
	return change, nil
}

func printLocalPlan(p *printer, plan []planned) {
	t := newTable("EDIT", "ENVIRONMENT", "PATH", "WAS", "DIFFERENCES")
	for _, e := range plan {
		was := "-"
		if *e.edit.IfVersion != 0 {
			was = "v" + number(*e.edit.IfVersion)
		}
		differences := "all"
		if e.edit.Op == api.OpPut && e.before.Exists() {
			differences = number(int64(len(config.Diff(e.before, e.after))))
		}
		t.cells(cell{string(e.edit.Op), opStyle(e.edit.Op)}, cell{text: e.edit.Environment}, cell{text: e.edit.Path}, cell{text: was}, cell{text: differences})
	}
	t.print(p)
}

// note tells a person something that a program need not know.
func (a *app) note(format string, args ...any) {
	p := a.errors()
	p.printf("%s %s\n", p.paint(styleYellow, "note:"), clean(fmt.Sprintf(format, args...)))
}

// say is note among the output of another program, under the name of this one,
// with a line for each detail.
func (a *app) say(details []string, format string, args ...any) {
	p := a.errors()
	p.printf("%s %s\n", p.paint(styleYellow, "llm-config:"), clean(failf(format, args...).what))
	for _, detail := range details {
		p.printf("  %s\n", clean(detail))
	}
}
