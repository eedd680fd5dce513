package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretFileIsReadAgainAndChangedByNobody(t *testing.T) {
	file, err := secretFile(canary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	name := "/dev/fd/" + number(int64(file.Fd()))
	for range 2 {
		if text, err := os.ReadFile(name); err != nil || string(text) != canary {
			t.Fatalf("%q, %v", text, err)
		}
	}
	if err := os.WriteFile(name, []byte("other"), 0o600); err == nil {
		t.Error("the file can be written")
	}
	if err := file.Truncate(0); err == nil {
		t.Error("the file can be cut")
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != canary {
		t.Errorf("afterwards it holds %q, %v", text, err)
	}
}

func TestSecretsFolder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secrets")
	f, err := openSecretsFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	mode := func(name string, want fs.FileMode) {
		t.Helper()
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	mode(name, 0o700)
	// What lies in the way is replaced and not written through.
	target := filepath.Join(t.TempDir(), "target")
	for _, in := range []string{"KEY", ".KEY.next"} {
		if err := os.Symlink(target, filepath.Join(name, in)); err != nil {
			t.Fatal(err)
		}
	}
	for _, value := range []string{"longer than the next", canary} {
		file, err := f.write("KEY", value)
		if err != nil {
			t.Fatal(err)
		}
		mode(file, 0o600)
		if text, err := os.ReadFile(file); err != nil || string(text) != value || file != filepath.Join(name, "KEY") {
			t.Errorf("%s holds %q, %v", file, text, err)
		}
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a link was followed")
	}
	if _, err := f.write("GONE", "x"); err != nil {
		t.Fatal(err)
	}
	if err := f.keepOnly([]string{"KEY"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(name)
	if err != nil || len(entries) != 1 || entries[0].Name() != "KEY" {
		t.Errorf("%v, %v", entries, err)
	}
	if err := f.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the folder is left")
	}
}

func TestSecretsFolderOfOthersIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "open")
	for _, mode := range []fs.FileMode{0o755, 0o710, 0o702} {
		if err := os.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := openSecretsFolder(name); err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(name, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if _, err := openSecretsFolder(name); err == nil || !strings.Contains(err.Error(), "belongs to somebody else") {
			t.Errorf("somebody else's: %v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecretsFolder(file); err == nil {
		t.Error("a file was taken for a folder")
	}
}
