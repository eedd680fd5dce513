package service

import (
	"context"
	"slices"
	"sync"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// brokenChains are those that were found not to hold, and why. They stay so for
// as long as the process runs.
type brokenChains struct {
	mu  sync.Mutex
	all map[config.TenantID]*brokenChain
}

// brokenChain is what is known of a chain that does not hold.
type brokenChain struct {
	found   audit.Break // the last time
	told    telling
	alerted bool // without a record, since the server's chain takes none
}

// telling is how far the server's chain is told of a break.
type telling uint8

const (
	untold telling = iota
	beingTold
	told
)

func (b *brokenChains) reason(id config.TenantID) string {
	if found := b.found(id); found != nil {
		return found.Error()
	}
	return ""
}

// found is the break of a chain, nil where none is known.
func (b *brokenChains) found(id config.TenantID) *audit.Break {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.all[id]; c != nil {
		found := c.found
		return &found
	}
	return nil
}

// add says whether it was not known, and how many there are.
func (b *brokenChains) add(id config.TenantID, found audit.Break) (first bool, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.all[id]; c != nil {
		c.found = found
		return false, len(b.all)
	}
	if b.all == nil {
		b.all = map[config.TenantID]*brokenChain{}
	}
	b.all[id] = &brokenChain{found: found}
	return true, len(b.all)
}

// toTell are the breaks that are not on record and that nobody else is putting
// there. Each is to be handed to toldOf.
func (b *brokenChains) toTell() map[config.TenantID]audit.Break {
	b.mu.Lock()
	defer b.mu.Unlock()
	breaks := map[config.TenantID]audit.Break{}
	for id, c := range b.all {
		if c.told == untold {
			c.told = beingTold
			breaks[id] = c.found
		}
	}
	return breaks
}

func (b *brokenChains) toldOf(id config.TenantID, how telling) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[id].told = how
}

// alert says whether nobody was alerted of a chain without a record yet.
func (b *brokenChains) alert(id config.TenantID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := !b.all[id].alerted
	b.all[id].alerted = true
	return first
}

// chainBroken tells operators and the server's chain that a chain does not hold.
func (s *Service) chainBroken(ctx context.Context, id config.TenantID, broken *audit.Break) {
	first, n := s.broken.add(id, *broken)
	s.metrics.AuditBroken(n)
	if first {
		s.logger.Error("an audit chain does not hold", "chain", chainName(id), "record", broken.Sequence, "reason", broken.Reason)
	}
	s.tellBroken(ctx)
}

func chainName(id config.TenantID) string {
	return resourceName(access.Resource{Tenant: id, Name: auditName})
}

// tellBroken puts on the server's chain, once, what is known of chains that do not
// hold; from there it raises alerts. What cannot be written is tried again by the
// next call.
func (s *Service) tellBroken(ctx context.Context) {
	for id, broken := range s.broken.toTell() {
		record := s.record(system(), "audit.broken", access.ServerAuditRead, chainName(id))
		record.Outcome, record.Reason = audit.Failed, broken.Error()
		record.Details = map[string]string{"record": versionText(config.Version(broken.Sequence))}
		if id != (config.TenantID{}) {
			record.Tenant = id.String()
		}
		if err := s.store.AppendAudit(ctx, config.TenantID{}, record); err != nil {
			s.broken.toldOf(id, untold)
			s.logger.Error("that an audit chain does not hold could not be put on record; it is tried again", "chain", chainName(id), "error", telemetry.Causes(err))
			s.alertUnrecorded(ctx, id)
			continue
		}
		s.broken.toldOf(id, told)
	}
}

// chainBrokenAlert is the rule for alerts that a chain is broken.
const chainBrokenAlert = "chain-broken"

// alertUnrecorded raises the alert of a broken chain in the log and the metrics
// where no record can raise it, because the server's own chain is broken at its
// end and takes none. Otherwise the record does, as soon as it can be written.
func (s *Service) alertUnrecorded(ctx context.Context, id config.TenantID) {
	inForce := func(r audit.AlertRule) bool { return r.Name == chainBrokenAlert }
	if !slices.ContainsFunc(audit.NewAlerts(s.setup().Alerts).Rules(), inForce) {
		return
	}
	ends, err := s.behindEnd(ctx, config.TenantID{})
	if err != nil || ends == nil || !s.broken.alert(id) {
		return
	}
	s.metrics.AuditAlert(chainBrokenAlert)
	s.logger.Warn("an alert was raised, which cannot be put on record", "alert", chainBrokenAlert, "chain", chainName(id))
}

// knownBroken is the break of a chain that holds by what is in the store: one that
// was found in the background since the process began, or that a place for
// checkpoints knows; nil for none.
func (s *Service) knownBroken(ctx context.Context, id config.TenantID) (*audit.Break, error) {
	if found := s.broken.found(id); found != nil {
		return found, nil
	}
	return s.refusedElsewhere(ctx, id)
}
