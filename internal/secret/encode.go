package secret

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Encode writes the fields for sealing: {"b":[names of bytes],"f":{name: value}}
// in RFC 8785 form, filled up with spaces to a multiple of 64 bytes. The caller
// clears it.
func (f Fields) Encode() []byte {
	size := len(`{"b":[],"f":{}}`) + paddingBytes
	for _, e := range f.list {
		size += e.field.encodedBytes() + 2*len(e.name) + len(`"":,"",`)
	}
	dst := f.appendNames(append(make([]byte, 0, size), `{"b":[`...)) // room for all, so that no part is left behind
	dst = append(dst, `],"f":{`...)
	for i, e := range f.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(canon.AppendString(dst, e.name), ':')
		dst = e.field.appendJSON(dst)
	}
	dst = append(dst, "}}"...)
	for len(dst)%paddingBytes != 0 {
		dst = append(dst, ' ')
	}
	return dst
}

// appendNames writes the names of the fields of bytes.
func (f Fields) appendNames(dst []byte) []byte {
	comma := false
	for _, e := range f.list {
		if e.field.kind != Bytes {
			continue
		}
		if comma {
			dst = append(dst, ',')
		}
		dst, comma = canon.AppendString(dst, e.name), true
	}
	return dst
}

// encodedBytes is the length that Encode writes, without what fills up.
func (f Fields) encodedBytes() int {
	text := f.Encode()
	defer clear(text)
	return len(trimSpace(text))
}

// errEncoding is what a text is refused with that Encode did not write. It says
// no more, because the text is a secret.
var errEncoding = errors.New("secret: the fields of a version cannot be read: Encode did not write them")

// DecodeFields reads what Encode wrote and clears it.
func DecodeFields(text []byte) (Fields, error) {
	defer clear(text)
	d := fieldsDecoder{text: trimSpace(text)}
	fields, ok := d.fields()
	if !ok {
		fields.Wipe()
		return Fields{}, errEncoding
	}
	return fields, nil
}

// fieldsDecoder reads the form that Encode writes and no other JSON. What it
// reads was sealed by ourselves, so it checks what memory safety and the order
// of names need, and not again what ParseFields did.
type fieldsDecoder struct {
	text  []byte
	bytes []string // names of the fields of bytes
}

func (d *fieldsDecoder) fields() (fields Fields, ok bool) {
	if !d.literal(`{"b":[`) || !d.names() || !d.literal(`],"f":{`) {
		return fields, false
	}
	for len(d.bytes) > 0 || !d.literal("}}") {
		if len(fields.list) > 0 && !d.literal(",") {
			return fields, false
		}
		e, ok := d.entry()
		if !ok {
			return fields, false
		}
		fields.list = append(fields.list, e)
		if n := len(fields.list); n > MaxFields || n > 1 && fields.list[n-2].name >= e.name {
			return fields, false
		}
	}
	return fields, len(d.text) == 0
}

func (d *fieldsDecoder) literal(want string) bool {
	if len(d.text) < len(want) || string(d.text[:len(want)]) != want {
		return false
	}
	d.text = d.text[len(want):]
	return true
}

// names reads the names of the fields of bytes.
func (d *fieldsDecoder) names() bool {
	for len(d.text) > 0 && d.text[0] != ']' {
		if len(d.bytes) > 0 && !d.literal(",") {
			return false
		}
		name, ok := d.name()
		if !ok || len(d.bytes) == MaxFields {
			return false
		}
		d.bytes = append(d.bytes, name)
	}
	return true
}

// name reads a name, which needs no escapes.
func (d *fieldsDecoder) name() (string, bool) {
	if !d.literal(`"`) {
		return "", false
	}
	for i, c := range d.text {
		if c == '"' {
			name := string(d.text[:i])
			d.text = d.text[i+1:]
			return name, CheckFieldName(name) == nil
		}
	}
	return "", false
}

