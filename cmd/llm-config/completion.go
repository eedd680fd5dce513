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
	const maxShown = 200
	from, err := s.client(c)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var paths []cobra.Completion
	for entry, err := range from.AllConfigs(c.Context(), s.environment, client.List{Glob: completionGlob(typed), Page: client.Page{Limit: maxShown}}) {
		if err != nil || len(paths) == maxShown {
			break
		}
		paths = append(paths, entry.Path)
	}
	return paths, cobra.ShellCompDirectiveNoFileComp
}

// completeEnvironments completes flags that name an environment.
func (s *scope) completeEnvironments(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	tenant := *s
	tenant.needs = s.needs[:1]
	from, err := tenant.client(c)
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

// completionGlob selects what begins with what is typed, segments below included.
func completionGlob(typed string) string {
	if typed == "" || strings.HasSuffix(typed, "/") {
		return typed + "**"
	}
	return typed + "*"
}
