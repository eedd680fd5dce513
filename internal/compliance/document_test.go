package compliance

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files and docs/compliance anew")

// docs is the folder of the documentation.
var docs = filepath.Join("..", "..", "docs")

// golden compares with a file, or writes it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the code says; look at the difference, then run the test with -update (-file +code)\n%s", file, diff)
	}
}

// The documents are what the data says, and there are no others.
func TestDocuments(t *testing.T) {
	folder := filepath.Join(docs, "compliance")
	if *update {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"README.md"}
	golden(t, filepath.Join(folder, "README.md"), Readme())
	for _, f := range Frameworks {
		text, err := Document(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		name := string(f.Name) + ".md"
		golden(t, filepath.Join(folder, name), text)
		want = append(want, name)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s is written from nothing; delete it", e.Name())
		}
	}
}

// A document says it of every control, and never that a report is an audit.
func TestDocumentSaysItAll(t *testing.T) {
	for _, f := range Frameworks {
		text, err := Document(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{notice, f.Source, "own words"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("the document of %s does not say %q", f.Name, part)
			}
		}
		for _, c := range Controls(f.Name) {
			for _, part := range []string{c.label(), c.Later, c.Title, c.Requirement, c.Implements, c.Organisation} {
				if !strings.Contains(string(text), part) {
					t.Errorf("the document of %s does not say of %s: %q", f.Name, c.ID, part)
				}
			}
		}
		wellFormed(t, text)
	}
	wellFormed(t, Readme())
	if _, err := Document("pci-dss"); err == nil {
		t.Error("there is a document of a framework that there is not")
	}
}
