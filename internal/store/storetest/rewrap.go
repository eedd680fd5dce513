package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func (n *tenant) keyVersions(t tb) map[uint32]int64 {
	t.Helper()
	counts, err := n.KeyVersions(n.ctx, n.ID)
	ok(t, err)
	return counts
}

func (n *tenant) keysBelow(t tb, version uint32, limit int) []store.WrappedKey {
	t.Helper()
	keys, err := n.KeysBelow(n.ctx, n.ID, version, limit)
	ok(t, err)
	return keys
}

// keyNames are keys in short and in order: "epoch 3 v1", "1 openai@2 v1".
func keyNames(keys []store.WrappedKey) []string {
	var names []string
	for _, k := range keys {
		name := fmt.Sprintf("%d %s@%d v%d", k.Environment, k.Path, k.Version, k.KeyVersion)
		if k.Epoch != 0 {
			name = fmt.Sprintf("epoch %d v%d", k.Epoch, k.KeyVersion)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// anew is a key as a newer version wraps it.
func anew(k store.WrappedKey, version uint32) store.Rewrapped {
	r := store.Rewrapped{WrappedKey: k, Before: k.Wrapped}
	r.Wrapped, r.KeyVersion = []byte(fmt.Sprintf("%s by v%d", k.Wrapped, version)), version
	return r
}

// fillKeys gives a tenant data keys of both sorts under three key versions.
func (n *tenant) fillKeys(t *testing.T) {
	t.Helper()
	for i, version := range []uint32{1, 1, 3} {
		epoch := uint32(i + 1)
		ok(t, n.AddDataKey(n.ctx, n.ID, store.DataKey{Epoch: epoch, Wrapped: []byte(fmt.Sprint("epoch ", epoch)), KeyVersion: version, Reserved: 7}))
	}
	n.commit(t, writeSecrets(
		secret(base, "openai", 1, "x", value(1, 1, "b1"), value(2, 2, "b2"), value(3, 3, "b3")),
		secret(production, "openai", 1, "x", value(1, 1, "p1")),
		secret(base, "mistral", 1, "x", value(1, 2, "m1")),
	))
}

func keysBelow(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	same(t, len(n.keyVersions(t)), 0)
	same(t, len(n.keysBelow(t, 9, 10)), 0)
	n.fillKeys(t)
	same(t, n.keyVersions(t), map[uint32]int64{1: 4, 2: 2, 3: 2})
	ones := []string{"1 openai@1 v1", "2 openai@1 v1", "epoch 1 v1", "epoch 2 v1"}
	twos := []string{"1 mistral@1 v2", "1 openai@2 v2"}
	all := slices.Sorted(slices.Values(slices.Concat(ones, twos, []string{"1 openai@3 v3", "epoch 3 v3"})))
	for version, want := range map[uint32][]string{
		0: nil, 1: nil, 2: ones, 3: slices.Sorted(slices.Values(slices.Concat(ones, twos))), 4: all, 1<<32 - 1: all,
	} {
		same(t, keyNames(n.keysBelow(t, version, 100)), want)
		for limit := 1; limit <= len(want)+1; limit++ {
			keys := n.keysBelow(t, version, limit)
			same(t, len(keys), min(limit, len(want)))
			for _, name := range keyNames(keys) {
				same(t, slices.Contains(want, name), true)
			}
		}
	}
	for _, k := range n.keysBelow(t, 4, 100) {
		switch keyNames([]store.WrappedKey{k})[0] {
		case "epoch 2 v1":
			same(t, string(k.Wrapped), "epoch 2")
		case "1 openai@2 v2":
			same(t, string(k.Wrapped), "wrapped b2")
		}
	}
}

func rewrap(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.fillKeys(t)
	revision, chain := n.revision(t), auditOf(t, w, n.ID)
	records := n.secrets(t, "openai", "mistral")

	// Resumed again and again, as after a crash, until none is left.
	for rounds := 0; ; rounds++ {
		keys := n.keysBelow(t, 3, 4)
		if len(keys) == 0 {
			same(t, rounds, 2)
			break
		}
		var batch []store.Rewrapped
		for _, k := range keys {
			batch = append(batch, anew(k, 3))
		}
		ok(t, w.Rewrap(w.ctx, n.ID, batch))
		ok(t, w.Rewrap(w.ctx, n.ID, batch)) // once more: it is not as it was before
	}
	same(t, n.keyVersions(t), map[uint32]int64{3: 8})
	keys, err := w.DataKeys(w.ctx, n.ID)
	ok(t, err)
	same(t, keys, []store.DataKey{
		{Epoch: 1, Wrapped: []byte("epoch 1 by v3"), KeyVersion: 3, Reserved: 7}, {Epoch: 2, Wrapped: []byte("epoch 2 by v3"), KeyVersion: 3, Reserved: 7},
		{Epoch: 3, Wrapped: []byte("epoch 3"), KeyVersion: 3, Reserved: 7},
	})
	found, err := w.SecretValue(w.ctx, n.ID, base, config.MustPath("openai"), 2)
	ok(t, err)
	same(t, found, store.SecretValue{Version: 2, Sealed: []byte("sealed b2"), Wrapped: []byte("wrapped b2 by v3"), KeyVersion: 3})
	same(t, n.revision(t), revision)
	same(t, auditOf(t, w, n.ID), chain)
	same(t, n.secrets(t, "openai", "mistral"), records)
	ok(t, w.Rewrap(w.ctx, n.ID, nil))
}

// rewrapPassesOver what is not there or is not as it was, and does the rest.
func rewrapPassesOver(t *testing.T, w *world) {
	n := w.createTenant(t, "alpha")
	n.fillKeys(t)
	openai, mistral := config.MustPath("openai"), config.MustPath("mistral")
	drop := secret(base, "openai", 2, "x")
	drop.DropValues = []config.Version{1}
	n.commit(t, writeSecrets(drop))

	of := func(k store.WrappedKey, before string) store.Rewrapped {
		k.Wrapped, k.KeyVersion = []byte("stolen"), 9
		return store.Rewrapped{WrappedKey: k, Before: []byte(before)}
	}
	ok(t, w.Rewrap(w.ctx, n.ID, []store.Rewrapped{
		of(store.WrappedKey{Environment: base, Path: openai, Version: 1}, "wrapped b1"), // dropped
		of(store.WrappedKey{Environment: base, Path: openai, Version: 2}, "wrapped b1"), // not as it was
		of(store.WrappedKey{Environment: base, Path: openai, Version: 3}, ""),
		{WrappedKey: store.WrappedKey{Environment: base, Path: openai, Version: 3, Wrapped: []byte("stolen"), KeyVersion: 9}},
		of(store.WrappedKey{Environment: production, Path: openai, Version: 2}, "wrapped b2"), // never was
		of(store.WrappedKey{Environment: production, Path: mistral, Version: 1}, "wrapped m1"),
		of(store.WrappedKey{Environment: base, Path: config.MustPath("Mistral"), Version: 1}, "wrapped m1"),
		of(store.WrappedKey{Epoch: 1}, "epoch 2"),
		of(store.WrappedKey{Epoch: 4}, "epoch 1"),
	}))
	same(t, n.keyVersions(t), map[uint32]int64{1: 3, 2: 2, 3: 2})
	for _, k := range n.keysBelow(t, 100, 100) {
		if strings.Contains(string(k.Wrapped), "stolen") {
			t.Errorf("%v was replaced", keyNames([]store.WrappedKey{k}))
		}
	}
	same(t, n.valueOf(t, base, "openai", 1), "")
	ok(t, w.Rewrap(w.ctx, n.ID, []store.Rewrapped{
		of(store.WrappedKey{Epoch: 1}, "wrong"),
		of(store.WrappedKey{Environment: base, Path: mistral, Version: 1}, "wrapped m1"),
	}))
	same(t, n.keyVersions(t), map[uint32]int64{1: 3, 2: 1, 3: 2, 9: 1})
	same(t, n.valueOf(t, base, "mistral", 1), "sealed m1")
}

// rewrapUnderWrites wraps keys anew while the same secret gets versions and
// loses others: each value keeps the key that seals it.
func rewrapUnderWrites(t *testing.T, w *world) {
	const versions = 60
	n := w.createTenant(t, "alpha")
	var wg sync.WaitGroup
	written := make(chan struct{})
	wg.Go(func() {
		defer close(written)
		for v := config.Version(1); v <= versions; v++ {
			s := secret(base, "openai", v, fmt.Sprint(v), value(v, 1, fmt.Sprint(v)))
			if v > 5 {
				s.DropValues = []config.Version{v - 5}
			}
			if _, err := w.Commit(w.ctx, n.ID, writeSecrets(s)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for done := false; !done; {
				select {
				case <-written:
					done = true // one more round, after which none may be left
				default:
				}
				keys, err := w.KeysBelow(w.ctx, n.ID, 2, 100)
				if err != nil {
					t.Error(err)
					return
				}
				var batch []store.Rewrapped
				for _, k := range keys {
					batch = append(batch, anew(k, 2))
				}
				if err := w.Rewrap(w.ctx, n.ID, batch); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	same(t, n.keyVersions(t), map[uint32]int64{2: 5})
	for v := config.Version(1); v <= versions; v++ {
		found, err := w.SecretValue(w.ctx, n.ID, base, config.MustPath("openai"), v)
		if v <= versions-5 {
			refused(t, err, config.KindNotFound)
			continue
		}
		ok(t, err)
		same(t, found, store.SecretValue{
			Version: v, Sealed: []byte(fmt.Sprint("sealed ", v)), Wrapped: []byte(fmt.Sprintf("wrapped %d by v2", v)), KeyVersion: 2,
		})
	}
	same(t, n.revision(t), config.Revision(versions+1))
}
