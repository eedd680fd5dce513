package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
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

	Anchors []string // names of those that are to have a checkpoint before it is thinned out

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
	done  map[config.TenantID]*keptUpTo
}

// of is how far it has come in a chain.
func (k *keeping) of(id config.TenantID) *keptUpTo {
	if k.done == nil {
		k.done = map[config.TenantID]*keptUpTo{}
	}
	if k.done[id] == nil {
		k.done[id] = &keptUpTo{}
	}
	return k.done[id]
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
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return false, err
	}
	signing, err := s.openSigningKeys(ctx, keys)
	if err != nil {
		return false, err
	}
	setup := s.setup()
	anchored, err := s.anchored(ctx, setup.Anchors)
	if err != nil {
		return false, err
	}
	var failed []error // of chains that the others do not wait for
	for _, chain := range chains {
		r := retaining{s: s, chain: chain, origin: audit.Origin(keys[0].Name, chain.Tenant), keys: publicKeys(signing), newest: signing[len(signing)-1:], setup: setup, anchored: anchored, now: s.clock()}
		if err := r.run(ctx); err != nil {
			failed = append(failed, fmt.Errorf("the audit records of %s: %w", r.origin, err))
		}
		if ctx.Err() != nil {
			break
		}
		s.keeping.after = &chain.Tenant
	}
	if len(chains) < chainsPerRun {
		s.keeping.after = nil
	}
	return len(failed) == 0 && len(chains) == chainsPerRun, errors.Join(failed...)
}

// retaining sees to one chain.
type retaining struct {
	s      *Service
	chain  store.Chain
	origin string
	keys   []string            // of checkpoints
	newest []*audit.SigningKey // the one that signs
	gone   *uint64             // up to which record disposals are attested; nil before anybody asked
	setup  AuditSetup
	now    time.Time

	anchored int64 // up to where in the feed of checkpoints every anchor has them
}

