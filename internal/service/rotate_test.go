package service_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// receiver is a rotation webhook.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []string            // type and version of each
	bodies []string            // as they came
	answer func(string) string // by type; one that begins with a digit is a status
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{answer: func(string) string { return "" }}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var m struct {
			Type string `json:"type"`
			Data struct {
				Version int `json:"version"`
			} `json:"data"`
		}
		if json.Unmarshal(body, &m) != nil || req.Header.Get("webhook-signature") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, fmt.Sprintf("%s %d", m.Type, m.Data.Version))
		r.bodies = append(r.bodies, string(body))
		answer := r.answer(m.Type)
		var status int
		if n, _ := fmt.Sscanf(answer, "%d", &status); n == 1 {
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) called() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.calls...)
}

// rotating is a tenant whose secret db is rotated by a receiver.
func rotating(t *testing.T, rotation secret.Rotation) (*actor, *receiver) {
	t.Helper()
	r := newReceiver(t)
	a := newTenant(t)
	transport, _ := r.Client().Transport.(*http.Transport)
	a.s = service.New(service.Options{
		Store: a.engine, Keyring: a.keyring, Clock: a.clock.read,
		Webhooks: webhook.New(webhook.Options{Allowed: func() []string { return []string{r.Listener.Addr().String()} }, Transport: transport, Clock: a.clock.read}),
	})
	a.put1("production", "hooks/key", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"value": "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD8vQ0ZMhTmqk="})})
	rotation.Webhook = &secret.Webhook{URL: r.URL, Signing: path("hooks/key")}
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: &rotation}})
	return a, r
}

func (a *actor) tryRotate(r service.SecretStep) error {
	_, err := a.s.RotateSecret(a.t.Context(), a.who, a.tenant, "production", path("db"), r)
	return err
}

func TestRotationByAReceiverThatMakesTheValue(t *testing.T) {
	a, r := rotating(t, secret.Rotation{})
	r.answer = func(kind string) string {
		if kind == "secret.rotate" {
			return fmt.Sprintf(`{"fields":{"value":%q}}`, strong("two"))
		}
		same(t, "versions while the new one is tried", "1 active, 2 staged", a.versions("production", "db"))
		return ""
	}
	must(t, a.tryRotate(service.SecretStep{}))
	same(t, "calls", []string{"secret.rotate 2", "secret.probe 2"}, r.called())
	a.gets("production", "db", "two", "one")
	same(t, "source", secret.FromWebhook, a.info("production", "db").Versions[1].Source)
	for _, body := range r.bodies {
		if strings.Contains(body, strong("one")) || strings.Contains(body, strong("two")) {
			t.Errorf("a call holds a value: %s", body)
		}
	}
}

func TestRotationByAReceiverThatTakesTheValueOver(t *testing.T) {
	a, r := rotating(t, secret.Rotation{Generator: &secret.Generator{Kind: secret.GenerateHex}})
	var fetched string
	r.answer = func(kind string) string {
		if kind == "secret.probe" {
			fetched, _ = a.revealVersion("production", "db", 2) // with its own token
		}
		return ""
	}
	must(t, a.tryRotate(service.SecretStep{Now: true}))
	same(t, "value", fetched, a.revealed("production", "db"))
	same(t, "versions", "1 revoked, 2 active", a.versions("production", "db"))
}

func TestARotationThatFailsLeavesTheOldVersionActive(t *testing.T) {
	cases := map[string]func(kind string) string{
		"the receiver refuses": func(string) string { return "400" },
		"the probe fails": func(kind string) string {
			if kind == "secret.probe" {
				return "400"
			}
			return fmt.Sprintf(`{"fields":{"value":%q}}`, strong("two"))
		},
		"no value":       func(string) string { return "{}" },
		"no JSON":        func(string) string { return "<html>" + strong("two") },
		"a weak value":   func(string) string { return `{"fields":{"value":"changeme"}}` },
		"a broken field": func(string) string { return `{"fields":{"a/b":"x"}}` },
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			a, r := rotating(t, secret.Rotation{Every: 30 * day})
			r.answer = answer
			e := mustBe(t, config.KindRotationFailed, a.tryRotate(service.SecretStep{}))
			if strings.Contains(describe(e), strong("two")) || strings.Contains(describe(e), "changeme") {
				t.Errorf("the refusal shows the value: %s", describe(e))
			}
			a.gets("production", "db", "one")
			info := a.info("production", "db")
			if info.Failure == nil || info.Failure.Reason == "" || info.Waiting != 0 {
				t.Errorf("after the failure: %+v", info)
			}
			same(t, "next try", midnight.Add(time.Hour), info.NextRotation)
			r.answer = func(string) string { return fmt.Sprintf(`{"fields":{"value":%q}}`, strong("three")) }
			a.settle(time.Hour)
			a.gets("production", "db", "three", "one")
			if a.info("production", "db").Failure != nil {
				t.Error("the failure is still told of")
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	a := newTenant(t)
	rotation := &secret.Rotation{Every: 30 * day, Grace: day, Generator: &secret.Generator{Kind: secret.GenerateHex}}
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: rotation}})
	a.settle(30*day - time.Second)
	same(t, "versions", "1 active", a.versions("production", "db"))
	a.settle(time.Second)
	same(t, "versions", "1 grace, 2 active", a.versions("production", "db"))
	a.settle(day)
	same(t, "versions", "1 retired, 2 active", a.versions("production", "db"))

	// However many times were missed, one makes up for them, on whichever instance.
	a.clock.move(200 * day)
	var wait sync.WaitGroup
	for range 3 {
		other := a.over(a.start())
		wait.Go(func() { other.settle(0) })
	}
	wait.Wait()
	a = a.over(a.start()) // which reads what they did
	same(t, "versions", "1 retired, 2 grace, 3 active", a.versions("production", "db"))
	same(t, "next", a.clock.read().Add(30*day), a.info("production", "db").NextRotation)

	_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("db"), false, service.SecretStep{})
	must(t, err)
	a.settle(60 * day)
	same(t, "versions of what is deleted", "1 retired, 2 grace, 3 active", a.versions("production", "db"))
}

