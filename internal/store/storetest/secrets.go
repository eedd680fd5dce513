package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// secret is a write of one secret's record; "" deletes it.
func secret(environment config.EnvironmentID, path string, version config.Version, text string, values ...store.SecretValue) store.SecretWrite {
	return store.SecretWrite{
		Environment: environment, Path: config.MustPath(path), Version: version,
		Sealed: []byte(text), Deleted: text == "", AddValues: values,
	}
}

// value is the sealed value of a version, its data key wrapped by a version of
// the tenant's key.
func value(version config.Version, keyVersion uint32, text string) store.SecretValue {
	return store.SecretValue{Version: version, Sealed: []byte("sealed " + text), Wrapped: []byte("wrapped " + text), KeyVersion: keyVersion}
}

// writeSecrets is a write of some secrets.
func writeSecrets(secrets ...store.SecretWrite) store.Write {
	w := write()
	w.Entry.Kind, w.Audit.Event, w.Secrets = store.EntrySecret, "secret.set", secrets
	return w
}

func (n *tenant) secrets(t tb, paths ...string) []store.Secret {
	t.Helper()
	secrets, err := n.SecretsAt(n.ctx, n.ID, pathsOf(paths))
	ok(t, err)
	return secrets
}

// saidSecrets is what records say, in short: "1 gateway@3 text".
func saidSecrets(secrets []store.Secret) []string {
	var lines []string
	for _, s := range secrets {
		text := string(s.Sealed)
		if s.Deleted {
			text = "deleted"
		}
		lines = append(lines, fmt.Sprintf("%d %s@%d %s", s.Environment, s.Path, s.Version, text))
	}
	return lines
}

// valueOf is the sealed value of a version, "" when there is none.
func (n *tenant) valueOf(t tb, environment config.EnvironmentID, path string, version config.Version) string {
	t.Helper()
	found, err := n.SecretValue(n.ctx, n.ID, environment, config.MustPath(path), version)
	if config.KindOf(err) == config.KindNotFound {
		return ""
	}
	ok(t, err)
	same(t, found.Version, version)
	return string(found.Sealed)
}

func secretRecords(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	same(t, len(n.secrets(t, "openai")), 0)
	w.clock.advance(time.Second)
	n.commit(t, writeSecrets(secret(base, "openai", 1, "b1"), secret(production, "openai", 1, "p1"), secret(base, "a/b", 1, "x"))) // 2
	w.clock.advance(time.Second)
	change := writeSecrets(secret(production, "openai", 2, ""))
	change.Entry.Author = "Ünï ' \" % _ \\ 漢字"
	receipt := n.commit(t, change) // 3
	same(t, saidSecrets(n.secrets(t, "openai", "absent", "a/b", "openai")), []string{"1 a/b@1 x", "1 openai@1 b1", "2 openai@2 deleted"})
	same(t, n.secrets(t, "openai")[1], store.Secret{
		Path: config.MustPath("openai"), Environment: production, Version: 2, Revision: receipt.Revision,
		Time: receipt.Time, Author: change.Entry.Author, Deleted: true, Sealed: []byte{},
	})
	for _, path := range []string{"OpenAI", "opena", "openai/x", "a"} {
		same(t, len(n.secrets(t, path)), 0)
	}
	same(t, len(n.secrets(t)), 0)
	same(t, len(n.at(t, 0, "openai", "a/b")), 0) // a secret is no layer

	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	n.commit(t, writeSecrets(secret(production, "openai", 3, string(body), store.SecretValue{Version: 1, Sealed: body, Wrapped: body, KeyVersion: 1<<32 - 1})))
	same(t, n.secrets(t, "openai")[1].Sealed, body)
	found, err := w.SecretValue(w.ctx, n.ID, production, config.MustPath("openai"), 1)
	ok(t, err)
	same(t, found, store.SecretValue{Version: 1, Sealed: body, Wrapped: body, KeyVersion: 1<<32 - 1})
	entries, err := w.EntriesOf(w.ctx, n.ID, []config.Revision{receipt.Revision})
	ok(t, err)
	same(t, entries[0].Kind, store.EntrySecret)
	same(t, len(auditOf(t, w, n.ID)), 4)
}

