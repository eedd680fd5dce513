package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/secret"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// What is written by hand is what package encoding/json would write, and the
// buffer is as large as needed from the beginning.
func TestRevealedIsWrittenAsDeclared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := service.Revealed{
			Environment: rapid.String().Draw(t, "environment"), Path: config.MustPath("a/b"), Revision: config.Revision(rapid.Int64().Draw(t, "revision")),
			RevealedVersion: drawVersion(t),
		}
		if rapid.Bool().Draw(t, "previous") {
			r.Previous = new(drawVersion(t))
		}
		text := appendRevealed(r)
		var got, want any
		if err := json.Unmarshal(text.bytes, &got); err != nil {
			t.Fatalf("%v: %s", err, text.bytes)
		}
		wanted, err := json.Marshal(revealedByReflection(r))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(wanted, &want); err != nil {
			t.Fatal(err)
		}
		again, _ := json.Marshal(got)
		if expected, _ := json.Marshal(want); !bytes.Equal(again, expected) {
			t.Fatalf("got %s\nwant %s", again, expected)
		}
		kept := text.bytes
		text.giveBack()
		if len(bytes.Trim(kept, "\x00")) != 0 {
			t.Fatalf("left is %q", kept)
		}
		r.Wipe()
	})
}

func drawVersion(t *rapid.T) service.RevealedVersion {
	values := map[string]json.RawMessage{}
	var encoded []string
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9_.]{0,8}`), 1, 5, rapid.ID).Draw(t, "names") {
		var value any
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			value = rapid.StringMatching(`[ -~\n\t\x00-\x1fé€😀]{0,20}`).Draw(t, "text")
		case 1:
			value = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
			encoded = append(encoded, name)
		default:
			value = rapid.MapOf(rapid.StringMatching(`[a-z<&]{1,4}`), rapid.IntRange(-9, 9)).Draw(t, "object")
		}
		values[name], _ = json.Marshal(value)
		if string(values[name]) == "null" { // of no bytes
			values[name] = json.RawMessage(`""`)
		}
	}
	fields, err := secret.ParseFields(values, encoded)
	if err != nil {
		t.Fatal(err)
	}
	v := service.RevealedVersion{Version: 3, State: secret.Active, Fields: fields}
	if rapid.Bool().Draw(t, "times") {
		v.Until, v.Expires = time.Unix(1_700_000_000, 5), time.Unix(1_800_000_000, 0)
	}
	return v
}

func revealedByReflection(r service.Revealed) api.RevealedSecret {
	version := func(v service.RevealedVersion) api.RevealedVersion {
		out := api.RevealedVersion{
			Version: int64(v.Version), State: string(v.State), Fields: map[string]json.RawMessage{}, Base64: v.Fields.Base64(),
			Until: maybe(v.Until), ExpiresAt: maybe(v.Expires),
		}
		for _, name := range v.Fields.Names() {
			field, _ := v.Fields.Get(name)
			out.Fields[name] = field.JSON()
		}
		return out
	}
	out := api.RevealedSecret{Environment: r.Environment, Path: r.Path.String(), Revision: int64(r.Revision), RevealedVersion: version(r.RevealedVersion)}
	if r.Previous != nil {
		out.Previous = new(version(*r.Previous))
	}
	return out
}

// A text that is revealed never outgrows the buffer it was given: what is left
// behind where one grows would not be cleared.
func TestRevealedFitsItsBuffer(t *testing.T) {
	fields, err := secret.ParseFields(map[string]json.RawMessage{"value": json.RawMessage(`"` + strings.Repeat(`\u0001`, 9000) + `"`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	version := service.RevealedVersion{Version: 1 << 40, State: secret.Destroyed, Fields: fields, Until: time.Unix(1_700_000_000, 123456789), Expires: time.Unix(1_700_000_000, 123456789)}
	r := service.Revealed{Environment: strings.Repeat("e", 64), Path: config.MustPath(strings.Repeat("p", 512)), Revision: 1 << 60, RevealedVersion: version, Previous: &version}
	current := fieldTextsOf(fields)
	size := len(r.Environment) + len(r.Path.String()) + 2*(revealedHead+current.size)
	if text := appendRevealed(r); len(text.bytes) > size {
		t.Errorf("%d bytes where there was room for %d", len(text.bytes), size)
	}
}

// recorder answers a body in pieces, and remembers where they were put.
type recorder struct {
	pieces io.Reader
	rooms  [][]byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.pieces.Read(p)
	r.rooms = append(r.rooms, p[:n])
	return n, err
}

// A body that grows leaves no copies of itself.
func TestReadAtMostClearsWhatItOutgrows(t *testing.T) {
	whole := strings.Repeat("canary", 5000)
	r := &recorder{pieces: iotest.HalfReader(strings.NewReader(whole))}
	text, err := readAtMost(r, 1<<20, -1)
	if err != nil || string(text) != whole {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	clear(text)
	for i, room := range r.rooms {
		if len(bytes.Trim(room, "\x00")) != 0 {
			t.Errorf("piece %d is left: %.20q", i, room)
		}
	}
	for told, limit := range map[int64]int64{-1: 10, 0: 10, 1 << 40: 10, 30_000: 30_000, 5: 29_999} {
		text, err := readAtMost(strings.NewReader(whole), limit, told)
		if err != nil || int64(len(text)) != limit || whole[:limit] != string(text) {
			t.Errorf("limit %d: %d bytes, %v", limit, len(text), err)
		}
	}
	broken := errors.New("broken")
	if text, err := readAtMost(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), 10, 3); !errors.Is(err, broken) || string(text) != "abc" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestPathsOfSecrets(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/tenants/t/environments/e/secrets/p":            true,
		"/api/v1/tenants/t/environments/e/secrets/p/q":          true,
		"/api/v1/tenants/t/environments/e/secrets":              false,
		"/api/v1/tenants/t/environments/e/configs/secrets/p":    false,
		"/api/v1/tenants/t/environments/secrets/secrets/p":      true,
		"/api/v1/tenants/t/environments/secrets/layers/secrets": false,
		"/": false, "": false, "secrets/p": false,
	} {
		if got := isSecret(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// FuzzMembers: what is cut out of a body is what package encoding/json finds
// there, and no refusal holds any of it.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{`{}`, ` { "a" : 1 , "b":[1,{"c":"}"}],"d":"\"" } `, `{"a":1,"a":2}`, `[]`, `{"a":`, `{"\u0061":null}`, "{\"a\":\"\xff\"}", `{"a":{"b":[[]]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		parsed := json.Unmarshal(text, &want)
		got, err := members(text)
		if err != nil {
			return
		}
		if parsed != nil || len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d: %v", text, len(got), len(want), parsed)
		}
		for _, m := range got {
			if string(want[m.name]) != string(m.value) {
				t.Fatalf("%q: %s is %q, want %q", text, m.name, m.value, want[m.name])
			}
		}
	})
}

// BenchmarkRevealedText measures what is made of a secret that was opened.
func BenchmarkRevealedText(b *testing.B) {
	fields, err := secret.ParseFields(map[string]json.RawMessage{"value": json.RawMessage(`"` + strings.Repeat("x", 60) + `"`)}, nil)
	if err != nil {
		b.Fatal(err)
	}
	r := service.Revealed{Environment: "production", Path: config.MustPath("providers/openai"), Revision: 7,
		RevealedVersion: service.RevealedVersion{Version: 3, State: secret.Active, Fields: fields}}
	b.ReportAllocs()
	for b.Loop() {
		text, err := revealedText(r, config.JSON)
		if err != nil {
			b.Fatal(err)
		}
		text.giveBack()
	}
}
