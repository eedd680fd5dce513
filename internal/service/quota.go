package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// quotaName is the name of the one rule that holds a tenant's limits.
const quotaName = "quota"

// quotaBody holds the limits that were set; nil is the server's default, and 0
// means that there is none.
type quotaBody = QuotaLimits

// QuotaLimits are what a tenant may use; nil where the server's default counts,
// 0 for no limit.
type QuotaLimits struct {
	RequestsPerMinute *int64 `json:"requests_per_minute,omitempty"`
	Watchers          *int64 `json:"watchers,omitempty"`
	Connections       *int64 `json:"connections,omitempty"`
	Documents         *int64 `json:"documents,omitempty"`
	Bytes             *int64 `json:"bytes,omitempty"`
	Secrets           *int64 `json:"secrets,omitempty"`
}

// maxQuota is far above what can be used, and far below what overflows.
const maxQuota = 1 << 50

func (q QuotaLimits) fields() map[string]*int64 {
	return map[string]*int64{
		"requests_per_minute": q.RequestsPerMinute, "watchers": q.Watchers, "connections": q.Connections,
		"documents": q.Documents, "bytes": q.Bytes, "secrets": q.Secrets,
	}
}

func (q QuotaLimits) check() error {
	for name, value := range q.fields() {
		if value != nil && (*value < 0 || *value > maxQuota) {
			return config.Errorf(config.KindBadRequest, "a limit is a number from 0, which means none, to %d", int64(maxQuota)).At("/limits/" + name)
		}
	}
	return nil
}

// stored are the limits of what is stored, which the store itself checks.
func (q QuotaLimits) stored(d Limits) store.Usage {
	return store.Usage{
		Documents: limitOr(q.Documents, d.Documents), Bytes: limitOr(q.Bytes, d.Bytes), Secrets: limitOr(q.Secrets, d.Secrets),
	}
}

func limitOr(set *int64, standard int64) int64 {
	if set != nil {
		return *set
	}
	return standard
}

// TenantLimits are the limits of a tenant's requests that were set; nil fields
// leave them to the server's defaults.
func (s *Service) TenantLimits(tenant config.TenantID) QuotaLimits {
	if state, ok := s.tenants.byID.Load(tenant); ok {
		return state.(*tenantState).rules.Load().quota //nolint:forcetypeassert // only states are stored
	}
	return QuotaLimits{}
}

// Quota is a tenant's limits and what it uses of them.
type Quota struct {
	Version config.Version // 0 while none were set
	Limits  QuotaLimits
	Used    store.Usage
	Watches int64 // open on this instance
	Tenant  config.TenantID
}

// QuotaRequest sets a tenant's limits.
type QuotaRequest struct {
	Limits    QuotaLimits
	Message   string
	IfVersion *config.Version
}

// QuotaResult says what setting them did.
type QuotaResult struct {
	Outcome
	Quota Quota
}

// Quota answers a tenant's limits and what it uses of them.
func (s *Service) Quota(ctx context.Context, who Caller, tenant string) (Quota, error) {
	state, err := s.guard(ctx, who, access.QuotaRead, tenant, access.Resource{Name: quotaName})
	if err != nil {
		return Quota{}, err
	}
	return s.quota(ctx, state)
}

func (s *Service) quota(ctx context.Context, state *tenantState) (Quota, error) {
	rules := state.rules.Load()
	used, err := s.store.Usage(ctx, state.tenant.ID)
	return Quota{
		Version: rules.heads[ruleKey{store.RuleQuota, quotaName}].Version, Limits: rules.quota, Used: used,
		Watches: state.watches.Load(), Tenant: state.tenant.ID,
	}, err
}

// PutQuota sets a tenant's limits. It is a server administrator's: no tenant
// gives itself more.
func (s *Service) PutQuota(ctx context.Context, who Caller, tenant string, in QuotaRequest) (QuotaResult, error) {
	state, err := s.guard(ctx, who, access.QuotaWrite, tenant, access.Resource{Name: quotaName})
	if err != nil {
		return QuotaResult{}, err
	}
	if err := in.Limits.check(); err != nil {
		return QuotaResult{}, err
	}
	if err := checkMessage(in.Message); err != nil {
		return QuotaResult{}, err
	}
	result, err := once(ctx, s, who, state.tenant.ID, func() (QuotaResult, error) {
		var result QuotaResult
		outcome, err := s.commit(ctx, state, rulesQueue, func(ctx context.Context, n *snapshot) (*proposal, error) {
			now, err := s.rulesNow(ctx, state)
			if err != nil {
				return nil, err
			}
			head := now.heads[ruleKey{store.RuleQuota, quotaName}]
			if err := ruleUnmoved(head, in.IfVersion, "the quota"); err != nil {
				return nil, err
			}
			record := s.record(who, "quota.set", access.QuotaWrite, resourceName(access.Resource{Tenant: n.tenant, Name: quotaName}))
			p, err := s.proposeEntry(who, n, store.EntryRule, quotaName, in.Message, "the limits of the tenant were set", record)
			if err != nil {
				return nil, err
			}
			if err := s.proposeRules(ctx, state, now, p, ruleWrite{kind: store.RuleQuota, name: quotaName, body: in.Limits}); err != nil {
				return nil, err
			}
			result.Quota = Quota{Version: p.write.Rules[0].Version, Limits: in.Limits}
			answer := result
			answer.Status = Committed
			return p, s.keep(ctx, who, n.tenant, &p.write, answer)
		})
		result.Outcome = outcome
		return result, err
	})
	if err != nil {
		return result, err
	}
	written := result.Quota
	result.Quota, err = s.quota(ctx, state)
	result.Quota.Version, result.Quota.Limits = written.Version, written.Limits
	return result, err
}

// ruleUnmoved refuses a write that was meant for another version.
func ruleUnmoved(head store.Rule, want *config.Version, what string) error {
	if want == nil || head.Version == *want {
		return nil
	}
	if head.Version == 0 {
		return config.Errorf(config.KindPreconditionFailed, "%s is not there", what).At("if_version").Hint("read it again, and send your edit with the version it has now")
	}
	return config.Errorf(config.KindPreconditionFailed, "%s is at version %d, not %d", what, head.Version, *want).At("if_version").
		Hint("read it again, and send your edit with the version it has now")
}
