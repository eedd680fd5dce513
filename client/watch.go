package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strconv"

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
	return c.watch(environment, query).events(ctx)
}

// watch is a stream of what changes in an environment.
func (c *Client) watch(environment string, query WatchQuery) *stream[Event] {
	w := &watch{client: c, environment: environment, query: query}
	return &stream[Event]{client: c, name: "watch", request: w.request, read: w.read, opened: func() {}, alive: func() {}}
}

// watch is where a watch stands.
type watch struct {
	client      *Client
	environment string
	query       WatchQuery // After is the revision that was told last
}

func (w *watch) request() (*request, error) {
	r, err := w.client.request(http.MethodGet, api.RouteWatch, w.environment)
	if err != nil {
		return nil, err
	}
	r.set("prefix", w.query.Prefix)
	if w.query.Data {
		r.set("include", "data")
	}
	if w.query.After > 0 {
		r.header.Set("Last-Event-ID", strconv.FormatInt(w.query.After, 10))
	}
	return r, nil
}

// read reads an event, and says whether it is news.
func (w *watch) read(raw frame) (e Event, news bool, err error) {
	if e, err = readEvent(raw); err != nil {
		return Event{}, false, err
	}
	if e.Kind == api.EventReset && e.Revision < w.query.After {
		return Event{}, false, fmt.Errorf("the server is behind: it is at revision %d and this client at %d; if its store was restored from a backup, restart this program to go on from there",
			e.Revision, w.query.After)
	}
	if e.Kind == "" || e.Kind != api.EventReset && e.Revision <= w.query.After {
		return Event{}, false, nil
	}
	w.query.After = e.Revision
	return e, true, nil
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
