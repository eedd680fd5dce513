package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// IndexAudit makes blocks of what has none yet, and says whether there may be
// more. A chain that cannot be indexed keeps no other from it, and is searched
// without. It is for the one instance that runs jobs.
func (s *Service) IndexAudit(ctx context.Context) (more bool, err error) {
	var errs []error
	for after := (*config.TenantID)(nil); ; {
		chains, err := s.store.ScanChains(ctx, store.ChainScan{After: after, Limit: chainsAtOnce, Unindexed: audit.BlockRecords})
		if err != nil {
			return false, err
		}
		for _, chain := range chains {
			if s.broken.reason(chain.Tenant) != "" {
				continue
			}
			indexed, err := s.indexChain(ctx, chain)
			if err != nil {
				errs = append(errs, fmt.Errorf("the audit records of %s: %w", resourceName(access.Resource{Tenant: chain.Tenant}), err))
			}
			more = more || indexed
		}
		if len(chains) < chainsAtOnce || ctx.Err() != nil {
			return more, errors.Join(errs...)
		}
		after = &chains[len(chains)-1].Tenant
	}
}

// errNoIndex ends a walk at what no index can be of any more.
var errNoIndex = errors.New("records were disposed of that no index is of")

// indexChain makes the next block of a chain. There is none where records were
// disposed of before there were enough for one.
func (s *Service) indexChain(ctx context.Context, chain store.Chain) (indexed bool, err error) {
	links := make([]audit.Link, 0, audit.BlockRecords)
	err = s.walk(ctx, chain.Tenant, chain.Indexed, chain.Indexed+audit.BlockRecords, func(audit.Stub) error {
		return errNoIndex
	}, func(read []audit.Link) error {
		links = append(links, read...)
		return nil
	})
	if errors.Is(err, errNoIndex) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(links) != audit.BlockRecords {
		return false, errors.New("the chain has gaps where it is to be indexed")
	}
	if broken, err := s.holds(ctx, chain, links); err != nil || broken != nil {
		if broken != nil { // a block of what was altered would hide it from searches once it is put back
			s.chainBroken(ctx, chain.Tenant, broken)
		}
		return false, err
	}
	block, err := audit.BuildBlock(links)
	if err != nil {
		return false, err
	}
	sealed, err := s.keyring.Seal(ctx, blockPlace(chain.Tenant, block.First()), block.Encode())
	if err != nil {
		return false, err
	}
	err = s.store.PutBlock(ctx, chain.Tenant, store.Block{First: block.First(), Last: block.Last(), Sealed: sealed})
	return err == nil, err
}

// holds follows the links of a block, and holds them against the checkpoints
// among them.
func (s *Service) holds(ctx context.Context, chain store.Chain, links []audit.Link) (*audit.Break, error) {
	keys, err := s.signingKeys(ctx)
	if err != nil {
		return nil, err
	}
	signing, err := s.openSigningKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	from, err := s.headAt(ctx, chain.Tenant, chain.Indexed)
	if err != nil {
		return nil, err
	}
	follower := audit.NewFollower(audit.Origin(keys[0].Name, chain.Tenant), from, publicKeys(signing)...)
	notes := noteFeed{s: s, chain: chain.Tenant, next: chain.Indexed + 1}
	for _, l := range links {
		if !follower.Link(l) {
			break
		}
		if err := notes.upTo(ctx, l.Sequence, func(note []byte) error { follower.Checkpoint(note); return nil }); err != nil {
			return nil, err
		}
	}
	return follower.Finish().Broken, nil
}

// feedAtOnce is how many records a consumer of the feed is given at a time.
const feedAtOnce = 500

