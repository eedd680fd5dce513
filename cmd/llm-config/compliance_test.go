package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/compliance"
)

// soc2 is a report in which one check passed, one failed, and no other ran.
func soc2(t *testing.T) compliance.Report {
	t.Helper()
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	report, err := compliance.Build(compliance.Input{
		Framework: compliance.SOC2, Tenant: "acme", From: at.AddDate(0, -1, 0), To: at, Generated: at, Version: "v1",
		Results: map[compliance.CheckName]compliance.Result{
			compliance.ChainVerified: {Status: compliance.Passed, Ran: at},
			compliance.DenyByDefault: {Status: compliance.Failed, Detail: "config.read is <allowed>", Ran: at},
		},
		Evidence: func(events []string) ([]compliance.Evidence, error) {
			return []compliance.Evidence{{Event: events[0], Count: 3}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// reporting is a session with a server that answers one report.
func reporting(t *testing.T, report compliance.Report) (s *session, asked *string) {
	t.Helper()
	asked = new(string)
	mux := http.NewServeMux()
	for _, route := range []string{api.RouteCompliance, api.RouteServerComply} {
		mux.HandleFunc("GET "+route, func(rw http.ResponseWriter, r *http.Request) {
			*asked = r.URL.String()
			answer(rw, report)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return newSession(t, &wire{url: server.URL}), asked
}

var ofNovember = []string{"compliance", "report", "--framework", "soc2", "--from", "2026-11-01", "--to", "2026-11-30"}

func TestComplianceReport(t *testing.T) {
	report := soc2(t)
	s, asked := reporting(t, report)
	s.run(t, exitDone, ofNovember...)
	if s.out.String() != string(compliance.Markdown(report)) {
		t.Errorf("printed\n%swant\n%s", &s.out, compliance.Markdown(report))
	}
	if want := "/api/v1/tenants/acme/compliance/soc2?from=2026-11-01T00%3A00%3A00Z&to=2026-12-01T00%3A00%3A00Z"; *asked != want {
		t.Errorf("asked for %s, want %s", *asked, want)
	}
}

func TestComplianceSummary(t *testing.T) {
	report := compliance.Report{Framework: compliance.FrameworkInfo{Name: compliance.GDPR}}
	for status, n := range map[compliance.ControlStatus]int{compliance.Met: 4, compliance.Unmet: 3, compliance.Unchecked: 2, compliance.Organisational: 1} {
		for range n {
			report.Controls = append(report.Controls, compliance.ControlReport{Status: status})
		}
	}
	s, asked := reporting(t, report)
	s.run(t, exitDone, append(slices.Clone(ofNovember), "-o", "json", "--server")...)
	if !strings.HasPrefix(*asked, "/api/v1/compliance/") {
		t.Errorf("asked for %s", *asked)
	}
	if want := "gdpr: 4 controls met by checks, 3 failed, 2 cannot be checked, 1 organisational\n"; s.err.String() != want {
		t.Errorf("summed up %q, want %q", &s.err, want)
	}
}

func TestComplianceReportInFiles(t *testing.T) {
	report := soc2(t)
	s, _ := reporting(t, report)
	name := filepath.Join(t.TempDir(), "soc2-2026")
	s.run(t, exitDone, append(slices.Clone(ofNovember), "-f", name)...)
	text, err := os.ReadFile(name + ".md")
	if err != nil || string(text) != string(compliance.Markdown(report)) {
		t.Errorf("the text is\n%s(%v)", text, err)
	}
	data, err := os.ReadFile(name + ".json")
	var said compliance.Report
	if err != nil || json.Unmarshal(data, &said) != nil || len(said.Controls) != len(report.Controls) {
		t.Errorf("the data is\n%s(%v)", data, err)
	}
	for _, want := range []string{name + ".md is written (", name + ".json is written ("} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("printed %q, without %q", &s.out, want)
		}
	}
}

func TestComplianceRefusesWhatCannotBe(t *testing.T) {
	for args, want := range map[string]string{
		"": "no framework is given; name one with --framework: soc2, iso27001, gdpr, hipaa, nist-800-53",
		"--framework pci --from 2026-11-01 --to 2026-11-30":                         "ask for one of soc2, ",
		"--framework soc2 --to 2026-11-30":                                          "say from when on with --from",
		"--framework soc2 --from 2026-11-30":                                        "say until when with --to",
		"--framework soc2 --from 2026-11-30 --to 2026-11-01":                        "let --from be before --to",
		"--framework soc2 --from 2026-11-01 --to 2026-11-30 -f x -o json":           "--file and --output exclude each other",
		"--framework soc2 --from 2026-11-01 --to 2026-11-30 -o table":               `"table" is not among markdown, json`,
		"--framework soc2 --from 2026-11-01 --to 2026-11-30 --server --tenant acme": "--server and --tenant exclude each other",
	} {
		s, asked := reporting(t, compliance.Report{})
		s.run(t, exitFailed, append([]string{"compliance", "report"}, strings.Fields(args)...)...)
		if got := s.err.String(); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 || *asked != "" {
			t.Errorf("%s: %qwant %q; asked %q", args, got, want, *asked)
		}
	}
}

func TestComplianceList(t *testing.T) {
	s, asked := reporting(t, compliance.Report{})
	s.run(t, exitDone, "compliance", "ls", "-o", "value")
	if want := "soc2\niso27001\ngdpr\nhipaa\nnist-800-53\n"; s.out.String() != want || *asked != "" {
		t.Errorf("printed %q, want %q; asked %q", &s.out, want, *asked)
	}
}
