package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// retryRotation is how soon a schedule tries again after a failure, unless it
// would rotate sooner anyway.
const retryRotation = time.Hour

// failureTime is how long it may take to put on record that a rotation failed.
const failureTime = 10 * time.Second

// The calls that a rotation webhook gets.
const (
	callRotate = "secret.rotate"
	callProbe  = "secret.probe"
)

// RotateSecret makes the next version of a secret as its rotation says, or by
// the generator given, and puts it to use. A failure leaves the version in use
// where it is, and says why.
func (s *Service) RotateSecret(ctx context.Context, who Caller, tenant, environment string, path config.Path, r SecretStep) (SecretResult, error) {
	resource := secretResource(environment, path)
	state, err := s.guard(ctx, who, access.SecretActivate, tenant, resource)
	if err != nil {
		return SecretResult{}, err
	}
	if _, err := s.guard(ctx, who, access.SecretWrite, tenant, resource); err != nil {
		return SecretResult{}, err
	}
	if err := r.check(); err != nil {
		return SecretResult{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (SecretResult, error) {
		return s.rotate(ctx, who, state, environment, path, r, false)
	})
}

// rotation is one rotation on its way.
type rotation struct {
	s           *Service
	who         Caller
	state       *tenantState
	environment string
	path        config.Path
	step        SecretStep
	head        *secretHead
	generator   *secret.Generator
	webhook     *secret.Webhook
	id          string // the same in all calls of one rotation
}

func (s *Service) rotate(ctx context.Context, who Caller, state *tenantState, environment string, path config.Path, step SecretStep, scheduled bool) (SecretResult, error) {
	env, err := state.tree.Load().Named(environment)
	if err != nil {
		return SecretResult{}, err
	}
	// One at a time: a receiver that is asked for two values at once may end the
	// one that is put to use last.
	key := dueKey{state.tenant.ID, env.ID, path}
	if _, there := s.rotating.LoadOrStore(key, struct{}{}); there {
		return SecretResult{}, config.Errorf(config.KindConflict, "the secret is being rotated").Hint("wait until that is done")
	}
	defer s.rotating.Delete(key)
	heads, err := s.readHeads(ctx, state.tenant.ID, path)
	if err != nil {
		return SecretResult{}, err
	}
	head := heads[env.ID]
	if head == nil || !head.record.Deleted.IsZero() {
		return SecretResult{}, noOwnSecret(environment, path)
	}
	if err := checkRecord(step.IfRecord, head); err != nil {
		return SecretResult{}, err
	}
	r := &rotation{s: s, who: who, state: state, environment: environment, path: path, step: step, head: head, generator: step.Generate}
	if step.Generate == nil && head.record.Rotation != nil {
		r.generator, r.webhook = head.record.Rotation.Generator, head.record.Rotation.Webhook
	}
	if r.generator == nil && r.webhook == nil {
		return SecretResult{}, config.Errorf(config.KindBadRequest, "nothing says how to make the next value of %s", path).At("/generate").
			Hint("name a generator, set one for the secret's rotation, or set the value by hand")
	}
	if r.webhook == nil {
		result, err := r.byGenerator(ctx)
		if scheduled && config.KindOf(err) == config.KindBadRequest {
			err = r.failed(ctx, 0, err) // nobody else would say so to whoever set the schedule
		}
		s.countRotation(err)
		return result, err
	}
	id, err := s.randomID()
	if err != nil {
		return SecretResult{}, err
	}
	r.id = fmt.Sprintf("rotation-%016x", id)
	result, err := r.byWebhook(ctx)
	s.countRotation(err)
	return result, err
}

func (s *Service) countRotation(err error) {
	if err != nil {
		s.metrics.SecretRotation("failure")
		return
	}
	s.metrics.SecretRotation("success")
}

// errOvertaken is that another version came into use since the rotation began:
// what it would keep of the former is old.
var errOvertaken error = config.Errorf(config.KindPreconditionFailed, "another version came into use while the secret was rotated").Hint("rotate again")

// byGenerator draws the next value and puts it to use in one mutation.
func (r *rotation) byGenerator(ctx context.Context) (SecretResult, error) {
	for attempt := 1; ; attempt++ {
		result, err := r.drawAndAdd(ctx)
		if !errors.Is(err, errOvertaken) || attempt == maxAttempts || r.step.IfRecord != nil {
			return result, err
		}
		heads, err := r.s.readHeads(ctx, r.state.tenant.ID, r.path)
		if err != nil {
			return SecretResult{}, err
		}
		if r.head = heads[r.head.Environment]; r.head == nil {
			return SecretResult{}, noOwnSecret(r.environment, r.path)
		}
	}
}

func (r *rotation) drawAndAdd(ctx context.Context) (SecretResult, error) {
	fields, err := r.draw(ctx)
	if err != nil {
		return SecretResult{}, err
	}
	defer fields.Wipe()
	grace, immediately := r.step.grace()
	addition := secret.Addition{Source: secret.FromGenerator, Stage: r.step.Stage, Grace: grace, Now: immediately}
	return r.add(ctx, addition, fields)
}

// draw draws the next value. It takes the place of the field that it is for, and
// the other fields of the version in use stay what they are: a login keeps its user.
func (r *rotation) draw(ctx context.Context) (secret.Fields, error) {
	current, err := r.head.record.Current(r.s.clock())
	if err != nil { // nothing is in use that could be kept
		current = secret.Version{}
	}
	generator := *r.generator
	if generator.Field == "" && len(current.Fields) == 1 {
		generator.Field = current.Fields[0]
	}
	drawn, err := generator.Generate(r.s.random)
	if config.KindOf(err) == config.KindBadRequest {
		return drawn, err
	}
	if err != nil {
		return drawn, unavailable(err, "no random numbers can be had")
	}
	if len(current.Fields) == 0 {
		return drawn, nil
	}
	if !slices.ContainsFunc(drawn.Names(), func(name string) bool { return slices.Contains(current.Fields, name) }) {
		drawn.Wipe()
		return secret.Fields{}, config.Errorf(config.KindBadRequest, "the secret %s has none of the fields that would be drawn", r.path).At("/generate/field").
			Hint("name one of its fields: %s", strings.Join(current.Fields, ", "))
	}
	kept, err := r.s.openValue(ctx, r.state.tenant.ID, r.head, current.Number)
	if err != nil {
		drawn.Wipe()
		return secret.Fields{}, err
	}
	return drawn.Over(kept), nil
}

// add commits a new version.
func (r *rotation) add(ctx context.Context, addition secret.Addition, fields secret.Fields) (SecretResult, error) {
	addition.Fields, addition.Author, addition.Message = fields.Names(), r.who.Principal.Author(), r.step.Message
	hashes, err := r.s.hashFields(ctx, r.state.tenant.ID, fields)
	if err != nil {
		return SecretResult{}, err
	}
	addition.Hashes = hashes
	work := r.work(r.webhook == nil || r.step.Stage, func(now time.Time, before *secretHead) (secretPlan, error) {
		if !before.record.Deleted.IsZero() {
			return secretPlan{}, noOwnSecret(r.environment, r.path)
		}
		if before.record.Serves != r.head.record.Serves {
			return secretPlan{}, errOvertaken
		}
		plan, err := planAddition(before.record, addition, fields, now)
		if !addition.Stage {
			plan.event, plan.summary = "secret.rotate", "it was rotated to version "+versionText(plan.about)
		}
		return plan, err
	})
	return r.s.mutateSecret(ctx, work)
}

// work is one mutation of several: only the last one is the answer that is kept
// for an idempotency key.
func (r *rotation) work(last bool, plan stepFunc) secretWork {
	who := r.who
	if !last {
		who.Idempotency = nil
	}
	return r.s.stepWork(who, access.SecretActivate, r.state, r.environment, r.path, SecretStep{Message: r.step.Message, IfRecord: r.step.IfRecord}, plan)
}

// byWebhook has the receiver make or take over the next value, has it tried,
// and only then puts it to use.
func (r *rotation) byWebhook(ctx context.Context) (SecretResult, error) {
	staged, err := r.stage(ctx)
	if err != nil {
		return SecretResult{}, r.failed(ctx, 0, err)
	}
	if r.step.Stage {
		return staged, nil
	}
	r.step.IfRecord = nil // the record moved on by our own hand
	answer, err := r.call(ctx, callProbe, staged.Version)
	if err != nil {
		return SecretResult{}, r.failed(ctx, staged.Version, err)
	}
	clear(answer)
	grace, immediately := r.step.grace()
	result, err := r.s.mutateSecret(ctx, r.work(true, func(now time.Time, before *secretHead) (secretPlan, error) {
		if v, _ := before.record.Find(staged.Version); v.State != secret.Staged {
			return secretPlan{}, config.Errorf(config.KindGone, "version %d, which was tried, is %s now", staged.Version, v.State)
		}
		record, err := before.record.Activate(staged.Version, grace, immediately, r.who.Principal.Author(), now)
		if err != nil {
			return secretPlan{}, err
		}
		record = record.Reschedule(now)
		record.Failure = nil
		return secretPlan{
			record: record, about: staged.Version, event: "secret.rotate",
			summary: "it was rotated to version " + versionText(staged.Version),
		}, nil
	}))
	if err != nil {
		return SecretResult{}, r.failed(ctx, staged.Version, err)
	}
	return result, nil
}

// stage asks the receiver for a value, draws one if it makes none, and stages it.
func (r *rotation) stage(ctx context.Context) (SecretResult, error) {
	body, err := r.call(ctx, callRotate, r.head.record.Newest+1)
	if err != nil {
		return SecretResult{}, err
	}
	defer clear(body)
	addition := secret.Addition{Source: secret.FromWebhook, Stage: true}
	fields, err := answeredFields(body)
	if err != nil {
		return SecretResult{}, err
	}
	defer func() { fields.Wipe() }()
	if fields.Len() == 0 {
		if r.generator == nil {
			return SecretResult{}, fault("the receiver answered no fields, and the rotation has no generator")
		}
		addition.Source = secret.FromGenerator
		if fields, err = r.draw(ctx); err != nil {
			return SecretResult{}, err
		}
	} else if w := secret.Check(fields, personal(r.who, r.state.tenant.Name, r.environment, r.path)); w != nil {
		return SecretResult{}, fault("the receiver answered a value that could be guessed in the field %s", w.Field)
	}
	return r.add(ctx, addition, fields)
}

// answeredFields reads the value that a receiver made, if it made one.
func answeredFields(body []byte) (secret.Fields, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return secret.Fields{}, nil
	}
	var answer struct {
		Fields map[string]json.RawMessage `json:"fields"`
		Base64 []string                   `json:"base64"`
	}
	err := json.Unmarshal(body, &answer)
	defer func() {
		for _, text := range answer.Fields { // a copy of what is in body
			clear(text)
		}
	}()
	if err != nil {
		return secret.Fields{}, fault("the receiver's answer is no JSON object with fields")
	}
	if len(answer.Fields) == 0 {
		return secret.Fields{}, nil
	}
	fields, err := secret.ParseFields(answer.Fields, answer.Base64)
	if err != nil {
		return fields, fault("the receiver's answer: %s", reasonOf(err))
	}
	return fields, nil
}

