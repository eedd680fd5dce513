package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func layersAtRevisions(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "gateway", 0, "b1"))                                              // 2
	n.put(t, layer(production, "gateway", 0, "p1"), layer(base, "models", 0, "m1"))        // 3
	n.put(t, layer(base, "gateway", 0, "b2"))                                              // 4
	n.put(t, layer(production, "gateway", 0, ""))                                          // 5
	n.put(t, layer(production, "gateway", 0, "p3"), layer(production, "models", 0, "m1p")) // 6

	for at, want := range [][]string{
		0: {"1 gateway@4 b2", "2 gateway@6 p3", "1 models@3 m1", "2 models@6 m1p"},
		1: nil,
		2: {"1 gateway@2 b1"},
		3: {"1 gateway@2 b1", "2 gateway@3 p1", "1 models@3 m1"},
		4: {"1 gateway@4 b2", "2 gateway@3 p1", "1 models@3 m1"},
		5: {"1 gateway@4 b2", "2 gateway@5 deleted", "1 models@3 m1"},
		6: {"1 gateway@4 b2", "2 gateway@6 p3", "1 models@3 m1", "2 models@6 m1p"},
	} {
		same(t, said(n.at(t, config.Revision(at), "models", "absent", "gateway", "models")), want)
		same(t, said(n.at(t, config.Revision(at), "gateway")), atPath(want, "gateway"))
	}
	same(t, len(n.at(t, 0)), 0)

	entries, err := w.EntriesOf(w.ctx, n.ID, []config.Revision{6})
	ok(t, err)
	same(t, n.at(t, 0, "gateway")[1], store.Layer{
		Path: config.MustPath("gateway"), Environment: production, Version: 3, Revision: 6,
		Time: entries[0].Time, Author: "ann", State: store.Live, Sealed: []byte("p3"),
	})
}

func atPath(lines []string, path string) []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, line := range lines {
			if strings.Contains(line, " "+path+"@") && !yield(line) {
				return
			}
		}
	})
}

// layerText stores paths and bodies that databases are known to confuse.
func layerText(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	paths := []string{"A", "Aa", "a", "a+b", "a-b", "a.b", "a/B", "a/b", "a0", "a=b", "a@b", "aA", "a_b", "a~b", "aa", strings.Repeat("x", 512)}
	slices.Sort(paths)
	for i, path := range paths {
		n.put(t, layer(base, path, 0, fmt.Sprint("body ", i)))
	}
	for i, path := range paths {
		layers := n.at(t, 0, path)
		same(t, len(layers), 1)
		same(t, layers[0].Path.String(), path)
		same(t, string(layers[0].Sealed), fmt.Sprint("body ", i))
	}
	var scanned []string
	for _, l := range n.scan(t, store.Scan{Environments: []config.EnvironmentID{base}}, 3) {
		scanned = append(scanned, l.Path.String())
	}
	same(t, scanned, paths)

	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	n.put(t, layer(production, "bytes", 0, string(body)))
	same(t, n.at(t, 0, "bytes")[0].Sealed, body)
	change := write(layer(production, "bytes", 2, "x"))
	change.Entry.Author = "Ünï ' \" % _ \\ 漢字"
	n.commit(t, change)
	same(t, n.at(t, 0, "bytes")[0].Author, change.Entry.Author)
}

func large(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	change := write()
	for i := range 1000 {
		change.Layers = append(change.Layers, layer(base, fmt.Sprintf("many/%03d", i), 1, strings.Repeat("x", 100)))
	}
	n.commit(t, change)
	same(t, len(n.scan(t, store.Scan{Environments: []config.EnvironmentID{base}}, 1000)), 1000)
	body := bytes.Repeat([]byte{0xa5}, 11<<20)
	n.put(t, layer(base, "big", 0, string(body)))
	same(t, n.at(t, 0, "big")[0].Sealed, body)
}

func layerVersions(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	for i := range 9 {
		n.put(t, layer(base, "gateway", 0, fmt.Sprint("b", i+1)))
		for range i { // versions are spread unevenly over revisions
			n.put(t, layer(production, "gateway", 0, "p"))
		}
	}
	n.put(t, layer(base, "gateway", 0, ""))
	n.put(t, layer(base, "gateway", 0, "b11")) // a version goes on after a delete
	for v := config.Version(1); v <= 11; v++ {
		found, err := w.LayerVersion(w.ctx, n.ID, base, config.MustPath("gateway"), v)
		ok(t, err)
		same(t, found.Version, v)
		if want := fmt.Sprint("b", v); v != 10 {
			same(t, string(found.Sealed), want)
		} else {
			same(t, found.State, store.Deleted)
		}
	}
	for _, v := range []config.Version{-1, 0, 12} {
		_, err := w.LayerVersion(w.ctx, n.ID, base, config.MustPath("gateway"), v)
		refused(t, err, config.KindNotFound)
	}
	_, err := w.LayerVersion(w.ctx, n.ID, 3, config.MustPath("gateway"), 1)
	refused(t, err, config.KindNotFound)
	_, err = w.LayerVersion(w.ctx, n.ID, base, config.MustPath("gateway2"), 1)
	refused(t, err, config.KindNotFound)

	for _, version := range []config.Version{0, 11, 13} {
		_, err := w.Commit(w.ctx, n.ID, write(layer(base, "gateway", version, "x")))
		refused(t, err, config.KindConflict)
	}
	_, err = w.Commit(w.ctx, n.ID, write(layer(base, "new", 2, "x")))
	refused(t, err, config.KindConflict)
}

