package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/settings"
)

// TestThinningWaitsForTheAnchors of the settings, all of them.
func TestThinningWaitsForTheAnchors(t *testing.T) {
	urls := []string{"file://" + t.TempDir(), "file://" + t.TempDir()}
	s := settings.Settings{AuditCheckpoints: urls}
	opened, err := openAudit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.close()
	p := process{live: settings.NewLive(s), auditing: opened}
	var want []string
	for _, anchor := range opened.anchors {
		want = append(want, anchor.Name())
	}
	if got := p.auditSetup().Anchors; len(want) != len(urls) || !slices.Equal(got, want) {
		t.Errorf("thinning waits for %q, want %q", got, want)
	}
}

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