// rotationCall is the data of a call. It never holds a value.
type rotationCall struct {
	Rotation    string `json:"rotation_id"`
	Tenant      string `json:"tenant"`
	Environment string `json:"environment"`
	Path        string `json:"path"`
	Version     int64  `json:"version"` // that is to be made, or tried
	Current     int64  `json:"current,omitempty"`
}

func (r *rotation) call(ctx context.Context, kind string, version config.Version) ([]byte, error) {
	if r.s.webhooks == nil {
		return nil, fault("this server calls no webhooks")
	}
	key, err := r.signingKey(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	data := rotationCall{
		Rotation: r.id, Tenant: r.state.tenant.Name, Environment: r.environment, Path: r.path.String(),
		Version: int64(version), Current: int64(r.head.record.Serves),
	}
	answer, err := r.s.webhooks.Call(ctx, webhook.Request{URL: r.webhook.URL, Key: key, ID: r.id + "-" + kind[len("secret."):], Type: kind, Body: data})
	if err != nil {
		return nil, err
	}
	if answer.Status/100 != 2 {
		return nil, fault("the receiver answered %d %s to %s", answer.Status, http.StatusText(answer.Status), kind)
	}
	return answer.Body, nil
}

// signingKey is the value of the secret that calls are signed with; reading it
// is on record like any other read.
func (r *rotation) signingKey(ctx context.Context) ([]byte, error) {
	tree := r.state.tree.Load()
	env, err := tree.Named(r.environment)
	if err != nil {
		return nil, err
	}
	heads, err := r.s.heads(ctx, r.state.tenant.ID, r.webhook.Signing)
	if err != nil {
		return nil, err
	}
	head := heads.supplied(tree.Tree, env.ID)
	if head == nil {
		return nil, fault("the signing secret %s is not there", r.webhook.Signing)
	}
	current, err := head.record.Current(r.s.clock())
	if err != nil {
		return nil, fault("the signing secret %s: %s", r.webhook.Signing, reasonOf(err))
	}
	fields, err := r.s.openValue(ctx, r.state.tenant.ID, head, current.Number)
	if err != nil {
		return nil, err
	}
	defer fields.Wipe()
	field, ok := fields.Get(config.SecretField)
	if !ok {
		return nil, fault("the signing secret %s has no field %s", r.webhook.Signing, config.SecretField)
	}
	used := []UsedSecret{{tree.Name(head.Environment), r.webhook.Signing, current.Number}}
	if err := r.s.recordAccess(ctx, system(), r.state, r.environment, used); err != nil {
		return nil, err
	}
	return bytes.Clone(field.Value().Reveal()), nil
}

// failed keeps on record why a rotation came to nothing, and takes back the
// version that it staged. The version in use stays.
func (r *rotation) failed(ctx context.Context, staged config.Version, cause error) error {
	reason := reasonOf(cause)
	r.step.IfRecord = nil
	// Also when whoever asked has gone: the version in use stays, and why is on record.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failureTime)
	defer cancel()
	_, err := r.s.mutateSecret(ctx, r.work(false, func(now time.Time, before *secretHead) (secretPlan, error) {
		record := before.record
		if v, ok := record.Find(staged); ok && v.State == secret.Staged {
			var err error
			if record, err = record.Revoke(staged, now); err != nil {
				return secretPlan{}, err
			}
		}
		record.Failure = &secret.Failure{Time: now, Reason: reason}
		record = record.Reschedule(now)
		if again := now.Add(retryRotation); record.NextRotation.After(again) {
			record.NextRotation = again
		}
		return secretPlan{record: record, about: staged, event: "secret.rotate", summary: "its rotation failed: " + reason, failed: reason}, nil
	}))
	if err != nil {
		return err
	}
	r.s.logger.Warn("a secret was not rotated", "tenant", r.state.tenant.Name, "environment", r.environment, "secret", r.path.String(), "reason", reason)
	e := config.Errorf(config.KindRotationFailed, "the secret was not rotated: %s", reason).
		Hint("the version in use is what it was; see to the receiver, and rotate again")
	e.Cause = recordedFailure{cause}
	return e
}

// recordedFailure is a failure that is on its secret's record.
type recordedFailure struct{ cause error }

func (f recordedFailure) Error() string { return f.cause.Error() }
func (f recordedFailure) Unwrap() error { return f.cause }

// fault is a failure in words of ours, which hold no value.
func fault(format string, args ...any) error {
	return config.Errorf(config.KindUnavailable, format, args...)
}

// reasonOf is what a person is told of a failure. Texts of ours hold no value;
// others may tell of the machine, and go to the log only.
func reasonOf(err error) string {
	var e *config.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "something went wrong within the server, and its log says what"
}
