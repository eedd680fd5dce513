package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// auditFilter are the flags that select records.
type auditFilter struct {
	client.AuditQuery
	since    span
	from, to moment
}

func newAuditFilter(c *cobra.Command) *auditFilter {
	f := &auditFilter{to: moment{end: true}}
	flags := c.Flags()
	flags.Var(&f.since, "since", "only the last `DURATION`, such as 2h or 7d")
	flags.Var(&f.from, "from", "only from this `TIME` on: RFC 3339, or a date")
	flags.Var(&f.to, "to", "only before this `TIME`; of a date, all its day is meant")
	flags.StringSliceVar(&f.Events, "event", nil, "only this `EVENT`, or a family of them as in 'secret.*'; may be given again")
	flags.StringSliceVar(&f.Actors, "actor", nil, "only what this `ACTOR` did, as records name it; may be given again")
	flags.StringSliceVar(&f.Actions, "action", nil, "only this `ACTION`, such as config.read or 'config.*'; may be given again")
	flags.StringSliceVar(&f.Outcomes, "outcome", nil, "only what ended as `OUTCOME`: success, denied, failed; may be given again")
	flags.StringVar(&f.Resource, "resource", "", "only what was done to `RESOURCE` or to what lies below it")
	flags.StringVar(&f.Source, "source", "", "only from this `ADDRESS` or network, such as 10.1.0.0/16")
	flags.StringVar(&f.RequestID, "request-id", "", "only the request of this `ID`")
	flags.StringVar(&f.TraceID, "trace-id", "", "only requests of the trace `ID`")
	flags.StringVar(&f.Session, "session", "", "only what was done in the login `SESSION`")
	complete(c, "event", completeEvents)
	complete(c, "outcome", cobra.FixedCompletions([]cobra.Completion{string(audit.Success), string(audit.Denied), string(audit.Failed)}, cobra.ShellCompDirectiveNoFileComp))
	return f
}

// query is what to ask the server for.
func (f *auditFilter) query(c *cobra.Command, now time.Time) (client.AuditQuery, error) {
	if err := exclusive(c, "since", "from"); err != nil {
		return client.AuditQuery{}, err
	}
	query := f.AuditQuery
	query.From, query.To = f.from.at, f.to.at
	if f.since != 0 {
		query.From = now.Add(-time.Duration(f.since))
	}
	if !query.To.IsZero() && !query.From.Before(query.To) {
		return query, failf("what is asked for begins %s and ends %s, so it is empty", when(query.From), when(query.To)).
			hint("let it begin, with --from or --since, before --to")
	}
	return query, nil
}

// completeEvents completes an event, or a family of them.
func completeEvents(_ *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []string
	for _, event := range audit.Events {
		names = append(names, cobra.CompletionWithDesc(event.Name, event.Meaning))
	}
	return startingWith(typed, names), cobra.ShellCompDirectiveNoFileComp
}

// moment is a time that people also give as a date, in UTC.
type moment struct {
	at  time.Time // zero when none is given
	end bool      // a date stands for the end of its day
}

// String, Set and Type make moment a flag.
func (m *moment) Type() string { return "TIME" }

func (m *moment) String() string {
	if m.at.IsZero() {
		return ""
	}
	return m.at.Format(time.RFC3339Nano)
}

func (m *moment) Set(text string) error {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		if m.at = at; m.end {
			m.at = at.AddDate(0, 0, 1)
		}
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return failf("write a date like 2026-11-22, which is one in UTC, or a time like 2026-11-22T09:30:00Z")
	}
	m.at = at
	return nil
}
