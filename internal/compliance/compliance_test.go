package compliance

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// all are the controls of all frameworks.
func all() []Control {
	var controls []Control
	for _, f := range Frameworks {
		controls = append(controls, Controls(f.Name)...)
	}
	return controls
}

func TestEveryControlIsMetBySomebody(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range all() {
		if seen[c.Key()] {
			t.Errorf("%s stands twice", c.Key())
		}
		seen[c.Key()] = true
		if len(c.Checks) == 0 && c.Organisation == "" {
			t.Errorf("%s has no check, and nothing says what the organisation does", c.Key())
		}
		if len(c.Checks) > 0 && (c.Implements == "" || len(c.Read) == 0) {
			t.Errorf("%s has checks, and nothing says what they check or where to read of it", c.Key())
		}
		for i, name := range c.Checks {
			if _, ok := CheckNamed(name); !ok {
				t.Errorf("%s has the check %s, which there is not", c.Key(), name)
			}
			if slices.Contains(c.Checks[:i], name) {
				t.Errorf("%s has the check %s twice", c.Key(), name)
			}
		}
	}
}

// What is written in a table or a list is one line, and text that ends like one.
func TestTextsAreSentences(t *testing.T) {
	sentence := func(where, text string) {
		t.Helper()
		if strings.ContainsAny(text, "|\n\t*_<>`") || strings.TrimSpace(text) != text {
			t.Errorf("%s would not be read as it is written: %q", where, text)
		}
		if text != "" && !strings.HasSuffix(text, ".") {
			t.Errorf("%s does not end: %q", where, text)
		}
	}
	for _, c := range all() {
		sentence(c.Key(), c.Requirement)
		sentence(c.Key(), c.Implements)
		sentence(c.Key(), c.Organisation)
		if c.Requirement == "" || c.Title == "" {
			t.Errorf("%s does not say what it is", c.Key())
		}
		sentence(c.Key(), c.Title+".")
	}
	for _, c := range Checks {
		sentence(string(c.Name), c.How)
		sentence(string(c.Name), c.Title+".")
		if c.How == "" || !strings.Contains(c.How, "Fails ") {
			t.Errorf("%s does not say when it fails", c.Name)
		}
	}
}

func TestEveryCheckIsUsed(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for i, check := range Checks {
		if !form.MatchString(string(check.Name)) {
			t.Errorf("%q is no name of a check", check.Name)
		}
		if slices.ContainsFunc(Checks[:i], func(other Check) bool { return other.Name == check.Name }) {
			t.Errorf("%s stands twice", check.Name)
		}
		if !slices.ContainsFunc(all(), func(c Control) bool { return slices.Contains(c.Checks, check.Name) }) {
			t.Errorf("%s is a check of no control", check.Name)
		}
		if scopeWords[check.Scope] == "" {
			t.Errorf("%s runs in reports of %q, which there are not", check.Name, check.Scope)
		}
	}
}

// Every framework's report of either scope says something that was checked.
func TestEveryFrameworkHasChecksInBothScopes(t *testing.T) {
	for _, f := range Frameworks {
		for _, scope := range []Scope{OfServer, OfTenant} {
			if !slices.ContainsFunc(Controls(f.Name), func(c Control) bool {
				return slices.ContainsFunc(c.Checks, func(name CheckName) bool {
					check, _ := CheckNamed(name)
					return check.Scope.includes(scope)
				})
			}) {
				t.Errorf("nothing of %s is checked in reports of the %s", f.Name, scope)
			}
		}
	}
}

// What is evidence for a control, the table of events says; only of those that it
// does not name, this package does.
func TestEventsHaveOneSource(t *testing.T) {
	named := map[string]bool{}
	for _, e := range audit.Events {
		for _, key := range e.Controls {
			named[key] = true
		}
	}
	for _, c := range all() {
		if named[c.Key()] && len(c.Patterns) > 0 {
			t.Errorf("%s has events by audit.Events and by patterns of its own", c.Key())
		}
		for _, p := range c.Patterns {
			if !slices.ContainsFunc(audit.Events, func(e audit.EventInfo) bool { return stands(p, e.Name) }) {
				t.Errorf("%s has the event %s, which there is not", c.Key(), p)
			}
		}
		delete(named, c.Key())
	}
	for key := range named {
		t.Errorf("audit.Events has evidence for %s, which is no control here", key)
	}
}

