package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// WatchQuery selects what to watch. The zero WatchQuery is everything from now on.
type WatchQuery struct {
	Prefix string // the path itself and all below it
	After  int64  // begin after this revision; 0 begins now
	Data   bool   // changed documents come with the event
}

// Event is one thing that a watch tells. Change or Reset is set, by the kind.
type Event struct {
	Kind     string // api.EventChange, EventProgress or EventReset
	Revision int64
	Change   *api.WatchEvent
	Reset    *api.WatchReset
}

// Watch follows an environment until the context ends or the loop over it does.
// It reconnects by itself and goes on where it was: events come in the order of
// their revisions, none twice. A lost connection shows as an error; to loop on
// is to wait for the next one.
func (c *Client) Watch(ctx context.Context, environment string, query WatchQuery) iter.Seq2[Event, error] {
	f := &follower{client: c, environment: environment, query: query, opened: func() {}, alive: func() {}}
	return f.events(ctx)
}

const (
	silence    = 45 * time.Second // without a sign of life, a stream is given up; the server speaks every 15 s
	slowly     = 30 * time.Second // how long a refusal is left to stand before asking again
	longestAsk = time.Minute      // of a wait that the server asks for
)

// backoff paces reconnecting; a stream that lives for backoff.Max begins anew.
var backoff = Retry{Base: 100 * time.Millisecond, Max: 10 * time.Second}

var errSilent = errors.New("the server has been silent for too long")

// follower keeps a watch going over as many connections as it takes.
type follower struct {
	client      *Client
	environment string
	query       WatchQuery // After is the revision that was told last
	opened      func()     // a connection stands
	alive       func()     // something came
	failures    int        // connections in a row that did not last
	asked       time.Duration
}

func (f *follower) events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for {
			stopped := false
			began := time.Now()
			err := f.stream(ctx, func(e Event) bool {
				stopped = !yield(e, nil)
				return !stopped
			})
			if stopped || ctx.Err() != nil || !yield(Event{}, err) {
				return
			}
			if time.Since(began) > backoff.Max {
				f.failures = 0
			}
			f.failures++
			if sleep(ctx, f.delay(err)) != nil {
				return
			}
		}
	}
}

// delay is how long to wait after a connection was lost for this reason. What
// the server asked for counts once: it was about this connection.
func (f *follower) delay(err error) time.Duration {
	asked := f.asked
	f.asked = 0
	return max(asked, f.client.delay(f.failures, err))
}

// delay is how long to wait before asking again after so many failures.
func (c *Client) delay(failures int, err error) time.Duration {
	if refused(err) {
		return slowly/2 + c.jitter(slowly/2)
	}
	return c.jitter(backoff.bound(failures))
}

// refused says that the server understood and said no, which takes somebody's
// hand to change.
func refused(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && p.Status >= 400 && p.Status < 500 &&
		p.Status != http.StatusConflict && p.Status != http.StatusRequestTimeout && p.Status != http.StatusTooManyRequests
}

// stream is one connection; it ends with the reason why, or nil when told to.
func (f *follower) stream(ctx context.Context, yield func(Event) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.client.timeout, func() { cancel(errSilent) })
	defer watchdog.Stop()
	body, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	watchdog.Reset(silence)
	f.opened()
	in := newFrames(&lively{in: body, alive: func() { watchdog.Reset(silence); f.alive() }}, maxEvent)
	for {
		raw, err := in.next()
		f.asked = min(in.retry, longestAsk)
		if err != nil {
			return f.client.networkFailure(ctx, streamEnd(err))
		}
		event, err := readEvent(raw)
		if err != nil {
			return fmt.Errorf("watch at %s: %w", f.client.Address(), err)
		}
		watchdog.Stop() // the time that the caller takes is not the server's
		if ok, err := f.tell(event, yield); !ok {
			return err
		}
		watchdog.Reset(silence)
	}
}

// open asks for the stream, and answers its body.
func (f *follower) open(ctx context.Context) (io.ReadCloser, error) {
	c := f.client
	r, err := c.request(http.MethodGet, api.RouteWatch, f.environment)
	if err != nil {
		return nil, err
	}
	r.set("prefix", f.query.Prefix)
	if f.query.Data {
		r.set("include", "data")
	}
	if f.query.After > 0 {
		r.header.Set("Last-Event-ID", strconv.FormatInt(f.query.After, 10))
	}
	r.header.Set("Accept", api.TypeEvents)
	r.header.Set("Accept-Encoding", "identity") // a compressor would hold small events back
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK && mediaType(response.Header) == api.TypeEvents {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	if asked := retryAfter(response.Header); asked > 0 { // which many may have been told at once
		f.asked = min(asked+c.jitter(backoff.bound(f.failures+1)), longestAsk)
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxProblem+1))
	return nil, c.failure(&answer{status: response.StatusCode, header: response.Header, body: text})
}

// tell hands an event on, unless it is not news.
func (f *follower) tell(e Event, yield func(Event) bool) (ok bool, err error) {
	if e.Kind == api.EventReset && e.Revision < f.query.After {
		return false, fmt.Errorf("%s is behind: it is at revision %d and this client at %d; if its store was restored from a backup, restart this program to go on from there",
			f.client.Address(), e.Revision, f.query.After)
	}
	if e.Kind == "" || e.Kind != api.EventReset && e.Revision <= f.query.After {
		return true, nil
	}
	if !yield(e) {
		return false, nil
	}
	f.query.After = e.Revision
	return true, nil
}

// readEvent reads an event; one of a kind that is not known yet has none. An
// event over the bound becomes a reset, which asks for the same thing: read anew.
func readEvent(raw frame) (Event, error) {
	switch {
	case raw.kind == api.EventReset && !raw.overflow:
		return readReset(raw)
	case raw.kind != api.EventChange && raw.kind != api.EventProgress && raw.kind != api.EventReset:
		return Event{}, nil
	}
	revision, err := strconv.ParseInt(raw.id, 10, 64)
	if err != nil || revision < 0 {
		return Event{}, fmt.Errorf("the id %q of an event is no revision", excerpt([]byte(raw.id)))
	}
	if raw.overflow {
		reset := &api.WatchReset{Revision: revision, Reason: fmt.Sprintf("an event was over %d bytes", maxEvent)}
		return Event{Kind: api.EventReset, Revision: revision, Reset: reset}, nil
	}
	if raw.kind == api.EventProgress {
		return Event{Kind: api.EventProgress, Revision: revision}, nil
	}
	var change api.WatchEvent
	if err := json.Unmarshal(raw.data, &change); err != nil {
		return Event{}, fmt.Errorf("the change event of revision %d cannot be read: %w", revision, err)
	}
	if change.Revision != revision {
		return Event{}, fmt.Errorf("the change event with the id %d says that it is of revision %d", revision, change.Revision)
	}
	return Event{Kind: api.EventChange, Revision: revision, Change: &change}, nil
}

func readReset(raw frame) (Event, error) {
	var reset api.WatchReset
	if err := json.Unmarshal(raw.data, &reset); err != nil {
		return Event{}, fmt.Errorf("a reset event cannot be read: %w", err)
	}
	return Event{Kind: api.EventReset, Revision: reset.Revision, Reset: &reset}, nil
}

// streamEnd says what the end of a stream means.
func streamEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the server ended the watch")
	}
	return err
}

// lively tells of everything that comes.
type lively struct {
	in    io.Reader
	alive func()
}

func (l *lively) Read(p []byte) (int, error) {
	n, err := l.in.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}
