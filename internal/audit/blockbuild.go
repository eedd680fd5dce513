package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// blockVersion is the first byte of an encoded Block.
const blockVersion = 1

// BuildBlock makes the Block of links, which follow each other from where a Block
// begins. The error is of a record that does not parse.
func BuildBlock(links []Link) (*Block, error) {
	if len(links) == 0 || len(links) > BlockRecords || links[0].Sequence%BlockRecords != 1 {
		return nil, fmt.Errorf("a block of the audit index is of 1 to %d records behind a multiple of that", BlockRecords)
	}
	w := newBlockWriter(len(links))
	for i, link := range links {
		if link.Sequence != links[0].Sequence+uint64(i) {
			return nil, errors.New("the records for a block of the audit index do not follow each other")
		}
		record, err := ParseRecord(link.Record)
		if err != nil {
			return nil, fmt.Errorf("record %d cannot be indexed: %w", link.Sequence, err)
		}
		w.add(&record)
	}
	if len(w.targets) > maxBlockResources {
		return nil, fmt.Errorf("records %d to %d name %d resources, and an index is of %d at most",
			links[0].Sequence, links[len(links)-1].Sequence, len(w.targets), maxBlockResources)
	}
	return ParseBlock(w.encode(links[0].Sequence))
}

// blockWriter collects the columns of a Block.
type blockWriter struct {
	events, actors, actions, outcomes, sources, resources collector

	event, actor, action, outcome, source []uint64
	several, targets                      []uint64
	request, trace, session               []uint64
	seconds, nanos, weight                []uint64
}

func newBlockWriter(records int) *blockWriter {
	w := &blockWriter{targets: make([]uint64, 0, records)}
	for _, c := range w.columns() {
		*c = make([]uint64, 0, records)
	}
	return w
}

// columns are those with an integer of each record, as they are encoded.
func (w *blockWriter) columns() []*[]uint64 {
	return []*[]uint64{
		&w.event, &w.actor, &w.action, &w.outcome, &w.source, &w.several,
		&w.request, &w.trace, &w.session, &w.seconds, &w.nanos, &w.weight,
	}
}

func (w *blockWriter) add(r *Record) {
	w.event = append(w.event, w.events.add(r.Event))
	w.actor = append(w.actor, w.actors.add(r.Actor))
	w.action = append(w.action, w.actions.add(r.Action))
	w.outcome = append(w.outcome, w.outcomes.add(string(r.Outcome)))
	w.source = append(w.source, w.sources.add(r.Source))
	before := len(w.targets)
	w.target(r.Resource)
	for _, resource := range r.Resources {
		w.target(resource)
	}
	w.several = append(w.several, uint64(len(w.targets)-before))
	w.request = append(w.request, hashOf(r.RequestID))
	w.trace = append(w.trace, hashOf(r.TraceID))
	w.session = append(w.session, hashOf(r.Session))
	w.seconds = append(w.seconds, uint64(r.Time.Unix()))
	w.nanos = append(w.nanos, uint64(r.Time.Nanosecond()))
	w.weight = append(w.weight, uint64(r.Weight()))
}

func (w *blockWriter) target(resource string) {
	if resource != "" {
		w.targets = append(w.targets, w.resources.add(resource))
	}
}

func (w *blockWriter) encode(first uint64) []byte {
	b := binary.AppendUvarint([]byte{blockVersion}, first)
	b = binary.AppendUvarint(b, uint64(len(w.event)))
	for _, c := range []*collector{&w.events, &w.actors, &w.actions, &w.outcomes, &w.sources, &w.resources} {
		b = c.append(b)
	}
	for _, c := range w.columns() {
		b = appendColumn(b, *c)
	}
	return appendColumn(b, w.targets)
}

// ParseBlock reads what Encode wrote, and keeps it. It reads all texts and
// numbers by which another is found, so that whatever it takes can be searched.
func ParseBlock(encoded []byte) (*Block, error) {
	if len(encoded) == 0 || encoded[0] != blockVersion {
		return nil, errors.New("this is no block of the audit index that this program knows: let it be built again")
	}
	r := blockReader{rest: encoded[1:]}
	b := &Block{encoded: encoded, first: r.number(math.MaxInt64)}
	b.count = int(r.number(BlockRecords))
	if b.count == 0 || b.first%BlockRecords != 1 {
		return nil, errBlock
	}
	for _, d := range []*dictionary{&b.events, &b.actors, &b.actions, &b.outcomes, &b.sources} {
		*d = r.dictionary(BlockRecords)
	}
	b.resources = r.dictionary(maxBlockResources)
	for _, c := range []struct {
		column *column
		texts  dictionary
	}{{&b.event, b.events}, {&b.actor, b.actors}, {&b.action, b.actions}, {&b.outcome, b.outcomes}, {&b.source, b.sources}} {
		*c.column = r.below(b.count, uint64(c.texts.count))
	}
	b.several = r.below(b.count, maxBlockResources+1)
	for _, c := range []*column{&b.request, &b.trace, &b.session, &b.seconds, &b.nanos, &b.weight} {
		*c = r.column(b.count)
	}
	if r.failed {
		return nil, errBlock
	}
	targets := b.several.sum(b.count)
	if targets > maxBlockResources {
		return nil, errBlock
	}
	b.targets = r.below(int(targets), uint64(b.resources.count))
	if r.failed || len(r.rest) > 0 {
		return nil, errBlock
	}
	return b, nil
}

// Encode is the Block as bytes, to be sealed. They are not to be altered.
func (b *Block) Encode() []byte { return b.encoded }
