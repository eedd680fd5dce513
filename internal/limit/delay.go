package limit

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// delays are how long the answers to a source's failures are held back. The
// first is answered at once: people mistype.
var delays = [...]time.Duration{
	0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second,
}

// Delay is how long the answer to the nth failure of a source within a minute
// is held back, from 1 up.
func Delay(nth int64) time.Duration {
	return delays[min(max(nth-1, 0), int64(len(delays)-1))]
}

// The answers that are held back at once, in all and of one source. Each costs
// a goroutine and its connection, and nothing else.
const (
	maxHeld         = 1000
	maxHeldOfSource = 64
)

// Delays hold answers back, a bounded number of them.
type Delays struct {
	after func(time.Duration) <-chan time.Time

	mu   sync.Mutex
	held int
	by   map[netip.Addr]int // source → answers held back
}

// NewDelays waits with after, as time.After does.
func NewDelays(after func(time.Duration) <-chan time.Time) *Delays {
	return &Delays{after: after, by: map[netip.Addr]int{}}
}

// Hold returns after the delay, when the context ends or when stop is closed,
// whichever comes first. It answers false, at once, when too many answers are
// held back already.
func (d *Delays) Hold(ctx context.Context, stop <-chan struct{}, source netip.Addr, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	if !d.enter(source) {
		return false
	}
	defer d.leave(source)
	select {
	case <-d.after(delay):
	case <-ctx.Done():
	case <-stop:
	}
	return true
}

func (d *Delays) enter(source netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held >= maxHeld || d.by[source] >= maxHeldOfSource {
		return false
	}
	d.held++
	d.by[source]++
	return true
}

func (d *Delays) leave(source netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held--
	if d.by[source]--; d.by[source] == 0 {
		delete(d.by, source)
	}
}
