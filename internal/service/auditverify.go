package service

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// progressEvery is how often whoever waits for a verification is told how far it is.
const progressEvery = time.Second

// VerifyAudit follows a whole chain and its checkpoints. That it does is on record
// before anything is answered, but for a chain that takes no record because one was
// put behind its end, where a line of the log says it; and a chain that does not
// hold has a record of that. progress is told at most once a second how far it is.
func (s *Service) VerifyAudit(ctx context.Context, who Caller, chain Chain, progress func(checked, of uint64)) (audit.Report, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return audit.Report{}, err
	}
	leave, err := s.readings.enter(id)
	if err != nil {
		return audit.Report{}, err
	}
	defer leave()
	if err := s.recordReading(ctx, who, "audit.verify", chain, id, nil); err != nil {
		broken, failed := s.behindEnd(ctx, id) // nothing can be appended where something stands already
		if failed != nil || broken == nil {
			return audit.Report{}, err
		}
		s.logger.Warn("that an audit chain is verified could not be put on record, because it is broken at its end",
			"chain", chainName(id), "actor", who.Principal.Actor(), "error", telemetry.Causes(err))
	}
	report, err := s.verifyChain(ctx, id, progress)
	if err == nil && report.Broken != nil {
		s.chainBroken(ctx, id, report.Broken)
	}
	return report, err
}

// verifyChain follows a chain from its first record to the one that is its last
// when it begins. A chain that holds by what is in the store is still broken where
// something else says so.
func (s *Service) verifyChain(ctx context.Context, id config.TenantID, progress func(checked, of uint64)) (audit.Report, error) {
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return audit.Report{}, err
	}
	signing, err := s.openSigningKeys(ctx, keys)
	if err != nil {
		return audit.Report{}, err
	}
	for range maxAttempts {
		follower := audit.NewFollower(audit.Origin(keys[0].Name, id), audit.Head{}, publicKeys(signing)...)
		report, err := s.verifyWith(ctx, follower, id, progress)
		if err == nil && report.Broken == nil {
			report.Broken, err = s.knownBroken(ctx, id)
		}
		if !errors.Is(err, errDisposed) {
			return report, err
		}
	}
	return audit.Report{}, unavailable(errDisposed, "records were disposed of while they were verified; verify again")
}

