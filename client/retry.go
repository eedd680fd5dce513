package client

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// Retry says how requests are tried again after a broken connection or a 429,
// 502, 503 or 504. Reads are, and so are writes, which carry an Idempotency-Key;
// but a rotation only after a broken connection and a 429, which says that
// nothing was begun, because every other answer to it is final.
type Retry struct {
	Attempts int           // tries in all; 0 means 4, and 1 never to try again
	Base     time.Duration // bound of the first wait, doubled with every other; 0 means 100 ms
	Max      time.Duration // bound of any wait, also of one that the server asks for; 0 means 10 s
}

func (r Retry) orDefault() Retry {
	return Retry{
		Attempts: cmp.Or(max(r.Attempts, 0), 4),
		Base:     cmp.Or(r.Base, 100*time.Millisecond),
		Max:      cmp.Or(r.Max, 10*time.Second),
	}
}

// bound is how long to wait at most after so many failures, from 1 up.
func (r Retry) bound(failures int) time.Duration {
	wait := r.Base
	for ; failures > 1 && wait < r.Max; failures-- {
		wait *= 2
	}
	return min(wait, r.Max)
}

// pause says how long to wait before the next attempt, and whether to make it.
// The wait is drawn from the whole range, so that clients that failed together
// do not return together.
func (c *Client) pause(r *request, a *answer, err error, attempt int) (time.Duration, bool) {
	if attempt >= c.retry.Attempts || !r.retries(a, err, attempt) {
		return 0, false
	}
	wait := c.jitter(c.retry.bound(attempt))
	if a == nil {
		return wait, true
	}
	asked := retryAfter(a.header)
	if asked > c.retry.Max {
		return 0, false
	}
	// What was asked of many at once is not when all of them are to return.
	return min(asked+wait, c.retry.Max), true
}

// retries says whether an outcome may pass by itself.
func (r *request) retries(a *answer, err error, attempt int) bool {
	switch {
	case r.once:
		return false
	case err != nil:
		return errors.As(err, new(*networkError)) && (!r.slow || !late(err))
	case a.status == http.StatusTooManyRequests:
		return true
	case a.status == http.StatusBadGateway, a.status == http.StatusServiceUnavailable, a.status == http.StatusGatewayTimeout:
		return !r.slow
	case a.status == http.StatusConflict && attempt > 1:
		// An attempt whose connection broke may still be running at the server.
		p, err := parseProblem(a.body)
		return err == nil && p.Code == api.CodeIdempotencyInFlight
	}
	return false
}

// late says that a request arrived, as far as is known, and its answer did not in
// time: the server may still be at work.
func late(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, context.DeadlineExceeded) && (!ok || dial.Op != "dial")
}

// retryAfter is the wait that the server asks for, in either of its forms.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// sleep waits, unless the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
