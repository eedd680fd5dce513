package service

import (
	"context"
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// settleBatch is how many secrets one round looks after.
const settleBatch = 100

// SettleSecrets looks after secrets whose time has come: it ends graces, tells
// who reads a version that expired, and rotates by schedule, each missed time
// once. It says whether there may be more to do at once. It is for the one
// instance that runs jobs; two at a time do no harm, for the store's compare
// lets one of them through.
func (s *Service) SettleSecrets(ctx context.Context) (more bool, err error) {
	due, err := s.store.DueSecrets(ctx, s.clock(), settleBatch)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, d := range due {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if err := s.settle(ctx, d); err != nil {
			errs = append(errs, err)
		}
	}
	return len(due) == settleBatch && len(errs) == 0, errors.Join(errs...)
}

func (s *Service) settle(ctx context.Context, due store.DueSecret) error {
	tenant, err := s.store.Tenant(ctx, due.Tenant)
	if err != nil {
		return absentIsFine(err) // deleted meanwhile
	}
	state, err := s.tenants.named(ctx, tenant.Name)
	if err != nil {
		return absentIsFine(err)
	}
	environment, ok := state.tree.Load().Get(due.Environment)
	if !ok {
		return nil
	}
	adoption, err := s.adoption(ctx, state, environment.ID, due.Path)
	if err != nil {
		return absentIsFine(err)
	}
	rotates, overdue := false, false
	outcome, err := s.mutateSecret(ctx, s.stepWork(system(), access.SecretActivate, state, environment.Name, due.Path, SecretStep{},
		func(now time.Time, before *secretHead) (secretPlan, error) {
			plan := planSettle(before, adoption.Waiting > 0, now)
			rotates = isDue(before.record.NextRotation, now) && before.record.Deleted.IsZero()
			plan.force = plan.record.Equal(before.record) && !rotates // what expired; its readers are told, once
			overdue = plan.failed != ""
			return plan, nil
		}))
	if err != nil {
		return absentIsFine(err)
	}
	if overdue && outcome.Status == Committed {
		s.metrics.SecretOverdue()
	}
	if !rotates {
		return nil
	}
	_, err = s.rotate(ctx, system(), state, environment.Name, due.Path, SecretStep{Message: "by schedule", IfRecord: &outcome.Record})
	if config.KindOf(err) == config.KindPreconditionFailed {
		return nil // another instance, or a person, was faster
	}
	return absentIsFine(err)
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
	plan.about, _ = lastEnded(before.record, record)
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
func lastEnded(before, after secret.Record) (config.Version, bool) {
	for _, v := range before.Versions {
		if v.State != secret.Grace {
			continue
		}
		if now, ok := after.Find(v.Number); ok && now.State != secret.Grace {
			return v.Number, true
		}
	}
	return 0, false
}
