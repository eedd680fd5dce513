package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// History is a page of the versions of a layer, newest first.
type History struct {
	Versions []VersionEntry
	Next     Cursor
}

// VersionEntry is one version of a layer.
type VersionEntry struct {
	Origin
	State store.LayerState
}

// History answers the versions of an environment's layer at a path, with the
// versions of those it inherits from when the effective history is asked for.
func (s *Service) History(ctx context.Context, who Caller, tenant, environment string, path config.Path, effective bool, page Page) (History, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: environment, Path: path})
	if err != nil {
		return History{}, err
	}
	pages := s.pagesOf(who, state.tenant.ID, "history")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return History{}, err
	}
	tree := state.tree.Load()
	env, err := tree.Named(environment)
	if err != nil {
		return History{}, err
	}
	environments := []config.EnvironmentID{env.ID}
	if effective { // of what it inherits, only what the caller could read there
		for _, id := range tree.Chain(env.ID)[1:] {
			if s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: tree.Name(id), Path: path}) {
				environments = append(environments, id)
			}
		}
	}
	rows, next, err := s.store.Versions(ctx, state.tenant.ID, environments, path, asked)
	if err != nil {
		return History{}, err
	}
	if len(rows) == 0 && page.Cursor == "" {
		missing := config.Errorf(config.KindNotFound, "there never was a layer %s in %s", path, environment)
		if !effective {
			missing = missing.Hint("`llm-config history --effective` shows what it inherits")
		}
		return History{}, missing
	}
	origins := make([]Origin, 0, len(rows))
	for _, row := range rows {
		origins = append(origins, originOf(tree.Tree, row))
	}
	if err := s.addMessages(ctx, state.tenant.ID, origins); err != nil {
		return History{}, err
	}
	var history History
	if history.Next, err = pages.seal(ctx, next); err != nil {
		return History{}, err
	}
	for i, row := range rows {
		history.Versions = append(history.Versions, VersionEntry{origins[i], row.State})
	}
	return history, nil
}
