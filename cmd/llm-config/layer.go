package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func newLayerCommand(a *app) *cobra.Command {
	return a.group("layer", "What one environment itself says",
		`A layer is what one environment itself says at a path, without what it inherits.`,
		`  llm-config layer get -e production gateway/limits
  llm-config layer destroy -e production gateway/limits --version 3`,
		newLayerGetCommand(a), ofLayer(newPutCommand(a)), ofLayer(newDeleteCommand(a)), newLayerDestroyCommand(a))
}

// ofLayer lets a verb that is always about a layer stand below `layer` too.
func ofLayer(c *cobra.Command) *cobra.Command {
	c.Example = strings.ReplaceAll(c.Example, "llm-config "+c.Name(), "llm-config layer "+c.Name())
	return c
}

func newLayerGetCommand(a *app) *cobra.Command {
	c := a.command("get PATH[#/POINTER]", "Print a layer, or one value of it",
		"Print what the environment itself says at PATH, removal marks (null) and all: the\nsame as get --layer.",
		`  llm-config layer get -e production gateway/limits -o yaml
  llm-config layer get -e production gateway/limits --at v3`)
	g := &getter{scope: a.environmentFlags(c), out: a.outputFlag(c, documentFormats...), layer: true}
	c.Flags().StringVar(&g.at, "at", "", "read the past: a revision, v3, a time or a tag")
	complete(c, "at", g.completeTags)
	c.RunE = func(c *cobra.Command, args []string) error { return g.run(c, args[0]) }
	return c
}

func newLayerDestroyCommand(a *app) *cobra.Command {
	c := a.command("destroy PATH", "Make one version of a layer unreadable for ever",
		`Make one version of a layer unreadable for ever, for the key that somebody pasted
into a document. Its place in the history stays. It asks first at a terminal, and
needs --yes anywhere else. Replace the key itself too: it may have been read.`,
		`  llm-config layer destroy -e production gateway/limits --version 3 --yes -m "pasted key"`)
	s, out := a.environmentFlags(c), a.outputFlag(c, changeFormats...)
	message, yes := a.messageFlag(c), yesFlag(c)
	var version int64
	c.Flags().Int64Var(&version, "version", 0, "the version `N` to destroy (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if version < 1 {
			return failf("no version is given").hint("name it with --version; `llm-config history %s` lists them", args[0])
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		what := "version " + number(version) + " of " + layerKey{s.environment, args[0]}.String()
		if err := a.mustConfirm(*yes, "Make "+what+" unreadable for ever?"); err != nil {
			return err
		}
		destroyed, err := to.Destroy(c.Context(), s.environment, args[0], version, *message)
		if err != nil {
			return err
		}
		return out.showCommitted(destroyed, destroyed.Committed, "%s is destroyed", what)
	}
	return c
}
