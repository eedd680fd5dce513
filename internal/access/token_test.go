package access_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/access"
)

func mustToken(t testing.TB) access.IssuedToken {
	t.Helper()
	token, err := access.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokensReadBack(t *testing.T) {
	pattern := regexp.MustCompile("^" + access.TokenPattern + "$")
	rapid.Check(t, func(t *rapid.T) {
		random := rapid.SliceOfN(rapid.Byte(), 42, 42).Draw(t, "random")
		token, err := access.NewToken(bytes.NewReader(random))
		if err != nil {
			t.Fatal(err)
		}
		if !pattern.MatchString(token.Reveal()) {
			t.Errorf("%s is not of the documented form", token.Reveal())
		}
		id, hash, ok := access.ParseToken(token.Reveal())
		if !ok || id != token.ID || hash != token.Hash {
			t.Errorf("ParseToken = %s, %x, %v; want %s, %x", id, hash, ok, token.ID, token.Hash)
		}
	})
}

// The form is in secret scanners' hands and never changes.
func TestTokenForm(t *testing.T) {
	random := make([]byte, 42)
	for i := range random {
		random[i] = byte(i)
	}
	token, err := access.NewToken(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	const secret = "bifqydiob4ibceqtcqkrmfyydenbwha5dypsaijcemsckjrhfauq"
	const want = "llmc_aaaqeayeaudaocaj_" + secret + "vzifbua"
	if token.Reveal() != want {
		t.Errorf("the token is %s, want %s", token.Reveal(), want)
	}
	if want := sha256.Sum256([]byte(secret)); token.Hash != want {
		t.Errorf("the hash is %x, want that of the secret half", token.Hash)
	}
}

func TestWhatIsNoToken(t *testing.T) {
	text := mustToken(t).Reveal()
	for i := range len(text) {
		for _, c := range []byte{'a', '7', 'A', '1', '_', '-', 0, 0xff} {
			if altered := text[:i] + string([]byte{c}) + text[i+1:]; altered != text {
				refuse(t, altered)
			}
		}
		refuse(t, text[:i])
		refuse(t, text[:i]+text[i+1:])
		if i > 0 && text[i] != text[i-1] {
			refuse(t, text[:i-1]+text[i:i+1]+text[i-1:i]+text[i+1:])
		}
	}
	for _, altered := range []string{"", "llmc_", text + "a", text + " ", " " + text, strings.ToUpper(text), "Bearer " + text} {
		refuse(t, altered)
	}
}

// A check that is right does not make a token of what is not of the form.
func TestTheCheckAloneMakesNoToken(t *testing.T) {
	good := mustToken(t).Reveal()[:74]
	if !parses(checked(good)) {
		t.Fatal("this test checks otherwise than the product")
	}
	for _, altered := range []string{
		good[:6] + "A" + good[7:],
		good[:6] + "1" + good[7:],
		good[:73] + "_",
		good[:21] + "a" + good[22:],
		"LLMC_" + good[5:],
		good[:20] + "__" + good[22:],
	} {
		refuse(t, checked(altered))
	}
}

// checked is text with its check behind it.
func checked(text string) string {
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text)))
	return text + strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString(sum), "="))
}

func parses(text string) bool {
	_, _, ok := access.ParseToken(text)
	return ok
}

func refuse(t *testing.T, text string) {
	t.Helper()
	if id, _, ok := access.ParseToken(text); ok {
		t.Errorf("ParseToken(%q) takes it for the token %s", text, id)
	}
}

func TestATokenDoesNotShowItself(t *testing.T) {
	token := mustToken(t)
	secret := token.Reveal()[22:]
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&shown, verb+"\n", token)
		fmt.Fprintf(&shown, verb+"\n", &token)
		fmt.Fprintf(&shown, verb+"\n", struct{ T access.IssuedToken }{token})
	}
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "token", token, "group", []access.IssuedToken{token})
	slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "token", token)
	if err := json.NewEncoder(&shown).Encode(map[string]any{"token": token}); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(token); err != nil || string(text) != `"`+token.String()+`"` {
		t.Errorf("in JSON the token is %s, %v", text, err)
	}
	for _, part := range []string{secret, secret[:20], fmt.Sprintf("%x", secret)} {
		if strings.Contains(shown.String(), part) {
			t.Errorf("the secret is shown in\n%s", shown.String())
		}
	}
	if got, want := token.String(), "llmc_"+token.ID+"_…"; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
}

func TestNoTokenWithoutRandomness(t *testing.T) {
	if token, err := access.NewToken(bytes.NewReader(make([]byte, 41))); err == nil {
		t.Errorf("NewToken makes %s of too little", token)
	} else if errors.Unwrap(err) == nil {
		t.Errorf("the error %v hides its cause", err)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("llmc_aaaqeayeaudaocaj_bifqydiob4ibceqtcqkrmfyydenbwha5dypsaijcemsckjrhfauqvzifbua")
	f.Add("llmc_")
	f.Add(strings.Repeat("a", 81))
	f.Fuzz(func(t *testing.T, text string) {
		id, _, ok := access.ParseToken(text)
		if ok && (!regexp.MustCompile("^"+access.TokenPattern+"$").MatchString(text) || !strings.HasPrefix(text, "llmc_"+id+"_")) {
			t.Errorf("ParseToken(%q) = %s", text, id)
		}
	})
}

func BenchmarkParseToken(b *testing.B) {
	text := mustToken(b).Reveal()
	b.ReportAllocs()
	for b.Loop() {
		access.ParseToken(text)
	}
}
