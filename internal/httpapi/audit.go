package httpapi

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// Requests about a chain of audit records come in two kinds, of a tenant and of
// the server; a handler takes either.
type (
	chained  interface{ chain() (service.Chain, error) }
	searched interface {
		chained
		filter() (audit.Filter, error)
	}
	paged interface{ page() service.Page }

	searchTenantAuditIn struct {
		InTenant
		AuditFilter
		OnePage
	}
	searchServerAuditIn struct {
		OfServer
		AuditFilter
		OnePage
	}
)

// selection is the chain that a request is about, and what of it.
func selection(in searched) (chain service.Chain, filter audit.Filter, err error) {
	if chain, err = in.chain(); err != nil {
		return chain, filter, err
	}
	filter, err = in.filter()
	return chain, filter, err
}

func searchAudit[I interface {
	searched
	paged
}](s *Server) func(context.Context, *I) (*body[api.AuditPage], error) {
	return func(ctx context.Context, in *I) (*body[api.AuditPage], error) {
		chain, filter, err := selection(*in)
		if err != nil {
			return nil, err
		}
		found, err := s.service.Audit(ctx, callerOf(ctx), chain, filter, (*in).page())
		if err != nil {
			return nil, err
		}
		return answerOf(api.AuditPage{Records: convert(found.Links, auditRecord), Next: string(found.Next)}), nil
	}
}

type (
	// CountedBy says how records are counted.
	CountedBy struct {
		By     []string `query:"by,explode" required:"true" minItems:"1" maxItems:"2" enum:"event,actor,action,outcome,source" doc:"What to count by: one or two of these"`
		Window string   `query:"window" doc:"Count by windows of this length as well: whole seconds, such as 5m or 24h, up to 744h"`
	}
	countTenantAuditIn struct {
		InTenant
		AuditFilter
		CountedBy
	}
	countServerAuditIn struct {
		OfServer
		AuditFilter
		CountedBy
	}
)

// maxWindow bounds the windows that records are counted by.
const maxWindow = 31 * 24 * time.Hour

// counted reads the parameters.
func (in CountedBy) counted() (by []audit.Dimension, window time.Duration, err error) {
	if len(in.By) == 2 && in.By[0] == in.By[1] {
		return nil, 0, config.Errorf(config.KindBadRequest, "records are counted by the same thing twice").At("by")
	}
	by = convert(in.By, func(name string) audit.Dimension { return audit.Dimension(name) })
	if in.Window == "" {
		return by, 0, nil
	}
	window, err = time.ParseDuration(in.Window)
	if err != nil || window < time.Second || window > maxWindow || window%time.Second != 0 {
		err = config.Errorf(config.KindBadRequest, "a window is a number of whole seconds, from 1s to 744h").At("window").
			Hint("write it like 5m, 1h or 24h, or leave it out")
	}
	return by, window, err
}

func countAudit[I interface {
	searched
	counted() ([]audit.Dimension, time.Duration, error)
}](s *Server) func(context.Context, *I) (*body[api.AuditCounts], error) {
	return func(ctx context.Context, in *I) (*body[api.AuditCounts], error) {
		chain, filter, err := selection(*in)
		if err != nil {
			return nil, err
		}
		by, window, err := (*in).counted()
		if err != nil {
			return nil, err
		}
		counts, err := s.service.AuditCounts(ctx, callerOf(ctx), chain, filter, by, window)
		if err != nil {
			return nil, err
		}
		return answerOf(auditCounts(counts)), nil
	}
}

func readAuditStatus[I chained](s *Server) func(context.Context, *I) (*body[api.AuditStatus], error) {
	return func(ctx context.Context, in *I) (*body[api.AuditStatus], error) {
		chain, err := (*in).chain()
		if err != nil {
			return nil, err
		}
		status, err := s.service.AuditStatus(ctx, callerOf(ctx), chain)
		if err != nil {
			return nil, err
		}
		return answerOf(auditStatus(status)), nil
	}
}

type serverCheckpointsIn struct {
	OfServer
	OnePage
}

func listCheckpoints[I interface {
	chained
	paged
}](s *Server) func(context.Context, *I) (*body[api.AuditCheckpoints], error) {
	return func(ctx context.Context, in *I) (*body[api.AuditCheckpoints], error) {
		chain, err := (*in).chain()
		if err != nil {
			return nil, err
		}
		found, next, err := s.service.AuditCheckpoints(ctx, callerOf(ctx), chain, (*in).page())
		if err != nil {
			return nil, err
		}
		return answerOf(api.AuditCheckpoints{Checkpoints: convert(found, checkpoint), Next: string(next)}), nil
	}
}

type (
	// Held is a legal hold.
	Held struct {
		Idempotent
		Body api.PutAuditHold
	}
	holdTenantAuditIn struct {
		InTenant
		Held
	}
	holdServerAuditIn struct {
		OfServer
		Held
	}
)

func (in Held) reason() string { return in.Body.Reason }

func holdAudit[I interface {
	chained
	reason() string
}](s *Server) func(context.Context, *I) (*written[api.AuditHoldResult], error) {
	return func(ctx context.Context, in *I) (*written[api.AuditHoldResult], error) {
		chain, err := (*in).chain()
		if err != nil {
			return nil, err
		}
		return s.setHold(ctx, chain, (*in).reason())
	}
}

type (
	liftTenantHoldIn struct {
		InTenant
		Idempotent
	}
	liftServerHoldIn struct {
		OfServer
		Idempotent
	}
)

func liftAuditHold[I chained](s *Server) func(context.Context, *I) (*written[api.AuditHoldResult], error) {
	return func(ctx context.Context, in *I) (*written[api.AuditHoldResult], error) {
		chain, err := (*in).chain()
		if err != nil {
			return nil, err
		}
		return s.setHold(ctx, chain, "")
	}
}

// setHold sets a hold or, without a reason, lifts it.
func (s *Server) setHold(ctx context.Context, chain service.Chain, reason string) (*written[api.AuditHoldResult], error) {
	result, err := s.service.HoldAudit(ctx, callerOf(ctx), chain, reason)
	if err != nil {
		return nil, err
	}
	return writtenOf(result.Outcome, api.AuditHoldResult{Hold: auditHold(result.Hold)}), nil
}

func (s *Server) auditKeys(ctx context.Context, _ *struct{}) (*body[api.AuditKeys], error) {
	keys, err := s.service.AuditKeys(ctx)
	if err != nil {
		return nil, err
	}
	return answerOf(api.AuditKeys{Keys: convert(keys, auditKey)}), nil
}

func (s *Server) rotateAuditKey(ctx context.Context, _ *Idempotent) (*written[api.AuditKeys], error) {
	result, err := s.service.RotateAuditKey(ctx, callerOf(ctx))
	if err != nil {
		return nil, err
	}
	return writtenOf(result.Outcome, api.AuditKeys{Keys: convert(result.Keys, auditKey)}), nil
}
