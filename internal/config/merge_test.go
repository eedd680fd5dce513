package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The reference implementation of merge writes a document as a flat table of
// what is at each pointer, an object as an empty one of its own, and changes
// the table line by line.
type table map[string]any

type line struct {
	pointer string
	value   any
}

// lines are what a layer says, each object before what is in it.
func lines(pointer string, value any) []line {
	object, ok := value.(map[string]any)
	if !ok {
		return []line{{pointer, value}}
	}
	all := []line{{pointer, map[string]any{}}}
	for name, member := range object {
		all = append(all, lines(pointer+"/"+escapeToken(name), member)...)
	}
	return all
}

func (t table) write(layer Document) {
	for _, l := range lines("", layer.Root()) {
		_, isObject := l.value.(map[string]any)
		_, wasObject := t[l.pointer].(map[string]any)
		if isObject && wasObject {
			continue
		}
		maps.DeleteFunc(t, func(pointer string, _ any) bool {
			return pointer == l.pointer || strings.HasPrefix(pointer, l.pointer+"/")
		})
		if l.value != nil {
			t[l.pointer] = l.value
		}
	}
}

// document makes a document of the table, the zero one of an empty table.
func (t table) document() Document {
	if len(t) == 0 {
		return Document{}
	}
	root := map[string]any{}
	for _, pointer := range slices.Sorted(maps.Keys(t)) { // an object before what is in it
		if pointer == "" {
			continue
		}
		value := t[pointer]
		if _, ok := value.(map[string]any); ok {
			value = map[string]any{}
		}
		p, err := ParsePointer(pointer)
		if err != nil {
			panic(err)
		}
		last := len(p.tokens) - 1
		parent, _ := Pointer{p.tokens[:last]}.Lookup(root)
		parent.(map[string]any)[p.tokens[last]] = value
	}
	return NewDocument(root)
}

// mergeByTable is Merge, the slow way.
func mergeByTable(layers []Document) Document {
	t := table{}
	for _, layer := range slices.Backward(layers) {
		if layer.Exists() {
			t.write(layer)
		}
	}
	return t.document()
}

// Names are few, so that layers meet, and odd, so that pointers are escaped.
var layerNames = rapid.SampledFrom([]string{"a", "b", "c", "a/b", "~", "~1", "", "😀", "ﬀ"})

// layerValues are what layers may say, with scalars of the caller's.
func layerValues(depth int, scalars *rapid.Generator[any]) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{scalars, rapid.Just[any](nil), rapid.Just[any](map[string]any{})}
	if depth > 0 {
		inner := layerValues(depth-1, scalars)
		objects := rapid.Map(rapid.MapOfN(layerNames, inner, 1, 4), func(m map[string]any) any { return m })
		kinds = append(kinds, objects, objects, objects, rapid.Map(rapid.SliceOfN(inner, 0, 3), func(a []any) any { return a }))
	}
	return rapid.OneOf(kinds...)
}

func layersOf(scalars *rapid.Generator[any]) *rapid.Generator[Document] {
	return rapid.Map(rapid.MapOfN(layerNames, layerValues(3, scalars), 0, 4), NewDocument)
}

var plainScalars = rapid.SampledFrom([]any{true, 1.0, 2.0, "x", "", "null"})

// chains are layers, nearest first; some are absent.
func chains() *rapid.Generator[[]Document] {
	layer := rapid.OneOf(layersOf(plainScalars), layersOf(plainScalars), layersOf(plainScalars),
		rapid.Just(Document{}), rapid.Just(NewDocument(map[string]any{})))
	return rapid.SliceOfN(layer, 0, 5)
}

func sameDocument(t rapid.TB, what string, want, got Document) {
	t.Helper()
	if want.Exists() != got.Exists() {
		t.Fatalf("%s: it exists: want %t, got %t", what, want.Exists(), got.Exists())
	}
	if diff := cmp.Diff(want.Root(), got.Root()); diff != "" {
		t.Fatalf("%s (-want +got)\n%s", what, diff)
	}
	if got.Exists() && string(got.Canonical()) != string(NewDocument(got.Root()).Canonical()) {
		t.Fatalf("%s: the text is not of the values:\n%s", what, got.Canonical())
	}
}

