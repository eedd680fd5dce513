package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestParseFields(t *testing.T) {
	f := fieldsOf(t, []string{"raw", "empty"}, map[string]string{
		"text": `"a \"b\" \u00e9 \ud83d\ude00 \n\/"`, "none": `""`, "raw": `"AP8B"`, "empty": `""`, "number": ` 1.50 `, "truth": "true", "object": `{ "b": [1, null], "a": "x" }`, "list": `[ ]`,
	})
	if got := strings.Join(f.Names(), " "); got != "empty list none number object raw text truth" {
		t.Errorf("names: %s", got)
	}
	if got := f.Base64(); !slices.Equal(got, []string{"empty", "raw"}) || f.Len() != 8 {
		t.Errorf("base64: %v", got)
	}
	for name, want := range map[string]struct {
		kind       FieldKind
		bytes      string
		json, text string
	}{
		"text":   {Text, "a \"b\" é 😀 \n/", `"a \"b\" é 😀 \n/"`, "a \"b\" é 😀 \n/"},
		"none":   {Text, "", `""`, ""},
		"raw":    {Bytes, "\x00\xff\x01", `"AP8B"`, "AP8B"},
		"empty":  {Bytes, "", `""`, ""},
		"number": {JSON, "1.5", "1.5", "1.5"},
		"truth":  {JSON, "true", "true", "true"},
		"object": {JSON, `{"a":"x","b":[1,null]}`, `{"a":"x","b":[1,null]}`, "-"},
		"list":   {JSON, "[]", "[]", "-"},
	} {
		field, ok := f.Get(name)
		text, is := field.Text()
		if !is {
			text = "-"
		}
		if !ok || field.Kind() != want.kind || string(field.Value().Reveal()) != want.bytes || string(field.JSON()) != want.json || text != want.text {
			t.Errorf("%s: got %d, %q, %s, %q", name, field.Kind(), field.Value().Reveal(), field.JSON(), text)
		}
	}
	if _, ok := f.Get("other"); ok {
		t.Error("a field that is not there")
	}
	field, _ := f.Get("text")
	f.Wipe()
	f.Wipe()
	if _, ok := field.Text(); ok || string(field.JSON()) != "null" || field.Value().Len() != 0 {
		t.Error("it is still there after the wipe")
	}
}

