package login

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const redirect = "http://127.0.0.1:1/callback"

// world is a client of a local issuer.
type world struct {
	*testing.T
	issuer *issuertest.Issuer
	client Client
}

func newWorld(t *testing.T, secret string) *world {
	t.Helper()
	w := &world{T: t, issuer: issuertest.New(t)}
	w.issuer.Register("cli", secret)
	roots, err := Roots(w.issuer.CA)
	if err != nil {
		t.Fatal(err)
	}
	w.client = Client{Issuer: w.issuer.URL, ID: "cli", Secret: secret, Scopes: []string{"offline_access", "openid"}, HTTP: HTTP(roots, nil)}
	w.discover()
	return w
}

func (w *world) discover() {
	w.Helper()
	var err error
	if w.client.Endpoints, err = Discover(w.Context(), w.issuer.URL, w.client.HTTP); err != nil {
		w.Fatal(err)
	}
}

// browse sends a browser to the issuer, and gives what it comes back with.
func (w *world) browse(a Attempt) url.Values {
	w.Helper()
	browser := *w.issuer.Client
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := browser.Get(w.client.URL(a, redirect))
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	location, err := response.Location()
	if err != nil {
		w.Fatalf("%v: %s", err, response.Status)
	}
	return location.Query()
}

// login logs in as far as the tokens.
func (w *world) login() Tokens {
	w.Helper()
	a := NewAttempt()
	code, err := w.client.Code(a, w.browse(a))
	if err != nil {
		w.Fatal(err)
	}
	tokens, err := w.client.Exchange(w.Context(), a, redirect, code)
	if err != nil {
		w.Fatal(err)
	}
	return tokens
}

func wantRefusal(t *testing.T, kind config.Kind, says string, err error) {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message, says) || e.Next == "" {
		t.Errorf("want %s that says %q, got %v", kind, says, err)
	}
}

// gives has the token endpoint give an ID token with these claims in the place of
// its own.
func (w *world) gives(claims map[string]any) {
	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(map[string]any{
			"access_token": "a", "token_type": "Bearer", "id_token": w.issuer.Sign(w.issuer.Claims("user-1", claims)),
		})
	})
}

// patient is a pause that takes no time, and keeps how long it should have been.
type patient struct{ waits []time.Duration }

func (p *patient) pause(ctx context.Context, d time.Duration) error {
	p.waits = append(p.waits, d)
	return ctx.Err()
}
