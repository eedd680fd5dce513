package service

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
)

// SecretRequest writes a new version of a secret, or only what is said about it
// when it brings neither fields nor a generator.
type SecretRequest struct {
	Fields    secret.Fields
	Generate  *secret.Generator
	Expires   time.Time       // of the version; zero for never
	Stage     bool            // keep it for later
	Grace     *time.Duration  // of the version before; nil for what the secret says
	Now       bool            // revoke the version before at once
	AllowWeak string          // why a weak value is to be taken all the same
	IfVersion *config.Version // the newest version must be this; 0 means that there must be no secret
	IfRecord  *config.Version // the record must be at this; 0 that there must be no secret, AnyVersion that there must be one
	Metadata  SecretMetadata
	Message   string
}

// SecretMetadata changes what is said about a secret; nil leaves it as it is.
type SecretMetadata struct {
	Description *string
	Owner       *string
	Labels      map[string]string // an empty value takes a label away
	Rotation    *secret.Rotation  // the zero Rotation takes it away
}

// SecretResult says what a write of a secret did.
type SecretResult struct {
	Outcome
	Environment string
	Path        config.Path
	Version     config.Version // the version it was about; 0 for none
	State       secret.State   // of that version
	Current     config.Version
	Previous    config.Version
	Record      config.Version
	Notes       []string
}

// SecretInfo is what may be known of a secret without its values.
type SecretInfo struct {
	secret.Record
	Environment   string // that supplies it
	Path          config.Path
	RecordVersion config.Version
	Revision      config.Revision
	Time          time.Time
	Author        string
	InUse         config.Version // the version in use; 0 for none
	InGrace       config.Version
	Waiting       config.Version // the staged one
}

// RevealRequest says which values of a secret are wanted.
type RevealRequest struct {
	Version     config.Version // 0 for the one in use, and the one in grace with it
	Field       string         // only this one; "" for all
	MinRevision config.Revision
}

// Revealed is a secret with its values. Whoever has it wipes it.
type Revealed struct {
	Environment string
	Path        config.Path
	Revision    config.Revision
	RevealedVersion
	Previous *RevealedVersion // nil when none is in grace
}

// RevealedVersion is one version with its values.
type RevealedVersion struct {
	Version config.Version
	State   secret.State
	Fields  secret.Fields
	Until   time.Time // when it stops being valid; zero when that is not known
	Expires time.Time
}

// Wipe clears the values.
func (r Revealed) Wipe() {
	r.Fields.Wipe()
	if r.Previous != nil {
		r.Previous.Fields.Wipe()
	}
}

// SecretListRequest says which secrets are wanted.
type SecretListRequest struct {
	Environment string
	Prefix      config.Prefix
	Glob        config.Glob
	Labels      map[string]string // all of them; an empty value asks for the label alone
	Own         bool              // only what the environment itself says
	Deleted     bool              // deleted ones too
	Page        Page
}

// SecretPage is a page of secrets.
type SecretPage struct {
	Secrets  []SecretInfo
	Revision config.Revision
	Next     Cursor
}

// SecretPoint names a version of a secret; Version 0 is the one in use.
type SecretPoint struct {
	Environment string
	Version     config.Version
}

// SecretDiff says which fields of two versions differ.
type SecretDiff struct {
	Path     config.Path
	From, To SecretPoint
	Fields   []FieldDiff
}

// FieldDiff is one field of two versions.
type FieldDiff struct {
	Field  string
	Change string // same, changed, added, removed
}

// SecretStep is a request that moves a secret's versions on.
type SecretStep struct {
	Version  config.Version    // 0 for the one that is meant: the staged one, the one in grace
	Generate *secret.Generator // rotate: nil for what the secret's rotation says
	Stage    bool              // rotate: leave it staged
	Grace    *time.Duration
	Now      bool
	Message  string
	IfRecord *config.Version
}

// UsedSecret is a secret in a document that was revealed.
type UsedSecret struct {
	Environment string // that supplies it
	Path        config.Path
	Version     config.Version
}

// RevealedDocument is an effective document with the values of its secrets. It
// is kept nowhere.
type RevealedDocument struct {
	document config.Document
	Digest   canon.Digest // of the document with its references
	Revision config.Revision
	Secrets  []UsedSecret
}

// Reveal is the document with the values in it.
func (d RevealedDocument) Reveal() config.Document { return d.document }

// AckRequest is what a client says it runs.
type AckRequest struct {
	Client   string
	Revision config.Revision
	Digest   string
	Secrets  map[config.Path]config.Version
}

// ClientState is what a live client runs.
type ClientState struct {
	AckRequest
	Principal string
	Time      time.Time
	Expires   time.Time
}

// Clients are the live clients of an environment.
type Clients struct {
	Environment string
	Revision    config.Revision
	Clients     []ClientState
}

// Adoption says which live clients use which version of a secret.
type Adoption struct {
	Environment string
	Path        config.Path
	Current     config.Version
	Previous    config.Version
	GraceUntil  time.Time
	Overlap     secret.Overlap
	Adopted     int
	Waiting     int
	Clients     []Adopter
}

// Adopter is a live client that uses a secret.
type Adopter struct {
	Client      string
	Principal   string
	Environment string
	Version     config.Version
	Time        time.Time
}

// KeyResult says what became of a key.
type KeyResult struct {
	Outcome
	Version uint32
	Pending int64
}

// TokenStep gives a token a successor.
type TokenStep struct {
	TTL   time.Duration  // 0 for as long as the old one was to be valid
	Grace *time.Duration // nil for DefaultTokenGrace
	Now   bool
}

// DefaultTokenGrace is how long a token stays valid beside its successor.
const DefaultTokenGrace = 7 * 24 * time.Hour
