// Package cache keeps in memory what was read and opened before. A value is
// installed only if nothing invalidated it while it was loaded, so a cache
// never answers something older than what its reader has been told of.
package cache

import (
	"context"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Key is the place of an effective document. Generation is the revision of the
// environments' tree, so that a new tree finds nothing of the old one.
type Key struct {
	Tenant      config.TenantID
	Generation  config.Revision
	Environment config.EnvironmentID
	Path        config.Path
}

// VersionKey is the place of one version of a layer, which never changes.
type VersionKey struct {
	Tenant      config.TenantID
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version
}

// PathKey is a path in whichever environment.
type PathKey struct {
	Tenant config.TenantID
	Path   config.Path
}

// Cache holds values by weight and age, and loads each missing one once.
type Cache[K comparable, V any] struct {
	entries *otter.Cache[K, V]

	mu      sync.Mutex
	flights map[K]*flight[V] // loads under way that nothing invalidated
}

type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// Options bound a cache.
type Options[K comparable, V any] struct {
	Weight uint64        // most bytes; must be positive
	Age    time.Duration // how long an entry stays; must be positive
	Weigh  func(K, V) uint32
}

// New makes an empty cache.
func New[K comparable, V any](o Options[K, V]) *Cache[K, V] {
	return &Cache[K, V]{
		entries: otter.Must(&otter.Options[K, V]{
			MaximumWeight:    o.Weight,
			Weigher:          o.Weigh,
			ExpiryCalculator: otter.ExpiryWriting[K, V](o.Age),
		}),
		flights: map[K]*flight[V]{},
	}
}

// Get answers what is there.
func (c *Cache[K, V]) Get(key K) (V, bool) { return c.entries.GetIfPresent(key) }

// Load answers what is there, else loads it, once for all who ask meanwhile.
// The load is made for all of them, so it does not end with the first one's context.
func (c *Cache[K, V]) Load(ctx context.Context, key K, load func(context.Context) (V, error)) (V, error) {
	if value, ok := c.Get(key); ok {
		return value, nil
	}
	c.mu.Lock()
	f, joined := c.flights[key]
	if !joined {
		f = &flight[V]{done: make(chan struct{})}
		c.flights[key] = f
	}
	c.mu.Unlock()
	if joined {
		select {
		case <-f.done:
			return f.value, f.err
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
	defer c.land(key, f)
	f.err = errUnfinished
	f.value, f.err = load(context.WithoutCancel(ctx))
	return f.value, f.err
}

// errUnfinished is what waiters see when a load panics.
var errUnfinished = config.Errorf(config.KindInternal, "a load did not finish")

// land installs what was loaded, unless it was invalidated meanwhile.
func (c *Cache[K, V]) land(key K, f *flight[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f {
		delete(c.flights, key)
		if f.err == nil {
			c.entries.Set(key, f.value)
		}
	}
	close(f.done)
}

// Set installs a value that can never be outdated.
func (c *Cache[K, V]) Set(key K, value V) { c.entries.Set(key, value) }

// Invalidate forgets a key, and what is being loaded for it.
func (c *Cache[K, V]) Invalidate(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, key)
	c.entries.Invalidate(key)
}
