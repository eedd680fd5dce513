package secret

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func generate(t rapid.TB, g Generator) Fields {
	t.Helper()
	f, err := g.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func textOf(t rapid.TB, f Fields, name string) string {
	t.Helper()
	field, ok := f.Get(name)
	text, is := field.Text()
	if !ok || !is || field.Kind() != Text {
		t.Fatalf("there is no text %s", name)
	}
	return text
}

func TestGenerators(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Generator{Kind: rapid.SampledFrom([]GeneratorKind{GeneratePassword, GenerateHex, GenerateBase64, GenerateUUID, GenerateEd25519}).Draw(t, "kind")}
		field, length := "value", DefaultLength
		if g.Kind != GenerateUUID && g.Kind != GenerateEd25519 && rapid.Bool().Draw(t, "long") {
			length = rapid.SampledFrom([]int{16, 17, 31, 64, 256}).Draw(t, "length")
			g.Length = length
		}
		if g.Kind != GenerateEd25519 && rapid.Bool().Draw(t, "named") {
			field = "api_key"
			g.Field = field
		}
		f := generate(t, g)
		defer f.Wipe()
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z]{3,10}`), 0, 20).Draw(t, "words")
		if w := Check(f, Personal{words}); w != nil {
			t.Fatal(w)
		}
		if g.Kind == GenerateEd25519 {
			private, public := pairOf(t, f)
			if !private.(ed25519.PrivateKey).Public().(ed25519.PublicKey).Equal(public) {
				t.Fatal("the keys are no pair")
			}
			return
		}
		text := textOf(t, f, field)
		ok := false
		switch g.Kind {
		case GeneratePassword:
			ok = len(text) == length && kinds(text) == 4 && regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]+$`).MatchString(text)
		case GenerateHex:
			drawn, err := hex.DecodeString(text)
			ok = err == nil && len(drawn) == length
		case GenerateBase64:
			drawn, err := base64.StdEncoding.DecodeString(text)
			ok = err == nil && len(drawn) == length
		case GenerateUUID:
			ok = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(text)
		}
		if !ok || f.Len() != 1 {
			t.Fatalf("got %q", text)
		}
	})
}

func pairOf(t rapid.TB, f Fields) (private, public any) {
	t.Helper()
	privateBlock, _ := pem.Decode([]byte(textOf(t, f, PrivateKeyField)))
	publicBlock, _ := pem.Decode([]byte(textOf(t, f, PublicKeyField)))
	if privateBlock == nil || publicBlock == nil || privateBlock.Type != "PRIVATE KEY" || publicBlock.Type != "PUBLIC KEY" || f.Len() != 2 {
		t.Fatal("there is no PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(privateBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = x509.ParsePKIXPublicKey(publicBlock.Bytes); err != nil {
		t.Fatal(err)
	}
	return private, public
}

func TestGenerateRSA(t *testing.T) {
	f := generate(t, Generator{Kind: GenerateRSA})
	defer f.Wipe()
	private, public := pairOf(t, f)
	key := private.(*rsa.PrivateKey)
	if key.N.BitLen() != 4096 || !key.PublicKey.Equal(public) || Check(f, acme) != nil {
		t.Errorf("got %d bits", key.N.BitLen())
	}
}

// Every character is as likely as the others.
func TestPasswordsAreUnbiased(t *testing.T) {
	const draws = 400
	count := map[byte]float64{}
	for range draws {
		var text [250]byte
		if err := drawCharacters(rand.Reader, text[:]); err != nil {
			t.Fatal(err)
		}
		for _, c := range text {
			count[c]++
		}
	}
	expected := draws * 250.0 / float64(len(passwordCharacters))
	chi := 0.0
	for _, c := range []byte(passwordCharacters) {
		chi += (count[c] - expected) * (count[c] - expected) / expected
	}
	if len(count) != len(passwordCharacters) || chi > 150 { // of 65 degrees of freedom: once in a hundred million
		t.Errorf("%d characters, chi squared is %.0f", len(count), chi)
	}
}

func TestGeneratorCheck(t *testing.T) {
	for pointer, generators := range map[string][]Generator{
		"":                           {{Kind: GeneratePassword}, {Kind: GenerateHex, Length: 16}, {Kind: GenerateBase64, Length: 256, Field: "a.b"}, {Kind: GenerateUUID, Field: "id"}, {Kind: GenerateRSA}, {Kind: GenerateEd25519}},
		"/rotation/generator/kind":   {{}, {Kind: "rsa-1024"}},
		"/rotation/generator/length": {{Kind: GeneratePassword, Length: 15}, {Kind: GenerateHex, Length: 257}, {Kind: GenerateHex, Length: -1}, {Kind: GenerateUUID, Length: 32}, {Kind: GenerateRSA, Length: 32}},
		"/rotation/generator/field":  {{Kind: GenerateUUID, Field: "a/b"}, {Kind: GenerateRSA, Field: "value"}},
	} {
		for _, g := range generators {
			err := g.Check()
			var e *config.Error
			if e, _ = err.(*config.Error); pointer == "" && err != nil || pointer != "" && (e == nil || e.Pointer != pointer) { //nolint:errorlint // it is never wrapped
				t.Errorf("%+v: got %v", g, err)
			}
			if _, drawn := g.Generate(strings.NewReader("")); pointer != "" && config.KindOf(drawn) != config.KindBadRequest {
				t.Errorf("%+v draws: %v", g, drawn)
			}
		}
	}
}

// A source that is broken gives no secret at all.
func TestGenerateFromBrokenRandomness(t *testing.T) {
	for _, kind := range []GeneratorKind{GeneratePassword, GenerateHex, GenerateBase64, GenerateUUID} {
		for name, source := range map[string]func(n int) []byte{
			"zeros":   func(n int) []byte { return make([]byte, n) },
			"a cycle": func(n int) []byte { return bytes.Repeat([]byte{1, 2, 3}, n/3) },
			"ends":    func(int) []byte { return make([]byte, 3) },
		} {
			if f, err := (Generator{Kind: kind}).Generate(bytes.NewReader(source(1 << 20))); err == nil {
				t.Errorf("%s from %s: %q", kind, name, textOf(t, f, "value"))
			}
		}
		if _, err := (Generator{Kind: kind}).Generate(iotest.ErrReader(iotest.ErrTimeout)); err == nil {
			t.Errorf("%s from an error", kind)
		}
	}
}
