package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
)

func mustMasters(t testing.TB, k *seal.Keyring) seal.MasterStatus {
	t.Helper()
	s, err := k.MasterStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rewrapAll(t testing.TB, k *seal.Keyring) {
	t.Helper()
	for left := int64(1); left > 0; {
		var err error
		if _, left, err = k.RewrapTenants(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
	}
}

// Which keepers a start needs, at each stage of a change from one to another.
func TestKeepersAtTheStart(t *testing.T) {
	first, second, wrong := newFileKeeper(t), newFileKeeper(t), newFileKeeper(t)
	w := newWorld(t)
	starts := func(want bool, versions int, write seal.Keeper, read ...seal.Keeper) *seal.Keyring {
		t.Helper()
		k, err := seal.OpenKeyring(t.Context(), seal.Keepers{Write: write, Read: read}, w.keys, w.data, seal.Options{Clock: w.clock.now})
		masters, listErr := w.keys.Masters(t.Context())
		if listErr != nil || len(masters) != versions {
			t.Fatalf("there are %d versions, %v, want %d", len(masters), listErr, versions)
		}
		if want && err != nil {
			t.Fatal(err)
		}
		if !want && !errors.Is(err, seal.ErrWrongMasterKey) {
			t.Fatalf("start: %v, want ErrWrongMasterKey", err)
		}
		return k
	}
	k := starts(true, 1, first)
	mustFound(t, k, tenantA)
	sealed := mustSeal(t, k, place, []byte("text"))

	starts(false, 1, wrong)
	starts(false, 1, second)
	starts(false, 1, second, wrong)
	starts(true, 1, first, wrong) // one that is not needed does no harm
	k = starts(true, 2, second, first)
	mustOpen(t, k, place, sealed, []byte("text"))
	starts(true, 2, second, wrong, first)
	starts(false, 2, second) // the first still wraps
	starts(false, 2, first)
	rewrapAll(t, k)
	k = starts(true, 2, second)
	mustOpen(t, k, place, sealed, []byte("text"))
	starts(false, 2, first)
	starts(false, 2, wrong, first)

	// Back to the first, which becomes a version of its own again.
	k = starts(true, 3, first, second)
	rewrapAll(t, k)
	mustOpen(t, starts(true, 3, first), place, sealed, []byte("text"))
	for i, v := range mustMasters(t, k).Versions {
		if newest := i == 2; v.Newest != newest || v.Retired.IsZero() != newest || (v.Tenants == 2) != newest {
			t.Errorf("version %d: %+v", i+1, v)
		}
	}
}

// A version that is retired and yet wraps something counts: another process may
// have been late.
func TestARetiredMasterThatWrapsIsNeeded(t *testing.T) {
	w, _ := founded(t, seal.Options{})
	row, err := w.keys.TenantKey(t.Context(), tenantA)
	if err != nil {
		t.Fatal(err)
	}
	old := w.keeper
	w.read, w.keeper = []seal.Keeper{old}, &keeper{Keeper: newFileKeeper(t)}
	rewrapAll(t, w.start(t, seal.Options{}))
	wrapped := row.Wrapped
	if row, err = w.keys.TenantKey(t.Context(), tenantA); err != nil {
		t.Fatal(err)
	}
	row.Wrapped, row.Master = wrapped, 1
	row.Generation++
	if err := w.keys.ReplaceTenantKey(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	w.read = nil
	if _, err := w.tryStart(t, seal.Options{}); !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Errorf("start: %v, want ErrWrongMasterKey", err)
	}
}

// fileWorld is a world whose keeper is a real key file, to which keys are added.
func fileWorld(t *testing.T) (*world, string, func() *seal.Keyring) {
	t.Helper()
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "master.key")
	if err := seal.CreateFileKey(path); err != nil {
		t.Fatal(err)
	}
	return w, path, func() *seal.Keyring {
		t.Helper()
		file, err := seal.OpenFileKeeper(path)
		if err != nil {
			t.Fatal(err)
		}
		k, err := seal.OpenKeyring(t.Context(), seal.Keepers{Write: file}, w.keys, w.data, seal.Options{Clock: w.clock.now})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func TestRotateMaster(t *testing.T) {
	w, path, start := fileWorld(t)
	k, other := start(), start()
	mustFound(t, k, tenantA)
	sealed := mustSeal(t, k, place, []byte("text"))
	_, err := k.RotateMaster(t.Context())
	wantKind(t, err, config.KindConflict)
	var e *config.Error
	if errors.As(err, &e); !strings.Contains(e.Next, "--add") {
		t.Errorf("the refusal %v has no remedy: %q", err, e.Next)
	}

	w.clock.pass(time.Hour)
	if err := seal.AddFileKey(path); err != nil {
		t.Fatal(err)
	}
	if version, err := k.RotateMaster(t.Context()); err != nil || version != 2 {
		t.Fatalf("RotateMaster = %d, %v", version, err)
	}
	_, err = k.RotateMaster(t.Context())
	wantKind(t, err, config.KindConflict)
	if s := mustMasters(t, k); s.Versions[0].Tenants != 2 || !s.Due.Equal(w.clock.now().Add(90*24*time.Hour)) {
		t.Errorf("after the rotation: %+v", s)
	}
	if done, left, err := k.RewrapTenants(t.Context(), 1); err != nil || done != 1 || left != 1 {
		t.Errorf("RewrapTenants = %d, %d, %v, want one of two", done, left, err)
	}
	rewrapAll(t, k)
	if s := mustMasters(t, k); s.Versions[0].Tenants != 0 || s.Versions[0].Retired.IsZero() || s.Versions[1].Tenants != 2 {
		t.Errorf("in the end: %+v", s)
	}
	if done, left, err := k.RewrapTenants(t.Context(), 1); err != nil || done != 0 || left != 0 {
		t.Errorf("RewrapTenants when there is nothing to do = %d, %d, %v", done, left, err)
	}

	// A process that was not told reads the file again when it has to.
	mustOpen(t, other, place, sealed, []byte("text"))
	mustOpen(t, start(), place, sealed, []byte("text"))
	// The old key may go.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.SplitAfter(string(text), "\n")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, start(), place, sealed, []byte("text"))
	if _, _, err := k.RewrapTenants(t.Context(), 0); config.KindOf(err) != config.KindBadRequest {
		t.Errorf("a batch of nothing: %v", err)
	}
}

// A key that was put in front and is met at a start, or by another process that
// has read the file again, becomes a version before anything is wrapped by it.
func TestANewKeyInTheFileBecomesAVersion(t *testing.T) {
	w, path, start := fileWorld(t)
	k := start()
	if err := seal.AddFileKey(path); err != nil {
		t.Fatal(err)
	}
	start()
	if s := mustMasters(t, k); len(s.Versions) != 2 {
		t.Fatalf("the versions are %+v", s)
	}
	// k still wraps with the first key, and says so.
	mustFound(t, k, tenantA)
	row, err := w.keys.TenantKey(t.Context(), tenantA)
	if err != nil || row.Master != 1 {
		t.Errorf("the key is wrapped by version %d, %v, want 1", row.Master, err)
	}
	rewrapAll(t, k)
	row, err = w.keys.TenantKey(t.Context(), tenantA)
	if err != nil || row.Master != 2 {
		t.Errorf("the key is wrapped by version %d, %v, want 2", row.Master, err)
	}
}

// Two processes with different keys must not undo each other's work.
func TestRewrappingIsLeftToWhoHasTheKey(t *testing.T) {
	w, old := founded(t, seal.Options{})
	w.read, w.keeper = []seal.Keeper{w.keeper}, &keeper{Keeper: newFileKeeper(t)}
	k := w.start(t, seal.Options{})
	_, left, err := old.RewrapTenants(t.Context(), 10)
	wantKind(t, err, config.KindConflict)
	if left != 3 || len(mustMasters(t, k).Versions) != 2 {
		t.Errorf("%d left, %+v", left, mustMasters(t, k))
	}
	rewrapAll(t, k)
}

func TestAKeyFileThatLostAKeyInUseIsNotRotatedTo(t *testing.T) {
	_, path, start := fileWorld(t)
	k := start()
	if err := os.WriteFile(path, []byte(keyLine(goodKey)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.RotateMaster(t.Context()); !errors.Is(err, seal.ErrWrongMasterKey) {
		t.Errorf("RotateMaster: %v, want ErrWrongMasterKey", err)
	}
	if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := k.RotateMaster(t.Context())
	wantKind(t, err, config.KindUnavailable)
	if len(mustMasters(t, k).Versions) != 1 {
		t.Error("a version was added all the same")
	}
}
