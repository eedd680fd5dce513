package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// secretHead is the record of a secret of one environment as it stands. It is
// shared between requests and must not be changed.
type secretHead struct {
	store.Secret
	record secret.Record
}

// secretHeads are those of all environments at one path.
type secretHeads map[config.EnvironmentID]*secretHead

func (h secretHeads) weight() int {
	weight := 128
	for _, head := range h {
		weight += 4*len(head.Sealed) + 256
	}
	return weight
}

// supplied finds the nearest whole secret along an environment's chain. It is
// nil when there is none.
func (h secretHeads) supplied(tree *config.Tree, environment config.EnvironmentID) *secretHead {
	for _, id := range tree.Chain(environment) {
		if head := h[id]; head != nil && head.record.Supplies() {
			return head
		}
		if e, _ := tree.Get(id); e.IsolateSecrets {
			return nil
		}
	}
	return nil
}

// heads answers the records at a path, from memory if they were opened before.
func (s *Service) heads(ctx context.Context, tenant config.TenantID, path config.Path) (secretHeads, error) {
	key := cache.PathKey{Tenant: tenant, Path: path}
	if heads, ok := s.secretHeads.Get(key); ok {
		return heads, nil
	}
	return s.secretHeads.Load(ctx, key, func(ctx context.Context) (secretHeads, error) {
		return s.readHeads(ctx, tenant, path)
	})
}

// readHeads reads the records at a path from the store.
func (s *Service) readHeads(ctx context.Context, tenant config.TenantID, path config.Path) (secretHeads, error) {
	rows, err := s.store.SecretsAt(ctx, tenant, []config.Path{path})
	if err != nil {
		return nil, err
	}
	heads := make(secretHeads, len(rows))
	for _, row := range rows {
		if heads[row.Environment], err = s.openHead(ctx, tenant, row); err != nil {
			return nil, err
		}
	}
	return heads, nil
}

func (s *Service) openHead(ctx context.Context, tenant config.TenantID, row store.Secret) (*secretHead, error) {
	text, err := s.keyring.Open(ctx, recordPlace(tenant, row.Environment, row.Path, row.Version), row.Sealed)
	if err != nil {
		return nil, err
	}
	record, err := secret.DecodeRecord(text)
	if err != nil {
		return nil, unavailable(err, "the record of a secret does not parse")
	}
	return &secretHead{row, record}, nil
}

// openValue opens the fields of one version of a secret. Whoever has them wipes them.
func (s *Service) openValue(ctx context.Context, tenant config.TenantID, head *secretHead, version config.Version) (secret.Fields, error) {
	key := cache.VersionKey{Tenant: tenant, Environment: head.Environment, Path: head.Path, Version: version}
	value, ok := s.secretValues.Get(key)
	if !ok {
		var err error
		value, err = s.secretValues.Load(ctx, key, func(ctx context.Context) (store.SecretValue, error) {
			return s.store.SecretValue(ctx, tenant, head.Environment, head.Path, version)
		})
		if config.KindOf(err) == config.KindNotFound {
			return secret.Fields{}, config.Errorf(config.KindGone, "version %d of the secret %s was destroyed", version, head.Path)
		}
		if err != nil {
			return secret.Fields{}, err
		}
	}
	fields, err := s.openSealed(ctx, valuePlace(tenant, head.Environment, head.Path, version), value)
	if err != nil && ok {
		s.secretValues.Invalidate(key) // it was wrapped anew since it was kept, and the key that wrapped it is gone
		return s.openValue(ctx, tenant, head, version)
	}
	return fields, err
}

func (s *Service) openSealed(ctx context.Context, at seal.Place, value store.SecretValue) (fields secret.Fields, err error) {
	secret.Erase(func() {
		var text []byte
		text, err = s.keyring.OpenSecret(ctx, at, seal.SecretSeal{Sealed: value.Sealed, Wrapped: value.Wrapped, KeyVersion: value.KeyVersion})
		if err != nil {
			return
		}
		if fields, err = secret.DecodeFields(text); err != nil {
			err = unavailable(err, "the value of a secret does not parse")
		}
	})
	return fields, err
}

func recordPlace(tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version) seal.Place {
	return seal.Place{Kind: seal.Secret, Tenant: tenant, Environment: environment, Path: path.String(), Version: int64(version)}
}

func valuePlace(tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version) seal.Place {
	return seal.Place{Kind: seal.SecretValue, Tenant: tenant, Environment: environment, Path: path.String(), Version: int64(version)}
}

func secretResource(environment string, path config.Path) access.Resource {
	return access.Resource{Environment: environment, Path: path, Secret: true}
}

// findSecret finds the secret that counts in an environment, for a caller who
// may take the action there. Where it is inherited he needs the right in the
// environment that supplies it, too; who lacks it is told that there is none,
// and neither answer nor record tells whether there is.
func (s *Service) findSecret(ctx context.Context, who Caller, action access.Action, state *tenantState, environment string, path config.Path) (*secretHead, error) {
	tree := state.tree.Load()
	env, err := tree.Named(environment)
	if err != nil {
		return nil, err
	}
	heads, err := s.heads(ctx, state.tenant.ID, path)
	if err != nil {
		return nil, err
	}
	head := heads.supplied(tree.Tree, env.ID)
	if head != nil && head.Environment == env.ID {
		return head, nil
	}
	chain := tree.Chain(env.ID)
	for _, id := range chain[1:] {
		if head != nil && head.Environment != id {
			continue
		}
		resource := secretResource(tree.Name(id), path)
		if d := s.decide(ctx, who, action, state, resource); !d.Allowed {
			resource.Tenant = state.tenant.ID
			if err := s.recordDenial(ctx, who, action, state.tenant.ID, resource, d.Decision); err != nil {
				return nil, err
			}
			head = nil
			break
		}
	}
	if head == nil {
		return nil, noSecret(environment, path)
	}
	return head, nil
}

// findVersion is findSecret for a version by its number: numbers are those of
// the environment's own secret where it has one, also while that only waits.
func (s *Service) findVersion(ctx context.Context, who Caller, action access.Action, state *tenantState, environment string, path config.Path, version config.Version) (*secretHead, error) {
	if version == 0 {
		return s.findSecret(ctx, who, action, state, environment, path)
	}
	env, err := state.tree.Load().Named(environment)
	if err != nil {
		return nil, err
	}
	heads, err := s.heads(ctx, state.tenant.ID, path)
	if err != nil {
		return nil, err
	}
	if own := heads[env.ID]; own != nil && own.record.Deleted.IsZero() {
		return own, nil
	}
	return s.findSecret(ctx, who, action, state, environment, path)
}

func noSecret(environment string, path config.Path) error {
	return config.Errorf(config.KindNotFound, "there is no secret %s in %s", path, environment).
		Hint("`llm-config secret ls` lists what there is")
}

// info is what may be known of a secret.
func (s *Service) secretInfo(tree *config.Tree, head *secretHead) SecretInfo {
	now := s.clock()
	info := SecretInfo{
		Record: head.record, Environment: tree.Name(head.Environment), Path: head.Path, RecordVersion: head.Version,
		Revision: head.Revision, Time: head.Time, Author: head.Author,
	}
	if v, err := head.record.Current(now); err == nil {
		info.InUse = v.Number
	}
	if v, ok := head.record.Previous(now); ok {
		info.InGrace = v.Number
	}
	if v, ok := head.record.Staged(); ok {
		info.Waiting = v.Number
	}
	return info
}
