package seal

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// flightTime bounds what callers who ask for the same keys wait for together.
const flightTime = 30 * time.Second

// fly runs work once for all who ask under the same name at the same time. One
// who gives up does not stop it for the others.
func fly(ctx context.Context, flights *singleflight.Group, name string, work func(context.Context) (any, error)) (any, error) {
	result := flights.DoChan(name, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
		defer cancel()
		return work(detached)
	})
	select {
	case r := <-result:
		return r.Val, r.Err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err(), "the keys were not there in time")
	}
}

// What is in memory is compared with the key store every now and then: another
// process may have destroyed the tenant's key or given it a new version.
const (
	// recheckAfter is how long keys are used before the key store is asked again.
	recheckAfter = 10 * time.Second
	// trustFor is how long what was sealed is still opened, and more sealed,
	// when the key store does not answer. Data keys are not wrapped then.
	trustFor = time.Minute
)

// tenant answers a tenant's keys, from memory if they are there.
func (k *Keyring) tenant(ctx context.Context, id config.TenantID) (*tenant, error) {
	t, ok := k.tenants.GetIfPresent(id)
	if !ok {
		return k.loadOnce(ctx, id)
	}
	age := k.age(t)
	if age < recheckAfter {
		return t, nil
	}
	fresh, err := k.recheck(ctx, t)
	if config.KindOf(err) == config.KindUnavailable && age < trustFor {
		return t, nil
	}
	return fresh, err
}

// wrapping answers a tenant's keys to wrap data keys with. That they are the
// newest ones was true less than recheckAfter ago; RetireTenantKey counts on it.
func (k *Keyring) wrapping(ctx context.Context, id config.TenantID) (*tenant, error) {
	t, err := k.tenant(ctx, id)
	if err == nil && k.age(t) >= recheckAfter {
		return k.recheck(ctx, t)
	}
	return t, err
}

// current answers a tenant's keys as the key store has them now. It asks by
// itself: a question that others asked before may have an answer from before.
func (k *Keyring) current(ctx context.Context, id config.TenantID) (*tenant, error) {
	t, ok := k.tenants.GetIfPresent(id)
	if !ok {
		var err error
		if t, err = k.loadOnce(ctx, id); err != nil {
			return nil, err
		}
	}
	return k.compare(ctx, t)
}

func (k *Keyring) age(t *tenant) time.Duration { return k.now().Sub(*t.checked.Load()) }

// recheck compares what is in memory once for all who ask at the same time.
func (k *Keyring) recheck(ctx context.Context, t *tenant) (*tenant, error) {
	fresh, err := fly(ctx, &t.flights, "recheck", func(ctx context.Context) (any, error) {
		return k.compare(ctx, t)
	})
	if err != nil {
		return nil, err
	}
	return fresh.(*tenant), nil
}

// compare asks the key store whether it still holds what is in memory, and
// loads what it holds if not.
func (k *Keyring) compare(ctx context.Context, t *tenant) (*tenant, error) {
	now := k.now()
	row, err := k.keys.TenantKey(ctx, t.id)
	switch {
	case config.KindOf(err) == config.KindGone:
		k.forget(t.id)
		return nil, k.tenantKeyError(err, t.id)
	case err != nil:
		return nil, k.tenantKeyError(err, t.id)
	case row.Generation == t.generation:
		t.checked.Store(&now)
		return t, nil
	}
	k.forget(t.id)
	return k.loadOnce(ctx, t.id)
}

