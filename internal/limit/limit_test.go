package limit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/limit"
)

var (
	epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	acme  = limit.Key{Tenant: config.TenantID{1}}
	other = limit.Key{Tenant: config.TenantID{2}}
)

// account is a limiter as one tenant sees it, with a clock.
type account struct {
	*limit.Limiter
	key    limit.Key
	limits limit.Limits
	now    time.Time
}

func newAccount(l limit.Limits) *account {
	return &account{limit.New(1000), acme, l, epoch}
}

func (a *account) after(d time.Duration) { a.now = a.now.Add(d) }

// take makes as many requests, of which so many must be allowed.
func (a *account) take(t *testing.T, b limit.Bucket, requests, want int) limit.Verdict {
	t.Helper()
	var last limit.Verdict
	allowed := 0
	for range requests {
		if last = a.Take(a.key, a.limits, b, a.now); last.Allowed {
			allowed++
		}
	}
	if allowed != want {
		t.Errorf("%d of %d requests are allowed, want %d", allowed, requests, want)
	}
	return last
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// A full bucket is for a minute's requests at once; after that, one comes back
// at a time.
func TestRequestsOfAMinute(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 60})
	same(t, "the first", limit.Verdict{Allowed: true, Limit: 60, Remaining: 59, Reset: time.Second}, a.take(t, limit.Requests, 1, 1))
	same(t, "the last", limit.Verdict{Allowed: true, Limit: 60, Reset: time.Minute}, a.take(t, limit.Requests, 59, 59))
	refused := limit.Verdict{Limit: 60, Reset: time.Minute, RetryAfter: time.Second}
	same(t, "one too many", refused, a.take(t, limit.Requests, 100, 0))
	for _, step := range []struct {
		wait time.Duration
		want int
	}{
		{999 * time.Millisecond, 0}, {time.Millisecond, 1}, {0, 0}, {10 * time.Second, 10}, {time.Minute, 60}, {time.Hour, 60}, {-time.Hour, 0},
	} {
		a.after(step.wait)
		a.take(t, limit.Requests, 200, step.want)
	}
}

// Whoever comes back when they were told to is let in.
func TestRetryAfterIsEnough(t *testing.T) {
	for _, requests := range []int{1, 7, 60, 999, 1000, 1_000_000} {
		a := newAccount(limit.Limits{Requests: requests})
		a.take(t, limit.Requests, requests, requests)
		for range 3 {
			refused := a.take(t, limit.Requests, 1, 0)
			if refused.RetryAfter <= 0 || refused.RetryAfter > time.Minute {
				t.Fatalf("of %d: %+v", requests, refused)
			}
			a.after(refused.RetryAfter + 1)
			a.take(t, limit.Requests, 1, 1)
		}
		a.after(a.take(t, limit.Requests, 1, 0).Reset + 1)
		a.take(t, limit.Requests, requests+1, requests)
	}
}

func TestNoLimit(t *testing.T) {
	a := newAccount(limit.Limits{})
	for _, b := range []limit.Bucket{limit.Requests, limit.Watching, limit.Conditional} {
		same(t, "verdict", limit.Verdict{Allowed: true}, a.take(t, b, 10_000, 10_000))
	}
	a.Owe(a.key, a.limits, a.now)
	for range 1000 {
		if _, _, ok := a.Enter(a.key, a.limits, limit.Connection, a.now); !ok {
			t.Fatal("a place is refused")
		}
	}
	same(t, "taken", 1000, a.Taken(a.key, limit.Connection))
}

// What watchers do has a bucket of its own, by how many there may be.
func TestWatchingIsApart(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 10, Watchers: 1000})
	a.take(t, limit.Requests, 20, 10)
	v := a.take(t, limit.Watching, 1000, 1000)
	if v.Limit < 1000 {
		t.Errorf("the bucket is for %d", v.Limit)
	}
	a.take(t, limit.Watching, v.Limit, v.Remaining)
	a.after(time.Minute)
	a.take(t, limit.Requests, 20, 10)
}

