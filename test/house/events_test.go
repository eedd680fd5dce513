package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/audit"
)

// recording are the packages that write audit records.
var recording = []string{"internal/service", "cmd/llm-config"}

// eventsIn are the events that the sources of a package write, with where. An
// event is a text that is handed to a parameter named event, or that a field or
// variable of that name is set to. What is written of an expression that is none
// of these is an error, or it would go unseen.
type eventsIn struct {
	t       *testing.T
	set     *token.FileSet
	files   []*ast.File
	consts  map[string]string   // name of a constant, or audit.Name → its text
	params  map[function]int    // which of its parameters is the event
	fields  map[string]int      // struct → which of its fields is the event
	written map[string][]string // event → where
}

// function is one by its name and how much it takes: several types may have one
// of a name.
type function struct {
	name  string
	takes int
}

func newEventsIn(t *testing.T, consts map[string]string, folder string) *eventsIn {
	t.Helper()
	e := &eventsIn{t: t, set: token.NewFileSet(), consts: maps.Clone(consts), params: map[function]int{}, fields: map[string]int{}, written: map[string][]string{}}
	e.files = parseFolder(t, e.set, folder)
	maps.Copy(e.consts, constants(e.files, ""))
	for _, file := range e.files {
		ast.Inspect(file, e.declarations)
	}
	for _, file := range e.files {
		ast.Inspect(file, e.uses)
	}
	return e
}

// parseFolder reads the sources of a package without its tests.
func parseFolder(t *testing.T, set *token.FileSet, folder string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(top(t), folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(set, folder+"/"+filepath.Base(name), text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constants are the texts that a package gives names to.
func constants(files []*ast.File, prefix string) map[string]string {
	found := map[string]string{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				for i, value := range spec.Values {
					if text, ok := literal(value); ok {
						found[prefix+spec.Names[i].Name] = text
					}
				}
			}
			return true
		})
	}
	return found
}

func literal(e ast.Expr) (string, bool) {
	basic, ok := e.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}

// place is which of a list's names is event, of type string.
func place(list *ast.FieldList) (int, bool) {
	at := 0
	for _, field := range list.List {
		for _, name := range field.Names {
			if kind, ok := field.Type.(*ast.Ident); ok && name.Name == "event" && kind.Name == "string" {
				return at, true
			}
			at++
		}
	}
	return 0, false
}

func (e *eventsIn) declarations(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if at, ok := place(n.Type.Params); ok {
			e.params[function{n.Name.Name, n.Type.Params.NumFields()}] = at
		}
	case *ast.TypeSpec:
		if fields, ok := n.Type.(*ast.StructType); ok {
			if at, ok := place(fields.Fields); ok {
				e.fields[n.Name.Name] = at
			}
		}
	}
	return true
}

func (e *eventsIn) uses(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		if at, ok := e.params[function{lastName(n.Fun), len(n.Args)}]; ok {
			e.write(n.Args[at])
		}
	case *ast.CompositeLit:
		e.literals(n)
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if name := lastName(left); (name == "event" || name == "Event") && len(n.Lhs) == len(n.Rhs) {
				if _, ok := literal(n.Rhs[i]); ok {
					e.write(n.Rhs[i])
				}
			}
		}
	}
	return true
}

// literals looks at structs that have an event, and at records.
func (e *eventsIn) literals(n *ast.CompositeLit) {
	at, known := e.fields[lastName(n.Type)]
	record := lastName(n.Type) == "Record"
	for i, element := range n.Elts {
		pair, keyed := element.(*ast.KeyValueExpr)
		switch {
		case keyed && (known && lastName(pair.Key) == "event" || record && lastName(pair.Key) == "Event"):
			e.write(pair.Value)
		case !keyed && known && i == at:
			e.write(element)
		}
	}
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// write notes an event. One that is handed on under its name is noted where it
// comes from.
func (e *eventsIn) write(value ast.Expr) {
	where := e.set.Position(value.Pos()).String()
	text, known := literal(value)
	switch v := value.(type) {
	case *ast.Ident:
		text, known = e.consts[v.Name]
	case *ast.SelectorExpr:
		if pkg, ok := v.X.(*ast.Ident); ok {
			text, known = e.consts[pkg.Name+"."+v.Sel.Name]
		}
	}
	if known {
		e.written[text] = append(e.written[text], where)
	} else if lastName(value) != "event" {
		e.t.Errorf("%s: it is not plain which event is written; use a text, a constant, or a variable named event that is set to one", where)
	}
}

func TestTheTableOfEventsIsOfThoseWritten(t *testing.T) {
	consts := constants(parseFolder(t, token.NewFileSet(), "internal/audit"), "audit.")
	found := map[string]bool{}
	for _, folder := range recording {
		written := newEventsIn(t, consts, folder).written
		for _, event := range slices.Sorted(maps.Keys(written)) {
			found[event] = true
			if _, ok := audit.EventNamed(event); !ok {
				t.Errorf("%s writes the event %q, which is not in the table: give it a line in internal/audit/event.go with its meaning and the controls it is evidence for", written[event][0], event)
			}
		}
	}
	for _, e := range audit.Events {
		if !found[e.Name] {
			t.Errorf("the table in internal/audit/event.go has the event %s, which nothing in %s writes; remove it, or see why it is not written any more", e.Name, strings.Join(recording, ", "))
		}
	}
}
