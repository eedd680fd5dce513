package keepers

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// checkPrivate refuses an address that keys would travel to in clear: plain HTTP to
// anything but this machine, where an agent of the service may listen.
func checkPrivate(u *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "unix" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return errInClear{u.Host}
}

type errInClear struct{ host string }

func (e errInClear) Error() string {
	return "keys would travel to " + e.host + " in clear: give an address that begins with https://"
}

// RetryableError tells the SDK of AWS that trying again does not help.
func (errInClear) RetryableError() bool { return false }

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

// doer is what sends an SDK's requests.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

// privateOnly sends no request that checkPrivate refuses, wherever its address
// came from: URL, environment, or a profile of the SDK.
type privateOnly struct{ next doer }

func (p privateOnly) Do(r *http.Request) (*http.Response, error) {
	if err := checkPrivate(r.URL); err != nil {
		return nil, err
	}
	return p.next.Do(r)
}

// parseEndpoint reads a service's address from a URL's parameter. Its errors do
// not repeat it.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("endpoint in the URL is no address such as https://HOST:PORT")
	}
	if u.User != nil {
		return nil, errors.New("endpoint in the URL holds a user or password: remove it")
	}
	return u, checkPrivate(u)
}
