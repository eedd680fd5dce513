package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// costly are files of so many policies, each of which applies to everything and
// has so many terms.
func costly(policies, terms int) (files []File) {
	one := "forbid (principal, action, resource) when { " + strings.Repeat("context.weekday == 9 || ", terms-1) + "context.weekday == 9 };\n"
	for perFile := MaxFileBytes / len(one); policies > 0; policies -= perFile {
		files = append(files, File{Name: fmt.Sprintf("f%d", len(files)), Text: strings.Repeat(one, min(policies, perFile))})
	}
	return files
}

// What all policies of a tenant cost together is bounded, however they are spread.
func TestOperatorsOfAllFiles(t *testing.T) {
	for _, test := range []struct {
		policies, terms int
		fits            bool
	}{
		{1000, 4, true}, {1000, 5, false}, {1000, 45, false}, {100, 39, true}, {105, 40, false}, {1, 100, true},
	} {
		src := Source{Tenant: "acme", Files: costly(test.policies, test.terms)}
		_, err := Compile(src)
		if fits := err == nil; fits != test.fits {
			t.Errorf("%d policies of %d terms: %v", test.policies, test.terms, err)
		}
		var e *config.Error
		if !test.fits && (!errors.As(err, &e) || e.Kind != config.KindTooLarge || e.Limit != MaxOperators || e.Actual <= MaxOperators || e.Next == "") {
			t.Errorf("%d policies of %d terms are refused by %+v", test.policies, test.terms, err)
		}
		if report := Check(src, src.Files[0].Name); report.Refused() == test.fits {
			t.Errorf("%d policies of %d terms are reported as %+v", test.policies, test.terms, report.Findings[0])
		}
	}
}

// ending is a context that ends when it was asked about so often.
type ending struct {
	context.Context
	left int
}

func (e *ending) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

// Checks end with the request, whether policies are compared or tests run.
func TestChecksEndWithTheirContext(t *testing.T) {
	files := costly(10, 1)
	files = append(files, File{Name: "tests", Text: strings.Repeat("//test deny role:admin config.read document production/a/b\n", 50)})
	src := Source{Tenant: "acme", Files: files}
	for _, left := range []int{0, 5, 10, 30} {
		ctx := &ending{t.Context(), left}
		report, err := CheckContext(ctx, src, "tests")
		if !errors.Is(err, context.Canceled) || len(report.Tests)+len(report.Findings) > 0 || ctx.left < -10 {
			t.Errorf("after %d steps: %v, %d tests, and %d steps more", left, err, len(report.Tests), -ctx.left)
		}
	}
	if report, err := CheckContext(&ending{t.Context(), 1000}, src, "tests"); err != nil || len(report.Tests) != 50 {
		t.Errorf("%v, %d tests", err, len(report.Tests))
	}
}
