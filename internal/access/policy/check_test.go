package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestBuiltinPoliciesFitTheSchema(t *testing.T) {
	for _, f := range Builtin() {
		all, err := parseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if err := validator().Policy("", p.ast); err != nil {
				t.Errorf("%s: %v", p.Ref, err)
			}
		}
	}
}

// What refuses a file, where, and in which words.
func TestCheckRefuses(t *testing.T) {
	const when = "permit (principal, action, resource)\nwhen { %s };"
	for name, c := range map[string]struct{ text, kind, at, message string }{
		"no Cedar":                   {"\n let me in", FindingSyntax, "2:6", "does not parse"},
		"a malformed test case":      {"\n //test allow me", FindingSyntax, "2:15", "who asks"},
		"an unknown action":          {`permit (principal, action == Action::"config.guess", resource);`, FindingSchema, "1:1", "config.guess"},
		"a group as an action":       {`permit (principal, action == Action::"view", resource);`, FindingSchema, "1:1", "applicable action"},
		"an unknown type":            {`permit (principal in Group::"x", action, resource);`, FindingSchema, "1:1", "Group"},
		"a role as a principal":      {`permit (principal == Role::"admin", action, resource);`, FindingSchema, "1:1", "applicable action"},
		"a role as a resource":       {`permit (principal, action, resource in Role::"admin");`, FindingSchema, "1:1", "applicable action"},
		"an action never taken":      {`permit (principal, action == Action::"tag.write", resource in Environment::"p");`, FindingSchema, "1:1", "applicable action"},
		"an unknown attribute":       {fmt.Sprintf(when, "context.ip == 1"), FindingSchema, "1:1", "ip"},
		"an attribute not asked for": {fmt.Sprintf(when, "context.source.isLoopback()"), FindingSchema, "1:1", "source"},
		"a wrong type":               {fmt.Sprintf(when, `context.weekday == "monday"`), FindingSchema, "1:1", "not compatible"},
		"no truth":                   {fmt.Sprintf(when, `"yes"`), FindingSchema, "1:1", "Bool"},
		"an action of the server":    {`permit (principal, action == Action::"tenant.manage", resource);`, FindingSchema, "1:1", "no tenant gives"},
		"a group of the server":      {`forbid (principal, action in [Action::"view", Action::"serve"], resource);`, FindingSchema, "1:1", "no tenant gives"},
		"an environment's name":      {`permit (principal, action, resource in Environment::"Production");`, FindingSchema, "1:1", "malformed"},
		"a folder's path":            {"\n\n  " + `permit (principal, action, resource in Folder::"production/../x");`, FindingSchema, "3:3", "malformed"},
		"a folder without a path":    {`permit (principal, action, resource in Folder::"production");`, FindingSchema, "1:1", "malformed"},
		"a path with a slash":        {`permit (principal, action, resource in Path::"gateway/");`, FindingSchema, "1:1", "malformed"},
		"a pattern":                  {`permit (principal, action, resource is Document in Folder::"production/*");`, FindingSchema, "1:1", "malformed"},
		"a document's path":          {`permit (principal, action, resource == Document::"production//x");`, FindingSchema, "1:1", "malformed"},
		"a secret's path":            {`permit (principal, action, resource == Secret::"x");`, FindingSchema, "1:1", "malformed"},
		"one in a condition":         {fmt.Sprintf(when, `resource in Folder::"production/*"`), FindingSchema, "1:1", "malformed"},
		"one in a set":               {fmt.Sprintf(when, `resource in [Path::"a", Path::"/b"]`), FindingSchema, "1:1", "malformed"},
	} {
		report := Check(sourceWith(c.text), "team")
		if !report.Refused() || len(report.Findings) == 0 {
			t.Errorf("%s: not refused", name)
			continue
		}
		f := report.Findings[0]
		if at := fmt.Sprintf("%d:%d", f.Ref.Line, f.Ref.Column); f.Kind != c.kind || at != c.at || f.Ref.File != "team" || !f.Refused || !strings.Contains(f.Message, c.message) {
			t.Errorf("%s: got %s at %s: %s; want %s at %s: …%s…", name, f.Kind, at, f.Message, c.kind, c.at, c.message)
		}
	}
}

