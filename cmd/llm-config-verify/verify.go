package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// domain keeps the hash of a record from being the hash of anything else.
const domain = "llm-config audit link 1\x00"

const (
	maxCheckpoints = 1_000_000 // in all exports together
	maxDisposed    = 100_000   // disposed lines of one export that wait to be attested
	// recentHashes is how many records behind its own a checkpoint may stand; one
	// that stands further away can be given as a file.
	recentHashes = 1 << 16
)

// broken is the first place at which a chain does not hold.
type broken struct {
	Sequence uint64 `json:"sequence"`
	Reason   string `json:"reason"`
	File     string `json:"file"`
	Line     int    `json:"line,omitempty"` // zero when it is not at a line of an export
}

func (b *broken) Error() string {
	return fmt.Sprintf("record %d: %s", b.Sequence, b.Reason)
}

// claim is what valid checkpoints say of one record.
type claim struct {
	hash    [sha256.Size]byte
	time    string // of the newest
	file    string // that brought the newest
	waiting int    // how many of them were not yet held against the record
	held    bool   // the record was seen, and is the one
}

// verifier follows several exports of one chain in step: none of them goes on
// before all have reached its record, so that what is kept does not grow with
// their length.
type verifier struct {
	keys    []key
	exports []*follower

	claims map[uint64]*claim      // sequence number → what checkpoints say of that record
	recent [recentHashes]position // the records seen last; the slot is the sequence number modulo its length

	checkpoints int // valid ones that agree
	unchecked   int // valid ones that no record was there for
	ignored     int // not looked at, as there is no key
	total       int // all that were read
}

// follower follows one export.
type follower struct {
	*export
	v        *verifier
	head     position // the record reached
	records  uint64
	disposed uint64
	pending  []stub // not attested yet
	room     []byte // what is hashed
}

func newVerifier(keys []key) *verifier {
	v := &verifier{keys: keys, claims: map[uint64]*claim{}}
	v.recent[0].sequence = math.MaxUint64 // not yet seen, as the zeros of all other slots say
	return v
}

// add takes an export and reads its first line.
func (v *verifier) add(name string, in io.Reader) error {
	e, err := openExport(name, in)
	if err != nil {
		return err
	}
	if len(v.exports) > 0 && v.origin() != e.origin {
		return fmt.Errorf("%s is of chain %s, and %s of chain %s; check them one by one", v.exports[0].name, v.origin(), name, e.origin)
	}
	f := &follower{export: e, v: v, head: e.from, room: []byte(domain)}
	v.exports = append(v.exports, f)
	if e.from.sequence == 0 && e.from.hash != [sha256.Size]byte{} {
		return f.broken(1, "the chain does not begin with zeros, as every chain does: it is another one, or its beginning was removed")
	}
	return nil
}

func (v *verifier) origin() string { return v.exports[0].origin }

// expect takes a checkpoint that was kept elsewhere.
func (v *verifier) expect(name string, note []byte) error {
	c, err := openCheckpoint(note, v.origin(), v.keys)
	if errors.Is(err, errNotNote) {
		return fmt.Errorf("%s %w", name, err)
	}
	at := broken{Sequence: c.at.sequence, File: name}
	if err != nil {
		at.Reason = "the checkpoint " + err.Error()
		return &at
	}
	return v.claim(at, c)
}

// claim notes what a valid checkpoint says, and breaks at a place when another
// one says otherwise: both are signed, whatever the exports hold.
func (v *verifier) claim(at broken, c checkpoint) error {
	known := v.claims[c.at.sequence]
	if known == nil {
		known = &claim{hash: c.at.hash}
		v.claims[c.at.sequence] = known
	}
	if known.hash != c.at.hash {
		at.Reason = fmt.Sprintf("the chain was forked: checkpoints signed on %s and on %s have different hashes of it", known.time, c.time)
		return &at
	}
	if c.time > known.time { // both are of one form, which sorts as text
		known.time, known.file = strings.Clone(c.time), at.File // else all of the note would be kept
	}
	known.waiting++
	return nil
}

