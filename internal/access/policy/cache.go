package policy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const (
	// CachedDecisions is how many decisions a server usually keeps, at some 500
	// bytes each.
	CachedDecisions = 100_000
	// cachedBytes is what each of so many may take, with the texts in its key. Who
	// asks about longer names has fewer kept, and takes no more memory.
	cachedBytes = 512
	// cachedBase is what one takes without them.
	cachedBase = 384
	// maxCachedText is how long a text may be in what is kept. Paths and names are
	// all shorter; what is longer names nothing.
	maxCachedText = 1 << 10
	// decisionFresh is how long one is kept. Nothing in a key changes its meaning,
	// so that this only clears away what nobody asks for any more.
	decisionFresh = 10 * time.Minute
)

// Cache keeps decisions. It is safe for concurrent use, and for all tenants.
type Cache struct {
	decisions *otter.Cache[key, answer]
}

// key is all that a decision may depend on, but for time and labels: what depends
// on these is not kept. The generation stands for the policies, and is of use
// together with the tenant only, because many tenants share a set.
type key struct {
	tenant      config.TenantID
	generation  uint64
	principal   [32]byte
	action      access.Action
	environment string
	path        string
	prefix      string
	secret      bool
	further     reads      // which of the following are filled in, so that none of these is missing by chance
	source      netip.Addr // zero unless the decision depends on it; as the next two
	certified   bool
	fingerprint [32]byte
}

// answer is what is known under a key: a decision, or that it depends on more
// than the key has.
type answer struct {
	decision access.Decision
	further  reads // of readsSource and readsCertificate
}

const (
	// readsFurther is what goes into the key only where a decision depends on it.
	readsFurther = readsSource | readsCertificate
	// readsPassing is what makes a decision too short-lived to be kept.
	readsPassing = readsTime | readsLabels
)

// NewCache makes a cache of so many decisions, of the usual size.
func NewCache(entries int) *Cache {
	return &Cache{decisions: otter.Must(&otter.Options[key, answer]{
		MaximumWeight:    uint64(entries) * cachedBytes,
		Weigher:          func(k key, _ answer) uint32 { return cachedBase + uint32(k.texts()) },
		ExpiryCalculator: otter.ExpiryWriting[key, answer](decisionFresh),
	})}
}

// Decide answers as the set does. It calls observe, which may be nil, with what
// had to be decided anew.
func (c *Cache) Decide(s *Set, r *access.Request, observe func(access.Decision)) access.Decision {
	if d, ok := c.Find(s, r); ok {
		return d
	}
	return c.Renew(s, r, observe)
}

// Find answers what is kept, if it is. It does not look at labels.
func (c *Cache) Find(s *Set, r *access.Request) (access.Decision, bool) {
	k := keyOf(s, r)
	return c.find(&k, r)
}

// Renew decides anew, whatever is kept.
func (c *Cache) Renew(s *Set, r *access.Request, observe func(access.Decision)) access.Decision {
	d, needs := s.decide(r)
	c.keep(s, r, d, needs)
	if observe != nil {
		observe(d)
	}
	return d
}

// find looks a decision up, a second time if the first says that it depends on
// how the request came.
func (c *Cache) find(k *key, r *access.Request) (access.Decision, bool) {
	found, ok := c.decisions.GetIfPresent(*k)
	if !ok || found.further == 0 {
		return found.decision, ok
	}
	k.extend(found.further, r)
	found, ok = c.decisions.GetIfPresent(*k)
	return found.decision, ok
}

// keep remembers a decision for the next who asks the same. A principal without a
// Key cannot be told from others.
func (c *Cache) keep(s *Set, r *access.Request, d access.Decision, needs reads) {
	if needs&readsPassing != 0 || d.Err != nil || r.Principal.Key == [32]byte{} {
		return
	}
	k := keyOf(s, r)
	if max(len(k.action), len(k.environment), len(k.path), len(k.prefix)) > maxCachedText {
		return
	}
	// The texts of a request may be parts of a larger one, which would stay in memory.
	k.action = access.Action(strings.Clone(string(k.action)))
	k.environment, k.path, k.prefix = strings.Clone(k.environment), strings.Clone(k.path), strings.Clone(k.prefix)
	if further := needs & readsFurther; further != 0 {
		c.decisions.Set(k, answer{further: further})
		k.extend(further, r)
	}
	c.decisions.Set(k, answer{decision: d})
}

func keyOf(s *Set, r *access.Request) key {
	return key{
		tenant: r.Resource.Tenant, generation: s.generation, principal: r.Principal.Key, action: r.Action,
		environment: r.Resource.Environment, path: r.Resource.Path.String(), prefix: r.Resource.Prefix.String(), secret: r.Resource.Secret,
	}
}

// texts is how many bytes the texts of a key have.
func (k *key) texts() int {
	return len(k.action) + len(k.environment) + len(k.path) + len(k.prefix)
}

func (k *key) extend(further reads, r *access.Request) {
	k.further = further
	if further&readsSource != 0 {
		k.source = sourceOf(r)
	}
	if certificate := r.Principal.Certificate; further&readsCertificate != 0 && certificate != nil {
		k.certified, k.fingerprint = true, certificate.Fingerprint
	}
}
