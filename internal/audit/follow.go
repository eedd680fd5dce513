package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Follower checks a chain as it is fed to it, and holds it against what the
// server signed. The zero Follower is of no chain; see NewFollower.
//
// What it is fed comes in the order of an export: stubs, then links, each
// checkpoint behind the link that it is of. The first break ends it: what comes
// later is not looked at. It is not safe for concurrent use.
//
// Its rules are those of the program for auditors, which the package comment of
// cmd/llm-config-verify has in full; the two are held against each other by
// tests. Of a chain with several faults both name the same one: the first that
// is met, in the order of the lines; then, at the end, records that are said to
// be disposed of and are not attested; then truncation. For what was given beside
// the chain, that is the record it begins behind, unless two checkpoints differ.
type Follower struct {
	report  Report
	keys    note.Verifiers
	keyless bool
	badKeys error
	recent  []Head           // links and ends of stubs, the last window of them, as a ring
	seen    int              // how many went through recent
	notes   int              // that were fed
	claims  map[uint64]claim // by sequence: what checkpoints say of that link
	stubs   map[uint64]Stub  // by First: that no record attests yet
	excess  bool             // the break is that there is too much to check
}

// claim is the newest valid checkpoint of a link.
type claim struct {
	hash [32]byte
	time time.Time
	held bool // the link is there, and is the one
}

const (
	// window is how far a checkpoint may stand behind the link that it is of, in links.
	window = 1 << 16
	// maxNotes bounds the checkpoints that are fed.
	maxNotes = 1_000_000
	// maxStubs bounds stubs that wait for the record that attests them.
	maxStubs = 1 << 16
)

// Report says what a Follower saw.
type Report struct {
	Origin      string
	From        Head       // what was checked begins behind it
	Head        Head       // the last link that holds
	Records     uint64     // that were read and hold
	Disposed    uint64     // that stubs stand for; when no key was given, it was not checked that this is signed
	Checkpoints int        // links that checkpoints are of and agree with
	Unchecked   int        // links that checkpoints are of and that are not there: before From, disposed of, or too far back
	Ignored     int        // checkpoints that were not looked at, as no key was given
	Signed      Checkpoint // the newest checkpoint that holds; zero for none
	Broken      *Break     // the first place at which the chain does not hold; nil when it does
}

// Unsigned is how many records at the end no checkpoint vouches for. All of them
// when there is none: then nothing proves that the chain was not rewritten as a whole.
func (r Report) Unsigned() uint64 {
	return r.Head.Sequence - max(r.Signed.Head.Sequence, r.From.Sequence)
}

// NewFollower begins behind from. public are the keys whose signatures count;
// with none, checkpoints are not checked, and stubs are held against what records
// say alone. With one that CheckPublic refuses, every checkpoint breaks the chain.
func NewFollower(origin string, from Head, public ...string) *Follower {
	f := &Follower{
		report: Report{Origin: origin, From: from, Head: from},
		claims: map[uint64]claim{}, stubs: map[uint64]Stub{},
		keyless: len(public) == 0,
	}
	f.keys, f.badKeys = verifiers(public)
	if from.Sequence == 0 && from != (Head{}) {
		f.breaks(breakf(1, "the chain does not begin as chains do: the hash before its first record is not zero"))
	}
	f.passed(from)
	return f
}

// breaks notes the first break, and says whether the chain holds.
func (f *Follower) breaks(b *Break) bool {
	if f.report.Broken == nil {
		f.report.Broken = b
	}
	return f.report.Broken == nil
}

// passed notes a place of the chain whose hash is known, and holds a checkpoint
// of it that came before against it.
func (f *Follower) passed(h Head) bool {
	f.report.Head = h
	if len(f.recent) < window {
		f.recent = append(f.recent, h)
	} else {
		f.recent[f.seen%window] = h
	}
	f.seen++
	c, ok := f.claims[h.Sequence]
	return !ok || f.holds(c, h)
}

// at finds a place that was passed, unless it lies too far back.
func (f *Follower) at(sequence uint64) (Head, bool) {
	if sequence+window <= f.report.Head.Sequence {
		return Head{}, false
	}
	oldest := 0
	if len(f.recent) == window {
		oldest = f.seen % window
	}
	for _, sorted := range [][]Head{f.recent[oldest:], f.recent[:oldest]} {
		i, found := slices.BinarySearchFunc(sorted, sequence, func(h Head, s uint64) int { return cmp.Compare(h.Sequence, s) })
		if found {
			return sorted[i], true
		}
	}
	return Head{}, false
}

// holds says whether what checkpoints say of a place of the chain is so.
func (f *Follower) holds(c claim, h Head) bool {
	signed := &f.report.Signed
	if c.hash != h.Hash {
		return f.breaks(breakf(h.Sequence, "forked, or rewritten: the checkpoint signed at %s has another hash here; the records up to %d are as they were signed before",
			c.time.Format(timeForm), max(signed.Head.Sequence, f.report.From.Sequence)))
	}
	if !c.held {
		c.held = true
		f.report.Checkpoints++
		f.claims[h.Sequence] = c
	}
	if h.Sequence >= signed.Head.Sequence {
		*signed = Checkpoint{f.report.Origin, h, c.time}
	}
	return true
}

