package storetest

import (
	"fmt"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// scan reads every page, and checks that pages are full and split no path.
func (n *tenant) scan(t tb, scan store.Scan, limit int) []store.Layer {
	t.Helper()
	var all []store.Layer
	scan.Page.Limit = limit
	for {
		layers, cursor, err := n.ScanLayers(n.ctx, n.ID, scan)
		ok(t, err)
		paths := map[config.Path]bool{}
		for _, l := range layers {
			paths[l.Path] = true
		}
		if len(all) > 0 && len(layers) > 0 && all[len(all)-1].Path == layers[0].Path {
			t.Fatalf("%s is split over two pages", layers[0].Path)
		}
		if len(paths) > limit || cursor != "" && len(paths) != limit {
			t.Fatalf("a page of %d paths, want %d", len(paths), limit)
		}
		all = append(all, layers...)
		if cursor == "" {
			return all
		}
		scan.Page.Cursor = cursor
	}
}

// scanPrefix has every byte that a path may hold next to a prefix's end.
func scanPrefix(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	for _, path := range []string{"A", "a", "a+b", "a-b", "a-b/c", "a.b", "a/0", "a/A", "a/b", "a/b-c", "a/b/c", "a/b/c/d", "a/b0", "a/z~", "a0", "a=b", "a@b", "aa", "a_b", "a~b", "b", "b/a"} {
		n.put(t, layer(base, path, 0, "text"))
	}
	for prefix, want := range map[string][]string{
		"a":       {"a", "a/0", "a/A", "a/b", "a/b-c", "a/b/c", "a/b/c/d", "a/b0", "a/z~"},
		"a/b":     {"a/b", "a/b/c", "a/b/c/d"},
		"a/b/c":   {"a/b/c", "a/b/c/d"},
		"a/b/c/d": {"a/b/c/d"},
		"a-b":     {"a-b", "a-b/c"},
		"a/c":     nil,
		"A":       {"A"},
		"b":       {"b", "b/a"},
	} {
		parsed, err := config.ParsePrefix(prefix)
		ok(t, err)
		for limit := 1; limit <= 10; limit++ {
			var got []string
			for _, l := range n.scan(t, store.Scan{Environments: []config.EnvironmentID{base}, Prefix: parsed}, limit) {
				got = append(got, l.Path.String())
			}
			same(t, got, want)
		}
	}
}

func scanPages(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	for i := range 6 {
		n.put(t, layer(base, fmt.Sprint("p", i), 0, "b"), layer(production, fmt.Sprint("p", i), 0, "p"))
	}
	both := []config.EnvironmentID{base, production}
	for limit := 1; limit <= 8; limit++ { // 6 is exactly the whole list
		same(t, len(n.scan(t, store.Scan{Environments: both}, limit)), 12)
	}
	_, cursor, err := n.ScanLayers(n.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 6}})
	ok(t, err)
	same(t, cursor, store.Cursor(""))
	layers, cursor, err := n.ScanLayers(n.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 2}})
	ok(t, err)
	same(t, len(layers), 4)
	n.put(t, layer(base, "p1", 0, ""), layer(production, "p1", 0, ""), layer(base, "p1a", 0, "new"))
	layers, _, err = n.ScanLayers(n.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 2, Cursor: cursor}})
	ok(t, err)
	same(t, said(layers), []string{"1 p1a@8 new", "1 p2@4 b", "2 p2@4 p"}) // the path a page ended at may go
}

func scanSelection(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "gateway/eu/limits-a", 0, "1"))
	n.put(t, layer(production, "gateway/limits-b", 0, "2"))
	n.put(t, layer(base, "gateway/us", 0, "3"), layer(production, "gateway/us", 0, "4"))
	n.put(t, layer(base, "gateway/us", 0, ""))
	n.put(t, layer(3, "other", 0, "5"))
	n.put(t, layer(base, "dead", 0, "6"))
	n.put(t, layer(base, "dead", 0, ""))

	for _, c := range []struct {
		environments []config.EnvironmentID
		glob         string
		want         []string
	}{
		{[]config.EnvironmentID{base}, "", []string{"1 gateway/eu/limits-a@2 1"}},
		{[]config.EnvironmentID{production}, "", []string{"2 gateway/limits-b@3 2", "2 gateway/us@4 4"}},
		{[]config.EnvironmentID{production, base}, "", []string{
			"1 gateway/eu/limits-a@2 1", "2 gateway/limits-b@3 2", "1 gateway/us@5 deleted", "2 gateway/us@4 4",
		}},
		{[]config.EnvironmentID{production, base}, "gateway/**/limits-*", []string{"1 gateway/eu/limits-a@2 1", "2 gateway/limits-b@3 2"}},
		{[]config.EnvironmentID{production, base}, "gateway/*", []string{"2 gateway/limits-b@3 2", "1 gateway/us@5 deleted", "2 gateway/us@4 4"}},
		{[]config.EnvironmentID{4}, "", nil},
		{nil, "", nil},
	} {
		glob, err := config.ParseGlob(c.glob)
		ok(t, err)
		for limit := 1; limit <= 4; limit++ {
			same(t, said(n.scan(t, store.Scan{Environments: c.environments, Glob: glob}, limit)), c.want)
		}
	}
}

func scanHistory(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.put(t, layer(base, "a", 0, "1"))                                   // 2
	n.put(t, layer(production, "a", 0, "2"), layer(base, "b", 0, "3"))   // 3
	n.put(t, layer(base, "a", 0, ""))                                    // 4
	n.put(t, layer(production, "a", 0, ""))                              // 5
	n.put(t, layer(base, "a", 0, "4"), layer(production, "c/d", 0, "5")) // 6
	both := []config.EnvironmentID{base, production}
	for at, want := range [][]string{
		0: {"1 a@6 4", "2 a@5 deleted", "1 b@3 3", "2 c/d@6 5"},
		1: nil,
		2: {"1 a@2 1"},
		3: {"1 a@2 1", "2 a@3 2", "1 b@3 3"},
		4: {"1 a@4 deleted", "2 a@3 2", "1 b@3 3"},
		5: {"1 b@3 3"},
		6: {"1 a@6 4", "2 a@5 deleted", "1 b@3 3", "2 c/d@6 5"},
	} {
		for limit := 1; limit <= 4; limit++ {
			same(t, said(n.scan(t, store.Scan{At: config.Revision(at), Environments: both}, limit)), want)
		}
	}
}
