package access

import (
	"sync"
	"time"
)

// Denials counts what was denied to each principal within the running minute, in
// bounded memory, so that nobody writes records without end by asking for what is
// not theirs.
type Denials struct {
	clock func() time.Time
	limit int

	mu     sync.Mutex
	minute time.Time
	counts map[string]int64 // actor → denials within minute
}

// NewDenials counts at most limit principals apart; the rest are counted as one.
func NewDenials(clock func() time.Time, limit int) *Denials {
	return &Denials{clock: clock, limit: limit, counts: map[string]int64{}}
}

// Add counts a denial. It answers the count of its principal with it, and how
// long the minute lasts. A clock that goes back stays in it.
func (d *Denials) Add(actor string) (count int64, left time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock()
	if minute := now.Truncate(time.Minute); minute.After(d.minute) {
		clear(d.counts)
		d.minute = minute
	}
	if _, there := d.counts[actor]; !there && len(d.counts) >= d.limit {
		actor = ""
	}
	d.counts[actor]++
	return d.counts[actor], min(d.minute.Add(time.Minute).Sub(now), time.Minute)
}
