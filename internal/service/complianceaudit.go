package service

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (x *examination) denialsRecorded(ctx context.Context) (finding, error) {
	who, action := x.stranger(x.chain.Tenant), access.ServerTokenWrite
	before, err := x.s.store.Chain(ctx, x.chain.Tenant)
	if err != nil {
		return finding{}, err
	}
	if x.state != nil {
		action = access.TokenWrite
		err = x.s.guardIn(ctx, who, action, x.state, access.Resource{Name: checkerID})
	} else {
		err = x.s.guardServer(ctx, who, action, access.Resource{Name: checkerID})
	}
	if err == nil {
		return fails("what should have been denied was allowed"), nil
	}
	if config.KindOf(err) != config.KindForbidden {
		return finding{}, err
	}
	links, err := x.s.store.Audit(ctx, x.chain.Tenant, before.Head.Sequence, linksAtOnce)
	if err != nil {
		return finding{}, err
	}
	for _, l := range links {
		r, err := audit.ParseRecord(l.Record)
		if err == nil && r.Event == "authorization.denied" && r.Actor == who.Principal.Actor() && r.Action == string(action) && r.RequestID == who.RequestID {
			return holds("record %d", l.Sequence), nil
		}
	}
	return fails("the denial made for this check is not among the newest records"), nil
}

// maxLookedBack is how many records are read to find those of revisions.
const maxLookedBack = 200_000

func (x *examination) changesRecorded(ctx context.Context) (finding, error) {
	entries, _, err := x.s.store.Log(ctx, x.chain.Tenant, nil, store.Page{Limit: compliance.RecentChanges})
	if err != nil {
		return finding{}, err
	}
	missing := map[int64]time.Time{} // revision → when it was made
	for _, e := range entries {
		missing[int64(e.Revision)] = e.Time
	}
	looked := 0
	oldest := x.now // of the records that were looked at
	for position := x.chain.Head.Sequence + 1; len(missing) > 0 && position > 1 && looked < maxLookedBack; {
		links, err := x.s.linksBack(ctx, x.chain.Tenant, position, 0)
		if err != nil && x.report.Broken != nil {
			break // what is behind a gap is as good as missing
		}
		if err != nil {
			return finding{}, err
		}
		if len(links) == 0 { // the others were disposed of
			maps.DeleteFunc(missing, func(_ int64, made time.Time) bool { return made.Before(oldest) })
			break
		}
		for _, l := range links {
			if r, err := audit.ParseRecord(l.Record); err == nil {
				delete(missing, r.Revision)
				oldest = r.Time
			}
			looked++
			position = l.Sequence
		}
	}
	if len(missing) > 0 && looked >= maxLookedBack {
		return finding{}, config.Errorf(config.KindTooLarge, "among the %d newest records %d of %d revisions were not found", looked, len(missing), len(entries))
	}
	if len(missing) > 0 {
		return fails("%d of the %d newest revisions have no record", len(missing), len(entries)), nil
	}
	return holds("%d revisions, each with its record", len(entries)), nil
}

func (x *examination) recordsComplete(context.Context) (finding, error) {
	for i, l := range x.links {
		if i >= len(x.recent) {
			return fails("record %d cannot be read", l.Sequence), nil
		}
		r := x.recent[i]
		_, known := audit.EventNamed(r.Event)
		if !known || r.Time.IsZero() || r.Actor == "" || r.Outcome == "" {
			return fails("record %d lacks its event, time, actor or outcome", l.Sequence), nil
		}
	}
	return holds("%d records, all complete", len(x.recent)), nil
}

// credentialForms are texts that nobody but a credential has.
var credentialForms = regexp.MustCompile(`llmc_[A-Za-z0-9]{8,}_[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY|\bsk-[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`)

func (x *examination) secretValuesAbsent(context.Context) (finding, error) {
	for _, l := range x.links {
		if credentialForms.Match(l.Record) {
			return fails("record %d holds what looks like a credential", l.Sequence), nil
		}
	}
	return holds("%d records without any", len(x.links)), nil
}

