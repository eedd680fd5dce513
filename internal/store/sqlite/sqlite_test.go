package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var alpha = config.Tenant{ID: config.TenantID{1}, Name: "alpha"}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func create(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.CreateTenant(t.Context(), alpha, store.Write{}, store.Write{}); err != nil {
		t.Fatal(err)
	}
}

func put(path string, version config.Version, text string) store.Write {
	return store.Write{
		Entry:  store.Entry{Kind: store.EntryChange, Author: "ann"},
		Layers: []store.LayerWrite{{Environment: 1, Path: config.MustPath(path), Version: version, State: store.Live, Sealed: []byte(text)}},
		Audit:  audit.Record{Event: "config.change"},
	}
}

// putSecret is the next version of a secret with one value more.
func putSecret(path string, version config.Version, text string) store.Write {
	return store.Write{
		Entry: store.Entry{Kind: store.EntrySecret, Author: "ann"},
		Secrets: []store.SecretWrite{{
			Environment: 1, Path: config.MustPath(path), Version: version, Sealed: []byte("record"),
			AddValues: []store.SecretValue{{Version: version, Sealed: []byte(text), Wrapped: []byte("wrapped " + text), KeyVersion: 1}},
		}},
		Audit: audit.Record{Event: "secret.set"},
	}
}

func mustPut(t *testing.T, s *Store, path string, version config.Version, text string) config.Revision {
	t.Helper()
	receipt, err := s.Commit(t.Context(), alpha.ID, put(path, version, text))
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Revision
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	s := open(t, dir)
	create(t, s)
	keys, err := OpenKeys(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	seen := map[string]fs.FileMode{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		seen[d.Name()] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data", "data.db", "data.db-wal", "data.db-shm", "keys.db", "lock"} {
		want := fs.FileMode(0o600)
		if name == "data" {
			want = 0o700
		}
		if seen[name] != want {
			t.Errorf("%s has mode %o, want %o", name, seen[name], want)
		}
	}
}

func TestOneProcessOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(t.Context(), dir, Options{})
	if config.KindOf(err) != config.KindUnavailable || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("the error is %v, want one that names process %d", err, os.Getpid())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	open(t, dir)
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), file, Options{}); err == nil {
		t.Error("a file was opened as a directory")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, dataFile), bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), dataFile) {
		t.Errorf("the error is %v, want one that names the file", err)
	}
	if _, err := lockDirectory(filepath.Join(dir, lockFile)); err != nil {
		t.Errorf("the lock was not given back: %v", err)
	}
}

func TestReopened(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	change := put("gateway", 1, "one")
	change.Uses = store.Usage{Documents: 7, Bytes: 8, Secrets: 9} // as the caller says, whatever one could count
	change.Rules = []store.RuleWrite{{Kind: store.RulePolicy, Name: "main", Version: 1, Sealed: []byte("permit")}}
	if _, err := s.Commit(t.Context(), alpha.ID, change); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, dataFile+"-wal")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the write-ahead log is still there: %v", err)
	}
	s = open(t, dir)
	usage, err := s.Usage(t.Context(), alpha.ID)
	check(t, err, usage, change.Uses)
	late := put("gateway", 2, "late")
	late.Expect = store.Expect{Revision: 1, Rules: true}
	if _, err := s.Commit(t.Context(), alpha.ID, late); config.KindOf(err) != config.KindConflict {
		t.Errorf("the error is %v, want a conflict of rules", err)
	}
	if got := mustPut(t, s, "gateway", 2, "two"); got != 3 {
		t.Errorf("the revision is %d, want 3", got)
	}
	checkChain(t, s, 3)
}

