package limit

import (
	"hash/maphash"
	"sync"
	"time"
)

// Place is what a tenant has a bounded number of at once.
type Place uint8

// The places.
const (
	Connection Place = iota // a request that is worked on
	Watch                   // a watch that is open
	places
)

// of is how many such places there are; 0 means that there is no limit.
func (p Place) of(l Limits) int {
	if p == Watch {
		return max(l.Watchers, 0)
	}
	return max(l.Connections, 0)
}

// Limiter keeps an account for each tenant. It is safe for concurrent use. It
// forgets accounts that are as good as new, so that its memory is for those who
// come often.
type Limiter struct {
	seed   maphash.Seed
	most   int // accounts of a shard
	shards [64]shard
}

// shard is a part of the accounts, so that tenants do not wait for each other.
type shard struct {
	mu       sync.Mutex
	accounts map[Key]*account
	rest     account   // of all that there was no room for
	sweepAt  int       // accounts that make it worth looking for those to forget
	swept    time.Time // when that was done
}

// account is what is known of a tenant.
type account struct {
	requests, watching bucket
	failing            bucket // how often watching may still fail, as often as Requests says
	taken              [places]int
}

// New keeps so many accounts apart, give or take; the rest share a few.
func New(accounts int) *Limiter {
	l := &Limiter{seed: maphash.MakeSeed()}
	l.most = max(accounts/len(l.shards), 1)
	return l
}

// Take charges a request, and says whether it may be made.
func (l *Limiter) Take(key Key, limits Limits, b Bucket, now time.Time) Verdict {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(key, l.most, now)
	if v, refused := a.refuses(limits, b, now); refused {
		return v
	}
	capacity := limits.capacity(b)
	if capacity == 0 {
		return Verdict{Allowed: true}
	}
	bucket := &a.watching
	if b == Requests {
		bucket = &a.requests
	}
	bucket.ready(capacity, now)
	return bucket.take(now)
}

// refuses says whether a request is refused for what others before it came to:
// whoever owes more than a minute's requests, because conditions never held, or
// failed to watch as often in a minute. Without it these would be ways around the
// limit. Only failures are in the way of watching: who read much may still watch.
func (a *account) refuses(limits Limits, b Bucket, now time.Time) (Verdict, bool) {
	capacity := limits.capacity(Requests)
	if capacity == 0 || b == Requests {
		return Verdict{}, false
	}
	owing, over := &a.requests, (*bucket).owes
	if b == Watching {
		if owing, over = &a.failing, (*bucket).empty; owing.limiter == nil {
			return Verdict{}, false
		}
	}
	owing.ready(capacity, now)
	if !over(owing, now) {
		return Verdict{}, false
	}
	return owing.verdict(false, now), true
}

// Owe charges a request that was made already, also when there is none left.
func (l *Limiter) Owe(key Key, limits Limits, now time.Time) { l.owe(key, limits, false, now) }

// OweFailure is Owe for what was charged to Watching and failed.
func (l *Limiter) OweFailure(key Key, limits Limits, now time.Time) {
	l.owe(key, limits, true, now)
}

func (l *Limiter) owe(key Key, limits Limits, failed bool, now time.Time) {
	capacity := limits.capacity(Requests)
	if capacity == 0 {
		return
	}
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(key, l.most, now)
	a.requests.charge(capacity, now)
	if failed {
		a.failing.charge(capacity, now)
	}
}

// Visit is a place that somebody has. The zero Visit is none.
type Visit struct {
	shard   *shard
	account *account
	place   Place
}

// Enter takes a place, and says how many are taken with it. When there is none
// left, the visit is none.
func (l *Limiter) Enter(key Key, limits Limits, p Place, now time.Time) (visit Visit, taken int, ok bool) {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account(key, l.most, now)
	if most := p.of(limits); most > 0 && a.taken[p] >= most {
		return Visit{}, a.taken[p] + 1, false
	}
	a.taken[p]++
	return Visit{s, a, p}, a.taken[p], true
}

// Leave gives the place back. It is to be called once.
func (v Visit) Leave() {
	if v.account == nil {
		return
	}
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	v.account.taken[v.place]--
}

// Taken is how many places a tenant has.
func (l *Limiter) Taken(key Key, p Place) int {
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[key]; a != nil {
		return a.taken[p]
	}
	return 0
}

func (l *Limiter) shard(key Key) *shard {
	return &l.shards[maphash.Comparable(l.seed, key)%uint64(len(l.shards))]
}

// account finds the account of a key, or opens one.
func (s *shard) account(key Key, most int, now time.Time) *account {
	if a := s.accounts[key]; a != nil {
		return a
	}
	if len(s.accounts) >= min(s.sweepAt, most) {
		s.sweep(now)
	}
	if len(s.accounts) >= most {
		return &s.rest
	}
	a := &account{}
	s.accounts[key] = a
	return a
}

// sweepEvery is how often a shard looks for what to forget, at most.
const sweepEvery = time.Second

// sweep forgets the accounts that nobody would miss.
func (s *shard) sweep(now time.Time) {
	if s.accounts == nil {
		s.accounts = map[Key]*account{}
	}
	if !s.swept.IsZero() && now.Sub(s.swept) < sweepEvery {
		return
	}
	for key, a := range s.accounts {
		if a.idle(now) {
			delete(s.accounts, key)
		}
	}
	s.swept, s.sweepAt = now, 2*len(s.accounts)+1
}

func (a *account) idle(now time.Time) bool {
	return a.taken == [places]int{} && a.requests.full(now) && a.watching.full(now) && a.failing.full(now)
}
