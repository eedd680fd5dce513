package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The exports of these tests are made here, by hand and from the description in
// main.go, so that no mistake of the server's code or of the program's own can
// make its own test pass.

const (
	testName   = "llm-config-0123456789abcdef"
	testOrigin = testName + "/server"
)

type signer struct {
	name    string
	private ed25519.PrivateKey
	vkey    string
	id      []byte
}

func newSigner(name string, seed byte) signer {
	private := ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), 32)))
	public := append([]byte{1}, private.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256([]byte(name + "\n" + string(public)))
	return signer{name, private, fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(public)), sum[:4]}
}

var (
	firstKey  = newSigner(testName, 'a')
	secondKey = newSigner(testName, 'b')
	foreign   = newSigner("llm-config-ffffffffffffffff", 'c')
)

// sign makes a note of a text that ends in a newline.
func sign(text string, signers ...signer) string {
	note := text + "\n"
	for _, s := range signers {
		note += "— " + s.name + " " + base64.StdEncoding.EncodeToString(append(append([]byte(nil), s.id...), ed25519.Sign(s.private, []byte(text))...)) + "\n"
	}
	return note
}

// chain is a chain of records; sequence n is at n-1.
type chain struct {
	origin  string
	records []string
	hashes  [][32]byte
}

func newChain(records ...string) *chain {
	c := &chain{origin: testOrigin}
	for _, r := range records {
		c.add(r)
	}
	return c
}

// numbered makes a chain of n records.
func numbered(n int) *chain {
	c := newChain()
	for i := 1; i <= n; i++ {
		c.add(numberedRecord(i))
	}
	return c
}

func numberedRecord(i int) string {
	return fmt.Sprintf(`{"action":"config.write","actor":"token-%d","event":"config.change","outcome":"success","schema":1,"time":"2026-11-22T06:%02d:%02d.000000000Z"}`, i, i/60%60, i%60)
}

func (c *chain) add(record string) {
	c.hashes = append(c.hashes, hashOf(c.hash(len(c.records)), len(c.records)+1, record))
	c.records = append(c.records, record)
}

func hashOf(previous [32]byte, sequence int, record string) [32]byte {
	h := sha256.New()
	h.Write([]byte("llm-config audit link 1\x00"))
	h.Write(previous[:])
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], uint64(sequence))
	h.Write(number[:])
	h.Write([]byte(record))
	return [32]byte(h.Sum(nil))
}

// hash is that of record n, zeros for 0.
func (c *chain) hash(n int) [32]byte {
	if n == 0 {
		return [32]byte{}
	}
	return c.hashes[n-1]
}

func (c *chain) hex(n int) string {
	h := c.hash(n)
	return hex.EncodeToString(h[:])
}

func (c *chain) header(from int) string {
	return fmt.Sprintf(`{"chain":%q,"format":"llm-config-audit/1","from":{"hash":%q,"sequence":%d}}`, c.origin, c.hex(from), from)
}

func (c *chain) line(n int) string { return recordText(c.hex(n), c.records[n-1], n) }

func recordText(hash, record string, n int) string {
	return fmt.Sprintf(`{"hash":%q,"record":%s,"sequence":%d}`, hash, record, n)
}

func (c *chain) disposed(first, last int) string {
	return fmt.Sprintf(`{"disposed":{"first":%d,"from":%q,"hash":%q,"last":%d}}`, first, c.hex(first-1), c.hex(last), last)
}

// disposalText is what is signed of disposed(first, last).
func (c *chain) disposalText(first, last int) string {
	from, hash := c.hash(first-1), c.hash(last)
	return fmt.Sprintf("%s\ndisposed %d %d\n%s\n%s\ntime 2026-11-22T00:00:00.123456789Z\n", c.origin, first, last,
		base64.StdEncoding.EncodeToString(from[:]), base64.StdEncoding.EncodeToString(hash[:]))
}

// disposal is the record that attests disposed(first, last).
func (c *chain) disposal(first, last int) string {
	return c.disposalBy(first, last, sign(c.disposalText(first, last), firstKey))
}

