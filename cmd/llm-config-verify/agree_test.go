package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
)

// verdict is what both verifiers have to agree on.
type verdict struct {
	code   int
	record uint64 // the first bad one, of what is broken
}

var brokenAt = regexp.MustCompile(`^BROKEN: chain [^ ]+, record ([0-9]+): `)

// ours is the verdict of this program. Without a public key it is given none.
func ours(t *testing.T, export, beside []byte, public string) verdict {
	t.Helper()
	var args []string
	if public != "" {
		args = append(args, "-key", public)
	}
	if beside != nil {
		args = append(args, "-checkpoint", write(t, string(beside)))
	}
	o := verifyText(string(export), args...)
	if o.code != exitBroken {
		return verdict{o.code, 0}
	}
	at := brokenAt.FindStringSubmatch(o.stdout)
	if at == nil {
		t.Fatalf("no record is named:\n%s", o.stdout)
	}
	record, err := strconv.ParseUint(at[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return verdict{o.code, record}
}

// theirs is the verdict of the server's own verifier, as the code that its
// command line ends with.
func theirs(export, beside []byte, public string) verdict {
	i, err := audit.NewImporter(bytes.NewReader(export))
	if err != nil || i.Filtered {
		return verdict{exitUnreadable, 0}
	}
	var keys []string
	if public != "" {
		keys = append(keys, public)
	}
	f := audit.NewFollower(i.Origin, i.From, keys...)
	if beside != nil {
		if err := f.Expect(beside); err != nil {
			return verdict{exitUnreadable, 0}
		}
	}
	if err := f.Export(i); err != nil {
		return verdict{exitUnreadable, 0}
	}
	if r := f.Finish(); r.Broken != nil {
		return verdict{exitBroken, r.Broken.Sequence}
	}
	return verdict{exitHolds, 0}
}

// tamperedOrigin is that of the exports that are tampered with.
const tamperedOrigin = testName + "/tenants/0a0b0c0d0e0f00112233445566778899"

// mustAgree holds both verifiers against one tampering.
func mustAgree(t *testing.T, tampering audittest.Tampering, public string) {
	t.Helper()
	export := tampering.Bytes()
	got, other := ours(t, export, tampering.Beside, public), theirs(export, tampering.Beside, public)
	switch {
	case got.code == exitHolds:
		t.Errorf("%s: it was not found", tampering.Name)
	case tampering.WantRecord != 0 && got != (verdict{exitBroken, tampering.WantRecord}):
		t.Errorf("%s: %+v, want a break at record %d", tampering.Name, got, tampering.WantRecord)
	case got != other:
		t.Errorf("%s: this program says %+v, the server's verifier %+v", tampering.Name, got, other)
	}
}

// The two verifiers were written apart from each other. What one finds, the other
// finds, at the same record. The long round has a chain of 300 records; the short
// one has fewer, as the work grows with the square.
func TestBothVerifiersAgreeSoak(t *testing.T) {
	n := 50
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		n = 300
	}
	key := audittest.Key(t, testName, 1)
	export := audittest.Export(t, tamperedOrigin, audittest.Links(n), n/6, key)
	o := verifyText(string(export), "-key", key.Public())
	if o.code != exitHolds || !strings.Contains(o.stdout, "signed: all, up to record "+strconv.Itoa(n)+" ") {
		t.Fatalf("untouched: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if v := theirs(export, nil, key.Public()); v.code != exitHolds {
		t.Fatalf("untouched: the server's verifier says %+v", v)
	}
	tried := 0
	for tampering := range audittest.Tamperings(t, audittest.Lines(export), key) {
		mustAgree(t, tampering, key.Public())
		tried++
	}
	if tried < 25*n {
		t.Errorf("only %d tamperings were tried", tried)
	}
}

func TestBothVerifiersAgreeOnRandomTamperingsSoak(t *testing.T) {
	records, every, n := 1000, 50, 200
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		records, every, n = 10_000, 500, 1000
	}
	key := audittest.Key(t, testName, 1)
	lines := audittest.Lines(audittest.Export(t, tamperedOrigin, audittest.Links(records), every, key))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for tampering := range audittest.Random(t, lines, key, rand.New(rand.NewPCG(seed, 0)), n) {
		mustAgree(t, tampering, key.Public())
	}
}

// signedExport has every kind of line: disposed records, records, checkpoints, and
// behind them the record that attests the disposal, all signed.
func signedExport(t testing.TB, key *audit.SigningKey) (lines [][]byte, notes []string, attesting int) {
	t.Helper()
	links := audittest.Links(12)
	stub := audit.Stub{First: 1, Last: 5, Hash: links[4].Hash}
	disposal, err := stub.Sign(tamperedOrigin, time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), key)
	if err != nil {
		t.Fatal(err)
	}
	links = append(links, links[11].Head().Next(audittest.Disposal(stub, disposal)))
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, tamperedOrigin, audit.Head{}, false)
	if err == nil {
		err = e.Stub(stub)
	}
	for _, l := range links[5:] {
		if err == nil {
			err = e.Link(l)
		}
		if err == nil && l.Sequence%4 == 1 {
			note := audittest.Note(t, tamperedOrigin, l.Head(), key)
			notes = append(notes, string(note))
			err = e.Checkpoint(note)
		}
	}
	if err = errors.Join(err, e.End()); err != nil {
		t.Fatal(err)
	}
	lines = audittest.Lines(b.Bytes())
	return lines, append(notes, string(disposal)), len(lines) - 3
}

