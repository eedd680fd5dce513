package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// A watcher learns at once where it stands, and then of every change that it
// can see, with what caused it.
func TestWatch(t *testing.T) {
	t.Parallel()
	n := newWorld(t).newTenant(t)
	at := n.put(t, "base", "gateway/models", `{"x":1}`)
	s := n.watch(t, "production", "")
	s.wantProgress(t, at)
	r := n.put(t, "base", "gateway/models", `{"x":2}`)
	c := s.wantChange(t, r, "gateway/models").Changes[0]
	if c.Digest != digest(`{"x":2}`) || c.Cause == nil || *c.Cause != (api.LayerRef{Environment: "base", Version: 2}) || c.Document != nil {
		t.Errorf("%+v", c)
	}
	n.put(t, "staging", "gateway/models", `{"x":3}`) // nothing that production sees
	r = n.put(t, "production", "other", `{}`)
	s.wantChange(t, r, "other")
	n.call(t, "DELETE", n.path(api.RouteLayer, "production", "other"), nil).want(t, 200)
	if c := s.wantChange(t, r+1, "other").Changes[0]; c.Digest != "" || c.Document != nil {
		t.Errorf("%+v", c)
	}
	both := n.write(t, n.path(api.RouteChanges), `{"edits":[{"op":"put","environment":"base","path":"b","document":{}},{"op":"put","environment":"base","path":"a","document":{}}]}`)
	s.wantChange(t, both.Revision, "a", "b")
	n.call(t, "PUT", n.path(api.RouteTag, "nothing-to-see"), `{}`).want(t, 200)
	s.wantProgress(t, both.Revision+1)
}

// A prefix and include=data say what to be told.
func TestWatchPrefixAndData(t *testing.T) {
	t.Parallel()
	n := newWorld(t).newTenant(t)
	s := n.watch(t, "production", "?prefix=gateway&include=data")
	s.wantProgress(t, 1)
	n.put(t, "base", "gateway-eu", `{"x":0}`)
	r := n.put(t, "base", "gateway/eu", `{"text":"<b>\u2028","ref":"${config:gateway-eu#/x}","key":"${secret:provider}"}`)
	c := s.wantChange(t, r, "gateway/eu").Changes[0]
	want := "{\"key\":\"${secret:provider}\",\"ref\":0,\"text\":\"<b>\u2028\"}"
	if string(c.Document) != want || c.Digest != digest(want) {
		t.Errorf("%s", c.Document)
	}
	r = n.put(t, "base", "gateway-eu", `{"x":1}`) // changes what refers to it
	c = s.wantChange(t, r, "gateway/eu").Changes[0]
	if c.Digest != digest(string(c.Document)) || !strings.Contains(string(c.Document), `"ref":1`) || c.Cause.Version != 2 {
		t.Errorf("%+v %s", c, c.Document)
	}
}

// Who comes back gets what was missed, in order and once.
func TestWatchResumes(t *testing.T) {
	t.Parallel()
	n := newWorld(t).newTenant(t)
	first := n.put(t, "base", "p", `{"x":0}`)
	const changes = 530 // more than are kept at hand
	for i := range changes {
		n.put(t, "base", "p", fmt.Sprintf(`{"x":%d}`, i+1))
	}
	for _, after := range []int64{first, first + 300, first + changes - 1} {
		s := n.watch(t, "staging", "?include=data", "Last-Event-ID", strconv.FormatInt(after, 10))
		for r := after + 1; r <= first+changes; r++ {
			if got, want := string(s.wantChange(t, r, "p").Changes[0].Document), fmt.Sprintf(`{"x":%d}`, r-first); got != want {
				t.Fatalf("at %d after %d: %s, want %s", r, after, got, want)
			}
		}
		r := n.put(t, "production", "q", `{}`) // not seen here
		s.wantProgress(t, r)
		n.call(t, "DELETE", n.path(api.RouteLayer, "production", "q"), nil).want(t, 200)
		s.stop()
	}
	n.watch(t, "base", "", "Last-Event-ID", "0").wantChange(t, first, "p")
}

// A position that makes no sense, and environments that moved, mean to read anew.
func TestWatchResets(t *testing.T) {
	t.Parallel()
	n := newWorld(t).newTenant(t)
	at := n.put(t, "base", "p", `{}`)
	reset := func(s *stream, revision int64) {
		t.Helper()
		e := s.next(t)
		var r api.WatchReset
		if err := json.Unmarshal([]byte(e.data), &r); err != nil || e.kind != api.EventReset || r.Revision != revision || e.revision(t) != revision || r.Reason == "" {
			t.Errorf("%+v: %v", e, err)
		}
	}
	s := n.watch(t, "base", "", "Last-Event-ID", "999")
	reset(s, at)
	s.wantChange(t, n.put(t, "base", "p", `{"x":1}`), "p")

	moved := n.watch(t, "edge", "")
	moved.wantProgress(t, at+1)
	n.call(t, "PUT", n.path(api.RouteEnvironment, "edge"), `{"parent":"production"}`).want(t, 200)
	reset(moved, at+2)
	n.call(t, "DELETE", n.path(api.RouteEnvironment, "edge"), nil).want(t, 200)
	moved.wantEnd(t)
	n.call(t, "GET", n.path(api.RouteWatch, "edge"), nil).refused(t, api.CodeNotFound)
}

