package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	quietTenants = 16
	quietEvery   = 100 * time.Millisecond // of each of them: 600 a minute, of the 1000 that it may make
	noisyPaced   = 64                     // connections of the noisy tenant that ask evenly
	noisyBurst   = 16                     // more connections that all ask four times, once a second
	noisyFlood   = 64                     // connections that ask as fast as they can

	noisyPerMinute = 10_000 // ten times what a tenant may
	burstRequests  = 4
	pacedPerMinute = noisyPerMinute - 60*noisyBurst*burstRequests
)

// runNoisy measures what quiet tenants notice of a noisy one that has the same
// limits. They are measured alone and beside it in turns. What the flood costs the
// machine, whoever answers it, is seen beside a flood that the bare handler takes.
func runNoisy(ctx context.Context, a *arena, o options) ([]row, error) {
	n, err := a.newNeighbours(ctx, o)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	var rows []row
	for _, noise := range []struct {
		name string
		make func(context.Context, *heard) error
	}{
		{"at ten times its limit, in part in bursts", n.tenTimes},
		{"from 64 connections as fast as they can", n.flood},
		{"the same, but at another process", n.floodElsewhere},
	} {
		r, err := n.compare(ctx, "read of a quiet tenant; a noisy one "+noise.name, o, noise.make)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, n.shed(ctx)
}

// neighbours are tenants on one server that has the limits it has by default.
type neighbours struct {
	server *process
	bare   *process
	admin  string   // the token of who manages the server
	names  []string // of the tenants: those that are quiet, the noisy one, and those that are slow
	tokens []string
}

// slowTenants are as many as it takes to fill the server.
const slowTenants = 3

func (a *arena) newNeighbours(ctx context.Context, o options) (*neighbours, error) {
	n := &neighbours{}
	var err error
	// The lines of refusals of a flood would fill the disk, and are thrown away.
	if n.server, n.admin, err = a.serve(ctx, o.server, "neighbours", os.DevNull, "--rate-limit", "1000"); err != nil {
		return nil, err
	}
	for i := range quietTenants + 1 + slowTenants {
		if err := n.found(ctx, fmt.Sprintf("tenant-%d", i)); err != nil {
			n.stop()
			return nil, err
		}
	}
	file, err := record(ctx, a, n.server, "neighbours", n.read(0))
	if err == nil {
		n.bare, err = a.startBare(ctx, "read", file)
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

func (n *neighbours) stop() {
	n.server.stop()
	if n.bare != nil {
		n.bare.stop()
	}
}

// found makes a tenant with a document, and a large one.
func (n *neighbours) found(ctx context.Context, name string) error {
	w, err := dial(ctx, n.server.address)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := w.must(request("POST", "/api/v1/tenants", n.admin, fmt.Appendf(nil, `{"name":%q}`, name))); err != nil {
		return err
	}
	var founded struct {
		Token struct{ Value string } `json:"token"`
	}
	if err := json.Unmarshal(w.body, &founded); err != nil {
		return err
	}
	n.names, n.tokens = append(n.names, name), append(n.tokens, founded.Token.Value)
	large := fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 900<<10))
	for path, text := range map[string][]byte{"gateway": gateway(), "large": large} {
		if _, err := w.must(request("PUT", below(name)+"base/layers/"+path, founded.Token.Value, text)); err != nil {
			return err
		}
	}
	return nil
}

func below(tenant string) string { return "/api/v1/tenants/" + tenant + "/environments/" }

func (n *neighbours) read(tenant int) []byte {
	return request("GET", below(n.names[tenant])+"production/configs/gateway", n.tokens[tenant], nil)
}

// compare measures the quiet tenants beside the noise and alone, in turns.
func (n *neighbours) compare(ctx context.Context, name string, o options, noise func(context.Context, *heard) error) (row, error) {
	var all heard
	r, err := taketurns(o.pairs, func() (outcome, error) {
		ctx, stop := context.WithCancel(ctx)
		var failure error
		var making sync.WaitGroup
		making.Go(func() { failure = noise(ctx, &all) })
		out, err := n.quietly(ctx, o)
		stop()
		making.Wait()
		return out, errors.Join(err, failure)
	}, func() (outcome, error) { return n.quietly(ctx, o) })
	if err != nil {
		return r, err
	}
	r.name, r.sides, r.perSecond = name, [2]string{"beside it", "alone"}, false
	fmt.Printf("\n%s: p50 %s, p99 %s of what it is alone; the noisy one was answered %s.\n", name, r.times(0.5), r.times(0.99), &all)
	return r, nil
}

// quietly has each quiet tenant read at its pace. Each must be answered.
func (n *neighbours) quietly(ctx context.Context, o options) (outcome, error) {
	measureFrom := time.Now().Add(o.warmUp)
	end := measureFrom.Add(o.duration)
	results, errs := make([]histogram, quietTenants), make([]error, quietTenants)
	var reading sync.WaitGroup
	for i := range quietTenants {
		reading.Go(func() {
			begin := time.Now().Add(quietEvery * time.Duration(i) / quietTenants) // not all at once
			errs[i] = n.paced(ctx, n.read(i), begin, end, quietEvery, func(at time.Time, status int, took time.Duration) error {
				if status != 200 {
					return fmt.Errorf("the quiet %s is answered %d", n.names[i], status)
				}
				if at.After(measureFrom) {
					results[i].add(took)
				}
				return nil
			})
		})
	}
	reading.Wait()
	var out outcome
	for i := range results {
		out.latency.merge(&results[i])
	}
	return out, errors.Join(errs...)
}

// paced asks at a pace over one connection until the end. An answer that comes
// late does not make the requests after it fewer.
func (n *neighbours) paced(ctx context.Context, ask []byte, next, end time.Time, every time.Duration, answered func(at time.Time, status int, took time.Duration) error) error {
	w, err := dial(ctx, n.server.address)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.conn.SetDeadline(end.Add(patience)); err != nil {
		return err
	}
	for ; next.Before(end); next = next.Add(every) {
		if pause(ctx, time.Until(next)) != nil {
			return nil
		}
		begin := time.Now()
		got, err := w.do(ask)
		if err != nil {
			return err
		}
		if err := answered(begin, got.status, time.Since(begin)); err != nil {
			return err
		}
	}
	return nil
}

// heard counts how noise was answered.
type heard struct {
	mu       sync.Mutex
	statuses map[int]int64
}

func (h *heard) add(status int, n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.statuses == nil {
		h.statuses = map[int]int64{}
	}
	h.statuses[status] += n
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(h.statuses)) {
		parts = append(parts, fmt.Sprintf("%d %d times", status, h.statuses[status]))
	}
	return strings.Join(parts, ", ")
}

