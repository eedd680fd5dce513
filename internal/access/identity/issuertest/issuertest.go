// Package issuertest is an OpenID Connect issuer for tests: it listens on
// loopback over TLS, publishes its keys, signs whatever a test wants signed, and
// logs people in without asking anybody. It signs by the standard library alone,
// so that what checks its tokens is not checked by itself. It can be slow, away
// or wrong, as a test needs it.
package issuertest

import (
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The paths that the issuer answers at.
const (
	PathDiscovery = "/.well-known/openid-configuration"
	PathKeys      = "/keys"
	PathAuthorize = "/authorize"
	PathToken     = "/token"
	PathDevice    = "/device_authorization"
)

// Audience is the aud of Claims.
const Audience = "llm-config"

// Issuer is an issuer that runs until its test ends.
type Issuer struct {
	URL    string // its iss, and where it is
	CA     string // a PEM file of its certificate's authority
	Client *http.Client

	server *httptest.Server
	clock  func() time.Time

	mu      sync.Mutex
	keys    []*Key                      // as published
	answers map[string]http.HandlerFunc // path → what a test answers instead
	asked   map[string]int              // path → requests
	user    map[string]any              // claims of whoever logs in
	clients map[string]string           // client's id → secret; empty for a public client
	grants  map[string]grant            // code, refresh token or device code → what it is good for
	pending int                         // polls of a device that are answered with "not yet"

	rotations int
}

// New starts an issuer on the wall clock.
func New(t testing.TB) *Issuer { return NewAt(t, time.Now) }

// NewAt starts an issuer whose tokens are of a clock.
func NewAt(t testing.TB, clock func() time.Time) *Issuer {
	t.Helper()
	i := &Issuer{
		clock: clock, answers: map[string]http.HandlerFunc{}, asked: map[string]int{},
		user: map[string]any{"sub": "user-1", "email": "ada@example.com"}, clients: map[string]string{}, grants: map[string]grant{},
	}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	i.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of clients that refuse its certificate
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.URL, i.Client = i.server.URL, i.server.Client()
	i.CA = filepath.Join(t.TempDir(), "issuer-ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	if err := os.WriteFile(i.CA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	i.Rotate()
	return i
}

// Plain starts a second listener of the issuer without TLS and answers where it
// is. Who wants the issuer to be there sets its URL.
func (i *Issuer) Plain(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(server.Close)
	return server.URL
}

// Answer has the test answer a path; nil has the issuer answer it again.
func (i *Issuer) Answer(path string, handler http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answers[path] = handler
}

// Away makes the issuer answer its discovery document and keys with a failure.
func (i *Issuer) Away(away bool) {
	var handler http.HandlerFunc
	if away {
		handler = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	}
	i.Answer(PathDiscovery, handler)
	i.Answer(PathKeys, handler)
}

// Asked is how often a path was asked for.
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Claims are claims of a good token for a subject, with others added; nil removes
// one.
func (i *Issuer) Claims(subject string, others map[string]any) map[string]any {
	now := i.clock()
	claims := map[string]any{
		"iss": i.URL, "sub": subject, "aud": Audience, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	maps.Copy(claims, others)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.URL.Path]++
	handler := i.answers[r.URL.Path]
	i.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	switch r.URL.Path {
	case PathDiscovery:
		answer(w, http.StatusOK, i.Discovery())
	case PathKeys:
		answer(w, http.StatusOK, i.KeySet())
	case PathAuthorize:
		i.authorize(w, r)
	case PathToken:
		i.token(w, r)
	case PathDevice:
		i.device(w, r)
	default:
		http.NotFound(w, r)
	}
}

// Discovery is the discovery document.
func (i *Issuer) Discovery() map[string]any {
	return map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + PathKeys, "authorization_endpoint": i.URL + PathAuthorize, "token_endpoint": i.URL + PathToken,
		"device_authorization_endpoint": i.URL + PathDevice, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
		"code_challenge_methods_supported": []string{"S256"}, "scopes_supported": []string{"openid", "email", "offline_access"},
		"grant_types_supported": []string{"authorization_code", "refresh_token", grantDevice},
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
