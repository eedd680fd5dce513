package service

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

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

// missingRecord says that what is found would not be all that there was.
func missingRecord(sequence uint64) error {
	return config.Errorf(config.KindUnavailable, "audit record %d is missing, so that what is found would not be all that there was", sequence).
		Hint("`llm-config audit verify` says more; ask with --from for what came after it")
}

// finder collects the links that a filter selects, newest first.
type finder struct {
	s      *Service
	chain  config.TenantID
	filter *audit.Filter
	before uint64 // 0 for all
	limit  int
	parts  int // that were looked at

	found   []audit.Link
	next    uint64 // below which to go on; 0 when there is no more
	stopped bool   // before the chain's beginning
}

// findLinks answers the links of a chain that a filter selects, newest first,
// below before (0 for all), at most limit; and where to go on, 0 for the end.
func (s *Service) findLinks(ctx context.Context, id config.TenantID, filter *audit.Filter, before uint64, limit int) (found []audit.Link, next uint64, err error) {
	f := finder{s: s, chain: id, filter: filter, before: before, limit: limit}
	err = s.eachPart(ctx, id, before, filter.To, func(block *audit.Block, links []audit.Link) (on bool, err error) {
		f.parts++
		if block == nil {
			on, err = f.take(links)
		} else {
			on, err = f.block(ctx, block)
		}
		f.stopped = !on || f.parts == maxParts
		return !f.stopped, errors.Join(err, ctx.Err())
	})
	if !f.stopped {
		f.next = 0
	}
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
		if err == nil {
			err = f.s.allThere(ctx, f.chain, sequences, links)
		}
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
// newest first. It leaves out blocks of records that are all as new as a time, if
// one is given. It ends where visit says so, or where records were disposed of.
func (s *Service) eachPart(ctx context.Context, id config.TenantID, before uint64, to time.Time, visit func(*audit.Block, []audit.Link) (bool, error)) error {
	gone, err := s.disposedEnd(ctx, id)
	if err != nil {
		return err
	}
	chain, err := s.store.Chain(ctx, id)
	if err != nil {
		return err
	}
	position := chain.Head.Sequence + 1
	if before != 0 {
		position = min(position, before)
	}
	if !to.IsZero() {
		if position, err = s.belowTime(ctx, id, gone, min(position-1, chain.Indexed), position, to); err != nil {
			return err
		}
	}
	var blocks []store.Block
	for begin := position; position > gone+1; {
		if len(blocks) == 0 {
			if blocks, err = s.store.Blocks(ctx, id, position, blocksAtOnce); err != nil {
				return err
			}
			if len(blocks) > 0 && blocks[0].Last >= position && position != begin {
				blocks = blocks[1:] // it was built while the links that it is of were gone through
			}
			// One that is also of what was disposed of would count that.
			blocks = slices.DeleteFunc(blocks, func(b store.Block) bool { return b.First <= gone })
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

// belowTime lowers a position in a chain to the first block that begins at a time
// or later: of what is behind it nothing is older, for times never go back along a
// chain. It asks blocks, which nobody can forge who writes to the database, of the
// records behind gone up to indexed; where one is not there the position stays.
func (s *Service) belowTime(ctx context.Context, id config.TenantID, gone, indexed, position uint64, to time.Time) (uint64, error) {
	begins := func(n uint64) uint64 { return n*audit.BlockRecords + 1 }
	low, end := (gone+audit.BlockRecords-1)/audit.BlockRecords, indexed/audit.BlockRecords // of whole blocks
	high := max(low, end)
	for low < high {
		middle := low + (high-low)/2
		kept, err := s.store.Blocks(ctx, id, begins(middle)+1, 1)
		if err != nil {
			return 0, err
		}
		if len(kept) == 0 || kept[0].First != begins(middle) {
			return position, nil
		}
		block, err := s.block(ctx, id, kept[0])
		if err != nil {
			return 0, err
		}
		if first, _ := block.Times(); first.Before(to) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low >= end {
		return position, nil
	}
	return begins(low), nil
}

// linksBack answers some of the links below before and above floor, newest first
// and without gaps; none where they were disposed of. The error is of one that is
// missing.
func (s *Service) linksBack(ctx context.Context, id config.TenantID, before, floor uint64) ([]audit.Link, error) {
	links, err := s.store.AuditBack(ctx, id, before, int(min(linksAtOnce, before-1-floor)))
	if err != nil {
		return nil, err
	}
	if links, err = s.unpackedOnly(ctx, id, links); err != nil {
		return nil, err
	}
	if len(links) > 0 && links[0].Sequence == before-1 {
		return unbroken(links), nil
	}
	segment, there, err := s.segmentOf(ctx, id, before-1)
	if err != nil {
		return nil, err
	}
	if !there {
		chain, err := s.store.Chain(ctx, id)
		if err == nil && before-1 <= chain.Head.Sequence {
			err = missingRecord(before - 1)
		}
		return unbroken(links), err
	}
	packed, err := s.unpacked(ctx, segment)
	if errors.Is(err, errDisposed) {
		return nil, s.gone(ctx, id, before-1)
	}
	if err != nil {
		return nil, err
	}
	links = slices.DeleteFunc(slices.Clone(packed), func(l audit.Link) bool { return l.Sequence >= before || l.Sequence <= floor })
	slices.Reverse(links)
	return links, nil
}

// unpackedOnly are those rows that no segment is of. All are, unless somebody who
// writes to the database put rows beside a segment, for others to read them in the
// place of what was packed, or they were packed since they were read.
func (s *Service) unpackedOnly(ctx context.Context, id config.TenantID, rows []audit.Link) ([]audit.Link, error) {
	if len(rows) == 0 {
		return rows, nil
	}
	low := min(rows[0].Sequence, rows[len(rows)-1].Sequence) // they go one way
	for after := max(low, 1) - 1; ; {
		segments, err := s.store.Segments(ctx, id, after, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return rows, err
		}
		for _, segment := range segments {
			rows = slices.DeleteFunc(rows, func(l audit.Link) bool { return segment.First <= l.Sequence && l.Sequence <= segment.Last })
			after = segment.Last
		}
	}
}

// gone is the error of a record that is said to have been disposed of, and cannot
// have been: the oldest go first.
func (s *Service) gone(ctx context.Context, id config.TenantID, sequence uint64) error {
	end, err := s.disposedEnd(ctx, id)
	if err == nil && sequence > end {
		err = missingRecord(sequence)
	}
	return err
}

// unbroken are the first of links, which go down, up to a gap.
func unbroken(links []audit.Link) []audit.Link {
	for i := 1; i < len(links); i++ {
		if links[i].Sequence != links[i-1].Sequence-1 {
			return links[:i]
		}
	}
	return links
}

// segmentOf is the segment that a record is in, if it is in any.
func (s *Service) segmentOf(ctx context.Context, id config.TenantID, sequence uint64) (segment store.Segment, there bool, err error) {
	segments, err := s.store.Segments(ctx, id, sequence-1, 1)
	if err != nil || len(segments) == 0 || segments[0].First > sequence {
		return segment, false, err
	}
	return segments[0], true, nil
}

// allThere refuses links that lack one of the sequence numbers asked for, unless
// it was disposed of, as those before it then were too.
func (s *Service) allThere(ctx context.Context, id config.TenantID, sequences []uint64, links []audit.Link) error {
	if len(links) == len(sequences) {
		return nil
	}
	n := 0
	for n < len(links) && links[n].Sequence == sequences[n] {
		n++
	}
	return s.gone(ctx, id, sequences[n])
}

// linksOf answers the links of sequence numbers, which go down, in that order,
// from wherever they are now; it leaves out those that there are not.
func (s *Service) linksOf(ctx context.Context, id config.TenantID, sequences []uint64) ([]audit.Link, error) {
	if len(sequences) == 0 {
		return nil, nil
	}
	hot, err := s.store.AuditOf(ctx, id, sequences)
	if err == nil {
		hot, err = s.unpackedOnly(ctx, id, hot)
	}
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
			segment, packs, err := s.segmentOf(ctx, id, sequence)
			if err != nil {
				return nil, err
			}
			if !packs {
				continue
			}
			packed, err := s.unpacked(ctx, segment)
			if err != nil && !errors.Is(err, errDisposed) {
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
	if block, known := s.blocks.Get(key); known && block.Last() == kept.Last {
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

// unpacked are the links of a segment, all that it is to be of. They may be
// those that were there some minutes ago.
func (s *Service) unpacked(ctx context.Context, segment store.Segment) ([]audit.Link, error) {
	key := chainKey{segment.Tenant, segment.First}
	if links, known := s.segments.Get(key); known && segment.State != store.Disposed {
		return links, nil
	}
	links, err := s.unpack(ctx, segment)
	if err == nil && !fits(segment, links) {
		err = &brokenSegment{segment, errors.New("it is not of the records that it says")}
	}
	var broken *brokenSegment
	if errors.As(err, &broken) {
		return nil, unavailable(err, fmt.Sprintf("audit records %d to %d cannot be read; `llm-config audit verify` says more", segment.First, segment.Last))
	}
	if err != nil {
		return nil, err
	}
	s.segments.Set(key, links)
	return links, nil
}

// fits says whether links are those that a segment is of, going by their numbers
// and its end.
func fits(segment store.Segment, links []audit.Link) bool {
	for i, l := range links {
		if l.Sequence != segment.First+uint64(i) {
			return false
		}
	}
	n := len(links)
	return n > 0 && links[n-1].Sequence == segment.Last && links[n-1].Hash == segment.Hash
}

// unpack reads the links of a segment, from wherever it lies now. Of a broken one
// it answers those that can be read as well.
func (s *Service) unpack(ctx context.Context, segment store.Segment) ([]audit.Link, error) {
	body, err := s.segmentBody(ctx, segment)
	if err != nil {
		return nil, err
	}
	links, err := audit.UnpackSegment(body)
	if err == nil && sha256.Sum256(body) != segment.Digest {
		err = errors.New("its bytes are not those that were packed")
	}
	if err != nil {
		return links, &brokenSegment{segment, err}
	}
	return links, nil
}

// errNotItsTurn says that records are said to have been disposed of while older
// ones were not.
var errNotItsTurn = errors.New("it is said to have been disposed of, and older records were not")

// errDisposed says that records were disposed of while they were to be read.
var errDisposed = errors.New("they were disposed of meanwhile")

// brokenSegment says that a segment is not what was packed.
type brokenSegment struct {
	segment store.Segment
	cause   error
}

func (b *brokenSegment) Error() string {
	return fmt.Sprintf("the segment of audit records %d to %d cannot be read: %v", b.segment.First, b.segment.Last, b.cause)
}

func (b *brokenSegment) Unwrap() error { return b.cause }

// maxMoves is how often a segment can move: into the archive, and out of it.
const maxMoves = 2

// segmentBody reads a segment, where it was moved meanwhile from its new place.
func (s *Service) segmentBody(ctx context.Context, segment store.Segment) ([]byte, error) {
	for moves := 0; ; moves++ {
		body, err := s.bodyAt(ctx, segment)
		if config.KindOf(err) != config.KindNotFound {
			return body, err
		}
		now, there, failed := s.segmentOf(ctx, segment.Tenant, segment.First)
		if failed != nil {
			return nil, failed
		}
		if moves == maxMoves || !there || now.State == segment.State {
			return nil, &brokenSegment{segment, err}
		}
		segment = now
	}
}

// bodyAt reads a segment where it is said to lie; KindNotFound when it does not.
func (s *Service) bodyAt(ctx context.Context, segment store.Segment) ([]byte, error) {
	switch {
	case segment.State == store.Warm:
		return s.store.SegmentBody(ctx, segment.Tenant, segment.First)
	case segment.State == store.Disposed:
		return nil, errDisposed
	case s.archive == nil:
		return nil, unavailable(nil, "older audit records are in an archive, and none is configured; set audit-archive")
	}
	body, err := s.archive.Get(ctx, segment.Location)
	if err != nil && config.KindOf(err) != config.KindNotFound {
		return nil, unavailable(err, "the archive of audit records cannot be read: "+segment.Location)
	}
	return body, err
}