// feed answers what comes behind a position, of all chains, wherever it is now:
// links of one chain in their order, and every one at least once. End is where to
// go on. Segments whose records are all older than a time are passed over unread.
func (s *Service) feed(ctx context.Context, after int64, since time.Time) (links []store.FedLink, end int64, err error) {
	// What is packed in between is found in either place, or in both.
	hot, err := s.store.AuditFeed(ctx, after, feedAtOnce)
	if err != nil {
		return nil, after, err
	}
	segment, err := s.store.FedSegment(ctx, after)
	if err != nil && config.KindOf(err) != config.KindNotFound {
		return nil, after, err
	}
	if err == nil {
		n := 0 // the hot links that come before the segment
		for n < len(hot) && hot[n].Position < segment.LastPosition {
			n++
		}
		if n == 0 {
			return s.packedFeed(ctx, segment, after, since)
		}
		hot = hot[:n]
	}
	if len(hot) == 0 {
		return nil, after, nil
	}
	return hot, hot[len(hot)-1].Position, nil
}

// packedFeed is the feed of what was packed since. A segment that is not what was
// packed is passed over, or whoever alters one would keep all that comes after it
// from being seen; one that the archive does not have now is waited for.
func (s *Service) packedFeed(ctx context.Context, segment store.Segment, after int64, since time.Time) ([]store.FedLink, int64, error) {
	if segment.LastTime.Before(since) {
		return nil, segment.LastPosition, nil
	}
	packed, err := s.unpacked(ctx, segment)
	if errors.Is(err, errDisposed) {
		return nil, segment.LastPosition, nil
	}
	var broken *brokenSegment
	if errors.As(err, &broken) && (broken.segment.State != store.Cold || config.KindOf(broken.cause) != config.KindNotFound) {
		s.chainBroken(ctx, segment.Tenant, &audit.Break{Sequence: segment.First, Reason: broken.Error()})
		return nil, segment.LastPosition, nil
	}
	if err != nil {
		return nil, after, err
	}
	links := make([]store.FedLink, len(packed))
	for i, l := range packed {
		links[i] = store.FedLink{Link: l, Tenant: segment.Tenant, Position: segment.LastPosition}
	}
	return links, segment.LastPosition, nil
}

// fedRecord reads a record of the feed. One that cannot be read was altered:
// everybody is told, and the feed goes on behind it.
func (s *Service) fedRecord(ctx context.Context, l *store.FedLink) (r audit.Record, readable bool) {
	r, err := audit.ParseRecord(l.Record)
	if err != nil {
		s.chainBroken(ctx, l.Tenant, &audit.Break{Sequence: l.Sequence, Reason: "it cannot be read: " + err.Error()})
	}
	return r, err == nil
}

// SinkRecord is a record as a sink is given it.
type SinkRecord struct {
	Origin string // of its chain
	audit.Link
}

// Sink is a place that records are streamed to. Deliver takes all of them or
// fails, within a time that it bounds itself; then they are delivered again.
type Sink interface {
	Name() string
	Deliver(ctx context.Context, records []SinkRecord) error
}

// DeliverAudit brings to a sink what a filter selects of what it does not have
// yet, and says whether there is more. A sink that was never delivered to gets
// what comes from now on. One that takes nothing is waited for: the store is the
// queue. That it does not, and that it does again, is on record.
func (s *Service) DeliverAudit(ctx context.Context, sink Sink, filter audit.Filter) (more bool, err error) {
	name, err := s.installation(ctx) // whose first record is on a chain then, so that no feed ends at 0
	if err != nil {
		return false, err
	}
	d := delivery{s: s, sink: sink.Name()}
	position, err := s.store.Position(ctx, d.consumer())
	if err != nil {
		return false, err
	}
	if position == 0 {
		return false, d.begin(ctx)
	}
	links, end, err := s.feed(ctx, position, time.Time{})
	if err != nil || end == position {
		return false, err
	}
	records := make([]SinkRecord, 0, len(links))
	var first, last time.Time // of their times
	for i := range links {
		l := &links[i]
		if r, readable := s.fedRecord(ctx, l); readable && filter.Matches(&r) {
			if len(records) == 0 || r.Time.Before(first) {
				first = r.Time
			}
			if len(records) == 0 || r.Time.After(last) {
				last = r.Time
			}
			records = append(records, SinkRecord{audit.Origin(name, l.Tenant), l.Link})
		}
	}
	if len(records) > 0 {
		err := sink.Deliver(ctx, records)
		if ctx.Err() != nil { // it is ours that ended, not the sink's
			return false, ctx.Err()
		}
		s.metrics.AuditSink(sink.Name(), err == nil)
		if err != nil {
			return false, d.down(ctx, first, err)
		}
	}
	if err := s.store.PutPosition(ctx, d.consumer(), end); err != nil {
		return false, err
	}
	return true, d.up(ctx, end, last, int64(len(records)))
}

