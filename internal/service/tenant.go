package service

import (
	"context"
	"io"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Founded is a new tenant with its first token.
type Founded struct {
	Outcome
	Tenant config.Tenant
	Token  IssuedToken
}

// CreateTenant founds a tenant: its key, its first environments, and the first
// token of an administrator, which is all that can ever read it.
func (s *Service) CreateTenant(ctx context.Context, who Caller, name string, first TokenRequest) (Founded, error) {
	if err := s.guardServer(ctx, who, access.TenantManage, access.Resource{Name: name}); err != nil {
		return Founded{}, err
	}
	if err := config.CheckName(name); err != nil {
		return Founded{}, err
	}
	first.TenantAdmin = true
	if len(first.Grants.Roles) > 0 || first.Grants.Scope() != nil {
		return Founded{}, config.Errorf(config.KindBadRequest, "the first token of a tenant is an administrator's, and not narrowed").At("/token").
			Hint("issue others with it")
	}
	if first.Name == "" {
		first.Name = "admin"
	}
	if err := first.check(); err != nil {
		return Founded{}, err
	}
	founded, err := once(ctx, s, who, config.TenantID{}, func() (Founded, error) {
		return s.found(ctx, who, name, first)
	})
	if founded.Replayed {
		founded.Revision = 1 // of the tenant; what is kept belongs to the server's log
	}
	return founded, err
}

func (s *Service) found(ctx context.Context, who Caller, name string, first TokenRequest) (Founded, error) {
	// Asked first, so that a name in use leaves no destroyed key behind.
	if _, err := s.store.TenantNamed(ctx, name); err == nil {
		return Founded{}, config.Errorf(config.KindAlreadyExists, "there is a tenant %q already", name)
	}
	tenant := config.Tenant{Name: name, Created: s.clock()}
	if _, err := io.ReadFull(s.random, tenant.ID[:]); err != nil {
		return Founded{}, unavailable(err, "no random numbers can be had")
	}
	if err := s.keyring.Found(ctx, tenant.ID); err != nil {
		return Founded{}, err
	}
	token, err := s.issue(ctx, who, tenant.ID, first)
	if err != nil {
		return Founded{}, err
	}
	founding, err := s.founding(ctx, who, tenant, token.row)
	if err != nil {
		return Founded{}, err
	}
	answer := Founded{Outcome: Outcome{Status: Committed}, Tenant: tenant, Token: token}
	server, err := s.serverWrite(ctx, who, store.EntryTenant, name, "tenant "+name+" was created", s.tenantRecord(who, "tenant.create", tenant.ID, ""), answer)
	if err != nil {
		return Founded{}, err
	}
	receipt, err := s.store.CreateTenant(ctx, tenant, founding, server)
	if err != nil {
		// The key of a tenant that never was is of no use to anybody.
		if destroyErr := s.keyring.Destroy(ctx, tenant.ID); destroyErr != nil {
			return Founded{}, destroyErr
		}
		return Founded{}, err
	}
	answer.Revision, answer.Time = receipt.Revision, receipt.Time
	return answer, nil
}

// tenantRecord is the record of what was done to a tenant, or to what it has of a
// name, by whoever manages tenants.
func (s *Service) tenantRecord(who Caller, event string, tenant config.TenantID, name string) audit.Record {
	record := s.record(who, event, access.TenantManage, resourceName(access.Resource{Tenant: tenant, Name: name}))
	record.Tenant = tenant.String()
	return record
}

// founding is a tenant's first revision.
func (s *Service) founding(ctx context.Context, who Caller, tenant config.Tenant, token store.Token) (store.Write, error) {
	subject, err := s.subjectOf(store.EntryTenant, tenant.Name)
	if err != nil {
		return store.Write{}, err
	}
	w := store.Write{
		Entry:     store.Entry{Kind: store.EntryTenant, Author: who.Principal.Author(), Subject: subject},
		AddTokens: []store.Token{token},
		Audit:     s.tenantRecord(who, "tenant.create", tenant.ID, ""),
		MoreAudit: []audit.Record{s.tenantRecord(who, "token.create", tenant.ID, "tokens/"+token.ID)},
	}
	for i, name := range config.FirstEnvironments {
		e := config.Environment{ID: config.EnvironmentID(i + 1), Name: name, Parent: 1, Version: 1}
		if name == config.BaseEnvironment {
			e.Parent = 0
		}
		w.Environments = append(w.Environments, store.EnvironmentWrite{Environment: e})
	}
	w.Entry.Sealed, err = s.sealEntry(ctx, tenant.ID, subject, entryBody{Summary: "tenant " + tenant.Name + " was created"})
	return w, err
}

// serverWrite is a mutation of the server itself, with its entry and record.
func (s *Service) serverWrite(ctx context.Context, who Caller, kind store.EntryKind, name, summary string, record audit.Record, answer any) (store.Write, error) {
	subject, err := s.subjectOf(kind, name)
	if err != nil {
		return store.Write{}, err
	}
	w := store.Write{Entry: store.Entry{Kind: kind, Author: who.Principal.Author(), Subject: subject}, Audit: record}
	if w.Entry.Sealed, err = s.sealEntry(ctx, config.TenantID{}, subject, entryBody{Summary: summary}); err != nil {
		return store.Write{}, err
	}
	return w, s.keep(ctx, who, config.TenantID{}, &w, answer)
}

// DeleteTenant destroys a tenant's key, and with it all that was ever sealed
// for it, in this store and in every backup of it, and removes its data.
func (s *Service) DeleteTenant(ctx context.Context, who Caller, name string) (Deleted, error) {
	state, err := s.guard(ctx, who, access.TenantManage, name, access.Resource{})
	if err != nil && (config.KindOf(err) != config.KindNotFound || !who.Principal.ServerAdmin) {
		return Deleted{}, err
	}
	return once(ctx, s, who, config.TenantID{}, func() (Deleted, error) {
		if err != nil { // there is none, unless this very request deleted it before
			return Deleted{}, err
		}
		return s.deleteTenant(ctx, who, state, name)
	})
}

func (s *Service) deleteTenant(ctx context.Context, who Caller, state *tenantState, name string) (Deleted, error) {
	if err := s.flushReads(ctx); err != nil { // while there is a chain to put them on
		return Deleted{}, err
	}
	s.tenants.loading.Lock()
	defer s.tenants.loading.Unlock()
	chain, err := s.store.Chain(ctx, state.tenant.ID) // before its key is destroyed, which nothing undoes
	if err != nil {
		return Deleted{}, err
	}
	if chain.Hold != (store.Hold{}) {
		return Deleted{}, config.Errorf(config.KindInUse, "the tenant %s is under legal hold since %s", name, chain.Hold.Time.UTC().Format(time.DateOnly)).
			Hint("`llm-config audit hold lift` first, if that is right")
	}
	answer := Deleted{Outcome{Status: Committed}, name}
	server, err := s.serverWrite(ctx, who, store.EntryTenant, name, "tenant "+name+" was deleted", s.tenantRecord(who, "tenant.delete", state.tenant.ID, ""), answer)
	if err != nil {
		return Deleted{}, err
	}
	// The key store is no part of the transaction: that the key goes is on record
	// before it does.
	destroy := s.tenantRecord(who, "key.destroy", state.tenant.ID, "keys")
	if err := s.store.AppendAudit(ctx, config.TenantID{}, destroy); err != nil {
		return Deleted{}, unavailable(err, "the deletion could not be put on record")
	}
	if err := s.keyring.Destroy(ctx, state.tenant.ID); err != nil {
		return Deleted{}, err
	}
	receipt, err := s.store.DeleteTenant(ctx, state.tenant.ID, server)
	if err != nil {
		return Deleted{}, err
	}
	s.tenants.forget(state.tenant.ID)
	answer.Revision, answer.Time = receipt.Revision, receipt.Time
	return answer, nil
}

// Tenant answers one tenant.
func (s *Service) Tenant(ctx context.Context, who Caller, name string) (config.Tenant, error) {
	state, err := s.guard(ctx, who, access.TenantRead, name, access.Resource{})
	if err != nil {
		return config.Tenant{}, err
	}
	return state.tenant, nil
}

// Tenants answers a page of the tenants of the server.
func (s *Service) Tenants(ctx context.Context, who Caller, page Page) ([]config.Tenant, Cursor, error) {
	if err := s.guardServer(ctx, who, access.TenantManage, access.Resource{}); err != nil {
		return nil, "", err
	}
	pages := s.pagesOf(who, config.TenantID{}, "tenants")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	tenants, next, err := s.store.ListTenants(ctx, asked)
	if err != nil {
		return nil, "", err
	}
	cursor, err := pages.seal(ctx, next)
	return tenants, cursor, err
}
