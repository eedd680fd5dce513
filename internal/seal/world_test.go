package seal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

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
}

func newWorld(t testing.TB) *world {
	t.Helper()
	k, d := openStores(t)
	return &world{keys: &keys{Keys: k}, data: &data{inner: d}, keeper: &keeper{Keeper: newFileKeeper(t)}}
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
	return seal.OpenKeyring(t.Context(), w.keeper, w.keys, w.data, options)
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
	down      atomic.Pointer[string] // the method that fails
	reads     atomic.Int64           // calls of TenantKey
	onRead    func()                 // called when TenantKey has its answer
	onCheck   func()                 // called once, when MasterCheck has its answer
	hideCheck bool
}

func (k *keys) fails(method string) bool {
	name := k.down.Load()
	return name != nil && *name == method
}

func (k *keys) MasterCheck(ctx context.Context) ([]byte, error) {
	if k.fails("MasterCheck") {
		return nil, errDown
	}
	if k.hideCheck {
		return nil, config.Errorf(config.KindNotFound, "there is no check value")
	}
	check, err := k.Keys.MasterCheck(ctx)
	if f := k.onCheck; f != nil {
		k.onCheck = nil
		f()
	}
	return check, err
}

func (k *keys) SetMasterCheck(ctx context.Context, check []byte) error {
	if k.fails("SetMasterCheck") {
		return errDown
	}
	return k.Keys.SetMasterCheck(ctx, check)
}

func (k *keys) TenantKey(ctx context.Context, id config.TenantID) ([]byte, error) {
	if k.fails("TenantKey") {
		return nil, errDown
	}
	k.reads.Add(1)
	wrapped, err := k.Keys.TenantKey(ctx, id)
	if k.onRead != nil {
		k.onRead()
	}
	return wrapped, err
}

func (k *keys) AddTenantKey(ctx context.Context, id config.TenantID, wrapped []byte) error {
	if k.fails("AddTenantKey") {
		return errDown
	}
	return k.Keys.AddTenantKey(ctx, id, wrapped)
}

func (k *keys) DestroyTenantKey(ctx context.Context, id config.TenantID) error {
	if k.fails("DestroyTenantKey") {
		return errDown
	}
	return k.Keys.DestroyTenantKey(ctx, id)
}

// data is a database that counts, alters and fails as a test wants.
type data struct {
	inner        store.DataKeys
	down         atomic.Pointer[string] // the method that fails
	reservations atomic.Int64
	onList       func()               // called once, before DataKeys looks
	crash        bool                 // ReserveSeals commits, and its answer is lost
	alter        func(*store.DataKey) // what becomes of a row that is read
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
