package main

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

// maxTail is how many records of the past a tail shows at most.
const maxTail = 10 * maxPage

func newAuditTailCommand(a *app) *cobra.Command {
	c := a.command("tail", "Print the newest audit records, and follow them",
		`Print the newest records, the oldest of them first, and with -f those that come, until
Ctrl-C. A lost connection is made again, and nothing between is missed. The flags of
search select which.

-o json prints one record a line.`,
		`  llm-config audit tail
  llm-config audit tail -f --event 'secret.*'
  llm-config audit tail -f -n 0 --outcome denied --server
  llm-config audit tail -f -o json | jq .record.event`)
	s, out, filter := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asValue), newAuditFilter(c)
	follow := c.Flags().BoolP("follow", "f", false, "go on with what comes")
	most := c.Flags().IntP("number", "n", 20, "how many of the newest records")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case *most < 0 || *most > maxTail:
			return failf("-n is from 0 to %d, and %d is not", maxTail, *most).hint("`llm-config audit export` has all records")
		case *most == 0 && !*follow:
			return failf("-n 0 shows nothing").hint("give -f to follow what comes")
		case *follow && c.Flags().Changed("to"):
			return failf("-f goes on with what comes, and --to ends before it").hint("leave one out")
		}
		query, err := filter.query(c, time.Now())
		if err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		t := &auditTail{out: out, chain: from, query: query, server: s.server}
		return t.run(c.Context(), *most, *follow)
	}
	return c
}

// auditTail is one `audit tail` on its way.
type auditTail struct {
	out    *output
	chain  *client.AuditChain
	query  client.AuditQuery
	server bool
}

func (t *auditTail) run(ctx context.Context, most int, follow bool) error {
	var position int64
	if follow {
		// Asked for before the newest records are, so that none falls between.
		status, err := t.chain.Status(ctx)
		if err != nil {
			return err
		}
		position = status.Sequence
	}
	newest, err := t.newest(ctx, most)
	if err != nil {
		return err
	}
	if t.out.format == asTable {
		header := make([]cell, len(recordHeader))
		for i, text := range recordHeader {
			header[i] = cell{text, styleBold}
		}
		t.line(header)
	}
	for _, record := range slices.Backward(newest) {
		position = max(position, record.Sequence)
		if err := t.print(record); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	if err := t.events(t.chain.Tail(ctx, t.query, &position)); err != nil {
		return err
	}
	return ctx.Err()
}

// newest are at most so many records, the newest first.
func (t *auditTail) newest(ctx context.Context, most int) (records []api.AuditRecord, _ error) {
	if most == 0 {
		return nil, nil
	}
	for record, err := range t.chain.All(ctx, t.query, client.Page{Limit: min(most, maxPage)}) {
		if err != nil {
			return nil, err
		}
		if records = append(records, record); len(records) == most {
			break
		}
	}
	return records, nil
}

// events prints what comes, and once for each outage that there is one.
func (t *auditTail) events(all iter.Seq2[api.AuditRecord, error]) error {
	told := false // that the connection is lost
	for record, err := range all {
		switch {
		case err == nil:
			told = false
			err = t.print(record)
		case !final(err):
			if !told {
				t.out.app.note("%v; trying again", err)
			}
			told = true
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tailWidths are what the columns of a tail are wide: nobody knows what comes.
var tailWidths = []int{7, 20, 22, 24, 40, 7, 0}

func (t *auditTail) print(record api.AuditRecord) error {
	p := t.out.app.printer()
	switch t.out.format {
	case asValue:
		p.printf("%d\n", record.Sequence)
		return nil
	case asJSON:
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(record); err != nil {
			return err
		}
		_, err := t.out.app.stdout.Write(line.Bytes())
		return err
	}
	event, err := parseRecord(record)
	if err != nil {
		return err
	}
	t.line(recordCells(record.Sequence, event, t.server))
	return nil
}

func (t *auditTail) line(cells []cell) {
	p := t.out.app.printer()
	var line strings.Builder
	for i, c := range cells {
		text := clean(c.text)
		line.WriteString(p.paint(c.style, text))
		line.WriteString(strings.Repeat(" ", max(tailWidths[i]-displayWidth(text), 0)+2))
	}
	p.printf("%s\n", strings.TrimRight(line.String(), " "))
}
