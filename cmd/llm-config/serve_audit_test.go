package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestSameDisk(t *testing.T) {
	data := t.TempDir()
	for name, c := range map[string]struct {
		folder string
		want   bool
	}{
		"the folder itself":       {data, true},
		"one below":               {filepath.Join(data, "checkpoints"), true},
		"one that is to be":       {filepath.Join(data, "a", "b", "c"), true},
		"another file system":     {"/proc/self", false},
		"what cannot be a folder": {filepath.Join(data, "file", "below"), false},
	} {
		if err := os.WriteFile(filepath.Join(data, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "another file system" && runtime.GOOS != "linux" {
			continue
		}
		if got := sameDisk(c.folder, data); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
