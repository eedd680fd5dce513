package webhook

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MaxURL is the length of a webhook's address in bytes.
const MaxURL = 2 << 10

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// target is an address that may be called.
type target struct {
	url   *url.URL
	host  string // lower case, as patterns have it
	port  string
	named bool // an entry of the list names the host itself
}

// Check says whether a URL may be called as the settings are now, and what would
// have to change. The error is a *config.Error.
func (c *Caller) Check(text string) error {
	_, err := c.target(text)
	return err
}

// target reads a URL and finds its host in the list.
func (c *Caller) target(text string) (target, error) {
	to, err := parseTarget(text)
	if err != nil {
		return target{}, err
	}
	var allowed bool
	list := c.options.Allowed()
	for _, entry := range list {
		p, err := parsePattern(entry)
		if err != nil {
			continue // settings refuse it; it stands for no host
		}
		matches, named := p.matches(to)
		allowed, to.named = allowed || matches, to.named || named
	}
	switch {
	case !allowed && len(list) == 0:
		return target{}, config.Errorf(config.KindBadRequest, "webhooks cannot be called: the server lists no hosts for them").
			Hint("have the server's operator add %q to the setting %s", to.address(), Setting)
	case !allowed:
		return target{}, config.Errorf(config.KindBadRequest, "the host %q is not one that the server calls", to.address()).
			Hint("use a host that is listed, or have the server's operator add this one to the setting %s", Setting)
	case to.url.Scheme == "http" && (!to.named || !localHost(to.host)):
		return target{}, config.Errorf(config.KindBadRequest, "a webhook is called over https; plain http only on the server's own machine").
			Hint("write https://, and give the receiver a certificate")
	}
	return to, nil
}

// address is the host as the list would have it.
func (t target) address() string {
	host := t.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if t.port == defaultPorts[t.url.Scheme] {
		return host
	}
	return host + ":" + t.port
}

func parseTarget(text string) (target, error) {
	if len(text) > MaxURL {
		return target{}, badURL("is longer than %d bytes", MaxURL).Over(MaxURL, int64(len(text)))
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '\\' {
			return target{}, badURL("holds a character that belongs in no URL")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Host == "":
		return target{}, badURL("is no URL with a host")
	case u.Scheme != "https" && u.Scheme != "http":
		return target{}, badURL("has neither the scheme https nor http")
	case u.User != nil:
		return target{}, badURL("holds a user name or password, which every log on the way would show")
	case strings.Contains(text, "#"):
		return target{}, badURL("has a fragment, which is not sent")
	}
	host, port, err := splitHost(u.Host)
	if err != nil {
		return target{}, badURL("has a host or port that is none")
	}
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	return target{url: u, host: host, port: port}, nil
}

func badURL(format string, args ...any) *config.Error {
	return config.Errorf(config.KindBadRequest, "the webhook's URL "+format, args...).
		Hint("write it like https://rotator.example.com/hook")
}

// localHost says whether a host is this machine by its own name.
func localHost(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}
