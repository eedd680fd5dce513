package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// countDimensions are what records are counted by.
var countDimensions = []cobra.Completion{string(audit.ByEvent), string(audit.ByActor), string(audit.ByAction), string(audit.ByOutcome), string(audit.BySource)}

func newAuditCountCommand(a *app) *cobra.Command {
	c := a.command("count", "Count audit records",
		`Count records by one or two of event, actor, action, outcome and source and, with
--window, by time as well: one row for each window and group. The flags of search
select which.

TOTAL is what the records stand for: one that is a count itself, as of permitted
reads, stands for as many as it says.`,
		`  llm-config audit count --since 7d
  llm-config audit count --by event,outcome --since 24h --window 1h
  llm-config audit count --by actor --event secret.read --from 2026-11-01 --to 2026-11-30
  llm-config audit count --by source --outcome denied --server -o json`)
	s, out, filter := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML), newAuditFilter(c)
	by := c.Flags().StringSlice("by", []string{string(audit.ByEvent)}, "one or two of `WHAT` to count by: "+strings.Join(countDimensions, ", "))
	var window span
	c.Flags().Var(&window, "window", "count in windows of this length, such as 1h or 1d")
	complete(c, "by", cobra.FixedCompletions(countDimensions, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := checkDimensions(*by); err != nil {
			return err
		}
		query, err := filter.query(c, time.Now())
		if err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		counts, err := from.Counts(c.Context(), query, *by, time.Duration(window))
		if err != nil {
			return err
		}
		return out.show(countsView(counts))
	}
	return c
}

func checkDimensions(by []string) error {
	for i, dimension := range by {
		if !slices.Contains(countDimensions, dimension) {
			return failf("records are not counted by %q", dimension).hint("there are %s", strings.Join(countDimensions, ", "))
		}
		if slices.Contains(by[:i], dimension) {
			return failf("--by names %s twice", dimension).hint("name it once")
		}
	}
	if len(by) < 1 || len(by) > 2 {
		return failf("--by takes one or two, and here are %d", len(by)).hint("leave some out, or narrow what is counted with --event, --actor and the like")
	}
	return nil
}

func countsView(counts *api.AuditCounts) view {
	return view{data: counts, people: func(p *printer) {
		var header []string
		if counts.Window != "" {
			header = append(header, "FROM")
		}
		for _, dimension := range counts.By {
			header = append(header, strings.ToUpper(dimension))
		}
		t := newTable(append(header, "RECORDS", "TOTAL")...)
		for _, group := range counts.Counts {
			var row []cell
			if counts.Window != "" {
				row = append(row, cell{text: orDash(group.Start)})
			}
			for _, dimension := range counts.By {
				value := cell{text: orNone(group.Group[dimension])}
				if dimension == string(audit.ByOutcome) {
					value.style = outcomeStyle(value.text)
				}
				row = append(row, value)
			}
			t.cells(append(row, cell{text: number(group.Records)}, cell{text: number(group.Total)})...)
		}
		t.print(p)
	}}
}
