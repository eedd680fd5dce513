package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func document(t *testing.T, path, text string) namedDocument {
	t.Helper()
	doc, err := config.Decode(config.JSON, []byte(text), config.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return namedDocument{path: path, document: doc}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		name      string
		rules     environRules
		documents map[string]string
		revealed  map[string]string
		want      []string // NAME=value
		wrong     []string // details of the refusal
		next      string   // part of its hint
	}{
		{
			name:      "names from the root down, in capitals",
			documents: map[string]string{"p": `{"a":{"b-c":1,"d.e":"x"},"Ünï":true}`},
			want:      []string{"A_B_C=1", "A_D_E=x", "__N__=true"},
		},
		{
			name:      "scalars as they are, empty objects not at all",
			documents: map[string]string{"p": `{"s":"two\nlines","n":1.5,"e":1e21,"b":false,"o":{},"empty":""}`},
			want:      []string{"B=false", "E=1e+21", "EMPTY=", "N=1.5", "S=two\nlines"},
		},
		{
			name:      "collision within a document",
			documents: map[string]string{"p": `{"a-b":1,"a_b":2,"a":{"b":3}}`},
			wrong:     []string{"p#/a/b, p#/a-b, p#/a_b: more than one value would be A_B"},
			next:      "docs/run.md",
		},
		{
			name:      "collision between documents",
			documents: map[string]string{"p": `{"a":1}`, "q": `{"A":1}`},
			wrong:     []string{"p#/a, q#/A: more than one value would be A"},
		},
		{
			name:      "arrays",
			documents: map[string]string{"p": `{"list":[1,2]}`},
			wrong:     []string{"p#/list: an array has no form as a variable"},
			next:      "--json",
		},
		{
			name:      "json",
			rules:     environRules{json: true},
			documents: map[string]string{"gateway/eu-1/models": `{"b":[1],"a":"x"}`},
			want:      []string{`GATEWAY_EU_1_MODELS={"a":"x","b":[1]}`},
		},
		{
			name:      "json, colliding paths",
			rules:     environRules{json: true},
			documents: map[string]string{"a/b": `{}`, "a-b": `{}`},
			wrong:     []string{"a-b#, a/b#: more than one value would be A_B"},
		},
		{
			name:      "names that are none",
			documents: map[string]string{"p": `{"1st":1,"-":2,"":3,"ok\u0000":"x","v":"a\u0000b"}`},
			wrong: []string{
				"p#/: nothing of this name is a letter or digit",
				"p#/-: nothing of this name is a letter or digit",
				"p#/1st: the variable 1ST would begin with a digit",
				"p#/v: the value holds a NUL, which no variable can",
			},
		},
		{
			name:      "names that steer",
			documents: map[string]string{"p": `{"ld":{"preload":"/x.so"},"path":"/bin","node-options":"-r x","llm_config_addr":"http://x"}`},
			wrong: []string{
				"p#/ld/preload: LD_PRELOAD steers a loader, shell or interpreter",
				"p#/llm_config_addr: LLM_CONFIG_ADDR steers a loader, shell or interpreter",
				"p#/node-options: NODE_OPTIONS steers a loader, shell or interpreter",
				"p#/path: PATH steers a loader, shell or interpreter",
			},
			next: "--allow-env",
		},
		{
			name:      "names that steer, allowed one by one",
			rules:     environRules{allowed: []string{"NODE_OPTIONS"}},
			documents: map[string]string{"p": `{"node-options":"x","pythonpath":"y"}`},
			wrong:     []string{"p#/pythonpath: PYTHONPATH steers a loader, shell or interpreter"},
		},
		{
			name:      "references to secrets",
			documents: map[string]string{"p": `{"a":"${secret:x}","b":"Bearer ${secret:y#k}","c":"$${secret:z} and ${other}"}`},
			wrong:     []string{"p#/a: a reference to a secret", "p#/b: a reference to a secret"},
			next:      "-o json",
		},
		{
			name:      "escaped references become text",
			documents: map[string]string{"p": `{"c":"$${secret:z} and ${other}"}`},
			want:      []string{"C=${secret:z} and ${other}"},
		},
		{
			name:      "references kept as they stand",
			rules:     environRules{keepReferences: true},
			documents: map[string]string{"p": `{"a":"${secret:x}","c":"$${secret:z}"}`},
			want:      []string{"A=${secret:x}", "C=$${secret:z}"},
		},
		{
			name:      "references in json",
			rules:     environRules{json: true},
			documents: map[string]string{"p": `{"a":[{"k":"${secret:x}"}]}`},
			wrong:     []string{"p#/a/0/k: a reference to a secret"},
			next:      "-o json",
		},
		{
			name:      "references where the reader may ask for values",
			rules:     environRules{revealable: true},
			documents: map[string]string{"p": `{"a":"${secret:x}"}`},
			wrong:     []string{"p#/a: a reference to a secret"},
			next:      "--reveal",
		},
		{
			name:      "a revealed document is what it says",
			rules:     environRules{revealed: true},
			documents: map[string]string{"p": `{"a":"sk-1","b":"${secret:x} as text"}`},
			want:      []string{"A=sk-1", "B=${secret:x} as text"},
		},
		{
			name:      "secrets in the environment",
			documents: map[string]string{"p": `{"a":"${secret:x}","b":"Bearer ${secret:y#k}","n":1,"t":"$${secret:z}"}`},
			revealed:  map[string]string{"p": `{"a":{"z":[1],"y":true},"b":"Bearer k","n":1,"t":"${secret:z}"}`},
			want:      []string{`A={"y":true,"z":[1]} (secret)`, "B=Bearer k (secret)", "N=1", "T=${secret:z}"},
		},
		{
			name:      "secrets by file",
			rules:     environRules{byFile: true},
			documents: map[string]string{"p": `{"a":{"b":"${secret:x}"},"n":1}`},
			revealed:  map[string]string{"p": `{"a":{"b":"two\nlines\u0000"},"n":1}`},
			want:      []string{"A_B_FILE=two\nlines\x00 (secret)", "N=1"},
		},
		{
			name:      "secrets by file take up both names",
			rules:     environRules{byFile: true},
			documents: map[string]string{"p": `{"key":"${secret:x}","key-file":"/k","path":"${secret:y}"}`},
			revealed:  map[string]string{"p": `{"key":"cAn4ry","key-file":"/k","path":"cAn4ry"}`},
			wrong: []string{
				"p#/key, p#/key-file: more than one value would be KEY_FILE",
				"p#/path: PATH steers a loader, shell or interpreter",
			},
			next: "docs/run.md",
		},
		{
			name:      "a document with secrets as json",
			rules:     environRules{json: true, byFile: true},
			documents: map[string]string{"a/b": `{"k":["${secret:x}"],"t":"$${secret:z}"}`, "c": `{"n":1}`},
			revealed:  map[string]string{"a/b": `{"k":["sk-1"],"t":"${secret:z}"}`},
			want:      []string{`A_B_FILE={"k":["sk-1"],"t":"${secret:z}"} (secret)`, `C={"n":1}`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var documents []namedDocument
			for path, text := range c.documents {
				d := document(t, path, text)
				if known, ok := c.revealed[path]; ok {
					d.revealed = document(t, path, known).document
				}
				documents = append(documents, d)
			}
			slices.SortFunc(documents, func(a, b namedDocument) int { return strings.Compare(a.path, b.path) })
			found, err := c.rules.variables(documents)
			var got, wrong []string
			for _, v := range found {
				names := v.names()
				entry := names[len(names)-1] + "=" + v.value
				if v.secret {
					entry += " (secret)"
				}
				got = append(got, entry)
			}
			slices.Sort(got)
			next := ""
			if err != nil {
				f := asFailure(err)
				wrong, next = f.details, f.next
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("variables: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(c.wrong, wrong); diff != "" {
				t.Errorf("refusals: -want +got\n%s", diff)
			}
			if !strings.Contains(next, c.next) {
				t.Errorf("hint %q does not name %q", next, c.next)
			}
		})
	}
}

func TestMergeEnviron(t *testing.T) {
	environ := []string{"HOME=/home/x", "RPM=1", "EMPTY=", "KEY=mine", "CERT_FILE=/mine"}
	set := []variable{
		{name: "RPM", value: "600"}, {name: "EMPTY", value: "no"}, {name: "BURST", value: "20"},
		{name: "KEY", value: "/dev/fd/3", file: true}, {name: "CERT", value: "/dev/fd/4", file: true}, {name: "NEW", value: "/dev/fd/5", file: true},
	}
	for _, c := range []struct {
		override bool
		want     []string
	}{
		{false, []string{"HOME=/home/x", "RPM=1", "EMPTY=", "KEY=mine", "CERT_FILE=/mine", "BURST=20", "NEW_FILE=/dev/fd/5"}},
		{true, []string{"HOME=/home/x", "RPM=600", "EMPTY=no", "BURST=20", "KEY_FILE=/dev/fd/3", "CERT_FILE=/dev/fd/4", "NEW_FILE=/dev/fd/5"}},
	} {
		if diff := cmp.Diff(c.want, mergeEnviron(environ, set, c.override)); diff != "" {
			t.Errorf("override %v: -want +got\n%s", c.override, diff)
		}
	}
	if environ[1] != "RPM=1" {
		t.Error("the caller's environment was changed")
	}
}

func TestDocumentationListsTheNamesThatAreRefused(t *testing.T) {
	text, err := os.ReadFile("../../docs/run.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Names that are refused\n")
	section, _, closed := strings.Cut(section, "\n## ")
	if !found || !closed {
		t.Fatal("docs/run.md has no section about names that are refused")
	}
	var listed []string
	for i, quoted := range strings.Split(section, "`") {
		if i%2 == 1 && quoted != "--allow-env NAME" {
			listed = append(listed, quoted)
		}
	}
	slices.Sort(listed)
	want := slices.Sorted(slices.Values(append(slices.Clone(steeringPrefixes), steeringNames...)))
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("docs/run.md differs from the list in environ.go (-code +docs)\n%s", diff)
	}
}

func TestShellQuote(t *testing.T) {
	for text, want := range map[string]string{
		"plain-1.5":   "plain-1.5",
		"":            "''",
		"two words":   "'two words'",
		"it's":        `'it'\''s'`,
		"$(rm -rf /)": "'$(rm -rf /)'",
		"a\nb":        "'a\nb'",
		"http://x:1/": "http://x:1/",
		"~":           "'~'",
	} {
		if got := shellQuote(text); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", text, got, want)
		}
	}
}
