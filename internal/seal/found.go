package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// The key-check value is a known text, wrapped by the master key.
var (
	checkText       = []byte("llm-config master key check")
	checkAssociated = []byte("llm-config master key check 1")
)

// checkMaster compares the keeper's key with the one the key store was founded
// with, and founds a key store that is new. One that lost its check value is
// not new: it holds the server's key, or the database holds data keys.
func (k *Keyring) checkMaster(ctx context.Context) error {
	check, err := k.keys.MasterCheck(ctx)
	if config.KindOf(err) == config.KindNotFound {
		if err := k.refuseOrphans(ctx); err != nil {
			return err
		}
		if err := k.writeCheck(ctx); err != nil {
			return err
		}
		check, err = k.keys.MasterCheck(ctx)
	}
	if err != nil {
		return unavailable(err, "the key store does not answer")
	}
	text, err := k.keeper.Unwrap(ctx, check, checkAssociated)
	if errors.Is(err, ErrNotWrapped) || err == nil && !bytes.Equal(text, checkText) {
		return k.wrongMasterKey(err)
	}
	if err != nil {
		return unavailable(err, "the keeper of the master key (%s) does not answer", k.keeper.Name())
	}
	return nil
}

func (k *Keyring) wrongMasterKey(cause error) error {
	e := config.Errorf(config.KindUnavailable, "the master key (%s) is not the one that this data was sealed under", k.keeper.Name()).
		Hint("start with the master key that was in use before, or with the data and key store that belong to this one")
	e.Cause = ErrWrongMasterKey
	if cause != nil {
		e.Cause = fmt.Errorf("%w: %w", ErrWrongMasterKey, cause)
	}
	return e
}

// refuseOrphans stops the founding of a key store beside data that was sealed
// before: that data would not open, and what comes next would hide the loss.
func (k *Keyring) refuseOrphans(ctx context.Context) error {
	var server config.TenantID
	_, err := k.keys.TenantKey(ctx, server)
	if err == nil || config.KindOf(err) == config.KindGone {
		// Another process that founds it writes the check value first.
		if _, err := k.keys.MasterCheck(ctx); err == nil {
			return nil
		}
		return config.Errorf(config.KindUnavailable, "the key store has tenant keys but no check value of its master key: it is damaged").
			Hint("restore the key store from its backup")
	}
	if config.KindOf(err) != config.KindNotFound {
		return unavailable(err, "the key store does not answer")
	}
	return k.refuseLostKey(ctx, server)
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

func (k *Keyring) writeCheck(ctx context.Context) error {
	check, err := k.keeper.Wrap(ctx, checkText, checkAssociated)
	if err != nil {
		return unavailable(err, "the keeper of the master key (%s) does not answer", k.keeper.Name())
	}
	// Another process may be first; its value is then what counts.
	if err := k.keys.SetMasterCheck(ctx, check); err != nil && config.KindOf(err) != config.KindAlreadyExists {
		return unavailable(err, "the key store does not take the check value of its master key")
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
		return k.addEpoch(ctx, t, 1)
	}
	return nil
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
	wrapped, err := k.keeper.Wrap(ctx, material, bindTenantKey(id))
	if err != nil {
		return unavailable(err, "the keeper of the master key (%s) does not answer", k.keeper.Name())
	}
	err = k.keys.AddTenantKey(ctx, id, wrapped)
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
