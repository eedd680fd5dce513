package service_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func number(n int64) *int64 { return &n }

func (a *actor) quota(limits service.QuotaLimits) service.Quota {
	a.t.Helper()
	result, err := a.s.PutQuota(a.t.Context(), a.root, a.tenant, service.QuotaRequest{Limits: limits})
	must(a.t, err)
	return result.Quota
}

func (a *actor) used() store.Usage {
	a.t.Helper()
	q, err := a.s.Quota(a.t.Context(), a.who, a.tenant)
	must(a.t, err)
	return q.Used
}

// recounted is what a tenant uses by its rows, at paths known to the test.
func (a *actor) recounted(at ...string) (sum store.Usage) {
	a.t.Helper()
	ctx := a.t.Context()
	layers, err := a.engine.LayersAt(ctx, a.id, a.revision(), paths(at...))
	must(a.t, err)
	for _, l := range layers {
		if l.State == store.Live {
			sum.Documents++
			sum.Bytes += int64(len(l.Sealed))
		}
	}
	secrets, err := a.engine.SecretsAt(ctx, a.id, paths(at...))
	must(a.t, err)
	for _, s := range secrets {
		if !s.Deleted {
			sum.Secrets++
		}
		for version := config.Version(1); version <= 64; version++ {
			value, err := a.engine.SecretValue(ctx, a.id, s.Environment, s.Path, version)
			if config.KindOf(err) == config.KindNotFound {
				continue
			}
			must(a.t, err)
			sum.Bytes += int64(len(value.Sealed))
		}
	}
	return sum
}

func TestTheBoundsOfAQuotaAreHitExactly(t *testing.T) {
	a := newTenant(t)
	a.quota(service.QuotaLimits{Documents: number(2), Secrets: number(1)})
	a.write(a.put("base", "a", `{}`), a.put("production", "a", `{}`))
	e := a.refused(config.KindQuotaExceeded, a.put("base", "b", `{}`))
	same(t, "what there is too much of", "documents 2 3", fmt.Sprint(e.Pointer, " ", e.Limit, " ", e.Actual))
	a.refused(config.KindQuotaExceeded, a.put("staging", "a", `{}`))
	a.write(a.put("base", "a", `{"v":1}`))                               // changes none
	a.write(a.del("base", "a"), a.put("base", "b", `{}`))                // one for another
	a.refused(config.KindQuotaExceeded, a.put("base", "a", `{}`))        // again
	a.write(a.del("base", "b"))                                          // room
	a.write(a.put("base", "a", `{}`))                                    // as before it was deleted
	a.refused(config.KindQuotaExceeded, a.put("base", "b", `{"v":"x"}`)) // and none more

	a.putSecret("base", "s", "one")
	a.putSecret("base", "s", "two") // a version is no secret
	_, err := a.tryPut("production", "s", service.SecretRequest{Fields: a.fields("x")})
	mustBe(t, config.KindQuotaExceeded, err)
	a.getsNone("production", "other", config.KindNotFound)
	_, err = a.s.DeleteSecret(t.Context(), a.who, a.tenant, "base", path("s"), true, service.SecretStep{})
	must(t, err)
	a.putSecret("production", "s", "x")
	_, err = a.s.UndeleteSecret(t.Context(), a.who, a.tenant, "base", path("s"), service.SecretStep{})
	mustBe(t, config.KindQuotaExceeded, err)
	same(t, "usage", a.recounted("a", "b", "s"), a.used())
}

