package access_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var (
	epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	acme  = config.TenantID{1}
)

// clock is set by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// loader counts reads, and waits and fails as a test wants.
type loader struct {
	mu     sync.Mutex
	tokens map[string]store.Token
	reads  int
	err    error
	onRead func() // called when the answer is known
}

func (l *loader) Token(ctx context.Context, id string) (store.Token, error) {
	l.mu.Lock()
	l.reads++
	t, ok := l.tokens[id]
	err, onRead := l.err, l.onRead
	l.mu.Unlock()
	if onRead != nil {
		onRead()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && !ok {
		err = config.Errorf(config.KindNotFound, "there is no such token")
	}
	return t, err
}

func (l *loader) change(id string, f func(*store.Token)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tokens[id]
	f(&t)
	l.tokens[id] = t
}

func (l *loader) wantReads(t *testing.T, want int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reads != want {
		t.Errorf("tokens were read %d times, want %d", l.reads, want)
	}
}

// gate is an authenticator that knows one token, good for an hour.
type gate struct {
	*access.Authenticator
	tokens *loader
	clock  *clock
	token  access.IssuedToken
}

func newGate(t testing.TB) *gate {
	token := mustToken(t)
	g := &gate{
		tokens: &loader{tokens: map[string]store.Token{token.ID: {
			ID: token.ID, Tenant: acme, Name: "ci", Hash: token.Hash, TenantAdmin: true, Created: epoch, Expires: epoch.Add(time.Hour),
		}}},
		clock: &clock{now: epoch},
		token: token,
	}
	g.Authenticator = access.NewAuthenticator(g.tokens, g.clock.Now)
	return g
}

func (g *gate) admit(t *testing.T) access.Principal {
	t.Helper()
	p, err := g.Authenticate(t.Context(), g.token.Reveal(), access.Connection{})
	if err != nil {
		t.Fatalf("Authenticate: %v", err)
	}
	return p
}

func (g *gate) refuse(t *testing.T, bearer string, want config.Kind) *config.Error {
	t.Helper()
	p, err := g.Authenticate(t.Context(), bearer, access.Connection{})
	if config.KindOf(err) != want {
		t.Fatalf("Authenticate: %v, want %s", err, want)
	}
	if !cmp.Equal(p, access.Principal{}) {
		t.Errorf("Authenticate answers %+v beside its error", p)
	}
	var e *config.Error
	if errors.As(err, &e); e.Next == "" {
		t.Errorf("the error %q has no next step", e)
	}
	return e
}

// forged is a token that parses, with the id of one and the secret of another.
func forged(t *testing.T, id string) string {
	t.Helper()
	random, err := base32.StdEncoding.DecodeString(strings.ToUpper(id))
	if err != nil {
		t.Fatal(err)
	}
	token, err := access.NewToken(io.MultiReader(bytes.NewReader(random), rand.Reader))
	if err != nil || token.ID != id {
		t.Fatalf("forged %s for %s, %v", token.ID, id, err)
	}
	return token.Reveal()
}

func TestAGoodTokenIsLetIn(t *testing.T) {
	g := newGate(t)
	want := access.Principal{
		ID: g.token.ID, Name: "ci", Method: "token", Tenant: acme, Roles: []string{access.RoleAdmin}, Expires: epoch.Add(time.Hour),
	}.Sealed()
	if diff := cmp.Diff(want, g.admit(t)); diff != "" {
		t.Errorf("the principal differs (-want +got):\n%s", diff)
	}
	g.admit(t)
	g.tokens.wantReads(t, 1)
}

func TestWhoIsNotLetIn(t *testing.T) {
	g := newGate(t)
	unknown := g.refuse(t, mustToken(t).Reveal(), config.KindUnauthenticated)
	wrong := g.refuse(t, forged(t, g.token.ID), config.KindUnauthenticated)
	g.tokens.wantReads(t, 2)
	malformed := g.refuse(t, "hunter2", config.KindUnauthenticated)
	none := g.refuse(t, "", config.KindUnauthenticated)
	g.tokens.wantReads(t, 2)
	for name, e := range map[string]*config.Error{"wrong": wrong, "malformed": malformed, "none": none} {
		if diff := cmp.Diff(unknown, e); diff != "" {
			t.Errorf("the answer to a %s token differs from that to an unknown one:\n%s", name, diff)
		}
	}
}

// That a token does not exist is remembered as long as that it does: guessing
// costs the same work whether the id is right or not.
func TestUnknownAndWrongTakeTheSameWay(t *testing.T) {
	g := newGate(t)
	unknown, wrong := mustToken(t).Reveal(), forged(t, g.token.ID)
	for range 3 {
		g.refuse(t, unknown, config.KindUnauthenticated)
		g.refuse(t, wrong, config.KindUnauthenticated)
	}
	g.tokens.wantReads(t, 2)
}

func TestExpiry(t *testing.T) {
	g := newGate(t)
	g.clock.Advance(time.Hour - 1)
	g.admit(t)
	g.clock.Advance(1)
	e := g.refuse(t, g.token.Reveal(), config.KindTokenExpired)
	if want := "the token expired at 2026-01-01T01:00:00Z"; e.Message != want {
		t.Errorf("message is %q, want %q", e.Message, want)
	}
	g.refuse(t, forged(t, g.token.ID), config.KindUnauthenticated)

	g = newGate(t)
	g.tokens.change(g.token.ID, func(t *store.Token) { t.Expires = time.Time{} })
	g.refuse(t, g.token.Reveal(), config.KindTokenExpired)
}

func revoke(t *store.Token) { t.Revoked = epoch }

func TestRevocation(t *testing.T) {
	g := newGate(t)
	g.admit(t)
	g.tokens.change(g.token.ID, revoke)
	g.Forget(g.token.ID)
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
	g.refuse(t, forged(t, g.token.ID), config.KindUnauthenticated)

	g.clock.Advance(2 * time.Hour)
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
}

func TestRevocationInAnotherProcessIsSeenWithinASecond(t *testing.T) {
	g := newGate(t)
	g.admit(t)
	g.tokens.change(g.token.ID, revoke)
	g.clock.Advance(time.Second - 1)
	g.admit(t)
	g.clock.Advance(1)
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
}

// Nobody is let in on knowledge that is older than a second, however long the
// reading of it took.
func TestAReadingThatTookTooLongIsDoneAgain(t *testing.T) {
	g := newGate(t)
	g.tokens.onRead = sync.OnceFunc(func() {
		g.tokens.change(g.token.ID, revoke)
		g.clock.Advance(time.Second)
	})
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
	g.tokens.wantReads(t, 2)
}

func TestAClockPutBackDoesNotKeepATokenFresh(t *testing.T) {
	g := newGate(t)
	g.admit(t)
	g.tokens.change(g.token.ID, revoke)
	g.clock.Advance(-time.Minute)
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
}

// A reading that began before the revocation must not outlive it.
func TestForgetOvertakesAReading(t *testing.T) {
	g := newGate(t)
	read, forgotten := make(chan struct{}), make(chan struct{})
	var reads atomic.Int64
	g.tokens.onRead = func() {
		if reads.Add(1) == 1 {
			close(read)
			<-forgotten
		}
	}
	done := make(chan error)
	go func() {
		_, err := g.Authenticate(context.Background(), g.token.Reveal(), access.Connection{})
		done <- err
	}()
	<-read
	g.tokens.change(g.token.ID, revoke)
	g.Forget(g.token.ID)
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
	close(forgotten)
	if err := <-done; err != nil {
		t.Errorf("the request that began before the revocation: %v", err)
	}
	g.refuse(t, g.token.Reveal(), config.KindTokenRevoked)
}

func TestRecheck(t *testing.T) {
	g := newGate(t)
	p := g.admit(t)
	recheck := func(p access.Principal, want config.Kind) {
		t.Helper()
		got, err := g.Recheck(t.Context(), p, access.Connection{})
		if config.KindOf(err) != want || err == nil && !cmp.Equal(got, p) {
			t.Errorf("Recheck = %+v, %v, want kind %q", got, err, want)
		}
	}
	recheck(p, "")
	recheck(access.Principal{}, config.KindUnauthenticated)
	recheck(access.Principal{ID: p.ID, Method: "other"}, config.KindUnauthenticated)

	g.clock.Advance(time.Hour)
	recheck(p, config.KindTokenExpired)
	g.clock.Advance(-time.Hour)
	g.tokens.err = errDown
	recheck(p, config.KindUnavailable)
	g.tokens.err = nil
	g.tokens.change(p.ID, revoke)
	recheck(p, config.KindTokenRevoked)
	g.tokens.mu.Lock()
	delete(g.tokens.tokens, p.ID) // with its tenant
	g.tokens.mu.Unlock()
	g.Forget(p.ID)
	recheck(p, config.KindTokenRevoked)
}

var errDown = errors.New("down")

func TestNobodyIsLetInWithoutTheStore(t *testing.T) {
	g := newGate(t)
	g.tokens.err = errDown
	e := g.refuse(t, g.token.Reveal(), config.KindUnavailable)
	if !errors.Is(e, errDown) {
		t.Errorf("the error %v hides its cause", e)
	}
	g.tokens.err = nil
	g.admit(t)

	g.tokens.err = errDown
	g.clock.Advance(time.Second)
	g.refuse(t, g.token.Reveal(), config.KindUnavailable)
}

func TestRequestsWithOneTokenReadItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t)
		release := make(chan struct{})
		g.tokens.onRead = func() { <-release }
		ctx, cancel := context.WithCancel(t.Context())
		impatient := make(chan error, 1)
		go func() {
			_, err := g.Authenticate(ctx, g.token.Reveal(), access.Connection{})
			impatient <- err
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := g.Authenticate(t.Context(), g.token.Reveal(), access.Connection{}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-impatient; config.KindOf(err) != config.KindUnavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("the request that gave up: %v", err)
		}
		close(release)
		wg.Wait()
		g.tokens.wantReads(t, 1)
	})
}

