package service

import (
	"context"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Destroyed says that a version of a layer was made unreadable.
type Destroyed struct {
	Outcome
	Environment string
	Path        config.Path
	Version     config.Version
}

// Destroy makes an old version of a layer unreadable for ever, for the key that
// somebody pasted into a document. Its row and its digest stay.
func (s *Service) Destroy(ctx context.Context, who Caller, tenant, environment string, path config.Path, version config.Version, message string) (Destroyed, error) {
	state, err := s.guard(ctx, who, access.ConfigDestroy, tenant, access.Resource{Environment: environment, Path: path})
	if err != nil {
		return Destroyed{}, err
	}
	if err := checkMessage(message); err != nil {
		return Destroyed{}, err
	}
	result := Destroyed{Environment: environment, Path: path, Version: version}
	return once(ctx, s, who, state.tenant.ID, func() (Destroyed, error) {
		outcome, err := s.commit(ctx, state, path.String(), func(ctx context.Context, n *snapshot) (*proposal, error) {
			env, err := n.tree.Named(environment)
			if err != nil {
				return nil, err
			}
			at := place{env.ID, path}
			row, err := n.destroyable(ctx, at, version)
			if err != nil || row.State == store.Destroyed {
				return nil, err
			}
			p, err := s.proposeDestroy(ctx, who, n, at, row, message)
			if err != nil {
				return nil, err
			}
			answer := result
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		result.Outcome = outcome
		return result, err
	})
}

func (n *snapshot) destroyable(ctx context.Context, at place, version config.Version) (store.Layer, error) {
	environment := n.tree.Name(at.environment)
	row, err := n.s.store.LayerVersion(ctx, n.tenant, at.environment, at.path, version)
	if config.KindOf(err) == config.KindNotFound {
		return row, config.Errorf(config.KindNotFound, "%s in %s has no version %d", at.path, environment, version).At("version").
			Hint("`llm-config history %s` lists its versions", at.path)
	}
	if err != nil {
		return row, err
	}
	if err := n.read(ctx, at.path); err != nil {
		return row, err
	}
	if n.layer(at).Version == version {
		return row, config.Errorf(config.KindInUse, "version %d is what %s says now", version, environment).At("version").
			Hint("write or delete the layer first, then destroy the version")
	}
	return row, nil
}

// proposeDestroy puts the sealed digest in the place of the sealed document.
func (s *Service) proposeDestroy(ctx context.Context, who Caller, n *snapshot, at place, row store.Layer, message string) (*proposal, error) {
	o, err := s.open(ctx, n.tenant, n.tree, row)
	if err != nil {
		return nil, err
	}
	digest := o.doc.Digest()
	sealed, err := s.keyring.Seal(ctx, seal.Place{
		Kind: seal.LayerDigest, Tenant: n.tenant, Environment: at.environment, Path: at.path.String(), Version: int64(row.Version),
	}, digest[:])
	if err != nil {
		return nil, err
	}
	environment := n.tree.Name(at.environment)
	record := s.record(who, "config.destroy", access.ConfigDestroy, resourceName(access.Resource{Tenant: n.tenant, Environment: environment, Path: at.path}))
	record.Details = map[string]string{"version": fmt.Sprint(row.Version)}
	summary := fmt.Sprintf("version %d of %s in %s was destroyed", row.Version, at.path, environment)
	p, err := s.proposeEntry(who, n, store.EntryDestroy, at.path.String(), message, summary, record)
	if err != nil {
		return nil, err
	}
	p.body.About = &subjectPlace{at.environment, at.path.String()}
	p.write.Destroy = []store.LayerDestroy{{Environment: at.environment, Path: at.path, Version: row.Version, Sealed: sealed}}
	p.write.Expect.Paths = []config.Path{at.path}
	p.event.Erase = true
	p.after = func(store.Receipt) {
		s.layers.Invalidate(cache.VersionKey{Tenant: n.tenant, Environment: at.environment, Path: at.path, Version: row.Version})
	}
	return p, nil
}
