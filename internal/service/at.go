package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// resolveAt finds the revision that an AT means. For a version it is the one
// that made that version of the layer of the environment and path named.
func (s *Service) resolveAt(ctx context.Context, state *tenantState, environment string, path config.Path, at config.At) (config.Revision, error) {
	newest := state.feed.Revision()
	switch {
	case at.IsNow():
		return newest, nil
	case at.Revision != 0:
		if at.Revision > newest {
			return 0, config.Errorf(config.KindNotFound, "there is no revision %d; the newest is %d", at.Revision, newest).At("at")
		}
		return at.Revision, nil
	case at.Version != 0:
		return s.revisionOfVersion(ctx, state, environment, path, at.Version)
	case !at.Time.IsZero():
		revision, err := s.store.RevisionAt(ctx, state.tenant.ID, at.Time)
		if err == nil && revision == 0 {
			return 0, config.Errorf(config.KindNotFound, "the tenant did not exist at %s", at.Time.Format(time.RFC3339)).At("at")
		}
		return revision, err
	}
	tag, err := s.store.Tag(ctx, state.tenant.ID, at.Tag)
	if config.KindOf(err) == config.KindNotFound {
		return 0, config.Errorf(config.KindNotFound, "there is no tag %q", at.Tag).At("at").Hint("`llm-config tag ls` lists them")
	}
	return tag.Target, err
}

func (s *Service) revisionOfVersion(ctx context.Context, state *tenantState, environment string, path config.Path, version config.Version) (config.Revision, error) {
	if path.IsZero() {
		return 0, config.Errorf(config.KindBadRequest, "a version has a meaning only together with a path").At("at").
			Hint("give a revision, a time or a tag")
	}
	env, err := state.tree.Load().Named(environment)
	if err != nil {
		return 0, err
	}
	row, err := s.store.LayerVersion(ctx, state.tenant.ID, env.ID, path, version)
	if config.KindOf(err) == config.KindNotFound {
		return 0, config.Errorf(config.KindNotFound, "%s in %s has no version %d", path, environment, version).At("at").
			Hint("`llm-config history %s` lists its versions", path)
	}
	return row.Revision, err
}

// past is a snapshot of what an AT means.
func (s *Service) past(ctx context.Context, state *tenantState, environment string, path config.Path, at config.At) (*snapshot, error) {
	revision, err := s.resolveAt(ctx, state, environment, path, at)
	if err != nil {
		return nil, err
	}
	return s.snapshot(ctx, state, revision)
}
