package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/audit/audittest"
)

// verdict is what both verifiers have to agree on.
type verdict struct {
	outcome string
	record  uint64 // the first bad one, of what is broken
}

// ours is the verdict of this program.
func ours(t *testing.T, export, beside []byte, public string) verdict {
	t.Helper()
	args := []string{"-json", "-key", public}
	if beside != nil {
		args = append(args, "-checkpoint", write(t, string(beside)))
	}
	o := verifyText(string(export), args...)
	var r report
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil {
		t.Fatalf("%v in %q", err, o.stdout)
	}
	if want := map[string]int{holds: 0, unreadable: 1, isBroken: 2}[r.Verdict]; o.code != want {
		t.Fatalf("exit %d with verdict %q", o.code, r.Verdict)
	}
	if r.Break != nil {
		return verdict{r.Verdict, r.Break.Sequence}
	}
	return verdict{r.Verdict, 0}
}

// theirs is the verdict of the server's own verifier.
func theirs(export, beside []byte, public string) verdict {
	i, err := audit.NewImporter(bytes.NewReader(export))
	if err != nil {
		return verdict{unreadable, 0}
	}
	f := audit.NewFollower(i.Origin, i.From, public)
	if beside != nil {
		f.Expect(beside)
	}
	if err := f.Export(i); err != nil {
		return verdict{unreadable, 0}
	}
	if r := f.Finish(); r.Broken != nil {
		return verdict{isBroken, r.Broken.Sequence}
	}
	return verdict{holds, 0}
}

// tamperedOrigin is that of the exports that are tampered with.
const tamperedOrigin = testName + "/tenants/0a0b0c0d0e0f00112233445566778899"

// mustAgree holds both verifiers against one tampering.
func mustAgree(t *testing.T, tampering audittest.Tampering, public string) {
	t.Helper()
	export := tampering.Bytes()
	got, other := ours(t, export, tampering.Beside, public), theirs(export, tampering.Beside, public)
	switch {
	case got.outcome == holds:
		t.Errorf("%s: it was not found", tampering.Name)
	case tampering.WantRecord != 0 && got != (verdict{isBroken, tampering.WantRecord}):
		t.Errorf("%s: %+v, want a break at record %d", tampering.Name, got, tampering.WantRecord)
	case got != other:
		t.Errorf("%s: this program says %+v, the server's verifier %+v", tampering.Name, got, other)
	}
}

// The two verifiers were written apart from each other. What one finds, the other
// finds, at the same record. The long round has a chain of 300 records; the short
// one has fewer, as the work grows with the square.
func TestBothVerifiersAgreeSoak(t *testing.T) {
	n := 100
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		n = 300
	}
	key := audittest.Key(t, testName, 1)
	export := audittest.Export(t, tamperedOrigin, audittest.Links(n), n/6, key)
	o := verifyText(string(export), "-key", key.Public())
	if o.code != exitHolds || !strings.Contains(o.stdout, "signed: all, up to record "+strconv.Itoa(n)+" ") {
		t.Fatalf("untouched: exit %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	if v := theirs(export, nil, key.Public()); v.outcome != holds {
		t.Fatalf("untouched: the server's verifier says %+v", v)
	}
	tried := 0
	for tampering := range audittest.Tamperings(t, audittest.Lines(export), key) {
		mustAgree(t, tampering, key.Public())
		tried++
	}
	if tried < 25*n {
		t.Errorf("only %d tamperings were tried", tried)
	}
}

func TestBothVerifiersAgreeOnRandomTamperingsSoak(t *testing.T) {
	records, every, n := 1000, 50, 200
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		records, every, n = 10_000, 500, 1000
	}
	key := audittest.Key(t, testName, 1)
	lines := audittest.Lines(audittest.Export(t, tamperedOrigin, audittest.Links(records), every, key))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for tampering := range audittest.Random(t, lines, key, rand.New(rand.NewPCG(seed, 0)), n) {
		mustAgree(t, tampering, key.Public())
	}
}
