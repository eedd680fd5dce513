package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// claim is a row about a claim of an otherwise good token.
type claim struct {
	name   string
	claims map[string]any
	cause  string // empty: the token is taken
}

func TestClaimsOfTokens(t *testing.T) {
	w := newWorld(t)
	now := w.clock.time()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	many := func(n int) []any {
		var all []any
		for i := range n {
			all = append(all, fmt.Sprint("v", i))
		}
		return all
	}
	crowd := map[string]any{}
	for i := range 64 {
		crowd[fmt.Sprint("claim", i)] = "x"
	}
	for _, row := range []claim{
		{"a good token", nil, ""},
		{"the other audience", map[string]any{"aud": "api"}, ""},
		{"an audience among others", map[string]any{"aud": []string{"else", "api"}}, ""},
		{"expired, within leeway", map[string]any{"exp": at(-29 * time.Second)}, ""},
		{"nbf ahead, within leeway", map[string]any{"nbf": at(30 * time.Second)}, ""},
		{"iat ahead, within leeway", map[string]any{"iat": at(30 * time.Second)}, ""},
		{"nbf is zero", map[string]any{"nbf": 0}, ""},
		{"no iat", map[string]any{"iat": nil}, ""},
		{"a fraction of a second", map[string]any{"exp": float64(at(time.Minute)) + 0.5}, ""},
		{"64 values", map[string]any{"groups": many(64)}, ""},
		{"what is too deep is left out", map[string]any{"a": map[string]any{"b": map[string]any{"c": 1}}}, ""},

		{"no exp", map[string]any{"exp": nil}, "exp is missing"},
		{"exp is text", map[string]any{"exp": fmt.Sprint(at(time.Minute))}, "exp is missing or no time"},
		{"exp is zero", map[string]any{"exp": 0}, "expired"},
		{"exp is negative", map[string]any{"exp": -1}, "exp is missing or no time"},
		{"exp beyond the calendar", map[string]any{"exp": 1e18}, "exp is missing or no time"},
		{"expired", map[string]any{"exp": at(-30 * time.Second)}, "expired"},
		{"nbf in the future", map[string]any{"nbf": at(31 * time.Second)}, "nbf is in the future"},
		{"nbf is text", map[string]any{"nbf": "now"}, "nbf"},
		{"iat in the future", map[string]any{"iat": at(31 * time.Second)}, "iat is in the future"},
		{"iat is text", map[string]any{"iat": "now"}, "iat is no time"},
		{"no aud", map[string]any{"aud": nil}, "aud is missing"},
		{"aud is empty", map[string]any{"aud": ""}, "aud is missing"},
		{"aud is an empty array", map[string]any{"aud": []string{}}, "aud is missing"},
		{"aud is null", map[string]any{"aud": json.RawMessage("null")}, "aud is missing"},
		{"aud holds a number", map[string]any{"aud": []any{"llm-config", 1}}, "aud is missing"},
		{"aud is too long an array", map[string]any{"aud": append(many(64), "llm-config")}, "aud is missing"},
		{"wrong aud", map[string]any{"aud": "else"}, "another audience"},
		{"wrong aud in an array", map[string]any{"aud": []string{"else", "llm-config2"}}, "another audience"},
		{"aud in capitals", map[string]any{"aud": "LLM-CONFIG"}, "another audience"},
		{"no iss", map[string]any{"iss": nil}, "not in the file"},
		{"wrong iss", map[string]any{"iss": "https://else.example.com"}, "not in the file"},
		{"iss with a slash more", map[string]any{"iss": w.issuer.URL + "/"}, "not in the file"},
		{"iss in capitals", map[string]any{"iss": strings.ToUpper(w.issuer.URL)}, "not in the file"},
		{"iss is an array", map[string]any{"iss": []string{w.issuer.URL}}, "not in the file"},
		{"no sub", map[string]any{"sub": nil}, "sub is missing"},
		{"sub is empty", map[string]any{"sub": ""}, "sub is missing"},
		{"sub is a number", map[string]any{"sub": 1}, "sub is missing"},
		{"sub is too long", map[string]any{"sub": strings.Repeat("s", 257)}, "sub is too long"},
		{"sub with a line feed", map[string]any{"sub": "a\nb"}, "control character"},
		{"sub with NUL", map[string]any{"sub": "a\x00"}, "control character"},
		{"sub that turns the line around", map[string]any{"sub": "a\u202Eb"}, "control character"},
		{"65 values", map[string]any{"groups": many(65)}, "65 values"},
		{"a value of more than 1 KiB", map[string]any{"x": strings.Repeat("x", 1025)}, "too long"},
		{"a name of more than 256 bytes", map[string]any{strings.Repeat("n", 257): 1}, "name that is too long"},
		{"65 claims", crowd, "too many claims"},
		{"a claim twice by two ways", map[string]any{"a.b": 1, "a": map[string]any{"b": 2}}, "two claims have one name"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &world{T: t, clock: w.clock, issuer: w.issuer, verifier: w.verifier}
			token := w.good("user-1", row.claims)
			if row.cause == "" {
				w.allow(token)
				return
			}
			w.deny(config.KindUnauthenticated, row.cause, token)
		})
	}
}