func (x *examination) clockSteady(context.Context) (finding, error) {
	if len(x.recent) == 0 {
		return holds("there are no records yet"), nil
	}
	for i := 1; i < len(x.recent); i++ {
		if x.recent[i-1].Time.Before(x.recent[i].Time) {
			return fails("record %d is earlier than the one before it", x.links[i-1].Sequence), nil
		}
	}
	if ahead := x.recent[0].Time.Sub(x.now); ahead > compliance.MostClockAhead {
		return fails("the newest record is %s ahead of the clock", ahead.Round(time.Second)), nil
	}
	return holds("%d records, in the order of their times", len(x.recent)), nil
}

func (x *examination) chainVerified(context.Context) (finding, error) {
	if x.report.Broken != nil {
		return fails("%s", x.report.Broken.Error()), nil //nolint:nilerr // a break is what was found, and no failure to look
	}
	return holds("%d records, %d checkpoints, signed up to record %d", x.report.Records, x.report.Checkpoints, x.report.Signed.Head.Sequence), nil
}

func (x *examination) checkpointFresh(ctx context.Context) (finding, error) {
	patience, signed := 2*x.s.setup().Every, x.report.Signed.Head.Sequence
	if signed >= x.chain.Head.Sequence {
		return holds("signed up to record %d, the newest", signed), nil
	}
	links, err := x.s.linksOf(ctx, x.chain.Tenant, []uint64{signed + 1})
	if err != nil {
		return finding{}, err
	}
	if len(links) == 0 {
		return fails("no checkpoint is of record %d, which is not there", signed+1), nil
	}
	r, err := audit.ParseRecord(links[0].Record)
	if err != nil {
		return finding{}, unreadableRecord(links[0], err)
	}
	if age := x.now.Sub(r.Time); age > patience {
		return fails("record %d was written %s ago and no checkpoint is of it", links[0].Sequence, age.Round(time.Second)), nil
	}
	return holds("signed up to record %d of %d", signed, x.chain.Head.Sequence), nil
}

func (x *examination) checkpointsElsewhere(ctx context.Context) (finding, error) {
	p := x.s.posture()
	if !p.Known {
		return finding{}, errNoPosture()
	}
	if len(p.Anchors) == 0 {
		return fails("checkpoints are in the database alone; set audit-checkpoints"), nil
	}
	if len(p.AnchorsBeside) == len(p.Anchors) {
		return fails("checkpoints are on the disk of the database alone, in %s; name another mount, object storage or a webhook in audit-checkpoints",
			strings.Join(p.AnchorsBeside, " and ")), nil
	}
	patience := 2 * x.s.setup().Every
	notes, _, err := x.s.store.Checkpoints(ctx, x.chain.Tenant, store.Page{Limit: 10})
	if err != nil {
		return finding{}, err
	}
	broken, err := x.s.refusedElsewhere(ctx, x.chain.Tenant)
	if err != nil {
		return finding{}, err
	}
	if broken != nil {
		return fails("%s", broken.Error()), nil
	}
	for _, name := range p.Anchors {
		position, err := x.s.store.Position(ctx, anchorConsumer(name))
		if err != nil {
			return finding{}, err
		}
		for _, note := range notes {
			if note.Position > position && x.now.Sub(note.Time) > patience {
				return fails("%s does not have the checkpoint of record %d", name, note.Sequence), nil
			}
		}
	}
	return holds("%d places apart, up to date", len(p.Anchors)-len(p.AnchorsBeside)), nil
}

