package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

const anything = "permit (principal, action, resource);\n"

func TestParsingNamesPolicies(t *testing.T) {
	text := "// says who may\n@id(\"read \\u{e9}; // all\")\npermit (principal, action, resource) when { context.method == \"a;b\" }; // trails\n" +
		"  forbid (principal, action, resource);"
	all, err := parseFile(File{Name: "team", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"team", "read é; // all", 2, 1, "permit"}, {"team", "policy 2", 4, 3, "forbid"}}
	if len(all) != 2 || all[0].Ref != want[0] || all[1].Ref != want[1] {
		t.Fatalf("got %+v, want %+v", all, want)
	}
	if got := all[0].key(); got != "team/read é; // all" {
		t.Errorf("the key is %q", got)
	}
	if got := all[1].text; got != "forbid (principal, action, resource);" {
		t.Errorf("the text is %q", got)
	}
	if got := all[0].text; !strings.HasPrefix(got, "@id(") || !strings.HasSuffix(got, "};") {
		t.Errorf("the text is %q", got)
	}
}

func TestParsingRefuses(t *testing.T) {
	deep := func(open, shut string, n int) string {
		return "permit (principal, action, resource) when { " + strings.Repeat(open, n) + "true" + strings.Repeat(shut, n) + " };"
	}
	for name, c := range map[string]struct {
		text    string
		pointer string
		kind    config.Kind
	}{
		"not Cedar":              {"let me in", "team:1:5", config.KindInvalidPolicy},
		"an error in line 3":     {anything + "\npermit (principal, action,\n resource) when { 1 + };", "team:4:24", config.KindInvalidPolicy},
		"a string without end":   {anything + "permit (principal == Token::\"x, action, resource);", "team:2:29", config.KindInvalidPolicy},
		"no closing semicolon":   {"permit (principal, action, resource)", "team:1:37", config.KindInvalidPolicy},
		"an unknown function":    {"permit (principal, action, resource) when { now() };", "team:1:49", config.KindInvalidPolicy},
		"an id twice":            {"@id(\"a\")" + anything + "@id(\"a\")" + anything, "team:2:1", config.KindInvalidPolicy},
		"an id like a number":    {"@id(\"policy 2\")" + anything + anything, "team:2:1", config.KindInvalidPolicy},
		"an empty id":            {"@id" + " " + anything, "team:1:1", config.KindInvalidPolicy},
		"an id of two lines":     {"@id(\"a\\nb\")" + anything, "team:1:1", config.KindInvalidPolicy},
		"an id too long":         {"@id(\"" + strings.Repeat("a", MaxIDBytes+1) + "\")" + anything, "team:1:1", config.KindInvalidPolicy},
		"bytes that are no text": {"permit (principal, action, resource)\xff;", "team:1:37", config.KindInvalidPolicy},
		"a zero byte":            {anything + " \x00", "team:2:2", config.KindInvalidPolicy},
		"a replaced character":   {anything + "\ufffd", "team:2:2", config.KindInvalidPolicy},
		"a byte order mark":      {"\ufeff" + anything, "team:1:2", config.KindInvalidPolicy},
		"a block comment":        {"permit (principal, action, resource /* ; */);", "team:1:37", config.KindInvalidPolicy},
		"brackets too deep":      {deep("(", ")", maxNesting), "team:1:108", config.KindInvalidPolicy},
		"sets too deep":          {deep("[", "]", maxNesting), "team:1:108", config.KindInvalidPolicy},
		"too many negations":     {deep("!", "", 60000), "team:1:1043", config.KindInvalidPolicy},
		"too many conditions":    {deep("if true then true else ", "", 2000), "", config.KindInvalidPolicy},
		"attributes too long":    {"permit (principal, action, resource) when { context has " + strings.Repeat("a.", 20) + "a };", "", config.KindInvalidPolicy},
		"a text too large":       {strings.Repeat(" ", MaxFileBytes+1), "", config.KindTooLarge},
		"too many policies":      {strings.Repeat(anything, MaxPolicies+1), "", config.KindTooLarge},
	} {
		_, err := parseFile(File{Name: "team", Text: c.text})
		var refusal *config.Error
		if !errors.As(err, &refusal) || refusal.Kind != c.kind {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if c.pointer != "" && refusal.Pointer != c.pointer {
			t.Errorf("%s: at %s, want %s (%v)", name, refusal.Pointer, c.pointer, err)
		}
		if c.kind == config.KindInvalidPolicy && !strings.HasPrefix(refusal.Message, `file "team", line `) {
			t.Errorf("%s: the message is %q", name, refusal.Message)
		}
		if strings.Contains(refusal.Message, "<input>") {
			t.Errorf("%s: the message is %q", name, refusal.Message)
		}
	}
}

func TestParsingBoundsFilesTogether(t *testing.T) {
	many := func(n int, text string) (files []File) {
		for i := range n {
			files = append(files, File{Name: fmt.Sprintf("f%d", i), Text: text})
		}
		return files
	}
	for name, c := range map[string]struct {
		files []File
		kind  config.Kind
	}{
		"as many as may be":  {many(MaxFiles, ""), ""},
		"a file too many":    {many(MaxFiles+1, ""), config.KindTooLarge},
		"a byte too many":    {append(many(16, strings.Repeat("\n", MaxFileBytes)), File{Name: "x", Text: "\n"}), config.KindTooLarge},
		"a policy too many":  {append(many(2, strings.Repeat(anything, MaxPolicies/2)), File{Name: "x", Text: anything}), config.KindTooLarge},
		"a name twice":       {append(many(1, ""), many(1, "")...), config.KindInvalidPolicy},
		"a name with a path": {[]File{{Name: "a/b"}}, config.KindInvalidPolicy},
		"no name":            {[]File{{}}, config.KindInvalidPolicy},
	} {
		if _, err := parseFiles(c.files); config.KindOf(err) != c.kind {
			t.Errorf("%s: got %v, want %q", name, err, c.kind)
		}
	}
}

// What parses has its text between its own place and its semicolon; whatever
// does not is refused in words.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		anything, "@id(\"x\") forbid (principal in Role::\"a\", action in [Action::\"view\"], resource is Secret in Folder::\"p/x\") unless { resource.path like \"a*\\*\" };",
		"permit (principal, action, resource) when { principal.getTag(\"a\").contains(\"b;\") && ip(\"10.0.0.0/8\").isInRange(context.source) };",
		"// c\n/* d */ permit", "permit (principal, action, resource) when { if {\"a\": [1, -2]} has a then -9223372036854775808 < 1 else !false };",
		"permit (principal, action, resource) when { \"\\u{1F600}\\x41\\0\" == \"\\\"\" };", "\"\\", "@@@", "/", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseFile(File{Name: "fuzz", Text: text})
		if kind := config.KindOf(err); err != nil && kind != config.KindInvalidPolicy && kind != config.KindTooLarge {
			t.Fatalf("%q: %v", text, err)
		}
		for _, p := range all {
			again, err := parseFile(File{Name: "fuzz", Text: p.text})
			if err != nil || len(again) != 1 || string(again[0].policy.MarshalCedar()) != string(p.policy.MarshalCedar()) {
				t.Fatalf("%q: the text of %v is %q: %v", text, p.Ref, p.text, err)
			}
		}
	})
}
