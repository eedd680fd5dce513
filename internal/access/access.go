// Package access answers two questions: who is asking, and may they. It trusts
// the store for what tokens there are, and nothing that a request says.
//
// An Authenticator turns the text of a token into a Principal; packages below
// this one do the same for other credentials, and decide by policies on what a
// principal wants to do. Whatever none of them knows is denied.
package access

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// How a principal proved who it is.
const (
	MethodToken       = "token"       // an API token
	MethodIdentity    = "identity"    // a JWT of an OIDC issuer
	MethodCertificate = "certificate" // a client certificate alone
	MethodSystem      = "system"      // the server itself
)

// The built-in roles. A tenant's own roles have names of their own.
const (
	RoleViewer      = "viewer"
	RoleOperator    = "operator"
	RoleAdmin       = "admin"
	RoleApplication = "application"  // what a running service needs
	RoleServerAdmin = "server-admin" // of the server; no tenant gives it
)

// BuiltinRoles are the roles that every tenant has.
var BuiltinRoles = []string{RoleViewer, RoleOperator, RoleAdmin, RoleApplication}

// Principal is who asks. The zero Principal is nobody. It is shared between
// requests and must not be changed.
type Principal struct {
	ID          string
	Name        string
	Method      string          // how it proved who it is
	Issuer      string          // the name of the issuer that vouches for an identity
	Tenant      config.TenantID // zero for a principal of the server alone
	Roles       []string        // in Tenant, sorted
	ServerAdmin bool
	Expires     time.Time
	Scope       *Scope              // what a token is narrowed to; nil for none
	Claims      map[string][]string // what the issuer or the certificate says; values sorted
	Ancestors   []string            // the actors that this token began with: those who gave it, and nobody gave them theirs
	Certificate *Certificate        // of the connection; nil when it has none
	Bound       Binding             // where a token may be used from

	// Key is the same for two principals only if they are the same in all that a
	// decision can depend on, but for Certificate; Sealed sets it.
	Key [32]byte
}

// Scope narrows a token: what it does must be within all three, of which an
// empty one holds everything.
type Scope struct {
	Environments []string
	Paths        []config.Prefix
	Actions      []Action
}

// Certificate is what is known of a client's certificate once it was verified.
type Certificate struct {
	Fingerprint [32]byte // SHA-256 of its DER form
	SPIFFE      string   // the URI SAN that begins with spiffe://, if there is one
	DNS         []string // its DNS SANs, sorted
	Expires     time.Time
}

// Actor names the principal in logs and audit records: it is never given to
// another, and nobody chooses it.
func (p Principal) Actor() string {
	if p.ID == "" {
		return "anonymous"
	}
	return p.Method + ":" + p.ID
}

// Account is the principal's name in what is kept for it: the id of a token,
// which is no Actor's, else its Actor.
func (p Principal) Account() string {
	if p.Method == MethodToken {
		return p.ID
	}
	return p.Actor()
}

// Author names the principal in history, for people to read.
func (p Principal) Author() string {
	if p.Name == "" {
		return p.Actor()
	}
	return p.Name
}

// Roots are the actors that the principal began with: its own where nobody gave it
// its token.
func (p Principal) Roots() []string {
	if len(p.Ancestors) > 0 {
		return p.Ancestors
	}
	return []string{p.Actor()}
}

// HasRole says whether the principal was given a role by its very name.
func (p Principal) HasRole(role string) bool { return slices.Contains(p.Roles, role) }

// Sealed is the principal with its Key, to be called when all else is set.
func (p Principal) Sealed() Principal {
	var b []byte
	text := func(texts ...string) {
		b = binary.AppendUvarint(b, uint64(len(texts)))
		for _, t := range texts {
			b = binary.AppendUvarint(b, uint64(len(t)))
			b = append(b, t...)
		}
	}
	text(p.ID, p.Method, p.Issuer, string(p.Tenant[:]))
	text(p.Roles...)
	b = append(b, flag(p.ServerAdmin), flag(p.Scope != nil))
	names := slices.Sorted(maps.Keys(p.Claims))
	text(names...)
	for _, name := range names {
		text(p.Claims[name]...)
	}
	if p.Scope != nil {
		text(p.Scope.Environments...)
		text(texts(p.Scope.Paths, config.Prefix.String)...)
		text(texts(p.Scope.Actions, func(a Action) string { return string(a) })...)
	}
	p.Key = sha256.Sum256(b)
	return p
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func texts[T any](values []T, text func(T) string) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = text(v)
	}
	return all
}
