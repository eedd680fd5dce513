package service

import (
	"context"
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// patrolEvery is how often the chains are followed from end to end.
const patrolEvery = 24 * time.Hour

// patrol is how far PatrolAudit has come.
type patrol struct {
	began time.Time        // of the round that runs, or of the last one; zero before the first
	after *config.TenantID // the chain that was followed last
	done  bool             // of this round
}

// PatrolAudit follows the next chain, as far as it lies in the database, and holds
// it against its checkpoints; it says whether there are more. A round begins when
// the process does, and then each day. So what was altered long ago is found also
// when nobody asks. What is in the archive is left out, because it may cost to be
// fetched. What could not be put on record of a chain that does not hold is tried
// again. It is for the one instance that runs jobs.
func (s *Service) PatrolAudit(ctx context.Context) (more bool, err error) {
	p := &s.patrol
	s.tellBroken(ctx)
	now := s.clock()
	if p.done && now.Sub(p.began) < patrolEvery {
		return false, nil
	}
	if p.done || p.began.IsZero() {
		*p = patrol{began: now}
	}
	chains, err := s.store.ScanChains(ctx, store.ChainScan{After: p.after, Limit: 1})
	if err != nil {
		return false, err
	}
	if len(chains) == 0 {
		p.done = true
		return false, nil
	}
	chain := chains[0]
	if s.broken.reason(chain.Tenant) == "" {
		report, err := s.patrolChain(ctx, chain)
		if err != nil && !errors.Is(err, errDisposed) { // what moves meanwhile is followed the next time
			return false, err
		}
		if err == nil && report.Broken != nil {
			s.chainBroken(ctx, chain.Tenant, report.Broken)
		}
	}
	p.after = &chain.Tenant
	return true, nil
}

// patrolChain follows a chain behind what is in the archive or disposed of.
func (s *Service) patrolChain(ctx context.Context, chain store.Chain) (audit.Report, error) {
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	signing, err := s.openSigningKeys(ctx, keys)
	if err != nil {
		return audit.Report{}, err
	}
	from, err := s.beginsHere(ctx, chain.Tenant)
	if err != nil {
		return audit.Report{}, err
	}
	follower := audit.NewFollower(audit.Origin(keys[0].Name, chain.Tenant), from, publicKeys(signing)...)
	report, err := s.follow(ctx, follower, chain, from, from.Sequence, chain.Head.Sequence, nil)
	if err == nil && report.Broken == nil {
		report.Broken, err = s.behindEnd(ctx, chain.Tenant)
	}
	if err == nil && report.Broken == nil {
		report.Broken, err = s.refusedElsewhere(ctx, chain.Tenant)
	}
	return report, err
}

// beginsHere is the head behind which a chain lies in the database.
func (s *Service) beginsHere(ctx context.Context, id config.TenantID) (head audit.Head, err error) {
	for {
		segments, err := s.store.Segments(ctx, id, head.Sequence, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return head, err
		}
		for _, segment := range segments {
			if segment.State == store.Warm {
				return head, nil
			}
			head = audit.Head{Sequence: segment.Last, Hash: segment.Hash}
		}
	}
}
