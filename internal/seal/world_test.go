package seal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var (
	tenantA = config.TenantID{15: 0xa}
	tenantB = config.TenantID{15: 0xb}
	errDown = errors.New("down")
)

// world is a keyring with its surroundings, any of which a test may let fail.
type world struct {
	keys   *keys
	data   *data
	keeper *keeper
	read   []seal.Keeper // previous keepers
	clock  *clock
}

// clock stands still until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	k, d := openStores(t)
	return &world{
		keys: &keys{Keys: k}, data: &data{inner: d}, keeper: &keeper{Keeper: newFileKeeper(t)},
		clock: &clock{at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)},
	}
}

func newFileKeeper(t testing.TB) seal.Keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := seal.CreateFileKey(path); err != nil {
		t.Fatal(err)
	}
	k, err := seal.OpenFileKeeper(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// start is what a process does first; a second start is after a crash, or in another process.
func (w *world) start(t testing.TB, options seal.Options) *seal.Keyring {
	t.Helper()
	k, err := w.tryStart(t, options)
	if err != nil {
		t.Fatalf("OpenKeyring: %v", err)
	}
	return k
}

func (w *world) tryStart(t testing.TB, options seal.Options) (*seal.Keyring, error) {
	if options.Clock == nil {
		options.Clock = w.clock.now
	}
	return seal.OpenKeyring(t.Context(), w.keepers(), w.keys, w.data, options)
}

func (w *world) keepers() seal.Keepers { return seal.Keepers{Write: w.keeper, Read: w.read} }

// create makes a founded tenant one that the database knows, so that secrets
// can be written.
func (w *world) create(t testing.TB, id config.TenantID) {
	t.Helper()
	_, err := w.data.inner.CreateTenant(t.Context(), config.Tenant{ID: id, Name: "t-" + id.String()[20:]}, store.Write{}, store.Write{})
	if err != nil {
		t.Fatal(err)
	}
}

// putSecret seals a value and commits it as the first version of a secret.
func (w *world) putSecret(t testing.TB, k *seal.Keyring, at seal.Place, plain string) {
	t.Helper()
	s, err := k.SealSecret(t.Context(), at, []byte(plain))
	if err != nil {
		t.Fatalf("SealSecret(%s): %v", at, err)
	}
	w.commitSecret(t, at, s)
}

func (w *world) commitSecret(t testing.TB, at seal.Place, s seal.SecretSeal) {
	t.Helper()
	_, err := w.data.inner.Commit(t.Context(), at.Tenant, store.Write{Secrets: []store.SecretWrite{{
		Environment: at.Environment, Path: config.MustPath(at.Path), Version: 1, Sealed: []byte("record"),
		AddValues: []store.SecretValue{{Version: config.Version(at.Version), Sealed: s.Sealed, Wrapped: s.Wrapped, KeyVersion: s.KeyVersion}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

// stored is a secret's value as the database has it.
func (w *world) stored(t testing.TB, at seal.Place) seal.SecretSeal {
	t.Helper()
	v, err := w.data.inner.SecretValue(t.Context(), at.Tenant, at.Environment, config.MustPath(at.Path), config.Version(at.Version))
	if err != nil {
		t.Fatal(err)
	}
	return seal.SecretSeal{Sealed: v.Sealed, Wrapped: v.Wrapped, KeyVersion: v.KeyVersion}
}

func mustOpenSecret(t testing.TB, k *seal.Keyring, at seal.Place, s seal.SecretSeal, want string) {
	t.Helper()
	plain, err := k.OpenSecret(context.Background(), at, s)
	if err != nil {
		t.Fatalf("OpenSecret(%s): %v", at, err)
	}
	if string(plain) != want {
		t.Fatalf("OpenSecret(%s) = %d bytes that are not the %d sealed", at, len(plain), len(want))
	}
}

// founded is a keyring with tenants A and B.
func founded(t testing.TB, options seal.Options) (*world, *seal.Keyring) {
	t.Helper()
	w := newWorld(t)
	k := w.start(t, options)
	mustFound(t, k, tenantA)
	mustFound(t, k, tenantB)
	return w, k
}

func mustFound(t testing.TB, k *seal.Keyring, id config.TenantID) {
	t.Helper()
	if err := k.Found(t.Context(), id); err != nil {
		t.Fatalf("Found(%s): %v", id, err)
	}
}

func mustSeal(t interface {
	Helper()
	Fatalf(string, ...any)
}, k *seal.Keyring, at seal.Place, plain []byte) []byte {
	t.Helper()
	sealed, err := k.Seal(context.Background(), at, plain)
	if err != nil {
		t.Fatalf("Seal(%s): %v", at, err)
	}
	return sealed
}

func mustOpen(t interface {
	Helper()
	Fatalf(string, ...any)
}, k *seal.Keyring, at seal.Place, sealed, want []byte) {
	t.Helper()
	plain, err := k.Open(context.Background(), at, sealed)
	if err != nil {
		t.Fatalf("Open(%s): %v", at, err)
	}
	if !bytes.Equal(plain, want) {
		t.Fatalf("Open(%s) = %d bytes that are not the %d sealed", at, len(plain), len(want))
	}
}

func wantKind(t testing.TB, err error, want config.Kind) {
	t.Helper()
	if config.KindOf(err) != want {
		t.Fatalf("error %v is of kind %q, want %q", err, config.KindOf(err), want)
	}
}

func epochOf(sealed []byte) uint32 { return binary.BigEndian.Uint32(sealed[1:]) }

// keys is a key store that counts, waits and fails as a test wants.
type keys struct {
	store.Keys
	down        atomic.Pointer[string] // the method that fails
	reads       atomic.Int64           // calls of TenantKey
	onRead      func()                 // called when TenantKey has its answer
	onMasters   func()                 // called once, when Masters has its answer
	onReplace   func()                 // called once, before ReplaceTenantKey
	hideMasters bool
}

func (k *keys) fails(method string) bool {
	name := k.down.Load()
	return name != nil && *name == method
}

func (k *keys) Masters(ctx context.Context) ([]store.Master, error) {
	if k.fails("Masters") {
		return nil, errDown
	}
	if k.hideMasters {
		return nil, nil
	}
	masters, err := k.Keys.Masters(ctx)
	if f := k.onMasters; f != nil {
		k.onMasters = nil
		f()
	}
	return masters, err
}

func (k *keys) MasterVersions(ctx context.Context) (map[uint32]int64, error) {
	if k.fails("MasterVersions") {
		return nil, errDown
	}
	return k.Keys.MasterVersions(ctx)
}

func (k *keys) AddMaster(ctx context.Context, m store.Master) error {
	if k.fails("AddMaster") {
		return errDown
	}
	return k.Keys.AddMaster(ctx, m)
}

func (k *keys) ReplaceTenantKey(ctx context.Context, key store.TenantKey) error {
	if k.fails("ReplaceTenantKey") {
		return errDown
	}
	if f := k.onReplace; f != nil {
		k.onReplace = nil
		f()
	}
	return k.Keys.ReplaceTenantKey(ctx, key)
}

func (k *keys) TenantKey(ctx context.Context, id config.TenantID) (store.TenantKey, error) {
	if k.fails("TenantKey") {
		return store.TenantKey{}, errDown
	}
	k.reads.Add(1)
	key, err := k.Keys.TenantKey(ctx, id)
	if k.onRead != nil {
		k.onRead()
	}
	return key, err
}

func (k *keys) AddTenantKey(ctx context.Context, key store.TenantKey) error {
	if k.fails("AddTenantKey") {
		return errDown
	}
	return k.Keys.AddTenantKey(ctx, key)
}

func (k *keys) DestroyTenantKey(ctx context.Context, id config.TenantID) error {
	if k.fails("DestroyTenantKey") {
		return errDown
	}
	return k.Keys.DestroyTenantKey(ctx, id)
}

// data is a database that counts, alters and fails as a test wants.
type data struct {
	inner        store.Store
	down         atomic.Pointer[string] // the method that fails
	reservations atomic.Int64
	onList       func()                  // called once, before DataKeys looks
	crash        bool                    // ReserveSeals commits, and its answer is lost
	alter        func(*store.DataKey)    // what becomes of a row that is read
	spoil        func(*store.WrappedKey) // the same for KeysBelow
	onRewrap     func()                  // called once, before Rewrap
}

func (d *data) fails(method string) bool {
	name := d.down.Load()
	return name != nil && *name == method
}

func (d *data) DataKeys(ctx context.Context, id config.TenantID) ([]store.DataKey, error) {
	if d.fails("DataKeys") {
		return nil, errDown
	}
	if f := d.onList; f != nil {
		d.onList = nil
		f()
	}
	rows, err := d.inner.DataKeys(ctx, id)
	if d.alter != nil {
		for i := range rows {
			d.alter(&rows[i])
		}
	}
	return rows, err
}

func (d *data) AddDataKey(ctx context.Context, id config.TenantID, key store.DataKey) error {
	if d.fails("AddDataKey") {
		return errDown
	}
	return d.inner.AddDataKey(ctx, id, key)
}

func (d *data) ReserveSeals(ctx context.Context, id config.TenantID, epoch uint32, n int64) (int64, error) {
	if d.fails("ReserveSeals") {
		return 0, errDown
	}
	d.reservations.Add(1)
	before, err := d.inner.ReserveSeals(ctx, id, epoch, n)
	if d.crash {
		return 0, errDown
	}
	return before, err
}

func (d *data) KeyVersions(ctx context.Context, id config.TenantID) (map[uint32]int64, error) {
	if d.fails("KeyVersions") {
		return nil, errDown
	}
	return d.inner.KeyVersions(ctx, id)
}

func (d *data) KeysBelow(ctx context.Context, id config.TenantID, version uint32, limit int) ([]store.WrappedKey, error) {
	if d.fails("KeysBelow") {
		return nil, errDown
	}
	rows, err := d.inner.KeysBelow(ctx, id, version, limit)
	for i := range rows {
		if d.spoil != nil {
			d.spoil(&rows[i])
		}
	}
	return rows, err
}

func (d *data) Rewrap(ctx context.Context, id config.TenantID, keys []store.Rewrapped) error {
	if d.fails("Rewrap") {
		return errDown
	}
	if f := d.onRewrap; f != nil {
		d.onRewrap = nil
		f()
	}
	return d.inner.Rewrap(ctx, id, keys)
}

// reserved is how many seals the database has counted, by epoch.
func (d *data) reserved(t testing.TB, id config.TenantID) map[uint32]int64 {
	t.Helper()
	rows, err := d.inner.DataKeys(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[uint32]int64{}
	for _, row := range rows {
		counts[row.Epoch] = row.Reserved
	}
	return counts
}

// keeper fails as a test wants.
type keeper struct {
	seal.Keeper
	down    atomic.Pointer[string]
	unwraps atomic.Int64
}

func (k *keeper) Wrap(ctx context.Context, plain, associated []byte) ([]byte, error) {
	if name := k.down.Load(); name != nil && *name == "Wrap" {
		return nil, errDown
	}
	return k.Keeper.Wrap(ctx, plain, associated)
}

func (k *keeper) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	if name := k.down.Load(); name != nil && *name == "Unwrap" {
		return nil, errDown
	}
	k.unwraps.Add(1)
	return k.Keeper.Unwrap(ctx, wrapped, associated)
}
