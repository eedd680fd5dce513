package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

func mustAppend(t testing.TB, s *Store, tenant config.TenantID, records ...audit.Record) {
	t.Helper()
	if err := s.AppendAudit(t.Context(), tenant, records...); err != nil {
		t.Fatal(err)
	}
}

// packed is a segment of the oldest hot links up to a sequence number.
func packed(t testing.TB, s *Store, tenant config.TenantID, last uint64) store.Segment {
	t.Helper()
	segments, err := s.Segments(t.Context(), tenant, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	segment := store.Segment{First: 1, Last: last}
	if n := len(segments); n > 0 {
		segment.First, segment.From = segments[n-1].Last+1, segments[n-1].Hash
	}
	links, err := s.AuditOf(t.Context(), tenant, []uint64{last})
	if err != nil || len(links) != 1 {
		t.Fatal(links, err)
	}
	segment.Hash = links[0].Hash
	return segment
}

func mustPack(t testing.TB, s *Store, tenant config.TenantID, last uint64, body string) {
	t.Helper()
	if err := s.PackLinks(t.Context(), tenant, packed(t, s, tenant, last), []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// TestPackedInTheGroup packs links that the same group appends, and deletes the
// tenant in it: what is asked is what was appended by then.
func TestPackedInTheGroup(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, err := Open(t.Context(), t.TempDir(), Options{Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	create(t, s)
	chain, err := s.Chain(t.Context(), alpha.ID)
	if err != nil {
		t.Fatal(err)
	}
	record := audit.Record{Event: "secret.read", Time: now}
	segment := store.Segment{First: 1, Last: 2, Hash: chain.Head.Next(record.Canonical()).Hash}
	server := store.Write{}
	w, err := newCommit(config.TenantID{}, &server)
	if err != nil {
		t.Fatal(err)
	}
	var group []*request
	for _, task := range []task{
		&appendAccess{tenant: alpha.ID, records: []audit.Record{record}},
		&packLinks{tenant: alpha.ID, segment: segment, body: []byte("too early")}, // the newest would go
		&appendAccess{tenant: alpha.ID, records: []audit.Record{record}},
		&packLinks{tenant: alpha.ID, segment: segment, body: []byte("body")},
		&deleteTenant{tenant: alpha.ID, commit: w},
		&appendAccess{tenant: alpha.ID, records: []audit.Record{record}},
		&disposeSegment{tenant: alpha.ID, first: 1, record: audit.Record{Event: "audit.dispose"}},
		&putHold{tenant: alpha.ID, hold: store.Hold{Reason: "late"}, record: record},
	} {
		group = append(group, &request{ctx: t.Context(), task: task, done: make(chan struct{})})
	}
	s.writer.pause(t, func() { s.writer.commit(group) })
	for i, want := range []config.Kind{"", config.KindConflict, "", "", "", config.KindNotFound, "", ""} {
		if got := config.KindOf(group[i].err); group[i].err != nil && got != want || group[i].err == nil && want != "" {
			t.Errorf("write %d: %v, want %q", i, group[i].err, want)
		}
	}
	chain, err = s.Chain(t.Context(), alpha.ID)
	check(t, err, []uint64{chain.Head.Sequence, chain.Hot}, []uint64{5, 3})
	links, err := s.Audit(t.Context(), alpha.ID, 0, 10)
	check(t, err, len(links), 3)
	head, err := audit.Verify(audit.Head{Sequence: 2, Hash: segment.Hash}, func(yield func(audit.Link, error) bool) {
		for _, l := range links {
			if !yield(l, nil) {
				return
			}
		}
	})
	check(t, err, head, chain.Head)
}

// TestManyAppended appends every number of records around those that one
// statement inserts, in one write and in a group of writes.
func TestManyAppended(t *testing.T) {
	s := open(t, t.TempDir())
	create(t, s)
	want := uint64(1)
	for _, n := range []int{1, 2, 3, linksAtOnce - 1, linksAtOnce, linksAtOnce + 1, 3*linksAtOnce + 7} {
		records := make([]audit.Record, n)
		mustAppend(t, s, alpha.ID, records...)
		var group []*request
		for range n {
			r := &request{ctx: t.Context(), task: &appendAccess{tenant: alpha.ID, records: records[:1]}, done: make(chan struct{})}
			group = append(group, r)
		}
		s.writer.pause(t, func() { s.writer.commit(group) })
		want += 2 * uint64(n)
		checkChain(t, s, want)
	}
}

// TestDisposedBodyIsGone looks for the bytes in every file.
func TestDisposedBodyIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	for i, body := range []string{"small-body-of-records", strings.Repeat("large-body-of-records", 1000)} {
		mustAppend(t, s, alpha.ID, audit.Record{Event: "secret.read"})
		mustPack(t, s, alpha.ID, uint64(i+1), body)
		if err := s.DisposeSegment(t.Context(), alpha.ID, uint64(i+1), audit.Record{Event: "audit.dispose"}); err != nil {
			t.Fatal(err)
		}
	}
	checkAbsent(t, dir, "body-of-records")
}

// TestChainsAfterACrash opens copies of the files as a process that is killed in
// the middle of a step leaves them, the log cut off anywhere in it: the step is
// there as a whole or not at all, and can be taken again.
func TestChainsAfterACrash(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	mustAppend(t, s, alpha.ID, make([]audit.Record, 40)...)
	segment, body := packed(t, s, alpha.ID, 30), strings.Repeat("body ", 4000)
	mustPut(t, s, "gateway", 1, "one")
	for _, step := range []struct {
		name   string
		take   func(*Store) error
		before store.SegmentState // of the segment
	}{
		{"pack", func(s *Store) error { return s.PackLinks(context.Background(), alpha.ID, segment, []byte(body)) }, 0},
		{"archive", func(s *Store) error { return s.ArchiveSegment(context.Background(), alpha.ID, 1, "file:1") }, store.Warm},
		{"dispose", func(s *Store) error {
			return s.DisposeSegment(context.Background(), alpha.ID, 1, audit.Record{Event: "audit.dispose"})
		}, store.Cold},
	} {
		from := len(readFile(t, dir, dataFile+"-wal"))
		if err := step.take(s); err != nil {
			t.Fatal(step.name, err)
		}
		data, log := readFile(t, dir, dataFile), readFile(t, dir, dataFile+"-wal")
		whole, none := 0, 0
		for cut := from; cut <= len(log); cut += max(1, (len(log)-from)/5) {
			if afterCrash(t, data, log[:cut], step.before, step.take) == step.before {
				none++
			} else {
				whole++
			}
		}
		if whole == 0 || none == 0 {
			t.Errorf("%s: %d copies show it and %d do not", step.name, whole, none)
		}
	}
}

// afterCrash opens a copy, answers the state that the segment has in it, and
// takes the step again.
func afterCrash(t *testing.T, data, log []byte, before store.SegmentState, take func(*Store) error) store.SegmentState {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{dataFile: data, dataFile + "-wal": log} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	defer s.Close()
	state := checkTiers(t, s)
	if err := take(s); err != nil && (state == before || config.KindOf(err) != config.KindConflict) {
		t.Errorf("in state %d, the step again: %v", state, err)
	}
	if now := checkTiers(t, s); now != before+1 {
		t.Errorf("the state is %d after the step, want %d", now, before+1)
	}
	return state
}

// checkTiers checks that each record is in the place that the segment says, and
// answers its state, 0 when there is none.
func checkTiers(t *testing.T, s *Store) store.SegmentState {
	t.Helper()
	segments, err := s.Segments(t.Context(), alpha.ID, 0, 10)
	if err != nil || len(segments) > 1 {
		t.Fatal(segments, err)
	}
	links, err := s.Audit(t.Context(), alpha.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	_, bodiless := s.SegmentBody(t.Context(), alpha.ID, 1)
	state, head := store.SegmentState(0), audit.Head{}
	if len(segments) == 1 {
		state, head = segments[0].State, audit.Head{Sequence: segments[0].Last, Hash: segments[0].Hash}
	}
	if (bodiless == nil) != (state == store.Warm) {
		t.Errorf("in state %d, the body: %v", state, bodiless)
	}
	end, err := audit.Verify(head, func(yield func(audit.Link, error) bool) {
		for _, l := range links {
			if !yield(l, nil) {
				return
			}
		}
	})
	want := uint64(42)
	if state == store.Disposed {
		want++
	}
	check(t, err, end.Sequence, want)
	return state
}

// TestAuditOfAFullDisk caps the file: what must be on record fails by kind, reads
// go on, nothing that was acknowledged is lost, and appending goes on by itself.
func TestAuditOfAFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s)
	mustPut(t, s, "gateway", 1, "one")
	pages := func(text string) {
		s.writer.pause(t, func() {
			if err := s.writer.conn.exec("PRAGMA max_page_count = " + text); err != nil {
				t.Fatal(err)
			}
		})
	}
	record := audit.Record{Event: "secret.read", UserAgent: strings.Repeat("x", 3000)}
	pages("1") // no less than there are: the file cannot grow
	acknowledged := uint64(2)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				err := s.AppendAccess(context.Background(), alpha.ID, nil, record)
				mu.Lock()
				switch {
				case err == nil:
					acknowledged++ // a page had room
				case config.KindOf(err) != config.KindUnavailable || !strings.Contains(err.Error(), "the disk is full"):
					t.Errorf("the error is %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := s.AppendAudit(t.Context(), alpha.ID, record); config.KindOf(err) != config.KindUnavailable {
		t.Errorf("the error is %v, want one of kind %s", err, config.KindUnavailable)
	}
	layers, err := s.LayersAt(t.Context(), alpha.ID, 0, []config.Path{config.MustPath("gateway")})
	check(t, err, len(layers), 1)
	checkChain(t, s, acknowledged)

	pages("1073741823")
	mustAppend(t, s, alpha.ID, record, record)
	checkChain(t, s, acknowledged+2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkChain(t, open(t, dir), acknowledged+2)
}
