package seal

import (
	"context"
	"errors"
)

// Keeper holds a master key and wraps tenant keys with it: a file here, a key
// management service elsewhere.
type Keeper interface {
	// Name says in messages which keeper it is; it reveals no key.
	Name() string
	// Wrap encrypts plain and binds it to associated.
	Wrap(ctx context.Context, plain, associated []byte) ([]byte, error)
	// Unwrap must answer ErrNotWrapped when wrapped was not made by this key
	// with this associated data. Any other error means that the keeper could
	// not be asked.
	Unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error)
}

// ErrNotWrapped says that bytes were not wrapped by this master key for this use.
var ErrNotWrapped = errors.New("not wrapped by this master key")
