package identity

import (
	"slices"
	"time"
)

// The bounds of an identities file.
const (
	MaxFile         = 1 << 20 // bytes
	MaxIssuers      = 64
	MaxBindings     = 1000 // of all issuers together
	MaxCertificates = 1000

	maxAudiences  = 16
	maxConditions = 16      // claims of one binding
	maxValues     = 64      // of one claim
	maxValue      = 1 << 10 // bytes of one value
	maxClaimName  = 256
	maxRoles      = 64
	maxScopes     = 32
	maxURL        = 512
	maxText       = 256 // bytes of an audience, a client's id, a scope
	maxPath       = 4 << 10
)

const (
	defaultLeeway    = 30 * time.Second
	maxLeeway        = 5 * time.Minute
	maxMaxAge        = 365 * 24 * time.Hour
	defaultNameClaim = "email"
)

// defaultAlgorithms are taken from an issuer that lists none.
var defaultAlgorithms = []string{"RS256", "ES256", "EdDSA"}

// File is an identities file: who besides the holders of tokens is let in, and as
// what. It comes from ParseFile and must not be changed.
type File struct {
	// Issuers are whose tokens are taken: at most 64, each name and each URL once.
	// None: no token of an issuer is taken.
	Issuers []Issuer
	// Certificates are asked in their order, and the first that fits counts: at
	// most 1000. None: no certificate alone lets anybody in.
	Certificates []CertificateRule
}

// Issuer is an OpenID Connect issuer and what its tokens are worth here.
type Issuer struct {
	// Name is the issuer's in this server, as [a-z][a-z0-9-]* of at most 64 bytes.
	// It is a part of the ids of its identities, so another name makes them others.
	Name string
	// URL is what the issuer calls itself in the claim iss, byte for byte, in at
	// most 512 bytes. Its discovery document is found below it. It is https; plain
	// http only on this machine's loopback.
	URL string
	// Audience are the values of aud that are meant for this server, 1 to 16 of at
	// most 256 bytes. A token needs one of them.
	Audience []string
	// Algorithms are the signatures taken, of RS256, RS384, RS512, PS256, ES256,
	// ES384 and EdDSA. None: RS256, ES256 and EdDSA.
	Algorithms []string
	// CA is a PEM file of the authorities that the issuer's TLS certificate may
	// come from, instead of the system's. Empty: the system's.
	CA string
	// Leeway is how far the issuer's clock may differ, from 1 s to 5 min. Zero: 30 s.
	Leeway time.Duration
	// Replay makes each token good for one use: it needs a jti. Used ones are
	// remembered by each process for itself. False: a token is good until it expires.
	Replay bool
	// MaxAge is how long ago a token may have been issued, from 1 s to a year; it
	// then needs an iat. Zero: as long ago as its exp allows.
	MaxAge time.Duration
	// NameClaim is the claim that history shows as the author. Empty: email. Where
	// a token has none, its sub is shown.
	NameClaim string
	// Login is how people log in with this issuer. Nil: they cannot.
	Login *Login
	// Bindings are asked in their order, and the first that fits counts; whom none
	// fits is nobody. At most 1000 in a file. None: its tokens let nobody in.
	Bindings []Binding
}

// Login is this server as a client of an issuer.
type Login struct {
	ClientID         string   // 1 to 256 bytes
	ClientSecretFile string   // a file that holds the client's secret. Empty: a public client
	Scopes           []string // at most 32 beside openid. None: openid alone
}

// Binding gives tokens with certain claims a place here.
type Binding struct {
	// When holds for each of at most 16 claims the values of which a token must
	// have one, exactly: 1 to 64 of at most 1 KiB. A member of a claim that is an
	// object is named claim.member. Whoever can choose a claim's value chooses
	// what is compared here: with email, compare email_verified too. Empty: every
	// token of the issuer.
	When map[string][]string
	// Tenant is what the identity belongs to, by name. Empty, only with
	// ServerAdmin: to the server alone.
	Tenant string
	// Roles are what it is in Tenant, at most 64, sorted. None: what the tenant's
	// policies say of it by its id or its claims.
	Roles []string
	// ServerAdmin makes it an admin of the server. False: it is none.
	ServerAdmin bool
}

// CertificateRule gives client certificates a place here. Either SPIFFE or DNS is
// set.
type CertificateRule struct {
	// SPIFFE is an id such as spiffe://example.org/gateway, or with /* at its end
	// those of one or more segments below. Empty: the rule is about DNS.
	SPIFFE string
	// DNS is a name in lower case, without wildcards. Certificates with a SPIFFE ID
	// are not known by DNS names. Empty: the rule is about SPIFFE.
	DNS string
	// Tenant, Roles and ServerAdmin are as in a Binding.
	Tenant      string
	Roles       []string
	ServerAdmin bool
}

func (b Binding) grant() grant { return grant{b.Tenant, b.Roles, b.ServerAdmin} }

func (r CertificateRule) grant() grant { return grant{r.Tenant, r.Roles, r.ServerAdmin} }

// leeway is how far the clocks may differ.
func (i Issuer) leeway() time.Duration {
	if i.Leeway == 0 {
		return defaultLeeway
	}
	return i.Leeway
}

func (i Issuer) nameClaim() string {
	if i.NameClaim == "" {
		return defaultNameClaim
	}
	return i.NameClaim
}

func (i Issuer) takes(algorithm string) bool {
	if len(i.Algorithms) == 0 {
		return slices.Contains(defaultAlgorithms, algorithm)
	}
	return slices.Contains(i.Algorithms, algorithm)
}

// place is what the first binding that fits gives.
func (i Issuer) place(claims map[string][]string) (grant, bool) {
	for _, b := range i.Bindings {
		if b.fits(claims) {
			return b.grant(), true
		}
	}
	return grant{}, false
}

// fits compares texts whole: nothing in a claim or in the file is a pattern.
func (b Binding) fits(claims map[string][]string) bool {
	for name, wanted := range b.When {
		if !slices.ContainsFunc(claims[name], func(value string) bool { return slices.Contains(wanted, value) }) {
			return false
		}
	}
	return true
}
