package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestExplain(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		layers []string // nearest first; "" is absent
		want   Explanation
	}{
		"nothing": {[]string{"", ""}, Explanation{}},
		"an empty layer": {[]string{"", "{}"}, Explanation{Leaves: []Leaf{
			{Pointer: "", Value: m{}, Layer: 1},
		}}},
		"the nearest wins": {[]string{`{"a":1}`, "", `{"a":2,"b":[3]}`}, Explanation{Leaves: []Leaf{
			{Pointer: "/a", Value: 1.0, Layer: 0, Shadows: []Said{{2, 2.0}}},
			{Pointer: "/b", Value: []any{3.0}, Layer: 2},
		}}},
		"a removal": {[]string{`{"a":null}`, `{"a":1,"b":2}`}, Explanation{
			Leaves:   []Leaf{{Pointer: "/b", Value: 2.0, Layer: 1}},
			Removals: []Removal{{Pointer: "/a", Layer: 0, Removes: []Said{{1, 1.0}}}},
		}},
		"a removal of nothing": {[]string{`{"a":null,"b":{"c":null}}`, `{"a":null}`}, Explanation{Leaves: []Leaf{
			{Pointer: "/b", Value: m{}, Layer: 0},
		}}},
		"removed and set again": {[]string{`{"a":3}`, `{"a":null}`, `{"a":1}`}, Explanation{Leaves: []Leaf{
			{Pointer: "/a", Value: 3.0, Layer: 0, Shadows: []Said{{1, nil}, {2, 1.0}}},
		}}},
		"a scalar over an object": {[]string{`{"a":1}`, `{"a":{"b":2}}`}, Explanation{Leaves: []Leaf{
			{Pointer: "/a", Value: 1.0, Layer: 0, Shadows: []Said{{1, m{"b": 2.0}}}},
		}}},
		"an object over a scalar over an object": {[]string{`{"a":{"b":1}}`, `{"a":2}`, `{"a":{"b":3}}`}, Explanation{
			Leaves:   []Leaf{{Pointer: "/a/b", Value: 1.0, Layer: 0}},
			Removals: []Removal{{Pointer: "/a", Layer: 0, Removes: []Said{{1, 2.0}, {2, m{"b": 3.0}}}}},
		}},
		"objects over a scalar": {[]string{`{"a":{"b":1}}`, `{"a":{"c":2}}`, `{"a":[3]}`, `{"a":null}`}, Explanation{
			Leaves:   []Leaf{{Pointer: "/a/b", Value: 1.0, Layer: 0}, {Pointer: "/a/c", Value: 2.0, Layer: 1}},
			Removals: []Removal{{Pointer: "/a", Layer: 1, Removes: []Said{{2, []any{3.0}}, {3, nil}}}},
		}},
		"an object over a mark": {[]string{`{"a":{"b":1}}`, `{"a":null}`, `{"a":{"c":2}}`}, Explanation{
			Leaves:   []Leaf{{Pointer: "/a/b", Value: 1.0, Layer: 0}},
			Removals: []Removal{{Pointer: "/a", Layer: 1, Removes: []Said{{2, m{"c": 2.0}}}}},
		}},
		"the last member removed": {[]string{`{"a":{"b":null}}`, `{"a":{"b":1}}`}, Explanation{
			Leaves:   []Leaf{{Pointer: "/a", Value: m{}, Layer: 0, Shadows: []Said{{1, m{"b": 1.0}}}}},
			Removals: []Removal{{Pointer: "/a/b", Layer: 0, Removes: []Said{{1, 1.0}}}},
		}},
		"odd names, in the order of the text": {[]string{`{"😀":1,"ﬀ":2}`, `{"a/b":3,"a":{"~":4},"":5}`}, Explanation{Leaves: []Leaf{
			{Pointer: "/", Value: 5.0, Layer: 1},
			{Pointer: "/a/~0", Value: 4.0, Layer: 1},
			{Pointer: "/a~1b", Value: 3.0, Layer: 1},
			{Pointer: "/😀", Value: 1.0, Layer: 0},
			{Pointer: "/ﬀ", Value: 2.0, Layer: 0},
		}}},
	} {
		layers := make([]Document, len(c.layers))
		for i, text := range c.layers {
			if text != "" {
				layers[i] = mustJSON(t, text)
			}
		}
		if diff := cmp.Diff(c.want, Explain(layers), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestExplainAccountsForEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { explainsMerge(t, chains().Draw(t, "layers")) })
}

