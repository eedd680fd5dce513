package audittest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// Tampering is an export that was tampered with. A verifier that has the public
// key must find that it does not hold, or that it is no export at all.
type Tampering struct {
	Name  string
	Lines [][]byte // each with its newline, but for a last one that was cut off
	// WantRecord is the record that must be named as the first bad one; 0 when the
	// tampering does not determine it, or is one of the frame of a line.
	WantRecord uint64
	// Beside is the newest checkpoint of the chain as it was, for what can be found
	// only with it; else nil.
	Beside []byte
}

// Bytes is the export.
func (t Tampering) Bytes() []byte { return bytes.Join(t.Lines, nil) }

// Links are the records of the export in its order, to be put into a store or a
// segment in the place of the true ones. nil when a line cannot be read.
func (t Tampering) Links() []audit.Link {
	i, err := audit.NewImporter(bytes.NewReader(t.Bytes()))
	if err != nil {
		return nil
	}
	var links []audit.Link
	for {
		line, err := i.Next()
		if err != nil || line.End != nil {
			return links
		}
		if line.Link != nil {
			l := *line.Link
			l.Record = bytes.Clone(l.Record)
			links = append(links, l)
		}
	}
}

// source is the untouched export, taken apart.
type source struct {
	lines  [][]byte
	at     []int // by sequence number: the record's line
	links  []audit.Link
	notes  []int // lines of checkpoints, in their order
	marks  []uint64
	newest []byte
	origin string
	key    *audit.SigningKey
	tb     testing.TB
}

func read(tb testing.TB, lines [][]byte, key *audit.SigningKey) *source {
	tb.Helper()
	i, err := audit.NewImporter(bytes.NewReader(bytes.Join(lines, nil)))
	if err != nil {
		tb.Fatal(err)
	}
	s := &source{lines: lines, origin: i.Origin, key: key, tb: tb, at: []int{0}, links: []audit.Link{{}}}
	for n := 1; n < len(lines); n++ {
		line, err := i.Next()
		if err != nil {
			tb.Fatal(err)
		}
		switch {
		case line.Link != nil:
			l := *line.Link
			l.Record = bytes.Clone(l.Record)
			s.links, s.at = append(s.links, l), append(s.at, n)
		case line.Checkpoint != nil:
			c, err := audit.OpenCheckpoint(line.Checkpoint, key.Public())
			if err != nil {
				tb.Fatal(err)
			}
			s.notes, s.marks, s.newest = append(s.notes, n), append(s.marks, c.Head.Sequence), line.Checkpoint
		}
	}
	if i.From != (audit.Head{}) || len(s.notes) < 3 || len(s.links) < 4 {
		tb.Fatal("an export to tamper with begins at a chain's first record and has three records and three checkpoints or more")
	}
	return s
}

// last is the sequence number of the last record.
func (s *source) last() int { return len(s.links) - 1 }

// mark is the first checkpoint at a record or behind it.
func (s *source) mark(k int) uint64 {
	i, _ := slices.BinarySearch(s.marks, uint64(k))
	if i == len(s.marks) {
		return 0
	}
	return s.marks[i]
}

func linkLine(l audit.Link) []byte {
	return fmt.Appendf(nil, `{"hash":"%x","record":%s,"sequence":%d}`+"\n", l.Hash, l.Record, l.Sequence)
}

func endLine(h audit.Head) []byte {
	return fmt.Appendf(nil, `{"end":{"hash":"%x","sequence":%d}}`+"\n", h.Hash, h.Sequence)
}

func stubLine(from audit.Head, to audit.Head) []byte {
	return fmt.Appendf(nil, `{"disposed":{"first":%d,"from":"%x","hash":"%x","last":%d}}`+"\n", from.Sequence+1, from.Hash, to.Hash, to.Sequence)
}

func noteLine(note []byte) []byte {
	return []byte(`{"checkpoint":"` + strings.ReplaceAll(string(note), "\n", `\n`) + "\"}\n")
}

// with is the export with lines from to before to replaced.
func (s *source) with(from, to int, by ...[]byte) [][]byte {
	return slices.Concat(s.lines[:from], by, s.lines[to:])
}

// edited is the export with a byte of record k's line made another.
func (s *source) edited(k, place int, to byte) [][]byte {
	line := bytes.Clone(s.lines[s.at[k]])
	if line[place] == to {
		to ^= 1
	}
	line[place] = to
	return s.with(s.at[k], s.at[k]+1, line)
}

