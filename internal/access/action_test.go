package access_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

// Every constant of the source stands in the table, once, and is written like the
// others.
func TestEveryActionIsInTheTable(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[access.Action]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Action" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found[access.Action(text)] = true
		if _, ok := access.InfoOf(access.Action(text)); !ok {
			t.Errorf("%s (%s) is missing from the table: nobody may do it", spec.Names[0], text)
		}
		noun, verb, ok := strings.Cut(text, ".")
		if !ok || !strings.EqualFold(strings.ReplaceAll(noun, "-", "")+verb, spec.Names[0].Name) {
			t.Errorf("%s is written %q", spec.Names[0], text)
		}
		return true
	})
	if len(found) != len(access.Actions) {
		t.Errorf("the source has %d actions, the table %d", len(found), len(access.Actions))
	}
}

// What has a path is taken on documents or secrets; what is taken on the server
// is for server admins alone; and whoever stands higher on the ladder may do more.
func TestTheTableOfActionsIsSound(t *testing.T) {
	for _, info := range access.Actions {
		in := func(g access.Group) bool { return slices.Contains(info.Groups, g) }
		switch items := info.On & (access.OnDocument | access.OnSecret); {
		case len(info.Groups) == 0 || info.On == 0:
			t.Errorf("%s is in no group, or on nothing", info.Action)
		case info.Path != (items != 0):
			t.Errorf("%s has a path, or it is taken on what has one, not both", info.Action)
		case info.On&access.OnServer != 0 && !slices.Equal(info.Groups, []access.Group{access.Serve}):
			t.Errorf("%s is taken on the server by others than server admins", info.Action)
		case in(access.View) && !in(access.Operate), in(access.Operate) && !in(access.Administer), in(access.Run) && !in(access.Administer):
			t.Errorf("%s is not for all who stand higher: %v", info.Action, info.Groups)
		}
	}
}
