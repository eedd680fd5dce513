package limit_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/limit"
)

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("2001:db8::")
)

func TestDelayGrowsToASecond(t *testing.T) {
	for nth, want := range map[int64]time.Duration{
		-1: 0, 0: 0, 1: 0, 2: 50 * time.Millisecond, 3: 100 * time.Millisecond, 4: 200 * time.Millisecond, 5: 400 * time.Millisecond,
		6: 800 * time.Millisecond, 7: time.Second, 8: time.Second, 1 << 62: time.Second,
	} {
		if got := limit.Delay(nth); got != want {
			t.Errorf("failure %d is held back %s, want %s", nth, got, want)
		}
	}
}

// held is a number of answers that are held back until a test lets them go.
type held struct {
	*limit.Delays
	timer chan time.Time
	asked chan time.Duration
	ended chan bool
}

func newHeld() held {
	h := held{timer: make(chan time.Time), asked: make(chan time.Duration), ended: make(chan bool)}
	h.Delays = limit.NewDelays(func(d time.Duration) <-chan time.Time { h.asked <- d; return h.timer })
	return h
}

// hold holds one back, and returns when it waits.
func (h held) hold(ctx context.Context, t *testing.T, stop <-chan struct{}, source netip.Addr) {
	t.Helper()
	go func() { h.ended <- h.Hold(ctx, stop, source, time.Second) }()
	if d := <-h.asked; d != time.Second {
		t.Errorf("it is held back %s", d)
	}
}

func (h held) refuse(t *testing.T, source netip.Addr) {
	t.Helper()
	if h.Hold(t.Context(), nil, source, time.Second) {
		t.Error("it was held back")
	}
}

func TestHeldBackUntilItIsTime(t *testing.T) {
	h := newHeld()
	if !h.Hold(t.Context(), nil, here, 0) {
		t.Error("no delay is refused")
	}
	h.hold(t.Context(), t, nil, here)
	select {
	case <-h.ended:
		t.Error("it did not wait")
	default:
	}
	h.timer <- epoch
	if !<-h.ended {
		t.Error("it was refused")
	}
}

func TestHeldBackUntilNobodyWaits(t *testing.T) {
	h := newHeld()
	ctx, cancel := context.WithCancel(t.Context())
	h.hold(ctx, t, nil, here)
	cancel()
	<-h.ended
	stop := make(chan struct{})
	h.hold(t.Context(), t, stop, here)
	close(stop)
	<-h.ended
}

// So many of one source and so many in all are held back, the others refused.
func TestHeldBackAtOnce(t *testing.T) {
	h := newHeld()
	for range 64 {
		h.hold(t.Context(), t, nil, here)
	}
	h.refuse(t, here)
	h.hold(t.Context(), t, nil, there)
	h.timer <- epoch // one of the 65
	<-h.ended
	for range 65 - 1 {
		h.timer <- epoch
		<-h.ended
	}
	const all = 1000
	sources := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i / 50)}) }
	for i := range all {
		h.hold(t.Context(), t, nil, sources(i))
	}
	h.refuse(t, here)
	h.refuse(t, sources(0))
	h.timer <- epoch
	<-h.ended
	h.hold(t.Context(), t, nil, here)
	h.refuse(t, there)
	for range all {
		h.timer <- epoch
		<-h.ended
	}
}
