package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// hooks is a receiver without the network: what it answers, by type of call.
type hooks func(ctx context.Context, r webhook.Request) (webhook.Answer, error)

func (hooks) Check(string) error { return nil }
func (h hooks) Call(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
	return h(ctx, r)
}

// makes answers a value to a rotation, and that every probe went well.
func makes(name string) hooks {
	return func(_ context.Context, r webhook.Request) (webhook.Answer, error) {
		if r.Type == "secret.probe" {
			return webhook.Answer{Status: 204}, nil
		}
		return webhook.Answer{Status: 200, Body: []byte(fmt.Sprintf(`{"fields":{"value":%q}}`, strong(name)))}, nil
	}
}

// hooked is a tenant whose secret db is rotated by what hook says.
func hooked(t *testing.T, rotation secret.Rotation, hook *hooks) *actor {
	t.Helper()
	a := newTenant(t)
	a.s = service.New(service.Options{Store: a.engine, Keyring: a.keyring, Clock: a.clock.read, Webhooks: hooks(
		func(ctx context.Context, r webhook.Request) (webhook.Answer, error) { return (*hook)(ctx, r) })})
	a.put1("production", "hooks/key", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"value": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD8vQ0ZMhTmqk="})})
	rotation.Webhook = &secret.Webhook{URL: "https://receiver.example.com/", Signing: path("hooks/key")}
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: &rotation}})
	return a
}

func TestARotationByWebhookThatComesAgainIsMadeOnce(t *testing.T) {
	hook, calls := makes("two"), 0
	counted := hooks(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) { calls++; return hook(ctx, r) })
	a := hooked(t, secret.Rotation{}, &counted)
	who := keyed(a.who, "k1", "rotate db")
	rotate := func() (service.SecretResult, error) {
		return a.s.RotateSecret(t.Context(), who, a.tenant, "production", path("db"), service.SecretStep{})
	}
	first, err := rotate()
	must(t, err)
	same(t, "state", secret.Active, first.State)
	again, err := rotate()
	must(t, err)
	same(t, "calls", 2, calls)
	again.Replayed = false
	same(t, "answer", first, again)
	a.gets("production", "db", "two", "one")
}

// A failure is no answer to keep: whoever asks again wants it done.
func TestAFailedRotationIsNotAnsweredAsASuccess(t *testing.T) {
	down := hooks(func(context.Context, webhook.Request) (webhook.Answer, error) {
		return webhook.Answer{Status: 500}, config.Errorf(config.KindUnavailable, "it is down")
	})
	hook := down
	a := hooked(t, secret.Rotation{}, &hook)
	who := keyed(a.who, "k1", "rotate db")
	rotate := func() error {
		_, err := a.s.RotateSecret(t.Context(), who, a.tenant, "production", path("db"), service.SecretStep{})
		return err
	}
	mustBe(t, config.KindRotationFailed, rotate())
	mustBe(t, config.KindRotationFailed, rotate())
	a.gets("production", "db", "one")
	hook = makes("two")
	must(t, rotate())
	a.gets("production", "db", "two", "one")
}

// Of two rotations at the same time the receiver would be asked for two values,
// and the one that ends last would put to use what may be over already.
func TestASecretIsRotatedOnceAtATime(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	hook := hooks(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
		if calls.Add(1) == 1 {
			close(begun)
			<-release
		}
		return makes("two")(ctx, r)
	})
	a := hooked(t, secret.Rotation{}, &hook)
	first := make(chan error, 1)
	go func() { first <- a.tryRotate(service.SecretStep{}) }()
	<-begun
	second := a.tryRotate(service.SecretStep{})
	close(release)
	mustBe(t, config.KindConflict, second)
	must(t, <-first)
	same(t, "versions", "1 grace, 2 active", a.versions("production", "db"))
}

// What was staged by somebody else in the middle ends what the rotation staged:
// that must not be put to use unseen.
func TestARotationGivesWayToAnotherStagedVersion(t *testing.T) {
	var a *actor
	hook := hooks(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
		if r.Type == "secret.probe" {
			a.stageSecret("production", "db", "mine")
		}
		return makes("two")(ctx, r)
	})
	a = hooked(t, secret.Rotation{}, &hook)
	if err := a.tryRotate(service.SecretStep{}); err == nil {
		t.Error("the rotation passed for one that went well")
	}
	a.gets("production", "db", "one")
	if f := a.info("production", "db").Failure; f == nil {
		t.Error("nothing says why")
	}
}

