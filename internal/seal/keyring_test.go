package seal_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func TestAnotherProcessOpensWhatThisOneSealed(t *testing.T) {
	w, k := founded(t, seal.Options{})
	other := w.start(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("text"))
	mustOpen(t, other, place, sealed, []byte("text"))
}

func TestWrongMasterKeyStopsTheStart(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	right := w.keeper.Keeper
	check := mustCheck(t, w)

	w.keeper.Keeper = newFileKeeper(t)
	_, err := w.tryStart(t, seal.Options{})
	if !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Fatalf("start with another key: %v, want ErrWrongMasterKey", err)
	}
	wantKind(t, err, config.KindUnavailable)
	var e *config.Error
	if errors.As(err, &e); e.Next == "" || !strings.Contains(e.Message, "master.key") {
		t.Errorf("the error %q names no keeper or no next step (%q)", e.Message, e.Next)
	}
	if !bytes.Equal(check, mustCheck(t, w)) {
		t.Error("the check value was replaced")
	}
	w.keeper.Keeper = right
	w.start(t, seal.Options{})
}

func mustCheck(t *testing.T, w *world) []byte {
	t.Helper()
	masters, err := w.keys.Keys.Masters(t.Context())
	if err != nil || len(masters) != 1 {
		t.Fatalf("%d master keys, %v, want one", len(masters), err)
	}
	return masters[0].Check
}

// plainKeeper opens everything, as a keeper that checks nothing would.
type plainKeeper struct{ seal.Keeper }

func (plainKeeper) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return []byte("something"), nil
}

func TestCheckValueMustReadAsExpected(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	w.keeper.Keeper = plainKeeper{w.keeper.Keeper}
	if _, err := w.tryStart(t, seal.Options{}); !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Fatalf("start: %v, want ErrWrongMasterKey", err)
	}
}

func TestKeyStoreWithoutCheckValueIsNotFoundedAgain(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	w.keys.hideMasters = true
	_, err := w.tryStart(t, seal.Options{})
	wantKind(t, err, config.KindUnavailable)
	if !strings.Contains(err.Error(), "damaged") {
		t.Errorf("the error %q does not say what is wrong", err)
	}
}

func TestDataWithoutItsKeyStoreIsNotFoundedAgain(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	other := newWorld(t)
	w.keys = other.keys
	_, err := w.tryStart(t, seal.Options{})
	wantKind(t, err, config.KindUnavailable)
	if masters, err := w.keys.Masters(t.Context()); err != nil || len(masters) != 0 {
		t.Errorf("the empty key store was founded all the same: %d master keys, %v", len(masters), err)
	}
}

func TestTenantWithoutItsKeyIsNotFoundedAgain(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	w.keys = newWorld(t).keys
	server := w.data.inner
	w.data.inner = newWorld(t).data.inner
	k := w.start(t, seal.Options{})
	w.data.inner = server
	wantKind(t, k.Found(t.Context(), tenantA), config.KindUnavailable)
	_, err := k.Seal(t.Context(), place, nil)
	wantKind(t, err, config.KindUnavailable)
}

func TestFoundMayBeRepeated(t *testing.T) {
	w, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("text"))
	mustFound(t, k, tenantA)
	mustFound(t, w.start(t, seal.Options{}), tenantA)
	mustOpen(t, k, place, sealed, []byte("text"))
	if epochs := w.data.reserved(t, tenantA); len(epochs) != 1 {
		t.Errorf("the tenant has %d data keys, want 1", len(epochs))
	}
}

func TestFoundGoesOnAfterACrash(t *testing.T) {
	w := newWorld(t)
	k := w.start(t, seal.Options{})
	method := "AddDataKey"
	w.data.down.Store(&method)
	wantKind(t, k.Found(t.Context(), tenantA), config.KindUnavailable)
	w.data.down.Store(nil)
	mustFound(t, k, tenantA)
	mustOpen(t, k, place, mustSeal(t, k, place, []byte("text")), []byte("text"))
}

