package config

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Encode writes a document for people to read. The same document always gives
// the same bytes, and Decode reads it back as it was. The error is of
// KindNotAcceptable, where a format lacks what the document holds.
func Encode(doc Document, format Format) ([]byte, error) {
	return EncodeValue(doc.root, format)
}

// EncodeValue writes any value of a document. TOML can only write an object.
func EncodeValue(v any, format Format) ([]byte, error) {
	switch format {
	case JSON:
		return append(appendJSON(nil, v, 0), '\n'), nil
	case YAML:
		return encodeYAML(v), nil
	case TOML:
		text, fault := encodeTOML(v)
		if fault != nil {
			return nil, fault
		}
		return text, nil
	}
	return nil, Errorf(KindNotAcceptable, "%q is not a format", format).Hint("use json, yaml or toml")
}

// appendJSON writes v indented by two spaces a level.
func appendJSON(dst []byte, v any, indent int) []byte {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return append(dst, "{}"...)
		}
		for i, key := range canon.SortedKeys(v) {
			dst = appendJSONLine(dst, "{,"[min(i, 1)], indent+2)
			dst = append(canon.AppendString(dst, key), ": "...)
			dst = appendJSON(dst, v[key], indent+2)
		}
		return append(appendIndent(append(dst, '\n'), indent), '}')
	case []any:
		if len(v) == 0 {
			return append(dst, "[]"...)
		}
		for i, item := range v {
			dst = appendJSONLine(dst, "[,"[min(i, 1)], indent+2)
			dst = appendJSON(dst, item, indent+2)
		}
		return append(appendIndent(append(dst, '\n'), indent), ']')
	}
	return canon.Append(dst, v)
}

func appendJSONLine(dst []byte, before byte, indent int) []byte {
	return appendIndent(append(dst, before, '\n'), indent)
}

func appendIndent(dst []byte, indent int) []byte {
	for range indent {
		dst = append(dst, ' ')
	}
	return dst
}

// appendQuoted writes text in double quotes so that YAML and TOML read it
// alike: JSON's escapes, and escapes for what only shows as nothing.
func appendQuoted(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	start := len(dst)
	dst = canon.AppendString(dst, text)
	if !strings.ContainsFunc(text, isInvisible) {
		return dst
	}
	quoted := string(dst[start:])
	dst = dst[:start]
	for _, r := range quoted {
		if isInvisible(r) {
			dst = append(dst, '\\', 'u', hex[r>>12], hex[r>>8&0xF], hex[r>>4&0xF], hex[r&0xF])
		} else {
			dst = append(dst, string(r)...)
		}
	}
	return dst
}

// isInvisible says that r is a control character that JSON leaves as it is, a
// separator that some readers take for a line break, or a byte order mark.
func isInvisible(r rune) bool {
	return r >= 0x7F && r <= 0x9F || r == 0x2028 || r == 0x2029 || r == 0xFEFF
}

// appendMarkedFloat writes a number so that a reader of YAML 1.1 or TOML does
// not take it for text or for an integer beyond 64 bits.
func appendMarkedFloat(dst []byte, f float64) []byte {
	const maxInteger = 1e18
	start := len(dst)
	dst = canon.AppendNumber(dst, f)
	written := dst[start:]
	if bytes.IndexByte(written, '.') >= 0 {
		return dst
	}
	if e := bytes.IndexByte(written, 'e'); e >= 0 {
		return slices.Insert(dst, start+e, '.', '0')
	}
	if f >= maxInteger || f <= -maxInteger {
		return append(dst, ".0"...)
	}
	return dst
}

// isShown says that every character of text is one that a reader sees, a
// space, a tab or a line break.
func isShown(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\t' && r != '\n'
	})
}
