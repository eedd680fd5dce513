package service

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// How much is read at a time.
const (
	linksAtOnce  = 2048
	blocksAtOnce = 16

	// maxParts is how many blocks, or as many records, one search looks at before
	// it answers with what it has and where to go on.
	maxParts = 4096
)

func unreadableRecord(l audit.Link, cause error) error {
	return unavailable(cause, fmt.Sprintf("audit record %d cannot be read; `llm-config audit verify` says more", l.Sequence))
}

// finder collects the links that a filter selects, newest first.
type finder struct {
	s      *Service
	chain  config.TenantID
	filter *audit.Filter
	before uint64 // 0 for all
	limit  int
	parts  int // that were looked at

	found []audit.Link
	next  uint64 // below which to go on; 0 when there is no more
}

// findLinks answers the links of a chain that a filter selects, newest first,
// below before (0 for all), at most limit; and where to go on, 0 for the end.
func (s *Service) findLinks(ctx context.Context, id config.TenantID, filter *audit.Filter, before uint64, limit int) (found []audit.Link, next uint64, err error) {
	f := finder{s: s, chain: id, filter: filter, before: before, limit: limit}
	err = s.eachPart(ctx, id, before, func(block *audit.Block, links []audit.Link) (on bool, err error) {
		f.parts++
		if block == nil {
			on, err = f.take(links)
		} else {
			on, err = f.block(ctx, block)
		}
		return on && f.parts < maxParts, errors.Join(err, ctx.Err())
	})
	return f.found, f.next, err
}

// block looks where a block says, and asks the filter again about what is there.
func (f *finder) block(ctx context.Context, block *audit.Block) (on bool, err error) {
	first, last := block.Times()
	if !f.filter.From.IsZero() && last.Before(f.filter.From) {
		f.next = 0 // all that is before is older still
		return false, nil
	}
	before := f.before
	if before == 0 {
		before = block.Last() + 1
	}
	for more := f.filter.To.IsZero() || first.Before(f.filter.To); more; {
		asked := f.limit - len(f.found)
		sequences := block.Find(f.filter, before, asked)
		links, err := f.s.linksOf(ctx, f.chain, sequences)
		if err != nil {
			return false, err
		}
		if on, err := f.take(links); !on || err != nil {
			return false, err
		}
		if more = len(sequences) == asked; more {
			before = sequences[asked-1]
		}
	}
	f.next = block.First()
	return true, nil
}

// take collects the links that the filter selects, until there are enough.
func (f *finder) take(links []audit.Link) (on bool, err error) {
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			return false, unreadableRecord(l, err)
		}
		if !f.filter.From.IsZero() && r.Time.Before(f.filter.From) {
			f.next = 0
			return false, nil
		}
		f.next = l.Sequence
		if f.filter.Matches(&r) {
			f.found = append(f.found, l)
		}
		if len(f.found) == f.limit {
			return false, nil
		}
	}
	return true, nil
}

// eachPart goes back through a chain from below before (0 for its end): over the
// blocks that there are, and over the links themselves where there is none, both
// newest first. It ends where visit says so, or where records were disposed of.
func (s *Service) eachPart(ctx context.Context, id config.TenantID, before uint64, visit func(*audit.Block, []audit.Link) (bool, error)) error {
	chain, err := s.store.Chain(ctx, id)
	if err != nil {
		return err
	}
	position := chain.Head.Sequence + 1
	if before != 0 {
		position = min(position, before)
	}
	var blocks []store.Block
	for position > 1 {
		if len(blocks) == 0 {
			if blocks, err = s.store.Blocks(ctx, id, position, blocksAtOnce); err != nil {
				return err
			}
		}
		floor := uint64(0) // the links above it have no block
		if len(blocks) > 0 {
			floor = blocks[0].Last
		}
		if position > floor+1 {
			links, err := s.linksBack(ctx, id, position, floor)
			if err != nil || len(links) == 0 {
				return err
			}
			if on, err := visit(nil, links); !on || err != nil {
				return err
			}
			position = links[len(links)-1].Sequence
			continue
		}
		block, err := s.block(ctx, id, blocks[0])
		if err != nil {
			return err
		}
		if on, err := visit(block, nil); !on || err != nil {
			return err
		}
		position, blocks = block.First(), blocks[1:]
	}
	return nil
}

// linksBack answers some of the links below before and above floor, newest first;
// none where they were disposed of.
func (s *Service) linksBack(ctx context.Context, id config.TenantID, before, floor uint64) ([]audit.Link, error) {
	links, err := s.store.AuditBack(ctx, id, before, int(min(linksAtOnce, before-1-floor)))
	if err != nil {
		return nil, err
	}
	if len(links) > 0 && links[0].Sequence == before-1 {
		return links, nil
	}
	segments, err := s.store.Segments(ctx, id, before-2, 1) // the one that before-1 is in
	if err != nil || len(segments) == 0 || segments[0].State == store.Disposed {
		return nil, err
	}
	packed, err := s.unpacked(ctx, segments[0])
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(slices.Clone(packed), func(l audit.Link) bool { return l.Sequence >= before || l.Sequence <= floor })
	slices.Reverse(links)
	return links, nil
}

