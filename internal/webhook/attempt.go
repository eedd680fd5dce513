package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
)

// client makes the client of one call. Connections are not kept: a call is rare,
// and what may be called can change before the next.
func (c *Caller) client(to target) *http.Client {
	dialer := net.Dialer{Timeout: c.options.Timeout, Resolver: c.options.Resolver, Control: to.control}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:       nil, // not even one that the environment names: it would choose the address
			DialContext: dialer.DialContext, TLSClientConfig: c.tls(), TLSHandshakeTimeout: c.options.Timeout,
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (c *Caller) tls() *tls.Config {
	settings := c.options.Transport.TLSClientConfig.Clone()
	if settings == nil {
		settings = &tls.Config{}
	}
	settings.MinVersion = tls.VersionTLS12
	settings.InsecureSkipVerify = false
	return settings
}

// post is what is sent to a target.
type post struct {
	to          target
	contentType string
	signer      *signer // nil: it is not signed
	body        []byte
}

// send posts once. The response is one of success, and its body is to be closed.
func (c *Caller) send(ctx context.Context, client *http.Client, p post) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to.url.String(), bytes.NewReader(p.body))
	if err != nil {
		return nil, unreachable(p.to, err)
	}
	request.Header.Set("Content-Type", p.contentType)
	request.Header.Set("User-Agent", "llm-config-manager")
	if p.signer != nil {
		if err := p.signer.sign(request.Header, c.options.Clock(), p.body); err != nil {
			return nil, err
		}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, unreachable(p.to, err)
	}
	if status := response.StatusCode; status < 200 || status > 299 {
		response.Body.Close()
		return response, refused(p.to, status)
	}
	return response, nil
}

// attempt calls once, and takes the answer.
func (c *Caller) attempt(ctx context.Context, client *http.Client, p post) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	response, err := c.send(ctx, client, p)
	if response == nil {
		return Answer{}, err
	}
	answer := Answer{Status: response.StatusCode}
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	answer.Body, err = readAnswer(response.Body)
	if late := ctx.Err(); late != nil { // a server that sees the caller go may end its answer as if it were whole
		clear(answer.Body)
		return Answer{}, unreachable(p.to, late)
	}
	switch {
	case errors.Is(err, errTooLong):
		return answer, tooLong(p.to)
	case err != nil:
		return Answer{}, unreachable(p.to, err)
	}
	return answer, nil
}

var errTooLong = errors.New("the answer is too long")

// readAnswer takes a body within its bound. It stands in one piece of memory, so
// that clearing it leaves no copy of a part; what cannot be used is cleared here.
func readAnswer(body io.Reader) ([]byte, error) {
	room := make([]byte, MaxAnswer+1)
	n := 0
	for n < len(room) {
		more, err := body.Read(room[n:])
		n += more
		if errors.Is(err, io.EOF) {
			return room[:n], nil
		}
		if err != nil {
			clear(room)
			return nil, err
		}
	}
	clear(room)
	return nil, errTooLong
}