// run reads all exports to their ends.
func (v *verifier) run() error {
	open := slices.Clone(v.exports)
	for len(open) > 0 {
		at := slices.MinFunc(open, func(a, b *follower) int { return cmp.Compare(a.head.sequence, b.head.sequence) })
		reached := at.head
		for _, f := range open {
			if f.head.sequence == reached.sequence && f.head.hash != reached.hash {
				return f.broken(reached.sequence, "it differs from the one in "+at.name+": the chain was forked, or one of them was written anew")
			}
		}
		if err := v.settle(at); err != nil {
			return err
		}
		for i := 0; i < len(open); i++ {
			if open[i].head.sequence != reached.sequence {
				continue
			}
			more, err := open[i].next()
			if err != nil {
				return err
			}
			if !more {
				open = slices.Delete(open, i, i+1)
				i--
			}
		}
	}
	return v.finish()
}

// settle holds checkpoints against the record that f has reached.
func (v *verifier) settle(f *follower) error {
	v.recent[f.head.sequence%recentHashes] = f.head
	if len(v.claims) == 0 {
		return nil
	}
	c := v.claims[f.head.sequence]
	if c == nil {
		return nil
	}
	if c.hash != f.head.hash {
		return &broken{Sequence: f.head.sequence, File: c.file,
			Reason: "its hash is not the one that was signed on " + c.time + ": the chain was written anew, here or before"}
	}
	c.held = true
	v.checkpoints += c.waiting
	c.waiting = 0
	return nil
}

// checkpoint takes one that stands in an export.
func (v *verifier) checkpoint(f *follower, note []byte) error {
	if v.total++; v.total > maxCheckpoints {
		return fmt.Errorf("%s, line %d: more than %d checkpoints, which is the limit; export a part of the chain", f.name, f.line, maxCheckpoints)
	}
	if len(v.keys) == 0 {
		v.ignored++
		return nil
	}
	c, err := openCheckpoint(note, v.origin(), v.keys)
	if err != nil {
		return f.broken(f.head.sequence, "the checkpoint behind it "+err.Error())
	}
	if err := v.claim(broken{Sequence: c.at.sequence, File: f.name, Line: f.line}, c); err != nil {
		return err
	}
	recent := v.recent[c.at.sequence%recentHashes]
	switch {
	case c.at.sequence > f.head.sequence:
		return f.broken(f.head.sequence+1, fmt.Sprintf("it is missing: the checkpoint of record %d, signed on %s, stands before its record", c.at.sequence, c.time))
	case recent.sequence == c.at.sequence && recent.hash != c.at.hash:
		return f.broken(c.at.sequence, "its hash is not the one that was signed on "+c.time+": the chain was written anew, here or before")
	case recent.sequence == c.at.sequence:
		claim := v.claims[c.at.sequence]
		claim.held = true
		v.checkpoints += claim.waiting
		claim.waiting = 0
	} // else its record is not here, or no longer known: it is counted in the end
	return nil
}

// finish looks for what checkpoints promised and no export had.
func (v *verifier) finish() error {
	last := slices.MaxFunc(v.exports, func(a, b *follower) int { return cmp.Compare(a.head.sequence, b.head.sequence) })
	furthest := last.head.sequence
	for sequence, c := range v.claims {
		furthest = max(furthest, sequence)
		if sequence <= last.head.sequence {
			v.unchecked += c.waiting
		}
	}
	if furthest > last.head.sequence {
		c := v.claims[furthest]
		return &broken{Sequence: last.head.sequence + 1, File: c.file,
			Reason: fmt.Sprintf("it is missing: the chain ends before it, and had record %d when a checkpoint was signed on %s", furthest, c.time)}
	}
	return nil
}

// broken is a break at the line read last.
func (f *follower) broken(sequence uint64, reason string) error {
	return &broken{Sequence: sequence, Reason: reason, File: f.name, Line: f.line}
}

// next goes on to the next record, or past records that were disposed of, and
// answers whether there is one.
func (f *follower) next() (bool, error) {
	for {
		var l line
		err := f.read(&l)
		if errors.Is(err, errCutOff) {
			return false, f.broken(f.head.sequence+1, "the export was cut off before it: its last line is missing")
		}
		if err != nil {
			return false, err
		}
		switch l.kind {
		case recordLine:
			return true, f.record(&l)
		case disposedLine:
			return true, f.dispose(l.disposed)
		case checkpointLine:
			if err := f.v.checkpoint(f, l.note); err != nil {
				return false, err
			}
		case endLine:
			return false, f.end(l.end)
		}
	}
}

