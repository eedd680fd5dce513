package seal_test

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

func openStores(t testing.TB) (store.Keys, store.Store) {
	t.Helper()
	dir := t.TempDir()
	data, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := sqlite.OpenKeys(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := data.Close(); err != nil {
			t.Error(err)
		}
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	return keys, data
}
