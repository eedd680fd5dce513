package config

import (
	"maps"
	"slices"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Explanation says where every leaf of merged layers comes from. Layers are
// named by their index in the list that was explained.
type Explanation struct {
	Leaves   []Leaf    // in the order of the document's text
	Removals []Removal // in the same order, and each before what stands below it
}

// Leaf is a value that is no object with members. Arrays are leaves, because
// layers replace them whole.
type Leaf struct {
	Pointer string
	Value   any
	Layer   int    // the layer that wins
	Shadows []Said // what other layers say at this place, nearest first
}

// Said is what one layer says at a place; nil is a removal mark.
type Said struct {
	Layer int
	Value any
}

// Removal is a place at which a layer takes away what layers below it say: by a
// removal mark that nothing is laid over, or by an object where they have
// something else.
type Removal struct {
	Pointer string
	Layer   int
	Removes []Said // nearest first
}

// Explain takes the layers as Merge does, nearest first, and says of each leaf
// of the merge which layer it is from and what it shadows. A document with too
// many leaves to list is one leaf.
func Explain(layers []Document) Explanation {
	var said []Said
	for i, layer := range layers {
		if layer.Exists() {
			said = append(said, Said{Layer: i, Value: layer.root})
		}
	}
	if len(said) == 0 {
		return Explanation{}
	}
	var e explainer
	e.object("", said)
	if e.bytes > maxListedBytes {
		e = explainer{}
		e.leaf("", Merge(layers).root, said)
	}
	return e.Explanation
}

type explainer struct {
	Explanation
	bytes int // of the pointers of all places so far
}

// place explains one place of the merge; said is what layers say there, nearest first.
func (e *explainer) place(parent, name string, said []Said) {
	if e.bytes += len(parent) + len(name); e.bytes > maxListedBytes {
		return
	}
	pointer := parent + "/" + escapeToken(name)
	switch nearest := said[0]; nearest.Value.(type) {
	case nil:
		e.removal(pointer, nearest.Layer, said[1:])
	case map[string]any:
		e.object(pointer, said)
	default:
		e.leaf(pointer, nearest.Value, said)
	}
}

// object explains a place at which the nearest layer has an object: the
// objects down to the first other thing merge, and that hides all below it.
func (e *explainer) object(pointer string, said []Said) {
	merging := 0
	names := map[string][]Said{}
	for ; merging < len(said); merging++ {
		object, ok := said[merging].Value.(map[string]any)
		if !ok {
			break
		}
		for name, value := range object {
			names[name] = append(names[name], Said{Layer: said[merging].Layer, Value: value})
		}
	}
	if hidden := said[merging:]; len(hidden) > 0 && hidden[0].Value == nil {
		e.removal(pointer, hidden[0].Layer, hidden[1:])
	} else {
		e.removal(pointer, said[merging-1].Layer, hidden)
	}
	leaves := len(e.Leaves)
	for _, name := range slices.SortedFunc(maps.Keys(names), canon.CompareKeys) {
		e.place(pointer, name, names[name])
	}
	if len(e.Leaves) == leaves {
		e.leaf(pointer, map[string]any{}, said)
	}
}

func (e *explainer) leaf(pointer string, value any, said []Said) {
	e.Leaves = append(e.Leaves, Leaf{Pointer: pointer, Value: value, Layer: said[0].Layer, Shadows: said[1:]})
}

// removal notes what a layer takes away, which removal marks alone are not.
func (e *explainer) removal(pointer string, layer int, removes []Said) {
	if slices.ContainsFunc(removes, func(s Said) bool { return s.Value != nil }) {
		e.Removals = append(e.Removals, Removal{Pointer: pointer, Layer: layer, Removes: removes})
	}
}
