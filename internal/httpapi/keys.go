package httpapi

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

func (s *Server) tenantKeys(ctx context.Context, in *InTenant) (*body[api.TenantKeys], error) {
	status, err := s.service.TenantKeys(ctx, callerOf(ctx), in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerOf(tenantKeys(status, time.Now())), nil
}

type rotateKeyIn struct {
	InTenant
	Idempotent
	Body *api.KeyRotate
}

func (s *Server) rotateTenantKey(ctx context.Context, in *rotateKeyIn) (*written[api.KeyResult], error) {
	return keyDone(s.service.RotateTenantKey(ctx, callerOf(ctx), in.Tenant, messageOf(in.Body)))
}

type retireKeyIn struct {
	InTenant
	Idempotent
	Body api.KeyRetire
}

func (s *Server) retireTenantKey(ctx context.Context, in *retireKeyIn) (*written[api.KeyResult], error) {
	return keyDone(s.service.RetireTenantKey(ctx, callerOf(ctx), in.Tenant, in.Body.Version, in.Body.Message))
}

func (s *Server) masterKeys(ctx context.Context, _ *struct{}) (*body[api.MasterKeys], error) {
	status, own, err := s.service.MasterKeys(ctx, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	return answerOf(masterKeys(status, own, time.Now())), nil
}

type rotateMasterIn struct {
	Idempotent
	Body *api.KeyRotate
}

func (s *Server) rotateMasterKey(ctx context.Context, in *rotateMasterIn) (*written[api.KeyResult], error) {
	return keyDone(s.service.RotateMasterKey(ctx, callerOf(ctx), messageOf(in.Body)))
}

func messageOf(in *api.KeyRotate) string {
	if in == nil {
		return ""
	}
	return in.Message
}

func keyDone(r service.KeyResult, err error) (*written[api.KeyResult], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.KeyResult{Committed: committed(r.Outcome), Version: r.Version, Pending: r.Pending}), nil
}

func tenantKeys(status seal.TenantKeyStatus, now time.Time) api.TenantKeys {
	return api.TenantKeys{
		Rotated: status.Rotated.UTC(), Due: status.Due.UTC(), Overdue: now.After(status.Due), Master: status.Master, Pending: service.Pending(status),
		Versions: convert(status.Versions, func(v seal.KeyVersion) api.KeyVersion {
			return api.KeyVersion{Version: v.Version, Created: v.Created.UTC(), Keys: v.Keys, Newest: v.Newest}
		}),
	}
}

func masterKeys(status seal.MasterStatus, own seal.TenantKeyStatus, now time.Time) api.MasterKeys {
	keys := api.MasterKeys{
		Due: status.Due.UTC(), Overdue: now.After(status.Due), Server: tenantKeys(own, now),
		Versions: convert(status.Versions, func(v seal.MasterVersion) api.MasterVersion {
			return api.MasterVersion{
				Version: v.Version, Keeper: v.Keeper, Created: v.Created.UTC(), Retired: maybe(v.Retired), Tenants: v.Tenants, Newest: v.Newest,
			}
		}),
	}
	for _, v := range status.Versions {
		if !v.Newest {
			keys.Pending += v.Tenants
		}
	}
	return keys
}

type (
	rotateTokenIn struct {
		InTenant
		ByID
		Idempotent
		Body *api.TokenRotate
	}
	rotateServerTokenIn struct {
		ByID
		Idempotent
		Body *api.TokenRotate
	}
)

func (s *Server) rotateToken(ctx context.Context, in *rotateTokenIn) (*written[api.IssuedToken], error) {
	t, err := s.service.RotateToken(ctx, callerOf(ctx), in.Tenant, in.ID, tokenStep(in.Body))
	if err != nil {
		return nil, err
	}
	return writtenOf(t.Outcome, issuedToken(t, in.Tenant)), nil
}

func (s *Server) rotateServerToken(ctx context.Context, in *rotateServerTokenIn) (*written[api.IssuedToken], error) {
	t, err := s.service.RotateServerToken(ctx, callerOf(ctx), in.ID, tokenStep(in.Body))
	if err != nil {
		return nil, err
	}
	return writtenOf(t.Outcome, issuedToken(t, "")), nil
}

func tokenStep(in *api.TokenRotate) service.TokenStep {
	if in == nil {
		return service.TokenStep{}
	}
	return service.TokenStep{TTL: seconds(in.TTLSeconds), Grace: maybeSeconds(in.GraceSeconds), Now: in.Now}
}
