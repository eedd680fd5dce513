package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

const (
	silence    = 45 * time.Second // without a sign of life, a stream is given up; the server speaks every 15 s
	slowly     = 30 * time.Second // how long a refusal is left to stand before asking again
	longestAsk = time.Minute      // of a wait that the server asks for
)

// backoff paces reconnecting; a stream that lives for backoff.Max begins anew.
var backoff = Retry{Base: 100 * time.Millisecond, Max: 10 * time.Second}

var errSilent = errors.New("the server has been silent for too long")

// stream keeps server-sent events coming over as many connections as it takes.
type stream[E any] struct {
	client   *Client
	name     string                                      // for errors
	request  func() (*request, error)                    // asks for what comes after the event that was read last
	read     func(frame) (event E, news bool, err error) // reads an event; what is no news is not told
	opened   func()                                      // a connection stands
	alive    func()                                      // something came
	failures int                                         // connections in a row that did not last
	asked    time.Duration                               // how long the server wants to be left alone
}

func (s *stream[E]) events(ctx context.Context) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for {
			stopped := false
			began := time.Now()
			err := s.connect(ctx, func(e E) bool {
				stopped = !yield(e, nil)
				return !stopped
			})
			var none E
			if stopped || ctx.Err() != nil || !yield(none, err) {
				return
			}
			if time.Since(began) > backoff.Max {
				s.failures = 0
			}
			s.failures++
			if sleep(ctx, s.delay(err)) != nil {
				return
			}
		}
	}
}

// delay is how long to wait after a connection was lost for this reason. What
// the server asked for counts once: it was about this connection.
func (s *stream[E]) delay(err error) time.Duration {
	asked := s.asked
	s.asked = 0
	return max(asked, s.client.delay(s.failures, err))
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

// connect is one connection; it ends with the reason why, or nil when told to.
func (s *stream[E]) connect(ctx context.Context, yield func(E) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(s.client.timeout, func() { cancel(errSilent) })
	defer watchdog.Stop()
	body, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	watchdog.Reset(silence)
	s.opened()
	in := newFrames(&lively{in: body, alive: func() { watchdog.Reset(silence); s.alive() }}, maxEvent)
	for {
		raw, err := in.next()
		s.asked = min(in.retry, longestAsk)
		if err != nil {
			return s.client.networkFailure(ctx, s.end(err))
		}
		event, news, err := s.read(raw)
		if err != nil {
			return fmt.Errorf("%s at %s: %w", s.name, s.client.Address(), err)
		}
		watchdog.Stop() // the time that the caller takes is not the server's
		if news && !yield(event) {
			return nil
		}
		watchdog.Reset(silence)
	}
}

// open asks for the stream, and answers its body.
func (s *stream[E]) open(ctx context.Context) (io.ReadCloser, error) {
	c := s.client
	r, err := s.request()
	if err != nil {
		return nil, err
	}
	r.header.Set("Accept", api.TypeEvents)
	r.header.Set("Accept-Encoding", "identity") // a compressor would hold small events back
	response, refusal, err := c.begin(ctx, r, api.TypeEvents)
	switch {
	case err != nil:
		return nil, err
	case refusal == nil:
		return response.Body, nil
	}
	if asked := retryAfter(refusal.header); asked > 0 { // which many may have been told at once
		s.asked = min(asked+c.jitter(backoff.bound(s.failures+1)), longestAsk)
	}
	return nil, c.failure(refusal)
}

// end says what the end of a stream means.
func (s *stream[E]) end(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the server ended the %s", s.name)
	}
	return err
}

// begin makes one attempt, whose answer is left to be read as it comes if it is
// of the type. Any other answer is a refusal.
func (c *Client) begin(ctx context.Context, r *request, kind string) (*http.Response, *answer, error) {
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	if response.StatusCode == http.StatusOK && mediaType(response.Header) == kind {
		return response, nil, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxProblem+1))
	return nil, &answer{status: response.StatusCode, header: response.Header, body: text}, nil
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
