package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// runWatch changes one document that many watch, and measures until each has
// been told, and until the last one has.
func runWatch(ctx context.Context, a *arena, o options) ([]row, error) {
	event, err := recordEvent(ctx, a)
	if err != nil {
		return nil, err
	}
	bare, err := a.startBare(ctx, "watch", event)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	turn := 0
	var last [2]histogram
	side := func(p *process, last *histogram) func() (outcome, error) {
		return func() (outcome, error) {
			turn++
			return tell(ctx, p, a.token, turn, o, last)
		}
	}
	r, err := taketurns(o.pairs, side(a.server, &last[0]), side(bare, &last[1]))
	r.name = fmt.Sprintf("one change to %d watchers, each told", o.watchers)
	r.perSecond = false
	all := row{name: fmt.Sprintf("one change to %d watchers, all told", o.watchers)}
	all.server.latency, all.bare.latency = last[0], last[1]
	return []row{r, all}, err
}

const watched = "load/watched"

func watchRequest(token string) []byte {
	return bytes.Replace(request("GET", tenant+"base/watch?prefix="+watched, token, nil), []byte("\r\n\r\n"), []byte("\r\nAccept: text/event-stream\r\n\r\n"), 1)
}

func changeRequest(token string, turn, n int) []byte {
	return request("PUT", tenant+"base/layers/"+watched, token, fmt.Appendf(nil, `{"turn":%d,"n":%d}`, turn, n))
}

// A watcher is one open event stream.
type watcher struct {
	wire   *wire
	events *bufio.Reader
}

func openWatch(ctx context.Context, p *process, token string) (*watcher, error) {
	w, err := dial(ctx, p.address)
	if err != nil {
		return nil, err
	}
	if err := w.conn.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		return nil, err
	}
	if _, err := w.conn.Write(watchRequest(token)); err != nil {
		return nil, err
	}
	a, _, err := w.head(false)
	if err == nil && a.status != 200 {
		err = fmt.Errorf("a watch is answered with %d", a.status)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return &watcher{w, bufio.NewReaderSize(httputil.NewChunkedReader(w.in), 2<<10)}, nil
}

// next reads up to the end of the next event that names a change.
func (w *watcher) next() (revision int64, event []byte, err error) {
	for {
		line, err := w.events.ReadSlice('\n')
		if err != nil {
			return 0, nil, fmt.Errorf("a watch ended: %w", err)
		}
		event = append(event, line...)
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			if revision, err = strconv.ParseInt(string(bytes.TrimSpace(id)), 10, 64); err != nil {
				return 0, nil, err
			}
		}
		if len(bytes.TrimSpace(line)) > 0 {
			continue
		}
		if bytes.Contains(event, []byte(watched)) {
			return revision, event, nil
		}
		revision, event = 0, event[:0]
	}
}

// recordEvent keeps one event for the bare handler to send.
func recordEvent(ctx context.Context, a *arena) (file string, err error) {
	if _, err := send(ctx, a.server.address, changeRequest(a.token, 0, 0)); err != nil {
		return "", err
	}
	w, err := openWatch(ctx, a.server, a.token)
	if err != nil {
		return "", err
	}
	defer w.wire.close()
	if _, err := send(ctx, a.server.address, changeRequest(a.token, 0, 1)); err != nil {
		return "", err
	}
	_, event, err := w.next()
	if err != nil {
		return "", err
	}
	file = filepath.Join(a.dir, "watch.answer")
	head := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(event))
	return file, os.WriteFile(file, append(head, event...), 0o600)
}

// arrival is when a watcher was told of a change.
type arrival struct {
	at       time.Time
	revision int64
	err      error
}

// follow reports arrivals until the watch is closed.
func (w *watcher) follow(arrivals chan<- arrival) {
	for {
		revision, _, err := w.next()
		arrivals <- arrival{time.Now(), revision, err}
		if err != nil {
			return
		}
	}
}

func tell(ctx context.Context, p *process, token string, turn int, o options, last *histogram) (outcome, error) {
	arrivals := make(chan arrival, o.watchers)
	var watchers []*watcher
	defer func() {
		for _, w := range watchers {
			w.wire.close()
		}
	}()
	for range o.watchers {
		w, err := openWatch(ctx, p, token)
		if err != nil {
			return outcome{}, err
		}
		watchers = append(watchers, w)
		go w.follow(arrivals)
	}
	before, err := p.cpu()
	if err != nil {
		return outcome{}, err
	}
	var out outcome
	begin := time.Now()
	for n := range o.changes {
		if err := tellOnce(ctx, p, changeRequest(token, turn, n+1), o.watchers, arrivals, &out.latency, last); err != nil {
			return out, err
		}
	}
	took := time.Since(begin)
	after, err := p.cpu()
	out.perSecond = float64(o.changes) / took.Seconds()
	out.perRequest = (after - before) / time.Duration(o.changes*o.watchers)
	return out, err
}

// tellOnce makes one change and waits until every watcher has been told of it,
// once and of no other.
func tellOnce(ctx context.Context, p *process, change []byte, watchers int, arrivals <-chan arrival, each, last *histogram) error {
	begin := time.Now()
	changed, err := send(ctx, p.address, change)
	if err != nil {
		return err
	}
	bare := changed.revision == 1
	var latest time.Time
	for range watchers {
		select {
		case a := <-arrivals:
			if a.err != nil {
				return a.err
			}
			if !bare && a.revision != changed.revision {
				return fmt.Errorf("a watcher was told of revision %d when %d was made", a.revision, changed.revision)
			}
			each.add(a.at.Sub(begin))
			latest = a.at
		case <-time.After(patience):
			return fmt.Errorf("not every watcher was told within %s", patience)
		}
	}
	last.add(latest.Sub(begin))
	return pause(ctx, 10*time.Millisecond)
}
