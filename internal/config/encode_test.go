package config

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustDecode(t testing.TB, format Format, text string) Document {
	t.Helper()
	doc, err := Decode(format, []byte(text), Limits{})
	if err != nil {
		t.Fatalf("%s %.200q: %v", format, text, err)
	}
	return doc
}

func mustJSON(t testing.TB, text string) Document {
	t.Helper()
	return mustDecode(t, JSON, text)
}

const encodeSample = `{
	"models": [{"name": "gpt-4o", "price": 2.5e-6, "limits": {"rpm": 480, "tags": ["a", 1, true]}}, {"name": "o1", "empty": {}}],
	"prompts": {"support": "Be brief.\nBe kind.\n", "sign off": "Yours,\n\tthe team", "gap": "\n\nx", "more": "x\n\n"},
	"words": ["yes", "No", "null", "~", "", "1.0", "2023-06-01", "12:30:45", "0x1F", ".inf", "- a", "a: b", "a #b", "a:b", "true", "=", "<<", "é"],
	"mixed": [1, {"a": {"b.c": [[{}]]}}, "x", [], [["deep"]]],
	"big": [1e23, 9007199254740992, 1e20, -1e-7, 0.5, -3],
	"${secret:a#b}": "${secret:providers/azure#key}", "": 1, "*": {"": {}}, "ключ": false
}`

