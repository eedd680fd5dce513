package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sketch writes pieces down: texts in quotes, references as they stand.
func sketch(pieces []piece) string {
	var all []string
	for _, p := range pieces {
		switch r := p.reference; r.Kind {
		case "":
			all = append(all, fmt.Sprintf("%q", p.text))
		default:
			all = append(all, fmt.Sprintf("%s(%s %s)", r.Kind, r.Path, r.Fragment))
		}
	}
	return strings.Join(all, " ")
}

func TestParseText(t *testing.T) {
	longest := strings.Repeat("a", MaxPathBytes)
	for text, want := range map[string]string{
		"":                                 "",
		"plain":                            `"plain"`,
		"${config:a}":                      `config(a )`,
		"${config:a#}":                     `config(a )`,
		"${config:gateway/eu-1#/models/0":  "",
		"${config:gateway/eu-1#/models/0}": `config(gateway/eu-1 /models/0)`,
		"${config:a#/x/}":                  `config(a /x/)`,
		"${config:a#/}":                    `config(a /)`,
		"${config:a#/b~1c/~0}":             `config(a /b~1c/~0)`,
		"${config:a#/b c.d#é}":             `config(a /b c.d#é)`,
		"${config:a#/${x}":                 `config(a /${x)`,
		"${secret:a}":                      `secret(a value)`,
		"${secret:a#value}":                `secret(a value)`,
		"${secret:a/b#api.key-1}":          `secret(a/b api.key-1)`,
		"Bearer ${secret:a}!":              `"Bearer " secret(a value) "!"`,
		"${config:a}${config:b}":           `config(a ) config(b )`,
		"x${config:a}y${secret:b}z":        `"x" config(a ) "y" secret(b value) "z"`,
		"}${config:a}}":                    `"}" config(a ) "}"`,
		"{${config:a}":                     `"{" config(a )`,
		"${${config:a}":                    `"${" config(a )`,
		"${config:" + longest + "}":        "config(" + longest + " )",

		// A dollar makes text of a reference, and leaves the one to a secret for later.
		"$${config:a}":             `"${config:" "a}"`,
		"$${config:":               `"${config:"`,
		"$${secret:a}":             `"$${secret:" "a}"`,
		"$${secret:":               `"$${secret:"`,
		"$$${config:a}":            `"$" "${config:" "a}"`,
		"$$${secret:a}":            `"$$${secret:" "a}"`,
		"$${config:${config:a}}":   `"${config:" config(a ) "}"`,
		"$${config:a} ${config:a}": `"${config:" "a} " config(a )`,
		"${config:a}$${config:a}":  `config(a ) "${config:" "a}"`,
		"$${secret:${secret:a}}":   `"$${secret:" secret(a value) "}"`,
		"$${secret:${config:a}":    `"$${secret:" config(a )`,

		// Every other ${ is text.
		"${env:HOME} ${x} ${ $${x} $$": `"${env:HOME} ${x} ${ $${x} $$"`,
		"${Config:a} ${ config:a}":     `"${Config:a} ${ config:a}"`,
		"${config} ${configs:a}":       `"${config} ${configs:a}"`,
		"{config:a} $ {secret:a}":      `"{config:a} $ {secret:a}"`,
		"${x${secret:a}":               `"${x" secret(a value)`,

		"${config:":                  "",
		"x ${secret:a":               "",
		"${config:}":                 "",
		"${config:#/a}":              "",
		"${config:/a}":               "",
		"${config:a/}":               "",
		"${config:../a}":             "",
		"${config: a}":               "",
		"${config:a b}":              "",
		"${config:${config:a}}":      "",
		"${config:" + longest + "a}": "",
		"${config:a#b}":              "",
		"${config:a#/b~2}":           "",
		"${config:a#/b~}":            "",
		"${secret:}":                 "",
		"${secret:#value}":           "",
		"${secret:a#}":               "",
		"${secret:a#/value}":         "",
		"${secret:a#b/c}":            "",
		"${secret:a#-b}":             "",
		"${secret:a#b#c}":            "",
		"${config:a} ${config:":      "",
		"$${config:a} ${secret:":     "",
	} {
		pieces, fault := parseText(text)
		switch refused := want == "" && text != ""; {
		case refused && (fault == nil || fault.Kind != KindInvalidReference || fault.Next == ""):
			t.Errorf("%.40q: got %s, %v", text, sketch(pieces), fault)
		case !refused && (fault != nil || sketch(pieces) != want):
			t.Errorf("%.40q: want %s, got %s, %v", text, want, sketch(pieces), fault)
		}
	}
}

