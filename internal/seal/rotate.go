package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// TenantKeyAge is the age at which a tenant's key is due to be replaced.
const TenantKeyAge = 180 * 24 * time.Hour

// settleTime is how long after a version of a tenant's key was replaced some
// process may still commit a data key that it wraps: one that has not asked the
// key store again, and then a write that takes its time.
const settleTime = 2 * time.Minute

// TenantKeyStatus says which versions of a tenant's key are in use.
type TenantKeyStatus struct {
	Versions []KeyVersion
	Rotated  time.Time // when the newest was made
	Due      time.Time // when it is due to be replaced
	Master   uint32    // the version of the master key that wraps them
}

// KeyVersion is one version of a tenant's key.
type KeyVersion struct {
	Version uint32
	Created time.Time
	Keys    int64 // data keys that it wraps
	Newest  bool
}

// TenantStatus looks at the versions of a tenant's key.
func (k *Keyring) TenantStatus(ctx context.Context, id config.TenantID) (TenantKeyStatus, error) {
	row, err := k.keys.TenantKey(ctx, id)
	if err != nil {
		return TenantKeyStatus{}, k.tenantKeyError(err, id)
	}
	t, err := k.current(ctx, id)
	if err != nil {
		return TenantKeyStatus{}, err
	}
	counts, err := k.data.KeyVersions(ctx, id)
	if err != nil {
		return TenantKeyStatus{}, unavailable(err, "the database does not answer")
	}
	newest := t.wrapper()
	status := TenantKeyStatus{Rotated: newest.created, Due: newest.created.Add(TenantKeyAge), Master: row.Master}
	for _, v := range t.keys {
		status.Versions = append(status.Versions, KeyVersion{
			Version: v.version, Created: v.created, Keys: counts[v.version], Newest: v.version == newest.version,
		})
	}
	return status, nil
}

// RotateTenant gives the tenant's key a new version and begins a new epoch, so
// that what is sealed from now on has a data key that the old version never
// wrapped. What the old one wraps is wrapped anew with RewrapData. Every MAC
// stays as it was. A version beside an error was made all the same.
func (k *Keyring) RotateTenant(ctx context.Context, id config.TenantID) (uint32, error) {
	var made uint32
	err := k.changeMaterial(ctx, id, func(m *material) error {
		if len(m.versions) >= maxKeyVersions {
			return config.Errorf(config.KindInUse, "the key of tenant %s has as many versions as it may have", id).
				Over(maxKeyVersions, int64(len(m.versions)+1)).Hint("retire versions that wrap nothing any more")
		}
		fresh := materialKey{version: m.newest().version + 1, created: k.now()}
		if err := k.random(fresh.key[:]); err != nil {
			return err
		}
		defer clear(fresh.key[:])
		m.add(fresh)
		made = fresh.version
		return nil
	})
	if err != nil {
		return 0, err
	}
	t, err := k.current(ctx, id)
	if err != nil {
		return made, err
	}
	_, err = k.beginEpoch(ctx, t)
	return made, err
}

// beginEpoch begins an epoch unless the newest one has been made under the
// newest version of the tenant's key. It answers the keys that it found newest.
func (k *Keyring) beginEpoch(ctx context.Context, t *tenant) (*tenant, error) {
	for range maxRaces {
		err := k.tryBeginEpoch(ctx, t)
		if err == nil {
			return t, nil
		}
		if t, err = k.newer(ctx, t, err); err != nil {
			return nil, err
		}
	}
	return nil, errRaces()
}

func (k *Keyring) tryBeginEpoch(ctx context.Context, t *tenant) error {
	rows, err := k.data.DataKeys(ctx, t.id)
	if err != nil {
		return unavailable(err, "the database does not answer")
	}
	var newest store.DataKey
	for _, row := range rows {
		if row.Epoch > newest.Epoch {
			newest = row
		}
	}
	if newest.KeyVersion >= t.wrapper().version {
		return nil
	}
	if err := k.addEpoch(ctx, t, newest.Epoch+1); err != nil {
		return err
	}
	t.block.Store(nil)
	return nil
}

// changeMaterial replaces a tenant's material by what change makes of it. When
// another process was faster, change is called again with what that one made.
func (k *Keyring) changeMaterial(ctx context.Context, id config.TenantID, change func(*material) error) error {
	for range maxRaces {
		row, err := k.keys.TenantKey(ctx, id)
		if err != nil {
			return k.tenantKeyError(err, id)
		}
		if row, err = k.changed(ctx, id, row, change); err != nil {
			return err
		}
		err = k.keys.ReplaceTenantKey(ctx, row)
		if config.KindOf(err) == config.KindConflict {
			continue
		}
		// It may have been replaced even if the answer was lost.
		k.forget(id)
		if err != nil {
			return k.tenantKeyError(err, id)
		}
		return nil
	}
	return errRaces()
}

func (k *Keyring) changed(ctx context.Context, id config.TenantID, row store.TenantKey, change func(*material) error) (store.TenantKey, error) {
	m, err := k.openMaterial(ctx, id, row)
	if err != nil {
		return row, err
	}
	defer m.clear()
	if err := change(m); err != nil {
		return row, err
	}
	text := m.encode()
	defer clear(text)
	if row.Wrapped, row.Master, err = k.wrapTenant(ctx, id, text); err != nil {
		return row, err
	}
	newest := m.newest()
	row.Tenant, row.Newest, row.Rotated = id, newest.version, newest.created
	row.Generation++
	return row, nil
}

