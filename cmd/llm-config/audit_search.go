package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// searchPage is how many records a search shows unless it is told otherwise.
const searchPage = 50

func newAuditSearchCommand(a *app) *cobra.Command {
	c := a.command("search", "Find audit records",
		`Find audit records, newest first. Flags select: of those that are given a record must
satisfy each, and of one that is given several times any.

Some records are counts: of permitted reads, for instance, one says how many there
were in a minute. --details shows that and the rest of each record; `+"`audit show`"+`
shows one in full.`,
		`  llm-config audit search --since 24h
  llm-config audit search --event 'secret.*' --outcome denied --since 7d
  llm-config audit search --actor 4f1c0a9be2d4 --from 2026-11-01 --to 2026-11-30
  llm-config audit search --resource environments/production/configs/gateway --details
  llm-config audit search --server --source 10.1.0.0/16 -o json`)
	s, out, filter := a.auditScope(c), a.outputFlag(c, listFormats...), newAuditFilter(c)
	page := client.Page{}
	c.Flags().IntVar(&page.Limit, "limit", searchPage, "how many records at most, up to 1000 (`N`)")
	c.Flags().StringVar(&page.Cursor, "cursor", "", "go on where the `CURSOR` of an earlier answer points")
	details := c.Flags().Bool("details", false, "show all that each record says")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if page.Limit < 1 || page.Limit > maxPage {
			return failf("--limit is from 1 to %d, and %d is not", maxPage, page.Limit).hint("for all records use `llm-config audit export`")
		}
		query, err := filter.query(c, time.Now())
		if err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		found, err := from.Search(c.Context(), query, page)
		if err != nil {
			return err
		}
		v, err := recordsView(found, s.server, *details)
		if err != nil {
			return err
		}
		if err := out.show(v); err != nil {
			return err
		}
		if found.Next != "" && out.format == asTable {
			a.note("there are more; the same with --cursor %s goes on, and `llm-config audit export` has them all", found.Next)
		}
		return nil
	}
	return c
}

func recordsView(page *api.AuditPage, server, details bool) (view, error) {
	v := view{data: page}
	events := make([]api.AuditEvent, len(page.Records))
	for i, record := range page.Records {
		v.values = append(v.values, number(record.Sequence))
		var err error
		if events[i], err = parseRecord(record); err != nil {
			return v, err
		}
	}
	v.people = func(p *printer) {
		header := slices.Clone(recordHeader)
		if details {
			header = append(header, "ACTION", "REASON", "REVISION", "REQUEST", "DETAILS")
		}
		t := newTable(header...)
		for i, e := range events {
			row := recordCells(page.Records[i].Sequence, e, server)
			if details {
				row = append(row, cell{text: orNone(e.Action)}, cell{text: p.value(orNone(e.Reason))}, cell{text: versionText(e.Revision)},
					cell{text: orNone(e.RequestID)}, cell{text: p.value(detailsText(e))})
			}
			t.cells(row...)
		}
		t.print(p)
	}
	return v, nil
}

// recordHeader says what recordCells are.
var recordHeader = []string{"RECORD", "TIME", "EVENT", "ACTOR", "RESOURCE", "OUTCOME", "SOURCE"}

// recordCells are what every list of records shows of one.
func recordCells(sequence int64, e api.AuditEvent, server bool) []cell {
	resource := e.Resource
	if !server {
		resource = withoutTenant(resource)
	}
	if len(e.Resources) > 0 {
		resource += fmt.Sprintf(" (+%d)", len(e.Resources))
	}
	return []cell{
		{text: number(sequence)}, {text: when(e.Time)}, {text: e.Event}, {text: orNone(e.Actor)},
		{text: orNone(resource)}, {orNone(e.Outcome), outcomeStyle(e.Outcome)}, {text: orNone(e.Source)},
	}
}

func parseRecord(record api.AuditRecord) (event api.AuditEvent, _ error) {
	if err := json.Unmarshal(record.Record, &event); err != nil {
		return event, failf("record %d cannot be read: %v", record.Sequence, err).hint("`llm-config audit verify` says whether it was altered")
	}
	return event, nil
}

func orNone(text string) string { return cmp.Or(text, "-") }

// withoutTenant leaves out of a resource whose it is: in the chain of a tenant
// all are of the same one.
func withoutTenant(resource string) string {
	rest, ok := strings.CutPrefix(resource, "tenants/")
	if _, below, of := strings.Cut(rest, "/"); ok && of {
		return below
	}
	return resource
}

func outcomeStyle(outcome string) style {
	switch audit.Outcome(outcome) {
	case audit.Success:
		return styleGreen
	case audit.Denied:
		return styleRed
	case audit.Failed:
		return styleYellow
	}
	return ""
}

// detailsText is what a record says besides, in one line.
func detailsText(e api.AuditEvent) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		texts = append(texts, name+"="+e.Details[name])
	}
	return orNone(strings.Join(texts, ", "))
}
