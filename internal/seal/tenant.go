package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// tenant is a tenant's keys in memory, ready for use.
type tenant struct {
	id         config.TenantID
	generation int64
	keys       []tenantKey // ascending, never changed: other keys are another tenant

	checked atomic.Pointer[time.Time] // when the key store last held this generation

	epochs  atomic.Pointer[[]epoch] // ascending; replaced, never changed
	block   atomic.Pointer[block]   // seals reserved for this process; nil before the first
	flights singleflight.Group      // reservations and comparisons, one at a time

	mu    sync.RWMutex
	hash  [keyBytes]byte
	wiped bool // hash is gone; whoever still holds this tenant loads it anew
}

// epoch is one data key.
type epoch struct {
	number uint32
	aead   cipher.AEAD
}

// block is a run of seals that were counted before the first of them is made.
type block struct {
	epoch
	left atomic.Int64
}

// take uses one seal of the block, if there is one left.
func (b *block) take() bool { return b != nil && b.left.Add(-1) >= 0 }

// wrapper is the newest version of the tenant's key, which wraps.
func (t *tenant) wrapper() tenantKey { return t.keys[len(t.keys)-1] }

// epoch finds the cipher of an epoch, nil when it is not known here.
func (t *tenant) epoch(number uint32) cipher.AEAD {
	for _, e := range slices.Backward(*t.epochs.Load()) {
		if e.number == number {
			return e.aead
		}
	}
	return nil
}

// learn takes over a list of epochs unless one with as many is there already:
// epochs are only ever added, and of two readers the slower one may have begun
// first.
func (t *tenant) learn(all []epoch) {
	for {
		known := t.epochs.Load()
		if known != nil && len(*known) >= len(all) || t.epochs.CompareAndSwap(known, &all) {
			return
		}
	}
}

// newest is the epoch to seal with, zero when there is none yet.
func (t *tenant) newest() epoch {
	all := *t.epochs.Load()
	if len(all) == 0 {
		return epoch{}
	}
	return all[len(all)-1]
}

// mac answers false when the hash secret was wiped meanwhile.
func (t *tenant) mac(purpose string, data []byte) (sum [32]byte, ok bool, err error) {
	t.mu.RLock()
	if t.wiped {
		t.mu.RUnlock()
		return sum, false, nil
	}
	key, err := hkdf.Expand(sha256.New, t.hash[:], "llm-config hash key: "+purpose, keyBytes)
	t.mu.RUnlock()
	if err != nil {
		return sum, false, err
	}
	defer clear(key)
	h := hmac.New(sha256.New, key)
	h.Write(data)
	h.Sum(sum[:0])
	return sum, true, nil
}

func (t *tenant) wipe() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.hash[:])
	t.wiped = true
}