func TestTextsOfClaims(t *testing.T) {
	w := newWorld(t)
	good := fmt.Sprintf(`"iss":%q,"aud":"api","exp":%d`, w.issuer.URL, w.clock.time().Add(time.Minute).Unix())
	for text, cause := range map[string]string{
		`{` + good + `,"sub":"a"}`:                          "",
		`{` + good + `,"sub":"a","sub":"b"}`:                "a key is there twice",
		`{` + good + `,"sub":"a","x":{"y":1,"y":2}}`:        "a key is there twice",
		`{` + good + `,"sub":"a","\u0073ub":"b"}`:           "a key is there twice",
		`{` + good + `,"sub":"a","iss":"x"}`:                "a key is there twice",
		`{` + good + `,"sub":"\ud800"}`:                     "claims",
		`{` + good + `,"sub":"a","n":12345678901234567890}`: "claims",
		"{" + good + ",\"sub\":\"a\xff\"}":                  "UTF-8",
		`{` + good + `,"Sub":"a"}`:                          "sub is missing",
		`{` + good + `,"sub":"a"} x`:                        "claims",
		`[` + `]`:                                           "not a JSON object",
		`"` + `"`:                                           "not a JSON object",
		`eyJhbGciOiJub25lIn0.e30.`:                          "claims",
		`{` + good + `,"sub":"a","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`: "claims",
	} {
		if token := w.issuer.SignText(text); cause == "" {
			w.allow(token)
		} else {
			w.deny(config.KindUnauthenticated, cause, token)
		}
	}
}