// RewrapData wraps, by the newest version of the tenant's key, at most limit
// data keys that an older one wraps. It says how many it wrapped and how many
// are left. It may be stopped at any point and repeated, also beside itself and
// beside writes: a key that changed meanwhile is left for the next call. A key
// that does not open is an error after the others were wrapped.
func (k *Keyring) RewrapData(ctx context.Context, id config.TenantID, limit int) (done int, left int64, err error) {
	if limit < 1 {
		return 0, 0, badLimit()
	}
	ctx, cancel := context.WithTimeout(ctx, flightTime) // RetireTenantKey counts on it
	defer cancel()
	t, err := k.current(ctx, id)
	if err != nil {
		return 0, 0, err
	}
	// The process that made the version may have ended before its epoch began.
	if t, err = k.beginEpoch(ctx, t); err != nil {
		return 0, 0, err
	}
	done, err = k.rewrapBatch(ctx, t, limit)
	counts, countErr := k.data.KeyVersions(ctx, id)
	if countErr != nil {
		return done, 0, errors.Join(err, unavailable(countErr, "the database does not answer"))
	}
	return done, older(counts, t.wrapper().version), err
}

// rewrapBatch looks further when all it was given is broken: what does not open
// must not keep the rest waiting.
func (k *Keyring) rewrapBatch(ctx context.Context, t *tenant, limit int) (int, error) {
	const furthest = 1 << 16
	for look := limit; ; look *= 2 {
		rows, err := k.data.KeysBelow(ctx, t.id, t.wrapper().version, look)
		if err != nil {
			return 0, unavailable(err, "the database does not answer")
		}
		anew, broken := k.rewrapKeys(t, rows, limit)
		if len(anew) == 0 && len(rows) == look && look < furthest {
			continue
		}
		if len(anew) > 0 {
			if err := k.data.Rewrap(ctx, t.id, anew); err != nil {
				return 0, errors.Join(broken, unavailable(err, "the database does not take data keys"))
			}
		}
		return len(anew), broken
	}
}

// rewrapKeys wraps keys anew; the error is of the first that does not open.
func (k *Keyring) rewrapKeys(t *tenant, rows []store.WrappedKey, limit int) (anew []store.Rewrapped, broken error) {
	for _, row := range rows {
		if len(anew) == limit {
			break
		}
		wrapped, err := k.rewrapKey(t, row)
		if err != nil {
			if broken == nil {
				broken = err
			}
			continue
		}
		r := store.Rewrapped{WrappedKey: row, Before: row.Wrapped}
		r.Wrapped, r.KeyVersion = wrapped, t.wrapper().version
		anew = append(anew, r)
	}
	return anew, broken
}

func (k *Keyring) rewrapKey(t *tenant, row store.WrappedKey) ([]byte, error) {
	at := ofEpoch(t.id, row.Epoch)
	if row.Epoch == 0 {
		at = ofSecret(Place{
			Kind: SecretValue, Tenant: t.id, Environment: row.Environment, Path: row.Path.String(), Version: int64(row.Version),
		})
	}
	key, err := unwrap(t.keys, at, row.Wrapped)
	if err != nil {
		if row.Epoch == 0 {
			return nil, fmt.Errorf("%w: data key of %s: %w", ErrSealBroken, at.place, err)
		}
		return nil, fmt.Errorf("%w: data key %d of tenant %s: %w", ErrSealBroken, row.Epoch, t.id, err)
	}
	defer clear(key)
	var nonce [nonceBytes]byte
	if err := k.random(nonce[:]); err != nil {
		return nil, err
	}
	return t.wrapper().wrap(at, key, nonce[:]), nil
}

// RetireTenantKey forgets a version of the tenant's key for ever: data backups
// from when it was in use can then not be read. It is KindInUse while it wraps
// a data key or a process might still use it, KindBadRequest for the newest,
// KindNotFound for one that is not there.
func (k *Keyring) RetireTenantKey(ctx context.Context, id config.TenantID, version uint32) error {
	return k.changeMaterial(ctx, id, func(m *material) error {
		i, err := k.retirable(ctx, id, m, version)
		if err == nil {
			m.remove(i)
		}
		return err
	})
}

// errRetirable ends a look at a tenant's material that changes nothing.
var errRetirable = errors.New("it may be retired")

// CheckRetire answers the error that RetireTenantKey would have now.
func (k *Keyring) CheckRetire(ctx context.Context, id config.TenantID, version uint32) error {
	err := k.changeMaterial(ctx, id, func(m *material) error {
		if _, err := k.retirable(ctx, id, m, version); err != nil {
			return err
		}
		return errRetirable
	})
	if errors.Is(err, errRetirable) {
		return nil
	}
	return err
}

// retirable is the place of a version that may be retired.
func (k *Keyring) retirable(ctx context.Context, id config.TenantID, m *material, version uint32) (int, error) {
	i := m.index(version)
	if i < 0 {
		return 0, config.Errorf(config.KindNotFound, "the key of tenant %s has no version %d", id, version)
	}
	if i == len(m.versions)-1 {
		return 0, config.Errorf(config.KindBadRequest, "version %d is the newest of the key of tenant %s", version, id).
			Hint("rotate the key first")
	}
	replaced := m.versions[i+1].created
	if wait := replaced.Add(settleTime).Sub(k.now()); wait > 0 {
		return 0, config.Errorf(config.KindInUse, "version %d was replaced only just now; a write under way may still use it", version).
			Hint("try again in %d seconds", int64((wait+time.Second-1)/time.Second))
	}
	counts, err := k.data.KeyVersions(ctx, id)
	if err != nil {
		return 0, unavailable(err, "the database does not answer")
	}
	if n := counts[version]; n > 0 {
		return 0, config.Errorf(config.KindInUse, "version %d still wraps %d data keys", version, n).
			Over(0, n).Hint("wait until they are wrapped by the newest version; the key's status shows how many are left")
	}
	return i, nil
}
