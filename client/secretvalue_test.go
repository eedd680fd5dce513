package client

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

const canary = "canary-7f3a"

// shows says whether a text shows the canary, in whatever dress.
func shows(text string) bool {
	numbers := strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]")
	for _, dress := range []string{canary, hex.EncodeToString([]byte(canary)), numbers, base64.StdEncoding.EncodeToString([]byte(canary))[:14]} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(dress)) {
			return true
		}
	}
	return false
}

// printed is a value in every way that a program may print it without meaning to.
func printed(value any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%20v", "%t", "%o", "%w"} {
		out[verb] = fmt.Sprintf(verb, value)
	}
	out["error"] = fmt.Errorf("trouble with %v: %w", value, errors.New("cause")).Error()
	text, err := json.Marshal(value)
	out["json"] = fmt.Sprint(string(text), err)
	text, err = xml.Marshal(value)
	out["xml"] = fmt.Sprint(string(text), err)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "value", value)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "value", value)
	out["slog"] = log.String()
	return out
}

func TestSecretsAreHidden(t *testing.T) {
	secret := newSecret(textKind, canary)
	type exported struct{ Key Secret }
	type unexported struct{ key Secret }
	version := RevealedVersion{Version: 3, Fields: map[string]Secret{"value": secret, "bytes": newSecret(bytesKind, canary), "json": newSecret(jsonKind, `{"a":"`+canary+`"}`)}}
	values := map[string]any{
		"value": secret, "pointer": &secret, "exported": exported{secret}, "unexported": unexported{secret},
		"pointer to exported": &exported{secret}, "map": map[string]Secret{"a": secret}, "key": map[Secret]int{secret: 1}, "slice": []Secret{secret},
		"any": []any{secret, &secret}, "version": version,
		"revealed": RevealedSecret{Path: "a", RevealedVersion: version, Previous: &version},
		"pair":     SecretPair{Current: version, Previous: &version},
	}
	for name, value := range values {
		for how, text := range printed(value) {
			if shows(text) {
				t.Errorf("%s by %s shows the value: %s", name, how, text)
			}
		}
	}
	// A gob knows nothing of it, or says so.
	for _, value := range []any{secret, exported{secret}, version} {
		var out bytes.Buffer
		_ = gob.NewEncoder(&out).Encode(value)
		if shows(out.String()) {
			t.Errorf("%T in a gob shows the value", value)
		}
	}
	if got := fmt.Sprintf("%s|%v|%+v", secret, exported{secret}, &secret); got != "[secret]|{[secret]}|[secret]" {
		t.Errorf("printed %s", got)
	}
	if text, err := json.Marshal(version.Fields); string(text) != `{"bytes":"[secret]","json":"[secret]","value":"[secret]"}` || err != nil {
		t.Errorf("encoded %s, %v", text, err)
	}
}

func TestRevealedDocumentIsHidden(t *testing.T) {
	document := Document{Data: []byte(`{"key":"` + canary + `"}`), Revision: 12, Secrets: map[string]int64{"db/main": 3}}
	for name, value := range map[string]any{"document": document, "pointer": &document, "slice": []Document{document}, "held": struct{ D Document }{document}} {
		for how, text := range printed(value) {
			// String answers to the verbs for text alone, and go vet to the others.
			if how != "%t" && how != "%o" && how != "%w" && shows(text) {
				t.Errorf("%s by %s shows the value: %s", name, how, text)
			}
		}
	}
	if text := document.String(); !strings.Contains(text, "12") || !strings.Contains(text, "db/main") {
		t.Errorf("a revealed document prints as %s", text)
	}
	document.Secrets = nil
	if text := must(json.Marshal(document)); !strings.Contains(string(text), base64.StdEncoding.EncodeToString(document.Data)) {
		t.Errorf("a document without secrets is encoded as %s", text)
	}
}

func TestSecretReveals(t *testing.T) {
	for _, test := range []struct {
		secret       Secret
		text, asJSON string
	}{
		{Secret{}, "", `""`},
		{newSecret(textKind, ""), "", `""`},
		{newSecret(textKind, `<"ä`), `<"ä`, `"<\"ä"`},
		{newSecret(bytesKind, "\x00\xff"), "\x00\xff", `"AP8="`},
		{newSecret(jsonKind, `{"a":1}`), `{"a":1}`, `{"a":1}`},
	} {
		if test.secret.Reveal() != test.text || string(test.secret.RevealBytes()) != test.text || string(test.secret.RevealJSON()) != test.asJSON {
			t.Errorf("revealed %q and %s, want %q and %s", test.secret.Reveal(), test.secret.RevealJSON(), test.text, test.asJSON)
		}
		if test.secret.IsZero() != (test.text == "") {
			t.Errorf("%q: zero %v", test.text, test.secret.IsZero())
		}
	}
	if one, other := newSecret(textKind, "a"+canary), newSecret(textKind, "a"+canary); one != other || newSecret(textKind, "a") == newSecret(bytesKind, "a") || newSecret(textKind, "a") == newSecret(textKind, "b") {
		t.Error("== does not compare values")
	}
}

func TestSecretDecodes(t *testing.T) {
	var out struct{ Text, Number, Object, Null, Absent Secret }
	out.Null = newSecret(textKind, "as it was")
	if err := json.Unmarshal([]byte(`{"text":"a\u00e4","number": 12,"object":{"a": [1]},"null":null}`), &out); err != nil {
		t.Fatal(err)
	}
	if got := []string{out.Text.Reveal(), out.Number.Reveal(), out.Object.Reveal(), out.Null.Reveal(), out.Absent.Reveal()}; strings.Join(got, "|") != `aä|12|{"a": [1]}|as it was|` {
		t.Errorf("decoded %q", got)
	}
	for _, text := range []string{`"canary`, ``, `"\uZZZZ"`} {
		if err := new(Secret).UnmarshalJSON([]byte(text)); text != "" && (err == nil || shows(err.Error())) {
			t.Errorf("%s gives %v", text, err)
		}
	}
}

// A value that does not decode is told of without the secret that is in it.
func TestUndecodableSecretIsHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reference := `"${secret:db#value}"`
		f := newFake(t, map[string]string{"a": `{"when":` + reference + `}`})
		f.putSecretQuietly("db", fakeSecret{current: 3})
		s := f.openWith(StoreOptions{Reveal: true}, "a")
		value := fakeValue("db", 3)
		_, errInt := Bind[struct{ When int }](s, "a")
		_, errTime := Bind[struct{ When refusing }](s, "a")
		_, errStrict := Bind[struct{}](s, "a", Strict())
		for _, err := range []error{errInt, errTime, errStrict} {
			wantError(t, err, "document a", "does not decode", "holds secrets")
			if strings.Contains(err.Error(), value) {
				t.Errorf("the error shows the value: %v", err)
			}
		}
		wantError(t, errInt, "string where int belongs (in When)")
	})
}

// refusing is a type whose error shows what it refuses, as time.Time's does.
type refusing struct{}

func (refusing) UnmarshalText(text []byte) error {
	return fmt.Errorf("%s is not what it should be", text)
}
