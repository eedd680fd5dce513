package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

func newAuditShowCommand(a *app) *cobra.Command {
	c := a.command("show SEQUENCE", "Show one audit record in full",
		`Show all that a record says, and its hash. SEQUENCE is its number in the chain, as
search lists it.`,
		`  llm-config audit show 1042
  llm-config audit show 7 --server -o json`)
	s, out := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	c.RunE = func(c *cobra.Command, args []string) error {
		sequence, err := parseSequence(args[0])
		if err != nil {
			return err
		}
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		record, err := readRecord(c.Context(), from, sequence)
		if err != nil {
			return err
		}
		event, err := parseRecord(*record)
		if err != nil {
			return err
		}
		return out.show(view{data: record, people: func(p *printer) { printRecord(p, record, event) }})
	}
	return c
}

func parseSequence(text string) (int64, error) {
	sequence, err := strconv.ParseInt(text, 10, 64)
	if err != nil || sequence < 1 {
		return 0, failf("%q is not the number of a record", text).hint("give one from 1 up; `llm-config audit search` lists them")
	}
	return sequence, nil
}

// readRecord reads one record: the first of an export that begins with it.
func readRecord(ctx context.Context, from *client.AuditChain, sequence int64) (_ *api.AuditRecord, err error) {
	absent := failf("there is no record %d", sequence).hint("`llm-config audit status` says which one is the newest")
	body, err := from.Export(ctx, client.ExportOptions{After: sequence - 1})
	if problem, ok := errors.AsType[*api.Problem](err); ok && problem.Code == api.CodeNotFound && problem.Pointer == "after" {
		status, err := from.Status(ctx)
		switch {
		case err != nil:
			return nil, err
		case sequence <= status.Disposed:
			return nil, disposedOf(sequence, uint64(status.Disposed))
		}
		return nil, absent
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	in, err := audit.NewImporter(body)
	if err != nil {
		return nil, err
	}
	for {
		line, err := in.Next()
		switch {
		case errors.Is(err, io.EOF), err == nil && line.End != nil:
			return nil, absent
		case err != nil:
			return nil, err
		case line.Link != nil && line.Link.Sequence == uint64(sequence):
			return &api.AuditRecord{Sequence: sequence, Hash: hex.EncodeToString(line.Link.Hash[:]), Record: slices.Clone(line.Link.Record)}, nil
		case line.Stub != nil && line.Stub.First <= uint64(sequence) && uint64(sequence) <= line.Stub.Last:
			return nil, disposedOf(sequence, line.Stub.Last)
		}
	}
}

// disposedOf says that a record is no more: the oldest go first, up to last.
func disposedOf(sequence int64, last uint64) error {
	return failf("record %d was disposed of, with all up to %d", sequence, last).
		hint("`llm-config audit search --event %s` says when and by whom", audit.DisposeEvent)
}

func printRecord(p *printer, record *api.AuditRecord, e api.AuditEvent) {
	p.printf("%s\n", p.paint(styleBold, "record "+number(record.Sequence)))
	line := func(name, text string) {
		if text != "" {
			p.printf("  %-12s %s\n", name, clean(text))
		}
	}
	line("time", e.Time.UTC().Format("2006-01-02T15:04:05.999999999Z"))
	line("event", e.Event)
	if info, known := audit.EventNamed(e.Event); known {
		line("meaning", info.Meaning)
	}
	line("actor", e.Actor)
	line("tenant", e.Tenant)
	line("action", e.Action)
	line("resource", e.Resource)
	for _, also := range e.Resources {
		line("also", also)
	}
	if e.Outcome != "" {
		p.printf("  %-12s %s\n", "outcome", p.paint(outcomeStyle(e.Outcome), clean(e.Outcome)))
	}
	line("reason", e.Reason)
	if e.Revision != 0 {
		line("revision", number(e.Revision))
	}
	line("source", e.Source)
	line("request", e.RequestID)
	line("trace", e.TraceID)
	line("session", e.Session)
	line("user agent", e.UserAgent)
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		line("details", name+"="+e.Details[name])
	}
	line("hash", record.Hash)
}
