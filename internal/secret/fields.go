package secret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of a secret.
const (
	MaxFields         = 64
	MaxFieldNameBytes = 64
	MaxSecretBytes    = 64 << 10 // of all fields as Encode writes them, without what fills up
	MaxNesting        = 16       // of the JSON in a field
	paddingBytes      = 64
)

// FieldKind says what the bytes of a field mean.
type FieldKind uint8

// The kinds of fields.
const (
	Text  FieldKind = iota + 1 // UTF-8
	Bytes                      // any bytes; base64 on the wire
	JSON                       // a JSON value that is no string, in RFC 8785 form
)

// Field is one value of a secret. It prints as Hidden.
type Field struct {
	kind  FieldKind
	value Value
}

// Kind says what the value is.
func (f Field) Kind() FieldKind { return f.kind }

// Value is the UTF-8 of a text, the bytes of bytes, the RFC 8785 form of JSON.
func (f Field) Value() Value { return f.value }

// JSON reveals the field as it goes over the wire: text as a string, bytes as a
// string of base64, JSON as it is. After a wipe it is null.
func (f Field) JSON() json.RawMessage {
	if f.value.Reveal() == nil {
		return json.RawMessage("null")
	}
	return f.appendJSON(nil)
}

// appendJSON reveals the field at the end of dst.
func (f Field) appendJSON(dst []byte) []byte {
	revealed := f.value.Reveal()
	switch f.kind {
	case Text:
		return canon.AppendString(slices.Grow(dst, quotedBytes(revealed)), view(revealed))
	case Bytes:
		dst = append(slices.Grow(dst, f.encodedBytes()), '"')
		return append(base64.StdEncoding.AppendEncode(dst, revealed), '"')
	}
	return append(dst, revealed...)
}

// encodedBytes is at least as many bytes as appendJSON writes.
func (f Field) encodedBytes() int {
	switch f.kind {
	case Text:
		return quotedBytes(f.value.Reveal())
	case Bytes:
		return base64.StdEncoding.EncodedLen(f.value.Len()) + 2
	}
	return f.value.Len()
}

// quotedBytes is at least the length of text as a JSON string.
func quotedBytes(text []byte) int {
	n := len(text) + 2
	for _, c := range text {
		if c == '"' || c == '\\' {
			n++
		} else if c < ' ' {
			n += 5
		}
	}
	return n
}

// Text reveals the field as it can stand within a text: text, a number or a
// boolean as they are, bytes as base64. Objects and arrays cannot.
func (f Field) Text() (string, bool) {
	revealed := f.value.Reveal()
	switch {
	case revealed == nil:
		return "", false
	case f.kind == Bytes:
		return base64.StdEncoding.EncodeToString(revealed), true
	case f.kind == JSON && (len(revealed) == 0 || strings.IndexByte("{[n", revealed[0]) >= 0):
		return "", false
	}
	return string(revealed), true
}

// Fields are the named values of one version of a secret. They are immutable
// but for Wipe and print as Hidden. The zero Fields has none.
type Fields struct{ list []entry }

// entry is a field with its name; a list of them is sorted by name.
type entry struct {
	name  string
	field Field
}

// CheckFieldName says whether text may name a field: it has the form of a path
// segment, 64 bytes at most. The error is of KindBadRequest and does not repeat
// the text, which may be a secret in the wrong place.
func CheckFieldName(text string) error {
	path, err := config.ParsePath(text)
	if err != nil || len(text) > MaxFieldNameBytes || strings.Contains(path.String(), "/") {
		return config.Errorf(config.KindBadRequest, "a field name has 1 to %d letters, digits and . _ ~ @ + = -, and begins with a letter or digit", MaxFieldNameBytes).
			At("/fields").Hint("name it like api_key; a secret of one value has the field %s", config.SecretField)
	}
	return nil
}

