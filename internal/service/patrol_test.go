package service_test

import (
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/service"
)

// What was altered behind the newest checkpoint is found when nobody asks: by the
// first round of a process, and by each day's.
func TestPatrolFindsWhatIsOld(t *testing.T) {
	w := newWorld(t)
	a, b := w.found(t, "acme"), w.found(t, "other")
	sign := func() {
		for more := true; more; {
			var err error
			more, err = w.s.SignCheckpoints(t.Context())
			must(t, err)
		}
	}
	round := func() {
		for more := true; more; {
			var err error
			more, err = w.s.PatrolAudit(t.Context())
			must(t, err)
		}
	}
	broken := func(who *actor) string {
		status, err := w.s.AuditStatus(t.Context(), who.who, service.Chain{Tenant: who.tenant})
		must(t, err)
		return status.Broken
	}
	a.set("production", "gateway", `{"n":1}`)
	for range 5 {
		a.tag("release", a.revision())
	}
	sign()
	round()
	if broken(a) != "" || broken(b) != "" {
		t.Fatalf("untouched chains are broken: %q, %q", broken(a), broken(b))
	}
	a.tamper(`UPDATE audit SET record = CAST(replace(CAST(record AS TEXT), 'tag', 'tog') AS BLOB) WHERE tenant = ? AND sequence = 4`, a.id[:])
	sign()
	round()
	if broken(a) != "" {
		t.Error("a round was made before its time")
	}
	w.clock.move(25 * time.Hour)
	round()
	if broken(a) == "" || broken(b) != "" {
		t.Errorf("what was altered is %q, what was not %q", broken(a), broken(b))
	}
}