func TestEncodeJSON(t *testing.T) {
	got, err := Encode(mustJSON(t, `{"b":[],"a":{"😀":[1,{"x":null}],"\ufb33":{}}}`), JSON)
	const want = `{
  "a": {
    "😀": [
      1,
      {
        "x": null
      }
    ],
    "` + "\uFB33" + `": {}
  },
  "b": []
}
`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestEncodeYAML(t *testing.T) {
	got, err := Encode(mustJSON(t, encodeSample), YAML)
	const want = `"": 1
${secret:a#b}: ${secret:providers/azure#key}
"*":
  "": {}
big:
  - 1.0e+23
  - 9007199254740992
  - 100000000000000000000.0
  - -1.0e-7
  - 0.5
  - -3
mixed:
  - 1
  - a:
      b.c:
        - - {}
  - x
  - []
  - - - deep
models:
  - limits:
      rpm: 480
      tags:
        - a
        - 1
        - true
    name: gpt-4o
    price: 0.0000025
  - empty: {}
    name: o1
prompts:
  gap: "\n\nx"
  more: |+
    x

  sign off: |-
    Yours,
    	the team
  support: |
    Be brief.
    Be kind.
words:
  - "yes"
  - "No"
  - "null"
  - "~"
  - ""
  - "1.0"
  - "2023-06-01"
  - "12:30:45"
  - "0x1F"
  - ".inf"
  - "- a"
  - "a: b"
  - "a #b"
  - a:b
  - "true"
  - "="
  - "<<"
  - é
ключ: false
`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestEncodeTOML(t *testing.T) {
	sample := strings.NewReplacer(`"": 1`, `"one": 1`, `{"": {}}`, `{"*": {}}`).Replace(encodeSample)
	got, err := Encode(mustJSON(t, sample), TOML)
	const want = `"${secret:a#b}" = "${secret:providers/azure#key}"
big = [1.0e+23, 9007199254740992, 100000000000000000000.0, -1.0e-7, 0.5, -3]
mixed = [1, { a = { "b.c" = [[{}]] } }, "x", [], [["deep"]]]
one = 1
words = ["yes", "No", "null", "~", "", "1.0", "2023-06-01", "12:30:45", "0x1F", ".inf", "- a", "a: b", "a #b", "a:b", "true", "=", "<<", "é"]
"ключ" = false

["*"]

["*"."*"]

[[models]]
name = "gpt-4o"
price = 0.0000025

[models.limits]
rpm = 480
tags = ["a", 1, true]

[[models]]
name = "o1"

[models.empty]

[prompts]
gap = """


x"""
more = """
x

"""
"sign off" = """
Yours,
	the team"""
support = """
Be brief.
Be kind.
"""
`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestEncodeTOMLRefusesWhatItLacks(t *testing.T) {
	for text, pointer := range map[string]string{
		`{"a":null}`:                   "/a",
		`{"a":{"b/c":[1,[null]]}}`:     "/a/b~1c/1/0",
		`{"a":[{"x":1},{"y":null}]}`:   "/a/1/y",
		`{"a":[1,{"b":{"c":null}}]}`:   "/a/1/b/c",
		`{"a":[{"x":{"y":[[null]]}}]}`: "/a/0/x/y/0/0",
		`{"a":{"":1}}`:                 "/a/",
		`{"a":[1,{"":1}]}`:             "/a/1/",
	} {
		_, err := Encode(mustJSON(t, text), TOML)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindNotAcceptable || e.Pointer != pointer || e.Next == "" {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestEncodeValue(t *testing.T) {
	for _, c := range []struct {
		v      any
		format Format
		want   string
	}{
		{"x", JSON, "\"x\"\n"},
		{nil, YAML, "null\n"},
		{"a\nb", YAML, "\"a\\nb\"\n"},
		{"no", YAML, "\"no\"\n"},
		{[]any{}, YAML, "[]\n"},
		{[]any{1.0, []any{2.0}}, YAML, "- 1\n- - 2\n"},
		{map[string]any{}, YAML, "{}\n"},
		{map[string]any{}, TOML, ""},
		{map[string]any{}, JSON, "{}\n"},
	} {
		if got, err := EncodeValue(c.v, c.format); string(got) != c.want || err != nil {
			t.Errorf("%v as %s: got %q, %v", c.v, c.format, got, err)
		}
	}
	for _, v := range []any{nil, true, 1.0, "x", []any{}} {
		if _, err := EncodeValue(v, TOML); KindOf(err) != KindNotAcceptable {
			t.Errorf("%v as TOML: got %v", v, err)
		}
	}
	if _, err := EncodeValue(1.0, "xml"); KindOf(err) != KindNotAcceptable {
		t.Errorf("as xml: got %v", err)
	}
}

// Text that some reader of YAML 1.1 or 1.2 takes for something else.
func TestYAMLQuotesAmbiguousText(t *testing.T) {
	for _, text := range []string{
		"", "y", "Y", "yes", "Yes", "n", "NO", "on", "Off", "true", "FALSE", "null", "Null", "~", "nan", ".NaN", "-.inf", "Infinity",
		"0", "-1", "+1", "1_000", "0777", "0o17", "0b11", "1e3", "1.", ".5", "190:20:30", "2001-12-14", "2001-12-14t21:59:43.10-05:00",
		"<<", "=", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "'a", "\"a", "[a", "{a", "- a", "? a", ": a", "#a", "---", "...", "a: b", "a:", "a #b",
		" a", "a ", "a\tb", "a\u00A0b", "a\u2028b", "\uFEFFa", "a\u0085b", "a\x7f", "a\rb", "a\x00",
	} {
		got, err := EncodeValue(text, YAML)
		if err != nil || got[0] != '"' || got[len(got)-2] != '"' {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}

func TestLongKeysInYAML(t *testing.T) {
	key := strings.Repeat("long key ", 300)
	doc := NewDocument(map[string]any{"list": []any{map[string]any{key: map[string]any{key + "x": []any{1.0}}}}})
	text, err := Encode(doc, YAML)
	if err != nil {
		t.Fatal(err)
	}
	if back := mustDecode(t, YAML, string(text)); back.Digest() != doc.Digest() {
		t.Errorf("got %s", text)
	}
	if n := bytes.Count(text, []byte("? ")); n != 2 { // readers need not look further than 1024 characters for a colon
		t.Errorf("%d keys are announced, want 2", n)
	}
}

var texts = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "a", "yes", "null", "1", "0.5", "a.b", "a b", "a: b", "a #b", "<<", "*", "~", "${secret:a#b}", "2023-06-01", "x\ny\n", "x\n\n", "\n", " x\ny", "\tx\ny",
		"x\n y\n\tz", "x \ny", "x\n  \ny", "\"\"\"\n\"", "'''\n''", "\\\n\\\"", "\r\n", "é\n\u2028", "\uFEFF", "---\na", "a\n...\n", "|\n", "# a\nb",
	}),
	rapid.StringOf(rapid.SampledFrom([]rune("ab01:.#-_ \n\t\"'\\{}[],&*!|>%@`~=$é€😀\u0085\u00A0\u2028\uFEFF\x00\x1b\x7f\r\uE000\U0010FFFD"))),
	rapid.String().Filter(func(text string) bool { return checkText(text) == nil }),
)

var numbers = rapid.OneOf(
	rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) && f != 0 }),
	rapid.Map(rapid.Int64Range(-1<<53, 1<<53), func(n int64) float64 { return float64(n) }),
	rapid.SampledFrom([]float64{0, 1, -1, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1 << 62, 1 << 63, 5e-324, 1e-7, 123456789.125}),
)

// values are what a format can hold: TOML has no null and no empty key.
func values(depth int, format Format) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{texts.AsAny(), numbers.AsAny(), rapid.Bool().AsAny()}
	if format != TOML {
		scalars = append(scalars, rapid.Just[any](nil))
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	inner := values(depth-1, format)
	return rapid.OneOf(append(scalars,
		rapid.Map(rapid.SliceOfN(inner, 0, 4), func(a []any) any { return a }),
		rapid.Map(rapid.SliceOfN(rapid.MapOfN(keys(format), inner, 0, 3), 1, 3), func(objects []map[string]any) any {
			a := make([]any, len(objects))
			for i := range objects {
				a[i] = objects[i]
			}
			return a
		}),
		rapid.Map(rapid.MapOfN(keys(format), inner, 0, 4), func(m map[string]any) any { return m }),
	)...)
}

func keys(format Format) *rapid.Generator[string] {
	return texts.Filter(func(key string) bool { return key != "" || format != TOML })
}

func documents(format Format) *rapid.Generator[Document] {
	return rapid.Map(rapid.MapOfN(keys(format), values(3, format), 0, 5), NewDocument)
}

func TestDecodeReadsWhatEncodeWrites(t *testing.T) {
	for _, format := range []Format{JSON, YAML, TOML} {
		t.Run(string(format), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				doc := documents(format).Draw(t, "document")
				text, err := Encode(doc, format)
				if err != nil {
					t.Fatal(err)
				}
				back, err := Decode(format, text, Limits{})
				if err != nil {
					t.Fatalf("%s\n%v", text, err)
				}
				if diff := cmp.Diff(doc.Root(), back.Root()); diff != "" {
					t.Fatalf("%s\n(-written +read)\n%s", text, diff)
				}
				again, err := Encode(back, format)
				if err != nil || !bytes.Equal(text, again) {
					t.Fatalf("%v: first\n%s\nthen\n%s", err, text, again)
				}
			})
		})
	}
}
