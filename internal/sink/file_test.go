package sink

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// lines reads a file whose lines must all be whole.
func lines(t *testing.T, path string) []Record {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []Record
	for line := range bytes.Lines(text) {
		var l struct {
			Chain, Hash string
			Record      json.RawMessage
			Sequence    uint64
		}
		if err := json.Unmarshal(line, &l); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("%q: %v", line, err)
		}
		r := Record{Origin: l.Chain}
		r.Sequence, r.Record = l.Sequence, l.Record
		if n, err := hex.Decode(r.Hash[:], []byte(l.Hash)); err != nil || n != len(r.Hash) {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func same(a, b Record) bool {
	return a.Origin == b.Origin && a.Sequence == b.Sequence && a.Hash == b.Hash && bytes.Equal(a.Record, b.Record)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit log.ndjson")
	s := mustOpen(t, "file://"+strings.ReplaceAll(path, " ", "%20"))
	mustDeliver(t, s, nil)
	mustDeliver(t, s, chained(1, 3))
	mustDeliver(t, s, chained(4, 2))
	mustDeliver(t, mustOpen(t, s.Name()), chained(6, 1))
	got, want := lines(t, path), append(append(chained(1, 3), chained(4, 2)...), chained(6, 1)...)
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("the file holds %v", got)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), `{"chain":"`+origin+`","hash":"`+hex.EncodeToString(want[0].Hash[:])+`","record":{`) {
		t.Errorf("it begins %.200s (%v)", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestARotatedFile was moved away, truncated in place, or deleted.
func TestARotatedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	s := mustOpen(t, "file:"+path)
	check := func(file string, want ...uint64) {
		t.Helper()
		if got := sequences(lines(t, file)); !slices.Equal(got, want) {
			t.Errorf("%s holds %v, want %v", file, got, want)
		}
	}
	mustDeliver(t, s, chained(1, 1))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	mustDeliver(t, s, chained(2, 1))
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	mustDeliver(t, s, chained(3, 2))
	check(path, 3, 4)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	mustDeliver(t, s, chained(5, 1))
	check(path, 5)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustDeliver(t, s, chained(6, 1))
	check(path+".1", 1)
	check(path+".2", 2)
	check(path, 6)
}

// TestATornLine: a process ended within a line, at all of its first bytes and
// some of the others. The record comes again,
// once whole.
func TestATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	first := appendLine(nil, chained(1, 1)[0])
	second := appendLine(nil, chained(1, 2)[1])
	for _, before := range [][]byte{nil, first} {
		for cut := 0; cut < len(second); cut += 1 + cut/10 {
			if err := os.WriteFile(path, append(slices.Clone(before), second[:cut]...), 0o600); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, "file:"+path)
			mustDeliver(t, s, chained(1, 2)[1:])
			got, err := os.ReadFile(path)
			if err != nil || string(got) != string(before)+string(second) {
				t.Fatalf("cut at %d, the file is %q (%v)", cut, got, err)
			}
		}
	}
}

// TestFilesOfOthers stay as they are.
func TestFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"127.0.0.1 localhost", "a\nb\nroot:x:0:0", strings.Repeat("x", maxLine+10), lineStart + strings.Repeat("x", maxLine+10)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := mustOpen(t, "file:"+path).Deliver(t.Context(), chained(1, 1))
		refuse(t, err, config.KindUnavailable, "file:"+path)
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("it was changed (%v)", err)
		}
	}
	folder := t.TempDir()
	refuse(t, mustOpen(t, "file:"+folder).Deliver(t.Context(), chained(1, 1)), config.KindUnavailable)
	refuse(t, mustOpen(t, "file:"+folder+"/absent/f").Deliver(t.Context(), chained(1, 1)), config.KindUnavailable, "folder is there")
	if _, err := os.Stat(folder + "/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mistyped folder was made (%v)", err)
	}
	pipe := folder + "/pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, mustOpen(t, "file:"+pipe).Deliver(t.Context(), chained(1, 1)), config.KindUnavailable)
}

// TestAFullDisk: a batch of which a part fits leaves the file as it was. A limit
// on the size of files stands for the disk, in a process of its own.
func TestAFullDisk(t *testing.T) {
	if path := os.Getenv("SINK_TEST_FILE"); path != "" {
		s := mustOpen(t, "file:"+path)
		mustDeliver(t, s, chained(1, 2))
		before := lines(t, path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		limit := syscall.Rlimit{Cur: uint64(info.Size()) * 2, Max: uint64(info.Size()) * 100}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		refuse(t, s.Deliver(t.Context(), chained(3, 20)), config.KindUnavailable, "room")
		if got := lines(t, path); !slices.EqualFunc(got, before, same) {
			t.Errorf("the file holds %v", sequences(got))
		}
		limit.Cur = limit.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		mustDeliver(t, s, chained(3, 20))
		if got := lines(t, path); !slices.EqualFunc(got, append(before, chained(3, 20)...), same) {
			t.Errorf("in the end the file holds %v", sequences(got))
		}
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestAFullDisk$")
	child.Env = append(os.Environ(), "SINK_TEST_FILE="+filepath.Join(t.TempDir(), "f"))
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestAFullDisk") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAnEndedContextWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refuse(t, mustOpen(t, "file:"+path).Deliver(ctx, chained(1, 1)), config.KindUnavailable)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there (%v)", err)
	}
}

// TestAFileThatHangs: a pipe that nobody reads stands for a mount that is gone.
// Deliveries end in time, all of them leave one goroutine behind, and what hung
// is not there twice when the file answers again.
func TestAFileThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newFile(path)
	s.open, s.timeout = pipe, 10*time.Millisecond
	many := chained(1, 1)
	many[0].Record = []byte(`{"reason":"` + strings.Repeat("x", 1<<20) + `"}`) // more than a pipe holds
	before := runtime.NumGoroutine()
	refuse(t, s.Deliver(t.Context(), many), config.KindUnavailable, "cannot be written")
	for range 3 {
		refuse(t, s.Deliver(t.Context(), many), config.KindUnavailable, "cannot be written")
	}
	if err := s.Close(); !errors.Is(err, errSilent) {
		t.Errorf("it is closed while it hangs: %v", err)
	}
	if hanging := runtime.NumGoroutine() - before; hanging > 1 {
		t.Errorf("%d goroutines hang", hanging)
	}
	s.timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	refuse(t, s.Deliver(ctx, many), config.KindUnavailable, "cannot be written")

	if err := errors.Join(os.Remove(path), pipe.Close()); err != nil { // the write that hung fails
		t.Fatal(err)
	}
	mustDeliver(t, s, chained(1, 2))
	if got := sequences(lines(t, path)); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("the file holds %v", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
