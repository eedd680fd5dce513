package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// MaxPatchOperations bounds a JSON Patch.
const MaxPatchOperations = 1000

// MergePatch applies a JSON merge patch (RFC 7396) to a layer: null removes the
// member from the layer, and the absent layer counts as {}. The error is of
// KindInvalidPatch or KindTooLarge.
func MergePatch(layer Document, patch []byte, limits Limits) (Document, error) {
	v, fault := decodePatch(patch, limits)
	if fault != nil {
		return Document{}, fault
	}
	members, ok := v.(map[string]any)
	if !ok {
		return Document{}, Errorf(KindInvalidPatch, "a merge patch is an object, and this is %s", kindOfValue(v)).
			Hint("send a JSON Patch as application/json-patch+json")
	}
	return limits.document(mergePatch(layer.root, members))
}

// mergePatch answers target, which stays as it is, with patch applied.
func mergePatch(target any, patch map[string]any) map[string]any {
	object, _ := target.(map[string]any)
	merged := make(map[string]any, len(object)+len(patch))
	maps.Copy(merged, object)
	for key, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(merged, key)
		case map[string]any:
			merged[key] = mergePatch(merged[key], v)
		default:
			merged[key] = v
		}
	}
	return merged
}

// JSONPatch applies a JSON Patch (RFC 6902) to a layer, all of it or nothing;
// the absent layer counts as {}. The error is of KindInvalidPatch or
// KindTooLarge and names the operation by its index.
func JSONPatch(layer Document, patch []byte, limits Limits) (Document, error) {
	v, fault := decodePatch(patch, limits)
	if fault != nil {
		return Document{}, fault
	}
	operations, ok := v.([]any)
	switch {
	case !ok:
		return Document{}, Errorf(KindInvalidPatch, "a JSON Patch is an array, and this is %s", kindOfValue(v)).
			Hint("send a merge patch as application/merge-patch+json")
	case len(operations) > MaxPatchOperations:
		return Document{}, Errorf(KindTooLarge, "a JSON Patch has too many operations").
			Over(MaxPatchOperations, int64(len(operations)))
	}
	p := patcher{root: clone(layer.root), limits: limits}
	for i, v := range operations {
		if fault := p.operation(v); fault != nil {
			fault.Message = fmt.Sprintf("operation %d%s: %s", i, p.name, fault.Message)
			if fault.Pointer == "" {
				fault.Pointer = "/" + strconv.Itoa(i)
			}
			return Document{}, fault
		}
	}
	root, ok := p.root.(map[string]any)
	if !ok {
		return Document{}, Errorf(KindInvalidPatch, "the patch would make the document %s", kindOfValue(p.root)).
			Hint("a document is an object")
	}
	return limits.document(root)
}

func decodePatch(patch []byte, limits Limits) (any, *Error) {
	v, fault := decodeJSON(patch, limits)
	if fault != nil && fault.Kind == KindInvalidDocument {
		fault.Kind = KindInvalidPatch
	}
	return v, fault
}

// clone copies what can be changed in place.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, child := range v {
			object[key] = clone(child)
		}
		return object
	case []any:
		array := make([]any, len(v))
		for i, child := range v {
			array[i] = clone(child)
		}
		return array
	}
	return v
}

// patcher applies operations in place to values that are its own.
type patcher struct {
	root   any
	limits Limits
	copied int    // bytes that copy operations have added
	name   string // of the operation at hand, for messages
}

func (p *patcher) operation(v any) *Error {
	p.name = ""
	members, ok := v.(map[string]any)
	if !ok {
		return patchError("an operation is an object, and this is %s", kindOfValue(v))
	}
	op, _ := members["op"].(string)
	if !slices.Contains([]string{"add", "remove", "replace", "move", "copy", "test"}, op) {
		return patchError("op is none of add, remove, replace, move, copy and test")
	}
	p.name = " (" + op + ")"
	path, fault := memberPointer(members, "path")
	if fault != nil {
		return fault
	}
	switch op {
	case "remove":
		fault = p.remove(path)
	case "move", "copy":
		fault = p.transfer(op, members, path)
	default:
		fault = p.withValue(op, members, path)
	}
	return fault
}

