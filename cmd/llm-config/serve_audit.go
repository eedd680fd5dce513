package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/archive"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/jobs"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/settings"
	"github.com/llm-devops/llm-config-manager/internal/sink"
)

// How often what sees to the audit chains is run, on one instance at a time.
const (
	signLookEvery   = time.Second // whether it is time for checkpoints
	patrolLookEvery = time.Minute // whether it is time for the next round
	indexEvery      = 2 * time.Second
	followEvery     = time.Second // alerts
	deliverEvery    = time.Second // to sinks and anchors
	retainEvery     = 10 * time.Minute
	retainLook      = time.Second // whether the settings say another time to keep records
)

// auditing is what the audit chains are kept with, besides the database.
type auditing struct {
	archive *archive.Archive // nil for none
	anchors []sink.Anchor
	sinks   []sink.Sink
	hooks   []sink.Sink // that are told of alerts
}

// openAudit opens the places that the settings name.
func openAudit(ctx context.Context, s settings.Settings) (a auditing, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	var o sink.Options
	if s.AuditWebhookKeyFile != "" {
		if o.WebhookKey, err = os.ReadFile(s.AuditWebhookKeyFile); err != nil {
			return a, failf("the key that signs webhooks cannot be read: %v", err).hint("check audit-webhook-key-file")
		}
	}
	if s.AuditArchive != "" {
		if a.archive, err = archive.Open(ctx, s.AuditArchive); err != nil {
			return a, err
		}
	}
	for _, url := range s.AuditCheckpoints {
		anchor, err := sink.OpenAnchor(ctx, url, o)
		if err != nil {
			return a, err
		}
		a.anchors = append(a.anchors, anchor)
	}
	for _, url := range s.AuditSinks {
		to, err := sink.Open(url, o)
		if err != nil {
			return a, err
		}
		a.sinks = append(a.sinks, to)
	}
	for _, url := range s.AlertWebhooks {
		to, err := sink.Open(url, o)
		if err != nil {
			return a, err
		}
		a.hooks = append(a.hooks, to)
	}
	return a, nil
}

func (a auditing) close() error {
	var errs []error
	if a.archive != nil {
		errs = append(errs, a.archive.Close())
	}
	for _, anchor := range a.anchors {
		errs = append(errs, anchor.Close())
	}
	for _, to := range append(a.sinks, a.hooks...) {
		errs = append(errs, to.Close())
	}
	return errors.Join(errs...)
}

// streamed is a sink as the service has it.
type streamed struct {
	sink.Sink
	name string
}

func (d streamed) Name() string { return d.name }

func (d streamed) Deliver(ctx context.Context, records []service.SinkRecord) error {
	given := make([]sink.Record, len(records))
	for i, r := range records {
		given[i] = sink.Record(r)
	}
	return d.Sink.Deliver(ctx, given)
}

// auditJobs are those that see to the audit chains.
func (p *process) auditJobs() []jobs.Job {
	all := []jobs.Job{
		{Name: "audit-checkpoints", Every: signLookEvery, Run: p.signInTime()},
		{Name: "audit-index", Every: indexEvery, Run: p.service.IndexAudit},
		{Name: "audit-patrol", Every: patrolLookEvery, Run: p.service.PatrolAudit},
		{Name: "audit-alerts", Every: followEvery, Run: p.service.FollowAlerts},
		{Name: "audit-retention", Every: retainLook, Run: p.retainInTime()},
	}
	for _, anchor := range p.auditing.anchors {
		all = append(all, jobs.Job{Name: "audit-anchor " + anchor.Name(), Every: deliverEvery, Run: func(ctx context.Context) (bool, error) {
			return p.service.KeepCheckpoints(ctx, anchor)
		}})
	}
	deliver := func(to sink.Sink, name string, filter audit.Filter) {
		all = append(all, jobs.Job{Name: name, Every: deliverEvery, Run: func(ctx context.Context) (bool, error) {
			return p.service.DeliverAudit(ctx, streamed{to, name}, filter)
		}})
	}
	for _, to := range p.auditing.sinks {
		deliver(to, "audit-sink "+to.Name(), audit.Filter{})
	}
	for _, to := range p.auditing.hooks {
		deliver(to, "alert-webhook "+to.Name(), audit.Filter{Events: []string{"audit.alert"}})
	}
	return all
}

// signInTime signs checkpoints as often as the settings say, as they are now.
func (p *process) signInTime() func(context.Context) (bool, error) {
	var last time.Time
	return func(ctx context.Context) (more bool, err error) {
		if time.Since(last) < p.live.Get().WithDefaults().AuditCheckpointEvery {
			return false, nil
		}
		more, err = p.service.SignCheckpoints(ctx)
		if !more {
			last = time.Now()
		}
		return more, err
	}
}

