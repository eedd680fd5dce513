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

// tenant answers a tenant's keys, from memory if they are there.
func (k *Keyring) tenant(ctx context.Context, id config.TenantID) (*tenant, error) {
	if t, ok := k.tenants.GetIfPresent(id); ok {
		return t, nil
	}
	return k.loadOnce(ctx, id)
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

func (k *Keyring) read(ctx context.Context, id config.TenantID) (*tenant, error) {
	wrapped, err := k.keys.TenantKey(ctx, id)
	if err != nil {
		return nil, k.tenantKeyError(err, id)
	}
	material, err := k.keeper.Unwrap(ctx, wrapped, bindTenantKey(id))
	if errors.Is(err, ErrNotWrapped) {
		return nil, fmt.Errorf("%w: key of tenant %s: %w", ErrSealBroken, id, err)
	}
	if err != nil {
		return nil, unavailable(err, "the keeper of the master key (%s) does not answer", k.keeper.Name())
	}
	defer clear(material)
	hash, keys, err := parseMaterial(material)
	if err != nil {
		return nil, fmt.Errorf("%w: key of tenant %s: %w", ErrSealBroken, id, err)
	}
	t := &tenant{id: id, keys: keys, hash: hash}
	clear(hash[:])
	return t, k.readEpochs(ctx, t)
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
	t.epochs.Store(&all)
	return nil
}

func (k *Keyring) dataKey(t *tenant, known []epoch, row store.DataKey) (cipher.AEAD, error) {
	if i := slices.IndexFunc(known, func(e epoch) bool { return e.number == row.Epoch }); i >= 0 {
		return known[i].aead, nil
	}
	aead, err := unwrapDataKey(t.keys, t.id, row.Epoch, row.Wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: data key %d of tenant %s: %w", ErrSealBroken, row.Epoch, t.id, err)
	}
	return aead, nil
}

// reload learns of epochs that other processes began.
func (k *Keyring) reload(ctx context.Context, t *tenant) error {
	_, err := fly(ctx, &t.flights, "reload", func(ctx context.Context) (any, error) {
		return nil, k.readEpochs(ctx, t)
	})
	return err
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
	writer := t.keys[len(t.keys)-1]
	wrapped := writer.wrap(t.id, number, fresh[:keyBytes], fresh[keyBytes:])
	err := k.data.AddDataKey(ctx, t.id, store.DataKey{Epoch: number, Wrapped: wrapped})
	if err != nil && config.KindOf(err) != config.KindConflict {
		return unavailable(err, "the database does not take a data key")
	}
	return k.readEpochs(ctx, t)
}
