// Package store is the contract between the product and the database under it.
//
// The store is completely untrusted with content: every body it is given is
// sealed, and bound to the place it is stored at. It is trusted to be a
// database: what Commit acknowledged is durable, what it refused left nothing
// behind, and revisions are handed out in commit order without gaps.
//
// History is kept, so a revision is a snapshot: whoever read revision R can
// read everything else at R without holding a transaction. That is how a write
// is planned outside of any transaction and then checked by Commit.
//
// Every method of a tenant's data takes the tenant first and must behave, for
// another tenant's paths, ids, keys and cursors, as if they did not exist.
// Errors are *config.Error: KindNotFound, KindConflict, … as each method says,
// KindInvalidCursor for a cursor of another list, KindBadRequest for a limit
// below 1, KindUnavailable when the database cannot be used now; anything else,
// but for the context's own error, is a fault. Text is UTF-8 without NUL.
// storetest.Run holds one case for every "must" in this file.
package store

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Store is a whole engine: what the binary opens and closes.
type Store interface {
	Tenants
	Layers
	History
	Writer
	Identities
	TokenUses
	Auditor
	Chains
	DataKeys
	Secrets
	Rules
	Decisions
	Acks
	Leases

	// Ping answers nil while the database can be read and written.
	Ping(ctx context.Context) error
	// Close ends the engine after the commits under way; further calls fail.
	Close() error
}

// Tenants keeps the registry. It is the one role whose methods do not take a
// tenant first, because it is how a name becomes a tenant.
type Tenants interface {
	// CreateTenant must, in one transaction, add the tenant, commit founding as
	// its revision 1 and commit server on the server's own log. A name in use
	// is KindAlreadyExists, an id ever used KindConflict. The receipt is founding's.
	CreateTenant(ctx context.Context, tenant config.Tenant, founding, server Write) (Receipt, error)
	// DeleteTenant must remove the tenant's data and tokens, keep its audit
	// records, free its name, never its id, and commit server on the server's
	// log, in one transaction. An unknown tenant is KindNotFound. The receipt
	// is server's.
	DeleteTenant(ctx context.Context, tenant config.TenantID, server Write) (Receipt, error)
	// TenantNamed must find a live tenant; else KindNotFound.
	TenantNamed(ctx context.Context, name string) (config.Tenant, error)
	// Tenant must find a live tenant by its id; else KindNotFound.
	Tenant(ctx context.Context, id config.TenantID) (config.Tenant, error)
	// ListTenants pages through live tenants by name.
	ListTenants(ctx context.Context, page Page) ([]config.Tenant, Cursor, error)
}

// Layers reads what environments say, now or at a revision. In every method, at
// is a committed revision of the tenant; zero means the newest.
type Layers interface {
	// Revision is the tenant's newest committed revision; an unknown tenant is KindNotFound.
	Revision(ctx context.Context, tenant config.TenantID) (config.Revision, error)
	// Environments are the tenant's environments as they stood at a revision, by id.
	Environments(ctx context.Context, tenant config.TenantID, at config.Revision) ([]config.Environment, error)
	// NextEnvironment is an id that no environment of the tenant ever had.
	NextEnvironment(ctx context.Context, tenant config.TenantID) (config.EnvironmentID, error)
	// LayersAt must answer the layer of every environment at each path as it
	// stood at a revision, deleted ones included, by path and environment.
	LayersAt(ctx context.Context, tenant config.TenantID, at config.Revision, paths []config.Path) ([]Layer, error)
	// ScanLayers pages by path, bytewise, through the paths that Scan selects,
	// with the layers of Scan.Environments at each (deleted ones included). It
	// must never split a path over two pages.
	ScanLayers(ctx context.Context, tenant config.TenantID, scan Scan) ([]Layer, Cursor, error)
	// Referrers are the layers, deleted ones excluded, whose text refers to any
	// of the paths, by from path and environment.
	Referrers(ctx context.Context, tenant config.TenantID, to []config.Path) ([]Edge, error)
}

