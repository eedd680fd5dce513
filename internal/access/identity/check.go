package identity

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const maxDNS = 253 // bytes of a name

// The checks say what is wrong with a text, as the end of a sentence, and the
// next step; nothing when it is right.

func checkName(text string) (wrong, next string) {
	if config.CheckName(text) != nil {
		return "is no name", "write 1 to 64 of a–z, 0–9 and -, with a letter first"
	}
	return "", ""
}

func checkRole(text string) (wrong, next string) {
	switch {
	case config.CheckName(text) != nil:
		return "is no role's name", "write 1 to 64 of a–z, 0–9 and -, with a letter first"
	case text == access.RoleServerAdmin:
		return "is of the server, not of a tenant", "write server_admin: true instead"
	case strings.HasPrefix(text, "break-glass"):
		return "is asked for and approved, not given", "remove it"
	}
	return "", ""
}

func checkAlgorithm(text string) (wrong, next string) {
	if _, ok := fitting[text]; !ok {
		return "is no signature that is taken", "take some of " + strings.Join(slices.Sorted(maps.Keys(fitting)), ", ")
	}
	return "", ""
}

func checkScope(text string) (wrong, next string) {
	if strings.ContainsAny(text, ` "\`) {
		return "is no scope", "write each scope as an item of its own"
	}
	return "", ""
}

// checkURL refuses what could be understood in two ways, and anything that the
// discovery document cannot be below.
func checkURL(text string) (wrong, next string) {
	next = "write it as the issuer writes iss, like https://accounts.example.com"
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || strings.ContainsAny(text, `\ `):
		return "is no URL with a host", next
	case u.User != nil:
		return "holds a user name or password", next
	case strings.ContainsAny(text, "?#"):
		return "has a query or a fragment, which no issuer has", next
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "is plain http, which is taken on loopback only", "have the issuer serve https"
	case u.Scheme != "https" && u.Scheme != "http":
		return "is not https", next
	}
	return "", ""
}

// loopback says whether a host is this machine by its own name.
func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

func checkDNS(text string) (wrong, next string) {
	if strings.Contains(text, "*") {
		return "has a wildcard", "write a rule for each name"
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "is no DNS name in lower case", "write it like gateway.example.com"
		}
	}
	return "", ""
}
