package seal_test

import (
	"context"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func openStores(t testing.TB) (store.Keys, store.DataKeys) {
	return &fakeKeys{keys: map[config.TenantID][]byte{}}, &fakeData{rows: map[config.TenantID][]store.DataKey{}}
}

type fakeKeys struct {
	mu    sync.Mutex
	check []byte
	keys  map[config.TenantID][]byte
}

func (f *fakeKeys) MasterCheck(context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.check == nil {
		return nil, config.Errorf(config.KindNotFound, "no")
	}
	return f.check, nil
}
func (f *fakeKeys) SetMasterCheck(_ context.Context, c []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.check != nil {
		return config.Errorf(config.KindAlreadyExists, "is")
	}
	f.check = c
	return nil
}
func (f *fakeKeys) TenantKey(_ context.Context, id config.TenantID) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.keys[id]
	if !ok {
		return nil, config.Errorf(config.KindNotFound, "no")
	}
	if k == nil {
		return nil, config.Errorf(config.KindGone, "gone")
	}
	return k, nil
}
func (f *fakeKeys) AddTenantKey(_ context.Context, id config.TenantID, w []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.keys[id]
	if ok && k == nil {
		return config.Errorf(config.KindGone, "gone")
	}
	if ok {
		return config.Errorf(config.KindAlreadyExists, "is")
	}
	f.keys[id] = w
	return nil
}
func (f *fakeKeys) DestroyTenantKey(_ context.Context, id config.TenantID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[id] = nil
	return nil
}
func (f *fakeKeys) Close() error { return nil }

type fakeData struct {
	mu   sync.Mutex
	rows map[config.TenantID][]store.DataKey
}

func (f *fakeData) DataKeys(_ context.Context, id config.TenantID) ([]store.DataKey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]store.DataKey(nil), f.rows[id]...), nil
}
func (f *fakeData) AddDataKey(_ context.Context, id config.TenantID, k store.DataKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rows[id] {
		if r.Epoch == k.Epoch {
			return config.Errorf(config.KindConflict, "is")
		}
	}
	f.rows[id] = append(f.rows[id], k)
	return nil
}
func (f *fakeData) ReserveSeals(_ context.Context, id config.TenantID, e uint32, n int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rows[id] {
		if r := &f.rows[id][i]; r.Epoch == e {
			r.Reserved += n
			return r.Reserved - n, nil
		}
	}
	return 0, config.Errorf(config.KindNotFound, "no")
}
