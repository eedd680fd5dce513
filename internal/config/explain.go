package config

import (
	"maps"
	"slices"
)

// Explanation says where every leaf of merged layers comes from. Layers are
// named by their index in the list that was explained.
type Explanation struct {
	Leaves   []Leaf    // by pointer
	Removals []Removal // by pointer
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

// Removal is a place at which a layer takes away what layers below it say: by
// a removal mark, or by an object where they have something else.
type Removal struct {
	Pointer string
	Layer   int
	Removes []Said // nearest first
}

// Explain takes the layers as Merge does, nearest first, and says of each leaf
// of the merge which layer it is from and what it shadows.
func Explain(layers []Document) Explanation {
	var said []Said
	for i, layer := range layers {
		if layer.Exists() {
			said = append(said, Said{Layer: i, Value: layer.root})
		}
	}
	var e Explanation
	if len(said) > 0 {
		e.object("", said)
	}
	return e
}

// place explains one place of the merge; said is what layers say there, nearest first.
func (e *Explanation) place(pointer string, said []Said) {
	nearest := said[0]
	switch value := nearest.Value.(type) {
	case nil:
		if len(said) > 1 {
			e.Removals = append(e.Removals, Removal{Pointer: pointer, Layer: nearest.Layer, Removes: said[1:]})
		}
	case map[string]any:
		e.object(pointer, said)
	default:
		e.Leaves = append(e.Leaves, Leaf{Pointer: pointer, Value: value, Layer: nearest.Layer, Shadows: said[1:]})
	}
}

// object explains a place at which the nearest layer has an object: the
// objects down to the first other thing merge, and that hides all below it.
func (e *Explanation) object(pointer string, said []Said) {
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
	if merging < len(said) {
		e.hidden(pointer, said, merging)
	}
	before := len(e.Leaves)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		e.place(pointer+"/"+escapeToken(name), names[name])
	}
	if len(e.Leaves) == before {
		e.Leaves = append(e.Leaves, Leaf{Pointer: pointer, Value: map[string]any{}, Layer: said[0].Layer})
	}
}

// hidden notes what lies below the objects that merge: taken away by a removal
// mark if one stops the merge, else by the lowest object itself.
func (e *Explanation) hidden(pointer string, said []Said, merging int) {
	by, removes := said[merging-1].Layer, said[merging:]
	if removes[0].Value == nil {
		by, removes = removes[0].Layer, removes[1:]
	}
	if len(removes) > 0 {
		e.Removals = append(e.Removals, Removal{Pointer: pointer, Layer: by, Removes: removes})
	}
}
