package config

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFuzzTargetsHaveSeeds(t *testing.T) {
	sources, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	targets := 0
	for _, name := range sources {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range target.FindAllStringSubmatch(string(source), -1) {
			targets++
			if seeds, err := os.ReadDir("testdata/fuzz/" + match[1]); err != nil || len(seeds) < 5 {
				t.Errorf("%s: %d seeds, %v", match[1], len(seeds), err)
			}
		}
	}
	if targets == 0 {
		t.Error("there are no fuzz targets")
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		doc := checkDecode(t, JSON, text)
		if !doc.Exists() {
			return
		}
		var reference map[string]any
		if err := json.Unmarshal(text, &reference); err != nil {
			t.Fatalf("encoding/json refuses it: %v", err)
		}
		if diff := cmp.Diff(reference, doc.Root()); diff != "" {
			t.Fatalf("(-encoding/json +Decode)\n%s", diff)
		}
	})
}

func FuzzDecodeYAML(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) { checkDecode(t, YAML, text) })
}

func FuzzDecodeTOML(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) { checkDecode(t, TOML, text) })
}

// checkDecode checks what holds for every text: a refusal is one of the known
// kinds, and a document is the same after each format that can hold it.
func checkDecode(t *testing.T, format Format, text []byte) Document {
	doc, err := Decode(format, text, Limits{})
	if err != nil {
		if kind := KindOf(err); kind != KindInvalidDocument && kind != KindTooLarge {
			t.Fatal(err)
		}
		return Document{}
	}
	for _, other := range []Format{JSON, YAML, TOML} {
		written, err := Encode(doc, other)
		if other == TOML && KindOf(err) == KindNotAcceptable {
			continue
		}
		if err != nil {
			t.Fatalf("as %s: %v", other, err)
		}
		back, err := Decode(other, written, Limits{Bytes: 64 * MaxDocumentBytes})
		if err != nil {
			t.Fatalf("as %s, refused: %v\n%s", other, err, written)
		}
		if diff := cmp.Diff(doc.Root(), back.Root()); diff != "" {
			t.Fatalf("as %s\n%s\n(-first +second)\n%s", other, written, diff)
		}
		if again, err := Encode(back, other); err != nil || !bytes.Equal(written, again) {
			t.Fatalf("%v: %s\nbecame\n%s", err, written, again)
		}
	}
	return doc
}

func FuzzPath(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			if KindOf(err) != KindInvalidPath || !p.IsZero() {
				t.Fatalf("%q: %q, %v", text, p, err)
			}
			return
		}
		segments := strings.Split(text, "/")
		switch {
		case p.String() != text:
			t.Fatalf("%q became %q", text, p)
		case len(text) > MaxPathBytes || len(segments) > MaxPathSegments || strings.ContainsAny(text, "\\%\x00"):
			t.Fatalf("%q was accepted", text)
		}
		for _, segment := range segments {
			if segment == "" || segment[0] == '.' {
				t.Fatalf("%q was accepted", text)
			}
		}
		if prefix, err := ParsePrefix(text); err != nil || !prefix.Contains(p) {
			t.Fatalf("%q is no prefix of itself: %v", text, err)
		}
	})
}

func FuzzAt(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ParseAt(text)
		if err != nil {
			if KindOf(err) != KindInvalidAt || !at.IsNow() {
				t.Fatalf("%q: %+v, %v", text, at, err)
			}
			return
		}
		if at.IsNow() != (text == "") {
			t.Fatalf("%q is read as now", text)
		}
		printed := at.String()
		again, err := ParseAt(printed)
		if err != nil || again.Revision != at.Revision || again.Version != at.Version || again.Tag != at.Tag || !again.Time.Equal(at.Time) {
			t.Fatalf("%q, printed as %q, is read as %+v, %v", text, printed, again, err)
		}
		if again.String() != printed {
			t.Fatalf("%q is printed as %q", printed, again)
		}
	})
}

func FuzzPointer(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePointer(text)
		if err != nil {
			if KindOf(err) != KindBadRequest {
				t.Fatal(err)
			}
			return
		}
		if p.String() != text {
			t.Fatalf("%q became %q", text, p)
		}
		var built Pointer
		var root any = "found"
		for i, token := range p.Tokens() {
			built = built.Append(token)
			root = map[string]any{p.Tokens()[len(p.Tokens())-1-i]: root}
		}
		if built.String() != text {
			t.Fatalf("%q was built as %q", text, built)
		}
		if v, ok := p.Lookup(root); !ok || v != "found" {
			t.Fatalf("%q finds %v", text, v)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err != nil {
			if kind := KindOf(err); kind != KindBadRequest && kind != KindTooLarge {
				t.Fatal(err)
			}
			return
		}
		if key.String() != text {
			t.Fatalf("%q became %q", text, key)
		}
		doc, err := key.Set(Document{}, 1.0)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := (Pointer{key.names}).Lookup(doc.Root()); !ok || v != 1.0 {
			t.Fatalf("%q was set in %s", text, doc.Canonical())
		}
		if _, found, err := key.Unset(doc); !found || err != nil {
			t.Fatalf("%q cannot be unset in %s: %v", text, doc.Canonical(), err)
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Fuzz(func(t *testing.T, layer, patch []byte) {
		doc, err := Decode(JSON, layer, Limits{})
		if err != nil {
			return
		}
		before := string(doc.Canonical())
		for name, apply := range map[string]func(Document, []byte, Limits) (Document, error){"merge patch": MergePatch, "JSON Patch": JSONPatch} {
			patched, err := apply(doc, patch, Limits{})
			if kind := KindOf(err); kind != "" && kind != KindInvalidPatch && kind != KindTooLarge {
				t.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				mustDecode(t, JSON, string(patched.Canonical()))
			}
			if string(NewDocument(doc.Root()).Canonical()) != before {
				t.Fatalf("%s changed the layer", name)
			}
		}
	})
}
