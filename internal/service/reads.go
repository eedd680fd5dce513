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
	principal   string
	environment string
}

// readCounts counts the permitted reads that have no record of their own.
type readCounts struct {
	mu     sync.RWMutex
	counts map[readKey]*atomic.Int64
}

func (c *readCounts) count(p access.Principal, tenant config.TenantID, environment string) {
	key := readKey{tenant, p.ID, environment}
	c.mu.RLock()
	if n := c.counts[key]; n != nil {
		n.Add(1)
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
		key = readKey{tenant: tenant}
	}
	if c.counts[key] == nil {
		c.counts[key] = new(atomic.Int64)
	}
	c.counts[key].Add(1)
}

// drain answers the counts and begins anew. Nobody counts while it swaps.
func (c *readCounts) drain() map[readKey]*atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	c.counts = nil
	return counts
}

// FlushCounts puts on record what is only counted: permitted reads by
// principal and environment, and failed authentications by source. It is to be
// called once a minute and before the end.
func (s *Service) FlushCounts(ctx context.Context) error {
	var errs []error
	records := map[config.TenantID][]audit.Record{}
	for key, n := range s.reads.drain() {
		records[key.tenant] = append(records[key.tenant], audit.Record{
			Time: s.clock(), Event: "config.reads", Actor: access.MethodToken + ":" + key.principal, Action: string(access.ConfigRead),
			Resource: resourceName(access.Resource{Tenant: key.tenant, Environment: key.environment}),
			Outcome:  audit.Success, Details: map[string]string{"count": strconv.FormatInt(n.Load(), 10)},
		})
	}
	for _, f := range s.failures.Drain() {
		records[config.TenantID{}] = append(records[config.TenantID{}], audit.Record{
			Time: f.Minute, Event: "authentication.failures", Actor: "anonymous", Outcome: audit.Denied,
			Source: f.Source.String(), Details: map[string]string{"count": strconv.FormatInt(f.Count, 10)},
		})
	}
	for tenant, batch := range records {
		if err := s.store.AppendAudit(ctx, tenant, batch...); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
