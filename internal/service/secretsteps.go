package service

import (
	"context"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
)

// stepFunc plans one step of a secret that is there.
type stepFunc func(now time.Time, before *secretHead) (secretPlan, error)

// step is the way of every verb that moves versions on without a new value.
// invalid is what is wrong with its arguments; who may not is not told.
func (s *Service) step(ctx context.Context, who Caller, action access.Action, tenant, environment string, path config.Path, r SecretStep, invalid error, plan stepFunc) (SecretResult, error) {
	state, err := s.guard(ctx, who, action, tenant, secretResource(environment, path))
	if err == nil {
		err = invalid
	}
	if err != nil {
		return SecretResult{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (SecretResult, error) {
		return s.mutateSecret(ctx, s.stepWork(who, action, state, environment, path, r, plan))
	})
}

func (s *Service) stepWork(who Caller, action access.Action, state *tenantState, environment string, path config.Path, r SecretStep, plan stepFunc) secretWork {
	return secretWork{
		state: state, who: who, action: action, environment: environment, path: path, message: r.Message, ifRecord: r.IfRecord,
		plan: func(_ context.Context, now time.Time, before *secretHead) (secretPlan, error) {
			if before == nil {
				return secretPlan{}, noOwnSecret(environment, path)
			}
			return plan(now, before)
		},
	}
}

func noOwnSecret(environment string, path config.Path) error {
	return config.Errorf(config.KindNotFound, "%s itself has no secret %s", environment, path).
		Hint("if it is inherited, name the environment that supplies it")
}

// ActivateSecret makes a version count: the staged one, or an older one that was
// not revoked.
func (s *Service) ActivateSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r SecretStep) (SecretResult, error) {
	author := who.Principal.Author()
	return s.step(ctx, who, access.SecretActivate, tenant, environment, path, r, r.check(), func(now time.Time, before *secretHead) (secretPlan, error) {
		return planActivate(before, r, author, now)
	})
}

func planActivate(before *secretHead, r SecretStep, author string, now time.Time) (secretPlan, error) {
	number := r.Version
	if number == 0 {
		staged, ok := before.record.Staged()
		if !ok {
			return secretPlan{}, config.Errorf(config.KindNotFound, "no version is staged").At("/version").Hint("name the version to activate")
		}
		number = staged.Number
	}
	grace, immediately := r.grace()
	record, err := before.record.Activate(number, grace, immediately, author, now)
	if err != nil {
		return secretPlan{}, err
	}
	if !record.Equal(before.record) {
		record = record.Reschedule(now)
		record.Failure = nil
	}
	return secretPlan{record: record, about: number, event: "secret.activate", summary: "version " + versionText(number) + " was activated"}, nil
}

// check refuses what cannot be meant together.
func (r SecretStep) check() error {
	switch {
	case r.Now && r.Grace != nil:
		return config.Errorf(config.KindBadRequest, "there is no grace when the version before is revoked now").At("/grace_seconds").Hint("leave out one of them")
	case r.Grace != nil && *r.Grace < 0:
		return negativeGrace()
	case r.Stage && (r.Now || r.Grace != nil):
		return config.Errorf(config.KindBadRequest, "a staged version leaves the one in use alone").At("/stage").Hint("give now and grace_seconds when it is activated")
	case r.Generate != nil:
		return checkGenerator(r.Generate)
	}
	return nil
}

func negativeGrace() error {
	return config.Errorf(config.KindBadRequest, "a grace is 0 seconds or more").At("/grace_seconds").Hint("say now to revoke the version before at once")
}

// grace is the grace of the version before; 0 for what the secret says.
func (r SecretStep) grace() (grace time.Duration, immediately bool) {
	if r.Grace != nil {
		return *r.Grace, r.Now || *r.Grace == 0
	}
	return 0, r.Now
}