// History reads the past.
type History interface {
	// LayerVersion finds one version of a layer; else KindNotFound.
	LayerVersion(ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version) (Layer, error)
	// Versions pages through the versions that the environments' layers had at
	// a path, newest revision first, bodies left out.
	Versions(ctx context.Context, tenant config.TenantID, environments []config.EnvironmentID, path config.Path, page Page) ([]Layer, Cursor, error)
	// Entries must answer the log entries after a revision, oldest first, at most limit.
	Entries(ctx context.Context, tenant config.TenantID, after config.Revision, limit int) ([]Entry, error)
	// EntriesOf must answer the entries of the revisions named; missing ones are left out.
	EntriesOf(ctx context.Context, tenant config.TenantID, revisions []config.Revision) ([]Entry, error)
	// Log pages through entries newest first, only those of the kinds named if any are.
	Log(ctx context.Context, tenant config.TenantID, kinds []EntryKind, page Page) ([]Entry, Cursor, error)
	// RevisionAt is the last revision committed at or before a time, 0 when none was.
	RevisionAt(ctx context.Context, tenant config.TenantID, t time.Time) (config.Revision, error)
	// Tag finds a tag; else KindNotFound.
	Tag(ctx context.Context, tenant config.TenantID, name string) (Tag, error)
	// Tags pages through tags by name.
	Tags(ctx context.Context, tenant config.TenantID, page Page) ([]Tag, Cursor, error)
}

// Writer changes a tenant's data.
type Writer interface {
	// Commit applies a Write in one durable transaction, or nothing of it.
	//
	// It must check Expect against what is committed, and answer KindConflict
	// when something expected has moved; Quota comes after that, KindQuotaExceeded
	// with the figures and what there is too much of. It must give the tenant's next
	// revision, at a time not before that of the revision before, to all that
	// the Write holds, and append its audit record to the tenant's chain. After
	// the commit is durable and before it returns, it must call Write.Committed
	// once; calls for one tenant come in the order of revisions. An idempotency
	// key that is kept is KindIdempotencyInFlight; an outcome is kept until it
	// expires. Once the transaction has begun the context is not heeded, so that
	// the answer is never in doubt.
	Commit(ctx context.Context, tenant config.TenantID, write Write) (Receipt, error)

	// Idempotent finds what is kept for a principal's key; else KindNotFound.
	Idempotent(ctx context.Context, tenant config.TenantID, principal, key string) (Idempotent, error)
	// Remember keeps the outcome of a request that made no revision; a key that
	// is kept is KindIdempotencyInFlight.
	Remember(ctx context.Context, tenant config.TenantID, outcome Idempotent) error
	// ForgetIdempotent drops, for all tenants, outcomes that expired before now.
	ForgetIdempotent(ctx context.Context, now time.Time) error
}

// Identities finds API tokens. Token takes no tenant: it is how a request's
// tenant becomes known.
type Identities interface {
	// Token finds a token by its id; else KindNotFound.
	Token(ctx context.Context, id string) (Token, error)
	// Tokens pages through a tenant's tokens by id, the server's own for the zero tenant.
	Tokens(ctx context.Context, tenant config.TenantID, page Page) ([]Token, Cursor, error)
}

// TokenUses keeps when tokens are used.
type TokenUses interface {
	// TouchTokens must keep, in one transaction, when a tenant's tokens were last
	// used, the server's own for the zero tenant. The later time stays, and an id
	// that is not one of the tenant's tokens is passed over. It makes no revision.
	TouchTokens(ctx context.Context, tenant config.TenantID, uses []TokenUse) error
}