// A read with a condition that did not hold is owed, but not without end.
func TestDebt(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 60, Watchers: 1000})
	a.take(t, limit.Requests, 60, 60)
	for range 30 {
		a.take(t, limit.Conditional, 1, 1)
		a.Owe(a.key, a.limits, a.now)
	}
	same(t, "in debt", limit.Verdict{Limit: 60, Reset: 90 * time.Second, RetryAfter: 31 * time.Second}, a.take(t, limit.Requests, 1, 0))
	a.after(30 * time.Second)
	a.take(t, limit.Requests, 1, 0)
	a.take(t, limit.Conditional, 10, 10) // unchanged, so nothing is owed
	a.after(time.Second)
	a.take(t, limit.Requests, 2, 1)

	for range 60 {
		a.take(t, limit.Conditional, 1, 1)
		a.Owe(a.key, a.limits, a.now)
	}
	same(t, "deep in debt", limit.Verdict{Limit: 60, Reset: 2 * time.Minute, RetryAfter: 61 * time.Second}, a.take(t, limit.Conditional, 1, 0))
	a.take(t, limit.Watching, 1, 1)
	a.after(time.Second)
	a.take(t, limit.Conditional, 1, 1)
}

// Watching that fails costs what requests cost, and may fail as often as there are
// requests in a minute.
func TestFailingToWatch(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 60, Watchers: 1000})
	for left := 59; left >= 0; left-- {
		a.take(t, limit.Watching, 1, 1)
		a.OweFailure(a.key, a.limits, a.now)
	}
	a.take(t, limit.Requests, 1, 0)
	same(t, "after too many failures", limit.Verdict{Limit: 60, Reset: time.Minute, RetryAfter: time.Second}, a.take(t, limit.Watching, 1, 0))
	a.take(t, limit.Conditional, 1, 1)
	a.after(time.Second)
	a.take(t, limit.Watching, 100, 100) // none of which fails
	a.OweFailure(a.key, a.limits, a.now)
	a.take(t, limit.Watching, 1, 0)
	a.after(2 * time.Minute)
	a.take(t, limit.Requests, 100, 60)
	a.take(t, limit.Watching, 100, 100)
	a.limits.Requests = 0
	a.OweFailure(a.key, a.limits, a.now)
	a.take(t, limit.Watching, 100, 100)
}

// Limits may change at any time: what was used stays used.
func TestLimitsChange(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 100})
	a.take(t, limit.Requests, 90, 90)
	a.limits.Requests = 5
	a.take(t, limit.Requests, 20, 5) // of the ten that were left
	a.after(time.Minute)
	a.take(t, limit.Requests, 20, 5)
	a.limits.Requests = 1000
	a.take(t, limit.Requests, 1, 0)
	a.after(6 * time.Second)
	a.take(t, limit.Requests, 200, 100)
	a.limits.Requests = 0
	a.take(t, limit.Requests, 5000, 5000)
	a.limits.Requests = 1000
	a.take(t, limit.Requests, 1, 0)
}

// Tenants and principals never share a bucket, whatever they are called.
func TestAccountsAreApart(t *testing.T) {
	l := limit.New(1000)
	for _, key := range []limit.Key{
		acme, other, {},
		{Method: "token", Principal: "a"}, {Method: "identity", Principal: "a"}, {Method: "toke", Principal: "na"},
		{Tenant: acme.Tenant, Method: "token", Principal: "a"},
	} {
		a := &account{l, key, limit.Limits{Requests: 3, Connections: 1}, epoch}
		a.take(t, limit.Requests, 5, 3)
		if _, _, ok := l.Enter(key, a.limits, limit.Connection, epoch); !ok {
			t.Errorf("%+v has no place", key)
		}
	}
}

func TestPlaces(t *testing.T) {
	a := newAccount(limit.Limits{Connections: 2, Watchers: 1})
	enter := func(p limit.Place, taken int, want bool) limit.Visit {
		t.Helper()
		v, n, ok := a.Enter(a.key, a.limits, p, a.now)
		if n != taken || ok != want {
			t.Errorf("%d places are taken, and it is %v", n, ok)
		}
		return v
	}
	first := enter(limit.Connection, 1, true)
	enter(limit.Connection, 2, true)
	enter(limit.Connection, 3, false).Leave() // which it has not, so it gives none back
	enter(limit.Connection, 3, false)
	watch := enter(limit.Watch, 1, true)
	enter(limit.Watch, 2, false)
	first.Leave()
	enter(limit.Connection, 2, true)
	a.limits.Connections = 3
	enter(limit.Connection, 3, true)
	a.limits.Connections = 1
	enter(limit.Connection, 4, false)
	watch.Leave()
	same(t, "watches", 0, a.Taken(a.key, limit.Watch))
	same(t, "connections", 3, a.Taken(a.key, limit.Connection))
	same(t, "of somebody else", 0, a.Taken(other, limit.Connection))
}

