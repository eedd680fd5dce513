package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// Guard is the first call of a verb that reads a document, alone.
func Guard(ctx context.Context, s *Service, who Caller, tenant string, r access.Resource) error {
	_, err := s.guard(ctx, who, access.ConfigRead, tenant, r)
	return err
}
