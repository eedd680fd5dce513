package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

func readString(r io.Reader) (string, error) {
	if r == nil {
		return "", nil
	}
	text, err := io.ReadAll(r)
	return string(text), err
}

func readCloser(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		f.send(11, changeEvent(11, map[string]string{"a": `{"x":1}`}))
		f.send(12, "event: news\nid: 12\ndata: of a kind to come\n\n")
		f.send(13, progressEvent(13))
		f.send(14, resetEvent(14))
		var told []string
		for e, err := range f.client.Watch(t.Context(), "production", WatchQuery{Prefix: "a", After: 10}) {
			switch {
			case err != nil:
				told = append(told, err.Error())
				f.send(15, progressEvent(15))
			case e.Kind == api.EventChange:
				told = append(told, fmt.Sprint(e.Revision, e.Change.Changes[0].Path, string(e.Change.Changes[0].Document)))
			case e.Kind == api.EventReset:
				told = append(told, fmt.Sprint(e.Revision, e.Reset.Reason))
				f.endStreams()
			default:
				told = append(told, fmt.Sprint(e.Kind, e.Revision))
			}
			if e.Revision == 15 {
				break
			}
		}
		want := `11a{"x":1}|progress13|14test|cannot reach http://config.test: the server ended the watch; check the address, and that the server is running|progress15`
		if got := strings.Join(told, "|"); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		if got := strings.Join(f.resumes, ","); got != "10,14" || f.prefixes[0] != "a" {
			t.Errorf("resumed after %s, prefixes %q", got, f.prefixes)
		}
	})
}

func TestWatchEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		for _, away := range []bool{false, true} {
			if away {
				f.goAway()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			failures := 0
			for _, err := range f.client.Watch(ctx, "production", WatchQuery{}) {
				if err == nil {
					t.Error("an event")
				}
				failures++
			}
			cancel()
			if away != (failures > 0) {
				t.Errorf("away %v: %d failures", away, failures)
			}
		}
	})
}

func TestWatchSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		for i := range int64(100) {
			f.send(11+i, progressEvent(11+i))
		}
		next := int64(11)
		for e, err := range f.client.Watch(t.Context(), "production", WatchQuery{After: 10}) {
			if err != nil || e.Revision != next {
				t.Fatalf("event %d, want %d: %v", e.Revision, next, err)
			}
			if next++; next == 111 {
				f.send(next, progressEvent(next))
			}
			if next > 111 {
				break
			}
			pass(2 * silence) // the server speaks, though nobody listens
		}
		if n := len(f.watches()); n != 1 {
			t.Errorf("it took %d connections", n)
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	for answer, want := range map[string]string{
		"event: progress\nid: x\n\n":                            `the id "x" of an event is no revision`,
		"event: progress\nid: -4\n\n":                           "is no revision",
		"event: change\nid: 11\ndata: {\n\n":                    "the change event of revision 11 cannot be read",
		"event: change\nid: 11\ndata: {\"revision\":12}\n\n":    "says that it is of revision 12",
		"event: reset\nid: 11\ndata: []\n\n":                    "a reset event cannot be read",
		"event: reset\nid: 11\ndata: {\"revision\":4}\n\n":      "is behind",
		"event: progress\nid: 3\n\nevent: change\nid: 11\ndata": "the server ended the watch",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, nil)
			f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
				startStream(w)
				fmt.Fprint(w, answer)
				return true
			})
			for e, err := range f.client.Watch(t.Context(), "production", WatchQuery{After: 10}) {
				if err == nil {
					t.Errorf("%q gives the event %+v", answer, e)
				}
				wantError(t, err, want)
				break
			}
		})
	}
}

func TestWatchNeedsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, nil)
		f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>")
			return true
		})
		for _, err := range f.client.Watch(t.Context(), "production", WatchQuery{}) {
			wantError(t, err, "200 OK", "it is no problem document")
			break
		}
		for _, err := range f.client.ForTenant("").Watch(t.Context(), "production", WatchQuery{}) {
			wantError(t, err, "no tenant is given")
			break
		}
	})
}

// Those who were told together to come back later do not come back together.
func TestWatchWaitsAsItIsTold(t *testing.T) {
	for after, want := range map[string]time.Duration{"5": 5 * time.Second, "3600": longestAsk, "": 0} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t, nil)
			f.client.jitter = func(d time.Duration) time.Duration { return d }
			f.send(11, progressEvent(11))
			refusals := 0
			f.setOnWatch(func(w http.ResponseWriter, _ *http.Request) bool {
				if refusals++; refusals > 1 {
					return false
				}
				w.Header().Set("Retry-After", after)
				problem(w, api.CodeRateLimited, "too many watches are opened")
				return true
			})
			began := time.Now()
			for e, err := range f.client.Watch(t.Context(), "production", WatchQuery{After: 10}) {
				if err == nil && e.Revision == 11 {
					break
				}
				if !errors.Is(err, ErrRateLimited) {
					t.Fatalf("%+v, %v", e, err)
				}
			}
			if took := time.Since(began); took != min(want+backoff.Base, longestAsk) || refusals != 2 {
				t.Errorf("told %q, it came back after %s and %d tries", after, took, refusals)
			}
		})
	}
}