// Accounts that are as good as new are forgotten; others are not, however long
// they are not used.
func TestForgetting(t *testing.T) {
	l := limit.New(64)
	limits := limit.Limits{Requests: 60, Watchers: 10, Connections: 1}
	busy := &account{l, acme, limits, epoch}
	busy.take(t, limit.Requests, 60, 60)
	if _, _, ok := l.Enter(other, limits, limit.Connection, epoch); !ok {
		t.Fatal("no place")
	}
	strangers := func(from int, now time.Time) {
		for i := range 1000 {
			key := limit.Key{Tenant: config.TenantID{3, byte(from + i), byte((from + i) >> 8)}}
			l.Take(key, limits, limit.Requests, now)
		}
	}
	strangers(0, epoch)
	busy.after(30 * time.Second)
	strangers(1000, busy.now)
	busy.take(t, limit.Requests, 60, 30)
	busy.after(time.Hour)
	strangers(2000, busy.now)
	if _, _, ok := l.Enter(other, limits, limit.Connection, busy.now); ok {
		t.Error("who has a place was forgotten")
	}
	if n := l.Accounts(); n > 64 {
		t.Errorf("%d accounts are kept", n)
	}
}

// Those that there is no room for share, and are let in again when there is.
func TestMoreThanThereIsRoomFor(t *testing.T) {
	l := limit.New(1) // one for each shard
	limits := limit.Limits{Requests: 1}
	now := epoch
	const tenants = 1000
	all := func() (allowed int) {
		for i := range tenants {
			if l.Take(limit.Key{Tenant: config.TenantID{byte(i), byte(i >> 8)}}, limits, limit.Requests, now).Allowed {
				allowed++
			}
		}
		return allowed
	}
	if allowed := all(); allowed < 64 || allowed > 128 {
		t.Errorf("%d were let in", allowed)
	}
	now = now.Add(time.Hour)
	if allowed := all(); allowed < 64 || allowed > 128 {
		t.Errorf("after an hour %d were let in", allowed)
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 1000, Connections: 10, Watchers: 10})
	a.key = limit.Key{Method: "token", Principal: "abc"}
	a.take(t, limit.Requests, 1, 1)
	if n := testing.AllocsPerRun(1000, func() {
		v, _, _ := a.Enter(a.key, a.limits, limit.Connection, a.now)
		a.Take(a.key, a.limits, limit.Requests, a.now)
		a.Take(a.key, a.limits, limit.Conditional, a.now)
		v.Leave()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Many at once take exactly what there is.
func TestTakingAtOnce(t *testing.T) {
	a := newAccount(limit.Limits{Requests: 500, Connections: 8})
	results := make(chan int)
	for range 8 {
		go func() {
			allowed := 0
			for range 100 {
				v, _, ok := a.Enter(a.key, a.limits, limit.Connection, a.now)
				if !ok {
					break
				}
				if a.Take(a.key, a.limits, limit.Requests, a.now).Allowed {
					allowed++
				}
				v.Leave()
			}
			results <- allowed
		}()
	}
	sum := 0
	for range 8 {
		sum += <-results
	}
	same(t, "allowed", 500, sum)
	same(t, "taken", 0, a.Taken(a.key, limit.Connection))
}

func BenchmarkTake(b *testing.B) {
	a := newAccount(limit.Limits{Requests: 1_000_000_000})
	b.ReportAllocs()
	for b.Loop() {
		a.Take(a.key, a.limits, limit.Requests, a.now)
	}
}

func BenchmarkEnterAndTake(b *testing.B) {
	a := newAccount(limit.Limits{Requests: 1_000_000_000, Connections: 10})
	b.ReportAllocs()
	for b.Loop() {
		v, _, _ := a.Enter(a.key, a.limits, limit.Connection, a.now)
		a.Take(a.key, a.limits, limit.Requests, a.now)
		v.Leave()
	}
}

// BenchmarkTakeOfMany is what it costs while ten thousand tenants ask.
func BenchmarkTakeOfMany(b *testing.B) {
	l, limits := limit.New(1<<17), limit.Limits{Requests: 1_000_000_000}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			l.Take(limit.Key{Tenant: config.TenantID{byte(i), byte(i>>8) & 0x1f}}, limits, limit.Requests, epoch)
		}
	})
}
