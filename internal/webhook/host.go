package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const maxHost = 253 // characters of a name

// pattern is an entry of the list: a host, or all names below one.
type pattern struct {
	host  string // lower case; an address in its shortest form
	port  string // empty: the scheme's own
	below bool   // it stands for the names below host, not for host itself
}

// CheckPattern says whether a text is a host as the list has it:
// rotator.example.com, *.example.com, 10.0.0.7, [fd00::7], each also with :port.
func CheckPattern(text string) error {
	_, err := parsePattern(text)
	return err
}

func parsePattern(text string) (pattern, error) {
	rest, below := strings.CutPrefix(text, "*.")
	host, port, err := splitHost(rest)
	if err != nil {
		return pattern{}, fmt.Errorf("%q %w", text, err)
	}
	if _, notAddress := netip.ParseAddr(host); below && (notAddress == nil || !strings.Contains(host, ".")) {
		return pattern{}, fmt.Errorf("%q is too wide; name the domain below which hosts may be called, like *.example.com", text)
	}
	return pattern{host, port, below}, nil
}

var errNoHost = errors.New("is no host; write a name like rotator.example.com or an address, without scheme and path")

// splitHost reads host or host:port, where an IPv6 address has brackets.
func splitHost(text string) (host, port string, err error) {
	if strings.ContainsAny(text, "/?#@") {
		return "", "", errNoHost
	}
	host = text
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", "", errors.New("has a port that is none; write a number from 1 to 65535")
		}
	}
	if inner, v6 := strings.CutPrefix(host, "["); v6 {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !strings.HasSuffix(inner, "]") || !address.Is6() || address.Zone() != "" {
			return "", "", errors.New("is no address in brackets; write it like [fd00::7]")
		}
		return address.String(), port, nil
	}
	if host = strings.ToLower(host); !validHost(host) {
		return "", "", errNoHost
	}
	return host, port, nil
}

// validHost takes dotted labels, which an IPv4 address is too. A name that ends
// in a number but is no address is refused: resolvers differ on it.
func validHost(host string) bool {
	if host == "" || len(host) > maxHost {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !alphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	if last := labels[len(labels)-1]; '0' <= last[0] && last[0] <= '9' {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return true
}

// matches says whether the pattern stands for a host, and whether it names it.
func (p pattern) matches(to target) (matches, named bool) {
	port := p.port
	if port == "" {
		port = defaultPorts[to.url.Scheme]
	}
	if port != to.port {
		return false, false
	}
	if p.below {
		return strings.HasSuffix(to.host, "."+p.host), false
	}
	return p.host == to.host, p.host == to.host
}
