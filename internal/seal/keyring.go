package seal

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Options tune a Keyring; the zero value is right for production.
type Options struct {
	// Rand is where keys and nonces come from; nil is crypto/rand.
	Rand io.Reader
	// SealsPerEpoch is how many bodies one data key seals before it is
	// replaced; zero is 2^28. Nonces are random: after 2^30 seals two would
	// agree with a probability of 2^-37, and a data backup put back forgets
	// the seals counted since, so there is room below that.
	SealsPerEpoch int64
	// SealsPerBlock is how many seals are counted at once, before they are
	// made; zero is 2^16. What a process did not use of a block is lost when
	// it ends.
	SealsPerBlock int64
	// Tenants is how many tenants' keys are kept in memory, about 2 KB each;
	// zero is 16,384. Others are loaded when they are asked for.
	Tenants int
	// Clock dates keys; nil is time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.SealsPerEpoch == 0 {
		o.SealsPerEpoch = 1 << 28
	}
	if o.SealsPerBlock == 0 {
		o.SealsPerBlock = 1 << 16
	}
	o.SealsPerBlock = min(o.SealsPerBlock, o.SealsPerEpoch)
	if o.Tenants == 0 {
		o.Tenants = 1 << 14
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Keyring seals and opens for every tenant. It is safe for concurrent use, and
// several processes may share one key store and database.
type Keyring struct {
	keepers Keepers
	keys    store.Keys
	data    store.DataKeys
	options Options

	loads   singleflight.Group // one at a time per tenant id
	tenants *otter.Cache[config.TenantID, *tenant]

	settling sync.Mutex // held while writer is found out
	writer   atomic.Pointer[writer]

	mu       sync.Mutex
	forgets  uint64    // calls of forget; a load that saw one happen is not kept
	reloaded time.Time // when the keepers were last asked to reload for a key that did not open
}

// OpenKeyring begins to use a key store and a database, founding them with
// their first keys if they are new. It is ErrWrongMasterKey when the keepers do
// not open every version of the master key in use; then nothing is written. A
// write keeper with a key that has not been used yet becomes the next version.
func OpenKeyring(ctx context.Context, keepers Keepers, keys store.Keys, data store.DataKeys, opts Options) (*Keyring, error) {
	k := &Keyring{keepers: keepers, keys: keys, data: data, options: opts.withDefaults()}
	cache, err := otter.New(&otter.Options[config.TenantID, *tenant]{
		MaximumSize: k.options.Tenants,
		OnAtomicDeletion: func(e otter.DeletionEvent[config.TenantID, *tenant]) {
			e.Value.wipe()
		},
	})
	if err != nil {
		return nil, err
	}
	k.tenants = cache
	if err := k.settleMaster(ctx); err != nil {
		return nil, err
	}
	if err := k.Found(ctx, config.TenantID{}); err != nil {
		return nil, err
	}
	return k, nil
}

// Seal encrypts plain for one place. A sealed body opens nowhere else.
func (k *Keyring) Seal(ctx context.Context, at Place, plain []byte) ([]byte, error) {
	if len(plain) > MaxPlainBytes {
		return nil, config.Errorf(config.KindTooLarge, "a body is too large to be sealed").Over(MaxPlainBytes, int64(len(plain)))
	}
	t, err := k.tenant(ctx, at.Tenant)
	if err != nil {
		return nil, err
	}
	b := t.block.Load()
	for !b.take() {
		if t, err = k.wrapping(ctx, at.Tenant); err != nil {
			return nil, err
		}
		if err := k.reserve(ctx, t); err != nil {
			if t, err = k.newer(ctx, t, err); err != nil {
				return nil, err
			}
		}
		b = t.block.Load()
	}
	buffer, associated := getScratch(), getScratch()
	defer putScratch(buffer)
	defer putScratch(associated)
	*associated = appendAssociated(*associated, at, b.number)

	how, body := pack(plain, buffer)
	sealed := appendHeader(make([]byte, 0, headerBytes+1+len(body)+tagBytes), b.number)
	nonce := sealed[headerBytes-nonceBytes:]
	if err := k.random(nonce); err != nil {
		return nil, err
	}
	packed := append(append(sealed, how), body...)[headerBytes:]
	return b.aead.Seal(sealed, nonce, packed, *associated), nil
}

// Open decrypts what was sealed for the same place. The error is ErrSealBroken
// when it was not, of KindGone when the tenant's key was destroyed.
func (k *Keyring) Open(ctx context.Context, at Place, sealed []byte) ([]byte, error) {
	number, ok := parseHeader(sealed)
	if !ok {
		return nil, broken(at)
	}
	t, err := k.tenant(ctx, at.Tenant)
	if err != nil {
		return nil, err
	}
	aead := t.epoch(number)
	if aead == nil {
		// Another process may have begun the epoch since this one looked.
		if t, err = k.reload(ctx, t); err != nil {
			return nil, err
		}
		if aead = t.epoch(number); aead == nil {
			return nil, broken(at)
		}
	}
	associated := getScratch()
	defer putScratch(associated)
	*associated = appendAssociated(*associated, at, number)
	packed, err := aead.Open(nil, sealed[headerBytes-nonceBytes:headerBytes], sealed[headerBytes:], *associated)
	if err != nil {
		return nil, broken(at)
	}
	plain, err := unpack(packed)
	if err != nil {
		return nil, broken(at)
	}
	return plain, nil
}

// MAC is a keyed hash of data, HMAC-SHA-256 under a key of the tenant's own for
// each purpose. It stays the same for as long as the tenant lives.
func (k *Keyring) MAC(ctx context.Context, id config.TenantID, purpose string, data []byte) ([32]byte, error) {
	for {
		t, err := k.tenant(ctx, id)
		if err != nil {
			return [32]byte{}, err
		}
		if sum, ok, err := t.mac(purpose, data); ok || err != nil {
			return sum, err
		}
	}
}

// Destroy makes everything sealed for a tenant unreadable for ever. It may be
// repeated, and also be called for a tenant that has no key.
func (k *Keyring) Destroy(ctx context.Context, id config.TenantID) error {
	if id == (config.TenantID{}) {
		return config.Errorf(config.KindForbidden, "the server's own key is never destroyed")
	}
	err := k.keys.DestroyTenantKey(ctx, id)
	k.forget(id)
	if err != nil {
		return unavailable(err, "the key of tenant %s could not be destroyed", id)
	}
	return nil
}

func (k *Keyring) forget(id config.TenantID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgets++
	k.loads.Forget(string(id[:]))
	k.tenants.Invalidate(id)
}

func (k *Keyring) random(b []byte) error {
	_, err := io.ReadFull(k.options.Rand, b)
	if err != nil {
		return unavailable(err, "the source of randomness failed")
	}
	return nil
}
