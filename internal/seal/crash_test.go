package seal_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// crash ends a process at one of its calls to the stores: before the call, or
// after it was done and its answer is lost. From then on nothing is answered.
type crash struct {
	mu    sync.Mutex
	calls int
	at    int // the call that it ends with; 0 for none
	after bool
	dead  bool
}

func (c *crash) do(work func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return errDown
	}
	if c.calls++; c.calls != c.at {
		return work()
	}
	c.dead = true
	if c.after {
		_ = work()
	}
	return errDown
}

type crashingKeys struct {
	store.Keys
	*crash
}

func (k crashingKeys) Masters(ctx context.Context) (m []store.Master, err error) {
	err = k.do(func() (err error) { m, err = k.Keys.Masters(ctx); return err })
	return m, err
}

func (k crashingKeys) MasterVersions(ctx context.Context) (m map[uint32]int64, err error) {
	err = k.do(func() (err error) { m, err = k.Keys.MasterVersions(ctx); return err })
	return m, err
}

func (k crashingKeys) AddMaster(ctx context.Context, m store.Master) error {
	return k.do(func() error { return k.Keys.AddMaster(ctx, m) })
}

func (k crashingKeys) RetireMaster(ctx context.Context, version uint32, at time.Time) error {
	return k.do(func() error { return k.Keys.RetireMaster(ctx, version, at) })
}

func (k crashingKeys) TenantKey(ctx context.Context, id config.TenantID) (key store.TenantKey, err error) {
	err = k.do(func() (err error) { key, err = k.Keys.TenantKey(ctx, id); return err })
	return key, err
}

func (k crashingKeys) TenantKeys(ctx context.Context, after *config.TenantID, limit int) (keys []store.TenantKey, err error) {
	err = k.do(func() (err error) { keys, err = k.Keys.TenantKeys(ctx, after, limit); return err })
	return keys, err
}

func (k crashingKeys) AddTenantKey(ctx context.Context, key store.TenantKey) error {
	return k.do(func() error { return k.Keys.AddTenantKey(ctx, key) })
}

func (k crashingKeys) ReplaceTenantKey(ctx context.Context, key store.TenantKey) error {
	return k.do(func() error { return k.Keys.ReplaceTenantKey(ctx, key) })
}

func (k crashingKeys) DestroyTenantKey(ctx context.Context, id config.TenantID) error {
	return k.do(func() error { return k.Keys.DestroyTenantKey(ctx, id) })
}

type dataKeys interface{ store.DataKeys }

type crashingData struct {
	dataKeys
	*crash
}

func (d crashingData) AddDataKey(ctx context.Context, id config.TenantID, key store.DataKey) error {
	return d.do(func() error { return d.dataKeys.AddDataKey(ctx, id, key) })
}

func (d crashingData) KeysBelow(ctx context.Context, id config.TenantID, version uint32, limit int) (keys []store.WrappedKey, err error) {
	err = d.do(func() (err error) { keys, err = d.dataKeys.KeysBelow(ctx, id, version, limit); return err })
	return keys, err
}

func (d crashingData) KeyVersions(ctx context.Context, id config.TenantID) (m map[uint32]int64, err error) {
	err = d.do(func() (err error) { m, err = d.dataKeys.KeyVersions(ctx, id); return err })
	return m, err
}

func (d crashingData) Rewrap(ctx context.Context, id config.TenantID, keys []store.Rewrapped) error {
	return d.do(func() error { return d.dataKeys.Rewrap(ctx, id, keys) })
}

// doomed is a process that will end at a call after its start.
func (w *world) doomed(t *testing.T, at int, after bool) (*seal.Keyring, *crash) {
	t.Helper()
	c := &crash{}
	k, err := seal.OpenKeyring(t.Context(), w.keepers(), crashingKeys{w.keys, c}, crashingData{w.data, c},
		seal.Options{Clock: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls, c.at, c.after = 0, at, after
	return k, c
}

// everywhere runs a process to its end at each of its calls, until one comes
// through; resume is what the next process does.
func everywhere(t *testing.T, run func(t *testing.T, at int, after bool) *crash) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the call %t", after), func(t *testing.T) {
			for at := 1; ; at++ {
				if c := run(t, at, after); !c.dead {
					t.Logf("%d calls", c.calls)
					if at < 5 {
						t.Errorf("there were only %d calls to crash at", c.calls)
					}
					return
				}
			}
		})
	}
}

// estate is what a tenant has sealed, by all that may be lost.
type estate struct {
	bodies  map[seal.Place][]byte
	secrets []seal.Place
	mac     [32]byte
}