func TestRotationNeedsAWay(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	mustBe(t, config.KindBadRequest, a.tryRotate(service.SecretStep{}))
	mustBe(t, config.KindBadRequest, a.tryRotate(service.SecretStep{Stage: true, Now: true}))
	must(t, a.tryRotate(service.SecretStep{Generate: &secret.Generator{Kind: secret.GenerateUUID}, Stage: true}))
	same(t, "versions", "1 active, 2 staged", a.versions("production", "db"))
	hook := &secret.Rotation{Webhook: &secret.Webhook{URL: "https://127.0.0.1/x", Signing: path("hooks/key")}}
	_, err := a.tryPut("production", "db", service.SecretRequest{Metadata: service.SecretMetadata{Rotation: hook}})
	mustBe(t, config.KindBadRequest, err) // this server calls none
}

// acks has a client say what it runs.
func (a *actor) acks(client string, secrets map[string]config.Version) error {
	r := service.AckRequest{Client: client, Revision: a.revision(), Secrets: map[config.Path]config.Version{}}
	for at, version := range secrets {
		r.Secrets[path(at)] = version
	}
	_, err := a.s.Ack(a.t.Context(), a.who, a.tenant, "production", r)
	return err
}

func TestAClientReportsOnlyWhatItWasGiven(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db", "one")
	b := a.holder(a.issue(service.TokenRequest{Name: "other"}))
	mustBe(t, config.KindBadRequest, a.acks("app-1", map[string]config.Version{"db": 1}))
	a.gets("production", "db", "one")
	must(t, a.acks("app-1", map[string]config.Version{"db": 1}))
	mustBe(t, config.KindBadRequest, a.acks("app-1", map[string]config.Version{"db": 2}))
	mustBe(t, config.KindBadRequest, b.acks("app-1", map[string]config.Version{"db": 1}))
	must(t, a.over(a.start()).acks("app-1", map[string]config.Version{"db": 1})) // also after a restart
	mustBe(t, config.KindBadRequest, a.acks("", nil))
	mustBe(t, config.KindBadRequest, a.acks("a\nb", nil))
	_, err := a.s.Ack(t.Context(), a.who, a.tenant, "production", service.AckRequest{Client: "x", Revision: a.revision() + 1})
	mustBe(t, config.KindRevisionInFuture, err)

	must(t, b.acks("app-2", nil))
	clients, err := a.s.Acks(t.Context(), a.who, a.tenant, "production")
	must(t, err)
	same(t, "clients", 2, len(clients.Clients))
	a.clock.move(90 * time.Second)
	clients, err = a.s.Acks(t.Context(), a.who, a.tenant, "production")
	must(t, err)
	same(t, "clients after 90 seconds", 0, len(clients.Clients))
}

func TestAGraceEndsWithAdoption(t *testing.T) {
	a := newTenant(t)
	rotation := &secret.Rotation{Overlap: secret.OverlapAdoption, Grace: day}
	a.put1("base", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: rotation}})
	a.gets("production", "db", "one")
	must(t, a.acks("one", map[string]config.Version{"db": 1}))
	must(t, a.acks("two", map[string]config.Version{"db": 1}))
	a.putSecret("base", "db", "two")
	a.gets("production", "db", "two", "one")
	must(t, a.acks("one", map[string]config.Version{"db": 2}))
	must(t, a.acks("two", map[string]config.Version{"db": 2}))
	a.gets("production", "db", "two", "one") // somebody else may still be about to say what it runs
	adoption := func() string {
		t.Helper()
		d, err := a.s.SecretAdoption(t.Context(), a.who, a.tenant, "production", path("db"))
		must(t, err)
		return fmt.Sprintf("%s %d/%d: %d have it, %d wait", d.Environment, d.Current, d.Previous, d.Adopted, d.Waiting)
	}
	a.clock.move(60 * time.Second)
	must(t, a.acks("late", map[string]config.Version{"db": 1}))
	same(t, "adoption", "base 2/1: 2 have it, 1 wait", adoption())
	a.clock.move(29 * time.Second)
	must(t, a.acks("one", map[string]config.Version{"db": 2}))
	a.clock.move(time.Second)
	must(t, a.acks("two", map[string]config.Version{"db": 2}))
	a.gets("production", "db", "two", "one") // the late one has the old version
	must(t, a.acks("late", map[string]config.Version{"db": 2}))
	a.gets("production", "db", "two")
	same(t, "adoption", "base 2/0: 3 have it, 0 wait", adoption())
	same(t, "versions", "1 retired, 2 active", a.versions("base", "db"))
}