// noteEdits are ways to write a note that nobody should take for the same, by
// what stands in the line of a checkpoint or a record. Signature lines begin at the
// em dash, as in the notes.
func noteEdits(key *audit.SigningKey) map[string]func(string) string {
	last := func(note string) (before, line string) {
		at := strings.LastIndex(note, "—")
		return note[:at], note[at:]
	}
	insert := func(more ...string) func(string) string {
		return func(note string) string { return note + strings.Join(more, "") }
	}
	stranger := func(i int) string {
		return "— " + testName + " " + base64.StdEncoding.EncodeToString(append([]byte{0, 0, 1, byte(i)}, make([]byte, 64)...)) + "\n"
	}
	strangers := func(n int) (all []string) {
		for i := range n {
			all = append(all, stranger(i))
		}
		return all
	}
	id, _ := hex.DecodeString(strings.Split(key.Public(), "+")[1])
	return map[string]func(string) string{
		"unused bits": func(note string) string {
			before, line := last(note)
			line = strings.TrimSuffix(line, "=\n")
			return before + line[:len(line)-1] + string(line[len(line)-1]+1) + "=\n"
		},
		"no padding":         func(note string) string { return strings.TrimSuffix(note, "=\n") + "\n" },
		"twice":              func(note string) string { _, line := last(note); return note + line },
		"a second, wrong":    insert("— " + testName + " " + base64.StdEncoding.EncodeToString(append(id, make([]byte, 64)...)) + "\n"),
		"a short one":        insert("— " + testName + " AAAAAAA=\n"),
		"a long one":         insert("— " + testName + " " + base64.StdEncoding.EncodeToString(make([]byte, 69)) + "\n"),
		"15 strangers":       insert(strangers(15)...),
		"16 strangers":       insert(strangers(16)...),
		"150 strangers":      insert(strangers(150)...),
		"a stranger twice":   insert(stranger(0), stranger(0)),
		"another name":       insert(strings.Replace(stranger(0), testName, "witness.example", 1)),
		"an invisible name":  insert(strings.Replace(stranger(0), testName, testName+"\u200b", 1)),
		"an upper case name": insert(strings.Replace(stranger(0), testName, strings.ToUpper(testName), 1)),
		"a path for a name":  insert(strings.Replace(stranger(0), testName, "../../etc", 1)),
		"two spaces": func(note string) string {
			before, line := last(note)
			return before + strings.Replace(line, " ", "  ", 1)
		},
		"a hyphen": func(note string) string {
			before, line := last(note)
			return before + strings.Replace(line, "—", "-", 1)
		},
		"a tab":               func(note string) string { return strings.Replace(note, "time ", "time\t", 1) },
		"a tab at the end":    insert("\t"),
		"a carriage return":   func(note string) string { return strings.Replace(note, "\n", "\r\n", 1) },
		"an empty line":       func(note string) string { return "\n" + note },
		"an empty line more":  func(note string) string { return strings.Replace(note, "\n\n", "\n\n\n", 1) },
		"an empty line after": insert("\n"),
		"no newline":          func(note string) string { return strings.TrimSuffix(note, "\n") },
		"no signature":        func(note string) string { before, _ := last(note); return before },
		"not UTF-8":           func(note string) string { return strings.Replace(note, "time ", "time\xff", 1) },
		"a line separator":    func(note string) string { return strings.Replace(note, "time ", "time\u2028", 1) },
		"a quote":             insert(`"`),
		"a backslash":         insert(`\`),
		"nothing":             func(string) string { return "" },
		"too long":            insert(strings.Repeat("a", maxNote)),
		"longest":             func(note string) string { return strings.Repeat("a", maxNote-len(note)) + note },
	}
}

// inJSON is a note as a program that knows nothing of notes would put it into JSON.
func inJSON(t *testing.T, note string) string {
	t.Helper()
	text, err := json.Marshal(note)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(text), `"`)
}

// agree wants the same of both, with the key and without, and answers what it is with it.
func agree(t *testing.T, name string, export, beside []byte, key *audit.SigningKey) verdict {
	t.Helper()
	got, other := ours(t, export, beside, key.Public()), theirs(export, beside, key.Public())
	if got != other {
		t.Errorf("%s: this program says %+v, the server's verifier %+v", name, got, other)
	}
	if beside == nil {
		if got, other := ours(t, export, nil, ""), theirs(export, nil, ""); got != other {
			t.Errorf("%s, without a key: this program says %+v, the server's verifier %+v", name, got, other)
		}
	}
	return got
}

// rechained is an export with what its records now say hashed anew from a line on,
// so that what is found is found in the record, the note or the stub and not by a hash.
func rechained(t *testing.T, lines [][]byte, at int, record string) []byte {
	t.Helper()
	i, err := audit.NewImporter(bytes.NewReader(bytes.Join(lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	var head audit.Head
	for n := 1; n < at; n++ {
		line, err := i.Next()
		switch {
		case err != nil:
			t.Fatal(err)
		case line.Link != nil:
			head = line.Link.Head()
		}
	}
	link := head.Next([]byte(record))
	return append(bytes.Join(lines[:at], nil), fmt.Sprintf(`{"hash":"%x","record":%s,"sequence":%d}`+"\n"+`{"end":{"hash":"%[1]x","sequence":%[3]d}}`+"\n", link.Hash, record, link.Sequence)...)
}

// However a note is written, in a checkpoint's line, in the record of a disposal or
// in a file, both verifiers think the same of it.
func TestBothVerifiersAgreeOnNotes(t *testing.T) {
	key := audittest.Key(t, testName, 1)
	lines, notes, attesting := signedExport(t, key)
	whole := bytes.Join(lines, nil)
	record := string(lines[attesting][len(`{"hash":"","record":`)+64 : bytes.LastIndex(lines[attesting], []byte(`,"sequence":`))])
	for _, beside := range [][]byte{nil, []byte(notes[0])} {
		if got := agree(t, "untouched", whole, beside, key); got.code != exitHolds {
			t.Fatalf("untouched: %+v", got)
		}
	}
	if got := agree(t, "hashed anew", rechained(t, lines, attesting, record), nil, key); got.code != exitHolds {
		t.Fatalf("hashed anew: %+v", got)
	}
	for name, edit := range noteEdits(key) {
		harmless := name == "15 strangers"
		for _, note := range notes {
			edited := edit(note)
			for form, text := range map[string]string{"in JSON": inJSON(t, edited), "as it is": strings.ReplaceAll(edited, "\n", `\n`)} {
				place := name + " " + form
				was := strings.ReplaceAll(note, "\n", `\n`)
				if strings.Contains(record, was) {
					got := agree(t, place+", in a disposal", rechained(t, lines, attesting, strings.Replace(record, was, text, 1)), nil, key)
					if (got.code == exitHolds) != harmless {
						t.Errorf("%s, in a disposal: %+v", place, got)
					}
				} else if got := agree(t, place, bytes.Replace(whole, []byte(was), []byte(text), 1), nil, key); (got.code == exitHolds) != harmless {
					t.Errorf("%s: %+v", place, got)
				}
			}
			if got := agree(t, name+", beside", whole, []byte(edited), key); (got.code == exitHolds) != (harmless && note != notes[len(notes)-1]) {
				t.Errorf("%s, beside: %+v", name, got)
			}
		}
	}
}

// Random bytes, turned in what is signed and in what attests, by themselves and
// with all hashed anew.
func TestBothVerifiersAgreeOnFlippedBytesSoak(t *testing.T) {
	n := 1_000
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		n = 100_000
	}
	key := audittest.Key(t, testName, 1)
	lines, notes, attesting := signedExport(t, key)
	record := lines[attesting][len(`{"hash":"","record":`)+64 : bytes.LastIndex(lines[attesting], []byte(`,"sequence":`))]
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	flipped := func(text []byte) []byte {
		text = bytes.Clone(text)
		for range 1 + r.IntN(2) {
			at := r.IntN(len(text))
			switch r.IntN(4) {
			case 0:
				text[at] ^= 1 << r.IntN(8)
			case 1:
				text[at] = ` "\{}[]:,ntu0+-/=`[r.IntN(17)]
			case 2:
				text = slices.Insert(text, at, text[r.IntN(len(text))])
			case 3:
				text = slices.Delete(text, at, at+1)
			}
		}
		return text
	}
	outcomes := map[int]int{}
	for i := range n {
		name := fmt.Sprintf("flip %d of seed %d", i, seed)
		export, beside := bytes.Join(lines, nil), []byte(nil)
		switch i % 4 {
		case 0: // any line
			at := r.IntN(len(lines))
			export = bytes.Join(slices.Concat(lines[:at], [][]byte{flipped(lines[at])}, lines[at+1:]), nil)
		case 1:
			at := slices.IndexFunc(lines, func(line []byte) bool { return bytes.HasPrefix(line, []byte(`{"checkpoint"`)) })
			export = bytes.Join(slices.Concat(lines[:at], [][]byte{flipped(lines[at])}, lines[at+1:]), nil)
		case 2:
			forged := flipped(record)
			if bytes.IndexByte(forged, '\n') >= 0 {
				continue
			}
			export = rechained(t, lines, attesting, string(forged))
		case 3:
			beside = flipped([]byte(notes[r.IntN(len(notes))]))
		}
		outcomes[agree(t, name, export, beside, key).code]++
		if t.Failed() {
			t.Fatalf("the export is\n%s\nbeside it %q", export, beside)
		}
	}
	t.Logf("verdicts by exit code: %v", outcomes)
	if outcomes[exitBroken] < n/4 || outcomes[exitUnreadable] < n/20 {
		t.Errorf("the bytes turned say little: %v", outcomes)
	}
}

// Two signed checkpoints of one record prove a fork, however far apart they stand.
func TestBothVerifiersRememberCheckpoints(t *testing.T) {
	key := audittest.Key(t, testName, 1)
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, tamperedOrigin, audit.Head{}, false)
	var head audit.Head
	record := []byte(`{"event":"config.change"}`)
	for range recentHashes + 10 {
		link := head.Next(record)
		if head = link.Head(); err == nil {
			err = e.Link(link)
		}
		if head.Sequence == 5 && err == nil {
			err = e.Checkpoint(audittest.Note(t, tamperedOrigin, head, key))
		}
	}
	if err == nil {
		err = e.Checkpoint(audittest.Note(t, tamperedOrigin, audit.Head{Sequence: 5, Hash: head.Hash}, key))
	}
	if err = errors.Join(err, e.End()); err != nil {
		t.Fatal(err)
	}
	if got := agree(t, "forked long ago", b.Bytes(), nil, key); got != (verdict{exitBroken, 5}) {
		t.Errorf("%+v", got)
	}
}

// How far a checkpoint may stand behind its record is counted in records, those
// that were disposed of included.
func TestBothVerifiersCountWhatWasDisposedOf(t *testing.T) {
	key := audittest.Key(t, testName, 1)
	first := audit.Stub{First: 1, Last: 10, Hash: [32]byte{10}}
	for last, want := range map[uint64]verdict{10 + recentHashes - 3: {exitBroken, 10}, 10 + recentHashes - 2: {exitHolds, 0}, 9 * recentHashes: {exitHolds, 0}} {
		second := audit.Stub{First: 11, Last: last, From: first.Hash, Hash: [32]byte{11}}
		var b bytes.Buffer
		e, err := audit.NewExporter(&b, tamperedOrigin, audit.Head{}, false)
		err = errors.Join(err, e.Stub(first), e.Stub(second))
		head := audit.Head{Sequence: last, Hash: second.Hash}
		for _, s := range []audit.Stub{first, second} {
			note, signing := s.Sign(tamperedOrigin, time.Unix(0, 0), key)
			link := head.Next(audittest.Disposal(s, note))
			err, head = errors.Join(err, signing, e.Link(link)), link.Head()
		}
		err = errors.Join(err, e.Checkpoint(audittest.Note(t, tamperedOrigin, audit.Head{Sequence: 10, Hash: head.Hash}, key)), e.End())
		if err != nil {
			t.Fatal(err)
		}
		if got := agree(t, fmt.Sprint("disposed of up to ", last), b.Bytes(), nil, key); got != want {
			t.Errorf("disposed of up to %d: %+v, want %+v", last, got, want)
		}
	}
}