// retainInTime moves and disposes of records every so often, and at once when the
// settings say that they are to be kept for another time.
func (p *process) retainInTime() func(context.Context) (bool, error) {
	type times struct{ hot, warm, keep time.Duration }
	var last time.Time
	var by times
	return func(ctx context.Context) (bool, error) {
		s := p.live.Get()
		now := times{s.AuditHot, s.AuditWarm, s.AuditKeep}
		if now == by && time.Since(last) < retainEvery {
			return false, nil
		}
		more, err := p.service.RetainAudit(ctx)
		if !more {
			last, by = time.Now(), now
		}
		return more, err
	}
}

// auditSetup is how long audit records are kept where, as the settings are now.
func (p *process) auditSetup() service.AuditSetup {
	s := p.live.Get()
	setup := service.AuditSetup{Hot: s.AuditHot, Warm: s.AuditWarm, Keep: s.AuditKeep, Every: s.AuditCheckpointEvery}
	if rules, err := audit.ParseAlertRules(s.AuditAlerts); err == nil { // settings refuse what does not parse
		setup.Alerts = rules
	}
	for _, anchor := range p.auditing.anchors {
		setup.Anchors = append(setup.Anchors, anchor.Name())
	}
	return setup
}

// posture is what checks of compliance ask of the process.
func (p *process) posture() service.Posture {
	s := p.live.Get().WithDefaults()
	keeper, _, _ := strings.Cut(s.Keeper(), ":")
	posture := service.Posture{
		Known: true, Development: s.Dev, TLS: s.TLS(), Loopback: s.OnLoopback(), Proxies: len(s.TrustedProxies) > 0,
		ClientAuth: s.ClientAuth, Keeper: keeper, KeyBeside: keyBeside(s), AlertHooks: len(p.auditing.hooks),
		RequestsLimited: s.RequestsPerMinute() > 0, ConnectionsLimited: s.ConnectionsPerTenant() > 0, Version: buildVersion(),
	}
	for _, anchor := range p.auditing.anchors {
		posture.Anchors = append(posture.Anchors, anchor.Name())
	}
	posture.AnchorsBeside = p.auditing.anchorsBeside(s.Data)
	for _, to := range p.auditing.sinks {
		posture.Sinks = append(posture.Sinks, to.Name())
	}
	return posture
}

// anchorsBeside are the names of the anchors that are folders on the disk of the
// data: whoever can write to one can, as a rule, write to the other.
func (a auditing) anchorsBeside(data string) (names []string) {
	for _, anchor := range a.anchors {
		if folder, ok := strings.CutPrefix(anchor.Name(), "file:"); ok && sameDisk(folder, data) {
			names = append(names, anchor.Name())
		}
	}
	return names
}

// sameDisk says whether two folders are on one file system. Of a folder that is
// not there yet it is the one above it that counts.
func sameDisk(a, b string) bool {
	device := func(folder string) (uint64, bool) {
		for {
			var is syscall.Stat_t
			err := syscall.Stat(folder, &is)
			if err == nil {
				return uint64(is.Dev), true //nolint:unconvert // an int32 on some systems
			}
			above := filepath.Dir(folder)
			if !errors.Is(err, fs.ErrNotExist) || above == folder {
				return 0, false
			}
			folder = above
		}
	}
	first, known := device(a)
	second, also := device(b)
	return known && also && first == second
}

// keyBeside says whether the master key is a file in the data folder.
func keyBeside(s settings.Settings) bool {
	file := s.KeyFile()
	if file == "" {
		return false
	}
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return true
	}
	if file, err = filepath.Abs(file); err != nil {
		return true
	}
	below, err := filepath.Rel(data, file)
	return err == nil && !strings.HasPrefix(below, "..")
}

// lastCheckpoints signs where the chains stand when the server ends, and brings
// that to the anchors, so that nothing can be done to them unnoticed meanwhile.
func (p *process) lastCheckpoints(ctx context.Context) {
	repeat := func(run func(context.Context) (bool, error)) error {
		for {
			if more, err := run(ctx); !more || err != nil {
				return err
			}
		}
	}
	err := repeat(p.service.SignCheckpoints)
	for _, anchor := range p.auditing.anchors {
		err = errors.Join(err, repeat(func(ctx context.Context) (bool, error) { return p.service.KeepCheckpoints(ctx, anchor) }))
	}
	if err != nil {
		p.logger.Error("the last checkpoints of the audit chains were not signed and kept everywhere", "error", err.Error())
	}
}