// inRecord is the place in a record's line of a byte of the record, counted from its beginning.
func inRecord(offset int) int {
	return len(`{"hash":"","record":`) + 64 + offset
}

// rewritten is a chain that is as the export up to record k-1 and goes on with
// records, hashed anew; the checkpoints stand where they stood, those beyond the
// end are gone, and the last line is right.
func (s *source) rewritten(k int, records [][]byte) [][]byte {
	lines := slices.Clone(s.lines[:s.at[k]])
	head := s.links[k-1].Head()
	note, _ := slices.BinarySearch(s.marks, uint64(k))
	for _, record := range records {
		link := head.Next(record)
		lines, head = append(lines, linkLine(link)), link.Head()
		for note < len(s.marks) && s.marks[note] == head.Sequence {
			lines = append(lines, s.lines[s.notes[note]])
			note++
		}
	}
	return append(lines, endLine(head))
}

// records are those of records k and later.
func (s *source) records(k int) (all [][]byte) {
	for _, l := range s.links[k:] {
		all = append(all, l.Record)
	}
	return all
}

// kind is a way to tamper with record k, and j where it takes two.
type kind struct {
	name string
	do   func(s *source, k, j int) (t Tampering, ok bool)
}

func found(lines [][]byte, record int) (Tampering, bool) {
	return Tampering{Lines: lines, WantRecord: uint64(record)}, true
}

