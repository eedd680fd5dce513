package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWhatIsNoExportIsRefused(t *testing.T) {
	c := numbered(3)
	body := c.lines(0, 3, 2)
	with := func(line string) string { return text(body[0], body[1], line) }
	for name, test := range map[string]struct{ export, reason string }{
		"nothing":                {"", "line 1: not an export that can be checked: it is empty"},
		"a cut header":           {c.header(0), "line 1: not an export that can be checked: it is empty, or was cut off"},
		"other text":             {"hello\n", "line 1: not an export that can be checked: its first line"},
		"no header":              {text(body[1:]...), "line 1"},
		"compressed":             {"\x28\xb5\x2f\xfd\x00\n", "line 1: not an export that can be checked: it is compressed; pipe it through: zstd -dc"},
		"another format":         {strings.Replace(text(body...), "audit/1", "audit/2", 1), `line 1: not an export that can be checked: it is of format "llm-config-audit/2"`},
		"filtered":               {strings.Replace(text(body...), `,"format"`, `,"filtered":true,"format"`, 1), "line 1: not an export that can be checked: records were left out of it on purpose"},
		"not filtered, and said": {strings.Replace(text(body...), `,"format"`, `,"filtered":false,"format"`, 1), "line 1: not an export that can be checked: its first line"},
		"no origin":              {strings.Replace(text(body...), testOrigin, "", 1), "line 1: not an export that can be checked: its first line"},
		"origin with a bell":     {strings.Replace(text(body...), testOrigin, "a\a", 1), "line 1: not an export that can be checked: its first line"},
		"more in the header":     {strings.Replace(text(body...), "}}\n", "},\"x\":1}\n", 1), "line 1: not an export that can be checked: its first line"},
		"an unknown line":        {with(`{"hello":1}`), "line 3: not an export that can be checked: the line is none of an export"},
		"an empty line":          {with(""), "line 3"},
		"spaces":                 {with(strings.Replace(c.line(2), ":", ": ", 1)), "line 3"},
		"space at the end":       {with(c.line(2) + " "), "line 3"},
		"carriage return":        {with(c.line(2) + "\r"), "line 3"},
		"upper case hash":        {with(strings.Replace(c.line(2), c.hex(2), strings.ToUpper(c.hex(2)), 1)), "line 3"},
		"short hash":             {with(strings.Replace(c.line(2), c.hex(2), c.hex(2)[1:], 1)), "line 3"},
		"short line":             {with(`{"hash":"`), "line 3"},
		"no record":              {with(`{"hash":"` + c.hex(2) + `","record":,"sequence"2}`), "line 3"},
		"leading zero":           {with(strings.Replace(c.line(2), `:2}`, `:02}`, 1)), "line 3"},
		"no number":              {with(strings.Replace(c.line(2), `:2}`, `:}`, 1)), "line 3"},
		"negative":               {with(strings.Replace(c.line(2), `:2}`, `:-2}`, 1)), "line 3"},
		"too large a number":     {with(strings.Replace(c.line(2), `:2}`, `:9007199254740992}`, 1)), "line 3"},
		"far too large a number": {with(strings.Replace(c.line(2), `:2}`, `:18446744073709551618}`, 1)), "line 3"},
		"escape of its own":      {with(strings.Replace(c.checkpoint(1), `\n`, `\u000a`, 1)), "line 3"},
		"tab in a note":          {with(`{"checkpoint":"` + "\t" + `"}`), "line 3"},
		"open note":              {with(`{"checkpoint":"a`), "line 3"},
		"open escape":            {with(`{"checkpoint":"a\`), "line 3"},
		"long note":              {with(`{"checkpoint":"` + strings.Repeat("a", maxNote+1) + `"}`), "line 3"},
		"more behind a note":     {with(`{"checkpoint":"a","b":1}`), "line 3"},
		"end without a hash":     {with(`{"end":{"hash":"","sequence":1}}`), "line 3"},
		"something after":        {text(append(body, body[1])...), "line 7: not an export that can be checked: something follows"},
		"two in one":             {text(append(body, body...)...), "line 7: not an export that can be checked: something follows"},
		"empty line after":       {text(append(body, "")...), "line 7: not an export that can be checked: something follows"},
		"too long a line":        {with(recordText(c.hex(2), `{"a":"`+strings.Repeat("a", maxLine)+`"}`, 2)), "line 3: not an export that can be checked: the line is longer than 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			verifyText(test.export, "-key", firstKey.vkey).refuses(t, "standard input, "+test.reason)
		})
	}
}

// The longest line that is allowed is read.
func TestLongestLine(t *testing.T) {
	const frame = len(`{"hash":"","record":{"a":""},"sequence":1}`) + 64 + len("\n")
	newChain(`{"a":"`+strings.Repeat("a", maxLine-frame)+`"}`).check(t, exitHolds)
	newChain(`{"a":"`+strings.Repeat("a", maxLine-frame+1)+`"}`).check(t, exitUnreadable)
}

func (c *chain) check(t *testing.T, want int) {
	t.Helper()
	if o := verifyText(c.whole()); o.code != want {
		t.Errorf("exit %d, wanted %d: %.300s%s", o.code, want, o.stdout, o.stderr)
	}
}

// However an export comes in, it is the same; and an input that fails is not
// taken for one that ended.
func TestReadingInPieces(t *testing.T) {
	c := numbered(20)
	read := func(in io.Reader) outcome {
		var stdout, stderr strings.Builder
		code := run([]string{"-key", firstKey.vkey, "-"}, in, &stdout, &stderr)
		return outcome{code, stdout.String(), stderr.String()}
	}
	read(iotest.OneByteReader(strings.NewReader(c.whole(20)))).holds(t)
	read(iotest.DataErrReader(strings.NewReader(c.whole(20)))).holds(t)
	failed := errors.New("the disk is on fire")
	for _, cut := range []int{0, 10, 1000, len(c.whole(20))} {
		read(io.MultiReader(strings.NewReader(c.whole(20)[:cut]), iotest.ErrReader(failed))).refuses(t, failed.Error())
	}
}

func TestTooManyCheckpoints(t *testing.T) {
	line := checkpointText("a")
	export := io.MultiReader(strings.NewReader(text(newChain().header(0))), &repeated{text: line + "\n", left: maxCheckpoints + 1})
	var stdout, stderr strings.Builder
	code := run([]string{"-"}, export, &stdout, &stderr)
	outcome{code, stdout.String(), stderr.String()}.refuses(t, fmt.Sprintf("line %d: more than %d checkpoints", maxCheckpoints+2, maxCheckpoints))
}

// repeated reads as many copies of a text.
type repeated struct {
	text string
	left int
	rest string
}

func (r *repeated) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if r.rest == "" {
			if r.left == 0 {
				break
			}
			r.rest, r.left = r.text, r.left-1
		}
		copied := copy(b[n:], r.rest)
		r.rest, n = r.rest[copied:], n+copied
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// FuzzVerify wants a clean answer to whatever comes in.
func FuzzVerify(f *testing.F) {
	c := numbered(3)
	c.add(c.disposal(1, 2))
	f.Add(c.whole(1, 4))
	f.Add(text(append([]string{c.header(0), c.disposed(1, 2)}, c.lines(2, 4)[1:]...)...))
	f.Add(text(c.header(1), checkpointText(c.note(1, firstKey, foreign)), c.end(1)))
	f.Add(text(c.header(0), recordText(c.hex(1), `{"a":"\"`, 1), c.end(1)))
	f.Fuzz(func(t *testing.T, export string) {
		o := verifyText(export, "-key", firstKey.vkey)
		switch {
		case o.code == exitHolds && strings.HasPrefix(o.stdout, "HOLDS") && o.stderr == "":
		case o.code == exitBroken && strings.HasPrefix(o.stdout, "BROKEN: chain ") && o.stderr == "":
		case o.code == exitUnreadable && o.stdout == "" && strings.HasPrefix(o.stderr, "llm-config-verify: "):
		default:
			t.Errorf("exit %d\n%s%s", o.code, o.stdout, o.stderr)
		}
	})
}

// flip changes one byte of a signed export, and wants another verdict.
func flip(t *testing.T, export string, untouched outcome, at int, by byte) {
	t.Helper()
	b := []byte(export)
	b[at] ^= by
	if o := verifyText(string(b), "-key", firstKey.vkey); o.code == exitHolds || o == untouched {
		t.Errorf("byte %d was %q and is %q, and nothing was noticed:\n%s", at, export[at], b[at], o.stdout)
	}
}

func TestEveryByteCounts(t *testing.T) {
	export, untouched := flippable(t)
	for at := range len(export) {
		flip(t, export, untouched, at, 1<<(at%7))
	}
}

// FuzzFlip looks for a byte that can be changed without being noticed.
func FuzzFlip(f *testing.F) {
	export, untouched := flippable(f)
	for at := range len(export) {
		f.Add(uint(at), byte(0x80))
	}
	f.Fuzz(func(t *testing.T, at uint, by byte) {
		if by != 0 {
			flip(t, export, untouched, int(at%uint(len(export))), by)
		}
	})
}

// flippable is an export of every kind of line, signed to its last record.
func flippable(t testing.TB) (string, outcome) {
	t.Helper()
	c := newChain(`{"a":1}`, `{"b":"x\"y"}`)
	c.add(c.disposal(1, 1))
	export := text(c.header(0), c.disposed(1, 1), c.line(2), c.checkpoint(2), c.line(3), c.checkpoint(3), c.end(3))
	untouched := verifyText(export, "-key", firstKey.vkey)
	if untouched.code != exitHolds || !strings.Contains(untouched.stdout, "signed: all") {
		t.Fatalf("exit %d: %s%s", untouched.code, untouched.stdout, untouched.stderr)
	}
	return export, untouched
}