// delivery is what the store knows of a sink besides its position: whether there
// is a gap, which whoever runs the job next must know as well.
type delivery struct {
	s    *Service
	sink string
}

func (d delivery) consumer() string { return "sink " + d.sink }

// The gap of a sink in figures, each kept as a position.
func (d delivery) gap() string    { return "gap of sink " + d.sink }         // time of its first record, in nanoseconds since 1970; 0 for none
func (d delivery) last() string   { return "gap last, of sink " + d.sink }   // time of the last record that filled it, likewise; 0 before the first
func (d delivery) since() string  { return "gap since, of sink " + d.sink }  // in seconds since 1970
func (d delivery) filled() string { return "gap filled, of sink " + d.sink } // records
func (d delivery) back() string   { return "gap until, of sink " + d.sink }  // 0 while the sink is down

// begin keeps that a sink gets what comes from now on.
func (d delivery) begin(ctx context.Context) error {
	end, err := d.s.store.FeedEnd(ctx)
	if err != nil {
		return err
	}
	return d.s.store.PutPosition(ctx, d.consumer(), end)
}

// down notes that a sink takes nothing, what is of a time on; the first time, on
// record.
func (d delivery) down(ctx context.Context, from time.Time, cause error) error {
	gap, err := d.s.store.Position(ctx, d.gap())
	if err != nil {
		return err
	}
	if gap != 0 {
		return d.downAgain(ctx)
	}
	d.s.logger.Warn("audit records cannot be delivered; they are kept until they can", "sink", d.sink, "error", telemetry.Causes(cause))
	record := d.record("audit.sink.down")
	record.Outcome, record.Reason = audit.Failed, beginning(cause.Error(), maxRecordedReason)
	record.Details["from"] = gapTime(from.UnixNano())
	if err := d.s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
		return err
	}
	return errors.Join(
		d.s.store.PutPosition(ctx, d.filled(), 0),
		d.s.store.PutPosition(ctx, d.last(), 0),
		d.s.store.PutPosition(ctx, d.back(), 0),
		d.s.store.PutPosition(ctx, d.since(), d.s.clock().Unix()),
		d.s.store.PutPosition(ctx, d.gap(), from.UnixNano()))
}

// downAgain notes that a gap goes on that was being filled.
func (d delivery) downAgain(ctx context.Context) error {
	back, err := d.s.store.Position(ctx, d.back())
	if err != nil || back == 0 {
		return err
	}
	return d.s.store.PutPosition(ctx, d.back(), 0)
}

// up notes that a sink takes records, up to a time; once it has caught up with a
// gap, on record.
func (d delivery) up(ctx context.Context, position int64, to time.Time, delivered int64) error {
	gap, err := d.s.store.Position(ctx, d.gap())
	if err != nil || gap == 0 {
		return err
	}
	filled, last, err := d.fill(ctx, delivered, to)
	if err != nil {
		return err
	}
	if until, err := d.until(ctx); err != nil || position < until {
		return err
	}
	since, err := d.s.store.Position(ctx, d.since())
	if err != nil {
		return err
	}
	d.s.logger.Info("audit records are delivered again, and the gap is filled", "sink", d.sink, "records", filled)
	record := d.record("audit.sink.up")
	record.Details["from"], record.Details["to"] = gapTime(gap), gapTime(last)
	record.Details["records"], record.Details["down"] = strconv.FormatInt(filled, 10), time.Unix(since, 0).UTC().Format(time.RFC3339)
	if err := d.s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
		return err
	}
	return d.s.store.PutPosition(ctx, d.gap(), 0)
}

