package access

import (
	"net/netip"
	"sync"
	"time"
)

// FailureCount says how often one source failed to authenticate in one minute.
type FailureCount struct {
	Source netip.Addr // as Network has it; the zero Addr for all sources that there was no room for
	Minute time.Time
	Count  int64
}

// Failures counts failed authentications per source and minute, in bounded
// memory. The first of a source in a minute is to be recorded at once, the
// others as one count when the minute is over.
type Failures struct {
	clock func() time.Time
	limit int

	mu       sync.Mutex
	minute   time.Time
	counts   map[netip.Addr]int64 // network of a source → failures within minute
	finished []FailureCount       // of minutes that are over, at most limit and one
}

// NewFailures counts at most limit sources apart; the rest are counted as one.
func NewFailures(clock func() time.Time, limit int) *Failures {
	return &Failures{clock: clock, limit: limit, counts: map[netip.Addr]int64{}}
}

// sourceBits are those of an IPv6 address that its holder does not choose.
const sourceBits = 64

// Network is what an address counts as: itself or, in IPv6, the first address
// of its /64, all of which one machine may have.
func Network(source netip.Addr) netip.Addr {
	source = source.Unmap().WithZone("")
	if source.Is6() {
		return netip.PrefixFrom(source, sourceBits).Masked().Addr()
	}
	return source
}

// Add counts a failure and says whether it is the first of its source and minute.
func (f *Failures) Add(source netip.Addr) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	counted := f.counted(source)
	f.counts[counted]++
	return f.counts[counted] == 1
}

// Count is how often a source failed within this minute. A source that there
// was no room for has the count of all such.
func (f *Failures) Count(source netip.Addr) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	return f.counts[f.counted(source)]
}

// counted is what a source is counted as.
func (f *Failures) counted(source netip.Addr) netip.Addr {
	source = Network(source)
	if _, there := f.counts[source]; !there && len(f.counts) >= f.limit {
		return netip.Addr{}
	}
	return source
}

// Drain answers, once, the counts of minutes that are over in which more came
// from a source than the first.
func (f *Failures) Drain() []FailureCount {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	finished := f.finished
	f.finished = nil
	return finished
}

// Keep takes back what was drained and came to nothing. Beyond its bounds, what
// there is no room for is counted together.
func (f *Failures) Keep(drained []FailureCount) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, count := range drained {
		f.finish(count)
	}
}

// Finish closes the running minute, for the last time that counts are drained.
func (f *Failures) Finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn()
	f.closeMinute()
}

// turn closes the minute when it is over. A clock that goes back stays in it.
func (f *Failures) turn() {
	now := f.clock().Truncate(time.Minute)
	if !now.After(f.minute) {
		return
	}
	f.closeMinute()
	f.minute = now
}

func (f *Failures) closeMinute() {
	for source, count := range f.counts {
		if count > 1 {
			f.finish(FailureCount{source, f.minute, count})
		}
	}
	clear(f.counts)
}

// finish keeps a count until it is drained. When there is no room it goes into
// the last one, which then stands for all sources.
func (f *Failures) finish(count FailureCount) {
	if len(f.finished) <= f.limit {
		f.finished = append(f.finished, count)
		return
	}
	last := &f.finished[f.limit]
	last.Source = netip.Addr{}
	last.Count += count.Count
}
