package service_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// counting counts how often all acknowledgements are read.
type counting struct {
	store.Store
	reads *atomic.Int64
}

func (c counting) Acks(ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, now time.Time) ([]store.Ack, error) {
	c.reads.Add(1)
	return c.Store.Acks(ctx, tenant, environment, now)
}

// Where one of many clients does not change over, the others' acknowledgements
// must not look at all of them each time.
func TestManyClientsDoNotLookAtEachOtherAllTheTime(t *testing.T) {
	a, reads, clients := newTenant(t), &atomic.Int64{}, 600
	a.s = service.New(service.Options{Store: counting{a.engine, reads}, Keyring: a.keyring, Clock: a.clock.read})
	rotation := &secret.Rotation{Overlap: secret.OverlapAdoption, Grace: day}
	a.put1("production", "db", service.SecretRequest{Fields: a.fields("one"), Metadata: service.SecretMetadata{Rotation: rotation}})
	a.gets("production", "db", "one")
	a.putSecret("production", "db", "two")
	a.gets("production", "db", "two", "one")
	a.clock.move(89 * time.Second)
	must(t, a.acks("stuck", map[string]config.Version{"db": 1}))
	for i := range clients {
		must(t, a.acks(fmt.Sprint(i), map[string]config.Version{"db": 2}))
	}
	a.clock.move(time.Second)
	for i := range clients {
		must(t, a.acks(fmt.Sprint(i), map[string]config.Version{"db": 2}))
	}
	if n := reads.Load(); n > 10 {
		t.Errorf("all were read %d times for %d acknowledgements", n, clients)
	}
	a.clock.move(2 * time.Second)
	must(t, a.acks("stuck", map[string]config.Version{"db": 2}))
	a.gets("production", "db", "two")
}

// A value that can still be brought back must not be out of everybody's reach.
func TestAnEnvironmentGoesWithNoValuesLeftBehind(t *testing.T) {
	a := newTenant(t)
	a.create("team")
	a.putSecret("team", "db", "one")
	mustBe(t, config.KindInUse, a.deleteEnvironment("team"))
	_, err := a.s.DeleteSecret(t.Context(), a.who, a.tenant, "team", path("db"), false, service.SecretStep{})
	must(t, err)
	mustBe(t, config.KindInUse, a.deleteEnvironment("team"))
	_, err = a.s.DestroySecret(t.Context(), a.who, a.tenant, "team", path("db"), nil, true, service.SecretStep{})
	must(t, err)
	must(t, a.deleteEnvironment("team"))
}

func TestAReferenceToAMissingSecretIsNoted(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	result := a.write(a.put("base", "app", `{"k":"${secret:db}"}`))
	same(t, "notes", []string{"there is no secret db in base, development, staging, edge"}, result.Notes)
	result = a.write(a.put("production", "app", `{"k":"${secret:db}","n":1}`))
	same(t, "notes", 0, len(result.Notes))
}

// Below zero is no grace, and does not mean now.
func TestAGraceIsNotNegative(t *testing.T) {
	a, below := newTenant(t), -time.Second
	a.putSecret("production", "db", "one")
	_, err := a.tryPut("production", "db", service.SecretRequest{Fields: a.fields("two"), Grace: &below})
	mustBe(t, config.KindBadRequest, err)
	a.stageSecret("production", "db", "two")
	_, err = a.s.ActivateSecret(t.Context(), a.who, a.tenant, "production", path("db"), service.SecretStep{Grace: &below})
	mustBe(t, config.KindBadRequest, err)
	a.gets("production", "db", "one")
}

// The clock may be set back: nothing that was over comes back, nothing ends early.
func TestAClockThatIsSetBack(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	a.putSecret("production", "db", "two")
	a.settle(7 * day)
	a.gets("production", "db", "two")
	a.settle(-6 * day)
	a.gets("production", "db", "two")
	a.putSecret("production", "db", "three")
	a.gets("production", "db", "three", "two")
	a.settle(time.Hour)
	a.gets("production", "db", "three", "two")
}
