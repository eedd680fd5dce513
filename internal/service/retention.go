package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// AuditSetup is how long audit records are kept where. Zero fields have the
// defaults noted.
type AuditSetup struct {
	Hot   time.Duration // as rows of the database: 7 days
	Warm  time.Duration // after that, in segments in the database: 30 days
	Keep  time.Duration // in all: 7 years
	Every time.Duration // between checkpoints of a chain that goes on: 1 minute

	Alerts []audit.AlertRule // besides the built-in ones, or in their place
}

const (
	day  = 24 * time.Hour
	year = 365*day + 6*time.Hour
)

func (s *Service) setup() AuditSetup {
	a := s.auditSetup()
	a.Hot, a.Warm, a.Keep = cmp.Or(a.Hot, 7*day), cmp.Or(a.Warm, 30*day), cmp.Or(a.Keep, 7*year)
	a.Every = cmp.Or(a.Every, time.Minute)
	return a
}

// Archive is object storage. Get of what is not there is KindNotFound; deleting
// it is no error. What Put has put is durable.
type Archive interface {
	Name() string
	Put(ctx context.Context, key string, body []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
}

// gather is how long records may wait beyond their time for a segment to be full.
const gather = day

// keeping is how far RetainAudit has come.
type keeping struct {
	after *config.TenantID // the chain that it looked at last
	done  map[config.TenantID]keptUpTo
}

// keptUpTo says where there is nothing left to do in a chain. It is only known in
// memory: a process that has just begun looks at everything once.
type keptUpTo struct{ disposed, archived uint64 }

// chainsPerRun is how many chains one run of RetainAudit sees to.
const chainsPerRun = 50

// RetainAudit moves old records of some chains to where they belong, disposes of
// those whose time is over, and says whether there are more chains to see to.
// Each step is whole or not made, and one that was cut short is made again. It is
// for the one instance that runs jobs.
func (s *Service) RetainAudit(ctx context.Context) (more bool, err error) {
	chains, err := s.store.ScanChains(ctx, store.ChainScan{After: s.keeping.after, Limit: chainsPerRun})
	if err != nil {
		return false, err
	}
	name, err := s.installation(ctx)
	if err != nil {
		return false, err
	}
	for _, chain := range chains {
		r := retaining{s: s, chain: chain, origin: audit.Origin(name, chain.Tenant), setup: s.setup(), now: s.clock()}
		if err := r.run(ctx); err != nil {
			return false, fmt.Errorf("the audit records of %s: %w", r.origin, err)
		}
		s.keeping.after = &chain.Tenant
	}
	if len(chains) < chainsPerRun {
		s.keeping.after = nil
		return false, nil
	}
	return true, nil
}

// retaining sees to one chain.
type retaining struct {
	s      *Service
	chain  store.Chain
	origin string
	setup  AuditSetup
	now    time.Time
}

func (r retaining) run(ctx context.Context) error {
	if r.s.broken.reason(r.chain.Tenant) != "" {
		return nil // what is there is evidence, and stays as it is
	}
	for _, step := range []func(context.Context) error{r.pack, r.moveOn, r.thin} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// segmentLinks is how many links a segment is of, at most. Segments end where
// blocks do, as long as there is enough to fill them.
const segmentLinks = audit.BlockRecords

// pack makes segments of what is no longer hot.
func (r retaining) pack(ctx context.Context) error {
	for r.chain.Hot < r.chain.Head.Sequence {
		links, err := r.s.store.Audit(ctx, r.chain.Tenant, r.chain.Hot-1, r.upToBlock())
		if err != nil {
			return err
		}
		old, first, last, err := r.old(links)
		if err != nil || len(old) == 0 {
			return err
		}
		if len(old) < r.upToBlock() && r.now.Sub(first) < r.setup.Hot+gather {
			return nil
		}
		if err := r.packLinks(ctx, old, first, last); err != nil {
			return err
		}
		r.chain.Hot = old[len(old)-1].Sequence + 1
	}
	return nil
}

// upToBlock is how many links there are from the oldest hot one to the end of
// its block.
func (r retaining) upToBlock() int {
	return segmentLinks - int((r.chain.Hot-1)%segmentLinks)
}

// old are the links whose time as rows is over, but for the last of the chain,
// and the times of the first and the last of them.
func (r retaining) old(links []audit.Link) (old []audit.Link, first, last time.Time, err error) {
	until := r.now.Add(-r.setup.Hot)
	for i, l := range links {
		record, err := audit.ParseRecord(l.Record)
		if err != nil {
			return nil, first, last, unreadableRecord(l, err)
		}
		if !record.Time.Before(until) || l.Sequence >= r.chain.Head.Sequence {
			return links[:i], first, last, nil
		}
		if last = record.Time; i == 0 {
			first = record.Time
		}
	}
	return links, first, last, nil
}

// packLinks packs links that follow each other and go on from what was packed
// before; a chain that is broken there is left as it is.
func (r retaining) packLinks(ctx context.Context, links []audit.Link, first, last time.Time) error {
	from, err := r.s.headAt(ctx, r.chain.Tenant, links[0].Sequence-1)
	if err != nil {
		return err
	}
	follower := audit.NewFollower(r.origin, from)
	for _, l := range links {
		if !follower.Link(l) {
			r.s.chainBroken(ctx, r.chain.Tenant, follower.Finish().Broken)
			return nil
		}
	}
	body, err := audit.PackSegment(r.origin, from, links)
	if err != nil {
		return err
	}
	end := links[len(links)-1]
	return r.s.store.PackLinks(ctx, r.chain.Tenant, store.Segment{
		Tenant: r.chain.Tenant, First: links[0].Sequence, Last: end.Sequence, From: from.Hash, Hash: end.Hash,
		FirstTime: first, LastTime: last, State: store.Warm, Bytes: int64(len(body)), Digest: sha256.Sum256(body),
	}, body)
}

// moveOn archives segments that are no longer warm, and disposes of those that
// have been kept for long enough, the oldest first.
func (r retaining) moveOn(ctx context.Context) error {
	done := r.s.keeping.done[r.chain.Tenant]
	disposing := true // of all before
	for after := min(done.disposed, done.archived); ; {
		segments, err := r.s.store.Segments(ctx, r.chain.Tenant, after, segmentsAtOnce)
		if err != nil {
			return err
		}
		for _, segment := range segments {
			after = segment.Last
			finished, err := r.segment(ctx, segment, &disposing)
			if err != nil {
				return err
			}
			if finished && disposing {
				done.disposed = segment.Last
			}
			if finished {
				done.archived = segment.Last
			}
		}
		if len(segments) < segmentsAtOnce {
			break
		}
	}
	if r.s.keeping.done == nil {
		r.s.keeping.done = map[config.TenantID]keptUpTo{}
	}
	r.s.keeping.done[r.chain.Tenant] = done
	return nil
}

// segment sees to one segment, and says whether nothing is left to do with it
// until its time is over.
func (r retaining) segment(ctx context.Context, segment store.Segment, disposing *bool) (finished bool, err error) {
	over := r.now.Sub(segment.LastTime) >= r.setup.Keep && r.chain.Hold == (store.Hold{})
	if segment.State != store.Disposed && over && *disposing {
		if err := r.dispose(ctx, &segment); err != nil {
			return false, err
		}
	}
	if segment.State == store.Disposed {
		return true, r.clear(ctx, segment)
	}
	*disposing = false
	if segment.State == store.Warm && r.s.archive != nil && r.now.Sub(segment.LastTime) >= r.setup.Hot+r.setup.Warm {
		return true, r.toArchive(ctx, segment)
	}
	return segment.State == store.Cold, nil
}

// toArchive moves a segment: it is in the archive, and was read back from there,
// before it leaves the database.
func (r retaining) toArchive(ctx context.Context, segment store.Segment) error {
	body, err := r.s.store.SegmentBody(ctx, segment.Tenant, segment.First)
	if err != nil {
		return err
	}
	if sha256.Sum256(body) != segment.Digest {
		r.s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.First, Reason: "the segment that it is in was altered in the database"})
		return nil
	}
	key := fmt.Sprintf("%s/%020d-%020d.ndjson.zst", r.origin, segment.First, segment.Last)
	if err := r.s.archive.Put(ctx, key, body); err != nil {
		return err
	}
	back, err := r.s.archive.Get(ctx, key)
	if err != nil {
		return err
	}
	if sha256.Sum256(back) != segment.Digest {
		return unavailable(nil, "the archive does not give back what it was given: "+key)
	}
	return r.s.store.ArchiveSegment(ctx, segment.Tenant, segment.First, key)
}

