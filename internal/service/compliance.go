package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Compliance runs the checks of a framework's controls, now, and answers what
// they found with the evidence of the records from a time on and before another.
func (s *Service) Compliance(ctx context.Context, who Caller, chain Chain, framework compliance.Framework, from, to time.Time) (compliance.Report, error) {
	id, err := s.chainFor(ctx, who, chain)
	if err != nil {
		return compliance.Report{}, err
	}
	if chain.Deleted != "" {
		return compliance.Report{}, config.Errorf(config.KindBadRequest, "there is no report of a tenant that was deleted").At("deleted")
	}
	if _, err := compliance.ParseFramework(string(framework)); err != nil {
		return compliance.Report{}, err
	}
	now := s.clock()
	if to.IsZero() {
		to = now
	}
	filter := audit.Filter{From: from, To: to}
	if err := checkFilter(&filter); err != nil {
		return compliance.Report{}, err
	}
	details := filterDetails(&filter)
	details["framework"] = string(framework)
	leave, err := s.readings.enter(id)
	if err != nil {
		return compliance.Report{}, err
	}
	defer leave()
	if err := s.recordReading(ctx, who, "compliance.report", chain, id, details); err != nil {
		return compliance.Report{}, err
	}
	x, err := s.examine(ctx, who, chain, id)
	if err != nil {
		return compliance.Report{}, err
	}
	in := compliance.Input{
		Framework: framework, Tenant: chain.Tenant, From: from, To: to, Generated: now, Version: s.posture().Version,
		Verification: verification(x.report), Results: x.run(ctx),
		Evidence: func(events []string) ([]compliance.Evidence, error) {
			found, err := s.evidence(ctx, id, x.report.Origin, filter, events)
			if err != nil && x.report.Broken != nil && ctx.Err() == nil {
				return nil, nil // of a chain that cannot be read as a whole there is none
			}
			return found, err
		},
	}
	if err := ctx.Err(); err != nil {
		return compliance.Report{}, err
	}
	return compliance.Build(in)
}

func verification(r audit.Report) compliance.Verification {
	v := compliance.Verification{
		Origin: r.Origin, Holds: r.Broken == nil, First: r.From.Sequence + 1, Last: r.Head.Sequence, Records: int64(r.Records),
		Disposed: int64(r.Disposed), SignedTo: r.Signed.Head.Sequence, SignedAt: r.Signed.Time,
	}
	if r.Broken != nil {
		v.Problem = r.Broken.Error()
	}
	return v
}

// evidence counts events, and has the newest records of each.
func (s *Service) evidence(ctx context.Context, id config.TenantID, origin string, filter audit.Filter, events []string) ([]compliance.Evidence, error) {
	counts, err := s.countLinks(ctx, id, &filter, []audit.Dimension{audit.ByEvent}, 0)
	if err != nil {
		return nil, err
	}
	counted := map[string]int64{}
	for _, group := range counts.Groups {
		counted[group.Values[0]] = group.Weight
	}
	var all []compliance.Evidence
	for _, event := range events {
		if counted[event] == 0 {
			continue
		}
		one := filter
		one.Events = []string{event}
		links, _, err := s.findLinks(ctx, id, &one, 0, compliance.MaxSamples)
		if err != nil {
			return nil, err
		}
		e := compliance.Evidence{Event: event, Count: counted[event]}
		for _, l := range links {
			r, err := audit.ParseRecord(l.Record)
			if err != nil {
				return nil, unreadableRecord(l, err)
			}
			e.Samples = append(e.Samples, compliance.Sample{Chain: origin, Sequence: l.Sequence, Time: r.Time, Actor: r.Actor, Outcome: string(r.Outcome)})
		}
		all = append(all, e)
	}
	return all, nil
}
