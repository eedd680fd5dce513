package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// RestoreReport says what became of the keys in a backup.
type RestoreReport struct {
	Masters   int // versions of the master key that were added
	Added     int // keys of tenants that had none
	Kept      int // what is there is newer or the same, or destroyed
	Replaced  int // the backup's was newer
	Destroyed int // tombstones of the backup that were applied
	Tenants   []RestoredTenant
}

// RestoredTenant says what became of one tenant's key.
type RestoredTenant struct {
	Tenant config.TenantID
	Did    Restored
}

// Restored is what a restore did with a key.
type Restored string

// What a restore does.
const (
	RestoreAdded     Restored = "added"
	RestoreKept      Restored = "kept"
	RestoreReplaced  Restored = "replaced"
	RestoreDestroyed Restored = "destroyed"
)

// Restore takes over from a backup what the key store does not have, or has in
// an older generation. A tenant's key that was destroyed stays so, and one that
// the backup says was destroyed is destroyed here. All of the backup is read
// and judged before the first write; a restore that was interrupted may be
// repeated. No server must run on the key store.
func Restore(ctx context.Context, keepers Keepers, keys store.Keys, r io.Reader) (RestoreReport, error) {
	b, err := parseBackup(r)
	if err != nil {
		return RestoreReport{}, err
	}
	if err := b.prove(ctx, keepers); err != nil {
		return RestoreReport{}, err
	}
	restore := &restore{keepers: keepers, keys: keys, backup: b}
	if err := restore.plan(ctx); err != nil {
		return RestoreReport{}, err
	}
	err = restore.apply(ctx)
	return restore.report, err
}

// prove sees that whoever made the file had the master key, that nobody altered
// it since, and that the keepers open the masters that its keys need.
func (b *backup) prove(ctx context.Context, keepers Keepers) error {
	sum, err := keepers.unwrap(ctx, b.check, backupAssociated)
	if errors.Is(err, ErrNotWrapped) {
		e := config.Errorf(config.KindBadRequest, "the key backup was made with another master key than %s, or was altered", keepers.names()).
			Hint("name the master key that was in use when it was made; nothing was restored")
		e.Cause = fmt.Errorf("%w: %w", ErrWrongMasterKey, err)
		return e
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, b.sum[:]) {
		return config.Errorf(config.KindBadRequest, "the key backup was altered after it was made").
			Hint("take another copy of the backup; nothing was restored")
	}
	needed := map[uint32]bool{}
	for _, t := range b.tenants {
		needed[t.Master] = true
	}
	return keepers.openMasters(ctx, b.masters, func(m store.Master) bool { return m.Retired.IsZero() || needed[m.Version] })
}

// restore is one run: what is to be done, and what was.
type restore struct {
	keepers Keepers
	keys    store.Keys
	backup  *backup

	masters []store.Master // to be added
	steps   []restoreStep
	report  RestoreReport
}

type restoreStep struct {
	key store.TenantKey
	did Restored
	at  int64 // the generation that is there, for a key to be replaced
}

func (r *restore) plan(ctx context.Context) error {
	here, err := r.keys.Masters(ctx)
	if err != nil {
		return unavailable(err, "the key store does not answer")
	}
	if err := r.keepers.openMasters(ctx, here, func(m store.Master) bool { return m.Retired.IsZero() }); err != nil {
		return err
	}
	for i, m := range r.backup.masters {
		if i < len(here) && !bytes.Equal(here[i].Check, m.Check) {
			return config.Errorf(config.KindConflict, "version %d of the master key is another one here than in the key backup: their histories differ", m.Version).
				Hint("restore into an empty key store, or take a backup that belongs to this one; nothing was restored")
		}
	}
	if len(here) < len(r.backup.masters) {
		r.masters = r.backup.masters[len(here):]
	}
	for _, key := range r.backup.tenants {
		step, err := r.planTenant(ctx, key)
		if err != nil {
			return err
		}
		r.steps = append(r.steps, step)
	}
	return nil
}

