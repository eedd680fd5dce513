package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Bounds of resolution.
const (
	MaxReferenceDepth = 8       // a reference to a document whose value is a reference, and so on
	maxResolvedNodes  = 1 << 18 // values in one effective document
)

// Effective is what an environment says at a path in all.
type Effective struct {
	Document Document
	Targets  []Target // the ${config:…} references that were followed, by pointer
}

// Target is a document that an effective document took a value from. Whoever
// reads the one needs the right to read the other.
type Target struct {
	Pointer string // where in the document that was asked for
	Path    Path
}

// Resolve answers the effective document of a path: its merged layers with
// every ${config:…} replaced. merged answers the merged layers of any path in
// the same environment and revision, the zero Document when there are none. A
// path without layers has the zero Effective. An error of KindInvalidReference
// has the pointer of the reference in the document asked for.
func Resolve(path Path, merged func(Path) Document, maxBytes int) (Effective, error) {
	doc := merged(path)
	if !doc.Exists() {
		return Effective{}, nil
	}
	if !strings.Contains(string(doc.canonical), openConfig) {
		return Effective{Document: doc}, bounded(doc, maxBytes)
	}
	r := resolver{merged: merged, maxBytes: maxBytes}
	root, err := r.value(doc.root, "")
	if err != nil {
		return Effective{}, err
	}
	doc = NewDocument(root.(map[string]any)) //nolint:forcetypeassert // an object resolves to an object
	slices.SortFunc(r.targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), a.Path.Compare(b.Path))
	})
	return Effective{Document: doc, Targets: slices.Compact(r.targets)}, bounded(doc, maxBytes)
}

func bounded(doc Document, maxBytes int) error {
	if len(doc.canonical) <= maxBytes {
		return nil
	}
	return Errorf(KindTooLarge, "the effective document is too large").
		Hint("split it over several paths").Over(int64(maxBytes), int64(len(doc.canonical)))
}

type resolver struct {
	merged   func(Path) Document
	maxBytes int
	stack    []Reference // references being followed, outermost first
	outer    string      // pointer of the outermost one
	targets  []Target
	nodes    int
	bytes    int
}

// value resolves a value; pointer is where it stands, followed only for the outermost document.
func (r *resolver) value(value any, pointer string) (any, error) {
	if r.nodes++; r.nodes > maxResolvedNodes {
		return nil, Errorf(KindTooLarge, "the references of the document make it too large").At(r.place(pointer)).
			Over(maxResolvedNodes, int64(r.nodes))
	}
	switch value := value.(type) {
	case string:
		if !strings.Contains(value, openConfig) {
			return value, r.grow(len(value), pointer)
		}
		return r.text(value, pointer)
	case map[string]any:
		resolved := make(map[string]any, len(value))
		for name, member := range value {
			v, err := r.value(member, r.below(pointer, name))
			if err != nil {
				return nil, err
			}
			resolved[name] = v
		}
		return resolved, nil
	case []any:
		resolved := make([]any, len(value))
		for i, element := range value {
			v, err := r.value(element, r.below(pointer, itoa(i)))
			if err != nil {
				return nil, err
			}
			resolved[i] = v
		}
		return resolved, nil
	}
	return value, nil
}

func (r *resolver) text(text, pointer string) (any, error) {
	pieces, err := parseText(text)
	if err != nil {
		return nil, at(err, r.place(pointer))
	}
	if len(pieces) == 1 && pieces[0].reference.Kind == ReferConfig {
		return r.follow(pieces[0].reference, pointer)
	}
	var b strings.Builder
	for _, p := range pieces {
		switch p.reference.Kind {
		case ReferConfig:
			value, err := r.follow(p.reference, pointer)
			if err != nil {
				return nil, err
			}
			within, ok := asText(value)
			if !ok {
				return nil, referenceError(p.reference.String() + " is no text, number or boolean, so it cannot stand within a text").
					At(r.place(pointer)).Hint("let the reference stand alone in its string")
			}
			b.WriteString(within)
		case ReferSecret:
			b.WriteString(p.reference.String())
		default:
			b.WriteString(p.literal)
		}
		if err := r.grow(b.Len(), pointer); err != nil {
			return nil, err
		}
	}
	return b.String(), nil
}

// follow answers the resolved value that a reference stands for.
func (r *resolver) follow(reference Reference, pointer string) (any, error) {
	if len(r.stack) == 0 {
		r.outer = pointer
	}
	place := r.place(pointer)
	r.targets = append(r.targets, Target{Pointer: place, Path: reference.Path})
	if slices.Contains(r.stack, reference) {
		return nil, referenceError(reference.String() + " leads back to itself").At(place).Hint("break the circle")
	}
	if len(r.stack) == MaxReferenceDepth {
		return nil, referenceError("references lead on too far").At(place).Hint("refer to the last of them").
			Over(MaxReferenceDepth, MaxReferenceDepth+1)
	}
	r.stack = append(r.stack, reference)
	defer func() { r.stack = r.stack[:len(r.stack)-1] }()

	doc := r.merged(reference.Path)
	if !doc.Exists() {
		return nil, missing(reference, place)
	}
	return r.descend(doc.root, reference, place)
}

// descend walks the reference's pointer through a document that is not resolved
// yet: where the way leads through another reference, that one is followed first.
func (r *resolver) descend(root any, reference Reference, place string) (any, error) {
	pointer, err := ParsePointer(reference.Fragment)
	if err != nil {
		return nil, at(err, place)
	}
	value := root
	for _, token := range pointer.Tokens() {
		if text, ok := value.(string); ok && strings.Contains(text, openConfig) {
			if value, err = r.text(text, place); err != nil {
				return nil, err
			}
		}
		var found bool
		if value, found = member(value, token); !found {
			return nil, missing(reference, place)
		}
	}
	return r.value(value, place)
}

// place is where in the document asked for an error belongs.
func (r *resolver) place(pointer string) string {
	if len(r.stack) > 0 {
		return r.outer
	}
	return pointer
}

func (r *resolver) below(pointer, token string) string {
	if len(r.stack) > 0 {
		return pointer // inside a target: errors name the outermost reference
	}
	return pointer + "/" + escapeToken(token)
}

// grow bounds what references can blow up to before it is built.
func (r *resolver) grow(n int, pointer string) error {
	if r.bytes += n; r.bytes > 4*r.maxBytes {
		return Errorf(KindTooLarge, "the references of the document make it too large").At(r.place(pointer)).
			Over(int64(r.maxBytes), int64(r.bytes))
	}
	return nil
}

func missing(reference Reference, place string) error {
	return referenceError(reference.String() + " refers to nothing in this environment").At(place).
		Hint("create what it refers to in the same change or before, or correct the reference")
}

// asText is how a value stands within a text.
func asText(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case bool, float64:
		return string(canon.Append(nil, value)), true
	}
	return "", false
}

// member is the value of one step down a pointer.
func member(value any, token string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		v, ok := value[token]
		return v, ok
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || itoa(i) != token || i < 0 || i >= len(value) {
			return nil, false
		}
		return value[i], true
	}
	return nil, false
}

func itoa(i int) string { return strconv.Itoa(i) }
