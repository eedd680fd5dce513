package audit

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var testStub = Stub{First: 5, Last: 4096, From: [32]byte{1}, Hash: [32]byte{2}}

// TestDisposalForm pins a disposal's bytes.
func TestDisposalForm(t *testing.T) {
	key := testKey(t, 1)
	note := disposal(t, testStub, key)
	const want = `llm-config-0123456789abcdef/server
disposed 5 4096
AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
time 2026-11-01T12:04:05.000000060Z

— llm-config-0123456789abcdef `
	if !strings.HasPrefix(string(note), want) {
		t.Errorf("\n got %s\nwant %s", note, want)
	}
	got, err := OpenDisposal(note, key.Public())
	if wanted := (Disposal{testOrigin, testStub, testCheckpoint.Time.UTC()}); err != nil || got != wanted {
		t.Errorf("got %+v (%v), want %+v", got, err, wanted)
	}
	details := testStub.DisposeDetails(note)
	if len(details) != 5 || details["first"] != "5" || details["last"] != "4096" || details["from"] != "01"+zeroes[2:] || details["hash"] != "02"+zeroes[2:] || details["note"] != string(note) {
		t.Errorf("the details are %v", details)
	}
}

func TestDisposalsReadBack(t *testing.T) {
	key := testKey(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint64Range(1, maxSequence).Draw(t, "first")
		hash := rapid.SliceOfN(rapid.Byte(), 32, 32)
		want := Disposal{
			Origin: rapid.StringMatching(`llm-config-[0-9a-f]{16}/(server|tenants/[0-9a-f]{32})`).Draw(t, "origin"),
			Stub:   Stub{first, rapid.Uint64Range(first, maxSequence).Draw(t, "last"), [32]byte(hash.Draw(t, "from")), [32]byte(hash.Draw(t, "hash"))},
			Time:   time.Unix(rapid.Int64Range(0, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC(),
		}
		note, err := want.Stub.Sign(want.Origin, want.Time, key)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenDisposal(note, key.Public()); err != nil || got != want {
			t.Fatalf("got %+v (%v), want %+v", got, err, want)
		}
		if got, err := OpenCheckpoint(note, key.Public()); err == nil {
			t.Fatalf("it is taken for the checkpoint %+v", got)
		}
		edited := bytes.Clone(note)
		at := rapid.IntRange(0, len(note)-1).Draw(t, "at")
		edited[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := OpenDisposal(edited, key.Public()); err == nil {
			t.Fatalf("with a bit of byte %d turned it is %+v", at, got)
		}
	})
}

func TestOpenDisposalIsStrict(t *testing.T) {
	key := testKey(t, 1)
	signed := func(text string) []byte {
		note, err := signNote(text, []*SigningKey{key})
		if err != nil {
			t.Fatal(err)
		}
		return note
	}
	good := Disposal{testOrigin, testStub, testCheckpoint.Time}.text()
	if _, err := OpenDisposal(signed(good), key.Public()); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"a line more":       {"time ", "more\ntime "},
		"a line less":       {"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", ""},
		"another word":      {"disposed", "Disposed"},
		"no word":           {"disposed ", ""},
		"a leading zero":    {" 5 ", " 05 "},
		"two spaces":        {" 5 ", " 5  "},
		"from nothing":      {" 5 ", " 0 "},
		"backwards":         {" 5 ", " 4097 "},
		"a great number":    {" 4096\n", " 9007199254740992\n"},
		"three numbers":     {" 4096\n", " 4096 4097\n"},
		"one number":        {" 4096\n", "\n"},
		"loose base64":      {"AAA=\nAg", "AAB=\nAg"},
		"a short hash":      {"AQAAAAAA", "AQAA"},
		"another time zone": {"Z\n", "+00:00\n"},
		"no time":           {"time ", ""},
		"another origin":    {"/server", "/other"},
		"a longer name":     {"/server", "0/server"},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got, err := OpenDisposal(signed(text), key.Public()); err == nil {
			t.Errorf("%s: it was read as %+v", name, got)
		}
	}
	checkpoint := sign(t, testCheckpoint, key)
	if got, err := OpenDisposal(checkpoint, key.Public()); err == nil {
		t.Errorf("a checkpoint was read as %+v", got)
	}
	if _, err := OpenDisposal(signed(good), testKey(t, 2).Public()); err == nil || !strings.Contains(err.Error(), "no known key signed it") {
		t.Errorf("with another key: %v", err)
	}
	if _, err := OpenDisposal(signed(good), "none"); err == nil {
		t.Error("with a key that is none, it was read")
	}
	for name, s := range map[string]Stub{"of nothing": {}, "backwards": {First: 2, Last: 1}, "from 0": {First: 0, Last: 1}, "too far": {First: 1, Last: 1 << 53}} {
		if note, err := s.Sign(testOrigin, testCheckpoint.Time, key); err == nil {
			t.Errorf("%s: it was signed: %s", name, note)
		}
	}
	if _, err := testStub.Sign("x/server", testCheckpoint.Time, key); err == nil {
		t.Error("of no chain: it was signed")
	}
	if _, err := testStub.Sign(testOrigin, testCheckpoint.Time); err == nil {
		t.Error("without a key: it was signed")
	}
}

// A record attests only as Canonical writes it.
func TestAttested(t *testing.T) {
	details := testStub.DisposeDetails(disposal(t, testStub, testKey(t, 1)))
	record := Record{Time: testCheckpoint.Time, Event: DisposeEvent, Actor: "system:server", Outcome: Success, Reason: "kept", Details: details}
	good := string(record.Canonical())
	if got := attested([]byte(good)); got["first"] != "5" || got["note"] != details["note"] {
		t.Fatalf("%s attests %v", good, got)
	}
	for name, edit := range map[string][2]string{
		"another event":      {`"event":"audit.dispose"`, `"event":"audit.disposed"`},
		"a space":            {`"event":`, `"event": `},
		"a later schema":     {`"schema":1`, `"schema":2`},
		"no schema":          {`"schema":1,`, ``},
		"twice":              {`"schema":1`, `"schema":1,"schema":1`},
		"an event before":    {`{"actor"`, `{"event":"audit.export","actor"`},
		"out of order":       {`"reason":"kept","schema":1`, `"schema":1,"reason":"kept"`},
		"an unknown member":  {`,"time"`, `,"thing":1,"time"`},
		"an empty member":    {`"reason":"kept"`, `"reason":""`},
		"an escape":          {`kept`, `k\u0065pt`},
		"a line separator":   {`kept`, "k\u2028ept"},
		"a letter":           {`kept`, "këpt"},
		"a revision":         {`,"schema"`, `,"revision":1,"schema"`},
		"resources":          {`,"schema"`, `,"resources":["a"],"schema"`},
		"no time":            {`"time":"2`, `"time":"x`},
		"too long":           {`kept`, strings.Repeat("k", maxAttesting)},
		"details of another": {`"first":"5"`, `"first":5`},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got := attested([]byte(text)); got != nil {
			t.Errorf("%s: it attests %v", name, got)
		}
	}
}

// FuzzOpenDisposal holds that the text of a disposal has one form only, and that
// none is a checkpoint as well.
func FuzzOpenDisposal(f *testing.F) {
	key := testKey(f, 1)
	f.Fuzz(func(t *testing.T, note []byte) {
		d, err := OpenDisposal(note, key.Public())
		if err == nil && !bytes.HasPrefix(note, []byte(d.text()+"\n")) {
			t.Errorf("%q was read as %+v", note, d)
		}
		if err == nil {
			if c, err := OpenCheckpoint(note, key.Public()); err == nil {
				t.Errorf("%q was read as %+v and as %+v", note, d, c)
			}
		}
		if d, err := parseDisposal(string(note)); err == nil && d.text() != string(note) {
			t.Errorf("%q was read as %+v", note, d)
		}
	})
}
