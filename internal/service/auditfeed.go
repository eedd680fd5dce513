package service

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// IndexAudit makes blocks of what has none yet, and says whether there may be
// more. It is for the one instance that runs jobs.
func (s *Service) IndexAudit(ctx context.Context) (more bool, err error) {
	chains, err := s.store.ScanChains(ctx, store.ChainScan{Limit: chainsAtOnce, Unindexed: audit.BlockRecords})
	if err != nil {
		return false, err
	}
	for _, chain := range chains {
		if err := s.indexChain(ctx, chain); err != nil {
			return false, err
		}
	}
	return len(chains) > 0, nil
}

// indexChain makes the next block of a chain.
func (s *Service) indexChain(ctx context.Context, chain store.Chain) error {
	links := make([]audit.Link, 0, audit.BlockRecords)
	err := s.walk(ctx, chain.Tenant, chain.Indexed, chain.Indexed+audit.BlockRecords, func(audit.Stub) error {
		return errors.New("records were disposed of that no index is of")
	}, func(read []audit.Link) error {
		links = append(links, read...)
		return nil
	})
	if err != nil {
		return err
	}
	if len(links) != audit.BlockRecords {
		return errors.New("the chain has gaps where it is to be indexed")
	}
	block, err := audit.BuildBlock(links)
	if err != nil {
		return err
	}
	sealed, err := s.keyring.Seal(ctx, blockPlace(chain.Tenant, block.First()), block.Encode())
	if err != nil {
		return err
	}
	return s.store.PutBlock(ctx, chain.Tenant, store.Block{First: block.First(), Last: block.Last(), Sealed: sealed})
}

// feedAtOnce is how many records a consumer of the feed is given at a time.
const feedAtOnce = 500

// feed answers what comes behind a position, of all chains, wherever it is now:
// links of one chain in their order, and every one at least once. End is where to
// go on.
func (s *Service) feed(ctx context.Context, after int64) (links []store.FedLink, end int64, err error) {
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
			return s.packedFeed(ctx, segment)
		}
		hot = hot[:n]
	}
	if len(hot) == 0 {
		return nil, after, nil
	}
	return hot, hot[len(hot)-1].Position, nil
}

// packedFeed is the feed of what was packed since.
func (s *Service) packedFeed(ctx context.Context, segment store.Segment) ([]store.FedLink, int64, error) {
	packed, err := s.unpacked(ctx, segment)
	if err != nil {
		return nil, 0, err
	}
	links := make([]store.FedLink, len(packed))
	for i, l := range packed {
		links[i] = store.FedLink{Link: l, Tenant: segment.Tenant, Position: segment.LastPosition}
	}
	return links, segment.LastPosition, nil
}

// SinkRecord is a record as a sink is given it.
type SinkRecord struct {
	Origin string // of its chain
	audit.Link
}

// Sink is a place that records are streamed to. Deliver takes all of them or
// fails; then they are delivered again.
type Sink interface {
	Name() string
	Deliver(ctx context.Context, records []SinkRecord) error
}

// sinkState is what is known of a sink while the process runs.
type sinkState struct {
	mu    sync.Mutex
	down  bool
	since time.Time
	from  int64 // where the gap begins
	count int64 // records that were delivered since it ended
}

// DeliverAudit brings to a sink what a filter selects of what it does not have
// yet, and says whether there is more. A sink that takes nothing is waited for:
// the store is the queue. That it does not, and that it does again, is on record.
func (s *Service) DeliverAudit(ctx context.Context, sink Sink, filter audit.Filter) (more bool, err error) {
	consumer := "sink " + sink.Name()
	position, err := s.store.Position(ctx, consumer)
	if err != nil {
		return false, err
	}
	links, end, err := s.feed(ctx, position)
	if err != nil || end == position {
		return false, err
	}
	name, err := s.installation(ctx)
	if err != nil {
		return false, err
	}
	records := make([]SinkRecord, 0, len(links))
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			return false, unreadableRecord(l.Link, err)
		}
		if filter.Matches(&r) {
			records = append(records, SinkRecord{audit.Origin(name, l.Tenant), l.Link})
		}
	}
	if len(records) > 0 {
		if err := sink.Deliver(ctx, records); err != nil {
			return false, s.sinkDown(ctx, sink.Name(), position, err)
		}
	}
	if err := s.store.PutPosition(ctx, consumer, end); err != nil {
		return false, err
	}
	return true, s.sinkUp(ctx, sink.Name(), end, int64(len(records)))
}

func (s *Service) sink(name string) *sinkState {
	state, _ := s.sinks.LoadOrStore(name, &sinkState{})
	return state.(*sinkState) //nolint:forcetypeassert // only states are stored
}

