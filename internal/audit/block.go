package audit

import (
	"time"
)

// BlockRecords is how many records a Block is of. Blocks begin at multiples of
// it, and one: block k is of the records BlockRecords*k+1 to BlockRecords*(k+1).
const BlockRecords = 4096

// Block says where to look for records: for a run of them, what a Filter asks
// about, in columns. It is derived from the records and proves nothing; whoever
// uses one reads the records that it points to and asks the Filter again.
type Block struct {
	first uint64
}

// BuildBlock makes the Block of links, which follow each other. The error is of
// a record that does not parse.
func BuildBlock(links []Link) (*Block, error) { panic("not yet") }

// ParseBlock reads what Encode wrote.
func ParseBlock(encoded []byte) (*Block, error) { panic("not yet") }

// Encode is the Block as bytes, to be sealed.
func (b *Block) Encode() []byte { panic("not yet") }

// First and Last are the sequence numbers that the Block begins and ends with.
func (b *Block) First() uint64 { return b.first }

// Last is documented at First.
func (b *Block) Last() uint64 { panic("not yet") }

// Size is about how many bytes the Block takes in memory.
func (b *Block) Size() int { panic("not yet") }

// Find answers the sequence numbers of the records that a Filter selects, newest
// first, below before, at most limit. It may name more than there are, never fewer.
func (b *Block) Find(f *Filter, before uint64, limit int) []uint64 { panic("not yet") }

// Count adds the records that a Filter selects to counts.
func (b *Block) Count(f *Filter, counts *Counts) { panic("not yet") }

// Dimension is what records are counted by.
type Dimension string

// The dimensions.
const (
	ByEvent   Dimension = "event"
	ByActor   Dimension = "actor"
	ByAction  Dimension = "action"
	ByOutcome Dimension = "outcome"
	BySource  Dimension = "source"
)

// Counts are records counted by at most two dimensions and a window of time.
type Counts struct {
	By     []Dimension
	Window time.Duration // of whole seconds; 0 for all time as one
	Most   int           // groups; more of them set Over
	Over   bool
	Groups map[CountKey]Count
}

// CountKey is what a group of records has in common.
type CountKey struct {
	Start  int64     // Unix seconds at which the window begins; 0 without windows
	Values [2]string // by Counts.By
}

// Count is a group of records.
type Count struct {
	Records int64
	Weight  int64 // what they stand for: those that are counts themselves stand for as many as they say
}

// Add counts one record.
func (c *Counts) Add(r *Record) { panic("not yet") }
