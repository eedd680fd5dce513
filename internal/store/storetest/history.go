package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func logEntries(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	kinds := []store.EntryKind{store.EntryChange, store.EntryTag, store.EntryToken}
	var want []store.Entry
	for i := range 9 {
		w.clock.advance(time.Second)
		change := write()
		change.Entry = store.Entry{
			Kind: kinds[i%3], Author: fmt.Sprint("author ", i), Sealed: []byte(fmt.Sprint("sealed ", i)),
			Subject: store.Subject{Environment: base, Path: fmt.Sprint("subject ", i), Version: int64(i)},
		}
		receipt := n.commit(t, change)
		entry := change.Entry
		entry.Revision, entry.Time = receipt.Revision, receipt.Time
		want = append(want, entry)
	}
	got, err := w.Entries(w.ctx, n.ID, 1, 100)
	ok(t, err)
	same(t, got, want)
	got, err = w.Entries(w.ctx, n.ID, 4, 3)
	ok(t, err)
	same(t, got, want[3:6])
	got, err = w.Entries(w.ctx, n.ID, 10, 3)
	ok(t, err)
	same(t, len(got), 0)
	got, err = w.EntriesOf(w.ctx, n.ID, []config.Revision{9, 77, 2})
	ok(t, err)
	slices.SortFunc(got, func(a, b store.Entry) int { return int(a.Revision - b.Revision) })
	same(t, got, []store.Entry{want[0], want[7]})

	slices.Reverse(want)
	ofKinds := func(kinds ...store.EntryKind) []store.Entry {
		return slices.DeleteFunc(slices.Clone(want), func(e store.Entry) bool { return !slices.Contains(kinds, e.Kind) })
	}
	for limit := 1; limit <= 10; limit++ {
		read := func(kinds ...store.EntryKind) []store.Entry {
			return pages(t, limit, func(p store.Page) ([]store.Entry, store.Cursor, error) { return w.Log(w.ctx, n.ID, kinds, p) })
		}
		all := read()
		same(t, all[:9], want)
		same(t, all[9].Kind, store.EntryTenant)
		same(t, read(store.EntryTag), ofKinds(store.EntryTag))
		same(t, read(store.EntryTag, store.EntryToken), ofKinds(store.EntryTag, store.EntryToken))
		same(t, len(read(store.EntryDestroy)), 0)
	}
}

func revisionAt(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	at := func(when time.Time, want config.Revision) {
		t.Helper()
		got, err := w.RevisionAt(w.ctx, n.ID, when)
		ok(t, err)
		same(t, got, want)
	}
	created := w.clock.read()
	at(created.Add(-1), 0)
	at(created, 1)
	for range 20 { // revisions 2 to 21, three to a minute
		if r := n.revision(t); r%3 == 1 {
			w.clock.advance(time.Minute)
		}
		n.put(t, layer(base, "a", 0, "x"))
	}
	for minute := 1; minute <= 6; minute++ {
		when := created.Add(time.Duration(minute) * time.Minute)
		at(when.Add(-1), config.Revision(3*minute-2))
		at(when, config.Revision(3*minute+1))
		at(when.Add(30*time.Second), config.Revision(3*minute+1))
		at(when.In(time.FixedZone("east", 3600)), config.Revision(3*minute+1))
	}
	at(created.Add(24*time.Hour), 21)
	at(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 21)
	at(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), 0)
	at(time.Date(1066, 1, 1, 0, 0, 0, 0, time.UTC), 0)
	got, err := w.RevisionAt(w.ctx, config.TenantID{15: 99}, created)
	ok(t, err)
	same(t, got, config.Revision(0))
}

func tags(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	set := func(name string, target config.Revision) store.Tag {
		t.Helper()
		w.clock.advance(time.Second)
		change := write()
		change.SetTags = []store.Tag{{Name: name, Target: target}}
		receipt := n.commit(t, change)
		return store.Tag{Name: name, Target: target, Set: receipt.Revision, Time: receipt.Time, Author: "ann"}
	}
	set("live", 1)
	want := []store.Tag{set("B", 1), set("a", 2), set("a.1", 2), set("a_b", 1), set("live", 3)}
	found, err := w.Tag(w.ctx, n.ID, "live")
	ok(t, err)
	same(t, found, want[4])
	for _, name := range []string{"Live", "live ", "", "b"} {
		_, err := w.Tag(w.ctx, n.ID, name)
		refused(t, err, config.KindNotFound)
	}
	list := func(limit int) []store.Tag {
		return pages(t, limit, func(p store.Page) ([]store.Tag, store.Cursor, error) { return w.Tags(w.ctx, n.ID, p) })
	}
	for limit := 1; limit <= 6; limit++ {
		same(t, list(limit), want)
	}
	change := write()
	change.DeleteTags = []string{"a", "live"}
	n.commit(t, change)
	same(t, list(10), []store.Tag{want[0], want[2], want[3]})
	_, err = w.Commit(w.ctx, n.ID, change)
	refused(t, err, config.KindNotFound)
}
