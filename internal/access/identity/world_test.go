package identity

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a verifier with one issuer.
type world struct {
	*testing.T
	clock    *clock
	issuer   *issuertest.Issuer
	verifier *Verifier
	log      *strings.Builder
}

// bindings are what the issuer of a world gives, when a test does not say.
const bindings = `
    - when: {team: platform}
      tenant: acme
      roles: [operator, application]
    - when: {realm_access.roles: [root, boss], email_verified: true}
      server_admin: true
    - when: {}
      tenant: acme
      roles: [viewer]
`

func newWorld(t *testing.T) *world {
	t.Helper()
	c, log := newClock(), &strings.Builder{}
	w := &world{T: t, clock: c, issuer: issuertest.NewAt(t, c.time), log: log}
	w.verifier = New(Options{Clock: c.time, Logger: slog.New(slog.NewTextHandler(log, nil))})
	w.use("")
	return w
}

// text is an identities file of the world's issuer, with more lines of settings.
func (w *world) text(settings, bindings string) string {
	return fmt.Sprintf("issuers:\n- name: corp\n  issuer: %s\n  audience: [llm-config, api]\n  ca: %s\n%s\n  bindings:\n%s", w.issuer.URL, w.issuer.CA, settings, bindings)
}

func (w *world) use(settings string) {
	w.Helper()
	w.useText(w.text(settings, bindings))
}

func (w *world) useText(text string) {
	w.Helper()
	file, err := ParseFile([]byte(text))
	if err != nil {
		w.Fatalf("%v\n%s", err, text)
	}
	if err := w.verifier.Use(file); err != nil {
		w.Fatal(err)
	}
}

// good is a good token of a subject.
func (w *world) good(subject string, claims map[string]any, options ...issuertest.Option) string {
	return w.issuer.Sign(w.issuer.Claims(subject, claims), options...)
}

func (w *world) allow(token string) Claimed {
	w.Helper()
	c, err := w.verifier.JWT(w.Context(), token)
	if err != nil {
		w.Fatalf("refused: %v, because %v", err, errors.Unwrap(err))
	}
	return c
}

// deny wants a refusal of a kind, and a cause with a text for the log.
func (w *world) deny(kind config.Kind, cause, token string) {
	w.Helper()
	c, err := w.verifier.JWT(w.Context(), token)
	wantRefusal(w.T, kind, cause, err)
	if c.ID != "" || c.Roles != nil || c.ServerAdmin {
		w.Errorf("refused, and yet it is %+v", c)
	}
}

func wantRefusal(t *testing.T, kind config.Kind, cause string, err error) {
	t.Helper()
	if config.KindOf(err) != kind {
		t.Fatalf("want %s, got %v", kind, err)
	}
	var e *config.Error
	if !errors.As(err, &e) || e.Next == "" {
		t.Fatalf("no next step: %v", err)
	}
	if kind == config.KindUnauthenticated && e.Message != "the request carries no identity that this server knows" {
		t.Errorf("the message tells more than that it is refused: %s", e.Message)
	}
	if cause != "" && (e.Cause == nil || !strings.Contains(e.Cause.Error(), cause)) {
		t.Errorf("want a cause with %q, got %v", cause, e.Cause)
	}
}