// sinkDown notes that a sink takes nothing; the first time, on record.
func (s *Service) sinkDown(ctx context.Context, name string, position int64, cause error) error {
	state := s.sink(name)
	state.mu.Lock()
	defer state.mu.Unlock()
	s.metrics.AuditSink(name, false)
	if state.down {
		return nil
	}
	s.logger.Warn("audit records cannot be delivered; they are kept until they can", "sink", name, "error", cause.Error())
	record := s.sinkRecord("audit.sink.down", name)
	record.Outcome, record.Reason = audit.Failed, beginning(cause.Error(), maxRecordedReason)
	record.Details["from"] = strconv.FormatInt(position, 10)
	if err := s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
		return err
	}
	state.down, state.since, state.from, state.count = true, s.clock(), position, 0
	return nil
}

// sinkUp notes that a sink takes records; once it has caught up with a gap, on record.
func (s *Service) sinkUp(ctx context.Context, name string, position, delivered int64) error {
	state := s.sink(name)
	state.mu.Lock()
	defer state.mu.Unlock()
	s.metrics.AuditSink(name, true)
	if !state.down {
		return nil
	}
	state.count += delivered
	behind, err := s.store.AuditFeed(ctx, position, feedAtOnce)
	if err != nil || len(behind) == feedAtOnce {
		return err
	}
	s.logger.Info("audit records are delivered again, and the gap is filled", "sink", name, "records", state.count)
	record := s.sinkRecord("audit.sink.up", name)
	record.Details["from"], record.Details["to"] = strconv.FormatInt(state.from, 10), strconv.FormatInt(position, 10)
	record.Details["records"], record.Details["down"] = strconv.FormatInt(state.count, 10), state.since.UTC().Format(time.RFC3339)
	if err := s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
		return err
	}
	state.down = false
	return nil
}

func (s *Service) sinkRecord(event, name string) audit.Record {
	record := s.record(system(), event, access.ServerAuditRead, resourceName(access.Resource{Name: auditName + "/sinks"}))
	record.Details = map[string]string{"sink": beginning(name, maxRecordedFilter)}
	return record
}

// alertFollower counts what is in the feed by the rules of alerts.
type alertFollower struct {
	mu     sync.Mutex
	counts *audit.Alerts // nil before the first time
	rules  []audit.AlertRule
	at     int64      // how far it is
	raised int64      // up to where alerts were raised before, perhaps by another process
	marks  []feedMark // the oldest first
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
	if f.counts == nil || !slices.Equal(f.rules, rules) {
		if err := f.begin(ctx, s.store, rules); err != nil {
			return false, err
		}
	}
	links, end, err := s.feed(ctx, f.at)
	if err != nil || end == f.at {
		return false, err
	}
	now := s.clock()
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		if err != nil {
			return false, unreadableRecord(l.Link, err)
		}
		for _, alert := range f.counts.Add(l.Tenant, l.Sequence, &r) {
			if l.Position <= f.raised || now.Sub(alert.Time) > alertAge {
				continue
			}
			if err := s.raise(ctx, alert); err != nil {
				return false, err
			}
		}
	}
	f.at = end
	f.raised = max(f.raised, end)
	f.mark(now)
	return true, errors.Join(
		s.store.PutPosition(ctx, alertsConsumer, f.at),
		s.store.PutPosition(ctx, alertsBegin, f.marks[0].position))
}

// begin counts anew from as far back as the longest window reaches.
func (f *alertFollower) begin(ctx context.Context, from store.Chains, rules []audit.AlertRule) (err error) {
	if f.raised, err = from.Position(ctx, alertsConsumer); err != nil {
		return err
	}
	if f.at, err = from.Position(ctx, alertsBegin); err != nil {
		return err
	}
	f.rules, f.counts, f.marks = slices.Clone(rules), audit.NewAlerts(rules), []feedMark{{position: f.at}}
	return nil
}

// mark notes where the feed is, and forgets what no window reaches back to.
func (f *alertFollower) mark(now time.Time) {
	if newest := f.marks[len(f.marks)-1]; now.Sub(newest.time) >= time.Minute {
		f.marks = append(f.marks, feedMark{now, f.at})
	}
	for len(f.marks) > 1 && now.Sub(f.marks[1].time) > f.counts.Longest() {
		f.marks = f.marks[1:]
	}
}

// raise tells operators of an alert: the log, the metrics and the server's chain,
// from where it goes to webhooks.
func (s *Service) raise(ctx context.Context, alert audit.Alert) error {
	record := s.record(system(), "audit.alert", access.ServerAuditRead, resourceName(access.Resource{Tenant: alert.Chain, Name: auditName}))
	record.Reason = alert.Rule.String()
	record.Details = map[string]string{
		"alert": alert.Rule.Name, string(alert.Rule.Per): beginning(alert.Key, maxRecordedName), "count": strconv.FormatInt(alert.Count, 10),
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