func (r *retaining) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.pack, r.dispose, r.archive, r.thin} {
		if r.broken() {
			return nil
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// broken says that the chain does not hold: what is there is evidence, and stays
// as it is.
func (r *retaining) broken() bool { return r.s.broken.reason(r.chain.Tenant) != "" }

// segmentLinks is how many links a segment is of, at most. Segments end where
// blocks do, as long as there is enough to fill them.
const segmentLinks = audit.BlockRecords

// segmentBytes is how much the records of a segment have together, at about most.
// One is read as a whole.
const segmentBytes = 16 << 20

// pack makes segments of what is no longer hot.
func (r *retaining) pack(ctx context.Context) error {
	for r.chain.Hot < r.chain.Head.Sequence && !r.broken() {
		links, full, err := r.hot(ctx)
		if err != nil {
			return err
		}
		old, first, last, err := r.old(links)
		if err != nil || len(old) == 0 {
			return err
		}
		if full = full && len(old) == len(links); !full && r.now.Sub(first) < r.setup.Hot+gather {
			return nil
		}
		if err := r.packLinks(ctx, old, first, last); err != nil {
			return err
		}
		r.chain.Hot = old[len(old)-1].Sequence + 1
	}
	return nil
}

// hotAtOnce is how many links are read at a time to be packed.
const hotAtOnce = 512

// hot are the oldest hot links, up to the end of their block, and says whether
// they fill a segment.
func (r *retaining) hot(ctx context.Context) (links []audit.Link, full bool, err error) {
	n := segmentLinks - int((r.chain.Hot-1)%segmentLinks)
	for size := 0; len(links) < n && size < segmentBytes; {
		some, err := r.s.store.Audit(ctx, r.chain.Tenant, r.chain.Hot-1+uint64(len(links)), min(hotAtOnce, n-len(links)))
		if err != nil || len(some) == 0 {
			return links, false, err
		}
		for _, l := range some {
			if size += len(l.Record); size <= segmentBytes || len(links) == 0 {
				links = append(links, l)
			}
		}
	}
	return links, true, nil
}

// old are the links whose time as rows is over, but for the last of the chain,
// and the times of the first and the last of them.
func (r *retaining) old(links []audit.Link) (old []audit.Link, first, last time.Time, err error) {
	until := r.now.Add(-r.setup.Hot)
	for i, l := range links {
		record, err := audit.ParseRecord(l.Record)
		if err != nil {
			return nil, first, last, unreadableRecord(l, err)
		}
		if record.Time.After(until) || l.Sequence >= r.chain.Head.Sequence {
			return links[:i], first, last, nil
		}
		if last = record.Time; i == 0 {
			first = record.Time
		}
	}
	return links, first, last, nil
}

// packLinks packs links that follow each other and go on from what was packed
// before, and are what their checkpoints say; a chain that is broken there is left
// as it is.
func (r *retaining) packLinks(ctx context.Context, links []audit.Link, first, last time.Time) error {
	from, err := r.packedEnd(ctx)
	if err != nil {
		return err
	}
	follower := audit.NewFollower(r.origin, from, r.keys...)
	notes := noteFeed{s: r.s, chain: r.chain.Tenant, next: from.Sequence}
	for _, l := range links {
		if !follower.Link(l) {
			break
		}
		if err := notes.upTo(ctx, l.Sequence, func(note []byte) error { follower.Checkpoint(note); return nil }); err != nil {
			return err
		}
	}
	if broken := follower.Finish().Broken; broken != nil {
		r.s.chainBroken(ctx, r.chain.Tenant, broken)
		return nil
	}
	body, err := audit.PackSegment(r.origin, from, links)
	if err != nil {
		return err
	}
	end := links[len(links)-1]
	return r.s.store.PackLinks(ctx, r.chain.Tenant, store.Segment{
		Tenant: r.chain.Tenant, First: from.Sequence + 1, Last: end.Sequence, From: from.Hash, Hash: end.Hash,
		FirstTime: first, LastTime: last, State: store.Warm, Bytes: int64(len(body)), Digest: sha256.Sum256(body),
	}, body)
}

// packedEnd is where what was packed ends, which the oldest hot link continues.
func (r *retaining) packedEnd(ctx context.Context) (audit.Head, error) {
	segment, there, err := r.s.segmentOf(ctx, r.chain.Tenant, r.chain.Hot-1)
	if err != nil || !there {
		return audit.Head{}, err
	}
	return audit.Head{Sequence: segment.Last, Hash: segment.Hash}, nil
}

// dispose disposes of segments that have been kept for long enough, the oldest
// first.
func (r *retaining) dispose(ctx context.Context) error {
	done := r.s.keeping.of(r.chain.Tenant)
	return r.eachSegment(ctx, done.disposed, func(segment store.Segment) (on bool, err error) {
		if segment.State == store.Disposed {
			if attested, err := r.attested(ctx); err != nil || segment.Last > attested {
				if err == nil {
					r.s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.First, Reason: "the database says that it was disposed of, and no signed record does"})
				}
				return false, err
			}
		} else {
			over := r.now.Sub(segment.LastTime) >= r.setup.Keep && r.chain.Hold == (store.Hold{})
			if !over || segment.Last >= r.chain.Checkpoint { // the next one is signed from there
				return false, nil
			}
			if err := r.disposeOf(ctx, segment); err != nil || r.broken() {
				return false, err
			}
		}
		if err := r.clear(ctx, segment); err != nil {
			return false, err
		}
		done.disposed = segment.Last
		done.archived = max(done.archived, segment.Last)
		return true, nil
	})
}

// archive moves segments that are no longer warm, the oldest first.
func (r *retaining) archive(ctx context.Context) error {
	if r.s.archive == nil {
		return nil
	}
	done := r.s.keeping.of(r.chain.Tenant)
	return r.eachSegment(ctx, done.archived, func(segment store.Segment) (on bool, err error) {
		if segment.State == store.Warm {
			if r.now.Sub(segment.LastTime) < r.setup.Hot+r.setup.Warm {
				return false, nil
			}
			if err := r.toArchive(ctx, segment); err != nil || r.broken() {
				return false, err
			}
		}
		done.archived = segment.Last
		return true, nil
	})
}

