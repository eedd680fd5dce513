package house

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

var updateEvents = flag.Bool("update-events", false, "write the table of events in docs/audit.md anew")

// TestEventsAreDocumented holds the table of events in the docs against the one
// in the code.
func TestEventsAreDocumented(t *testing.T) {
	var table strings.Builder
	table.WriteString("| event | what |\n| --- | --- |\n")
	for _, e := range audit.Events {
		table.WriteString("| `" + e.Name + "` | " + strings.TrimSuffix(e.Meaning, ".") + " |\n")
	}
	file := filepath.Join("..", "..", "docs", "audit.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), "<!-- events -->\n\n")
	_, after, ends := strings.Cut(rest, "Each event is evidence")
	if !found || !ends {
		t.Fatal("docs/audit.md has no place for the table of events")
	}
	want := before + "<!-- events -->\n\n" + table.String() + "\nEach event is evidence" + after
	if string(text) == want {
		return
	}
	if !*updateEvents {
		t.Fatal("the table of events in docs/audit.md is not that of the code; run go test ./test/house -run Events -update-events")
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
