package store

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MaxPacked bounds the links of a segment, and so how long packing them keeps
// other writes waiting: some hundredths of a second for the most.
const MaxPacked = 10_000

// Chains keeps the audit chains for as long as they have to be: their newest
// links hot, as rows; older ones in segments; and where to look for what. The
// zero tenant's chain is the server's. Chains of deleted tenants stay, can be
// read and go on like any other. Of a chain that never was there is nothing to
// read; Chain, and what writes to it, is KindNotFound. What is refused leaves
// nothing behind.
type Chains interface {
	// Chain is where a chain stands.
	Chain(ctx context.Context, tenant config.TenantID) (Chain, error)
	// ScanChains answers chains by tenant id, bytewise: the server's first, those
	// of deleted tenants too.
	ScanChains(ctx context.Context, scan ChainScan) ([]Chain, error)
	// AuditBack must answer the hot links before a sequence number, newest first, at most limit.
	AuditBack(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]audit.Link, error)
	// AuditOf must answer the hot links of the sequence numbers named, in the
	// order of the chain, each once; missing ones are left out.
	AuditOf(ctx context.Context, tenant config.TenantID, sequences []uint64) ([]audit.Link, error)
	// AuditFeed must answer the hot links of all chains behind a position, at most
	// limit, in an order in which those of one chain follow each other. Whoever
	// goes on behind the last position that was answered misses none that is
	// still hot. Zero is before all. No position is ever used twice.
	AuditFeed(ctx context.Context, after int64, limit int) ([]FedLink, error)
	// FeedEnd is the position of the newest link in the feed, 0 when there is none.
	// Whoever goes on behind it misses nothing that is appended afterwards.
	FeedEnd(ctx context.Context) (int64, error)

	// Segments are those of a chain whose Last is after a sequence number, in the
	// order of the chain, at most limit; disposed ones too.
	Segments(ctx context.Context, tenant config.TenantID, after uint64, limit int) ([]Segment, error)
	// FedSegment is, over all chains, the segment with the lowest LastPosition
	// behind a position that is not disposed of; KindNotFound when there is none.
	FedSegment(ctx context.Context, after int64) (Segment, error)
	// SegmentBody is the body of a warm segment; else KindNotFound.
	SegmentBody(ctx context.Context, tenant config.TenantID, first uint64) ([]byte, error)
	// PackLinks must, in one transaction, keep a segment with its body and remove
	// the links that it is of, at most MaxPacked. Unless these are the oldest hot
	// links, Hash is that of the last of them, From is where the segment before
	// ended, and a link stays hot behind them, it is KindConflict. State, Location,
	// LastPosition, Bytes and Packed are the engine's to fill in.
	PackLinks(ctx context.Context, tenant config.TenantID, segment Segment, body []byte) error
	// ArchiveSegment must note where a warm segment lies now and drop its body. One
	// that is cold already is left as it is; one that is not there, or was disposed
	// of, is KindConflict.
	ArchiveSegment(ctx context.Context, tenant config.TenantID, first uint64, location string) error
	// DisposeSegment must, in one transaction, drop the body of a segment and all
	// blocks that reach no further, and append the record to its chain, its Time the
	// engine's to fill in. A hold, a segment before it that is not disposed of, and
	// one that is not there or was disposed of already are KindConflict. Its
	// location stays. The body must not be found in the database's files afterwards.
	DisposeSegment(ctx context.Context, tenant config.TenantID, first uint64, record audit.Record) error
	// ForgetLocation notes that nothing lies any more where a segment that was
	// disposed of lay; of any other it is KindConflict.
	ForgetLocation(ctx context.Context, tenant config.TenantID, first uint64) error
	// Hold must set or, with a zero Hold, lift the legal hold of a chain, and append
	// the record to it and to the server's chain (once, when these are the same),
	// its Time the engine's to fill in, in one transaction. A hold that stands is
	// replaced; lifting where there is none is KindNotFound. While it stands
	// DeleteTenant is KindInUse. An outcome that is not nil is kept with it, as
	// Remember does, for the server, its Time that of the record.
	Hold(ctx context.Context, tenant config.TenantID, hold Hold, record audit.Record, outcome *Idempotent) error

	// PutBlock keeps where to look for some links, in the place of a block that
	// begins alike.
	PutBlock(ctx context.Context, tenant config.TenantID, block Block) error
	// Blocks must answer those with First below a sequence number, newest first, at most limit.
	Blocks(ctx context.Context, tenant config.TenantID, before uint64, limit int) ([]Block, error)

	// PutCheckpoints keeps signed checkpoints, all or none; one of the same chain
	// and size is replaced. Position and Time are the engine's to fill in.
	PutCheckpoints(ctx context.Context, checkpoints []Checkpoint) error
	// Checkpoints pages through those of a chain, newest first.
	Checkpoints(ctx context.Context, tenant config.TenantID, page Page) ([]Checkpoint, Cursor, error)
	// CheckpointsFrom must answer those of a chain at a sequence number or after,
	// in the order of the chain, at most limit.
	CheckpointsFrom(ctx context.Context, tenant config.TenantID, sequence uint64, limit int) ([]Checkpoint, error)
	// CheckpointFeed must answer the checkpoints of all chains behind a position, in
	// the order in which they were kept, at most limit. One that is replaced comes
	// again at a new position. No position is ever used twice.
	CheckpointFeed(ctx context.Context, after int64, limit int) ([]Checkpoint, error)
	// ThinCheckpoints must drop, of a chain's checkpoints that a Thinning is of, all
	// but the one of each day (UTC) that goes furthest, and the newest of all.
	ThinCheckpoints(ctx context.Context, tenant config.TenantID, thinning Thinning) error

	// SigningKeys are the keys that sign checkpoints, oldest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey must add the next version, 1 for the first, else KindConflict,
	// and append the record to the server's chain, its Time the engine's to fill
	// in, in one transaction, and keep an outcome that is not nil, as Hold does.
	AddSigningKey(ctx context.Context, key SigningKey, record audit.Record, outcome *Idempotent) error

	// Position is how far a consumer of a feed is, 0 when it has not begun.
	Position(ctx context.Context, consumer string) (int64, error)
	// PutPosition keeps how far a consumer is.
	PutPosition(ctx context.Context, consumer string, position int64) error
}

