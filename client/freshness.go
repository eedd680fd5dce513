package client

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// freshness is what a Store knows about how current its copy of one thing is: a
// document or a secret. What comes later with the lower revision is left aside.
type freshness struct {
	wake chan struct{} // something newer is wanted than what is being read

	mu        sync.Mutex
	seen      int64 // the revision of the newest thing known about it
	missing   bool  // the server has it no more; the copy is what it last was
	readErr   error // why something newer could not be read
	unread    int64 // a read must be of this revision or later; 0 when none is due
	until     int64 // while one is due: the copy is known to be right up to here
	rereading bool  // a goroutine is seeing to it
}

func newFreshness() freshness { return freshness{wake: make(chan struct{}, 1)} }

func (f *freshness) fresh() *freshness { return f }

// settle notes that it is known as of a revision. f.mu is held.
func (f *freshness) settle(revision int64) {
	f.seen, f.missing = revision, false
	if f.unread <= revision {
		f.unread, f.readErr = 0, nil
	}
}

// want asks for a read at a revision or later, of what is right up to another
// one. It says whether the caller has to see to it.
func (f *freshness) want(atLeast, until int64) (start bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unread == 0 {
		f.until = math.MaxInt64
	}
	f.until = min(f.until, until)
	f.unread = max(f.unread, atLeast, f.seen, 1)
	if f.rereading {
		poke(f.wake)
		return false
	}
	f.rereading = true
	return true
}

// wanted is the read that is due. Where none is, whoever asked is dismissed.
func (f *freshness) wanted() (atLeast int64, needed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rereading = f.unread != 0
	return f.unread, f.rereading
}

// failed notes why a read at a revision failed. That there is no such thing is
// an answer too: nobody waits for more, though it is asked again, for a right
// or a tenant that was lost for a while looks the same.
func (f *freshness) failed(err error, atLeast int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readErr = err
	if errors.Is(err, ErrNotFound) && atLeast == f.unread {
		f.missing = true
		f.until = math.MaxInt64
	}
}

// rest waits before the next read, unless something newer is wanted meanwhile.
func (f *freshness) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-f.wake:
	case <-timer.C:
	}
	return true
}

// currentUntil is the revision up to which the copy is known to be right, as
// far as it alone is concerned.
func (f *freshness) currentUntil() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unread == 0 {
		return math.MaxInt64
	}
	return f.until
}
