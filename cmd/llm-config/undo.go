package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newRollbackCommand(a *app) *cobra.Command {
	c := a.command("rollback [PATH]", "Restore layers as they were at a point",
		`Restore what the environment itself says as it was at a point: at PATH, or
without PATH everywhere in the environment. It is a new change, so it can be
undone like any other. Values that are inherited stay as they are, and are noted.

--to takes a revision (1042), a version of the layer (v3), a time or a tag.`,
		`  llm-config rollback -e production gateway/limits --to v3
  llm-config rollback -e production --to release-12 --dry-run`)
	s, out := a.environmentFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var in api.Rollback
	c.Flags().StringVar(&in.To, "to", "", "the `POINT` to return to (required)")
	complete(c, "to", s.completeTags)
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.RunE = func(c *cobra.Command, args []string) error {
		if in.To == "" {
			return failf("no point to return to is given").hint("name it with --to; `llm-config history` and `llm-config log` list them")
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		if len(args) > 0 {
			in.Path = args[0]
		}
		in.Environment, in.Message = s.environment, *message
		result, err := to.Rollback(c.Context(), in)
		if err != nil {
			return err
		}
		if len(result.Edits) == 0 && in.Path != "" {
			if err := hasHistory(c.Context(), to, s.environment, in.Path); err != nil {
				return err
			}
		}
		return out.showChange(result)
	}
	return c
}

// hasHistory tells a layer that is as it was from one that never was.
func hasHistory(ctx context.Context, from *client.Client, environment, path string) error {
	history, err := from.History(ctx, environment, path, client.HistoryQuery{Page: client.Page{Limit: 1}})
	if err != nil && !errors.Is(err, client.ErrNotFound) {
		return err
	}
	if err != nil || len(history.Entries) == 0 {
		return failf("there is nothing at %s in %s itself, and never was", path, environment).hint("`llm-config ls` lists what there is, and the layers it is made of")
	}
	return nil
}

func newRevertCommand(a *app) *cobra.Command {
	c := a.command("revert REVISION", "Undo one change everywhere it touched",
		`Undo one change in every environment and at every path it touched. It is refused
when one of those layers has changed since; --force undoes them all the same.`,
		`  llm-config revert 1042 -m "the new limits were too low"
  llm-config revert 1042 --dry-run`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var in api.Revert
	c.Flags().BoolVar(&in.Force, "force", false, "also undo layers that changed since")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.RunE = func(c *cobra.Command, args []string) error {
		var err error
		if in.Revision, err = parseRevision(args[0]); err != nil {
			return err
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.Message = *message
		result, err := to.Revert(c.Context(), in)
		if err != nil {
			return err
		}
		return out.showChange(result)
	}
	return c
}

func newPromoteCommand(a *app) *cobra.Command {
	c := a.command("promote [PATH…]", "Take an environment's layers over into another",
		`Replace what one environment itself says by what another itself says, at the PATHs
or with --all wherever the source says something. --prune deletes the target's
layers where the source says nothing. What the target said and says no more is
listed, by the plan (--dry-run) too, with the rollback that brings it back.`,
		`  llm-config promote --from staging --to production gateway/limits --dry-run
  llm-config promote --from staging --to production --all --at release-12 -m "release 12"`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	var in api.Promote
	c.Flags().StringVar(&in.From, "from", "", "the source `ENVIRONMENT` (required)")
	c.Flags().StringVar(&in.To, "to", "", "the target `ENVIRONMENT` (required)")
	c.Flags().BoolVar(&in.All, "all", false, "every path at which the source says something")
	c.Flags().StringVar(&in.At, "at", "", "the source as it was at this `POINT`")
	complete(c, "from", s.completeEnvironments)
	complete(c, "to", s.completeEnvironments)
	complete(c, "at", s.completeTags)
	c.Flags().BoolVar(&in.Prune, "prune", false, "also delete the target's layers where the source says nothing")
	c.Flags().BoolVar(&in.DryRun, "dry-run", false, "show what would happen, and exit 2 if anything would")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case in.From == "" || in.To == "":
			return failf("promote takes from one environment into another").hint("name them with --from and --to")
		case in.All == (len(args) > 0):
			return failf("promote takes either paths or --all").hint("give the paths, or --all for every path of %s", in.From)
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		in.Paths, in.Message = slices.Clone(args), *message
		result, err := to.Promote(c.Context(), in)
		if err != nil {
			return err
		}
		return out.showChange(result)
	}
	return c
}
