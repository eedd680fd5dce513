package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newSecretDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete PATH", "Delete a secret",
		`Delete the environment's own secret at PATH. What it inherits there counts again.
The versions stay, and undelete brings them back; destroy removes them for good.
A secret that documents refer to is deleted only with --force.`,
		`  llm-config secret delete -e staging openai -m "the same as base again"`)
	c.Aliases = []string{"rm"}
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	force := c.Flags().Bool("force", false, "also when documents refer to it")
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.DeleteSecret(c.Context(), s.environment, args[0], client.SecretDelete{Message: *message, Force: *force})
		return s.showWritten(result, err, "%s is deleted; `llm-config secret undelete -e %s %s` brings it back", s.key(args[0]), s.environment, args[0])
	}
	return c
}

func newSecretUndeleteCommand(a *app) *cobra.Command {
	c := a.command("undelete PATH", "Bring a deleted secret back",
		"Bring back a deleted secret with its versions, as far as they were not destroyed.",
		`  llm-config secret undelete -e staging openai`)
	s, message := a.secretScope(c, changeFormats...), a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.UndeleteSecret(c.Context(), s.environment, args[0], api.SecretUndelete{Message: *message})
		if err == nil && result.Status == api.StatusCommitted && result.Current == 0 {
			return s.showWritten(result, nil, "%s is back, with no version in use; `llm-config secret set -e %s %s` makes one, and secret history lists those there are",
				s.key(args[0]), s.environment, args[0])
		}
		return s.showWritten(result, err, "%s is back", s.key(args[0]))
	}
	return c
}

func newSecretDestroyCommand(a *app) *cobra.Command {
	c := a.command("destroy PATH", "Make versions of a secret unreadable for ever",
		`Make versions of a secret unreadable for ever, or with --all every version of a
deleted secret. The version in use cannot be destroyed. It asks first at a terminal,
and needs --yes anywhere else.`,
		`  llm-config secret destroy -e production openai --version 3 --version 4 --yes
  llm-config secret destroy -e staging openai --all --yes -m "the provider is gone"`)
	s, message, yes := a.secretScope(c, changeFormats...), a.messageFlag(c), yesFlag(c)
	var versions []int64
	var all bool
	c.Flags().Int64SliceVar(&versions, "version", nil, "a version `N` to destroy; may be given again")
	c.Flags().BoolVar(&all, "all", false, "every version of a deleted secret")
	c.RunE = func(c *cobra.Command, args []string) error {
		if all == (len(versions) > 0) {
			return failf("either versions are given, or --all").hint("name them with --version; `llm-config secret history %s` lists them", args[0])
		}
		texts := make([]string, len(versions))
		for i, version := range versions {
			if version < 1 {
				return failf("--version takes numbers from 1 up").hint("`llm-config secret history %s` lists them", args[0])
			}
			texts[i] = number(version)
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		what := "version " + strings.Join(texts, ", ")
		if all {
			what = "every version"
		}
		what += " of " + s.key(args[0]).String()
		if err := a.mustConfirm(*yes, "Make "+what+" unreadable for ever?"); err != nil {
			return err
		}
		result, err := to.DestroySecret(c.Context(), s.environment, args[0], api.SecretDestroy{Versions: versions, All: all, Message: *message})
		return s.showWritten(result, err, "%s is destroyed", what)
	}
	return c
}