// secretCompareAndSet writes wrong versions: nothing of them may remain.
func secretCompareAndSet(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, writeSecrets(secret(base, "openai", 1, "1", value(1, 1, "one"))))
	n.commit(t, writeSecrets(secret(base, "openai", 2, "")))
	chain := auditOf(t, w, n.ID)
	for _, c := range []struct {
		environment config.EnvironmentID
		path        string
		version     config.Version
		values      []store.SecretValue
	}{
		{base, "openai", -1, nil},
		{base, "openai", 0, nil},
		{base, "openai", 1, nil}, // it goes on after a delete
		{base, "openai", 2, nil},
		{base, "openai", 4, nil},
		{production, "openai", 2, nil}, // another environment's counts for itself
		{production, "openai", 3, nil},
		{base, "new", 0, nil},
		{base, "new", 2, nil},
		{base, "openai", 3, []store.SecretValue{value(2, 1, "two"), value(1, 1, "again")}},
	} {
		change := writeSecrets(secret(base, "other", 1, "text", value(1, 1, "x")), secret(c.environment, c.path, c.version, "text", c.values...))
		change.Layers = []store.LayerWrite{layer(base, "gateway", 1, "text")}
		change.Layers[0].AddSecrets = pathsOf([]string{"openai"})
		change.Committed = func(store.Receipt) { t.Error("Committed was called for a write that was refused") }
		_, err := w.Commit(w.ctx, n.ID, change)
		refused(t, err, config.KindConflict)
	}
	for _, twice := range [][]store.SecretWrite{
		{secret(base, "openai", 3, "a"), secret(base, "openai", 4, "b")},
		{secret(base, "openai", 3, "a", value(2, 1, "a"), value(2, 1, "b"))},
	} {
		if _, err := w.Commit(w.ctx, n.ID, writeSecrets(twice...)); err == nil {
			t.Error("one write changed a secret twice")
		}
	}
	same(t, saidSecrets(n.secrets(t, "openai", "other", "new")), []string{"1 openai@2 deleted"})
	same(t, n.valueOf(t, base, "openai", 1), "sealed one")
	same(t, n.valueOf(t, base, "openai", 2), "")
	same(t, n.valueOf(t, base, "other", 1), "")
	edges, err := w.SecretReferrers(w.ctx, n.ID, pathsOf([]string{"openai"}))
	ok(t, err)
	same(t, len(edges), 0)
	same(t, n.revision(t), config.Revision(3))
	same(t, auditOf(t, w, n.ID), chain)
	n.commit(t, writeSecrets(secret(base, "openai", 3, "3"), secret(production, "openai", 1, "1"), secret(base, "new", 1, "1")))
}

func secretValues(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, writeSecrets(
		secret(base, "openai", 1, "b", value(1, 1, "b1"), value(2, 2, "b2"), value(7, 2, "b7")),
		secret(production, "openai", 1, "p", value(1, 1, "p1")),
		secret(base, "openai/x", 1, "x", value(1, 1, "x1")),
	))
	all := func() []string {
		t.Helper()
		var lines []string
		for _, e := range []config.EnvironmentID{base, production} {
			for _, path := range []string{"openai", "openai/x"} {
				for v := config.Version(-1); v < 9; v++ {
					if text := n.valueOf(t, e, path, v); text != "" {
						lines = append(lines, strings.TrimPrefix(text, "sealed "))
					}
				}
			}
		}
		return lines
	}
	same(t, all(), []string{"b1", "b2", "b7", "x1", "p1"})
	found, err := w.SecretValue(w.ctx, n.ID, base, config.MustPath("openai"), 2)
	ok(t, err)
	same(t, found, value(2, 2, "b2"))

	change := secret(base, "openai", 2, "b")
	change.DropValues = []config.Version{1, 5, 7, 1} // one without a value is passed over
	n.commit(t, writeSecrets(change))
	same(t, all(), []string{"b2", "x1", "p1"})
	change = secret(base, "openai", 3, "", value(1, 3, "anew"), value(3, 3, "b3"))
	change.DropValues = []config.Version{2, 3} // what is dropped goes before what is added comes
	n.commit(t, writeSecrets(change))
	same(t, all(), []string{"anew", "b3", "x1", "p1"})
}

func secretReferrers(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	refer := func(environment config.EnvironmentID, from string, version config.Version, add, drop []string) {
		t.Helper()
		l := layer(environment, from, version, "text")
		l.AddSecrets, l.DropSecrets = pathsOf(add), pathsOf(drop)
		n.commit(t, write(l))
	}
	refer(base, "x", 1, []string{"openai", "mistral"}, nil)
	refer(production, "x", 1, []string{"openai"}, nil)
	refer(base, "a", 1, []string{"openai", "openai/eu"}, nil)
	refer(base, "a", 2, []string{"openai"}, []string{"openai/eu", "never"})

	openai, mistral, a, x := config.MustPath("openai"), config.MustPath("mistral"), config.MustPath("a"), config.MustPath("x")
	got, err := w.SecretReferrers(w.ctx, n.ID, pathsOf([]string{"mistral", "openai", "openai/eu", "openai"}))
	ok(t, err)
	same(t, got, []store.Edge{
		{From: a, Environment: base, To: openai}, {From: x, Environment: base, To: mistral},
		{From: x, Environment: base, To: openai}, {From: x, Environment: production, To: openai},
	})
	l := layer(base, "x", 2, "")
	l.DropSecrets = pathsOf([]string{"openai", "mistral"})
	l.AddEdges = pathsOf([]string{"openai"}) // a document of a secret's path is another thing
	n.commit(t, write(l))
	got, err = w.SecretReferrers(w.ctx, n.ID, pathsOf([]string{"openai", "mistral"}))
	ok(t, err)
	same(t, got, []store.Edge{{From: a, Environment: base, To: openai}, {From: x, Environment: production, To: openai}})
	got, err = w.Referrers(w.ctx, n.ID, pathsOf([]string{"openai", "mistral"}))
	ok(t, err)
	same(t, got, []store.Edge{{From: x, Environment: base, To: openai}})
	got, err = w.SecretReferrers(w.ctx, n.ID, nil)
	ok(t, err)
	same(t, len(got), 0)
}

