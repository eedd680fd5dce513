package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// follower is the reference implementation of resolution: it substitutes by
// regular expression, and counts nothing but the documents it came past.
type follower struct {
	docs map[Path]Document
	seen map[Path]bool
}

// unfollowable is what a follower panics with.
type unfollowable string

var (
	referencing = regexp.MustCompile(`\$?\$\{(?:config|secret):([^#}]*)#?([^}]*)\}`)
	whole       = regexp.MustCompile(`^\$\{config:([^#}]*)#?([^}]*)\}$`)
)

func (f *follower) value(v any, depth int) any {
	switch v := v.(type) {
	case string:
		return f.text(v, depth)
	case []any:
		array := make([]any, len(v))
		for i := range v {
			array[i] = f.value(v[i], depth)
		}
		return array
	case map[string]any:
		object := map[string]any{}
		for name := range v {
			object[name] = f.value(v[name], depth)
		}
		return object
	}
	return v
}

func (f *follower) text(text string, depth int) any {
	if m := whole.FindStringSubmatch(text); m != nil {
		return f.find(m[1], m[2], depth-1)
	}
	return referencing.ReplaceAllStringFunc(text, func(found string) string {
		switch {
		case strings.HasPrefix(found, "$${config:"):
			return found[1:]
		case !strings.HasPrefix(found, "${config:"):
			return found
		}
		m := whole.FindStringSubmatch(found)
		switch v := f.find(m[1], m[2], depth-1).(type) {
		case string:
			return v
		case float64, bool:
			return fmt.Sprint(v)
		}
		panic(unfollowable("no text"))
	})
}

func (f *follower) find(target, fragment string, depth int) any {
	path := MustPath(target)
	f.seen[path] = true
	if depth < 0 {
		panic(unfollowable("too far"))
	}
	doc, ok := f.docs[path]
	if !ok {
		panic(unfollowable("no document"))
	}
	var v any = doc.Root()
	names := strings.Split(fragment, "/")[1:]
	for i := range names {
		if text, ok := v.(string); ok {
			if m := whole.FindStringSubmatch(text); m != nil {
				return f.find(m[1], m[2]+"/"+strings.Join(names[i:], "/"), depth-1)
			}
		}
		next, found := Pointer{names[i : i+1]}.Lookup(v)
		if !found {
			panic(unfollowable("no member"))
		}
		v = next
	}
	return f.value(v, depth)
}

// follow resolves a document the slow way.
func follow(docs map[Path]Document, path Path) (root any, seen map[Path]bool, ok bool) {
	f := follower{docs, map[Path]bool{}}
	defer func() {
		if r := recover(); r != nil {
			if _, expected := r.(unfollowable); !expected {
				panic(r)
			}
			root, ok = nil, false
		}
	}()
	root = f.value(docs[path].Root(), MaxReferenceDepth)
	return root, f.seen, true
}

var followPaths = []Path{MustPath("a"), MustPath("b"), MustPath("c"), MustPath("d")}

// drawLibrary makes documents that are full of references to each other, most
// of which lead somewhere.
func drawLibrary(t *rapid.T) map[Path]Document {
	target := rapid.Custom(func(t *rapid.T) string {
		path := rapid.SampledFrom(followPaths).Draw(t, "target")
		pointer := rapid.SampledFrom([]string{"#/z", "#/x", "#/y", "#/o/x", "#/l/0", "#/l/1", "#/x/o", "#/y/x/z", "#/y/l/0", "#/o/y/x", "#/none", ""}).Draw(t, "pointer")
		return "${config:" + path.String() + pointer + "}"
	})
	text := rapid.OneOf(target, target, rapid.Map(target, func(r string) string { return "<" + r + ">" }),
		rapid.SampledFrom([]string{"plain", "$${config:a#/x}", "${secret:s#value}", "$${secret:s}", "${env:X}"}))
	docs := map[Path]Document{}
	for i, path := range followPaths {
		if i > 0 && rapid.IntRange(0, 9).Draw(t, "present") == 9 {
			continue
		}
		draw := func(name string) any { return rapid.OneOf(text.AsAny(), plainScalars).Draw(t, path.String()+name) }
		docs[path] = NewDocument(map[string]any{
			"x": draw("x"), "y": draw("y"), "o": map[string]any{"x": draw("o/x"), "y": draw("o/y")},
			"l": []any{draw("l/0"), rapid.SampledFrom([]any{1.0, nil, "text"}).Draw(t, "l/1")},
			"z": rapid.SampledFrom([]any{1.0, "text", true}).Draw(t, "z"),
		})
	}
	return docs
}

func TestResolveIsWhatFollowingEachReferenceGives(t *testing.T) {
	outcomes := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		docs := drawLibrary(t)
		get := func(path Path) Document { return docs[path] }
		for _, path := range followPaths {
			if !docs[path].Exists() {
				continue
			}
			want, seen, ok := follow(docs, path)
			got, err := Resolve(path, get, MaxDocumentBytes)
			if !ok || hasMarks(want.(map[string]any)) {
				outcomes["refused"]++
				checkUnresolved(t, docs[path], err)
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if diff := cmp.Diff(want, any(got.Document.Root())); diff != "" {
				t.Fatalf("%s (-want +got)\n%s", path, diff)
			}
			if len(got.Targets) != len(seen) {
				t.Fatalf("%s: want the targets %v, got %v", path, seen, got.Targets)
			}
			for i, target := range got.Targets {
				if !seen[target.Path] || i > 0 && got.Targets[i-1].Path.Compare(target.Path) >= 0 {
					t.Fatalf("%s: want the targets %v, got %v", path, seen, got.Targets)
				}
				checkReferring(t, docs[path], target.Pointer)
			}
			outcomes[fmt.Sprint(min(len(seen), 2), " targets")]++
			checkIndifferent(t, docs, path, got)
		}
	})
	for _, outcome := range []string{"refused", "0 targets", "1 targets", "2 targets"} {
		if outcomes[outcome] == 0 {
			t.Errorf("never %s: %v", outcome, outcomes)
		}
	}
}

// checkUnresolved checks a refusal: it is where a reference stands.
func checkUnresolved(t rapid.TB, doc Document, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindInvalidReference {
		t.Fatalf("it should not resolve: %v", err)
	}
	checkReferring(t, doc, e.Pointer)
}

func checkReferring(t rapid.TB, doc Document, pointer string) {
	t.Helper()
	p, err := ParsePointer(pointer)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := p.Lookup(doc.Root())
	if text, ok := v.(string); !ok || !strings.Contains(text, openConfig) {
		t.Fatalf("at %q there is no reference in %s", pointer, doc.Canonical())
	}
}

// checkIndifferent checks that nothing but a document and its targets has any
// part in the result: rights are asked for these only.
func checkIndifferent(t rapid.TB, docs map[Path]Document, path Path, effective Effective) {
	t.Helper()
	isTarget := func(path Path) bool {
		return slices.ContainsFunc(effective.Targets, func(target Target) bool { return target.Path == path })
	}
	for _, others := range []Document{{}, NewDocument(map[string]any{"x": "another", "y": []any{"${config:none}"}})} {
		changed, err := Resolve(path, func(asked Path) Document {
			if asked == path || isTarget(asked) {
				return docs[asked]
			}
			return others
		}, MaxDocumentBytes)
		if err != nil || string(changed.Document.Canonical()) != string(effective.Document.Canonical()) {
			t.Fatalf("%s depends on more than %v: %v", path, effective.Targets, err)
		}
	}
}
