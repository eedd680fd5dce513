package service_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// onChain are the verbs that read a chain, the server's for a chain without a tenant.
var onChain = map[string]func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, in arguments) error{
	"Audit": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, in arguments) error {
		_, err := s.Audit(ctx, who, chain, audit.Filter{}, in.page)
		return err
	},
	"AuditCounts": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		_, err := s.AuditCounts(ctx, who, chain, audit.Filter{}, []audit.Dimension{audit.ByEvent}, time.Hour)
		return err
	},
	"ExportAudit": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		write, err := s.ExportAudit(ctx, who, chain, service.ExportRequest{Form: service.ExportNDJSON})
		if err != nil {
			return err
		}
		return write(io.Discard)
	},
	"TailAudit": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		tail, err := s.TailAudit(ctx, who, chain, audit.Filter{}, nil)
		if err == nil {
			tail.Close()
		}
		return err
	},
	"VerifyAudit": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		_, err := s.VerifyAudit(ctx, who, chain, nil)
		return err
	},
	"AuditStatus": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		_, err := s.AuditStatus(ctx, who, chain)
		return err
	},
	"AuditCheckpoints": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, in arguments) error {
		_, _, err := s.AuditCheckpoints(ctx, who, chain, in.page)
		return err
	},
	"Compliance": func(ctx context.Context, s *service.Service, who service.Caller, chain service.Chain, _ arguments) error {
		_, err := s.Compliance(ctx, who, chain, compliance.SOC2, time.Time{}, time.Time{})
		return err
	},
}

// chainVerbs are those verbs on a tenant's chain.
var chainVerbs = func() map[string]verb {
	verbs := map[string]verb{}
	for name, v := range onChain {
		if name == "AuditStatus" { // shows no record, and is also for who sees to holds
			continue
		}
		verbs[name] = func(ctx context.Context, s *service.Service, who service.Caller, tenant string, in arguments) error {
			return v(ctx, s, who, service.Chain{Tenant: tenant}, in)
		}
	}
	return verbs
}()

func TestTheServersChainIsItsAdministrators(t *testing.T) {
	s := newWorld(t).stage(t, "acme")
	member := service.Caller{Principal: access.Principal{ID: "mmmmmmmmmmmmmmmm", Method: access.MethodToken, Tenant: s.id}}
	for name, v := range onChain {
		t.Run(name, func(t *testing.T) {
			asServer := func(ctx context.Context, svc *service.Service, who service.Caller, _ string, in arguments) error {
				return v(ctx, svc, who, service.Chain{}, in)
			}
			asDeleted := func(ctx context.Context, svc *service.Service, who service.Caller, _ string, in arguments) error {
				return v(ctx, svc, who, service.Chain{Deleted: s.id.String()}, in)
			}
			for _, verb := range []verb{asServer, asDeleted} {
				for _, who := range []service.Caller{s.who, {}, member} {
					s.denied(t, verb, who, config.KindForbidden, config.TenantID{})
				}
			}
			must(t, s.call(asServer, s.root, s.fit))
			mustBe(t, config.KindNotFound, s.call(asDeleted, s.root, s.fit)) // it is there, and its own
		})
	}
}
