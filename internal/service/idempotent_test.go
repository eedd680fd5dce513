package service_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// keyed is the caller with an idempotency key and a request.
func keyed(who service.Caller, key, request string) service.Caller {
	who.Idempotency = &service.Idempotency{Key: key, Request: []byte(request)}
	return who
}

// outcome is the part of an answer that every write has.
func outcome(t *testing.T, answer any) service.Outcome {
	t.Helper()
	part := reflect.ValueOf(answer).FieldByName("Outcome")
	if !part.IsValid() {
		t.Fatalf("a %T is no answer to a write", answer)
	}
	return part.Interface().(service.Outcome)
}

// plain is an answer as it can be compared: without the token, which only the first has.
func plain(answer any) any {
	switch a := answer.(type) {
	case service.IssuedToken:
		return []any{a.Outcome, a.TokenInfo}
	case service.Founded:
		return []any{a.Outcome, a.Tenant, a.Token.Outcome, a.Token.TokenInfo}
	}
	return answer
}

// Every write that comes again with its key is answered as it was the first
// time, and done once.
func TestAWriteThatComesAgainIsAnsweredAsBefore(t *testing.T) {
	a := newTenant(t)
	old := a.write(a.put("base", "a", `{"v":1}`), a.put("staging", "a", `{"s":1,"t":[null,1.5,"x"]}`), a.put("production", "a", `{"p":{"q":[1]}}`)).Revision
	bad := a.set("base", "a", `{"v":2}`)
	a.tag("old", old)
	a.create("gone")
	victim := a.issue(service.TokenRequest{Name: "victim"})
	serverVictim, err := a.s.CreateServerToken(t.Context(), a.root, service.TokenRequest{Name: "victim"})
	must(t, err)
	a.found(t, "doomed")
	a.putSecret("production", "db", "one")
	hex := &secret.Generator{Kind: secret.GenerateHex}
	rotated := a.issue(service.TokenRequest{Name: "rotated"})
	serverRotated, err := a.s.CreateServerToken(t.Context(), a.root, service.TokenRequest{Name: "rotated"})
	must(t, err)
	ctx, revision := t.Context(), a.revision
	server := func() config.Revision {
		r, err := a.engine.Revision(ctx, config.TenantID{})
		must(t, err)
		return r
	}
	for _, c := range []struct {
		name     string
		who      service.Caller
		revision func() config.Revision
		run      func(who service.Caller) (any, error)
	}{
		{"change", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Change(ctx, who, a.tenant, service.ChangeRequest{Message: "m", Edits: []service.Edit{a.put("edge", "a", `{"e":1}`), a.del("edge", "b")}})
		}},
		{"change of nothing", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Change(ctx, who, a.tenant, service.ChangeRequest{Message: "m", Edits: []service.Edit{a.del("edge", "b")}})
		}},
		{"rollback", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Rollback(ctx, who, a.tenant, service.RollbackRequest{Environment: "edge", To: config.At{Revision: old}})
		}},
		{"promote", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Promote(ctx, who, a.tenant, service.PromoteRequest{From: "staging", To: "production", All: true})
		}},
		{"revert", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Revert(ctx, who, a.tenant, service.RevertRequest{Revision: bad})
		}},
		{"destroy", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.Destroy(ctx, who, a.tenant, "base", path("a"), 1, "m")
		}},
		{"set tag", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.SetTag(ctx, who, a.tenant, "new", 0, "m")
		}},
		{"delete tag", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.DeleteTag(ctx, who, a.tenant, "old", "m")
		}},
		{"put environment", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.PutEnvironment(ctx, who, a.tenant, "team", service.EnvironmentRequest{Message: "m"})
		}},
		{"put environment as it is", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.PutEnvironment(ctx, who, a.tenant, "edge", service.EnvironmentRequest{Message: "m"})
		}},
		{"delete environment", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.DeleteEnvironment(ctx, who, a.tenant, "gone", "m")
		}},
		{"create token", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.CreateToken(ctx, who, a.tenant, service.TokenRequest{Name: "new"})
		}},
		{"revoke token", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.RevokeToken(ctx, who, a.tenant, victim.ID)
		}},
		{"put secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.PutSecret(ctx, who, a.tenant, "production", path("db"), service.SecretRequest{Generate: hex, Stage: true})
		}},
		{"activate secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.ActivateSecret(ctx, who, a.tenant, "production", path("db"), service.SecretStep{})
		}},
		{"revoke secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.RevokeSecret(ctx, who, a.tenant, "production", path("db"), service.SecretStep{})
		}},
		{"rotate secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.RotateSecret(ctx, who, a.tenant, "production", path("db"), service.SecretStep{Generate: hex})
		}},
		{"delete secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.DeleteSecret(ctx, who, a.tenant, "production", path("db"), false, service.SecretStep{})
		}},
		{"undelete secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.UndeleteSecret(ctx, who, a.tenant, "production", path("db"), service.SecretStep{})
		}},
		{"destroy secret", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.DestroySecret(ctx, who, a.tenant, "production", path("db"), []config.Version{1}, false, service.SecretStep{})
		}},
		{"rotate token", a.who, revision, func(who service.Caller) (any, error) {
			return a.s.RotateToken(ctx, who, a.tenant, rotated.ID, service.TokenStep{})
		}},
		{"rotate server token", a.root, server, func(who service.Caller) (any, error) {
			return a.s.RotateServerToken(ctx, who, serverRotated.ID, service.TokenStep{})
		}},
		{"create server token", a.root, server, func(who service.Caller) (any, error) {
			return a.s.CreateServerToken(ctx, who, service.TokenRequest{Name: "new"})
		}},
		{"revoke server token", a.root, server, func(who service.Caller) (any, error) {
			return a.s.RevokeServerToken(ctx, who, serverVictim.ID)
		}},
		{"create tenant", a.root, server, func(who service.Caller) (any, error) {
			return a.s.CreateTenant(ctx, who, "new", service.TokenRequest{})
		}},
		{"delete tenant", a.root, server, func(who service.Caller) (any, error) {
			return a.s.DeleteTenant(ctx, who, "doomed")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.clock.move(time.Second)
			key := strings.ReplaceAll(c.name, " ", "-")
			before := c.revision()
			first, err := c.run(keyed(c.who, key, "one"))
			must(t, err)
			if outcome(t, first).Replayed {
				t.Error("the first answer is a replay")
			}
			after := c.revision()
			if made := after != before; made != (outcome(t, first).Status == service.Committed) {
				t.Errorf("%s from revision %d to %d", outcome(t, first).Status, before, after)
			}
			a.clock.move(time.Minute)
			again, err := c.run(keyed(c.who, key, "one"))
			must(t, err)
			same(t, "revision after the replay", after, c.revision())
			same(t, "replay", plain(asReplay(first)), plain(again))
			if token, ok := again.(service.IssuedToken); ok && token.Reveal() != "" {
				t.Error("an issued token is replayed")
			}
			if founded, ok := again.(service.Founded); ok && founded.Token.Reveal() != "" {
				t.Error("an issued token is replayed")
			}
			_, err = c.run(keyed(c.who, key, "another"))
			same(t, "pointer", "Idempotency-Key", mustBe(t, config.KindIdempotencyMismatch, err).Pointer)
		})
	}
}

