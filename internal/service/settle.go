package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// How SettleSecrets goes about its work.
const (
	settleBatch   = 100         // secrets that one round looks after
	settleMost    = 1000        // that it asks the store for
	settleRotates = 32          // rotations at a time
	settleAgain   = time.Minute // how soon one is tried again that could not be looked after
)

// SettleSecrets looks after secrets whose time has come: it ends graces, tells
// who reads a version that expired, and rotates by schedule, each missed time
// once. It says whether there may be more to do at once. It is for the one
// instance that runs jobs; two at a time do no harm, for the store's compare
// lets one of them through.
func (s *Service) SettleSecrets(ctx context.Context) (more bool, err error) {
	now := s.clock()
	due, err := s.store.DueSecrets(ctx, now, min(settleBatch+s.unsettled.count(now), settleMost))
	if err != nil {
		return false, err
	}
	due = slices.DeleteFunc(due, func(d store.DueSecret) bool { return s.unsettled.waits(d, now) })
	due = due[:min(len(due), settleBatch)]
	var errs []error
	rotate := make([]*dueRotation, 0, len(due))
	for _, d := range due {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		r, err := s.settle(ctx, d)
		if err != nil {
			s.unsettled.add(d, now.Add(settleAgain))
			errs = append(errs, err)
		}
		if r != nil {
			rotate = append(rotate, r)
		}
	}
	// A receiver may take its time, which nobody else's secret is to wait for.
	errs = append(errs, s.rotateDue(ctx, rotate, now)...)
	return len(due) == settleBatch && len(errs) == 0, errors.Join(errs...)
}

// unsettled are due secrets that could not be looked after. Others do not wait
// behind them until they are tried again.
type unsettled struct {
	mu    sync.Mutex
	again map[dueKey]time.Time
}

type dueKey struct {
	tenant      config.TenantID
	environment config.EnvironmentID
	path        config.Path
}

// count is how many wait; those whose time has come are forgotten.
func (u *unsettled) count(now time.Time) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.again, func(_ dueKey, again time.Time) bool { return !now.Before(again) })
	return len(u.again)
}

func (u *unsettled) waits(d store.DueSecret, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return now.Before(u.again[dueKey{d.Tenant, d.Environment, d.Path}])
}

func (u *unsettled) add(d store.DueSecret, again time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.again == nil {
		u.again = map[dueKey]time.Time{}
	}
	if len(u.again) < settleMost-settleBatch {
		u.again[dueKey{d.Tenant, d.Environment, d.Path}] = again
	}
}

// dueRotation is a rotation that the schedule asks for.
type dueRotation struct {
	store.DueSecret
	state       *tenantState
	environment string
	record      config.Version // that it is for
}

// rotateDue makes some rotations at a time. One that failed and says so on its
// secret's record is no failure of this work.
func (s *Service) rotateDue(ctx context.Context, due []*dueRotation, now time.Time) []error {
	var mu sync.Mutex
	var errs []error
	var work sync.WaitGroup
	places := make(chan struct{}, settleRotates)
	for _, d := range due {
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if err := s.rotateBySchedule(ctx, d); err != nil {
				s.unsettled.add(d.DueSecret, now.Add(settleAgain))
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	work.Wait()
	return errs
}

func (s *Service) rotateBySchedule(ctx context.Context, d *dueRotation) (err error) {
	defer func() { // a panic here would end the server, not this job
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a rotation panicked: %v", cause)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = s.rotate(ctx, system(), d.state, d.environment, d.Path, SecretStep{Message: "by schedule", IfRecord: &d.record}, true)
	if errors.As(err, new(recordedFailure)) {
		return nil
	}
	switch config.KindOf(err) {
	case config.KindPreconditionFailed, config.KindConflict, config.KindNotFound:
		return nil // another instance, or a person, was faster
	}
	return err
}

// settle does for a secret what is due, but for its rotation, which it answers
// when that is due, too.
func (s *Service) settle(ctx context.Context, due store.DueSecret) (*dueRotation, error) {
	tenant, err := s.store.Tenant(ctx, due.Tenant)
	if err != nil {
		return nil, absentIsFine(err) // deleted meanwhile
	}
	state, err := s.tenants.named(ctx, tenant.Name)
	if err != nil {
		return nil, absentIsFine(err)
	}
	environment, ok := state.tree.Load().Get(due.Environment)
	if !ok {
		return nil, nil
	}
	waiting, err := s.awaitsAdoption(ctx, state, environment.ID, due.Path)
	if err != nil {
		return nil, absentIsFine(err)
	}
	rotates, overdue := false, false
	outcome, err := s.mutateSecret(ctx, s.stepWork(system(), access.SecretActivate, state, environment.Name, due.Path, SecretStep{},
		func(now time.Time, before *secretHead) (secretPlan, error) {
			plan := planSettle(before, waiting, now)
			rotates = isDue(before.record.NextRotation, now) && before.record.Deleted.IsZero()
			// What expired changes nothing in the record; its readers are told, once.
			plan.force = plan.record.Equal(before.record) && !rotates && isDue(before.record.Due(time.Time{}), now)
			overdue = plan.failed != ""
			return plan, nil
		}))
	if err != nil {
		return nil, absentIsFine(err)
	}
	if overdue && outcome.Status == Committed {
		s.metrics.SecretOverdue()
		s.logger.Warn("a grace ended before every client had the new version of a secret",
			"tenant", tenant.Name, "environment", environment.Name, "secret", due.Path.String())
	}
	if !rotates {
		return nil, nil
	}
	return &dueRotation{due, state, environment.Name, outcome.Record}, nil
}

// awaitsAdoption says whether a live client has not said yet that it runs the
// version in use, where the overlap waits for that.
func (s *Service) awaitsAdoption(ctx context.Context, state *tenantState, environment config.EnvironmentID, path config.Path) (bool, error) {
	heads, err := s.heads(ctx, state.tenant.ID, path)
	if err != nil || heads[environment] == nil || !overlapsByAdoption(heads[environment].record) {
		return false, err
	}
	adoption, err := s.adoption(ctx, state, environment, path)
	return adoption.Waiting > 0, err
}

func absentIsFine(err error) error {
	if config.KindOf(err) == config.KindNotFound {
		return nil
	}
	return err
}

func isDue(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// planSettle is what the passing of time makes of a secret.
func planSettle(before *secretHead, waiting bool, now time.Time) secretPlan {
	record, ended := before.record.Settle(now)
	plan := secretPlan{record: record, event: "secret.expire", summary: "what expired is refused"}
	if !ended {
		return plan
	}
	plan.about = lastEnded(before.record, record)
	plan.event, plan.summary = "secret.retire", "the grace of version "+versionText(plan.about)+" ended"
	if waiting && overlapsByAdoption(record) {
		plan.record.Overdue = plan.about
		plan.event, plan.failed = "secret.overdue", "the deadline passed before every client had the new version"
		plan.summary += " before every client had the new one"
	}
	return plan
}

func overlapsByAdoption(r secret.Record) bool {
	return r.Rotation != nil && r.Rotation.Overlap == secret.OverlapAdoption
}

// lastEnded is the version that was in grace before and is not any more.
func lastEnded(before, after secret.Record) config.Version {
	for _, v := range before.Versions {
		if v.State != secret.Grace {
			continue
		}
		if now, ok := after.Find(v.Number); ok && now.State != secret.Grace {
			return v.Number
		}
	}
	return 0
}