func versionsPages(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	var want []string
	for i := range 5 {
		both := n.put(t, layer(base, "gateway", 0, "b"), layer(production, "gateway", 0, "p"), layer(3, "gateway", 0, "x"))
		one := n.put(t, layer(production, "gateway", 0, map[bool]string{true: "p"}[i != 2]))
		want = append(want, fmt.Sprint(both.Revision, " 2"), fmt.Sprint(both.Revision, " 1"), fmt.Sprint(one.Revision, " 2"))
	}
	slices.SortStableFunc(want, func(a, b string) int { // newest first, by environment within a revision
		var ra, ea, rb, eb int
		fmt.Sscan(a, &ra, &ea)
		fmt.Sscan(b, &rb, &eb)
		return (rb-ra)*10 + (ea - eb)
	})
	for limit := 1; limit <= 16; limit++ {
		all := pages(t, limit, func(p store.Page) ([]store.Layer, store.Cursor, error) {
			return w.Versions(w.ctx, n.ID, []config.EnvironmentID{production, base}, config.MustPath("gateway"), p)
		})
		var got []string
		for _, l := range all {
			got = append(got, fmt.Sprint(l.Revision, " ", l.Environment))
			same(t, len(l.Sealed), 0)
			same(t, l.Author, "ann")
			same(t, l.Time.IsZero(), false)
		}
		same(t, got, want)
	}
}

func destroy(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "gateway", 0, "pasted key"))
	newest := store.LayerDestroy{Environment: base, Path: config.MustPath("gateway"), Version: 1, Sealed: []byte("digest")}
	destroying := func(d ...store.LayerDestroy) store.Write {
		change := write()
		change.Entry.Kind, change.Destroy = store.EntryDestroy, d
		return change
	}
	_, err := w.Commit(w.ctx, n.ID, destroying(newest))
	refused(t, err, config.KindConflict)
	n.put(t, layer(base, "gateway", 0, "clean"))
	n.put(t, layer(base, "gateway", 0, ""))
	n.put(t, layer(base, "gateway", 0, "again"))

	before := n.at(t, 2, "gateway")[0]
	n.commit(t, destroying(newest))
	before.State, before.Sealed = store.Destroyed, []byte("digest")
	same(t, n.at(t, 2, "gateway"), []store.Layer{before})
	found, err := w.LayerVersion(w.ctx, n.ID, base, config.MustPath("gateway"), 1)
	ok(t, err)
	same(t, found, before)
	same(t, said(n.at(t, 3, "gateway")), []string{"1 gateway@3 clean"})
	same(t, said(n.scan(t, store.Scan{At: 2, Environments: []config.EnvironmentID{base}}, 5)), []string{"1 gateway@2 digest"})

	for kind, d := range map[config.Kind]store.LayerDestroy{
		config.KindGone:     newest,
		config.KindNotFound: {Environment: base, Path: config.MustPath("gateway"), Version: 5},
		config.KindConflict: {Environment: base, Path: config.MustPath("gateway"), Version: 4},
	} {
		_, err := w.Commit(w.ctx, n.ID, destroying(d))
		refused(t, err, kind)
	}
	_, err = w.Commit(w.ctx, n.ID, destroying(store.LayerDestroy{Environment: base, Path: config.MustPath("gateway"), Version: 3}))
	refused(t, err, config.KindNotFound) // it is a deletion
	_, err = w.Commit(w.ctx, n.ID, destroying(store.LayerDestroy{Environment: production, Path: config.MustPath("gateway"), Version: 1}))
	refused(t, err, config.KindNotFound)

	change := destroying(store.LayerDestroy{Environment: base, Path: config.MustPath("gateway"), Version: 4, Sealed: []byte("d4")})
	change.Layers = []store.LayerWrite{layer(base, "gateway", 5, "new")}
	n.commit(t, change) // what the same write supersedes is not the newest
	found, err = w.LayerVersion(w.ctx, n.ID, base, config.MustPath("gateway"), 4)
	ok(t, err)
	same(t, string(found.Sealed), "d4")
}

func edges(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	refer := func(environment config.EnvironmentID, from string, version config.Version, add, drop []string) {
		t.Helper()
		l := layer(environment, from, version, "text")
		l.AddEdges, l.DropEdges = pathsOf(add), pathsOf(drop)
		n.commit(t, write(l))
	}
	refer(base, "x", 1, []string{"limits", "models"}, nil)
	refer(production, "x", 1, []string{"limits"}, nil)
	refer(base, "a", 1, []string{"limits", "limits/eu"}, nil)
	refer(base, "a", 2, []string{"limits"}, []string{"limits/eu"})

	got, err := w.Referrers(w.ctx, n.ID, pathsOf([]string{"models", "limits", "limits/eu", "limits"}))
	ok(t, err)
	limits, models, a, x := config.MustPath("limits"), config.MustPath("models"), config.MustPath("a"), config.MustPath("x")
	same(t, got, []store.Edge{
		{From: a, Environment: base, To: limits}, {From: x, Environment: base, To: limits},
		{From: x, Environment: base, To: models}, {From: x, Environment: production, To: limits},
	})
	l := layer(base, "x", 2, "")
	l.DropEdges = pathsOf([]string{"limits", "models"})
	n.commit(t, write(l))
	got, err = w.Referrers(w.ctx, n.ID, pathsOf([]string{"limits", "models"}))
	ok(t, err)
	same(t, got, []store.Edge{{From: a, Environment: base, To: limits}, {From: x, Environment: production, To: limits}})
	got, err = w.Referrers(w.ctx, n.ID, nil)
	ok(t, err)
	same(t, len(got), 0)
}
