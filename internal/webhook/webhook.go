// Package webhook calls the receivers that make and try new secrets. Whoever may
// set up a rotation chooses the address that is called, from within the server's
// network: so it trusts neither the address, nor what a name resolves to, nor
// the answer. Only hosts that the operator listed are called, never the
// addresses from which clouds hand out credentials, and no redirect is followed.
// What the operator's settings name is posted to under the same rules; see Sender.
package webhook

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Setting is the server's setting that lists the hosts.
const Setting = "webhook-hosts"

// The bounds of a call.
const (
	MaxBody   = 64 << 10  // bytes of the JSON that is sent
	MaxAnswer = 128 << 10 // bytes of an answer's body

	maxCalls       = 64 // at once
	maxAttempts    = 3
	attemptTime    = 10 * time.Second
	overallTime    = 30 * time.Second
	firstWait      = 500 * time.Millisecond
	maxWait        = 4 * time.Second
	waitJitter     = 0.25 // of a wait, more or less
	maxHeaderBytes = 32 << 10
)

// Options are what a Caller is made with. Zero fields have the defaults noted.
type Options struct {
	// Allowed are the hosts that may be called, asked at each call so that they
	// can be reloaded; nil or an empty list: none.
	Allowed func() []string
	// Transport lends its TLS settings, such as the roots that are trusted;
	// nothing else of it is used. Nil for the system's roots.
	Transport *http.Transport
	// Resolver finds addresses; nil for the system's.
	Resolver *net.Resolver
	Clock    func() time.Time // nil for time.Now
	Timeout  time.Duration    // of one attempt; 0 for 10 s
}

// Caller calls webhooks.
type Caller struct {
	options Options
	wait    time.Duration // before the second attempt
	places  chan struct{} // one for each call that runs
}

// New makes a Caller.
func New(o Options) *Caller {
	if o.Allowed == nil {
		o.Allowed = func() []string { return nil }
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Timeout == 0 {
		o.Timeout = attemptTime
	}
	return &Caller{options: o, wait: firstWait, places: make(chan struct{}, maxCalls)}
}

// Request is one call.
type Request struct {
	URL  string
	Key  []byte // whsec_… as text; it is read only
	ID   string // the same when the same thing is called for again: letters, digits, - and _
	Type string // such as secret.rotate
	Body any    // becomes the member data; it must hold no secret value
}

// Answer is what the receiver said. The body may hold a secret: who takes it
// clears it.
type Answer struct {
	Status int
	Body   []byte // of a status of 2xx only
}

// message is the JSON that is sent, in the shape that Standard Webhooks recommends.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of the call; attempts have theirs in the header
	Data      any       `json:"data"`
}

// Call sends a request, three times at most within half a minute: again after a
// failed connection, 429, 502, 503 and 504. Any status but 2xx is an error, with
// the status in the Answer. Errors are a *config.Error that names the host.
func (c *Caller) Call(ctx context.Context, r Request) (Answer, error) {
	to, err := c.target(r.URL)
	if err != nil {
		return Answer{}, err
	}
	signer, clearKey, err := newSigner(r.Key, r.ID)
	if err != nil {
		return Answer{}, err
	}
	defer clearKey()
	body, err := json.Marshal(message{r.Type, c.options.Clock().UTC().Truncate(time.Second), r.Body})
	if err != nil {
		return Answer{}, err
	}
	if len(body) > MaxBody {
		return Answer{}, config.Errorf(config.KindTooLarge, "what the webhook would be sent is too large").
			Hint("shorten what the secret's metadata says").Over(MaxBody, int64(len(body)))
	}
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	default:
		return Answer{}, config.Errorf(config.KindOverloaded, "too many webhooks are being called").
			Hint("try again in half a minute").Over(maxCalls, maxCalls+1)
	}
	return c.attempts(ctx, post{to, "application/json", signer, body})
}

// attempts calls until an answer is final, attempts are used up or time is over.
func (c *Caller) attempts(ctx context.Context, p post) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, overallTime)
	defer cancel()
	client := c.client(p.to)
	defer client.CloseIdleConnections()
	policy := retrypolicy.NewBuilder[Answer]().
		HandleIf(func(_ Answer, err error) bool { return transient(err) }).
		WithMaxAttempts(maxAttempts).WithBackoff(c.wait, max(maxWait, 2*c.wait)).WithJitterFactor(waitJitter).
		ReturnLastFailure().Build()
	var answer Answer
	var last error // the executor's own error says only that the context ended
	_, _ = failsafe.With(policy).WithContext(ctx).Get(func() (Answer, error) {
		answer, last = c.attempt(ctx, client, p)
		return answer, last
	})
	if last == nil && answer.Status == 0 {
		last = unreachable(p.to, ctx.Err())
	}
	if last != nil {
		return Answer{Status: answer.Status}, asError(last)
	}
	return answer, nil
}