func (x *examination) retentionConfigured(ctx context.Context) (finding, error) {
	setup := x.s.setup()
	if setup.Keep < compliance.LeastKept {
		return fails("records are kept for %d days only; raise audit-keep", int(setup.Keep/day)), nil
	}
	figures := holds("hot for %d days, warm for %d more, kept for %d in all", int(setup.Hot/day), int(setup.Warm/day), int(setup.Keep/day))
	if x.chain.Hot < x.chain.Head.Sequence {
		links, err := x.s.store.Audit(ctx, x.chain.Tenant, x.chain.Hot-1, 1)
		if err != nil || len(links) == 0 {
			return figures, err
		}
		r, err := audit.ParseRecord(links[0].Record)
		if err != nil {
			return finding{}, unreadableRecord(links[0], err)
		}
		if x.now.Sub(r.Time) > setup.Hot+gather+day {
			return fails("record %d is still a row of the database after %d days", links[0].Sequence, int(x.now.Sub(r.Time)/day)), nil
		}
	}
	for after := uint64(0); ; {
		segments, err := x.s.store.Segments(ctx, x.chain.Tenant, after, segmentsAtOnce)
		if err != nil || len(segments) == 0 {
			return figures, err
		}
		for _, segment := range segments {
			after = segment.Last
			age := x.now.Sub(segment.LastTime)
			switch {
			case segment.State == store.Warm && x.s.archive != nil && age > setup.Hot+setup.Warm+day:
				return fails("records %d to %d should be in the archive", segment.First, segment.Last), nil
			case segment.State != store.Disposed && age > setup.Keep+day && x.chain.Hold == (store.Hold{}):
				return fails("the time of records %d to %d is over, and they are still there", segment.First, segment.Last), nil
			}
		}
	}
}

func (x *examination) holdRespected(ctx context.Context) (finding, error) {
	if x.chain.Hold == (store.Hold{}) {
		return holds("there is no legal hold"), nil
	}
	filter := audit.Filter{From: x.chain.Hold.Time, Events: []string{audit.DisposeEvent}}
	links, _, err := x.s.findLinks(ctx, x.chain.Tenant, &filter, 0, 1)
	if err != nil {
		return finding{}, err
	}
	if len(links) > 0 {
		return fails("record %d disposes of records since the hold began", links[0].Sequence), nil
	}
	return holds("nothing was disposed of since %s", x.chain.Hold.Time.UTC().Format(time.DateOnly)), nil
}

func (x *examination) alertsOn(context.Context) (finding, error) {
	p := x.s.posture()
	if !p.Known {
		return finding{}, errNoPosture()
	}
	rules := audit.NewAlerts(x.s.setup().Alerts).Rules()
	for _, builtin := range audit.BuiltinAlerts {
		i := slices.IndexFunc(rules, func(r audit.AlertRule) bool { return r.Name == builtin.Name })
		if i < 0 {
			return fails("the alert %s is off", builtin.Name), nil
		}
		if how := weaker(rules[i], builtin); len(how) > 0 {
			return fails("the alert %s was redefined so that it finds less, as %s: the rule is %q, and built in is %q",
				builtin.Name, strings.Join(how, ", "), rules[i], builtin), nil
		}
	}
	if p.AlertHooks == 0 {
		return fails("alerts are logged and counted, and no webhook is told of them; set alert-webhooks"), nil
	}
	return holds("%d rules, %d webhooks", len(rules), p.AlertHooks), nil
}

// weaker says how a rule finds less than the built-in one of its name: it does not
// count all of its events, or not each of them, or raises the alert later or more
// rarely.
func weaker(rule, builtin audit.AlertRule) (how []string) {
	covers := rule.Event == builtin.Event ||
		strings.HasSuffix(rule.Event, ".*") && strings.HasPrefix(builtin.Event, strings.TrimSuffix(rule.Event, "*"))
	if !covers {
		how = append(how, "it is of other events")
	}
	if rule.Threshold > builtin.Threshold {
		how = append(how, "more of them raise it")
	}
	if rule.Different && !builtin.Different {
		how = append(how, "only different resources count")
	}
	switch {
	case rule.Threshold > 1 && rule.Window < builtin.Window:
		how = append(how, "its time is shorter")
	case builtin.Threshold == 1 && rule.Window > builtin.Window: // each raises it, but for those within the time after one
		how = append(how, "it is silent for longer once it was raised")
	}
	if rule.Per != builtin.Per {
		how = append(how, "it counts apart by something else")
	}
	return how
}
