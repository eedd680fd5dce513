package config

import "slices"

// Merge lays layers over each other, the nearest first as Tree.Chain has them,
// and answers what an environment says in all: objects merge member by member,
// everything else replaces, and a null member is a removal mark, which takes
// away what lies below it and does not show itself. Inside arrays null is a
// value. Absent layers are passed over; when all are absent so is the result.
func Merge(layers []Document) Document {
	var merged map[string]any
	var same Document // the layer that the merge is equal to so far, if it is to one
	first := true
	for _, layer := range slices.Backward(layers) {
		switch {
		case !layer.Exists():
			continue
		case first && hasMarks(layer.root):
			merged = withoutMarks(layer.root)
		case first:
			merged, same = layer.root, layer
		case len(layer.root) > 0:
			merged, same = mergeObjects(merged, layer.root), Document{}
		}
		first = false
	}
	if first || same.Exists() {
		return same
	}
	return NewDocument(merged)
}

// mergeObjects lays upper over lower, which holds no marks, and changes neither.
func mergeObjects(lower, upper map[string]any) map[string]any {
	merged := make(map[string]any, max(len(lower), len(upper)))
	for name, value := range lower {
		merged[name] = value
	}
	for name, value := range upper {
		object, isObject := value.(map[string]any)
		below, overObject := merged[name].(map[string]any)
		switch {
		case value == nil:
			delete(merged, name)
		case isObject && overObject:
			merged[name] = mergeObjects(below, object)
		case isObject:
			merged[name] = withoutMarks(object)
		default:
			merged[name] = value
		}
	}
	return merged
}

// withoutMarks is the object without its removal marks: itself when it has none.
func withoutMarks(object map[string]any) map[string]any {
	if !hasMarks(object) {
		return object
	}
	clean := make(map[string]any, len(object))
	for name, value := range object {
		switch value := value.(type) {
		case nil:
		case map[string]any:
			clean[name] = withoutMarks(value)
		default:
			clean[name] = value
		}
	}
	return clean
}

func hasMarks(object map[string]any) bool {
	for _, value := range object {
		if value == nil {
			return true
		}
		if inner, ok := value.(map[string]any); ok && hasMarks(inner) {
			return true
		}
	}
	return false
}
