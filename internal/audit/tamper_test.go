package audit_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
)

const origin = "llm-config-0123456789abcdef/tenants/0a0b0c0d0e0f00112233445566778899"

// verify is the report of an export; the error is of what is none.
func verify(export []byte, beside []byte, public ...string) (audit.Report, error) {
	i, err := audit.NewImporter(bytes.NewReader(export))
	if err != nil {
		return audit.Report{}, err
	}
	f := audit.NewFollower(i.Origin, i.From, public...)
	if beside != nil {
		if err := f.Expect(beside); err != nil {
			return audit.Report{}, err
		}
	}
	if err := f.Export(i); err != nil {
		return f.Finish(), err
	}
	return f.Finish(), nil
}

// mustBeFound holds that a tampering is found, and that the right record is named.
func mustBeFound(t *testing.T, tampering audittest.Tampering, public string) {
	t.Helper()
	report, err := verify(tampering.Bytes(), tampering.Beside, public)
	switch {
	case err == nil && report.Broken == nil:
		t.Errorf("%s: it was not found", tampering.Name)
	case tampering.WantRecord == 0:
	case err != nil:
		t.Errorf("%s: record %d is not named: %v", tampering.Name, tampering.WantRecord, err)
	case report.Broken.Sequence != tampering.WantRecord:
		t.Errorf("%s: want a break at record %d: %v", tampering.Name, tampering.WantRecord, report.Broken)
	}
}

func TestEveryTamperingIsFound(t *testing.T) {
	key := audittest.Key(t, "llm-config-0123456789abcdef", 1)
	export := audittest.Export(t, origin, audittest.Links(300), 50, key)
	report, err := verify(export, nil, key.Public())
	if err != nil || report.Broken != nil || report.Records != 300 || report.Checkpoints != 6 || report.Unsigned() != 0 {
		t.Fatalf("untouched: %+v, %v", report, err)
	}
	kinds := map[string]int{}
	for tampering := range audittest.Tamperings(t, audittest.Lines(export), key) {
		mustBeFound(t, tampering, key.Public())
		kind, _, _ := strings.Cut(tampering.Name, ":")
		kinds[kind]++
	}
	for kind, least := range map[string]int{
		"a letter of the record": 300, "removed": 300, "swapped with its neighbour": 290, "swapped with another": 290,
		"inserted before it with a hash that continues": 300, "repeated": 300, "truncated with an end line that fits": 300,
		"forked from it on": 300, "disposed of up to it, unattested": 300, "header": 7, "end": 7, "checkpoint 300": 15,
	} {
		if kinds[kind] < least {
			t.Errorf("%s: only %d were tried", kind, kinds[kind])
		}
	}
}

func TestRandomTamperingsAreFoundSoak(t *testing.T) {
	records, every, n := 1000, 50, 200
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		records, every, n = 10_000, 500, 1000
	}
	key := audittest.Key(t, "llm-config-0123456789abcdef", 1)
	lines := audittest.Lines(audittest.Export(t, origin, audittest.Links(records), every, key))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	tried := 0
	for tampering := range audittest.Random(t, lines, key, rand.New(rand.NewPCG(seed, 0)), n) {
		mustBeFound(t, tampering, key.Public())
		tried++
	}
	if tried != n {
		t.Errorf("%d tamperings were tried, want %d", tried, n)
	}
}

// The records of a tampered export can be put into a store in the place of the
// true ones: a Follower finds them there as well, given the checkpoints.
func TestTamperedLinksAreFound(t *testing.T) {
	key := audittest.Key(t, "llm-config-0123456789abcdef", 1)
	links := audittest.Links(40)
	lines := audittest.Lines(audittest.Export(t, origin, links, 10, key))
	var notes [][]byte
	for _, at := range []int{9, 19, 29, 39} {
		notes = append(notes, audittest.Note(t, origin, links[at].Head(), key))
	}
	tried := 0
	for tampering := range audittest.Tamperings(t, lines, key) {
		tampered := tampering.Links()
		if len(tampered) == 0 || sameLinks(tampered, links) {
			continue // only other lines of the export were tampered with
		}
		f := audit.NewFollower(origin, audit.Head{}, key.Public())
		for _, note := range notes {
			if err := f.Expect(note); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range tampered {
			f.Link(l)
		}
		if report := f.Finish(); report.Broken == nil {
			t.Errorf("%s: it was not found", tampering.Name)
		}
		tried++
	}
	if tried < 800 {
		t.Errorf("only %d tamperings were tried", tried)
	}
}

func sameLinks(a, b []audit.Link) bool {
	for i := range min(len(a), len(b)) {
		if a[i].Head() != b[i].Head() || !bytes.Equal(a[i].Record, b[i].Record) {
			return false
		}
	}
	return len(a) == len(b)
}

// A checkpoint that was left out proves nothing: the chain holds, and the report
// says what it is no longer vouched for by.
func TestCheckpointsLeftOut(t *testing.T) {
	key := audittest.Key(t, "llm-config-0123456789abcdef", 1)
	export := audittest.Export(t, origin, audittest.Links(30), 10, key)
	var kept []byte
	for _, line := range audittest.Lines(export) {
		if !bytes.HasPrefix(line, []byte(`{"checkpoint"`)) {
			kept = append(kept, line...)
		}
	}
	report, err := verify(kept, nil, key.Public())
	if err != nil || report.Broken != nil || report.Checkpoints != 0 || report.Unsigned() != 30 {
		t.Errorf("without checkpoints: %+v, %v", report, err)
	}
	report, err = verify(export, nil)
	if err != nil || report.Broken != nil || report.Checkpoints != 0 || report.Unchecked != 0 || report.Ignored != 3 || report.Unsigned() != 30 {
		t.Errorf("without a key: %+v, %v", report, err)
	}
	if _, err := verify(bytes.TrimPrefix(export, audittest.Lines(export)[0]), nil); err == nil || errors.Is(err, audit.ErrCutOff) {
		t.Errorf("without a header: %v", err)
	}
}
