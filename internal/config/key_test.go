package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustKey(t testing.TB, text string) Key {
	t.Helper()
	k, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKey(t *testing.T) {
	for text, names := range map[string][]string{
		"a": {"a"}, "a.b.c": {"a", "b", "c"}, `a.b\.c`: {"a", "b.c"}, `a\\.b`: {`a\`, "b"}, `\.`: {"."}, "a.0": {"a", "0"}, "é *.x/y": {"é *", "x/y"},
	} {
		k := mustKey(t, text)
		if diff := cmp.Diff(names, k.names); diff != "" || k.String() != text {
			t.Errorf("%q became %q (-want +got)\n%s", text, k, diff)
		}
	}
	for _, text := range []string{"", ".", "a.", ".a", "a..b", `a\`, `a\b`, `a.\`, "a\xff", "\uFFFF"} {
		if k, err := ParseKey(text); KindOf(err) != KindBadRequest {
			t.Errorf("%q: got %q, %v", text, k, err)
		}
	}
	if _, err := ParseKey("a" + strings.Repeat(".a", MaxNesting)); KindOf(err) != KindTooLarge {
		t.Errorf("a long key: %v", err)
	}
}

func TestKeySet(t *testing.T) {
	for _, c := range []struct{ doc, key, want string }{
		{`{"a":1}`, "b", `{"a":1,"b":"new"}`},
		{`{"a":1}`, "a", `{"a":"new"}`},
		{``, "a.b", `{"a":{"b":"new"}}`},
		{`{}`, `a\.b.c.d`, `{"a.b":{"c":{"d":"new"}}}`},
		{`{"a":{"b":1,"c":{"x":1}}}`, "a.c.d", `{"a":{"b":1,"c":{"d":"new","x":1}}}`},
		{`{"a":[1,2]}`, "a.0", `{"a":["new",2]}`},
		{`{"a":[1,2]}`, "a.2", `{"a":[1,2,"new"]}`},
		{`{"a":[1]}`, "a.1.b", `{"a":[1,{"b":"new"}]}`},
		{`{"a":[{"b":1}]}`, "a.0.b", `{"a":[{"b":"new"}]}`},
		{`{"a":[[]]}`, "a.0.0", `{"a":[["new"]]}`},
		{`{"a":{"0":1}}`, "a.0", `{"a":{"0":"new"}}`},
		{`{}`, "a.0", `{"a":{"0":"new"}}`},
		{`{"a":null}`, "a", `{"a":"new"}`},
	} {
		var doc Document
		if c.doc != "" {
			doc = mustJSON(t, c.doc)
		}
		got, err := mustKey(t, c.key).Set(doc, "new")
		if err != nil || string(got.Canonical()) != c.want {
			t.Errorf("%s in %s: got %s, %v", c.key, c.doc, got.Canonical(), err)
		}
		if c.doc != "" && string(NewDocument(doc.Root()).Canonical()) != string(doc.Canonical()) {
			t.Errorf("%s in %s: the document was changed", c.key, c.doc)
		}
	}
	for _, c := range []struct{ doc, key, pointer, message string }{
		{`{"a":"x"}`, "a.b", "/a", "a is a string"},
		{`{"a":{"b/c":5}}`, "a.b/c.d.e", "/a/b~1c", "a.b/c is a number"},
		{`{"a.b":true}`, `a\.b.c`, "/a.b", `a\.b is a boolean`},
		{`{"a":null}`, "a.b", "/a", "a removal mark (null)"},
		{`{"a":[1]}`, "a.2", "/a", `a has 1 elements, and "2" is no index`},
		{`{"a":[1]}`, "a.01", "/a", "no index"},
		{`{"a":[1]}`, "a.-", "/a", "no index"},
		{`{"a":[1]}`, "a.name", "/a", "no index"},
		{`{"a":[1]}`, "a.0.b", "/a/0", "a.0 is a number"},
	} {
		_, err := mustKey(t, c.key).Set(mustJSON(t, c.doc), "new")
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindBadRequest || e.Pointer != c.pointer || !strings.Contains(e.Message, c.message) || e.Next == "" {
			t.Errorf("%s in %s: got %+v", c.key, c.doc, err)
		}
	}
}

func TestKeySetLeavesSpareRoomAlone(t *testing.T) {
	array := append(make([]any, 0, 8), 1.0, 2.0)
	doc := NewDocument(map[string]any{"a": array})
	for _, key := range []string{"a.0", "a.2"} {
		if _, err := mustKey(t, key).Set(doc, "new"); err != nil || array[0] != 1.0 || array[:3][2] != nil {
			t.Errorf("%s: the document's array is %v, %v", key, array[:3], err)
		}
	}
}

func TestKeyUnset(t *testing.T) {
	for _, c := range []struct {
		doc, key, want string
		found          bool
	}{
		{`{"a":1,"b":2}`, "a", `{"b":2}`, true},
		{`{"a":{"b":1}}`, "a.b", `{"a":{}}`, true},
		{`{"a":null}`, "a", `{}`, true},
		{`{"a":[1,2,3]}`, "a.1", `{"a":[1,3]}`, true},
		{`{"a":[{"b":1,"c":2}]}`, "a.0.b", `{"a":[{"c":2}]}`, true},
		{`{"a":1}`, "b", `{"a":1}`, false},
		{`{"a":1}`, "b.c", `{"a":1}`, false},
		{`{"a":{"b":1}}`, "a.c", `{"a":{"b":1}}`, false},
		{`{"a":[1]}`, "a.1", `{"a":[1]}`, false},
		{`{"a":[1]}`, "a.1.x", `{"a":[1]}`, false},
	} {
		doc := mustJSON(t, c.doc)
		got, found, err := mustKey(t, c.key).Unset(doc)
		if err != nil || found != c.found || string(got.Canonical()) != c.want {
			t.Errorf("%s in %s: got %s, %v, %v", c.key, c.doc, got.Canonical(), found, err)
		}
		if string(NewDocument(doc.Root()).Canonical()) != c.doc {
			t.Errorf("%s in %s: the document was changed", c.key, c.doc)
		}
	}
	if got, found, err := mustKey(t, "a").Unset(Document{}); got.Exists() || found || err != nil {
		t.Errorf("in nothing: got %s, %v, %v", got.Canonical(), found, err)
	}
	for key, message := range map[string]string{"a.x": "no index", "a.0.b": "a.0 is a number", "b.c.d": "b.c is a string"} {
		_, found, err := mustKey(t, key).Unset(mustJSON(t, `{"a":[1],"b":{"c":"x"}}`))
		if KindOf(err) != KindBadRequest || found || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: got %v, %v", key, found, err)
		}
	}
}

func TestParseValue(t *testing.T) {
	for text, want := range map[string]any{
		"": "", "x": "x", "1": 1.0, "1.50": 1.5, "-0": 0.0, "true": true, "null": nil, "True": "True", `"1"`: "1", `"a`: `"a`, "[1, 2": "[1, 2", "[1,2]": []any{1.0, 2.0}, `{"a":{}}`: map[string]any{"a": map[string]any{}},
		"{}": map[string]any{}, " x ": " x ", " 1 ": 1.0, "1e": "1e", "01": "01", "1_000": "1_000", "é": "é", "2023-06-01": "2023-06-01", "${secret:a#b}": "${secret:a#b}", "NaN": "NaN", "a\nb": "a\nb",
	} {
		got, err := ParseValue(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got)\n%s", text, err, diff)
		}
	}
	for text, advice := range map[string]string{
		"9007199254740993": "as a string", "1e400": "as a string", `{"a":[0.1000000000000000055511151231257827]}`: "as a string",
		`{"a":1,"a":2}`: "JSON quotes", `"\ud800"`: "JSON quotes", strings.Repeat("[", 65) + strings.Repeat("]", 65): "JSON quotes",
		"a\xff": "", "\uFFFF": "",
	} {
		_, err := ParseValue(text)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindBadRequest || !strings.Contains(e.Next, advice) {
			t.Errorf("%.40q: got %+v", text, err)
		}
	}
	long := strings.Repeat("x", 2*MaxDocumentBytes)
	if got, err := ParseValue(long); got != long || err != nil {
		t.Errorf("a long text: %v", err)
	}
}
