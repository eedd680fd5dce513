package identity

import (
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
)

func benchmarkJWT(b *testing.B, algorithm string, cached bool) {
	i := issuertest.New(b)
	v := New(Options{HTTP: i.Client})
	file, err := ParseFile([]byte("issuers: [{name: corp, issuer: '" + i.URL + "', audience: [llm-config], bindings: [{when: {team: x}, tenant: a}, {when: {}, tenant: a, roles: [viewer]}]}]"))
	if err != nil {
		b.Fatal(err)
	}
	if err := v.Use(file); err != nil {
		b.Fatal(err)
	}
	token := i.Sign(i.Claims("user-1", map[string]any{"email": "ada@example.com", "groups": []string{"a", "b", "c"}}), issuertest.With(i.Key(algorithm)))
	if _, err := v.JWT(b.Context(), token); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !cached {
			v.current.Load().checked.InvalidateAll()
		}
		if _, err := v.JWT(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJWTCached(b *testing.B)        { benchmarkJWT(b, "RS256", true) }
func BenchmarkJWTUncachedRS256(b *testing.B) { benchmarkJWT(b, "RS256", false) }
func BenchmarkJWTUncachedES256(b *testing.B) { benchmarkJWT(b, "ES256", false) }
func BenchmarkJWTUncachedEdDSA(b *testing.B) { benchmarkJWT(b, "EdDSA", false) }

func BenchmarkLooksLikeJWT(b *testing.B) {
	token := "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
	b.ReportAllocs()
	for b.Loop() {
		LooksLikeJWT(token)
	}
}
