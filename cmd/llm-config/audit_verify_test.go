package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
)

func TestAuditVerifyByTheServer(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	good := api.AuditReport{Origin: testOrigin, Holds: true, First: 1, Last: 10, Records: 10, Checkpoints: 2, Signed: 8, SignedAt: &at}
	unsigned, broken, disposed := good, good, good
	unsigned.Checkpoints, unsigned.Signed, unsigned.SignedAt = 0, 0, nil
	broken.Holds, broken.Last, broken.Records, broken.Broken = false, 4, 4, &api.AuditBreak{Sequence: 5, Reason: "edited: its hash does not continue the chain"}
	disposed.First, disposed.Records, disposed.Disposed = 4, 7, 3
	for _, c := range []struct {
		report api.AuditReport
		code   int
		want   string
	}{
		{good, exitDone, testOrigin + " holds\n  10 records hold, 1 to 10\n  2 checkpoints hold; signed up to record 8, 2026-11-22T09:00:00Z\n  2 records behind that are not signed yet\n"},
		{unsigned, exitDone, testOrigin + " holds\n  10 records hold, 1 to 10\n  note: no checkpoint was found, so nothing proves that the chain was not written anew as a whole\n"},
		{disposed, exitDone, "  7 records hold, 4 to 10\n  3 records before them were disposed of, as later records attest\n"},
		{broken, exitDifference, testOrigin + " is broken at record 5: edited: its hash does not continue the chain\n  4 records hold, 1 to 4\n"},
	} {
		w := newAuditWire(t, 1)
		w.report = c.report
		s := w.session(t)
		s.run(t, c.code, "audit", "verify")
		if got := s.out.String(); !strings.Contains(got, c.want) {
			t.Errorf("printed\n%swant\n%s", got, c.want)
		}
		s = w.session(t)
		s.run(t, c.code, "audit", "verify", "-o", "json", "--server")
		var said api.AuditReport
		if err := json.Unmarshal(s.out.Bytes(), &said); err != nil || cmp.Diff(c.report, said) != "" {
			t.Errorf("printed %s (%v)", &s.out, err)
		}
	}
}