func checkChain(t *testing.T, s *Store, want uint64) {
	t.Helper()
	links, err := s.Audit(t.Context(), alpha.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	head, err := audit.Verify(audit.Head{}, func(yield func(audit.Link, error) bool) {
		for _, l := range links {
			if !yield(l, nil) {
				return
			}
		}
	})
	if err != nil || head.Sequence != want {
		t.Errorf("the chain ends at %d (%v), want %d", head.Sequence, err, want)
	}
}

// TestHalfWrittenLog opens copies of a store whose write-ahead log ends
// anywhere: each must show a revision as a whole, and go on from it.
func TestHalfWrittenLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	for v := range config.Version(20) {
		change := put("gateway", v+1, fmt.Sprint("text ", v+1))
		change.Layers = append(change.Layers, put("models", v+1, fmt.Sprint("text ", v+1)).Layers...)
		if _, err := s.Commit(t.Context(), alpha.ID, change); err != nil {
			t.Fatal(err)
		}
	}
	data, log := readFile(t, dir, dataFile), readFile(t, dir, dataFile+"-wal")
	seen := map[config.Revision]bool{}
	for _, torn := range []bool{false, true} {
		for cut := len(log); cut > len(log)/2; cut -= 4120 * 3 / 2 {
			seen[openTorn(t, data, log[:cut], torn)] = true
		}
	}
	if len(seen) < 5 || !seen[21] {
		t.Errorf("the copies show only the revisions %v", seen)
	}
}

// openTorn opens a copy, torn with a last page of zeros, and answers its revision.
func openTorn(t *testing.T, data, log []byte, torn bool) config.Revision {
	t.Helper()
	dir := t.TempDir()
	if torn {
		log = append(bytes.Clone(log[:len(log)-2000]), make([]byte, 2000)...)
	}
	for name, content := range map[string][]byte{dataFile: data, dataFile + "-wal": log} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	defer s.Close()
	revision, err := s.Revision(t.Context(), alpha.ID)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := s.LayersAt(t.Context(), alpha.ID, 0, []config.Path{config.MustPath("gateway"), config.MustPath("models")})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		if l.Revision != revision || string(l.Sealed) != fmt.Sprint("text ", l.Version) {
			t.Errorf("at revision %d, %s is %q of revision %d", revision, l.Path, l.Sealed, l.Revision)
		}
	}
	checkChain(t, s, uint64(revision))
	if got := mustPut(t, s, "gateway", config.Version(revision), "after"); got != revision+1 {
		t.Errorf("the next revision is %d, want %d", got, revision+1)
	}
	return revision
}

func readFile(t *testing.T, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// failing is a task whose store step the engine refuses, after a part was stored.
type failing struct {
	uncounted
	left int // how often it still fails
}

func (f *failing) check(*tx) error { return nil }

func (f *failing) store(t *tx) error {
	if _, err := t.tenant(alpha.ID); err != nil {
		return err
	}
	if err := t.exec(deleteExpired, int64(newest)); err != nil {
		return err
	}
	if f.left--; f.left < 0 {
		return nil
	}
	return t.exec("INSERT INTO tenants (id) VALUES (NULL)")
}

// TestGroupFails runs a group of which one write fails by the engine: the others
// are committed, in order, with nothing of the failed one.
func TestGroupFails(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	var heard []config.Revision
	var group []*request
	for i := range 5 {
		change := put("gateway", config.Version(i+1), "text")
		change.Uses, change.Quota = store.Usage{Documents: 1}, store.Usage{Documents: 5}
		change.Committed = func(r store.Receipt) { heard = append(heard, r.Revision) }
		c, err := newCommit(alpha.ID, &change)
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, &request{ctx: t.Context(), task: c, done: make(chan struct{})})
	}
	bad := &request{ctx: t.Context(), task: &failing{left: 2}, done: make(chan struct{})}
	group = append(group[:2], append([]*request{bad}, group[2:]...)...)
	s.writer.pause(t, func() { s.writer.commit(group) })

	for i, r := range group {
		<-r.done
		if failed := r.err != nil; failed != (r == bad) {
			t.Errorf("write %d: %v", i, r.err)
		}
	}
	if fmt.Sprint(heard) != "[2 3 4 5 6]" {
		t.Errorf("heard of revisions %v", heard)
	}
	usage, err := s.Usage(t.Context(), alpha.ID)
	check(t, err, usage, store.Usage{Documents: 5}) // what was rolled back is not counted
	checkChain(t, s, 6)
}

