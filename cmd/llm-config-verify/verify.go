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
	"maps"
	"math"
	"slices"
	"strconv"
)

// domain keeps the hash of a record from being the hash of anything else.
const domain = "llm-config audit link 1\x00"

const (
	maxCheckpoints = 1_000_000 // in all exports together
	maxDisposed    = 1 << 16   // disposed lines of one export that wait to be attested
	maxAttesting   = 64 << 10  // bytes of a record that attests one
	// recentHashes is how many records behind its own a checkpoint may stand; one
	// that stands further away can be given as a file.
	recentHashes = 1 << 16
)

// broken is the first place at which a chain does not hold.
type broken struct {
	Sequence uint64
	Reason   string
	File     string
	Line     int // zero when it is not at a line of an export
}

func (b *broken) Error() string {
	return fmt.Sprintf("record %d: %s", b.Sequence, b.Reason)
}

// claim is what valid checkpoints say of one record.
type claim struct {
	hash [sha256.Size]byte
	time string // of the newest
	file string // that brought the newest
	held bool   // the record was seen, and is the one
}

// verifier follows several exports of one chain in step: none of them goes on
// before all have reached its record, so that what is kept does not grow with
// their length.
type verifier struct {
	keys    []key
	exports []*follower

	claims map[uint64]*claim      // sequence number → what checkpoints say of that record
	recent [recentHashes]position // the records seen last; the slot is the sequence number modulo its length

	total   int // checkpoints that were read
	ignored int // of them, for want of a key
}

// follower follows one export.
type follower struct {
	*export
	v        *verifier
	head     position // the record reached
	records  uint64
	disposed uint64
	pending  map[uint64]stub // by their first record: not attested yet
	room     []byte          // what is hashed
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
	v.exports = append(v.exports, &follower{export: e, v: v, head: e.from, pending: map[uint64]stub{}, room: []byte(domain)})
	return nil
}

func (v *verifier) origin() string { return v.exports[0].origin }

// kept is a checkpoint that was kept elsewhere.
type kept struct {
	name string
	note
}

// run checks that what was kept counts, and reads all exports to their ends.
func (v *verifier) run(elsewhere []kept) error {
	for _, f := range v.exports {
		if f.from.sequence == 0 && f.from.hash != [sha256.Size]byte{} {
			return f.broken(1, "the chain does not begin with zeros, as every chain does: it is another one, or its beginning was removed")
		}
	}
	from := furthestBack(v.exports).from
	v.recent[from.sequence%recentHashes] = from
	for _, k := range elsewhere {
		at := broken{Sequence: from.sequence, File: k.name}
		c, err := openCheckpoint(k.note, v.origin(), v.keys)
		if err != nil {
			at.Reason = "the checkpoint " + err.Error()
			return &at
		}
		if err := v.claim(at, c, from.sequence); err != nil {
			return err
		}
	}
	for open := slices.Clone(v.exports); len(open) > 0; {
		var err error
		if open, err = v.step(open); err != nil {
			return err
		}
	}
	return v.finish()
}

func furthestBack(exports []*follower) *follower {
	return slices.MinFunc(exports, func(a, b *follower) int { return cmp.Compare(a.head.sequence, b.head.sequence) })
}

// step compares the exports that have reached the first of the records reached,
// and takes those on by one. It answers the ones that are not at their end.
func (v *verifier) step(open []*follower) (more []*follower, err error) {
	at := furthestBack(open)
	reached := at.head
	for _, f := range open {
		if f.head.sequence == reached.sequence && f.head.hash != reached.hash {
			return nil, f.broken(reached.sequence, "it differs from the one in "+at.name+": the chain was forked, or one of them was written anew")
		}
	}
	v.recent[reached.sequence%recentHashes] = reached
	if err := v.settle(reached); err != nil {
		return nil, err
	}
	goesOn := false
	for _, f := range open {
		if f.head.sequence != reached.sequence {
			more = append(more, f)
			continue
		}
		on, err := f.next()
		if err != nil {
			return nil, err
		}
		if on {
			more, goesOn = append(more, f), true
		}
	}
	// What is signed later vouches for an export that ended only by way of another
	// that has the record it ended with.
	if len(more) > 0 && !goesOn {
		return nil, fmt.Errorf("%s ends at record %d, which none of the others has: exports that are given together must overlap, or go on where another ends; check it alone", at.name, reached.sequence)
	}
	return more, nil
}

// claim notes what a valid checkpoint says, and breaks at a place when another
// one says otherwise: both are signed, whatever the exports hold.
func (v *verifier) claim(at broken, c checkpoint, reached uint64) error {
	known := v.claims[c.at.sequence]
	if known == nil {
		known = &claim{hash: c.at.hash}
		v.claims[c.at.sequence] = known
	}
	if known.hash != c.at.hash {
		at.Sequence = c.at.sequence
		at.Reason = fmt.Sprintf("the chain was forked: checkpoints signed on %s and on %s have different hashes of it", known.time, c.time)
		return &at
	}
	if c.time > known.time { // both are of one form, which sorts as text
		known.time, known.file = c.time, at.File
	}
	if seen := v.recent[c.at.sequence%recentHashes]; seen.sequence == c.at.sequence && seen.sequence+recentHashes > reached {
		return v.settle(seen)
	}
	return nil
}

