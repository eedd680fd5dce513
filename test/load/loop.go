package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is what one run on one server came to.
type outcome struct {
	perSecond  float64
	perRequest time.Duration // of the server's CPU
	latency    histogram
}

// next prepares the request with the number n of one connection.
type next func(n int) []byte

// closedLoop keeps one request in flight on each of many connections.
func closedLoop(ctx context.Context, p *process, connections int, o options, requests func(connection int) next) (outcome, error) {
	var measuring, stopped atomic.Bool
	results := make([]histogram, connections)
	failures := make(chan error, connections)
	var running sync.WaitGroup
	ready := make(chan struct{}, connections)
	for i := range connections {
		running.Go(func() {
			if err := loop(ctx, p.address, requests(i), &results[i], ready, &measuring, &stopped); err != nil {
				failures <- fmt.Errorf("connection %d to %s: %w", i, p.name, err)
				stopped.Store(true)
			}
		})
	}
	took, cpu, err := measure(ctx, p, o, connections, ready, &measuring)
	stopped.Store(true)
	running.Wait()
	close(failures)
	for failure := range failures {
		return outcome{}, failure
	}
	if err != nil {
		return outcome{}, err
	}
	var out outcome
	for i := range results {
		out.latency.merge(&results[i])
	}
	if out.latency.total == 0 {
		return out, fmt.Errorf("%s answered nothing", p.name)
	}
	out.perSecond = float64(out.latency.total) / took.Seconds()
	out.perRequest = cpu / time.Duration(out.latency.total)
	return out, nil
}

// measure opens the time that counts, after all connections are there and warm.
func measure(ctx context.Context, p *process, o options, connections int, ready <-chan struct{}, measuring *atomic.Bool) (took, cpu time.Duration, err error) {
	deadline := time.After(patience)
	for range connections {
		select {
		case <-ready:
		case <-deadline:
			return 0, 0, fmt.Errorf("%d connections to %s were not there in %s", connections, p.name, patience)
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
	if err := pause(ctx, o.warmUp); err != nil {
		return 0, 0, err
	}
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	measuring.Store(true)
	err = pause(ctx, o.duration)
	measuring.Store(false)
	took = time.Since(begin)
	if err != nil {
		return 0, 0, err
	}
	after, err := p.cpu()
	return took, after - before, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func loop(ctx context.Context, address string, requests next, result *histogram, ready chan<- struct{}, measuring, stopped *atomic.Bool) error {
	w, err := dial(ctx, address)
	if err != nil {
		ready <- struct{}{}
		return err
	}
	defer w.close()
	for n := 0; !stopped.Load(); n++ {
		if n%256 == 0 {
			if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
		}
		counts, begin := measuring.Load(), time.Now()
		_, err := w.must(requests(n))
		if n == 0 {
			ready <- struct{}{}
		}
		if err != nil {
			return err
		}
		if counts && measuring.Load() {
			result.add(time.Since(begin))
		}
	}
	return nil
}

// record keeps one answer of the server for the bare handler to give.
func record(ctx context.Context, a *arena, server *process, name string, request []byte) (file string, err error) {
	w, err := dial(ctx, server.address)
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := w.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := w.conn.Write(request); err != nil {
		return "", err
	}
	head, header, err := w.head(true)
	if err != nil {
		return "", err
	}
	body := make([]byte, max(head.length, 0))
	for n := 0; n < len(body); {
		read, err := w.in.Read(body[n:])
		if n += read; err != nil {
			return "", err
		}
	}
	if head.status != 200 {
		return "", fmt.Errorf("the server answers %d: %s", head.status, body)
	}
	file = filepath.Join(a.dir, name+".answer")
	return file, os.WriteFile(file, append(header, body...), 0o600)
}

// taketurns runs server and bare handler alternately and sums each up.
func taketurns(pairs int, server, bare func() (outcome, error)) (row, error) {
	var r row
	for range pairs {
		s, err := server()
		if err != nil {
			return r, err
		}
		b, err := bare()
		if err != nil {
			return r, err
		}
		r.add(s, b)
	}
	return r, nil
}
