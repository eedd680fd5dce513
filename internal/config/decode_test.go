package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFormat(t *testing.T) {
	for text, want := range map[string]Format{
		"json": JSON, "yaml": YAML, "yml": YAML, "toml": TOML, "JSON": JSON, ".yml": YAML, "gateway/eu-1.0/models.YAML": YAML, "a.toml": TOML,
	} {
		if got, err := ParseFormat(text); got != want || err != nil {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "xml", "json5", "yaml.bak", "a/json.d/x", "."} {
		if _, err := ParseFormat(text); KindOf(err) != KindBadRequest {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// refusal is a text that must not become a document.
type refusal struct {
	text, pointer, message string // message is a part of the error's
}

func checkRefusals(t *testing.T, format Format, kind Kind, refusals []refusal) {
	t.Helper()
	for _, c := range refusals {
		_, err := Decode(format, []byte(c.text), Limits{})
		var e *Error
		switch {
		case !errors.As(err, &e):
			t.Errorf("%.80q: want an *Error, got %v", c.text, err)
		case e.Kind != kind || e.Pointer != c.pointer || !strings.Contains(e.Message, c.message):
			t.Errorf("%.80q: got %s at %q: %s", c.text, e.Kind, e.Pointer, e.Message)
		case strings.Contains(e.Message+e.Next, "hunter"):
			t.Errorf("%.80q: the error quotes a value: %s %s", c.text, e.Message, e.Next)
		}
	}
}

func TestDecodeRefusesJSON(t *testing.T) {
	checkRefusals(t, JSON, KindInvalidDocument, []refusal{
		{``, "", "line 1, column 1: the text ends"},
		{"{\n \"a\": [1, hunter2]}", "/a/1", "line 2, column 11: a value is expected"},
		{`{"a":{"b":1,"b":2}}`, "/a/b", "line 1, column 13: a key is there twice"},
		{`{"n":9007199254740993}`, "/n", "number"},
		{`{"n":1e400}`, "/n", "number"},
		{`{"n":NaN}`, "/n", "value is expected"},
		{`{"s":"\ud800"}`, "/s", "surrogates"},
		{"{\"s\":\"\xff\"}", "/s", "invalid UTF-8"},
		{`[1]`, "", "an array"}, {`"hunter2"`, "", "a string"}, {`12`, "", "a number"}, {`true`, "", "a boolean"}, {`null`, "", "null"},
	})
	_, err := Decode(JSON, []byte(`{"n":9007199254740993}`), Limits{})
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Next, "as a string") {
		t.Errorf("the advice is missing: %+v", err)
	}
}

func TestDecodeBounds(t *testing.T) {
	text := func(n int) []byte { return []byte(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }
	over := func(err error, limit, actual int64) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Limit != limit || e.Actual != actual {
			t.Errorf("want %d over %d, got %+v", actual, limit, err)
		}
	}
	for _, format := range []Format{JSON, YAML} {
		if _, err := Decode(format, text(MaxDocumentBytes), Limits{}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		_, err := Decode(format, text(MaxDocumentBytes+1), Limits{})
		over(err, MaxDocumentBytes, MaxDocumentBytes+1)
		_, err = Decode(format, text(101), Limits{Bytes: 100})
		over(err, 100, 101)
		_, err = Decode(format, text(MaxDocumentBytes+1), Limits{Bytes: 2 * MaxDocumentBytes})
		if err != nil {
			t.Errorf("%s with more allowed: %v", format, err)
		}
	}
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	for _, format := range []Format{JSON, YAML} {
		mustDecode(t, format, nested(MaxNesting))
		_, err := Decode(format, []byte(nested(MaxNesting+1)), Limits{})
		over(err, MaxNesting, MaxNesting+1)
	}
	_, err := Decode(JSON, []byte(`{"a":[`+strings.Repeat("1,", MaxValues)+`1]}`), Limits{})
	over(err, MaxValues, MaxValues+3)
	// A short text may have a long canonical form.
	_, err = Decode(JSON, []byte(`{"a":[1e20,1e20,1e20]}`), Limits{Bytes: 50})
	over(err, 50, 8+3*21+2)
	if _, err := Decode("xml", nil, Limits{}); KindOf(err) != KindBadRequest {
		t.Errorf("xml: %v", err)
	}
}

func TestLimitsCheck(t *testing.T) {
	doc := mustJSON(t, `{"a":[{"b":"x"},1]}`)
	if err := (Limits{}).Check(doc); err != nil {
		t.Error(err)
	}
	if err := (Limits{Bytes: 10}).Check(doc); KindOf(err) != KindTooLarge {
		t.Errorf("bytes: %v", err)
	}
	deep := doc.Root()
	for range MaxNesting - 2 {
		deep = map[string]any{"a": deep}
	}
	var e *Error
	if err := (Limits{}).Check(NewDocument(deep)); !errors.As(err, &e) || e.Actual != MaxNesting+1 || e.Limit != MaxNesting {
		t.Errorf("depth: %v", err)
	}
	wide := make([]any, MaxValues)
	if err := (Limits{Bytes: 10 * MaxValues}).Check(NewDocument(map[string]any{"a": wide})); !errors.As(err, &e) || e.Actual != MaxValues+2 {
		t.Errorf("values: %v", err)
	}
}

func TestDecodeYAMLGateway(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	got := mustDecode(t, YAML, read("gateway.yaml"))
	want := mustJSON(t, read("gateway.json"))
	if diff := cmp.Diff(want.Root(), got.Root()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, format := range []Format{JSON, YAML} {
		text, err := Encode(got, format)
		if err != nil {
			t.Fatal(err)
		}
		if back := mustDecode(t, format, string(text)); back.Digest() != want.Digest() {
			t.Errorf("%s: got\n%s", format, text)
		}
	}
}

func TestDecodeYAMLScalars(t *testing.T) {
	for text, want := range map[string]any{
		"": nil, "~": nil, "null": nil, "Null": nil, "NULL": nil, "nULL": "nULL", `""`: "", "''": "", `"null"`: "null", "'~'": "~",
		"true": true, "True": true, "TRUE": true, "tRUE": "tRUE", "false": false, "False": false, "FALSE": false,
		"yes": "yes", "No": "No", "on": "on", "off": "off", "y": "y",
		"0": 0.0, "-0": 0.0, "007": 7.0, "-12": -12.0, "+12": 12.0, "0o17": 15.0, "0xfF": 255.0, "0b1": "0b1", "1_000": "1_000", "-0x1": "-0x1", "0o8": "0o8",
		"1.": 1.0, ".5": 0.5, "-.5": -0.5, "+1.50": 1.5, "1e3": 1000.0, "1.e+2": 100.0, "00.5e0": 0.5, "0.000420": 0.00042, ".": ".", "-x": "-x", "1e": "1e", "1.2.3": "1.2.3",
		"2023-06-01": "2023-06-01", "2023-06-01-preview": "2023-06-01-preview", "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "12:30:45": "12:30:45",
		"!!str 1": "1", "!!str": "", "! 1": "1", "! true": "true", "!!int \"12\"": 12.0, "!!int 0x10": 16.0, "!!float 1": 1.0, "!!float '1.5'": 1.5, "!!bool 'true'": true, "!!null ''": nil,
		"!<tag:yaml.org,2002:str> 1": "1", "!!map {}": map[string]any{}, "!!seq []": []any{}, "! {a: 1}": map[string]any{"a": 1.0}, "! [1]": []any{1.0},
		"[a, b: c, \"d\"]": []any{"a", map[string]any{"b": "c"}, "d"}, "{a, b: }": map[string]any{"a": nil, "b": nil},
		"|\n  a\n  b": "a\nb", ">\n  a\n  b\n": "a b\n", "a\n  b": "a b", `"\u0041\U0001F600\x41\e"`: "A😀A\x1b", "'it''s'": "it's",
		"&x [1, &y 2, *y]": []any{1.0, 2.0, 2.0},
	} {
		doc, err := Decode(YAML, []byte("k: "+text), Limits{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(want, doc.Root()["k"]); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}

func TestDecodeYAMLKeysAndMarkers(t *testing.T) {
	for text, want := range map[string]string{
		"{}": `{}`, "--- {}\n...\n": `{}`, "\uFEFFa: 1": `{"a":1}`, "%YAML 1.2\n---\na: 1": `{"a":1}`, "\uFEFF%YAML 1.2 # c\n--- {a: 1}": `{"a":1}`, "%YAML 1.1\n---\na: 1": "", "%YAML 2.0\n---\na: 1": "", "# c\n\na: 1 # d\n": `{"a":1}`,
		`"1": a`: `{"1":"a"}`, "!!str 1: a": `{"1":"a"}`, "'<<': a": `{"<<":"a"}`, "yes: a": `{"yes":"a"}`, "? a\n: b": `{"a":"b"}`, "\"\": 1": `{"":1}`,
		"&k a: 1\nb: {*k : 2}": `{"a":1,"b":{"a":2}}`, "a: &x {b: [1]}\nc: *x\nd: *x": `{"a":{"b":[1]},"c":{"b":[1]},"d":{"b":[1]}}`,
		"*: 1": "", "a: 1\r\nb: 2\r\n": `{"a":1,"b":2}`,
	} {
		doc, err := Decode(YAML, []byte(text), Limits{})
		if want == "" && err == nil || want != "" && (err != nil || string(doc.Canonical()) != want) {
			t.Errorf("%q: got %s, %v", text, doc.Canonical(), err)
		}
	}
}

func TestDecodeYAMLRefuses(t *testing.T) {
	checkRefusals(t, YAML, KindInvalidDocument, []refusal{
		{"", "", "no document"}, {"# only a comment\n", "", "no document"}, {"---\n", "", "this is null"}, {"- a\n", "", "an array"}, {"hunter2", "", "a string"},
		{"a: 1\n---\nb: 2\n", "", "line 2, column 1: a second document begins"},
		{"a: 1\n---\nb: [\n", "", "line 4"},
		{"a:\n  b: 1\n  b: 2\n", "/a/b", "line 3, column 3: a key is there twice"},
		{"a: 1\n\"a\": 2\n", "/a", "twice"},
		{"1: a", "", "line 1, column 1: a key that is not a string but a number"},
		{"a: {true: b}", "/a", "not a string but a boolean"},
		{"~: b", "", "not a string but null"},
		{"[a]: b", "", "a key that is not a string"},
		{"? {a: b}\n: c", "", "a key that is not a string"},
		{"a: &x [1]\nb: {*x : 2}", "/b", "a key that is not a string"},
		{"a: {<<: {b: 1}}", "/a", "merge key"},
		{"!!int a: 1", "", "does not fit"},
		{"a: .inf", "/a", "infinity"}, {"a: -.Inf", "/a", "infinity"}, {"a: [.nan]", "/a/0", "not-a-number"}, {"a: !!float .inf", "/a", "infinity"},
		{"a: 9007199254740993", "/a", "column 4: a number that its nearest double"}, {"a: 1e400", "/a", "nearest double"},
		{"a: 0x20000000000001", "/a", "nearest double"}, {"a: 0o400000000000000001", "/a", "nearest double"}, {".1000000000000000055511151231257827: 1", "", "nearest double"},
		{"a: !!binary aHVudGVyMg==", "/a", "does not fit"}, {"a: !!timestamp 2001-01-01", "/a", "does not fit"}, {"a: !secret hunter2", "/a", "does not fit"},
		{"a: !!int hunter2", "/a", "does not fit"}, {"a: !!int 1.5", "/a", "does not fit"}, {"a: !!float hunter2", "/a", "does not fit"}, {"a: !!bool 1", "/a", "does not fit"}, {"a: !!null 1", "/a", "does not fit"},
		{"a: !!map [hunter2]", "/a", "another kind"}, {"a: !!seq {a: hunter2}", "/a", "another kind"}, {"a: !!set {a}", "/a", "another kind"}, {"a: !!omap [a: 1]", "/a", "another kind"},
		{"a: &x [1, *x]", "/a/1", "within what it refers to"}, {"a: &x {b: {c: *x}}", "/a/b/c", "within what it refers to"},
		{"a: *nobody", "", "line 1, column 4: unknown anchor … referenced"},
		{"a: \"hunter2\\q\"", "", "line 1, column 12"}, {"a: b: hunter2", "", "line 1, column 5"}, {"a: @hunter2", "", "column 4"}, {"\ta: 1", "", "column 1"}, {"a: [", "", "line 2"},
		{"a: \"\\ud800\"", "", "invalid Unicode"}, {"a: \"\\uFFFF\"", "/a", "noncharacter"},
		{"a: b\nc: \xff", "", "line 2: invalid UTF-8"}, {"\xff\xfea\x00:\x00 \x001\x00", "", "invalid UTF-8"}, {"a: \x00hunter2", "", "control characters"}, {"a: \x01", "", "control characters"},
		{"a: 1\n...\nb: 2", "", "second document"},
	})
	for _, text := range []string{"a: .inf", "1: a", "a: 1e400", "{<<: {}}", "a: 1\n---\nb: 1", "[a]: b", "a: !x b", "", "- a"} {
		_, err := Decode(YAML, []byte(text), Limits{})
		var e *Error
		if !errors.As(err, &e) || e.Next == "" {
			t.Errorf("%q: no advice in %+v", text, err)
		}
	}
}

func TestDecodeYAMLBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n")
	for i := range 12 {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9), i)
	}
	long := "a: &a " + strings.Repeat("x", 500_000) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n"
	keys := "a: &a " + strings.Repeat("x", 500_000) + "\nb: [" + strings.Repeat("{*a : 1},", 1000) + "]\n"
	for name, text := range map[string]string{
		"aliases of aliases":     laughs.String(),
		"many aliases of a text": long,
		"many aliases of a key":  keys,
		"deep flow":              "a: " + strings.Repeat("[", 100_000),
		"deep blocks":            strings.Repeat("- ", 100_000) + "a",
		"deep questions":         strings.Repeat("? ", 100_000) + "a",
		"nesting by alias": "a: &a " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "\nb: " +
			strings.Repeat("[", 40) + "*a" + strings.Repeat("]", 40),
	} {
		_, err := Decode(YAML, []byte(text), Limits{})
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Limit == 0 || e.Actual <= e.Limit {
			t.Errorf("%s: got %+v", name, err)
		} else if strings.Contains(name, "alias") && !strings.HasPrefix(e.Message, "line ") {
			t.Errorf("%s: not refused while it was read: %s", name, e.Message)
		}
	}
}

func TestDecodeTOML(t *testing.T) {
	doc := mustDecode(t, TOML, `# a gateway
title = "gateway" # 9007199254740993
[models.gpt-4o]
rpm = 4_800
price = 0.000_420
neg = -1.5e-3
plus = +7
zero = -0.0
hex = 0xFF
oct = 0o17
bin = 0b11
exact = 1e22
"quoted.key" = true
'lit#eral' = 'C:\x "9007199254740993"'
a.b = 1
a."c.d" = [1, "two", 3.0, [true], {x = 1, y.z = [{}]}]
prompt = """
Say "9007199254740993" \"""
  # no comment
"""
raw = '''
'quoted' ''''
empty = ""
[[fallback]]
to = "a"
[[fallback]]
to = "b"
  [fallback.deep]
  3.14 = "dotted"
`)
	want := mustJSON(t, `{"title":"gateway","models":{"gpt-4o":{"rpm":4800,"price":0.00042,"neg":-0.0015,"plus":7,"zero":0,"hex":255,"oct":15,"bin":3,"exact":1e22,
		"quoted.key":true,"lit#eral":"C:\\x \"9007199254740993\"","a":{"b":1,"c.d":[1,"two",3,[true],{"x":1,"y":{"z":[{}]}}]},
		"prompt":"Say \"9007199254740993\" \"\"\"\n  # no comment\n","raw":"'quoted' '","empty":""}},
		"fallback":[{"to":"a"},{"to":"b","deep":{"3":{"14":"dotted"}}}]}`)
	if diff := cmp.Diff(want.Root(), doc.Root()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDecodeTOMLRefuses(t *testing.T) {
	checkRefusals(t, TOML, KindInvalidDocument, []refusal{
		{"a = 1\na = 2", "", "line 2"}, {"[a]\nb = 1\n[a]\nc = 1", "", "line 3"}, {"a = 1\n[a]\nb = 1", "", "line 2"}, {"a.b = 1\na.b = 2", "", "line 2"}, {"a = {b = 1, b = 2}", "", "line 1"},
		{"a = [1]\na = [2]", "", "line 2"}, {"\"a\" = 1\na = 2", "", "line 2"}, {"[[a]]\nb = 1\nb = 2", "", "line 3"},
		{"a = nan", "/a", "not-a-number"}, {"a = [1, -inf]", "/a/1", "infinity"}, {"b.c = +inf", "/b/c", "infinity"},
		{"a = 1979-05-27T07:32:00Z", "/a", "a date or time"}, {"a = 1979-05-27 07:32:00", "/a", "a date or time"}, {"a = 1979-05-27", "/a", "a date or time"}, {"[[a]]\nb = [07:32:00]", "/a/0/b/0", "a date or time"},
		{"a = 1\nb = [1, 9007199254740993]", "", "line 2, column 9: a number that its nearest double"}, {"a = 9_007_199_254_740_993", "", "line 1, column 5"}, {"a = +0.1000000000000000055511151231257827", "", "nearest double"},
		{"a = 0x20000000000001", "/a", "nearest double"}, {"a = 1e400", "", "nearest double"}, {"a = 10000000000000000000", "", "out of range"}, {"a = {b = [3.14159265358979323846]}", "", "column 11"},
		{"a = '''x''''\nb = 9007199254740993", "", "line 2, column 5"}, {"a = \"\"\"x\"\"\"\"\"\nb = 9007199254740993", "", "line 2, column 5"}, {"a = 'x\\'\nb = 9007199254740993", "", "line 2, column 5"},
		{"a = \"\\\"\"\nb = 9007199254740993", "", "line 2, column 5"}, {"a = [{b = \"]}\"},\n9007199254740993]", "", "line 2, column 1"},
		{"a = hunter2", "", "line 1"}, {"a = 1979-13-hunter", "", "line 1"}, {"a = 1.hunter", "", "line 1"}, {"a = \"hunter\\q\"", "", "line 1"}, {"a = 0hunter", "", "line 1"}, {"a = 'hunter", "", "line 1"}, {"a = \"hunter\nb = 1", "", "line 1"},
		{"a", "", "line 1"}, {"= 1", "", "line 1"}, {"a = ", "", "line 1"}, {"a = ]", "", "line 1"}, {"a = 1 b = 2", "", "line 1"}, {"[a", "", "line 1"}, {"a = [1", "", "line 1"}, {"a = {", "", "line 1"}, {"a = \"\\", "", "not TOML"},
		{"a = \"\\uD800\"", "", "line 1"}, {"a = \"\\uFFFF\"", "/a", "noncharacter"}, {"\"\\uFFFF\" = 1", "", "a key holds"}, {"a = \"\xff\"", "", "line 1: invalid UTF-8"},
		{"\"\" = 1", "", "line 1, column 1: an empty key"}, {"[a.'']", "", "column 4: an empty key"}, {"a = [{\"\" = 1}]", "", "column 7: an empty key"},
	})
	for _, text := range []string{"a = nan", "a = 1979-05-27", "a = 1e400", "a = 10000000000000000000", "\"\" = 1"} {
		_, err := Decode(TOML, []byte(text), Limits{})
		var e *Error
		if !errors.As(err, &e) || e.Next == "" {
			t.Errorf("%q: no advice in %+v", text, err)
		}
	}
}

func TestDecodeTOMLBombs(t *testing.T) {
	for name, text := range map[string]string{
		"arrays":         "a = " + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000),
		"inline tables":  "a = " + strings.Repeat("{a = ", 50_000) + "1" + strings.Repeat("}", 50_000),
		"dotted key":     strings.Repeat("a.", 100_000) + "a = 1",
		"dotted header":  "[" + strings.Repeat("a.", 100_000) + "a]",
		"dots in inline": "a = " + strings.Repeat("{a.b.c.d.e.f.g.h = ", 9) + "1" + strings.Repeat("}", 9),
		"over by one":    "a = " + strings.Repeat("[", MaxNesting+1) + strings.Repeat("]", MaxNesting+1),
	} {
		_, err := Decode(TOML, []byte(text), Limits{})
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Limit != MaxNesting || e.Actual <= e.Limit {
			t.Errorf("%s: got %+v", name, err)
		}
	}
	// Dots and brackets that follow each other do not add up.
	mustDecode(t, TOML, strings.Repeat("[[a.b.c]]\nd.e.f = [{g.h = 1}, {g.h = 1}, {g.h = [1.5, 2.5]}]\n", 100))
	members := make([]string, 100)
	for i := range members {
		members[i] = fmt.Sprintf("b%d.c = %d", i, i)
	}
	mustDecode(t, TOML, "a = {"+strings.Join(members, ", ")+"}")
	header := strings.Repeat("a.", 60) + "a"
	if _, err := Decode(TOML, []byte("["+header+"]\n"+header+" = 1"), Limits{}); KindOf(err) != KindTooLarge {
		t.Errorf("a header and a key: %v", err)
	}
}
