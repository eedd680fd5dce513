package service

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Chain names the audit chain that a caller asks for: a tenant's, the server's,
// or that of a tenant that was deleted.
type Chain struct {
	Tenant  string // name; "" for the server's chain
	Deleted string // id of a deleted tenant, instead
}

// auditName is what the guard is asked about.
const auditName = "audit"

// chainFor is the first call of every verb that reads a chain: it decides whether
// the caller may, and finds the chain.
func (s *Service) chainFor(ctx context.Context, who Caller, chain Chain) (config.TenantID, error) {
	switch {
	case chain.Tenant != "":
		state, err := s.guard(ctx, who, access.AuditRead, chain.Tenant, access.Resource{Name: auditName})
		if err != nil {
			return config.TenantID{}, err
		}
		return state.tenant.ID, nil
	case chain.Deleted != "":
		return s.deletedChain(ctx, who, access.ServerAuditRead, chain.Deleted)
	}
	return config.TenantID{}, s.guardServer(ctx, who, access.ServerAuditRead, access.Resource{Name: auditName})
}

// deletedChain is the chain of a tenant that was deleted, which nobody but the
// server's administrators is left to see to.
func (s *Service) deletedChain(ctx context.Context, who Caller, action access.Action, text string) (id config.TenantID, err error) {
	if err := s.guardServer(ctx, who, action, access.Resource{Name: auditName + "/" + text}); err != nil {
		return id, err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, config.Errorf(config.KindBadRequest, "%q is no tenant's id", beginning(text, maxRecordedName)).At("deleted").
			Hint("the server's record of tenant.delete names it: 32 hexadecimal digits")
	}
	copy(id[:], raw)
	found, err := s.store.Chain(ctx, id)
	if err == nil && !found.Deleted || config.KindOf(err) == config.KindNotFound {
		return id, config.Errorf(config.KindNotFound, "no tenant of this id was deleted").At("deleted").
			Hint("ask for a tenant that is there by its name")
	}
	return id, err
}

// checkFilter refuses a filter that can select nothing: a search that finds nothing
// is taken for an answer.
func checkFilter(f *audit.Filter) error {
	if err := f.Check(); err != nil {
		return err
	}
	for _, action := range f.Actions {
		family, is := strings.CutSuffix(action, "*")
		if !slices.ContainsFunc(access.Actions, func(info access.ActionInfo) bool {
			return string(info.Action) == action || is && strings.HasPrefix(string(info.Action), family)
		}) {
			return config.Errorf(config.KindBadRequest, "there is no such action").At("action").
				Hint("actions are named like config.read, families like config.*; docs/access.md lists them")
		}
	}
	for _, actor := range f.Actors {
		if actor != "anonymous" && !strings.Contains(actor, ":") {
			return config.Errorf(config.KindBadRequest, "what is asked for is no actor").At("actor").
				Hint("records name actors like token:ID, identity:ISSUER:SUBJECT and system:server, and who has no credentials anonymous")
		}
	}
	if strings.ContainsAny(f.Resource, "*?") {
		return config.Errorf(config.KindBadRequest, "a resource is no pattern").At("resource").
			Hint("it selects what lies at or below it, like environments/production/secrets")
	}
	return nil
}

// recordReading puts on record that somebody reads a chain, on that chain; on the
// server's, when nobody is left who could read it there.
func (s *Service) recordReading(ctx context.Context, who Caller, event string, chain Chain, id config.TenantID, details map[string]string) error {
	record := s.record(who, event, access.AuditRead, resourceName(access.Resource{Tenant: id, Name: auditName}))
	record.Details = details
	if chain.Tenant == "" {
		record.Action, id = string(access.ServerAuditRead), config.TenantID{}
	} else {
		record.Tenant = id.String()
	}
	if err := s.store.AppendAudit(ctx, id, record); err != nil {
		return unavailable(err, "the reading of audit records could not be put on record")
	}
	return nil
}

// maxRecordedFilter bounds each member of a filter in the record of its use.
const maxRecordedFilter = 512

// filterDetails is a filter as it is put on record.
func filterDetails(f *audit.Filter) map[string]string {
	details := map[string]string{}
	put := func(name, text string) {
		if text != "" {
			details[name] = beginning(text, maxRecordedFilter)
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	put("from", when(f.From))
	put("to", when(f.To))
	put("event", strings.Join(f.Events, ","))
	put("actor", strings.Join(f.Actors, ","))
	put("action", strings.Join(f.Actions, ","))
	outcomes := make([]string, len(f.Outcomes))
	for i, outcome := range f.Outcomes {
		outcomes[i] = string(outcome)
	}
	put("outcome", strings.Join(outcomes, ","))
	put("resource", f.Resource)
	if f.Source.IsValid() {
		put("source", f.Source.String())
	}
	put("request_id", f.RequestID)
	put("trace_id", f.TraceID)
	put("session", f.Session)
	return details
}

// AuditPage is a page of records, newest first.
type AuditPage struct {
	Links []audit.Link
	Next  Cursor
}

// Audit answers the records of a chain that a filter selects.
func (s *Service) Audit(ctx context.Context, who Caller, chain Chain, filter audit.Filter, page Page) (AuditPage, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return AuditPage{}, err
	}
	if err := checkFilter(&filter); err != nil {
		return AuditPage{}, err
	}
	pages := s.chainPages(who, chain, id, "audit")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return AuditPage{}, err
	}
	before, err := positionOf(asked.Cursor)
	if err != nil {
		return AuditPage{}, err
	}
	if err := s.recordReading(ctx, who, "audit.read", chain, id, filterDetails(&filter)); err != nil {
		return AuditPage{}, err
	}
	found, next, err := s.findLinks(ctx, id, &filter, before, asked.Limit)
	if err != nil {
		return AuditPage{}, err
	}
	result := AuditPage{Links: found}
	if next > 1 {
		result.Next, err = pages.seal(ctx, store.Cursor(strconv.FormatUint(next, 10)))
	}
	return result, err
}