// asReplay is a first answer with the one thing that a replay has of its own.
func asReplay(answer any) any {
	replay := reflect.New(reflect.TypeOf(answer)).Elem()
	replay.Set(reflect.ValueOf(answer))
	replay.FieldByName("Replayed").SetBool(true)
	if lost := replay.FieldByName("Lost"); lost.IsValid() {
		lost.SetZero() // values are not kept
	}
	return replay.Interface()
}

func TestIdempotencyKeys(t *testing.T) {
	a := newTenant(t)
	put := func(who service.Caller, n string) (service.ChangeResult, error) {
		return a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", n)}})
	}
	for key, good := range map[string]bool{
		"": false, "a b": false, "a\n": false, "é": false, "\x7f": false, strings.Repeat("x", service.MaxIdempotencyKeyBytes+1): false,
		"!~": true, strings.Repeat("x", service.MaxIdempotencyKeyBytes): true,
	} {
		_, err := put(keyed(a.who, key, "r"), `{"key":"`+strings.Repeat("n", len(key))+`"}`)
		if good {
			must(t, err)
			continue
		}
		mustBe(t, config.KindBadRequest, err)
	}
	first, err := put(keyed(a.who, "key", "r"), `{"n":1}`)
	must(t, err)
	// The key is the principal's own.
	b := a.holder(a.issue(service.TokenRequest{Name: "other"}))
	second, err := put(keyed(b.who, "key", "r"), `{"n":2}`)
	must(t, err)
	if second.Replayed || second.Revision <= first.Revision {
		t.Errorf("another principal's key is answered with %+v", second)
	}
	// And the tenant's.
	c := a.found(t, "other")
	who := a.who
	who.Principal.Tenant = c.id
	third, err := c.s.Change(t.Context(), keyed(who, "key", "r"), c.tenant, service.ChangeRequest{Edits: []service.Edit{c.put("base", "a", `{"n":3}`)}})
	must(t, err)
	same(t, "replayed over tenants", false, third.Replayed)
	a.says("base", "a", `{"n":2}`)
}

