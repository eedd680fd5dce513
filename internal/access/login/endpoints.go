package login

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
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	maxAnswer    = 1 << 20 // bytes
	maxRedirects = 3
	askTime      = 10 * time.Second
	discovery    = "/.well-known/openid-configuration"
)

// Endpoints are an issuer's addresses, as its discovery document says.
type Endpoints struct {
	Authorization string
	Token         string
	Device        string // empty: it has no device flow
	Revocation    string // empty: it takes nothing back
	SecretInBody  bool   // it takes a client's secret in the form only
}

// Discover asks an issuer for its addresses. The error is of KindUnavailable.
func Discover(ctx context.Context, issuer string, h *http.Client) (Endpoints, error) {
	text, err := get(ctx, strings.TrimSuffix(issuer, "/")+discovery, h)
	if err != nil {
		return Endpoints{}, unavailable(issuer, err)
	}
	var d struct {
		Issuer        string   `json:"issuer"`
		Authorization string   `json:"authorization_endpoint"`
		Token         string   `json:"token_endpoint"`
		Device        string   `json:"device_authorization_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		Methods       []string `json:"token_endpoint_auth_methods_supported"`
	}
	if json.Unmarshal(text, &d) != nil {
		return Endpoints{}, unavailable(issuer, errors.New("its discovery document is not JSON"))
	}
	if d.Issuer != issuer {
		return Endpoints{}, unavailable(issuer, errors.New("its discovery document is of another issuer"))
	}
	for name, address := range map[string]string{"authorization_endpoint": d.Authorization, "token_endpoint": d.Token} {
		if err := mayBeAsked(issuer, address); err != nil {
			return Endpoints{}, unavailable(issuer, fmt.Errorf("its %s %w", name, err))
		}
	}
	e := Endpoints{Authorization: d.Authorization, Token: d.Token}
	if mayBeAsked(issuer, d.Device) == nil {
		e.Device = d.Device
	}
	if mayBeAsked(issuer, d.Revocation) == nil {
		e.Revocation = d.Revocation
	}
	e.SecretInBody = slices.Contains(d.Methods, "client_secret_post") && !slices.Contains(d.Methods, "client_secret_basic")
	return e, nil
}

// mayBeAsked says whether secrets may be sent to an address. An issuer on https
// does not lead to anything less.
func mayBeAsked(issuer, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return errors.New("is no URL")
	}
	plain := u.Scheme == "http" && IsLoopback(u.Hostname()) && strings.HasPrefix(issuer, "http://")
	if u.Scheme != "https" && !plain {
		return errors.New("is not https")
	}
	return nil
}

// IsLoopback says whether a host is this machine by its own name.
func IsLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

func get(ctx context.Context, address string, h *http.Client) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := h.Do(request)
	if network, ok := errors.AsType[*url.Error](err); ok {
		return nil, network.Err
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New("its discovery document was answered with " + response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(text) > maxAnswer {
		err = errors.New("its discovery document is too long")
	}
	return text, err
}

// HTTP makes the client for an issuer. Nil roots are the system's; the proxy is
// asked for as http.Transport does, and nil is none. What is sent, such as a code,
// is never sent on to where an answer redirects.
func HTTP(roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error)) *http.Client {
	dialer := &net.Dialer{Timeout: askTime}
	return &http.Client{
		Timeout: askTime,
		Transport: &http.Transport{
			Proxy: proxy, DialContext: dialer.DialContext, TLSHandshakeTimeout: askTime, ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true, MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(request *http.Request, before []*http.Request) error {
			first := before[0]
			if first.Method != http.MethodGet || len(before) > maxRedirects || request.URL.Scheme != first.URL.Scheme || request.URL.Host != first.URL.Host {
				return errors.New("it redirects to elsewhere")
			}
			return nil
		},
	}
}

// Roots reads a PEM file of the authorities of an issuer's certificate.
func Roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, nil
}
