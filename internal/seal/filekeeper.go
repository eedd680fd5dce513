package seal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
)

// The wrapped form of a file keeper: format, the key's id, nonce, ciphertext.
const (
	formatFileWrapped  = 1
	wrappedHeaderBytes = 1 + 8 + nonceBytes
)

var (
	_ Keeper   = (*fileKeeper)(nil)
	_ Reloader = (*fileKeeper)(nil)
	_ KeyNamer = (*fileKeeper)(nil)
)

type fileKeeper struct {
	path string
	keys atomic.Pointer[[]fileKey] // as in the file; replaced, never changed
}

type fileKey struct {
	id   uint64 // says which key wrapped, so that another one is told by name
	aead cipher.AEAD
}

// OpenFileKeeper reads the master keys in a file that CreateFileKey made. It
// refuses a file that others may read, that is no key file, or that has a key
// which is no random one; the error says what to do about it.
func OpenFileKeeper(path string) (Keeper, error) {
	k := &fileKeeper{path: path}
	if err := k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload implements Reloader.
func (k *fileKeeper) Reload(context.Context) error { return k.read() }

func (k *fileKeeper) read() error {
	text, _, err := readKeyFile(k.path)
	if err != nil {
		return err
	}
	defer clear(text)
	raw, err := parseKeyFile(text)
	if err != nil {
		return fmt.Errorf("master key file %s %w", k.path, err)
	}
	defer clearKeys(raw)
	keys := make([]fileKey, 0, len(raw))
	for _, key := range raw {
		id, err := hkdf.Expand(sha256.New, key, "llm-config master key id", 8)
		if err != nil {
			return err
		}
		aead, err := newAEAD(key)
		if err != nil {
			return err
		}
		keys = append(keys, fileKey{binary.BigEndian.Uint64(id), aead})
	}
	k.keys.Store(&keys)
	return nil
}

func (k *fileKeeper) Name() string { return "file " + k.path }

// KeyOf implements KeyNamer.
func (k *fileKeeper) KeyOf(wrapped []byte) string {
	if !isFileWrapped(wrapped) {
		return ""
	}
	return fmt.Sprintf("%016x", binary.BigEndian.Uint64(wrapped[1:]))
}

func isFileWrapped(wrapped []byte) bool {
	return len(wrapped) >= wrappedHeaderBytes+tagBytes && wrapped[0] == formatFileWrapped
}

func (k *fileKeeper) Wrap(_ context.Context, plain, associated []byte) ([]byte, error) {
	key := (*k.keys.Load())[0]
	wrapped := make([]byte, wrappedHeaderBytes, wrappedHeaderBytes+len(plain)+tagBytes)
	wrapped[0] = formatFileWrapped
	binary.BigEndian.PutUint64(wrapped[1:], key.id)
	rand.Read(wrapped[9:])
	return key.aead.Seal(wrapped, wrapped[9:], plain, key.bind(associated)), nil
}

func (k *fileKeeper) Unwrap(_ context.Context, wrapped, associated []byte) ([]byte, error) {
	if !isFileWrapped(wrapped) {
		return nil, fmt.Errorf("%w: it is none of a file keeper's", ErrNotWrapped)
	}
	id := binary.BigEndian.Uint64(wrapped[1:])
	var held []string
	for _, key := range *k.keys.Load() {
		if key.id != id {
			held = append(held, fmt.Sprintf("%016x", key.id))
			continue
		}
		plain, err := key.aead.Open(nil, wrapped[9:wrappedHeaderBytes], wrapped[wrappedHeaderBytes:], key.bind(associated))
		if err != nil {
			return nil, fmt.Errorf("%w: it was altered", ErrNotWrapped)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: it was wrapped by key %016x, and %s holds key %s", ErrNotWrapped, id, k.path, strings.Join(held, ", "))
}

// bind adds the wrapped form's own fields to what a caller binds to.
func (k fileKey) bind(associated []byte) []byte {
	b := make([]byte, 0, 9+len(associated))
	b = binary.BigEndian.AppendUint64(append(b, formatFileWrapped), k.id)
	return append(b, associated...)
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
