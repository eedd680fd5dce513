package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newHistoryCommand(a *app) *cobra.Command {
	c := a.command("history PATH", "List the versions of a layer",
		`List the versions of what the environment itself says at PATH, newest first. With
--effective those of the layers it inherits from are there as well: all that ever
changed the effective document.`,
		`  llm-config history -e production gateway/limits
  llm-config history -e production gateway/limits --effective`)
	s, out := a.environmentFlags(c), a.outputFlag(c, listFormats...)
	query := client.HistoryQuery{Page: client.Page{Limit: maxPage}}
	c.Flags().BoolVar(&query.Effective, "effective", false, "also the layers it inherits from")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		history := api.History{Environment: s.environment, Path: args[0], Entries: []api.HistoryEntry{}}
		for entry, err := range from.AllHistory(c.Context(), s.environment, args[0], query) {
			if err != nil {
				return err
			}
			history.Entries = append(history.Entries, entry)
		}
		return out.show(historyView(history))
	}
	return c
}

func historyView(history api.History) view {
	v := view{data: history}
	for _, e := range history.Entries {
		v.values = append(v.values, "v"+number(e.Version))
	}
	v.people = func(p *printer) {
		t := newTable("LAYER", "STATE", "REVISION", "TIME", "AUTHOR", "MESSAGE")
		for _, e := range history.Entries {
			t.cells(cell{text: layerText(e.LayerOrigin)}, cell{e.State, stateStyle(e.State)}, cell{text: number(e.Revision)},
				cell{text: when(e.Time)}, cell{text: e.Author}, cell{text: p.value(e.Message)})
		}
		t.print(p)
	}
	return v
}

func stateStyle(state string) style {
	if state == "live" {
		return ""
	}
	return styleDim
}

func newDiffCommand(a *app) *cobra.Command {
	c := a.command("diff PATH", "Compare a document with its past, or with another environment",
		`Compare the effective document at PATH at two points, or with --layer what the
environment itself says. A point is a revision (1042), a version of the layer (v3),
a time or a tag, and may have another environment before it: staging@1042, or
staging@ for staging now.

Without --to it is compared as it is now. With neither, diff shows what the newest
change of the document did. It exits 2 when there is a difference.`,
		`  llm-config diff -e production gateway/limits
  llm-config diff -e production gateway/limits --from release-12
  llm-config diff -e production gateway/limits --from staging@
  llm-config diff -e production gateway/limits --from v3 --to v4 --layer`)
	s, out := a.environmentFlags(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	var query client.DiffQuery
	c.Flags().StringVar(&query.From, "from", "", "the `POINT` before")
	c.Flags().StringVar(&query.To, "to", "", "the `POINT` after (default now)")
	complete(c, "from", s.completeTags)
	complete(c, "to", s.completeTags)
	c.Flags().BoolVar(&query.Layer, "layer", false, "compare what the environments themselves say")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		if query.From == "" {
			if query.To != "" {
				return failf("--to says what to compare with, and --from is missing").hint("give both, or neither for the newest change")
			}
			if query.From, err = beforeNewest(c.Context(), from, s.environment, args[0], query.Layer); err != nil {
				return err
			}
		}
		diff, err := from.Diff(c.Context(), s.environment, args[0], query)
		if err != nil {
			return err
		}
		return showDiff(out, diff)
	}
	return c
}

// beforeNewest is the revision before the newest that wrote the document.
func beforeNewest(ctx context.Context, from *client.Client, environment, path string, layer bool) (string, error) {
	history, err := from.History(ctx, environment, path, client.HistoryQuery{Effective: !layer, Page: client.Page{Limit: 1}})
	if err != nil {
		return "", err
	}
	if len(history.Entries) == 0 || history.Entries[0].Revision < 2 {
		return "", failf("%s has no earlier state", path).hint("name a point to compare with --from")
	}
	return number(history.Entries[0].Revision - 1), nil
}

