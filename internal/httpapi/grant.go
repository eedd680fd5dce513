package httpapi

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (s *Server) listGrants(ctx context.Context, in *InTenant) (*body[api.GrantList], error) {
	all, err := s.service.Grants(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(api.GrantList{Grants: convert(all, grant)}), nil
}

type requestGrantIn struct {
	InTenant
	Idempotent
	Body api.RequestGrant
}

func (s *Server) requestGrant(ctx context.Context, in *requestGrantIn) (*written[api.GrantResult], error) {
	return grantDone(s.service.RequestGrant(ctx, callerOf(ctx), in.Tenant,
		service.GrantRequest{Role: in.Body.Role, Reason: in.Body.Reason, For: seconds(in.Body.Seconds)}))
}

// InGrant is of access by break-glass.
type InGrant struct {
	InTenant
	ID string `path:"id" doc:"The grant's id"`
}

type approveGrantIn struct {
	InGrant
	Idempotent
}

func (s *Server) approveGrant(ctx context.Context, in *approveGrantIn) (*written[api.GrantResult], error) {
	return grantDone(s.service.ApproveGrant(ctx, callerOf(ctx), in.Tenant, in.ID))
}

type endGrantIn struct {
	InGrant
	Idempotent
	Message string `query:"message" doc:"Why"`
}

func (s *Server) endGrant(ctx context.Context, in *endGrantIn) (*written[api.GrantResult], error) {
	return grantDone(s.service.EndGrant(ctx, callerOf(ctx), in.Tenant, in.ID, in.Message))
}

func grantDone(r service.GrantResult, err error) (*written[api.GrantResult], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.GrantResult{Status: string(r.Status), Revision: int64(r.Revision), Grant: grant(r.Grant)}), nil
}

func grant(g service.Grant) api.Grant {
	return api.Grant{
		ID: g.ID, State: string(g.State), Role: g.Role, Reason: g.Reason, Requester: g.Requester, Name: g.Name,
		Requested: g.Requested.UTC(), Approver: g.Approver, Approved: maybe(g.Approved), Seconds: int64(g.For / time.Second),
		Expires: maybe(g.Expires), EndedBy: g.EndedBy, Ended: maybe(g.Ended),
	}
}
