package seal_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

func mustFileKeeper(t testing.TB, path string) seal.Keeper {
	t.Helper()
	k, err := seal.OpenFileKeeper(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustWrap(t testing.TB, k seal.Keeper) []byte {
	t.Helper()
	wrapped, err := k.Wrap(t.Context(), []byte("plain"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func unwraps(t testing.TB, k seal.Keeper, wrapped []byte) bool {
	t.Helper()
	plain, err := k.Unwrap(t.Context(), wrapped, []byte("here"))
	if err != nil && !errors.Is(err, seal.ErrNotWrapped) {
		t.Fatal(err)
	}
	return err == nil && string(plain) == "plain"
}

func TestAddFileKey(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		path := writeKeyFile(t, keyLine(goodKey), mode)
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		k := mustFileKeeper(t, link)
		old := mustWrap(t, k)
		if err := seal.AddFileKey(link); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || strings.Count(string(text), "\n") != 2 || !strings.HasSuffix(string(text), keyLine(goodKey)) {
			t.Errorf("the old key is not the second of two lines, %v", err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
			t.Errorf("the mode is %v, %v, want %v", info.Mode(), err, mode)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link was replaced, %v", err)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
			t.Errorf("%d files are left, %v", len(files), err)
		}

		// Until it reloads, a keeper goes on with what it had.
		before := mustWrap(t, k)
		namer := k.(seal.KeyNamer)
		if namer.KeyOf(before) != namer.KeyOf(old) || namer.KeyOf(nil) != "" {
			t.Error("another key wraps before the reload")
		}
		if err := k.(seal.Reloader).Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := mustWrap(t, k)
		if namer.KeyOf(after) == namer.KeyOf(old) {
			t.Error("the same key wraps after the reload")
		}
		if !unwraps(t, k, old) || !unwraps(t, k, after) {
			t.Error("one of the two keys does not unwrap")
		}
	}
}

func TestAKeeperKeepsItsKeysWhenTheFileIsBad(t *testing.T) {
	path := writeKeyFile(t, keyLine(goodKey), 0o600)
	k := mustFileKeeper(t, path)
	wrapped := mustWrap(t, k)
	for _, text := range []string{"", "nothing", keyLine(otherKey) + "nothing"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := k.(seal.Reloader).Reload(t.Context()); err == nil {
			t.Errorf("%q was read as keys", text)
		}
		if !unwraps(t, k, wrapped) {
			t.Errorf("the key is gone after %q", text)
		}
	}
	if err := os.WriteFile(path, []byte(keyLine(otherKey)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.(seal.Reloader).Reload(t.Context()); err != nil || unwraps(t, k, wrapped) {
		t.Errorf("a key that was taken out still unwraps, %v", err)
	}
}

func TestWhereNoKeyIsAdded(t *testing.T) {
	refused := func(path, want string) {
		t.Helper()
		before, _ := os.ReadFile(path)
		err := seal.AddFileKey(path)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("AddFileKey: %v, want %q", err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Error("the file was changed all the same")
		}
		if _, err := os.Stat(path + ".new"); err == nil && want != "another key is being added" {
			t.Error("the next one cannot be added: the lock was left")
		}
	}
	refused(filepath.Join(t.TempDir(), "none"), "no such file")
	refused(writeKeyFile(t, "nothing\n", 0o600), "does not begin with")
	refused(writeKeyFile(t, keyLine(goodKey), 0o640), "chmod 600")
	refused(writeKeyFile(t, manyKeyLines(16), 0o600), "as many as it may")
	path := writeKeyFile(t, keyLine(goodKey), 0o600)
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(path, "another key is being added")
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	if err := seal.AddFileKey(path); err != nil {
		t.Error(err)
	}
}

// Of keys that are added at once none is lost.
func TestKeysAreAddedAtOnce(t *testing.T) {
	path := writeKeyFile(t, keyLine(goodKey), 0o600)
	var mu sync.Mutex
	var wg sync.WaitGroup
	added := 0
	for range 8 {
		wg.Go(func() {
			if err := seal.AddFileKey(path); err == nil {
				mu.Lock()
				added++
				mu.Unlock()
			} else if !strings.Contains(err.Error(), "another key is being added") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if n := strings.Count(string(text), "\n"); err != nil || n != added+1 || added == 0 {
		t.Errorf("%d keys were added, and the file has %d, %v", added, n, err)
	}
	mustFileKeeper(t, path)
}