// ParseFields reads fields as a request gives them. The names in encoded are
// those whose string is base64 of bytes. Errors are of KindBadRequest or
// KindTooLarge, point at the field, and never hold any of a value.
func ParseFields(fields map[string]json.RawMessage, encoded []string) (Fields, error) {
	if len(fields) == 0 {
		return Fields{}, config.Errorf(config.KindBadRequest, "a secret has at least one field").At("/fields").Hint("send {\"fields\": {\"%s\": …}}", config.SecretField)
	}
	if len(fields) > MaxFields {
		return Fields{}, config.Errorf(config.KindTooLarge, "a secret has too many fields").At("/fields").Over(MaxFields, int64(len(fields)))
	}
	if err := checkEncoded(fields, encoded); err != nil {
		return Fields{}, err
	}
	parsed := Fields{make([]entry, 0, len(fields))}
	for name, text := range fields {
		if err := CheckFieldName(name); err != nil {
			parsed.Wipe()
			return Fields{}, err
		}
		field, fault := parseField(text, slices.Contains(encoded, name))
		if fault != nil {
			parsed.Wipe()
			return Fields{}, fault.At("/fields/" + strings.ReplaceAll(name, "~", "~0"))
		}
		parsed.list = append(parsed.list, entry{name, field})
	}
	parsed.sort()
	if size := parsed.encodedBytes(); size > MaxSecretBytes {
		parsed.Wipe()
		return Fields{}, config.Errorf(config.KindTooLarge, "the secret has too many bytes").At("/fields").Over(MaxSecretBytes, int64(size))
	}
	return parsed, nil
}

// checkEncoded says whether each name is that of a field, once.
func checkEncoded(fields map[string]json.RawMessage, encoded []string) error {
	if len(encoded) > MaxFields {
		return config.Errorf(config.KindTooLarge, "there are too many names of fields in base64").At("/base64").Over(MaxFields, int64(len(encoded)))
	}
	for i, name := range encoded {
		if _, there := fields[name]; !there {
			return config.Errorf(config.KindBadRequest, "a name of base64 is not that of a field").At("/base64").Hint("list the names of those fields whose text is base64 of bytes")
		}
		if slices.Contains(encoded[:i], name) {
			return config.Errorf(config.KindBadRequest, "a name of base64 is there twice").At("/base64")
		}
	}
	return nil
}

// parseField reads one field. Of a string no copy is left behind.
func parseField(text json.RawMessage, encoded bool) (Field, *config.Error) {
	trimmed := trimSpace(text)
	switch {
	case string(trimmed) == "null":
		return Field{}, config.Errorf(config.KindBadRequest, "a field is null").Hint("leave the field out, or delete the secret")
	case len(trimmed) > 0 && trimmed[0] == '"':
		return parseString(trimmed, encoded)
	case encoded:
		return Field{}, config.Errorf(config.KindBadRequest, "a field in base64 is no string")
	}
	return parseJSON(trimmed)
}

func trimSpace(text []byte) []byte {
	const space = " \t\r\n"
	for len(text) > 0 && strings.IndexByte(space, text[0]) >= 0 {
		text = text[1:]
	}
	for len(text) > 0 && strings.IndexByte(space, text[len(text)-1]) >= 0 {
		text = text[:len(text)-1]
	}
	return text
}

func parseString(text []byte, encoded bool) (Field, *config.Error) {
	value, end, reason := unquote(text)
	if reason == "" && end < len(text) {
		value.Wipe()
		reason = "there is text after the end of the string"
	}
	if reason != "" {
		return Field{}, config.Errorf(config.KindBadRequest, "a field cannot be read: %s", reason)
	}
	if !encoded {
		return Field{Text, value}, nil
	}
	defer value.Wipe()
	decoded, ok := decodeBase64(value.Reveal())
	if !ok {
		return Field{}, config.Errorf(config.KindBadRequest, "a field is not base64").Hint("use the alphabet with + and /, and = at the end")
	}
	return Field{Bytes, decoded}, nil
}

// decodeBase64 reads standard base64 the strict way: one text for the same bytes.
func decodeBase64(text []byte) (Value, bool) {
	decoding := base64.StdEncoding.Strict()
	buffer := make([]byte, decoding.DecodedLen(len(text)))
	n, err := decoding.Decode(buffer, text)
	value := NewValue(buffer[:n])
	clear(buffer)
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(text) { // the decoder passes over line breaks
		value.Wipe()
		return Value{}, false
	}
	return value, true
}

// parseJSON reads a value that is no string.
func parseJSON(text []byte) (field Field, fault *config.Error) {
	Erase(func() {
		v, err := canon.Decode(text, canon.Limits{Bytes: 4 * MaxSecretBytes, Depth: MaxNesting, Nodes: MaxSecretBytes})
		if err != nil {
			fault = faultOf(err)
			return
		}
		field = Field{JSON, NewValue(canon.Append(nil, v))}
	})
	return field, fault
}

