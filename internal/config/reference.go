package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
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

const (
	openConfig = "${config:"
	openSecret = "${secret:"
)

// piece is a run of text, or a reference when it has a kind.
type piece struct {
	text      string // of a reference: as it was written
	reference Reference
}

// parseText cuts a string into texts and references. A dollar in front makes
// text of a reference. Before one to a document it is taken away; before one to
// a secret it stays, because secrets are resolved later, over the same text.
func parseText(text string) ([]piece, *Error) {
	var pieces []piece
	add := func(p piece) {
		if p.text != "" {
			pieces = append(pieces, p)
		}
	}
	for text != "" {
		start := indexReference(text)
		end := min(start+len(openConfig), len(text))
		switch escaped := start > 0 && text[start-1] == '$'; {
		case start == len(text), escaped && text[start:end] == openSecret:
			add(piece{text: text[:end]})
		case escaped:
			add(piece{text: text[:start-1]})
			add(piece{text: openConfig})
		default:
			reference, size, fault := parseReference(text[start:])
			if fault != nil {
				return nil, fault
			}
			end = start + size
			add(piece{text: text[:start]})
			add(piece{text[start:end], reference})
		}
		text = text[end:]
	}
	return pieces, nil
}

// indexReference is where the next reference or what looks like one begins, the
// end of the text when there is none.
func indexReference(text string) int {
	for at := 0; ; at++ {
		i := strings.Index(text[at:], "${")
		if i < 0 {
			return len(text)
		}
		if at += i; strings.HasPrefix(text[at:], openConfig) || strings.HasPrefix(text[at:], openSecret) {
			return at
		}
	}
}

// parseReference reads the reference that text begins with and says how long it is.
func parseReference(text string) (Reference, int, *Error) {
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
	switch {
	case kind == ReferSecret && !hasFragment:
		fragment = SecretField
	case kind == ReferSecret && !isField(fragment):
		return Reference{}, 0, referenceError("a reference does not name a field of the secret")
	case kind == ReferConfig:
		if _, err := ParsePointer(fragment); err != nil {
			return Reference{}, 0, referenceError("a reference's JSON pointer does not parse")
		}
	}
	return Reference{Kind: kind, Path: path, Fragment: fragment}, end + 1, nil
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

// Located is a reference and the string that it stands in.
type Located struct {
	Pointer   Pointer
	Reference Reference
}

// References are the references in a document, in its order. The error is of
// KindInvalidReference with its pointer.
func References(doc Document) ([]Located, error) {
	if !bytes.Contains(doc.canonical, []byte(openConfig)) && !bytes.Contains(doc.canonical, []byte(openSecret)) {
		return nil, nil
	}
	var found []Located
	err := eachText(doc.root, Pointer{}, func(at Pointer, text string) error {
		pieces, fault := parseText(text)
		if fault != nil {
			return fault.At(at.String())
		}
		for _, p := range pieces {
			if p.reference.Kind != "" {
				found = append(found, Located{at, p.reference})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ConfigTargets are the paths of the documents that a document refers to,
// sorted, each once, itself left out.
func ConfigTargets(self Path, doc Document) ([]Path, error) {
	references, err := References(doc)
	if err != nil {
		return nil, err
	}
	var targets []Path
	for _, l := range references {
		if l.Reference.Kind == ReferConfig && l.Reference.Path != self {
			targets = append(targets, l.Reference.Path)
		}
	}
	return sortedPaths(targets), nil
}

// sortedPaths sorts paths in place and leaves each in once.
func sortedPaths(paths []Path) []Path {
	slices.SortFunc(paths, Path.Compare)
	return slices.Compact(paths)
}

// eachText calls visit for every string that might hold a reference.
func eachText(value any, at Pointer, visit func(at Pointer, text string) error) error {
	switch value := value.(type) {
	case string:
		return visit(at, value)
	case map[string]any:
		for _, name := range canon.SortedKeys(value) {
			if mayRefer(value[name]) {
				if err := eachText(value[name], at.Append(name), visit); err != nil {
					return err
				}
			}
		}
	case []any:
		for i, element := range value {
			if mayRefer(element) {
				if err := eachText(element, at.Append(itoa(i)), visit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mayRefer spares plain values the cost of a pointer.
func mayRefer(value any) bool {
	switch value := value.(type) {
	case string:
		return indexReference(value) < len(value)
	case map[string]any, []any:
		return true
	}
	return false
}
