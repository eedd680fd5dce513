package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// Keys are backed up while the server runs, and come back where they were lost,
// but not those of a tenant that was deleted since.
func TestKeyBackupAndRestore(t *testing.T) {
	data := t.TempDir()
	key := filepath.Join(data, "master.key")
	local := func(code int, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "llm-config", append(args, "--data", data, "--master-key-file", key)...)
		c.Env = withoutRaceWait()
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != code {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	backup := filepath.Join(t.TempDir(), "keys.backup")
	withServer := func(work func(admin *client.Client)) {
		t.Helper()
		server := startServer(t, data)
		work(server.client)
		stop(t, server)
	}
	withServer(func(admin *client.Client) {
		for _, name := range []string{"kept", "deleted"} {
			if _, err := admin.CreateTenant(t.Context(), api.NewTenant{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		if says := local(0, "key", "backup", "-f", backup); !strings.Contains(says, "1 version of the master key") {
			t.Errorf("backup says %q", says)
		}
		if says := local(exitFailed, "key", "backup", "-f", backup); !strings.Contains(says, "a backup is never replaced") {
			t.Errorf("a second backup says %q", says)
		}
		if says := local(exitFailed, "key", "restore", "-f", backup); strings.Contains(says, "added") {
			t.Errorf("restore beside a server says %q", says)
		}
		if _, err := admin.DeleteTenant(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
	})
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the backup: %v, %v", info, err)
	}
	if says := local(0, "key", "restore", "-f", backup); !strings.Contains(says, "0 added, 0 replaced") {
		t.Errorf("restore over what is there says %q", says)
	}
	lost, err := filepath.Glob(filepath.Join(data, "keys*"))
	if err != nil || len(lost) == 0 {
		t.Fatalf("%q, %v", lost, err)
	}
	for _, name := range lost {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	says := local(0, "key", "restore", "-f", backup, "-o", "json")
	if !strings.Contains(says, `"replaced": 0`) || strings.Contains(says, `"added": 0`) {
		t.Errorf("restore of what was lost says %s", says)
	}
	wantOnRecord(t, data, `"event":"key.restore"`)
	altered, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	altered[len(altered)/2] ^= 1
	if err := os.WriteFile(backup+".altered", altered, 0o600); err != nil {
		t.Fatal(err)
	}
	local(exitFailed, "key", "restore", "-f", backup+".altered")
	withServer(func(admin *client.Client) {
		if _, err := admin.Environments(t.Context()); err != nil {
			t.Errorf("after the restore: %v", err)
		}
	})
}

// wantOnRecord looks for a text in the records of the server's chain.
func wantOnRecord(t *testing.T, data, text string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), data, sqlite.Options{Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	links, err := s.Audit(t.Context(), config.TenantID{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(links, func(l audit.Link) bool { return strings.Contains(string(l.Record), text) }) {
		t.Errorf("%s is not on record", text)
	}
}