// Whoever asked may go away, or the server end, in the middle of a call.
func TestARotationThatNobodyWaitsForIsOnRecord(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hook := hooks(func(ctx context.Context, r webhook.Request) (webhook.Answer, error) {
		if r.Type == "secret.rotate" {
			return makes("two")(ctx, r)
		}
		cancel()
		return webhook.Answer{}, ctx.Err()
	})
	a := hooked(t, secret.Rotation{}, &hook)
	if _, err := a.s.RotateSecret(ctx, a.who, a.tenant, "production", path("db"), service.SecretStep{}); err == nil {
		t.Error("it passed for one that went well")
	}
	info := a.info("production", "db")
	if info.Failure == nil || info.Waiting != 0 {
		t.Errorf("after it: %+v, waiting %d", info.Failure, info.Waiting)
	}
}

// What the machine says of itself is for the log alone.
func TestReasonsOfFailuresTellNothingOfTheMachine(t *testing.T) {
	hook := hooks(func(context.Context, webhook.Request) (webhook.Answer, error) {
		return webhook.Answer{}, errors.New("open /var/lib/llm-config/data.db: permission denied")
	})
	a := hooked(t, secret.Rotation{}, &hook)
	err := a.tryRotate(service.SecretStep{})
	e := mustBe(t, config.KindRotationFailed, err)
	if strings.Contains(e.Message, "/var/lib") {
		t.Errorf("the answer says %s", e.Message)
	}
	if f := a.info("production", "db").Failure; f == nil || f.Reason == "" || strings.Contains(f.Reason, "/var/lib") {
		t.Errorf("the failure says %+v", f)
	}
}

// A drawn field takes its place among those of the version in use, also when
// that one was replaced a moment before.
func TestARotationKeepsFieldsThatWereSetMeanwhile(t *testing.T) {
	a := newTenant(t)
	a.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"password": strong("p"), "user": "svc-1"}), AllowWeak: "a name"})
	intruder, done := a.over(a.s), false
	restore := a.engine.onCommit(func(w *store.Write) {
		if len(w.Secrets) > 0 && !done {
			done = true
			intruder.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"password": strong("q"), "user": "svc-2"}), AllowWeak: "a name"})
		}
	})
	must(t, a.tryRotate(service.SecretStep{Generate: &secret.Generator{Kind: secret.GenerateHex, Field: "password"}, Now: true}))
	restore()
	if _, user, _ := strings.Cut(a.revealed("production", "db"), ","); user != "svc-2" {
		t.Errorf("the user is %s now", user)
	}
}

// One receiver that hangs must not keep the secrets of others waiting.
func TestAReceiverThatHangsHoldsUpNobodyElse(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hook := hooks(func(ctx context.Context, _ webhook.Request) (webhook.Answer, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return webhook.Answer{}, config.Errorf(config.KindUnavailable, "it did not answer")
	})
	a := hooked(t, secret.Rotation{Every: time.Hour}, &hook)
	a.put1("production", "zz", service.SecretRequest{Fields: a.fields("a")})
	brief := time.Hour + time.Minute
	a.put1("production", "zz", service.SecretRequest{Fields: a.fields("b"), Grace: &brief})
	a.clock.move(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = a.s.SettleSecrets(ctx) }()
	deadline := time.After(20 * time.Second)
	for a.versions("production", "zz") != "1 retired, 2 active" {
		select {
		case <-deadline:
			t.Fatal("the grace of another secret did not end while a receiver hung")
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	<-ended
}

// Secrets that cannot be looked after must not keep those behind them waiting.
func TestWhatCannotBeSettledHoldsUpNobodyElse(t *testing.T) {
	a, bad := newTenant(t), 120
	brief := time.Hour
	for i := range bad {
		at := fmt.Sprintf("bad%03d", i)
		a.putSecret("production", at, "a")
		a.put1("production", at, service.SecretRequest{Fields: a.fields("b"), Grace: &brief})
	}
	a.clock.move(time.Second)
	a.putSecret("production", "good", "a")
	a.put1("production", "good", service.SecretRequest{Fields: a.fields("b"), Grace: &brief})
	a.s = service.New(service.Options{Store: faulty{a.engine, func(w *store.Write) bool {
		return len(w.Secrets) > 0 && strings.HasPrefix(w.Secrets[0].Path.String(), "bad")
	}}, Keyring: a.keyring, Clock: a.clock.read})
	a.clock.move(2 * time.Hour)
	for range 4 {
		_, _ = a.s.SettleSecrets(t.Context())
	}
	same(t, "versions", "1 retired, 2 active", a.versions("production", "good"))
}
