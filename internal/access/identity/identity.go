// Package identity finds out who comes with something else than a token of this
// server: with a JSON Web Token of an OpenID Connect issuer, or with a client
// certificate. It trusts the identities file, which the operator writes, and the
// keys that the issuers named there publish over TLS. It trusts nothing that a
// token says before its signature was checked, and never asks anybody whom a
// token names.
//
// What an issuer or a certificate says is text: it is compared with what the
// file says, whole and byte for byte, and is never a pattern.
package identity

import (
	"time"
)

// Claimed is who somebody proved to be, and what the identities file gives them.
// It is shared between requests and must not be changed.
type Claimed struct {
	Method      string              // access.MethodIdentity or access.MethodCertificate
	Issuer      string              // the issuer's name in the file; empty for a certificate
	ID          string              // "<issuer>:<sub>", the SPIFFE ID, or "dns:NAME"
	Name        string              // for people to read: printable, 128 bytes at most; never compared
	Tenant      string              // by name; empty for an identity of the server alone
	Roles       []string            // in Tenant, sorted
	ServerAdmin bool                // of the server
	Claims      map[string][]string // what the token or the certificate says; values sorted, none twice
	Expires     time.Time           // from then on it is nobody
	Session     string              // what tells this login from others, as far as it says: sid, else jti, or the serial number; printable, 128 bytes at most

	token evidence // what Still weighs again; zero for a certificate
}

// evidence is what a token said of itself, as far as settings decide on it.
type evidence struct {
	issuer    string // its URL
	audience  []string
	algorithm string
	issued    time.Time // zero when the token does not say
	expires   time.Time // as the token says, without leeway
}

// grant is what a binding or a rule gives.
type grant struct {
	tenant      string
	roles       []string
	serverAdmin bool
}

// given is the claimed with what a grant gives.
func (c Claimed) given(g grant) Claimed {
	c.Tenant, c.Roles, c.ServerAdmin = g.tenant, g.roles, g.serverAdmin
	return c
}