// claim notes what a checkpoint says. Two of one place that differ are a fork,
// which both are signed to prove, whatever the chain holds.
func (f *Follower) claim(c Checkpoint) bool {
	known, ok := f.claims[c.Head.Sequence]
	if ok && known.hash != c.Head.Hash {
		a, b := known.time.Format(timeForm), c.Time.Format(timeForm)
		return f.breaks(breakf(c.Head.Sequence, "forked: checkpoints signed at %s and at %s have different hashes here, which proves that there were two chains", min(a, b), max(a, b)))
	}
	if !ok || c.Time.After(known.time) {
		known.hash, known.time = c.Head.Hash, c.Time
		f.claims[c.Head.Sequence] = known
	}
	return true
}

// open reads a checkpoint. None is answered when it is not to be looked at, and
// when it breaks the chain.
func (f *Follower) open(signed []byte, place string) (c Checkpoint, ok bool) {
	if f.report.Broken != nil {
		return c, false
	}
	if f.keyless {
		f.report.Ignored++
		return c, false
	}
	err := f.badKeys
	if err == nil {
		c, err = openCheckpoint(signed, f.keys)
	}
	if err == nil && c.Origin != f.report.Origin {
		err = fmt.Errorf("it is of another chain, %s", c.Origin)
	}
	if err != nil {
		return c, f.breaks(breakf(f.report.Head.Sequence, "the checkpoint %s does not count: %v", place, err))
	}
	return c, f.claim(c)
}

// place holds what checkpoints say of a link against it, if it is there.
func (f *Follower) place(c Checkpoint) bool {
	h, ok := f.at(c.Head.Sequence)
	return !ok || f.holds(f.claims[c.Head.Sequence], h)
}

// Expect tells of a checkpoint from elsewhere, before the chain is fed. The error
// is of what is no signed note at all; one that is, and does not count, breaks the
// chain at the record that it begins behind.
func (f *Follower) Expect(signed []byte) error {
	if err := checkNote(signed); err != nil {
		return err
	}
	if c, ok := f.open(signed, "given beside the chain"); ok {
		f.place(c)
	}
	return nil
}

// Checkpoint takes one that stands in the chain's own export or store, behind
// the link that it is of. One that stands before its link breaks the chain, as
// links are missing there: tell Expect of such that come early. One that stands
// 65,536 records or more behind is not checked, except against others of the same
// link. A millionth is the last: one more breaks the chain, as it is too much to
// check.
func (f *Follower) Checkpoint(signed []byte) bool {
	head := f.report.Head
	if f.notes++; f.notes > maxNotes {
		return f.tooMuch(breakf(head.Sequence, "there are more than %d checkpoints, too many to check at once", maxNotes))
	}
	c, ok := f.open(signed, "behind this record")
	if !ok {
		return f.report.Broken == nil
	}
	if c.Head.Sequence > head.Sequence {
		return f.breaks(breakf(head.Sequence+1, "removed or truncated, or a checkpoint was moved: that of record %d, signed at %s, stands behind record %d",
			c.Head.Sequence, c.Time.Format(timeForm), head.Sequence))
	}
	return f.place(c)
}

// tooMuch ends it without a verdict, if nothing did before.
func (f *Follower) tooMuch(b *Break) bool {
	f.excess = f.excess || f.report.Broken == nil
	return f.breaks(b)
}

// Link takes the next link, and says whether the chain holds so far. It keeps
// nothing of the record.
func (f *Follower) Link(l Link) bool {
	if f.report.Broken != nil {
		return false
	}
	if broken := f.report.Head.follow(&l); broken != nil {
		return f.breaks(broken)
	}
	if !isObject(l.Record) {
		return f.breaks(breakf(l.Sequence, "its hash holds, but it is not one JSON object: no server wrote it"))
	}
	if len(f.stubs) > 0 {
		f.attest(l.Record)
	}
	f.report.Records++
	return f.passed(l.Head())
}

// isObject says whether b is one JSON object as far as brackets and strings
// tell, in UTF-8. That is enough for every reader of an export to find the
// record where the hash found it; more is not needed, as only what a server
// wrote has a hash that a checkpoint vouches for.
func isObject(b []byte) bool {
	if len(b) == 0 || b[0] != '{' || !utf8.Valid(b) {
		return false
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i == len(b)-1
			}
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}

