package store

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Master is one version of the master key, which itself is with its keeper.
type Master struct {
	Version uint32
	Keeper  string // its name, which reveals no key
	Check   []byte // a known text, wrapped by it
	Created time.Time
	Retired time.Time // zero while it may wrap a tenant's key
}

// TenantKey is a tenant's wrapped key with all its versions.
type TenantKey struct {
	Tenant     config.TenantID
	Wrapped    []byte // nil for a tombstone
	Master     uint32 // the version of the master key that wraps it
	Generation int64  // 1, 2, 3 … with each replacement
	Newest     uint32 // the newest version of the tenant's key in it
	Created    time.Time
	Rotated    time.Time // when its newest version was made
}

// LayerState says what a version of a layer is.
type LayerState uint8

// The states of a layer's version.
const (
	Live      LayerState = iota + 1
	Deleted              // the environment says nothing here since this version
	Destroyed            // the body is gone for ever; Sealed holds its digest
)

// Layer is one version of what one environment says at a path.
type Layer struct {
	Path        config.Path
	Environment config.EnvironmentID
	Version     config.Version
	Revision    config.Revision
	Time        time.Time
	Author      string
	State       LayerState
	Sealed      []byte // nil when deleted
}

// Edge says that the layer of an environment at From refers to the document To.
type Edge struct {
	From        config.Path
	Environment config.EnvironmentID
	To          config.Path
}

// EntryKind says what a revision was.
type EntryKind string

// The kinds of log entries.
const (
	EntryTenant      EntryKind = "tenant"
	EntryChange      EntryKind = "change"
	EntryDestroy     EntryKind = "destroy"
	EntryEnvironment EntryKind = "environment"
	EntryTag         EntryKind = "tag"
	EntryToken       EntryKind = "token"
	EntrySecret      EntryKind = "secret"
	EntryKey         EntryKind = "key"
	EntryRule        EntryKind = "rule"
)

// Entry is one revision in a tenant's log.
type Entry struct {
	Revision config.Revision
	Time     time.Time
	Kind     EntryKind
	Author   string
	Subject  Subject
	Sealed   []byte
}

// Subject is the place an entry's body is sealed for. No two entries of a
// tenant share one, so no body opens in another entry's place.
type Subject struct {
	Environment config.EnvironmentID
	Path        string // a path, or the name of what is no document
	Version     int64
}

// Tag names a revision. A later Tag of the same name replaces it.
type Tag struct {
	Name   string
	Target config.Revision
	Set    config.Revision // the revision that set it
	Time   time.Time       // when that was
	Author string
}

// Token is an API token as it is kept: never the token itself.
type Token struct {
	ID          string
	Tenant      config.TenantID // zero for a token of the server alone
	Name        string
	Hash        [32]byte // SHA-256 of the secret half
	TenantAdmin bool
	ServerAdmin bool
	Grants      []byte // what else it is given, narrowed to and bound to; nil for nothing
	Author      string
	Created     time.Time
	Expires     time.Time
	Revoked     time.Time // zero while it stands
	LastUsed    time.Time // zero when it never was; to the minute, or about that
	MAC         [32]byte  // of all the above but Revoked and LastUsed, under a key that the store does not have
}

// TokenUse says when a token was used.
type TokenUse struct {
	ID   string
	Time time.Time
}

// RuleKind says what a rule is.
type RuleKind string

// The kinds of rules.
const (
	RulePolicy   RuleKind = "policy"   // a file of policies
	RuleRole     RuleKind = "role"     // a role of the tenant's own
	RuleQuota    RuleKind = "quota"    // the tenant's limits
	RuleGrant    RuleKind = "grant"    // access to the tenant by break-glass
	RuleManifest RuleKind = "manifest" // which rules there are, so that the store can leave none out
)

// Rule is one version of what governs a tenant, under a name.
type Rule struct {
	Kind     RuleKind
	Name     string
	Version  config.Version
	Revision config.Revision
	Time     time.Time
	Author   string
	Deleted  bool
	Sealed   []byte // nil when deleted
}

// RuleWrite adds the next version of a rule: one above its newest, 1 for the
// first, else KindConflict.
type RuleWrite struct {
	Kind    RuleKind
	Name    string
	Version config.Version
	Deleted bool
	Sealed  []byte
}

// Usage is how much of something a tenant uses, or may use.
type Usage struct {
	Documents int64 // layers that are not deleted
	Bytes     int64 // of their bodies as they are stored, and of the values of secrets
	Secrets   int64 // secrets that are not deleted, those of each environment by themselves
}

// PastDecision is what was decided of one question, sealed, under a keyed hash of it.
type PastDecision struct {
	Key    [32]byte
	Time   time.Time // when it was last decided
	Sealed []byte
}

// DataKey is a data key wrapped by its tenant's key.
type DataKey struct {
	Epoch      uint32
	Wrapped    []byte
	KeyVersion uint32 // of the tenant's key that wraps it
	Reserved   int64  // seals reserved so far
}

// WrappedKey is a data key of either sort: that of an epoch, or, when Epoch is
// zero, that of one version of a secret.
type WrappedKey struct {
	Epoch       uint32
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version
	Wrapped     []byte
	KeyVersion  uint32
}

// Rewrapped is a data key with what it was wrapped as before.
type Rewrapped struct {
	WrappedKey
	Before []byte
}

// Secret is the record of a secret of one environment.
type Secret struct {
	Path        config.Path
	Environment config.EnvironmentID
	Version     config.Version // of the record: it counts every mutation of the secret
	Revision    config.Revision
	Time        time.Time
	Author      string
	Deleted     bool
	Sealed      []byte
}

// SecretValue is the sealed value of one version of a secret, with the data key
// of its own that seals it.
type SecretValue struct {
	Version    config.Version
	Sealed     []byte
	Wrapped    []byte
	KeyVersion uint32 // of the tenant's key that wraps the data key
}

// DueSecret is a record that wants to be looked after.
type DueSecret struct {
	Tenant      config.TenantID
	Environment config.EnvironmentID
	Path        config.Path
	Due         time.Time
}

// Served says that a principal was given a version of a secret of an environment.
type Served struct {
	Principal   string
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version
}

// Ack is what a client says it runs.
type Ack struct {
	Environment config.EnvironmentID
	Principal   string
	Client      string
	Time        time.Time
	Expires     time.Time
	Sealed      []byte
}
