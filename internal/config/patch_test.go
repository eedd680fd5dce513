package config

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// patched is a layer, a patch and the layer that comes of them; or, where want
// begins with !, the pointer and a part of the message of the refusal.
type patched struct{ layer, patch, want string }

func checkPatches(t *testing.T, apply func(Document, []byte, Limits) (Document, error), cases []patched) {
	t.Helper()
	for _, c := range cases {
		var layer Document
		if c.layer != "" {
			layer = mustJSON(t, c.layer)
		}
		got, err := apply(layer, []byte(c.patch), Limits{})
		if want, refused := strings.CutPrefix(c.want, "!"); refused {
			pointer, message, _ := strings.Cut(want, " ")
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindInvalidPatch || e.Pointer != pointer || !strings.Contains(e.Message, message) {
				t.Errorf("%s with %s: got %+v", c.layer, c.patch, err)
			}
		} else if err != nil || string(got.Canonical()) != c.want {
			t.Errorf("%s with %s: got %s, %v", c.layer, c.patch, got.Canonical(), err)
		}
		if c.layer != "" && string(NewDocument(layer.Root()).Canonical()) != string(layer.Canonical()) {
			t.Errorf("%s with %s: the layer was changed", c.layer, c.patch)
		}
	}
}

// The examples of RFC 7396, appendix A, whose target and patch are objects,
// and what is particular to layers.
func TestMergePatch(t *testing.T) {
	checkPatches(t, MergePatch, []patched{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{"a":"foo"}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":null}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{`{"a":null}`, `{"a":null}`, `{}`},
		{`{"a":1}`, `{"a":[null]}`, `{"a":[null]}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{``, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		{``, `{}`, `{}`},
		{`{"a":1}`, `["c"]`, `! an array`},
		{`{"a":1}`, `null`, `! this is null`},
		{`{"a":1}`, `"x"`, `! a string`},
		{`{"a":1}`, `{"b":{"a":1,"a":2}}`, `!/b/a twice`},
		{`{"a":1}`, `{"a":1e400}`, `!/a number`},
		{`{"a":1}`, `{"a"`, `! colon`},
		{`{"a":1}`, ``, `! text ends`},
	})
}

func TestJSONPatch(t *testing.T) {
	checkPatches(t, JSONPatch, []patched{
		// RFC 6902, appendix A
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{`{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{`{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{`{"baz":"qux","foo":"bar"}`, `[{"op":"replace","path":"/baz","value":"boo"}]`, `{"baz":"boo","foo":"bar"}`},
		{
			`{"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}}`, `[{"op":"move","from":"/foo/waldo","path":"/qux/thud"}]`,
			`{"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}}`,
		},
		{`{"foo":["all","grass","cows","eat"]}`, `[{"op":"move","from":"/foo/1","path":"/foo/3"}]`, `{"foo":["all","cows","eat","grass"]}`},
		{`{"baz":"qux","foo":["a",2,"c"]}`, `[{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}]`, `{"baz":"qux","foo":["a",2,"c"]}`},
		{`{"baz":"qux"}`, `[{"op":"test","path":"/baz","value":"bar"}]`, `!/baz operation 0 (test): the value is not`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/child","value":{"grandchild":{}}}]`, `{"child":{"grandchild":{}},"foo":"bar"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","xyz":123}]`, `{"baz":"qux","foo":"bar"}`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, `!/baz operation 0 (add): there is nothing`},
		{`{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux","op":"remove"}]`, `!/0/op twice`},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":10}]`, `{"/":9,"~1":10}`},
		{`{"/":9,"~1":10}`, `[{"op":"test","path":"/~01","value":"10"}]`, `!/~01 not the expected`},
		{`{"foo":["bar"]}`, `[{"op":"add","path":"/foo/-","value":["abc","def"]}]`, `{"foo":["bar",["abc","def"]]}`},

		// the whole document
		{`{"a":1}`, `[]`, `{"a":1}`},
		{``, `[{"op":"add","path":"/a","value":null}]`, `{"a":null}`},
		{`{"a":1}`, `[{"op":"add","path":"","value":{"b":2}}]`, `{"b":2}`},
		{`{"a":1}`, `[{"op":"replace","path":"","value":{}}]`, `{}`},
		{`{"a":1}`, `[{"op":"replace","path":"","value":[1]}]`, `! the document an array`},
		{`{"a":{"b":1}}`, `[{"op":"move","from":"/a","path":""}]`, `{"b":1}`},
		{`{"a":{"b":1}}`, `[{"op":"copy","from":"/a","path":""}]`, `{"b":1}`},
		{`{"a":1}`, `[{"op":"test","path":"","value":{"a":1}}]`, `{"a":1}`},
		{`{"a":1}`, `[{"op":"remove","path":""}]`, `!/0 cannot be removed`},

		// members and elements, deeper
		{`{"a":[[1,2],{"b":[3]}]}`, `[{"op":"add","path":"/a/0/0","value":0},{"op":"remove","path":"/a/1/b/0"},{"op":"replace","path":"/a/0/2","value":9}]`, `{"a":[[0,1,9],{"b":[]}]}`},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/1","value":2}]`, `{"a":[1,2]}`},
		{`{"a":{"b":1}}`, `[{"op":"add","path":"/a/b","value":2}]`, `{"a":{"b":2}}`},
		{`{"a":{"0":1}}`, `[{"op":"remove","path":"/a/0"}]`, `{"a":{}}`},
		{`{"a":1}`, `[{"op":"move","from":"/a","path":"/a"}]`, `{"a":1}`},
		{`{"a":1}`, `[{"op":"move","from":"/a","path":"/ab"}]`, `{"ab":1}`},
		{`{"a":{"x":1}}`, `[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/y","value":2}]`, `{"a":{"x":1},"b":{"x":1,"y":2}}`},
		{`{"a":{}}`, `[{"op":"copy","from":"","path":"/a/a"}]`, `{"a":{"a":{"a":{}}}}`},
		{`{"a":[{"b":null}]}`, `[{"op":"test","path":"/a","value":[{"b":null}]}]`, `{"a":[{"b":null}]}`},

		// refusals
		{`{"a":[1]}`, `[{"op":"add","path":"/a/2","value":2}]`, `!/a/2 operation 0 (add): nothing can be added`},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/01","value":2}]`, `!/a/01 nothing can be added`},
		{`{"a":[1]}`, `[{"op":"add","path":"/a/x","value":2}]`, `!/a/x nothing can be added`},
		{`{"a":1}`, `[{"op":"add","path":"/a/x","value":2}]`, `!/a/x nothing can be added`},
		{`{"a":[1]}`, `[{"op":"remove","path":"/a/-"}]`, `!/a/- there is nothing`},
		{`{"a":[1]}`, `[{"op":"remove","path":"/b"}]`, `!/b there is nothing`},
		{`{"a":[1]}`, `[{"op":"replace","path":"/a/1","value":1}]`, `!/a/1 there is nothing`},
		{`{"a":[1]}`, `[{"op":"test","path":"/b","value":null}]`, `!/b there is nothing`},
		{`{"a":{"b":{}}}`, `[{"op":"move","from":"/a","path":"/a/b/c"}]`, `!/a/b/c into itself`},
		{`{"a":{}}`, `[{"op":"move","from":"","path":"/a/b"}]`, `!/a/b into itself`},
		{`{"a":1}`, `[{"op":"move","from":"/b","path":"/c"}]`, `!/b there is nothing`},
		{`{"a":1}`, `[{"op":"copy","from":"/b","path":"/c"}]`, `!/b there is nothing`},
		{`{"a":1}`, `[{"op":"test","path":"/a","value":1},{"op":"remove","path":"/a"},{"op":"remove","path":"/a"}]`, `!/a operation 2 (remove)`},
		{`{"a":1}`, `{"a":1}`, `! an object`},
		{`{"a":1}`, `[1]`, `!/0 operation 0: an operation is an object`},
		{`{"a":1}`, `[{"path":"/a"}]`, `!/0 op is none of`},
		{`{"a":1}`, `[{"op":"Add","path":"/a","value":1}]`, `!/0 op is none of`},
		{`{"a":1}`, `[{"op":"add","value":1}]`, `!/0 path is not a string`},
		{`{"a":1}`, `[{"op":"add","path":"a","value":1}]`, `!/0 path is not a JSON pointer`},
		{`{"a":1}`, `[{"op":"add","path":"/a"}]`, `!/0 value is missing`},
		{`{"a":1}`, `[{"op":"move","path":"/a"}]`, `!/0 from is not a string`},
		{`{"a":1}`, `[{"op":"copy","path":"/a","from":1}]`, `!/0 from is not a string`},
		{`{"a":1}`, `[{"op":"add","path":"/a","value":9007199254740993}]`, `!/0/value number`},
		{`{"a":1}`, `[`, `!/0 text ends`},
	})
}

func TestPatchesAreBounded(t *testing.T) {
	layer := mustJSON(t, `{"a":{"b":"`+strings.Repeat("x", 100)+`"}}`)
	operations := func(n int, operation string) string {
		return "[" + strings.Repeat(operation+",", n-1) + operation + "]"
	}
	doubling := operations(1000, `{"op":"copy","from":"","path":"/a/c"}`)
	deep := strings.Repeat(`{"a":`, 60) + "1" + strings.Repeat("}", 60)
	for name, c := range map[string]struct {
		apply         func(Document, []byte, Limits) (Document, error)
		patch         string
		limit, actual int64
	}{
		"merge patch":       {MergePatch, `{"c":"` + strings.Repeat("x", 2000) + `"}`, 2000, 2008},
		"merge result":      {MergePatch, `{"c":"` + strings.Repeat("x", 1900) + `"}`, 2000, 0},
		"patch":             {JSONPatch, "[" + strings.Repeat(" ", 2000) + "]", 2000, 2002},
		"copies":            {JSONPatch, operations(20, `{"op":"copy","from":"/a/b","path":"/a/c"}`), 2000, 0},
		"copies, doubling":  {JSONPatch, doubling, 1 << 20, 0},
		"operations":        {JSONPatch, operations(1001, `{"op":"test","path":"/a","value":1}`), 1000, 1001},
		"depth":             {JSONPatch, `[{"op":"add","path":"/a/c","value":` + deep + `},{"op":"copy","from":"/a/c","path":"/a/c/a/a/a/a/a/a"}]`, MaxNesting, 0},
		"depth of merging":  {MergePatch, strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), MaxNesting, 65},
		"depth of the JSON": {JSONPatch, strings.Repeat(`[`, 65) + strings.Repeat("]", 65), MaxNesting, 65},
	} {
		limits := Limits{}
		if c.limit == 2000 {
			limits.Bytes = 2000
		}
		_, err := c.apply(layer, []byte(c.patch), limits)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTooLarge || e.Limit != c.limit || e.Actual <= e.Limit || c.actual != 0 && e.Actual != c.actual {
			t.Errorf("%s: got %+v", name, err)
		}
	}
	if _, err := JSONPatch(layer, []byte(operations(1000, `{"op":"test","path":"/x/y","value":1}`)), Limits{}); KindOf(err) != KindInvalidPatch {
		t.Errorf("1000 operations: %v", err)
	}
}

// What a merge patch makes of a layer, merging the two as layers makes as well,
// but for the marks that are left.
func TestMergePatchOfItselfChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layer := documents(TOML).Draw(t, "layer") // without nulls
		once, err := MergePatch(Document{}, layer.Canonical(), Limits{})
		if err != nil || once.Digest() != layer.Digest() {
			t.Fatalf("onto nothing: %s, %v", once.Canonical(), err)
		}
		other := documents(JSON).Draw(t, "other")
		first, err := MergePatch(other, layer.Canonical(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := MergePatch(first, layer.Canonical(), Limits{})
		if err != nil || second.Digest() != first.Digest() {
			t.Fatalf("%s became %s, %v", first.Canonical(), second.Canonical(), err)
		}
	})
}
