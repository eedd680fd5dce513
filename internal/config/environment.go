package config

import (
	"maps"
	"slices"
)

// The environments every tenant begins with.
const (
	BaseEnvironment = "base"
	MaxEnvironments = 64
	MaxTreeDepth    = 8
)

// FirstEnvironments are the names created with a tenant: base, and the others
// as its children. No stage is the parent of the next: a value that is set only
// in development can never show up in production.
var FirstEnvironments = []string{BaseEnvironment, "development", "staging", "production", "edge"}

// Environment is where settings apply. Parent is zero for a root.
type Environment struct {
	ID             EnvironmentID
	Name           string
	Parent         EnvironmentID
	IsolateSecrets bool // it inherits no secrets, though it inherits documents
	Version        Version
}

// Tree is a tenant's environments at one revision. It is immutable, and valid:
// unique names, parents that exist, no cycle.
type Tree struct {
	byID   map[EnvironmentID]Environment
	byName map[string]EnvironmentID
	chains map[EnvironmentID][]EnvironmentID // an environment and its ancestors, itself first
}

// NewTree checks environments and makes a tree of them. The error is of
// KindInvalidTree, KindInvalidName, KindAlreadyExists or KindTooLarge.
func NewTree(environments []Environment) (*Tree, error) {
	if len(environments) > MaxEnvironments {
		return nil, Errorf(KindTooLarge, "a tenant has too many environments").Over(MaxEnvironments, int64(len(environments)))
	}
	t := &Tree{
		byID:   make(map[EnvironmentID]Environment, len(environments)),
		byName: make(map[string]EnvironmentID, len(environments)),
		chains: make(map[EnvironmentID][]EnvironmentID, len(environments)),
	}
	for _, e := range environments {
		if err := CheckName(e.Name); err != nil {
			return nil, err
		}
		if _, taken := t.byName[e.Name]; taken {
			return nil, Errorf(KindAlreadyExists, "there is an environment %q already", e.Name)
		}
		if _, taken := t.byID[e.ID]; taken || e.ID == 0 {
			return nil, Errorf(KindInvalidTree, "environment %q has no id of its own", e.Name)
		}
		t.byID[e.ID], t.byName[e.Name] = e, e.ID
	}
	for _, e := range environments {
		chain, err := t.climb(e)
		if err != nil {
			return nil, err
		}
		t.chains[e.ID] = chain
	}
	return t, nil
}

func (t *Tree) climb(e Environment) ([]EnvironmentID, error) {
	chain := []EnvironmentID{e.ID}
	for at := e; at.Parent != 0; {
		parent, ok := t.byID[at.Parent]
		if !ok {
			return nil, Errorf(KindInvalidTree, "the parent of environment %q does not exist", at.Name)
		}
		if slices.Contains(chain, parent.ID) {
			return nil, Errorf(KindInvalidTree, "environment %q would be its own ancestor", e.Name)
		}
		if chain = append(chain, parent.ID); len(chain) > MaxTreeDepth {
			return nil, Errorf(KindTooLarge, "environment %q has too many ancestors", e.Name).Over(MaxTreeDepth, int64(len(chain)))
		}
		at = parent
	}
	return chain, nil
}

// Named finds an environment by name; the error is of KindNotFound.
func (t *Tree) Named(name string) (Environment, error) {
	id, ok := t.byName[name]
	if !ok {
		return Environment{}, Errorf(KindNotFound, "there is no environment %q", name).Hint("`llm-config env ls` lists them")
	}
	return t.byID[id], nil
}

// Get finds an environment by id.
func (t *Tree) Get(id EnvironmentID) (Environment, bool) {
	e, ok := t.byID[id]
	return e, ok
}

// Name is the name of an environment, "" when there is none of this id.
func (t *Tree) Name(id EnvironmentID) string { return t.byID[id].Name }

// Chain is the environment and its ancestors, itself first. Callers must not change it.
func (t *Tree) Chain(id EnvironmentID) []EnvironmentID { return t.chains[id] }

// Heirs are the environments that inherit from id, itself among them, by id.
func (t *Tree) Heirs(id EnvironmentID) []EnvironmentID {
	var heirs []EnvironmentID
	for heir, chain := range t.chains {
		if slices.Contains(chain, id) {
			heirs = append(heirs, heir)
		}
	}
	slices.Sort(heirs)
	return heirs
}

// All are the environments by id.
func (t *Tree) All() []Environment {
	all := slices.Collect(maps.Values(t.byID))
	slices.SortFunc(all, func(a, b Environment) int { return int(a.ID) - int(b.ID) })
	return all
}