func (p *patcher) withValue(op string, members map[string]any, path Pointer) *Error {
	value, ok := members["value"]
	switch {
	case !ok:
		return patchError("value is missing")
	case op == "add":
		return p.add(path, value)
	case op == "replace":
		return p.replace(path, value)
	}
	found, ok := path.Lookup(p.root)
	if !ok {
		return nothingAt(path)
	}
	if !Equal(found, value) {
		return patchError("the value is not the expected one").At(path.String()).
			Hint("read the layer again and decide anew")
	}
	return nil
}

func (p *patcher) transfer(op string, members map[string]any, path Pointer) *Error {
	from, fault := memberPointer(members, "from")
	if fault != nil {
		return fault
	}
	value, ok := from.Lookup(p.root)
	if !ok {
		return nothingAt(from)
	}
	if op == "copy" {
		p.copied += len(canon.Append(nil, value))
		if limit := p.limits.bytes(); p.copied > limit {
			fault := patchError("the copies of the patch have too many bytes").Over(int64(limit), int64(p.copied))
			fault.Kind = KindTooLarge
			return fault
		}
		return p.add(path, clone(value))
	}
	source, target := from.String(), path.String()
	if source == target {
		return nil
	}
	if strings.HasPrefix(target, source+"/") {
		return patchError("a value cannot be moved into itself").At(target)
	}
	if fault := p.remove(from); fault != nil {
		return fault
	}
	return p.add(path, value)
}

func (p *patcher) add(path Pointer, value any) *Error {
	return p.edit(path, func(container any, token string) (any, bool) {
		switch container := container.(type) {
		case map[string]any:
			container[token] = value
			return container, true
		case []any:
			index, ok := arrayIndex(token)
			if token == "-" {
				index, ok = len(container), true
			}
			if !ok || index > len(container) {
				return nil, false
			}
			return slices.Insert(container, index, value), true
		}
		return nil, false
	}, value)
}

func (p *patcher) replace(path Pointer, value any) *Error {
	if _, found := path.Lookup(p.root); !found {
		return nothingAt(path)
	}
	return p.edit(path, func(container any, token string) (any, bool) {
		return withMember(container, token, value), true
	}, value)
}

func (p *patcher) remove(path Pointer) *Error {
	if len(path.tokens) == 0 {
		return patchError("the whole document cannot be removed by a patch").Hint("delete the layer instead")
	}
	if _, found := path.Lookup(p.root); !found {
		return nothingAt(path)
	}
	return p.edit(path, func(container any, token string) (any, bool) {
		if array, ok := container.([]any); ok {
			index, _ := arrayIndex(token)
			return slices.Delete(array, index, index+1), true
		}
		delete(container.(map[string]any), token) //nolint:forcetypeassert // path was found, so it is a container
		return container, true
	}, nil)
}

// edit replaces the container of path's last token by what change makes of it,
// or the root by whole where path has no token.
func (p *patcher) edit(path Pointer, change func(container any, token string) (any, bool), whole any) *Error {
	if len(path.tokens) == 0 {
		p.root = whole
		return nil
	}
	last := len(path.tokens) - 1
	parent := Pointer{path.tokens[:last]}
	container, found := parent.Lookup(p.root)
	if !found {
		return nothingAt(parent)
	}
	changed, ok := change(container, path.tokens[last])
	if !ok {
		return patchError("nothing can be added here").At(path.String())
	}
	if last == 0 {
		p.root = changed
		return nil
	}
	grandparent, _ := Pointer{path.tokens[:last-1]}.Lookup(p.root)
	withMember(grandparent, path.tokens[last-1], changed)
	return nil
}

// withMember puts value where container has a member or element already.
func withMember(container any, token string, value any) any {
	switch container := container.(type) {
	case map[string]any:
		container[token] = value
	case []any:
		index, _ := arrayIndex(token)
		container[index] = value
	}
	return container
}

func memberPointer(members map[string]any, name string) (Pointer, *Error) {
	text, ok := members[name].(string)
	if !ok {
		return Pointer{}, patchError("%s is not a string", name)
	}
	pointer, err := ParsePointer(text)
	if err != nil {
		return Pointer{}, patchError("%s is not a JSON pointer", name)
	}
	return pointer, nil
}

func nothingAt(path Pointer) *Error {
	return patchError("there is nothing at this pointer").At(path.String()).
		Hint("read the layer to see what it has; what it inherits is not in it")
}

func patchError(format string, args ...any) *Error {
	return Errorf(KindInvalidPatch, format, args...)
}
