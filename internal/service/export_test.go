package service

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Guard is the first call of a verb that reads a document, alone.
func Guard(ctx context.Context, s *Service, who Caller, tenant string, r access.Resource) error {
	_, err := s.guard(ctx, who, access.ConfigRead, tenant, r)
	return err
}

// RunChecks runs the checks of compliance on a chain, those of all frameworks.
func RunChecks(ctx context.Context, s *Service, who Caller, chain Chain) (map[compliance.CheckName]compliance.Result, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return nil, err
	}
	x, err := s.examine(ctx, who, chain, id)
	if err != nil {
		return nil, err
	}
	return x.run(ctx), nil
}

// CheckNames are the checks that there is code for.
func CheckNames() []compliance.CheckName { return slices.Collect(maps.Keys(checks)) }

// AlterGrants alters the grants of a tenant as they are in force, which nobody
// can who has the store alone.
func AlterGrants(ctx context.Context, s *Service, tenant string, alter func(reason, approver, requester *string, lasts *time.Duration)) error {
	state, err := s.tenants.named(ctx, tenant)
	if err != nil {
		return err
	}
	altered := *state.rules.Load()
	altered.grants = slices.Clone(altered.grants)
	for i := range altered.grants {
		g := &altered.grants[i]
		alter(&g.Reason, &g.Approver, &g.Requester, &g.For)
	}
	state.rules.Store(&altered)
	return nil
}

// SealCursor is the cursor that a caller is given in a list.
func SealCursor(ctx context.Context, s *Service, who Caller, tenant config.TenantID, list string, next store.Cursor) (Cursor, error) {
	return s.pagesOf(who, tenant, list).seal(ctx, next)
}