func TestMerge(t *testing.T) {
	const absent = ""
	for name, c := range map[string]struct {
		want   string
		layers []string // nearest first
	}{
		"no layers":                     {absent, nil},
		"absent layers":                 {absent, []string{absent, absent}},
		"an empty layer is a layer":     {`{}`, []string{absent, `{}`, absent}},
		"one layer":                     {`{"a":1}`, []string{`{"a":1}`}},
		"objects merge":                 {`{"a":{"b":1,"c":2}}`, []string{`{"a":{"b":1}}`, `{"a":{"c":2}}`}},
		"the nearest wins":              {`{"a":1}`, []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
		"arrays replace":                {`{"a":[1]}`, []string{`{"a":[1]}`, `{"a":[2,3]}`}},
		"null in arrays is a value":     {`{"a":[null,{"b":null}]}`, []string{`{"a":[null,{"b":null}]}`, `{"a":[1]}`}},
		"a mark removes":                {`{"b":2}`, []string{`{"a":null}`, `{"a":1,"b":2}`}},
		"a mark over nothing":           {`{}`, []string{`{"a":null}`}},
		"a mark in the middle":          {`{"a":{"b":1}}`, []string{`{"a":{"b":1}}`, `{"a":null}`, `{"a":{"c":2}}`}},
		"marks in a new object":         {`{"a":{"c":{}}}`, []string{`{"a":{"b":null,"c":{"d":null}}}`, `{}`}},
		"a mark removes an object":      {`{}`, []string{`{"a":null}`, `{"a":{"b":{"c":1}}}`}},
		"removed and set again":         {`{"a":3}`, []string{`{"a":3}`, `{"a":null}`, `{"a":1}`}},
		"a scalar over an object":       {`{"a":1}`, []string{`{"a":1}`, `{"a":{"b":1}}`}},
		"an object over a scalar":       {`{"a":{"b":1}}`, []string{`{"a":{"b":1}}`, `{"a":1}`, `{"a":{"c":1}}`}},
		"an object over an array":       {`{"a":{"0":1}}`, []string{`{"a":{"0":1}}`, `{"a":[2,3]}`}},
		"an empty object keeps":         {`{"a":{"b":1}}`, []string{`{"a":{}}`, `{"a":{"b":1}}`}},
		"an empty object over a scalar": {`{"a":{}}`, []string{`{"a":{}}`, `{"a":1}`}},
		"the last member removed":       {`{"a":{}}`, []string{`{"a":{"b":null}}`, `{"a":{"b":1}}`}},
	} {
		var layers []Document
		for _, text := range c.layers {
			var layer Document
			if text != absent {
				layer = mustJSON(t, text)
			}
			layers = append(layers, layer)
		}
		if got := Merge(layers); string(got.Canonical()) != c.want {
			t.Errorf("%s: want %s, got %s", name, c.want, got.Canonical())
		}
	}
}

func TestMergeIsWhatTheTableSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := chains().Draw(t, "layers")
		before := make([]string, len(layers))
		for i, layer := range layers {
			before[i] = fmt.Sprintf("%#v", layer.Root())
		}
		merged := Merge(layers)
		sameDocument(t, "merge", mergeByTable(layers), merged)
		if hasMarks(merged.Root()) {
			t.Fatalf("a removal mark is left in %s", merged.Canonical())
		}
		for i, layer := range layers {
			if after := fmt.Sprintf("%#v", layer.Root()); after != before[i] {
				t.Fatalf("layer %d became %s", i, after)
			}
		}
	})
}

func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := chains().Draw(t, "layers")
		merged := Merge(layers)

		split := rapid.IntRange(0, len(layers)).Draw(t, "split")
		below := Merge(layers[split:])
		sameDocument(t, "what lies below merged first", merged, Merge(append(slices.Clone(layers[:split]), below)))
		sameDocument(t, "merged again", merged, Merge([]Document{merged}))
		sameDocument(t, "over itself", merged, Merge([]Document{merged, merged}))
		if len(layers) > 0 {
			twice := append([]Document{layers[0]}, layers...)
			sameDocument(t, "the nearest layer twice", merged, Merge(twice))
			alone := []Document{{}, layers[0], {}}
			// An empty layer adds nothing and takes the general way.
			if empty := NewDocument(map[string]any{}); layers[0].Exists() {
				sameDocument(t, "alone", Merge([]Document{layers[0], empty}), Merge(alone))
				sameDocument(t, "below an empty one", Merge([]Document{empty, layers[0]}), Merge(alone))
			}
		}
	})
}

// The merge and its layers share values. Nothing that changes a document may
// show in another.
func TestEditsOfAMergeStayInIt(t *testing.T) {
	const near, far = `{"a":{"b":[1,{"c":2}]},"n":null}`, `{"a":{"d":{"e":3}},"f":{"g":[4]},"n":5}`
	layers := []Document{mustJSON(t, near), mustJSON(t, far)}
	for name, layers := range map[string][]Document{"two": layers, "one": layers[1:]} {
		merged := Merge(layers)
		want := string(merged.Canonical())
		for _, text := range []string{"a.d.e", "f.g.0", "f.g", "a", "f.x"} {
			key, err := ParseKey(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := key.Set(merged, "changed"); err != nil {
				t.Errorf("%s: set %s: %v", name, text, err)
			}
			if _, _, err := key.Unset(merged); err != nil {
				t.Errorf("%s: unset %s: %v", name, text, err)
			}
		}
		for _, patch := range []string{`[{"op":"add","path":"/f/g/0","value":9},{"op":"remove","path":"/a/d/e"}]`, `[{"op":"copy","from":"/f","path":"/a/f"},{"op":"add","path":"/a/f/g/-","value":1}]`} {
			if _, err := JSONPatch(merged, []byte(patch), Limits{}); err != nil {
				t.Errorf("%s: %s: %v", name, patch, err)
			}
		}
		if _, err := MergePatch(merged, []byte(`{"a":{"d":{"e":null,"x":1}},"f":null}`), Limits{}); err != nil {
			t.Errorf("%s: merge patch: %v", name, err)
		}
		sameDocument(t, name, mustJSON(t, want), NewDocument(merged.Root()))
	}
	sameDocument(t, "near", mustJSON(t, near), NewDocument(layers[0].Root()))
	sameDocument(t, "far", mustJSON(t, far), NewDocument(layers[1].Root()))
}

func FuzzMerge(f *testing.F) {
	f.Fuzz(func(t *testing.T, near, middle, far []byte) {
		var layers []Document
		for _, text := range [][]byte{near, middle, far} {
			layer, err := Decode(JSON, text, Limits{})
			if err != nil {
				layer = Document{}
			}
			layers = append(layers, layer)
		}
		merged := Merge(layers)
		sameDocument(t, "merge", mergeByTable(layers), merged)
		if hasMarks(merged.Root()) {
			t.Fatalf("a removal mark is left in %s", merged.Canonical())
		}
		for i, text := range [][]byte{near, middle, far} {
			if layers[i].Exists() {
				sameDocument(t, "a layer afterwards", mustJSON(t, string(text)), NewDocument(layers[i].Root()))
			}
		}
		explainsMerge(t, layers)
	})
}
