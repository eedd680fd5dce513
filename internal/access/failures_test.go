package access_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("2001:db8::1")
	carol = netip.MustParseAddr("192.0.2.3")
	dave  = netip.MustParseAddr("192.0.2.4")
	rest  = netip.Addr{}
)

type failures struct {
	*access.Failures
	clock *clock
}

func newFailures(limit int) failures {
	c := &clock{now: epoch.Add(30 * time.Second)}
	return failures{access.NewFailures(c.Now, limit), c}
}

func (f failures) add(t *testing.T, source netip.Addr, first bool) {
	t.Helper()
	if f.Add(source) != first {
		t.Errorf("Add(%v) = %v", source, !first)
	}
}

func (f failures) drain(t *testing.T, want ...access.FailureCount) {
	t.Helper()
	byAddress := cmpopts.SortSlices(func(a, b access.FailureCount) bool { return a.Source.Less(b.Source) })
	addresses := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, f.Drain(), byAddress, addresses, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("counts differ (-want +got):\n%s", diff)
	}
}

func TestFirstFailureOfAMinute(t *testing.T) {
	f := newFailures(10)
	f.add(t, alice, true)
	f.add(t, alice, false)
	f.add(t, bob, true)
	f.add(t, alice, false)
	f.drain(t)

	f.clock.Advance(30*time.Second - 1)
	f.add(t, alice, false)
	f.clock.Advance(1)
	f.add(t, alice, true)
	f.drain(t, access.FailureCount{Source: alice, Minute: epoch, Count: 4}) // bob's one is told already
	f.drain(t)
	f.clock.Advance(time.Hour)
	f.drain(t)
}

func TestCountsCloseWithoutAnotherFailure(t *testing.T) {
	f := newFailures(10)
	f.add(t, alice, true)
	f.add(t, alice, false)
	f.clock.Advance(time.Minute)
	f.drain(t, access.FailureCount{Source: alice, Minute: epoch, Count: 2})
}

func TestOneSourceInTwoSpellings(t *testing.T) {
	f := newFailures(10)
	f.add(t, alice, true)
	f.add(t, netip.MustParseAddr("::ffff:192.0.2.1"), false)
	f.add(t, netip.MustParseAddr("fe80::1%eth0"), true)
	f.add(t, netip.MustParseAddr("fe80::1%eth1"), false)
}

// Whoever has one IPv6 address has its whole /64.
func TestNeighboursInIPv6AreOneSource(t *testing.T) {
	f := newFailures(10)
	f.add(t, bob, true)
	f.add(t, netip.MustParseAddr("2001:db8::ffff:1:2:3"), false)
	f.add(t, netip.MustParseAddr("2001:db8:0:1::1"), true)
	f.add(t, alice, true)
	f.add(t, netip.MustParseAddr("192.0.2.2"), true)
	f.clock.Advance(time.Minute)
	f.drain(t, access.FailureCount{Source: netip.MustParseAddr("2001:db8::"), Minute: epoch, Count: 2})
}

func TestFailuresOfAMinuteAreTold(t *testing.T) {
	f := newFailures(2)
	count := func(source netip.Addr, want int64) {
		t.Helper()
		if got := f.Count(source); got != want {
			t.Errorf("%v failed %d times, want %d", source, got, want)
		}
	}
	count(alice, 0)
	f.add(t, alice, true)
	f.add(t, alice, false)
	f.add(t, bob, true)
	count(alice, 2)
	count(netip.MustParseAddr("2001:db8::2"), 1)
	count(carol, 0)
	f.add(t, carol, true)
	f.add(t, dave, false)
	count(carol, 2)
	count(dave, 2)
	f.clock.Advance(time.Minute)
	count(alice, 0)
	count(dave, 0)
}

func TestSourcesBeyondTheLimitAreCountedAsOne(t *testing.T) {
	f := newFailures(2)
	f.add(t, alice, true)
	f.add(t, bob, true)
	f.add(t, carol, true)
	f.add(t, dave, false)
	f.add(t, carol, false)
	f.add(t, alice, false)
	f.clock.Advance(time.Minute)
	f.drain(t,
		access.FailureCount{Source: rest, Minute: epoch, Count: 3},
		access.FailureCount{Source: alice, Minute: epoch, Count: 2})
}

func TestCountsThatNobodyDrainsAreBounded(t *testing.T) {
	f := newFailures(2)
	const minutes = 100
	for range minutes {
		f.add(t, alice, true)
		f.add(t, alice, false)
		f.clock.Advance(time.Minute)
	}
	counts := f.Drain()
	var sum int64
	for _, c := range counts {
		sum += c.Count
	}
	if len(counts) != 3 || sum != 2*minutes {
		t.Errorf("%d counts of %d failures, want 3 of %d", len(counts), sum, 2*minutes)
	}
	if last := counts[2]; last.Source != rest || last.Count != 2*(minutes-2) {
		t.Errorf("the last count is %+v", last)
	}
}

func TestCountsThatAreTakenBack(t *testing.T) {
	f := newFailures(1)
	drained := func() (all []access.FailureCount) {
		f.add(t, alice, true)
		f.add(t, alice, false)
		f.clock.Advance(time.Minute)
		return f.Drain()
	}
	first, second := drained(), drained()
	f.Keep(first)
	f.Keep(second)
	f.drain(t, first[0], second[0])
	f.drain(t)
	third := drained()
	f.Keep(first)
	f.Keep(second)
	f.Keep(third) // for which there is no room
	f.drain(t, first[0], access.FailureCount{Minute: second[0].Minute, Count: 4})
}

func TestAClockPutBackStaysInTheMinute(t *testing.T) {
	f := newFailures(10)
	f.add(t, alice, true)
	f.clock.Advance(-time.Hour)
	f.add(t, alice, false)
}

func TestFailuresAtOnce(t *testing.T) {
	f := newFailures(10)
	var wg sync.WaitGroup
	var mu sync.Mutex
	firsts := 0
	for range 16 {
		wg.Go(func() {
			for range 100 {
				if f.Add(alice) {
					mu.Lock()
					firsts++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	f.clock.Advance(time.Minute)
	f.drain(t, access.FailureCount{Source: alice, Minute: epoch, Count: 1600})
	if firsts != 1 {
		t.Errorf("%d failures were the first", firsts)
	}
}

// TestFailuresFinish holds that what the running minute has is not lost at the end.
func TestFailuresFinish(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 30, 0, time.UTC)
	f := access.NewFailures(func() time.Time { return now }, 10)
	source := netip.MustParseAddr("192.0.2.1")
	for range 3 {
		f.Add(source)
	}
	if counts := f.Drain(); len(counts) != 0 {
		t.Errorf("while the minute runs there are %v", counts)
	}
	f.Finish()
	if counts := f.Drain(); len(counts) != 1 || counts[0].Count != 3 {
		t.Errorf("at the end there are %v, want 3 of one source", counts)
	}
	if !f.Add(source) {
		t.Error("what comes after the end is not the first")
	}
}