// linksOf answers the links of sequence numbers, which go down, in that order,
// from wherever they are now.
func (s *Service) linksOf(ctx context.Context, id config.TenantID, sequences []uint64) ([]audit.Link, error) {
	if len(sequences) == 0 {
		return nil, nil
	}
	hot, err := s.store.AuditOf(ctx, id, sequences)
	if err != nil {
		return nil, err
	}
	known := make(map[uint64]audit.Link, len(sequences))
	for _, l := range hot {
		known[l.Sequence] = l
	}
	links := make([]audit.Link, 0, len(sequences))
	for _, sequence := range sequences {
		if _, there := known[sequence]; !there {
			segments, err := s.store.Segments(ctx, id, sequence-1, 1)
			if err != nil {
				return nil, err
			}
			if len(segments) == 0 || segments[0].State == store.Disposed {
				continue
			}
			packed, err := s.unpacked(ctx, segments[0])
			if err != nil {
				return nil, err
			}
			for _, l := range packed {
				known[l.Sequence] = l
			}
		}
		if l, there := known[sequence]; there {
			links = append(links, l)
		}
	}
	return links, nil
}

// chainKey is a place in a chain.
type chainKey struct {
	tenant   config.TenantID
	sequence uint64
}

// The bounds of what is kept in memory of chains.
const (
	blockCacheBytes   = 64 << 20
	segmentCacheBytes = 64 << 20
	linkBytes         = 64 // of a link, besides its record
)

func newBlockCache() *cache.Cache[chainKey, *audit.Block] {
	return cache.New(cache.Options[chainKey, *audit.Block]{
		Weight: blockCacheBytes, Age: cacheAge, Weigh: func(_ chainKey, b *audit.Block) uint32 { return uint32(b.Size()) },
	})
}

func newSegmentCache() *cache.Cache[chainKey, []audit.Link] {
	return cache.New(cache.Options[chainKey, []audit.Link]{
		Weight: segmentCacheBytes, Age: cacheAge,
		Weigh: func(_ chainKey, links []audit.Link) uint32 {
			n := 0
			for _, l := range links {
				n += len(l.Record) + linkBytes
			}
			return uint32(n)
		},
	})
}

// blockPlace is where a block is sealed for. It is under the server's key, since
// a chain outlives its tenant's.
func blockPlace(id config.TenantID, first uint64) seal.Place {
	return seal.Place{Kind: seal.AuditBlock, Path: "audit:" + id.String(), Version: int64(first)}
}

// block opens a block, so that nobody who writes to the database can hide records
// from a search that does not read them all.
func (s *Service) block(ctx context.Context, id config.TenantID, kept store.Block) (*audit.Block, error) {
	key := chainKey{id, kept.First}
	if block, known := s.blocks.Get(key); known {
		return block, nil
	}
	plain, err := s.keyring.Open(ctx, blockPlace(id, kept.First), kept.Sealed)
	if err != nil {
		return nil, unavailable(err, "the index of the audit records cannot be opened")
	}
	block, err := audit.ParseBlock(plain)
	if err != nil || block.First() != kept.First || block.Last() != kept.Last {
		return nil, unavailable(err, "the index of the audit records cannot be read")
	}
	s.blocks.Set(key, block)
	return block, nil
}

// unpacked are the links of a segment, from wherever it lies.
func (s *Service) unpacked(ctx context.Context, segment store.Segment) ([]audit.Link, error) {
	key := chainKey{segment.Tenant, segment.First}
	if links, known := s.segments.Get(key); known {
		return links, nil
	}
	body, err := s.segmentBody(ctx, segment)
	if err != nil {
		return nil, err
	}
	links, err := audit.UnpackSegment(body)
	if err != nil {
		return nil, &brokenSegment{segment, err}
	}
	s.segments.Set(key, links)
	return links, nil
}

// brokenSegment says that a segment is not what was packed.
type brokenSegment struct {
	segment store.Segment
	cause   error
}

func (b *brokenSegment) Error() string {
	return fmt.Sprintf("the segment of audit records %d to %d cannot be read: %v", b.segment.First, b.segment.Last, b.cause)
}

func (b *brokenSegment) Unwrap() error { return b.cause }

// segmentBody reads a segment, where it was moved meanwhile from its new place.
func (s *Service) segmentBody(ctx context.Context, segment store.Segment) ([]byte, error) {
	if segment.State == store.Warm {
		body, err := s.store.SegmentBody(ctx, segment.Tenant, segment.First)
		if config.KindOf(err) != config.KindNotFound {
			return body, err
		}
		segments, err := s.store.Segments(ctx, segment.Tenant, segment.Last-1, 1)
		if err != nil {
			return nil, err
		}
		if len(segments) > 0 {
			segment = segments[0]
		}
	}
	switch {
	case segment.State != store.Cold:
		return nil, &brokenSegment{segment, errNoBody}
	case s.archive == nil:
		return nil, unavailable(nil, "older audit records are in an archive, and none is configured; set audit-archive")
	}
	body, err := s.archive.Get(ctx, segment.Location)
	if config.KindOf(err) == config.KindNotFound {
		return nil, &brokenSegment{segment, err}
	}
	return body, err
}
