package httpapi

import (
	"context"
	"runtime"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (s *Server) listEnvironments(ctx context.Context, in *InTenant) (*body[api.EnvironmentList], error) {
	all, revision, err := s.service.Environments(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(api.EnvironmentList{Environments: convert(all, environment), Revision: int64(revision)}), nil
}

func (s *Server) getEnvironment(ctx context.Context, in *InEnvironment) (*body[api.Environment], error) {
	e, err := s.service.Environment(ctx, callerOf(ctx), in.Tenant, in.Environment)
	if err != nil {
		return nil, err
	}
	return answerOf(environment(e)), nil
}

type putEnvironmentIn struct {
	InEnvironment
	Idempotent
	Body *api.EnvironmentInput
}

func (s *Server) putEnvironment(ctx context.Context, in *putEnvironmentIn) (*written[api.EnvironmentResult], error) {
	if in.Body == nil {
		in.Body = &api.EnvironmentInput{}
	}
	r, err := s.service.PutEnvironment(ctx, callerOf(ctx), in.Tenant, in.Environment,
		service.EnvironmentRequest{Parent: in.Body.Parent, IsolateSecrets: in.Body.Isolate, Message: in.Body.Message})
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.EnvironmentResult{Committed: committed(r.Outcome), Environment: environment(r.Environment)}), nil
}

type deleteEnvironmentIn struct {
	InEnvironment
	Idempotent
	Why
}

func (s *Server) deleteEnvironment(ctx context.Context, in *deleteEnvironmentIn) (*written[api.Deleted], error) {
	message, err := in.message()
	if err != nil {
		return nil, err
	}
	return wasDeleted(s.service.DeleteEnvironment(ctx, callerOf(ctx), in.Tenant, in.Environment, message))
}

func (s *Server) listTenants(ctx context.Context, in *OnePage) (*body[api.TenantList], error) {
	tenants, next, err := s.service.Tenants(ctx, callerOf(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.TenantList{Tenants: convert(tenants, tenant), Next: string(next)}), nil
}

type createTenantIn struct {
	Idempotent
	Body api.NewTenant
}

func (s *Server) createTenant(ctx context.Context, in *createTenantIn) (*written[api.FoundedTenant], error) {
	var first service.TokenRequest
	if in.Body.Token != nil {
		var err error
		if first, err = tokenRequest(*in.Body.Token); err != nil {
			return nil, err
		}
	}
	f, err := s.service.CreateTenant(ctx, callerOf(ctx), in.Body.Name, first)
	if err != nil {
		return nil, err
	}
	return writtenOf(f.Outcome, api.FoundedTenant{Tenant: tenant(f.Tenant), Token: issuedToken(f.Token, f.Tenant.Name)}), nil
}

func (s *Server) getTenant(ctx context.Context, in *InTenant) (*body[api.Tenant], error) {
	t, err := s.service.Tenant(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(tenant(t)), nil
}

type deleteTenantIn struct {
	InTenant
	Idempotent
}

func (s *Server) deleteTenant(ctx context.Context, in *deleteTenantIn) (*written[api.Deleted], error) {
	return wasDeleted(s.service.DeleteTenant(ctx, callerOf(ctx), in.Tenant))
}

func (s *Server) listTokens(ctx context.Context, in *tagsIn) (*body[api.TokenList], error) {
	tokens, next, err := s.service.Tokens(ctx, callerOf(ctx), in.Tenant, in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.TokenList{Tokens: convert(tokens, token(in.Tenant)), Next: string(next)}), nil
}

type createTokenIn struct {
	InTenant
	Idempotent
	Body api.NewToken
}

func (s *Server) createToken(ctx context.Context, in *createTokenIn) (*written[api.IssuedToken], error) {
	request, err := tokenRequest(in.Body)
	if err != nil {
		return nil, err
	}
	t, err := s.service.CreateToken(ctx, callerOf(ctx), in.Tenant, request)
	if err != nil {
		return nil, err
	}
	return writtenOf(t.Outcome, issuedToken(t, in.Tenant)), nil
}

type (
	// ByID is of a token.
	ByID struct {
		ID string `path:"id" doc:"The token's id"`
	}
	revokeTokenIn struct {
		InTenant
		ByID
		Idempotent
	}
	revokeServerTokenIn struct {
		ByID
		Idempotent
	}
)

func (s *Server) revokeToken(ctx context.Context, in *revokeTokenIn) (*written[api.Deleted], error) {
	return wasDeleted(s.service.RevokeToken(ctx, callerOf(ctx), in.Tenant, in.ID))
}

func (s *Server) listServerTokens(ctx context.Context, in *OnePage) (*body[api.TokenList], error) {
	tokens, next, err := s.service.ServerTokens(ctx, callerOf(ctx), in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.TokenList{Tokens: convert(tokens, token("")), Next: string(next)}), nil
}

type createServerTokenIn struct {
	Idempotent
	Body api.NewToken
}

func (s *Server) createServerToken(ctx context.Context, in *createServerTokenIn) (*written[api.IssuedToken], error) {
	request, err := tokenRequest(in.Body)
	if err != nil {
		return nil, err
	}
	t, err := s.service.CreateServerToken(ctx, callerOf(ctx), request)
	if err != nil {
		return nil, err
	}
	return writtenOf(t.Outcome, issuedToken(t, "")), nil
}

func (s *Server) revokeServerToken(ctx context.Context, in *revokeServerTokenIn) (*written[api.Deleted], error) {
	return wasDeleted(s.service.RevokeServerToken(ctx, callerOf(ctx), in.ID))
}

func (s *Server) identity(ctx context.Context, _ *struct{}) (*body[api.Identity], error) {
	i, err := s.service.Identity(ctx, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	out := api.Identity{
		ID: i.ID, Name: i.Name, Method: i.Method, Tenant: i.Tenant, Roles: texts(i.Roles),
		TenantAdmin: i.HasRole(access.RoleAdmin), ServerAdmin: i.ServerAdmin, Expires: i.Expires.UTC(),
	}
	if i.Method == access.MethodToken {
		out.TokenRights = new(tokenRights(i.Roles, i.Grants))
	}
	return answerOf(out), nil
}

func (s *Server) buildVersion(context.Context, *struct{}) (*body[api.Version], error) {
	return answerOf(api.Version{Version: s.version, Go: runtime.Version()}), nil
}