func TestTheBoundOfBytesIsHitExactly(t *testing.T) {
	a := newTenant(t)
	a.set("base", "a", `{"v":"123"}`)
	before := a.used().Bytes
	a.set("base", "b", `{"v":"123"}`)
	each := a.used().Bytes - before
	a.quota(service.QuotaLimits{Bytes: number(before + 2*each)})
	a.write(a.put("production", "b", `{"v":"123"}`)) // to the byte
	e := a.refused(config.KindQuotaExceeded, a.put("production", "b", `{"v":"1234"}`))
	same(t, "what there is too much of", fmt.Sprint("bytes ", before+2*each, " ", before+2*each+1), fmt.Sprint(e.Pointer, " ", e.Limit, " ", e.Actual))
	a.write(a.put("production", "b", `{"v":"124"}`))
	_, err := a.tryPut("base", "s", service.SecretRequest{Fields: a.fields("s")})
	mustBe(t, config.KindQuotaExceeded, err)
	a.write(a.put("production", "b", `{"v":"12"}`), a.put("base", "a", `{"v":"1234"}`)) // together no more
	same(t, "usage", before+2*each, a.used().Bytes)

	// Who is over a quota may use less, if it is still over, but nothing more.
	a.quota(service.QuotaLimits{Bytes: number(1)})
	a.refused(config.KindQuotaExceeded, a.put("base", "a", `{"v":"12345"}`))
	a.write(a.put("base", "a", `{"v":"12"}`))
	a.write(a.put("base", "a", `{"v":"21"}`))
	a.write(a.del("production", "b"))
	a.refused(config.KindQuotaExceeded, a.put("production", "b", `{}`))
}

// Many who write at once come to the bound together, and none gets beyond it.
func TestAQuotaHoldsAgainstManyAtOnce(t *testing.T) {
	a := newTenant(t)
	a.quota(service.QuotaLimits{Documents: number(5), Secrets: number(3)})
	var documents, secrets atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			_, err := a.try(a.put("base", fmt.Sprintf("d%d", i), `{}`))
			switch config.KindOf(err) {
			case "":
				documents.Add(1)
			case config.KindQuotaExceeded:
			default:
				t.Error(describe(err))
			}
		})
		all.Go(func() {
			_, err := a.tryPut("base", fmt.Sprintf("s%d", i), service.SecretRequest{Fields: a.fields(fmt.Sprint(i))})
			switch config.KindOf(err) {
			case "":
				secrets.Add(1)
			case config.KindQuotaExceeded:
			default:
				t.Error(describe(err))
			}
		})
	}
	all.Wait()
	same(t, "written", fmt.Sprint(5, 3), fmt.Sprint(documents.Load(), secrets.Load()))
	same(t, "documents and secrets", store.Usage{Documents: 5, Secrets: 3}, store.Usage{Documents: a.used().Documents, Secrets: a.used().Secrets})
}

// What a tenant has no limit of its own for is bound by the server's, 0 by none.
func TestTheLimitsOfTheServerStandInForATenants(t *testing.T) {
	a := newTenant(t)
	fill := func(want bool) {
		t.Helper()
		_, err := a.try(a.put("base", fmt.Sprintf("p%d", a.revision()), `{}`))
		if got := err == nil; got != want || !want && config.KindOf(err) != config.KindQuotaExceeded {
			t.Errorf("a write is answered by %v", err)
		}
	}
	a.limits.Store(&service.Limits{Documents: 1})
	fill(true)
	fill(false)
	a.quota(service.QuotaLimits{Documents: number(0)})
	fill(true)
	a.quota(service.QuotaLimits{Documents: number(3)})
	fill(true)
	fill(false)
	a.quota(service.QuotaLimits{Secrets: number(9)}) // nil again, and the server's counts
	fill(false)
	a.limits.Store(&service.Limits{})
	fill(true)
	for _, limits := range []service.QuotaLimits{{Documents: number(-1)}, {Bytes: number(1<<50 + 1)}, {Connections: number(-5)}, {RequestsPerMinute: number(-1)}} {
		_, err := a.s.PutQuota(t.Context(), a.root, a.tenant, service.QuotaRequest{Limits: limits})
		if e := mustBe(t, config.KindBadRequest, err); !strings.HasPrefix(e.Pointer, "/limits/") {
			t.Errorf("the fault is at %q", e.Pointer)
		}
	}
}

