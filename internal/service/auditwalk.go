package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// errEnough ends a walk before its end.
var errEnough = errors.New("enough")

// walk goes forward through a chain, from behind after up to through: stub is told
// of what was disposed of, as one as far as it goes on, each of the others, some at
// a time. Links are as they are in the store now, and belong to each until its next
// call.
func (s *Service) walk(ctx context.Context, id config.TenantID, after, through uint64, stub func(audit.Stub) error, each func([]audit.Link) error) error {
	var gone audit.Stub // that stub is yet to be told of
	tell := func() error {
		told := gone
		if gone = (audit.Stub{}); told.Last == 0 {
			return nil
		}
		return stub(told)
	}
	for after < through {
		links, segment, unread := s.ahead(ctx, id, after, s.unpack)
		if segment != nil && gone.Last+1 != segment.First { // the oldest go first
			end, err := s.disposedEnd(ctx, id)
			if err != nil {
				return err
			}
			if segment.Last > end {
				unread, segment = &brokenSegment{*segment, errNotItsTurn}, nil
			}
		}
		if segment != nil {
			if segment.First != gone.Last+1 || segment.From != gone.Hash {
				if err := tell(); err != nil {
					return err
				}
				gone = audit.Stub{First: segment.First, From: segment.From}
			}
			gone.First = max(gone.First, 1)
			gone.Last, gone.Hash, after = segment.Last, segment.Hash, segment.Last
			continue
		}
		if err := tell(); err != nil {
			return err
		}
		for len(links) > 0 && links[len(links)-1].Sequence > through {
			links = links[:len(links)-1]
		}
		if len(links) > 0 {
			if err := each(links); err != nil {
				return err
			}
			after = max(after+1, links[len(links)-1].Sequence)
		}
		if unread != nil || len(links) == 0 {
			return unread // without one the chain is shorter than it says; whoever walks it notices
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return tell()
}

// ahead answers the links behind a sequence number, from wherever they are, or
// the segment that was disposed of there. Links that do not go on from there are
// answered as they are, and of a broken segment those that unpack could read. What
// is in a segment and a row as well is broken, too.
func (s *Service) ahead(ctx context.Context, id config.TenantID, after uint64, unpack func(context.Context, store.Segment) ([]audit.Link, error)) ([]audit.Link, *store.Segment, error) {
	for range 3 { // what is being moved is found in either place
		links, err := s.store.Audit(ctx, id, after, linksAtOnce)
		if err != nil {
			return nil, nil, err
		}
		segments, err := s.store.Segments(ctx, id, after, 1)
		if err != nil {
			return nil, nil, err
		}
		if len(segments) == 0 || len(links) > 0 && links[0].Sequence == after+1 && segments[0].First > after+1 {
			if len(links) > 0 {
				return links, nil, nil
			}
			continue
		}
		twice, err := s.rowBeside(ctx, id, after, segments[0])
		if err != nil {
			return nil, nil, err
		}
		if segments[0].State == store.Disposed && twice == 0 {
			return nil, &segments[0], nil
		}
		packed, err := unpack(ctx, segments[0])
		if errors.Is(err, errDisposed) && twice == 0 {
			continue
		}
		for len(packed) > 0 && packed[0].Sequence <= after {
			packed = packed[1:]
		}
		if twice != 0 {
			if i := slices.IndexFunc(packed, func(l audit.Link) bool { return l.Sequence >= twice }); i >= 0 {
				packed = packed[:i]
			}
			err = &brokenSegment{segments[0], fmt.Errorf("record %d is a row of the database as well", twice)}
		}
		return packed, nil, err
	}
	return nil, nil, nil
}

// rowBeside is the first record behind a sequence number that is a row although a
// segment is of it, 0 for none: packing takes the rows away as it puts the segment
// there, so that whoever reads both after another finds one or the other.
func (s *Service) rowBeside(ctx context.Context, id config.TenantID, after uint64, segment store.Segment) (uint64, error) {
	links, err := s.store.Audit(ctx, id, max(after, segment.First-1), 1)
	if err != nil || len(links) == 0 || links[0].Sequence > segment.Last {
		return 0, err
	}
	return links[0].Sequence, nil
}

// disposedEnd is the last of the records that were disposed of, from the first
// on without gaps; 0 for none.
func (s *Service) disposedEnd(ctx context.Context, id config.TenantID) (end uint64, err error) {
	for {
		segments, err := s.store.Segments(ctx, id, end, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return end, err
		}
		for _, segment := range segments {
			if segment.State != store.Disposed || segment.First != end+1 {
				return end, nil
			}
			end = segment.Last
		}
	}
}

// checkStub is errDisposed for a stub of what was disposed of only after end was
// the last that had been: the record of it may lie behind the end of a walk, and
// links before it may have been walked over as such.
func (s *Service) checkStub(ctx context.Context, id config.TenantID, stub audit.Stub, end uint64) error {
	if stub.Last <= end {
		return nil
	}
	now, err := s.disposedEnd(ctx, id)
	if err == nil && stub.Last <= now {
		err = errDisposed
	}
	return err
}

// headAt is the head of a chain at a sequence number; of nothing, for 0.
func (s *Service) headAt(ctx context.Context, id config.TenantID, sequence uint64) (audit.Head, error) {
	if sequence == 0 {
		return audit.Head{}, nil
	}
	links, err := s.linksOf(ctx, id, []uint64{sequence})
	if err != nil {
		return audit.Head{}, err
	}
	if len(links) == 1 {
		return links[0].Head(), nil
	}
	segments, err := s.store.Segments(ctx, id, sequence-1, 1)
	if err != nil {
		return audit.Head{}, err
	}
	if len(segments) == 1 && segments[0].State == store.Disposed && segments[0].Last == sequence {
		return audit.Head{Sequence: sequence, Hash: segments[0].Hash}, nil
	}
	return audit.Head{}, config.Errorf(config.KindNotFound, "there is no record %d on the chain", sequence).At("after").
		Hint("`llm-config audit status` says where it begins and ends")
}

// ExportForm is the form of an export.
type ExportForm string

// The forms.
const (
	ExportNDJSON      ExportForm = "ndjson"      // can be verified
	ExportCloudEvents ExportForm = "cloudevents" // one event a line
)

// ExportRequest asks for an export.
type ExportRequest struct {
	Form   ExportForm
	After  uint64 // begin behind this record; 0 from the start
	Filter audit.Filter
}

// ExportAudit decides on an export and puts it on record; then write writes it.
// It ends with the record of itself. An error of write means that it is cut off.
func (s *Service) ExportAudit(ctx context.Context, who Caller, chain Chain, request ExportRequest) (write func(io.Writer) error, err error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return nil, err
	}
	if err := checkFilter(&request.Filter); err != nil {
		return nil, err
	}
	if request.Form != ExportNDJSON && request.Form != ExportCloudEvents {
		return nil, config.Errorf(config.KindBadRequest, "there is no export in the form %q", beginning(string(request.Form), maxRecordedName)).
			At("format").Hint("ask for ndjson or cloudevents")
	}
	disposed, err := s.disposedEnd(ctx, id)
	if err != nil {
		return nil, err
	}
	if request.After > 0 && request.After < disposed {
		return nil, config.Errorf(config.KindNotFound, "records up to %d were disposed of", disposed).At("after").
			Hint("export from the start, or from behind record %d", disposed)
	}
	from, err := s.headAt(ctx, id, request.After)
	if err != nil {
		return nil, err
	}
	details := filterDetails(&request.Filter)
	details["format"] = string(request.Form)
	if request.After > 0 {
		details["after"] = strconv.FormatUint(request.After, 10)
	}
	if err := s.recordReading(ctx, who, "audit.export", chain, id, details); err != nil {
		return nil, err
	}
	name, err := s.installation(ctx)
	if err != nil {
		return nil, err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	e := exporting{s: s, ctx: ctx, chain: id, origin: audit.Origin(name, id), from: from, disposed: disposed, through: stands.Head.Sequence, filter: &request.Filter}
	return func(w io.Writer) error {
		leave, err := s.readings.enter(id)
		if err != nil {
			return err
		}
		defer leave()
		if request.Form == ExportCloudEvents {
			return e.cloudEvents(w)
		}
		return e.chained(w)
	}, nil
}

// exporting is one export on its way.
type exporting struct {
	s        *Service
	ctx      context.Context //nolint:containedctx // of the one call that it is of
	chain    config.TenantID
	origin   string
	from     audit.Head
	disposed uint64 // the last that was, when it began
	through  uint64
	filter   *audit.Filter
}

// chained writes what can be verified or, with a filter, looks like it.
func (e exporting) chained(w io.Writer) error {
	filtered := !e.filter.IsZero()
	x, err := audit.NewExporter(w, e.origin, e.from, filtered)
	if err != nil {
		return err
	}
	if filtered {
		if err := e.selected(func(l audit.Link) error { return x.Link(l) }); err != nil {
			return err
		}
		return x.End()
	}
	notes, last := noteFeed{s: e.s, chain: e.chain, next: e.from.Sequence}, e.from.Sequence
	err = e.s.walk(e.ctx, e.chain, e.from.Sequence, e.through, func(stub audit.Stub) error {
		if err := e.s.checkStub(e.ctx, e.chain, stub, e.disposed); err != nil {
			return err
		}
		if err := x.Stub(stub); err != nil {
			return err
		}
		last = stub.Last
		return notes.upTo(e.ctx, stub.Last, x.Checkpoint)
	}, func(links []audit.Link) error {
		for _, l := range links {
			if err := x.Link(l); err != nil {
				return err
			}
			if err := notes.upTo(e.ctx, l.Sequence, x.Checkpoint); err != nil {
				return err
			}
			last = l.Sequence
		}
		return nil
	})
	switch {
	case errors.Is(err, errDisposed):
		return unavailable(err, "records were disposed of while they were exported; export again")
	case err != nil:
		return err
	case last < e.through:
		return missingRecord(last + 1)
	}
	if err := e.s.beyond(e.ctx, e.chain, x.Checkpoint); err != nil {
		return err
	}
	return x.End()
}

func (e exporting) cloudEvents(w io.Writer) error {
	var line []byte
	return e.selected(func(l audit.Link) (err error) {
		if line, err = audit.AppendCloudEvent(line[:0], e.origin, l); err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	})
}

// selected goes through the links that the filter selects.
func (e exporting) selected(each func(audit.Link) error) error {
	all := e.filter.IsZero()
	return e.s.walk(e.ctx, e.chain, e.from.Sequence, e.through, func(audit.Stub) error { return nil }, func(links []audit.Link) error {
		for _, l := range links {
			if !all {
				r, err := audit.ParseRecord(l.Record)
				if err != nil {
					return unreadableRecord(l, err)
				}
				if !e.filter.Matches(&r) {
					continue
				}
			}
			if err := each(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// noteFeed reads the checkpoints of a chain in its order.
type noteFeed struct {
	s     *Service
	chain config.TenantID
	next  uint64 // the sequence number to read from
	read  []store.Checkpoint
	ended bool
}

// notesAtOnce is how many checkpoints are read at a time.
const notesAtOnce = 256

// upTo gives those at a sequence number or before it.
func (f *noteFeed) upTo(ctx context.Context, sequence uint64, give func(note []byte) error) error {
	for {
		if len(f.read) == 0 && !f.ended && f.next <= sequence {
			var err error
			if f.read, err = f.s.store.CheckpointsFrom(ctx, f.chain, f.next, notesAtOnce); err != nil {
				return err
			}
			if f.ended = len(f.read) < notesAtOnce; len(f.read) > 0 {
				f.next = f.read[len(f.read)-1].Sequence + 1
			}
		}
		if len(f.read) == 0 || f.read[0].Sequence > sequence {
			return nil
		}
		if err := give(f.read[0].Note); err != nil {
			return err
		}
		f.read = f.read[1:]
	}
}

// beyond gives the newest checkpoint of a chain when it is of a record that the
// chain does not have: records are there before their checkpoints are.
func (s *Service) beyond(ctx context.Context, id config.TenantID, give func(note []byte) error) error {
	newest, _, err := s.store.Checkpoints(ctx, id, store.Page{Limit: 1})
	if err != nil || len(newest) == 0 {
		return err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil || newest[0].Sequence <= stands.Head.Sequence {
		return err
	}
	return give(newest[0].Note)
}

// tailAtOnce bounds what one look at a chain takes.
const tailAtOnce = 500

// AuditTail follows a chain.
type AuditTail struct {
	s        *Service
	who      Caller
	chain    Chain
	id       config.TenantID
	filter   audit.Filter
	position uint64
	asked    time.Time // when the rights were
	leave    func()
}

// TailAudit follows the records of a chain that a filter selects, from behind a
// record on; nil begins with what comes next, which is the record of itself.
func (s *Service) TailAudit(ctx context.Context, who Caller, chain Chain, filter audit.Filter, after *uint64) (*AuditTail, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return nil, err
	}
	if err := checkFilter(&filter); err != nil {
		return nil, err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	t := &AuditTail{s: s, who: who, chain: chain, id: id, filter: filter, position: stands.Head.Sequence, asked: s.clock()}
	if after != nil {
		if *after > stands.Head.Sequence {
			return nil, config.Errorf(config.KindNotFound, "there is no record %d on the chain yet", *after).
				Hint("the chain ends at %d; a database that was put back to an earlier state has lost records", stands.Head.Sequence)
		}
		t.position = *after
	}
	limit := s.limits().Watchers
	if !enter(&s.watchers, int64(limit)) {
		return nil, config.Errorf(config.KindOverloaded, "too many watches are open").Hint("close some, or raise max-watchers").Over(int64(limit), int64(limit)+1)
	}
	t.leave = func() { s.watchers.Add(-1) }
	if err := s.recordReading(ctx, who, "audit.tail", chain, id, filterDetails(&filter)); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Next answers what has come since, at most some hundred records, perhaps none,
// and never waits. It fails once the caller may not read the chain any more.
func (t *AuditTail) Next(ctx context.Context) ([]audit.Link, error) {
	if err := t.recheck(ctx); err != nil {
		return nil, err
	}
	links, err := t.s.store.Audit(ctx, t.id, t.position, tailAtOnce)
	if err != nil {
		return nil, err
	}
	if links, err = t.s.unpackedOnly(ctx, t.id, links); err != nil {
		return nil, err
	}
	if len(links) == 0 || links[0].Sequence != t.position+1 {
		var segment *store.Segment
		if links, segment, err = t.s.ahead(ctx, t.id, t.position, t.s.unpacked); err != nil {
			return nil, err
		}
		if segment != nil {
			t.position = segment.Last
			return nil, nil
		}
	}
	var selected []audit.Link
	for _, l := range links[:min(len(links), tailAtOnce)] {
		t.position = l.Sequence
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			return nil, unreadableRecord(l, err)
		}
		if t.filter.Matches(&r) {
			selected = append(selected, l)
		}
	}
	return selected, nil
}

// recheckEvery is how often a tail's rights are asked anew.
const recheckEvery = time.Second

// recheck says whether the caller still is somebody, and may read the chain.
func (t *AuditTail) recheck(ctx context.Context) error {
	now := t.s.clock()
	if !now.Before(t.asked) && now.Sub(t.asked) < recheckEvery {
		return nil
	}
	principal, err := t.s.recheck(ctx, t.who)
	if err != nil {
		return err
	}
	t.who.Principal, t.asked = principal, now
	if t.chain.Tenant == "" {
		_, err := t.s.chainFor(ctx, t.who, t.chain)
		return err
	}
	state, err := t.s.tenants.named(ctx, t.chain.Tenant)
	if err == nil && state.tenant.ID != t.id { // another tenant has the name now
		err = noTenant(t.chain.Tenant)
	}
	if err != nil {
		return err
	}
	about := access.Resource{Name: auditName}
	decision := t.s.decide(ctx, t.who, access.AuditRead, state, about)
	decision.grant = nil // that it is used was put on record when the tail began
	return t.s.answer(ctx, t.who, access.AuditRead, state, about, decision)
}

// Position is the last record that was looked at.
func (t *AuditTail) Position() uint64 { return t.position }

// Close makes room for another.
func (t *AuditTail) Close() { t.leave() }