// Rules keeps what governs a tenant besides its environments, in versions, and
// how much the tenant uses. Rules have no part in revisions of the past.
type Rules interface {
	// Rules are the newest versions of all that are not deleted, by kind and name, bytewise.
	Rules(ctx context.Context, tenant config.TenantID) ([]Rule, error)
	// Rule finds one version, deleted or not, 0 for the newest; else KindNotFound.
	Rule(ctx context.Context, tenant config.TenantID, kind RuleKind, name string, version config.Version) (Rule, error)
	// RuleVersions pages through the versions of a rule, newest first, bodies left out.
	RuleVersions(ctx context.Context, tenant config.TenantID, kind RuleKind, name string, page Page) ([]Rule, Cursor, error)
	// Usage is the sum of Write.Uses of all that was committed, no figure ever
	// below 0; an unknown tenant is KindNotFound.
	Usage(ctx context.Context, tenant config.TenantID) (Usage, error)
}

// Decisions keeps samples of what was decided, to try other policies on.
type Decisions interface {
	// PutDecisions must keep each under its key, in the place of what was there,
	// and then drop all of the tenant's but the newest, most of them. It makes no
	// revision; an unknown tenant is KindNotFound.
	PutDecisions(ctx context.Context, tenant config.TenantID, decisions []PastDecision, most int) error
	// Decisions are the newest, at most limit, newest first.
	Decisions(ctx context.Context, tenant config.TenantID, limit int) ([]PastDecision, error)
}

// Auditor appends to and reads the audit chains; the zero tenant is the server's.
type Auditor interface {
	// AppendAudit adds records that belong to no mutation, their Time the
	// engine's to fill in; durable when it returns.
	AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error
	// AppendAccess is AppendAudit for records of secret values that are about to
	// leave. In the same transaction it keeps what is served to whom; what is
	// kept already keeps its first time.
	AppendAccess(ctx context.Context, tenant config.TenantID, served []Served, records ...audit.Record) error
	// WasServed says whether AppendAccess kept this of the tenant.
	WasServed(ctx context.Context, tenant config.TenantID, what Served) (bool, error)
	// ForgetServed drops, for all tenants, what was first served before a time.
	ForgetServed(ctx context.Context, before time.Time) error
	// Audit must answer the chain's links after a sequence number, oldest first, at most limit.
	Audit(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]audit.Link, error)
}

// DataKeys keeps wrapped data keys and how much each has been used.
type DataKeys interface {
	// DataKeys are the tenant's keys by epoch.
	DataKeys(ctx context.Context, tenant config.TenantID) ([]DataKey, error)
	// AddDataKey adds a key, also of a tenant that is yet to be created; an
	// epoch that is there is KindConflict, a deleted tenant KindNotFound.
	AddDataKey(ctx context.Context, tenant config.TenantID, key DataKey) error
	// ReserveSeals counts n seals against an epoch before they are made and
	// answers how many had been reserved before; an unknown epoch is KindNotFound.
	ReserveSeals(ctx context.Context, tenant config.TenantID, epoch uint32, n int64) (int64, error)
	// KeyVersions counts the data keys, those of secret values included, that
	// each version of the tenant's key wraps.
	KeyVersions(ctx context.Context, tenant config.TenantID) (map[uint32]int64, error)
	// KeysBelow are at most limit data keys that a version of the tenant's key
	// below the one named wraps.
	KeysBelow(ctx context.Context, tenant config.TenantID, version uint32, limit int) ([]WrappedKey, error)
	// Rewrap puts, in one transaction, each key in the place of what it was
	// before. One that is not there any more, or not as it was, is passed over.
	// It makes no revision.
	Rewrap(ctx context.Context, tenant config.TenantID, keys []Rewrapped) error
}

