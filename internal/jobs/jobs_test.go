package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/jobs"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// The times of leases, which the package keeps to itself.
const (
	leaseTime  = 30 * time.Second
	renewEvery = 10 * time.Second
	grace      = 7 * time.Second // no job has this pace
	pace       = 5 * time.Second
)

// world is a clock and a database that instances share.
type world struct {
	store.Leases

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Unix(1_800_000_000, 0)}
	s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.Leases = s
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// instance is a Runner whose ticks a test gives by hand: one is taken only when
// the job, its renewal or the end of grace waits for it.
type instance struct {
	t      *testing.T
	ticks  map[time.Duration]chan time.Time
	stop   context.CancelFunc
	ended  chan struct{}
	log    *lockedBuffer
	failed atomic.Int64
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (w *world) start(t *testing.T, holder string, run func(context.Context) (bool, error)) *instance {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	i := &instance{t: t, stop: stop, ended: make(chan struct{}), log: &lockedBuffer{}, ticks: map[time.Duration]chan time.Time{
		pace: make(chan time.Time), renewEvery: make(chan time.Time), grace: make(chan time.Time),
	}}
	r := jobs.New(jobs.Options{
		Leases: w, Holder: holder, Clock: w.clock, Grace: grace, Logger: slog.New(slog.NewTextHandler(i.log, nil)),
		Failed: func(string) { i.failed.Add(1) },
		Ticker: func(d time.Duration) (<-chan time.Time, func()) { return i.ticks[d], func() {} },
		Jobs:   []jobs.Job{{Name: "settle", Every: pace, Run: run}},
	})
	go func() {
		defer close(i.ended)
		r.Run(ctx)
	}()
	t.Cleanup(i.end)
	return i
}

// tick begins a round; the round before is over then.
func (i *instance) tick(d time.Duration) {
	i.t.Helper()
	select {
	case i.ticks[d] <- time.Time{}:
	case <-time.After(30 * time.Second):
		i.t.Fatalf("nobody waits for the tick of %s:\n%s", d, i.log)
	}
}

func (i *instance) end() {
	i.t.Helper()
	i.stop()
	select {
	case <-i.ended:
	case <-time.After(30 * time.Second):
		i.t.Fatalf("it does not end:\n%s", i.log)
	}
}

func (i *instance) says(text string) {
	i.t.Helper()
	if !strings.Contains(i.log.String(), text) {
		i.t.Errorf("the log does not say %q:\n%s", text, i.log)
	}
}

// counter counts runs, and finds out whether two run at once.
type counter struct {
	runs, now, overlaps atomic.Int64
}

func (c *counter) run(context.Context) (bool, error) {
	c.runs.Add(1)
	if c.now.Add(1) > 1 {
		c.overlaps.Add(1)
	}
	c.now.Add(-1)
	return false, nil
}

func (c *counter) want(t *testing.T, runs int64) {
	t.Helper()
	if c.runs.Load() != runs || c.overlaps.Load() != 0 {
		t.Errorf("%d runs, %d at once with another; want %d and none", c.runs.Load(), c.overlaps.Load(), runs)
	}
}

// TestOneOfTwoRuns also stops the one that does: the other goes on at once.
func TestOneOfTwoRuns(t *testing.T) {
	w := newWorld(t)
	var a, b counter
	first := w.start(t, "a", a.run)
	first.tick(pace) // the round at the start is over, and the second begins
	second := w.start(t, "b", b.run)
	for range 10 {
		w.pass(pace)
		first.tick(pace)
		second.tick(pace)
	}
	b.want(t, 0)
	first.end()
	if a.runs.Load() < 11 { // the round of the last tick may be left out
		t.Errorf("%d runs", a.runs.Load())
	}
	second.tick(pace)
	second.tick(pace)
	second.end()
	if b.runs.Load() == 0 {
		t.Error("a lease that was dropped was not taken")
	}
}

// TestTakeOverAfterDeath leaves the lease of an instance that is gone to expire.
func TestTakeOverAfterDeath(t *testing.T) {
	w := newWorld(t)
	if held, err := w.TakeLease(t.Context(), "jobs/settle", "dead", w.clock(), w.clock().Add(leaseTime)); err != nil || !held {
		t.Fatal(held, err)
	}
	var c counter
	i := w.start(t, "alive", c.run)
	i.tick(pace)
	w.pass(leaseTime - time.Second)
	i.tick(pace)
	i.tick(pace)
	c.want(t, 0)
	w.pass(time.Second)
	i.tick(pace)
	i.tick(pace)
	i.end()
	if c.runs.Load() == 0 {
		t.Error("the lease that expired was not taken")
	}
}

// TestALongRunKeepsItsLease renews while the job runs for longer than a lease.
func TestALongRunKeepsItsLease(t *testing.T) {
	w := newWorld(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	long := w.start(t, "a", func(ctx context.Context) (bool, error) {
		begun <- struct{}{}
		<-finish
		return false, ctx.Err()
	})
	<-begun
	var c counter
	other := w.start(t, "b", c.run)
	for range 9 {
		w.pass(renewEvery)
		long.tick(renewEvery)
		long.tick(renewEvery) // the renewal before is over
		other.tick(pace)
		other.tick(pace)
	}
	c.want(t, 0)
	close(finish)
	long.end()
	if long.failed.Load() != 0 {
		t.Errorf("it failed:\n%s", long.log)
	}
}

// TestALostLeaseEndsTheRun takes the lease away, as after a pause of the process.
func TestALostLeaseEndsTheRun(t *testing.T) {
	w := newWorld(t)
	begun, over := make(chan struct{}), make(chan error)
	i := w.start(t, "a", func(ctx context.Context) (bool, error) {
		begun <- struct{}{}
		<-ctx.Done()
		over <- context.Cause(ctx)
		return true, ctx.Err()
	})
	<-begun
	w.pass(leaseTime)
	if held, err := w.TakeLease(t.Context(), "jobs/settle", "b", w.clock(), w.clock().Add(leaseTime)); err != nil || !held {
		t.Fatal(held, err)
	}
	i.tick(renewEvery)
	if err := <-over; err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("it ended with %v", err)
	}
	i.tick(pace)
	i.end()
	i.says("lease was lost")
	if i.failed.Load() != 0 {
		t.Error("a lost lease counts as a failure")
	}
	if held, err := w.TakeLease(t.Context(), "jobs/settle", "b", w.clock(), w.clock().Add(leaseTime)); err != nil || !held {
		t.Errorf("the other's lease was dropped: %v", err)
	}
}

// brokenLeases fail while they are told to.
type brokenLeases struct {
	store.Leases
	broken atomic.Bool
}

func (b *brokenLeases) TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	if b.broken.Load() {
		return false, errors.New("the disk is on fire")
	}
	return b.Leases.TakeLease(ctx, name, holder, now, until)
}