// fill seals bodies in several epochs, and secrets.
func (w *world) fill(t *testing.T, id config.TenantID) estate {
	t.Helper()
	k := w.start(t, seal.Options{SealsPerEpoch: 4, SealsPerBlock: 2})
	mustFound(t, k, id)
	w.create(t, id)
	e := estate{bodies: map[seal.Place][]byte{}}
	for i := range 9 {
		at := seal.Place{Kind: seal.Layer, Tenant: id, Environment: 1, Path: "a", Version: int64(i)}
		e.bodies[at] = mustSeal(t, k, at, fmt.Appendf(nil, "body %d", i))
	}
	for i := range 5 {
		at := seal.Place{Kind: seal.SecretValue, Tenant: id, Environment: 1, Path: fmt.Sprint("s", i), Version: int64(i + 1)}
		w.putSecret(t, k, at, fmt.Sprint("value ", i))
		e.secrets = append(e.secrets, at)
	}
	e.mac = mustMAC(t, k, id)
	return e
}

func mustMAC(t *testing.T, k *seal.Keyring, id config.TenantID) [32]byte {
	t.Helper()
	sum, err := k.MAC(t.Context(), id, "purpose", []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// check opens everything.
func (e estate) check(t *testing.T, w *world, k *seal.Keyring) {
	t.Helper()
	for at, sealed := range e.bodies {
		mustOpen(t, k, at, sealed, fmt.Appendf(nil, "body %d", at.Version))
	}
	for i, at := range e.secrets {
		mustOpenSecret(t, k, at, w.stored(t, at), fmt.Sprint("value ", i))
	}
	if len(e.secrets) > 0 && mustMAC(t, k, e.secrets[0].Tenant) != e.mac {
		t.Error("the MAC is another one")
	}
}

func TestTenantRotationSurvivesACrashAnywhere(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	everywhere(t, func(t *testing.T, at int, after bool) *crash {
		k := w.start(t, seal.Options{})
		s := mustStatus(t, k, tenantA)
		before := s.newest()
		batch := int(s.Versions[0].Keys/4) + 1 // each rotation adds an epoch; so there are as many calls each time

		doomed, c := w.doomed(t, at, after)
		if _, err := doomed.RotateTenant(t.Context(), tenantA); err == nil {
			for left := int64(1); left > 0; {
				if _, left, err = doomed.RewrapData(t.Context(), tenantA, batch); err != nil {
					break
				}
			}
		}
		// The next process, and one that ran all the time.
		next := w.start(t, seal.Options{})
		e.check(t, w, next)
		e.check(t, w, k)
		if mustStatus(t, next, tenantA).newest() == before {
			mustRotate(t, next, tenantA)
		}
		for left := int64(1); left > 0; {
			var err error
			if _, left, err = next.RewrapData(t.Context(), tenantA, batch); err != nil {
				t.Fatalf("crash at call %d: %v", at, err)
			}
		}
		w.clock.pass(5 * time.Minute)
		for _, v := range mustStatus(t, next, tenantA).Versions {
			if v.Newest {
				continue
			}
			if v.Keys != 0 {
				t.Errorf("crash at call %d: version %d still wraps %d keys", at, v.Version, v.Keys)
			}
			if err := next.RetireTenantKey(t.Context(), tenantA, v.Version); err != nil {
				t.Fatal(err)
			}
		}
		e.check(t, w, next)
		e.check(t, w, k)
		e.check(t, w, w.start(t, seal.Options{}))
		return c
	})
}

func TestMasterRotationSurvivesACrashAnywhere(t *testing.T) {
	w := newWorld(t)
	estates := []estate{w.fill(t, tenantA), w.fill(t, tenantB)}
	everywhere(t, func(t *testing.T, at int, after bool) *crash {
		k := w.start(t, seal.Options{})
		for _, e := range estates {
			e.check(t, w, k) // and has the keys in memory: it does not know the next keeper
		}
		w.read = []seal.Keeper{w.keeper}
		w.keeper = &keeper{Keeper: newFileKeeper(t)}
		// The start of a process with another keeper is part of what may crash.
		c := &crash{at: at, after: after}
		doomed, err := seal.OpenKeyring(t.Context(), w.keepers(), crashingKeys{w.keys, c}, crashingData{w.data, c}, seal.Options{Clock: w.clock.now})
		for left := int64(1); err == nil && left > 0; {
			_, left, err = doomed.RewrapTenants(t.Context(), 1)
		}
		next := w.start(t, seal.Options{})
		for _, e := range estates {
			e.check(t, w, next)
			e.check(t, w, k)
		}
		for left := int64(1); left > 0; {
			if _, left, err = next.RewrapTenants(t.Context(), 2); err != nil {
				t.Fatalf("crash at call %d: %v", at, err)
			}
		}
		status, err := next.MasterStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range status.Versions {
			if !v.Newest && (v.Tenants != 0 || v.Retired.IsZero()) {
				t.Errorf("crash at call %d: version %d wraps %d keys, retired %s", at, v.Version, v.Tenants, v.Retired)
			}
		}
		w.read = nil // the old key is not needed any more
		last := w.start(t, seal.Options{})
		for _, e := range estates {
			e.check(t, w, last)
		}
		return c
	})
}
