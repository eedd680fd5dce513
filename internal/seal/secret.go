package seal

import (
	"context"
	"errors"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// SecretSeal is the sealed value of one version of a secret: the value under a
// data key of its own, and that key under the tenant's. Both are bound to the
// whole place, so neither is worth anything beside another row's other half.
type SecretSeal struct {
	Sealed     []byte
	Wrapped    []byte
	KeyVersion uint32 // of the tenant's key that wraps
}

// The sealed form of a secret value: format, nonce, AES-256-GCM ciphertext with
// its tag. It is not compressed, and as long as what was sealed but for these.
const (
	formatSecret      = 2
	secretHeaderBytes = 1 + nonceBytes
)

// SealSecret encrypts the value of one version of a secret.
func (k *Keyring) SealSecret(ctx context.Context, at Place, plain []byte) (SecretSeal, error) {
	if at.Kind != SecretValue {
		return SecretSeal{}, fmt.Errorf("%s is no place for the value of a secret", at)
	}
	if len(plain) > MaxPlainBytes {
		return SecretSeal{}, config.Errorf(config.KindTooLarge, "a value is too large to be sealed").Over(MaxPlainBytes, int64(len(plain)))
	}
	t, err := k.wrapping(ctx, at.Tenant)
	if err != nil {
		return SecretSeal{}, err
	}
	fresh := make([]byte, keyBytes+2*nonceBytes)
	defer clear(fresh)
	if err := k.random(fresh); err != nil {
		return SecretSeal{}, err
	}
	key, nonce, wrapNonce := fresh[:keyBytes], fresh[keyBytes:keyBytes+nonceBytes], fresh[keyBytes+nonceBytes:]
	aead, err := newAEAD(key)
	if err != nil {
		return SecretSeal{}, err
	}
	associated := getScratch()
	defer putScratch(associated)
	*associated = appendSecretAssociated(*associated, at)
	sealed := append(make([]byte, 0, secretHeaderBytes+len(plain)+tagBytes), formatSecret)
	sealed = append(sealed, nonce...)
	w := t.wrapper()
	return SecretSeal{
		Sealed:     aead.Seal(sealed, nonce, plain, *associated),
		Wrapped:    w.wrap(ofSecret(at), key, wrapNonce),
		KeyVersion: w.version,
	}, nil
}

// OpenSecret decrypts what SealSecret sealed for the same place; the caller
// clears it after use. The error is ErrSealBroken when it was not, of KindGone
// when the tenant's key was destroyed.
func (k *Keyring) OpenSecret(ctx context.Context, at Place, s SecretSeal) ([]byte, error) {
	version, err := keyVersionOf(formatSecretKey, s.Wrapped)
	if err != nil || version != s.KeyVersion || at.Kind != SecretValue ||
		len(s.Sealed) < secretHeaderBytes+tagBytes || s.Sealed[0] != formatSecret {
		return nil, broken(at)
	}
	t, err := k.tenant(ctx, at.Tenant)
	if err != nil {
		return nil, err
	}
	key, err := unwrap(t.keys, ofSecret(at), s.Wrapped)
	if errors.Is(err, errKeyVersion) {
		// Another process may have made the version since this one looked.
		if t, err = k.current(ctx, at.Tenant); err != nil {
			return nil, err
		}
		key, err = unwrap(t.keys, ofSecret(at), s.Wrapped)
	}
	if err != nil {
		return nil, broken(at)
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	associated := getScratch()
	defer putScratch(associated)
	*associated = appendSecretAssociated(*associated, at)
	plain, err := aead.Open(nil, s.Sealed[1:secretHeaderBytes], s.Sealed[secretHeaderBytes:], *associated)
	if err != nil {
		return nil, broken(at)
	}
	return plain, nil
}

func appendSecretAssociated(b []byte, at Place) []byte {
	b = append(append(b, "llm-config secret value"...), formatSecret)
	return appendAssociated(b, at, 0)
}
