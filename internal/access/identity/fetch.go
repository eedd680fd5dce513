package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	maxAnswer      = 1 << 20 // bytes of a document or a key set
	maxHeaderBytes = 32 << 10
	maxRedirects   = 3
	discovery      = "/.well-known/openid-configuration"
)

// source fetches the keys of one issuer. One fetch runs at a time.
type source struct {
	issuer string
	client *http.Client
	keys   *location
}

// location is where an issuer's keys are, as its discovery document said.
type location struct {
	url  string
	read time.Time // when it said so; zero: it has to be asked
}

// fetch reads the keys, and before them the discovery document when it was read
// more than an hour ago or what it said led nowhere.
func (s source) fetch(ctx context.Context, now time.Time) ([]verificationKey, error) {
	if age := now.Sub(s.keys.read); s.keys.read.IsZero() || age < 0 || age >= keysFresh {
		address, err := s.discover(ctx)
		if err != nil {
			return nil, err
		}
		*s.keys = location{address, now}
	}
	text, err := s.get(ctx, s.keys.url)
	if err == nil {
		var keys []verificationKey
		if keys, err = readKeys(text); err == nil {
			return keys, nil
		}
	}
	*s.keys = location{}
	return nil, err
}

// discover reads where the issuer's keys are.
func (s source) discover(ctx context.Context) (string, error) {
	text, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+discovery)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return "", errors.New("the discovery document is not JSON")
	}
	if document.Issuer != s.issuer {
		return "", fmt.Errorf("the discovery document is of the issuer %q", shortened(document.Issuer))
	}
	if err := s.mayHold(document.Keys); err != nil {
		return "", err
	}
	return document.Keys, nil
}

// mayHold says whether keys are read at an address. An issuer on https does not
// lead to anything less.
func (s source) mayHold(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.Hostname() == "" || u.User != nil || len(address) > maxURL {
		return errors.New("the discovery document has no jwks_uri that is a URL")
	}
	plain := u.Scheme == "http" && loopback(u.Hostname()) && strings.HasPrefix(s.issuer, "http://")
	if u.Scheme != "https" && !plain {
		return errors.New("the discovery document has a jwks_uri that is not https")
	}
	return nil
}

// get reads an answer whole, within its bound.
func (s source) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "llm-config-manager")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered with status %d", address, response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("%s answered with more than %d bytes", address, maxAnswer)
	}
	return text, nil
}

// clientFor makes the client of an issuer. Without roots it goes by base, if there
// is one, and the system's roots otherwise. Redirects stay on the host: what the
// operator wrote is whom the keys are believed from.
func clientFor(base *http.Client, roots *x509.CertPool) *http.Client {
	client := &http.Client{CheckRedirect: sameHost}
	if base != nil && roots == nil {
		client.Transport = base.Transport
		return client
	}
	dialer := &net.Dialer{Timeout: askTime}
	client.Transport = &http.Transport{
		Proxy:       nil, // not even one that the environment names: it could answer in the issuer's place on http
		DialContext: dialer.DialContext, TLSHandshakeTimeout: askTime, ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeaderBytes, // issuers are asked once an hour
	}
	return client
}

func sameHost(request *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case len(before) > maxRedirects:
		return errors.New("the issuer redirects too often")
	case request.URL.Scheme != first.Scheme || request.URL.Host != first.Host:
		return errors.New("the issuer redirects to another host")
	}
	return nil
}

// readRoots reads the file of an issuer's authorities.
func readRoots(file string) (roots *x509.CertPool, text string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxAnswer+1))
	if err != nil {
		return nil, "", err
	}
	roots = x509.NewCertPool()
	if len(pem) > maxAnswer || !roots.AppendCertsFromPEM(pem) {
		return nil, "", fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, string(pem), nil
}