func TestFoundInManyProcessesAtOnce(t *testing.T) {
	w := newWorld(t)
	const processes = 8
	sealed := make([][]byte, processes)
	rings := make([]*seal.Keyring, processes)
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() {
			k, err := w.tryStart(t, seal.Options{})
			if err == nil {
				err = k.Found(t.Context(), tenantA)
			}
			if err == nil {
				sealed[i], err = k.Seal(t.Context(), place, []byte("text"))
			}
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			rings[i] = k
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i := range processes {
		mustOpen(t, rings[i], place, sealed[(i+1)%processes], []byte("text"))
	}
}

// Whoever founds second takes what the first one made, at whatever moment it
// was overtaken; with another master key it stops.
func TestFoundingOvertaken(t *testing.T) {
	for name, overtake := range map[string]func(*world, func()){
		"after the check value": func(w *world, f func()) { w.keys.onMasters = f },
		"before the data keys":  func(w *world, f func()) { w.data.onList = f },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var first *seal.Keyring
			found := func() {
				first = w.start(t, seal.Options{})
				mustFound(t, first, tenantA)
			}
			overtake(w, found)
			second := w.start(t, seal.Options{})
			mustFound(t, second, tenantA)
			mustOpen(t, second, place, mustSeal(t, first, place, []byte("text")), []byte("text"))

			w = newWorld(t)
			overtake(w, found)
			other := *w
			other.keeper = &keeper{Keeper: newFileKeeper(t)}
			if _, err := other.tryStart(t, seal.Options{}); !errors.Is(err, seal.ErrWrongMasterKey) {
				t.Errorf("a second founder with another key: %v, want ErrWrongMasterKey", err)
			}
		})
	}
}

func TestFoundingATenantOvertaken(t *testing.T) {
	w := newWorld(t)
	first, second := w.start(t, seal.Options{}), w.start(t, seal.Options{})
	w.data.onList = func() { mustFound(t, first, tenantA) }
	mustFound(t, second, tenantA)
	mustOpen(t, second, place, mustSeal(t, first, place, []byte("text")), []byte("text"))
}

func TestDestroyedIsGone(t *testing.T) {
	w, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("text"))
	for range 2 {
		if err := k.Destroy(t.Context(), tenantA); err != nil {
			t.Fatal(err)
		}
	}
	for name, k := range map[string]*seal.Keyring{"here": k, "after a restart": w.start(t, seal.Options{})} {
		_, err := k.Open(t.Context(), place, sealed)
		wantKind(t, err, config.KindGone)
		_, err = k.Seal(t.Context(), place, nil)
		wantKind(t, err, config.KindGone)
		_, err = k.MAC(t.Context(), tenantA, "p", nil)
		wantKind(t, err, config.KindGone)
		if err := k.Found(t.Context(), tenantA); config.KindOf(err) != config.KindGone {
			t.Errorf("%s: Found a destroyed tenant again: %v", name, err)
		}
	}
	at := place
	at.Tenant = tenantB
	mustOpen(t, k, at, mustSeal(t, k, at, []byte("text")), []byte("text"))
	if err := k.Destroy(t.Context(), config.TenantID{15: 0xff}); err != nil {
		t.Errorf("Destroy of a tenant that never had a key: %v", err)
	}
	wantKind(t, k.Destroy(t.Context(), config.TenantID{}), config.KindForbidden)
}

// A load that began before the key was destroyed must not bring it back.
func TestDestroyOvertakesALoad(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	k := w.start(t, seal.Options{})
	read, destroyed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.keys.onRead = func() {
		once.Do(func() {
			close(read)
			<-destroyed
		})
	}
	done := make(chan error)
	go func() {
		_, err := k.Seal(t.Context(), place, nil)
		done <- err
	}()
	<-read
	if err := k.Destroy(t.Context(), tenantA); err != nil {
		t.Fatal(err)
	}
	close(destroyed)
	wantKind(t, <-done, config.KindGone)
	_, err := k.Seal(t.Context(), place, nil)
	wantKind(t, err, config.KindGone)
}

