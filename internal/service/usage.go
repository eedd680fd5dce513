package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// useOf adds to a write how much more the tenant uses by it, and what it may use.
func (s *Service) useOf(state *tenantState, w *store.Write, more store.Usage) {
	w.Uses = more
	w.Quota = state.rules.Load().quota.stored(s.limits())
}

// layersUse is how much more is used by layers that replace others.
func (p *plan) layersUse(layers []store.LayerWrite) (more store.Usage) {
	for _, w := range layers {
		before := p.layer(place{w.Environment, w.Path})
		if w.State == store.Live {
			more.Documents++
		}
		if before.State == store.Live {
			more.Documents--
		}
		more.Bytes += int64(len(w.Sealed) - len(before.Sealed))
	}
	return more
}

// secretUse is how much more is used by a record with its values. Values that
// are dropped are looked up, because only the store knows how long they are.
func (s *Service) secretUse(ctx context.Context, tenant config.TenantID, before *secretHead, w store.SecretWrite) (more store.Usage, err error) {
	if !w.Deleted {
		more.Secrets++
	}
	if before != nil && before.record.Deleted.IsZero() {
		more.Secrets--
	}
	for _, value := range w.AddValues {
		more.Bytes += int64(len(value.Sealed))
	}
	for _, version := range w.DropValues {
		value, err := s.store.SecretValue(ctx, tenant, w.Environment, w.Path, version)
		if err != nil && config.KindOf(err) != config.KindNotFound {
			return more, err
		}
		more.Bytes -= int64(len(value.Sealed))
	}
	return more, nil
}