// TestALeaseThatCannotBeRenewed ends the run before the lease does.
func TestALeaseThatCannotBeRenewed(t *testing.T) {
	w := newWorld(t)
	leases := &brokenLeases{Leases: w.Leases}
	w.Leases = leases
	begun, over := make(chan struct{}), make(chan struct{})
	i := w.start(t, "a", func(ctx context.Context) (bool, error) {
		begun <- struct{}{}
		<-ctx.Done()
		close(over)
		return false, ctx.Err()
	})
	<-begun
	leases.broken.Store(true)
	w.pass(renewEvery)
	i.tick(renewEvery)
	i.tick(renewEvery)
	select {
	case <-over:
		t.Fatal("it was ended although the lease lasts")
	default:
	}
	w.pass(renewEvery)
	select { // the tick before may have seen the time that has passed just now
	case i.ticks[renewEvery] <- time.Time{}:
	case <-over:
	}
	<-over
	i.tick(pace) // the round is over
	i.says("the lease was lost: the disk is on fire")
	i.end()
}

// TestMoreIsDoneAtOnce runs again without a tick, and no longer once it stops.
func TestMoreIsDoneAtOnce(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	i := w.start(t, "a", func(context.Context) (bool, error) { return n.Add(1)%5 != 0, nil })
	i.tick(pace)
	if n.Load() < 5 {
		t.Errorf("%d runs before the tick", n.Load())
	}
	i.tick(pace)
	if n.Load() < 10 {
		t.Errorf("%d runs before the next", n.Load())
	}
}