// A file full of faults is told of some of them, and soon.
func TestCheckStopsAtManyFaults(t *testing.T) {
	few := strings.Repeat("permit (principal in Group::\"x\", action, resource);\n", 100)
	if report := Check(sourceWith(few), "team"); len(report.Findings) > maxFaults || len(report.Findings) < 2 {
		t.Errorf("got %d findings", len(report.Findings))
	}
	many := strings.Repeat("permit (principal, action, resource) when { context.x && context.y };\n", 100)
	if report := Check(sourceWith(many), "team"); len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Message, "more") {
		t.Errorf("got %d findings: %v", len(report.Findings), report.Findings)
	}
}

func TestCheckAccepts(t *testing.T) {
	for _, text := range []string{
		"", "// nothing yet\n",
		`permit (principal in Role::"server-admin", action in Action::"view", resource in Tenant::"acme");`,
		`forbid (principal in Role::"server-admin", action == Action::"tenant.read", resource);`,
		`forbid (principal, action, resource) when { context.time > datetime("2026-12-24") && !(principal in Role::"lead") };`,
		`permit (principal is Identity, action == Action::"secret.read", resource is Secret) when { principal.hasTag("ref") && principal.getTag("ref").contains("main") && resource.path like "gw/*" };`,
		`permit (principal is Token, action, resource in Path::"gateway") when { context has token && context.token.environments.contains("staging") };`,
		`permit (principal, action == Action::"config.read", resource) when { context has source && context.source.isInRange(ip("10.0.0.0/8")) && context has certificate && context.certificate has spiffe };`,
	} {
		if report := Check(sourceWith(text), "team"); report.Refused() {
			t.Errorf("%s\nis refused: %+v", text, report.Findings)
		}
	}
}

// The test cases of all files run, whichever is written; and a failing one
// refuses whatever made it fail.
func TestCheckRunsAllTestCases(t *testing.T) {
	src := Source{Tenant: "acme", Roles: ownRoles, Files: []File{
		{Name: "a", Text: "//test deny role:guest tag.read tenant\n//test allow role:viewer tag.read tenant"},
		{Name: "b", Text: `permit (principal in Role::"guest", action == Action::"tag.read", resource);`},
	}}
	for _, file := range []string{"a", "b", ""} {
		report := Check(src, file)
		if len(report.Tests) != 2 || report.Tests[0].Passed || !report.Tests[1].Passed || !report.Refused() {
			t.Errorf("%q: got %+v", file, report.Tests)
		}
	}
	src.Files = src.Files[:1]
	if report := Check(src, "b"); report.Refused() || len(report.Tests) != 2 {
		t.Errorf("without the file: got %+v", report)
	}
}

// A fault of another file is told as that file's.
func TestCheckNamesTheFile(t *testing.T) {
	src := sourceWith("")
	src.Files = append(src.Files, File{Name: "other", Text: "\nnonsense"})
	report := Check(src, "team")
	if !report.Refused() || report.Findings[0].Ref.File != "other" || report.Findings[0].Ref.Line != 2 {
		t.Errorf("got %+v", report)
	}
	src.Files[1].Text, src.Roles = "", []Role{{Name: "a", Includes: []string{"a"}}}
	if report := Check(src, "team"); !report.Refused() {
		t.Error("roles that include each other are accepted")
	}
}

func FuzzCheck(f *testing.F) {
	for i, text := range append(randomConditions, "//test allow role:guest tag.read tenant", "@id(\"a\")") {
		f.Add(fmt.Sprintf("permit (%s, %s, %s)\nwhen { %s };", randomPrincipals[i%len(randomPrincipals)], randomActions[i%len(randomActions)], randomResources[i%len(randomResources)], text))
		f.Add(text + "\n" + anything)
	}
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8<<10 {
			return
		}
		report := Check(sourceWith(text), "team")
		for _, finding := range report.Findings {
			if finding.Ref.File != "team" || finding.Ref.Line < 1 || finding.Ref.Column < 1 || finding.Message == "" || finding.Kind == "" {
				t.Errorf("%q: %+v", text, finding)
			}
		}
		if parsed, err := parseFile(sourceWith(text).Files[0]); !report.Refused() && err != nil {
			t.Errorf("%q is accepted, and does not parse: %v", text, parsed)
		}
	})
}
