package config

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Bounds of resolution.
const (
	MaxReferenceDepth = 8  // a reference to a document whose value is a reference, and so on
	maxReread         = 16 // times the bytes a document may have: what is read to replace its references
)

// Effective is what an environment says at a path in all.
type Effective struct {
	Document Document
	Targets  []Target // every document that ${config:…} led to, by path
}

// Target is a document that an effective document took something from, be it
// only where to look next. Whoever reads the one needs the right to read the other.
type Target struct {
	Pointer string // where in the document that was asked for; the first such place
	Path    Path
}

// Resolve answers the effective document of a path: its merged layers with
// every ${config:…} replaced. merged answers the merged layers of any path in
// the same environment and revision, the zero Document when there are none. A
// path without layers has the zero Effective. The error is of
// KindInvalidReference, with the pointer of the reference in the document asked
// for, or of KindTooLarge.
func Resolve(path Path, merged func(Path) Document, maxBytes int) (Effective, error) {
	doc := merged(path)
	if !doc.Exists() {
		return Effective{}, nil
	}
	var targets []Target
	if bytes.Contains(doc.canonical, []byte(openConfig)) {
		r := resolver{merged: merged, maxBytes: maxBytes, places: map[Path]string{}}
		root, err := r.object(doc.root)
		if err != nil {
			return Effective{}, err
		}
		doc, targets = NewDocument(root), r.targets()
	}
	if err := checkEffective(doc, maxBytes); err != nil {
		return Effective{}, err
	}
	return Effective{doc, targets}, nil
}

func checkEffective(doc Document, maxBytes int) error {
	err := Limits{Bytes: maxBytes}.Check(doc)
	var e *Error
	if errors.As(err, &e) {
		return e.Hint("layers and references add up to that: split the document over several paths")
	}
	return err
}

// resolver resolves one document. What it makes is bounded while it is made,
// because references to references can blow up a few bytes without end.
type resolver struct {
	merged   func(Path) Document
	maxBytes int
	places   map[Path]string // of each target, the first place that led there

	names  []string    // on the way to the value at hand, in the document asked for
	arrays int         // how many arrays are around it
	stack  []Reference // those being followed, the one in the document asked for first

	values int // of the result so far
	bytes  int // that the result has at least so far
	read   int // bytes of texts with references, and of their places
}

func (r *resolver) targets() []Target {
	targets := make([]Target, 0, len(r.places))
	for path, place := range r.places {
		targets = append(targets, Target{place, path})
	}
	slices.SortFunc(targets, func(a, b Target) int { return a.Path.Compare(b.Path) })
	return targets
}

func (r *resolver) value(value any) (any, error) {
	switch value := value.(type) {
	case string:
		return r.text(value)
	case map[string]any:
		return r.object(value)
	case []any:
		return r.array(value)
	}
	return value, r.add(1, 1)
}

func (r *resolver) object(object map[string]any) (map[string]any, error) {
	if err := r.add(1, 2); err != nil {
		return nil, err
	}
	resolved := make(map[string]any, len(object))
	for _, name := range canon.SortedKeys(object) {
		if err := r.add(0, len(name)); err != nil {
			return nil, err
		}
		value, err := r.child(name, object[name])
		if err != nil {
			return nil, err
		}
		resolved[name] = value
	}
	return resolved, nil
}

