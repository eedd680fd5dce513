package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustPointer(t testing.TB, text string) Pointer {
	t.Helper()
	p, err := ParsePointer(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The document and pointers of RFC 6901, section 5, and what is beside them.
func TestPointerLookup(t *testing.T) {
	root := mustJSON(t, `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"x":{"0":"zero","~1":9},"null":null}`).Root()
	for text, want := range map[string]any{
		"": root, "/foo": []any{"bar", "baz"}, "/foo/0": "bar", "/foo/1": "baz", "/": 0.0, "/a~1b": 1.0, "/c%d": 2.0, "/e^f": 3.0, "/g|h": 4.0, `/i\j`: 5.0, `/k"l`: 6.0,
		"/ ": 7.0, "/m~0n": 8.0, "/x/0": "zero", "/x/~01": 9.0, "/null": nil,
	} {
		got, found := mustPointer(t, text).Lookup(root)
		if diff := cmp.Diff(want, got); diff != "" || !found {
			t.Errorf("%q: %v (-want +got)\n%s", text, found, diff)
		}
	}
	for _, text := range []string{"/nothing", "/foo/2", "/foo/-", "/foo/-1", "/foo/00", "/foo/01", "/foo/+1", "/foo/1e0", "/foo/", "/foo/18446744073709551616", "/foo/0/x", "//", "/null/x"} {
		if v, found := mustPointer(t, text).Lookup(root); found || v != nil {
			t.Errorf("%q: found %v", text, v)
		}
	}
}

func TestPointerParsesWhatItPrints(t *testing.T) {
	for text, tokens := range map[string][]string{
		"": nil, "/": {""}, "//": {"", ""}, "/a/b": {"a", "b"}, "/a~1b~0c": {"a/b~c"}, "/~01": {"~1"}, "/~0~1": {"~/"}, "/é/0": {"é", "0"},
	} {
		p := mustPointer(t, text)
		if diff := cmp.Diff(tokens, p.Tokens()); diff != "" || p.String() != text {
			t.Errorf("%q became %q (-want +got)\n%s", text, p, diff)
		}
	}
	for _, text := range []string{"a", "a/b", "#/a", "/~", "/a~", "/~2", "/~0~", "/a/~x/b", "~0"} {
		if p, err := ParsePointer(text); KindOf(err) != KindBadRequest {
			t.Errorf("%q: got %q, %v", text, p, err)
		}
	}
}

func TestPointerAppendLeavesItsReceiver(t *testing.T) {
	base := mustPointer(t, "/a/b").Append("c")
	x, y := base.Append("x/y"), base.Append("y~")
	if base.String() != "/a/b/c" || x.String() != "/a/b/c/x~1y" || y.String() != "/a/b/c/y~0" {
		t.Errorf("got %s, %s and %s", base, x, y)
	}
}