// pause runs f while the writer does nothing else.
func (w *writer) pause(t *testing.T, f func()) {
	t.Helper()
	h := &holding{held: make(chan struct{}), release: make(chan struct{})}
	done := make(chan error)
	go func() { done <- w.do(context.Background(), h) }()
	<-h.held
	if err := w.conn.exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	f()
	if err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// holding is a task that keeps the writer until it is released.
type holding struct {
	uncounted
	held, release chan struct{}
}

func (h *holding) check(*tx) error { close(h.held); <-h.release; return nil }
func (h *holding) store(*tx) error { return nil }

// TestDiskFull caps the file: writes fail by kind, reads go on, and writes go on
// where they were once there is room.
func TestDiskFull(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	mustPut(t, s, "gateway", 1, "one")
	pages := func(n int64) {
		s.writer.pause(t, func() {
			if err := s.writer.conn.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
				t.Fatal(err)
			}
		})
	}
	pages(1)
	big := strings.Repeat("x", 1<<20)
	_, err := s.Commit(t.Context(), alpha.ID, put("gateway", 2, big))
	if config.KindOf(err) != config.KindUnavailable || !strings.Contains(fmt.Sprint(err), "the disk is full") {
		t.Errorf("the error is %v, want one of kind %s that says the disk is full", err, config.KindUnavailable)
	}
	var e *config.Error
	if errors.As(err, &e) && e.Cause == nil {
		t.Error("the error has no cause")
	}
	if _, err := s.Commit(t.Context(), alpha.ID, put("models", 7, "x")); config.KindOf(err) != config.KindConflict {
		t.Errorf("the error is %v, want a conflict", err)
	}
	layers, err := s.LayersAt(t.Context(), alpha.ID, 0, []config.Path{config.MustPath("gateway")})
	if err != nil || len(layers) != 1 || layers[0].Version != 1 {
		t.Errorf("the layers are %v (%v)", layers, err)
	}
	pages(1 << 30)
	if got := mustPut(t, s, "gateway", 2, big); got != 3 {
		t.Errorf("the revision is %d, want 3", got)
	}
	checkChain(t, s, 3)
}

// TestCloseRefusesQueued closes while one write runs and others wait.
func TestCloseRefusesQueued(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	running := &holding{held: make(chan struct{}), release: make(chan struct{})}
	ran := make(chan error, 1)
	go func() { ran <- s.writer.do(context.Background(), running) }()
	<-running.held

	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Commit(context.Background(), alpha.ID, put(fmt.Sprint("path-", i), 1, "x")) })
	}
	for len(s.writer.queue) < len(errs) {
		runtime.Gosched()
	}
	closing := make(chan error)
	go func() { closing <- s.Close() }()
	<-s.closing
	<-s.writer.closing
	close(running.release)
	if err := <-ran; err != nil {
		t.Errorf("the write under way: %v", err)
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
	wg.Wait()
	for i, err := range errs {
		if config.KindOf(err) != config.KindUnavailable {
			t.Errorf("queued write %d: %v", i, err)
		}
	}
}

// TestContextIsHeededUntilTheTransaction takes a write back while it is queued.
func TestContextIsHeededUntilTheTransaction(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	running := &holding{held: make(chan struct{}), release: make(chan struct{})}
	ran := make(chan error, 1)
	go func() { ran <- s.writer.do(context.Background(), running) }()
	<-running.held
	ctx, cancel := context.WithCancel(t.Context())
	committed := make(chan error, 1)
	go func() {
		_, err := s.Commit(ctx, alpha.ID, put("gateway", 1, "x"))
		committed <- err
	}()
	for len(s.writer.queue) == 0 {
		runtime.Gosched()
	}
	cancel()
	close(running.release)
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := <-committed; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
	if got := mustPut(t, s, "gateway", 1, "x"); got != 2 {
		t.Errorf("the revision is %d, want 2", got)
	}
}

