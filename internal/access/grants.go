package access

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

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
	Ancestors    []string        `json:"ancestors,omitempty"`   // the actors that issued it, and theirs, nearest first
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

// Scope is what the grants narrow a token to; nil when they do not.
func (g Grants) Scope() *Scope {
	if len(g.Environments) == 0 && len(g.Paths) == 0 && len(g.Actions) == 0 {
		return nil
	}
	return &Scope{Environments: g.Environments, Paths: g.Paths, Actions: g.Actions}
}

// tokenPrincipal is who comes with a token.
func tokenPrincipal(t store.Token, g Grants) Principal {
	p := Principal{
		ID: t.ID, Name: t.Name, Method: MethodToken, Tenant: t.Tenant, Roles: slices.Clone(g.Roles),
		ServerAdmin: t.ServerAdmin, Expires: t.Expires, Scope: g.Scope(), Ancestors: g.Ancestors,
	}
	if t.TenantAdmin {
		p.Roles = append(p.Roles, RoleAdmin)
		slices.Sort(p.Roles)
	}
	return p.Sealed()
}
