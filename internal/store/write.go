package store

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Write is everything one mutation stores.
type Write struct {
	Expect Expect
	Entry  Entry // Revision and Time are the engine's to fill in

	Layers       []LayerWrite
	Destroy      []LayerDestroy
	Environments []EnvironmentWrite
	SetTags      []Tag    // Set, Time and Author are the engine's to fill in
	DeleteTags   []string // one that is not there is KindNotFound
	AddTokens    []Token  // of this tenant; an id in use is KindConflict
	RevokeTokens []string // ids of this tenant's tokens; one that is not there is KindNotFound
	ExpireTokens []TokenExpiry
	Secrets      []SecretWrite
	Rules        []RuleWrite

	Uses  Usage // how much more the tenant uses by it, less where negative
	Quota Usage // the most that it may use in all; a zero field binds nothing, and neither does any field that does not grow

	Audit      audit.Record   // Time and Revision are the engine's to fill in
	MoreAudit  []audit.Record // of the same mutation, behind Audit and alike: where one record would be too long, or it does more than one says
	Idempotent *Idempotent    // Revision and Time are the engine's to fill in

	Committed func(Receipt) // see Writer.Commit; nil for none
}

// Expect is what a Write was planned on: nothing it names may have been
// touched after Revision.
type Expect struct {
	Revision     config.Revision
	Paths        []config.Path // no layer at these paths, in any environment
	Referrers    []config.Path // no new edge to these paths
	Environments bool          // the environments
	Everything   bool          // the tenant: there must be no newer revision at all
	Secrets      []config.Path // no record of a secret at these paths, in any environment
	SecretEdges  []config.Path // no new edge to these secrets
	Rules        bool          // no rule, of any kind
}

// LayerWrite adds the next version of a layer.
type LayerWrite struct {
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version // one above the layer's newest, else KindConflict
	State       LayerState     // Live or Deleted
	Sealed      []byte
	AddEdges    []config.Path // documents it refers to from now on
	DropEdges   []config.Path // documents it refers to no more
	AddSecrets  []config.Path // secrets it refers to from now on
	DropSecrets []config.Path // secrets it refers to no more
}

// SecretWrite replaces the record of a secret, and adds and drops values.
type SecretWrite struct {
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version // one above the record's newest, 1 for the first, else KindConflict
	Sealed      []byte
	Deleted     bool
	Due         time.Time        // when it wants to be looked after; zero for never
	AddValues   []SecretValue    // a version that has a value is KindConflict
	DropValues  []config.Version // their bytes are overwritten; one without a value is passed over
}

// TokenExpiry gives a token another end; an id that is not one of this tenant's
// tokens is KindNotFound.
type TokenExpiry struct {
	ID      string
	Expires time.Time
	MAC     [32]byte
}

// LayerDestroy replaces the body of a version that is not the newest.
type LayerDestroy struct {
	Environment config.EnvironmentID
	Path        config.Path
	Version     config.Version // not there or Deleted is KindNotFound, Destroyed KindGone, the newest KindConflict
	Sealed      []byte         // its sealed digest
}

// EnvironmentWrite adds the next version of an environment: one above its
// newest, else KindConflict.
type EnvironmentWrite struct {
	config.Environment
	Deleted bool
}

// Idempotent is the kept outcome of a request.
type Idempotent struct {
	Principal   string
	Key         string
	Fingerprint [32]byte // keyed hash of the request
	Sealed      []byte   // the answer
	Revision    config.Revision
	Time        time.Time
	Expires     time.Time
}

// Receipt says where a Write landed.
type Receipt struct {
	Revision config.Revision
	Time     time.Time
}
