package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// event is a server-sent event, or a comment.
type event struct {
	kind, id, data, retry, comment string
}

func (e event) revision(t testing.TB) int64 {
	t.Helper()
	n, err := strconv.ParseInt(e.id, 10, 64)
	if err != nil {
		t.Fatalf("the id of %+v: %v", e, err)
	}
	return n
}

// change reads a change event.
func (e event) change(t testing.TB) api.WatchEvent {
	t.Helper()
	var c api.WatchEvent
	if err := json.Unmarshal([]byte(e.data), &c); err != nil || e.kind != api.EventChange || c.Revision != e.revision(t) {
		t.Fatalf("%+v: %v", e, err)
	}
	return c
}

// stream is an open stream of events.
type stream struct {
	events chan event // closed at the stream's end
	err    error      // why it ended, nil when the server ended it in order; after events is closed
	stop   context.CancelFunc
}

// watch opens a watch; headers come in pairs.
func (n *tenant) watch(t testing.TB, environment, query string, headers ...string) *stream {
	t.Helper()
	return n.events(t, n.path(api.RouteWatch, environment)+query, headers...)
}

// events opens a stream of events; headers come in pairs.
func (n *tenant) events(t testing.TB, target string, headers ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.http.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+n.token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := n.http.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != api.TypeEvents || response.Header.Get("Cache-Control") != "no-store" {
		body, _ := io.ReadAll(response.Body)
		t.Fatalf("%d %v %s", response.StatusCode, response.Header, body)
	}
	s := &stream{events: make(chan event, 64<<10), stop: cancel}
	go func() {
		defer close(s.events)
		defer func() { _ = response.Body.Close() }()
		s.err = readEvents(response.Body, func(e event) bool {
			select {
			case s.events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return s
}

// readEvents reads events until the end.
func readEvents(in io.Reader, yield func(event) bool) error {
	lines := bufio.NewReader(in)
	var e event
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && line == "" && e == (event{}) {
				return nil
			}
			return fmt.Errorf("the stream ended within %+v %q: %w", e, line, err)
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if !yield(e) {
				return nil
			}
			e = event{}
		case name == "event":
			e.kind = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data += value
		case name == "retry":
			e.retry = value
		case name == "":
			e.comment = value
		default:
			return fmt.Errorf("a line that is no field: %q", line)
		}
	}
}

// next is the next event.
func (s *stream) next(t testing.TB) event {
	t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			t.Fatalf("the stream has ended: %v", s.err)
		}
		return e
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	panic("unreachable")
}

// wantProgress takes the next event, which must be progress to a revision.
func (s *stream) wantProgress(t testing.TB, revision int64) {
	t.Helper()
	if e := s.next(t); e.kind != api.EventProgress || e.revision(t) != revision || e.data != "" {
		t.Fatalf("got %+v, want progress to %d", e, revision)
	}
}

// wantChange takes the next event that is no progress, which must be the change
// of a revision at these paths.
func (s *stream) wantChange(t testing.TB, revision int64, paths ...string) api.WatchEvent {
	t.Helper()
	e := s.next(t)
	for e.kind == api.EventProgress {
		e = s.next(t)
	}
	c := e.change(t)
	var got []string
	for _, one := range c.Changes {
		got = append(got, one.Path)
	}
	if c.Revision != revision || strings.Join(got, " ") != strings.Join(paths, " ") {
		t.Fatalf("got %+v, want a change of %v at revision %d", e, paths, revision)
	}
	return c
}

// wantEnd waits for the server to end the stream in order, and answers the
// events that came before.
func (s *stream) wantEnd(t testing.TB) (rest []event) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				if s.err != nil {
					t.Fatal(s.err)
				}
				return rest
			}
			rest = append(rest, e)
		case <-deadline:
			t.Fatal("the stream goes on")
		}
	}
}
