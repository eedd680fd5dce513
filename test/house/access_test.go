package house

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the code blocks of a page in one language.
func blocks(t *testing.T, page, language string) (all []string) {
	t.Helper()
	rest := readDoc(t, page)
	for {
		_, after, found := strings.Cut(rest, "\n```"+language+"\n")
		if !found {
			break
		}
		var block string
		if block, rest, found = strings.Cut(after, "```\n"); !found {
			t.Fatalf("docs/%s: a block does not end", page)
		}
		all = append(all, block)
	}
	if len(all) == 0 {
		t.Fatalf("docs/%s has no block in %s", page, language)
	}
	return all
}

// actionRow is how the row of an action begins: what it is taken on, and who has it.
func actionRow(info access.ActionInfo) string {
	var on []string
	for _, kind := range []struct {
		subject access.Subject
		name    string
	}{{access.OnDocument, "document"}, {access.OnSecret, "secret"}, {access.OnFolder, "folder"}, {access.OnEnvironment, "environment"}, {access.OnTenant, "tenant"}, {access.OnServer, "server"}} {
		if info.On&kind.subject != 0 {
			on = append(on, kind.name)
		}
	}
	row := "| `" + string(info.Action) + "` | " + strings.Join(on, ", ") + " |"
	for _, group := range []access.Group{access.View, access.Run, access.Operate, access.Administer, access.Serve} {
		if slices.Contains(info.Groups, group) {
			row += " yes |"
		} else {
			row += " |"
		}
	}
	return row
}

func TestEveryActionIsDocumented(t *testing.T) {
	page := readDoc(t, "access.md")
	for _, info := range access.Actions {
		if row := actionRow(info); !strings.Contains(page, "\n"+row+" ") {
			t.Errorf("docs/access.md has no row that begins %q", row+" ")
		}
	}
	for line := range strings.Lines(page) {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "| `"), "`")
		if _, known := access.InfoOf(access.Action(name)); !known && strings.Contains(name, ".") && strings.Contains(line, " yes |") {
			t.Errorf("docs/access.md has a row for %q, which is no action", name)
		}
	}
}

// The policies of the documentation can be written as they stand, all of them
// together, and their test cases pass.
func TestTheDocumentedPoliciesAreSound(t *testing.T) {
	src := policy.Source{Tenant: "acme", Roles: []policy.Role{
		{Name: "caller"}, {Name: "ci", Includes: []string{"viewer"}}, {Name: "deployer", Includes: []string{"viewer"}},
	}}
	for i, text := range blocks(t, "access.md", "cedar") {
		src.Files = append(src.Files, policy.File{Name: "block-" + string(rune('a'+i)), Text: text})
	}
	tests := 0
	for _, f := range src.Files {
		report := policy.Check(src, f.Name)
		for _, finding := range report.Findings {
			if finding.Refused || finding.Certainty == policy.Certain {
				t.Errorf("%s:%d: %s: %s", f.Name, finding.Ref.Line, finding.Kind, finding.Message)
			}
		}
		for _, result := range report.Tests {
			if !result.Passed {
				t.Errorf("%s:%d: %s: %v", result.File, result.Line, result.Text, result.Reasons)
			}
		}
		tests = len(report.Tests)
	}
	if tests < 15 {
		t.Errorf("only %d test cases were found in docs/access.md", tests)
	}
}

func TestTheDocumentedIdentitiesAreRead(t *testing.T) {
	for _, text := range blocks(t, "identities.md", "yaml") {
		if _, err := identity.ParseFile([]byte(text)); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}
