package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
)

// PutSecret writes the next version of a secret, given or drawn, and changes
// what is said about it. Without a value it changes only that. A version that is
// not staged counts at once, which takes the right to activate, too.
func (s *Service) PutSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r SecretRequest) (SecretResult, error) {
	resource := secretResource(environment, path)
	state, err := s.guard(ctx, who, access.SecretWrite, tenant, resource)
	if err != nil {
		return SecretResult{}, err
	}
	writes := r.Fields.Len() > 0 || r.Generate != nil
	if writes && !r.Stage {
		if _, err := s.guard(ctx, who, access.SecretActivate, tenant, resource); err != nil {
			return SecretResult{}, err
		}
	}
	// Whoever sets a schedule has versions activated.
	if r.Metadata.Rotation != nil {
		if _, err := s.guard(ctx, who, access.SecretActivate, tenant, resource); err != nil {
			return SecretResult{}, err
		}
	}
	if err := s.checkSecretRequest(ctx, who, state, environment, r); err != nil {
		return SecretResult{}, err
	}
	work := secretWork{
		state: state, who: who, action: access.SecretWrite, environment: environment, path: path,
		message: r.Message, ifRecord: r.IfRecord,
	}
	if !writes {
		work.plan = func(_ context.Context, now time.Time, before *secretHead) (secretPlan, error) {
			return planMetadata(r, environment, path, before, now)
		}
		return once(ctx, s, who, state.tenant.ID, func() (SecretResult, error) { return s.mutateSecret(ctx, work) })
	}
	return once(ctx, s, who, state.tenant.ID, func() (SecretResult, error) {
		fields, addition, err := s.newVersion(who, tenant, environment, path, r)
		if err != nil {
			return SecretResult{}, err
		}
		defer fields.Wipe()
		work.plan = func(ctx context.Context, now time.Time, before *secretHead) (secretPlan, error) {
			return s.planVersion(ctx, state.tenant.ID, r, addition, fields, before, now)
		}
		return s.mutateSecret(ctx, work)
	})
}

func (s *Service) checkSecretRequest(ctx context.Context, who Caller, state *tenantState, environment string, r SecretRequest) error {
	switch {
	case r.Fields.Len() > 0 && r.Generate != nil:
		return config.Errorf(config.KindBadRequest, "the value is both given and to be drawn").At("/generate").Hint("leave out fields, or generate")
	case r.Generate != nil && r.AllowWeak != "":
		return config.Errorf(config.KindBadRequest, "what is drawn is never weak").At("/allow_weak").Hint("leave it out")
	case !r.Expires.IsZero() && !r.Expires.After(s.clock()):
		return config.Errorf(config.KindBadRequest, "the version would have ended before it began").At("/expires_at").Hint("give a time to come")
	case r.Grace != nil && *r.Grace < 0:
		return negativeGrace()
	case r.Stage && (r.Now || r.Grace != nil):
		return config.Errorf(config.KindBadRequest, "a staged version leaves the one in use alone").At("/stage").Hint("give now and grace_seconds when it is activated")
	case r.Now && r.Grace != nil:
		return config.Errorf(config.KindBadRequest, "there is no grace when the version before is revoked now").At("/grace_seconds").Hint("leave out one of them")
	}
	if r.Generate != nil {
		if err := checkGenerator(r.Generate); err != nil {
			return err
		}
	}
	rotation := r.Metadata.Rotation
	if rotation == nil || rotation.Webhook == nil {
		return nil
	}
	if s.webhooks == nil {
		return config.Errorf(config.KindBadRequest, "this server calls no webhooks").At("/rotation/webhook")
	}
	if err := s.webhooks.Check(rotation.Webhook.URL); err != nil {
		return err
	}
	// Who has a receiver signed for uses the value of the signing secret.
	_, err := s.guard(ctx, who, access.SecretRefer, state.tenant.Name, secretResource(environment, rotation.Webhook.Signing))
	return err
}

// checkGenerator checks a generator that a request names itself, and not for
// the rotation of a secret.
func checkGenerator(g *secret.Generator) error {
	err := g.Check()
	var e *config.Error
	if errors.As(err, &e) {
		if rest, found := strings.CutPrefix(e.Pointer, "/rotation/generator"); found {
			e.Pointer = "/generate" + rest
		}
	}
	return err
}

