package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// files are the files below a folder, by their paths in it.
func files(t *testing.T, folder string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if entry.IsDir() {
			path += "/"
		}
		found[path] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestOnlyTheOwnerReadsAFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	a := mustOpen(t, "file://"+folder)
	if err := a.Put(t.Context(), "a/b/c", []byte("x")); err != nil {
		t.Fatal(err)
	}
	all := files(t, folder)
	for path, mode := range all {
		want := fs.FileMode(0o600)
		if strings.HasSuffix(path, "/") {
			want = 0o700
		}
		if mode != want {
			t.Errorf("%s has the mode %o", path, mode)
		}
	}
	if len(all) != 5 { // ./ a/ a/b/ a/b/c .partial/
		t.Errorf("the folder holds %v", all)
	}
}

// TestInterruptedPuts: a process ends while it writes. What it left is neither
// an object nor there for ever.
func TestInterruptedPuts(t *testing.T) {
	folder := t.TempDir()
	first := mustOpen(t, "file://"+folder)
	if err := first.Put(t.Context(), "k", []byte("old")); err != nil {
		t.Fatal(err)
	}
	left := map[string]time.Time{"LONGAGO": time.Now().Add(-2 * stranded), "JUSTNOW": time.Now()}
	for name, when := range left {
		name = filepath.Join(folder, partials, name)
		if err := errors.Join(os.WriteFile(name, []byte("ne"), 0o600), os.Chtimes(name, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	second := mustOpen(t, "file://"+folder)
	if got, err := second.Get(t.Context(), "k"); string(got) != "old" || err != nil {
		t.Errorf("the object is %q (%v)", got, err)
	}
	all := files(t, folder)
	if _, there := all[".partial/LONGAGO"]; there {
		t.Error("what nobody writes any more is still there")
	}
	if _, there := all[".partial/JUSTNOW"]; !there {
		t.Error("what another process may be writing was taken away")
	}
}

// TestAnotherProcess reads what this one put, and puts what this one reads; it is
// killed while it writes the same object over and over.
func TestAnotherProcess(t *testing.T) {
	if folder := os.Getenv("ARCHIVE_TEST_FOLDER"); folder != "" {
		a := mustOpen(t, "file://"+folder)
		got, err := a.Get(t.Context(), "ours")
		if err != nil {
			t.Fatal(err)
		}
		for turn := 0; ; turn++ {
			body := strings.Repeat(string(got), 1000+turn%2*1000)
			if err := a.Put(t.Context(), "theirs", []byte(body)); err != nil {
				t.Fatal(err)
			}
			if turn == 10 {
				os.Stdout.WriteString("ready\n")
			}
		}
	}
	folder := t.TempDir()
	a := mustOpen(t, "file://"+folder)
	if err := a.Put(t.Context(), "ours", []byte("line\n")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	other := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAnotherProcess$")
	other.Env = append(os.Environ(), "ARCHIVE_TEST_FOLDER="+folder)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Errorf("the other process said %q (%v)", ready, err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = other.Wait() // it was killed
	got, err := a.Get(t.Context(), "theirs")
	if n := strings.Count(string(got), "line\n"); err != nil || n != 1000 && n != 2000 || len(got) != n*5 {
		t.Errorf("%d bytes, which is no whole object (%v)", len(got), err)
	}
}

// TestAFolderThatIsGone, as when its mount is: nothing is written past it.
func TestAFolderThatIsGone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "mount")
	a := mustOpen(t, "file://"+folder)
	if err := os.Rename(folder, folder+"-away"); err != nil {
		t.Fatal(err)
	}
	refuse(t, a.Put(t.Context(), "k", []byte("x")), config.KindUnavailable, "file:"+folder, "permissions")
	_, err := a.Get(t.Context(), "k")
	refuse(t, err, config.KindUnavailable)
	refuse(t, a.Delete(t.Context(), "k"), config.KindUnavailable)
	if err := os.Rename(folder+"-away", folder); err != nil {
		t.Fatal(err)
	}
	if err := a.Put(t.Context(), "k", []byte("x")); err != nil {
		t.Errorf("it is back, and: %v", err)
	}
}

func TestAFileIsNoArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + "/below"} {
		_, err := Open(t.Context(), "file://"+path)
		refuse(t, err, config.KindUnavailable, "cannot be opened", path)
	}
}

func TestLinksLeadNowhereElse(t *testing.T) {
	folder, elsewhere := t.TempDir(), t.TempDir()
	a := mustOpen(t, "file://"+folder)
	if err := os.Symlink(elsewhere, filepath.Join(folder, "out")); err != nil {
		t.Fatal(err)
	}
	refuse(t, a.Put(t.Context(), "out/k", []byte("x")), config.KindUnavailable)
	if all := files(t, elsewhere); len(all) != 1 {
		t.Errorf("it was written to: %v", all)
	}
}

func TestAFailedPutLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	a := mustOpen(t, "file://"+folder)
	if err := os.MkdirAll(filepath.Join(folder, "k", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	refuse(t, a.Put(t.Context(), "k", []byte("x")), config.KindUnavailable)
	if left := files(t, filepath.Join(folder, partials)); len(left) != 1 {
		t.Errorf("it left %v", left)
	}
}

// TestAHungFolder: a file system that does not answer holds nobody up, and not
// more than a few calls.
func TestAHungFolder(t *testing.T) {
	f := &folder{path: t.TempDir(), places: make(chan struct{}, 2)}
	hang := make(chan struct{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	started := make(chan struct{})
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		go func() { <-started; stop() }()
		if err := f.within(ctx, func() error { started <- struct{}{}; <-hang; return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
	}
	if err := f.within(ended, func() error { t.Error("one call too many runs"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	close(hang)
	if err := f.within(t.Context(), func() error { return nil }); err != nil {
		t.Error(err)
	}
}
