package keepers

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// maxCalls bounds how many calls to one service are under way; more wait.
const maxCalls = 16

// binding goes to a service together with a key: a digest of what the caller
// binds to. A service that can bind itself does.
type binding [sha256.Size]byte

// keyService encrypts keys of 32 bytes with one key of its own. An error of
// decrypt wraps seal.ErrNotWrapped when the service was asked and says that it
// did not make ciphertext, or when that shows without asking. Every other error
// says what to do about it.
type keyService interface {
	encrypt(ctx context.Context, key []byte, bound binding) (ciphertext []byte, version string, err error)
	decrypt(ctx context.Context, ciphertext []byte, version string, bound binding) ([]byte, error)
}

// keeperParts are what makes a keeper of a service.
type keeperParts struct {
	kind    byte
	name    string
	service keyService
	// versions says that the service tells which version of its key it used.
	versions bool
}

func (p keeperParts) keeper(timeout time.Duration) seal.Keeper {
	e := &envelope{kind: p.kind, name: p.name, service: p.service, timeout: timeout, calls: make(chan struct{}, maxCalls)}
	if p.versions {
		return &versioned{e}
	}
	return e
}

var (
	_ seal.Keeper   = (*envelope)(nil)
	_ seal.Keeper   = (*versioned)(nil)
	_ seal.KeyNamer = (*versioned)(nil)
)

// envelope is a keeper on a service: it seals under a fresh key each time, and
// has that key encrypted by the service.
type envelope struct {
	kind    byte
	name    string
	service keyService
	timeout time.Duration
	calls   chan struct{}
}

// versioned is an envelope whose wrapped form says which version of the
// service's key made it.
type versioned struct{ *envelope }

// KeyOf answers the version of the key that wrapped was made with; "" says that
// wrapped is not of this kind of keeper.
func (v *versioned) KeyOf(b []byte) string {
	w, err := parseWrapped(b)
	if err != nil || w.kind != v.kind {
		return ""
	}
	return w.version
}

func (e *envelope) Name() string { return e.name }

func (e *envelope) Wrap(ctx context.Context, plain, associated []byte) ([]byte, error) {
	if len(plain) > maxPlainBytes {
		return nil, fmt.Errorf("%s wraps at most %d bytes, and these are %d", e.name, maxPlainBytes, len(plain))
	}
	key := make([]byte, keyBytes)
	rand.Read(key)
	defer clear(key)
	w := wrapped{kind: e.kind}
	err := e.call(ctx, func(ctx context.Context) (err error) {
		w.ciphertext, w.version, err = e.service.encrypt(ctx, key, e.bind(associated))
		return err
	})
	if err != nil {
		return nil, err
	}
	if !w.fits() {
		return nil, fmt.Errorf("%s answered with %d bytes for a key and %d for its version, which is not what such a service answers: see whether the address is right", e.name, len(w.ciphertext), len(w.version))
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	w.body = make([]byte, nonceBytes, nonceBytes+len(plain)+tagBytes)
	rand.Read(w.body)
	w.body = aead.Seal(w.body, w.body[:nonceBytes], plain, append(w.head(), associated...))
	return w.bytes(), nil
}

func (e *envelope) Unwrap(ctx context.Context, b, associated []byte) ([]byte, error) {
	w, err := parseWrapped(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", seal.ErrNotWrapped, err)
	}
	if w.kind != e.kind {
		return nil, fmt.Errorf("%w: it was wrapped by another kind of keeper than %s", seal.ErrNotWrapped, e.name)
	}
	var key []byte
	err = e.call(ctx, func(ctx context.Context) (err error) {
		key, err = e.service.decrypt(ctx, w.ciphertext, w.version, e.bind(associated))
		return err
	})
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if len(key) != keyBytes {
		return nil, fmt.Errorf("%w: %s opened it to something that is no key of this use", seal.ErrNotWrapped, e.name)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, w.body[:nonceBytes], w.body[nonceBytes:], append(w.head(), associated...))
	if err != nil {
		return nil, fmt.Errorf("%w: it was altered, or wrapped for another use", seal.ErrNotWrapped)
	}
	return plain, nil
}

// call asks the service within the time that a call may take.
func (e *envelope) call(ctx context.Context, ask func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	select {
	case e.calls <- struct{}{}:
		defer func() { <-e.calls }()
	case <-within.Done():
		return e.late(ctx)
	}
	err := within.Err()
	if err == nil {
		err = ask(within)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seal.ErrNotWrapped):
		return err
	case within.Err() != nil:
		return e.late(ctx)
	}
	return fmt.Errorf("%s: %w", e.name, err)
}

// late tells a caller that went away from a service that did not answer.
func (e *envelope) late(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s was not waited for: %w", e.name, err)
	}
	return fmt.Errorf("%s did not answer within %s: see whether it is up and reachable from here; `timeout` in its URL gives it longer: %w", e.name, e.timeout, context.DeadlineExceeded)
}

func (e *envelope) bind(associated []byte) binding {
	sum := sha256.New()
	sum.Write([]byte("llm-config envelope v1\x00"))
	sum.Write([]byte{e.kind})
	sum.Write(associated)
	return binding(sum.Sum(nil))
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
