package service

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxReadCounters bounds what a minute of reads can take; reads of further
// principals are counted together.
const maxReadCounters = 100_000

// readKey is what permitted reads are counted by.
type readKey struct {
	tenant      config.TenantID
	method      string
	principal   string
	environment string
}

// readCounts counts the permitted reads that have no record of their own.
type readCounts struct {
	mu     sync.RWMutex
	counts map[readKey]*atomic.Int64
}

func (c *readCounts) count(p access.Principal, tenant config.TenantID, environment string) {
	c.add(readKey{tenant, p.Method, p.ID, environment}, 1)
}

func (c *readCounts) add(key readKey, n int64) {
	c.mu.RLock()
	if count := c.counts[key]; count != nil {
		count.Add(n)
		c.mu.RUnlock()
		return
	}
	c.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[readKey]*atomic.Int64{}
	}
	if len(c.counts) >= maxReadCounters && c.counts[key] == nil {
		key = readKey{tenant: key.tenant}
	}
	if c.counts[key] == nil {
		c.counts[key] = new(atomic.Int64)
	}
	c.counts[key].Add(n)
}

// drain answers the counts by tenant and begins anew. Nobody counts while it swaps.
func (c *readCounts) drain() map[config.TenantID]map[readKey]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	drained := map[config.TenantID]map[readKey]int64{}
	for key, n := range c.counts {
		if drained[key.tenant] == nil {
			drained[key.tenant] = map[readKey]int64{}
		}
		drained[key.tenant][key] = n.Load()
	}
	c.counts = nil
	return drained
}

// FlushCounts puts on record what is only counted: permitted reads by
// principal and environment, and failed authentications by source. It keeps when
// tokens were used and what was decided. It is to be called once a minute and
// before the end.
func (s *Service) FlushCounts(ctx context.Context) error {
	return errors.Join(s.flushReads(ctx), s.flushFailures(ctx), s.flushUses(ctx), s.flushSamples(ctx))
}

// FlushLastCounts is FlushCounts at the end, with what the running minute has.
func (s *Service) FlushLastCounts(ctx context.Context) error {
	s.failures.Finish()
	return s.FlushCounts(ctx)
}

// flushUses keeps when tokens were last used. What cannot be kept is lost: they
// will be used again.
func (s *Service) flushUses(ctx context.Context) error {
	var errs []error
	for tenant, uses := range s.tokens.Uses() {
		errs = append(errs, s.store.TouchTokens(ctx, tenant, uses))
	}
	return errors.Join(errs...)
}

// flushReads keeps for the next time what cannot be put on record now.
func (s *Service) flushReads(ctx context.Context) error {
	var errs []error
	for tenant, counts := range s.reads.drain() {
		records := make([]audit.Record, 0, len(counts))
		for key, n := range counts {
			records = append(records, audit.Record{
				Time: s.clock(), Event: "config.reads", Actor: access.Principal{Method: key.method, ID: key.principal}.Actor(),
				Action: string(access.ConfigRead), Resource: resourceName(access.Resource{Tenant: tenant, Environment: key.environment}),
				Tenant: tenant.String(), Outcome: audit.Success, Details: map[string]string{"count": strconv.FormatInt(n, 10)},
			})
		}
		err := s.store.AppendAudit(ctx, tenant, records...)
		if err == nil || config.KindOf(err) == config.KindNotFound { // the tenant was deleted
			continue
		}
		errs = append(errs, err)
		for key, n := range counts {
			s.reads.add(key, n)
		}
	}
	return errors.Join(errs...)
}

// flushFailures keeps for the next time what cannot be put on record now.
func (s *Service) flushFailures(ctx context.Context) error {
	drained := s.failures.Drain()
	if len(drained) == 0 {
		return nil
	}
	records := make([]audit.Record, 0, len(drained))
	for _, f := range drained {
		records = append(records, audit.Record{
			Time: f.Minute, Event: "authentication.failures", Actor: "anonymous", Outcome: audit.Denied,
			Source: f.Source.String(), Details: map[string]string{"count": strconv.FormatInt(f.Count, 10)},
		})
	}
	err := s.store.AppendAudit(ctx, config.TenantID{}, records...)
	if err != nil {
		s.failures.Keep(drained)
	}
	return err
}
