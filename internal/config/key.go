package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Key is a place in a document as people type it: names joined by dots, a.b.c.
// Within a name \. is a dot and \\ a backslash. Where the document has an
// array, a name is an index.
type Key struct{ names []string }

// ParseKey reads a key; the error is of KindBadRequest.
func ParseKey(text string) (Key, error) {
	var names []string
	var name strings.Builder
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || text[i] == '.':
			if name.Len() == 0 {
				return Key{}, keyError("a key has an empty name")
			}
			names = append(names, name.String())
			name.Reset()
		case text[i] == '\\':
			if i++; i == len(text) || text[i] != '.' && text[i] != '\\' {
				return Key{}, keyError("in a key a backslash is followed by a dot or a backslash")
			}
			name.WriteByte(text[i])
		default:
			name.WriteByte(text[i])
		}
	}
	if reason := canon.CheckString(text); reason != "" {
		return Key{}, keyError("a key holds " + reason)
	}
	if len(names) > MaxNesting {
		return Key{}, Errorf(KindTooLarge, "a key has too many names").Over(MaxNesting, int64(len(names)))
	}
	return Key{names}, nil
}

func keyError(message string) *Error {
	return Errorf(KindBadRequest, "%s", message).Hint(`write it like models.gpt-4o.rpm, with \. for a dot in a name`)
}

// String writes k the way ParseKey reads it.
func (k Key) String() string { return joinNames(k.names) }

func joinNames(names []string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = nameEscaper.Replace(name)
	}
	return strings.Join(escaped, ".")
}

var nameEscaper = strings.NewReplacer(`\`, `\\`, ".", `\.`)

// Set answers the document with value at k, which whoever stores it checks
// against Limits. Objects on the way are made where nothing is, the absent
// document counts as {}, and the index after an array's last element appends.
// The error is of KindBadRequest.
func (k Key) Set(doc Document, value any) (Document, error) {
	root, fault := k.set(doc.root, 0, value)
	if fault != nil {
		return Document{}, fault
	}
	return NewDocument(root.(map[string]any)), nil //nolint:forcetypeassert // set answers what it was given, an object
}

// set answers container with value at the names of k from the i-th on.
func (k Key) set(container any, i int, value any) (any, *Error) {
	switch container := container.(type) {
	case map[string]any:
		child, there := container[k.names[i]]
		child, fault := k.setChild(child, there, i, value)
		if fault != nil {
			return nil, fault
		}
		changed := make(map[string]any, len(container)+1)
		maps.Copy(changed, container)
		changed[k.names[i]] = child
		return changed, nil
	case []any:
		index, ok := arrayIndex(k.names[i])
		if !ok || index > len(container) {
			return nil, k.noIndex(i, len(container)).
				Hint("%d appends an element", len(container))
		}
		changed := append(slices.Clone(container), nil)
		child, fault := k.setChild(changed[index], index < len(container), i, value)
		if fault != nil {
			return nil, fault
		}
		changed[index] = child
		return changed[:max(index+1, len(container))], nil
	}
	return nil, k.nothingBelow(i, container)
}

// setChild answers what is to stand at the i-th name instead of child.
func (k Key) setChild(child any, there bool, i int, value any) (any, *Error) {
	if i+1 == len(k.names) {
		return value, nil
	}
	if !there {
		child = map[string]any{}
	}
	return k.set(child, i+1, value)
}

// Unset answers the document without what is at k, and whether anything was
// there. The error is of KindBadRequest.
func (k Key) Unset(doc Document) (Document, bool, error) {
	root, found, fault := k.unset(doc.root, 0)
	if fault != nil {
		return Document{}, false, fault
	}
	if !found {
		return doc, false, nil
	}
	return NewDocument(root.(map[string]any)), true, nil //nolint:forcetypeassert // unset answers what it was given, an object
}

func (k Key) unset(container any, i int) (changed any, found bool, fault *Error) {
	last := i+1 == len(k.names)
	switch container := container.(type) {
	case map[string]any:
		child, there := container[k.names[i]]
		if !there {
			return nil, false, nil
		}
		if !last {
			if child, found, fault = k.unset(child, i+1); fault != nil || !found {
				return nil, false, fault
			}
		}
		object := maps.Clone(container)
		if object[k.names[i]] = child; last {
			delete(object, k.names[i])
		}
		return object, true, nil
	case []any:
		index, ok := arrayIndex(k.names[i])
		if !ok {
			return nil, false, k.noIndex(i, len(container))
		}
		if index >= len(container) {
			return nil, false, nil
		}
		array := slices.Clone(container)
		if last {
			return slices.Delete(array, index, index+1), true, nil
		}
		array[index], found, fault = k.unset(array[index], i+1)
		return array, found, fault
	}
	return nil, false, k.nothingBelow(i, container)
}

// arrayIndex reads an index as RFC 6901 has it: digits without a leading zero.
func arrayIndex(text string) (int, bool) {
	index, err := strconv.Atoi(text)
	return index, err == nil && index >= 0 && strconv.Itoa(index) == text
}

func (k Key) noIndex(i, length int) *Error {
	return Errorf(KindBadRequest, "%s has %d elements, and %q is no index of one", joinNames(k.names[:i]), length, k.names[i]).
		At(Pointer{k.names[:i]}.String())
}

func (k Key) nothingBelow(i int, v any) *Error {
	place := joinNames(k.names[:i])
	what := kindOfValue(v)
	if v == nil {
		what = "a removal mark (null)"
	}
	return Errorf(KindBadRequest, "%s is %s: there can be nothing below it", place, what).
		At(Pointer{k.names[:i]}.String()).Hint("set %s itself, or unset it first", place)
}

// ParseValue reads a value as people type it: JSON if it is JSON, else text.
// JSON that I-JSON does not allow is an error of KindBadRequest and never taken
// for text without a word.
func ParseValue(text string) (any, error) {
	v, err := canon.Decode([]byte(text), canon.Limits{Bytes: max(len(text), 1), Depth: MaxNesting, Nodes: MaxValues})
	if err == nil {
		return v, nil
	}
	fault := faultOf(err)
	fault.Kind = KindBadRequest
	if json.Valid([]byte(text)) {
		if fault.Next == "" {
			return nil, fault.Hint("correct it, or put it in JSON quotes to have it as text")
		}
		return nil, fault
	}
	if reason := canon.CheckString(text); reason != "" {
		return nil, Errorf(KindBadRequest, "a value holds %s", reason)
	}
	return text, nil
}
