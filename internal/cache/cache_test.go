package cache

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newCache() *Cache[string, int] {
	return New(Options[string, int]{Weight: 1 << 20, Age: time.Hour, Weigh: func(string, int) uint32 { return 1 }})
}

// inBubble runs a test in which synctest.Wait tells that everybody waits.
func inBubble(t *testing.T, test func(*testing.T, *Cache[string, int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCache()
		defer c.entries.StopAllGoroutines()
		test(t, c)
	})
}

// pending is a load that answers when it is told to.
type pending struct {
	began  chan struct{}
	answer chan int
}

func newPending() *pending { return &pending{make(chan struct{}), make(chan int)} }

func (p *pending) load(context.Context) (int, error) {
	close(p.began)
	return <-p.answer, nil
}

// start loads in the background and answers once the load is under way.
func (p *pending) start(t *testing.T, c *Cache[string, int], key string) (result <-chan int) {
	t.Helper()
	got := make(chan int, 1)
	go func() {
		value, err := c.Load(context.Background(), key, p.load)
		if err != nil {
			t.Errorf("load of %s: %v", key, err)
		}
		got <- value
	}()
	<-p.began
	return got
}

func value(n int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return n, nil }
}

func unwanted(t *testing.T) func(context.Context) (int, error) {
	t.Helper()
	return func(context.Context) (int, error) {
		t.Error("a load was made for what is there, or on its way")
		return 0, nil
	}
}

func mustLoad(t *testing.T, c *Cache[string, int], key string, load func(context.Context) (int, error), want int) {
	t.Helper()
	if got, err := c.Load(t.Context(), key, load); got != want || err != nil {
		t.Errorf("%s: got %d, %v, want %d", key, got, err, want)
	}
}

func mustHave(t *testing.T, c *Cache[string, int], key string, want int) {
	t.Helper()
	if got, ok := c.Get(key); got != want || !ok {
		t.Errorf("%s: got %d, %v, want %d", key, got, ok, want)
	}
}

func mustLack(t *testing.T, c *Cache[string, int], key string) {
	t.Helper()
	if got, ok := c.Get(key); ok {
		t.Errorf("%s: got %d, want nothing", key, got)
	}
}

func TestLoadedOnceAndKept(t *testing.T) {
	c := newCache()
	mustLack(t, c, "a")
	mustLoad(t, c, "a", value(1), 1)
	mustHave(t, c, "a", 1)
	mustLoad(t, c, "a", unwanted(t), 1)
	mustLack(t, c, "b")
	c.Set("b", 2)
	mustLoad(t, c, "b", unwanted(t), 2)
	c.Invalidate("a")
	mustLack(t, c, "a")
	mustHave(t, c, "b", 2)
}

func TestALoadThatAnInvalidationOvertookIsNeverInstalled(t *testing.T) {
	c, old := newCache(), newPending()
	result := old.start(t, c, "a")
	c.Invalidate("a")

	mustLoad(t, c, "a", value(2), 2) // who comes later does not join the old load
	old.answer <- 1
	if got := <-result; got != 1 {
		t.Errorf("who began before the invalidation got %d", got)
	}
	mustHave(t, c, "a", 2)

	// The same while the new load is still under way.
	old, young := newPending(), newPending()
	c.Invalidate("a")
	oldResult := old.start(t, c, "a")
	c.Invalidate("a")
	youngResult := young.start(t, c, "a")
	old.answer <- 3
	<-oldResult
	mustLack(t, c, "a")
	young.answer <- 4
	<-youngResult
	mustHave(t, c, "a", 4)
}

func TestAnInvalidationOfOneKeyLeavesTheLoadOfAnotherAlone(t *testing.T) {
	c, p := newCache(), newPending()
	result := p.start(t, c, "a")
	c.Invalidate("b")
	p.answer <- 1
	<-result
	mustHave(t, c, "a", 1)
}

func TestWhoAsksMeanwhileSharesTheLoad(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache[string, int]) {
		p := newPending()
		first := p.start(t, c, "a")
		for range 16 {
			go mustLoad(t, c, "a", unwanted(t), 7)
		}
		synctest.Wait() // all of them have asked
		p.answer <- 7
		<-first
		synctest.Wait()
	})
}

func TestALoadDoesNotEndWithTheContextOfWhoBeganIt(t *testing.T) {
	c := newCache()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := c.Load(ctx, "a", func(ctx context.Context) (int, error) { return 5, ctx.Err() })
	if got != 5 || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
	mustHave(t, c, "a", 5)
}

func TestWhoGivesUpDoesNotStopTheLoadForOthers(t *testing.T) {
	c, p := newCache(), newPending()
	result := p.start(t, c, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := c.Load(ctx, "a", unwanted(t)); got != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %d, %v", got, err)
	}
	p.answer <- 6
	if got := <-result; got != 6 {
		t.Errorf("the other got %d", got)
	}
	mustHave(t, c, "a", 6)
}

func TestAFailedLoadIsNotKept(t *testing.T) {
	c, down := newCache(), errors.New("down")
	if _, err := c.Load(t.Context(), "a", func(context.Context) (int, error) { return 1, down }); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
	mustLack(t, c, "a")
	mustLoad(t, c, "a", value(2), 2)
}

func TestAPanicInALoadReachesWhoWaitsAsAnError(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache[string, int]) {
		bang, panicked := make(chan struct{}), make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			_, _ = c.Load(t.Context(), "a", func(context.Context) (int, error) {
				<-bang
				panic("boom")
			})
		}()
		synctest.Wait()
		waited := make(chan error, 1)
		go func() {
			_, err := c.Load(t.Context(), "a", unwanted(t))
			waited <- err
		}()
		synctest.Wait()
		close(bang)
		if got := <-panicked; got != "boom" {
			t.Errorf("the panic became %v", got)
		}
		if err := <-waited; config.KindOf(err) != config.KindInternal || err == nil {
			t.Errorf("who waited got %v", err)
		}
		mustLoad(t, c, "a", value(10), 10)
	})
}

func TestEntriesAgeAndWeigh(t *testing.T) {
	inBubble(t, func(t *testing.T, c *Cache[string, int]) {
		c.Set("a", 1)
		<-time.After(time.Hour - time.Second)
		mustHave(t, c, "a", 1)
		<-time.After(2 * time.Second)
		mustLack(t, c, "a")
	})
	small := New(Options[int, int]{Weight: 100, Age: time.Hour, Weigh: func(int, int) uint32 { return 10 }})
	for i := range 1000 {
		small.Set(i, i)
	}
	small.entries.CleanUp()
	if n := small.entries.EstimatedSize(); n > 10 {
		t.Errorf("%d entries of weight 10 are kept where 100 is the bound", n)
	}
}
