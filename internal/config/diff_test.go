package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	const absent = ""
	type m = map[string]any
	for name, c := range map[string]struct {
		from, to string
		want     []Difference
	}{
		"nothing":                {absent, absent, nil},
		"the same":               {`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`, nil},
		"a new document":         {absent, `{}`, []Difference{{Op: DiffAdd, To: m{}}}},
		"a document gone":        {`{"a":1}`, absent, []Difference{{Op: DiffRemove, From: m{"a": 1.0}}}},
		"add, remove, replace":   {`{"a":1,"b":2,"d":{}}`, `{"b":"2","c":3,"d":{}}`, []Difference{{DiffRemove, "/a", 1.0, nil}, {DiffReplace, "/b", 2.0, "2"}, {DiffAdd, "/c", nil, 3.0}}},
		"deep":                   {`{"a":{"b":{"c":1},"d":2}}`, `{"a":{"b":{"c":3},"d":2}}`, []Difference{{DiffReplace, "/a/b/c", 1.0, 3.0}}},
		"null":                   {`{"a":null,"b":1}`, `{"b":null}`, []Difference{{DiffRemove, "/a", nil, nil}, {DiffReplace, "/b", 1.0, nil}}},
		"another kind":           {`{"a":{"b":1},"c":[1],"d":1}`, `{"a":[],"c":{},"d":true}`, []Difference{{DiffReplace, "/a", m{"b": 1.0}, []any{}}, {DiffReplace, "/c", []any{1.0}, m{}}, {DiffReplace, "/d", 1.0, true}}},
		"to an empty object":     {`{"a":1}`, `{"a":{}}`, []Difference{{DiffReplace, "/a", 1.0, m{}}}},
		"a longer array":         {`{"a":[1,{"b":2}]}`, `{"a":[1,{"b":3},4,5]}`, []Difference{{DiffReplace, "/a/1/b", 2.0, 3.0}, {DiffAdd, "/a/2", nil, 4.0}, {DiffAdd, "/a/3", nil, 5.0}}},
		"a shorter array":        {`{"a":[1,2,3]}`, `{"a":[0]}`, []Difference{{DiffReplace, "/a/0", 1.0, 0.0}, {DiffRemove, "/a/1", 2.0, nil}, {DiffRemove, "/a/2", 3.0, nil}}},
		"in order of the text":   {`{}`, `{"a!":1,"a":{},"😀":2,"ﬀ":3}`, []Difference{{DiffAdd, "/a", nil, m{}}, {DiffAdd, "/a!", nil, 1.0}, {DiffAdd, "/😀", nil, 2.0}, {DiffAdd, "/ﬀ", nil, 3.0}}},
		"names that need escape": {`{"a/b":{"~":1}}`, `{"a/b":{"~":2}}`, []Difference{{DiffReplace, "/a~1b/~0", 1.0, 2.0}}},
	} {
		var from, to Document
		if c.from != absent {
			from = mustJSON(t, c.from)
		}
		if c.to != absent {
			to = mustJSON(t, c.to)
		}
		if diff := cmp.Diff(c.want, Diff(from, to)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// apply makes the second document of the first and their differences. What goes
// from an array goes from its end.
func apply(t rapid.TB, from Document, differences []Difference) Document {
	t.Helper()
	p := patcher{root: clone(from.Root())}
	for _, d := range differences {
		pointer, err := ParsePointer(d.Pointer)
		if err != nil {
			t.Fatal(err)
		}
		before, there := pointer.Lookup(p.root)
		if there != (d.Op != DiffAdd) || there && !Equal(before, d.From) {
			t.Fatalf("%s at %q of %v, where there was %v", d.Op, d.Pointer, d.From, before)
		}
		var fault *Error
		switch d.Op {
		case DiffAdd:
			fault = p.add(pointer, clone(d.To))
		case DiffReplace:
			fault = p.replace(pointer, clone(d.To))
		}
		if fault != nil {
			t.Fatal(fault)
		}
	}
	for _, d := range slices.Backward(differences) {
		if pointer, _ := ParsePointer(d.Pointer); d.Op == DiffRemove {
			if fault := p.remove(pointer); fault != nil {
				t.Fatal(fault)
			}
		}
	}
	return NewDocument(p.root.(map[string]any))
}

func TestDifferencesTurnOneIntoTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := layersOf(plainScalars).Draw(t, "from")
		to := layersOf(plainScalars).Draw(t, "to")
		if rapid.Bool().Draw(t, "related") {
			to = Merge([]Document{to, from})
		}
		differences := Diff(from, to)
		sameDocument(t, "what the differences make", to, apply(t, from, differences))
		if again := Diff(to, NewDocument(clone(to.Root()).(map[string]any))); len(again) > 0 {
			t.Fatalf("it differs from itself: %v", again)
		}
		back := slices.Clone(differences)
		for i, d := range back {
			op := map[DiffOp]DiffOp{DiffAdd: DiffRemove, DiffRemove: DiffAdd, DiffReplace: DiffReplace}[d.Op]
			back[i] = Difference{Op: op, Pointer: d.Pointer, From: d.To, To: d.From}
		}
		if diff := cmp.Diff(back, Diff(to, from), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the other way round (-want +got)\n%s", diff)
		}
	})
}

// Half a megabyte of name and as many bytes of small values have pointers of
// gigabytes.
func TestDiffIsBounded(t *testing.T) {
	document := func(element string) Document {
		return mustJSON(t, `{"`+strings.Repeat("x", MaxDocumentBytes/2)+`":[`+strings.Repeat(element+",", MaxDocumentBytes/4-10)+element+`]}`)
	}
	from, to := document("1"), document("2")
	differences := Diff(from, to)
	if len(differences) != 1 || differences[0].Pointer != "" || differences[0].Op != DiffReplace {
		t.Fatalf("there are %d differences", len(differences))
	}
	if !Equal(differences[0].From, from.Root()) || !Equal(differences[0].To, to.Root()) {
		t.Error("the difference is not of the whole documents")
	}
}

func TestEqualIsOfTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := layerValues(2, plainScalars).Draw(t, "a")
		b := layerValues(2, plainScalars).Draw(t, "b")
		want := string(NewDocument(map[string]any{"v": a}).Canonical()) == string(NewDocument(map[string]any{"v": b}).Canonical())
		if Equal(a, b) != want || Equal(b, a) != want || !Equal(a, clone(a)) {
			t.Fatalf("equal: want %t", want)
		}
	})
}
