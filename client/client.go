package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls a server. It is safe for use by many goroutines at once, and
// one Client for a process is enough.
type Client struct {
	base      *url.URL
	tenant    string
	token     TokenSource
	roots     *x509.CertPool
	identity  func() (*tls.Certificate, error) // nil shows no certificate
	http      *http.Client                     // answers, each within the timeout
	userAgent string
	timeout   time.Duration
	retry     Retry
	jitter    func(time.Duration) time.Duration // somewhere in [0, d)
}

// TokenSource gives the token for a request. It is asked for every attempt, so
// a token that is replaced in a file or by an agent is taken up without a restart.
// Where it gives none, none is sent.
type TokenSource func(context.Context) (string, error)

// Option adjusts a Client as it is made.
type Option func(*Client)

// WithToken sends the token with every request.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks the source for the token of every request.
func WithTokenSource(source TokenSource) Option { return func(c *Client) { c.token = source } }

// WithTenant sets the tenant that the verbs work on.
func WithTenant(name string) Option { return func(c *Client) { c.tenant = name } }

// WithHTTPClient sends requests through a copy of h, whose redirect policy and
// timeout are not used: the server never redirects, and WithTimeout bounds requests.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithRootCAs trusts exactly these authorities for the server's certificate.
func WithRootCAs(roots *x509.CertPool) Option { return func(c *Client) { c.roots = roots } }

// WithClientCertificate shows the server the certificate chain in one file, with
// the key in another, both in PEM form. They are read at each handshake, so files
// that are replaced are taken up without a restart. Without a token, the certificate
// says who the caller is, if the server knows it.
func WithClientCertificate(certFile, keyFile string) Option {
	return func(c *Client) {
		c.identity = func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(certFile, keyFile)
			if err != nil {
				return nil, fmt.Errorf("the client certificate cannot be used: %w; give the PEM files of a certificate and of its key", err)
			}
			return &pair, nil
		}
	}
}

// WithUserAgent names the program in the server's log.
func WithUserAgent(name string) Option { return func(c *Client) { c.userAgent = name } }

// WithTimeout bounds each attempt of a request; 0 means 30 s. RotateSecret, which
// may have to wait for a webhook, is never given less than two minutes.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithRetry sets how often and how patiently requests are tried again.
func WithRetry(r Retry) Option { return func(c *Client) { c.retry = r } }

const (
	defaultTimeout = 30 * time.Second
	slowTimeout    = 2 * time.Minute // a webhook is called twice, and each call a few times
)

// New makes a client of the server at an address such as
// https://config.example.com or http://127.0.0.1:8700. It sends nothing yet.
func New(address string, options ...Option) (*Client, error) {
	base, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base, userAgent: "llm-config-client", jitter: fullJitter}
	for _, option := range options {
		option(c)
	}
	c.timeout = cmp.Or(c.timeout, defaultTimeout)
	c.retry = c.retry.orDefault()
	if c.http, err = c.transport(); err != nil {
		return nil, err
	}
	return c, nil
}

func parseAddress(address string) (*url.URL, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("the server's address %q is not a URL; write it like https://config.example.com or http://127.0.0.1:8700", address)
	}
	if base.User != nil {
		return nil, errors.New("the server's address holds a user name; leave it out and give a token")
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("the server's address %q goes on after the path; leave out what begins with ? or #", address)
	}
	return base, nil
}

// transport is the HTTP client to send through: never the caller's own, which
// others may be using with settings of theirs.
func (c *Client) transport() (*http.Client, error) {
	var h http.Client
	switch {
	case c.http != nil && (c.roots != nil || c.identity != nil):
		return nil, errors.New("roots or a client certificate are given beside an HTTP client; set them in the TLS settings of its transport")
	case c.http != nil:
		h = *c.http
	default:
		if c.identity != nil {
			if _, err := c.identity(); err != nil {
				return nil, err
			}
		}
		h.Transport = newTransport(c.roots, c.identity)
	}
	h.Timeout = 0
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h, nil
}

// newTransport is Go's usual one, with as many idle connections to the one
// server as Go would keep to all.
func newTransport(roots *x509.CertPool, identity func() (*tls.Certificate, error)) *http.Transport {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if usual, ok := http.DefaultTransport.(*http.Transport); ok {
		t = usual.Clone()
	}
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	if roots != nil || identity != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if identity != nil {
		t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return identity() }
	}
	return t
}

// Address is the server's address.
func (c *Client) Address() string { return c.base.String() }

// Tenant is the name of the tenant that the verbs work on.
func (c *Client) Tenant() string { return c.tenant }

// ForTenant is the same client working on another tenant.
func (c *Client) ForTenant(name string) *Client {
	other := *c
	other.tenant = name
	return &other
}

// authorize puts the token of this attempt on the request.
func (c *Client) authorize(r *http.Request) error {
	if c.token == nil {
		return nil
	}
	token, err := c.token(r.Context())
	if err != nil {
		return fmt.Errorf("the token cannot be read: %w", err)
	}
	// A token that is read from a file tends to end in a newline.
	if token = strings.TrimSpace(token); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

func fullJitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // nobody gains by guessing a wait
}