// newVersion draws or checks a value.
func (s *Service) newVersion(who Caller, tenant, environment string, path config.Path, r SecretRequest) (secret.Fields, secret.Addition, error) {
	addition := secret.Addition{Source: secret.FromSet, Author: who.Principal.Author(), Message: r.Message, Expires: r.Expires, Stage: r.Stage, Now: r.Now}
	if r.Grace != nil {
		addition.Grace = *r.Grace
		addition.Now = addition.Now || *r.Grace == 0
	}
	if r.Generate != nil {
		fields, err := r.Generate.Generate(s.random)
		if err != nil {
			return fields, addition, unavailable(err, "no random numbers can be had")
		}
		addition.Source, addition.Fields = secret.FromGenerator, fields.Names()
		return fields, addition, nil
	}
	addition.Fields = r.Fields.Names()
	weakness := secret.Check(r.Fields, personal(who, tenant, environment, path))
	if weakness == nil {
		return r.Fields, addition, nil
	}
	if strings.TrimSpace(r.AllowWeak) == "" {
		return r.Fields, addition, weakSecret(weakness)
	}
	if len(r.AllowWeak) > 256 {
		return r.Fields, addition, config.Errorf(config.KindTooLarge, "the reason is too long").At("/allow_weak").Over(256, int64(len(r.AllowWeak)))
	}
	addition.Weak = r.AllowWeak
	return r.Fields, addition, nil
}

// personal are the words that make a value easy to guess for who knows where it belongs.
func personal(who Caller, tenant, environment string, path config.Path) secret.Personal {
	words := append(strings.Split(path.String(), "/"), tenant, environment, who.Principal.Name)
	return secret.Personal{Words: words}
}

func weakSecret(w *secret.Weakness) error {
	e := config.Errorf(config.KindWeakSecret, "the value of the field %s could be guessed", w.Field).At("/fields/" + w.Field).
		Hint("let the server draw one with generate, or say in allow_weak why this one must be taken")
	for _, reason := range w.Reasons {
		e.Details = append(e.Details, config.Problem{Pointer: "/fields/" + w.Field, Message: reason})
	}
	return e
}

func (s *Service) planVersion(ctx context.Context, tenant config.TenantID, r SecretRequest, addition secret.Addition, fields secret.Fields, before *secretHead, now time.Time) (secretPlan, error) {
	record := recordOf(before)
	if r.IfVersion != nil {
		newest := record.Newest
		if !record.Deleted.IsZero() {
			newest = 0
		}
		if newest != *r.IfVersion {
			return secretPlan{}, config.Errorf(config.KindPreconditionFailed, "the newest version is %d, not %d", newest, *r.IfVersion).At("/if_version").
				Hint("read the secret again, and send the version it has now")
		}
	}
	record, err := described(record, r.Metadata, now)
	if err != nil {
		return secretPlan{}, err
	}
	if addition.Hashes, err = s.hashFields(ctx, tenant, fields); err != nil {
		return secretPlan{}, err
	}
	plan, err := planAddition(record, addition, fields, now)
	if !addition.Stage {
		plan.event, plan.summary = "secret.set", "version "+versionText(plan.about)+" is in use"
	}
	return plan, err
}

// planAddition is what a new version makes of a secret. Where it is put to use,
// the caller says by which event.
func planAddition(record secret.Record, addition secret.Addition, fields secret.Fields, now time.Time) (secretPlan, error) {
	record, number, dropped, err := record.Add(addition, now)
	if err != nil {
		return secretPlan{}, err
	}
	plan := secretPlan{
		record: record, add: map[config.Version]secret.Fields{number: fields}, drop: dropped, about: number,
		event: "secret.stage", summary: "version " + versionText(number) + " is staged", weak: addition.Weak,
	}
	if !addition.Stage {
		plan.record = plan.record.Reschedule(now)
		plan.record.Failure = nil
	}
	return plan, nil
}

func planMetadata(r SecretRequest, environment string, path config.Path, before *secretHead, now time.Time) (secretPlan, error) {
	if before == nil || !before.record.Deleted.IsZero() {
		return secretPlan{}, noSecret(environment, path)
	}
	record, err := described(before.record, r.Metadata, now)
	return secretPlan{record: record, event: "secret.update", summary: "what is said about it changed"}, err
}

func recordOf(head *secretHead) secret.Record {
	if head == nil {
		return secret.Record{}
	}
	return head.record
}

// described is a record with other metadata.
func described(record secret.Record, m SecretMetadata, now time.Time) (secret.Record, error) {
	if m.Description != nil {
		record.Description = *m.Description
	}
	if m.Owner != nil {
		record.Owner = *m.Owner
	}
	if len(m.Labels) > 0 {
		labels := make(map[string]string, len(record.Labels)+len(m.Labels))
		for name, value := range record.Labels {
			labels[name] = value
		}
		for name, value := range m.Labels {
			if value == "" {
				delete(labels, name)
			} else {
				labels[name] = value
			}
		}
		record.Labels = labels
	}
	if m.Rotation != nil {
		before := record.Rotation
		record.Rotation = m.Rotation
		if *m.Rotation == (secret.Rotation{}) {
			record.Rotation = nil
		}
		if before == nil || before.Every != m.Rotation.Every {
			record = record.Reschedule(now)
		}
	}
	return record, record.CheckMetadata()
}
