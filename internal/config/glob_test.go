package config

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestGlob(t *testing.T) {
	for glob, c := range map[string]struct{ selects, leaves string }{
		"":                                {"a a/b gateway/eu-1/models", ""},
		"gateway/models":                  {"gateway/models", "gateway gateway/models/fast gateway/model Gateway/models"},
		"gateway/*":                       {"gateway/models gateway/x", "gateway gateway/eu/models"},
		"gateway/**":                      {"gateway gateway/models gateway/eu/models", "gateway-eu agateway"},
		"**":                              {"a a/b/c", ""},
		"**/models":                       {"models eu/models a/b/models", "models/a xmodels"},
		"a/**/z":                          {"a/z a/b/z a/b/c/z a/z/z", "a z a/b a/zz"},
		"a/**/b/**/c":                     {"a/b/c a/x/b/y/z/c a/b/b/c/c", "a/c a/c/b a/b/c/d"},
		"*":                               {"a models", "a/b"},
		"limits-*":                        {"limits-a limits-", "limits a-limits-a"},
		"*-*":                             {"a-b a-b-c", "ab a-b/c"},
		"eu-*/lim*ts":                     {"eu-1/limits eu-/limabts", "eu-1/limit eu/limits"},
		"a*b*c":                           {"abc axbxc abcbc", "ab abcd"},
		"v1.5@~+=_-":                      {"v1.5@~+=_-", "v1x5@~+=_-"},
		"**/**":                           {"a a/b", ""},
		"*/**":                            {"a a/b", ""},
		strings.Repeat("a", MaxGlobBytes): {strings.Repeat("a", MaxGlobBytes), "a"},
	} {
		g, err := ParseGlob(glob)
		if err != nil || g.String() != glob {
			t.Errorf("%.40q: read as %.40q, %v", glob, g, err)
			continue
		}
		for _, path := range strings.Fields(c.selects) {
			if !g.Match(MustPath(path)) {
				t.Errorf("%.40q does not select %.40s", glob, path)
			}
		}
		for _, path := range strings.Fields(c.leaves) {
			if g.Match(MustPath(path)) {
				t.Errorf("%.40q selects %.40s", glob, path)
			}
		}
	}
}

func TestGlobRefuses(t *testing.T) {
	for _, text := range []string{
		"/", "a/", "/a", "a//b", "***", "a**", "**a", "a/b**c", "../*", ".*", "-a", "a b", "a?", "[ab]", "{a,b}", "a\\*", "a\x00", "é*",
		strings.Repeat("*", MaxGlobBytes+1), strings.Repeat("a", MaxGlobBytes+1),
	} {
		g, err := ParseGlob(text)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindInvalidPath || e.Next == "" && e.Limit == 0 || g.String() != "" {
			t.Errorf("%.40q: got %.40q, %v", text, g, err)
		}
	}
	var e *Error
	if _, err := ParseGlob(strings.Repeat("a", MaxGlobBytes+1)); !errors.As(err, &e) || e.Limit != MaxGlobBytes || e.Actual != MaxGlobBytes+1 {
		t.Errorf("the figures are missing: %+v", e)
	}
}

// byExpression is Match, by a regular expression over "/a/b/c".
func byExpression(glob, path string) bool {
	expression := "^"
	for segment := range strings.SplitSeq(glob, "/") {
		if segment == "**" {
			expression += "(/[^/]+)*"
			continue
		}
		expression += "/" + strings.ReplaceAll(regexp.QuoteMeta(segment), `\*`, "[^/]*")
	}
	return regexp.MustCompile(expression + "$").MatchString("/" + path)
}

func TestGlobMatchesAsTheExpression(t *testing.T) {
	segment := rapid.StringMatching(`[ab][ab.]{0,3}`)
	pattern := rapid.OneOf(rapid.Just("**"), rapid.Just("*"), rapid.StringMatching(`[ab](\*?[ab.]){0,3}\*?`), rapid.StringMatching(`\*[ab.](\*?[ab.]){0,2}`))
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		glob := strings.Join(rapid.SliceOfN(pattern, 1, 6).Draw(t, "glob"), "/")
		path := strings.Join(rapid.SliceOfN(segment, 1, 6).Draw(t, "path"), "/")
		g, err := ParseGlob(glob)
		if err != nil {
			t.Fatal(err)
		}
		want := byExpression(glob, path)
		if g.Match(MustPath(path)) != want {
			t.Fatalf("%s selects %s: want %t", glob, path, want)
		}
		if want {
			matched++
		}
	})
	if matched == 0 {
		t.Error("nothing was ever selected")
	}
}

func TestGlobTakesNoExponentialTime(t *testing.T) {
	const half = MaxGlobBytes / 2
	segments := strings.Repeat("a/", MaxPathSegments-1) + strings.Repeat("a", MaxPathBytes-2*MaxPathSegments+2)
	for glob, path := range map[string]string{
		strings.Repeat("a*", half-1) + "b":                 strings.Repeat("a", MaxPathBytes),
		strings.Repeat("**/", MaxGlobBytes/3-1) + "b":      segments,
		strings.Repeat("**/a*a*/", MaxGlobBytes/8-1) + "b": segments,
	} {
		g, err := ParseGlob(glob)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 10 {
			if g.Match(MustPath(path)) {
				t.Fatalf("%.20s… selects %.20s…", glob, path)
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.20s… took %s", glob, took)
		}
	}
}