func TestAKeyIsForgottenAfterADay(t *testing.T) {
	a := newTenant(t)
	who := keyed(a.who, "key", "r")
	put := func() service.ChangeResult {
		result, err := a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", `{"n":1}`)}})
		must(t, err)
		return result
	}
	put()
	a.write(a.del("base", "a"))
	a.clock.move(24*time.Hour - 1)
	same(t, "replayed within a day", true, put().Replayed)
	a.says("base", "a", absent)
	a.clock.move(1)
	same(t, "replayed after a day", false, put().Replayed)
	a.says("base", "a", `{"n":1}`)
	same(t, "replayed within the next", true, put().Replayed)
}

func TestAFailedWriteIsNotKept(t *testing.T) {
	a := newTenant(t)
	who := keyed(a.who, "key", "r")
	put := func(text string) (service.ChangeResult, error) {
		return a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", text)}})
	}
	_, err := put(`{"r":"${config:nothing#/x}"}`)
	mustBe(t, config.KindInvalidReference, err)
	result, err := put(`{}`)
	must(t, err)
	same(t, "replayed", false, result.Replayed)
	// Nor is a dry run.
	who = keyed(a.who, "dry", "r")
	for range 2 {
		result, err := a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{DryRun: true, Edits: []service.Edit{a.put("base", "a", `{"n":1}`)}})
		must(t, err)
		same(t, "replayed", false, result.Replayed)
	}
}

// A kept answer opens only for whom it was kept.
func TestAKeptAnswerIsItsPrincipalsAlone(t *testing.T) {
	a := newTenant(t)
	b := a.holder(a.issue(service.TokenRequest{Name: "other"}))
	put := func(who service.Caller) (service.ChangeResult, error) {
		return a.s.Change(t.Context(), keyed(who, "key", "r"), a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", `{}`)}})
	}
	remove := a.engine.onCommit(func(w *store.Write) { w.Idempotent.Principal = b.who.Principal.ID }) // the store is not trusted
	_, err := put(a.who)
	must(t, err)
	remove()
	if result, err := put(b.who); err == nil {
		t.Errorf("another's answer was given: %+v", result)
	}
}

func TestTheSameKeyAtTheSameTime(t *testing.T) {
	a := newTenant(t)
	who := keyed(a.who, "key", "r")
	put := func() (service.ChangeResult, error) {
		return a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "a", `{"n":1}`)}})
	}
	remove := a.engine.onCommit(func(*store.Write) {
		_, err := put()
		same(t, "pointer", "Idempotency-Key", mustBe(t, config.KindIdempotencyInFlight, err).Pointer)
	})
	_, err := put()
	must(t, err)
	remove()
	// At another process, which does not know that the first one runs.
	other := a.over(a.start())
	who = keyed(a.who, "second", "r")
	ran := false
	remove = a.engine.onCommit(func(*store.Write) {
		if !ran {
			ran = true
			_, err := other.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{other.put("edge", "b", `{}`)}})
			must(t, err)
		}
	})
	_, err = a.s.Change(t.Context(), who, a.tenant, service.ChangeRequest{Edits: []service.Edit{a.put("base", "b", `{}`)}})
	remove()
	if kind := config.KindOf(err); kind != config.KindIdempotencyInFlight && kind != config.KindConflict {
		t.Errorf("two writes with one key: %v", err)
	}
	a.says("base", "b", absent)
}
