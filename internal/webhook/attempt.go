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

// attempt calls once.
func (c *Caller) attempt(ctx context.Context, client *http.Client, to target, signer *signer, body []byte) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{}, unreachable(to, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "llm-config-manager")
	if err := signer.sign(request.Header, c.options.Clock(), body); err != nil {
		return Answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{}, unreachable(to, err)
	}
	defer response.Body.Close()
	answer := Answer{Status: response.StatusCode}
	if answer.Status < 200 || answer.Status > 299 {
		return answer, refused(to, answer.Status)
	}
	answer.Body, err = readAnswer(response.Body)
	if late := ctx.Err(); late != nil { // a server that sees the caller go may end its answer as if it were whole
		clear(answer.Body)
		return Answer{}, unreachable(to, late)
	}
	switch {
	case errors.Is(err, errTooLong):
		return answer, tooLong(to)
	case err != nil:
		return Answer{}, unreachable(to, err)
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
