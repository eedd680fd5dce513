package keepers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// missing ends a test whose real counterpart is not on this machine: in CI that
// is a failure, because nothing else would ever notice.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, which CI has to have", what)
	}
	t.Skip(what)
}

// subject is a keeper under test.
type subject struct {
	keeper seal.Keeper
	other  seal.Keeper // of the same kind, with another key
	// local keepers ask nobody, so they need not look at the context.
	local bool
	// dear makes attempts so expensive that one bit of every seventh byte has to do.
	dear bool
}

// conform holds a keeper to the contract of seal.Keeper.
func conform(t *testing.T, s subject) {
	t.Run("round trip", s.roundTrip)
	t.Run("another use", s.anotherUse)
	t.Run("altered", s.altered)
	t.Run("cut and extended", s.cut)
	t.Run("another key", s.anotherKey)
	t.Run("another kind of keeper", s.anotherKind)
	t.Run("many at once", s.manyAtOnce)
	if !s.local {
		t.Run("a context that is over", s.cancelled)
	}
}

func (s subject) wrap(t testing.TB, plain, associated string) []byte {
	t.Helper()
	w, err := s.keeper.Wrap(t.Context(), []byte(plain), []byte(associated))
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	return w
}

func (s subject) opens(t testing.TB, w []byte, associated, want string) {
	t.Helper()
	plain, err := s.keeper.Unwrap(t.Context(), w, []byte(associated))
	if err != nil || string(plain) != want {
		t.Fatalf("Unwrap: %d bytes that are as wrapped: %v, %v", len(plain), string(plain) == want, err)
	}
}

func (s subject) refuses(t testing.TB, what string, w []byte, associated string) {
	t.Helper()
	plain, err := s.keeper.Unwrap(t.Context(), w, []byte(associated))
	if !errors.Is(err, seal.ErrNotWrapped) || plain != nil {
		t.Errorf("%s: Unwrap answers %d bytes, %v, want ErrNotWrapped", what, len(plain), err)
	}
}

func (s subject) roundTrip(t *testing.T) {
	for _, plain := range []string{"", "k", "thirty-two bytes of a tenant key", string(bytes.Repeat([]byte("0123456789"), 20<<10))} {
		for _, associated := range []string{"", "tenant acme"} {
			w := s.wrap(t, plain, associated)
			if len(plain) > 8 && bytes.Contains(w, []byte(plain[:8])) {
				t.Error("the wrapped form shows what it holds")
			}
			s.opens(t, w, associated, plain)
			if bytes.Equal(w, s.wrap(t, plain, associated)) {
				t.Error("two wraps of the same are the same")
			}
		}
	}
}

func (s subject) anotherUse(t *testing.T) {
	w := s.wrap(t, "key", "tenant acme")
	for _, associated := range []string{"", "tenant acm", "tenant acme\x00", "tenant evil"} {
		s.refuses(t, fmt.Sprintf("associated %q", associated), w, associated)
	}
	// A byte must not move from what is bound into what is wrapped.
	s.refuses(t, "shifted", s.wrap(t, "bkey", "a"), "ab")
}

func (s subject) altered(t *testing.T) {
	w := s.wrap(t, "key", "use")
	for i := range w {
		for bit := range 8 {
			if s.dear && (i%7 != 0 || bit != i%8) {
				continue
			}
			w[i] ^= 1 << bit
			s.refuses(t, fmt.Sprintf("bit %d of byte %d", bit, i), w, "use")
			w[i] ^= 1 << bit
		}
	}
	s.opens(t, w, "use", "key")
}

func (s subject) cut(t *testing.T) {
	w := s.wrap(t, "key", "use")
	step := 1
	if s.dear {
		step = 7
	}
	for n := 0; n < len(w); n += step {
		s.refuses(t, fmt.Sprintf("cut to %d bytes", n), w[:n], "use")
	}
	s.refuses(t, "extended", append(bytes.Clone(w), 0), "use")
	s.refuses(t, "nothing", nil, "use")
}

func (s subject) anotherKey(t *testing.T) {
	w, err := s.other.Wrap(t.Context(), []byte("key"), []byte("use"))
	if err != nil {
		t.Fatal(err)
	}
	s.refuses(t, "wrapped by another key", w, "use")
	if _, err := s.other.Unwrap(t.Context(), s.wrap(t, "key", "use"), []byte("use")); !errors.Is(err, seal.ErrNotWrapped) {
		t.Errorf("another key opens it: %v", err)
	}
}

func (s subject) anotherKind(t *testing.T) {
	w := s.wrap(t, "key", "use")
	file, err := Open(t.Context(), newKeyFile(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := file.Wrap(t.Context(), []byte("key"), []byte("use"))
	if err != nil {
		t.Fatal(err)
	}
	s.refuses(t, "a file keeper's", foreign, "use")
	for kind := byte(0); kind < 8; kind++ {
		parsed, err := parseWrapped(w)
		if err == nil && parsed.kind == kind {
			continue
		}
		other := wrapped{kind: kind, version: parsed.version, ciphertext: parsed.ciphertext, body: parsed.body}
		if err != nil {
			other = wrapped{kind: kind, ciphertext: []byte("ciphertext"), body: make([]byte, nonceBytes+tagBytes)}
		}
		s.refuses(t, fmt.Sprintf("kind %d", kind), other.bytes(), "use")
	}
}

func (s subject) manyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			plain, use := fmt.Sprintf("key %d", i), fmt.Sprintf("use %d", i)
			w, err := s.keeper.Wrap(t.Context(), []byte(plain), []byte(use))
			if err != nil {
				t.Errorf("Wrap: %v", err)
				return
			}
			got, err := s.keeper.Unwrap(t.Context(), w, []byte(use))
			if err != nil || string(got) != plain {
				t.Errorf("Unwrap: %q, %v, want %q", got, err, plain)
			}
		})
	}
	wg.Wait()
}

func (s subject) cancelled(t *testing.T) {
	w := s.wrap(t, "key", "use")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.keeper.Wrap(ctx, []byte("key"), []byte("use"))
	stopped(t, err)
	_, err = s.keeper.Unwrap(ctx, w, []byte("use"))
	stopped(t, err)
	s.opens(t, w, "use", "key")
}

func stopped(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) || errors.Is(err, seal.ErrNotWrapped) {
		t.Errorf("with a context that is over: %v, want context.Canceled", err)
	}
}

// unavailable expects an error that is not ErrNotWrapped and has all of parts.
func unavailable(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil || errors.Is(err, seal.ErrNotWrapped) {
		t.Errorf("error is %v, want one that says that the keeper could not be asked", err)
		return
	}
	for _, part := range parts {
		if !bytes.Contains([]byte(err.Error()), []byte(part)) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}
