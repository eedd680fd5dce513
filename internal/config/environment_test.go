package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// grow makes a tree of "name:parent" in the order of their ids, from 1 up; a
// parent is a name, or a number that is taken for an id.
func grow(lines ...string) (*Tree, error) {
	ids := make(map[string]EnvironmentID)
	for i, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		ids[name] = EnvironmentID(i + 1)
	}
	environments := make([]Environment, len(lines))
	for i, line := range lines {
		name, parent, _ := strings.Cut(line, ":")
		e := Environment{ID: EnvironmentID(i + 1), Name: name, Parent: ids[parent]}
		_, _ = fmt.Sscanf(parent, "%d", &e.Parent)
		environments[i] = e
	}
	return NewTree(environments)
}

func mustGrow(t testing.TB, lines ...string) *Tree {
	t.Helper()
	tree, err := grow(lines...)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTreeRefuses(t *testing.T) {
	ladder := func(n int) (lines []string) {
		parent := ""
		for i := range n {
			name := fmt.Sprintf("e%d", i)
			lines = append(lines, name+":"+parent)
			parent = name
		}
		return lines
	}
	flat := func(n int) (lines []string) {
		for i := range n {
			lines = append(lines, fmt.Sprintf("e%d", i))
		}
		return lines
	}
	for name, c := range map[string]struct {
		kind  Kind
		lines []string
	}{
		"its own parent":        {KindInvalidTree, []string{"a:a"}},
		"a cycle of two":        {KindInvalidTree, []string{"a:b", "b:a"}},
		"a cycle above":         {KindInvalidTree, []string{"a:b", "b:c", "c:b"}},
		"a cycle of all":        {KindInvalidTree, []string{"a:c", "b:a", "c:b"}},
		"no such parent":        {KindInvalidTree, []string{"base", "a:77"}},
		"a name twice":          {KindAlreadyExists, []string{"base", "a:base", "a:base"}},
		"a bad name":            {KindInvalidName, []string{"base", "A:base"}},
		"no name":               {KindInvalidName, []string{""}},
		"too deep":              {KindTooLarge, ladder(MaxTreeDepth + 1)},
		"too many":              {KindTooLarge, flat(MaxEnvironments + 1)},
		"as deep as is allowed": {"", ladder(MaxTreeDepth)},
		"as many as is allowed": {"", flat(MaxEnvironments)},
		"none":                  {"", nil},
	} {
		tree, err := grow(c.lines...)
		if KindOf(err) != c.kind || (tree == nil) != (err != nil) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, ids := range [][]EnvironmentID{{0}, {1, 1}} {
		var environments []Environment
		for i, id := range ids {
			environments = append(environments, Environment{ID: id, Name: fmt.Sprintf("e%d", i)})
		}
		if _, err := NewTree(environments); KindOf(err) != KindInvalidTree {
			t.Errorf("ids %v: got %v", ids, err)
		}
	}
	var e *Error
	if _, err := grow(ladder(MaxTreeDepth + 1)...); !errors.As(err, &e) || e.Limit != MaxTreeDepth || e.Actual <= e.Limit {
		t.Errorf("the figures are missing: %+v", e)
	}
}

func TestFirstEnvironmentsFormATree(t *testing.T) {
	var lines []string
	for i, name := range FirstEnvironments {
		if i == 0 {
			lines = append(lines, name)
		} else {
			lines = append(lines, name+":"+BaseEnvironment)
		}
	}
	tree := mustGrow(t, lines...)
	for _, name := range FirstEnvironments[1:] {
		e, err := tree.Named(name)
		if err != nil || !slices.Equal(tree.Chain(e.ID), []EnvironmentID{e.ID, 1}) {
			t.Errorf("%s: %v, %v", name, tree.Chain(e.ID), err)
		}
	}
}

func TestTreeAnswers(t *testing.T) {
	tree := mustGrow(t, "base", "production:base", "eu:production", "eu-1:eu", "staging:base", "lone")
	if e, err := tree.Named("eu"); err != nil || e != (Environment{ID: 3, Name: "eu", Parent: 2}) {
		t.Errorf("Named: got %+v, %v", e, err)
	}
	if e, err := tree.Named("us"); KindOf(err) != KindNotFound || e != (Environment{}) {
		t.Errorf("Named of none: got %+v, %v", e, err)
	}
	if e, ok := tree.Get(4); !ok || e.Name != "eu-1" || tree.Name(4) != "eu-1" {
		t.Errorf("Get: got %+v", e)
	}
	if _, ok := tree.Get(77); ok || tree.Name(77) != "" || tree.Chain(77) != nil || tree.Heirs(77) != nil {
		t.Error("there is an environment 77")
	}
	for id, want := range map[EnvironmentID][]EnvironmentID{1: {1}, 3: {3, 2, 1}, 4: {4, 3, 2, 1}, 6: {6}} {
		if got := tree.Chain(id); !slices.Equal(got, want) {
			t.Errorf("chain of %d: got %v", id, got)
		}
	}
	for id, want := range map[EnvironmentID][]EnvironmentID{1: {1, 2, 3, 4, 5}, 2: {2, 3, 4}, 4: {4}, 6: {6}} {
		if got := tree.Heirs(id); !slices.Equal(got, want) {
			t.Errorf("heirs of %d: got %v", id, got)
		}
	}
	all := tree.All()
	if len(all) != 6 || !slices.IsSortedFunc(all, func(a, b Environment) int { return int(a.ID) - int(b.ID) }) {
		t.Errorf("All: got %v", all)
	}
}

// Whatever the parents are: a tree that is made has finite chains that follow
// them, and heirs are the reverse of chains.
func TestTreesOfRandomParents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parents := rapid.SliceOfN(rapid.Uint32Range(0, 9), 1, 9).Draw(t, "parents")
		environments := make([]Environment, len(parents))
		for i, parent := range parents {
			environments[i] = Environment{ID: EnvironmentID(i + 1), Name: fmt.Sprintf("e%d", i), Parent: EnvironmentID(parent)}
		}
		tree, err := NewTree(environments)
		if err != nil {
			if kind := KindOf(err); kind != KindInvalidTree && kind != KindTooLarge {
				t.Fatal(err)
			}
			return
		}
		for _, e := range environments {
			chain := tree.Chain(e.ID)
			for i, id := range chain {
				var next EnvironmentID
				if i+1 < len(chain) {
					next = chain[i+1]
				}
				if parent := environments[id-1].Parent; parent != next {
					t.Fatalf("chain %v does not follow the parent %d of %d", chain, parent, id)
				}
			}
			for _, other := range environments {
				if slices.Contains(tree.Heirs(other.ID), e.ID) != slices.Contains(chain, other.ID) {
					t.Fatalf("%d as heir of %d does not fit the chain %v", e.ID, other.ID, chain)
				}
			}
		}
	})
}