func showDiff(out *output, diff *api.Diff) error {
	err := out.show(view{data: diff, people: func(p *printer) {
		if len(diff.Differences) == 0 {
			p.printf("no difference between %s and %s\n", sideText(diff.From), sideText(diff.To))
			return
		}
		p.printf("%s %s → %s\n", p.paint(styleBold, diff.Path), sideText(diff.From), sideText(diff.To))
		printDifferences(p, diff.Differences)
	}})
	if err == nil && len(diff.Differences) > 0 {
		return errDifference
	}
	return err
}

func sideText(s api.DiffSide) string {
	text := fmt.Sprintf("%s@%d", s.Environment, s.Revision)
	if s.Version != 0 {
		text += fmt.Sprintf(" (v%d)", s.Version)
	}
	return text
}

func newLogCommand(a *app) *cobra.Command {
	c := a.command("log [REVISION]", "List what was changed in a tenant, or show one revision",
		`List the revisions of a tenant, newest first: changes of documents, and of
environments, tags and tokens. With REVISION, show that one with the effective
documents it changed.`,
		`  llm-config log
  llm-config log -n 100 -o json
  llm-config log 1042`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	var most int
	c.Flags().IntVarP(&most, "number", "n", 20, "how many; 0 means all")
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		if len(args) > 0 {
			return showRevision(c.Context(), from, out, args[0])
		}
		if most < 0 {
			return failf("-n is how many to list, and %d is less than none", most).hint("0 lists all")
		}
		log := api.LogList{Changes: []api.LogEntry{}}
		page := client.Page{Limit: min(cmp.Or(most, maxPage), maxPage)}
		for entry, err := range from.AllChanges(c.Context(), page) {
			if err != nil {
				return err
			}
			if log.Changes = append(log.Changes, entry); len(log.Changes) == most {
				break
			}
		}
		return out.show(logView(log))
	}
	return c
}

func parseRevision(text string) (int64, error) {
	revision, err := strconv.ParseInt(text, 10, 64)
	if err != nil || revision < 1 {
		return 0, failf("%q is not a revision", text).hint("give a number from 1 up; `llm-config log` lists them")
	}
	return revision, nil
}

func logView(log api.LogList) view {
	v := view{data: log}
	for _, e := range log.Changes {
		v.values = append(v.values, number(e.Revision))
	}
	v.people = func(p *printer) {
		t := newTable("REVISION", "TIME", "AUTHOR", "WHAT", "MESSAGE")
		for _, e := range log.Changes {
			t.row(number(e.Revision), when(e.Time), e.Author, p.value(whatText(e)), p.value(e.Message))
		}
		t.print(p)
	}
	return v
}

// whatText is what a revision did, in a few words.
func whatText(e api.LogEntry) string {
	if len(e.Edits) == 0 {
		return cmp.Or(e.Summary, e.Kind)
	}
	text := editLine(e.Edits[0])
	if more := len(e.Edits) - 1; more > 0 {
		text = fmt.Sprintf("%s, and %d more", layerKey{e.Edits[0].Environment, e.Edits[0].Path}, more)
	}
	return text
}

func showRevision(ctx context.Context, from *client.Client, out *output, text string) error {
	revision, err := parseRevision(text)
	if err != nil {
		return err
	}
	entry, err := from.Change(ctx, revision)
	if err != nil {
		return err
	}
	return out.show(view{data: entry, values: []string{number(entry.Revision)}, people: func(p *printer) {
		p.printf("%s %s by %s\n", p.paint(styleBold, "revision "+number(entry.Revision)), when(entry.Time), clean(entry.Author))
		if entry.Message != "" {
			p.printf("  %s\n", clean(entry.Message))
		}
		if entry.Summary != "" {
			p.printf("%s: %s\n", entry.Kind, clean(entry.Summary))
		}
		for _, edit := range entry.Edits {
			p.printf("%s\n", editLine(edit))
		}
		for i, d := range entry.Effective {
			if i == 0 {
				p.printf("%s\n", p.paint(styleBold, "effective documents it changed"))
			}
			p.printf("  %s%s\n", layerKey{d.Environment, d.Path}, goneText(d.Digest))
		}
	}})
}

func goneText(digest string) string {
	if digest == "" {
		return " (gone)"
	}
	return ""
}
