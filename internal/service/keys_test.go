package service_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// rewrap does all the wrapping that waits.
func (w *world) rewrap(t testing.TB, s *service.Service) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = s.RewrapKeys(t.Context())
		must(t, err)
	}
}

// counts are the data keys under each version of a tenant's key.
func (a *actor) counts() string {
	a.t.Helper()
	status, err := a.s.TenantKeys(a.t.Context(), a.who, a.tenant)
	must(a.t, err)
	var texts []string
	for _, v := range status.Versions {
		texts = append(texts, fmt.Sprintf("v%d: %d", v.Version, v.Keys))
	}
	return strings.Join(texts, ", ")
}

func TestATenantsKeyIsRotated(t *testing.T) {
	a := newTenant(t)
	a.set("production", "app", `{"k":1}`)
	for i := range 20 {
		a.putSecret("production", fmt.Sprintf("s%d", i), "one")
	}
	a.rewrap(t, a.s)
	same(t, "before", "v1: 21", a.counts())
	_, err := a.keyring.RotateTenant(t.Context(), a.id) // by a process that died right after
	must(t, err)
	same(t, "between", "v1: 21, v2: 1", a.counts())
	a.reads("production", "app", `{"k":1}`)
	a.gets("production", "s7", "one")
	a.putSecret("production", "s7", "two")
	_, err = a.s.RetireTenantKey(t.Context(), a.who, a.tenant, 1, "")
	mustBe(t, config.KindInUse, err)
	a.rewrap(t, a.start())
	same(t, "after", "v1: 0, v2: 23", a.counts())
	result, err := a.s.RotateTenantKey(t.Context(), a.who, a.tenant, "due")
	must(t, err)
	same(t, "result", "3 0", fmt.Sprint(result.Version, result.Pending))
	records := strings.Join(a.chain(t, a.id), "\n")
	for _, event := range []string{"key.rotate", "key.rewrapped"} {
		if !strings.Contains(records, `"event":"`+event+`"`) {
			t.Errorf("%s is not on record", event)
		}
	}
	a.clock.move(time.Hour)
	before := a.revision()
	_, err = a.s.RetireTenantKey(t.Context(), a.who, a.tenant, 3, "")
	mustBe(t, config.KindBadRequest, err)
	same(t, "revision after what was refused", before, a.revision())
	for version := range uint32(2) {
		_, err = a.s.RetireTenantKey(t.Context(), a.who, a.tenant, version+1, "")
		must(t, err)
	}
	same(t, "at last", "v3: 24", a.counts())
	a.gets("production", "s7", "two", "one") // also where it is at hand as it was wrapped before
	a = a.over(a.start())
	a.reads("production", "app", `{"k":1}`)
	a.gets("production", "s7", "two", "one")
}

func TestKeysAreDueWithTime(t *testing.T) {
	a := newTenant(t)
	status, err := a.s.TenantKeys(t.Context(), a.who, a.tenant)
	must(t, err)
	same(t, "due", midnight.Add(180*day), status.Due)
	master, server, err := a.s.MasterKeys(t.Context(), a.root)
	must(t, err)
	same(t, "master due", midnight.Add(90*day), master.Due)
	same(t, "server due", midnight.Add(180*day), server.Due)
}

func TestTheMasterKeyIsRotated(t *testing.T) {
	a := newTenant(t)
	b := a.found(t, "other")
	a.putSecret("production", "db", "one")
	b.putSecret("production", "db", "two")
	_, err := a.s.RotateMasterKey(t.Context(), a.root, "")
	if err == nil {
		t.Fatal("a rotation without another key passed for one")
	}
	if records := strings.Join(a.chain(t, config.TenantID{}), "\n"); strings.Contains(records, "key.rotate") {
		t.Errorf("what was refused is on record as done: %s", records)
	}
	must(t, seal.AddFileKey(a.master))
	result, err := a.s.RotateMasterKey(t.Context(), a.root, "due")
	must(t, err)
	same(t, "version", uint32(2), result.Version)
	a.rewrap(t, a.s)
	master, _, err := a.s.MasterKeys(t.Context(), a.root)
	must(t, err)
	var tenants int64
	for _, v := range master.Versions {
		if v.Newest {
			tenants = v.Tenants
		} else if v.Retired.IsZero() || v.Tenants != 0 {
			t.Errorf("version %d is still in use: %+v", v.Version, v)
		}
	}
	same(t, "tenant keys under the new one", int64(3), tenants)
	a.over(a.start()).gets("production", "db", "one")
	b.over(a.start()).gets("production", "db", "two")
}

