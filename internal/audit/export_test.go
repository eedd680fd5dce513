package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

const testOrigin = "llm-config-0123456789abcdef/server"

var zeroes = strings.Repeat("0", 64)

// exportOf is what do writes, behind a header for from.
func exportOf(t testing.TB, from Head, filtered bool, do func(*Exporter) error) string {
	t.Helper()
	var b bytes.Buffer
	e, err := NewExporter(&b, testOrigin, from, filtered)
	if err == nil {
		err = do(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExportForm pins each form of line.
func TestExportForm(t *testing.T) {
	link := Head{Sequence: 6}.Next([]byte(`{"a":1}`))
	stub := Stub{First: 1, Last: 6, Hash: [32]byte{0xab}}
	got := exportOf(t, Head{}, false, func(e *Exporter) error {
		return errors.Join(e.Stub(stub), e.Link(link), e.Checkpoint([]byte("a\nb — c\n")), e.End())
	})
	hash := hex.EncodeToString(link.Hash[:])
	want := `{"chain":"` + testOrigin + `","format":"llm-config-audit/1","from":{"hash":"` + zeroes + `","sequence":0}}
{"disposed":{"first":1,"from":"` + zeroes + `","hash":"ab` + zeroes[2:] + `","last":6}}
{"hash":"` + hash + `","record":{"a":1},"sequence":7}
{"checkpoint":"a\nb — c\n"}
{"end":{"hash":"` + hash + `","sequence":7}}
`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	got = exportOf(t, Head{5, [32]byte{1}}, true, (*Exporter).End)
	want = `{"chain":"` + testOrigin + `","filtered":true,"format":"llm-config-audit/1","from":{"hash":"01` + zeroes[2:] + `","sequence":5}}
{"end":{"hash":"01` + zeroes[2:] + `","sequence":5}}
`
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestExporterRefuses(t *testing.T) {
	if _, err := NewExporter(io.Discard, "a b", Head{}, false); err == nil {
		t.Error("an origin with a space was taken")
	}
	if _, err := NewExporter(io.Discard, testOrigin, Head{Sequence: 1 << 53}, false); err == nil {
		t.Error("a sequence number that JSON does not write exactly was taken")
	}
	broken := errors.New("disk full")
	for name, c := range map[string]struct {
		do   func(*Exporter) error
		want string
	}{
		"sequence": {func(e *Exporter) error { return e.Link(Link{Sequence: 1 << 53, Record: []byte("{}")}) }, "sequence number"},
		"newline":  {func(e *Exporter) error { return e.Link(Link{Sequence: 3, Record: []byte("{}\n{}")}) }, "record 3 has a line break"},
		"long":     {func(e *Exporter) error { return e.Link(Link{Sequence: 3, Record: make([]byte, MaxLine)}) }, "record 3 makes a line of"},
		"note":     {func(e *Exporter) error { return e.Checkpoint(make([]byte, MaxNote+1)) }, "cannot be exported"},
		"quote":    {func(e *Exporter) error { return e.Checkpoint([]byte(`"`)) }, "cannot be exported"},
		"utf-8":    {func(e *Exporter) error { return e.Checkpoint([]byte("\xff")) }, "cannot be exported"},
		"ended":    {func(e *Exporter) error { return errors.Join(e.End(), e.Link(Link{})) }, "last line already"},
		"writer":   {func(e *Exporter) error { e.w = errWriter{broken}; return e.End() }, "disk full"},
	} {
		e, err := NewExporter(io.Discard, testOrigin, Head{}, false)
		if err != nil {
			t.Fatal(err)
		}
		first := c.do(e)
		if first == nil || !strings.Contains(first.Error(), c.want) {
			t.Errorf("%s: the error is %v, want %q", name, first, c.want)
		}
		if again := e.Link(Link{Sequence: 1, Record: []byte("{}")}); again == nil || !strings.Contains(first.Error(), again.Error()) {
			t.Errorf("%s: after %v comes %v", name, first, again)
		}
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

// lineOf reads the only line of an export behind its header.
func lineOf(line string) (Line, error) {
	i, err := NewImporter(strings.NewReader(string(appendHeader(nil, testOrigin, Head{}, false)) + line))
	if err != nil {
		return Line{}, err
	}
	return i.Next()
}

func TestImporterRefuses(t *testing.T) {
	h := strings.Repeat("a", 64)
	for _, line := range []string{
		"\n", "{}\n", " \n", "null\n",
		`{"hash":"` + h + `","record":{},"sequence":1}` + "\r\n",
		`{"hash":"` + h + `","record":{},"sequence":1} ` + "\n",
		` {"hash":"` + h + `","record":{},"sequence":1}` + "\n",
		`{"hash": "` + h + `","record":{},"sequence":1}` + "\n",
		`{"hash":"` + strings.ToUpper(h) + `","record":{},"sequence":1}` + "\n",
		`{"hash":"` + h[1:] + `","record":{},"sequence":1}` + "\n",
		`{"hash":"` + h[1:] + `g","record":{},"sequence":1}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":01}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":+1}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":-1}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":1.0}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":9007199254740992}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":18446744073709551617}` + "\n",
		`{"hash":"` + h + `","record":{},"sequence":1,"z":1}` + "\n",
		`{"hash":"` + h + `","sequence":1}` + "\n",
		`{"hash":"` + h + `","record":}` + "\n",
		`{"hash":"` + h + `","record":1}` + "\n",
		`{"disposed":{"first":1,"from":"` + h + `","hash":"` + h + `"}}` + "\n",
		`{"disposed":{"first":1,"from":"` + h + `","hash":"` + h + `","last":}}` + "\n",
		`{"checkpoint":""` + "\n", `{"checkpoint":"a"}}` + "\n", `{"checkpoint":1}` + "\n", `{"checkpoint":"\u0041"}` + "\n", `{"checkpoint":"\/"}` + "\n",
		`{"checkpoint":"` + "\xff" + `"}` + "\n", `{"checkpoint":"\ud800"}` + "\n", `{"checkpoint":"a" }` + "\n",
		`{"checkpoint":"a\\"}` + "\n", `{"checkpoint":"a\\n"}` + "\n", `{"checkpoint":"\t"}` + "\n", `{"checkpoint":"` + "\u200b" + `"}` + "\n", `{"checkpoint":"\"a"}` + "\n",
		`{"checkpoint":"` + strings.Repeat("a", MaxNote+1) + `"}` + "\n",
		`{"end":{"hash":"` + h + `","sequence":1}` + "\n",
		string(appendHeader(nil, testOrigin, Head{}, false)),
		strings.Repeat("a", MaxLine) + "\n", strings.Repeat("a", 3*MaxLine),
	} {
		if got, err := lineOf(line); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") || errors.Is(err, ErrCutOff) {
			t.Errorf("%.120q: the answer is %v, %v", line, got, err)
		}
	}
	for _, header := range []string{
		"", "\n", "x", "{}\n", `{"chain":"a/server","format":"llm-config-audit/1","from":{"hash":"` + h + `","sequence":0}}`,
		`{"chain":"a/server","format":"llm-config-audit/2","from":{"hash":"` + h + `","sequence":0}}` + "\n",
		`{"chain":"","format":"llm-config-audit/1","from":{"hash":"` + h + `","sequence":0}}` + "\n",
		`{"chain":"a\u0062","format":"llm-config-audit/1","from":{"hash":"` + h + `","sequence":0}}` + "\n",
		`{"chain":"a","filtered":false,"format":"llm-config-audit/1","from":{"hash":"` + h + `","sequence":0}}` + "\n",
		strings.Repeat("a", MaxLine+1),
	} {
		if i, err := NewImporter(strings.NewReader(header)); err == nil {
			t.Errorf("the header %.120q was read as %+v", header, i)
		}
	}
}

func TestImporterEnds(t *testing.T) {
	whole := exportOf(t, Head{}, false, func(e *Exporter) error {
		return errors.Join(e.Link(Head{}.Next([]byte("{}"))), e.End())
	})
	end := whole[strings.LastIndex(whole[:len(whole)-1], "\n")+1:]
	for _, c := range []struct {
		export string
		want   string // the error at the end
	}{
		{whole, "EOF"},
		{strings.TrimSuffix(whole, end), "the export is cut off: it has no end line"},
		{strings.TrimSuffix(whole, "\n"), "line 3: the export is cut off: it has no end line"},
		{whole + "\n", "line 4: the export goes on behind its end line; verify exports one by one"},
		{whole + whole, "line 4: the export goes on behind its end line; verify exports one by one"},
	} {
		i, err := NewImporter(strings.NewReader(c.export))
		for err == nil {
			_, err = i.Next()
		}
		if err.Error() != c.want {
			t.Errorf("the error is %v, want %s", err, c.want)
		}
	}
	failure := errors.New("the disk is gone")
	i, err := NewImporter(io.MultiReader(strings.NewReader(whole[:200]), iotest.ErrReader(failure)))
	if err == nil {
		_, err = i.Next()
	}
	if !errors.Is(err, failure) || errors.Is(err, ErrCutOff) {
		t.Errorf("the error is %v, want %v", err, failure)
	}
}

// TestExportReadsBack holds that what is exported is imported as it was, also
// through readers that answer little at a time, with lines of every length.
func TestExportReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wrote bytes.Buffer
		from := Head{rapid.Uint64Range(0, maxSequence-9).Draw(t, "from"), [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))}
		filtered := rapid.Bool().Draw(t, "filtered")
		e, err := NewExporter(&wrote, testOrigin, from, filtered)
		if err != nil {
			t.Fatal(err)
		}
		head := from
		var links []Link
		for range rapid.IntRange(0, 5).Draw(t, "links") {
			record, err := json.Marshal(map[string]string{`,"sequence":1}`: rapid.String().Draw(t, "text"), "pad": strings.Repeat("x", rapid.IntRange(0, 3*readBuffer).Draw(t, "pad"))})
			if err != nil {
				t.Fatal(err)
			}
			link := head.Next(record)
			if err := e.Link(link); err != nil {
				t.Fatal(err)
			}
			links, head = append(links, link), link.Head()
		}
		if err := e.End(); err != nil {
			t.Fatal(err)
		}
		reader := io.Reader(&wrote)
		if rapid.Bool().Draw(t, "half") {
			reader = iotest.HalfReader(reader)
		}
		i, err := NewImporter(reader)
		if err != nil || i.Origin != testOrigin || i.From != from || i.Filtered != filtered {
			t.Fatalf("the header is %+v, %v", i, err)
		}
		for _, want := range links {
			line, err := i.Next()
			if err != nil || line.Link == nil || line.Link.Head() != want.Head() || !bytes.Equal(line.Link.Record, want.Record) {
				t.Fatalf("record %d was read as %+v, %v", want.Sequence, line, err)
			}
		}
		if line, err := i.Next(); err != nil || line.End == nil || *line.End != head {
			t.Fatalf("the end is %+v, %v", line, err)
		}
	})
}

// FuzzImporter holds that whatever is read of an export is the same when it is
// written again, and that nothing crashes those who read and follow it.
func FuzzImporter(f *testing.F) {
	f.Fuzz(func(t *testing.T, export []byte) {
		i, err := NewImporter(bytes.NewReader(export))
		if err != nil {
			return
		}
		follower := NewFollower(i.Origin, i.From, testKey(t, 1).Public())
		var again bytes.Buffer
		e, err := NewExporter(&again, i.Origin, i.From, i.Filtered)
		var line Line
		for err == nil {
			if line, err = i.Next(); err != nil {
				break
			}
			switch {
			case line.Link != nil:
				follower.Link(*line.Link)
				err = e.Link(*line.Link)
			case line.Stub != nil:
				follower.Stub(*line.Stub)
				err = e.Stub(*line.Stub)
			case line.Checkpoint != nil:
				follower.Checkpoint(line.Checkpoint)
				err = e.Checkpoint(line.Checkpoint)
			case line.End != nil:
				follower.End(*line.End)
				e.head = *line.End // an Exporter ends where it is, and this need not be there
				err = e.End()
			}
			if err != nil {
				t.Fatalf("what was read is not written again: %v", err)
			}
		}
		follower.Finish()
		if !bytes.HasPrefix(export, again.Bytes()) || errors.Is(err, io.EOF) && again.Len() != len(export) {
			t.Errorf("\n   read %q\nwritten %q", export, again.Bytes())
		}
	})
}

func TestFuzzTargetsHaveSeeds(t *testing.T) {
	for _, target := range []string{"FuzzImporter", "FuzzOpenCheckpoint", "FuzzOpenDisposal"} {
		seeds, err := os.ReadDir("testdata/fuzz/" + target)
		if err != nil || len(seeds) < 5 {
			t.Errorf("%s: %d seeds, %v", target, len(seeds), err)
		}
	}
}

// benchmarkExport is an export of records of 400 bytes.
func benchmarkExport(b *testing.B, n int) []byte {
	b.Helper()
	r := full
	r.Reason = strings.Repeat("r", 400-len(full.Canonical())+len(full.Reason))
	var export bytes.Buffer
	e, err := NewExporter(&export, testOrigin, Head{}, false)
	head := Head{}
	for range n {
		link := head.Next(r.Canonical())
		if len(link.Record) != 400 {
			b.Fatalf("the record has %d bytes", len(link.Record))
		}
		head = link.Head()
		if err == nil {
			err = e.Link(link)
		}
	}
	if err != nil || e.End() != nil {
		b.Fatal(err)
	}
	return export.Bytes()
}

// BenchmarkFollowExport reads, hashes and checks one record at a time.
func BenchmarkFollowExport(b *testing.B) {
	const records = 100_000
	export := benchmarkExport(b, records)
	b.SetBytes(int64(len(export) / records))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += records {
		i, err := NewImporter(bytes.NewReader(export))
		if err != nil {
			b.Fatal(err)
		}
		f := NewFollower(i.Origin, i.From)
		if err := f.Export(i); err != nil || f.Finish().Broken != nil {
			b.Fatal(err, f.Finish().Broken)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkImport reads without hashing.
func BenchmarkImport(b *testing.B) {
	const records = 100_000
	export := benchmarkExport(b, records)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += records {
		i, err := NewImporter(bytes.NewReader(export))
		for err == nil {
			_, err = i.Next()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkExport(b *testing.B) {
	link := Head{}.Next(full.Canonical())
	e, err := NewExporter(io.Discard, testOrigin, Head{}, false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Link(link); err != nil {
			b.Fatal(err)
		}
	}
}