// Progress is told at most once in a tick, however much there is that the
// watcher does not see; when there is nothing to tell, comments show life.
func TestWatchProgressAndComments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.SetPace(200*time.Millisecond, 300*time.Millisecond, patience)
	n := w.newTenant(t)
	s := n.watch(t, "production", "")
	s.wantProgress(t, 1)
	began := time.Now()
	var last int64
	for i := range 50 {
		last = n.put(t, "staging", "p", fmt.Sprintf(`{"x":%d}`, i))
	}
	told := 0
	for {
		e := s.next(t)
		told++
		if e.kind != api.EventProgress {
			t.Fatalf("%+v", e)
		}
		if e.revision(t) == last {
			break
		}
	}
	if most := int(time.Since(began)/(200*time.Millisecond)) + 1; told > most {
		t.Errorf("progress was told %d times in %s", told, time.Since(began))
	}
	for range 2 {
		if e := s.next(t); e != (event{comment: "still here"}) {
			t.Errorf("%+v", e)
		}
	}
}

// A token that is revoked, expires or loses its tenant ends its watches, and
// what was committed since is not seen.
func TestWatchEndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.newTenant(t)
	issue := func(ttl int64) (*tenant, string) {
		var issued api.IssuedToken
		n.call(t, "POST", n.path(api.RouteTokens), api.NewToken{Name: "x", TTLSeconds: ttl}).want(t, 201).into(t, &issued)
		return &tenant{w, n.name, issued.Value}, issued.ID
	}
	revoked, id := issue(0)
	s := revoked.watch(t, "base", "?include=data")
	s.next(t)
	n.call(t, "DELETE", n.path(api.RouteToken, id), nil).want(t, 200)
	began := time.Now()
	n.put(t, "base", "p", `{"after":"revocation"}`)
	for _, e := range s.wantEnd(t) {
		if strings.Contains(e.data, "revocation") {
			t.Errorf("%+v", e)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the stream ended after %s", took)
	}
	w.call(t, revoked.token, "GET", n.path(api.RouteWatch, "base"), nil).refused(t, api.CodeTokenRevoked)

	expired, _ := issue(60)
	s = expired.watch(t, "base", "")
	s.next(t)
	w.clock.advance(time.Minute)
	s.wantEnd(t) // at the next tick
	w.call(t, expired.token, "GET", n.path(api.RouteWatch, "base"), nil).refused(t, api.CodeTokenExpired)

	s = n.watch(t, "base", "")
	s.next(t)
	w.call(t, w.root, "DELETE", n.path(api.RouteTenant), nil).want(t, 200)
	s.wantEnd(t)
}

// A server that stops tells each watcher where to go on, and spreads their return.
func TestWatchAtShutdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.newTenant(t)
	r := n.put(t, "base", "p", `{}`)
	retries := map[string]bool{}
	var streams []*stream
	for range 8 {
		s := n.watch(t, "base", "")
		s.wantProgress(t, r)
		streams = append(streams, s)
	}
	w.server.Stop()
	w.call(t, "", "GET", api.RouteReady, nil).want(t, 503).wantBody(t, `{"status":"stopping","checks":{"store":"ok"}}`+"\n")
	for _, s := range streams {
		rest := s.wantEnd(t)
		last := rest[len(rest)-1]
		if ms, err := strconv.Atoi(last.retry); err != nil || ms < 0 || ms > 10_000 || last.kind != api.EventProgress || last.revision(t) != r {
			t.Errorf("%+v: %v", last, err)
		}
		retries[last.retry] = true
	}
	if len(retries) < 4 {
		t.Errorf("all come back at once: %v", retries)
	}
	n.put(t, "base", "p", `{"x":1}`) // requests in flight are not touched
}

// One change reaches a thousand watchers, each once.
func TestThousandWatchers(t *testing.T) {
	t.Parallel()
	const watchers = 1000
	n := newWorld(t).newTenant(t)
	streams := make([]*stream, watchers)
	for i := range streams {
		streams[i] = n.watch(t, []string{"base", "staging", "production"}[i%3], []string{"", "?prefix=p"}[i%2])
		streams[i].wantProgress(t, 1)
	}
	first := n.put(t, "base", "p", `{"x":1}`)
	second := n.put(t, "base", "p", `{"x":2}`)
	var all sync.WaitGroup
	for _, s := range streams {
		all.Go(func() {
			for _, want := range []int64{first, second} {
				e := s.next(t)
				for e.kind == api.EventProgress {
					e = s.next(t)
				}
				if e.kind != api.EventChange || e.id != strconv.FormatInt(want, 10) || strings.Count(e.data, `"path":"p"`) != 1 {
					t.Errorf("%+v, want %d", e, want)
				}
			}
		})
	}
	all.Wait()
}

// A watcher that never reads holds nobody up, and is left after a while.
func TestHalfOpenWatcher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.SetPace(50*time.Millisecond, time.Hour, 300*time.Millisecond)
	n := w.newTenant(t)
	deaf := w.open(t)
	if err := deaf.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	const id = "the-deaf-watcher"
	deaf.send(t, request("GET", n.path(api.RouteWatch, "base")+"?include=data", n.token, "", api.HeaderRequestID+": "+id))
	if _, err := deaf.in.ReadString('\n'); err != nil { // it is served
		t.Fatal(err)
	}
	hearing := n.watch(t, "base", "")
	hearing.wantProgress(t, 1)
	volume := strings.Repeat("x", 1<<20-20)
	for i := 0; len(w.log.of(t, id)) == 0; i++ {
		r := n.put(t, "base", "p", fmt.Sprintf(`{"x":"%d%s"}`, i%10, volume))
		hearing.wantChange(t, r, "p")
		if i > 500 {
			t.Fatal("the watcher that does not read is still there")
		}
	}
}
