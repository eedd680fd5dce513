package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/api"
)

// changeFormats are the -o formats of verbs that write layers.
var changeFormats = []string{asTable, asJSON, asYAML, asTOML, asValue}

// listFormats are the -o formats of verbs that list something.
var listFormats = changeFormats

// showChange prints what a write did. A plan that holds anything ends as
// errDifference.
func (o *output) showChange(result *api.ChangeResult) error {
	err := o.show(view{
		data:   result,
		people: func(p *printer) { printChange(p, result) },
		values: []string{number(result.Revision)},
	})
	if err == nil && result.Status == api.StatusPlanned && len(result.Edits) > 0 {
		return errDifference
	}
	return err
}

func printChange(p *printer, result *api.ChangeResult) {
	switch {
	case result.Status == api.StatusUnchanged || len(result.Edits) == 0:
		p.printf("unchanged at revision %d\n", result.Revision)
	case result.Status == api.StatusPlanned:
		printPlan(p, result)
	case len(result.Edits) == 1:
		p.printf("revision %d: %s\n", result.Revision, editLine(result.Edits[0]))
	default:
		p.printf("revision %d: %s\n", result.Revision, counted(len(result.Edits), "layer"))
		for _, edit := range result.Edits {
			p.printf("  %s\n", editLine(edit))
		}
	}
	if result.Status == api.StatusCommitted && len(result.Lost) > 0 && len(result.Edits) > 0 {
		printLostForGood(p, result)
	}
	for _, note := range result.Notes {
		p.printf("%s %s\n", p.paint(styleYellow, "note:"), clean(note))
	}
}

func editLine(edit api.EditResult) string {
	key := layerKey{edit.Environment, edit.Path}
	if edit.Op == api.OpDelete {
		return fmt.Sprintf("%s deleted (version %d)", key, edit.Version)
	}
	return fmt.Sprintf("%s is version %d", key, edit.Version)
}

func printPlan(p *printer, result *api.ChangeResult) {
	p.printf("planned on revision %d; nothing is changed yet\n", result.Revision)
	t := newTable("EDIT", "ENVIRONMENT", "PATH", "VERSION")
	for _, edit := range result.Edits {
		t.cells(cell{string(edit.Op), opStyle(edit.Op)}, cell{text: edit.Environment}, cell{text: edit.Path}, cell{text: number(edit.Version)})
	}
	t.print(p)
	if len(result.Effective) > 0 {
		p.printf("\n%s\n", p.paint(styleBold, "effective documents"))
		for _, alike := range foldDiffs(result.Effective) {
			printDocumentDiffs(p, alike)
		}
	}
	if len(result.Lost) > 0 {
		p.printf("\n")
		printLost(p, "would be lost in the target", result.Lost)
	}
}

func printLost(p *printer, title string, all []api.Lost) {
	p.printf("%s\n", p.paint(styleBold, title))
	for _, lost := range all {
		p.printf("  %s#%s  %s\n", lost.Path, clean(lost.Pointer), clean(p.excerpt(string(lost.Value))))
	}
}

// printLostForGood says what a promotion took away, and how it comes back.
func printLostForGood(p *printer, result *api.ChangeResult) {
	printLost(p, "lost in the target", result.Lost)
	path := result.Lost[0].Path
	for _, lost := range result.Lost {
		if lost.Path != path {
			path = "PATH"
		}
	}
	p.printf("`llm-config rollback -e %s %s --to %d` brings it back\n", result.Edits[0].Environment, path, result.Revision-1)
}

func opStyle(op api.Op) style {
	if op == api.OpDelete {
		return styleRed
	}
	return styleGreen
}

// foldDiffs puts documents together that differ in the same way, as those of
// environments do that inherit from the same.
func foldDiffs(diffs []api.DocumentDiff) (folded [][]api.DocumentDiff) {
	same := func(a, b api.DocumentDiff) bool {
		return a.Path == b.Path && a.Before == b.Before && a.After == b.After && reflect.DeepEqual(a.Differences, b.Differences)
	}
	for _, d := range diffs {
		at := slices.IndexFunc(folded, func(alike []api.DocumentDiff) bool { return same(alike[0], d) })
		if at < 0 {
			folded = append(folded, []api.DocumentDiff{d})
			continue
		}
		folded[at] = append(folded[at], d)
	}
	return folded
}

func printDocumentDiffs(p *printer, alike []api.DocumentDiff) {
	environments := make([]string, len(alike))
	for i, d := range alike {
		environments[i] = d.Environment
	}
	d, suffix := alike[0], ""
	switch {
	case !d.Before && d.After:
		suffix = " (new)"
	case d.Before && !d.After:
		suffix = " (gone)"
	}
	p.printf("%s%s\n", layerKey{strings.Join(environments, ", "), d.Path}, suffix)
	printDifferences(p, d.Differences)
}

// printDifferences prints one line for each place; -o json has long values whole.
func printDifferences(p *printer, differences []api.Difference) {
	for _, d := range differences {
		pointer := clean(d.Pointer)
		if pointer == "" {
			pointer = "(document)"
		}
		from, to := clean(p.excerpt(string(d.From))), clean(p.excerpt(string(d.To)))
		switch d.Op {
		case "add":
			p.printf("  %s\n", p.paint(styleGreen, "+ "+pointer+"  "+to))
		case "remove":
			p.printf("  %s\n", p.paint(styleRed, "- "+pointer+"  "+from))
		default:
			p.printf("  %s\n", p.paint(styleYellow, "~ "+pointer+"  "+from+" → "+to))
		}
	}
}

// showCommitted prints a write that is not of layers, in one line.
func (o *output) showCommitted(data any, committed api.Committed, format string, args ...any) error {
	return o.showValued(number(committed.Revision), data, committed, format, args...)
}

// showValued is showCommitted with a value of its own for programs.
func (o *output) showValued(value string, data any, committed api.Committed, format string, args ...any) error {
	return o.show(view{
		data: data,
		people: func(p *printer) {
			if committed.Status == api.StatusUnchanged {
				p.printf("unchanged at revision %d\n", committed.Revision)
				return
			}
			p.printf("revision %d: %s\n", committed.Revision, fmt.Sprintf(format, args...))
		},
		values: []string{value},
	})
}

// layersText names the layers that a document is made of.
func layersText(layers []api.LayerRef) string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = fmt.Sprintf("%s v%d", l.Environment, l.Version)
	}
	return strings.Join(names, ", ")
}
