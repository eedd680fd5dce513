package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// The key-check value of a master key is a known text, wrapped by it.
var (
	checkText       = []byte("llm-config master key check")
	checkAssociated = []byte("llm-config master key check 1")
)

// maxRaces bounds how often work is begun anew because another process was
// faster; each time that other one has made progress.
const maxRaces = 16

// writer is the version of the master key that this process wraps with.
type writer struct {
	version uint32
	key     string // its name, "" when the keeper cannot tell
}

// settleMaster finds out which version of the master key the write keeper is,
// after it has seen that the keepers open every version in use. A key that is
// new becomes the next version, so that nothing is ever wrapped by a key that
// is in no list: a start without it would not be noticed.
func (k *Keyring) settleMaster(ctx context.Context) error {
	k.settling.Lock()
	defer k.settling.Unlock()
	for range maxRaces {
		masters, err := k.masters(ctx)
		if err != nil {
			return err
		}
		next := uint32(firstKeyVersion)
		if len(masters) == 0 {
			if err := k.refuseOrphans(ctx); err != nil {
				return err
			}
		} else {
			newest := masters[len(masters)-1]
			own, err := k.isWriter(ctx, newest)
			if own || err != nil {
				return err
			}
			next = newest.Version + 1
		}
		_, err = k.addMaster(ctx, next)
		if config.KindOf(err) != config.KindConflict {
			return err
		}
	}
	return errRaces()
}

func errRaces() error {
	return config.Errorf(config.KindConflict, "other processes keep changing the same keys").Hint("try again")
}

// masters lists the versions of the master key, having seen that the keepers
// open each that is in use.
func (k *Keyring) masters(ctx context.Context) ([]store.Master, error) {
	masters, err := k.keys.Masters(ctx)
	if err != nil {
		return nil, unavailable(err, "the key store does not answer")
	}
	counts, err := k.keys.MasterVersions(ctx)
	if err != nil {
		return nil, unavailable(err, "the key store does not answer")
	}
	return masters, k.keepers.openMasters(ctx, masters, func(m store.Master) bool {
		return m.Retired.IsZero() || counts[m.Version] > 0
	})
}

// openMasters is ErrWrongMasterKey when one of the masters chosen does not open.
func (k Keepers) openMasters(ctx context.Context, masters []store.Master, chosen func(store.Master) bool) error {
	for _, m := range masters {
		if !chosen(m) {
			continue
		}
		text, err := k.unwrap(ctx, m.Check, checkAssociated)
		switch {
		case errors.Is(err, ErrNotWrapped), err == nil && !bytes.Equal(text, checkText):
			return k.wrongMasterKey(m, err)
		case err != nil:
			return err
		}
	}
	return nil
}

func (k Keepers) wrongMasterKey(m store.Master, cause error) error {
	e := config.Errorf(config.KindUnavailable,
		"the master key (%s) is not the one that this data was sealed under: it does not open version %d, which was in %s", k.names(), m.Version, m.Keeper).
		Hint("start with the master key that was in use before, or name it in previous-master-keys if another is to follow it; or start with the data and key store that belong to this one")
	e.Cause = ErrWrongMasterKey
	if cause != nil {
		e.Cause = fmt.Errorf("%w: %w", ErrWrongMasterKey, cause)
	}
	return e
}

// isWriter says whether the write keeper wraps with this version of the master
// key, and notes that it does.
func (k *Keyring) isWriter(ctx context.Context, m store.Master) (bool, error) {
	if !m.Retired.IsZero() {
		return false, nil
	}
	write := k.keepers.Write
	_, err := write.Unwrap(ctx, m.Check, checkAssociated)
	if errors.Is(err, ErrNotWrapped) {
		return false, nil
	}
	if err != nil {
		return false, silent(write, err)
	}
	key := keyOf(write, m.Check)
	if key != "" {
		check, err := write.Wrap(ctx, checkText, checkAssociated)
		if err != nil {
			return false, silent(write, err)
		}
		if keyOf(write, check) != key {
			return false, nil
		}
	}
	k.writer.Store(&writer{m.Version, key})
	return true, nil
}

// addMaster makes the write keeper's key a version of the master key. It is
// KindConflict when another process was faster.
func (k *Keyring) addMaster(ctx context.Context, version uint32) (store.Master, error) {
	write := k.keepers.Write
	check, err := write.Wrap(ctx, checkText, checkAssociated)
	if err != nil {
		return store.Master{}, silent(write, err)
	}
	m := store.Master{Version: version, Keeper: write.Name(), Check: check, Created: k.now()}
	if err := k.keys.AddMaster(ctx, m); err != nil {
		return m, unavailable(err, "the key store does not take the check value of its master key")
	}
	k.writer.Store(&writer{version, keyOf(write, check)})
	return m, nil
}

// wrapTenant wraps a tenant's material and says by which version of the master
// key. Should the keeper have a new key meanwhile, it becomes a version first.
func (k *Keyring) wrapTenant(ctx context.Context, id config.TenantID, material []byte) (wrapped []byte, master uint32, err error) {
	for range maxRaces {
		wrapped, err = k.keepers.Write.Wrap(ctx, material, bindTenantKey(id))
		if err != nil {
			return nil, 0, silent(k.keepers.Write, err)
		}
		if w := k.writer.Load(); w.key == keyOf(k.keepers.Write, wrapped) {
			return wrapped, w.version, nil
		}
		if err := k.settleMaster(ctx); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, errRaces()
}

// unwrapTenant unwraps a tenant's material. What does not open may have been
// wrapped by a key that another process was given: the keepers look again, but
// not more often than that every altered row could keep them busy.
func (k *Keyring) unwrapTenant(ctx context.Context, row store.TenantKey) ([]byte, error) {
	material, err := k.keepers.unwrap(ctx, row.Wrapped, bindTenantKey(row.Tenant))
	if errors.Is(err, ErrNotWrapped) && k.mayReload() {
		if reloadErr := k.keepers.reload(ctx); reloadErr != nil {
			return nil, fmt.Errorf("%w: key of tenant %s: %w: %w", ErrSealBroken, row.Tenant, err, reloadErr)
		}
		material, err = k.keepers.unwrap(ctx, row.Wrapped, bindTenantKey(row.Tenant))
	}
	if errors.Is(err, ErrNotWrapped) {
		return nil, fmt.Errorf("%w: key of tenant %s: %w", ErrSealBroken, row.Tenant, err)
	}
	return material, err
}

func (k *Keyring) mayReload() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if !k.reloaded.IsZero() && now.Sub(k.reloaded) < recheckAfter {
		return false
	}
	k.reloaded = now
	return true
}

func (k *Keyring) now() time.Time { return k.options.Clock() }