func TestParseFieldsRefuses(t *testing.T) {
	many := map[string]string{}
	for i := range MaxFields + 1 {
		many[fmt.Sprint("f", i)] = "1"
	}
	one := func(text string) map[string]string { return map[string]string{"value": text} }
	long := strings.Repeat("x", MaxSecretBytes)
	for name, c := range map[string]struct {
		fields  map[string]string
		encoded []string
		kind    config.Kind
		pointer string
	}{
		"none":                     {nil, nil, config.KindBadRequest, "/fields"},
		"too many":                 {many, nil, config.KindTooLarge, "/fields"},
		"null":                     {one("null"), nil, config.KindBadRequest, "/fields/value"},
		"nothing":                  {one(""), nil, config.KindBadRequest, "/fields/value"},
		"no JSON":                  {one("canary"), nil, config.KindBadRequest, "/fields/value"},
		"text behind":              {one(`"a" canary`), nil, config.KindBadRequest, "/fields/value"},
		"a string without end":     {one(`"canary`), nil, config.KindBadRequest, "/fields/value"},
		"an end that is escaped":   {one(`"canary\"`), nil, config.KindBadRequest, "/fields/value"},
		"half a pair":              {one(`"canary\ud800"`), nil, config.KindBadRequest, "/fields/value"},
		"the other half":           {one(`"canary\udc00"`), nil, config.KindBadRequest, "/fields/value"},
		"two first halves":         {one(`"canary\ud800\ud800"`), nil, config.KindBadRequest, "/fields/value"},
		"an unknown escape":        {one(`"canary\x"`), nil, config.KindBadRequest, "/fields/value"},
		"a short escape":           {one(`"canary\u12"`), nil, config.KindBadRequest, "/fields/value"},
		"no UTF-8":                 {one("\"canary\xff\""), nil, config.KindBadRequest, "/fields/value"},
		"a noncharacter":           {one(`"canary\uffff"`), nil, config.KindBadRequest, "/fields/value"},
		"a control character":      {one("\"canary\n\""), nil, config.KindBadRequest, "/fields/value"},
		"a name twice":             {one(`{"canary":1,"canary":2}`), nil, config.KindBadRequest, "/fields/value"},
		"an inexact number":        {one("9007199254740993"), nil, config.KindBadRequest, "/fields/value"},
		"too deep":                 {one(strings.Repeat("[", 17) + strings.Repeat("]", 17)), nil, config.KindTooLarge, "/fields/value"},
		"no base64":                {one(`"canary!"`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 of the other kind": {one(`"-_-_"`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 without its end":   {one(`"AP8"`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 with rest bits":    {one(`"AP9="`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 with line breaks":  {one(`"AP8B\nAP8B"`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 that is no string": {one(`12`), []string{"value"}, config.KindBadRequest, "/fields/value"},
		"base64 of another field":  {one(`"AP8B"`), []string{"canary"}, config.KindBadRequest, "/base64"},
		"base64 twice":             {one(`"AP8B"`), []string{"value", "value"}, config.KindBadRequest, "/base64"},
		"too many names of base64": {one(`"AP8B"`), make([]string, 65), config.KindTooLarge, "/base64"},
		"a name that is none":      {map[string]string{"canary/x": "1"}, nil, config.KindBadRequest, "/fields"},
		"an empty name":            {map[string]string{"": "1"}, nil, config.KindBadRequest, "/fields"},
		"a long name":              {map[string]string{strings.Repeat("x", 65): "1"}, nil, config.KindBadRequest, "/fields"},
		"a name with a tilde":      {map[string]string{"a~b": "null"}, nil, config.KindBadRequest, "/fields/a~0b"},
		"too long":                 {one(`"` + long + `"`), nil, config.KindTooLarge, "/fields"},
		"too long together":        {map[string]string{"a": `"` + long[:MaxSecretBytes/2] + `"`, "b": `"` + long[:MaxSecretBytes/2] + `"`}, nil, config.KindTooLarge, "/fields"},
		"far too long":             {one(`["` + strings.Repeat(long, 5) + `"]`), nil, config.KindTooLarge, "/fields/value"},
		"a byte order mark":        {one("\ufeff1"), nil, config.KindBadRequest, "/fields/value"},
	} {
		raw := map[string]json.RawMessage{}
		for name, text := range c.fields {
			raw[name] = json.RawMessage(text)
		}
		_, err := ParseFields(raw, c.encoded)
		var e *config.Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Pointer != c.pointer {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if strings.Contains(fmt.Sprintf("%+v", *e), "canary") {
			t.Errorf("%s: the error quotes it: %+v", name, *e)
		}
		if e.Kind == config.KindTooLarge && (e.Limit == 0 || e.Actual <= e.Limit) {
			t.Errorf("%s: %d over %d", name, e.Actual, e.Limit)
		}
	}
	whole := fieldsOf(t, nil, one(`"`+long[:MaxSecretBytes-len(`{"b":[],"f":{"value":""}}`)]+`"`))
	if n := whole.encodedBytes(); n != MaxSecretBytes {
		t.Errorf("the longest has %d bytes", n)
	}
}

func TestEncode(t *testing.T) {
	f := fieldsOf(t, []string{"b", "d"}, map[string]string{"a": `"x"`, "b": `"AP8B"`, "c": `{"y":1}`, "d": `"AAAA"`})
	text := f.Encode()
	if got := strings.TrimRight(string(text), " "); got != `{"b":["b","d"],"f":{"a":"x","b":"AP8B","c":{"y":1},"d":"AAAA"}}` || len(text)%64 != 0 {
		t.Errorf("got %q", text)
	}
	got, err := DecodeFields(text)
	if err != nil || !bytes.Equal(text, make([]byte, len(text))) {
		t.Errorf("%v, left behind %q", err, text)
	}
	if again := got.Encode(); !bytes.Equal(again, f.Encode()) {
		t.Errorf("got %q", again)
	}
	if text := (Fields{}).Encode(); len(text) != 64 {
		t.Errorf("no fields: %q", text)
	}
}

func TestDecodeFieldsRefuses(t *testing.T) {
	for _, text := range []string{
		``, `{}`, `{"b":[],"f":{}`, `{"b":[],"f":{}}x`, `{"b":["a"],"f":{}}`, `{"b":["a"],"f":{"a":"!"}}`, `{"b":[],"f":{"b":1,"a":2}}`, `{"b":[],"f":{"a":1,"a":2}}`, `{"b":[],"f":{"a":canary}}`, `{"b":[],"f":{"a":"canary}}`,
		`{"b":[],"f":{"a":[}}`, `{"b":[],"f":{"a":1,}}`, `{"b":[],"f":{"a/b":1}}`, `{"b":["a",],"f":{"a":""}}`, `{"b":["a" "c"],"f":{}}`, `{"b":[`, `{"b":["`, `{"b":[],"f":{"a"`, `{"b":[],"f":{"a":`, `{"b":["a"],"f":{"a":1}}`,
	} {
		given := []byte(text)
		f, err := DecodeFields(given)
		if err == nil || f.Len() > 0 || strings.Contains(err.Error(), "canary") || !bytes.Equal(given, make([]byte, len(given))) {
			t.Errorf("%s: got %v, %v, left behind %q", text, f.Names(), err, given)
		}
	}
}

func TestOnly(t *testing.T) {
	f := fieldsOf(t, nil, map[string]string{"a": `"x"`, "b": `"y"`})
	other, _ := f.Get("a")
	only := f.Only("b")
	if b, ok := only.Get("b"); !ok || only.Len() != 1 || string(b.Value().Reveal()) != "y" || other.Value().Reveal() != nil {
		t.Errorf("got %v", only.Names())
	}
	if only.Only("c").Len() != 0 || only.Encode() == nil {
		t.Error("a field that is not there")
	}
}

func TestTextFields(t *testing.T) {
	given := map[string][]byte{"b": []byte("text"), "a": {0xff, 0}}
	f := TextFields(given)
	defer f.Wipe()
	a, _ := f.Get("a")
	b, _ := f.Get("b")
	if a.Kind() != Bytes || b.Kind() != Text || string(b.Value().Reveal()) != "text" || string(given["b"]) != "\x00\x00\x00\x00" {
		t.Errorf("got %d, %d, left behind %q", a.Kind(), b.Kind(), given["b"])
	}
}

// What encoding/json makes of a string is what we make of it, and all fields
// come back from their encoding.
func TestFieldsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, encoded := map[string]json.RawMessage{}, []string{}
		want := map[string]string{}
		for name, kind := range rapid.MapOfN(rapid.StringMatching(`[a-zA-Z0-9][a-z~._@+=-]{0,6}`), rapid.IntRange(0, 2), 1, 8).Draw(t, "fields") {
			switch kind {
			case 0:
				want[name] = rapid.StringOf(rapid.RuneFrom([]rune("aé😀\"\\\n\t\x00\x7f\u2028 <>&/"))).Draw(t, "text")
				raw[name], _ = json.Marshal(want[name])
			case 1:
				want[name] = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
				raw[name], _ = json.Marshal(base64.StdEncoding.EncodeToString([]byte(want[name])))
				encoded = append(encoded, name)
			case 2:
				want[name] = rapid.SampledFrom([]string{"1", "true", "-0.5", `{"a":[{},"}\""]}`, "[]"}).Draw(t, "json")
				raw[name] = json.RawMessage(want[name])
			}
		}
		f, err := ParseFields(raw, encoded)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeFields(f.Encode())
		if err != nil {
			t.Fatal(err)
		}
		for _, fields := range []Fields{f, got} {
			for name, text := range want {
				if field, ok := fields.Get(name); !ok || string(field.Value().Reveal()) != text {
					t.Fatalf("%s: got %q, want %q", name, field.Value().Reveal(), text)
				}
			}
			fields.Wipe()
		}
	})
}

func FuzzParseFields(f *testing.F) {
	for _, seed := range []string{`"a"`, `"\u00e9\ud83d\ude00"`, `{"a":[1,null]}`, `1e3`, `null`, `"\ud800"`, ` "AP8B" `} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, encoded bool) {
		names := []string{"value"}[:map[bool]int{true: 1}[encoded]]
		fields, err := ParseFields(map[string]json.RawMessage{"value": bytes.Clone(text)}, names)
		if err != nil {
			if kind := config.KindOf(err); kind != config.KindBadRequest && kind != config.KindTooLarge {
				t.Fatal(err)
			}
			return
		}
		field, _ := fields.Get("value")
		var want string
		if field.Kind() == Text && (json.Unmarshal(text, &want) != nil || want != string(field.Value().Reveal())) {
			t.Fatalf("%q is read as %q", text, field.Value().Reveal())
		}
		if !json.Valid(field.JSON()) {
			t.Fatalf("%q goes out as %q", text, field.JSON())
		}
		again, err := DecodeFields(fields.Encode())
		if err != nil || !bytes.Equal(again.Encode(), fields.Encode()) {
			t.Fatalf("%q does not come back: %v", text, err)
		}
	})
}

func FuzzDecodeFields(f *testing.F) {
	for _, seed := range []string{`{"b":["b"],"f":{"a":"x","b":"AP8B","c":{"y":1}}}  `, `{"b":[],"f":{}}`, `{"b":[],"f":{"a":[1,"]"]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fields, err := DecodeFields(text)
		if err != nil {
			return
		}
		again, err := DecodeFields(fields.Encode())
		if err != nil || !bytes.Equal(again.Encode(), fields.Encode()) {
			t.Fatal("it does not come back")
		}
	})
}

func TestOver(t *testing.T) {
	drawn := TextFields(map[string][]byte{"password": []byte("new")})
	kept := TextFields(map[string][]byte{"password": []byte("old"), "user": []byte("svc")})
	old, _ := kept.Get("password")
	all := drawn.Over(kept)
	if names := all.Names(); len(names) != 2 || names[0] != "password" || names[1] != "user" {
		t.Fatalf("fields are %v", names)
	}
	password, _ := all.Get("password")
	user, _ := all.Get("user")
	if string(password.Value().Reveal()) != "new" || string(user.Value().Reveal()) != "svc" {
		t.Error("the values are others")
	}
	if old.Value().Reveal() != nil {
		t.Error("what was left out is not wiped")
	}
	all.Wipe()
	if user.Value().Reveal() != nil {
		t.Error("what was taken over is not wiped")
	}
}
