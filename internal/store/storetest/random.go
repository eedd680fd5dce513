package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// reference is a naive store: every version of every layer in a list and of
// every rule, and the rest as it stands.
type reference struct {
	revision  config.Revision
	layers    []store.Layer
	secrets   map[secretPlace]*referenceSecret
	rules     map[rulePlace][]store.Rule // oldest first
	usage     store.Usage
	decisions map[[32]byte]store.PastDecision
	decided   time.Duration // how many there have been, in nanoseconds
}

var referencePaths = []string{"a", "a-b", "a/b", "a/b/c", "a0", "b", "b/a"}

// newest is the layer's version as of a revision; its Version is 0 for none.
func (r *reference) newest(at config.Revision, environment config.EnvironmentID, path string) store.Layer {
	var found store.Layer
	for _, l := range r.layers {
		if l.Environment == environment && l.Path.String() == path && l.Revision <= at {
			found = l
		}
	}
	return found
}

// at are the layers at a path as of a revision.
func (r *reference) at(at config.Revision, path string) []store.Layer {
	var layers []store.Layer
	for _, e := range []config.EnvironmentID{base, production} {
		if l := r.newest(at, e, path); l.Version != 0 {
			layers = append(layers, l)
		}
	}
	return layers
}

// random compares the store with the reference over random changes.
func random(t *testing.T, w *world) {
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		made++
		id := config.TenantID{0: 1, 14: byte(made >> 8), 15: byte(made)}
		name := fmt.Sprint("tenant-", made)
		_, err := w.CreateTenant(w.ctx, config.Tenant{ID: id, Name: name}, founding(id), serverWrite(name))
		ok(rt, err)
		n := &tenant{w, config.Tenant{ID: id, Name: name}}
		r := &reference{
			revision: 1, secrets: map[secretPlace]*referenceSecret{},
			rules: map[rulePlace][]store.Rule{}, decisions: map[[32]byte]store.PastDecision{},
		}
		steps := []func(*rapid.T, *tenant){r.change, r.change, r.changeSecret, r.changeSecret, r.rewrap, r.changeRules, r.changeRules, r.decide}
		for range rapid.IntRange(1, 25).Draw(rt, "changes") {
			rapid.SampledFrom(steps).Draw(rt, "step")(rt, n)
		}
		r.compare(rt, n)
		r.compareSecrets(rt, n)
		r.compareRules(rt, n)
		auditOf(rt, w, id)
	})
	auditOf(t, w, config.TenantID{})
}

// change commits a random change, which must be refused exactly when something
// moved that it expected to stand still.
func (r *reference) change(t *rapid.T, n *tenant) {
	change := write()
	paths := rapid.SliceOfNDistinct(rapid.SampledFrom(referencePaths), 1, 3, rapid.ID[string]).Draw(t, "paths")
	for _, path := range paths {
		for _, e := range rapid.SampledFrom([][]config.EnvironmentID{{base}, {production}, {base, production}}).Draw(t, "environments") {
			text := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "text")
			change.Layers = append(change.Layers, layer(e, path, r.newest(r.revision, e, path).Version+1, text))
		}
	}
	watched := rapid.SampledFrom(referencePaths).Draw(t, "watched")
	since := config.Revision(rapid.Int64Range(max(1, int64(r.revision)-4), int64(r.revision)).Draw(t, "since"))
	change.Expect = store.Expect{Revision: since, Paths: pathsOf([]string{watched})}
	moved := slices.ContainsFunc(r.at(r.revision, watched), func(l store.Layer) bool { return l.Revision > since })

	receipt, err := n.Commit(n.ctx, n.ID, change)
	if moved {
		if config.KindOf(err) != config.KindConflict {
			t.Fatalf("%s moved since %d, and the error is %v", watched, since, err)
		}
		return
	}
	ok(t, err)
	r.revision++
	same(t, receipt.Revision, r.revision)
	for _, l := range change.Layers {
		r.layers = append(r.layers, store.Layer{
			Path: l.Path, Environment: l.Environment, Version: l.Version, Revision: receipt.Revision,
			Time: receipt.Time, Author: change.Entry.Author, State: l.State, Sealed: l.Sealed,
		})
	}
}

// compare reads everything, now and at a random revision.
func (r *reference) compare(t *rapid.T, n *tenant) {
	at := config.Revision(rapid.Int64Range(1, int64(r.revision)).Draw(t, "at"))
	limit := rapid.IntRange(1, 8).Draw(t, "limit")
	prefix, err := config.ParsePrefix(rapid.SampledFrom([]string{"", "a", "a/b", "b"}).Draw(t, "prefix"))
	ok(t, err)
	var all, scanned []store.Layer
	for _, path := range referencePaths {
		layers := r.at(at, path)
		all = append(all, layers...)
		live := slices.ContainsFunc(layers, func(l store.Layer) bool { return l.State == store.Live })
		if live && prefix.Contains(config.MustPath(path)) {
			scanned = append(scanned, layers...)
		}
	}
	same(t, n.at(t, at, referencePaths...), all)
	both := []config.EnvironmentID{base, production}
	same(t, n.scan(t, store.Scan{At: at, Environments: both, Prefix: prefix}, limit), scanned)
	if at == r.revision {
		same(t, n.at(t, 0, referencePaths...), all)
		same(t, n.scan(t, store.Scan{Environments: both, Prefix: prefix}, limit), scanned)
	}
	for _, l := range r.layers {
		got, err := n.LayerVersion(n.ctx, n.ID, l.Environment, l.Path, l.Version)
		ok(t, err)
		same(t, got, l)
	}
}
