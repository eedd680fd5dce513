package seal

import (
	"context"
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// MasterKeyAge is the age at which a master key is due to be replaced.
const MasterKeyAge = 90 * 24 * time.Hour

// tenantKeyPage is how many tenant keys are read at once.
const tenantKeyPage = 500

// MasterStatus says which versions of the master key are in use.
type MasterStatus struct {
	Versions []MasterVersion
	Due      time.Time // when the newest is due to be replaced
}

// MasterVersion is one version of the master key.
type MasterVersion struct {
	Version uint32
	Keeper  string
	Created time.Time
	Retired time.Time // zero while it may be in use
	Tenants int64     // tenant keys that it wraps
	Newest  bool
}

// MasterStatus looks at the versions of the master key.
func (k *Keyring) MasterStatus(ctx context.Context) (MasterStatus, error) {
	masters, err := k.keys.Masters(ctx)
	if err != nil {
		return MasterStatus{}, unavailable(err, "the key store does not answer")
	}
	counts, err := k.keys.MasterVersions(ctx)
	if err != nil {
		return MasterStatus{}, unavailable(err, "the key store does not answer")
	}
	var status MasterStatus
	for i, m := range masters {
		status.Versions = append(status.Versions, MasterVersion{
			Version: m.Version, Keeper: m.Keeper, Created: m.Created, Retired: m.Retired,
			Tenants: counts[m.Version], Newest: i == len(masters)-1,
		})
		status.Due = m.Created.Add(MasterKeyAge)
	}
	return status, nil
}

// RotateMaster makes the key that the write keeper has now the next version of
// the master key. Tenant keys are wrapped by it from then on, and those there
// are with RewrapTenants. It is KindConflict when the keeper's key is the
// newest version already.
func (k *Keyring) RotateMaster(ctx context.Context) (uint32, error) {
	k.settling.Lock()
	defer k.settling.Unlock()
	newest, err := k.replaceable(ctx)
	if err != nil {
		return 0, err
	}
	m, err := k.addMaster(ctx, newest.Version+1)
	return m.Version, err
}

// CheckRotateMaster answers the error that RotateMaster would have now.
func (k *Keyring) CheckRotateMaster(ctx context.Context) error {
	k.settling.Lock()
	defer k.settling.Unlock()
	_, err := k.replaceable(ctx)
	return err
}

// replaceable is the newest version of the master key, if the write keeper has
// another key now.
func (k *Keyring) replaceable(ctx context.Context) (store.Master, error) {
	if err := k.keepers.reload(ctx); err != nil {
		e := config.Errorf(config.KindUnavailable, "the keys of %s cannot be read", k.keepers.names()).
			Hint("put the keeper right; the keys as they were remain in use")
		e.Cause = err
		return store.Master{}, e
	}
	masters, err := k.masters(ctx)
	if err != nil {
		return store.Master{}, err
	}
	if len(masters) == 0 {
		return store.Master{}, errDamagedKeys()
	}
	newest := masters[len(masters)-1]
	if key := keyOf(k.keepers.Write, newest.Check); key != "" {
		own, err := k.isWriter(ctx, newest)
		if err != nil {
			return store.Master{}, err
		}
		if own {
			return store.Master{}, sameMasterKey(newest)
		}
	}
	return newest, nil
}

func sameMasterKey(newest store.Master) error {
	return config.Errorf(config.KindConflict, "the keeper's key (%s) is version %d of the master key already, the newest", newest.Keeper, newest.Version).
		Hint("give it a new key first: for a key file run `llm-config key generate -f FILE --add`; for another keeper start the server with it as master-key, and with the one in use in previous-master-keys")
}

// RewrapTenants wraps, by the newest version of the master key, at most limit
// tenant keys that an older one wraps, and retires versions that wrap nothing
// any more. It says how many it wrapped and how many are left. It may be
// stopped at any point and repeated, also beside itself: a key that changed
// meanwhile is left for the next call. A key that does not open is an error
// after the others were wrapped.
func (k *Keyring) RewrapTenants(ctx context.Context, limit int) (done int, left int64, err error) {
	if limit < 1 {
		return 0, 0, badLimit()
	}
	masters, counts, err := k.masterCounts(ctx)
	if err != nil {
		return 0, 0, err
	}
	newest := masters[len(masters)-1]
	if err := k.beWriter(ctx, newest); err != nil {
		return 0, older(counts, newest.Version), err
	}
	if older(counts, newest.Version) > 0 {
		done, err = k.rewrapSome(ctx, newest.Version, limit)
	}
	masters, counts, countErr := k.masterCounts(ctx)
	if countErr != nil {
		return done, 0, errors.Join(err, countErr)
	}
	return done, older(counts, newest.Version), errors.Join(err, k.retireMasters(ctx, masters, counts))
}

func badLimit() error { return config.Errorf(config.KindBadRequest, "a batch holds at least one key") }

func (k *Keyring) masterCounts(ctx context.Context) ([]store.Master, map[uint32]int64, error) {
	masters, err := k.keys.Masters(ctx)
	if err != nil {
		return nil, nil, unavailable(err, "the key store does not answer")
	}
	counts, err := k.keys.MasterVersions(ctx)
	if err != nil {
		return nil, nil, unavailable(err, "the key store does not answer")
	}
	if len(masters) == 0 {
		return nil, nil, errDamagedKeys()
	}
	return masters, counts, nil
}

// older counts what versions below one wrap.
func older(counts map[uint32]int64, version uint32) (n int64) {
	for v, count := range counts {
		if v < version {
			n += count
		}
	}
	return n
}

// beWriter sees to it that this process wraps with the newest master key. When
// another process made it and this one does not have it, the work is left to
// that other one: two that disagree would undo each other's work for ever.
func (k *Keyring) beWriter(ctx context.Context, newest store.Master) error {
	if k.writer.Load().version == newest.Version {
		return nil
	}
	if err := k.keepers.reload(ctx); err != nil {
		return unavailable(err, "the keys of %s cannot be read", k.keepers.names())
	}
	k.settling.Lock()
	defer k.settling.Unlock()
	own, err := k.isWriter(ctx, newest)
	if own || err != nil {
		return err
	}
	return config.Errorf(config.KindConflict, "version %d of the master key (%s) was made by another process, and this one wraps with %s", newest.Version, newest.Keeper, k.keepers.Write.Name()).
		Hint("give all servers the same master key")
}

func (k *Keyring) rewrapSome(ctx context.Context, newest uint32, limit int) (done int, err error) {
	var after *config.TenantID
	for {
		page, pageErr := k.keys.TenantKeys(ctx, after, tenantKeyPage)
		if pageErr != nil {
			return done, errors.Join(err, unavailable(pageErr, "the key store does not answer"))
		}
		if len(page) == 0 {
			return done, err
		}
		for _, row := range page {
			if row.Wrapped == nil || row.Master >= newest {
				continue
			}
			if done == limit {
				return done, err
			}
			switch rowErr := k.rewrapTenant(ctx, row); {
			case rowErr == nil:
				done++
			case !errors.Is(rowErr, ErrSealBroken):
				return done, errors.Join(err, rowErr)
			case err == nil:
				err = rowErr
			}
		}
		after = &page[len(page)-1].Tenant
	}
}

func (k *Keyring) rewrapTenant(ctx context.Context, row store.TenantKey) error {
	material, err := k.unwrapTenant(ctx, row)
	if err != nil {
		return err
	}
	defer clear(material)
	row.Wrapped, row.Master, err = k.wrapTenant(ctx, row.Tenant, material)
	if err != nil {
		return err
	}
	row.Generation++
	return k.replaced(k.keys.ReplaceTenantKey(ctx, row))
}

// replaced passes over a key that others changed or destroyed meanwhile.
func (k *Keyring) replaced(err error) error {
	switch config.KindOf(err) {
	case "", config.KindConflict, config.KindGone, config.KindNotFound:
		return nil
	}
	return unavailable(err, "the key store does not take a tenant's key")
}

func (k *Keyring) retireMasters(ctx context.Context, masters []store.Master, counts map[uint32]int64) error {
	for _, m := range masters[:len(masters)-1] {
		if !m.Retired.IsZero() || counts[m.Version] > 0 {
			continue
		}
		err := k.keys.RetireMaster(ctx, m.Version, k.now())
		if err != nil && config.KindOf(err) != config.KindInUse {
			return unavailable(err, "the key store does not answer")
		}
	}
	return nil
}