func TestTheDeadlineOfAnAdoptionAlerts(t *testing.T) {
	for _, late := range []bool{true, false} {
		a := newTenant(t)
		var log bytes.Buffer
		a.s = service.New(service.Options{
			Store: a.engine, Keyring: a.keyring, Clock: a.clock.read, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		rotation := &secret.Rotation{Overlap: secret.OverlapAdoption, Grace: time.Hour}
		a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: rotation}})
		a.gets("production", "db", "one")
		a.putSecret("production", "db", "two")
		a.clock.move(time.Hour - time.Second)
		if late {
			must(t, a.acks("late", map[string]config.Version{"db": 1}))
		}
		a.settle(time.Second)
		a.gets("production", "db", "two")
		records := strings.Join(a.chain(t, a.id), "\n")
		same(t, "an alert is on record", late, strings.Contains(records, `"event":"secret.overdue"`))
		same(t, "and in the log", late, strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), "secret=db"))
	}
}

func TestRotationKeepsTheOtherFields(t *testing.T) {
	a := newTenant(t)
	a.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"password": strong("p"), "user": "svc"})})
	hex := &secret.Generator{Kind: secret.GenerateHex}
	mustBe(t, config.KindBadRequest, a.tryRotate(service.SecretStep{Generate: hex})) // which of the two?
	must(t, a.tryRotate(service.SecretStep{Generate: &secret.Generator{Kind: secret.GenerateHex, Field: "password"}, Now: true}))
	now := a.revealed("production", "db")
	if password, user, _ := strings.Cut(now, ","); user != "svc" || password == strong("p") || len(password) != 64 {
		t.Errorf("it is %s now", now)
	}
	a.put1("production", "db", service.SecretRequest{Fields: a.fieldsOf(map[string]string{"api_key": strong("k")}), Now: true})
	must(t, a.tryRotate(service.SecretStep{Generate: hex, Now: true})) // the only one there is
	same(t, "fields", []string{"api_key"}, a.info("production", "db").Versions[3].Fields)
}

func TestARotationThatIsAskedForAgainIsMadeOnce(t *testing.T) {
	a, r := rotating(t, secret.Rotation{})
	r.answer = func(string) string { return "400" }
	rotate := func() (service.SecretResult, error) {
		return a.s.RotateSecret(t.Context(), keyed(a.who, "key", "rotate"), a.tenant, "production", path("db"), service.SecretStep{})
	}
	_, err := rotate()
	mustBe(t, config.KindRotationFailed, err) // which is not kept: it may be tried again
	r.answer = func(kind string) string {
		if kind == "secret.rotate" {
			return fmt.Sprintf(`{"fields":{"value":%q}}`, strong("two"))
		}
		return ""
	}
	first, err := rotate()
	must(t, err)
	again, err := rotate()
	must(t, err)
	if first.Replayed || !again.Replayed || again.Version != first.Version {
		t.Errorf("first %+v, again %+v", first, again)
	}
	same(t, "versions", "1 grace, 2 active", a.versions("production", "db"))
	a.gets("production", "db", "two", "one")
}

func TestWhoStillHasWhatItInheritedWaits(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "db", "one")
	a.gets("production", "db", "one")
	must(t, a.acks("app", map[string]config.Version{"db": 1}))
	a.putSecret("production", "db", "own") // version 1 as well
	adoption, err := a.s.SecretAdoption(t.Context(), a.who, a.tenant, "production", path("db"))
	must(t, err)
	same(t, "adopted and waiting", "0 1", fmt.Sprint(adoption.Adopted, adoption.Waiting))
	a.gets("production", "db", "own")
	must(t, a.acks("app", map[string]config.Version{"db": 1}))
	adoption, err = a.s.SecretAdoption(t.Context(), a.who, a.tenant, "production", path("db"))
	must(t, err)
	same(t, "adopted and waiting", "1 0", fmt.Sprint(adoption.Adopted, adoption.Waiting))
}

func TestTheGraceIsWhatTheSecretSays(t *testing.T) {
	a := newTenant(t)
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: &secret.Rotation{Grace: time.Hour}}})
	a.stageSecret("production", "db", "staged")
	a.putSecret("production", "db", "two")
	same(t, "end of the grace", a.clock.read().Add(time.Hour), a.info("production", "db").Versions[0].GraceUntil)
}