func TestSignaturesOfTokens(t *testing.T) {
	w := newWorld(t)
	rsa, stranger := w.issuer.Key("RS256"), &issuertest.Key{ID: w.issuer.Key("RS256").ID, Algorithm: "RS256", Private: issuertest.RSA(2048, 4)}
	der, err := x509.MarshalPKIXPublicKey(rsa.Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	evil := &issuertest.Key{ID: "evil", Algorithm: "RS256", Private: issuertest.RSA(2048, 4)}
	evilServer := issuertest.NewAt(t, w.clock.time)
	evilServer.Publish(evil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.issuer.Publish(&issuertest.Key{ID: "weak", Algorithm: "RS256", Private: issuertest.RSA(1024, 0)})
	w.issuer.Publish(&issuertest.Key{ID: "p384", Algorithm: "ES384", Private: p384})
	twin := &issuertest.Key{ID: "twin", Algorithm: "RS256", Private: issuertest.RSA(2048, 4)}
	w.issuer.Publish(twin)
	with := issuertest.With
	set := issuertest.Header
	as := func(algorithm string, key *issuertest.Key) issuertest.Option {
		return with(&issuertest.Key{ID: key.ID, Algorithm: algorithm, Private: key.Private})
	}
	for _, row := range []struct {
		name    string
		options []issuertest.Option
		cause   string
	}{
		{"RS256", nil, ""},
		{"ES256", []issuertest.Option{with(w.issuer.Key("ES256"))}, ""},
		{"EdDSA", []issuertest.Option{with(w.issuer.Key("EdDSA"))}, ""},
		{"no typ", []issuertest.Option{set("typ", nil)}, ""},
		{"typ at+jwt", []issuertest.Option{set("typ", "at+jwt")}, ""},
		{"a header nobody knows", []issuertest.Option{set("x", "y")}, ""},

		{"alg none", []issuertest.Option{set("alg", "none")}, "never taken"},
		{"alg None", []issuertest.Option{set("alg", "None")}, "never taken"},
		{"alg is empty", []issuertest.Option{set("alg", "")}, "never taken"},
		{"no alg", []issuertest.Option{set("alg", nil)}, "never taken"},
		{"alg is an array", []issuertest.Option{set("alg", []string{"RS256"})}, "never taken"},
		{"HS256 by the public key in PEM", []issuertest.Option{set("alg", "HS256"), issuertest.Secret(publicText)}, "never taken"},
		{"HS256 by the public key in DER", []issuertest.Option{set("alg", "HS256"), issuertest.Secret(der)}, "never taken"},
		{"an HMAC said to be RS256", []issuertest.Option{issuertest.Secret(publicText)}, "signature is wrong"},
		{"ES256 by an RSA key's id", []issuertest.Option{with(w.issuer.Key("ES256")), set("kid", rsa.ID)}, errUnknownKey.Error()},
		{"RS256 by an EC key's id", []issuertest.Option{set("kid", w.issuer.Key("ES256").ID)}, errUnknownKey.Error()},
		{"RS256 said to be ES256", []issuertest.Option{set("alg", "ES256")}, errUnknownKey.Error()},
		{"PS256 by a key that is for RS256", []issuertest.Option{as("PS256", rsa)}, "settings do not take"},
		{"RS512, which the settings do not take", []issuertest.Option{as("RS512", rsa)}, "settings do not take"},
		{"ES384, which the settings do not take", []issuertest.Option{with(w.issuer.Key("ES384"))}, "settings do not take"},
		{"ES256 by a key on another curve", []issuertest.Option{as("ES256", w.issuer.Key("ES384"))}, errUnknownKey.Error()},
		{"an RSA key of 1024 bits", []issuertest.Option{with(&issuertest.Key{ID: "weak", Algorithm: "RS256", Private: issuertest.RSA(1024, 0)})}, errUnknownKey.Error()},
		{"another's key under a known id", []issuertest.Option{with(stranger)}, "signature is wrong"},
		{"another's key under its own id", []issuertest.Option{with(evil)}, errUnknownKey.Error()},
		{"another's key within the header", []issuertest.Option{with(evil), set("jwk", evil.Public())}, "header has jwk"},
		{"another's keys at jku", []issuertest.Option{with(evil), set("jku", evilServer.URL+issuertest.PathKeys)}, "header has jku"},
		{"another's certificate at x5u", []issuertest.Option{with(evil), set("x5u", evilServer.URL+"/x")}, "header has x5u"},
		{"another's certificate within the header", []issuertest.Option{with(evil), set("x5c", []string{"AA"})}, "header has x5c"},
		{"a header that is critical", []issuertest.Option{set("crit", []string{"exp"}), set("exp", 1)}, "header has crit"},
		{"a payload without base64", []issuertest.Option{set("crit", []string{"b64"}), set("b64", false)}, "header has"},
		{"compressed", []issuertest.Option{set("zip", "DEF")}, "header has zip"},
		{"a token within a token", []issuertest.Option{set("cty", "JWT")}, "header has cty"},
		{"typ of something else", []issuertest.Option{set("typ", "logout+jwt")}, "typ"},
		{"typ is a number", []issuertest.Option{set("typ", 1)}, "typ"},
		{"kid is a number", []issuertest.Option{set("kid", 1)}, "kid"},
		{"kid is empty", []issuertest.Option{set("kid", "")}, "kid"},
		{"kid is a path", []issuertest.Option{set("kid", "../../dev/null")}, errUnknownKey.Error()},
		{"kid is SQL", []issuertest.Option{set("kid", "' OR 1=1 --")}, errUnknownKey.Error()},
		{"kid is too long", []issuertest.Option{set("kid", strings.Repeat("k", 257))}, "kid"},
		{"no kid, and one key fits", []issuertest.Option{with(w.issuer.Key("ES256")), set("kid", nil)}, ""},
		{"no kid, and two keys fit", []issuertest.Option{with(twin), set("kid", nil)}, errUnknownKey.Error()},
		{"alg twice", []issuertest.Option{issuertest.HeaderText(`{"alg":"RS256","alg":"none","kid":"` + rsa.ID + `"}`)}, "a key is there twice"},
		{"ALG beside alg", []issuertest.Option{issuertest.HeaderText(`{"ALG":"none","alg":"none"}`)}, "never taken"},
		{"a header that is no object", []issuertest.Option{issuertest.HeaderText(`"RS256"`)}, "not a JSON object"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &world{T: t, clock: w.clock, issuer: w.issuer, verifier: w.verifier}
			token := w.good("user-1", nil, row.options...)
			if row.cause == "" {
				w.allow(token)
				return
			}
			w.deny(config.KindUnauthenticated, row.cause, token)
		})
	}
	if asked := evilServer.Asked(issuertest.PathKeys) + evilServer.Asked("/x"); asked != 0 {
		t.Errorf("an address in a token was asked %d times", asked)
	}
}

func TestTextsOfTokens(t *testing.T) {
	w := newWorld(t)
	token := w.good("user-1", nil)
	w.allow(token)
	parts := strings.Split(token, ".")
	flipped := "A" + parts[2][1:]
	if flipped == parts[2] {
		flipped = "B" + parts[2][1:]
	}
	other := strings.Split(w.good("user-2", nil), ".")
	if n := len(parts[2]); n%4 != 2 {
		t.Fatalf("a signature of %d characters has no bits to spare", n)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, parts[2][len(parts[2])-1])
	spare := parts[2][:len(parts[2])-1] + alphabet[last+1:last+2]
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, text := range map[string]string{
		"nothing":                       "",
		"dots":                          "..",
		"no signature":                  parts[0] + "." + parts[1] + ".",
		"alg none, no signature":        none + "." + parts[1] + ".",
		"alg none, another's signature": none + "." + parts[1] + "." + parts[2],
		"two parts":                     parts[0] + "." + parts[1],
		"four parts":                    token + "." + parts[2],
		"five parts, as encrypted ones": parts[0] + ".a.b.c.d",
		"another's claims":              parts[0] + "." + other[1] + "." + parts[2],
		"another's signature":           parts[0] + "." + parts[1] + "." + other[2],
		"a signature changed":           parts[0] + "." + parts[1] + "." + flipped,
		"a signature in another way":    parts[0] + "." + parts[1] + "." + spare,
		"a signature cut":               parts[0] + "." + parts[1] + "." + parts[2][:40],
		"padded":                        parts[0] + "=." + parts[1] + "." + parts[2],
		"a line feed":                   token + "\n",
		"a line feed within":            parts[0] + ".\n" + parts[1] + "." + parts[2],
		"a space before":                " " + token,
		"base64 that is not url's":      strings.ReplaceAll(parts[0], "e", "+") + "." + parts[1] + "." + parts[2],
		"as a JSON serialization":       `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"more than 16 KiB":              w.good("user-1", map[string]any{"a": []string{strings.Repeat("a", 1000), strings.Repeat("b", 16<<10)}}),
		"dots only, very many":          strings.Repeat(".", 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, clock: w.clock, issuer: w.issuer, verifier: w.verifier}
			cause := ""
			if len(text) > maxToken {
				cause = "at most 16384 are read"
			}
			w.deny(config.KindUnauthenticated, cause, text)
		})
	}
}

func TestLooksLikeJWT(t *testing.T) {
	for text, want := range map[string]bool{
		"a.b.c": true, "eyJ.e30.x-_9": true,
		"": false, "a": false, "a.b": false, "a.b.": false, ".b.c": false, "a..c": false, "a.b.c.d": false, "a.b.c=": false, "a.b.c ": false,
		"llmc_0123456789abcdef_secret": false, "a.b.ç": false,
	} {
		if got := LooksLikeJWT(text); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
	looks := false
	if n := testing.AllocsPerRun(100, func() { looks = LooksLikeJWT("eyJhbGciOiJSUzI1NiJ9.e30.c2ln") }); n != 0 || !looks {
		t.Errorf("%v allocations", n)
	}
}

func TestMaxAge(t *testing.T) {
	w := newWorld(t)
	w.use("  max_age: 1m")
	ago := func(d time.Duration) map[string]any { return map[string]any{"iat": w.clock.time().Add(-d).Unix()} }
	w.allow(w.good("a", ago(time.Minute)))
	c := w.allow(w.good("b", ago(0)))
	if want := w.clock.time().Add(90 * time.Second); !c.Expires.Equal(want) {
		t.Errorf("it ends at %s, not with max_age and leeway at %s", c.Expires, want)
	}
	w.deny(config.KindUnauthenticated, "older than max_age", w.good("a", ago(90*time.Second)))
	w.deny(config.KindUnauthenticated, "iat is missing", w.good("a", map[string]any{"iat": nil}))
}

func TestOneIssuersKeysAreNotAnothers(t *testing.T) {
	w := newWorld(t)
	other := issuertest.NewAt(t, w.clock.time)
	second := strings.NewReplacer("issuers:\n", "", "name: corp", "name: other", w.issuer.URL, other.URL, w.issuer.CA, other.CA).Replace(w.text("", bindings))
	w.useText(w.text("", bindings) + second)
	theirs := other.Key("RS256")
	w.allow(other.Sign(other.Claims("a", nil)))
	w.issuer.Publish(&issuertest.Key{ID: "mine", Algorithm: "RS256", Private: issuertest.RSA(2048, 4)})
	w.deny(config.KindUnauthenticated, "", w.good("a", nil, issuertest.With(&issuertest.Key{ID: "theirs", Algorithm: "RS256", Private: theirs.Private})))
	w.deny(config.KindUnauthenticated, "", other.Sign(w.issuer.Claims("a", nil), issuertest.Header("kid", w.issuer.Key("ES256").ID)))
	mine, others := w.allow(w.good("x", nil)), w.allow(other.Sign(other.Claims("x", nil)))
	if mine.ID == others.ID || mine.ID != "corp:x" || others.ID != "other:x" {
		t.Errorf("the same sub of two issuers is %q and %q", mine.ID, others.ID)
	}
}

func TestNoRedirectToWhatATokenNames(t *testing.T) {
	w := newWorld(t)
	elsewhere := issuertest.NewAt(t, w.clock.time)
	w.issuer.Answer(issuertest.PathKeys, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, elsewhere.URL+issuertest.PathKeys, http.StatusFound)
	})
	w.deny(config.KindUnavailable, "redirects to another host", w.good("a", nil))
	if elsewhere.Asked(issuertest.PathKeys) != 0 {
		t.Error("the redirect was followed")
	}
}
