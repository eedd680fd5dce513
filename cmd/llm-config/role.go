package main

import (
	"cmp"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newRoleCommand(a *app) *cobra.Command {
	return a.group("role", "Roles, which policies give rights to",
		`A token has roles, and policies say what each may do. viewer, operator, admin and
application are built in; a tenant adds its own, which may include others. A role
that no policy names, and that includes none, may do nothing.`,
		`  llm-config role ls
  llm-config role set deployer --include viewer --description "writes staging"
  llm-config token create ci --role deployer`,
		newRoleListCommand(a), newRoleGetCommand(a), newRoleSetCommand(a), newRoleDeleteCommand(a), newRoleHistoryCommand(a))
}

func newRoleListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List roles", "List the roles of a tenant, the built-in ones first.", `  llm-config role ls -o value`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list, err := from.Roles(c.Context())
		if err != nil {
			return err
		}
		return out.show(rolesView(list, list.Roles...))
	}
	return c
}

func rolesView(data any, roles ...api.Role) view {
	v := view{data: data}
	for _, role := range roles {
		v.values = append(v.values, role.Name)
	}
	v.people = func(p *printer) {
		t := newTable("NAME", "INCLUDES", "VERSION", "AUTHOR", "TIME", "DESCRIPTION")
		for _, role := range roles {
			version, changed := cell{text: number(role.Version)}, "-"
			if role.Builtin {
				version = cell{builtIn, styleDim}
			}
			if role.Time != nil {
				changed = when(*role.Time)
			}
			t.cells(cell{text: role.Name}, cell{text: cmp.Or(strings.Join(role.Includes, ", "), "-")}, version,
				cell{text: cmp.Or(role.Author, "-")}, cell{text: changed}, cell{text: cmp.Or(p.value(role.Description), "-")})
		}
		t.print(p)
	}
	return v
}

func newRoleGetCommand(a *app) *cobra.Command {
	c := a.command("get NAME", "Show a role", "Show a role: its newest version, or an earlier one.", `  llm-config role get deployer
  llm-config role get deployer --version 2`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	version := versionFlag(c, "version", "the version `N` (default the newest)")
	c.ValidArgsFunction = onlyFirst(s.completeRoles)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		role, err := from.Role(c.Context(), args[0], int64(*version))
		if err != nil {
			return err
		}
		return out.show(rolesView(role, *role))
	}
	return c
}

func newRoleSetCommand(a *app) *cobra.Command {
	c := a.command("set NAME", "Define a role, or change it",
		`Define a role of the tenant's own, or change one. What is left out stays as it is;
--include names all roles that it includes, and --include= none. You can include only
what you may do yourself, and the test cases of all policy files are run first.`,
		`  llm-config role set deployer --include viewer --description "writes staging"
  llm-config role set on-call --include deployer --include operator -m "for the rota"
  llm-config role set deployer --include=`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var in api.PutRole
	c.Flags().StringVar(&in.Description, "description", "", "what the role is for (`TEXT`)")
	c.Flags().StringSliceVar(&in.Includes, "include", nil, "a `ROLE` whose rights its holders have as well; may be given again")
	complete(c, "include", s.completeRoles)
	c.ValidArgsFunction = onlyFirst(s.completeRoles)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		before, err := to.Role(c.Context(), args[0], 0)
		switch {
		case errors.Is(err, client.ErrNotFound):
			before = &api.Role{}
		case err != nil:
			return err
		}
		if !c.Flags().Changed("description") {
			in.Description = before.Description
		}
		if !c.Flags().Changed("include") {
			in.Includes = before.Includes
		}
		// What was left out is as it was read, and so must the role be.
		in.Message, in.IfVersion = *message, &before.Version
		result, err := to.PutRole(c.Context(), args[0], in)
		if err != nil {
			return err
		}
		return out.showRoleResult(result, "is version "+number(result.Role.Version))
	}
	return c
}

// showRoleResult prints what a write of a role did.
func (o *output) showRoleResult(result *api.RoleResult, what string) error {
	return o.show(view{data: result, values: []string{number(result.Revision)}, people: func(p *printer) {
		printFindings(p, result.Findings)
		printTests(p, result.Tests)
		if api.Status(result.Status) == api.StatusUnchanged {
			p.printf("unchanged at revision %d\n", result.Revision)
			return
		}
		p.printf("revision %d: role %s %s\n", result.Revision, result.Role.Name, what)
	}})
}

func newRoleDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete NAME", "Delete a role",
		`Delete a role of the tenant's own. It is refused while another role includes it or
tokens that still stand have it, and when a test case of the policies then fails.`,
		`  llm-config role delete deployer -m "nobody deploys by hand any more"`)
	c.Aliases = []string{"rm"}
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var ifVersion int64
	c.Flags().Int64Var(&ifVersion, "if-version", 0, "only if the newest version is `N`")
	c.ValidArgsFunction = onlyFirst(s.completeRoles)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.DeleteRole(c.Context(), args[0], client.RoleDelete{Message: *message, IfVersion: given(c, "if-version", &ifVersion)})
		if err != nil {
			return err
		}
		return out.showRoleResult(result, "is deleted")
	}
	return c
}

func newRoleHistoryCommand(a *app) *cobra.Command {
	c := a.command("history NAME", "List the versions of a role", "List the versions of a role, newest first.", `  llm-config role history deployer`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.ValidArgsFunction = onlyFirst(s.completeRoles)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		history := api.PolicyHistory{Versions: []api.Policy{}}
		for version, err := range from.AllRoleHistory(c.Context(), args[0], client.Page{Limit: maxPage}) {
			if err != nil {
				return err
			}
			history.Versions = append(history.Versions, version)
		}
		return out.show(policyHistoryView(history))
	}
	return c
}
