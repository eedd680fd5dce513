// Package watch carries what was committed, in the order of revisions, to
// whoever follows a tenant. Nobody has a buffer of his own: followers keep a
// position and read events from one bounded ring, so a slow one costs nothing
// and can never hold up a writer. Who fell out of the ring reads the log.
package watch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// What of a tenant's events is at hand before the log is read.
const (
	ringSize  = 512     // events
	ringBytes = 8 << 20 // of about their documents; the newest is kept whatever its size
)

// Event is one revision. It must not be changed once it is published.
type Event struct {
	Revision config.Revision
	Time     time.Time
	Access   bool                   // tokens changed: followers must ask anew whether they may follow
	Reset    []config.EnvironmentID // environments in which anything may have changed
	Erase    bool                   // events before it may hold what was destroyed, and must not be kept
	Changes  []Change               // effective documents that changed, of all environments
	Secrets  []SecretNotice         // secrets that changed, of all environments that they count in

	frames sync.Map // FrameKey → []byte
}

// Change is an effective document that a revision changed.
type Change struct {
	Environment config.EnvironmentID
	Path        config.Path
	Exists      bool
	Digest      canon.Digest     // of the document; zero when it is no more
	Effective   config.Effective // the document where it is at hand; absent in events read from the log
	Cause       Cause
	Secret      *SecretCause // the secret that changed instead of the document, which refers to it
}

// SecretCause is the secret behind a document's change. The document's text, and
// so its digest, is what it was.
type SecretCause struct {
	Environment config.EnvironmentID // that supplies it
	Path        config.Path
	Version     config.Version // in use now; 0 for none
}

// SecretNotice is a secret that changed, seen from an environment in which it counts.
type SecretNotice struct {
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version       // in use now; 0 for none
	Supplier    config.EnvironmentID // that it comes from now; 0 for none
}

// Cause is the version of a layer that changed an effective document.
type Cause struct {
	Environment config.EnvironmentID
	Version     config.Version
}

// weight is about the memory that an event takes.
func (e *Event) weight() int {
	weight := 256 + 128*len(e.Secrets)
	for i := range e.Changes {
		weight += 256 + 4*len(e.Changes[i].Effective.Document.Canonical())
	}
	return weight
}

// FrameKey says for whom an event was encoded.
type FrameKey struct {
	Environment config.EnvironmentID
	Prefix      config.Prefix
	Data        bool
}

// Frame answers the event encoded for a key, encoding it the first time.
func (e *Event) Frame(key FrameKey, encode func() ([]byte, error)) ([]byte, error) {
	if frame, ok := e.frames.Load(key); ok {
		return frame.([]byte), nil //nolint:forcetypeassert // only frames are stored
	}
	frame, err := encode()
	if err != nil {
		return nil, err
	}
	kept, _ := e.frames.LoadOrStore(key, frame)
	return kept.([]byte), nil //nolint:forcetypeassert // only frames are stored
}

// Feed is what one tenant committed, newest last.
type Feed struct {
	revision atomic.Int64

	mu        sync.Mutex
	ring      []*Event        // ring[r%ringSize] is the event of revision r, from first on; nil while nobody follows
	first     config.Revision // the oldest event in the ring
	weight    int             // of what is in the ring
	followers int
	wake      chan struct{} // closed when the next event comes; nil while nobody waits
	closed    bool
}

// NewFeed begins after a revision.
func NewFeed(at config.Revision) *Feed {
	f := &Feed{first: at + 1}
	f.revision.Store(int64(at))
	return f
}

// Revision is the newest revision that was published.
func (f *Feed) Revision() config.Revision { return config.Revision(f.revision.Load()) }

// Publish adds the event of the next revision. An event that is not the next
// is passed over: nothing old replaces something newer.
func (f *Feed) Publish(e *Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || e.Revision <= f.Revision() {
		return
	}
	if e.Erase || e.Revision != f.Revision()+1 {
		f.forget(e.Revision) // what lies before it, or in the gap, is in the log only
	}
	f.revision.Store(int64(e.Revision))
	if f.followers > 0 {
		f.keep(e)
	} else {
		f.first = e.Revision + 1
	}
	f.signal()
}

// keep puts an event into the ring, and what is too old or too much out of it.
func (f *Feed) keep(e *Event) {
	if f.ring == nil {
		f.ring = make([]*Event, ringSize)
	}
	f.weight += e.weight()
	for f.first < e.Revision && (e.Revision-f.first >= ringSize || f.weight > ringBytes) {
		f.forget(f.first + 1)
	}
	f.ring[e.Revision%ringSize] = e
}

// forget drops the events before a revision.
func (f *Feed) forget(before config.Revision) {
	for ; f.first < before; f.first++ {
		if f.ring == nil {
			f.first = before
			return
		}
		if old := f.ring[f.first%ringSize]; old != nil && old.Revision == f.first {
			f.weight -= old.weight()
			f.ring[f.first%ringSize] = nil
		}
	}
}

// Follow keeps events at hand until Unfollow. A feed that nobody follows keeps none.
func (f *Feed) Follow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers++
}

// Unfollow ends a Follow.
func (f *Feed) Unfollow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.followers--; f.followers == 0 {
		f.ring, f.weight, f.first = nil, 0, f.Revision()+1
	}
}

// Close wakes everybody for the last time.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.signal()
}

func (f *Feed) signal() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// Since answers the events after a revision. ok is false when the ring does
// not reach back so far.
func (f *Feed) Since(after config.Revision) (events []*Event, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	newest := f.Revision()
	if after >= newest {
		return nil, true
	}
	if after+1 < f.first {
		return nil, false
	}
	for r := after + 1; r <= newest; r++ {
		events = append(events, f.ring[r%ringSize])
	}
	return events, true
}

// Next answers a channel that is closed once there is an event after the
// revision, and whether the feed still goes on.
func (f *Feed) Next(after config.Revision) (<-chan struct{}, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false
	}
	if f.Revision() > after {
		return alreadyClosed, true
	}
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	return f.wake, true
}

var alreadyClosed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
