package service

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// A tenant has one turn at a time, the server two, and nobody waits for one longer
// than two seconds, or than his request lasts.
func TestTurnsOfWorkOnPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Service{turns: make(turns, turnsOfServer)}
		acme, globex, third := &tenantState{turns: make(turns, 1)}, &tenantState{turns: make(turns, 1)}, &tenantState{turns: make(turns, 1)}
		take := func(state *tenantState) (end func()) {
			t.Helper()
			end, err := s.policyTurn(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			return end
		}
		refused := func(ctx context.Context, state *tenantState, after time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := s.policyTurn(ctx, state)
			if took := time.Since(began); config.KindOf(err) != config.KindOverloaded || took != after {
				t.Errorf("after %s: %v, want a refusal after %s", took, err, after)
			}
		}
		first := take(acme)
		refused(t.Context(), acme, turnPatience)
		second := take(globex)
		refused(t.Context(), third, turnPatience) // and has not kept its own tenant's turn:
		if len(third.turns) != 0 || len(s.turns) != 2 {
			t.Errorf("%d turns of the tenant and %d of the server are taken", len(third.turns), len(s.turns))
		}
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		refused(gone, acme, time.Second)
		time.AfterFunc(time.Second, first)
		began := time.Now()
		fourth := take(acme) // which waited for it
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %s", took)
		}
		fourth()
		second()
		take(third)()
		if len(s.turns)+len(acme.turns)+len(globex.turns)+len(third.turns) != 0 {
			t.Error("turns are not given back")
		}
	})
}

// Trying policies ends by itself after a while, and when nobody waits for it.
func TestTryingIsBoundedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }
		began := time.Now()
		if _, err := tried(t.Context(), forever); config.KindOf(err) != config.KindOverloaded || time.Since(began) != turnTime {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := tried(ctx, forever); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("of a request that ended: %v", err)
		}
		if n, err := tried(t.Context(), func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

func TestSimulationEndsWithItsContext(t *testing.T) {
	set, err := policy.Compile(policy.Source{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	tenant := config.Tenant{ID: config.TenantID{1}, Name: "acme"}
	past := make([]sample, 100)
	for i := range past {
		past[i] = sample{Action: access.ConfigRead, Place: samplePlace{Environment: "production", Path: "a"}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all Simulation
	if err := all.try(ctx, tenant, past, set, set); err != nil || all.Tried != 100 {
		t.Errorf("%d were tried: %v", all.Tried, err)
	}
	cancel()
	var none Simulation
	if err := none.try(ctx, tenant, past, set, set); !errors.Is(err, context.Canceled) || none.Tried != 0 {
		t.Errorf("%d were tried: %v", none.Tried, err)
	}
}
