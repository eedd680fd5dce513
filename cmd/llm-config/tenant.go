package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newTenantCommand(a *app) *cobra.Command {
	return a.group("tenant", "Tenants of a server",
		`Tenants are the unit of isolation: each has its own data, keys and tokens. They are
managed with a token of the server's administrators, which reads no tenant's
documents.`,
		`  llm-config tenant create acme
  llm-config tenant ls`,
		newTenantListCommand(a), newTenantGetCommand(a), newTenantCreateCommand(a), newTenantDeleteCommand(a))
}

func newTenantListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List tenants", "List the tenants of the server by name.", `  llm-config tenant ls -o value`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list := api.TenantList{Tenants: []api.Tenant{}}
		for tenant, err := range from.AllTenants(c.Context(), client.Page{Limit: maxPage}) {
			if err != nil {
				return err
			}
			list.Tenants = append(list.Tenants, tenant)
		}
		return out.show(tenantsView(list, list.Tenants...))
	}
	return c
}

func newTenantGetCommand(a *app) *cobra.Command {
	c := a.command("get NAME", "Show a tenant", "Show one tenant and its id.", `  llm-config tenant get acme`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		tenant, err := from.GetTenant(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.show(tenantsView(tenant, *tenant))
	}
	return c
}

func tenantsView(data any, tenants ...api.Tenant) view {
	v := view{data: data}
	for _, tenant := range tenants {
		v.values = append(v.values, tenant.Name)
	}
	v.people = func(p *printer) {
		t := newTable("NAME", "ID", "CREATED")
		for _, tenant := range tenants {
			t.row(tenant.Name, tenant.ID, when(tenant.Created))
		}
		t.print(p)
	}
	return v
}

func newTenantCreateCommand(a *app) *cobra.Command {
	c := a.command("create NAME", "Create a tenant",
		`Create a tenant with its first environments and the first token of its
administrators. The token is shown once and kept nowhere; -o value prints nothing
else.`,
		`  llm-config tenant create acme
  LLM_CONFIG_TOKEN=$(llm-config tenant create acme -o value)`)
	s, out := a.serverFlags(c), a.outputFlag(c, listFormats...)
	token := newTokenFlags(c, "token-name", "admin")
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		founded, err := to.CreateTenant(c.Context(), api.NewTenant{Name: args[0], Token: token.request()})
		if errors.Is(err, client.ErrTokenLost) {
			return fmt.Errorf("the tenant %s was created: %w", args[0], err)
		}
		if err != nil {
			return err
		}
		return out.show(view{data: founded, values: []string{founded.Token.Value}, people: func(p *printer) {
			p.printf("tenant %s is created\n", founded.Tenant.Name)
			printToken(p, founded.Token)
		}})
	}
	return c
}

func newTenantDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete NAME", "Delete a tenant and all it holds",
		`Delete a tenant, its keys and all it holds. Nothing brings it back: not even a
backup of the data can be read without its keys. It asks first at a terminal, and
needs --yes anywhere else.`,
		`  llm-config tenant delete acme --yes`)
	s, out := a.serverFlags(c), a.outputFlag(c, changeFormats...)
	yes := yesFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		if err := a.mustConfirm(*yes, "Delete the tenant "+args[0]+", its keys and all it holds, for ever?"); err != nil {
			return err
		}
		deleted, err := to.DeleteTenant(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.show(view{data: deleted, values: []string{deleted.Name}, people: func(p *printer) {
			p.printf("tenant %s is deleted\n", deleted.Name)
		}})
	}
	return c
}

func yesFlag(c *cobra.Command) *bool {
	return c.Flags().BoolP("yes", "y", false, "do not ask")
}

// mustConfirm is for what cannot be undone.
func (a *app) mustConfirm(yes bool, question string) error {
	switch {
	case yes:
		return nil
	case !a.interactive:
		return failf("this cannot be undone").hint("give --yes to do it all the same")
	case !a.confirm(question, false):
		return failf("nothing was done")
	}
	return nil
}
