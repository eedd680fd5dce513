package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Guard is the first call of a verb that reads a document, alone.
func Guard(ctx context.Context, s *Service, who Caller, tenant string, r access.Resource) error {
	_, err := s.guard(ctx, who, access.ConfigRead, tenant, r)
	return err
}

// SealCursor is the cursor that a caller is given in a list.
func SealCursor(ctx context.Context, s *Service, who Caller, tenant config.TenantID, list string, next store.Cursor) (Cursor, error) {
	return s.pagesOf(who, tenant, list).seal(ctx, next)
}
