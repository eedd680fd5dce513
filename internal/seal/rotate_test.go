package seal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

type status struct{ seal.TenantKeyStatus }

func mustStatus(t testing.TB, k *seal.Keyring, id config.TenantID) status {
	t.Helper()
	s, err := k.TenantStatus(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return status{s}
}

func (s status) newest() uint32 { return s.Versions[len(s.Versions)-1].Version }

// String is versions with what they wrap: "1:3 2:0".
func (s status) String() string {
	text := ""
	for i, v := range s.Versions {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("%d:%d", v.Version, v.Keys)
	}
	return text
}

func mustRotate(t testing.TB, k *seal.Keyring, id config.TenantID) uint32 {
	t.Helper()
	version, err := k.RotateTenant(t.Context(), id)
	if err != nil {
		t.Fatalf("RotateTenant: %v", err)
	}
	return version
}

func TestRotateTenant(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	founded := w.clock.now()
	s := mustStatus(t, k, tenantA)
	if s.String() != "1:8" || s.Master != 1 || !s.Rotated.Equal(founded) || !s.Due.Equal(founded.Add(180*24*time.Hour)) {
		t.Fatalf("before: %v, %+v", s, s)
	}
	w.clock.pass(time.Hour)
	if version := mustRotate(t, k, tenantA); version != 2 {
		t.Errorf("the new version is %d, want 2", version)
	}
	s = mustStatus(t, k, tenantA)
	if s.String() != "1:8 2:1" || !s.Rotated.Equal(founded.Add(time.Hour)) || !s.Versions[0].Created.Equal(founded) {
		t.Errorf("after the rotation: %v, %+v", s, s)
	}
	if epoch := epochOf(mustSeal(t, k, place, nil)); epoch != 4 {
		t.Errorf("after the rotation the epoch is %d, want 4", epoch)
	}
	e.check(t, w, k)

	for _, want := range []struct {
		done int
		left int64
	}{{3, 5}, {3, 2}, {2, 0}, {0, 0}} {
		done, left, err := k.RewrapData(t.Context(), tenantA, 3)
		if err != nil || done != want.done || left != want.left {
			t.Errorf("RewrapData = %d, %d, %v, want %+v", done, left, err, want)
		}
	}
	if s = mustStatus(t, k, tenantA); s.String() != "1:0 2:9" {
		t.Errorf("after all were wrapped anew: %v", s)
	}
	e.check(t, w, k)
	e.check(t, w, w.start(t, seal.Options{}))
	if _, _, err := k.RewrapData(t.Context(), tenantA, 0); config.KindOf(err) != config.KindBadRequest {
		t.Errorf("a batch of nothing: %v", err)
	}
}

func TestRetireTenantKey(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	before := w.stored(t, e.secrets[0])
	retire := func(want config.Kind, version uint32) *config.Error {
		t.Helper()
		err := k.RetireTenantKey(t.Context(), tenantA, version)
		wantKind(t, err, want)
		var e *config.Error
		errors.As(err, &e)
		return e
	}
	retire(config.KindBadRequest, 1)
	mustRotate(t, k, tenantA)
	retire(config.KindNotFound, 3)
	if e := retire(config.KindInUse, 1); e.Next != "try again in 120 seconds" {
		t.Errorf("just after the rotation: %v, %q", e, e.Next)
	}
	w.clock.pass(2 * time.Minute)
	if e := retire(config.KindInUse, 1); e.Actual != 8 {
		t.Errorf("while it is in use: %v, %d", e, e.Actual)
	}
	if _, _, err := k.RewrapData(t.Context(), tenantA, 500); err != nil {
		t.Fatal(err)
	}
	retire("", 1)
	retire(config.KindNotFound, 1)
	retire(config.KindBadRequest, 2)
	e.check(t, w, k)
	e.check(t, w, w.start(t, seal.Options{}))
	if _, err := k.OpenSecret(t.Context(), e.secrets[0], before); !errors.Is(err, seal.ErrSealBroken) {
		t.Errorf("what an old backup holds: %v, want ErrSealBroken", err)
	}
	if s := mustStatus(t, k, tenantA); s.String() != "2:9" {
		t.Errorf("the versions are %v", s)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	_, k := founded(t, seal.Options{})
	for range 63 {
		mustRotate(t, k, tenantA)
	}
	_, err := k.RotateTenant(t.Context(), tenantA)
	wantKind(t, err, config.KindInUse)
}

func TestWhatIsNotThereIsNotRotated(t *testing.T) {
	_, k := founded(t, seal.Options{})
	if err := k.Destroy(t.Context(), tenantA); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[config.TenantID]config.Kind{tenantA: config.KindGone, {15: 0xc}: config.KindUnavailable} {
		_, err := k.RotateTenant(t.Context(), id)
		wantKind(t, err, want)
		_, _, err = k.RewrapData(t.Context(), id, 1)
		wantKind(t, err, want)
		_, err = k.TenantStatus(t.Context(), id)
		wantKind(t, err, want)
		wantKind(t, k.RetireTenantKey(t.Context(), id, 1), want)
	}
}

// Two rotations at once make two versions, and neither undoes the other.
func TestRotationOvertaken(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k, other := w.start(t, seal.Options{}), w.start(t, seal.Options{})
	w.keys.onReplace = func() {
		if version := mustRotate(t, other, tenantA); version != 2 {
			t.Errorf("the faster one made version %d, want 2", version)
		}
	}
	if version := mustRotate(t, k, tenantA); version != 3 {
		t.Errorf("the slower one made version %d, want 3", version)
	}
	e.check(t, w, k)
	e.check(t, w, other)
}

// A key that a write or another process changed is left, and met again.
func TestRewrapOvertaken(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k, other := w.start(t, seal.Options{}), w.start(t, seal.Options{})
	mustRotate(t, k, tenantA)
	w.data.onRewrap = func() {
		mustRotate(t, other, tenantA)
		if _, _, err := other.RewrapData(t.Context(), tenantA, 4); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := k.RewrapData(t.Context(), tenantA, 500); err != nil {
		t.Fatal(err)
	}
	e.check(t, w, k)
	if _, left, err := k.RewrapData(t.Context(), tenantA, 500); err != nil || left != 0 {
		t.Fatalf("%d left, %v", left, err)
	}
	if s := mustStatus(t, k, tenantA); s.String() != "1:0 2:0 3:10" {
		t.Errorf("the versions are %v", s)
	}
	e.check(t, w, other)
}

// A key that does not open is said, and does not keep the others waiting.
func TestRewrapPassesOverWhatIsBroken(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	mustRotate(t, k, tenantA)
	w.data.spoil = func(key *store.WrappedKey) {
		if key.Epoch != 0 || key.Path.String() == "s3" {
			key.Wrapped = alter(key.Wrapped, 20)
		}
	}
	var done int
	for range 10 {
		n, left, err := k.RewrapData(t.Context(), tenantA, 2)
		if done += n; n == 0 {
			if left != 4 || !errors.Is(err, seal.ErrSealBroken) {
				t.Errorf("in the end: %d left, %v", left, err)
			}
			break
		}
	}
	if done != 4 {
		t.Errorf("%d keys were wrapped anew, want 4", done)
	}
	w.data.spoil = nil
	if _, left, err := k.RewrapData(t.Context(), tenantA, 500); err != nil || left != 0 {
		t.Errorf("when they are whole again: %d left, %v", left, err)
	}
	e.check(t, w, k)
}

// Another process opens at once what is sealed under a new version, and wraps
// with it after a time that retiring waits for.
func TestAnotherProcessLearnsOfARotation(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k, other := w.start(t, seal.Options{}), w.start(t, seal.Options{})
	e.check(t, w, other)
	mustRotate(t, k, tenantA)
	mustOpen(t, other, place, mustSeal(t, k, place, []byte("text")), []byte("text"))
	at := seal.Place{Kind: seal.SecretValue, Tenant: tenantA, Environment: 1, Path: "new", Version: 1}
	w.putSecret(t, k, at, "new")
	mustOpenSecret(t, other, at, w.stored(t, at), "new")

	third := w.start(t, seal.Options{})
	e.check(t, w, third)
	mustRotate(t, k, tenantA)
	version := func() uint32 {
		t.Helper()
		s, err := third.SealSecret(t.Context(), at, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		return s.KeyVersion
	}
	if v := version(); v != 2 {
		t.Fatalf("at once it wraps with version %d; this test wants one that does not know yet", v)
	}
	w.clock.pass(10 * time.Second)
	if v := version(); v != 3 {
		t.Errorf("after ten seconds it wraps with version %d, want 3", v)
	}
}

// A process that cannot ask opens what it could open for a minute; it does not
// wrap with what may be retired.
func TestAProcessThatCannotAsk(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k := w.start(t, seal.Options{})
	e.check(t, w, k)
	w.fail("keys", "TenantKey")
	w.clock.pass(59 * time.Second)
	e.check(t, w, k)
	_, err := k.SealSecret(t.Context(), e.secrets[0], nil)
	wantKind(t, err, config.KindUnavailable)
	w.clock.pass(2 * time.Second)
	_, err = k.OpenSecret(t.Context(), e.secrets[0], w.stored(t, e.secrets[0]))
	wantKind(t, err, config.KindUnavailable)
	w.fail("keys", "")
	e.check(t, w, k)
}

func TestAnotherProcessNoticesADestroyedKey(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	k, other := w.start(t, seal.Options{}), w.start(t, seal.Options{})
	e.check(t, w, other)
	if err := k.Destroy(t.Context(), tenantA); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(10 * time.Second)
	_, err := other.OpenSecret(t.Context(), e.secrets[0], w.stored(t, e.secrets[0]))
	wantKind(t, err, config.KindGone)
	_, err = other.MAC(t.Context(), tenantA, "p", nil)
	wantKind(t, err, config.KindGone)
}

func TestSealsAndOpensGoOnDuringRotations(t *testing.T) {
	w := newWorld(t)
	e := w.fill(t, tenantA)
	processes := []*seal.Keyring{
		w.start(t, seal.Options{SealsPerEpoch: 32, SealsPerBlock: 4}),
		w.start(t, seal.Options{SealsPerEpoch: 32, SealsPerBlock: 4}),
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	work := func(each func(n int) error) {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := each(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for p, k := range processes {
		other := processes[1-p]
		work(func(n int) error {
			at := seal.Place{Kind: seal.Layer, Tenant: tenantA, Environment: 7, Path: fmt.Sprint(p), Version: int64(n)}
			sealed, err := k.Seal(t.Context(), at, []byte("text"))
			if err == nil {
				_, err = other.Open(t.Context(), at, sealed)
			}
			return err
		})
		work(func(n int) error {
			at := e.secrets[n%len(e.secrets)]
			plain, err := k.OpenSecret(t.Context(), at, w.stored(t, at))
			if err == nil && string(plain) != fmt.Sprint("value ", n%len(e.secrets)) {
				err = errors.New("a secret opened to something else")
			}
			return err
		})
		work(func(n int) error {
			at := seal.Place{Kind: seal.SecretValue, Tenant: tenantA, Environment: 7, Path: fmt.Sprint(p), Version: int64(n)}
			s, err := k.SealSecret(t.Context(), at, []byte("text"))
			if err == nil {
				_, err = other.OpenSecret(t.Context(), at, s)
			}
			return err
		})
	}
	for n := range 6 {
		mustRotate(t, processes[n%2], tenantA)
		for left := int64(1); left > 0; {
			var err error
			if _, left, err = processes[(n+1)%2].RewrapData(t.Context(), tenantA, 3); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.pass(time.Minute)
	}
	close(stop)
	wg.Wait()
	e.check(t, w, w.start(t, seal.Options{}))
}