func (r *resolver) array(array []any) ([]any, error) {
	if err := r.add(1, 2); err != nil {
		return nil, err
	}
	r.arrays++
	defer func() { r.arrays-- }()
	resolved := make([]any, len(array))
	for i, element := range array {
		var err error
		if resolved[i], err = r.child(itoa(i), element); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

// child resolves a member or element. Its place is kept only in the document
// asked for: inside targets, errors name the reference that led there.
func (r *resolver) child(name string, value any) (any, error) {
	if len(r.stack) > 0 {
		return r.value(value)
	}
	r.names = append(r.names, name)
	defer func() { r.names = r.names[:len(r.names)-1] }()
	return r.value(value)
}

// text resolves a string: to what its reference stands for if that is all there
// is in it, else to a string.
func (r *resolver) text(text string) (any, error) {
	if !strings.Contains(text, openConfig) {
		return text, r.add(1, len(text))
	}
	pieces, err := r.parse(text)
	if err != nil {
		return nil, err
	}
	if isAlone(pieces) {
		return r.whole(pieces[0].reference)
	}
	return r.joined(pieces)
}

func (r *resolver) parse(text string) ([]piece, error) {
	if r.read += len(text); r.read > maxReread*r.maxBytes {
		return nil, r.tooLarge(maxReread*r.maxBytes, r.read)
	}
	pieces, fault := parseText(text)
	if fault != nil {
		return nil, fault.At(r.place())
	}
	return pieces, nil
}

// isAlone says whether a string is one reference to a document and nothing else.
func isAlone(pieces []piece) bool {
	return len(pieces) == 1 && pieces[0].reference.Kind == ReferConfig
}

// whole answers what a reference stands for that is alone in its string.
func (r *resolver) whole(reference Reference) (any, error) {
	value, err := r.follow(reference)
	if err != nil {
		return nil, err
	}
	object, isObject := value.(map[string]any)
	if r.arrays == 0 && (value == nil || isObject && hasMarks(object)) {
		return nil, r.fault(reference, "leads to null, which outside of arrays would be a removal mark").
			Hint("let the reference stand in an array, or refer to another value")
	}
	return value, nil
}

// joined puts a string together from texts and references.
func (r *resolver) joined(pieces []piece) (any, error) {
	if err := r.add(1, 0); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, p := range pieces {
		part, err := r.part(p)
		if err != nil {
			return nil, err
		}
		if breaksSecrets(b.String(), part) {
			return nil, referenceError("what references put together would read as a reference to a secret").
				At(r.place()).Hint("write ${secret:path#field} in one piece and with no $ in front")
		}
		b.WriteString(part)
	}
	return b.String(), nil
}

// part answers what stands for a piece within a string.
func (r *resolver) part(p piece) (string, error) {
	if p.reference.Kind != ReferConfig {
		return p.text, r.add(0, len(p.text))
	}
	value, err := r.follow(p.reference)
	if err != nil {
		return "", err
	}
	switch value := value.(type) {
	case string:
		return value, nil
	case bool, float64:
		return string(canon.Append(nil, value)), nil
	}
	return "", r.fault(p.reference, "is no text, number or boolean, so it cannot stand within a text").
		Hint("let the reference stand alone in its string")
}

// breaksSecrets says whether two texts, put together, read as a reference to a
// secret that neither holds, or as text where the second has a reference.
// Whoever wrote them may not have the right to refer to it.
func breaksSecrets(before, after string) bool {
	const most = len(openSecret) - 1
	seam := before[max(0, len(before)-most):] + after[:min(len(after), most)]
	return strings.Contains(seam, openSecret) || strings.HasSuffix(before, "$") && strings.HasPrefix(after, openSecret)
}

// follow answers the resolved value that a reference stands for.
func (r *resolver) follow(reference Reference) (any, error) {
	if _, known := r.places[reference.Path]; !known {
		r.places[reference.Path] = r.place()
		r.read += len(r.places[reference.Path])
	}
	circle := slices.Contains(r.stack, reference)
	r.stack = append(r.stack, reference)
	defer func() { r.stack = r.stack[:len(r.stack)-1] }()
	switch {
	case circle:
		return nil, r.fault(reference, "leads back to itself").Hint("break the circle")
	case len(r.stack) > MaxReferenceDepth:
		return nil, r.fault(reference, "leads on too far").Hint("refer to the last document in the chain").
			Over(MaxReferenceDepth, int64(len(r.stack)))
	}
	return r.find(reference)
}

// find walks to what a reference names and resolves it, and nothing else of the
// document. Where another reference stands in the way, that one is followed
// with the rest of the way.
func (r *resolver) find(reference Reference) (any, error) {
	pointer, err := ParsePointer(reference.Fragment)
	doc := r.merged(reference.Path)
	if err != nil || !doc.Exists() {
		return nil, r.missing(reference)
	}
	var value any = doc.root
	for i, name := range pointer.tokens {
		next, found := member(value, name)
		if found {
			value = next
			continue
		}
		text, isText := value.(string)
		if !isText || !strings.Contains(text, openConfig) {
			return nil, r.missing(reference)
		}
		pieces, err := r.parse(text)
		if err != nil {
			return nil, err
		}
		if !isAlone(pieces) {
			return nil, r.missing(reference)
		}
		onward := pieces[0].reference
		onward.Fragment += Pointer{pointer.tokens[i:]}.String()
		return r.follow(onward)
	}
	return r.value(value)
}

func (r *resolver) missing(reference Reference) error {
	how := refersToNothing
	if len(r.stack) > 1 {
		how = "leads to a reference that " + how
	}
	return r.fault(reference, how).Hint(createTarget)
}

const (
	refersToNothing = "refers to nothing in this environment"
	createTarget    = "create what it refers to in the same change or before, or correct the reference"
)

// Missing is the error of a reference whose target is not there, and of one whose
// target the writer may not know of.
func Missing(l Located) error {
	return referenceError(l.Reference.String() + " " + refersToNothing).At(l.Pointer.String()).Hint(createTarget)
}

// fault says what is wrong with a reference. It names only the one in the
// document asked for: what stands in others may be none of the reader's business.
func (r *resolver) fault(reference Reference, what string) *Error {
	if len(r.stack) > 0 {
		reference = r.stack[0]
	}
	return referenceError(reference.String() + " " + what).At(r.place())
}

// place is where the value or reference at hand is in the document asked for.
func (r *resolver) place() string { return Pointer{r.names}.String() }

// add counts values and bytes that the result will have.
func (r *resolver) add(values, size int) error {
	r.values, r.bytes = r.values+values, r.bytes+size
	switch {
	case r.values > MaxValues:
		return r.tooLarge(MaxValues, r.values)
	case r.bytes > r.maxBytes:
		return r.tooLarge(r.maxBytes, r.bytes)
	}
	return nil
}

func (r *resolver) tooLarge(limit, actual int) error {
	return Errorf(KindTooLarge, "the references of the document make it too large").At(r.place()).
		Over(int64(limit), int64(actual)).Hint("refer to smaller parts of documents, or to fewer")
}

// member is the value of one step down a pointer.
func member(value any, token string) (any, bool) {
	switch value := value.(type) {
	case map[string]any:
		v, ok := value[token]
		return v, ok
	case []any:
		if i, ok := arrayIndex(token); ok && i < len(value) {
			return value[i], true
		}
	}
	return nil, false
}

func itoa(i int) string { return strconv.Itoa(i) }