// Half a megabyte of name and as many bytes of small members have pointers of
// gigabytes.
func TestExplainIsBounded(t *testing.T) {
	var members []string
	for i := range 40_000 {
		members = append(members, fmt.Sprintf(`"%d":1`, i))
	}
	near := mustJSON(t, `{"a":null,"`+strings.Repeat("x", MaxDocumentBytes/2)+`":{`+strings.Join(members, ",")+`}}`)
	far := mustJSON(t, `{"a":1,"b":2}`)
	var got Explanation
	if weight := weigh(func() { got = Explain([]Document{near, {}, far}) }); weight > 200<<20 {
		t.Errorf("%d MiB were allocated", weight>>20)
	}
	if len(got.Leaves) != 1 || len(got.Removals) != 0 {
		t.Fatalf("there are %d leaves and %d removals", len(got.Leaves), len(got.Removals))
	}
	leaf := got.Leaves[0]
	sameDocument(t, "the leaf", Merge([]Document{near, far}), NewDocument(leaf.Value.(map[string]any)))
	if leaf.Pointer != "" || leaf.Layer != 0 || len(leaf.Shadows) != 1 || leaf.Shadows[0].Layer != 2 {
		t.Errorf("got layer %d at %q, over %d others", leaf.Layer, leaf.Pointer, len(leaf.Shadows))
	}
}

// explainsMerge checks an explanation against the merge and, place by place,
// against what the layers say.
func explainsMerge(t rapid.TB, layers []Document) {
	t.Helper()
	e := Explain(layers)
	if diff := cmp.Diff(leavesByPlace(layers), e.Leaves, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("leaves (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(removalsByPlace(layers), e.Removals, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("removals (-want +got)\n%s", diff)
	}
	for i, layer := range layers {
		for _, l := range lines("", layer.Root()) {
			if layer.Exists() && l.value != nil && !e.accountsFor(i, l) {
				t.Fatalf("layer %d says %v at %q, of which there is no word in\n%+v", i, l.value, l.pointer, e)
			}
		}
	}
}

// accountsFor says whether what a layer says is in the merge, or is said to be
// shadowed or removed there or further up.
func (e Explanation) accountsFor(layer int, l line) bool {
	within := func(pointer string) bool { return l.pointer == pointer || strings.HasPrefix(l.pointer, pointer+"/") }
	is := func(s Said) bool { return s.Layer == layer }
	if _, ok := l.value.(map[string]any); ok {
		return true // what is in it counts, and an empty one may merge with others
	}
	for _, leaf := range e.Leaves {
		if leaf.Layer == layer && leaf.Pointer == l.pointer && Equal(leaf.Value, l.value) || within(leaf.Pointer) && slices.ContainsFunc(leaf.Shadows, is) {
			return true
		}
	}
	return slices.ContainsFunc(e.Removals, func(r Removal) bool { return within(r.Pointer) && slices.ContainsFunc(r.Removes, is) })
}

// saidAt is what layers say at a place, down to one that has something else
// than an object on the way there.
func saidAt(layers []Document, place Pointer) []Said {
	var said []Said
next:
	for i, layer := range layers {
		if !layer.Exists() {
			continue
		}
		var value any = layer.Root()
		for _, name := range place.Tokens() {
			object, isObject := value.(map[string]any)
			if !isObject {
				return said
			}
			var says bool
			if value, says = object[name]; !says {
				continue next
			}
		}
		said = append(said, Said{i, value})
	}
	return said
}

// places are all places of which layers say anything, in the order of a text.
func places(layers []Document) []Pointer {
	all := table{}
	for _, layer := range layers {
		if layer.Exists() {
			for _, l := range lines("", layer.Root()) {
				all[l.pointer] = true
			}
		}
	}
	var pointers []Pointer
	for text := range all {
		p, err := ParsePointer(text)
		if err != nil {
			panic(err)
		}
		pointers = append(pointers, p)
	}
	slices.SortFunc(pointers, func(a, b Pointer) int { return slices.CompareFunc(a.tokens, b.tokens, compareUTF16) })
	return pointers
}

func leavesByPlace(layers []Document) []Leaf {
	var leaves []Leaf
	merged := Merge(layers)
	for _, place := range places(layers) {
		value, found := place.Lookup(merged.Root())
		if object, ok := value.(map[string]any); !found || ok && len(object) > 0 {
			continue
		}
		said := saidAt(layers, place)
		leaves = append(leaves, Leaf{Pointer: place.String(), Value: value, Layer: said[0].Layer, Shadows: said[1:]})
	}
	return leaves
}

func removalsByPlace(layers []Document) []Removal {
	isObject := func(s Said) bool { return fmt.Sprintf("%T", s.Value) == "map[string]interface {}" }
	isValue := func(s Said) bool { return s.Value != nil }
	var removals []Removal
	for _, place := range places(layers) {
		said := saidAt(layers, place)
		objects := slices.IndexFunc(said, func(s Said) bool { return !isObject(s) })
		remover := objects - 1
		if objects < 0 || objects == 0 && isValue(said[0]) {
			continue // all merge, or the nearest is a leaf
		}
		if !isValue(said[objects]) {
			remover = objects
		}
		if removes := said[remover+1:]; slices.ContainsFunc(removes, isValue) {
			removals = append(removals, Removal{Pointer: place.String(), Layer: said[remover].Layer, Removes: removes})
		}
	}
	return removals
}

// compareUTF16 orders names as RFC 8785 does.
func compareUTF16(a, b string) int {
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}
