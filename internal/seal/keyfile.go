package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A key file is lines of text, one for each key: what it is, a colon, and 256
// bits in base64. The first key wraps, all of them unwrap.
const (
	keyFilePrefix   = "llm-config-master-key-v1:"
	maxKeyFileBytes = 4 << 10
	maxFileKeys     = 16
)

// CreateFileKey makes a new random master key in a file that must not exist
// yet. The key is on disk when it returns.
func CreateFileKey(path string) error {
	line := newKeyLine()
	defer clear(line)
	err := writeKeyFile(path, line, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("master key file %s exists already and is not replaced: everything sealed under it would be lost; use it, name another file, or put a new key in front of those in it with --add", path)
	}
	if err != nil {
		return fmt.Errorf("create master key file %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// AddFileKey puts a new random key in front of those in a key file, which wraps
// as soon as the file is read again. The file is replaced as a whole: whoever
// reads it sees the keys before or the keys after.
func AddFileKey(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("master key file: %w", err)
	}
	// The name is the lock, too, and is taken before the file is read: of two that
	// read the same one and put a key before it, one would lose the other's.
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: another key is being added; if not, that was interrupted, and the file is to be deleted", next)
	}
	if err != nil {
		return fmt.Errorf("add a key to master key file %s: %w", path, err)
	}
	info, err := withNewKey(f, path)
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := replaceKeyFile(next, path, info); err != nil {
		return fmt.Errorf("add a key to master key file %s: %w", path, err)
	}
	return nil
}

// withNewKey writes a new key and those of a key file into another, which it
// closes, and answers what is known of the file.
func withNewKey(f *os.File, path string) (fs.FileInfo, error) {
	text, info, err := readKeyFile(path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	defer clear(text)
	keys, err := parseKeyFile(text)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("master key file %s %w", path, err), f.Close())
	}
	clearKeys(keys)
	if len(keys) == maxFileKeys {
		return nil, errors.Join(fmt.Errorf("master key file %s holds %d keys, as many as it may: take out the last ones, which `llm-config key status` shows as retired", path, maxFileKeys), f.Close())
	}
	line := newKeyLine()
	defer clear(line)
	both := append(append(make([]byte, 0, len(line)+len(text)), line...), text...)
	defer clear(both)
	err = f.Chmod(info.Mode().Perm())
	if err = errors.Join(err, fill(f, both)); err != nil {
		err = fmt.Errorf("add a key to master key file %s: %w", path, err)
	}
	return info, err
}

// replaceKeyFile puts next in the place of a file, with the owner that one had.
func replaceKeyFile(next, path string, before fs.FileInfo) error {
	err := keepOwner(next, before)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return syncFolder(filepath.Dir(path))
}

func newKeyLine() []byte {
	key := make([]byte, keyBytes)
	rand.Read(key)
	defer clear(key)
	line := make([]byte, 0, len(keyFilePrefix)+base64.StdEncoding.EncodedLen(keyBytes)+1)
	return append(base64.StdEncoding.AppendEncode(append(line, keyFilePrefix...), key), '\n')
}

// writeKeyFile writes a new file, which is on disk when it returns.
func writeKeyFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err = fill(f, text); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// fill writes a file, which is on disk when it returns, and closes it.
func fill(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a new name in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func readKeyFile(path string) ([]byte, fs.FileInfo, error) {
	// Before opening: opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no master key file %s: put the key that sealed this data there, or, if there is no data yet, make one with `llm-config key generate -f %s`", path, path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("master key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("master key file %s is no regular file: name the file that holds the key", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, nil, fmt.Errorf("master key file %s may be used by others (mode %04o): run `chmod 600 %s`, and make a new key if others could have read it", path, mode, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("master key file: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		clear(text)
		return nil, nil, fmt.Errorf("master key file: %w", err)
	}
	return text, info, nil
}

const restoreKeyFile = "put the right file back from where you keep a copy"

// parseKeyFile reads the keys, at least one; its error goes on from "master key file F".
func parseKeyFile(text []byte) (keys [][]byte, err error) {
	defer func() {
		if err != nil {
			clearKeys(keys)
			keys = nil
		}
	}()
	if len(text) > maxKeyFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes and is no key file: %s", maxKeyFileBytes, restoreKeyFile)
	}
	all := bytes.TrimRight(text, "\r\n")
	if len(all) == 0 {
		return nil, errors.New("is empty: " + restoreKeyFile)
	}
	for line := range bytes.SplitSeq(all, []byte("\n")) {
		key, err := parseKeyLine(bytes.TrimSuffix(line, []byte("\r")))
		if err != nil {
			return keys, err
		}
		if len(keys) == maxFileKeys {
			clear(key)
			return keys, fmt.Errorf("holds more than %d keys: take out the last ones, which `llm-config key status` shows as retired", maxFileKeys)
		}
		for _, k := range keys {
			if bytes.Equal(k, key) {
				clear(key)
				return keys, errors.New("holds the same key twice: take out the second of the two lines")
			}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKeyLine(line []byte) ([]byte, error) {
	if !bytes.HasPrefix(line, []byte(keyFilePrefix)) {
		return nil, fmt.Errorf("has a line that does not begin with %s, and is no key file of this version: %s", strings.TrimSuffix(keyFilePrefix, ":"), restoreKeyFile)
	}
	encoded := line[len(keyFilePrefix):]
	key := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(key, encoded)
	if err == nil && base64.StdEncoding.EncodedLen(n) != len(encoded) {
		err = errors.New("there are line breaks in it") // which the decoder skips
	}
	if err == nil && n == keyBytes {
		if why := weakness(key[:n]); why != "" {
			clear(key)
			return nil, fmt.Errorf("holds a key that can be guessed (%s): make another with `llm-config key generate`", why)
		}
		return key[:n], nil
	}
	clear(key)
	if err != nil {
		return nil, fmt.Errorf("is damaged or cut short, its key is no base64: %s", restoreKeyFile)
	}
	return nil, fmt.Errorf("holds a key of %d bits where %d are needed: %s", n*8, keyBytes*8, restoreKeyFile)
}

func clearKeys(keys [][]byte) {
	for _, key := range keys {
		clear(key)
	}
}
