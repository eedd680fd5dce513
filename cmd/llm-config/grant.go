package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
)

func newGrantCommand(a *app) *cobra.Command {
	return a.group("break-glass", "Access of a server's administrator to a tenant, by two people",
		`An administrator of the server reads no tenant's documents and secrets. When it has to
be, one asks for a role in a tenant, with a reason, and another approves it; then the
one who asked has that role there, for four hours at most. Every use is on the
tenant's record, and the tenant's administrators see it and can end it.`,
		`  llm-config break-glass request -t acme --role operator --reason "incident 4711" --for 1h
  llm-config break-glass approve -t acme 4f1c0a9be2d4
  llm-config break-glass ls -t acme
  llm-config break-glass end -t acme 4f1c0a9be2d4`,
		newGrantRequestCommand(a), newGrantApproveCommand(a), newGrantListCommand(a), newGrantEndCommand(a))
}

func newGrantRequestCommand(a *app) *cobra.Command {
	c := a.command("request", "Ask for access to a tenant",
		`Ask for a built-in role in a tenant. It begins when another administrator of the
server approves it. The tenant sees the reason.`,
		`  llm-config break-glass request -t acme --reason "incident 4711"
  llm-config break-glass request -t acme --role operator --reason "restore of 22 November" --for 4h`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	var in api.RequestGrant
	var lasts span
	c.Flags().StringVar(&in.Role, "role", "", "the `ROLE` to have: viewer, application or operator (default viewer)")
	c.Flags().StringVar(&in.Reason, "reason", "", "why, which the tenant sees (`TEXT`, required)")
	c.Flags().Var(&lasts, "for", "how long it lasts from its approval, 4h at most (default 1h)")
	complete(c, "role", cobra.FixedCompletions([]string{"viewer", "application", "operator"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, _ []string) error {
		if in.Reason == "" {
			return failf("no reason is given").hint("say why with --reason; the tenant sees it")
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.Seconds = lasts.seconds()
		result, err := to.RequestGrant(c.Context(), in)
		if err != nil {
			return err
		}
		return out.showGrant(result, "%s of %s is asked for, as %s; another administrator of the server approves it: `llm-config break-glass approve -t %[2]s %[3]s`",
			result.Grant.Role, s.tenant, result.Grant.ID)
	}
	return c
}

// showGrant prints what was done about a grant, in one line.
func (o *output) showGrant(result *api.GrantResult, format string, args ...any) error {
	committed := api.Committed{Status: api.Status(result.Status), Revision: result.Revision}
	return o.showValued(result.Grant.ID, result, committed, format, args...)
}

func newGrantApproveCommand(a *app) *cobra.Command {
	c := a.command("approve ID", "Approve access to a tenant that another asked for",
		`Approve what another administrator of the server asked for. It begins now. Who asked
cannot approve it, and neither can anybody whose token began with the same one.`,
		`  llm-config break-glass approve -t acme 4f1c0a9be2d4`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.ApproveGrant(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.showGrant(result, "%s is %s of %s until %s", grantHolder(result.Grant), result.Grant.Role, s.tenant, grantEnd(result.Grant))
	}
	return c
}

func newGrantEndCommand(a *app) *cobra.Command {
	c := a.command("end ID", "End access to a tenant",
		`End access to a tenant at once, or withdraw what was asked for: as an administrator
of the tenant, or of the server.`,
		`  llm-config break-glass end -t acme 4f1c0a9be2d4 -m "the incident is over"`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.EndGrant(c.Context(), args[0], *message)
		if err != nil {
			return err
		}
		return out.showGrant(result, "%s is no longer %s of %s", grantHolder(result.Grant), result.Grant.Role, s.tenant)
	}
	return c
}

func newGrantListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List who has, had or wants access to a tenant",
		"List who has, had or wants access to a tenant by break-glass, newest first.",
		`  llm-config break-glass ls -t acme`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list, err := from.Grants(c.Context())
		if err != nil {
			return err
		}
		v := view{data: list, people: func(p *printer) { printGrants(p, list.Grants) }}
		for _, grant := range list.Grants {
			v.values = append(v.values, grant.ID)
		}
		return out.show(v)
	}
	return c
}

func printGrants(p *printer, grants []api.Grant) {
	t := newTable("ID", "STATE", "ROLE", "WHO", "REQUESTED", "APPROVED BY", "ENDS", "ENDED BY", "REASON")
	for _, g := range grants {
		state := cell{text: g.State}
		switch g.State {
		case "active":
			state.style = styleRed
		case "requested":
			state.style = styleYellow
		}
		t.cells(cell{text: g.ID}, state, cell{text: g.Role}, cell{text: grantHolder(g)}, cell{text: when(g.Requested)},
			cell{text: cmp.Or(g.Approver, "-")}, cell{text: grantEnd(g)}, cell{text: cmp.Or(g.EndedBy, "-")}, cell{text: p.value(g.Reason)})
	}
	t.print(p)
}

// grantHolder is who has the access.
func grantHolder(g api.Grant) string { return cmp.Or(g.Name, g.Requester) }

// grantEnd is when access ends, or ended.
func grantEnd(g api.Grant) string {
	switch {
	case g.Ended != nil:
		return when(*g.Ended)
	case g.Expires != nil:
		return when(*g.Expires)
	}
	return "-"
}