// faultOf leaves out where within the field the fault is: its inner names are
// part of the secret.
func faultOf(err error) *config.Error {
	var e *canon.Error
	if !errors.As(err, &e) {
		return config.Errorf(config.KindBadRequest, "a field cannot be read")
	}
	fault := config.Errorf(config.KindBadRequest, "a field cannot be read: line %d, column %d: %s", e.Line, e.Column, e.Reason)
	if e.TooLarge {
		fault.Kind = config.KindTooLarge
		return fault.Over(e.Limit, e.Actual)
	}
	return fault.Hint("send a JSON value, each name once, numbers that a double holds")
}

// TextFields makes fields of texts whose names CheckFieldName accepts, takes
// the bytes over and clears them. What is not UTF-8 becomes a field of bytes.
func TextFields(values map[string][]byte) Fields {
	fields := Fields{make([]entry, 0, len(values))}
	for name, text := range values {
		kind := Text
		if canon.CheckString(view(text)) != "" {
			kind = Bytes
		}
		fields.list = append(fields.list, entry{name, Field{kind, NewValue(text)}})
	}
	fields.sort()
	return fields
}

func (f Fields) sort() {
	slices.SortFunc(f.list, func(a, b entry) int { return strings.Compare(a.name, b.name) })
}

// Names are those of the fields, sorted.
func (f Fields) Names() []string {
	names := make([]string, len(f.list))
	for i, e := range f.list {
		names[i] = e.name
	}
	return names
}

// Get finds a field.
func (f Fields) Get(name string) (Field, bool) {
	for _, e := range f.list { // there are few
		if e.name == name {
			return e.field, true
		}
	}
	return Field{}, false
}

// Len is how many fields there are.
func (f Fields) Len() int { return len(f.list) }

// Base64 are the names of the fields of bytes, sorted.
func (f Fields) Base64() []string {
	var names []string
	for _, e := range f.list {
		if e.field.kind == Bytes {
			names = append(names, e.name)
		}
	}
	return names
}

// Over answers the fields, and those of others that it does not have itself.
// Whoever wipes the answer wipes both; what it does not take over is wiped.
func (f Fields) Over(others Fields) Fields {
	all := Fields{slices.Clone(f.list)}
	for _, e := range others.list {
		if _, has := f.Get(e.name); has {
			e.field.value.Wipe()
			continue
		}
		all.list = append(all.list, e)
	}
	all.sort()
	return all
}

// Only answers one field, and wipes the others. Without such a field nothing is left.
func (f Fields) Only(name string) Fields {
	var only Fields
	for _, e := range f.list {
		if e.name == name {
			only.list = append(only.list, e)
			continue
		}
		e.field.value.Wipe()
	}
	return only
}

// Wipe wipes every value. It may be repeated.
func (f Fields) Wipe() {
	for _, e := range f.list {
		e.field.value.Wipe()
	}
}

// What hides a field.

// String answers Hidden.
func (Field) String() string { return Hidden }

// Format writes Hidden, whatever the verb.
func (Field) Format(f fmt.State, _ rune) { hide(f) }

// MarshalJSON answers Hidden; JSON reveals.
func (Field) MarshalJSON() ([]byte, error) { return Value{}.MarshalJSON() }

// MarshalText answers Hidden; Text reveals.
func (Field) MarshalText() ([]byte, error) { return Value{}.MarshalText() }

// GobEncode answers Hidden.
func (Field) GobEncode() ([]byte, error) { return Value{}.GobEncode() }

// LogValue answers Hidden.
func (Field) LogValue() slog.Value { return Value{}.LogValue() }

// String answers Hidden.
func (Fields) String() string { return Hidden }

// Format writes Hidden, whatever the verb.
func (Fields) Format(f fmt.State, _ rune) { hide(f) }

// MarshalJSON answers Hidden.
func (Fields) MarshalJSON() ([]byte, error) { return Value{}.MarshalJSON() }

// MarshalText answers Hidden.
func (Fields) MarshalText() ([]byte, error) { return Value{}.MarshalText() }

// GobEncode answers Hidden.
func (Fields) GobEncode() ([]byte, error) { return Value{}.GobEncode() }

// LogValue answers Hidden.
func (Fields) LogValue() slog.Value { return Value{}.LogValue() }
