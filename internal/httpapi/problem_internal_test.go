package httpapi

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	sources "go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
)

// kinds are all kinds that the domain declares.
func kinds(t *testing.T) []config.Kind {
	t.Helper()
	file, err := parser.ParseFile(sources.NewFileSet(), "../config/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []config.Kind
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "Kind") {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, config.Kind(text))
		}
		return true
	})
	if len(found) < 30 {
		t.Fatalf("found %d kinds only", len(found))
	}
	return found
}

// Every kind of the domain has a code with a status, and none tells more than
// it was made to.
func TestEveryKindHasAProblem(t *testing.T) {
	for _, kind := range kinds(t) {
		e := config.Errorf(kind, "what").At("/where").Hint("next").Over(1, 2)
		e.Cause = errors.New("canary")
		e.Details = []config.Problem{{Environment: "e", Path: "p", Pointer: "/q", Message: "m"}}
		p := problem(fmt.Errorf("wrapped: %w", e))
		if p.Status != api.Statuses[p.Code] || p.Title != http.StatusText(p.Status) || strings.Contains(fmt.Sprintf("%+v", p), "canary") {
			t.Errorf("%s: %+v", kind, p)
		}
		if kind == config.KindInternal {
			if p.Detail == "what" || p.Code != api.CodeInternal {
				t.Errorf("%s is not opaque: %+v", kind, p)
			}
			continue
		}
		if string(p.Code) != string(kind) || p.Detail != "what" || p.Pointer != "/where" || p.Next != "next" || p.Limit != 1 || p.Actual != 2 ||
			len(p.Errors) != 1 || p.Errors[0] != (api.Violation{Environment: "e", Path: "p", Pointer: "/q", Message: "m"}) {
			t.Errorf("%s: %+v", kind, p)
		}
	}
}

func TestErrorsThatAreNotOurs(t *testing.T) {
	for err, code := range map[error]api.Code{
		errors.New("canary"):                            api.CodeInternal,
		config.Errorf("canary", "of a kind unheard of"): api.CodeInternal,
		fmt.Errorf("canary: %w", context.Canceled):      api.CodeTimeout,
		context.DeadlineExceeded:                        api.CodeTimeout,
		&api.Problem{Code: api.CodeGone, Status: 410}:   api.CodeGone,
	} {
		if p := problem(err); p.Code != code || strings.Contains(p.Detail+p.Next, "canary") {
			t.Errorf("%v: %+v", err, p)
		}
	}
}

func TestCausesAreForTheLog(t *testing.T) {
	e := config.Errorf(config.KindUnavailable, "the store cannot be used")
	e.Cause = fmt.Errorf("disk I/O: %w", errors.New("no space left"))
	if got, want := telemetry.Causes(e), "unavailable: the store cannot be used: disk I/O: no space left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAServerNeedsItsParts(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a server without a service was made")
		}
	}()
	New(Options{})
}

func TestNamesOnly(t *testing.T) {
	for pointer, want := range map[string]string{
		"": "", "/": "", "limit": "limit", "Dry_Run": "Dry_Run", "sk-live-1": "", "/fields": "/fields", "/edits/0/op": "/edits/0/op",
		"/generate/sk-live-1/x": "/generate", "/sk1": "", "/a//b": "/a", "/a~1b": "", "/rotation/webhook/url": "/rotation/webhook/url",
		"/" + strings.Repeat("a", 33): "", "/123456": "",
	} {
		if got := namesOnly(pointer); got != want {
			t.Errorf("%q: %q, want %q", pointer, got, want)
		}
	}
}