var kinds = []kind{
	{"a letter of the record", func(s *source, k, _ int) (Tampering, bool) {
		at := bytes.Index(s.links[k].Record, []byte(`"actor":"`)) + len(`"actor":"`)
		return found(s.edited(k, inRecord(at), 'x'), k)
	}},
	{"any byte of the record", func(s *source, k, j int) (Tampering, bool) {
		return found(s.edited(k, inRecord(j%len(s.links[k].Record)), byte('a'+j%26)), k)
	}},
	{"a bracket of the record", func(s *source, k, _ int) (Tampering, bool) { return found(s.edited(k, inRecord(0), '['), k) }},
	{"the end of the record", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.edited(k, inRecord(len(s.links[k].Record)-1), ' '), k)
	}},
	{"a bit of the record", func(s *source, k, j int) (Tampering, bool) {
		at := inRecord(j % len(s.links[k].Record))
		bit := s.lines[s.at[k]][at] ^ byte(1<<(j%7))
		return Tampering{Lines: s.edited(k, at, bit), WantRecord: uint64(k)}, bit != '\n'
	}},
	{"a member added to the record", func(s *source, k, _ int) (Tampering, bool) {
		l := s.links[k]
		l.Record = slices.Concat(l.Record[:len(l.Record)-1], []byte(`,"z":1}`))
		return found(s.with(s.at[k], s.at[k]+1, linkLine(l)), k)
	}},
	{"another record smuggled in", func(s *source, k, _ int) (Tampering, bool) {
		l := s.links[k]
		l.Record = slices.Concat([]byte(`{},"sequence":1,"x":`), l.Record)
		return found(s.with(s.at[k], s.at[k]+1, linkLine(l)), k)
	}},
	{"the record of another", func(s *source, k, j int) (Tampering, bool) {
		l := s.links[k]
		l.Record = s.links[j].Record
		return Tampering{Lines: s.with(s.at[k], s.at[k]+1, linkLine(l)), WantRecord: uint64(k)}, k != j
	}},
	{"a digit of the hash", func(s *source, k, j int) (Tampering, bool) {
		at := len(`{"hash":"`) + j%64
		return found(s.edited(k, at, "123456789abcdef0"[strings.IndexByte("0123456789abcdef", s.lines[s.at[k]][at])]), k)
	}},
	{"the hash made to fit the record", func(s *source, k, _ int) (Tampering, bool) {
		forged := s.links[k-1].Head().Next([]byte(`{"event":"forged"}`))
		if k == s.last() {
			return found(s.with(s.at[k], s.at[k]+1, linkLine(forged)), k)
		}
		// The record holds now, and what follows it does not; unless its checkpoint comes first.
		at := k + 1
		if s.mark(k) == uint64(k) {
			at = k
		}
		return found(s.with(s.at[k], s.at[k]+1, linkLine(forged)), at)
	}},
	{"a digit of the sequence number", func(s *source, k, j int) (Tampering, bool) {
		return found(s.edited(k, len(s.lines[s.at[k]])-len("1}\n"), byte('0'+j%10)), 0)
	}},
	{"the frame of the line", func(s *source, k, j int) (Tampering, bool) {
		frame := []int{0, 1, 7, 8, 74, 80, 83, len(s.lines[s.at[k]]) - 2}
		return found(s.edited(k, frame[j%len(frame)], '~'), 0)
	}},
	{"removed", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.with(s.at[k], s.at[k]+1), k)
	}},
	{"several removed", func(s *source, k, j int) (Tampering, bool) {
		if k >= j {
			return Tampering{}, false
		}
		return found(s.with(s.at[k], s.at[j]+1), k)
	}},
	{"removed, and the rest numbered and hashed anew", func(s *source, k, _ int) (Tampering, bool) {
		want, lines := s.mark(k), s.rewritten(k, s.records(k)[1:])
		if want == uint64(s.last()) { // the checkpoint is beyond the end then
			return Tampering{Lines: lines, Beside: s.newest}, true
		}
		return Tampering{Lines: lines, WantRecord: want}, true
	}},
	{"swapped with its neighbour", func(s *source, k, _ int) (Tampering, bool) {
		if k == s.last() || s.at[k]+1 != s.at[k+1] {
			return Tampering{}, false
		}
		return found(s.with(s.at[k], s.at[k]+2, s.lines[s.at[k+1]], s.lines[s.at[k]]), k)
	}},
	{"swapped with another", func(s *source, k, j int) (Tampering, bool) {
		if k == j {
			return Tampering{}, false
		}
		lines := slices.Clone(s.lines)
		lines[s.at[k]], lines[s.at[j]] = lines[s.at[j]], lines[s.at[k]]
		return found(lines, min(k, j))
	}},
	{"records swapped, numbers and hashes left", func(s *source, k, j int) (Tampering, bool) {
		if k == j {
			return Tampering{}, false
		}
		a, b, lines := s.links[k], s.links[j], slices.Clone(s.lines)
		a.Record, b.Record = b.Record, a.Record
		lines[s.at[k]], lines[s.at[j]] = linkLine(a), linkLine(b)
		return found(lines, min(k, j))
	}},
	{"inserted before it", func(s *source, k, _ int) (Tampering, bool) {
		l := s.links[k]
		l.Record = []byte(`{"event":"forged"}`)
		return found(s.with(s.at[k], s.at[k], linkLine(l)), k)
	}},
	{"inserted before it with a hash that continues", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.with(s.at[k], s.at[k], linkLine(s.links[k-1].Head().Next([]byte(`{"event":"forged"}`)))), k)
	}},
	{"inserted, and the rest numbered and hashed anew", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.rewritten(k, append([][]byte{[]byte(`{"event":"forged"}`)}, s.records(k)...)), int(s.mark(k)))
	}},
	{"repeated", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.with(s.at[k], s.at[k], s.lines[s.at[k]]), k)
	}},
	{"repeated elsewhere", func(s *source, k, j int) (Tampering, bool) {
		return Tampering{Lines: s.with(s.at[j], s.at[j], s.lines[s.at[k]])}, k != j
	}},
	{"truncated without an end line", func(s *source, k, _ int) (Tampering, bool) { return found(s.lines[:s.at[k]:s.at[k]], 0) }},
	{"truncated within its line", func(s *source, k, j int) (Tampering, bool) {
		line := s.lines[s.at[k]]
		return found(append(slices.Clone(s.lines[:s.at[k]]), line[:1+j%(len(line)-1)]), 0)
	}},
	{"truncated, and the end line kept", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.with(s.at[k], len(s.lines)-1), k)
	}},
	{"truncated with an end line that fits", func(s *source, k, _ int) (Tampering, bool) {
		lines := append(slices.Clone(s.lines[:s.at[k]]), endLine(s.links[k-1].Head()))
		return Tampering{Lines: lines, WantRecord: uint64(k), Beside: s.newest}, true
	}},
	{"forked from it on", func(s *source, k, _ int) (Tampering, bool) {
		records := s.records(k)
		records[0] = []byte(`{"event":"forged"}`)
		return found(s.rewritten(k, records), int(s.mark(k)))
	}},
	{"forked from it on, without checkpoints", func(s *source, k, _ int) (Tampering, bool) {
		records := s.records(k)
		records[0] = []byte(`{"event":"forged"}`)
		lines := slices.DeleteFunc(s.rewritten(k, records), func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"checkpoint"`)) })
		return Tampering{Lines: lines, WantRecord: uint64(s.last()), Beside: s.newest}, true
	}},
	{"disposed of up to it, unattested", func(s *source, k, _ int) (Tampering, bool) {
		return found(s.with(1, s.at[k]+1, stubLine(audit.Head{}, s.links[k].Head())), 1)
	}},
	{"disposed of from it on", func(s *source, k, j int) (Tampering, bool) {
		if k >= j || k == 1 {
			return Tampering{}, false
		}
		return found(s.with(s.at[k], s.at[j]+1, stubLine(s.links[k-1].Head(), s.links[j].Head())), k)
	}},
	{"disposed of up to it, attested for other records", func(s *source, k, _ int) (Tampering, bool) {
		if k == s.last() {
			return Tampering{}, false
		}
		stub := audit.Stub{First: 1, Last: uint64(k) + 1, Hash: s.links[k].Hash}
		return s.disposed(k, stub, s.disposal(s.origin, stub, s.key), nil)
	}},
	{"disposed of up to it, attested without a note", func(s *source, k, _ int) (Tampering, bool) {
		return s.disposed(k, s.stub(k), nil, nil)
	}},
	{"disposed of up to it, with the note of another chain", func(s *source, k, _ int) (Tampering, bool) {
		name, _, _ := strings.Cut(s.origin, "/")
		return s.disposed(k, s.stub(k), s.disposal(name+"/tenants/"+strings.Repeat("0", 32), s.stub(k), s.key), nil)
	}},
	{"disposed of up to it, with the note of another disposal", func(s *source, k, j int) (Tampering, bool) {
		if k == j {
			return Tampering{}, false
		}
		return s.disposed(k, s.stub(k), s.disposal(s.origin, s.stub(j), s.key), nil)
	}},
	{"disposed of up to it, with the note of other records", func(s *source, k, j int) (Tampering, bool) {
		other := s.stub(k)
		other.Hash[j%len(other.Hash)] ^= 1
		return s.disposed(k, s.stub(k), s.disposal(s.origin, other, s.key), nil)
	}},
	{"disposed of up to it, with the note of another key", func(s *source, k, _ int) (Tampering, bool) {
		name, _, _ := strings.Cut(s.origin, "/")
		return s.disposed(k, s.stub(k), s.disposal(s.origin, s.stub(k), Key(s.tb, name, 0xEE)), nil)
	}},
	{"disposed of up to it, with a checkpoint for a note", func(s *source, k, _ int) (Tampering, bool) {
		return s.disposed(k, s.stub(k), Note(s.tb, s.origin, s.links[k].Head(), s.key), nil)
	}},
	{"disposed of up to it, with an altered note", func(s *source, k, j int) (Tampering, bool) {
		note := s.disposal(s.origin, s.stub(k), s.key)
		at := j * len(note) / (s.last() + 1)
		note[at] ^= 1
		return s.disposed(k, s.stub(k), note, nil)
	}},
	{"disposed of up to it, with a record that no server writes", func(s *source, k, j int) (Tampering, bool) {
		edits := [][2]string{
			{`"schema":1`, `"schema":2`}, {`"schema":1,`, ``}, {`"schema":1`, `"schema":1,"schema":1`}, {`"event":"`, `"event": "`}, {`{"actor"`, `{"actor":"a","actor"`},
			{`"time":"2`, `"time":"x`}, {`"outcome":"success"`, `"outcome":""`}, {`,"time"`, `,"session":"\u2028","time"`}, {`,"time"`, `,"session":"` + "\u2028" + `","time"`},
			{`,"schema"`, `,"revision":1,"schema"`}, {`,"schema"`, `,"resources":["a"],"schema"`}, {`"first":"1"`, `"first":"01"`}, {`,"time"`, `,"tame":"a","time"`},
			{`"actor":"s`, `"actor":"\u0073`}, {`"event":"` + audit.DisposeEvent, `"event":"audit.export`}, {`"actor":"s`, `"Actor":"s`}, {`"schema":1`, `"schema":1.0`},
		}
		edit := edits[j%len(edits)]
		return s.disposed(k, s.stub(k), s.disposal(s.origin, s.stub(k), s.key), func(record string) string {
			return strings.Replace(record, edit[0], edit[1], 1)
		})
	}},
}

// stub stands for all records up to k.
func (s *source) stub(k int) audit.Stub {
	return audit.Stub{First: 1, Last: uint64(k), Hash: s.links[k].Hash}
}

// disposal is the signed note of one.
func (s *source) disposal(origin string, stub audit.Stub, key *audit.SigningKey) []byte {
	s.tb.Helper()
	note, err := stub.Sign(origin, start, key)
	if err != nil {
		s.tb.Fatal(err)
	}
	return note
}

// disposed is the export with a stub in the place of the records up to k, and a
// record behind the last that says that those of attested were disposed of.
func (s *source) disposed(k int, attested audit.Stub, note []byte, edit func(string) string) (Tampering, bool) {
	record := string(Disposal(attested, note))
	if edit != nil {
		whole := record
		if record = edit(record); record == whole {
			s.tb.Fatalf("nothing was changed in %s", record)
		}
	}
	forged := s.links[s.last()].Head().Next([]byte(record))
	return found(slices.Concat(s.lines[:1], [][]byte{stubLine(audit.Head{}, s.links[k].Head())},
		s.lines[s.at[k]+1:len(s.lines)-1], [][]byte{linkLine(forged), endLine(forged.Head())}), 1)
}

// Tamperings are all ways to tamper with each single record of an export, and
// all with its other lines. lines is a whole export from a chain's first record
// on, with three checkpoints or more, each behind its record and the last behind
// the last one, all signed by key.
func Tamperings(tb testing.TB, lines [][]byte, key *audit.SigningKey) iter.Seq[Tampering] {
	tb.Helper()
	s := read(tb, lines, key)
	return func(yield func(Tampering) bool) {
		for _, kind := range kinds {
			for k := 1; k <= s.last(); k++ {
				j := (k+s.last()/3)*7%s.last() + 1
				if t, ok := s.tamper(kind, k, j); ok && !yield(t) {
					return
				}
			}
		}
		for _, t := range s.frames() {
			if !yield(t) {
				return
			}
		}
	}
}

// Random are n tamperings drawn by r; see Tamperings.
func Random(tb testing.TB, lines [][]byte, key *audit.SigningKey, r *rand.Rand, n int) iter.Seq[Tampering] {
	tb.Helper()
	s := read(tb, lines, key)
	frames := s.frames()
	return func(yield func(Tampering) bool) {
		for n := n; n > 0; {
			t, ok := frames[r.IntN(len(frames))], true
			if kind := r.IntN(len(kinds) + 1); kind < len(kinds) {
				t, ok = s.tamper(kinds[kind], 1+r.IntN(s.last()), 1+r.IntN(s.last()))
			}
			if !ok {
				continue
			}
			if n--; !yield(t) {
				return
			}
		}
	}
}

func (s *source) tamper(kind kind, k, j int) (Tampering, bool) {
	t, ok := kind.do(s, k, j)
	t.Name = kind.name + ": " + strconv.Itoa(k) + " (" + strconv.Itoa(j) + ")"
	return t, ok
}

// frames are the tamperings with lines that are no records.
func (s *source) frames() []Tampering {
	end := len(s.lines) - 1
	head := s.links[s.last()].Head()
	text := func(at int, old, by string) [][]byte {
		line := strings.Replace(string(s.lines[at]), old, by, 1)
		if line == string(s.lines[at]) {
			s.tb.Fatalf("%q is not in %s", old, line)
		}
		return s.with(at, at+1, []byte(line))
	}
	zero := hex.EncodeToString(make([]byte, 32))
	name, _, _ := strings.Cut(s.origin, "/")
	all := []Tampering{
		{Name: "header: removed", Lines: s.with(0, 1)},
		{Name: "header: twice", Lines: s.with(0, 0, s.lines[0])},
		{Name: "header: of another chain", Lines: text(0, s.origin, name+"/tenants/"+zero[:32])},
		{Name: "header: of another format", Lines: text(0, audit.Format, "llm-config-audit/2")},
		{Name: "header: said to be filtered", Lines: text(0, `,"format"`, `,"filtered":true,"format"`)},
		{Name: "header: begins with another hash", Lines: text(0, zero, "1"+zero[1:]), WantRecord: 1},
		{Name: "header: begins later", Lines: text(0, `"sequence":0`, `"sequence":1`)},
		{Name: "header: begins later, with the hash of there", Lines: s.with(0, 1, []byte(strings.Replace(string(s.lines[0]), `"hash":"`+zero+`","sequence":0`,
			fmt.Sprintf(`"hash":"%x","sequence":1`, s.links[1].Hash), 1))), WantRecord: 1},
		{Name: "end: another hash", Lines: s.with(end, end+1, endLine(audit.Head{Sequence: head.Sequence, Hash: s.links[1].Hash}))},
		{Name: "end: later", Lines: s.with(end, end+1, endLine(audit.Head{Sequence: head.Sequence + 1, Hash: head.Hash})), WantRecord: head.Sequence + 1},
		{Name: "end: earlier", Lines: s.with(end, end+1, endLine(s.links[s.last()-1].Head()))},
		{Name: "end: removed", Lines: s.with(end, end+1)},
		{Name: "end: twice", Lines: s.with(end, end, s.lines[end])},
		{Name: "end: moved", Lines: slices.Concat(s.lines[:1], s.lines[end:], s.lines[1:end])},
		{Name: "end: without its newline", Lines: s.with(end, end+1, bytes.TrimSuffix(s.lines[end], []byte("\n")))},
		{Name: "an empty line", Lines: s.with(end, end, []byte("\n"))},
		{Name: "a line of another kind", Lines: s.with(end, end, []byte(`{"comment":"nothing"}`+"\n"))},
		{Name: "all records removed", Lines: s.with(1, end), WantRecord: 1},
		{Name: "everything removed", Lines: nil},
	}
	for i, at := range s.notes {
		note := s.lines[at]
		for _, edit := range []struct{ name, old, by string }{
			{"its sequence number", `\n` + strconv.FormatUint(s.marks[i], 10) + `\n`, `\n` + strconv.FormatUint(s.marks[i]-1, 10) + `\n`},
			{"its time", `\ntime 2026`, `\ntime 2027`},
			{"its origin", s.origin + `\n`, name + `/tenants/` + zero[:32] + `\n`},
			{"its newlines", `\n`, ` `},
			{"its escapes", `\n`, `\u000a`},
			{"its signature", ` ` + signature(note), ` ` + strings.Repeat("A", len(signature(note))-2) + "=="},
			{"its hash", base64Of(note), strings.Repeat("A", 43) + "="},
			{"its signer", "— " + name, "— " + name + "x"},
		} {
			all = append(all, Tampering{Name: fmt.Sprintf("checkpoint %d: %s", s.marks[i], edit.name), Lines: text(at, edit.old, edit.by)})
		}
		other := s.links[max(1, int(s.marks[i])-1)]
		place := audit.Head{Sequence: s.marks[i], Hash: s.links[s.marks[i]].Hash}
		stranger := Key(s.tb, name, 0xEE)
		forged := audit.Head{Sequence: s.marks[i], Hash: other.Hash}
		for _, by := range []struct {
			name string
			note []byte
			want uint64
		}{
			{"of another chain", Note(s.tb, name+"/tenants/"+zero[:32], place, s.key), 0},
			{"of another key", Note(s.tb, s.origin, place, stranger), 0},
			{"of another hash", Note(s.tb, s.origin, forged, s.key), s.marks[i]},
		} {
			all = append(all,
				Tampering{Name: fmt.Sprintf("checkpoint %d: %s in its place", s.marks[i], by.name), Lines: s.with(at, at+1, noteLine(by.note)), WantRecord: by.want},
				Tampering{Name: fmt.Sprintf("checkpoint %d: %s before it", s.marks[i], by.name), Lines: s.with(at, at, noteLine(by.note)), WantRecord: by.want},
				Tampering{Name: fmt.Sprintf("checkpoint %d: %s behind it", s.marks[i], by.name), Lines: s.with(at+1, at+1, noteLine(by.note)), WantRecord: by.want})
		}
		if i > 0 {
			lines := slices.Clone(s.lines)
			lines[at], lines[s.notes[i-1]] = lines[s.notes[i-1]], lines[at]
			all = append(all, Tampering{Name: fmt.Sprintf("checkpoint %d: swapped with the one before", s.marks[i]), Lines: lines})
		}
	}
	return all
}

// base64Of is the hash in a checkpoint's line.
func base64Of(line []byte) string { return strings.Split(string(line), `\n`)[2] }

// signature is that of a checkpoint's line.
func signature(line []byte) string {
	fields := strings.Fields(strings.Split(string(line), `\n`)[5])
	return fields[2]
}
