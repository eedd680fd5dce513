package config

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// encodeYAML writes v in block style. It is written by hand because no library
// promises what is needed here: the same bytes always, and strings that every
// reader, also one of YAML 1.1, takes for strings.
func encodeYAML(v any) []byte {
	var w yamlWriter
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			w.mapping(v, 0, false)
			return w.dst
		}
	case []any:
		if len(v) > 0 {
			w.sequence(v, 0, false)
			return w.dst
		}
	}
	w.scalar(v, 0)
	return append(w.dst, '\n')
}

type yamlWriter struct{ dst []byte }

// mapping writes members in lines of their own, the first one behind what
// stands in the line already if it is inline.
func (w *yamlWriter) mapping(object map[string]any, indent int, inline bool) {
	for i, key := range canon.SortedKeys(object) {
		if i > 0 || !inline {
			w.dst = appendIndent(w.dst, indent)
		}
		w.key(key, indent)
		switch v := object[key].(type) {
		case map[string]any:
			if len(v) > 0 {
				w.dst = append(w.dst, '\n')
				w.mapping(v, indent+2, false)
				continue
			}
		case []any:
			if len(v) > 0 {
				w.dst = append(w.dst, '\n')
				w.sequence(v, indent+2, false)
				continue
			}
		}
		w.dst = append(w.dst, ' ')
		w.scalar(object[key], indent+2)
		w.dst = append(w.dst, '\n')
	}
}

// key writes a key and its colon. YAML finds a key by the colon behind it only
// within 1024 characters; a longer one is announced by a question mark.
func (w *yamlWriter) key(key string, indent int) {
	const maxPlainKey = 1000
	start := len(w.dst)
	w.text(key)
	if len(w.dst)-start > maxPlainKey {
		w.dst = slices.Insert(w.dst, start, '?', ' ')
		w.dst = appendIndent(append(w.dst, '\n'), indent)
	}
	w.dst = append(w.dst, ':')
}

func (w *yamlWriter) sequence(array []any, indent int, inline bool) {
	for i, item := range array {
		if i > 0 || !inline {
			w.dst = appendIndent(w.dst, indent)
		}
		w.dst = append(w.dst, "- "...)
		switch v := item.(type) {
		case map[string]any:
			if len(v) > 0 {
				w.mapping(v, indent+2, true)
				continue
			}
		case []any:
			if len(v) > 0 {
				w.sequence(v, indent+2, true)
				continue
			}
		}
		w.scalar(item, indent+2)
		w.dst = append(w.dst, '\n')
	}
}

// scalar writes what stands in one line, or in a literal block indented as given.
func (w *yamlWriter) scalar(v any, indent int) {
	switch v := v.(type) {
	case map[string]any:
		w.dst = append(w.dst, "{}"...)
	case []any:
		w.dst = append(w.dst, "[]"...)
	case float64:
		w.dst = appendMarkedFloat(w.dst, v)
	case string:
		if indent > 0 && isLiteral(v) {
			w.literal(v, indent)
		} else {
			w.text(v)
		}
	default:
		w.dst = canon.Append(w.dst, v)
	}
}

func (w *yamlWriter) text(text string) {
	if isPlainText(text) {
		w.dst = append(w.dst, text...)
	} else {
		w.dst = appendQuoted(w.dst, text)
	}
}

// literal writes text as a block without the line break after its last line.
func (w *yamlWriter) literal(text string, indent int) {
	body := strings.TrimRight(text, "\n")
	switch len(text) - len(body) {
	case 0:
		w.dst = append(w.dst, "|-"...)
	case 1:
		w.dst = append(w.dst, '|')
	default:
		w.dst = append(w.dst, "|+"...)
		body = text[:len(text)-1]
	}
	for line := range strings.SplitSeq(body, "\n") {
		w.dst = append(w.dst, '\n')
		if line != "" {
			w.dst = append(appendIndent(w.dst, indent), line...)
		}
	}
}

// isLiteral says that text has several lines and that a literal block keeps
// them as they are in every reader.
func isLiteral(text string) bool {
	if !strings.Contains(text, "\n") || strings.ContainsAny(text[:1], " \t\n") || !isShown(text) {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && strings.Trim(line, " \t") == "" {
			return false
		}
	}
	return true
}

// isPlainText says that text needs no quotes: it is one line that begins with a
// letter or one of _ / $, has no mark that means something to YAML, and is no
// word that a reader of any version takes for something other than text.
func isPlainText(text string) bool {
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case text == "" || !unicode.IsLetter(first) && !strings.ContainsRune("_/$", first):
		return false
	case strings.ContainsAny(text, "\n\t") || !isShown(text):
		return false
	case strings.Contains(text, ": ") || strings.Contains(text, " #"):
		return false
	case strings.HasSuffix(text, " ") || strings.HasSuffix(text, ":"):
		return false
	}
	return len(text) > len("infinity") || !slices.Contains(yamlWords, strings.ToLower(text))
}

// yamlWords are booleans, nulls and numbers of YAML 1.1 and 1.2.
var yamlWords = []string{
	"true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "null", "nil", "none", "nan", "inf", "infinity",
}