// Stub takes what stands for records that were disposed of.
func (f *Follower) Stub(s Stub) bool {
	head := f.report.Head
	switch {
	case f.report.Broken != nil:
		return false
	case f.report.From != (Head{}) || f.report.Records > 0:
		return f.breaks(breakf(head.Sequence+1, "removed: records %d to %d are said to be disposed of, and only the beginning of a chain can be", s.First, s.Last))
	case s.First != head.Sequence+1 || s.Last < s.First || s.From != head.Hash:
		return f.breaks(breakf(head.Sequence+1, "removed: what says that records %d to %d were disposed of does not continue the chain", s.First, s.Last))
	case len(f.stubs) >= maxStubs:
		return f.tooMuch(breakf(s.First, "more than %d runs of records were disposed of: too many to check", maxStubs))
	}
	f.stubs[s.First] = s
	f.report.Disposed += s.Last - s.First + 1
	return f.passed(Head{s.Last, s.Hash})
}

// attest looks for the stub that a record attests: one whose numbers and hashes
// it has, with a note that is of them and of this chain, and signed.
func (f *Follower) attest(record []byte) {
	details := attested(record)
	first, err := strconv.ParseUint(details["first"], 10, 64)
	stub, waits := f.stubs[first]
	if err != nil || !waits {
		return
	}
	for name, want := range stub.DisposeDetails([]byte(details["note"])) {
		if details[name] != want {
			return
		}
	}
	if !f.keyless {
		if f.badKeys != nil {
			return
		}
		d, err := openDisposal([]byte(details["note"]), f.keys)
		if err != nil || d.Origin != f.report.Origin || d.Stub != stub {
			return
		}
	}
	delete(f.stubs, first)
}

// End takes the last line of an export.
func (f *Follower) End(h Head) bool {
	head := f.report.Head
	switch {
	case f.report.Broken != nil:
		return false
	case h.Sequence > head.Sequence:
		return f.breaks(breakf(head.Sequence+1, "removed, or cut off: the export says that it ends at record %d", h.Sequence))
	case h.Sequence < head.Sequence:
		return f.breaks(breakf(h.Sequence+1, "inserted: the export says that it ends at record %d", h.Sequence))
	case h != head:
		return f.breaks(breakf(h.Sequence, "edited: the export says that it ends with another hash"))
	}
	return true
}

// Export takes an export that continues the chain, to its end or to the first
// break, which Finish reports. The error is of one that cannot be checked: it is
// of another chain or filtered, has a line of no known form, more checkpoints or
// stubs than are checked, or cannot be read.
func (f *Follower) Export(i *Importer) error {
	if i.Origin != f.report.Origin {
		return fmt.Errorf("the export is of chain %s, not of %s", i.Origin, f.report.Origin)
	}
	if i.Filtered {
		return errors.New("the export is filtered: records were left out on purpose, so it cannot be verified; export without filters")
	}
	holds := f.begins(i.From)
	for holds {
		line, err := i.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrCutOff):
			f.breaks(breakf(f.report.Head.Sequence+1, "cut off: the export has no end line behind record %d", f.report.Head.Sequence))
			return nil
		case err != nil:
			return fmt.Errorf("behind record %d: %w", f.report.Head.Sequence, err)
		case line.Link != nil:
			holds = f.Link(*line.Link)
		case line.Stub != nil:
			holds = f.Stub(*line.Stub)
		case line.Checkpoint != nil:
			holds = f.Checkpoint(line.Checkpoint)
		case line.End != nil:
			holds = f.End(*line.End)
		}
	}
	if f.excess {
		return errors.New(f.report.Broken.Reason)
	}
	return nil
}

// begins holds where an export begins against where the chain stands.
func (f *Follower) begins(from Head) bool {
	head := f.report.Head
	switch {
	case f.report.Broken != nil:
		return false
	case from.Sequence > head.Sequence:
		return f.breaks(breakf(head.Sequence+1, "removed: the export begins behind record %d", from.Sequence))
	case from.Sequence < head.Sequence:
		return f.breaks(breakf(from.Sequence+1, "repeated: the export begins behind record %d, and the chain is at %d", from.Sequence, head.Sequence))
	case from != head:
		return f.breaks(breakf(head.Sequence, "forked: the export continues another hash"))
	}
	return true
}

// Finish is the report when there is no more. Stubs that no record attests, and
// checkpoints beyond the end, break the chain.
func (f *Follower) Finish() Report {
	if len(f.stubs) > 0 {
		s := f.stubs[slices.Min(slices.Collect(maps.Keys(f.stubs)))]
		f.breaks(breakf(s.First, "removed: records %d to %d are said to be disposed of, and no record attests it that the server signed", s.First, s.Last))
	}
	head, unchecked, beyond := f.report.Head, 0, uint64(0)
	for sequence, c := range f.claims {
		if sequence <= head.Sequence && !c.held {
			unchecked++
		}
		beyond = max(beyond, sequence)
	}
	if beyond > head.Sequence {
		f.breaks(breakf(head.Sequence+1, "truncated: the chain ends at record %d, and the checkpoint signed at %s says that it had record %d",
			head.Sequence, f.claims[beyond].time.Format(timeForm), beyond))
	}
	report := f.report
	report.Unchecked = unchecked
	return report
}