// checkCut checks what holds for every string: what it is cut into is what it was, and
// each reference is printed as one that reads the same.
func checkCut(t testing.TB, text string) {
	t.Helper()
	pieces, fault := parseText(text)
	if fault != nil {
		if fault.Kind != KindInvalidReference || len(pieces) > 0 {
			t.Fatalf("%q: %v, %v", text, pieces, fault)
		}
		return
	}
	var whole strings.Builder
	for _, p := range pieces {
		if p.reference.Kind == "" && p.text == openConfig {
			whole.WriteString("$")
		}
		whole.WriteString(p.text)
		if p.reference.Kind != "" {
			checkPrinted(t, p.reference)
		}
	}
	if whole.String() != text {
		t.Fatalf("%q became %q", text, whole.String())
	}
}

func checkPrinted(t testing.TB, r Reference) {
	t.Helper()
	printed := r.String()
	again, fault := parseText(printed)
	if fault != nil || len(again) != 1 || again[0].reference != r || again[0].reference.String() != printed {
		t.Fatalf("%+v is printed as %q, which reads %s, %v", r, printed, sketch(again), fault)
	}
}

func FuzzReference(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		checkCut(t, text)
		checkCut(t, "${config:"+text+"}")
		checkCut(t, "$"+text)
	})
}

func TestReferenceString(t *testing.T) {
	for text, want := range map[string]string{
		"${config:a}": "${config:a}", "${config:a#}": "${config:a}", "${config:a#/b}": "${config:a#/b}",
		"${secret:a}": "${secret:a}", "${secret:a#value}": "${secret:a}", "${secret:a#key}": "${secret:a#key}",
	} {
		pieces, fault := parseText(text)
		if fault != nil || len(pieces) != 1 || pieces[0].reference.String() != want {
			t.Errorf("%s: want %s, got %s, %v", text, want, sketch(pieces), fault)
		}
	}
	// A field of this name is none of a document.
	if got := (Reference{ReferConfig, MustPath("a"), SecretField}).String(); got != "${config:a#value}" {
		t.Errorf("got %s", got)
	}
}

func TestReferences(t *testing.T) {
	doc := mustJSON(t, `{
		"b": ["${config:y#/a}", {"k/l": "and ${secret:s} and ${config:x}"}, 1, null, true],
		"a": {"": "${config:self#/b}", "~": "$${config:none}"},
		"${config:none}": "a name is no text",
		"c": "${secret:s#key}", "d": "plain", "e": {"f": []}
	}`)
	references, err := References(doc)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range references {
		got = append(got, l.Pointer.String()+" "+l.Reference.String())
	}
	want := []string{"/a/ ${config:self#/b}", "/b/0 ${config:y#/a}", "/b/1/k~1l ${secret:s}", "/b/1/k~1l ${config:x}", "/c ${secret:s#key}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	targets, err := ConfigTargets(MustPath("self"), doc)
	if diff := cmp.Diff("[x y]", fmt.Sprint(targets)); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for _, text := range []string{`{}`, `{"a":"$${x}"}`} {
		references, err := References(mustJSON(t, text))
		targets, targetsErr := ConfigTargets(MustPath("self"), mustJSON(t, text))
		if references != nil || err != nil || targets != nil || targetsErr != nil {
			t.Errorf("%s: got %v, %v, %v, %v", text, references, err, targets, targetsErr)
		}
	}
	if references, err := References(Document{}); references != nil || err != nil {
		t.Errorf("the absent document: got %v, %v", references, err)
	}
}

func TestReferencesRefuses(t *testing.T) {
	// Of several faults it is the first in the text, every time.
	doc := mustJSON(t, `{"c":"${config:-}","b/":{"x":["${config:a}","${config:a"],"y":"${secret:"},"a":"${config:a}"}`)
	for range 20 {
		references, err := References(doc)
		_, targetsErr := ConfigTargets(MustPath("self"), doc)
		for _, err := range []error{err, targetsErr} {
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindInvalidReference || e.Pointer != "/b~1/x/1" || references != nil {
				t.Fatalf("got %v, %v", references, err)
			}
		}
	}
}
