package secret

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fieldsOf makes fields of JSON texts.
func fieldsOf(t testing.TB, encoded []string, fields map[string]string) Fields {
	t.Helper()
	raw := map[string]json.RawMessage{}
	for name, text := range fields {
		raw[name] = json.RawMessage(text)
	}
	f, err := ParseFields(raw, encoded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Wipe)
	return f
}

// valueOf makes fields of one text.
func valueOf(t testing.TB, text string) Fields {
	t.Helper()
	return fieldsOf(t, nil, map[string]string{"value": quoted(t, text)})
}

func quoted(t testing.TB, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var acme = Personal{Words: []string{"acme-corp", "jane.doe@acme.example", "production", "providers/openai"}}

func TestStrongTexts(t *testing.T) {
	for name, text := range map[string]string{
		"OpenAI":                    "sk-proj-4rTq9ZLwXb2VnKc81HdYsF0eUaGm7JpRiO3tBxWv5QzNkEyC",
		"OpenAI, older":             "sk-Vb3nQ8xLz1TkYw7Rd5GhJm0PcAeU2sFoXi9BtNqKyW6EvZrC",
		"Anthropic":                 "sk-ant-api03-Zp8_QmX2vLr-Ty7wKd1HnBs5EfGc9UjAo4RiVtYxMb3Nq0SlPhWzKeJgDuCa6FvXyTrLmQwBn8Hs2Zk5Pd-RtVxAA",
		"Google":                    "AIzaSyD4fK9qLx7Wm2Zt8Rn1Vb6Yc3Hp5Jg0Ue",
		"GitHub":                    "ghp_t7KmR2xVqW9zLb4NcYd8FhJs1PgAe6Uo3TiX",
		"GitHub, fine-grained":      "github_pat_11ABX7QYA0kT5vWm9zRq2L_nHc8JdFs4GpUe6Yx1BtKiVo3MwZrNaXhQlEyPuCgDb7SjTfI2O5A9",
		"Slack":                     "xoxb-17653672481-198746983231-pdFwzAVmKhVWEKJwkhTYx6Cd",
		"Slack webhook":             "https://hooks.slack.com/services/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",
		"Hugging Face":              "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",
		"AWS access key id":         "AKIAZ5QX3VN7KLWT2MRB",
		"AWS secret access key":     "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",
		"Azure OpenAI, hexadecimal": "9f3c1e7ab25d4806f1c9e3507d8ab264",
		"Azure OpenAI":              "7FqTbW2vRm9NzYp4LdHj8FsGc1UeAi6OtBn3VkQrEx5KwZy0MJQQJ99BCACYeBjFXJ3w3AAABACOGt7Ld",
		"Groq":                      "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",
		"SendGrid":                  "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",
		"Stripe":                    "sk_live_51H8xKqTbWvRmNzYpLdHjFsGcUeAiOtBnVkQrE2x",
		"JWT":                       "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhcHAiLCJpYXQiOjE3MDAwMDAwMDB9.q7TfK2xVmW9zLb4NcYd8FhJs1PgRe6Uo3TiXaBkQrEw",
		"bearer":                    "Bearer kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK",
		"UUID":                      "3f8a1c72-9e4b-4d06-b5f1-7ac20e93d864",
		"UUID in capitals":          "3F8A1C72-9E4B-4D06-B5F1-7AC20E93D864",
		"32 bytes in hexadecimal":   "8c1f3a97e6b2d4058f7c1a3be9d620457b3f8e1c6a9d0254e7f1b83c5a6d9e20",
		"16 bytes in base64":        "q7TfK2xVmW9zLb4NcYd8Fg==",
		"32 bytes in base64url":     "q7TfK2xVmW9z-Lb4Nc_Yd8FhJs1PgRe6Uo3TiXaBkQs",
		"password":                  "xK7!vQ2m#Lz9@Tb4",
		"password of a manager":     "Wm9z-Rq2L.nHc8~JdFs4Gp",
		"passphrase":                "Correct horse Battery staple 9 pelican ottoman",
		"passphrase in lower case":  "glacier pelican ottoman verdict bagpipe mosaic turbine kelp orchid zephyr walnut",
		"Greek":                     "Ψλ7κρ!Τωβμξ9ζφΔηγ",
		"PostgreSQL":                "postgres://app:kT7vWm9zRq2LnHc8JdFs@db.internal:5432/orders?sslmode=require",
		"PostgreSQL, not escaped":   "postgres://app:kT7v%Wm9z/Rq2L#nHc8JdFs@db.internal:5432/orders",
		"Redis":                     "rediss://:kT7vWm9zRq2LnHc8JdFs4GpU@cache.internal:6380/0",
		"MongoDB":                   "mongodb+srv://app:Wm9zRq2LnHc8JdFs4GpU@cluster0.x7k2q.mongodb.net/?retryWrites=true",
		"MySQL":                     "app:Wm9zRq2LnHc8JdFs4GpU@tcp(db.internal:3306)/orders",
		"libpq":                     "host=db.internal port=5432 user=app password=Wm9zRq2LnHc8JdFs4GpU dbname=orders",
		"Azure storage":             "DefaultEndpointsProtocol=https;AccountName=orders;AccountKey=q7TfK2xVmW9z+Lb4Nc/Yd8FhJs1PgRe6Uo3TiXaBkQrEw5ZyGtHnMj0DvPlSbCiKfXoUqYaR2T8eW4uI7O6Qw==;EndpointSuffix=core.windows.net",
		"basic authentication":      base64.StdEncoding.EncodeToString([]byte("app:Wm9zRq2LnHc8JdFs4GpU")),
		"service account":           `{"type":"service_account","project_id":"acme","private_key_id":"12","private_key":` + quoted(t, ed25519PEM(t)) + `,"client_email":"a@b","token_uri":"https://oauth2.example/token"}`,
		"variables":                 "# keys\nOPENAI_API_KEY=sk-4rTq9ZLwXb2VnKc81HdYsF0eUaGm7JpRiO3t\nREGION=eu\n",
		"a line end behind it":      "kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK\n",
		"RSA of 2048 bits":          rsaPEM(t, 2048),
		"P-256":                     ecPEM(t, elliptic.P256()),
		"Ed25519":                   ed25519PEM(t),
		"certificate and key":       "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + ed25519PEM(t),
	} {
		if w := Check(valueOf(t, text), acme); w != nil {
			t.Errorf("%s: %s", name, w)
		}
	}
}

func TestWeakTexts(t *testing.T) {
	for text, reason := range map[string]string{
		"":                    "empty",
		"changeme":            "fewer than 16",
		"hunter2":             "fewer than 16",
		"xK7!vQ2m#Lz9@T":      "fewer than 16",
		"password123456789A!": "common words",
		"P@ssw0rd!P@ssw0rd!":  "repeats itself",
		"aaaaaaaaaaaaaaaa":    "repeats itself",
		"aaaaaaaaaaaaaaaaA1":  "repeated characters",
		"abcdefghijklmnop1A":  "usual order",
		"1234567890123456Aa":  "guesses",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789": "usual order",
		"0123456789abcdef0123456789abcdef":                               "repeats itself",
		"qwertyuiopASDFGHJKL1":                                           "common words",
		"1qaz2wsx3edc4rfv5tgb":                                           "three of",
		"Az 31.12.2024-01.06.2025":                                       "a date",
		"1qaz@WSX3edc$RFV5tgb":                                           "keyboard",
		"Summer2024!Summer2024!":                                         "repeats itself",
		"acme-corp-12345678":                                             "belong to",
		"Acme-Corp-2024!!":                                               "belong to",
		"AcmeCorpProduction2026!":                                        "belong to",
		"jane.doe@acme.example1":                                         "belong to",
		"Tr0ub4dor&3Tr0ub4dor&3":                                         "repeats itself",
		"your-api-key-goes-here-1A":                                      "placeholder",
		"sk-REPLACE_ME_with_a_real_key_0123456789abcdef":                 "placeholder",
		"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":                       "placeholder",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx":                       "repeats itself",
		"00000000000000000000000000000000":                               "repeats itself",
		"00000000-0000-4000-8000-000000000000":                           "UUID with a pattern",
		"a1b2c3d4-58cc-11ee-8c99-0242ac120002":                           "not drawn at random",
		"zxcvbnmasdfghjklqwertyuiop":                                     "three of",
		"mysupersecretpasswordfortheproductiondatabase":                  "common words",
		"MySuperSecretPassword2026":                                      "common words",
		base64.StdEncoding.EncodeToString([]byte("passwordpassword1")):   "when decoded",
		base64.StdEncoding.EncodeToString([]byte("dragon")):              "when decoded",
		hex.EncodeToString([]byte("correcthorse12345")):                  "when decoded",
		"postgres://app:app@db.internal:5432/orders":                     "password in the URL",
		"postgres://postgres:Password123456789!@db/orders":               "password in the URL",
		"app:secret@tcp(db:3306)/orders":                                 "password in the URL",
		"host=db user=app password=hunter2 dbname=orders":                "credential among its pairs",
		"https://example.com/a/path/that/is/long":                        "placeholder",
		"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJyb290In0.":   "without a signature",
		`{"password":"letmein"}`:                                         "named like a credential",
		rsaPEM(t, 1024):                                                  "too few bits",
		ecPEM(t, elliptic.P224()):                                        "too few bits",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n": "cannot be read",
		strings.Repeat("kT7v!", 8):                                       "repeats itself",
		strings.Repeat("correct horse ", 1000):                           "repeats itself",
	} {
		w := Check(valueOf(t, text), acme)
		if w == nil {
			t.Errorf("%.60q is let in", text)
			continue
		}
		if w.Field != "value" || !strings.Contains(w.String(), reason) {
			t.Errorf("%.60q: want %q in: %s", text, reason, w)
		}
		if len(text) > 5 && quotes(w.String(), text) {
			t.Errorf("%.60q is quoted: %s", text, w)
		}
	}
}

// quotes says whether the message holds a part of the text that no reason has
// by itself.
func quotes(message, text string) bool {
	for _, word := range []string{"password", "lower", "characters", "common", "secret", "placeholder", "example", "order", "-----BEGIN", "PRIVATE KEY", "private", "RSA", "Password", "Secret"} {
		text = strings.ReplaceAll(text, word, "\x00")
	}
	for i := 0; i+6 <= len(text); i++ {
		if strings.Contains(message, text[i:i+6]) {
			return true
		}
	}
	return false
}

func TestStrengthOfFields(t *testing.T) {
	const strong = "kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK"
	noise := make([]byte, 32)
	_, _ = rand.Read(noise)
	for name, c := range map[string]struct {
		fields  map[string]string
		encoded []string
		weak    string // the field, "" for none
	}{
		"companions are not looked at":     {map[string]string{"password": `"` + strong + `"`, "username": `"app"`, "host": `"db"`, "Port": `"5432"`, "client_id": `"web"`, "access-key-id": `"x"`}, nil, ""},
		"a weak one beside them":           {map[string]string{"password": `"hunter2"`, "username": `"app"`}, nil, "password"},
		"the first by name":                {map[string]string{"b": `"hunter2"`, "a": `"hunter2"`}, nil, "a"},
		"a URL with a weak password":       {map[string]string{"url": `"https://app:app@example.com"`}, nil, "url"},
		"a URL with a strong password":     {map[string]string{"url": `"https://app:` + strong + `@example.com"`}, nil, ""},
		"numbers and booleans pass":        {map[string]string{"rpm": `600`, "stream": `true`}, nil, ""},
		"an object without credentials":    {map[string]string{"value": `{"model":"x","retries":[1,"two"]}`}, nil, ""},
		"an object with a weak one":        {map[string]string{"value": `{"a":{"api_key":"abc"}}`}, nil, "value"},
		"an object with a strong one":      {map[string]string{"value": `{"a":{"api_key":"` + strong + `","key_id":"7","token_url":"x"}}`}, nil, ""},
		"a list under a credential's name": {map[string]string{"value": `{"tokens":["` + strong + `","abc"]}`}, nil, "value"},
		"a field named like a credential":  {map[string]string{"api_keys": `["abc"]`}, nil, "api_keys"},
		"random bytes":                     {map[string]string{"value": `"` + base64.StdEncoding.EncodeToString(noise) + `"`}, []string{"value"}, ""},
		"few bytes":                        {map[string]string{"value": `"` + base64.StdEncoding.EncodeToString(noise[:15]) + `"`}, []string{"value"}, "value"},
		"zero bytes":                       {map[string]string{"value": `"` + base64.StdEncoding.EncodeToString(make([]byte, 32)) + `"`}, []string{"value"}, "value"},
		"bytes that are a text":            {map[string]string{"value": `"` + base64.StdEncoding.EncodeToString([]byte("password1password1")) + `"`}, []string{"value"}, "value"},
	} {
		w := Check(fieldsOf(t, c.encoded, c.fields), acme)
		got := ""
		if w != nil {
			got = w.Field
		}
		if got != c.weak {
			t.Errorf("%s: got %q, %v", name, got, w)
		}
	}
}

// Keys of every length and alphabet pass, and so do they with a prefix.
func TestDrawnKeysPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := make([]byte, rapid.IntRange(16, 64).Draw(t, "bytes"))
		_, _ = rand.Read(key)
		encode := rapid.SampledFrom([]func([]byte) string{hex.EncodeToString, base64.StdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString}).Draw(t, "encoding")
		text := rapid.SampledFrom([]string{"", "sk-", "sk-ant-api03-", "ghp_", "Bearer ", "tenant.prod."}).Draw(t, "prefix") + encode(key)
		words := rapid.SliceOfN(rapid.StringMatching(`[a-z]{3,8}`), 0, 8).Draw(t, "words")
		f := TextFields(map[string][]byte{"value": []byte(text)})
		defer f.Wipe()
		if w := Check(f, Personal{words}); w != nil {
			t.Fatalf("%s: %s", text, w)
		}
	})
}

