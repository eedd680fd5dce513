package watch

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// followed is a feed that somebody follows.
func followed(at config.Revision) *Feed {
	f := NewFeed(at)
	f.Follow()
	return f
}

func publish(f *Feed, revisions ...config.Revision) {
	for _, r := range revisions {
		f.Publish(&Event{Revision: r})
	}
}

// since are the revisions of the events after a revision, and whether the ring reaches back so far.
func since(f *Feed, after config.Revision) ([]config.Revision, bool) {
	events, ok := f.Since(after)
	var revisions []config.Revision
	for _, e := range events {
		revisions = append(revisions, e.Revision)
	}
	return revisions, ok
}

func mustSince(t *testing.T, f *Feed, after config.Revision, want ...config.Revision) {
	t.Helper()
	got, ok := since(f, after)
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("after %d: ok %v (-want +got)\n%s", after, ok, diff)
	}
}

func mustNotReach(t *testing.T, f *Feed, after config.Revision) {
	t.Helper()
	if got, ok := since(f, after); ok || got != nil {
		t.Errorf("after %d: the ring claims to reach back: %v", after, got)
	}
}

func TestFeedBeginsAfterARevision(t *testing.T) {
	f := followed(7)
	if f.Revision() != 7 {
		t.Errorf("a new feed is at %d", f.Revision())
	}
	mustSince(t, f, 7)
	mustSince(t, f, 9)
	mustNotReach(t, f, 6)
	publish(f, 8, 9)
	mustSince(t, f, 7, 8, 9)
	mustSince(t, f, 8, 9)
	mustSince(t, f, 9)
	mustNotReach(t, f, 6)
}

func TestFeedNeverGoesBack(t *testing.T) {
	f := followed(0)
	publish(f, 1, 2)
	kept, _ := f.Since(0)
	publish(f, 2, 1, 0)
	again, _ := f.Since(0)
	if f.Revision() != 2 || len(again) != 2 || again[0] != kept[0] || again[1] != kept[1] {
		t.Errorf("an old event replaced a newer one: at %d, %v", f.Revision(), again)
	}
}

func TestFeedHidesWhatLiesBeforeAGap(t *testing.T) {
	f := followed(0)
	publish(f, 1, 2, 5, 6)
	mustSince(t, f, 4, 5, 6)
	for after := range config.Revision(4) {
		mustNotReach(t, f, after)
	}
}

func TestFeedForgetsWhatIsErased(t *testing.T) {
	f := followed(0)
	publish(f, 1, 2)
	f.Publish(&Event{Revision: 3, Erase: true})
	publish(f, 4)
	mustSince(t, f, 2, 3, 4)
	mustNotReach(t, f, 1)
	for _, e := range f.ring[:3] {
		if e != nil {
			t.Errorf("the event of revision %d is kept", e.Revision)
		}
	}
}

func TestFeedForgetsWhatTheRingCannotHold(t *testing.T) {
	f := followed(0)
	for r := range config.Revision(2*ringSize + 3) {
		publish(f, r+1)
	}
	newest := f.Revision()
	events, ok := f.Since(newest - ringSize)
	if !ok || len(events) != ringSize {
		t.Fatalf("the ring holds %d events, ok %v", len(events), ok)
	}
	for i, e := range events {
		if want := newest - ringSize + config.Revision(i) + 1; e.Revision != want {
			t.Fatalf("event %d is of revision %d, want %d", i, e.Revision, want)
		}
	}
	mustNotReach(t, f, newest-ringSize-1)
}

func TestFeedKeepsNothingWhileNobodyFollows(t *testing.T) {
	f := NewFeed(0)
	publish(f, 1, 2)
	if f.ring != nil || f.weight != 0 {
		t.Errorf("events of weight %d are kept for nobody", f.weight)
	}
	mustNotReach(t, f, 1)
	f.Follow()
	f.Follow()
	mustNotReach(t, f, 1)
	mustSince(t, f, 2)
	publish(f, 3)
	f.Unfollow()
	publish(f, 4)
	mustSince(t, f, 2, 3, 4) // one still follows
	f.Unfollow()
	mustNotReach(t, f, 2)
	mustSince(t, f, 4)
	if f.ring != nil || f.weight != 0 {
		t.Errorf("events of weight %d are kept for nobody", f.weight)
	}
	f.Follow()
	publish(f, 5, 6)
	mustSince(t, f, 4, 5, 6)
}

