package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// encodeTOML writes an object as tables, arrays of objects as arrays of tables,
// and what is within other arrays inline.
func encodeTOML(v any) ([]byte, *Error) {
	root, ok := v.(map[string]any)
	if !ok {
		return nil, Errorf(KindNotAcceptable, "TOML can only write an object, and this is %s", kindOfValue(v)).
			Hint("ask for json or yaml")
	}
	var w tomlWriter
	if fault := w.table(nil, root); fault != nil {
		return nil, fault
	}
	return w.dst, nil
}

type tomlWriter struct{ dst []byte }

// table writes the members of an object: first those that fit in a line, then
// those that are tables, under headers with the names on the way there.
func (w *tomlWriter) table(names []string, object map[string]any) *Error {
	keys := canon.SortedKeys(object)
	if _, there := object[""]; there {
		return emptyTOMLKey()
	}
	for _, key := range keys {
		if isTable(object[key]) {
			continue
		}
		w.dst = append(appendTOMLKey(w.dst, key), " = "...)
		if fault := w.inline(object[key]); fault != nil {
			return fault.below(key)
		}
		w.dst = append(w.dst, '\n')
	}
	for _, key := range keys {
		if !isTable(object[key]) {
			continue
		}
		if fault := w.tables(append(slices.Clip(names), key), object[key]); fault != nil {
			return fault.below(key)
		}
	}
	return nil
}

// tables writes a table or an array of tables with its headers.
func (w *tomlWriter) tables(names []string, v any) *Error {
	if object, ok := v.(map[string]any); ok {
		w.header("[", names, "]")
		return w.table(names, object)
	}
	for i, item := range v.([]any) { //nolint:forcetypeassert // isTable said so
		w.header("[[", names, "]]")
		if fault := w.table(names, item.(map[string]any)); fault != nil { //nolint:forcetypeassert // isTable said so
			return fault.below(strconv.Itoa(i))
		}
	}
	return nil
}

func (w *tomlWriter) header(opening string, names []string, closing string) {
	if len(w.dst) > 0 {
		w.dst = append(w.dst, '\n')
	}
	w.dst = append(w.dst, opening...)
	for i, name := range names {
		if i > 0 {
			w.dst = append(w.dst, '.')
		}
		w.dst = appendTOMLKey(w.dst, name)
	}
	w.dst = append(append(w.dst, closing...), '\n')
}

// isTable says that v is written under headers: an object, or an array of
// objects and nothing else.
func isTable(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return true
	case []any:
		return len(v) > 0 && !slices.ContainsFunc(v, func(item any) bool {
			_, ok := item.(map[string]any)
			return !ok
		})
	}
	return false
}

func (w *tomlWriter) inline(v any) *Error {
	switch v := v.(type) {
	case nil:
		return Errorf(KindNotAcceptable, "a null, which TOML does not have").Hint("ask for json or yaml")
	case float64:
		w.dst = appendMarkedFloat(w.dst, v)
	case string:
		w.text(v)
	case []any:
		return w.array(v)
	case map[string]any:
		return w.inlineTable(v)
	default:
		w.dst = canon.Append(w.dst, v)
	}
	return nil
}

func (w *tomlWriter) array(array []any) *Error {
	w.dst = append(w.dst, '[')
	for i, item := range array {
		if i > 0 {
			w.dst = append(w.dst, ", "...)
		}
		if fault := w.inline(item); fault != nil {
			return fault.below(strconv.Itoa(i))
		}
	}
	w.dst = append(w.dst, ']')
	return nil
}

func (w *tomlWriter) inlineTable(object map[string]any) *Error {
	if len(object) == 0 {
		w.dst = append(w.dst, "{}"...)
		return nil
	}
	if _, there := object[""]; there {
		return emptyTOMLKey()
	}
	for i, key := range canon.SortedKeys(object) {
		w.dst = append(w.dst, "{,"[min(i, 1)], ' ')
		w.dst = append(appendTOMLKey(w.dst, key), " = "...)
		if fault := w.inline(object[key]); fault != nil {
			return fault.below(key)
		}
	}
	w.dst = append(w.dst, " }"...)
	return nil
}

// text writes a string, one of several lines as such if nothing in it is hidden.
func (w *tomlWriter) text(text string) {
	if !strings.Contains(text, "\n") || !isShown(text) {
		w.dst = appendQuoted(w.dst, text)
		return
	}
	w.dst = append(w.dst, "\"\"\"\n"...)
	body, quoteAtEnd := strings.CutSuffix(text, `"`)
	w.dst = append(w.dst, tomlEscaper.Replace(body)...)
	if quoteAtEnd {
		w.dst = append(w.dst, `\"`...)
	}
	w.dst = append(w.dst, "\"\"\""...)
}

// Three quotes in a row would end the text.
var tomlEscaper = strings.NewReplacer(`\`, `\\`, `"""`, `""\"`)

func appendTOMLKey(dst []byte, key string) []byte {
	for i := range len(key) {
		if c := key[i]; !isAlphanumeric(c) && c != '_' && c != '-' {
			return appendQuoted(dst, key)
		}
	}
	return append(dst, key...)
}

func emptyTOMLKey() *Error {
	return Errorf(KindNotAcceptable, reasonEmptyKey).Hint(hintEmptyKey).below("")
}