// Whatever a person adds to what is weak by repeating it stays weak.
func TestRepetitionMakesNothingStronger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.StringMatching(`[a-zA-Z0-9]{1,7}`).Draw(t, "unit")
		f := TextFields(map[string][]byte{"value": []byte(strings.Repeat(unit, rapid.IntRange(3, 50).Draw(t, "times")))})
		defer f.Wipe()
		if Check(f, Personal{}) == nil {
			t.Fatalf("%q repeated is let in", unit)
		}
	})
}

// The longest values, made to be slow, cost no more than a request may.
func TestCheckIsBounded(t *testing.T) {
	random := make([]byte, 24<<10)
	_, _ = rand.Read(random)
	for name, text := range map[string]string{
		"one part":     hex.EncodeToString(random),
		"many parts":   strings.Repeat(strings.Repeat("ab1", 11)+" ", 1900),
		"disguises":    strings.Repeat("4@8({[<369!1|0$5+7%2", 3000),
		"keyboard":     strings.Repeat("qazwsxedc", 7000),
		"braces":       strings.Repeat("[", 60000),
		"pairs":        strings.Repeat("key=1;", 10000),
		"credentials":  strings.Repeat("key=kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK;", 1700),
		"PEM":          strings.Repeat("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", 900),
		"PEM, cut off": strings.Repeat("-----BEGIN CERTIFICATE-----\n", 2200),
		"members":      "[" + strings.Repeat(`{"key":"kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK"},`, 1400) + `""]`,
		"colons":       strings.Repeat("://a:b@", 9000),
	} {
		fields := TextFields(map[string][]byte{"value": []byte(text)})
		start, done := time.Now(), &effort{}
		judge{words: personalWords(acme), done: done}.field(fields.list[0])
		if most := maxParts * (2*maxCandidates + 3); done.guesses > most { // some 20 µs each
			t.Errorf("%s: %d guesses", name, done.guesses)
		}
		t.Logf("%s: %d guesses, %s", name, done.guesses, time.Since(start))
		fields.Wipe()
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"", "changeme", "kT7vWm9zRq2LnHc8JdFs4GpUe6Yx1BtK", "postgres://a:b@c/d", "a=b;c=d", "-----BEGIN PRIVATE KEY-----\nMCo=\n-----END PRIVATE KEY-----", `{"key":["a"]}`, "日本語", "\xff\x00", "3f8a1c72-9e4b-4d06-b5f1-7ac20e93d864", "K\u0130\u212a"} {
		f.Add([]byte(seed), "acme-corp")
	}
	f.Fuzz(func(t *testing.T, text []byte, word string) {
		if len(text) > MaxSecretBytes {
			return
		}
		whole := string(text)
		fields := TextFields(map[string][]byte{"value": text})
		defer fields.Wipe()
		w := Check(fields, Personal{[]string{word}})
		switch {
		case w == nil && len(strings.TrimSpace(whole)) < 16:
			t.Fatalf("%q is let in", whole)
		case w != nil && (len(w.Reasons) == 0 || w.Field != "value"):
			t.Fatalf("%q: there is no reason", whole)
		}
	})
}

func rsaPEM(t testing.TB, size int) string {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, size)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func ecPEM(t testing.TB, curve elliptic.Curve) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func ed25519PEM(t testing.TB) string {
	t.Helper()
	fields, err := Generator{Kind: GenerateEd25519}.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	field, _ := fields.Get(PrivateKeyField)
	text, _ := field.Text()
	return text
}
