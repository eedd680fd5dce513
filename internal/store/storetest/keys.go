package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// RunKeys checks a key store; open must give an empty one and see to its end.
func RunKeys(t *testing.T, open func(t *testing.T) store.Keys) {
	for name, test := range map[string]func(*testing.T, store.Keys){
		"masters":              masters,
		"retire master":        retireMaster,
		"tenant keys":          tenantKeys,
		"tenant keys in pages": tenantKeyPages,
		"replace":              replaceKey,
		"contended replace":    contendedReplace,
		"destroy":              destroyKey,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var keyTime = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

// tenantKey is a key of the first generation.
func tenantKey(id config.TenantID, wrapped string) store.TenantKey {
	return store.TenantKey{
		Tenant: id, Wrapped: []byte(wrapped), Master: 1, Generation: 1, Newest: 1,
		Created: keyTime, Rotated: keyTime.Add(time.Hour),
	}
}

func masters(t *testing.T, k store.Keys) {
	list := func() []store.Master {
		t.Helper()
		all, err := k.Masters(t.Context())
		ok(t, err)
		return all
	}
	same(t, len(list()), 0)
	first := store.Master{Version: 1, Keeper: "file /etc/ключ", Check: []byte("check 1"), Created: keyTime}
	second := store.Master{Version: 2, Keeper: "awskms", Check: []byte("check 2"), Created: keyTime.Add(time.Hour)}
	for _, version := range []uint32{0, 2} {
		refused(t, k.AddMaster(t.Context(), store.Master{Version: version, Check: []byte("x")}), config.KindConflict)
	}
	ok(t, k.AddMaster(t.Context(), first))
	for _, version := range []uint32{0, 1, 3} {
		refused(t, k.AddMaster(t.Context(), store.Master{Version: version, Check: []byte("x")}), config.KindConflict)
	}
	same(t, list(), []store.Master{first})
	ok(t, k.AddMaster(t.Context(), second))
	same(t, list(), []store.Master{first, second})

	const rivals = 8 // one of them adds the third version
	var added atomic.Int64
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			switch err := k.AddMaster(t.Context(), store.Master{Version: 3, Keeper: fmt.Sprint(i), Check: []byte("check 3")}); {
			case err == nil:
				added.Add(1)
			case config.KindOf(err) != config.KindConflict:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, added.Load(), int64(1))
	same(t, len(list()), 3)
}

func retireMaster(t *testing.T, k store.Keys) {
	refused(t, k.RetireMaster(t.Context(), 1, keyTime), config.KindNotFound)
	for v := range uint32(3) {
		ok(t, k.AddMaster(t.Context(), store.Master{Version: v + 1, Check: []byte("check")}))
	}
	counts, err := k.MasterVersions(t.Context())
	ok(t, err)
	same(t, len(counts), 0)
	for i := range byte(5) {
		key := tenantKey(config.TenantID{i}, "wrapped")
		key.Master = uint32(1 + i%2)
		ok(t, k.AddTenantKey(t.Context(), key))
	}
	ok(t, k.DestroyTenantKey(t.Context(), config.TenantID{4}))
	ok(t, k.DestroyTenantKey(t.Context(), config.TenantID{9}))
	counts, err = k.MasterVersions(t.Context())
	ok(t, err)
	same(t, counts, map[uint32]int64{1: 2, 2: 2}) // tombstones are wrapped by none

	err = k.RetireMaster(t.Context(), 1, keyTime)
	refused(t, err, config.KindInUse)
	var e *config.Error
	same(t, errors.As(err, &e) && e.Actual == 2, true)
	for _, version := range []uint32{0, 4} {
		refused(t, k.RetireMaster(t.Context(), version, keyTime), config.KindNotFound)
	}
	for _, i := range []byte{0, 2} {
		key := tenantKey(config.TenantID{i}, "wrapped anew")
		key.Master, key.Generation = 3, 2
		ok(t, k.ReplaceTenantKey(t.Context(), key))
	}
	ok(t, k.RetireMaster(t.Context(), 1, keyTime))
	ok(t, k.RetireMaster(t.Context(), 1, keyTime.Add(time.Hour)))
	refused(t, k.RetireMaster(t.Context(), 2, keyTime), config.KindInUse)
	all, err := k.Masters(t.Context())
	ok(t, err)
	same(t, all[0].Retired, keyTime) // the first time stands
	same(t, all[1].Retired.IsZero() && all[2].Retired.IsZero(), true)
	counts, err = k.MasterVersions(t.Context())
	ok(t, err)
	same(t, counts, map[uint32]int64{2: 2, 3: 2})
	refused(t, k.AddMaster(t.Context(), store.Master{Version: 1, Check: []byte("x")}), config.KindConflict)
}

func tenantKeys(t *testing.T, k store.Keys) {
	a, b := config.TenantID{1}, config.TenantID{2}
	_, err := k.TenantKey(t.Context(), a)
	refused(t, err, config.KindNotFound)
	key := tenantKey(a, "wrapped a")
	key.Master, key.Generation, key.Newest = 1<<32-1, 1<<40, 7
	ok(t, k.AddTenantKey(t.Context(), key))
	refused(t, k.AddTenantKey(t.Context(), tenantKey(a, "another")), config.KindAlreadyExists)
	_, err = k.TenantKey(t.Context(), b)
	refused(t, err, config.KindNotFound)
	other := tenantKey(b, string(bytes.Repeat([]byte{0}, 64)))
	other.Created, other.Rotated = time.Time{}, time.Time{}
	ok(t, k.AddTenantKey(t.Context(), other))
	for _, want := range []store.TenantKey{key, other} {
		got, err := k.TenantKey(t.Context(), want.Tenant)
		ok(t, err)
		same(t, got, want)
	}
}

func tenantKeyPages(t *testing.T, k store.Keys) {
	ids := []config.TenantID{{}, {15: 1}, {14: 1}, {0: 0x7f}, {0: 0x7f, 15: 0xff}, {0: 0x80}, {0: 0xff}} // bytewise
	for _, i := range []int{3, 0, 6, 1, 5, 2, 4} {
		ok(t, k.AddTenantKey(t.Context(), tenantKey(ids[i], fmt.Sprint("of ", i))))
	}
	var want []store.TenantKey
	for i, id := range ids {
		want = append(want, tenantKey(id, fmt.Sprint("of ", i)))
	}
	ok(t, k.DestroyTenantKey(t.Context(), ids[2]))
	want[2] = store.TenantKey{Tenant: ids[2]}
	for limit := 1; limit <= len(ids)+1; limit++ {
		var got []store.TenantKey
		var after *config.TenantID
		for {
			page, err := k.TenantKeys(t.Context(), after, limit)
			ok(t, err)
			if len(page) == 0 {
				break
			}
			same(t, len(page) <= limit, true)
			got = append(got, page...)
			after = &page[len(page)-1].Tenant
		}
		same(t, got, want)
	}
	none, err := k.TenantKeys(t.Context(), &config.TenantID{0: 0x80, 1: 1}, 5)
	ok(t, err)
	same(t, none, want[6:])
	for _, limit := range []int{0, -1} {
		_, err := k.TenantKeys(t.Context(), nil, limit)
		refused(t, err, config.KindBadRequest)
	}
}

func replaceKey(t *testing.T, k store.Keys) {
	a, b := config.TenantID{1}, config.TenantID{2}
	next := store.TenantKey{
		Tenant: a, Wrapped: []byte("second"), Master: 2, Generation: 2, Newest: 2, Created: keyTime, Rotated: keyTime.Add(2 * time.Hour),
	}
	refused(t, k.ReplaceTenantKey(t.Context(), next), config.KindNotFound)
	ok(t, k.AddTenantKey(t.Context(), tenantKey(a, "first")))
	untouched := tenantKey(b, "of b")
	ok(t, k.AddTenantKey(t.Context(), untouched))
	ok(t, k.ReplaceTenantKey(t.Context(), next))
	for _, generation := range []int64{0, 1, 2, 4} {
		wrong := next
		wrong.Generation, wrong.Wrapped = generation, []byte("wrong")
		refused(t, k.ReplaceTenantKey(t.Context(), wrong), config.KindConflict)
	}
	got, err := k.TenantKey(t.Context(), a)
	ok(t, err)
	same(t, got, next)
	got, err = k.TenantKey(t.Context(), b)
	ok(t, err)
	same(t, got, untouched)

	ok(t, k.DestroyTenantKey(t.Context(), a))
	for _, generation := range []int64{0, 1, 2, 3} { // nothing stands in a tombstone's place
		next.Generation = generation
		refused(t, k.ReplaceTenantKey(t.Context(), next), config.KindGone)
	}
}

// contendedReplace counts in one key by compare and set: no count is lost.
func contendedReplace(t *testing.T, k store.Keys) {
	const writers, each = 4, 10
	id := config.TenantID{1}
	ok(t, k.AddTenantKey(t.Context(), tenantKey(id, "key")))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				err := countInKey(t.Context(), k, id)
				switch {
				case err == nil:
					done++
				case config.KindOf(err) != config.KindConflict:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	key, err := k.TenantKey(t.Context(), id)
	ok(t, err)
	same(t, key.Newest, uint32(1+writers*each))
}

func countInKey(ctx context.Context, k store.Keys, id config.TenantID) error {
	key, err := k.TenantKey(ctx, id)
	if err != nil {
		return err
	}
	key.Generation++
	key.Newest++
	return k.ReplaceTenantKey(ctx, key)
}

func destroyKey(t *testing.T, k store.Keys) {
	a, b := config.TenantID{1}, config.TenantID{2}
	ok(t, k.AddTenantKey(t.Context(), tenantKey(a, "wrapped a")))
	ok(t, k.AddTenantKey(t.Context(), tenantKey(b, "wrapped b")))
	for i, id := range []config.TenantID{a, {3}, a} { // there, never there, gone already
		ok(t, k.DestroyTenantKey(t.Context(), id))
		_, err := k.TenantKey(t.Context(), id)
		refused(t, err, config.KindGone)
		refused(t, k.AddTenantKey(t.Context(), tenantKey(id, fmt.Sprint("again ", i))), config.KindGone)
	}
	key, err := k.TenantKey(t.Context(), b)
	ok(t, err)
	same(t, string(key.Wrapped), "wrapped b")
}