// fill counts what a sink took of a gap, and answers how much that is and the time
// of the last of it.
func (d delivery) fill(ctx context.Context, delivered int64, to time.Time) (filled, last int64, err error) {
	if filled, err = d.s.store.Position(ctx, d.filled()); err != nil {
		return 0, 0, err
	}
	if last, err = d.s.store.Position(ctx, d.last()); err != nil || delivered == 0 {
		return filled, last, err
	}
	filled, last = filled+delivered, max(last, to.UnixNano())
	return filled, last, errors.Join(d.s.store.PutPosition(ctx, d.filled(), filled), d.s.store.PutPosition(ctx, d.last(), last))
}

// gapTime is a time as searches take it.
func gapTime(nanos int64) string { return time.Unix(0, nanos).UTC().Format(time.RFC3339Nano) }

// until is where the gap ends: at what was there when the sink was back.
func (d delivery) until(ctx context.Context) (int64, error) {
	until, err := d.s.store.Position(ctx, d.back())
	if err != nil || until != 0 {
		return until, err
	}
	if until, err = d.s.store.FeedEnd(ctx); err != nil {
		return 0, err
	}
	return until, d.s.store.PutPosition(ctx, d.back(), until)
}

func (d delivery) record(event string) audit.Record {
	name := beginning(d.sink, maxRecordedFilter)
	segments := strings.FieldsFunc(name, func(r rune) bool { return r == '/' }) // none is empty, or no filter would find it
	sink := resourceName(access.Resource{Name: auditName + "/sinks"}) + "/" + strings.Join(segments, "/")
	record := d.s.record(system(), event, access.ServerAuditRead, sink)
	record.Details = map[string]string{"sink": name}
	return record
}

// alertFollower counts what is in the feed by the rules of alerts.
type alertFollower struct {
	mu      sync.Mutex
	counts  *audit.Alerts // nil before the first time
	rules   []audit.AlertRule
	at      int64         // how far it is
	kept    int64         // how far the store knows that it is
	begun   int64         // where the store knows that a new one begins
	raised  int64         // up to where alerts were raised before, perhaps by another process
	pending []audit.Alert // that could not be raised yet
	marks   []feedMark    // the oldest first
}

// feedMark is where the feed was at a time.
type feedMark struct {
	time     time.Time
	position int64
}

// The consumers of the feed that alerts are: where they are, and where to begin
// so that the counts are what they were.
const (
	alertsConsumer = "alerts"
	alertsBegin    = "alerts begin"
)

// alertAge is how old a record may be that an alert is still raised for.
const alertAge = time.Hour

// FollowAlerts counts what is new on all chains by the rules, raises alerts and
// says whether there is more. It is for the one instance that runs jobs.
func (s *Service) FollowAlerts(ctx context.Context) (more bool, err error) {
	f, rules := &s.alerts, s.setup().Alerts
	f.mu.Lock()
	defer f.mu.Unlock()
	kept, err := s.store.Position(ctx, alertsConsumer)
	if err != nil {
		return false, err
	}
	if f.counts == nil || f.kept != kept || !slices.Equal(f.rules, rules) { // another instance may have gone on
		if err := f.begin(ctx, s.store, kept, rules); err != nil {
			return false, err
		}
	}
	if err := s.raisePending(ctx, f); err != nil {
		return false, err
	}
	for range alertsPerRun { // how far it is, is kept once for all of them
		if more, err = s.countFed(ctx, f); err != nil {
			return false, err
		}
		if !more || len(f.pending) > 0 {
			break
		}
	}
	if err := s.raisePending(ctx, f); err != nil {
		return false, err
	}
	f.mark(s.clock())
	return more, f.keep(ctx, s.store)
}