// record checks that a record is the next one, and hashes it.
func (f *follower) record(l *line) error {
	want := f.head.sequence + 1
	switch {
	case l.sequence > want:
		return f.broken(want, fmt.Sprintf("it is missing: record %d follows record %d", l.sequence, f.head.sequence))
	case l.sequence < want:
		return f.broken(l.sequence, fmt.Sprintf("it is repeated or out of order: it follows record %d", f.head.sequence))
	}
	f.room = append(f.room[:len(domain)], f.head.hash[:]...)
	f.room = binary.BigEndian.AppendUint64(f.room, want)
	f.room = append(f.room, l.record...)
	hash := sha256.Sum256(f.room)
	var text [2 * len(hash)]byte
	hex.Encode(text[:], hash[:])
	switch {
	case string(l.hash) == string(text[:]):
	case !isHash(l.hash):
		return f.unfit("its hash is none")
	default:
		return f.broken(want, "its hash does not continue the chain: it was altered, inserted or replaced")
	}
	if !isObject(l.record) {
		return f.broken(want, "it is not a record: it is not one JSON object")
	}
	f.head = position{want, hash}
	f.records++
	if len(f.pending) > 0 {
		f.attest(l.record)
	}
	return nil
}

// dispose passes over records that were disposed of. That they were, and not
// just removed, a later record must attest.
func (f *follower) dispose(s stub) error {
	switch {
	case f.records > 0 || f.head.sequence != f.disposed:
		return f.broken(f.head.sequence+1, "it is missing: records are disposed of from the beginning of a chain only")
	case s.first != f.head.sequence+1 || s.from != f.head.hash || s.sequence < s.first:
		return f.broken(f.head.sequence+1, fmt.Sprintf("it is missing: what was disposed of are records %d to %d, or those of another chain", s.first, s.sequence))
	case len(f.pending) == maxDisposed:
		return f.unfit(fmt.Sprintf("more than %d lines say that records were disposed of", maxDisposed))
	}
	f.head = s.position
	f.disposed = s.sequence
	f.pending = append(f.pending, s)
	return nil
}

const disposeEvent = "audit.dispose"

// attest looks whether a record is that of a disposal. Canonical JSON shows the
// event in one way only, so that few records need be parsed.
func (f *follower) attest(record []byte) {
	if !bytes.Contains(record, []byte(`"event":"`+disposeEvent+`"`)) {
		return
	}
	var members map[string]json.RawMessage // a struct would match names in any letter case
	var event string
	var details map[string]string
	if json.Unmarshal(record, &members) != nil || json.Unmarshal(members["event"], &event) != nil || event != disposeEvent ||
		json.Unmarshal(members["details"], &details) != nil {
		return
	}
	f.pending = slices.DeleteFunc(f.pending, func(s stub) bool {
		return details["first"] == strconv.FormatUint(s.first, 10) && details["last"] == strconv.FormatUint(s.sequence, 10) &&
			details["from"] == hex.EncodeToString(s.from[:]) && details["hash"] == hex.EncodeToString(s.hash[:])
	})
}

// end checks that the last line is that of what stands before it.
func (f *follower) end(end position) error {
	switch {
	case end.sequence > f.head.sequence:
		return f.broken(f.head.sequence+1, fmt.Sprintf("it is missing: the export says that it ends at record %d", end.sequence))
	case end.sequence < f.head.sequence:
		return f.broken(end.sequence+1, fmt.Sprintf("the export says that it ends before it, at record %d", end.sequence))
	case end != f.head:
		return f.broken(end.sequence, "the export says that it ends there with another hash")
	case len(f.pending) > 0:
		s := f.pending[0]
		return f.broken(s.first, fmt.Sprintf("it is missing: records %d to %d are said to have been disposed of, and no later record attests it", s.first, s.sequence))
	}
	return f.finish()
}
