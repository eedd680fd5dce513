// Package limit says how much of the server one tenant may have: how many
// requests a minute, and how many at once. It knows neither HTTP nor a clock,
// and trusts whoever asks for the limits and for the time.
//
// A tenant has two buckets. Requests fill the one; the other is for what many
// watchers do at the same moment and what costs next to nothing: opening a watch,
// acknowledging, and asking whether something changed when it did not. So a
// tenant that was loud can still be watched, and its watchers can all come back
// at once.
package limit

import (
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Key is who is charged: a tenant, or a principal that belongs to none.
type Key struct {
	Tenant    config.TenantID
	Method    string // of a principal of the server alone, as Principal
	Principal string
}

// Limits are what one tenant may have. A zero means that there is no limit.
type Limits struct {
	Requests    int // a minute, and as many at once after a minute without any
	Watchers    int // watches that are open at once
	Connections int // requests that are worked on at once
}

// Bucket is what a request is charged to.
type Bucket uint8

// The buckets.
const (
	Requests Bucket = iota
	// Watching is for what watchers do. OweFailure charges what of it failed to
	// Requests as well.
	Watching
	// Conditional is a read that may turn out to be unchanged: it is charged to
	// Watching, and Owe charges it to Requests as well when it was not.
	Conditional
)

// perWatcher is what each watcher of a tenant may do in a minute: come back,
// acknowledge every five seconds while things change, and ask for a few that
// did not.
const perWatcher = 16

// capacity is how much a full bucket holds; 0 means that there is no limit.
func (l Limits) capacity(b Bucket) int {
	if b == Requests {
		return max(l.Requests, 0)
	}
	return min(max(l.Watchers, 0), math.MaxInt32) * perWatcher
}

// Verdict says whether a request may be made, and what is left.
type Verdict struct {
	Allowed    bool
	Limit      int           // what a full bucket holds; 0 when there is no limit, and all else is zero
	Remaining  int           // that may be made at once
	Reset      time.Duration // until the bucket is full
	RetryAfter time.Duration // until one more may be made; zero when it was allowed
}

// bucket is a number of requests that comes back evenly within a minute.
type bucket struct {
	limiter  *rate.Limiter // nil until it is asked for
	capacity int
}

// ready makes the bucket, full, or gives it another size. It keeps what it held
// when that fits.
func (b *bucket) ready(capacity int, now time.Time) {
	switch {
	case b.limiter == nil:
		b.limiter = rate.NewLimiter(perMinute(capacity), capacity)
	case b.capacity != capacity:
		b.limiter.SetLimitAt(now, perMinute(capacity))
		b.limiter.SetBurstAt(now, capacity)
	}
	b.capacity = capacity
}

func perMinute(n int) rate.Limit { return rate.Limit(float64(n) / time.Minute.Seconds()) }

// take takes one, if there is one.
func (b *bucket) take(now time.Time) Verdict {
	allowed := b.limiter.AllowN(now, 1)
	return b.verdict(allowed, now)
}

// charge takes one, also when there is none left.
func (b *bucket) charge(capacity int, now time.Time) {
	b.ready(capacity, now)
	b.limiter.ReserveN(now, 1)
}

func (b *bucket) verdict(allowed bool, now time.Time) Verdict {
	tokens := b.limiter.TokensAt(now)
	v := Verdict{
		Allowed: allowed, Limit: b.capacity, Remaining: max(int(tokens+rounding), 0),
		Reset: b.timeFor(float64(b.capacity) - tokens),
	}
	if !allowed {
		v.RetryAfter = b.timeFor(1 - tokens)
	}
	return v
}

// rounding makes whole numbers of what arithmetic leaves a hair below them.
const rounding = 1e-6

// timeFor is how long it takes for so many to come back.
func (b *bucket) timeFor(tokens float64) time.Duration {
	return time.Duration(max(tokens, 0) / float64(b.capacity) * float64(time.Minute))
}

// owes says whether more than a full bucket is missing below zero.
func (b *bucket) owes(now time.Time) bool {
	return b.limiter.TokensAt(now) <= -float64(b.capacity)
}

// empty says whether there is not one left.
func (b *bucket) empty(now time.Time) bool { return b.limiter.TokensAt(now) < 1-rounding }

// full says whether nothing is lost when the bucket is forgotten.
func (b *bucket) full(now time.Time) bool {
	return b.limiter == nil || b.limiter.TokensAt(now) >= float64(b.capacity)-rounding
}
