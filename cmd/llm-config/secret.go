package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newSecretCommand(a *app) *cobra.Command {
	return a.group("secret", "Secrets: keys, passwords and what else nobody should read",
		`A secret is a named set of fields, sealed, with versions of its own. Documents refer
to it as ${secret:PATH#FIELD}; a secret of one value has the field "value". What
counts in an environment is the nearest secret along its parents, as a whole.

-o value prints the number of a new version, and where none is made the revision.

A new version takes the place of the one before, which stays valid for a time of
grace, so that nobody is cut off while programs take the new one up.

Values are never arguments: everybody on a machine can read those. They come from a
prompt, from standard input or from a file.`,
		`  llm-config secret set -e production openai
  llm-config secret set -e production db/main user=@user.txt password=- < password.txt
  llm-config secret set -e production session --generate base64:32 --rotate-every 30d --rotate-with base64:32
  llm-config secret get -e production openai | use-it
  llm-config secret adoption -e production openai`,
		newSecretSetCommand(a), newSecretGetCommand(a), newSecretListCommand(a), newSecretHistoryCommand(a), newSecretDiffCommand(a),
		newSecretUpdateCommand(a), newSecretRotateCommand(a), newSecretActivateCommand(a), newSecretRevokeCommand(a),
		newSecretAdoptionCommand(a), newSecretDeleteCommand(a), newSecretUndeleteCommand(a), newSecretDestroyCommand(a))
}

// secretScope is what most verbs about a secret begin with.
type secretScope struct {
	*scope
	out *output
}

func (a *app) secretScope(c *cobra.Command, formats ...string) *secretScope {
	s := &secretScope{a.environmentFlags(c), a.outputFlag(c, formats...)}
	c.ValidArgsFunction = s.completeSecrets
	return s
}

// completeSecrets completes the first argument, a path of a secret.
func (s *secretScope) completeSecrets(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	from, err := s.client(c)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, err := from.Secrets(c.Context(), s.environment, client.SecretList{Prefix: folderOf(typed), Page: client.Page{Limit: maxPage}})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	paths := make([]string, len(list.Secrets))
	for i, secret := range list.Secrets {
		paths[i] = secret.Path
	}
	return startingWith(typed, paths), cobra.ShellCompDirectiveNoFileComp
}

// showWritten prints what a write of a secret did; its value is the revision.
func (s *secretScope) showWritten(result *api.SecretResult, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return s.showNoted(number(result.Revision), result, format, args...)
}

// showNoted prints a result with the server's notes.
func (s *secretScope) showNoted(value string, result *api.SecretResult, format string, args ...any) error {
	if err := s.out.showValued(value, result, result.Committed, format, args...); err != nil {
		return err
	}
	if s.out.format == asTable {
		p := s.app.printer()
		for _, note := range result.Notes {
			p.printf("%s %s\n", p.paint(styleYellow, "note:"), clean(note))
		}
	}
	return nil
}

// key names a secret in messages as a layer is named.
func (s *secretScope) key(path string) layerKey { return layerKey{s.environment, path} }
