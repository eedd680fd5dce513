package seal

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// Reloader is a keeper whose keys may change where it has them from.
type Reloader interface {
	// Reload takes over the keys as they are now. After an error it must go on
	// with those it had.
	Reload(ctx context.Context) error
}

// KeyNamer is a keeper that can tell which of its keys wrapped something.
type KeyNamer interface {
	// KeyOf names the key, "" when wrapped is none of the keeper's. The name
	// reveals no key, and is read from bytes that nothing vouches for yet.
	KeyOf(wrapped []byte) string
}

// ErrNotWrapped says that bytes were not wrapped by this master key for this use.
var ErrNotWrapped = errors.New("not wrapped by this master key")

// Keepers are the keeper that wraps, and those that only unwrap what was
// wrapped before the keeper was changed.
type Keepers struct {
	Write Keeper
	Read  []Keeper
}

func (k Keepers) all() []Keeper { return append([]Keeper{k.Write}, k.Read...) }

// names lists the keepers for a message.
func (k Keepers) names() string {
	var names []string
	for _, keeper := range k.all() {
		names = append(names, keeper.Name())
	}
	return strings.Join(names, ", ")
}

// unwrap asks one keeper after the other. It is ErrNotWrapped only when each of
// them says so: one that could not be asked might have been the one.
func (k Keepers) unwrap(ctx context.Context, wrapped, associated []byte) ([]byte, error) {
	var refusals []error
	var failure error
	for _, keeper := range k.all() {
		plain, err := keeper.Unwrap(ctx, wrapped, associated)
		switch {
		case err == nil:
			return plain, nil
		case errors.Is(err, ErrNotWrapped):
			refusals = append(refusals, err)
		case failure == nil:
			failure = silent(keeper, err)
		}
	}
	if failure != nil {
		return nil, failure
	}
	return nil, errors.Join(refusals...)
}

// reload lets the keepers that can take over the keys as they are now.
func (k Keepers) reload(ctx context.Context) error {
	for _, keeper := range k.all() {
		if r, ok := keeper.(Reloader); ok {
			if err := r.Reload(ctx); err != nil {
				return fmt.Errorf("read the keys of %s again: %w", keeper.Name(), err)
			}
		}
	}
	return nil
}

// keyOf names the key that wrapped, "" when the keeper cannot tell.
func keyOf(keeper Keeper, wrapped []byte) string {
	if namer, ok := keeper.(KeyNamer); ok {
		return namer.KeyOf(wrapped)
	}
	return ""
}

// silent says that a keeper could not be asked.
func silent(keeper Keeper, cause error) error {
	return unavailable(cause, "the keeper of the master key (%s) does not answer", keeper.Name())
}