// noisy is the tenant that makes the noise.
const noisy = quietTenants

// tenTimes asks ten times as often as the tenant may: evenly, and in a burst from
// new connections every second.
func (n *neighbours) tenTimes(ctx context.Context, all *heard) error {
	const every = noisyPaced * time.Minute / pacedPerMinute
	errs := make([]error, noisyPaced+1)
	var making sync.WaitGroup
	begin := time.Now()
	for i := range noisyPaced {
		making.Go(func() {
			errs[i] = n.paced(ctx, n.read(noisy), begin.Add(every*time.Duration(i)/noisyPaced), begin.Add(time.Hour), every,
				func(_ time.Time, status int, _ time.Duration) error { all.add(status, 1); return nil })
		})
	}
	making.Go(func() {
		for pause(ctx, time.Second) == nil && errs[noisyPaced] == nil {
			errs[noisyPaced] = n.burst(ctx, all)
		}
	})
	making.Wait()
	return unlessOver(ctx, errs)
}

// burst asks over many new connections at once.
func (n *neighbours) burst(ctx context.Context, all *heard) error {
	errs := make([]error, noisyBurst)
	var making sync.WaitGroup
	for i := range noisyBurst {
		making.Go(func() {
			asked := 0
			errs[i] = ceaselessly(ctx, n.server, n.read(noisy), all, func() bool { asked++; return asked <= burstRequests })
		})
	}
	making.Wait()
	return unlessOver(ctx, errs)
}

func (n *neighbours) flood(ctx context.Context, all *heard) error {
	return n.floodAt(ctx, n.server, all)
}

func (n *neighbours) floodElsewhere(ctx context.Context, all *heard) error {
	return n.floodAt(ctx, n.bare, all)
}

func (n *neighbours) floodAt(ctx context.Context, p *process, all *heard) error {
	errs := make([]error, noisyFlood)
	var over atomic.Bool
	context.AfterFunc(ctx, func() { over.Store(true) })
	var making sync.WaitGroup
	for i := range noisyFlood {
		making.Go(func() {
			errs[i] = ceaselessly(ctx, p, n.read(noisy), all, func() bool { return !over.Load() })
		})
	}
	making.Wait()
	return unlessOver(ctx, errs)
}

// ceaselessly asks the next as soon as the last is answered.
func ceaselessly(ctx context.Context, p *process, ask []byte, all *heard, more func() bool) error {
	w, err := dial(ctx, p.address)
	if err != nil {
		return err
	}
	defer w.close()
	statuses := map[int]int64{}
	defer func() {
		for status, times := range statuses {
			all.add(status, times)
		}
	}()
	for more() {
		if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		got, err := w.do(ask)
		if err != nil {
			return err
		}
		statuses[got.status]++
	}
	return nil
}

// unlessOver is what went wrong before the noise was to end.
func unlessOver(ctx context.Context, errs []error) error {
	if ctx.Err() != nil {
		errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, ctx.Err()) })
	}
	return errors.Join(errs...)
}
