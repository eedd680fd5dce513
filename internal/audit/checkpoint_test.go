package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

const testName = "llm-config-0123456789abcdef"

func testKey(t testing.TB, number byte) *SigningKey {
	t.Helper()
	key, err := NewSigningKey(testName, [32]byte{number})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var testCheckpoint = Checkpoint{
	Origin: testOrigin, Head: Head{42, sha256.Sum256([]byte("head"))},
	Time: time.Date(2026, 11, 1, 13, 4, 5, 60, time.FixedZone("east", 3600)),
}

func sign(t testing.TB, c Checkpoint, keys ...*SigningKey) []byte {
	t.Helper()
	note, err := c.Sign(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func TestOrigin(t *testing.T) {
	if got, want := Origin(testName, config.TenantID{}), testName+"/server"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Origin(testName, config.TenantID{0xab}), testName+"/tenants/ab000000000000000000000000000000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCheckpointForm pins a note's bytes, and makes them again with nothing but
// the standard library.
func TestCheckpointForm(t *testing.T) {
	seed := [32]byte{1}
	private := ed25519.NewKeyFromSeed(seed[:])
	public := append([]byte{1}, private.Public().(ed25519.PublicKey)...)
	hash := sha256.Sum256(append([]byte(testName+"\n"), public...))
	vkey := fmt.Sprintf("%s+%x+%s", testName, hash[:4], base64.StdEncoding.EncodeToString(public))
	head := sha256.Sum256([]byte("head"))
	text := testOrigin + "\n42\n" + base64.StdEncoding.EncodeToString(head[:]) + "\ntime 2026-11-01T12:04:05.000000060Z\n"
	signature := append(hash[:4:4], ed25519.Sign(private, []byte(text))...)
	want := text + "\n— " + testName + " " + base64.StdEncoding.EncodeToString(signature) + "\n"

	key := testKey(t, 1)
	got := string(sign(t, testCheckpoint, key))
	if key.Public() != vkey || got != want {
		t.Errorf("\n got %s\n%s\nwant %s\n%s", key.Public(), got, vkey, want)
	}
	const pinnedKey = "llm-config-0123456789abcdef+2fd03d17+Ac7MFQfcHd1ylZUcKQiI8JWtuQRNG3PWlubfBl1oO9T8"
	const pinned = `llm-config-0123456789abcdef/server
42
ny5tM6NxfugmNTpAS6RhjRrutoea15Nrzo7V9GgUkk0=
time 2026-11-01T12:04:05.000000060Z

— llm-config-0123456789abcdef L9A9F/PVPZRJNq1oM0YIx6HnsUZhzO0MIfoBBLnc6Oqb08xUOA0i+6UxjWKaV2jqneCDXMNoGJsmMkbwy+suFVhg4QA=
`
	if vkey != pinnedKey || want != pinned {
		t.Errorf("the form changed, and checkpoints that were kept are read no more:\n%s\n%s", vkey, want)
	}
}

func TestCheckpointReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key, err := NewSigningKey(testName, [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		want := Checkpoint{
			Origin: rapid.StringMatching(`llm-config-[0-9a-f]{16}/(server|tenants/[0-9a-f]{32})`).Draw(t, "origin"),
			Head:   Head{rapid.Uint64Range(0, maxSequence).Draw(t, "sequence"), [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))},
			Time:   time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
		}
		note, err := want.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenCheckpoint(note, key.Public()); err != nil || got != want {
			t.Fatalf("got %+v (%v), want %+v", got, err, want)
		}
		edited := bytes.Clone(note)
		at := rapid.IntRange(0, len(note)-1).Draw(t, "at")
		edited[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := OpenCheckpoint(edited, key.Public()); err == nil {
			t.Fatalf("with a bit of byte %d turned it is %+v", at, got)
		}
	})
}

func TestSeveralKeysOfOneName(t *testing.T) {
	first, second, third := testKey(t, 1), testKey(t, 2), testKey(t, 3)
	both := sign(t, testCheckpoint, first, second)
	for name, c := range map[string]struct {
		note   []byte
		public []string
		want   string // in the error; "" for none
	}{
		"one of two signatures":      {both, []string{second.Public()}, ""},
		"both signatures":            {both, []string{first.Public(), second.Public()}, ""},
		"one of three keys":          {sign(t, testCheckpoint, second), []string{first.Public(), second.Public(), third.Public()}, ""},
		"a key given twice":          {both, []string{first.Public(), first.Public()}, ""},
		"signed by a stranger":       {sign(t, testCheckpoint, third), []string{first.Public(), second.Public()}, "no known key signed"},
		"no key":                     {both, nil, "no known key signed"},
		"one of the known is wrong":  {spoiled(both, 1), []string{first.Public(), second.Public()}, "is wrong"},
		"one of the others is wrong": {spoiled(both, 1), []string{first.Public()}, ""},
		"the only one is wrong":      {spoiled(both, 0), []string{first.Public()}, "is wrong"},
		"a key that is none":         {both, []string{first.Public(), "llm-config+00"}, "is no public key"},
		"a key with another hash":    {both, []string{strings.Replace(first.Public(), "+", "+0", 1)}, "is no public key"},
	} {
		got, err := OpenCheckpoint(c.note, c.public...)
		switch {
		case c.want == "" && (err != nil || got.Head != testCheckpoint.Head || got.Origin != testOrigin || !got.Time.Equal(testCheckpoint.Time)):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || got != Checkpoint{}):
			t.Errorf("%s: %+v, the error is %v, want %q", name, got, err, c.want)
		}
	}
}

// spoiled is a note with one of its signatures wrong, its key's hash being right.
func spoiled(note []byte, signature int) []byte {
	lines := strings.SplitAfter(string(note), "\n")
	line := []byte(lines[5+signature])
	at := len(line) - 10
	if line[at] = 'A'; line[at] == lines[5+signature][at] {
		line[at] = 'B'
	}
	lines[5+signature] = string(line)
	return []byte(strings.Join(lines, ""))
}

// TestOpenCheckpointIsStrict signs what no server would, with a key that is known.
func TestOpenCheckpointIsStrict(t *testing.T) {
	key := testKey(t, 1)
	private := ed25519.NewKeyFromSeed(append([]byte{1}, make([]byte, 31)...))
	id, err := hex.DecodeString(strings.Split(key.Public(), "+")[1])
	if err != nil {
		t.Fatal(err)
	}
	signed := func(text string) []byte {
		return []byte(text + "\n— " + testName + " " + base64.StdEncoding.EncodeToString(append(id[:4:4], ed25519.Sign(private, []byte(text))...)) + "\n")
	}
	good := testCheckpoint.text()
	if _, err := OpenCheckpoint(signed(good), key.Public()); err != nil {
		t.Fatal(err)
	}
	_, behind, _ := strings.Cut(good, "\n")
	timeless, _, _ := strings.Cut(good, "time ")
	hash := strings.Split(good, "\n")[2]
	for name, text := range map[string]string{
		"a line more":        good + "more\n",
		"a line less":        timeless,
		"an empty line":      "\n" + good,
		"no origin":          "\n" + behind,
		"an odd origin":      "a b\n" + behind,
		"a long origin":      strings.Repeat("a", 256) + "\n" + behind,
		"a leading zero":     strings.Replace(good, "\n42\n", "\n042\n", 1),
		"a plus":             strings.Replace(good, "\n42\n", "\n+42\n", 1),
		"a great number":     strings.Replace(good, "\n42\n", "\n9007199254740992\n", 1),
		"no number":          strings.Replace(good, "\n42\n", "\n\n", 1),
		"a short hash":       strings.Replace(good, hash, hash[4:], 1),
		"a long hash":        strings.Replace(good, hash, "AAAA"+hash, 1),
		"loose base64":       strings.Replace(good, hash, hash[:42]+string(hash[42]+1)+"=", 1),
		"a time elsewhere":   strings.Replace(good, "Z\n", "+00:00\n", 1),
		"a short time":       strings.Replace(good, ".000000060Z", "Z", 1),
		"no time":            strings.Replace(good, "time ", "", 1),
		"a time that is not": strings.Replace(good, "-11-01", "-02-30", 1),
	} {
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got, err := OpenCheckpoint(signed(text), key.Public()); err == nil {
			t.Errorf("%s: it was read as %+v", name, got)
		}
	}
	_, signature, _ := bytes.Cut(sign(t, testCheckpoint, testKey(t, 2)), []byte("—"))
	for name, note := range map[string][]byte{
		"nothing": nil, "no signature": []byte(good), "text only": []byte(good + "\n"), "long": append(sign(t, testCheckpoint, key), bytes.Repeat(append([]byte("—"), signature...), 80)...),
		"binary": []byte("\x00\xff"), "behind it": append(sign(t, testCheckpoint, key), "x"...),
	} {
		if got, err := OpenCheckpoint(note, key.Public()); err == nil {
			t.Errorf("%s: it was read as %+v", name, got)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	key := testKey(t, 1)
	with := func(change func(*Checkpoint)) Checkpoint {
		c := testCheckpoint
		change(&c)
		return c
	}
	var many []*SigningKey
	for range 100 {
		many = append(many, key)
	}
	for name, c := range map[string]struct {
		c    Checkpoint
		keys []*SigningKey
	}{
		"no key":       {testCheckpoint, nil},
		"many keys":    {testCheckpoint, many},
		"no origin":    {with(func(c *Checkpoint) { c.Origin = "" }), []*SigningKey{key}},
		"two lines":    {with(func(c *Checkpoint) { c.Origin = "a\nb" }), []*SigningKey{key}},
		"a far year":   {with(func(c *Checkpoint) { c.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), []*SigningKey{key}},
		"great number": {with(func(c *Checkpoint) { c.Head.Sequence = 1 << 53 }), []*SigningKey{key}},
	} {
		if note, err := c.c.Sign(c.keys...); err == nil {
			t.Errorf("%s: it was signed: %s", name, note)
		}
	}
	for _, name := range []string{"", "llm-config", testName + "0", testName[1:], testName[:26] + "A", testName + "/..", "llm-config-../../../../../etc"} {
		if _, err := NewSigningKey(name, [32]byte{1}); err == nil {
			t.Errorf("%.20q is the name of a key", name)
		}
	}
	if err := CheckPublic(key.Public()); err != nil {
		t.Error(err)
	}
	if err := CheckPublic(key.Public() + "A"); err == nil {
		t.Error("a key with a letter more is one")
	}
	if text := fmt.Sprintf("%v %+v %#v", key, *key, key); strings.Contains(text, "1 0 0 0 0") || strings.Contains(text, "AQE") {
		t.Errorf("printing a key shows its seed: %s", text)
	}
}

// FuzzOpenCheckpoint holds that the text of a checkpoint has one form only, and
// that no note crashes.
func FuzzOpenCheckpoint(f *testing.F) {
	key := testKey(f, 1)
	f.Fuzz(func(t *testing.T, note []byte) {
		if c, err := OpenCheckpoint(note, key.Public()); err == nil && !bytes.HasPrefix(note, []byte(c.text()+"\n")) {
			t.Errorf("%q was read as %+v", note, c)
		}
		if c, err := parseCheckpoint(string(note)); err == nil && c.text() != string(note) {
			t.Errorf("%q was read as %+v", note, c)
		}
	})
}
