package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newAuditStatusCommand(a *app) *cobra.Command {
	c := a.command("status", "Show where a chain stands, and where its records are",
		`Show how many records a chain has and where they are: hot ones in the database, warm
ones in compressed segments there, cold ones in the archive, and those that were
disposed of when their time was over. It shows the newest checkpoint and the legal hold, and
what the server found wrong when it last looked.`,
		`  llm-config audit status
  llm-config audit status --server -o json`)
	s, out := a.auditScope(c), a.outputFlag(c, asTable, asJSON, asYAML, asTOML)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		status, err := from.Status(c.Context())
		if err != nil {
			return err
		}
		return out.show(view{data: status, people: func(p *printer) { printAuditStatus(p, status) }})
	}
	return c
}

func printAuditStatus(p *printer, s *api.AuditStatus) {
	p.printf("%s\n", p.paint(styleBold, clean(s.Origin)))
	line := func(name string, st style, text string) { p.printf("  %-12s %s\n", name, p.paint(st, clean(text))) }
	if s.Broken != "" {
		line("broken", styleRed, s.Broken+"; `llm-config audit verify` looks again")
	}
	newest := "none yet"
	if s.Sequence > 0 {
		newest = "record " + number(s.Sequence) + ", " + orDash(s.Time)
	}
	line("newest", "", newest)
	line("hash", "", s.Hash)
	line("hot", "", counted(int(s.Hot), "record"))
	line("warm", "", tierText(s.Warm))
	line("cold", "", tierText(s.Cold))
	line("disposed", "", counted(int(s.Disposed), "record"))
	line("indexed", "", "up to record "+number(s.Indexed))
	if s.Checkpoint == nil {
		line("checkpoint", styleYellow, "none yet")
	} else {
		line("checkpoint", "", "record "+number(s.Checkpoint.Sequence)+", "+when(s.Checkpoint.Time))
	}
	if s.Hold != nil {
		line("legal hold", styleYellow, holdLine(s.Hold))
	}
}

func tierText(t api.AuditTier) string {
	text := counted(int(t.Records), "record")
	if t.Segments > 0 {
		text += " in " + counted(int(t.Segments), "segment") + " of " + sizeText(t.Bytes)
	}
	return text
}

func holdLine(h *api.AuditHold) string {
	return "since " + when(h.Time) + " by " + h.Author + ": " + h.Reason
}

func newAuditHoldCommand(a *app) *cobra.Command {
	return a.group("hold", "Keep audit records beyond their time",
		`A legal hold keeps the records of a tenant from being disposed of, however old they
become. Administrators of the server set and lift it; both are on record.`,
		`  llm-config audit hold set -t acme --reason "case 2026-114"
  llm-config audit hold show -t acme
  llm-config audit hold lift -t acme`,
		newAuditHoldSetCommand(a), newAuditHoldLiftCommand(a), newAuditHoldShowCommand(a))
}

func newAuditHoldSetCommand(a *app) *cobra.Command {
	c := a.command("set", "Set a legal hold",
		`Set the legal hold of a chain, as an administrator of the server. A hold that is there
is replaced.`,
		`  llm-config audit hold set -t acme --reason "case 2026-114"
  llm-config audit hold set --deleted 5f0c2a4e8d1b4c6f9a7e3d2b1c0f8e6d --reason "case 2026-114"`)
	s, out := a.auditScope(c), a.outputFlag(c, changeFormats...)
	var reason string
	c.Flags().StringVar(&reason, "reason", "", "why, such as the name of a case (`TEXT`, required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if reason == "" {
			return failf("no reason is given").hint("say why with --reason; it is on record")
		}
		to, err := s.chain(c)
		if err != nil {
			return err
		}
		result, err := to.SetHold(c.Context(), reason)
		if err != nil {
			return err
		}
		return out.show(holdView(result))
	}
	return c
}

func newAuditHoldLiftCommand(a *app) *cobra.Command {
	c := a.command("lift", "Lift a legal hold",
		`Lift the legal hold of a chain, as an administrator of the server. Records whose time
is over are then disposed of. It asks first at a terminal, and needs --yes anywhere
else.`,
		`  llm-config audit hold lift -t acme --yes`)
	s, out, yes := a.auditScope(c), a.outputFlag(c, changeFormats...), yesFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		to, err := s.chain(c)
		if err != nil {
			return err
		}
		if err := a.mustConfirm(*yes, "Lift the legal hold, so that old records may be disposed of for ever?"); err != nil {
			return err
		}
		result, err := to.LiftHold(c.Context())
		if err != nil {
			return err
		}
		return out.show(holdView(result))
	}
	return c
}

func newAuditHoldShowCommand(a *app) *cobra.Command {
	c := a.command("show", "Show the legal hold", "Show the legal hold of a chain, if there is one.", `  llm-config audit hold show -t acme
  llm-config audit hold show --server`)
	s, out := a.auditScope(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.chain(c)
		if err != nil {
			return err
		}
		status, err := from.Status(c.Context())
		if err != nil {
			return err
		}
		return out.show(holdView(&api.AuditHoldResult{Hold: status.Hold}))
	}
	return c
}

func holdView(result *api.AuditHoldResult) view {
	v := view{data: result, people: func(p *printer) { p.printf("there is no legal hold\n") }}
	if hold := result.Hold; hold != nil {
		v.values = []string{hold.Reason}
		v.people = func(p *printer) { p.printf("there is a legal hold %s\n", clean(holdLine(hold))) }
	}
	return v
}