// dispose leaves a stub of a segment, with the record that attests it.
func (r retaining) dispose(ctx context.Context, segment *store.Segment) error {
	record := r.s.record(system(), audit.DisposeEvent, access.AuditHold, resourceName(access.Resource{Tenant: r.chain.Tenant, Name: auditName}))
	record.Reason = "kept for " + r.setup.Keep.String()
	record.Details = stubOf(*segment).DisposeDetails()
	if r.chain.Tenant != (config.TenantID{}) {
		record.Tenant = r.chain.Tenant.String()
	}
	if err := r.s.store.DisposeSegment(ctx, segment.Tenant, segment.First, record); err != nil {
		return err
	}
	segment.State = store.Disposed
	r.s.segments.Invalidate(chainKey{segment.Tenant, segment.First})
	return nil
}

// clear deletes what a segment that was disposed of left in the archive.
func (r retaining) clear(ctx context.Context, segment store.Segment) error {
	if segment.Location == "" {
		return nil
	}
	if r.s.archive == nil {
		return unavailable(nil, "audit records whose time is over are in an archive, and none is configured; set audit-archive")
	}
	if err := r.s.archive.Delete(ctx, segment.Location); err != nil {
		return err
	}
	return r.s.store.ForgetLocation(ctx, segment.Tenant, segment.First)
}