// RevokeSecret makes a version refused for ever: the one named, else the one in grace.
func (s *Service) RevokeSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r SecretStep) (SecretResult, error) {
	return s.step(ctx, who, access.SecretActivate, tenant, environment, path, r, nil, func(now time.Time, before *secretHead) (secretPlan, error) {
		number := r.Version
		if number == 0 {
			previous, ok := before.record.Previous(now)
			if !ok {
				return secretPlan{}, config.Errorf(config.KindNotFound, "no version is in grace").At("/version").Hint("name the version to revoke")
			}
			number = previous.Number
		}
		record, err := before.record.Revoke(number, now)
		plan := secretPlan{record: record, about: number, event: "secret.revoke", summary: "version " + versionText(number) + " was revoked"}
		if current, err := before.record.Current(now); err == nil && current.Number == number {
			plan.notes = append(plan.notes, "it was the version in use: readers are refused until another one is set or activated")
		}
		return plan, err
	})
}

// DeleteSecret hides a secret; its versions stay until they are destroyed. One
// that documents refer to stays, unless force.
func (s *Service) DeleteSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, force bool, r SecretStep) (SecretResult, error) {
	return s.step(ctx, who, access.SecretWrite, tenant, environment, path, r, nil, func(now time.Time, before *secretHead) (secretPlan, error) {
		if !before.record.Deleted.IsZero() {
			return secretPlan{}, noOwnSecret(environment, path)
		}
		record, err := before.record.Delete(now)
		plan := secretPlan{record: record, event: "secret.delete", summary: "it was deleted"}
		if !force {
			plan.refuse = func(dangling []config.Problem) error { return stillReferred(path, dangling) }
		}
		return plan, err
	})
}

func stillReferred(path config.Path, dangling []config.Problem) error {
	e := config.Errorf(config.KindReferenced, "documents refer to the secret %s", path).
		Hint("change them first, or delete it all the same with force")
	e.Details = dangling[:min(len(dangling), 100)]
	return e
}

// UndeleteSecret brings a deleted secret back as it was, but for what ended meanwhile.
func (s *Service) UndeleteSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r SecretStep) (SecretResult, error) {
	return s.step(ctx, who, access.SecretWrite, tenant, environment, path, r, nil, func(now time.Time, before *secretHead) (secretPlan, error) {
		record, err := before.record.Undelete(now)
		return secretPlan{record: record, event: "secret.undelete", summary: "it was undeleted"}, err
	})
}

// DestroySecret makes versions unreadable for ever: those named, or all of a
// secret that is deleted.
func (s *Service) DestroySecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, versions []config.Version, all bool, r SecretStep) (SecretResult, error) {
	var invalid error
	if all == (len(versions) > 0) || len(versions) > secret.MaxVersions {
		invalid = config.Errorf(config.KindBadRequest, "name 1 to %d versions, or all", secret.MaxVersions).At("/versions")
	}
	return s.step(ctx, who, access.SecretDestroy, tenant, environment, path, r, invalid, func(now time.Time, before *secretHead) (secretPlan, error) {
		numbers := versions
		if all {
			if before.record.Deleted.IsZero() {
				return secretPlan{}, config.Errorf(config.KindInUse, "the secret is in use").At("/all").Hint("delete it first, or name the versions to destroy")
			}
			numbers = undestroyed(before.record)
		}
		record, err := before.record.Destroy(numbers, now)
		if err != nil {
			return secretPlan{}, err
		}
		plan := secretPlan{record: record, event: "secret.destroy", summary: destroyedText(numbers)}
		if len(numbers) == 1 {
			plan.about = numbers[0]
		}
		if !record.Equal(before.record) {
			plan.drop = numbers
		}
		return plan, nil
	})
}

func undestroyed(record secret.Record) []config.Version {
	var numbers []config.Version
	for _, v := range record.Versions {
		if v.State != secret.Destroyed {
			numbers = append(numbers, v.Number)
		}
	}
	return numbers
}

func destroyedText(numbers []config.Version) string {
	if len(numbers) == 1 {
		return "version " + versionText(numbers[0]) + " was destroyed"
	}
	return "versions " + versionTexts(numbers) + " were destroyed"
}

func versionTexts(numbers []config.Version) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = versionText(n)
	}
	return strings.Join(texts, ", ")
}
