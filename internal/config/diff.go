package config

import (
	"bytes"
	"maps"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// DiffOp says how two documents differ at a place.
type DiffOp string

// The ways to differ.
const (
	DiffAdd     DiffOp = "add"
	DiffRemove  DiffOp = "remove"
	DiffReplace DiffOp = "replace"
)

// Difference is one place at which two documents differ. From is what the
// first says, To what the second; for add and remove the other has no meaning.
type Difference struct {
	Op      DiffOp
	Pointer string
	From    any
	To      any
}

// maxListedBytes bounds the pointers of a list of differences or leaves: those
// of many short values below a long name have many times the bytes of a document.
const maxListedBytes = 16 << 20

// Diff lists what turns one document into the other, in the order of their text.
// An absent document differs from {}, and documents with too many differences
// to list differ as a whole: the one difference then has the root's pointer.
func Diff(from, to Document) []Difference {
	switch {
	case !from.Exists() && !to.Exists():
		return nil
	case !from.Exists():
		return []Difference{{Op: DiffAdd, To: to.root}}
	case !to.Exists():
		return []Difference{{Op: DiffRemove, From: from.root}}
	case bytes.Equal(from.canonical, to.canonical):
		return nil
	}
	var d differ
	d.objects(from.root, to.root)
	if d.bytes > maxListedBytes {
		return []Difference{{Op: DiffReplace, From: from.root, To: to.root}}
	}
	return d.found
}

type differ struct {
	names []string // on the way to the values at hand
	found []Difference
	bytes int // of the pointers of found
}

func (d *differ) objects(from, to map[string]any) {
	names := slices.Collect(maps.Keys(from))
	for name := range to {
		if _, both := from[name]; !both {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, canon.CompareKeys)
	for _, name := range names {
		before, inFrom := from[name]
		after, inTo := to[name]
		d.child(name, before, after, inFrom, inTo)
	}
}

// arrays compares element by element; what one array has more is added or
// removed at its end.
func (d *differ) arrays(from, to []any) {
	for i := range max(len(from), len(to)) {
		var before, after any
		inFrom, inTo := i < len(from), i < len(to)
		if inFrom {
			before = from[i]
		}
		if inTo {
			after = to[i]
		}
		d.child(itoa(i), before, after, inFrom, inTo)
	}
}

// child compares a member or element that is in one of the two or both.
func (d *differ) child(name string, from, to any, inFrom, inTo bool) {
	d.names = append(d.names, name)
	switch {
	case !inTo:
		d.add(DiffRemove, from, to)
	case !inFrom:
		d.add(DiffAdd, from, to)
	default:
		d.values(from, to)
	}
	d.names = d.names[:len(d.names)-1]
}

func (d *differ) values(from, to any) {
	switch before := from.(type) {
	case map[string]any:
		if after, ok := to.(map[string]any); ok {
			d.objects(before, after)
			return
		}
	case []any:
		if after, ok := to.([]any); ok {
			d.arrays(before, after)
			return
		}
	}
	if !Equal(from, to) {
		d.add(DiffReplace, from, to)
	}
}

func (d *differ) add(op DiffOp, from, to any) {
	if d.bytes > maxListedBytes {
		return
	}
	pointer := Pointer{d.names}.String()
	d.bytes += len(pointer)
	d.found = append(d.found, Difference{Op: op, Pointer: pointer, From: from, To: to})
}

// Equal says whether two values of documents are the same.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, Equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, Equal)
	}
	return a == b
}
