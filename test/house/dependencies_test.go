package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const accounts = "docs/dependencies.md"

func TestEveryDirectDependencyIsAccountedFor(t *testing.T) {
	listed := rows(t)
	for _, module := range directRequirements(t) {
		if !listed[module] {
			t.Errorf("go.mod requires %s, which has no row in %s; give it one: why it is needed, its licence, how it is kept", module, accounts)
		}
		delete(listed, module)
	}
	for module := range listed {
		t.Errorf("%s has a row for %s, which go.mod does not require directly; remove the row", accounts, module)
	}
}

// directRequirements reads the modules of go.mod that are not marked indirect.
func directRequirements(t *testing.T) []string {
	t.Helper()
	requirement := regexp.MustCompile(`^(?:require )?\t?([a-zA-Z0-9.-]+\.[a-z]+/?\S*) v\S+$`)
	var modules []string
	for _, line := range lines(t, "go.mod") {
		if match := requirement.FindStringSubmatch(strings.TrimRight(line, " \r")); match != nil {
			modules = append(modules, match[1])
		}
	}
	if len(modules) == 0 {
		t.Fatal("no direct requirement was found in go.mod: the test no longer reads it")
	}
	return modules
}

// rows are the modules named in the first column of the account's tables.
func rows(t *testing.T) map[string]bool {
	t.Helper()
	row := regexp.MustCompile("^\\| `([^`]+)` ")
	found := map[string]bool{}
	for _, line := range lines(t, accounts) {
		if match := row.FindStringSubmatch(line); match != nil {
			found[match[1]] = true
		}
	}
	return found
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}