// Secrets keeps, for each environment and path, one sealed record that is
// replaced as a whole, and the sealed values of its versions. What is asked for
// is what stands now: secrets have no part in revisions of the past.
type Secrets interface {
	// SecretsAt must answer the record of every environment at each path,
	// deleted ones included, by path and environment.
	SecretsAt(ctx context.Context, tenant config.TenantID, paths []config.Path) ([]Secret, error)
	// ScanSecrets pages by path, bytewise, through the paths that the scan
	// selects, with the records of its environments at each (deleted ones
	// included). It must never split a path over two pages. Scan.At is not heeded.
	ScanSecrets(ctx context.Context, tenant config.TenantID, scan Scan) ([]Secret, Cursor, error)
	// SecretValue finds the sealed value of one version; else KindNotFound.
	SecretValue(ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, path config.Path, version config.Version) (SecretValue, error)
	// SecretReferrers are the layers, deleted ones excluded, whose text refers
	// to any of these secrets, by from path and environment.
	SecretReferrers(ctx context.Context, tenant config.TenantID, to []config.Path) ([]Edge, error)
	// DueSecrets are, over all tenants, at most limit records that want to be
	// looked after at a time or before, the longest overdue first.
	DueSecrets(ctx context.Context, until time.Time, limit int) ([]DueSecret, error)
}

// Acks keeps what clients say they run, until it expires.
type Acks interface {
	// PutAck replaces what the same principal and client said of the same
	// environment. It must drop what of the tenant expired at Ack.Time or before;
	// one client more than most is KindOverloaded with the figures.
	PutAck(ctx context.Context, tenant config.TenantID, ack Ack, most int) error
	// Acks are those of an environment that expire after now, by client and principal.
	Acks(ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, now time.Time) ([]Ack, error)
}

// Leases lets one of several instances do what must be done once.
type Leases interface {
	// TakeLease gives a lease to a holder until a time if nobody else holds it at
	// now, and says whether the holder has it. The holder may take it again.
	TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
	// DropLease ends a lease of the holder's; one that he does not hold is left alone.
	DropLease(ctx context.Context, name, holder string) error
}

// Keys is the key store: a file or schema of its own that backups of the data
// leave out. Destroying a tenant's key makes its data unreadable for ever.
type Keys interface {
	// Masters are the versions of the master key that were used here, oldest first.
	Masters(ctx context.Context) ([]Master, error)
	// AddMaster adds a version: one above the newest, 1 for the first, else KindConflict.
	AddMaster(ctx context.Context, master Master) error
	// RetireMaster notes that a version is used no more. KindInUse, with the
	// count as Actual, when it wraps a tenant's key; KindNotFound when there is
	// none; one that is retired keeps its time.
	RetireMaster(ctx context.Context, version uint32, at time.Time) error
	// MasterVersions counts the tenant keys that each version wraps.
	MasterVersions(ctx context.Context) (map[uint32]int64, error)
	// TenantKey is the tenant's wrapped key: KindNotFound when there never was
	// one, KindGone when it was destroyed.
	TenantKey(ctx context.Context, tenant config.TenantID) (TenantKey, error)
	// TenantKeys are at most limit keys after a tenant's, by tenant id bytewise,
	// tombstones included. The zero id comes first: nil asks from the start.
	TenantKeys(ctx context.Context, after *config.TenantID, limit int) ([]TenantKey, error)
	// AddTenantKey keeps a wrapped key: KindAlreadyExists when there is one,
	// KindGone when there was.
	AddTenantKey(ctx context.Context, key TenantKey) error
	// ReplaceTenantKey puts a key in the place of the one whose Generation is
	// one lower: KindConflict when that is not what is there, KindNotFound when
	// there is none, KindGone when it was destroyed.
	ReplaceTenantKey(ctx context.Context, key TenantKey) error
	// DestroyTenantKey overwrites the key and leaves a tombstone, also where there was no key.
	DestroyTenantKey(ctx context.Context, tenant config.TenantID) error

	Close() error
}

// Cursor says where a page ended; "" means that there is no more.
type Cursor string

// Page asks for a part of a list.
type Page struct {
	Limit  int // at most so many
	Cursor Cursor
}

// Scan selects paths and their layers.
type Scan struct {
	At           config.Revision
	Environments []config.EnvironmentID // a path is selected when one of these has a layer there that is not deleted
	Prefix       config.Prefix
	Glob         config.Glob
	Deleted      bool // ScanSecrets: also where there are only deleted ones
	Page         Page // Limit counts paths
}
