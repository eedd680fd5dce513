package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/llm-devops/llm-config-manager/"

// An importing is one import declaration of one file.
type importing struct {
	file     string // from the top of the tree
	test     bool
	imported string
}

func (i importing) by() string { return path.Dir(i.file) }

// top is the folder of go.mod.
func top(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("this test belongs two folders below go.mod: %v", err)
	}
	return dir
}

// imports reads the import declarations of every Go file in the tree, whatever
// its build constraints.
func imports(t *testing.T) []importing {
	t.Helper()
	root, found := top(t), []importing(nil)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != root && (ignored(entry.Name()) || ownModule(name)) {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		base := importing{file: relative, test: strings.HasSuffix(name, "_test.go")}
		found = append(found, base) // an entry for the package, even when it imports nothing
		for _, spec := range file.Imports {
			if base.imported, err = strconv.Unquote(spec.Path.Value); err != nil {
				return err
			}
			found = append(found, base)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 50 {
		t.Fatalf("only %d imports were found in %s: the test no longer reads the tree", len(found), root)
	}
	return found
}

// ignored are the folders that the go command leaves out, and build results.
func ignored(name string) bool {
	return name[0] == '.' || name[0] == '_' || name == "testdata" || name == "bin"
}

// ownModule says that a folder is a module of its own, whose modules are none
// of this one's.
func ownModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}

func TestEveryPackageIsInTheTable(t *testing.T) {
	missing := map[string]bool{}
	for _, i := range imports(t) {
		if _, listed := lookup(allowed, i.by()); !listed && !missing[i.by()] {
			missing[i.by()] = true
			t.Errorf("package %s is not in the table of allowed imports; give it a line in test/house/table_test.go that says what it may import", i.by())
		}
	}
}

func TestTheTableNamesNothingThatIsGone(t *testing.T) {
	root := top(t)
	for pkg := range allowed {
		if matches, _ := filepath.Glob(filepath.Join(root, strings.TrimSuffix(pkg, "/…"), "*")); len(matches) == 0 {
			t.Errorf("the table in test/house/table_test.go has a line for %s, which is not there; remove it", pkg)
		}
	}
}

func TestArrowsRunDownOnly(t *testing.T) {
	for _, i := range imports(t) {
		imported, ours := strings.CutPrefix(i.imported, module)
		if !ours || i.test {
			continue
		}
		may, _ := lookup(allowed, i.by())
		if slices.Contains(wiring, i.file) {
			may = product
		}
		if !slices.Contains(may, imported) {
			t.Errorf("%s imports %s, and arrows run down only: let the package above hand in what is needed, or move it down to a package that both may import; "+
				"if the arrow is right, add it to test/house/table_test.go and say why in the change", i.file, imported)
		}
	}
}

func TestModulesStayWhereTheyBelong(t *testing.T) {
	for _, i := range imports(t) {
		first, _, _ := strings.Cut(i.imported, "/")
		if i.test || !strings.Contains(first, ".") || strings.HasPrefix(i.imported, module) {
			continue
		}
		owner := ownerOf(i.imported)
		if owner == "" {
			t.Errorf("%s imports %s, a module that no package may use; give it a line among the owners in test/house/table_test.go and one in docs/dependencies.md", i.file, i.imported)
			continue
		}
		if !contains(owners[owner], i.by()) {
			t.Errorf("%s imports %s, which only %s may; use that package, or add this one to the owners in test/house/table_test.go and say why in the change",
				i.file, i.imported, strings.Join(owners[owner], ", "))
		}
	}
}

// The library's own packages read 85,000 words when a process starts: 30 ms and
// 18 MB for every command. Its package data has them and does nothing by itself.
func TestWordListsWaitUntilTheyAreNeeded(t *testing.T) {
	const library = "github.com/nbutton23/zxcvbn-go"
	for _, i := range imports(t) {
		if !i.test && strings.HasPrefix(i.imported, library) && i.imported != library+"/data" {
			t.Errorf("%s imports %s, which reads word lists at the start of every command; use internal/guess, or only %s/data", i.file, i.imported, library)
		}
	}
}

func TestProductDoesNotImportTesting(t *testing.T) {
	for _, i := range imports(t) {
		if i.test || strings.HasSuffix(i.by(), "test") || strings.HasPrefix(i.file, "test/") {
			continue
		}
		if i.imported == "testing" || strings.HasPrefix(i.imported, "testing/") || strings.HasSuffix(i.imported, "test") {
			t.Errorf("%s imports %s, and what is shipped must not: move the code to a _test.go file or to a package whose name ends in test", i.file, i.imported)
		}
	}
}

// lookup finds a package's line, its own before that of a tree it is in.
func lookup(table map[string][]string, pkg string) ([]string, bool) {
	if line, ok := table[pkg]; ok {
		return line, true
	}
	for key, line := range table {
		if tree, ok := strings.CutSuffix(key, "…"); ok && strings.HasPrefix(pkg, tree) {
			return line, true
		}
	}
	return nil, false
}

func contains(packages []string, pkg string) bool {
	return slices.ContainsFunc(packages, func(entry string) bool {
		tree, ok := strings.CutSuffix(entry, "…")
		return entry == pkg || ok && strings.HasPrefix(pkg, tree)
	})
}

// ownerOf is the module in the owners table that a package belongs to.
func ownerOf(imported string) string {
	for owner := range owners {
		if imported == owner || strings.HasPrefix(imported, owner+"/") {
			return owner
		}
	}
	return ""
}
