package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Format is a way of writing a document down.
type Format string

// The formats.
const (
	JSON Format = "json"
	YAML Format = "yaml"
	TOML Format = "toml"
)

// ParseFormat reads the name of a format, or of a file by its ending: "yaml",
// "yml" and "gateway/models.yml" are all YAML. The error is of KindBadRequest.
func ParseFormat(text string) (Format, error) {
	ending := strings.ToLower(text[strings.LastIndexByte(text, '.')+1:])
	switch ending {
	case "json", "yaml", "toml":
		return Format(ending), nil
	case "yml":
		return YAML, nil
	}
	return "", Errorf(KindBadRequest, "%q is not a format", text).Hint("use json, yaml or toml")
}

// Limits bound a document. Zero means the default.
type Limits struct {
	Bytes int // of the text, and of its RFC 8785 form; default MaxDocumentBytes
}

// MaxValues bounds how many values a document holds, itself included.
const MaxValues = canon.DefaultNodes

func (l Limits) bytes() int {
	if l.Bytes == 0 {
		return MaxDocumentBytes
	}
	return l.Bytes
}

// Check says whether a document that was made, not read, is within its bounds;
// the error is of KindTooLarge.
func (l Limits) Check(doc Document) error {
	size := measure(doc.root)
	switch {
	case size.depth > MaxNesting:
		return Errorf(KindTooLarge, "the document is nested too deep").Over(MaxNesting, int64(size.depth))
	case size.values > MaxValues:
		return Errorf(KindTooLarge, "the document has too many values").Over(MaxValues, int64(size.values))
	}
	return l.checkBytes(doc)
}

func (l Limits) checkBytes(doc Document) error {
	if len(doc.canonical) > l.bytes() {
		return Errorf(KindTooLarge, "the document has too many bytes").Over(int64(l.bytes()), int64(len(doc.canonical)))
	}
	return nil
}

// document makes a document of root if that is within the limits.
func (l Limits) document(root map[string]any) (Document, error) {
	doc := NewDocument(root)
	if err := l.Check(doc); err != nil {
		return Document{}, err
	}
	return doc, nil
}

type size struct{ depth, values int }

func measure(v any) size {
	total := size{values: 1}
	add := func(child any) {
		s := measure(child)
		total.depth, total.values = max(total.depth, s.depth), total.values+s.values
	}
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			add(child)
		}
		total.depth++
	case []any:
		for _, child := range v {
			add(child)
		}
		total.depth++
	}
	return total
}

// Decode reads a document. The error is of KindInvalidDocument or KindTooLarge,
// says where in the text it is, and never quotes a value.
func Decode(format Format, text []byte, limits Limits) (Document, error) {
	root, err := decodeObject(format, text, limits)
	if err != nil {
		return Document{}, err
	}
	if format == TOML {
		return limits.document(root)
	}
	doc := NewDocument(root) // depth and values were counted while they were read
	if err := limits.checkBytes(doc); err != nil {
		return Document{}, err
	}
	return doc, nil
}

func decodeObject(format Format, text []byte, limits Limits) (map[string]any, error) {
	var v any
	var fault *Error
	switch {
	case len(text) > limits.bytes():
		fault = Errorf(KindTooLarge, "the document has too many bytes").Over(int64(limits.bytes()), int64(len(text)))
	case format == JSON:
		v, fault = decodeJSON(text, limits)
	case format == YAML:
		v, fault = decodeYAML(text, limits)
	case format == TOML:
		v, fault = decodeTOML(text)
	default:
		fault = Errorf(KindBadRequest, "%q is not a format", format).Hint("use json, yaml or toml")
	}
	if fault != nil {
		return nil, fault
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, Errorf(KindInvalidDocument, "a document is an object, and this is %s", kindOfValue(v)).
			Hint("put it under a key, say {\"value\": …}")
	}
	return root, nil
}

func decodeJSON(text []byte, limits Limits) (any, *Error) {
	v, err := canon.Decode(text, canon.Limits{Bytes: limits.bytes(), Depth: MaxNesting, Nodes: MaxValues})
	if err != nil {
		return nil, faultOf(err)
	}
	return v, nil
}

// faultOf makes an Error of what package canon refused.
func faultOf(err error) *Error {
	var e *canon.Error
	if !errors.As(err, &e) {
		return Errorf(KindInvalidDocument, "the text cannot be read")
	}
	if e.Inexact {
		return faultAt(e.Line, e.Column, reasonInexact).At(e.Pointer).Hint(hintInexact)
	}
	fault := faultAt(e.Line, e.Column, e.Reason).At(e.Pointer)
	if e.TooLarge {
		fault.Kind = KindTooLarge
		return fault.Over(e.Limit, e.Actual)
	}
	return fault
}

// isInexact says that err refuses a number for its value, not its form.
func isInexact(err error) bool {
	var e *canon.Error
	return errors.As(err, &e) && e.Inexact
}

const (
	reasonInexact = "a number that its nearest double does not equal"
	hintInexact   = "write it as a string, in quotes"
)

// faultAt is what is wrong at a line and column, both from 1.
func faultAt(line, column int, reason string) *Error {
	return Errorf(KindInvalidDocument, "line %d, column %d: %s", line, column, reason)
}

// below says that the fault is in the member or element token of where it was found.
func (e *Error) below(token string) *Error {
	e.Pointer = "/" + escapeToken(token) + e.Pointer
	return e
}

// checkText refuses text that no format of ours may hold.
func checkText(text string) *Error {
	for i, line := range strings.Split(text, "\n") {
		if reason := canon.CheckString(line); reason != "" {
			return Errorf(KindInvalidDocument, "line %d: %s", i+1, reason)
		}
	}
	return nil
}

// withoutQuotes removes from a library's message what it quotes, which may be a value.
func withoutQuotes(message string) string {
	const quotes = "\"'`"
	first, last := strings.IndexAny(message, quotes), strings.LastIndexAny(message, quotes)
	if first == last {
		return message
	}
	return message[:first] + "…" + message[last+1:]
}

// kindOfValue names what v is, with its article.
func kindOfValue(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	panic(fmt.Sprintf("config: a value of type %T is not JSON", v))
}