func dueSecrets(t *testing.T, w *world) {
	a, b := w.createTenant(t, "alpha"), w.createTenant(t, "beta")
	start := w.clock.read()
	put := func(n *tenant, environment config.EnvironmentID, path string, version config.Version, due time.Time) {
		t.Helper()
		s := secret(environment, path, version, "text")
		s.Due, s.Deleted = due, path == "gone"
		n.commit(t, writeSecrets(s))
	}
	put(a, base, "third", 1, start.Add(3*time.Hour))
	put(b, production, "first", 1, start.Add(-time.Hour))
	put(a, base, "never", 1, time.Time{})
	put(a, production, "second", 1, start.Add(time.Hour))
	put(a, base, "gone", 1, start.Add(2*time.Hour)) // a deleted one may still want something
	due := func(until time.Time, limit int) []string {
		t.Helper()
		all, err := w.DueSecrets(w.ctx, until, limit)
		ok(t, err)
		var lines []string
		for _, d := range all {
			lines = append(lines, fmt.Sprintf("%d %d %s %s", d.Tenant[15], d.Environment, d.Path, d.Due.Sub(start)))
		}
		return lines
	}
	all := []string{"2 2 first -1h0m0s", "1 2 second 1h0m0s", "1 1 gone 2h0m0s", "1 1 third 3h0m0s"}
	for limit := 1; limit <= 5; limit++ {
		same(t, due(start.AddDate(9, 0, 0), limit), all[:min(limit, 4)])
	}
	for after, want := range map[time.Duration]int{
		-2 * time.Hour: 0, -time.Hour - 1: 0, -time.Hour: 1, 0: 1, time.Hour - 1: 1, time.Hour: 2, 2 * time.Hour: 3, 3*time.Hour - 1: 3,
	} {
		same(t, len(due(start.Add(after), 10)), want)
	}
	put(b, production, "first", 2, time.Time{})
	put(a, base, "never", 2, start)
	same(t, due(start.Add(90*time.Minute), 10), []string{"1 1 never 0s", "1 2 second 1h0m0s"})
	_, err := w.DeleteTenant(w.ctx, a.ID, serverWrite("alpha"))
	ok(t, err)
	same(t, len(due(start.AddDate(9, 0, 0), 10)), 0)
	for _, limit := range []int{0, -1} {
		_, err := w.DueSecrets(w.ctx, start, limit)
		refused(t, err, config.KindBadRequest)
	}
}

// scanSecrets reads every page, and checks that pages are full and split no path.
func (n *tenant) scanSecrets(t tb, scan store.Scan, limit int) []store.Secret {
	t.Helper()
	var all []store.Secret
	scan.Page.Limit = limit
	for {
		secrets, cursor, err := n.ScanSecrets(n.ctx, n.ID, scan)
		ok(t, err)
		paths := map[config.Path]bool{}
		for _, s := range secrets {
			paths[s.Path] = true
		}
		if len(all) > 0 && len(secrets) > 0 && all[len(all)-1].Path == secrets[0].Path {
			t.Fatalf("%s is split over two pages", secrets[0].Path)
		}
		if len(paths) > limit || cursor != "" && len(paths) != limit {
			t.Fatalf("a page of %d paths, want %d", len(paths), limit)
		}
		all = append(all, secrets...)
		if cursor == "" {
			return all
		}
		scan.Page.Cursor = cursor
	}
}

