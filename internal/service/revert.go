package service

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// RevertRequest asks for one change to be undone.
type RevertRequest struct {
	Revision config.Revision
	Force    bool // also where a layer changed since
	Message  string
	DryRun   bool
}

// Revert undoes one change everywhere it touched. Layers that changed since
// are listed and nothing is done, unless it is forced.
func (s *Service) Revert(ctx context.Context, who Caller, tenant string, in RevertRequest) (ChangeResult, error) {
	state, err := s.guardAny(ctx, who, access.ConfigWrite, tenant, access.Resource{})
	if err != nil {
		return ChangeResult{}, err
	}
	edits, err := s.editsOf(ctx, state, in.Revision)
	if err != nil {
		return ChangeResult{}, err
	}
	for _, e := range edits {
		environment, there := state.tree.Load().Get(e.Environment)
		if !there {
			return ChangeResult{}, environmentGone()
		}
		resource := access.Resource{Environment: environment.Name, Path: config.MustPath(e.Path)}
		if err := s.guardWrite(ctx, who, state, resource); err != nil {
			return ChangeResult{}, err
		}
	}
	if in.Message == "" {
		in.Message = fmt.Sprintf("revert revision %d", in.Revision)
	}
	return s.change(ctx, who, state, writing{"config.revert", in.Message, in.DryRun, ""}, func(ctx context.Context, n *snapshot) (wish, error) {
		return n.revert(ctx, edits, in.Revision, in.Force)
	})
}

// editsOf are the edits of a change.
func (s *Service) editsOf(ctx context.Context, state *tenantState, revision config.Revision) ([]entryEdit, error) {
	entries, err := s.store.EntriesOf(ctx, state.tenant.ID, []config.Revision{revision})
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, noRevision(revision)
	}
	if entries[0].Kind != store.EntryChange {
		return nil, config.Errorf(config.KindBadRequest, "revision %d is no change of layers but of kind %s", revision, entries[0].Kind).At("revision").
			Hint("`llm-config log` lists changes")
	}
	body, err := s.openEntry(ctx, state.tenant.ID, entries[0])
	return body.Edits, err
}

func (n *snapshot) revert(ctx context.Context, edits []entryEdit, revision config.Revision, force bool) (wish, error) {
	var w wish
	var moved []config.Problem
	for _, e := range edits {
		at := place{e.Environment, config.MustPath(e.Path)}
		environment, there := n.tree.Get(e.Environment)
		if !there {
			return wish{}, environmentGone()
		}
		if err := n.read(ctx, at.path); err != nil {
			return wish{}, err
		}
		if now := n.layer(at); now.Version != e.Version {
			moved = append(moved, config.Problem{
				Environment: environment.Name, Path: e.Path,
				Message: fmt.Sprintf("the change made version %d, it is at version %d now", e.Version, now.Version),
			})
		}
		before, err := n.s.versionBefore(ctx, n, at, e.Version)
		if err != nil {
			return wish{}, err
		}
		w.drafts = append(w.drafts, draftTo(at, before))
	}
	if len(moved) > 0 && !force {
		e := config.Errorf(config.KindChangedSince, "layers changed after revision %d", revision).
			Hint("look at `llm-config history`; force the revert to take back the later edits of these layers too")
		e.Details = moved
		return wish{}, e
	}
	return w, nil
}

// versionBefore is the layer as it was before a version, absent before the first.
func (s *Service) versionBefore(ctx context.Context, n *snapshot, at place, version config.Version) (config.Document, error) {
	if version == 1 {
		return config.Document{}, nil
	}
	row, err := s.store.LayerVersion(ctx, n.tenant, at.environment, at.path, version-1)
	if err != nil {
		return config.Document{}, err
	}
	o, err := s.open(ctx, n.tenant, n.tree, row)
	if err == nil {
		err = o.gone
	}
	return o.doc, err
}

func environmentGone() error {
	return config.Errorf(config.KindNotFound, "an environment that the change touched was deleted since")
}

func noRevision(revision config.Revision) error {
	return config.Errorf(config.KindNotFound, "there is no revision %d", revision).At("revision").Hint("`llm-config log` lists them")
}