// settle holds what checkpoints say of a record against it.
func (v *verifier) settle(p position) error {
	c := v.claims[p.sequence]
	if c == nil {
		return nil
	}
	if c.hash != p.hash {
		return &broken{Sequence: p.sequence, File: c.file,
			Reason: "its hash is not the one that was signed on " + c.time + ": the chain was written anew, here or before"}
	}
	c.held = true
	return nil
}

// checkpoint takes one that stands in an export.
func (v *verifier) checkpoint(f *follower, text []byte) error {
	if v.total++; v.total > maxCheckpoints {
		return fmt.Errorf("%s, line %d: more than %d checkpoints, which is the limit; export a part of the chain", f.name, f.line, maxCheckpoints)
	}
	if len(v.keys) == 0 {
		v.ignored++
		return nil
	}
	n, err := parseNote(text)
	var c checkpoint
	if err == nil {
		c, err = openCheckpoint(n, v.origin(), v.keys)
	}
	if err != nil {
		return f.broken(f.head.sequence, "the checkpoint behind it "+err.Error())
	}
	if err := v.claim(broken{File: f.name, Line: f.line}, c, f.head.sequence); err != nil {
		return err
	}
	if c.at.sequence > f.head.sequence {
		return f.broken(f.head.sequence+1, fmt.Sprintf("it is missing: the checkpoint of record %d, signed on %s, stands before its record", c.at.sequence, c.time))
	}
	return nil
}

// finish looks for what checkpoints promised and no export had.
func (v *verifier) finish() error {
	last, furthest := uint64(0), uint64(0)
	for _, f := range v.exports {
		last = max(last, f.head.sequence)
	}
	for sequence := range v.claims {
		furthest = max(furthest, sequence)
	}
	if furthest > last {
		c := v.claims[furthest]
		return &broken{Sequence: last + 1, File: c.file,
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
			return false, f.end(l.position)
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
	if l.hash != hash {
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
	f.pending[s.first] = s
	return nil
}

// attesting is the record of a disposal, its members in their order.
type attesting struct {
	Action    string            `json:"action,omitempty"`
	Actor     string            `json:"actor,omitempty"`
	Details   map[string]string `json:"details,omitempty"`
	Event     string            `json:"event,omitempty"`
	Outcome   string            `json:"outcome,omitempty"`
	Reason    string            `json:"reason,omitempty"`
	RequestID string            `json:"request_id,omitempty"`
	Resource  string            `json:"resource,omitempty"`
	Schema    int               `json:"schema"`
	Session   string            `json:"session,omitempty"`
	Source    string            `json:"source,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Time      string            `json:"time"`
	TraceID   string            `json:"trace_id,omitempty"`
	UserAgent string            `json:"user_agent,omitempty"`
}

// attest looks whether a record is that of a disposal. It counts only as the
// server writes it, to the byte: then nobody can read it in another way.
func (f *follower) attest(record []byte) {
	if len(record) > maxAttesting || !bytes.Contains(record, []byte(`"event":"audit.dispose"`)) || bytes.Contains(record, []byte(`\u`)) ||
		bytes.ContainsFunc(record, func(r rune) bool { return r != '—' && (r < ' ' || r > '~') }) {
		return
	}
	var a attesting
	var again bytes.Buffer
	encoder := json.NewEncoder(&again)
	encoder.SetEscapeHTML(false)
	if json.Unmarshal(record, &a) != nil || a.Event != "audit.dispose" || a.Schema != 1 || !isTime(a.Time) ||
		encoder.Encode(a) != nil || !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), record) {
		return
	}
	first, err := strconv.ParseUint(a.Details["first"], 10, 64)
	s, waits := f.pending[first]
	if err != nil || !waits || a.Details["first"] != strconv.FormatUint(s.first, 10) || a.Details["last"] != strconv.FormatUint(s.sequence, 10) ||
		a.Details["from"] != hex.EncodeToString(s.from[:]) || a.Details["hash"] != hex.EncodeToString(s.hash[:]) {
		return
	}
	if len(f.v.keys) > 0 {
		n, err := parseNote([]byte(a.Details["note"]))
		if err != nil || n.verify(f.v.keys) != nil || !isDisposal(n.text, f.origin, s) {
			return
		}
	}
	delete(f.pending, first)
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
	}
	if err := f.finish(); err != nil || len(f.pending) == 0 {
		return err
	}
	s := f.pending[slices.Min(slices.Collect(maps.Keys(f.pending)))]
	return f.broken(s.first, fmt.Sprintf("it is missing: records %d to %d are said to have been disposed of, and no later record attests it that the server signed", s.first, s.sequence))
}
