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

// Diff lists what turns one document into the other, by pointer. An absent
// document differs from {}: the difference then has the pointer of the root.
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
	return diffObjects(nil, "", from.root, to.root)
}

func diffObjects(found []Difference, pointer string, from, to map[string]any) []Difference {
	names := slices.Collect(maps.Keys(from))
	for name := range to {
		if _, both := from[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		place := pointer + "/" + escapeToken(name)
		before, inFrom := from[name]
		after, inTo := to[name]
		switch {
		case !inTo:
			found = append(found, Difference{Op: DiffRemove, Pointer: place, From: before})
		case !inFrom:
			found = append(found, Difference{Op: DiffAdd, Pointer: place, To: after})
		default:
			found = diffValues(found, place, before, after)
		}
	}
	return found
}

func diffValues(found []Difference, pointer string, from, to any) []Difference {
	switch before := from.(type) {
	case map[string]any:
		if after, ok := to.(map[string]any); ok {
			return diffObjects(found, pointer, before, after)
		}
	case []any:
		if after, ok := to.([]any); ok {
			return diffArrays(found, pointer, before, after)
		}
	}
	if Equal(from, to) {
		return found
	}
	return append(found, Difference{Op: DiffReplace, Pointer: pointer, From: from, To: to})
}

// diffArrays compares element by element; what one array has more is added or
// removed at its end.
func diffArrays(found []Difference, pointer string, from, to []any) []Difference {
	common := min(len(from), len(to))
	for i := range common {
		found = diffValues(found, pointer+"/"+itoa(i), from[i], to[i])
	}
	for i := common; i < len(from); i++ {
		found = append(found, Difference{Op: DiffRemove, Pointer: pointer + "/" + itoa(i), From: from[i]})
	}
	for i := common; i < len(to); i++ {
		found = append(found, Difference{Op: DiffAdd, Pointer: pointer + "/" + itoa(i), To: to[i]})
	}
	return found
}

// Equal says whether two values of documents are the same.
func Equal(a, b any) bool {
	switch a.(type) {
	case map[string]any, []any:
		return bytes.Equal(canon.Append(nil, a), canon.Append(nil, b))
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}
