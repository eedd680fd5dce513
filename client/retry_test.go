package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// transportFunc answers requests without a network.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// attempts is a client whose attempts have these outcomes, the last one for
// all that follow, and what came of them.
type attempts struct {
	client *Client
	at     []time.Duration
	keys   []string
	bodies []string
}

// outcome is a status, with a code or header where one matters; 0 breaks the
// connection.
type outcome struct {
	status int
	code   api.Code
	after  string
}

func newAttempts(options []Option, outcomes ...outcome) *attempts {
	a := &attempts{}
	began := time.Now()
	transport := transportFunc(func(r *http.Request) (*http.Response, error) {
		o := outcomes[min(len(a.at), len(outcomes)-1)]
		a.at = append(a.at, time.Since(began))
		a.keys = append(a.keys, r.Header.Get(api.HeaderIdempotent))
		body := must(readString(r.Body))
		a.bodies = append(a.bodies, body)
		if o.status == 0 {
			return nil, errors.New("connection reset")
		}
		return o.response(), nil
	})
	options = append([]Option{WithTenant("acme"), WithHTTPClient(&http.Client{Transport: transport})}, options...)
	a.client = must(New("http://config.test", options...))
	a.client.jitter = func(d time.Duration) time.Duration { return d }
	return a
}

func (o outcome) response() *http.Response {
	h := http.Header{"Content-Type": {api.TypeJSON}}
	text := "{}"
	if o.status != http.StatusOK {
		h.Set("Content-Type", api.ProblemType)
		text = fmt.Sprintf(`{"code":%q}`, o.code)
	}
	if o.after != "" {
		h.Set("Retry-After", o.after)
	}
	return &http.Response{StatusCode: o.status, Header: h, Body: readCloser(text)}
}

func TestRetries(t *testing.T) {
	const (
		ms = time.Millisecond
		s  = time.Second
	)
	ok := outcome{status: 200}
	busy := outcome{status: 503, code: api.CodeOverloaded}
	for _, test := range []struct {
		name     string
		retry    Retry
		outcomes []outcome
		at       []time.Duration
		fails    bool
	}{
		{"success at once", Retry{}, []outcome{ok}, []time.Duration{0}, false},
		{"broken connections", Retry{}, []outcome{{}, {}, ok}, []time.Duration{0, 100 * ms, 300 * ms}, false},
		{"statuses that pass", Retry{}, []outcome{{status: 502}, {status: 503}, {status: 504}, ok}, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}, false},
		{"no more than four", Retry{}, []outcome{busy}, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}, true},
		{"no more than told", Retry{Attempts: 2}, []outcome{{}}, []time.Duration{0, 100 * ms}, true},
		{"never", Retry{Attempts: 1}, []outcome{busy}, []time.Duration{0}, true},
		{"bounded waits", Retry{Attempts: 5, Base: s, Max: 3 * s}, []outcome{busy}, []time.Duration{0, s, 3 * s, 6 * s, 9 * s}, true},
		{"as the server asks", Retry{}, []outcome{{status: 503, after: "2"}, ok}, []time.Duration{0, 2*s + 100*ms}, false},
		{"at the time that the server names", Retry{}, []outcome{{status: 503, after: "Sat, 01 Jan 2000 00:00:07 GMT"}, ok}, []time.Duration{0, 7*s + 100*ms}, false},
		{"not as the server asks when that is long", Retry{}, []outcome{{status: 503, after: "3600"}}, []time.Duration{0}, true},
		{"too many requests", Retry{}, []outcome{{status: 429, code: api.CodeRateLimited, after: "1"}, ok}, []time.Duration{0, s + 100*ms}, false},
		{"too many requests, and no word of when", Retry{}, []outcome{{status: 429}, ok}, []time.Duration{0, 100 * ms}, false},
		{"too many requests, within what there is of attempts", Retry{}, []outcome{{status: 429, code: api.CodeRateLimited, after: "1"}}, []time.Duration{0, s + 100*ms, 2*s + 300*ms, 3*s + 700*ms}, true},
		{"too many requests for longer than is waited", Retry{}, []outcome{{status: 429, code: api.CodeRateLimited, after: "11"}}, []time.Duration{0}, true},
		{"no wait over the bound", Retry{Base: s, Max: 3 * s}, []outcome{{status: 429, after: "3"}, {status: 429, after: "3"}, ok}, []time.Duration{0, 3 * s, 6 * s}, false},
		{"a quota is no rate", Retry{}, []outcome{{status: 403, code: api.CodeQuotaExceeded}}, []time.Duration{0}, true},
		{"a wait that is none", Retry{}, []outcome{{status: 503, after: "soon"}, ok}, []time.Duration{0, 100 * ms}, false},
		{"a conflict is the caller's", Retry{}, []outcome{{status: 409, code: api.CodeConflict}}, []time.Duration{0}, true},
		{"so is a precondition", Retry{}, []outcome{{status: 412, code: api.CodePreconditionFailed}}, []time.Duration{0}, true},
		{"and a fault", Retry{}, []outcome{{status: 500, code: api.CodeInternal}}, []time.Duration{0}, true},
		{"somebody else's key", Retry{}, []outcome{{status: 409, code: api.CodeIdempotencyInFlight}}, []time.Duration{0}, true},
		{"an attempt of ours that still runs", Retry{}, []outcome{{}, {status: 409, code: api.CodeIdempotencyInFlight}, ok}, []time.Duration{0, 100 * ms, 300 * ms}, false},
		{"a conflict after a broken connection", Retry{}, []outcome{{}, {status: 409, code: api.CodeConflict}}, []time.Duration{0, 100 * ms}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAttempts([]Option{WithRetry(test.retry)}, test.outcomes...)
			_, err := a.client.PostChange(t.Context(), api.Change{Message: "m"})
			if !slices.Equal(a.at, test.at) || (err != nil) != test.fails {
				t.Errorf("%s: attempts at %v, want %v; the error is %v", test.name, a.at, test.at, err)
			}
			if len(slices.Compact(a.keys)) != 1 || a.keys[0] == "" || len(slices.Compact(a.bodies)) != 1 {
				t.Errorf("%s: keys %q, bodies %q", test.name, a.keys, a.bodies)
			}
		})
	}
}

func TestRetriesReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts(nil, outcome{}, outcome{status: 200})
		if _, err := a.client.Version(t.Context()); err != nil || len(a.at) != 2 || a.keys[1] != "" {
			t.Errorf("%d attempts, keys %q, %v", len(a.at), a.keys, err)
		}
		a = newAttempts(nil, outcome{status: 429, after: "1"}, outcome{status: 200})
		if _, err := a.client.Policies(t.Context()); err != nil || len(a.at) != 2 {
			t.Errorf("%d attempts within the rate, %v", len(a.at), err)
		}
		a = newAttempts(nil, outcome{status: 429, code: api.CodeRateLimited})
		if _, err := a.client.Ack(t.Context(), "production", api.Ack{}); !errors.Is(err, ErrRateLimited) || len(a.at) != 1 {
			t.Errorf("an acknowledgement was made %d times, %v", len(a.at), err)
		}
		a = newAttempts(nil, outcome{status: 503})
		if _, err := a.client.Ready(t.Context()); err == nil || len(a.at) != 1 {
			t.Errorf("a probe was made %d times, %v", len(a.at), err)
		}
	})
}

func TestRetryEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAttempts([]Option{WithRetry(Retry{Attempts: 100})}, outcome{})
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := a.client.Version(ctx)
		wantError(t, err, "cannot reach http://config.test", "connection reset", "server is running")
		if took := time.Since(began); took != 250*time.Millisecond || len(a.at) != 2 {
			t.Errorf("%d attempts in %s", len(a.at), took)
		}
		cancel()
		_, err = a.client.Version(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("in a context that is over: %v", err)
		}
	})
}

func TestTimeoutBoundsEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		hang := transportFunc(func(r *http.Request) (*http.Response, error) {
			attempts++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		c := must(New("http://config.test", WithHTTPClient(&http.Client{Transport: hang}), WithTimeout(2*time.Second), WithRetry(Retry{Attempts: 3})))
		c.jitter = func(time.Duration) time.Duration { return 0 }
		began := time.Now()
		_, err := c.Version(t.Context())
		wantError(t, err, "no answer within 2s")
		if took := time.Since(began); attempts != 3 || took != 6*time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d attempts in %s: %v", attempts, took, err)
		}
	})
}

func TestBodyThatBreaksIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		breaking := transportFunc(func(*http.Request) (*http.Response, error) {
			if attempts++; attempts == 1 {
				r := outcome{status: 200}.response()
				r.Body = brokenBody{}
				return r, nil
			}
			return outcome{status: 200}.response(), nil
		})
		c := must(New("http://config.test", WithHTTPClient(&http.Client{Transport: breaking})))
		if _, err := c.Version(t.Context()); err != nil || attempts != 2 {
			t.Errorf("%d attempts, %v", attempts, err)
		}
	})
}

func TestFullJitter(t *testing.T) {
	if fullJitter(0) != 0 || fullJitter(-1) != 0 {
		t.Error("no range is no wait")
	}
	low, high := time.Hour, time.Duration(0)
	for range 1000 {
		d := fullJitter(time.Second)
		low, high = min(low, d), max(high, d)
	}
	if low < 0 || high >= time.Second || low > 100*time.Millisecond || high < 900*time.Millisecond {
		t.Errorf("waits of %s to %s do not fill a second", low, high)
	}
}

// A rotation calls others, so no answer to it is asked for again, and it has a
// time of its own.
func TestRotationsAreNotMultiplied(t *testing.T) {
	for _, test := range []struct {
		name     string
		outcomes []outcome
		attempts int
		want     error
	}{
		{"it came to nothing", []outcome{{status: 424, code: api.CodeRotationFailed}}, 1, ErrRotationFailed},
		{"nobody can tell now", []outcome{{status: 503, code: api.CodeUnavailable}}, 1, ErrUnavailable},
		{"something stands between", []outcome{{status: 504, code: api.CodeUnavailable}}, 1, ErrUnavailable},
		{"it was not begun", []outcome{{status: 429, code: api.CodeRateLimited, after: "1"}, {status: 200}}, 2, nil},
		{"a connection broke", []outcome{{}, {status: 200}}, 2, nil},
		{"a connection broke, and it still runs", []outcome{{}, {status: 409, code: api.CodeIdempotencyInFlight}, {status: 200}}, 3, nil},
		{"a connection broke, and it came to nothing", []outcome{{}, {status: 424, code: api.CodeRotationFailed}}, 2, ErrRotationFailed},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAttempts(nil, test.outcomes...)
			_, err := a.client.RotateSecret(t.Context(), "production", "openai", api.SecretRotate{})
			if len(a.at) != test.attempts || len(slices.Compact(a.keys)) != 1 || a.keys[0] == "" {
				t.Errorf("%s: %d attempts, keys %q", test.name, len(a.at), a.keys)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
		})
	}
}

func TestRotationHasTime(t *testing.T) {
	for name, test := range map[string]struct {
		takes, limit time.Duration
		attempts     int
		want         []string
	}{
		"in time":                  {70 * time.Second, 0, 1, nil},
		"not in time":              {time.Hour, 0, 1, []string{"has not answered within 2m0s, and may still be rotating", "`llm-config secret get -e production openai`"}},
		"with a longer limit":      {4 * time.Minute, 5 * time.Minute, 1, nil},
		"with a limit of the verb": {time.Hour, time.Second, 1, []string{"within 2m0s"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			slow := transportFunc(func(r *http.Request) (*http.Response, error) {
				attempts++
				if err := sleep(r.Context(), test.takes); err != nil {
					return nil, err
				}
				return outcome{status: 200}.response(), nil
			})
			c := must(New("http://config.test", WithTenant("acme"), WithHTTPClient(&http.Client{Transport: slow}), WithTimeout(test.limit)))
			_, err := c.RotateSecret(t.Context(), "production", "openai", api.SecretRotate{})
			if attempts != test.attempts || (err != nil) != (test.want != nil) {
				t.Fatalf("%s: %d attempts, %v", name, attempts, err)
			}
			if test.want == nil {
				return
			}
			wantError(t, err, test.want...)
			if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "running") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