// alertsPerRun is how often one run of FollowAlerts reads on in the feed.
const alertsPerRun = 16

// countFed counts the next of the feed, and says whether there was any.
func (s *Service) countFed(ctx context.Context, f *alertFollower) (more bool, err error) {
	now := s.clock()
	links, end, err := s.feed(ctx, f.at, now.Add(-alertAge-f.counts.Longest()))
	if err != nil {
		return false, err
	}
	for i := range links {
		l := &links[i]
		r, readable := s.fedRecord(ctx, l)
		if !readable || r.Event == alertEvent { // an alert that alerts raise would go on for ever
			continue
		}
		for _, alert := range f.counts.Add(l.Tenant, l.Sequence, &r) {
			if l.Position > f.raised && now.Sub(alert.Time) <= alertAge {
				f.pending = append(f.pending, alert)
			}
		}
	}
	more = end != f.at
	f.at = end
	return more, nil
}

// begin counts anew from as far back as the longest window reaches.
func (f *alertFollower) begin(ctx context.Context, from store.Chains, kept int64, rules []audit.AlertRule) (err error) {
	if f.at, err = from.Position(ctx, alertsBegin); err != nil {
		return err
	}
	f.kept, f.begun, f.raised, f.pending = kept, f.at, kept, nil
	f.rules, f.counts, f.marks = slices.Clone(rules), audit.NewAlerts(rules), []feedMark{{position: f.at}}
	return nil
}

// mark notes where the feed is, and forgets what no window reaches back to.
func (f *alertFollower) mark(now time.Time) {
	if newest := f.marks[len(f.marks)-1]; newest.position != f.at && now.Sub(newest.time) >= time.Minute {
		f.marks = append(f.marks, feedMark{now, f.at})
	}
	for len(f.marks) > 1 && now.Sub(f.marks[1].time) > f.counts.Longest() {
		f.marks = f.marks[1:]
	}
}

// keep tells the store how far it is. While it catches up with itself, there is
// nothing to tell.
func (f *alertFollower) keep(ctx context.Context, in store.Chains) error {
	if f.at <= f.kept {
		return nil
	}
	if begin := f.marks[0].position; begin != f.begun {
		if err := in.PutPosition(ctx, alertsBegin, begin); err != nil {
			return err
		}
		f.begun = begin
	}
	if err := in.PutPosition(ctx, alertsConsumer, f.at); err != nil {
		return err
	}
	f.kept = f.at
	return nil
}

// raisePending raises what is to be raised; what cannot be is tried again the
// next time.
func (s *Service) raisePending(ctx context.Context, f *alertFollower) error {
	for len(f.pending) > 0 {
		if err := s.raise(ctx, f.pending[0]); err != nil {
			return err
		}
		f.pending = f.pending[1:]
	}
	return nil
}

// alertEvent is the event of a record that says that an alert was raised.
const alertEvent = "audit.alert"

// raise tells operators of an alert: the log, the metrics and the server's chain,
// from where it goes to webhooks.
func (s *Service) raise(ctx context.Context, alert audit.Alert) error {
	record := s.record(system(), alertEvent, access.ServerAuditRead, resourceName(access.Resource{Tenant: alert.Chain, Name: auditName}))
	record.Reason = alert.Rule.String()
	record.Details = map[string]string{
		"alert": alert.Rule.Name, string(alert.Rule.Per): beginning(alert.Key, maxRecordedFilter), "count": strconv.FormatInt(alert.Count, 10),
		"record": strconv.FormatUint(alert.Sequence, 10),
	}
	if err := s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
		return err
	}
	s.metrics.AuditAlert(alert.Rule.Name)
	s.logger.Warn("an alert was raised", "alert", alert.Rule.Name, "rule", alert.Rule.String(), "key", alert.Key,
		"chain", resourceName(access.Resource{Tenant: alert.Chain}), "count", alert.Count, "record", alert.Sequence)
	return nil
}