// positionOf is the sequence number that a cursor ends at, 0 for no cursor.
func positionOf(cursor store.Cursor) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(cursor), 10, 63)
	if err != nil || n == 0 {
		return 0, store.InvalidCursor()
	}
	return n, nil
}

// maxGroups bounds the groups of one count.
const maxGroups = 10_000

// The bounds of a window of counts.
const (
	minWindow = time.Second
	maxWindow = 31 * 24 * time.Hour
)

// AuditCounts are records counted.
type AuditCounts struct {
	By     []audit.Dimension
	Window time.Duration
	Groups []AuditGroup // by window, and within it the most first
}

// AuditGroup is a group of them.
type AuditGroup struct {
	Start  time.Time // zero without windows
	Values []string  // by AuditCounts.By
	audit.Count
}

// AuditCounts counts the records of a chain that a filter selects, by at most two
// dimensions and, unless it is 0, windows of time.
func (s *Service) AuditCounts(ctx context.Context, who Caller, chain Chain, filter audit.Filter, by []audit.Dimension, window time.Duration) (AuditCounts, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return AuditCounts{}, err
	}
	if err := errors.Join(checkFilter(&filter), checkCounts(by, window)); err != nil {
		return AuditCounts{}, err
	}
	leave, err := s.readings.enter(id)
	if err != nil {
		return AuditCounts{}, err
	}
	defer leave()
	details := filterDetails(&filter)
	details["counted"] = "yes"
	if err := s.recordReading(ctx, who, "audit.read", chain, id, details); err != nil {
		return AuditCounts{}, err
	}
	return s.countLinks(ctx, id, &filter, by, window)
}

// countLinks counts what a filter selects of a chain.
func (s *Service) countLinks(ctx context.Context, id config.TenantID, filter *audit.Filter, by []audit.Dimension, window time.Duration) (AuditCounts, error) {
	counts := audit.Counts{By: by, Window: window, Most: maxGroups, Groups: map[audit.CountKey]audit.Count{}}
	err := s.eachPart(ctx, id, 0, filter.To, func(block *audit.Block, links []audit.Link) (bool, error) {
		if block != nil {
			if _, last := block.Times(); last.Before(filter.From) {
				return false, nil // all that is before is older still
			}
			block.Count(filter, &counts)
		}
		for _, l := range links {
			r, err := audit.ParseRecord(l.Record)
			if err != nil {
				return false, unreadableRecord(l, err)
			}
			if filter.Matches(&r) {
				counts.Add(&r)
			}
		}
		return !counts.Over, ctx.Err()
	})
	if err != nil {
		return AuditCounts{}, err
	}
	if counts.Over {
		return AuditCounts{}, config.Errorf(config.KindTooLarge, "there are too many groups to be counted").
			Hint("narrow the time or the filter, or take longer windows").Over(maxGroups, maxGroups+1)
	}
	result := AuditCounts{By: by, Window: window, Groups: make([]AuditGroup, 0, len(counts.Groups))}
	for key, count := range counts.Groups {
		g := AuditGroup{Values: slices.Clone(key.Values[:len(by)]), Count: count}
		if window > 0 {
			g.Start = time.Unix(key.Start, 0).UTC()
		}
		result.Groups = append(result.Groups, g)
	}
	slices.SortFunc(result.Groups, func(a, b AuditGroup) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Weight, a.Weight), slices.Compare(a.Values, b.Values))
	})
	return result, nil
}

func checkCounts(by []audit.Dimension, window time.Duration) error {
	known := []audit.Dimension{audit.ByEvent, audit.ByActor, audit.ByAction, audit.ByOutcome, audit.BySource}
	for i, dimension := range by {
		if !slices.Contains(known, dimension) || slices.Contains(by[:i], dimension) {
			return config.Errorf(config.KindBadRequest, "records are not counted by %q", beginning(string(dimension), maxRecordedName)).At("by").
				Hint("count by one or two of event, actor, action, outcome and source")
		}
	}
	switch {
	case len(by) > 2:
		return config.Errorf(config.KindBadRequest, "records are counted by two things at most").At("by").Over(2, int64(len(by)))
	case window != 0 && (window < minWindow || window > maxWindow || window%time.Second != 0):
		return config.Errorf(config.KindBadRequest, "the window is not of whole seconds, or not between %s and %s", minWindow, maxWindow).At("window").
			Hint("write it like 5m, 1h or 24h")
	}
	return nil
}