func (r *restore) planTenant(ctx context.Context, key store.TenantKey) (restoreStep, error) {
	step := restoreStep{key: key, did: RestoreKept}
	here, err := r.keys.TenantKey(ctx, key.Tenant)
	switch kind := config.KindOf(err); {
	case kind == config.KindGone:
		return step, nil
	case kind == config.KindNotFound:
		step.did = RestoreAdded
	case err != nil:
		return step, unavailable(err, "the key store does not answer")
	}
	switch {
	case key.Wrapped == nil:
		step.did = RestoreDestroyed
	case err == nil && here.Generation < key.Generation:
		step.did, step.at = RestoreReplaced, here.Generation
		return step, r.follows(ctx, here, key)
	}
	return step, nil
}

// follows sees that a newer generation goes on from what is here, so that the
// key which wraps here is not lost. It is when both were rotated apart.
func (r *restore) follows(ctx context.Context, here, key store.TenantKey) error {
	old, err := r.open(ctx, here)
	if err != nil {
		return err
	}
	defer old.clear()
	newer, err := r.open(ctx, key)
	if err != nil {
		return err
	}
	defer newer.clear()
	v := old.newest()
	i := newer.index(v.version)
	if old.hash != newer.hash || i < 0 || newer.versions[i].key != v.key {
		return config.Errorf(config.KindConflict, "the key of tenant %s in the key backup does not go on from the one here: they were rotated apart from each other, or the version here was retired since", key.Tenant).
			Hint("restore into an empty key store, or take a backup that belongs to this one; nothing was restored")
	}
	return nil
}

func (r *restore) open(ctx context.Context, key store.TenantKey) (*material, error) {
	text, err := r.keepers.unwrap(ctx, key.Wrapped, bindTenantKey(key.Tenant))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	m, err := parseMaterial(text)
	if err != nil {
		return nil, fmt.Errorf("%w: key of tenant %s: %w", ErrSealBroken, key.Tenant, err)
	}
	return m, nil
}

// apply writes. Whatever it has done when it fails stands, and is found to be
// there already by the next run.
func (r *restore) apply(ctx context.Context) error {
	for _, m := range r.masters {
		if err := r.keys.AddMaster(ctx, m); err != nil {
			return restoreError(err)
		}
		r.report.Masters++
	}
	for _, step := range r.steps {
		if err := r.applyTenant(ctx, step); err != nil {
			return restoreError(err)
		}
		switch step.did {
		case RestoreAdded:
			r.report.Added++
		case RestoreKept:
			r.report.Kept++
		case RestoreReplaced:
			r.report.Replaced++
		case RestoreDestroyed:
			r.report.Destroyed++
		}
		r.report.Tenants = append(r.report.Tenants, RestoredTenant{step.key.Tenant, step.did})
	}
	for _, m := range r.masters {
		if m.Retired.IsZero() {
			continue
		}
		if err := r.keys.RetireMaster(ctx, m.Version, m.Retired); err != nil && config.KindOf(err) != config.KindInUse {
			return restoreError(err)
		}
	}
	return nil
}

func (r *restore) applyTenant(ctx context.Context, step restoreStep) error {
	switch step.did {
	case RestoreAdded:
		return r.keys.AddTenantKey(ctx, step.key)
	case RestoreDestroyed:
		return r.keys.DestroyTenantKey(ctx, step.key.Tenant)
	case RestoreReplaced:
		return r.replace(ctx, step)
	}
	return nil
}

// replace brings a key to the generation it has in the backup. The key store
// knows single steps only, and a lower number here would let a later restore
// take this key for an older one.
func (r *restore) replace(ctx context.Context, step restoreStep) error {
	key := step.key
	for key.Generation = step.at + 1; key.Generation <= step.key.Generation; key.Generation++ {
		if err := r.keys.ReplaceTenantKey(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func restoreError(err error) error {
	switch config.KindOf(err) {
	case config.KindConflict, config.KindAlreadyExists, config.KindGone, config.KindNotFound:
		e := config.Errorf(config.KindConflict, "the key store was changed while it was being restored").
			Hint("stop the server, and restore again")
		e.Cause = err
		return e
	}
	return unavailable(err, "the key store does not answer")
}
