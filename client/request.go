package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
)

// maxAnswer bounds what is read of any answer, after decompression.
const maxAnswer = 64 << 20

// request is one call of the server, in however many attempts.
type request struct {
	method string
	path   string // escaped
	query  url.Values
	header http.Header
	body   []byte
	once   bool // never try again, and so carry no Idempotency-Key
	slow   bool // the server waits for others before it answers
}

// answer is what the server said, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// networkError is a failure to get any answer.
type networkError struct{ error }

func (e *networkError) Unwrap() error { return e.error }

// newRequest fills the route's wildcards: names as one segment each, a config
// path with its slashes. Whatever would change the URL is escaped, so that the
// server judges what the caller gave.
func newRequest(method, route string, values ...string) *request {
	escaped := make([]string, len(values))
	for i, value := range values {
		escaped[i] = url.PathEscape(value)
	}
	if last := len(values) - 1; strings.HasSuffix(route, "{path...}") {
		escaped[last] = strings.ReplaceAll(escaped[last], "%2F", "/")
	}
	return &request{method: method, path: api.Build(route, escaped...), query: url.Values{}, header: http.Header{}}
}

// request is newRequest for a route below the tenant.
func (c *Client) request(method, route string, values ...string) (*request, error) {
	if c.tenant == "" {
		return nil, errors.New("no tenant is given; name one with client.WithTenant or ForTenant")
	}
	return newRequest(method, route, append([]string{c.tenant}, values...)...), nil
}

// set adds a parameter, unless it is empty.
func (r *request) set(name, value string) *request {
	if value != "" {
		r.query.Set(name, value)
	}
	return r
}

func (r *request) setInt(name string, value int64) *request {
	if value == 0 {
		return r
	}
	return r.set(name, strconv.FormatInt(value, 10))
}

func (r *request) setBool(name string, value bool) *request {
	if !value {
		return r
	}
	return r.set(name, "true")
}

// message puts a write's message into the header, where no body can hold it.
// A plus sign means itself in one kind of percent-encoding and a space in
// another; this form has none.
func (r *request) message(text string) *request {
	if text != "" {
		r.header.Set(api.HeaderMessage, strings.ReplaceAll(url.QueryEscape(text), "+", "%20"))
	}
	return r
}

// json makes the value the body.
func (r *request) json(value any) (*request, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be written as JSON: %w", err)
	}
	r.body = body
	r.header.Set("Content-Type", api.TypeJSON)
	return r, nil
}

type idempotencyKey struct{}

// WithIdempotencyKey makes the writes of this context carry the key instead of
// one made for each call: a program that may have to repeat a write after a
// crash keeps the key, and repeats it under the same. One key is for one write.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// do sends the request until it is answered or no attempt is left.
func (c *Client) do(ctx context.Context, r *request) (*answer, error) {
	if r.method != http.MethodGet && !r.once {
		r.header.Set(api.HeaderIdempotent, keyFor(ctx))
	}
	for attempt := 1; ; attempt++ {
		a, err := c.try(ctx, r)
		wait, again := c.pause(r, a, err, attempt)
		if !again || sleep(ctx, wait) != nil {
			return a, err
		}
	}
}

func keyFor(ctx context.Context) string {
	if key, ok := ctx.Value(idempotencyKey{}).(string); ok {
		return key
	}
	var key [16]byte
	_, _ = rand.Read(key[:]) // it never fails
	return hex.EncodeToString(key[:])
}

func (c *Client) try(ctx context.Context, r *request) (*answer, error) {
	limit := c.limit(r)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s: %w", limit, context.DeadlineExceeded))
	defer cancel()
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, c.networkFailure(ctx, err)
	}
	a := &answer{status: response.StatusCode, header: response.Header, body: body}
	if len(body) > maxAnswer {
		return nil, c.unexpected(a, fmt.Sprintf("it is over the bound of %d bytes", maxAnswer))
	}
	return a, nil
}

// limit is how long an attempt may take.
func (c *Client) limit(r *request) time.Duration {
	if r.slow {
		return max(c.timeout, slowTimeout)
	}
	return c.timeout
}

// send makes one attempt, and leaves the answer's body to be read.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	target := strings.TrimSuffix(c.base.String(), "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("the request cannot be made: %w", err)
	}
	q.Header = r.header.Clone()
	q.Header.Set("User-Agent", c.userAgent)
	if err := c.authorize(q); err != nil {
		return nil, err
	}
	if err := checkHeader(q.Header); err != nil {
		return nil, err
	}
	response, err := c.http.Do(q)
	if err != nil {
		return nil, c.networkFailure(ctx, err)
	}
	return response, nil
}

// checkHeader refuses what cannot be sent, without showing it: it may be a token.
func checkHeader(h http.Header) error {
	for name, values := range h {
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) {
				return fmt.Errorf("the value for the header %s holds a character that cannot be sent; check where it comes from", name)
			}
		}
	}
	return nil
}

// networkFailure prefers why the context ended over how the network noticed.
func (c *Client) networkFailure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return &networkError{c.unreachable(err)}
}

// want is do with every status but these an error.
func (c *Client) want(ctx context.Context, r *request, statuses ...int) (*answer, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, status := range statuses {
		if a.status == status {
			return a, nil
		}
	}
	return nil, c.failure(a)
}

// call sends the request and reads the JSON of its answer.
func call[T any](ctx context.Context, c *Client, r *request) (*T, error) {
	if r.header.Get("Accept") == "" {
		r.header.Set("Accept", api.TypeJSON)
	}
	a, err := c.want(ctx, r, http.StatusOK, http.StatusCreated)
	if err != nil {
		return nil, err
	}
	return decode[T](c, a)
}

func decode[T any](c *Client, a *answer) (*T, error) {
	var value T
	if mediaType(a.header) != api.TypeJSON {
		return nil, c.unexpected(a, "it is not JSON")
	}
	if err := json.Unmarshal(a.body, &value); err != nil {
		return nil, c.unexpected(a, "its JSON does not parse: "+err.Error())
	}
	return &value, nil
}

// get is a call without a body below the tenant.
func get[T any](ctx context.Context, c *Client, route string, values ...string) (*T, error) {
	r, err := c.request(http.MethodGet, route, values...)
	if err != nil {
		return nil, err
	}
	return call[T](ctx, c, r)
}

// write is a call with a JSON body below the tenant.
func write[T any](ctx context.Context, c *Client, method string, in any, route string, values ...string) (*T, error) {
	r, err := c.request(method, route, values...)
	if err != nil {
		return nil, err
	}
	if r, err = r.json(in); err != nil {
		return nil, err
	}
	return call[T](ctx, c, r)
}
