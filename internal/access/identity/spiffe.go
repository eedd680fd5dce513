package identity

import (
	"strings"
)

const (
	spiffeScheme = "spiffe://"
	maxSPIFFE    = 2048 // bytes of an id
	maxDomain    = 255  // bytes of a trust domain
	below        = "/*" // at the end of a rule: one or more segments
)

// checkSPIFFERule checks an id, or one with /* instead of its last segments.
func checkSPIFFERule(text string) (wrong, next string) {
	id, open := strings.CutSuffix(text, below)
	if strings.Contains(id, "*") {
		return "has a * that is not its last segment", "write /* at the end, or a rule for each id"
	}
	if open && !strings.Contains(strings.TrimPrefix(id, spiffeScheme), "/") {
		id += "/any" // the rule is for a whole trust domain
	}
	if reason := wrongSPIFFE(id); reason != "" {
		return reason, "write it like spiffe://example.org/gateway"
	}
	return "", ""
}

// wrongSPIFFE says why text is not the SPIFFE ID of a workload, by the SPIFFE
// standard; empty when it is. There is one way to write an id, so ids are
// compared as texts.
func wrongSPIFFE(text string) string {
	rest, ok := strings.CutPrefix(text, spiffeScheme)
	if !ok {
		return "does not begin with " + spiffeScheme
	}
	if len(text) > maxSPIFFE {
		return "is too long"
	}
	domain, path, found := strings.Cut(rest, "/")
	if domain == "" || len(domain) > maxDomain || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return "has a trust domain that is none (a–z, 0–9 and . - _)"
	}
	if !found {
		return "has no path, and is a trust domain's and not a workload's"
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, notOfSegment) {
			return "has a path with a segment that is none (letters, digits and . - _)"
		}
	}
	return ""
}

func notOfSegment(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	return !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_'
}

// holds says whether a rule is about an id, which was checked before: it does not
// end with a slash.
func (r CertificateRule) holds(id string) bool {
	prefix, open := strings.CutSuffix(r.SPIFFE, "*")
	if open {
		return strings.HasPrefix(id, prefix)
	}
	return r.SPIFFE != "" && id == r.SPIFFE
}