func TestQuotasAreVersioned(t *testing.T) {
	a := newTenant(t)
	same(t, "version before", config.Version(0), a.quota(service.QuotaLimits{}).Version-1)
	put := func(version config.Version) error {
		_, err := a.s.PutQuota(t.Context(), a.root, a.tenant, service.QuotaRequest{Limits: service.QuotaLimits{Watchers: number(7)}, IfVersion: &version})
		return err
	}
	mustBe(t, config.KindPreconditionFailed, put(0))
	mustBe(t, config.KindPreconditionFailed, put(2))
	must(t, put(1))
	same(t, "limits of requests", number(7), a.s.TenantLimits(a.id).Watchers)
	same(t, "limits of nobody", service.QuotaLimits{}, a.s.TenantLimits(config.TenantID{9}))
	w := a.watch(service.WatchRequest{Environment: "base"})
	q, err := a.s.Quota(t.Context(), a.who, a.tenant)
	must(t, err)
	same(t, "quota", fmt.Sprint(2, 7, 1), fmt.Sprint(q.Version, *q.Limits.Watchers, q.Watches))
	w.Close()
	who := keyed(a.root, "k", "quota")
	first, err := a.s.PutQuota(t.Context(), who, a.tenant, service.QuotaRequest{})
	must(t, err)
	a.quota(service.QuotaLimits{})
	again, err := a.s.PutQuota(t.Context(), who, a.tenant, service.QuotaRequest{})
	must(t, err)
	same(t, "the replay", fmt.Sprint(first.Quota.Version, true, first.Revision), fmt.Sprint(again.Quota.Version, again.Replayed, again.Revision))
}

// However a tenant came to what it has, its usage is what its rows come to.
func TestUsageIsWhatThereIs(t *testing.T) {
	w := newWorld(t)
	tenants := 0
	rapid.Check(t, func(rt *rapid.T) {
		tenants++
		a := w.found(t, fmt.Sprintf("t%d", tenants))
		for range 30 {
			w.clock.move(time.Hour)
			if what, err := a.someUse(rt); err != nil {
				switch config.KindOf(err) {
				case config.KindNotFound, config.KindGone, config.KindInUse, config.KindBadRequest, config.KindPreconditionFailed, config.KindReferenced, config.KindQuotaExceeded,
					config.KindAlreadyExists, config.KindTooLarge, config.KindRevisionInFuture:
				default:
					rt.Fatalf("%s: %s", what, describe(err))
				}
			}
			if used, rows := a.used(), a.recounted("a", "b", "c"); used != rows {
				rt.Fatalf("the usage is %+v, and the rows come to %+v", used, rows)
			}
		}
		if again := a.over(w.start()).used(); again != a.used() {
			rt.Fatalf("another process says %+v", again)
		}
	})
}

