package access

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Grants are what a token is given, narrowed to and bound to, besides being an
// administrator's. The zero Grants are those of a token that is not narrowed.
type Grants struct {
	Roles        []string        `json:"roles,omitempty"`        // in its tenant, sorted; without admin, which the row says
	Environments []string        `json:"environments,omitempty"` // empty for all; as the two below
	Paths        []config.Prefix `json:"paths,omitempty"`
	Actions      []Action        `json:"actions,omitempty"`
	Addresses    []netip.Prefix  `json:"addresses,omitempty"`   // whence it may be used; empty: from anywhere
	Certificate  string          `json:"certificate,omitempty"` // hex SHA-256 of the client certificate it may be used with, or a spiffe:// or dns: name; "" for any or none
	Ancestors    []string        `json:"ancestors,omitempty"`   // see Principal.Ancestors
}

// Encode is the text of the grants as a token's row holds it; nil for the zero Grants.
func (g Grants) Encode() []byte {
	text, err := json.Marshal(g)
	if err != nil {
		panic("access: grants do not encode: " + err.Error()) // texts always do
	}
	if string(text) == "{}" {
		return nil
	}
	return text
}

// ParseGrants reads what Encode wrote.
func ParseGrants(text []byte) (g Grants, err error) {
	if len(text) == 0 {
		return g, nil
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return Grants{}, fmt.Errorf("read the grants of a token: %w", err)
	}
	return g, nil
}

// Bounds of what a token is narrowed and bound to.
const (
	maxGranted      = 64
	maxGrantedBytes = 8 << 10
)

// Check refuses grants that are not well formed; the error is of KindBadRequest.
func (g Grants) Check() error {
	for _, list := range []struct {
		name string
		n    int
	}{{"roles", len(g.Roles)}, {"environments", len(g.Environments)}, {"paths", len(g.Paths)}, {"actions", len(g.Actions)}, {"addresses", len(g.Addresses)}} {
		if list.n > maxGranted {
			return config.Errorf(config.KindBadRequest, "a token has at most %d %s", maxGranted, list.name).At("/"+list.name).Over(maxGranted, int64(list.n))
		}
	}
	for _, name := range g.Environments {
		if err := config.CheckName(name); err != nil {
			return err
		}
	}
	for _, prefix := range g.Paths {
		if prefix.String() == "" {
			return config.Errorf(config.KindBadRequest, "a token is narrowed to paths by prefixes that are not empty").At("/paths").Hint("leave paths out for all")
		}
	}
	for _, addresses := range g.Addresses {
		if !addresses.IsValid() || addresses.Addr().Is4In6() { // which no connection comes from
			return config.Errorf(config.KindBadRequest, "addresses are written like 10.0.0.0/8 or 2001:db8::/32").At("/addresses")
		}
	}
	for i, action := range g.Actions {
		if _, known := InfoOf(action); !known {
			return config.Errorf(config.KindBadRequest, "there is no such action").At(fmt.Sprintf("/actions/%d", i)).Hint("actions are named like config.read")
		}
	}
	if err := checkCertificateName(g.Certificate); err != nil {
		return err
	}
	if n := len(g.Encode()); n > maxGrantedBytes {
		return config.Errorf(config.KindBadRequest, "what the token is given takes too much room").Over(maxGrantedBytes, int64(n))
	}
	return nil
}

func checkCertificateName(name string) error {
	fingerprint, err := hex.DecodeString(name)
	switch {
	case name == "", err == nil && len(fingerprint) == 32 && name == strings.ToLower(name),
		strings.HasPrefix(name, "spiffe://") && len(name) > len("spiffe://"),
		strings.HasPrefix(name, "dns:") && len(name) > len("dns:") && name == strings.ToLower(name):
		return nil
	}
	return config.Errorf(config.KindBadRequest, "a certificate is named by the hex SHA-256 of its DER form, spiffe://domain/path or dns:name").At("/certificate")
}

// Scope is what the grants narrow a token to; nil when they do not.
func (g Grants) Scope() *Scope {
	if len(g.Environments) == 0 && len(g.Paths) == 0 && len(g.Actions) == 0 {
		return nil
	}
	return &Scope{Environments: g.Environments, Paths: g.Paths, Actions: g.Actions}
}

// Binding says where a token may be used from; the zero Binding is anywhere.
type Binding struct {
	Addresses   []netip.Prefix
	Certificate string // as in Grants
}

// Binding is what the grants bind a token to.
func (g Grants) Binding() Binding { return Binding{g.Addresses, g.Certificate} }

// Allows says whether a token may be used over a connection.
func (b Binding) Allows(from Connection) bool {
	return b.allowsSource(from.Source) && (b.Certificate == "" || from.Certificate.is(b.Certificate))
}

func (b Binding) allowsSource(source netip.Addr) bool {
	source = source.Unmap().WithZone("")
	for _, prefix := range b.Addresses {
		if prefix.Contains(source) {
			return true
		}
	}
	return len(b.Addresses) == 0
}

// Within says whether all that is bound so is bound as the other one as well.
func (b Binding) Within(outer Binding) bool {
	if outer.Certificate != "" && b.Certificate != outer.Certificate {
		return false
	}
	for _, prefix := range b.Addresses {
		if len(outer.Addresses) > 0 && !slices.ContainsFunc(outer.Addresses, func(o netip.Prefix) bool {
			return o.Bits() <= prefix.Bits() && o.Contains(prefix.Addr())
		}) {
			return false
		}
	}
	return len(outer.Addresses) == 0 || len(b.Addresses) > 0
}

// is says whether the certificate is the one of a hex fingerprint, or has a
// spiffe:// or dns: name.
func (c *Certificate) is(name string) bool {
	switch {
	case c == nil:
		return false
	case strings.HasPrefix(name, "spiffe://"):
		return c.SPIFFE == name
	case strings.HasPrefix(name, "dns:"):
		return slices.Contains(c.DNS, strings.TrimPrefix(name, "dns:"))
	}
	return hex.EncodeToString(c.Fingerprint[:]) == name
}

// tokenPrincipal is who comes with a token.
func tokenPrincipal(t store.Token, g Grants) Principal {
	p := Principal{
		ID: t.ID, Name: t.Name, Method: MethodToken, Tenant: t.Tenant, Roles: slices.Clone(g.Roles),
		ServerAdmin: t.ServerAdmin, Expires: t.Expires, Scope: g.Scope(), Ancestors: g.Ancestors, Bound: g.Binding(),
	}
	if t.TenantAdmin {
		p.Roles = append(p.Roles, RoleAdmin)
		slices.Sort(p.Roles)
	}
	return p.Sealed()
}