// verifyWith follows a chain once, and looks at what the database says besides.
func (s *Service) verifyWith(ctx context.Context, follower *audit.Follower, id config.TenantID, progress func(checked, of uint64)) (audit.Report, error) {
	disposed, err := s.disposedEnd(ctx, id) // before the chain: their records are on it
	if err != nil {
		return audit.Report{}, err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil {
		return audit.Report{}, err
	}
	report, err := s.follow(ctx, follower, stands, audit.Head{}, disposed, stands.Head.Sequence, progress)
	if err != nil || report.Broken != nil {
		return report, err
	}
	if stands.Checkpoint > max(report.Signed.Head.Sequence, report.Disposed) {
		report.Broken = lostCheckpoint(stands.Checkpoint)
		return report, nil
	}
	report.Broken, err = s.behindEnd(ctx, id)
	return report, err
}

// behindEnd finds a record behind the one that the database says is the last.
func (s *Service) behindEnd(ctx context.Context, id config.TenantID) (*audit.Break, error) {
	newest, err := s.store.AuditBack(ctx, id, 1<<62, 1)
	if err != nil || len(newest) == 0 {
		return nil, err
	}
	stands, err := s.store.Chain(ctx, id)
	if err != nil || newest[0].Sequence <= stands.Head.Sequence {
		return nil, err
	}
	return &audit.Break{Sequence: stands.Head.Sequence + 1, Reason: "inserted: it stands behind where the database says that the chain ends"}, nil
}

func publicKeys(keys []*audit.SigningKey) []string {
	public := make([]string, len(keys))
	for i, key := range keys {
		public[i] = key.Public()
	}
	return public
}

// follow feeds a follower with a part of a chain and its checkpoints. The error is
// errDisposed when the chain is to be followed anew, since more of it than the
// records up to disposed was disposed of meanwhile.
func (s *Service) follow(ctx context.Context, follower *audit.Follower, chain store.Chain, from audit.Head, disposed, through uint64, progress func(checked, of uint64)) (audit.Report, error) {
	notes := noteFeed{s: s, chain: chain.Tenant, next: from.Sequence + 1}
	head := from // of the last link that holds
	told := s.clock()
	checkpoint := func(note []byte) error {
		if !follower.Checkpoint(note) {
			return errEnough
		}
		return nil
	}
	err := s.walk(ctx, chain.Tenant, from.Sequence, through, func(stub audit.Stub) error {
		if err := s.checkStub(ctx, chain.Tenant, stub, disposed); err != nil {
			return err
		}
		if !follower.Stub(stub) {
			return errEnough
		}
		head = audit.Head{Sequence: stub.Last, Hash: stub.Hash}
		return notes.upTo(ctx, stub.Last, checkpoint)
	}, func(links []audit.Link) error {
		for _, l := range links {
			if !follower.Link(l) {
				return errEnough
			}
			head = l.Head()
			if err := notes.upTo(ctx, l.Sequence, checkpoint); err != nil {
				return err
			}
		}
		if now := s.clock(); progress != nil && now.Sub(told) >= progressEvery {
			told = now
			progress(links[len(links)-1].Sequence, through)
		}
		return nil
	})
	var segment *brokenSegment
	var broken *audit.Break
	switch {
	case errors.As(err, &segment):
		broken = &audit.Break{Sequence: segment.segment.First, Reason: segment.Error()}
		if head.Sequence < segment.segment.Last { // the rest of it cannot be read
			broken.Sequence = max(broken.Sequence, head.Sequence+1)
		}
	case err != nil && !errors.Is(err, errEnough):
		return audit.Report{}, err
	}
	if err == nil {
		if err := s.beyond(ctx, chain.Tenant, checkpoint); err != nil && !errors.Is(err, errEnough) {
			return audit.Report{}, err
		}
	}
	report := follower.Finish()
	if report.Broken == nil && broken == nil {
		broken = endsAt(report.Head, chain.Head, through)
	}
	if report.Broken == nil {
		report.Broken = broken
	}
	return report, nil
}

// endsAt holds the end of a chain against where the database says that it is.
func endsAt(head, says audit.Head, through uint64) *audit.Break {
	switch {
	case head.Sequence < through:
		return &audit.Break{Sequence: head.Sequence + 1, Reason: "it is missing: the chain ends before where the database says that it does, at record " + strconv.FormatUint(through, 10)}
	case head.Sequence == says.Sequence && head.Hash != says.Hash:
		return &audit.Break{Sequence: head.Sequence, Reason: "its hash is not the one that the database has for the end of the chain"}
	}
	return nil
}

// AuditStatus answers where a chain stands.
func (s *Service) AuditStatus(ctx context.Context, who Caller, chain Chain) (AuditStatus, error) {
	find := s.chainFor
	if who.Principal.ServerAdmin { // who sees to holds
		find = s.chainToHold
	}
	id, err := find(ctx, who, chain)
	if err != nil {
		return AuditStatus{}, err
	}
	return s.chainStatus(ctx, id)
}

// AuditStatus is where a chain stands, and where its records are.
type AuditStatus struct {
	store.Chain
	Origin     string
	Warm, Cold AuditTier
	Disposed   uint64
	Newest     *store.Checkpoint // nil for none
	Broken     string            // what was found wrong in the background; "" for nothing
}

// AuditTier is the records that are kept in one place.
type AuditTier struct{ Records, Segments, Bytes int64 }

// segmentsAtOnce is how many segments are read at a time.
const segmentsAtOnce = 256

func (s *Service) chainStatus(ctx context.Context, id config.TenantID) (status AuditStatus, err error) {
	if status.Chain, err = s.store.Chain(ctx, id); err != nil {
		return status, err
	}
	name, err := s.installation(ctx)
	if err != nil {
		return status, err
	}
	status.Origin, status.Broken = audit.Origin(name, id), s.broken.reason(id)
	newest, _, err := s.store.Checkpoints(ctx, id, store.Page{Limit: 1})
	if err != nil {
		return status, err
	}
	if len(newest) > 0 {
		status.Newest = &newest[0]
	}
	for after := uint64(0); ; {
		segments, err := s.store.Segments(ctx, id, after, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return status, err
		}
		for _, segment := range segments {
			after = segment.Last
			records := segment.Last - segment.First + 1
			tier := &status.Warm
			switch segment.State {
			case store.Disposed:
				status.Disposed += records
				continue
			case store.Cold:
				tier = &status.Cold
			}
			tier.Records, tier.Segments, tier.Bytes = tier.Records+int64(records), tier.Segments+1, tier.Bytes+segment.Bytes
		}
	}
}

// chainPages are the pages of a list of a chain. A tenant that was deleted has no
// key any more, and its lists are the server's.
func (s *Service) chainPages(who Caller, chain Chain, id config.TenantID, list string) pages {
	if chain.Deleted != "" {
		return s.pagesOf(who, config.TenantID{}, list+" of "+id.String())
	}
	return s.pagesOf(who, id, list)
}

// AuditCheckpoints answers a page of the signed checkpoints of a chain, newest first.
func (s *Service) AuditCheckpoints(ctx context.Context, who Caller, chain Chain, page Page) ([]store.Checkpoint, Cursor, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return nil, "", err
	}
	pages := s.chainPages(who, chain, id, "checkpoints")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	checkpoints, next, err := s.store.Checkpoints(ctx, id, asked)
	if err != nil {
		return nil, "", err
	}
	cursor, err := pages.seal(ctx, next)
	return checkpoints, cursor, err
}