// thin leaves one checkpoint a day of what is no longer hot.
func (r retaining) thin(ctx context.Context) error {
	return r.s.store.ThinCheckpoints(ctx, r.chain.Tenant, r.now.Add(-r.setup.Hot))
}

// maxHoldReason bounds the reason of a legal hold in bytes.
const maxHoldReason = 1024

// HoldAudit sets the legal hold of a tenant's chain, which keeps its records from
// being disposed of and the tenant from being deleted; an empty reason lifts it.
// It is for the server's administrators.
func (s *Service) HoldAudit(ctx context.Context, who Caller, chain Chain, reason string) (*store.Hold, error) {
	id, err := s.chainToHold(ctx, who, chain)
	if err != nil {
		return nil, err
	}
	if len(reason) > maxHoldReason {
		return nil, config.Errorf(config.KindTooLarge, "the reason is too long").At("/reason").Over(maxHoldReason, int64(len(reason)))
	}
	hold, event := store.Hold{Reason: reason, Author: who.Principal.Author()}, "audit.hold.set"
	if reason == "" {
		hold, event = store.Hold{}, "audit.hold.lift"
	}
	record := s.record(who, event, access.AuditHold, resourceName(access.Resource{Tenant: id, Name: auditName + "/hold"}))
	record.Reason = reason
	if id != (config.TenantID{}) {
		record.Tenant = id.String()
	}
	if err := s.store.Hold(ctx, id, hold, record); err != nil {
		return nil, err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil || stands.Hold == (store.Hold{}) {
		return nil, err
	}
	return &stands.Hold, nil
}

func (s *Service) chainToHold(ctx context.Context, who Caller, chain Chain) (config.TenantID, error) {
	switch {
	case chain.Tenant != "":
		state, err := s.guard(ctx, who, access.AuditHold, chain.Tenant, access.Resource{Name: auditName})
		if err != nil {
			return config.TenantID{}, err
		}
		return state.tenant.ID, nil
	case chain.Deleted != "":
		return s.deletedChain(ctx, who, access.AuditHold, chain.Deleted)
	}
	return config.TenantID{}, s.guardServer(ctx, who, access.AuditHold, access.Resource{Name: auditName})
}
