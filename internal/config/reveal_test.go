package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hidden are the secrets that these tests reveal.
var hidden = map[string]Secret{
	"db#user":     {Value: "svc", Text: "svc", Texts: true},
	"db#password": {Value: `p"${secret:db#user}`, Text: `p"${secret:db#user}`, Texts: true}, // a value is never resolved again
	"db#port":     {Value: 5432.0, Text: "5432", Texts: true},
	"tls#value":   {Value: map[string]any{"cert": "c", "n": nil}},
}

func uncover(r Reference) (Secret, error) {
	secret, ok := hidden[r.Path.String()+"#"+r.Fragment]
	if !ok {
		return secret, Errorf(KindSecretUnavailable, "not there")
	}
	return secret, nil
}

func TestReveal(t *testing.T) {
	cases := []struct{ name, doc, want, targets string }{
		{"nothing", `{"a":1}`, `{"a":1}`, ""},
		{"alone", `{"a":"${secret:db#user}"}`, `{"a":"svc"}`, "/a ${secret:db#user}"},
		{"alone, of its type", `{"a":"${secret:db#port}","b":"${secret:tls}"}`, `{"a":5432,"b":{"cert":"c","n":null}}`, "/a ${secret:db#port}, /b ${secret:tls}"},
		{"within a text", `{"a":"x${secret:db#user}:${secret:db#port}y"}`, `{"a":"xsvc:5432y"}`, "/a ${secret:db#user}, /a ${secret:db#port}"},
		{"a value is no reference", `{"a":"${secret:db#password}"}`, `{"a":"p\"${secret:db#user}"}`, "/a ${secret:db#password}"},
		{"deep", `{"a":[1,{"b":["${secret:db#user}"]}]}`, `{"a":[1,{"b":["svc"]}]}`, "/a/1/b/0 ${secret:db#user}"},
		{"twice is named once", `{"a":"${secret:db#user}","b":"${secret:db#user}"}`, `{"a":"svc","b":"svc"}`, "/a ${secret:db#user}"},
		{"escaped", `{"a":"$${secret:db#user}","b":"x$${secret:db#user}${secret:db#user}"}`, `{"a":"${secret:db#user}","b":"x${secret:db#user}svc"}`, "/b ${secret:db#user}"},
		{"what looks like another reference is text", `{"a":"${config:x} ${secret:db#user} ${other:y} $${config:z}"}`, `{"a":"${config:x} svc ${other:y} $${config:z}"}`, "/a ${secret:db#user}"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			doc := mustDecode(t, JSON, c.doc)
			got, err := Reveal(doc, 1<<20, uncover)
			if err != nil || string(got.Canonical()) != c.want {
				t.Errorf("%s, %v, want %s", got.Canonical(), err, c.want)
			}
			targets, err := SecretTargets(doc)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, l := range targets {
				texts = append(texts, l.Pointer.String()+" "+l.Reference.String())
			}
			if got := strings.Join(texts, ", "); got != c.targets {
				t.Errorf("targets are %s, want %s", got, c.targets)
			}
			if string(doc.Canonical()) != string(mustDecode(t, JSON, c.doc).Canonical()) {
				t.Error("the document itself was changed")
			}
		})
	}
}

func TestWhatCannotBeRevealed(t *testing.T) {
	cases := []struct {
		name, doc, pointer string
		kind               Kind
	}{
		{"missing", `{"a":{"b":"${secret:nowhere}"}}`, "", KindSecretUnavailable},
		{"an object within a text", `{"a":["x ${secret:tls}"]}`, "/a/0", KindInvalidReference},
		{"not closed", `{"a":"${secret:db"}`, "/a", KindInvalidReference},
		{"no path", `{"a":"${secret:}"}`, "/a", KindInvalidReference},
		{"too much", `{"a":["${secret:db#password}","${secret:db#password}"]}`, "/a/1", KindTooLarge},
	}
	for _, c := range cases {
		_, err := Reveal(mustDecode(t, JSON, c.doc), 24, uncover)
		var e *Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Pointer != c.pointer {
			t.Errorf("%s: %v, want %s at %s", c.name, err, c.kind, c.pointer)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%+v", err), `p"`) {
			t.Errorf("%s: the error shows a value: %v", c.name, err)
		}
	}
	if _, err := SecretTargets(mustDecode(t, JSON, `{"a":"${secret:db"}`)); KindOf(err) != KindInvalidReference {
		t.Errorf("targets of a broken reference: %v", err)
	}
}

func TestSecretPaths(t *testing.T) {
	paths, err := SecretPaths(mustDecode(t, JSON, `{"a":"${secret:b#x}${secret:a}","b":["${secret:b#y}","$${secret:c}","${config:d}"]}`))
	if err != nil || !slices.Equal(paths, []Path{MustPath("a"), MustPath("b")}) {
		t.Errorf("%v, %v", paths, err)
	}
}

// Whatever a text holds, revealing replaces its references and nothing else: cut
// at the references, the rest is what it was, but for escapes.
func TestRevealLeavesTheRestAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "$", "{", "}", "${", "$${secret:x}", "${secret:db#user}", "${config:x}", " ", "é", "$$"}), 1, 12).Draw(t, "pieces")
		text := strings.Join(pieces, "")
		if strings.Contains(strings.ReplaceAll(text, "$${secret:", ""), "$${secret:") || strings.Contains(text, "$$${secret:") {
			return // dollars that pieces put together
		}
		want := strings.ReplaceAll(text, "$${secret:", "\x00")
		want = strings.ReplaceAll(want, "${secret:db#user}", "svc")
		want = strings.ReplaceAll(want, "\x00", "${secret:")
		got, err := Reveal(NewDocument(map[string]any{"t": text}), 1<<20, uncover)
		if err != nil {
			t.Fatal(err)
		}
		if value := got.root["t"]; value != want {
			t.Fatalf("%q becomes %q, want %q", text, value, want)
		}
	})
}
