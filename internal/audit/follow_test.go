package audit

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

// objects are a chain whose records are JSON.
func objects(n int) []Link {
	var links []Link
	head := Head{}
	for i := range n {
		link := head.Next(fmt.Appendf(nil, `{"n":%d}`, i+1))
		links, head = append(links, link), link.Head()
	}
	return links
}

// noteAt is a checkpoint of a head, signed a minute later for each number.
func noteAt(t testing.TB, head Head, minute int, keys ...*SigningKey) []byte {
	t.Helper()
	return sign(t, Checkpoint{testOrigin, head, testCheckpoint.Time.Add(time.Duration(minute) * time.Minute)}, keys...)
}

// disposal is the signed note of a stub of the chain.
func disposal(t testing.TB, s Stub, keys ...*SigningKey) []byte {
	t.Helper()
	note, err := s.Sign(testOrigin, testCheckpoint.Time, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

// expect tells of a checkpoint from elsewhere, which is a note.
func expect(t testing.TB, f *Follower, note []byte) {
	t.Helper()
	if err := f.Expect(note); err != nil {
		t.Fatal(err)
	}
}

// mustBreak holds that a report is of a break at a record, whose reason says what was done.
func mustBreak(t *testing.T, name string, r Report, sequence uint64, reason string) {
	t.Helper()
	if r.Broken == nil || r.Broken.Sequence != sequence || !strings.Contains(r.Broken.Reason, reason) {
		t.Errorf("%s: the break is %v, want one at %d that says %q", name, r.Broken, sequence, reason)
	}
}

func TestFollowerReports(t *testing.T) {
	key, other, links := testKey(t, 1), testKey(t, 2), objects(10)
	f := NewFollower(testOrigin, links[1].Head(), key.Public(), other.Public())
	expect(t, f, noteAt(t, links[0].Head(), 0, key)) // before where it begins
	expect(t, f, noteAt(t, links[1].Head(), 1, key)) // where it begins
	expect(t, f, noteAt(t, links[7].Head(), 4, other, key))
	for i, l := range links[2:] {
		if !f.Link(l) {
			t.Fatal(f.Finish().Broken)
		}
		if i == 1 && !f.Checkpoint(noteAt(t, l.Head(), 2, key)) {
			t.Fatal(f.Finish().Broken)
		}
		if i == 2 && !f.Checkpoint(noteAt(t, links[2].Head(), 3, key)) { // behind others
			t.Fatal(f.Finish().Broken)
		}
	}
	f.Checkpoint(noteAt(t, links[7].Head(), 5, key)) // the same size again, later
	want := Report{
		Origin: testOrigin, From: links[1].Head(), Head: links[9].Head(), Records: 8, Checkpoints: 4, Unchecked: 1,
		Signed: Checkpoint{testOrigin, links[7].Head(), testCheckpoint.Time.Add(5 * time.Minute).UTC()},
	}
	if !f.End(links[9].Head()) {
		t.Error(f.Finish().Broken)
	}
	if got := f.Finish(); got != want || got.Unsigned() != 2 {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if again := f.Finish(); again != want {
		t.Errorf("finished again, it is %+v", again)
	}
}

func TestFollowerFindsWhatCheckpointsTell(t *testing.T) {
	key, stranger, links := testKey(t, 1), testKey(t, 9), objects(6)
	forged := func(l Link) Head { return Head{l.Sequence, [32]byte{1}} }
	elsewhere := sign(t, Checkpoint{testName + "/tenants/0123456789abcdef0123456789abcdef", links[3].Head(), testCheckpoint.Time}, key)
	for name, c := range map[string]struct {
		beside   [][]byte
		within   []byte // behind record 4
		sequence uint64
		reason   string
	}{
		"another hash":            {nil, noteAt(t, forged(links[3]), 0, key), 4, "forked, or rewritten"},
		"another hash, beside":    {[][]byte{noteAt(t, forged(links[4]), 0, key)}, nil, 5, "forked, or rewritten"},
		"of a record behind it":   {nil, noteAt(t, links[4].Head(), 0, key), 5, "removed or truncated"},
		"beyond the end":          {[][]byte{noteAt(t, Head{9, [32]byte{1}}, 0, key), noteAt(t, Head{8, [32]byte{1}}, 0, key)}, nil, 7, "truncated: the chain ends at record 6, and the checkpoint signed at 2026-11-01T12:04:05.000000060Z says that it had record 9"},
		"of a stranger":           {nil, noteAt(t, links[3].Head(), 0, stranger), 4, "no known key signed"},
		"of another chain":        {nil, elsewhere, 4, "it is of another chain, " + testName + "/tenants/0123456789abcdef0123456789abcdef"},
		"of nothing":              {nil, []byte("x"), 4, "not a signed note"},
		"two of one size":         {[][]byte{noteAt(t, links[5].Head(), 0, key), noteAt(t, forged(links[5]), 1, key)}, nil, 6, "forked: checkpoints signed at 2026-11-01T12:04:05.000000060Z and at 2026-11-01T12:05:05.000000060Z"},
		"one beside, one within":  {[][]byte{noteAt(t, links[3].Head(), 0, key)}, noteAt(t, forged(links[3]), 1, key), 4, "forked: checkpoints"},
		"another hash, long ago":  {nil, noteAt(t, forged(links[1]), 0, key), 2, "forked, or rewritten"},
		"another hash at 0":       {nil, noteAt(t, Head{0, [32]byte{1}}, 0, key), 0, "forked, or rewritten"},
		"two of one size, beyond": {[][]byte{noteAt(t, Head{9, [32]byte{1}}, 0, key), noteAt(t, Head{9, [32]byte{2}}, 0, key)}, nil, 9, "forked: checkpoints"},
	} {
		f := NewFollower(testOrigin, Head{}, key.Public())
		for _, note := range c.beside {
			expect(t, f, note)
		}
		holds := true
		for i, l := range links {
			holds = f.Link(l)
			if i == 3 && c.within != nil && f.Checkpoint(c.within) {
				t.Errorf("%s: the checkpoint was taken", name)
			}
		}
		report := f.Finish()
		mustBreak(t, name, report, c.sequence, c.reason)
		if report.Broken != nil && report.Broken.Sequence < 6 && holds {
			t.Errorf("%s: behind the break, a link was taken", name)
		}
	}
	f := NewFollower(testOrigin, links[2].Head(), key.Public())
	expect(t, f, noteAt(t, links[0].Head(), 0, key))
	expect(t, f, noteAt(t, forged(links[0]), 1, key))
	mustBreak(t, "two of one size before the beginning", f.Finish(), 1, "forked: checkpoints")
	f = NewFollower(testOrigin, Head{}, "none")
	expect(t, f, noteAt(t, links[0].Head(), 0, key))
	mustBreak(t, "a key that is none", f.Finish(), 0, "no public key")
	mustBreak(t, "another beginning", NewFollower(testOrigin, Head{0, [32]byte{1}}).Finish(), 1, "does not begin as chains do")
}

func TestFollowerFindsWhatIsNoObject(t *testing.T) {
	for record, want := range map[string]bool{
		`{}`: true, `{"a":[{"b":"}]\"\\"}],"c":{}}`: true, `{"ä":"{"}`: true,
		``: false, `{`: false, `[]`: false, `"a"`: false, `1`: false, `{}{}`: false, `{},"sequence":1,"x":{}`: false, ` {}`: false, `{} `: false,
		`{"a":"}`: false, `{"a":"\"}`: false, `{"a":"\`: false, "{\"a\":\"\xff\"}": false, `{]`: true, // which brackets they are does not matter; see isObject
	} {
		f := NewFollower(testOrigin, Head{})
		if got := f.Link(Head{}.Next([]byte(record))); got != want {
			t.Errorf("%q is taken: %t, want %t", record, got, want)
		}
		if !want {
			mustBreak(t, record, f.Finish(), 1, "not one JSON object")
		}
	}
}

// TestStubs has a chain whose first records were disposed of in two runs.
func TestStubs(t *testing.T) {
	key, head := testKey(t, 1), Head{}
	var links []Link
	grow := func(record []byte) Head {
		links = append(links, head.Next(record))
		head = links[len(links)-1].Head()
		return head
	}
	for range 6 {
		grow([]byte(`{"event":"config.change"}`))
	}
	first := Stub{First: 1, Last: 2, Hash: links[1].Hash}
	second := Stub{First: 3, Last: 4, From: links[1].Hash, Hash: links[3].Hash}
	attest := func(event string, change map[string]string) []byte {
		details := second.DisposeDetails(disposal(t, second, key))
		maps.Copy(details, change)
		return Record{Time: testCheckpoint.Time, Event: event, Outcome: Success, Details: details}.Canonical()
	}
	grow(Record{Time: testCheckpoint.Time, Event: DisposeEvent, Details: first.DisposeDetails(disposal(t, first, key))}.Canonical())
	whole := links

	for name, c := range map[string]struct {
		stubs    []Stub
		attest   []byte
		sequence uint64 // of the break; 0 for none
		reason   string
	}{
		"attested":               {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"location": "more"}), 0, ""},
		"one run":                {[]Stub{first}, []byte(`{}`), 0, ""},
		"unattested":             {[]Stub{first, second}, []byte(`{"event":"audit.dispose"}`), 3, "records 3 to 4 are said to be disposed of, and no record attests it"},
		"attested as another":    {[]Stub{first, second}, attest("config.change", nil), 3, "no record attests it"},
		"attested longer":        {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"last": "5"}), 3, "no record attests it"},
		"attested other hashes":  {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"from": zeroes}), 3, "no record attests it"},
		"attested without note":  {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"note": ""}), 3, "no record attests it that the server signed"},
		"attested as the first":  {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"note": string(disposal(t, first, key))}), 3, "no record attests it"},
		"attested by a stranger": {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"note": string(disposal(t, second, testKey(t, 9)))}), 3, "no record attests it"},
		"attested other numbers": {[]Stub{first, second}, attest(DisposeEvent, map[string]string{"first": "03"}), 3, "no record attests it"},
		"with a gap":             {[]Stub{second}, nil, 1, "does not continue the chain"},
		"overlapping":            {[]Stub{first, first}, nil, 3, "does not continue the chain"},
		"another hash before":    {[]Stub{first, {First: 3, Last: 4, Hash: links[3].Hash}}, nil, 3, "does not continue the chain"},
		"another hash":           {[]Stub{first, {First: 3, Last: 4, From: links[1].Hash, Hash: [32]byte{1}}}, nil, 5, "edited, or inserted"},
		"of nothing":             {[]Stub{{First: 1, Last: 0}}, nil, 1, "does not continue the chain"},
	} {
		f := NewFollower(testOrigin, Head{}, key.Public())
		expect(t, f, noteAt(t, whole[0].Head(), 0, key)) // of a record that is no more
		expect(t, f, noteAt(t, Head{c.stubs[0].Last, c.stubs[0].Hash}, 0, key))
		holds, last := true, Head{}
		for _, s := range c.stubs {
			holds = holds && f.Stub(s)
			last = Head{s.Last, s.Hash}
		}
		if holds {
			last = whole[last.Sequence-1].Head()
			for _, l := range whole[last.Sequence:] {
				f.Link(l)
				last = l.Head()
			}
			f.Link(last.Next(c.attest))
		}
		report := f.Finish()
		if c.sequence != 0 {
			mustBreak(t, name, report, c.sequence, c.reason)
			continue
		}
		disposed := c.stubs[len(c.stubs)-1].Last
		if report.Broken != nil || report.Disposed != disposed || report.Records != 8-disposed || report.Checkpoints != 1 || report.Unchecked != 1 {
			t.Errorf("%s: %+v, %v", name, report, report.Broken)
		}
	}

	f := NewFollower(testOrigin, Head{}, key.Public())
	f.Stub(first)
	f.Checkpoint(noteAt(t, whole[0].Head(), 0, key))
	f.Checkpoint(noteAt(t, Head{1, [32]byte{1}}, 1, key))
	mustBreak(t, "two checkpoints of a record that is no more", f.Finish(), 1, "forked: checkpoints")
	f = NewFollower(testOrigin, whole[1].Head())
	f.Stub(second)
	mustBreak(t, "a stub of a chain that does not begin at its first record", f.Finish(), 3, "only the beginning of a chain")
}

// Without a key, what attests a stub is held against it by what it says alone.
func TestStubsWithoutAKey(t *testing.T) {
	stub := Stub{First: 1, Last: 5, Hash: [32]byte{5}}
	for name, c := range map[string]struct {
		note  []byte
		key   []string
		holds bool
	}{
		"a note of a stranger":           {disposal(t, stub, testKey(t, 9)), nil, true},
		"no note":                        {nil, nil, true},
		"no note, and a key":             {nil, []string{testKey(t, 1).Public()}, false},
		"a note, and a key":              {disposal(t, stub, testKey(t, 1)), []string{testKey(t, 1).Public()}, true},
		"a note, and a key that is none": {disposal(t, stub, testKey(t, 1)), []string{"none"}, false},
	} {
		f := NewFollower(testOrigin, Head{}, c.key...)
		f.Stub(stub)
		f.Link(Head{stub.Last, stub.Hash}.Next(Record{Time: testCheckpoint.Time, Event: DisposeEvent, Details: stub.DisposeDetails(c.note)}.Canonical()))
		if r := f.Finish(); (r.Broken == nil) != c.holds {
			t.Errorf("%s: %v", name, r.Broken)
		}
	}
}

// A checkpoint is checked as long as its link is not too far back, and counted
// when it is.
func TestCheckpointsFarBack(t *testing.T) {
	key, links := testKey(t, 1), objects(window+100)
	for name, c := range map[string]struct {
		of                     int
		checkpoints, unchecked int
	}{"the oldest that is known": {100, 1, 0}, "the one before": {99, 0, 1}, "the newest": {window + 99, 1, 0}, "one in the middle": {window - 1, 1, 0}} {
		f := NewFollower(testOrigin, Head{}, key.Public())
		for _, l := range links {
			f.Link(l)
		}
		f.Checkpoint(noteAt(t, links[c.of].Head(), 0, key))
		if r := f.Finish(); r.Broken != nil || r.Checkpoints != c.checkpoints || r.Unchecked != c.unchecked {
			t.Errorf("%s: %+v", name, r)
		}
		f = NewFollower(testOrigin, Head{}, key.Public())
		for _, l := range links {
			f.Link(l)
		}
		f.Checkpoint(noteAt(t, Head{links[c.of].Sequence, [32]byte{}}, 0, key))
		if r := f.Finish(); (r.Broken != nil) != (c.checkpoints == 1) {
			t.Errorf("%s, with another hash: %v", name, r.Broken)
		}
	}
}

func TestFollowerTakesExportsThatFollow(t *testing.T) {
	links := objects(6)
	part := func(from Head, links []Link) string {
		return exportOf(t, from, false, func(e *Exporter) error {
			for _, l := range links {
				if err := e.Link(l); err != nil {
					return err
				}
			}
			return e.End()
		})
	}
	first := part(Head{}, links[:3])
	for name, c := range map[string]struct {
		second   string
		sequence uint64
		reason   string
		err      string
	}{
		"that follows":        {part(links[2].Head(), links[3:]), 0, "", ""},
		"behind a gap":        {part(links[3].Head(), links[4:]), 4, "removed: the export begins behind record 4", ""},
		"that overlaps":       {part(links[1].Head(), links[2:]), 3, "repeated: the export begins behind record 2", ""},
		"of another hash":     {part(Head{3, [32]byte{1}}, links[3:]), 3, "forked: the export continues another hash", ""},
		"that is cut off":     {strings.TrimSuffix(part(links[2].Head(), links[3:]), "}}\n"), 7, "cut off: the export has no end line behind record 6", ""},
		"that ends later":     {strings.Replace(part(links[2].Head(), links[3:]), `"sequence":6}}`, `"sequence":8}}`, 1), 7, "cut off: the export says that it ends at record 8", ""},
		"that ends earlier":   {strings.Replace(part(links[2].Head(), links[3:]), `"sequence":6}}`, `"sequence":5}}`, 1), 6, "inserted: the export says that it ends at record 5", ""},
		"that ends elsewhere": {strings.Replace(part(links[2].Head(), links[3:]), `{"end":{"hash":"`+hex.EncodeToString(links[5].Hash[:]), `{"end":{"hash":"`+zeroes, 1), 6, "edited: the export says that it ends with another hash", ""},
		"of another chain":    {strings.Replace(first, "/server", "/tenants/0123456789abcdef0123456789abcdef", 1), 0, "", "the export is of chain " + testName + "/tenants/0123456789abcdef0123456789abcdef"},
		"that is filtered":    {exportOf(t, links[2].Head(), true, (*Exporter).End), 0, "", "filtered"},
		"with an odd line":    {strings.Replace(part(links[2].Head(), links[3:]), "\n{\"hash\"", "\n{\"hush\"", 1), 0, "", "behind record 3: line 2: not a line"},
		"with an empty line":  {part(links[2].Head(), links[3:]) + "\n", 0, "", "behind record 6: line 6: the export goes on"},
	} {
		f := NewFollower(testOrigin, Head{})
		var err error
		for _, export := range []string{first, c.second} {
			var i *Importer
			if i, err = NewImporter(strings.NewReader(export)); err == nil {
				err = f.Export(i)
			}
		}
		report := f.Finish()
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: the error is %v, want %q", name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.sequence != 0:
			mustBreak(t, name, report, c.sequence, c.reason)
		case report.Broken != nil || report.Head != links[5].Head():
			t.Errorf("%s: %+v, %v", name, report, report.Broken)
		}
	}
}

// Two checkpoints of one link are a fork however many links are between them.
func TestFollowerRemembersCheckpoints(t *testing.T) {
	key, links := testKey(t, 1), objects(window+10)
	f := NewFollower(testOrigin, Head{}, key.Public())
	for _, l := range links {
		f.Link(l)
		if l.Sequence == 5 {
			f.Checkpoint(noteAt(t, l.Head(), 0, key))
		}
	}
	if !f.Checkpoint(noteAt(t, links[4].Head(), 1, key)) || f.Checkpoint(noteAt(t, Head{5, [32]byte{1}}, 2, key)) {
		t.Error("the fork was not found")
	}
	mustBreak(t, "a fork long ago", f.Finish(), 5, "forked: checkpoints")
}

// What is too much to check is an error of an export, and no verdict.
func TestTooMuchToCheck(t *testing.T) {
	for name, c := range map[string]struct {
		line func(*Exporter, int) error
		most int
		want string
	}{
		"checkpoints": {func(e *Exporter, _ int) error { return e.Checkpoint([]byte("a")) }, maxNotes, "more than 1000000 checkpoints"},
		"stubs": {func(e *Exporter, i int) error {
			return e.Stub(Stub{uint64(i) + 1, uint64(i) + 1, e.head.Hash, [32]byte{byte(i), byte(i >> 8), 1}})
		}, maxStubs, "more than 65536 runs of records"},
	} {
		for _, more := range []int{0, 1} {
			export := exportOf(t, Head{}, false, func(e *Exporter) error {
				for i := range c.most + more {
					if err := c.line(e, i); err != nil {
						return err
					}
				}
				return e.End()
			})
			i, err := NewImporter(strings.NewReader(export))
			if err == nil {
				err = NewFollower(testOrigin, Head{}).Export(i)
			}
			if more == 0 && err != nil || more == 1 && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d more %s than allowed: %v", more, name, err)
			}
		}
	}
}

// Following does not keep what it is fed: its caller uses the bytes again.
func TestFollowerKeepsNothing(t *testing.T) {
	f, head := NewFollower(testOrigin, Head{}), Head{}
	record := []byte(`{"n":0}`)
	for i := range 9 {
		record[5] = byte('0' + i)
		link := head.Next(bytes.Clone(record))
		shared := link
		shared.Record = record
		if head = link.Head(); !f.Link(shared) {
			t.Fatal(f.Finish().Broken)
		}
	}
	if r := f.Finish(); r.Records != 9 || r.Head != head {
		t.Errorf("%+v", r)
	}
}