func scanSecretsSelection(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.commit(t, writeSecrets(
		secret(base, "llm/eu/key-a", 1, "1"), secret(production, "llm/key-b", 1, "2"),
		secret(base, "llm/us", 1, "3"), secret(production, "llm/us", 1, "4"), secret(3, "other", 1, "5"),
		secret(base, "dead", 1, "6"), secret(base, "llm-x", 1, "7"), secret(production, "llm", 1, "8"),
	))
	n.commit(t, writeSecrets(secret(base, "llm/us", 2, ""), secret(base, "dead", 2, "")))
	n.put(t, layer(base, "llm/document", 0, "no secret"))

	both := []config.EnvironmentID{production, base}
	for _, c := range []struct {
		environments []config.EnvironmentID
		prefix, glob string
		want         []string
	}{
		{both[1:], "", "", []string{"1 llm-x@1 7", "1 llm/eu/key-a@1 1"}},
		{both[:1], "", "", []string{"2 llm@1 8", "2 llm/key-b@1 2", "2 llm/us@1 4"}},
		{both, "", "", []string{"2 llm@1 8", "1 llm-x@1 7", "1 llm/eu/key-a@1 1", "2 llm/key-b@1 2", "1 llm/us@2 deleted", "2 llm/us@1 4"}},
		{both, "llm", "", []string{"2 llm@1 8", "1 llm/eu/key-a@1 1", "2 llm/key-b@1 2", "1 llm/us@2 deleted", "2 llm/us@1 4"}},
		{both, "llm/eu", "", []string{"1 llm/eu/key-a@1 1"}},
		{both, "", "llm/**/key-*", []string{"1 llm/eu/key-a@1 1", "2 llm/key-b@1 2"}},
		{both, "llm", "llm/*", []string{"2 llm/key-b@1 2", "1 llm/us@2 deleted", "2 llm/us@1 4"}},
		{[]config.EnvironmentID{4}, "", "", nil},
		{nil, "", "", nil},
	} {
		prefix, err := config.ParsePrefix(c.prefix)
		ok(t, err)
		glob, err := config.ParseGlob(c.glob)
		ok(t, err)
		for limit := 1; limit <= 6; limit++ { // 5 is exactly the longest list
			for _, at := range []config.Revision{0, 1} { // At is not heeded
				scan := store.Scan{At: at, Environments: c.environments, Prefix: prefix, Glob: glob}
				same(t, saidSecrets(n.scanSecrets(t, scan, limit)), c.want)
			}
		}
	}
	for limit := 1; limit <= 7; limit++ {
		scan := store.Scan{Environments: both[1:], Deleted: true}
		same(t, saidSecrets(n.scanSecrets(t, scan, limit)), []string{"1 dead@2 deleted", "1 llm-x@1 7", "1 llm/eu/key-a@1 1", "1 llm/us@2 deleted"})
	}
	_, cursor, err := w.ScanSecrets(w.ctx, n.ID, store.Scan{Environments: both, Deleted: true, Page: store.Page{Limit: 3}})
	ok(t, err)
	_, _, err = w.ScanSecrets(w.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 3, Cursor: cursor}})
	refused(t, err, config.KindInvalidCursor)
	_, cursor, err = w.ScanSecrets(w.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 3}})
	ok(t, err)
	n.commit(t, writeSecrets(secret(base, "llm/eu/key-a", 2, ""), secret(base, "llm/eu/new", 1, "9")))
	secrets, _, err := w.ScanSecrets(w.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 2, Cursor: cursor}})
	ok(t, err)
	same(t, saidSecrets(secrets), []string{"1 llm/eu/new@1 9", "2 llm/key-b@1 2"}) // the path a page ended at may go
	_, _, err = w.ScanLayers(w.ctx, n.ID, store.Scan{Environments: both, Page: store.Page{Limit: 3, Cursor: cursor}})
	refused(t, err, config.KindInvalidCursor)
}

// scanSecretsPaths has every byte that a path may hold next to a prefix's end.
func scanSecretsPaths(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	paths := []string{"A", "a", "a+b", "a-b", "a-b/c", "a.b", "a/0", "a/A", "a/b", "a/b-c", "a/b/c", "a0", "a=b", "a@b", "aa", "a_b", "a~b", "b", strings.Repeat("x", 512)}
	slices.Sort(paths)
	for _, path := range slices.Backward(paths) {
		n.commit(t, writeSecrets(secret(base, path, 1, "text")))
	}
	for prefix, want := range map[string][]string{
		"":    paths,
		"a":   {"a", "a/0", "a/A", "a/b", "a/b-c", "a/b/c"},
		"a/b": {"a/b", "a/b/c"},
		"A":   {"A"},
		"c":   nil,
	} {
		parsed, err := config.ParsePrefix(prefix)
		ok(t, err)
		for limit := 1; limit <= 7; limit++ {
			var got []string
			for _, s := range n.scanSecrets(t, store.Scan{Environments: []config.EnvironmentID{base}, Prefix: parsed}, limit) {
				got = append(got, s.Path.String())
			}
			same(t, got, want)
		}
	}
}
