package service

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// tenantState is what is in memory of a tenant that is in use: a few KB, and
// no goroutine.
type tenantState struct {
	tenant    config.Tenant
	feed      *watch.Feed
	tree      atomic.Pointer[treeAt]
	rules     atomic.Pointer[rules]
	watches   atomic.Int64 // that are open
	turns     turns        // of work on its policies
	committed atomic.Int64 // the newest revision known to be committed; the feed gets there when the caches know
}

// newest is the revision to read at to miss nothing that caches were told of.
func (t *tenantState) newest() config.Revision {
	return max(config.Revision(t.committed.Load()), t.tree.Load().since)
}

// treeAt is the environments as they stand since a revision.
type treeAt struct {
	*config.Tree
	since config.Revision
}

// tenants finds the state of a tenant by name or id.
type tenants struct {
	load   func(ctx context.Context, name string) (*tenantState, error)
	byName sync.Map // string → *tenantState
	byID   sync.Map // config.TenantID → *tenantState

	loading sync.Mutex // held while a tenant is loaded, created or deleted
}

func (t *tenants) named(ctx context.Context, name string) (*tenantState, error) {
	if state, ok := t.byName.Load(name); ok {
		return state.(*tenantState), nil //nolint:forcetypeassert // only states are stored
	}
	t.loading.Lock()
	defer t.loading.Unlock()
	if state, ok := t.byName.Load(name); ok {
		return state.(*tenantState), nil //nolint:forcetypeassert // only states are stored
	}
	state, err := t.load(ctx, name)
	if err != nil {
		return nil, err
	}
	t.byID.Store(state.tenant.ID, state)
	t.byName.Store(name, state)
	return state, nil
}

// forget drops a deleted tenant and ends its watches.
func (t *tenants) forget(id config.TenantID) {
	if state, ok := t.byID.LoadAndDelete(id); ok {
		state := state.(*tenantState) //nolint:forcetypeassert // only states are stored
		t.byName.CompareAndDelete(state.tenant.Name, state)
		state.feed.Close()
	}
}

// closeAll ends every watch.
func (t *tenants) closeAll() {
	t.byID.Range(func(_, state any) bool {
		state.(*tenantState).feed.Close() //nolint:forcetypeassert // only states are stored
		return true
	})
}

func (s *Service) loadTenant(ctx context.Context, name string) (*tenantState, error) {
	tenant, err := s.store.TenantNamed(ctx, name)
	if err != nil {
		return nil, err
	}
	revision, err := s.store.Revision(ctx, tenant.ID)
	if err != nil {
		return nil, err
	}
	state := &tenantState{tenant: tenant, feed: watch.NewFeed(revision), turns: make(turns, turnsOfTenant)}
	tree, err := s.loadTree(ctx, tenant.ID, revision)
	if err != nil {
		return nil, err
	}
	state.tree.Store(&treeAt{tree, revision})
	state.committed.Store(int64(revision))
	rules, err := s.loadRules(ctx, tenant, 0)
	if err != nil {
		return nil, err
	}
	state.rules.Store(rules)
	return state, nil
}

func (s *Service) loadTree(ctx context.Context, tenant config.TenantID, at config.Revision) (*config.Tree, error) {
	environments, err := s.store.Environments(ctx, tenant, at)
	if err != nil {
		return nil, err
	}
	return config.NewTree(environments)
}

// treeAtRevision is the tree as it stood at a revision.
func (s *Service) treeAtRevision(ctx context.Context, state *tenantState, at config.Revision) (*config.Tree, error) {
	if newest := state.tree.Load(); newest.since <= at {
		return newest.Tree, nil
	}
	return s.loadTree(ctx, state.tenant.ID, at)
}
