package service_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// While everything happens to a secret at once, whoever was told that a value is
// revoked is never given it again, by no way of reading.
func TestARevokedValueIsNeverGivenAgain(t *testing.T) {
	a := newTenant(t)
	a.set("base", "app", `{"k":"${secret:db}"}`)
	a.put1("base", "db", service.SecretRequest{Fields: a.fields("v0"), Metadata: service.SecretMetadata{Rotation: &secret.Rotation{Overlap: secret.OverlapAdoption}}})
	done := make(chan struct{})
	var others sync.WaitGroup
	disturb := func(what func(i int)) {
		others.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
					what(i)
				}
			}
		})
	}
	disturb(func(int) { _, _ = a.reveal("production", "db") })
	disturb(func(int) { _ = a.acks("app", map[string]config.Version{"db": 1}) })
	disturb(func(int) { _, _ = a.s.SettleSecrets(t.Context()) })
	disturb(func(i int) {
		owner := fmt.Sprint(i)
		_, _ = a.tryPut("base", "db", service.SecretRequest{Metadata: service.SecretMetadata{Owner: &owner}})
	})
	disturb(func(i int) { _, _ = a.try(a.put("staging", "app", fmt.Sprintf(`{"n":%d}`, i))) })
	for i := 1; i <= soakOr(500, 40); i++ {
		name := fmt.Sprint("v", i)
		if _, err := a.tryPut("base", "db", service.SecretRequest{Fields: a.fields(name), Now: true}); err != nil {
			if config.KindOf(err) == config.KindConflict {
				continue
			}
			t.Error(describe(err))
			break
		}
		text, err := a.reveal("production", "db")
		if err != nil || text != strong(name) {
			t.Errorf("after %s: %q, %v", name, text, err)
		}
		d, err := a.s.RevealConfig(t.Context(), a.who, a.tenant, "production", path("app"), service.ReadOptions{})
		if err != nil || string(d.Reveal().Canonical()) != `{"k":"`+strong(name)+`"}` {
			t.Errorf("document after %s: %v", name, err)
		}
	}
	close(done)
	others.Wait()
}

// Undelete and Destroy, too, are seen by whoever reads after them.
func TestWhatWasDestroyedIsNotInMemory(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	a.putSecret("production", "db", "two")
	a.gets("production", "db", "two", "one")
	step := service.SecretStep{}
	_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "production", path("db"), false, step)
	must(t, err)
	a.getsNone("production", "db", config.KindNotFound)
	a.clock.move(time.Minute)
	_, err = a.s.DestroySecret(t.Context(), a.who, a.tenant, "production", path("db"), nil, true, step)
	must(t, err)
	a.step(a.s.UndeleteSecret, "production", "db", step)
	a.getsNone("production", "db", config.KindGone)
	for version := range config.Version(2) {
		_, err = a.revealVersion("production", "db", version+1)
		mustBe(t, config.KindGone, err)
		_, err = a.s.ActivateSecret(t.Context(), a.who, a.tenant, "production", path("db"), service.SecretStep{Version: version + 1})
		mustBe(t, config.KindGone, err)
	}
}