// kept writes what somebody kept elsewhere into files.
func kept(t *testing.T, texts ...[]byte) []string {
	t.Helper()
	names := make([]string, len(texts))
	for i, text := range texts {
		names[i] = filepath.Join(t.TempDir(), "kept")
		if err := os.WriteFile(names[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// A server that wrote its records anew, or lost the newest, is found by a
// checkpoint that was kept elsewhere, whatever the server itself reports.
func TestAuditVerifyDoesNotTrustTheServer(t *testing.T) {
	w := newAuditWire(t, 10)
	note := audittest.Note(t, testOrigin, w.links[7].Head(), w.key)
	files := kept(t, note, []byte(w.key.Public()+"\n"))
	verify := []string{"audit", "verify", "--checkpoint", files[0], "--key", "@" + files[1]}
	other := audittest.Key(t, "llm-config-0011223344556677", 2)
	forged := slices.Clone(w.links[:3])
	for i := 3; i < 10; i++ {
		forged = append(forged, forged[i-1].Head().Next(audittest.Record(i+100)))
	}
	for name, c := range map[string]struct {
		export []byte
		code   int
		want   string
	}{
		"honest":          {w.export, exitDone, "3 checkpoints hold; signed up to record 10"},
		"rewritten":       {audittest.Export(t, testOrigin, forged, 20, w.key), exitDifference, " is broken at record 8: "},
		"with a new key":  {audittest.Export(t, testOrigin, forged, 2, other), exitDifference, " is broken at record 2: "},
		"cut":             {audittest.Export(t, testOrigin, w.links[:6], 20, w.key), exitDifference, " is broken at record 7: "},
		"of another":      {audittest.Export(t, "llm-config-0011223344556677/server", w.links, 20, w.key), exitDifference, " is broken at record "},
		"without its end": {w.export[:bytes.LastIndex(w.export[:len(w.export)-1], []byte("\n"))+1], exitDifference, " is broken at record 11: "},
	} {
		w.export = c.export
		s := w.session(t)
		s.run(t, c.code, verify...)
		if got := s.out.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: printed\n%swant %q", name, got, c.want)
		}
	}

	// Keys that nobody kept are asked for.
	w.export = audittest.Export(t, testOrigin, w.links, 4, w.key)
	w.session(t).run(t, exitDone, "audit", "verify", "--checkpoint", files[0])
}

// An export that begins later says nothing of what was before it.
func TestAuditVerifyWantsTheWholeChain(t *testing.T) {
	w := newAuditWire(t, 10)
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, testOrigin, w.links[8].Head(), false)
	if err = errors.Join(err, e.Link(w.links[9]), e.End()); err != nil {
		t.Fatal(err)
	}
	w.export = b.Bytes()
	s := w.session(t)
	s.run(t, exitFailed, "audit", "verify", "--checkpoint", kept(t, audittest.Note(t, testOrigin, w.links[7].Head(), w.key))[0])
	if want := "the server answers an export that begins behind record 9"; !strings.Contains(s.err.String(), want) {
		t.Errorf("printed %q, want %q", &s.err, want)
	}
}

// disposedExport is of a chain whose first five records were disposed of.
func disposedExport(t *testing.T, w *auditWire) []byte {
	t.Helper()
	stub := audit.Stub{First: 1, Last: 5, Hash: w.links[4].Hash}
	note, err := stub.Sign(testOrigin, time.Unix(1, 0), w.key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e, err := audit.NewExporter(&b, testOrigin, audit.Head{}, false)
	if err == nil {
		err = errors.Join(e.Stub(stub), e.Link(w.links[5]), e.Link(w.links[5].Head().Next(audittest.Disposal(stub, note))), e.End())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAuditVerifyAFile(t *testing.T) {
	w := newAuditWire(t, 10)
	w.url = "http://127.0.0.1:1" // nobody is asked
	segment, err := audit.PackSegment(testOrigin, w.links[4].Head(), w.links[5:])
	if err != nil {
		t.Fatal(err)
	}
	filtered := bytes.Replace(w.export, []byte(`,"format"`), []byte(`,"filtered":true,"format"`), 1)
	files := kept(t, w.export, segment, filtered, audittest.Note(t, testOrigin, w.links[1].Head(), w.key), disposedExport(t, w))
	key := w.key.Public()
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{files[0] + " --key " + key, exitDone, "10 records hold, 1 to 10\n  3 checkpoints hold; signed up to record 10, 2026-11-01T12:00:10Z\n"},
		{files[0], exitDone, "note: no key was given, so checkpoints were not looked at"},
		{files[1], exitDone, "5 records hold, 6 to 10\n"},
		{files[1] + " --key " + key, exitDone, "note: no checkpoint was found"},
		{files[1] + " --key " + key + " --checkpoint " + files[3], exitDone, " holds from record 6\n  5 records hold, 6 to 10\n"},
		{files[0] + " --key " + audittest.Key(t, "llm-config-ffffffffffffffff", 1).Public(), exitDifference, "is broken at record 4: "},
		{files[4], exitDone, testOrigin + " holds\n  2 records hold, 6 to 7\n  5 records before them were disposed of, as later records say; as no key was given, it was not checked that the server signed this\n"},
		{files[4] + " --key " + key, exitDone, "  5 records before them were disposed of, as later records attest\n"},
		{files[0] + " --key " + key + " --checkpoint " + files[2], exitFailed, "a checkpoint that was given: "},
		{files[2], exitFailed, "records were left out of this export on purpose"},
	} {
		s := w.session(t)
		s.run(t, c.code, append([]string{"audit", "verify", "--file"}, strings.Fields(c.args)...)...)
		if got := s.out.String() + s.err.String(); !strings.Contains(got, c.want) {
			t.Errorf("%s: printed\n%swant %q", c.args, got, c.want)
		}
	}
	s := w.session(t)
	s.stdin = bytes.NewReader(w.export)
	s.run(t, exitDone, "audit", "verify", "--file", "-")
}

// A few bytes that unpack to very many are not unpacked to their end.
func TestAuditVerifyOfABomb(t *testing.T) {
	w := newAuditWire(t, 2)
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(`{"checkpoint":"` + strings.Repeat("a", audit.MaxNote) + "\"}\n")
	header, _, _ := bytes.Cut(w.export, []byte("\n"))
	bomb := encoder.EncodeAll(slices.Concat(header, []byte("\n"), bytes.Repeat(line, audit.MaxSegment/len(line)+1)), nil)
	s := w.session(t)
	s.run(t, exitFailed, "audit", "verify", "--file", kept(t, bomb)[0])
	if got := s.err.String(); !strings.Contains(got, "more than the 268435456 bytes that a segment has at most") {
		t.Errorf("%d bytes: printed %q", len(bomb), got)
	}
}

// Whatever is done to an export, verifying it names the record.
func TestAuditVerifyFindsTampering(t *testing.T) {
	w := newAuditWire(t, 8)
	export := audittest.Export(t, testOrigin, w.links, 3, w.key)
	tried := 0
	for tampering := range audittest.Tamperings(t, audittest.Lines(export), w.key) {
		tried++
		args := []string{"audit", "verify", "--file", "-", "--key", w.key.Public()}
		if tampering.Beside != nil {
			args = append(args, "--checkpoint", kept(t, tampering.Beside)[0])
		}
		s := w.session(t)
		s.stdin = bytes.NewReader(tampering.Bytes())
		code := s.execute(t.Context(), args)
		named := strings.Contains(s.out.String(), fmt.Sprintf(" is broken at record %d: ", tampering.WantRecord))
		if code == exitDone || tampering.WantRecord > 0 && (code != exitDifference || !named) {
			t.Errorf("%s: exit code %d, want record %d named\n%s%s", tampering.Name, code, tampering.WantRecord, &s.out, &s.err)
		}
	}
	if tried < 50 {
		t.Errorf("only %d ways to tamper were tried", tried)
	}
}