// Tokens of different tenants are never mixed up, under load and revocation.
func TestManyTokensAtOnce(t *testing.T) {
	g := newGate(t)
	tokens := make([]access.IssuedToken, 50)
	for i := range tokens {
		tokens[i] = mustToken(t)
		g.tokens.tokens[tokens[i].ID] = store.Token{
			ID: tokens[i].ID, Tenant: config.TenantID{byte(i)}, Hash: tokens[i].Hash, Expires: epoch.Add(time.Hour),
		}
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				n := (worker + i) % len(tokens)
				p, err := g.Authenticate(t.Context(), tokens[n].Reveal(), access.Connection{})
				if err != nil || p.ID != tokens[n].ID || p.Tenant[0] != byte(n) {
					t.Errorf("token %d is %+v, %v", n, p, err)
				}
				switch i % 50 {
				case 0:
					g.Forget(tokens[n].ID)
				case 25:
					g.clock.Advance(time.Millisecond * 100)
				}
			}
		})
	}
	wg.Wait()
}

func TestLettingInAllocatesNothing(t *testing.T) {
	g := newGate(t)
	text := g.token.Reveal()
	g.admit(t)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := g.Authenticate(context.Background(), text, access.Connection{}); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("letting in makes %v allocations", n)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	g := newGate(b)
	text := g.token.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Authenticate(b.Context(), text, access.Connection{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthenticateParallel(b *testing.B) {
	g := newGate(b)
	now := g.clock.Now()
	a := access.NewAuthenticator(g.tokens, func() time.Time { return now })
	text := g.token.Reveal()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.Authenticate(context.Background(), text, access.Connection{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
