package seal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (w *world) backup(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := seal.Backup(t.Context(), w.keepers(), w.keys, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withNewKeys is the world after its key store was lost.
func (w *world) withNewKeys(t testing.TB) *world {
	t.Helper()
	fresh, _ := openStores(t)
	return &world{keys: &keys{Keys: fresh}, data: w.data, keeper: w.keeper, read: w.read, clock: w.clock}
}

func (w *world) restore(t testing.TB, text []byte) (seal.RestoreReport, error) {
	t.Helper()
	return seal.Restore(t.Context(), w.keepers(), w.keys, bytes.NewReader(text))
}

// wantRestored says what a restore did: masters, added, kept, replaced, destroyed.
func (w *world) wantRestored(t testing.TB, text []byte, want [5]int) {
	t.Helper()
	r, err := w.restore(t, text)
	if err != nil {
		t.Fatalf("Restore: %v", err)
	}
	if got := [5]int{r.Masters, r.Added, r.Kept, r.Replaced, r.Destroyed}; got != want {
		t.Errorf("masters, added, kept, replaced, destroyed = %v, want %v", got, want)
	}
	if len(r.Tenants) != r.Added+r.Kept+r.Replaced+r.Destroyed {
		t.Errorf("%d tenants are reported, %+v", len(r.Tenants), r)
	}
}

// allKeys is the whole key store, to see whether anything changed.
func (w *world) allKeys(t testing.TB) string {
	t.Helper()
	masters, err := w.keys.Keys.Masters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := w.keys.Keys.TenantKeys(t.Context(), nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range masters {
		b.WriteString(m.Keeper + string(m.Check) + m.Created.String() + m.Retired.String())
	}
	for _, r := range rows {
		b.WriteString(r.Tenant.String() + string(r.Wrapped) + r.Created.String() + r.Rotated.String())
		b.WriteByte(byte(r.Generation))
		b.WriteByte(byte(r.Master))
	}
	return b.String()
}

// estate for backups: two tenants, one destroyed, two masters.
func backedUp(t *testing.T) (*world, estate) {
	t.Helper()
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	mustFound(t, k, tenantB)
	mustRotate(t, k, tenantA)
	w.read, w.keeper = []seal.Keeper{w.keeper}, &keeper{Keeper: newFileKeeper(t)}
	k = w.start(t, seal.Options{})
	rewrapAll(t, k)
	if err := k.Destroy(t.Context(), tenantB); err != nil {
		t.Fatal(err)
	}
	return w, e
}

func TestBackupAndRestore(t *testing.T) {
	w, e := backedUp(t)
	var b bytes.Buffer
	report, err := seal.Backup(t.Context(), w.keepers(), w.keys, &b)
	if want := (seal.BackupReport{Masters: 2, Tenants: 2, Tombstones: 1}); err != nil || report != want {
		t.Fatalf("Backup = %+v, %v, want %+v", report, err, want)
	}
	text := b.Bytes()
	w.read = nil // the file needs the keys of today only
	lost := w.withNewKeys(t)
	lost.wantRestored(t, text, [5]int{2, 2, 0, 0, 1})
	if lost.allKeys(t) != w.allKeys(t) {
		t.Error("what was restored is not what there was")
	}
	k := lost.start(t, seal.Options{})
	e.check(t, lost, k)
	wantKind(t, k.Found(t.Context(), tenantB), config.KindGone)

	lost.wantRestored(t, text, [5]int{0, 0, 3, 0, 0})
	w.wantRestored(t, text, [5]int{0, 0, 3, 0, 0})
	if again := lost.backup(t); !bytes.Equal(withoutEnd(again), withoutEnd(text)) {
		t.Error("a backup of what was restored is another one")
	}
}

func withoutEnd(text []byte) []byte {
	return text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1]
}

// What is newer stays, and what was destroyed does not come back, on either side.
func TestRestoreMerges(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	mustFound(t, k, tenantB)
	old := w.backup(t)
	older := w.withNewKeys(t)
	older.wantRestored(t, old, [5]int{1, 3, 0, 0, 0})

	for range 3 {
		mustRotate(t, k, tenantA)
	}
	if _, _, err := k.RewrapData(t.Context(), tenantA, 500); err != nil {
		t.Fatal(err)
	}
	if err := k.Destroy(t.Context(), tenantB); err != nil {
		t.Fatal(err)
	}
	w.wantRestored(t, old, [5]int{0, 0, 3, 0, 0})
	e.check(t, w, w.start(t, seal.Options{}))
	wantKind(t, k.Found(t.Context(), tenantB), config.KindGone)

	text := w.backup(t)
	older.wantRestored(t, text, [5]int{0, 0, 1, 1, 1})
	if older.allKeys(t) != w.allKeys(t) {
		t.Error("what was restored is not what there was")
	}
	older.wantRestored(t, text, [5]int{0, 0, 3, 0, 0})
	older.wantRestored(t, old, [5]int{0, 0, 3, 0, 0})
	fresh := older.start(t, seal.Options{})
	e.check(t, older, fresh)
	wantKind(t, fresh.Found(t.Context(), tenantB), config.KindGone)
}

// Two key stores that went on from the same backup each have keys that the
// other lacks: neither replaces the other's.
func TestRestoreRefusesAnotherHistory(t *testing.T) {
	w := newWorld(t)
	w.fill(t, tenantA)
	other := w.withNewKeys(t)
	_, inner := openStores(t)
	other.data = &data{inner: inner}
	other.wantRestored(t, w.backup(t), [5]int{1, 2, 0, 0, 0})
	mustRotate(t, w.start(t, seal.Options{}), tenantA)
	k := other.start(t, seal.Options{})
	mustRotate(t, k, tenantA)
	mustRotate(t, k, tenantA)
	before := w.allKeys(t)
	_, err := w.restore(t, other.backup(t))
	wantKind(t, err, config.KindConflict)
	if w.allKeys(t) != before {
		t.Error("a tenant's key was restored all the same")
	}

	// The same of the master key.
	w.read, other.read = []seal.Keeper{w.keeper}, []seal.Keeper{w.keeper}
	w.keeper, other.keeper = &keeper{Keeper: newFileKeeper(t)}, &keeper{Keeper: newFileKeeper(t)}
	other.start(t, seal.Options{})
	text := other.backup(t)
	w.start(t, seal.Options{})
	before = w.allKeys(t)
	w.read = append(w.read, other.keeper)
	_, err = w.restore(t, text)
	wantKind(t, err, config.KindConflict)
	if w.allKeys(t) != before {
		t.Error("something was restored all the same")
	}
}

func TestBackupWantsTheRightKey(t *testing.T) {
	w, _ := backedUp(t)
	text := w.backup(t)
	right := w.keeper
	w.keeper, w.read = &keeper{Keeper: newFileKeeper(t)}, nil
	if _, err := seal.Backup(t.Context(), w.keepers(), w.keys, io.Discard); !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Errorf("Backup with another key: %v", err)
	}
	lost := w.withNewKeys(t)
	_, err := lost.restore(t, text)
	wantKind(t, err, config.KindBadRequest)
	if !errors.Is(err, seal.ErrWrongMasterKey) || lost.allKeys(t) != "" {
		t.Errorf("Restore with another key: %v", err)
	}
	lost.keeper = right
	if _, err := seal.Backup(t.Context(), lost.keepers(), lost.keys, io.Discard); config.KindOf(err) != config.KindNotFound {
		t.Errorf("Backup of nothing: %v", err)
	}
	w.keeper = right
	if _, err := seal.Backup(t.Context(), w.keepers(), w.keys, full{}); !errors.Is(err, errDown) {
		t.Errorf("Backup to a full disk: %v", err)
	}
	if _, err := seal.Restore(t.Context(), w.keepers(), w.keys, iotest.ErrReader(errDown)); !errors.Is(err, errDown) {
		t.Errorf("Restore from what cannot be read: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errDown }

// A file that is not as it was written restores nothing.
func TestAnAlteredBackupRestoresNothing(t *testing.T) {
	w, _ := backedUp(t)
	text := w.backup(t)
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	lost := w.withNewKeys(t)
	rapid.Check(t, func(r *rapid.T) {
		altered := bytes.Clone(text)
		line := func(name string) int { return rapid.IntRange(0, len(lines)-1).Draw(r, name) }
		switch rapid.SampledFrom([]string{"flip", "cut", "drop", "double", "swap", "append", "space", "crlf"}).Draw(r, "alteration") {
		case "flip":
			bit := rapid.IntRange(0, len(text)*8-1).Draw(r, "bit")
			altered[bit/8] ^= 1 << (bit % 8)
		case "cut":
			altered = altered[:rapid.IntRange(0, len(text)-1).Draw(r, "length")]
		case "drop":
			i := line("line")
			altered = bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
		case "double":
			i := line("line")
			altered = bytes.Join(append(append([][]byte{}, lines[:i+1]...), lines[i:]...), nil)
		case "swap":
			i, j := line("one"), line("other")
			if i == j {
				return
			}
			mixed := append([][]byte{}, lines...)
			mixed[i], mixed[j] = mixed[j], mixed[i]
			altered = bytes.Join(mixed, nil)
		case "append":
			altered = append(altered, rapid.SampledFrom([]string{"\n", " ", "{}\n", string(lines[1])}).Draw(r, "more")...)
		case "space":
			altered = bytes.Replace(text, []byte(`":`), []byte(`": `), 1)
		case "crlf":
			altered = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		_, err := seal.Restore(context.Background(), lost.keepers(), lost.keys, bytes.NewReader(altered))
		if config.KindOf(err) != config.KindBadRequest {
			r.Fatalf("Restore: %v, want a refusal", err)
		}
		if rows := lost.allKeys(t); rows != "" {
			r.Fatalf("something was restored all the same")
		}
	})
	lost.wantRestored(t, text, [5]int{2, 2, 0, 0, 1})
}

// The end of one backup does not vouch for the body of another.
func TestTheEndOfAnotherBackup(t *testing.T) {
	w, _ := backedUp(t)
	one := w.backup(t)
	k := w.start(t, seal.Options{})
	mustRotate(t, k, tenantA)
	two := w.backup(t)
	mixed := append(bytes.Clone(withoutEnd(one)), two[len(withoutEnd(two)):]...)
	_, err := w.restore(t, mixed)
	wantKind(t, err, config.KindBadRequest)
}

// A restore that ends at any of its calls is repeated and then complete.
func TestRestoreSurvivesACrashAnywhere(t *testing.T) {
	w, e := backedUp(t)
	k := w.start(t, seal.Options{})
	old := w.backup(t)
	for range 2 {
		mustRotate(t, k, tenantA)
	}
	text := w.backup(t)
	everywhere(t, func(t *testing.T, at int, after bool) *crash {
		lost := w.withNewKeys(t)
		if at%2 == 0 { // into an older key store, else into an empty one
			if _, err := lost.restore(t, old); err != nil {
				t.Fatal(err)
			}
		}
		c := &crash{at: at, after: after}
		_, _ = seal.Restore(t.Context(), lost.keepers(), crashingKeys{lost.keys, c}, bytes.NewReader(text))
		if _, err := lost.restore(t, text); err != nil {
			t.Fatalf("crash at call %d: %v", at, err)
		}
		if lost.allKeys(t) != w.allKeys(t) {
			t.Fatalf("crash at call %d: what was restored is not what there was", at)
		}
		e.check(t, lost, lost.start(t, seal.Options{}))
		return c
	})
}

// A key store of many tenants is written and read in pages.
func TestBackupOfManyTenants(t *testing.T) {
	w := newWorld(t)
	w.start(t, seal.Options{})
	const tenants = 603
	for i := range tenants {
		id := config.TenantID{1, byte(i >> 8), byte(i)}
		if i%3 == 0 {
			if err := w.keys.DestroyTenantKey(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			continue
		}
		err := w.keys.AddTenantKey(t.Context(), store.TenantKey{Tenant: id, Wrapped: []byte("wrapped"), Master: 1, Generation: 1, Newest: 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	text := w.backup(t)
	w.withNewKeys(t).wantRestored(t, text, [5]int{1, 403, 0, 0, 201})
}
