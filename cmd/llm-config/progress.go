package main

import (
	"context"
	"sync"
	"time"
)

// progress tells a person at a terminal how far a long piece of work is. Work
// that is done within a second says nothing.
type progress struct {
	p     *printer
	what  string
	total int
	began time.Time

	mu    sync.Mutex
	done  int
	shown time.Time
}

const (
	progressAfter = time.Second
	progressEvery = 100 * time.Millisecond
)

func (a *app) progress(what string, total int) *progress {
	return &progress{p: a.errors(), what: what, total: total, began: time.Now()}
}

func (g *progress) step() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done++
	g.tell()
}

// left says how much is still to do; it may have grown.
func (g *progress) left(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total = max(g.total, n)
	g.done = g.total - n
	g.tell()
}

// tell shows the line, if it is time to. The caller holds the lock.
func (g *progress) tell() {
	now := time.Now()
	if !g.p.terminal || now.Sub(g.began) < progressAfter || now.Sub(g.shown) < progressEvery {
		return
	}
	g.shown = now
	g.p.printf("\r\x1b[K%s %d of %d", g.what, g.done, g.total)
}

// end takes the line away.
func (g *progress) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shown.IsZero() {
		g.p.printf("\r\x1b[K")
	}
}

// abreast is how many requests run at once.
const abreast = 8

// each does work for 0 to n-1, some at once, until one fails.
func (a *app) each(ctx context.Context, what string, n int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shown := a.progress(what, n)
	defer shown.end()
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(abreast, n) {
		workers.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					continue
				}
				if err := work(ctx, i); err != nil {
					cancel(err)
				}
				shown.step()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
