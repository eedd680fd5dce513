package httpapi

import (
	"context"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/limit"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (s *Server) getQuota(ctx context.Context, in *InTenant) (*body[api.Quota], error) {
	q, err := s.service.Quota(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(s.quota(q)), nil
}

type putQuotaIn struct {
	InTenant
	Idempotent
	Body api.PutQuota
}

func (s *Server) putQuota(ctx context.Context, in *putQuotaIn) (*written[api.Quota], error) {
	r, err := s.service.PutQuota(ctx, callerOf(ctx), in.Tenant, service.QuotaRequest{
		Limits: service.QuotaLimits(in.Body.Limits), Message: in.Body.Message, IfVersion: maybeVersion(in.Body.IfVersion),
	})
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, s.quota(r.Quota)), nil
}

// quota is a tenant's limits and what it uses. Who is worked on at once only
// this instance knows.
func (s *Server) quota(q service.Quota) api.Quota {
	return api.Quota{
		Version: int64(q.Version), Limits: api.QuotaLimits(q.Limits),
		Used: api.QuotaUsed{
			Watchers: q.Watches, Connections: int64(s.limiter.Taken(limit.Key{Tenant: q.Tenant}, limit.Connection)),
			Documents: q.Used.Documents, Bytes: q.Used.Bytes, Secrets: q.Used.Secrets,
		},
	}
}
