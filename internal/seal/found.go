package seal

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// refuseOrphans stops the founding of a key store beside data that was sealed
// before: that data would not open, and what comes next would hide the loss.
func (k *Keyring) refuseOrphans(ctx context.Context) error {
	var server config.TenantID
	_, err := k.keys.TenantKey(ctx, server)
	if err == nil || config.KindOf(err) == config.KindGone {
		// Another process that founds it adds the master key first.
		if masters, err := k.keys.Masters(ctx); err == nil && len(masters) > 0 {
			return nil
		}
		return errDamagedKeys()
	}
	if config.KindOf(err) != config.KindNotFound {
		return unavailable(err, "the key store does not answer")
	}
	return k.refuseLostKey(ctx, server)
}

func errDamagedKeys() error {
	return config.Errorf(config.KindUnavailable, "the key store has tenant keys but no check value of its master key: it is damaged").
		Hint("restore the key store from its backup")
}

// refuseLostKey stops the making of a tenant key where data keys show that the
// tenant had another one.
func (k *Keyring) refuseLostKey(ctx context.Context, id config.TenantID) error {
	data, err := k.data.DataKeys(ctx, id)
	if err != nil {
		return unavailable(err, "the database does not answer")
	}
	if len(data) > 0 {
		// Another process that founds the tenant adds its key first.
		if _, err := k.keys.TenantKey(ctx, id); err == nil {
			return nil
		}
		return config.Errorf(config.KindUnavailable, "the data of tenant %s was sealed under a key that the key store does not hold", id).
			Hint("put back the key store that belongs to this data; it is backed up apart from the data")
	}
	return nil
}

// Found makes a tenant's key and its first data key. It may be repeated: what
// is there is kept. The error is of KindGone when the key was destroyed.
func (k *Keyring) Found(ctx context.Context, id config.TenantID) error {
	_, err := k.keys.TenantKey(ctx, id)
	if config.KindOf(err) == config.KindNotFound {
		err = k.addTenantKey(ctx, id)
	}
	if err != nil {
		return k.tenantKeyError(err, id)
	}
	t, err := k.tenant(ctx, id)
	if err != nil {
		return err
	}
	if t.newest().number == 0 {
		_, err = k.beginEpoch(ctx, t)
	}
	return err
}

func (k *Keyring) addTenantKey(ctx context.Context, id config.TenantID) error {
	if err := k.refuseLostKey(ctx, id); err != nil {
		return err
	}
	material, err := newMaterial(k.random)
	if err != nil {
		return err
	}
	defer clear(material)
	wrapped, master, err := k.wrapTenant(ctx, id, material)
	if err != nil {
		return err
	}
	now := k.now()
	err = k.keys.AddTenantKey(ctx, store.TenantKey{
		Tenant: id, Wrapped: wrapped, Master: master, Generation: 1, Newest: firstKeyVersion, Created: now, Rotated: now,
	})
	if config.KindOf(err) == config.KindAlreadyExists {
		return nil
	}
	return err
}

// tenantKeyError says what a refusal of the key store means for a tenant.
func (k *Keyring) tenantKeyError(err error, id config.TenantID) error {
	switch config.KindOf(err) {
	case config.KindUnavailable:
		return err
	case config.KindGone:
		return config.Errorf(config.KindGone, "the key of tenant %s was destroyed; nothing of its data can be read", id)
	case config.KindNotFound:
		return config.Errorf(config.KindUnavailable, "the key store holds no key of tenant %s", id).
			Hint("put back the key store that belongs to this data; it is backed up apart from the data")
	}
	return unavailable(err, "the key store does not answer")
}