// TestDestroyedBodyIsGone looks for the bytes in every file.
func TestDestroyedBodyIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	secrets := []string{"small-pasted-key", strings.Repeat("large-pasted-key", 1000)}
	for i, secret := range secrets {
		path := fmt.Sprint("gateway-", i)
		mustPut(t, s, path, 1, secret)
		mustPut(t, s, path, 2, "clean")
		destroy := store.Write{Destroy: []store.LayerDestroy{{Environment: 1, Path: config.MustPath(path), Version: 1, Sealed: []byte("digest")}}}
		if _, err := s.Commit(t.Context(), alpha.ID, destroy); err != nil {
			t.Fatal(err)
		}
	}
	checkAbsent(t, dir, "pasted-key")
}

func TestDroppedSecretValueIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	for i, text := range []string{"small-secret-value", strings.Repeat("large-secret-value", 1000)} {
		path := fmt.Sprint("openai-", i)
		for version, value := range []string{text, "clean"} {
			if _, err := s.Commit(t.Context(), alpha.ID, putSecret(path, config.Version(version+1), value)); err != nil {
				t.Fatal(err)
			}
		}
		drop := putSecret(path, 3, "clean")
		drop.Secrets[0].DropValues = []config.Version{1}
		if _, err := s.Commit(t.Context(), alpha.ID, drop); err != nil {
			t.Fatal(err)
		}
	}
	checkAbsent(t, dir, "secret-value")
}

// TestRetiredMasterWrapsNothing looks for what a master key wrapped before it
// was retired.
func TestRetiredMasterWrapsNothing(t *testing.T) {
	dir := t.TempDir()
	keys := openKeys(t, dir)
	for v := range uint32(2) {
		if err := keys.AddMaster(t.Context(), store.Master{Version: v + 1, Check: []byte("check")}); err != nil {
			t.Fatal(err)
		}
	}
	key := store.TenantKey{Tenant: alpha.ID, Wrapped: []byte("wrapped-by-the-first"), Master: 1, Generation: 1}
	if err := keys.AddTenantKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	key.Wrapped, key.Master, key.Generation = []byte("anew"), 2, 2
	if err := keys.ReplaceTenantKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if err := keys.RetireMaster(t.Context(), 1, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	checkAbsent(t, dir, "wrapped-by-the-first")
}

func TestDestroyedKeyIsGone(t *testing.T) {
	dir := t.TempDir()
	keys, err := OpenKeys(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	for i := range byte(9) {
		if err := keys.AddTenantKey(t.Context(), store.TenantKey{Tenant: config.TenantID{i}, Wrapped: bytes.Repeat([]byte(fmt.Sprint("wrapped-key-", i)), 30)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(8) {
		if err := keys.DestroyTenantKey(t.Context(), config.TenantID{i}); err != nil {
			t.Fatal(err)
		}
		checkAbsent(t, dir, fmt.Sprint("wrapped-key-", i))
	}
}

func checkAbsent(t *testing.T, dir, text string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(string(readFile(t, dir, e.Name())), text) {
			t.Errorf("%s still holds it", e.Name())
		}
	}
}

// TestAlteredPath finds what no parsed path was stored as.
func TestAlteredPath(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	mustPut(t, s, "gateway", 1, "one")
	change := putSecret("openai", 1, "one")
	change.Secrets[0].Due = time.Unix(1, 0)
	if _, err := s.Commit(t.Context(), alpha.ID, change); err != nil {
		t.Fatal(err)
	}
	s.writer.pause(t, func() {
		for _, table := range []string{"layers", "layer_versions", "secrets", "secret_values"} {
			if err := s.writer.conn.exec("UPDATE " + table + " SET path = '../x'"); err != nil {
				t.Fatal(err)
			}
		}
	})
	scan := store.Scan{Environments: []config.EnvironmentID{1}, Page: store.Page{Limit: 5}}
	_, _, inLayers := s.ScanLayers(t.Context(), alpha.ID, scan)
	_, _, inSecrets := s.ScanSecrets(t.Context(), alpha.ID, scan)
	_, inDue := s.DueSecrets(t.Context(), time.Unix(2, 0), 5)
	_, inKeys := s.KeysBelow(t.Context(), alpha.ID, 9, 5)
	for _, err := range []error{inLayers, inSecrets, inDue, inKeys} {
		if err == nil || !strings.Contains(err.Error(), "altered") {
			t.Errorf("the error is %v", err)
		}
	}
}
