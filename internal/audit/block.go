package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// BlockRecords is how many records a Block is of. Blocks begin at multiples of
// it, and one: block k is of the records BlockRecords*k+1 to BlockRecords*(k+1).
const BlockRecords = 4096

// maxBlockResources bounds what the records of a Block were done to, together.
const maxBlockResources = 1 << 23

// Block says where to look for records: for a run of them, what a Filter asks
// about, in columns. It is derived from the records and proves nothing; whoever
// uses one reads the records that it points to and asks the Filter again.
//
// Texts are in dictionaries, ids are kept as parts of their hashes. A Block is
// read where it stands in its encoded form; it is not altered, and may be used
// by many at a time.
type Block struct {
	encoded []byte
	first   uint64
	count   int

	events, actors, actions, outcomes, sources, resources dictionary

	event, actor, action, outcome, source column // places in the dictionaries

	several column // how many resources a record has
	targets column // places in resources: those of the first record, of the second …

	request, trace, session column // hashes; 0 for none
	seconds, nanos          column // Unix time
	weight                  column
}

// First and Last are the sequence numbers that the Block begins and ends with.
func (b *Block) First() uint64 { return b.first }

// Last is documented at First.
func (b *Block) Last() uint64 { return b.first + uint64(b.count) - 1 }

// Size is about how many bytes the Block takes in memory.
func (b *Block) Size() int {
	const fixed = 2048
	return fixed + len(b.encoded)
}

// time of the record at i.
func (b *Block) time(i int) time.Time {
	return time.Unix(int64(b.seconds.at(i)), int64(b.nanos.at(i)))
}

// Times are those of the Block's first and last record.
func (b *Block) Times() (first, last time.Time) { return b.time(0), b.time(b.count - 1) }

// hashOf is what a Block keeps of an id; 0 for none. It is part of SHA-256
// because callers choose some of the ids.
func hashOf(id string) uint64 {
	if id == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(id))
	return max(1, binary.LittleEndian.Uint64(sum[:]))
}

// Find answers the sequence numbers of the records that a Filter selects, newest
// first, below before, at most limit. It may name more than there are, never fewer.
func (b *Block) Find(f *Filter, before uint64, limit int) []uint64 {
	if before <= b.first || limit <= 0 {
		return nil
	}
	s, some := b.search(f)
	if !some {
		return nil
	}
	var found []uint64
	for i := int(min(before-b.first, uint64(b.count))) - 1; i >= 0 && len(found) < limit; i-- {
		if s.selects(i) {
			found = append(found, b.first+uint64(i))
		}
	}
	return found
}

// search is a Filter with its texts looked up in the dictionaries of a Block.
type search struct {
	block  *Block
	filter *Filter
	timed  bool

	chosen    []choice
	ids       []id
	resources []bool // nil for any
	starts    []int  // of each record's resources in targets; nil when each has one
}

// choice are the texts of a column that are wanted.
type choice struct {
	of  *column
	set []bool
}

// id is the hash that a column is to have.
type id struct {
	of   *column
	hash uint64
}

// search looks a Filter up. With a text that is in no dictionary there is
// nothing to find, and no column is read.
func (b *Block) search(f *Filter) (*search, bool) {
	s := &search{block: b, filter: f, timed: !f.From.IsZero() || !f.To.IsZero()}
	for _, m := range []struct {
		asked bool
		texts *dictionary
		of    *column
		want  func(string) bool
	}{
		{len(f.Events) > 0, &b.events, &b.event, f.hasEvent},
		{len(f.Outcomes) > 0, &b.outcomes, &b.outcome, f.hasOutcome},
		{len(f.Actions) > 0, &b.actions, &b.action, f.hasAction},
		{len(f.Actors) > 0, &b.actors, &b.actor, f.hasActor},
		{f.Source.IsValid(), &b.sources, &b.source, f.hasSource},
	} {
		if !m.asked {
			continue
		}
		set, some := m.texts.chosen(m.want)
		if !some {
			return nil, false
		}
		if slices.Contains(set, false) {
			s.chosen = append(s.chosen, choice{m.of, set})
		}
	}
	if f.Resource != "" {
		var some bool
		if s.resources, some = b.resources.chosen(f.hasResource); !some {
			return nil, false
		}
		s.starts = b.starts()
	}
	for _, m := range []struct {
		text string
		of   *column
	}{{f.RequestID, &b.request}, {f.TraceID, &b.trace}, {f.Session, &b.session}} {
		if m.text != "" {
			s.ids = append(s.ids, id{m.of, hashOf(m.text)})
		}
	}
	return s, true
}

// starts says where the resources of each record begin, and the last ones end.
func (b *Block) starts() []int {
	if b.several.constant(1) {
		return nil
	}
	starts, at := make([]int, b.count+1), 0
	for i := range b.count {
		at += int(b.several.at(i))
		starts[i+1] = at
	}
	return starts
}

// selects says whether the Filter selects the record at i.
func (s *search) selects(i int) bool {
	for _, c := range s.chosen {
		if !c.set[c.of.at(i)] {
			return false
		}
	}
	for _, id := range s.ids {
		if id.of.at(i) != id.hash {
			return false
		}
	}
	return (!s.timed || s.filter.inTime(s.block.time(i))) && (s.resources == nil || s.hasResource(i))
}

func (s *search) hasResource(i int) bool {
	from, to := i, i+1
	if s.starts != nil {
		from, to = s.starts[i], s.starts[i+1]
	}
	for k := from; k < to; k++ {
		if s.resources[s.block.targets.at(k)] {
			return true
		}
	}
	return false
}
