package access_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var alikeGrants = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b config.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func ranges(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func fullGrants(t testing.TB) access.Grants {
	return access.Grants{
		Roles: []string{"deployer", "viewer"}, Environments: []string{"staging"}, Paths: prefixes(t, "a", "gateway/eu-1"),
		Actions: []access.Action{access.ConfigRead}, Addresses: ranges("10.0.0.0/8", "2001:db8::/64"),
		Certificate: "spiffe://acme.test/ci", Ancestors: []string{"token:x", "identity:ci:a b"},
	}
}

func TestGrantsReadBack(t *testing.T) {
	if text := (access.Grants{}).Encode(); text != nil {
		t.Errorf("no grants are written as %q", text)
	}
	for _, g := range []access.Grants{{}, {Roles: []string{"viewer"}}, {Certificate: "dns:ci.test"}, fullGrants(t)} {
		read, err := access.ParseGrants(g.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(g, read, alikeGrants); diff != "" {
			t.Errorf("grants read back otherwise:\n%s", diff)
		}
	}
	// A row whose grants cannot be read is no token that is not narrowed.
	for _, text := range []string{"{", "[]", `{"paths":["//"]}`, `{"addresses":["10.0.0.0"]}`, `{"roles":"admin"}`, "null "[:3]} {
		if g, err := access.ParseGrants([]byte(text)); err == nil {
			t.Errorf("%q reads as %+v", text, g)
		}
	}
}

func FuzzParseGrants(f *testing.F) {
	f.Add(fullGrants(f).Encode())
	f.Add([]byte(`{"paths":["a/"],"actions":["x"],"addresses":["::ffff:10.0.0.1/104"]}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := access.ParseGrants(text)
		if err != nil {
			return
		}
		again, err := access.ParseGrants(g.Encode())
		if err != nil {
			t.Fatalf("%q reads, and what it is written as does not: %v", text, err)
		}
		if diff := cmp.Diff(g, again, alikeGrants); diff != "" {
			t.Errorf("%q reads back otherwise:\n%s", text, diff)
		}
	})
}

func TestGrantsThatAreNotWellFormed(t *testing.T) {
	many := func(n int) (all []string) {
		for range n {
			all = append(all, "x")
		}
		return all
	}
	hash := strings.Repeat("0a", 32)
	for name, c := range map[string]struct {
		grants access.Grants
		ok     bool
	}{
		"none":                       {access.Grants{}, true},
		"all":                        {fullGrants(t), true},
		"as many as there may be":    {access.Grants{Roles: many(64), Environments: many(64)}, true},
		"too many roles":             {access.Grants{Roles: many(65)}, false},
		"too many environments":      {access.Grants{Environments: many(65)}, false},
		"too many paths":             {access.Grants{Paths: prefixes(t, strings.Split(strings.Repeat("p ", 64)+"p", " ")...)}, false},
		"too many actions":           {access.Grants{Actions: make([]access.Action, 65)}, false},
		"too many addresses":         {access.Grants{Addresses: make([]netip.Prefix, 65)}, false},
		"too long":                   {access.Grants{Roles: []string{strings.Repeat("r", 9<<10)}}, false},
		"no name of an environment":  {access.Grants{Environments: []string{"No Such"}}, false},
		"an empty environment":       {access.Grants{Environments: []string{""}}, false},
		"an empty path":              {access.Grants{Paths: make([]config.Prefix, 1)}, false},
		"no such action":             {access.Grants{Actions: []access.Action{"config.reads"}}, false},
		"a group of actions":         {access.Grants{Actions: []access.Action{"view"}}, false},
		"an empty action":            {access.Grants{Actions: []access.Action{""}}, false},
		"no address":                 {access.Grants{Addresses: make([]netip.Prefix, 1)}, false},
		"addresses of IPv4 in IPv6":  {access.Grants{Addresses: ranges("::ffff:10.0.0.0/104")}, false},
		"every IPv6 address":         {access.Grants{Addresses: ranges("::/0")}, true},
		"one address":                {access.Grants{Addresses: ranges("10.0.0.1/32")}, true},
		"a hash":                     {access.Grants{Certificate: hash}, true},
		"a hash in capitals":         {access.Grants{Certificate: strings.ToUpper(hash)}, false},
		"a shorter hash":             {access.Grants{Certificate: hash[2:]}, false},
		"a longer hash":              {access.Grants{Certificate: hash + "00"}, false},
		"a name of nothing":          {access.Grants{Certificate: "gateway"}, false},
		"spiffe without a name":      {access.Grants{Certificate: "spiffe://"}, false},
		"dns without a name":         {access.Grants{Certificate: "dns:"}, false},
		"a dns name in capitals":     {access.Grants{Certificate: "dns:CI.test"}, false},
		"a dns name":                 {access.Grants{Certificate: "dns:ci.test"}, true},
		"spiffe in other characters": {access.Grants{Certificate: "SPIFFE://acme/ci"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.grants.Check()
			if c.ok && err != nil || !c.ok && err == nil {
				t.Fatalf("Check: %v", err)
			}
			if kind := config.KindOf(err); !c.ok && kind != config.KindBadRequest && kind != config.KindInvalidName {
				t.Errorf("Check answers %s: %v", kind, err)
			}
		})
	}
}

// A token is good over the connections that it is bound to, and over another it
// is like one that nobody knows; as well when it is looked at again later.
func TestWhereABoundTokenIsGood(t *testing.T) {
	spiffe := &access.Certificate{Fingerprint: [32]byte{1}, SPIFFE: "spiffe://acme.test/ci"}
	dns := &access.Certificate{Fingerprint: [32]byte{2}, DNS: []string{"ci.test", "other.test"}}
	bare := &access.Certificate{Fingerprint: [32]byte{3}}
	from := func(text string) access.Connection { return access.Connection{Source: netip.MustParseAddr(text)} }
	with := func(c *access.Certificate) access.Connection { return access.Connection{Certificate: c} }
	v4, v6 := access.Grants{Addresses: ranges("10.1.0.0/16", "192.0.2.7/32")}, access.Grants{Addresses: ranges("2001:db8:0:1::/64")}
	anyV4, anyV6 := access.Grants{Addresses: ranges("0.0.0.0/0")}, access.Grants{Addresses: ranges("::/0")}
	hash := access.Grants{Certificate: "01" + strings.Repeat("00", 31)}
	workload, host := access.Grants{Certificate: "spiffe://acme.test/ci"}, access.Grants{Certificate: "dns:ci.test"}
	both := access.Grants{Addresses: v4.Addresses, Certificate: hash.Certificate}
	for name, c := range map[string]struct {
		grants access.Grants
		from   access.Connection
		ok     bool
	}{
		"bound to nothing, nothing known":     {access.Grants{}, access.Connection{}, true},
		"bound to nothing":                    {access.Grants{}, from("10.1.2.3"), true},
		"in the range":                        {v4, from("10.1.2.3"), true},
		"in the other range":                  {v4, from("192.0.2.7"), true},
		"beside the range":                    {v4, from("10.2.0.0"), false},
		"beside the one address":              {v4, from("192.0.2.8"), false},
		"IPv4 in IPv6":                        {v4, from("::ffff:10.1.2.3"), true},
		"IPv4 in IPv6, beside":                {v4, from("::ffff:10.2.2.3"), false},
		"IPv4 at the end of another IPv6":     {v4, from("64:ff9b::10.1.2.3"), false},
		"no address known":                    {v4, access.Connection{}, false},
		"no address known, any would do":      {anyV4, access.Connection{}, false},
		"no address known, any would do, six": {anyV6, access.Connection{}, false},
		"IPv6 for any IPv4":                   {anyV4, from("2001:db8::1"), false},
		"IPv4 for any IPv6":                   {anyV6, from("10.1.2.3"), false},
		"in the /64":                          {v6, from("2001:db8:0:1:ffff::1"), true},
		"in the /64 with a zone":              {v6, from("2001:db8:0:1::1%eth0"), true},
		"beside the /64":                      {v6, from("2001:db8:0:2::1"), false},
		"the certificate":                     {hash, with(spiffe), true},
		"another certificate":                 {hash, with(bare), false},
		"no certificate":                      {hash, access.Connection{}, false},
		"its SPIFFE ID":                       {workload, with(spiffe), true},
		"none of that SPIFFE ID":              {workload, with(dns), false},
		"no SPIFFE ID, no certificate":        {workload, access.Connection{}, false},
		"below the SPIFFE ID":                 {workload, with(&access.Certificate{SPIFFE: "spiffe://acme.test/ci/x"}), false},
		"its DNS name":                        {host, with(dns), true},
		"none of that DNS name":               {host, with(&access.Certificate{DNS: []string{"x.ci.test", "ci.tes"}}), false},
		"a SPIFFE ID that is a DNS name":      {host, with(&access.Certificate{SPIFFE: "ci.test"}), false},
		"address and certificate":             {both, access.Connection{Source: netip.MustParseAddr("10.1.0.1"), Certificate: spiffe}, true},
		"the address alone":                   {both, from("10.1.0.1"), false},
		"the certificate alone":               {both, with(spiffe), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			g.tokens.change(g.token.ID, func(k *store.Token) { k.Grants = c.grants.Encode() })
			p, err := g.Authenticate(t.Context(), g.token.Reveal(), c.from)
			again, againErr := g.Recheck(t.Context(), access.Principal{Method: access.MethodToken, ID: g.token.ID}, c.from)
			if c.ok {
				if err != nil || againErr != nil || p.Certificate != c.from.Certificate || again.Certificate != c.from.Certificate {
					t.Errorf("it is %+v, %v and %v", p, err, againErr)
				}
				return
			}
			for _, err := range []error{err, againErr} {
				if diff := cmp.Diff(access.Unauthenticated(), err); diff != "" {
					t.Errorf("the answer is not the one to what nobody knows:\n%s", diff)
				}
			}
			if !cmp.Equal(p, access.Principal{}) {
				t.Errorf("beside the error there is %+v", p)
			}
		})
	}
}

// A row of the first release has no grants; one whose grants do not parse lets
// nobody in, and says that it cannot tell.
func TestGrantsOfARow(t *testing.T) {
	g := newGate(t)
	if p := g.admit(t); p.Scope != nil || !p.HasRole(access.RoleAdmin) {
		t.Errorf("a row without grants is %+v", p)
	}
	g.tokens.change(g.token.ID, func(k *store.Token) { k.TenantAdmin, k.Grants = false, fullGrants(t).Encode() })
	g.Forget(g.token.ID)
	p, err := g.Authenticate(t.Context(), g.token.Reveal(), access.Connection{
		Source: netip.MustParseAddr("10.0.0.1"), Certificate: &access.Certificate{SPIFFE: "spiffe://acme.test/ci"},
	})
	if err != nil || p.HasRole(access.RoleAdmin) || !p.HasRole("deployer") || p.Scope == nil || len(p.Ancestors) != 2 {
		t.Errorf("a row with grants is %+v, %v", p, err)
	}
	g.tokens.change(g.token.ID, func(k *store.Token) { k.Grants = []byte("{") })
	g.Forget(g.token.ID)
	g.refuse(t, g.token.Reveal(), config.KindUnavailable)
}