func (c *chain) disposalBy(first, last int, note string) string {
	return fmt.Sprintf(`{"actor":"system","details":{"first":"%d","from":%q,"hash":%q,"last":"%d","note":`, first, c.hex(first-1), c.hex(last), last) +
		`"` + strings.ReplaceAll(note, "\n", `\n`) + `"},"event":"audit.dispose","outcome":"success","schema":1,"time":"2026-11-22T06:00:00.000000000Z"}`
}

func (c *chain) end(n int) string {
	return fmt.Sprintf(`{"end":{"hash":%q,"sequence":%d}}`, c.hex(n), n)
}

// text is that of a checkpoint at n, taken n seconds after midnight.
func (c *chain) text(n int) string {
	h := c.hash(n)
	return fmt.Sprintf("%s\n%d\n%s\ntime 2026-11-22T%02d:%02d:%02d.123456789Z\n", c.origin, n, base64.StdEncoding.EncodeToString(h[:]), n/3600%24, n/60%60, n%60)
}

func (c *chain) note(n int, signers ...signer) string {
	if len(signers) == 0 {
		signers = []signer{firstKey}
	}
	return sign(c.text(n), signers...)
}

// checkpointLine is the line of a note in an export.
func checkpointText(note string) string {
	b, err := json.Marshal(note)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return `{"checkpoint":` + string(b) + `}`
}

func (c *chain) checkpoint(n int) string { return checkpointText(c.note(n)) }

// lines is the export of the records behind from up to to, with checkpoints
// behind those of at.
func (c *chain) lines(from, to int, at ...int) []string {
	lines := []string{c.header(from)}
	for n := from; n <= to; n++ {
		if n > from {
			lines = append(lines, c.line(n))
		}
		for _, signed := range at {
			if signed == n {
				lines = append(lines, c.checkpoint(n))
			}
		}
	}
	return append(lines, c.end(to))
}

func text(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// whole is an export of all of it, with checkpoints.
func (c *chain) whole(at ...int) string { return text(c.lines(0, len(c.records), at...)...) }

// fork is another chain that begins with the first n records of c, and then has
// others, as many.
func (c *chain) fork(n int) *chain {
	other := newChain(c.records[:n]...)
	for i := n + 1; i <= len(c.records); i++ {
		other.add(strings.Replace(c.records[i-1], "token-", "thief-", 1))
	}
	return other
}

// outcome is what one run left.
type outcome struct {
	code           int
	stdout, stderr string
}

// verifyText runs the program on an export at its standard input.
func verifyText(export string, args ...string) outcome {
	var stdout, stderr strings.Builder
	code := run(append(args, "-"), strings.NewReader(export), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// write puts text into a file of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// holds wants the program to find nothing.
func (o outcome) holds(t *testing.T) {
	t.Helper()
	if o.code != exitHolds || !strings.HasPrefix(o.stdout, "HOLDS") || !strings.Contains(o.stdout, ": chain "+testOrigin+"\n") || o.stderr != "" {
		t.Errorf("exit %d, wanted it to hold\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// breaks wants the first line to name the record and the reason.
func (o outcome) breaks(t *testing.T, record int, reason string) {
	t.Helper()
	first, _, _ := strings.Cut(o.stdout, "\n")
	if o.code != exitBroken || !strings.HasPrefix(first, fmt.Sprintf("BROKEN: chain %s, record %d: ", testOrigin, record)) || !strings.Contains(first, reason) || o.stderr != "" {
		t.Errorf("exit %d, wanted a break at record %d with %q\n%s%s", o.code, record, reason, o.stdout, o.stderr)
	}
}

// refuses wants the input not to be taken.
func (o outcome) refuses(t *testing.T, reason string) {
	t.Helper()
	if o.code != exitUnreadable || o.stdout != "" || !strings.HasPrefix(o.stderr, "llm-config-verify: ") || !strings.Contains(o.stderr, reason) {
		t.Errorf("exit %d, wanted it to be refused with %q\n%s%s", o.code, reason, o.stdout, o.stderr)
	}
}