// eachSegment goes through the segments behind a record until visit says that it
// is enough.
func (r *retaining) eachSegment(ctx context.Context, after uint64, visit func(store.Segment) (on bool, err error)) error {
	for {
		segments, err := r.s.store.Segments(ctx, r.chain.Tenant, after, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return err
		}
		for _, segment := range segments {
			after = segment.Last
			if on, err := visit(segment); !on || err != nil {
				return err
			}
		}
	}
}

// toArchive moves a segment: it is in the archive, and was read back from there,
// before it leaves the database.
func (r *retaining) toArchive(ctx context.Context, segment store.Segment) error {
	body, err := r.s.store.SegmentBody(ctx, segment.Tenant, segment.First)
	if err != nil {
		return err
	}
	if sha256.Sum256(body) != segment.Digest {
		r.s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.First, Reason: "the segment that it is in was altered in the database"})
		return nil
	}
	key := r.key(segment)
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

// key is where a segment lies in the archive.
func (r *retaining) key(segment store.Segment) string {
	return fmt.Sprintf("%s/%020d-%020d.ndjson.zst", r.origin, segment.First, segment.Last)
}

// disposeOf leaves a stub of a segment, with the record that attests it and all before. Whether
// the time of its records is over it asks these themselves: the database alone is
// not to make the server destroy what is in an archive.
func (r *retaining) disposeOf(ctx context.Context, segment store.Segment) error {
	links, err := r.s.unpack(ctx, segment)
	if err != nil {
		return err
	}
	if !fits(segment, links) {
		return &brokenSegment{segment, errors.New("it is not of the records that it says")}
	}
	newest := links[len(links)-1]
	last, err := audit.ParseRecord(newest.Record)
	if err != nil {
		return unreadableRecord(newest, err)
	}
	if r.now.Sub(last.Time) < r.setup.Keep {
		r.s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.Last, Reason: "it is younger than the database says, so that it would be disposed of before its time"})
		return nil
	}
	held, err := r.s.held(ctx, segment.Tenant)
	if err != nil {
		return err
	}
	if held {
		r.s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.First, Reason: "the chain is under legal hold by its records, and the database says that it is not"})
		return nil
	}
	record := r.s.record(system(), audit.DisposeEvent, access.AuditHold, resourceName(access.Resource{Tenant: r.chain.Tenant, Name: auditName}))
	record.Reason = "kept for " + r.setup.Keep.String()
	// It attests all that was disposed of so far, because the records of earlier
	// disposals are disposed of themselves in time.
	stub := audit.Stub{First: 1, Last: segment.Last, Hash: segment.Hash}
	note, err := stub.Sign(r.origin, r.now, r.newest...)
	if err != nil {
		return err
	}
	record.Details = stub.DisposeDetails(note)
	if r.chain.Tenant != (config.TenantID{}) {
		record.Tenant = r.chain.Tenant.String()
	}
	if err := r.s.store.DisposeSegment(ctx, segment.Tenant, segment.First, record); err != nil {
		return err
	}
	r.gone = &stub.Last
	r.s.segments.Invalidate(chainKey{segment.Tenant, segment.First})
	return nil
}

// attested is up to which record a record of the chain says, signed, that they
// were disposed of; the database alone is not to make the server destroy anything.
func (r *retaining) attested(ctx context.Context) (uint64, error) {
	if r.gone != nil {
		return *r.gone, nil
	}
	links, _, err := r.s.findLinks(ctx, r.chain.Tenant, &audit.Filter{Events: []string{audit.DisposeEvent}}, 0, 1)
	if err != nil {
		return 0, err
	}
	r.gone = new(uint64)
	for _, l := range links {
		record, err := audit.ParseRecord(l.Record)
		if err != nil {
			return 0, unreadableRecord(l, err)
		}
		if d, err := audit.OpenDisposal([]byte(record.Details["note"]), r.keys...); err == nil && d.Origin == r.origin && d.Stub.First == 1 {
			*r.gone = d.Stub.Last
		}
	}
	return *r.gone, nil
}

