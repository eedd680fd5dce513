package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/llm-devops/llm-config-manager/internal/guess"
)

// How a passphrase becomes a key. The figures are part of the wrapped form, so
// that they can change one day; others than these are refused, because whoever
// writes the store would otherwise say how much memory a start takes.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 4
	saltBytes    = 32
)

// The wrapped form of a passphrase keeper: format, the figures above, salt,
// nonce, ciphertext.
const (
	formatPassphraseWrapped = 2
	argonHeaderBytes        = 1 + 4 + 4 + 1
	saltedHeaderBytes       = argonHeaderBytes + saltBytes
	passphraseHeaderBytes   = saltedHeaderBytes + nonceBytes
)

// What a passphrase must be worth.
const (
	minPassphraseRunes = 16
	maxPassphraseBytes = 1024
	minPassphraseBits  = 77
	// weighedBytes is how much of it is weighed; weighing takes time that may grow
	// with the square of the length, and more can only be better.
	weighedBytes = 100
)

// maxDerived bounds the keys that are kept. What one process wraps has one
// salt, and it goes on with a salt that it has met, so there are few.
const maxDerived = 4

var (
	_ Keeper   = (*passphraseKeeper)(nil)
	_ KeyNamer = (*passphraseKeeper)(nil)
)

type passphraseKeeper struct {
	name       string
	passphrase []byte

	turn    chan struct{} // holds one token; its holder may use what is below
	derived []derivedKey  // the last used first
	salt    [saltBytes]byte
	proven  bool // salt is one that something was unwrapped with
}

type derivedKey struct {
	salt [saltBytes]byte
	aead cipher.AEAD
}

// OpenPassphraseKeeper makes a keeper whose key is derived from a passphrase,
// with 64 MiB of memory for a moment. It refuses one that could be guessed. The
// caller clears the passphrase; the keeper has its own copy.
func OpenPassphraseKeeper(name string, passphrase []byte) (Keeper, error) {
	if err := weighPassphrase(passphrase); err != nil {
		return nil, fmt.Errorf("the passphrase of %s %w", name, err)
	}
	k := &passphraseKeeper{name: name, passphrase: bytes.Clone(passphrase), turn: make(chan struct{}, 1)}
	rand.Read(k.salt[:])
	return k, nil
}

// weighPassphrase goes on from "the passphrase of K".
func weighPassphrase(passphrase []byte) error {
	const another = "take seven words drawn with dice, or what `openssl rand -base64 24` prints"
	switch {
	case !utf8.Valid(passphrase):
		return fmt.Errorf("is not UTF-8 text: %s", another)
	case len(passphrase) > maxPassphraseBytes:
		return fmt.Errorf("has more than %d bytes: name the right file or variable", maxPassphraseBytes)
	case utf8.RuneCount(passphrase) < minPassphraseRunes:
		return fmt.Errorf("is shorter than %d characters: %s", minPassphraseRunes, another)
	}
	weighed := passphrase[:min(len(passphrase), weighedBytes)]
	bits := guess.Weigh(string(weighed), guessable).Bits
	if bits < minPassphraseBits {
		return fmt.Errorf("can be guessed: it is worth about %d bits where %d are needed: %s", int(bits), minPassphraseBits, another)
	}
	return nil
}

func (k *passphraseKeeper) Name() string { return k.name }

// KeyOf implements KeyNamer: the key of one passphrase is told by its salt.
func (k *passphraseKeeper) KeyOf(wrapped []byte) string {
	if !isPassphraseWrapped(wrapped) {
		return ""
	}
	return hex.EncodeToString(wrapped[argonHeaderBytes : argonHeaderBytes+8])
}

func isPassphraseWrapped(wrapped []byte) bool {
	return len(wrapped) >= passphraseHeaderBytes+tagBytes && bytes.HasPrefix(wrapped, argonHeader())
}

func argonHeader() []byte {
	b := binary.BigEndian.AppendUint32([]byte{formatPassphraseWrapped}, argonTime)
	return append(binary.BigEndian.AppendUint32(b, argonMemory), argonThreads)
}

func (k *passphraseKeeper) Wrap(ctx context.Context, plain, associated []byte) ([]byte, error) {
	if err := k.take(ctx); err != nil {
		return nil, err
	}
	defer k.give()
	aead, err := k.derive(k.salt)
	if err != nil {
		return nil, err
	}
	wrapped := append(make([]byte, 0, passphraseHeaderBytes+len(plain)+tagBytes), argonHeader()...)
	wrapped = append(wrapped, k.salt[:]...)
	associated = append(bytes.Clone(wrapped), associated...)
	wrapped = append(wrapped, make([]byte, nonceBytes)...)
	rand.Read(wrapped[saltedHeaderBytes:])
	return aead.Seal(wrapped, wrapped[saltedHeaderBytes:], plain, associated), nil
}

func (k *passphraseKeeper) Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	if !isPassphraseWrapped(wrapped) {
		return nil, fmt.Errorf("%w: it is none of a passphrase keeper's", ErrNotWrapped)
	}
	if err := k.take(ctx); err != nil {
		return nil, err
	}
	defer k.give()
	salt := [saltBytes]byte(wrapped[argonHeaderBytes:saltedHeaderBytes])
	aead, err := k.derive(salt)
	if err != nil {
		return nil, err
	}
	associated = append(bytes.Clone(wrapped[:saltedHeaderBytes]), associated...)
	plain, err := aead.Open(nil, wrapped[saltedHeaderBytes:passphraseHeaderBytes], wrapped[passphraseHeaderBytes:], associated)
	if err != nil {
		return nil, fmt.Errorf("%w: it was altered, or wrapped by another passphrase than that of %s", ErrNotWrapped, k.name)
	}
	// Only a salt that this passphrase was used with is gone on with: one that
	// the store made up is not.
	if !k.proven {
		k.salt, k.proven = salt, true
	}
	return plain, nil
}

// take waits for the turn: one derivation at a time bounds the memory.
func (k *passphraseKeeper) take(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *passphraseKeeper) give() { <-k.turn }

// derive answers the key of a salt; the caller has the turn.
func (k *passphraseKeeper) derive(salt [saltBytes]byte) (cipher.AEAD, error) {
	for i, d := range k.derived {
		if d.salt == salt {
			copy(k.derived[1:i+1], k.derived[:i])
			k.derived[0] = d
			return d.aead, nil
		}
	}
	key := argon2.IDKey(k.passphrase, salt[:], argonTime, argonMemory, argonThreads, keyBytes)
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(k.derived) < maxDerived {
		k.derived = append(k.derived, derivedKey{})
	}
	copy(k.derived[1:], k.derived)
	k.derived[0] = derivedKey{salt, aead}
	return aead, nil
}
