package seal

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A key file is one line of text: what it is, a colon, and 256 bits in base64.
const (
	keyFilePrefix   = "llm-config-master-key-v1:"
	maxKeyFileBytes = 4 << 10
)

// The wrapped form of a file keeper: format, the key's id, nonce, ciphertext.
const (
	formatFileWrapped  = 1
	wrappedHeaderBytes = 1 + 8 + nonceBytes
)

var _ Keeper = (*fileKeeper)(nil)

type fileKeeper struct {
	path string
	id   uint64 // says which key wrapped, so that another one is told by name
	aead cipher.AEAD
}

// OpenFileKeeper reads the master key in a file that CreateFileKey made. It
// refuses a file that others may read, that is no key file, or whose key is no
// random one; the error says what to do about it.
func OpenFileKeeper(path string) (Keeper, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := parseKeyFile(text)
	if err != nil {
		return nil, fmt.Errorf("master key file %s %w", path, err)
	}
	defer clear(key)
	id, err := hkdf.Expand(sha256.New, key, "llm-config master key id", 8)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &fileKeeper{path: path, id: binary.BigEndian.Uint64(id), aead: aead}, nil
}

// CreateFileKey makes a new random master key in a file that must not exist
// yet. The key is on disk when it returns.
func CreateFileKey(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("master key file %s exists already and is not replaced: everything sealed under it would be lost; use it, or name another file", path)
	}
	if err != nil {
		return fmt.Errorf("create a master key file: %w", err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(fmt.Errorf("write master key file %s: %w", path, err), os.Remove(path))
		}
	}()
	key := make([]byte, keyBytes)
	rand.Read(key)
	defer clear(key)
	line := append(base64.StdEncoding.AppendEncode([]byte(keyFilePrefix), key), '\n')
	defer clear(line)
	if _, err := f.Write(line); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a new name in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func readKeyFile(path string) ([]byte, error) {
	// Before opening: opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no master key file %s: put the key that sealed this data there, or, if there is no data yet, make one with `llm-config key generate -f %s`", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("master key file %s is no regular file: name the file that holds the key", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("master key file %s may be used by others (mode %04o): run `chmod 600 %s`, and make a new key if others could have read it", path, mode, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("master key file: %w", err)
	}
	return text, nil
}

// parseKeyFile reads the key; its error goes on from "master key file F".
func parseKeyFile(text []byte) ([]byte, error) {
	const restore = "put the right file back from where you keep a copy"
	line := bytes.TrimRight(text, "\r\n")
	switch {
	case len(line) == 0:
		return nil, errors.New("is empty: " + restore)
	case len(text) > maxKeyFileBytes, !bytes.HasPrefix(line, []byte(keyFilePrefix)):
		return nil, fmt.Errorf("does not begin with %s and is no key file of this version: %s", strings.TrimSuffix(keyFilePrefix, ":"), restore)
	}
	encoded := line[len(keyFilePrefix):]
	key := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(key, encoded)
	if err != nil {
		return nil, fmt.Errorf("is damaged or cut short, its key is no base64: %s", restore)
	}
	if n != keyBytes {
		return nil, fmt.Errorf("holds a key of %d bits where %d are needed: %s", n*8, keyBytes*8, restore)
	}
	if why := weakness(key[:n]); why != "" {
		return nil, fmt.Errorf("holds a key that can be guessed (%s): make another with `llm-config key generate`", why)
	}
	return key[:n], nil
}

func (k *fileKeeper) Name() string { return "file " + k.path }

func (k *fileKeeper) Wrap(_ context.Context, plain, associated []byte) ([]byte, error) {
	wrapped := make([]byte, wrappedHeaderBytes, wrappedHeaderBytes+len(plain)+tagBytes)
	wrapped[0] = formatFileWrapped
	binary.BigEndian.PutUint64(wrapped[1:], k.id)
	rand.Read(wrapped[9:])
	return k.aead.Seal(wrapped, wrapped[9:], plain, k.bind(associated)), nil
}

func (k *fileKeeper) Unwrap(_ context.Context, wrapped, associated []byte) ([]byte, error) {
	if len(wrapped) < wrappedHeaderBytes+tagBytes || wrapped[0] != formatFileWrapped {
		return nil, fmt.Errorf("%w: it is none of a file keeper's", ErrNotWrapped)
	}
	if id := binary.BigEndian.Uint64(wrapped[1:]); id != k.id {
		return nil, fmt.Errorf("%w: it was wrapped by key %016x, and %s holds key %016x", ErrNotWrapped, id, k.path, k.id)
	}
	plain, err := k.aead.Open(nil, wrapped[9:wrappedHeaderBytes], wrapped[wrappedHeaderBytes:], k.bind(associated))
	if err != nil {
		return nil, fmt.Errorf("%w: it was altered", ErrNotWrapped)
	}
	return plain, nil
}

// bind adds the wrapped form's own fields to what a caller binds to.
func (k *fileKeeper) bind(associated []byte) []byte {
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
