package httpapi

import (
	"context"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// InRole is of a role.
type InRole struct {
	InTenant
	Role string `path:"role" doc:"Name of the role"`
}

func (s *Server) listRoles(ctx context.Context, in *InTenant) (*body[api.RoleList], error) {
	all, err := s.service.Roles(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(api.RoleList{Roles: convert(all, role)}), nil
}

type getRoleIn struct {
	InRole
	Version int64 `query:"version" minimum:"1" doc:"This version; left out, the newest"`
}

func (s *Server) getRole(ctx context.Context, in *getRoleIn) (*body[api.Role], error) {
	r, err := s.service.Role(ctx, callerOf(ctx), in.Tenant, in.Role, config.Version(in.Version))
	if err != nil {
		return nil, err
	}
	return answerOf(role(r)), nil
}

type putRoleIn struct {
	InRole
	Idempotent
	Body *api.PutRole
}

func (s *Server) putRole(ctx context.Context, in *putRoleIn) (*written[api.RoleResult], error) {
	if in.Body == nil {
		in.Body = &api.PutRole{}
	}
	return roleDone(s.service.PutRole(ctx, callerOf(ctx), in.Tenant, in.Role, service.RoleRequest{
		Description: in.Body.Description, Includes: in.Body.Includes, Message: in.Body.Message, IfVersion: maybeVersion(in.Body.IfVersion),
	}))
}

type deleteRoleIn struct {
	InRole
	Idempotent
	UnlessMoved
}

func (s *Server) deleteRole(ctx context.Context, in *deleteRoleIn) (*written[api.RoleResult], error) {
	return roleDone(s.service.PutRole(ctx, callerOf(ctx), in.Tenant, in.Role,
		service.RoleRequest{Delete: true, Message: in.Message, IfVersion: version(in.IfVersion)}))
}

func roleDone(r service.RoleResult, err error) (*written[api.RoleResult], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.RoleResult{
		Status: string(r.Status), Revision: int64(r.Revision), Role: role(r.Role),
		Tests: testRun(r.Report.Tests, false), Findings: convert(r.Report.Findings, finding),
	}), nil
}

type roleHistoryIn struct {
	InRole
	OnePage
}

func (s *Server) roleHistory(ctx context.Context, in *roleHistoryIn) (*body[api.PolicyHistory], error) {
	return ruleVersions(s.service.RuleHistory(ctx, callerOf(ctx), in.Tenant, store.RuleRole, in.Role, in.page()))
}

// role is a role on the wire; those without a row are built in.
func role(r service.Role) api.Role {
	return api.Role{
		Name: r.Name, Description: r.Description, Includes: r.Includes, Builtin: r.Row.Name == "",
		Version: int64(r.Row.Version), Revision: int64(r.Row.Revision), Time: maybe(r.Row.Time), Author: r.Row.Author,
	}
}
