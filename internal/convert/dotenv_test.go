package convert_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/convert"
)

func TestParseDotenv(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want []string // NAME=value@line
	}{
		{"nothing", "", nil},
		{"comments and empty lines", "# a\n\n   # b\n\t\n", nil},
		{"plain", "A=1\nB = two words \nexport C=x\n  D=y", []string{"A=1@1", "B=two words@2", "C=x@3", "D=y@4"}},
		{"empty values", "A=\nB=''\nC=\"\"\nD= # nothing\nE=", []string{"A=@1", "B=@2", "C=@3", "D=@4", "E=@5"}},
		{"a comment behind", "A=x # y\nB=x#y\nC='x # y' # z\nD=\"x\" # z", []string{"A=x@1", "B=x#y@2", "C=x # y@3", "D=x@4"}},
		{"single quotes", `A='\n$B ${C} $(d) "'`, []string{`A=\n$B ${C} $(d) "@1`}},
		{"double quotes", `A="a\nb\tc\\d\"e\'f\$g\x"`, []string{"A=a\nb\tc\\d\"e'f$g\\x@1"}},
		{"several lines", "A='x\ny'\nB=\"-----BEGIN\nabc\n-----END\"\nC=1", []string{"A=x\ny@1", "B=-----BEGIN\nabc\n-----END@3", "C=1@6"}},
		{"carriage returns", "A=1\r\nB='x\r\ny'\r\nC=\"z\"\r\n", []string{"A=1@1", "B=x\ny@2", "C=z@4"}},
		{"a byte order mark", "\ufeffA=1", []string{"A=1@1"}},
		{"equals signs and quotes inside", `A=b=c==` + "\n" + `B=it's "so"`, []string{`A=b=c==@1`, `B=it's "so"@2`}},
		{"a dollar that is none of a name", "A=pa$$word$\nB=$5\nC=cost$unknown", []string{"A=pa$$word$@1", "B=$5@2", "C=cost$unknown@3"}},
		{"what only looks like a reference", "A=${secret:x}\nB=\"${config:a#/b}\"", []string{"A=${secret:x}@1", "B=${config:a#/b}@2"}},
		{"export as a name", "export=1\nexported=2", []string{"export=1@1", "exported=2@2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := convert.ParseDotenv([]byte(c.text))
			if err != nil {
				t.Fatalf("%v %+v", err, err)
			}
			var got []string
			for _, v := range found {
				got = append(got, fmt.Sprintf("%s=%s@%d", v.Name, v.Value, v.Line))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestParseDotenvRefusesWhatToolsReadDifferently(t *testing.T) {
	const canary = "cAn4ry"
	for _, c := range []struct {
		text string
		want []string
	}{
		{"A=1\n" + canary, []string{"line 2: there is no ="}},
		{"A-" + canary + "=x", []string{"line 1: what is before the = is no name of a variable (letters, digits and _)"}},
		{"9A=" + canary, []string{"line 1: what is before the = is no name of a variable (letters, digits and _)"}},
		{"=" + canary, []string{"line 1: what is before the = is no name of a variable (letters, digits and _)"}},
		{"A=1\nB=2\nA=" + canary, []string{"line 3: A has a value in line 1 already"}},
		{"A='" + canary, []string{"line 1: the quote that A begins with is not closed"}},
		{"B=1\nA=\"" + canary + "\n\n", []string{"line 2: the quote that A begins with is not closed"}},
		{"A='x' " + canary, []string{"line 1: something stands behind the closing quote of A"}},
		{"A='x\ny'#" + canary, []string{"line 2: something stands behind the closing quote of A"}},
		{"A=`" + canary + "`", []string{"line 1: the value of A begins with a backquote, which some tools take for a quote: use ' instead"}},
		{"A=#" + canary, []string{"line 1: the value of A begins with #, which some tools take for a comment: put it in quotes"}},
		{"A=" + canary + `\`, []string{"line 1: the value of A ends with a backslash, which some tools take for a line that goes on: put it in single quotes"}},
		{"A=${B}" + canary, []string{"line 1: ${B} would be replaced by other tools, and nothing is expanded here: write the value out, or put it in single quotes"}},
		{"A=\"" + canary + "\n${HOME:-" + canary + "}\"", []string{"line 2: ${HOME} would be replaced by other tools, and nothing is expanded here: write the value out, or put it in single quotes"}},
		{"A=" + canary + "$B\nB=1", []string{"line 1: $B would be replaced by other tools, and nothing is expanded here: write the value out, or put it in single quotes"}},
		{"A=$(" + canary + ")", []string{"line 1: $( would be a command in a shell, and nothing is run: put the value in single quotes"}},
		{"A=" + canary + "\x00", []string{"line 1: the value of A holds a NUL, which no variable can"}},
		{"A=" + canary + "\xff\nB", []string{"line 1: it is not UTF-8", "line 2: there is no ="}},
		{"A='" + canary + "\n\xff'", []string{"line 1: the value of A is not UTF-8"}},
	} {
		found, err := convert.ParseDotenv([]byte(c.text))
		var e *config.Error
		if !errors.As(err, &e) || found != nil {
			t.Errorf("%q: %v, %v", c.text, found, err)
			continue
		}
		var got []string
		for _, d := range e.Details {
			got = append(got, d.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", c.text, diff)
		}
		if strings.Contains(fmt.Sprintf("%+v", *e), canary) {
			t.Errorf("%q: the error holds a value: %+v", c.text, *e)
		}
	}
}

func TestParseDotenvIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"bytes":     "A=" + strings.Repeat("x", convert.MaxDotenvBytes),
		"variables": manyVariables(convert.MaxVariables + 1),
	} {
		var e *config.Error
		if _, err := convert.ParseDotenv([]byte(text)); !errors.As(err, &e) || e.Kind != config.KindTooLarge || e.Actual <= e.Limit {
			t.Errorf("%s: %v", name, err)
		}
	}
	var e *config.Error
	if _, err := convert.ParseDotenv([]byte(strings.Repeat("no\n", 1000))); !errors.As(err, &e) || len(e.Details) > 200 {
		t.Errorf("%d refusals", len(e.Details))
	}
}

func manyVariables(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "A%d=\n", i)
	}
	return b.String()
}

// What is written in any of the three ways is read back as it was.
func TestParseDotenvReadsWhatIsWritten(t *testing.T) {
	double := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`, "\r", `\r`, "\t", `\t`)
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.StringMatching("[ -~äöü\n\r\t]*"), 0, 8).Draw(t, "values")
		var b strings.Builder
		for i, value := range values {
			written := `"` + double.Replace(value) + `"`
			if !strings.ContainsAny(value, "'\r") && rapid.Bool().Draw(t, "single") {
				written = "'" + value + "'"
			}
			fmt.Fprintf(&b, "V%d=%s\n", i, written)
		}
		found, err := convert.ParseDotenv([]byte(b.String()))
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		var got []string
		for _, v := range found {
			got = append(got, v.Value)
		}
		if len(values) == 0 {
			values = nil
		}
		if diff := cmp.Diff(values, got); diff != "" {
			t.Fatalf("%q: -want +got\n%s", b.String(), diff)
		}
	})
}

func FuzzParseDotenv(f *testing.F) {
	for _, seed := range []string{"A=1", "export B='x\ny' # c\r\n", "C=\"a\\n$D\"\nD=`", "E=${F:-g}", "\ufeff#\n=\n", "A='", "A=\\\nB=$("} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := convert.ParseDotenv(text)
		var e *config.Error
		if err != nil && (!errors.As(err, &e) || found != nil) {
			t.Fatalf("%v, %v", found, err)
		}
		lines, last, names := strings.Count(string(text), "\n")+1, 0, map[string]bool{}
		for _, v := range found {
			if v.Name == "" || v.Line <= last || v.Line > lines || names[v.Name] || strings.Contains(v.Value, "\x00") {
				t.Fatalf("%+v behind line %d of %d", v, last, lines)
			}
			last, names[v.Name] = v.Line, true
			convert.LooksLikeKey(v.Name, v.Value)
		}
	})
}