// Whatever the moment at which a process dies, no value is lost, the next one
// goes on, and nothing is left on the old key.
func TestReSealingSurvivesCrashes(t *testing.T) {
	points := soakOr(100, 10)
	a := newTenant(t)
	for i := range 40 {
		a.putSecret("production", fmt.Sprintf("s%d", i), fmt.Sprint("one", i))
		a.set("production", fmt.Sprintf("d%d", i), fmt.Sprintf(`{"v":%d}`, i))
	}
	random := rand.New(rand.NewPCG(1, uint64(points)))
	version := uint32(1)
	for range points {
		_, err := a.s.RotateTenantKey(t.Context(), a.who, a.tenant, "")
		must(t, err)
		version++
		// A process with a batch of its own dies after some of it.
		for range random.IntN(8) {
			_, _, err := a.keyring.RewrapData(t.Context(), a.id, 1+random.IntN(5))
			must(t, err)
		}
		next := a.over(a.start()) // which knows nothing of what the other was at
		next.clock.move(time.Hour)
		next.rewrap(t, next.s)
		for _, v := range mustStatus(t, next).Versions {
			if !v.Newest && v.Keys != 0 {
				t.Fatalf("%d keys are left under version %d", v.Keys, v.Version)
			}
			if !v.Newest {
				_, err = next.s.RetireTenantKey(t.Context(), next.who, next.tenant, v.Version, "")
				must(t, err)
			}
		}
		i := random.IntN(40)
		next.gets("production", fmt.Sprintf("s%d", i), fmt.Sprint("one", i))
		next.reads("production", fmt.Sprintf("d%d", i), fmt.Sprintf(`{"v":%d}`, i))
	}
	for i := range 40 {
		a.gets("production", fmt.Sprintf("s%d", i), fmt.Sprint("one", i))
	}
}

func mustStatus(t testing.TB, a *actor) seal.TenantKeyStatus {
	t.Helper()
	status, err := a.s.TenantKeys(t.Context(), a.who, a.tenant)
	must(t, err)
	return status
}

func TestADeletedTenantsSecretsAreGone(t *testing.T) {
	a := newTenant(t)
	a.putSecret("production", "db", "one")
	a.gets("production", "db", "one")
	rows, err := a.engine.SecretsAt(t.Context(), a.id, []config.Path{path("db")})
	must(t, err)
	value, err := a.engine.SecretValue(t.Context(), a.id, rows[0].Environment, path("db"), 1)
	must(t, err)
	_, err = a.s.DeleteTenant(t.Context(), a.root, a.tenant)
	must(t, err)
	a.getsNone("production", "db", config.KindNotFound)
	// What a data backup from before holds cannot be opened any more.
	place := seal.Place{Kind: seal.SecretValue, Tenant: a.id, Environment: rows[0].Environment, Path: "db", Version: 1}
	_, err = a.keyring.OpenSecret(t.Context(), place, seal.SecretSeal{Sealed: value.Sealed, Wrapped: value.Wrapped, KeyVersion: value.KeyVersion})
	mustBe(t, config.KindGone, err)
	mustBe(t, config.KindGone, a.keyring.Found(t.Context(), a.id))
	if len(a.chain(t, a.id)) == 0 {
		t.Error("the audit records went with the tenant")
	}
}

func TestTokensHaveSuccessors(t *testing.T) {
	a := newTenant(t)
	old := a.issue(service.TokenRequest{Name: "ci", TTL: 30 * day})
	works := func(text string) bool {
		_, err := a.s.Authenticate(t.Context(), service.Credentials{Bearer: text}, service.Caller{Source: someone})
		return err == nil
	}
	successor, err := a.s.RotateToken(t.Context(), a.who, a.tenant, old.ID, service.TokenStep{})
	must(t, err)
	same(t, "name", "ci", successor.Name)
	if !works(old.Reveal()) || !works(successor.Reveal()) {
		t.Error("one of the two does not work during the grace")
	}
	a.clock.move(7 * day)
	if works(old.Reveal()) || !works(successor.Reveal()) {
		t.Error("after the grace it is not the successor alone that works")
	}
	third, err := a.s.RotateToken(t.Context(), a.who, a.tenant, successor.ID, service.TokenStep{Now: true})
	must(t, err)
	if works(successor.Reveal()) || !works(third.Reveal()) {
		t.Error("with now it is not the successor alone that works")
	}
	_, err = a.s.RotateToken(t.Context(), a.who, a.tenant, successor.ID, service.TokenStep{})
	mustBe(t, config.KindGone, err)
	_, err = a.s.RotateToken(t.Context(), a.who, a.tenant, "nobody", service.TokenStep{})
	mustBe(t, config.KindNotFound, err)

	server, err := a.s.CreateServerToken(t.Context(), a.root, service.TokenRequest{Name: "ops"})
	must(t, err)
	next, err := a.s.RotateServerToken(t.Context(), a.root, server.ID, service.TokenStep{})
	must(t, err)
	if !next.ServerAdmin || !works(next.Reveal()) {
		t.Error("the successor of a server token does not work")
	}
	_, err = a.s.RotateToken(t.Context(), a.who, a.tenant, next.ID, service.TokenStep{})
	mustBe(t, config.KindNotFound, err) // not one of the tenant's
}
