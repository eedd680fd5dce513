package config

import (
	"bytes"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// In an effective document only ${secret:…} is a reference, and $${secret:…}
// the text of one; whatever else looks like a reference was resolved to text.

// SecretTargets are the references to secrets in an effective document, each
// with the first place where it stands, in the document's order.
func SecretTargets(effective Document) ([]Located, error) {
	if !bytes.Contains(effective.canonical, []byte(openSecret)) {
		return nil, nil
	}
	var found []Located
	known := map[Reference]bool{}
	err := eachText(effective.root, Pointer{}, func(at Pointer, text string) error {
		pieces, fault := parseSecrets(text)
		if fault != nil {
			return fault.At(at.String())
		}
		for _, p := range pieces {
			if p.reference.Kind != "" && !known[p.reference] {
				known[p.reference] = true
				found = append(found, Located{at, p.reference})
			}
		}
		return nil
	})
	return found, err
}

// SecretPaths are the paths of the secrets that a layer's own text refers to,
// sorted, each once.
func SecretPaths(layer Document) ([]Path, error) {
	references, err := References(layer)
	if err != nil {
		return nil, err
	}
	var paths []Path
	for _, l := range references {
		if l.Reference.Kind == ReferSecret {
			paths = append(paths, l.Reference.Path)
		}
	}
	return sortedPaths(paths), nil
}

// Secret is what a reference to a secret stands for.
type Secret struct {
	Value any    // alone in its string
	Text  string // within a text
	Texts bool   // it can stand within a text
}

// Reveal answers an effective document with its references to secrets replaced.
// lookup is asked for each reference that SecretTargets names. The error is
// lookup's, or of KindInvalidReference or KindTooLarge, with the pointer.
func Reveal(effective Document, maxBytes int, lookup func(Reference) (Secret, error)) (Document, error) {
	if !bytes.Contains(effective.canonical, []byte(openSecret)) {
		return effective, nil
	}
	r := revealer{lookup: lookup, left: maxBytes}
	root, err := r.object(effective.root, Pointer{})
	if err != nil {
		return Document{}, err
	}
	return NewDocument(root), nil
}

type revealer struct {
	lookup func(Reference) (Secret, error)
	left   int // bytes that replaced texts may still have
}

func (r *revealer) value(value any, at Pointer) (any, error) {
	switch value := value.(type) {
	case string:
		return r.text(value, at)
	case map[string]any:
		return r.object(value, at)
	case []any:
		revealed := make([]any, len(value))
		for i, element := range value {
			var err error
			if revealed[i], err = r.value(element, at.Append(itoa(i))); err != nil {
				return nil, err
			}
		}
		return revealed, nil
	}
	return value, nil
}

func (r *revealer) object(object map[string]any, at Pointer) (map[string]any, error) {
	revealed := make(map[string]any, len(object))
	for name, value := range object {
		if !mayRefer(value) {
			revealed[name] = value
			continue
		}
		var err error
		if revealed[name], err = r.value(value, at.Append(name)); err != nil {
			return nil, err
		}
	}
	return revealed, nil
}

func (r *revealer) text(text string, at Pointer) (any, error) {
	if !strings.Contains(text, openSecret) {
		return text, nil
	}
	pieces, fault := parseSecrets(text)
	if fault != nil {
		return nil, fault.At(at.String())
	}
	alone := len(pieces) == 1 && pieces[0].reference.Kind != ""
	var b strings.Builder
	for _, p := range pieces {
		if p.reference.Kind == "" {
			b.WriteString(p.text)
			continue
		}
		secret, err := r.secret(p.reference, at)
		if err != nil {
			return nil, err
		}
		if alone {
			return secret.Value, nil
		}
		if !secret.Texts {
			return nil, referenceError(p.reference.String() + " is no text, number or boolean, so it cannot stand within a text").
				At(at.String()).Hint("let the reference stand alone in its string")
		}
		b.WriteString(secret.Text)
	}
	return b.String(), nil
}

func (r *revealer) secret(reference Reference, at Pointer) (Secret, error) {
	secret, err := r.lookup(reference)
	if err != nil {
		return secret, err
	}
	size := len(secret.Text)
	if !secret.Texts {
		size = len(canon.Append(nil, secret.Value))
	}
	if r.left -= size; r.left < 0 {
		return secret, Errorf(KindTooLarge, "the secrets of the document make it too large").At(at.String()).
			Hint("refer to fewer of them in one document")
	}
	return secret, nil
}

// parseSecrets cuts a text of an effective document into texts and references
// to secrets. A dollar in front of one makes text of it, and is taken away.
func parseSecrets(text string) ([]piece, *Error) {
	var pieces []piece
	for text != "" {
		start := strings.Index(text, openSecret)
		switch {
		case start < 0:
			return append(pieces, piece{text: text}), nil
		case start > 0 && text[start-1] == '$':
			end := start + len(openSecret)
			pieces = append(pieces, piece{text: text[:start-1] + openSecret})
			text = text[end:]
		default:
			reference, size, fault := parseReference(text[start:])
			if fault != nil {
				return nil, fault
			}
			if start > 0 {
				pieces = append(pieces, piece{text: text[:start]})
			}
			pieces = append(pieces, piece{text[start : start+size], reference})
			text = text[start+size:]
		}
	}
	return pieces, nil
}