func (k *Keyring) loadOnce(ctx context.Context, id config.TenantID) (*tenant, error) {
	t, err := fly(ctx, &k.loads, string(id[:]), func(ctx context.Context) (any, error) {
		return k.load(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	return t.(*tenant), nil
}

// load reads a tenant's keys and keeps them in memory, unless a key was
// destroyed meanwhile: it might be this one, and is read again.
func (k *Keyring) load(ctx context.Context, id config.TenantID) (*tenant, error) {
	for {
		k.mu.Lock()
		forgets := k.forgets
		k.mu.Unlock()
		if t, ok := k.tenants.GetIfPresent(id); ok {
			return t, nil // a flight before this one was faster
		}
		t, err := k.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if k.keep(t, forgets) {
			return t, nil
		}
		t.wipe()
	}
}

func (k *Keyring) keep(t *tenant, forgets uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forgets != forgets {
		return false
	}
	k.tenants.Set(t.id, t)
	return true
}

// read reads a tenant's keys. Between its two parts another process may give
// the tenant's key a new version: then it begins anew.
func (k *Keyring) read(ctx context.Context, id config.TenantID) (*tenant, error) {
	for range maxRaces {
		t, err := k.readKeys(ctx, id)
		if err != nil {
			return nil, err
		}
		if err = k.readEpochs(ctx, t); err == nil {
			return t, nil
		}
		t.wipe()
		if !errors.Is(err, errKeyVersion) {
			return nil, err
		}
		row, rowErr := k.keys.TenantKey(ctx, id)
		if rowErr != nil || row.Generation == t.generation {
			return nil, err
		}
	}
	return nil, errRaces()
}

func (k *Keyring) readKeys(ctx context.Context, id config.TenantID) (*tenant, error) {
	now := k.now()
	row, err := k.keys.TenantKey(ctx, id)
	if err != nil {
		return nil, k.tenantKeyError(err, id)
	}
	m, err := k.openMaterial(ctx, id, row)
	if err != nil {
		return nil, err
	}
	defer m.clear()
	keys, err := m.keys()
	if err != nil {
		return nil, err
	}
	t := &tenant{id: id, generation: row.Generation, keys: keys, hash: m.hash}
	t.checked.Store(&now)
	return t, nil
}

// openMaterial opens what the key store keeps for a tenant; the caller clears it.
func (k *Keyring) openMaterial(ctx context.Context, id config.TenantID, row store.TenantKey) (*material, error) {
	row.Tenant = id // not what the key store says
	text, err := k.unwrapTenant(ctx, row)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	m, err := parseMaterial(text)
	if err != nil {
		return nil, fmt.Errorf("%w: key of tenant %s: %w", ErrSealBroken, id, err)
	}
	if first := &m.versions[0]; first.created.IsZero() && first.version == firstKeyVersion {
		first.created = row.Created
	}
	return m, nil
}

// readEpochs reads the tenant's data keys; those known already are not opened again.
func (k *Keyring) readEpochs(ctx context.Context, t *tenant) error {
	rows, err := k.data.DataKeys(ctx, t.id)
	if err != nil {
		return unavailable(err, "the database does not answer")
	}
	var known []epoch
	if p := t.epochs.Load(); p != nil {
		known = *p
	}
	all := make([]epoch, 0, len(rows))
	for _, row := range rows {
		aead, err := k.dataKey(t, known, row)
		if err != nil {
			return err
		}
		all = append(all, epoch{row.Epoch, aead})
	}
	slices.SortFunc(all, func(a, b epoch) int { return int(int64(a.number) - int64(b.number)) })
	t.learn(all)
	return nil
}

func (k *Keyring) dataKey(t *tenant, known []epoch, row store.DataKey) (cipher.AEAD, error) {
	if i := slices.IndexFunc(known, func(e epoch) bool { return e.number == row.Epoch }); i >= 0 {
		return known[i].aead, nil
	}
	key, err := unwrap(t.keys, ofEpoch(t.id, row.Epoch), row.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: data key %d of tenant %s: %w", ErrSealBroken, row.Epoch, t.id, err)
	}
	defer clear(key)
	return newAEAD(key)
}

// reload learns of epochs that other processes began, also under a tenant key
// that they gave a new version. It too asks by itself.
func (k *Keyring) reload(ctx context.Context, t *tenant) (*tenant, error) {
	if err := k.readEpochs(ctx, t); err != nil {
		return k.newer(ctx, t, err)
	}
	return t, nil
}

// newer answers the keys that another process made, when their absence is what
// an error says; else the error.
func (k *Keyring) newer(ctx context.Context, t *tenant, cause error) (*tenant, error) {
	if !errors.Is(cause, errKeyVersion) {
		return nil, cause
	}
	fresh, err := k.compare(ctx, t)
	if err == nil && fresh == t {
		return nil, cause
	}
	return fresh, err
}

// reserve gets the tenant a block of seals, in the next epoch if this one has
// no room for it. The count is durable before the first of them is made, so a
// crash leaves seals counted that were not made, never the other way round.
func (k *Keyring) reserve(ctx context.Context, t *tenant) error {
	_, err := fly(ctx, &t.flights, "reserve", func(ctx context.Context) (any, error) {
		if b := t.block.Load(); b != nil && b.left.Load() > 0 {
			return nil, nil
		}
		return nil, k.nextBlock(ctx, t)
	})
	return err
}

func (k *Keyring) nextBlock(ctx context.Context, t *tenant) error {
	for {
		e := t.newest()
		if e.number != 0 {
			n := k.options.SealsPerBlock
			before, err := k.data.ReserveSeals(ctx, t.id, e.number, n)
			if err != nil {
				return unavailable(err, "the database does not count seals")
			}
			if before+n <= k.options.SealsPerEpoch {
				b := &block{epoch: e}
				b.left.Store(n)
				t.block.Store(b)
				return nil
			}
		}
		if err := k.addEpoch(ctx, t, e.number+1); err != nil {
			return err
		}
	}
}

// addEpoch adds a data key, or finds that another process did.
func (k *Keyring) addEpoch(ctx context.Context, t *tenant, number uint32) error {
	fresh := make([]byte, keyBytes+nonceBytes)
	defer clear(fresh)
	if err := k.random(fresh); err != nil {
		return err
	}
	w := t.wrapper()
	wrapped := w.wrap(ofEpoch(t.id, number), fresh[:keyBytes], fresh[keyBytes:])
	err := k.data.AddDataKey(ctx, t.id, store.DataKey{Epoch: number, Wrapped: wrapped, KeyVersion: w.version})
	if err != nil && config.KindOf(err) != config.KindConflict {
		return unavailable(err, "the database does not take a data key")
	}
	return k.readEpochs(ctx, t)
}