func TestFeedIsBoundedByWeight(t *testing.T) {
	f := followed(0)
	heavy := func(r config.Revision, bytes int) {
		doc := config.NewDocument(map[string]any{"text": strings.Repeat("x", bytes)})
		f.Publish(&Event{Revision: r, Changes: []Change{{Exists: true, Effective: config.Effective{Document: doc}}}})
	}
	for r := range config.Revision(12) {
		heavy(r+1, ringBytes/16) // counts four times
	}
	if f.weight > ringBytes {
		t.Errorf("events of weight %d are kept where %d is the bound", f.weight, ringBytes)
	}
	mustSince(t, f, 9, 10, 11, 12)
	mustNotReach(t, f, 8)
	heavy(13, ringBytes)
	mustSince(t, f, 12, 13) // the newest is kept whatever its weight
	mustNotReach(t, f, 11)
	publish(f, 14, 15)
	mustSince(t, f, 13, 14, 15)
	mustNotReach(t, f, 12)
	if want := 2 * (&Event{}).weight(); f.weight != want {
		t.Errorf("the ring counts a weight of %d, want %d", f.weight, want)
	}
}

func TestFeedWakesWhoeverWaits(t *testing.T) {
	f := NewFeed(3)
	first, open := f.Next(3)
	second, _ := f.Next(3)
	if !open || isClosed(first) || isClosed(second) {
		t.Fatal("nothing has happened, and a waiter was woken")
	}
	publish(f, 4)
	if !isClosed(first) || !isClosed(second) {
		t.Error("an event came, and a waiter was not woken")
	}
	if behind, open := f.Next(3); !open || !isClosed(behind) {
		t.Error("who is behind waits")
	}
	if next, _ := f.Next(4); isClosed(next) {
		t.Error("who has seen everything does not wait")
	}
}

func TestFeedEnds(t *testing.T) {
	f := NewFeed(0)
	waiting, _ := f.Next(0)
	f.Close()
	f.Close()
	if !isClosed(waiting) {
		t.Error("the end did not wake who waits")
	}
	if next, open := f.Next(0); open || next != nil {
		t.Error("a feed that ended goes on")
	}
	publish(f, 1)
	if f.Revision() != 0 {
		t.Error("an event came after the end")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestFrameIsEncodedOnceForAKey(t *testing.T) {
	e := &Event{Revision: 1}
	fails := errors.New("does not encode")
	if _, err := e.Frame(FrameKey{}, func() ([]byte, error) { return nil, fails }); !errors.Is(err, fails) {
		t.Errorf("the fault of the encoder became %v", err)
	}
	encode := func(text string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(text), nil } }
	for _, c := range []struct {
		key         FrameKey
		offer, want string
	}{
		{FrameKey{Environment: 1}, "a", "a"},
		{FrameKey{Environment: 1}, "b", "a"},
		{FrameKey{Environment: 1, Data: true}, "c", "c"},
		{FrameKey{Environment: 2}, "d", "d"},
	} {
		if got, err := e.Frame(c.key, encode(c.offer)); string(got) != c.want || err != nil {
			t.Errorf("%+v: got %q, %v, want %q", c.key, got, err, c.want)
		}
	}
	// Two that encode at the same time are given the same frame.
	outer := FrameKey{Environment: 3}
	var inner []byte
	frame, err := e.Frame(outer, func() ([]byte, error) {
		inner, _ = e.Frame(outer, encode("first"))
		return []byte("second"), nil
	})
	if string(frame) != "first" || string(inner) != "first" || err != nil {
		t.Errorf("got %q and %q, %v", frame, inner, err)
	}
}

// Every follower, however slow, sees every revision once and in order, from
// the ring as long as it reaches, and is told when it does not.
func TestFollowersSeeEveryRevision(t *testing.T) {
	const revisions, followers = 4000, 8
	f := followed(0)
	var wait sync.WaitGroup
	for range followers {
		wait.Go(func() { follow(t, f, revisions) })
	}
	for r := range config.Revision(revisions) {
		publish(f, r+1)
	}
	wait.Wait()
}

func follow(t *testing.T, f *Feed, last config.Revision) {
	t.Helper()
	for position := config.Revision(0); position < last; {
		next, open := f.Next(position)
		if !open {
			t.Error("the feed ended")
			return
		}
		<-next
		events, ok := f.Since(position)
		if !ok {
			if newest := f.Revision(); newest-position < ringSize {
				t.Errorf("at %d of %d the ring should still reach", position, newest)
				return
			}
			position++ // as the log would answer it
			continue
		}
		for _, e := range events {
			if position++; e.Revision != position {
				t.Errorf("got revision %d after %d", e.Revision, position-1)
				return
			}
		}
	}
}
