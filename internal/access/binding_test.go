package access_test

import (
	"net/netip"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// Nobody who is bound gives a token that is bound less.
func TestBindingsWithinOthers(t *testing.T) {
	bound := func(certificate string, addresses ...string) access.Binding {
		b := access.Binding{Certificate: certificate}
		for _, text := range addresses {
			b.Addresses = append(b.Addresses, netip.MustParsePrefix(text))
		}
		return b
	}
	for name, test := range map[string]struct {
		inner, outer access.Binding
		want         bool
	}{
		"nothing within nothing":             {bound(""), bound(""), true},
		"something within nothing":           {bound("dns:a", "10.0.0.0/8"), bound(""), true},
		"nothing within an address":          {bound(""), bound("", "10.0.0.0/8"), false},
		"nothing within a certificate":       {bound(""), bound("dns:a"), false},
		"the same":                           {bound("dns:a", "10.0.0.0/8"), bound("dns:a", "10.0.0.0/8"), true},
		"a part of the network":              {bound("", "10.1.0.0/16"), bound("", "10.0.0.0/8"), true},
		"a network around it":                {bound("", "0.0.0.0/0"), bound("", "10.0.0.0/8"), false},
		"another network":                    {bound("", "11.0.0.0/8"), bound("", "10.0.0.0/8"), false},
		"one within and one not":             {bound("", "10.1.0.0/16", "11.0.0.0/8"), bound("", "10.0.0.0/8"), false},
		"each within one of several":         {bound("", "10.1.0.0/16", "fd00::/64"), bound("", "fd00::/8", "10.0.0.0/8"), true},
		"another certificate":                {bound("dns:b"), bound("dns:a"), false},
		"the certificate, and an address":    {bound("dns:a", "10.0.0.0/8"), bound("dns:a"), true},
		"an address without the certificate": {bound("", "10.0.0.0/8"), bound("dns:a"), false},
	} {
		if got := test.inner.Within(test.outer); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
