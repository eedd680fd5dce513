package keepers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxPrivateBytes is the most that a passphrase, PIN or token may have.
const maxPrivateBytes = 4 << 10

// readPrivate reads a credential from a file that only its owner may use; what
// names it in errors. One line break at the end is cut.
func readPrivate(what, path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: opening a pipe would wait
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", what, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s %s is no regular file", what, path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s %s may be used by others (mode %04o): run `chmod 600 %s`, and change what it holds if others could have read it", what, path, info.Mode().Perm(), path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPrivateBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		clear(text)
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(text) > maxPrivateBytes {
		clear(text)
		return nil, fmt.Errorf("%s %s is empty or has more than %d bytes", what, path, maxPrivateBytes)
	}
	return line, nil
}