func (d *fieldsDecoder) entry() (entry, bool) {
	name, ok := d.name()
	if !ok || !d.literal(":") || len(d.text) == 0 {
		return entry{}, false
	}
	if d.text[0] != '"' {
		end := jsonEnd(d.text)
		if !json.Valid(d.text[:end]) {
			return entry{}, false
		}
		value := NewValue(d.text[:end])
		d.text = d.text[end:]
		return entry{name, Field{JSON, value}}, true
	}
	value, end, reason := unquote(d.text)
	if reason != "" {
		return entry{}, false
	}
	d.text = d.text[end:]
	if len(d.bytes) == 0 || d.bytes[0] != name {
		return entry{name, Field{Text, value}}, true
	}
	d.bytes = d.bytes[1:]
	defer value.Wipe()
	decoded, ok := decodeBase64(value.Reveal())
	return entry{name, Field{Bytes, decoded}}, ok
}

// jsonEnd is where the number, literal, object or array at the start of text
// ends; 0 when it does not.
func jsonEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0
}

// unquote reads the JSON string at the start of text into a value and answers
// where it ends, or why it cannot be read.
func unquote(text []byte) (value Value, end int, reason string) {
	end = stringEnd(text)
	if end == 0 {
		return Value{}, 0, "the string does not end"
	}
	inner := text[1 : end-1]
	size, reason := measureString(inner)
	if reason != "" {
		return Value{}, 0, reason
	}
	value = makeValue(size, func(to []byte) { unescape(to, inner) })
	if reason := canon.CheckString(view(value.Reveal())); reason != "" {
		value.Wipe()
		return Value{}, 0, "a string holds " + reason
	}
	return value, end, ""
}

// stringEnd is behind the closing quote of the string at the start of text; 0
// when there is none.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// measureString is how many bytes the inner part of a JSON string stands for.
func measureString(inner []byte) (size int, reason string) {
	for len(inner) > 0 {
		if c := inner[0]; c != '\\' {
			if c < ' ' {
				return 0, "a string holds a control character; write it as an escape such as \\n"
			}
			size, inner = size+1, inner[1:]
			continue
		}
		r, length := escapeAt(inner)
		if length == 0 {
			return 0, "a string holds an escape that is none of JSON"
		}
		size, inner = size+utf8.RuneLen(r), inner[length:]
	}
	return size, ""
}

// unescape needs what measureString accepted, and as many bytes as it said.
func unescape(to, inner []byte) {
	to = to[:0]
	for len(inner) > 0 {
		if inner[0] != '\\' {
			to, inner = append(to, inner[0]), inner[1:]
			continue
		}
		r, length := escapeAt(inner)
		to, inner = utf8.AppendRune(to, r), inner[length:]
	}
}

// escapeAt reads the escape that text begins with; length is 0 when it is none,
// or one half of a surrogate pair.
func escapeAt(text []byte) (r rune, length int) {
	if len(text) < 2 {
		return 0, 0
	}
	if text[1] != 'u' {
		r = shortEscapes[text[1]]
		if r == 0 {
			return 0, 0
		}
		return r, 2
	}
	high, ok := hexUnit(text)
	switch {
	case !ok || high >= 0xDC00 && high < 0xE000:
		return 0, 0
	case high < 0xD800 || high >= 0xE000:
		return high, 6
	}
	low, ok := hexUnit(text[6:])
	if !ok || low < 0xDC00 || low >= 0xE000 {
		return 0, 0
	}
	return 0x10000 + (high-0xD800)<<10 + (low - 0xDC00), 12
}

// hexUnit reads \u and four digits.
func hexUnit(text []byte) (rune, bool) {
	var unit [2]byte
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	if _, err := hex.Decode(unit[:], text[2:6]); err != nil {
		return 0, false
	}
	return rune(unit[0])<<8 | rune(unit[1]), true
}

var shortEscapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}
