package storetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Environments that every tenant of the suite begins with.
const (
	base       config.EnvironmentID = 1
	production config.EnvironmentID = 2
)

// world is a store under test and the clock it reads.
type world struct {
	store.Store
	ctx   context.Context
	clock *clock
	made  byte // tenants so far
}

func newWorld(t *testing.T, open func(*testing.T, func() time.Time) store.Store) *world {
	c := &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	return &world{Store: open(t, c.read), ctx: t.Context(), clock: c}
}

// clock stands still until it is told to move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tenant is one tenant of a world.
type tenant struct {
	*world
	config.Tenant
}

// createTenant makes a tenant with the environments base and production.
func (w *world) createTenant(t tb, name string) *tenant {
	t.Helper()
	w.made++
	made := config.Tenant{ID: config.TenantID{15: w.made}, Name: name, Created: w.clock.read()}
	_, err := w.CreateTenant(w.ctx, made, founding(made.ID), serverWrite(name))
	ok(t, err)
	return &tenant{w, made}
}

func founding(id config.TenantID) store.Write {
	return store.Write{
		Entry: store.Entry{Kind: store.EntryTenant, Author: "founder", Subject: store.Subject{Path: "tenant"}, Sealed: []byte("founded")},
		Environments: []store.EnvironmentWrite{
			{Environment: config.Environment{ID: base, Name: "base", Version: 1}},
			{Environment: config.Environment{ID: production, Name: "production", Parent: base, Version: 1}},
		},
		Audit: audit.Record{Event: "tenant.create", Tenant: id.String(), Outcome: audit.Success},
	}
}

func serverWrite(subject string) store.Write {
	return store.Write{
		Entry: store.Entry{Kind: store.EntryTenant, Author: "server", Subject: store.Subject{Path: subject}, Sealed: []byte("of " + subject)},
		Audit: audit.Record{Event: "tenant", Outcome: audit.Success, Resource: subject},
	}
}

// layer is a write of one layer; "" deletes it.
func layer(environment config.EnvironmentID, path string, version config.Version, text string) store.LayerWrite {
	l := store.LayerWrite{Environment: environment, Path: config.MustPath(path), Version: version, State: store.Live, Sealed: []byte(text)}
	if text == "" {
		l.State, l.Sealed = store.Deleted, nil
	}
	return l
}

// write is a change of some layers.
func write(layers ...store.LayerWrite) store.Write {
	return store.Write{
		Entry:  store.Entry{Kind: store.EntryChange, Author: "ann", Subject: store.Subject{Path: "change"}, Sealed: []byte("sealed entry")},
		Layers: layers,
		Audit:  audit.Record{Event: "config.change", Actor: "ann", Action: "config.write", Outcome: audit.Success},
	}
}

// commit must succeed.
func (n *tenant) commit(t tb, w store.Write) store.Receipt {
	t.Helper()
	receipt, err := n.Commit(n.ctx, n.ID, w)
	ok(t, err)
	return receipt
}

// put commits layers, each at its next version.
func (n *tenant) put(t tb, layers ...store.LayerWrite) store.Receipt {
	t.Helper()
	for i := range layers {
		layers[i].Version = 1
		for _, l := range n.at(t, 0, layers[i].Path.String()) {
			if l.Environment == layers[i].Environment {
				layers[i].Version = l.Version + 1
			}
		}
	}
	return n.commit(t, write(layers...))
}

// at reads layers as they stood at a revision.
func (n *tenant) at(t tb, at config.Revision, paths ...string) []store.Layer {
	t.Helper()
	layers, err := n.LayersAt(n.ctx, n.ID, at, pathsOf(paths))
	ok(t, err)
	return layers
}

func (n *tenant) revision(t tb) config.Revision {
	t.Helper()
	revision, err := n.Revision(n.ctx, n.ID)
	ok(t, err)
	return revision
}

func pathsOf(texts []string) []config.Path {
	paths := make([]config.Path, len(texts))
	for i, text := range texts {
		paths[i] = config.MustPath(text)
	}
	return paths
}

// said is what layers say, in short: "base gateway@3 text".
func said(layers []store.Layer) []string {
	var lines []string
	for _, l := range layers {
		text := string(l.Sealed)
		if l.State == store.Deleted {
			text = "deleted"
		}
		lines = append(lines, fmt.Sprintf("%d %s@%d %s", l.Environment, l.Path, l.Revision, text))
	}
	return lines
}

// pages reads a list to its end, and checks that no page but the last is short.
func pages[T any](t tb, limit int, read func(store.Page) ([]T, store.Cursor, error)) []T {
	t.Helper()
	var all []T
	page := store.Page{Limit: limit}
	for {
		items, cursor, err := read(page)
		ok(t, err)
		all = append(all, items...)
		if cursor == "" {
			return all
		}
		if len(items) != limit {
			t.Fatalf("a page of %d items with more to come, want %d", len(items), limit)
		}
		page.Cursor = cursor
	}
}

// tb is what cases need of a *testing.T or a *rapid.T.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

func ok(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t tb, err error, kind config.Kind) {
	t.Helper()
	if config.KindOf(err) != kind {
		t.Fatalf("the error is %v, want one of kind %s", err, kind)
	}
}

// same compares, telling apart nothing that a database cannot.
func same(t tb, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b config.Path) bool { return a == b }),
		cmp.Comparer(func(a, b []byte) bool { return slices.Equal(a, b) })); diff != "" {
		t.Fatalf("want -, got +:\n%s", diff)
	}
}

// digest is a key whose bytes tell n.
func digest(n uint64) (h [32]byte) {
	binary.BigEndian.PutUint64(h[:], n)
	return h
}
