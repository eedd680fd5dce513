package config

import (
	"slices"
	"strings"
)

// ReferenceKind is what a reference refers to.
type ReferenceKind string

// The kinds of references; every other ${ is text.
const (
	ReferConfig ReferenceKind = "config"
	ReferSecret ReferenceKind = "secret"
)

// Reference is a ${config:path#/pointer} or ${secret:path#field} in a string.
type Reference struct {
	Kind     ReferenceKind
	Path     Path
	Fragment string // config: a JSON pointer, "" for the whole document; secret: the field
}

// SecretField is the field of a secret that a reference without # means.
const SecretField = "value"

// String writes the reference as it stands in a document.
func (r Reference) String() string {
	text := "${" + string(r.Kind) + ":" + r.Path.text
	if r.Fragment != "" && (r.Kind != ReferSecret || r.Fragment != SecretField) {
		text += "#" + r.Fragment
	}
	return text + "}"
}

// piece is a run of literal text, or a reference when it has a kind.
type piece struct {
	literal   string
	reference Reference
}

const (
	openConfig = "${config:"
	openSecret = "${secret:"
)

// mayRefer is the cheap test that spares most strings the parser.
func mayRefer(text string) bool {
	return strings.Contains(text, openConfig) || strings.Contains(text, openSecret)
}

// parseText cuts a string into literals and references. $${config: and
// $${secret: are literals; of these only the first is unescaped here, because
// secrets are resolved later, over the same text.
func parseText(text string) ([]piece, error) {
	var pieces []piece
	literal := strings.Builder{}
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, "$"+openConfig):
			literal.WriteString(openConfig)
			i += len(openConfig) + 1
		case strings.HasPrefix(rest, "$"+openSecret):
			literal.WriteString(rest[:len(openSecret)+1])
			i += len(openSecret) + 1
		case strings.HasPrefix(rest, openConfig), strings.HasPrefix(rest, openSecret):
			reference, size, err := parseReference(rest)
			if err != nil {
				return nil, err
			}
			if literal.Len() > 0 {
				pieces = append(pieces, piece{literal: literal.String()})
				literal.Reset()
			}
			pieces = append(pieces, piece{reference: reference})
			i += size
		default:
			literal.WriteByte(text[i])
			i++
		}
	}
	if literal.Len() > 0 {
		pieces = append(pieces, piece{literal: literal.String()})
	}
	return pieces, nil
}

// parseReference reads the reference that text begins with and says how long it is.
func parseReference(text string) (Reference, int, error) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return Reference{}, 0, referenceError("a reference is not closed")
	}
	kind := ReferConfig
	if strings.HasPrefix(text, openSecret) {
		kind = ReferSecret
	}
	target, fragment, hasFragment := strings.Cut(text[len(openConfig):end], "#")
	path, err := ParsePath(target)
	if err != nil {
		return Reference{}, 0, referenceError("a reference does not name a path")
	}
	reference := Reference{Kind: kind, Path: path, Fragment: fragment}
	switch {
	case kind == ReferSecret && !hasFragment:
		reference.Fragment = SecretField
	case kind == ReferSecret && !isField(fragment):
		return Reference{}, 0, referenceError("a reference does not name a field of the secret")
	case kind == ReferConfig:
		if _, err := ParsePointer(fragment); err != nil {
			return Reference{}, 0, referenceError("a reference's JSON pointer does not parse")
		}
	}
	return reference, end + 1, nil
}

func referenceError(message string) *Error {
	return Errorf(KindInvalidReference, "%s", message).
		Hint("write ${config:path#/pointer} or ${secret:path#field}, or $${ in front of what is meant as text")
}

// isField says whether text may name a field of a secret: it has the form of a path segment.
func isField(text string) bool {
	_, err := ParsePath(text)
	return err == nil && !strings.Contains(text, "/")
}

// References are the references in a document, in no particular order, each
// with where it stands. The error is of KindInvalidReference with its pointer.
func References(doc Document) ([]Located, error) {
	var found []Located
	err := eachString(doc.root, "", func(pointer, text string) error {
		pieces, err := parseText(text)
		if err != nil {
			return at(err, pointer)
		}
		for _, p := range pieces {
			if p.reference.Kind != "" {
				found = append(found, Located{Pointer: pointer, Reference: p.reference})
			}
		}
		return nil
	})
	return found, err
}

// Located is a reference and the JSON pointer of the string it stands in.
type Located struct {
	Pointer   string
	Reference Reference
}

// ConfigTargets are the paths of the documents that a document refers to,
// sorted, each once, itself left out.
func ConfigTargets(self Path, doc Document) ([]Path, error) {
	references, err := References(doc)
	if err != nil || len(references) == 0 {
		return nil, err
	}
	var targets []Path
	for _, l := range references {
		if l.Reference.Kind == ReferConfig && l.Reference.Path != self {
			targets = append(targets, l.Reference.Path)
		}
	}
	slices.SortFunc(targets, Path.Compare)
	return slices.Compact(targets), nil
}

// eachString calls visit for every string value that might hold a reference.
func eachString(value any, pointer string, visit func(pointer, text string) error) error {
	switch value := value.(type) {
	case string:
		if mayRefer(value) {
			return visit(pointer, value)
		}
	case map[string]any:
		for name, member := range value {
			if mayHoldReference(member) {
				if err := eachString(member, pointer+"/"+escapeToken(name), visit); err != nil {
					return err
				}
			}
		}
	case []any:
		for i, element := range value {
			if mayHoldReference(element) {
				if err := eachString(element, pointer+"/"+itoa(i), visit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mayHoldReference spares plain values the cost of a pointer.
func mayHoldReference(value any) bool {
	switch value := value.(type) {
	case string:
		return mayRefer(value)
	case map[string]any, []any:
		return true
	}
	return false
}

// at sets the pointer of a refusal that has none yet.
func at(err error, pointer string) error {
	if e, ok := err.(*Error); ok && e.Pointer == "" { //nolint:errorlint // only an Error made here, never a wrapped one
		e.Pointer = pointer
	}
	return err
}