// held says whether the newest record of a hold on the chain sets one, whatever
// the database says of it.
func (s *Service) held(ctx context.Context, id config.TenantID) (bool, error) {
	links, _, err := s.findLinks(ctx, id, &audit.Filter{
		Events:   []string{"audit.hold.set", "audit.hold.lift"},
		Resource: resourceName(access.Resource{Tenant: id, Name: auditName + "/hold"}), // the server's chain has those of tenants as well
	}, 0, 1)
	if err != nil || len(links) == 0 {
		return false, err
	}
	record, err := audit.ParseRecord(links[0].Record)
	if err != nil {
		return false, unreadableRecord(links[0], err)
	}
	return record.Event == "audit.hold.set", nil
}

// clear deletes what a segment that was disposed of left in the archive.
func (r *retaining) clear(ctx context.Context, segment store.Segment) error {
	if segment.Location == "" {
		return nil
	}
	if r.s.archive == nil {
		return unavailable(nil, "audit records whose time is over are in an archive, and none is configured; set audit-archive")
	}
	if err := r.s.archive.Delete(ctx, r.key(segment)); err != nil { // not where the database says
		return err
	}
	return r.s.store.ForgetLocation(ctx, segment.Tenant, segment.First)
}

// thin leaves one checkpoint a day of what is no longer hot, what an anchor does
// not have yet, and those that lead from one key to the next.
func (r *retaining) thin(ctx context.Context) error {
	return r.s.store.ThinCheckpoints(ctx, r.chain.Tenant, store.Thinning{Before: r.now.Add(-r.setup.Hot), Through: r.anchored, Spare: r.handsOver})
}

// handsOver says whether several of the keys signed a checkpoint, so that who
// trusts one of them can go on with the others.
func (r *retaining) handsOver(c *store.Checkpoint) bool {
	signed := 0
	for _, key := range r.keys {
		if _, err := audit.OpenCheckpoint(c.Note, key); err == nil {
			signed++
		}
	}
	return signed > 1
}

// anchored is up to where in the feed of checkpoints all anchors have them.
func (s *Service) anchored(ctx context.Context, anchors []string) (int64, error) {
	all := int64(math.MaxInt64)
	for _, name := range anchors {
		position, err := s.store.Position(ctx, "anchor "+name)
		if err != nil {
			return 0, err
		}
		all = min(all, position)
	}
	return all, nil
}

// maxHoldReason bounds the reason of a legal hold in bytes.
const maxHoldReason = 1024

// HoldAudit sets the legal hold of a tenant's chain, which keeps its records from
// being disposed of and the tenant from being deleted; an empty reason lifts it.
// It is for the server's administrators.
func (s *Service) HoldAudit(ctx context.Context, who Caller, chain Chain, reason string) (AuditHold, error) {
	id, err := s.chainToHold(ctx, who, chain)
	if err != nil {
		return AuditHold{}, err
	}
	if len(reason) > maxHoldReason {
		return AuditHold{}, config.Errorf(config.KindTooLarge, "the reason is too long").At("/reason").Over(maxHoldReason, int64(len(reason)))
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
	result, err := once(ctx, s, who, config.TenantID{}, func() (AuditHold, error) {
		result := AuditHold{Outcome{Status: Committed, Time: s.clock()}, hold}
		kept, err := s.keptForServer(ctx, who, result)
		if err != nil {
			return AuditHold{}, err
		}
		s.tenants.loading.Lock() // no tenant is being deleted
		err = s.store.Hold(ctx, id, hold, record, kept)
		s.tenants.loading.Unlock()
		if err != nil || reason == "" {
			return result, err
		}
		stands, err := s.store.Chain(ctx, id)
		result.Time = stands.Hold.Time
		return result, err
	})
	if result.Hold != (store.Hold{}) {
		result.Hold.Time = result.Time
	}
	return result, err
}

// AuditHold is what setting or lifting a legal hold comes to.
type AuditHold struct {
	Outcome
	Hold store.Hold // zero when none stands
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