func TestEvents(t *testing.T) {
	for _, test := range []struct {
		control Control
		want    []string
	}{
		{Control{Framework: NIST, ID: "SC-8"}, []string{"secret.read"}}, // by the table of events
		{Control{Patterns: []string{"audit.hold.*", "audit.dispose"}}, []string{"audit.dispose", "audit.hold.lift", "audit.hold.set"}},
		{Control{Patterns: []string{"audit.hold"}}, nil}, // neither an event nor a family
		{Control{Patterns: []string{"config.read"}}, nil},
		{Control{}, nil},
	} {
		if got := test.control.Events(); !slices.Equal(got, test.want) {
			t.Errorf("the events of %s %v are %v, want %v", test.control.ID, test.control.Patterns, got, test.want)
		}
	}
}

// The controls that the product promises reports on.
func TestPromisedControls(t *testing.T) {
	for framework, ids := range map[Framework]string{
		SOC2:     "CC6.1 CC6.2 CC6.3 CC6.6 CC6.7 CC7.1 CC7.2 CC7.3 CC8.1 A1.2",
		ISO27001: "A.9.2.1 A.9.2.2 A.9.2.3 A.9.2.4 A.9.2.5 A.9.2.6 A.9.4.1 A.10.1.1 A.10.1.2 A.12.4.1 A.12.4.2 A.12.4.3 A.14.2.8 A.18.1.3",
		GDPR:     "5(1)(f) 25 30 32 33",
		HIPAA:    "164.312(a)(1) 164.312(a)(2)(iv) 164.312(b) 164.312(c)(1) 164.312(d) 164.312(e)(1)",
		NIST:     "AC-2 AC-3 AC-6 AU-2 AU-3 AU-6 AU-8 AU-9 AU-10 AU-11 AU-12 CM-3 IA-2 IA-5 SC-8 SC-12 SC-13 SC-28",
	} {
		controls := Controls(framework)
		for _, id := range strings.Fields(ids) {
			if !slices.ContainsFunc(controls, func(c Control) bool { return c.ID == id }) {
				t.Errorf("%s is missing", (&Control{Framework: framework, ID: id}).Key())
			}
		}
		if !slices.ContainsFunc(controls, func(c Control) bool { return len(c.Checks) == 0 }) {
			t.Errorf("%s names nothing that only an organisation meets", framework)
		}
	}
	for _, c := range all() {
		if (c.Later != "") != (c.Framework == ISO27001) {
			t.Errorf("%s has the later number %q", c.Key(), c.Later)
		}
	}
}

func TestParseFramework(t *testing.T) {
	for _, f := range Frameworks {
		if got, err := ParseFramework(string(f.Name)); err != nil || got != f {
			t.Errorf("%s is parsed as %v, %v", f.Name, got, err)
		}
		if f.Title == "" || f.Edition == "" || !strings.HasPrefix(f.Source, "https://") {
			t.Errorf("%s does not say what it is and where its text is", f.Name)
		}
	}
	for _, name := range []string{"", "SOC2", "soc2 ", "pci-dss"} {
		_, err := ParseFramework(name)
		var refused *config.Error
		if !errors.As(err, &refused) || refused.Kind != config.KindBadRequest || !strings.Contains(refused.Next, "nist-800-53") {
			t.Errorf("%q is answered %v", name, err)
		}
	}
	if Controls("pci-dss") != nil {
		t.Error("a framework that there is not has controls")
	}
}

// A caller that alters what it was given alters nothing for others.
func TestControlsAreCopies(t *testing.T) {
	Controls(SOC2)[0].ID = "altered"
	if got := Controls(SOC2)[0].ID; got == "altered" {
		t.Error("the table was altered from outside")
	}
}

// Whoever follows a page that a control names finds it, heading included.
func TestPagesExist(t *testing.T) {
	headings := map[string][]string{} // page → anchors of its headings
	for _, c := range all() {
		for _, read := range c.Read {
			page, anchor, _ := strings.Cut(read, "#")
			if headings[page] == nil {
				headings[page] = anchors(t, filepath.Join(docs, page))
			}
			if anchor != "" && !slices.Contains(headings[page], anchor) {
				t.Errorf("%s sends readers to %s, where no heading is %s", c.Key(), page, anchor)
			}
		}
	}
}

var notInAnchors = regexp.MustCompile("[^a-z0-9 _-]")

func anchors(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for line := range strings.Lines(string(text)) {
		if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
			name := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			found = append(found, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return found
}