// someUse does something that may change what the tenant uses.
func (a *actor) someUse(t *rapid.T) (what string, err error) {
	ctx := a.t.Context()
	environment := rapid.SampledFrom([]string{"base", "production", "staging"}).Draw(t, "environment")
	at := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "path")
	version := config.Version(rapid.IntRange(1, 6).Draw(t, "version"))
	value := a.fields(strings.Repeat("x", rapid.IntRange(1, 30).Draw(t, "length")))
	document := fmt.Sprintf(`{"v":%q}`, strings.Repeat("x", rapid.IntRange(0, 20).Draw(t, "size")))
	verbs := map[string]func() error{
		"put":     func() error { _, err := a.try(a.put(environment, at, document)); return err },
		"two":     func() error { _, err := a.try(a.put("base", at, document), a.del("production", at)); return err },
		"delete":  func() error { _, err := a.try(a.del(environment, at)); return err },
		"destroy": func() error { _, err := a.destroy(environment, at, version); return err },
		"rollback": func() error {
			_, err := a.rollback(environment, rapid.SampledFrom([]string{"", at}).Draw(t, "where"), fmt.Sprint(rapid.IntRange(1, int(a.revision())).Draw(t, "to")))
			return err
		},
		"revert": func() error {
			_, err := a.revert(config.Revision(rapid.IntRange(1, int(a.revision())).Draw(t, "of")), true)
			return err
		},
		"promote": func() error {
			_, err := a.promote(service.PromoteRequest{From: environment, To: "production", All: true})
			return err
		},
		"set secret": func() error { _, err := a.tryPut(environment, at, service.SecretRequest{Fields: value}); return err },
		"stage secret": func() error {
			_, err := a.tryPut(environment, at, service.SecretRequest{Fields: value, Stage: true})
			return err
		},
		"secret at once": func() error {
			_, err := a.tryPut(environment, at, service.SecretRequest{Fields: value, Now: true})
			return err
		},
		"describe": func() error { return a.relabel(environment, at, map[string]string{"n": fmt.Sprint(version)}) },
		"rotate": func() error {
			_, err := a.s.RotateSecret(ctx, a.who, a.tenant, environment, path(at), service.SecretStep{Generate: hexGenerator})
			return err
		},
		"activate": func() error {
			_, err := a.s.ActivateSecret(ctx, a.who, a.tenant, environment, path(at), service.SecretStep{Version: version})
			return err
		},
		"revoke": func() error {
			_, err := a.s.RevokeSecret(ctx, a.who, a.tenant, environment, path(at), service.SecretStep{Version: version})
			return err
		},
		"delete secret": func() error {
			_, err := a.s.DeleteSecret(ctx, a.who, a.tenant, environment, path(at), true, service.SecretStep{})
			return err
		},
		"undelete": func() error {
			_, err := a.s.UndeleteSecret(ctx, a.who, a.tenant, environment, path(at), service.SecretStep{})
			return err
		},
		"destroy secret": func() error {
			_, err := a.s.DestroySecret(ctx, a.who, a.tenant, environment, path(at), []config.Version{version}, false, service.SecretStep{})
			return err
		},
		"destroy all": func() error {
			_, err := a.s.DestroySecret(ctx, a.who, a.tenant, environment, path(at), nil, true, service.SecretStep{})
			return err
		},
		"quota": func() error {
			a.quota(service.QuotaLimits{Bytes: number(int64(rapid.IntRange(0, 4000).Draw(t, "bytes")))})
			return nil
		},
		"settle": func() error { a.settle(8 * day); return nil },
	}
	what = rapid.SampledFrom(sortedNames(verbs)).Draw(t, "what")
	return what, verbs[what]()
}

func sortedNames[T any](all map[string]T) []string { return slices.Sorted(maps.Keys(all)) }

var hexGenerator = &secret.Generator{Kind: secret.GenerateHex}

// A value that is destroyed takes no room any more, whichever way it goes.
func TestDestroyedValuesTakeNoRoom(t *testing.T) {
	a := newTenant(t)
	a.putSecret("base", "s", "one")
	before := a.used()
	a.put1("base", "s", service.SecretRequest{Fields: a.fields("two"), Now: true}) // the first is revoked
	_, err := a.s.DestroySecret(t.Context(), a.who, a.tenant, "base", path("s"), []config.Version{1}, false, service.SecretStep{})
	must(t, err)
	same(t, "with one destroyed", before, a.used())
	_, err = a.s.DeleteSecret(t.Context(), a.who, a.tenant, "base", path("s"), true, service.SecretStep{})
	must(t, err)
	same(t, "when it is deleted", store.Usage{Bytes: before.Bytes}, a.used())
	_, err = a.s.DestroySecret(t.Context(), a.who, a.tenant, "base", path("s"), nil, true, service.SecretStep{})
	must(t, err)
	same(t, "with all destroyed", store.Usage{}, a.used())
}