// Chain is where a chain stands.
type Chain struct {
	Tenant     config.TenantID
	Deleted    bool       // its tenant was
	Head       audit.Head // of the newest link
	Time       time.Time  // of the newest record
	Hot        uint64     // sequence of the oldest hot link; Head's and one when there is none
	Indexed    uint64     // the last that a block is of, from the first on without gaps
	Checkpoint uint64     // the highest that a checkpoint was kept of
	Hold       Hold       // zero for none
}

// ChainScan selects chains.
type ChainScan struct {
	After          *config.TenantID // behind this one; nil from the start
	Limit          int
	Unindexed      uint64 // only those with as many links that no block is of; 0 for all
	Uncheckpointed bool   // only those whose newest link no checkpoint is of
}

// FedLink is a link of some chain, where AuditFeed met it.
type FedLink struct {
	audit.Link
	Tenant   config.TenantID
	Position int64
}

// SegmentState says where the records of a segment are.
type SegmentState uint8

// The states of a segment.
const (
	Warm     SegmentState = iota + 1 // in its body
	Cold                             // in an archive
	Disposed                         // nowhere
)

// Segment is a run of links that are kept together, compressed.
type Segment struct {
	Tenant       config.TenantID
	First, Last  uint64
	From         [32]byte // hash of the link before First
	Hash         [32]byte // of link Last
	FirstTime    time.Time
	LastTime     time.Time
	LastPosition int64 // of link Last, in the feed
	State        SegmentState
	Location     string   // in an archive; "" for none
	Bytes        int64    // of the body
	Digest       [32]byte // SHA-256 of the body, as the caller says
	Packed       time.Time
}

// Hold keeps a chain from being disposed of.
type Hold struct {
	Reason string
	Author string
	Time   time.Time // the engine's to fill in
}

// Block says where to look for links First to Last.
type Block struct {
	First, Last uint64
	Sealed      []byte
}

// Checkpoint is a signed note of where a chain stood.
type Checkpoint struct {
	Tenant   config.TenantID
	Sequence uint64
	Time     time.Time // when it was kept, never before the newest record then
	Note     []byte
	Position int64 // in CheckpointFeed
}

// Thinning is which checkpoints may be dropped; zero for none.
type Thinning struct {
	Before  time.Time              // those that were kept before it
	Through int64                  // of them, those up to this position in CheckpointFeed
	Spare   func(*Checkpoint) bool // of them, all but those that it answers true for; nil for all. It keeps none
}

// SigningKey is a version of the key that signs checkpoints.
type SigningKey struct {
	Version uint32
	Name    string // of the installation; the same for all versions
	Public  string // as verifiers have it
	Sealed  []byte
	Created time.Time
}
