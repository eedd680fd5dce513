package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
)

// complete gives a flag its completions in a shell.
func complete(c *cobra.Command, flag string, completions cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, completions); err != nil {
		panic(err) // the flag is not there: a mistake in this program
	}
}

func takesPath(c *cobra.Command) bool {
	_, arguments, _ := strings.Cut(c.Use, " ")
	return strings.HasPrefix(strings.TrimPrefix(arguments, "["), "P") // PATH or PREFIX
}

// completePaths completes the first argument, a path of a document. A server
// that cannot be asked completes nothing.
func (s *scope) completePaths(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.client(c)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Configs(c.Context(), s.environment, client.List{Prefix: folderOf(typed), Page: client.Page{Limit: maxPage}})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	paths := make([]string, len(list.Configs))
	for i, entry := range list.Configs {
		paths[i] = entry.Path
	}
	return startingWith(typed, paths), cobra.ShellCompDirectiveNoFileComp
}

// folderOf is the prefix of the paths that may begin with what was typed.
func folderOf(typed string) string { return typed[:max(strings.LastIndex(typed, "/"), 0)] }

func startingWith(typed string, paths []string) []cobra.Completion {
	return keep(paths, func(path string) bool { return strings.HasPrefix(path, typed) })
}

// ofTenant is a client of which the tenant alone must be known.
func (s *scope) ofTenant(c *cobra.Command) (*client.Client, error) {
	if err := s.resolve(c, s.needs[:1]); err != nil {
		return nil, err
	}
	return s.connect()
}

// completeTags completes what names a point in history.
func (s *scope) completeTags(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.ofTenant(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Tags(c.Context(), client.Page{Limit: maxPage})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]cobra.Completion, len(list.Tags))
	for i, tag := range list.Tags {
		names[i] = tag.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// onlyFirst completes the first argument and no further one.
func onlyFirst(completions cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completions(c, args, typed)
	}
}

// completeEnvironments completes what names an environment.
func (s *scope) completeEnvironments(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.ofTenant(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Environments(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]cobra.Completion, len(list.Environments))
	for i, e := range list.Environments {
		names[i] = e.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completePolicies completes the name of a policy file of the tenant's own.
func (s *scope) completePolicies(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.ofTenant(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Policies(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]cobra.Completion, len(list.Policies))
	for i, file := range list.Policies {
		names[i] = file.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRoles completes the name of a role, the built-in ones too.
func (s *scope) completeRoles(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.ofTenant(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Roles(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]cobra.Completion, len(list.Roles))
	for i, role := range list.Roles {
		names[i] = role.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
