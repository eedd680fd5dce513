package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/transcript.txt anew")

// The transcript shows each kind of answer, as people see it.
func TestTranscript(t *testing.T) {
	t.Chdir(t.TempDir())
	c := numbered(8)
	edited := c.lines(0, 8, 5)
	edited[3] = strings.Replace(edited[3], "success", "denied", 1)
	disposed := newChain(c.records...)
	disposed.add(disposed.disposal(1, 5))
	forked := c.fork(4)
	for name, content := range map[string]string{
		"audit.ndjson":     c.whole(5),
		"signed.ndjson":    c.whole(5, 8),
		"edited.ndjson":    text(edited...),
		"cut.ndjson":       text(c.lines(0, 8)[:7]...),
		"short.ndjson":     text(c.lines(0, 6)...),
		"forked.ndjson":    forked.whole(),
		"forged.ndjson":    text(forked.lines(0, 3)...),
		"part.ndjson":      text(append([]string{c.header(4), c.checkpoint(2)}, c.lines(4, 8)[1:]...)...),
		"disposed.ndjson":  text(append([]string{disposed.header(0), disposed.disposed(1, 5)}, disposed.lines(5, 9, 9)[1:]...)...),
		"removed.ndjson":   text(append([]string{c.header(0), c.disposed(1, 5)}, c.lines(5, 8)[1:]...)...),
		"empty.ndjson":     text(newChain().lines(0, 0)...),
		"filtered.ndjson":  strings.Replace(c.whole(), `,"format"`, `,"filtered":true,"format"`, 1),
		"audit.keys":       firstKey.vkey + "\n\n" + secondKey.vkey + "\n",
		"other.keys":       foreign.vkey + "\n",
		"at-7.note":        c.note(7),
		"forked-at-7.note": forked.note(7),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got strings.Builder
	for _, command := range []string{
		"-h",
		"-key @audit.keys audit.ndjson",
		"-key @audit.keys signed.ndjson",
		"audit.ndjson",
		"-key @audit.keys edited.ndjson",
		"-key @audit.keys cut.ndjson",
		"-key @audit.keys -checkpoint at-7.note audit.ndjson",
		"-key @audit.keys -checkpoint at-7.note short.ndjson",
		"-key @audit.keys -checkpoint forked-at-7.note audit.ndjson",
		"-key @audit.keys part.ndjson",
		"-key @audit.keys disposed.ndjson",
		"disposed.ndjson",
		"-key @audit.keys removed.ndjson",
		"-key @audit.keys audit.ndjson short.ndjson",
		"-key @audit.keys audit.ndjson forked.ndjson",
		"-key @audit.keys forged.ndjson part.ndjson",
		"-key @other.keys audit.ndjson",
		"-key @audit.keys empty.ndjson",
		"-key @audit.keys filtered.ndjson",
		"-key @audit.keys at-7.note",
	} {
		var stdout, stderr strings.Builder
		code := run(strings.Fields(command), strings.NewReader(""), &stdout, &stderr)
		fmt.Fprintf(&got, "$ llm-config-verify %s\n%s%s[exit %d]\n\n", command, &stdout, &stderr, code)
	}
	compareGolden(t, got.String())
}

// golden is found before a test leaves the folder.
var golden, goldenErr = filepath.Abs("testdata/transcript.txt")

func compareGolden(t *testing.T, got string) {
	t.Helper()
	if goldenErr != nil {
		t.Fatal(goldenErr)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("what it prints is not what testdata/transcript.txt says; if it should be, run the test with -update. It prints:\n%s", got)
	}
}

func TestWrongUse(t *testing.T) {
	export := write(t, numbered(2).whole())
	many := make([]string, 0, 2*maxCheckpointFiles+4)
	for range maxCheckpointFiles + 1 {
		many = append(many, "-checkpoint", "x")
	}
	var keys strings.Builder
	for i := range maxKeys + 1 {
		keys.WriteString(newSigner(testName, byte(i)).vkey + "\n")
	}
	for reason, args := range map[string][]string{
		"no export was named":                                    {},
		"at most 16 can be compared":                             strings.Fields(strings.Repeat("x ", 17)),
		"the limit is 10000":                                     append(many, "x"),
		"flag provided but not defined: -quick":                  {"-quick", export},
		"worth nothing without the key":                          {"-checkpoint", "x", export},
		"flags come first":                                       {export, "-key"},
		"can be read once":                                       {"-", "-"},
		"no such file":                                           {"missing"},
		"is a directory":                                         {t.TempDir()},
		"open absent.keys":                                       {"-key", "@absent.keys", export},
		"more than 64 keys":                                      {"-key", "@" + write(t, keys.String()), export},
		"longer than 65536 bytes":                                {"-key", "@" + write(t, strings.Repeat("\n", maxKeyFile+1)), export},
		`"hello" is not a public key`:                            {"-key", "hello", export},
		"open absent.note":                                       {"-key", firstKey.vkey, "-checkpoint", "absent.note", export},
		"does not fit its own hash":                              {"-key", strings.Replace(firstKey.vkey, testName, "llm-config-ffffffffffffffff", 1), export},
		"is not an Ed25519 key":                                  {"-key", testName + "+00000000+BAAA", export},
		`"+00000000+AQAA" is not a public key`:                   {"-key", "+00000000+AQAA", export},
		`"other+00000000+AQAA" is not a public key`:              {"-key", "other+00000000+AQAA", export},
		`"llm-config-0123456789abcdef+00000000" is not a public`: {"-key", testName + "+00000000", export},
		`0123456789abcdef+00000000+" is not a public key`:        {"-key", testName + "+00000000+", export},
		`+00000000+AQ==AQ==" is not a public key`:                {"-key", testName + "+00000000+AQ==AQ==", export},
		"abcdef is not an Ed25519 key, the only kind":            {"-key", testName + "+00000000+AQAA", export},
		"it should read llm-config-<16 digits>+<8 hexadecimal":   {"-key", testName + "+00000000+AR==", export}, // unused bits set
	} {
		t.Run(reason, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(args, strings.NewReader(""), &stdout, &stderr)
			outcome{code, stdout.String(), stderr.String()}.refuses(t, reason)
		})
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// Nobody must take it for a good verdict when there was none.
func TestVerdictThatCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{{"-"}, {"-key", firstKey.vkey, "-"}} {
		var stderr strings.Builder
		code := run(args, strings.NewReader(numbered(2).whole()), fullDisk{}, &stderr)
		if code != exitUnreadable || !strings.Contains(stderr.String(), "could not be written: no space left") {
			t.Errorf("exit %d: %s", code, stderr.String())
		}
	}
}

// An export of records of 400 bytes, from a file.
func BenchmarkVerify(b *testing.B) {
	const records = 200_000
	name := filepath.Join(b.TempDir(), "audit.ndjson")
	file, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(file)
	c := newChain()
	fmt.Fprintln(w, c.header(0))
	for n := 1; n <= records; n++ {
		record := numberedRecord(n)
		record = record[:len(record)-1] + `,"user_agent":"` + strings.Repeat("a", 400-len(record)-len(`,"user_agent":""`)) + `"}`
		c.add(record)
		fmt.Fprintln(w, c.line(n))
		if n%10_000 == 0 {
			fmt.Fprintln(w, c.checkpoint(n))
		}
	}
	fmt.Fprintln(w, c.end(records))
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		var stdout, stderr strings.Builder
		if code := run([]string{"-key", firstKey.vkey, name}, nil, &stdout, &stderr); code != exitHolds {
			b.Fatalf("exit %d: %s%s", code, &stdout, &stderr)
		}
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
