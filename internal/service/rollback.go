package service

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxNotes bounds what a person is told besides the result.
const maxNotes = 20

// RollbackRequest asks for an environment's own layers as they were.
type RollbackRequest struct {
	Environment string
	Path        config.Path // zero for all of the environment's layers
	To          config.At
	Message     string
	DryRun      bool
}

// Rollback restores an environment's own layers as they were at a point. What
// the environment inherits it leaves alone, and says so where that matters.
func (s *Service) Rollback(ctx context.Context, who Caller, tenant string, in RollbackRequest) (ChangeResult, error) {
	state, err := s.guardAny(ctx, who, access.ConfigWrite, tenant, access.Resource{Environment: in.Environment, Path: in.Path})
	if err != nil {
		return ChangeResult{}, err
	}
	if in.To.IsNow() {
		return ChangeResult{}, config.Errorf(config.KindBadRequest, "a rollback needs the point to go back to").At("to").
			Hint("`llm-config history` lists versions, `llm-config log` revisions")
	}
	return s.change(ctx, who, state, writing{"config.rollback", in.Message, in.DryRun, in.Path.String()}, func(ctx context.Context, n *snapshot) (wish, error) {
		env, err := n.tree.Named(in.Environment)
		if err != nil {
			return wish{}, err
		}
		then, err := s.past(ctx, state, in.Environment, in.Path, in.To)
		if err != nil {
			return wish{}, err
		}
		return n.rollback(ctx, then, env.ID, in.Path)
	})
}

func (n *snapshot) rollback(ctx context.Context, then *snapshot, env config.EnvironmentID, path config.Path) (wish, error) {
	if _, there := then.tree.Get(env); !there {
		return wish{}, config.Errorf(config.KindNotFound, "%s did not exist at revision %d", n.tree.Name(env), then.at).At("to")
	}
	paths := []config.Path{path}
	if path.IsZero() {
		var err error
		if paths, err = ownPaths(ctx, env, n, then); err != nil {
			return wish{}, err
		}
	}
	if err := n.readAll(ctx, paths...); err != nil {
		return wish{}, err
	}
	if err := then.readAll(ctx, paths...); err != nil {
		return wish{}, err
	}
	var w wish
	replaced := map[place]config.Document{}
	for _, path := range paths {
		at := place{env, path}
		was := then.layer(at)
		if was.gone != nil {
			return wish{}, was.gone
		}
		w.drafts = append(w.drafts, draftTo(at, was.doc))
		replaced[at] = was.doc
	}
	w.notes = n.inherited(then, env, paths, replaced)
	return w, nil
}

// draftTo is the edit that makes a layer what it was, or what another one is.
func draftTo(at place, doc config.Document) draft {
	return draft{at: at, next: func(config.Document) (config.Document, error) { return doc, nil }}
}

// ownPaths are the paths at which an environment itself says something in any of the snapshots.
func ownPaths(ctx context.Context, env config.EnvironmentID, snapshots ...*snapshot) ([]config.Path, error) {
	var paths []config.Path
	for _, n := range snapshots {
		err := n.scanAll(ctx, []config.EnvironmentID{env}, config.Prefix{}, maxBundleDocuments, func(path config.Path) error {
			paths = append(paths, path)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return sorted(paths), nil
}

// inherited says which documents will still differ from what they were, and
// which environment that comes from.
func (n *snapshot) inherited(then *snapshot, env config.EnvironmentID, paths []config.Path, replaced map[place]config.Document) []string {
	var notes []string
	will, was := n.view(replaced), then.view(nil)
	for _, path := range paths {
		at := place{env, path}
		next, nextErr := will.effective(at)
		before, beforeErr := was.effective(at)
		if nextErr != nil || beforeErr != nil || len(config.Diff(before.Document, next.Document)) == 0 {
			continue
		}
		for _, ancestor := range n.tree.Chain(env)[1:] {
			if l := n.layer(place{ancestor, path}); l.Revision > then.at && len(notes) < maxNotes {
				notes = append(notes, fmt.Sprintf(
					"%s still differs in %s: it inherits from %s, which changed it at revision %d; roll back %s too, or override it in %s",
					path, n.tree.Name(env), n.tree.Name(ancestor), l.Revision, n.tree.Name(ancestor), n.tree.Name(env)))
			}
		}
	}
	return notes
}
