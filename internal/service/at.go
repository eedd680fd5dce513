package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// resolveAt finds the revision that an AT means. For a version it is the one
// that made that version of the layer of the environment and path named. What
// was committed and this process was not told of yet is in the future.
func (s *Service) resolveAt(ctx context.Context, state *tenantState, environment string, path config.Path, at config.At) (config.Revision, error) {
	newest := state.feed.Revision()
	var revision config.Revision
	var err error
	switch {
	case at.IsNow():
		return newest, nil
	case at.Revision != 0:
		revision = at.Revision
	case at.Version != 0:
		revision, err = s.revisionOfVersion(ctx, state, environment, path, at.Version)
	case !at.Time.IsZero():
		return s.revisionOfTime(ctx, state, at.Time, newest)
	default:
		revision, err = s.revisionOfTag(ctx, state, at.Tag)
	}
	if err == nil && revision > newest {
		err = config.Errorf(config.KindNotFound, "there is no revision %d; the newest is %d", revision, newest).At("at")
	}
	return revision, err
}

func (s *Service) revisionOfTime(ctx context.Context, state *tenantState, t time.Time, newest config.Revision) (config.Revision, error) {
	revision, err := s.store.RevisionAt(ctx, state.tenant.ID, t)
	if err == nil && revision == 0 {
		return 0, config.Errorf(config.KindNotFound, "the tenant did not exist at %s", t.Format(time.RFC3339)).At("at")
	}
	return min(revision, newest), err
}

func (s *Service) revisionOfTag(ctx context.Context, state *tenantState, name string) (config.Revision, error) {
	tag, err := s.store.Tag(ctx, state.tenant.ID, name)
	if config.KindOf(err) == config.KindNotFound {
		return 0, config.Errorf(config.KindNotFound, "there is no tag %q", name).At("at").Hint("`llm-config tag ls` lists them")
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