func TestFirstUseCoalesces(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	k := w.start(t, seal.Options{})
	const callers = 64
	release := make(chan struct{})
	w.keys.onRead = func() { <-release }
	reads, unwraps, reservations := w.keys.reads.Load(), w.keeper.unwraps.Load(), w.data.reservations.Load()
	var wg, started sync.WaitGroup
	started.Add(callers)
	for range callers {
		wg.Go(func() {
			started.Done()
			if _, err := k.Seal(t.Context(), place, []byte("text")); err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	close(release)
	wg.Wait()
	if n := w.keys.reads.Load() - reads; n != 1 {
		t.Errorf("the tenant key was read %d times, want once", n)
	}
	if n := w.keeper.unwraps.Load() - unwraps; n != 1 {
		t.Errorf("the keeper was asked %d times, want once", n)
	}
	if n := w.data.reservations.Load() - reservations; n != 1 {
		t.Errorf("%d blocks were reserved, want one", n)
	}
}

func TestWhoGivesUpDoesNotStopTheOthers(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	k := w.start(t, seal.Options{})
	read, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.keys.onRead = func() { once.Do(func() { close(read) }); <-release }

	ctx, cancel := context.WithCancel(t.Context())
	impatient, patient := make(chan error), make(chan error)
	go func() { _, err := k.Seal(ctx, place, nil); impatient <- err }()
	<-read
	go func() { _, err := k.Seal(t.Context(), place, nil); patient <- err }()
	cancel()
	err := <-impatient
	wantKind(t, err, config.KindUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error %v hides its cause", err)
	}
	close(release)
	if err := <-patient; err != nil {
		t.Errorf("the patient caller: %v", err)
	}
}

func TestMAC(t *testing.T) {
	w, k := founded(t, seal.Options{Tenants: 1})
	mac := func(k *seal.Keyring, id config.TenantID, purpose, data string) [32]byte {
		t.Helper()
		sum, err := k.MAC(t.Context(), id, purpose, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	first := mac(k, tenantA, "audit", "data")
	seen := map[[32]byte]string{
		first:                                      "A audit data",
		mac(k, tenantB, "audit", "data"):           "B audit data",
		mac(k, tenantA, "cursor", "data"):          "A cursor data",
		mac(k, tenantA, "audit", "Data"):           "A audit Data",
		mac(k, tenantA, "auditd", "ata"):           "A auditd ata",
		mac(k, config.TenantID{}, "audit", "data"): "server audit data",
	}
	if len(seen) != 6 {
		t.Errorf("of 6 MACs some are equal: %v", seen)
	}
	if again := mac(w.start(t, seal.Options{}), tenantA, "audit", "data"); again != first {
		t.Error("the MAC is another one after a restart")
	}
	_, err := k.MAC(t.Context(), config.TenantID{1}, "audit", nil)
	wantKind(t, err, config.KindUnavailable)
}

// Eviction wipes what others may still be using: they must notice.
func TestManyTenantsInASmallMemory(t *testing.T) {
	w := newWorld(t)
	k := w.start(t, seal.Options{Tenants: 2, SealsPerBlock: 4})
	const tenants = 6
	var want [tenants][32]byte
	for i := range tenants {
		id := config.TenantID{byte(i + 1)}
		mustFound(t, k, id)
		sum, err := k.MAC(t.Context(), id, "p", nil)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = sum
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				n := (worker*7 + i) % tenants
				at := seal.Place{Kind: seal.Entry, Tenant: config.TenantID{byte(n + 1)}, Version: int64(i)}
				sum, err := k.MAC(t.Context(), at.Tenant, "p", nil)
				if err != nil || sum != want[n] {
					t.Errorf("the MAC of tenant %d is another one, %v", n, err)
				}
				sealed, err := k.Seal(t.Context(), at, []byte("text"))
				if err == nil {
					_, err = k.Open(t.Context(), at, sealed)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAlteredKeysDoNotOpen(t *testing.T) {
	w, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("text"))
	ofB, err := w.data.inner.DataKeys(t.Context(), tenantB)
	if err != nil {
		t.Fatal(err)
	}
	alterations := map[string]func(*store.DataKey){
		"another tenant's": func(r *store.DataKey) { r.Wrapped = ofB[0].Wrapped },
		"another epoch's":  func(r *store.DataKey) { r.Epoch++ },
		"another format":   func(r *store.DataKey) { r.Wrapped = alter(r.Wrapped, 0) },
		"another version":  func(r *store.DataKey) { r.Wrapped = alter(r.Wrapped, 4) },
		"another nonce":    func(r *store.DataKey) { r.Wrapped = alter(r.Wrapped, 5) },
		"altered":          func(r *store.DataKey) { r.Wrapped = alter(r.Wrapped, 30) },
		"cut":              func(r *store.DataKey) { r.Wrapped = r.Wrapped[:40] },
	}
	for name, alteration := range alterations {
		t.Run(name, func(t *testing.T) {
			fresh := w.start(t, seal.Options{})
			w.data.alter = alteration
			defer func() { w.data.alter = nil }()
			_, err := fresh.Open(t.Context(), place, sealed)
			if !errors.Is(err, seal.ErrSealBroken) {
				t.Errorf("Open with a data key that is %s: %v, want ErrSealBroken", name, err)
			}
		})
	}
}

func alter(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i]++
	return b
}

// misplacing answers one tenant's wrapped key for all of them.
type misplacing struct{ store.Keys }

func (m misplacing) TenantKey(ctx context.Context, _ config.TenantID) (store.TenantKey, error) {
	return m.Keys.TenantKey(ctx, tenantB)
}

func TestAnotherTenantsKeyDoesNotOpen(t *testing.T) {
	w, k := founded(t, seal.Options{})
	sealed := mustSeal(t, k, place, []byte("text"))
	fresh := w.start(t, seal.Options{})
	w.keys.Keys = misplacing{w.keys.Keys}
	_, err := fresh.Open(t.Context(), place, sealed)
	if !errors.Is(err, seal.ErrSealBroken) || !errors.Is(err, seal.ErrNotWrapped) {
		t.Errorf("Open with the key of another tenant: %v, want ErrSealBroken because of ErrNotWrapped", err)
	}
}

func TestTenantKeyMustReadAsOne(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	fresh := w.start(t, seal.Options{})
	w.keeper.Keeper = plainKeeper{w.keeper.Keeper}
	if _, err := fresh.Seal(t.Context(), place, nil); !errors.Is(err, seal.ErrSealBroken) {
		t.Errorf("Seal under a tenant key that is none: %v, want ErrSealBroken", err)
	}
}

func TestWhatIsDownIsUnavailable(t *testing.T) {
	uses := map[string]func(*testing.T, *world, *seal.Keyring) error{
		"start": func(t *testing.T, w *world, _ *seal.Keyring) error {
			_, err := w.tryStart(t, seal.Options{})
			return err
		},
		"seal": func(t *testing.T, _ *world, k *seal.Keyring) error {
			_, err := k.Seal(t.Context(), place, nil)
			return err
		},
		"found": func(t *testing.T, _ *world, k *seal.Keyring) error {
			return k.Found(t.Context(), config.TenantID{15: 0xc})
		},
		"destroy": func(t *testing.T, _ *world, k *seal.Keyring) error {
			return k.Destroy(t.Context(), tenantB)
		},
	}
	cases := []struct{ use, part, method string }{
		{"start", "keys", "Masters"},
		{"start", "keys", "MasterVersions"},
		{"start", "keys", "TenantKey"},
		{"start", "keeper", "Unwrap"},
		{"found", "keys", "TenantKey"},
		{"found", "keys", "AddTenantKey"},
		{"found", "data", "DataKeys"},
		{"found", "data", "AddDataKey"},
		{"found", "keeper", "Wrap"},
		{"found", "keeper", "Unwrap"},
		{"seal", "keys", "TenantKey"},
		{"seal", "data", "DataKeys"},
		{"seal", "data", "ReserveSeals"},
		{"seal", "keeper", "Unwrap"},
		{"destroy", "keys", "DestroyTenantKey"},
	}
	for _, c := range cases {
		t.Run(c.use+" without "+c.method, func(t *testing.T) {
			w, _ := founded(t, seal.Options{})
			k := w.start(t, seal.Options{})
			w.fail(c.part, c.method)
			err := uses[c.use](t, w, k)
			wantKind(t, err, config.KindUnavailable)
			if !errors.Is(err, errDown) {
				t.Errorf("the error %v hides its cause", err)
			}
			w.fail(c.part, "")
			if err := uses[c.use](t, w, k); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func (w *world) fail(part, method string) {
	switch part {
	case "keys":
		w.keys.down.Store(&method)
	case "data":
		w.data.down.Store(&method)
	case "keeper":
		w.keeper.down.Store(&method)
	}
}

// What a store says of itself is not said again in other words.
func TestAVerdictOfAStoreIsPassedOn(t *testing.T) {
	w, k := founded(t, seal.Options{})
	verdict := config.Errorf(config.KindOverloaded, "too much at once").Hint("wait")
	w.keys.Keys = busy{w.keys.Keys, verdict}
	if err := k.Destroy(t.Context(), tenantA); !errors.Is(err, verdict) {
		t.Errorf("Destroy: %v, want the store's own error", err)
	}
}

type busy struct {
	store.Keys
	err error
}

func (b busy) DestroyTenantKey(context.Context, config.TenantID) error { return b.err }

func TestANewKeyStoreThatIsDownIsNotFounded(t *testing.T) {
	for part, method := range map[string]string{"keys": "AddMaster", "keeper": "Wrap", "data": "DataKeys"} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			w.fail(part, method)
			_, err := w.tryStart(t, seal.Options{})
			wantKind(t, err, config.KindUnavailable)
			w.fail(part, "")
			w.start(t, seal.Options{})
		})
	}
	w := newWorld(t)
	w.fail("keys", "TenantKey")
	_, err := w.tryStart(t, seal.Options{})
	wantKind(t, err, config.KindUnavailable)
}

// thin is a source of randomness that ends.
type thin struct{ left int }

func (r *thin) Read(b []byte) (int, error) {
	if r.left < len(b) {
		return 0, errDown
	}
	r.left -= len(b)
	return len(b), nil
}

func TestNothingIsSealedWithoutRandomness(t *testing.T) {
	w := newWorld(t)
	_, err := w.tryStart(t, seal.Options{Rand: &thin{}})
	wantKind(t, err, config.KindUnavailable)
	_, err = w.tryStart(t, seal.Options{Rand: &thin{left: 69}}) // a tenant key and no data key
	wantKind(t, err, config.KindUnavailable)
	k := w.start(t, seal.Options{Rand: &thin{left: 44}}) // a data key and no nonce
	_, err = k.Seal(t.Context(), seal.Place{Kind: seal.Entry}, nil)
	wantKind(t, err, config.KindUnavailable)
	if !errors.Is(err, errDown) {
		t.Errorf("the error %v hides its cause", err)
	}
}
