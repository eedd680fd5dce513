package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/llm-devops/llm-config-manager/api"
)

// What a caller may want to tell apart, for errors.Is. Any other code is asked
// for with &api.Problem{Code: …}; errors.As with *api.Problem gives the whole.
var (
	ErrBadRequest         error = &api.Problem{Code: api.CodeBadRequest}
	ErrInvalidDocument    error = &api.Problem{Code: api.CodeInvalidDocument}
	ErrInvalidReference   error = &api.Problem{Code: api.CodeInvalidReference}
	ErrUnauthenticated    error = &api.Problem{Code: api.CodeUnauthenticated}
	ErrTokenExpired       error = &api.Problem{Code: api.CodeTokenExpired}
	ErrTokenRevoked       error = &api.Problem{Code: api.CodeTokenRevoked}
	ErrForbidden          error = &api.Problem{Code: api.CodeForbidden}
	ErrSecretUnavailable  error = &api.Problem{Code: api.CodeSecretUnavailable}
	ErrWeakSecret         error = &api.Problem{Code: api.CodeWeakSecret}
	ErrRotationFailed     error = &api.Problem{Code: api.CodeRotationFailed}
	ErrNotFound           error = &api.Problem{Code: api.CodeNotFound}
	ErrGone               error = &api.Problem{Code: api.CodeGone}
	ErrConflict           error = &api.Problem{Code: api.CodeConflict}
	ErrAlreadyExists      error = &api.Problem{Code: api.CodeAlreadyExists}
	ErrInUse              error = &api.Problem{Code: api.CodeInUse}
	ErrReferenced         error = &api.Problem{Code: api.CodeReferenced}
	ErrChangedSince       error = &api.Problem{Code: api.CodeChangedSince}
	ErrRevisionInFuture   error = &api.Problem{Code: api.CodeRevisionInFuture}
	ErrPreconditionFailed error = &api.Problem{Code: api.CodePreconditionFailed}
	ErrTooLarge           error = &api.Problem{Code: api.CodeTooLarge}
	ErrInvalidPolicy      error = &api.Problem{Code: api.CodeInvalidPolicy}
	ErrQuotaExceeded      error = &api.Problem{Code: api.CodeQuotaExceeded}
	ErrRateLimited        error = &api.Problem{Code: api.CodeRateLimited}
	ErrNotYet             error = &api.Problem{Code: api.CodeNotYet}
	ErrUnavailable        error = &api.Problem{Code: api.CodeUnavailable}
)

// ErrNotModified says that what was asked for is what IfNoneMatch names.
var ErrNotModified = errors.New("not modified")

// ErrTokenLost says that a token was issued, but that the answer holding its
// value was lost on the way, and values are shown only once.
var ErrTokenLost = errors.New("the value of the new token was lost with a broken connection; revoke it and issue another")

// UnexpectedResponse is an answer that is none of the server's: a proxy's error
// page, say, or another program at the address.
type UnexpectedResponse struct {
	Address     string
	Status      int
	ContentType string
	Excerpt     string // of a failure: the beginning of its body, at most 256 bytes of printable text
	Reason      string // what about it is unexpected
}

func (e *UnexpectedResponse) Error() string {
	text := fmt.Sprintf("%s answered %d %s, which this client does not understand: %s",
		e.Address, e.Status, http.StatusText(e.Status), e.Reason)
	if e.Excerpt != "" {
		text += fmt.Sprintf(" (it begins %q)", e.Excerpt)
	}
	return text + "; check that the address is the server's own, and what stands between"
}

const (
	maxProblem = 1 << 20 // bytes of a problem document
	maxExcerpt = 256
)

// parseProblem reads a problem document of ours: JSON with a code.
func parseProblem(text []byte) (*api.Problem, error) {
	if len(text) > maxProblem {
		return nil, fmt.Errorf("a problem document over %d bytes", maxProblem)
	}
	var p api.Problem
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("a problem document that does not parse: %w", err)
	}
	if p.Code == "" {
		return nil, errors.New("a problem document without a code")
	}
	return &p, nil
}

// failure is the error that an answer other than the hoped-for stands for.
func (c *Client) failure(a *answer) error {
	if c.speaksTLS(a) {
		return fmt.Errorf("the server at %s takes no plain HTTP: use https:// in the address", c.Address())
	}
	if mediaType(a.header) != api.ProblemType {
		return c.unexpected(a, "it is no problem document")
	}
	p, err := parseProblem(a.body)
	if err != nil {
		return c.unexpected(a, err.Error())
	}
	p.Status = a.status
	if p.RequestID == "" {
		p.RequestID = a.header.Get(api.HeaderRequestID)
	}
	return p
}

func (c *Client) unexpected(a *answer, reason string) error {
	if location := a.header.Get("Location"); location != "" {
		reason = "it redirects to " + excerpt([]byte(location))
	}
	u := &UnexpectedResponse{Address: c.Address(), Status: a.status, ContentType: a.header.Get("Content-Type"), Reason: reason}
	if a.status >= http.StatusMultipleChoices { // what succeeded may hold a token or a document, which no log is to show
		u.Excerpt = excerpt(a.body)
	}
	return u
}

// excerpt is the beginning of a text, in one printable line.
func excerpt(text []byte) string {
	text = bytes.TrimSpace(text[:min(len(text), maxExcerpt)])
	return strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar:
			return -1
		case !unicode.IsPrint(r):
			return ' '
		}
		return r
	}, string(text))
}

// unreachable wraps what the network said with the address and the next step.
func (c *Client) unreachable(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the method and the URL, which say less than the address
	}
	return fmt.Errorf("cannot reach %s: %w; %s", c.Address(), err, c.remedy(err))
}

// remedy is the next step after what the network said.
func (c *Client) remedy(err error) string {
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return "if it is the right server, name the file with its authority's certificate in LLM_CONFIG_CA_FILE, or in a program use WithRootCAs"
	}
	if strings.Contains(err.Error(), "remote error: tls: certificate required") || strings.Contains(err.Error(), "http2: client conn could not be established") {
		return "if this server wants to see a client certificate, name one in LLM_CONFIG_CLIENT_CERT and its key in LLM_CONFIG_CLIENT_KEY, or in a program use WithClientCertificate"
	}
	if strings.Contains(err.Error(), "remote error: tls: ") {
		return "the server refuses the handshake; check that the client certificate has not ended and is of an authority that the server accepts"
	}
	if errors.As(err, new(x509.HostnameError)) {
		return "use an address that its certificate names"
	}
	if errors.As(err, new(tls.RecordHeaderError)) || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "this server speaks plain HTTP: use http:// in the address"
	}
	return "check the address, and that the server is running"
}

// speaksTLS says that an answer is what Go's servers give to plain HTTP where
// they expect TLS.
func (c *Client) speaksTLS(a *answer) bool {
	return c.base.Scheme == "http" && a.status == http.StatusBadRequest && bytes.Contains(a.body, []byte("HTTP request to an HTTPS server"))
}

// mediaType is the Content-Type without its parameters.
func mediaType(h http.Header) string {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}
