package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newEnvironmentCommand(a *app) *cobra.Command {
	return a.group("env", "Environments of a tenant",
		`Environments are where settings apply. Each inherits from its parent, which is
base unless said otherwise.`,
		`  llm-config env ls
  llm-config env create qa --parent staging
  llm-config env set production --isolate-secrets`,
		newEnvironmentListCommand(a), newEnvironmentGetCommand(a), newEnvironmentCreateCommand(a), newEnvironmentSetCommand(a),
		newEnvironmentParentCommand(a), newEnvironmentDeleteCommand(a))
}

func newEnvironmentListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List environments", "List the environments of a tenant and their parents.", `  llm-config env ls -t acme`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list, err := from.Environments(c.Context())
		if err != nil {
			return err
		}
		v := environmentsView(list.Environments)
		v.data = list
		return out.show(v)
	}
	return c
}

func environmentsView(environments []api.Environment) view {
	var v view
	for _, e := range environments {
		v.values = append(v.values, e.Name)
	}
	v.people = func(p *printer) {
		t := newTable("NAME", "PARENT", "SECRETS", "VERSION")
		for _, e := range environments {
			parent := e.Parent
			if parent == "" {
				parent = "-"
			}
			t.row(e.Name, parent, secretsOf(e), number(e.Version))
		}
		t.print(p)
	}
	return v
}

// secretsOf says whose secrets count in an environment.
func secretsOf(e api.Environment) string {
	switch {
	case e.Isolate:
		return "its own only"
	case e.Parent == "":
		return "its own"
	}
	return "inherited"
}

func newEnvironmentGetCommand(a *app) *cobra.Command {
	c := a.command("get NAME", "Show an environment", "Show one environment and its parent.", `  llm-config env get production`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, args []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		environment, err := from.Environment(c.Context(), args[0])
		if err != nil {
			return err
		}
		v := environmentsView([]api.Environment{*environment})
		v.data = environment
		return out.show(v)
	}
	return c
}

func newEnvironmentCreateCommand(a *app) *cobra.Command {
	c := a.command("create NAME", "Create an environment",
		"Create an environment below base, below --parent, or with --root below none. With\n--isolate-secrets it inherits documents and no secrets.",
		`  llm-config env create qa
  llm-config env create eu-production --parent production
  llm-config env create sandbox --root
  llm-config env create customer-a --parent production --isolate-secrets`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var parent string
	var root bool
	c.Flags().StringVar(&parent, "parent", "", "`NAME` of the environment to inherit from (default base)")
	c.Flags().BoolVar(&root, "root", false, "inherit from nothing")
	isolate := isolateFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "parent", "root"); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		there, err := hasEnvironment(c.Context(), to, args[0])
		if err != nil {
			return err
		}
		if there {
			return failf("there is an environment %q already", args[0]).hint("`llm-config env set-parent` gives it another parent")
		}
		in := api.EnvironmentInput{Message: *message}
		if *isolate {
			in.Isolate = isolate
		}
		if root || parent != "" {
			in.Parent = &parent
		}
		return putEnvironment(c.Context(), to, out, args[0], in)
	}
	return c
}

func isolateFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("isolate-secrets", false, "inherit no secrets, though documents are inherited")
}

func newEnvironmentSetCommand(a *app) *cobra.Command {
	c := a.command("set NAME", "Let an environment inherit secrets, or not",
		`Let an environment inherit no secrets with --isolate-secrets, or inherit them again
with --isolate-secrets=false. It holds at once, for it and all below it: references
to secrets that it inherited are then without a value.`,
		`  llm-config env set production --isolate-secrets
  llm-config env set production --isolate-secrets=false`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message, isolate := a.messageFlag(c), isolateFlag(c)
	c.ValidArgsFunction = onlyFirst(s.completeEnvironments)
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("isolate-secrets") {
			return failf("nothing is said that could change").hint("give --isolate-secrets, or --isolate-secrets=false; `llm-config env set-parent` gives it another parent")
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		if _, err := to.Environment(c.Context(), args[0]); err != nil {
			return err
		}
		return putEnvironment(c.Context(), to, out, args[0], api.EnvironmentInput{Isolate: isolate, Message: *message})
	}
	return c
}

func newEnvironmentParentCommand(a *app) *cobra.Command {
	c := a.command("set-parent NAME [PARENT]", "Let an environment inherit from another",
		"Give an environment another parent, or with --root none. Its effective documents\nchange at once.",
		`  llm-config env set-parent qa staging
  llm-config env set-parent sandbox --root`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var root bool
	c.Flags().BoolVar(&root, "root", false, "inherit from nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
		parent := ""
		if root == (len(args) > 1) {
			return failf("set-parent takes either a parent or --root").hint("write it like `llm-config env set-parent %s base`", args[0])
		}
		if !root {
			parent = args[1]
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		if _, err := to.Environment(c.Context(), args[0]); err != nil {
			return err
		}
		return putEnvironment(c.Context(), to, out, args[0], api.EnvironmentInput{Parent: &parent, Message: *message})
	}
	return c
}

// hasEnvironment keeps create from changing what is there: the route does both.
func hasEnvironment(ctx context.Context, from *client.Client, name string) (bool, error) {
	_, err := from.Environment(ctx, name)
	if errors.Is(err, client.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func putEnvironment(ctx context.Context, to *client.Client, out *output, name string, in api.EnvironmentInput) error {
	result, err := to.PutEnvironment(ctx, name, in)
	if err != nil {
		return err
	}
	below := "inherits from nothing"
	if result.Environment.Parent != "" {
		below = "inherits from " + result.Environment.Parent
	}
	if result.Environment.Isolate {
		below += ", and no secrets"
	}
	return out.showCommitted(result, result.Committed, "environment %s %s", result.Environment.Name, below)
}

func newEnvironmentDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete NAME", "Delete an environment",
		"Delete an environment from which no other inherits and which holds no layers.",
		`  llm-config env delete qa`)
	c.Aliases = []string{"rm"}
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	c.ValidArgsFunction = onlyFirst(s.completeEnvironments)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		deleted, err := to.DeleteEnvironment(c.Context(), args[0], *message)
		if err != nil {
			return err
		}
		return out.showCommitted(deleted, deleted.Committed, "environment %s is deleted", deleted.Name)
	}
	return c
}
