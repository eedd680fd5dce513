package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/convert"
)

// Of what is imported run makes the same variables again, whichever of them
// became secrets.
func TestImportedVariablesComeBackAsTheyWere(t *testing.T) {
	value := rapid.OneOf(
		rapid.StringMatching("[ -~äöü\n\t]{0,30}"),
		rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,5})?(e[0-9]{1,3})?`),
		rapid.SampledFrom([]string{"true", "null", "[1]", `{"a":1}`, "${secret:a}", "$${secret:a}", "${config:a#/b}", "x$${config:a}${secret:b#c}", "sk-" + strings.Repeat("aB3", 12)}),
	)
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.MapOfN(rapid.StringMatching("X[A-Z0-9_]{0,6}"), value, 0, 8).Draw(t, "set")
		var variables []convert.Variable
		want := []string{}
		for name, text := range set {
			variables = append(variables, convert.Variable{Name: name, Value: text, Line: len(variables) + 1})
			want = append(want, name+"="+text)
		}
		d := &dotenvImport{scope: &scope{environment: "staging"}, path: "app/env", all: rapid.Bool().Draw(t, "all")}
		if err := d.make(variables, nil); err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, v := range again(t, d) {
			got = append(got, v.name+"="+v.value)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

// again makes variables of a planned layer, resolved as a server does it.
func again(t *rapid.T, d *dotenvImport) []variable {
	path, err := config.ParsePath(d.path)
	if err != nil {
		t.Fatal(err)
	}
	effective, err := config.Resolve(path, func(config.Path) config.Document { return config.NewDocument(d.layer) }, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	document := effective.Document
	revealed := map[string]any{}
	for name, value := range document.Root() {
		revealed[name] = value
		text, _ := value.(string)
		for secret, known := range d.values {
			if text == fmt.Sprintf("${secret:%s}", secret) {
				revealed[name] = known
			}
		}
	}
	found, err := environRules{}.variables([]namedDocument{{path: d.path, document: document, revealed: config.NewDocument(revealed)}})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImportRefusesWhatWouldBeTheSame(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  []string
	}{
		{[]string{"A", "a"}, []string{"line 2: a and A would be the same, a"}},
		{[]string{"KEY", "_KEY"}, []string{"line 2: _KEY and KEY would be the same, secret app/env/key"}},
		{[]string{"__"}, []string{"line 1: __ cannot become a secret: no letter or digit is in its name"}},
	} {
		var variables []convert.Variable
		for i, name := range c.names {
			variables = append(variables, convert.Variable{Name: name, Value: canary, Line: i + 1})
		}
		d := &dotenvImport{scope: &scope{environment: "staging"}, path: "app/env", all: true}
		err := d.make(variables, nil)
		if err == nil {
			t.Errorf("%q was taken", c.names)
			continue
		}
		if diff := cmp.Diff(c.want, asFailure(err).details); diff != "" {
			t.Errorf("%q: -want +got\n%s", c.names, diff)
		}
	}
}
