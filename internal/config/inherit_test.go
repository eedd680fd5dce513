package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stage is an environment of the reference implementation of inheritance: it
// asks its parent, and lays its own layers over the answer.
type stage struct {
	name   string
	parent *stage
	own    map[Path]Document
}

func (s *stage) table(path Path) table {
	t := table{}
	if s.parent != nil {
		t = s.parent.table(path)
	}
	if own, ok := s.own[path]; ok {
		t.write(own)
	}
	return t
}

func (s *stage) inherits(from string) bool {
	return s.name == from || s.parent != nil && s.parent.inherits(from)
}

// world is a tenant: its environments as the product has them, and as the
// reference implementation does.
type world struct {
	tree   *Tree
	layers map[EnvironmentID]map[Path]Document
	stages []*stage // by id, from 1
}

// drawWorld makes environments with random parents, development and production
// among them.
func drawWorld(t *rapid.T) *world {
	names := rapid.Permutation([]string{"development", "production", "base", "staging", "edge", "eu"}).Draw(t, "names")
	w := &world{layers: map[EnvironmentID]map[Path]Document{}}
	var environments []Environment
	for i, name := range names {
		e := Environment{ID: EnvironmentID(i + 1), Name: name}
		s := &stage{name: name, own: map[Path]Document{}}
		if parent := rapid.IntRange(0, i).Draw(t, "parent of "+name); parent > 0 {
			e.Parent, s.parent = EnvironmentID(parent), w.stages[parent-1]
		}
		environments, w.stages = append(environments, e), append(w.stages, s)
		w.layers[e.ID] = map[Path]Document{}
	}
	tree, err := NewTree(rapid.Permutation(environments).Draw(t, "order"))
	if err != nil {
		t.Fatal(err)
	}
	w.tree = tree
	return w
}

// merged is what the product says.
func (w *world) merged(id EnvironmentID, path Path) Document {
	var layers []Document
	for _, environment := range w.tree.Chain(id) {
		layers = append(layers, w.layers[environment][path])
	}
	return Merge(layers)
}

var worldPaths = []Path{MustPath("models"), MustPath("limits"), MustPath("prompts/support")}

// A scalar of a world says which environment it was written in; some are
// references, through which it might get elsewhere.
func (w *world) scalars(t *rapid.T, environment string) *rapid.Generator[any] {
	kinds := []any{"set in " + environment + ";", "set in " + environment + ";", 1.0}
	for _, path := range worldPaths {
		kinds = append(kinds, "${config:"+path.String()+"#/a}", "and ${config:"+path.String()+"#/b/c}")
	}
	return rapid.SampledFrom(kinds)
}

func (w *world) edit(t *rapid.T) {
	e := rapid.SampledFrom(w.tree.All()).Draw(t, "environment")
	path := rapid.SampledFrom(worldPaths).Draw(t, "path")
	own := w.stages[e.ID-1].own
	if rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
		delete(w.layers[e.ID], path)
		delete(own, path)
		return
	}
	layer := layersOf(w.scalars(t, e.Name)).Draw(t, "layer")
	w.layers[e.ID][path], own[path] = layer, layer
}

// TestWhatOneStageSaysStaysThere is the promise of the product: a value set
// only in development never appears in production, nor anything that is set
// anywhere but in an environment and those it inherits from.
func TestWhatOneStageSaysStaysThere(t *testing.T) {
	appeared := map[bool]int{} // whether the value was the environment's own → how often
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 15).Draw(t, "edits") {
			w.edit(t)
		}
		for _, e := range w.tree.All() {
			for _, path := range worldPaths {
				merged := w.merged(e.ID, path)
				sameDocument(t, path.String()+" in "+e.Name, w.stages[e.ID-1].table(path).document(), merged)
				effective, err := Resolve(path, func(p Path) Document { return w.merged(e.ID, p) }, MaxDocumentBytes)
				if err != nil && KindOf(err) != KindInvalidReference {
					t.Fatal(err)
				}
				for _, doc := range []Document{merged, effective.Document} {
					for _, from := range w.tree.All() {
						if !strings.Contains(string(doc.Canonical()), "set in "+from.Name+";") {
							continue
						}
						appeared[e.ID == from.ID]++
						if !w.stages[e.ID-1].inherits(from.Name) {
							t.Fatalf("%s in %s has a value from %s:\n%s", path, e.Name, from.Name, doc.Canonical())
						}
					}
				}
			}
		}
	})
	if appeared[true] == 0 || appeared[false] == 0 {
		t.Errorf("the edits do not put the promise to the test: %v", appeared)
	}
}

// In the environments that every tenant begins with, only base is inherited.
func TestFirstStagesShareBaseOnly(t *testing.T) {
	environments := make([]Environment, len(FirstEnvironments))
	for i, name := range FirstEnvironments {
		environments[i] = Environment{ID: EnvironmentID(i + 1), Name: name, Parent: min(EnvironmentID(i), 1)}
	}
	tree, err := NewTree(environments)
	if err != nil {
		t.Fatal(err)
	}
	path := MustPath("models")
	w := world{tree: tree, layers: map[EnvironmentID]map[Path]Document{}}
	for _, e := range environments {
		w.layers[e.ID] = map[Path]Document{path: mustJSON(t, fmt.Sprintf(`{"who":%q,"only":{%q:true}}`, e.Name, e.Name))}
	}
	for _, e := range environments {
		only, _ := w.merged(e.ID, path).Root()["only"].(map[string]any)
		want := slices.Compact(slices.Sorted(slices.Values([]string{BaseEnvironment, e.Name})))
		if got := slices.Sorted(maps.Keys(only)); !slices.Equal(want, got) {
			t.Errorf("%s: want what %v say, got %v", e.Name, want, got)
		}
	}
}
