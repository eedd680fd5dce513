package compliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var when = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// passing are results of all checks, all passed.
func passing() map[CheckName]Result {
	results := map[CheckName]Result{}
	for _, c := range Checks {
		results[c.Name] = Result{Check: c.Name, Status: Passed, Detail: "as it should be", Ran: when}
	}
	return results
}

// nothing is evidence when nothing happened.
func nothing([]string) ([]Evidence, error) { return nil, nil }

// made is a report for a framework with results and no evidence.
func made(t *testing.T, f Framework, tenant string, results map[CheckName]Result) Report {
	t.Helper()
	r, err := Build(Input{Framework: f, Tenant: tenant, From: when.AddDate(0, -1, 0), To: when, Generated: when, Version: "v1", Results: results, Evidence: nothing})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// in finds the report of a control.
func (r *Report) in(t *testing.T, id string) ControlReport {
	t.Helper()
	i := slices.IndexFunc(r.Controls, func(c ControlReport) bool { return c.Control.ID == id })
	if i < 0 {
		t.Fatalf("the report has no control %s", id)
	}
	return r.Controls[i]
}

// CC8.1 has the checks changes-recorded and policies-tested, which run for
// tenants only; A.10.1.2 has two that run in both.
func TestStatusOfControls(t *testing.T) {
	with := func(status Status, names ...CheckName) map[CheckName]Result {
		results := passing()
		for _, name := range names {
			results[name] = Result{Status: status}
		}
		return results
	}
	without := passing()
	delete(without, PoliciesTested)

	for _, test := range []struct {
		name      string
		framework Framework
		control   string
		tenant    string
		results   map[CheckName]Result
		want      ControlStatus
	}{
		{"all pass", SOC2, "CC8.1", "acme", passing(), Met},
		{"one fails", SOC2, "CC8.1", "acme", with(Failed, PoliciesTested), Unmet},
		{"one cannot run", SOC2, "CC8.1", "acme", with(CannotRun, PoliciesTested), Unchecked},
		{"one fails, one cannot run", SOC2, "CC8.1", "acme", func() map[CheckName]Result {
			results := with(CannotRun, ChangesRecorded)
			results[PoliciesTested] = Result{Status: Failed}
			return results
		}(), Unmet},
		{"one has no result", SOC2, "CC8.1", "acme", without, Unchecked},
		{"a result says nothing", SOC2, "CC8.1", "acme", with("", PoliciesTested), Unchecked},
		{"a result says what nobody knows", SOC2, "CC8.1", "acme", with("fine", PoliciesTested), Unchecked},
		{"none has a result", SOC2, "CC8.1", "acme", nil, Unchecked},
		{"another's check fails", SOC2, "CC8.1", "acme", with(Failed, LimitsOn), Met},
		{"all run for tenants only", SOC2, "CC8.1", "", passing(), Unchecked},
		{"one runs for tenants only, and fails there", NIST, "AC-6", "", with(Failed, BreakGlassBounded), Met},
		{"the same for a tenant", NIST, "AC-6", "acme", with(Failed, BreakGlassBounded), Unmet},
		{"no checks", SOC2, "CC1.4", "acme", passing(), Organisational},
		{"no checks, and nothing ran", SOC2, "CC1.4", "", nil, Organisational},
	} {
		t.Run(test.name, func(t *testing.T) {
			report := made(t, test.framework, test.tenant, test.results)
			if got := report.in(t, test.control).Status; got != test.want {
				t.Errorf("it is %s, want %s", got, test.want)
			}
		})
	}
}

func TestBuildSaysWhatCouldNotRun(t *testing.T) {
	report := made(t, SOC2, "acme", nil)
	for _, r := range report.Results() {
		if r.Status != CannotRun || r.Detail == "" || r.Check == "" {
			t.Errorf("%v does not say that it did not run", r)
		}
	}
	server := made(t, SOC2, "", passing())
	if got := server.in(t, "CC8.1"); len(got.Results) != 0 || !slices.Equal(got.Elsewhere, []CheckName{ChangesRecorded, PoliciesTested}) {
		t.Errorf("the server's report has of CC8.1 the results %v and elsewhere %v", got.Results, got.Elsewhere)
	}
}

func TestBuildAsksOnceForEvidence(t *testing.T) {
	asked := 0
	four := make([]Sample, MaxSamples+1)
	report, err := Build(Input{Framework: SOC2, Results: passing(), Evidence: func(events []string) ([]Evidence, error) {
		asked++
		if !slices.IsSorted(events) || len(slices.Compact(slices.Clone(events))) != len(events) {
			t.Errorf("the events are not in order, or stand twice: %v", events)
		}
		return []Evidence{{Event: "token.create", Count: 4, Samples: four}, {Event: "no.such", Count: 9}}, nil
	}})
	if err != nil || asked != 1 {
		t.Fatalf("evidence was asked for %d times: %v", asked, err)
	}
	for _, e := range report.in(t, "CC6.2").Evidence {
		want := int64(0)
		if e.Event == "token.create" {
			want = 4
			if len(e.Samples) != MaxSamples {
				t.Errorf("%d samples, want %d", len(e.Samples), MaxSamples)
			}
		}
		if e.Count != want {
			t.Errorf("%s occurred %d times, want %d", e.Event, e.Count, want)
		}
	}
	for _, e := range report.Evidence() {
		if e.Event == "no.such" {
			t.Error("an event that is no control's evidence is in the report")
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	if _, err := Build(Input{Framework: "pci-dss", Evidence: nothing}); err == nil {
		t.Error("there is a report for a framework that there is not")
	}
	away := errors.New("the store is away")
	_, err := Build(Input{Framework: SOC2, Evidence: func([]string) ([]Evidence, error) { return nil, away }})
	if !errors.Is(err, away) {
		t.Errorf("evidence that cannot be read is answered %v", err)
	}
}

// fataler is what tests and properties have in common.
type fataler interface {
	Helper()
	Fatal(...any)
}

// foreign is a report with a text of somebody else wherever one can be.
func foreign(t fataler, text string) Report {
	t.Helper()
	results := passing()
	results[PoliciesTested] = Result{Status: Failed, Detail: text, Ran: when}
	r, err := Build(Input{
		Framework: SOC2, Tenant: "t" + text, From: when.AddDate(0, -1, 0), To: when, Generated: when, Version: text, Results: results,
		Verification: Verification{Origin: text, Problem: text, Records: 3, First: 1, Last: 3},
		Evidence: func([]string) ([]Evidence, error) {
			return []Evidence{{Event: "token.create", Count: 1, Samples: []Sample{{Chain: text, Sequence: 7, Time: when, Actor: text, Outcome: text}}}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMarkdownGolden(t *testing.T) {
	results := passing()
	results[KeysInTime] = Result{Status: Failed, Detail: "the tenant's key is 181 days old, due after 180", Ran: when}
	results[CheckpointsElsewhere] = Result{Status: CannotRun, Detail: "no place is configured | none\nat all", Ran: when}
	delete(results, AlertsOn)
	origin := "llm-config-0123456789abcdef/tenants/000102030405060708090a0b0c0d0e0f"
	report, err := Build(Input{
		Framework: SOC2, Tenant: "acme",
		From: when.AddDate(0, -3, 0).In(time.FixedZone("", 3600)), To: when, Generated: when.Add(90 * time.Second), Version: "v0.5.0",
		Verification: Verification{Origin: origin, Holds: true, First: 1, Last: 4711, Records: 4611, Disposed: 100, SignedTo: 4700, SignedAt: when},
		Results:      results,
		Evidence: func([]string) ([]Evidence, error) {
			return []Evidence{
				{Event: "secret.read", Count: 1234, Samples: []Sample{
					{Chain: origin, Sequence: 12, Time: when.Add(-time.Hour), Actor: "token:sr6hemvxnaakuzqw gateway", Outcome: "success"},
					{Chain: origin, Sequence: 13, Time: when, Actor: "identity:corp:<b>|ann@example.com", Outcome: "denied"},
				}},
				{Event: "config.reads", Count: 98765},
			}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := Markdown(report)
	golden(t, filepath.Join("testdata", "report.md"), text)
	wellFormed(t, text)
	if !bytes.Equal(text, Markdown(report)) {
		t.Error("the same report is written in two ways")
	}

	wire, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "report.json"), append(wire, '\n'))
	var back Report
	if err := json.Unmarshal(wire, &back); err != nil {
		t.Fatal(err)
	}
	for i := range back.Controls { // what JSON does not carry
		back.Controls[i].Control.Framework = report.Controls[i].Control.Framework
		back.Controls[i].Control.Patterns = report.Controls[i].Control.Patterns
	}
	if diff := cmp.Diff(report, back); diff != "" {
		t.Errorf("a report that went through JSON is another (-before +after)\n%s", diff)
	}
}

// A chain that does not hold, and one without a checkpoint, are told plainly.
func TestMarkdownTellsOfVerification(t *testing.T) {
	text := string(Markdown(foreign(t, "record 3 was altered")))
	for _, want := range []string{"**no**: record 3 was altered", "no checkpoint"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
}

// Without a beginning the evidence is of all records there are.
func TestMarkdownWithoutABeginning(t *testing.T) {
	report, err := Build(Input{Framework: GDPR, To: when, Generated: when, Evidence: nothing})
	if err != nil {
		t.Fatal(err)
	}
	text := Markdown(report)
	wellFormed(t, text)
	if !strings.Contains(string(text), "| records from   | the first") {
		t.Errorf("the report does not say that it is of all records:\n%.600s", text)
	}
}

// unescaped are the places of a character that no backslash precedes.
func unescaped(text string, special string) []int {
	var places []int
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case strings.IndexByte(special, text[i]) >= 0:
			places = append(places, i)
		}
	}
	return places
}

// wellFormed looks at tables: each row has the columns of the row above it, and
// they are where the columns above are.
func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	if !utf8.Valid(text) {
		t.Error("it is not UTF-8")
	}
	var above []int
	for number, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "|") {
			above = nil
			continue
		}
		var columns []int
		for _, i := range unescaped(line, "|") {
			columns = append(columns, utf8.RuneCountInString(line[:i]))
		}
		if above != nil && !slices.Equal(columns, above) {
			t.Fatalf("line %d has its columns at %v, the one above at %v: %s", number+1, columns, above, line)
		}
		above = columns
	}
}

// Whatever others wrote, a report has the same lines, of the same kinds.
func TestMarkdownKeepsItsShape(t *testing.T) {
	plain := strings.Count(string(Markdown(foreign(t, "plain"))), "\n")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching("[|\\\\\n\r`<>*_:/w.-]{0,40}")).Draw(t, "text")
		if n := strings.Count(string(Markdown(foreign(t, text))), "\n"); n != plain {
			t.Fatalf("it has %d lines, want %d", n, plain)
		}
	})
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"token:abc gateway":             "token:abc gateway",
		"a|b":                           `a\|b`,
		`a\|b`:                          `a\\\|b`,
		"one\r\ntwo":                    "one  two",
		"<script>":                      `\<script\>`,
		"[x](https://evil.example)":     `\[x\](https\://evil.example)`,
		"www.evil.example":              `www\.evil.example`,
		"ann@example.com":               `ann\@example.com`,
		"a\x00b\u202ec\u200bd\u2028e":   "a b c d e",
		"\xff":                          "\ufffd",
		"&lt;":                          `\&lt;`,
		"  ":                            "",
		strings.Repeat("é", longest+1):  strings.Repeat("é", longest) + "…",
		strings.Repeat("|", longest):    strings.Repeat(`\|`, longest),
		"2026-11-22T06:00:00Z, 12 of 3": "2026-11-22T06:00:00Z, 12 of 3",
	} {
		if got := escape(in); got != want {
			t.Errorf("%q is written %q, want %q", in, got, want)
		}
	}
}

// What is escaped is one line in which nothing means anything, and reads as it
// was, but for what cannot be seen.
func FuzzEscape(f *testing.F) {
	for _, seed := range []string{"", "a|b\\", "\\\\|", "line\nline", "<img src=x>", "www.x.y https://x", "\xff\xfe", "a\u0301\u202e|", strings.Repeat("x|", 400)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := escape(in)
		if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return r != ' ' && (unicode.IsControl(r) || unicode.IsSpace(r)) }) {
			t.Fatalf("%q is written %q", in, out)
		}
		if places := unescaped(out, "`*_[]<>|~&$@#"); len(places) > 0 {
			t.Fatalf("%q is written %q, where %q means something", in, out, out[places[0]])
		}
		if slices.ContainsFunc(unescaped(out, ":"), func(i int) bool { return strings.HasPrefix(out[i:], "://") }) || strings.Contains(strings.ToLower(out), "www.") {
			t.Fatalf("%q is written %q, which has a link", in, out)
		}
		if err := readsAs(out, in); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		rows := table{head: []string{"a", "b"}}
		rows.add(out, "")
		rows.add("x", out)
		rows.write(&b)
		wellFormed(t, b.Bytes())
		if lines := strings.Count(b.String(), "\n"); lines != 4 {
			t.Fatalf("a table of four lines has %d", lines)
		}
	})
}

// readsAs compares what a reader sees with what was written, character by
// character.
func readsAs(out, in string) error {
	var seen []rune
	for i, quoted := 0, false; i < len(out); {
		r, size := utf8.DecodeRuneInString(out[i:])
		i += size
		if r == '\\' && !quoted {
			quoted = true
			continue
		}
		quoted = false
		seen = append(seen, r)
	}
	var written []rune
	for _, r := range strings.ToValidUTF8(in, "\ufffd") {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			r = ' '
		}
		written = append(written, r)
	}
	if len(written) > longest {
		written = append(written[:longest:longest], '…')
	}
	if got, want := string(seen), strings.TrimSpace(string(written)); got != want {
		return fmt.Errorf("%q is read as %q, want %q", in, got, want)
	}
	return nil
}
