package client

import (
	"context"
	"sync/atomic"
	"time"
)

// SecretPair is a secret as a Store has it. While a rotation is under way both
// of its versions are valid: a program calls others with Current, and takes
// either from those who call it.
type SecretPair struct {
	Environment string // that supplies it
	Revision    int64  // it is as it was at this revision, or newer
	Current     RevealedVersion
	Previous    *RevealedVersion // the version in grace, until it ends; nil when there is none
}

// secretCopy is a Store's copy of one secret.
type secretCopy struct {
	path    string
	current atomic.Pointer[SecretPair] // what the Store serves; set before the Store is handed out

	freshness
}

func (c *secretCopy) name() string { return "secret " + c.path }

// load reads the secret from the server and installs it.
func (c *secretCopy) load(ctx context.Context, s *Store, atLeast int64) error {
	var next *RevealedSecret
	err := s.read(atLeast, func() (revision int64, err error) {
		next, err = s.client.RevealSecret(ctx, s.environment, c.path, RevealOptions{MinRevision: atLeast})
		if err != nil {
			return 0, err
		}
		return next.Revision, nil
	})
	if err != nil {
		return err
	}
	if c.install(next, time.Now()) {
		s.tellStatus()
	}
	poke(s.graces)
	return nil
}

// install takes up what was read, unless something newer is known. It says
// whether the secret was in trouble before and is no more.
func (c *secretCopy) install(next *RevealedSecret, now time.Time) (recovered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if next.Revision < c.seen {
		return false
	}
	last := c.current.Load()
	older := last != nil && next.Revision == c.seen && next.Version < last.Current.Version
	recovered = c.missing || c.readErr != nil
	c.settle(next.Revision)
	if older {
		return recovered
	}
	pair := &SecretPair{Environment: next.Environment, Revision: next.Revision, Current: next.RevealedVersion, Previous: next.Previous}
	if pair.graceOver(now) {
		pair.Previous = nil
	}
	c.current.Store(pair)
	return recovered
}

func (p *SecretPair) graceOver(now time.Time) bool {
	return p.Previous != nil && !p.Previous.Until.IsZero() && !now.Before(p.Previous.Until)
}

// endGrace drops the version in grace when its time is over, and says whether it
// did. If not, next is when to ask again; zero when there is nothing to wait for.
func (c *secretCopy) endGrace(now time.Time) (ended bool, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair := *c.current.Load()
	switch {
	case pair.graceOver(now):
		pair.Previous = nil
		c.current.Store(&pair)
		return true, time.Time{}
	case pair.Previous != nil:
		return false, pair.Previous.Until
	}
	return false, time.Time{}
}

// longestWait bounds how long a timer is trusted: one that slept with the
// machine is late, and clocks are set.
const longestWait = time.Minute

// endGraces drops versions when their grace is over, and has their secrets read
// anew, whatever the watch tells and whether or not the server is there.
func (s *Store) endGraces(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.graces:
		case <-timer.C:
		}
		now := time.Now()
		wait := longestWait
		for _, c := range s.secrets {
			ended, next := c.endGrace(now)
			if ended {
				s.reread(ctx, c, 0)
			}
			if !next.IsZero() {
				wait = min(wait, next.Sub(now))
			}
		}
		timer.Reset(wait)
	}
}