// TestAJobThatAlwaysWantsMore must give way to the end, and to its lease.
func TestAJobThatAlwaysWantsMore(t *testing.T) {
	w := newWorld(t)
	running := make(chan struct{})
	var once sync.Once
	i := w.start(t, "a", func(context.Context) (bool, error) {
		once.Do(func() { close(running) })
		return true, nil
	})
	<-running
	i.end()
}

// TestFailuresWait longer and longer, and let another instance try meanwhile.
func TestFailuresWait(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	i := w.start(t, "a", func(context.Context) (bool, error) {
		if n.Add(1) == 2 {
			panic("a fault")
		}
		return true, errors.New("the keeper is away")
	})
	i.tick(pace)
	if n.Load() != 1 || i.failed.Load() != 1 {
		t.Fatalf("%d runs, %d failures", n.Load(), i.failed.Load())
	}
	i.says("the keeper is away")
	i.says("next_try_in=5s")
	var other counter
	b := w.start(t, "b", other.run)
	b.tick(pace)
	b.end()
	if other.runs.Load() == 0 {
		t.Error("the lease was kept by who waits")
	}

	w.pass(pace - 1)
	i.tick(pace)
	i.tick(pace)
	if n.Load() != 1 {
		t.Error("it did not wait")
	}
	w.pass(1)
	i.tick(pace)
	i.tick(pace)
	if n.Load() != 2 || i.failed.Load() != 2 {
		t.Errorf("%d runs, %d failures", n.Load(), i.failed.Load())
	}
	i.says("a fault")
	i.says("it panicked")
	i.says("next_try_in=10s")
	for range 40 {
		w.pass(5 * time.Minute)
		i.tick(pace)
		i.tick(pace)
	}
	if n.Load() != 42 {
		t.Errorf("%d runs, want one every five minutes at least", n.Load())
	}
}

// TestStopWaitsForTheRun at hand, and drops its lease.
func TestStopWaitsForTheRun(t *testing.T) {
	w := newWorld(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	i := w.start(t, "a", func(ctx context.Context) (bool, error) {
		close(begun)
		<-finish
		return true, ctx.Err()
	})
	<-begun
	i.stop()
	select {
	case <-i.ended:
		t.Fatal("it did not wait")
	default:
	}
	close(finish)
	i.end()
	if i.failed.Load() != 0 {
		t.Errorf("the run was disturbed:\n%s", i.log)
	}
	if held, err := w.TakeLease(t.Context(), "jobs/settle", "b", w.clock(), w.clock().Add(leaseTime)); err != nil || !held {
		t.Errorf("the lease was not dropped: %v", err)
	}
}

// TestStopIsBounded: a run that takes too long is told, and left behind if it
// does not listen. Its lease stays, because it may still be at work.
func TestStopIsBounded(t *testing.T) {
	w := newWorld(t)
	begun, told, finish := make(chan struct{}), make(chan struct{}), make(chan struct{})
	i := w.start(t, "a", func(ctx context.Context) (bool, error) {
		close(begun)
		<-ctx.Done()
		close(told)
		<-finish
		return false, nil
	})
	<-begun
	i.stop()
	i.tick(grace)
	<-told
	i.tick(grace)
	<-i.ended
	i.says("cut short")
	i.says("do not end")
	if held, err := w.TakeLease(t.Context(), "jobs/settle", "b", w.clock(), w.clock().Add(leaseTime)); err != nil || held {
		t.Errorf("the lease of a run that goes on was given away: %v", err)
	}
	close(finish)
}

// TestManyInstances have the real tickers' habit of dropping ticks, and race.
func TestManyInstances(t *testing.T) {
	w := newWorld(t)
	var c counter
	var all []*instance
	for _, name := range []string{"a", "b", "c", "d"} {
		all = append(all, w.start(t, name, c.run))
	}
	for range 50 {
		w.pass(pace)
		var work sync.WaitGroup
		for _, i := range all {
			work.Go(func() { i.tick(pace) })
		}
		work.Wait()
	}
	for _, i := range all {
		i.end()
	}
	if c.overlaps.Load() != 0 || c.runs.Load() < 50 {
		t.Errorf("%d runs, %d at once", c.runs.Load(), c.overlaps.Load())
	}
}
