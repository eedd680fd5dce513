package service_test

import (
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

// TestMain makes random tests short where nobody asked for a soak.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("rapid.checks", soakOr("400", "6")); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// soakOr is how much of something there is: much in a soak, else little.
func soakOr[T any](much, little T) T {
	if os.Getenv("LLM_CONFIG_SOAK") != "" {
		return much
	}
	return little
}

var (
	errDown  = errors.New("down")
	someone  = netip.MustParseAddr("192.0.2.1")
	midnight = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// engine is the real one behind wires that a test may cut.
type engine struct {
	store.Store
	auditDown    atomic.Bool
	logDown      atomic.Bool
	beforeCommit atomic.Pointer[func(*store.Write)]
}

func (e *engine) AppendAudit(ctx context.Context, tenant config.TenantID, records ...audit.Record) error {
	if e.auditDown.Load() {
		return errDown
	}
	return e.Store.AppendAudit(ctx, tenant, records...)
}

func (e *engine) AppendAccess(ctx context.Context, tenant config.TenantID, served []store.Served, records ...audit.Record) error {
	if e.auditDown.Load() {
		return errDown
	}
	return e.Store.AppendAccess(ctx, tenant, served, records...)
}

func (e *engine) Entries(ctx context.Context, tenant config.TenantID, after config.Revision, limit int) ([]store.Entry, error) {
	if e.logDown.Load() {
		return nil, errDown
	}
	return e.Store.Entries(ctx, tenant, after, limit)
}

func (e *engine) Commit(ctx context.Context, tenant config.TenantID, write store.Write) (store.Receipt, error) {
	if hook := e.beforeCommit.Load(); hook != nil {
		(*hook)(&write)
	}
	return e.Store.Commit(ctx, tenant, write)
}

// onCommit calls hook before each commit until the test takes it away.
func (e *engine) onCommit(hook func(*store.Write)) (remove func()) {
	e.beforeCommit.Store(&hook)
	return func() { e.beforeCommit.Store(nil) }
}

// world is a service on the real engine, with all that a test may turn.
type world struct {
	clock   *clock
	engine  *engine
	keys    store.Keys
	keyring *seal.Keyring
	master  string // the file of the master key
	limits  atomic.Pointer[service.Limits]
	s       *service.Service
	root    service.Caller // a server admin who is no tenant's
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{clock: &clock{now: midnight}}
	w.limits.Store(&service.Limits{})
	data, err := sqlite.Open(t.Context(), dir, sqlite.Options{Clock: w.clock.read})
	must(t, err)
	t.Cleanup(func() { _ = data.Close() })
	w.engine = &engine{Store: data}
	keys, err := sqlite.OpenKeys(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	w.keys = keys
	w.master = filepath.Join(dir, "master.key")
	must(t, seal.CreateFileKey(w.master))
	keeper, err := seal.OpenFileKeeper(w.master)
	must(t, err)
	w.keyring, err = seal.OpenKeyring(t.Context(), seal.Keepers{Write: keeper}, keys, data, seal.Options{Clock: w.clock.read})
	must(t, err)
	w.s = w.start()
	text, err := firstToken(t, w.s)
	must(t, err)
	w.root = w.authenticate(t, text)
	return w
}

// start is another process over the same store, which hears nothing of what
// the first one commits.
func (w *world) start() *service.Service {
	return service.New(service.Options{
		Store: w.engine, Keyring: w.keyring, Clock: w.clock.read,
		Limits: func() service.Limits { return *w.limits.Load() },
	})
}

// authenticate is what the edge does with a bearer token.
func (w *world) authenticate(t testing.TB, text string) service.Caller {
	t.Helper()
	who := service.Caller{RequestID: "request-1", Source: someone, UserAgent: "test"}
	who, err := w.s.Authenticate(t.Context(), service.Credentials{Bearer: text}, who)
	must(t, err)
	return who
}

// actor is a tenant's administrator.
type actor struct {
	*world
	t      testing.TB
	tenant string
	id     config.TenantID
	token  string
	who    service.Caller
}

// found makes a tenant and answers its administrator.
func (w *world) found(t testing.TB, name string) *actor {
	t.Helper()
	founded, err := w.s.CreateTenant(t.Context(), w.root, name, service.TokenRequest{Name: "ann"})
	must(t, err)
	text := founded.Token.Reveal()
	return &actor{w, t, name, founded.Tenant.ID, text, w.authenticate(t, text)}
}

// newTenant is a world with one tenant, which most tests need no more than.
func newTenant(t testing.TB) *actor {
	t.Helper()
	return newWorld(t).found(t, "acme")
}

// over is the actor at another process over the same store.
func (a *actor) over(s *service.Service) *actor {
	w := &world{clock: a.clock, engine: a.engine, keys: a.keys, keyring: a.keyring, s: s, root: a.root}
	w.limits.Store(a.limits.Load())
	return &actor{w, a.t, a.tenant, a.id, a.token, a.who}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(describe(err))
	}
}

// describe shows of an error what the person who caused it is shown, and its details.
func describe(err error) string {
	var e *config.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := string(e.Kind) + ": " + e.Error() + " at " + e.Pointer
	for _, d := range e.Details {
		text += "\n\t" + d.Environment + " " + d.Path + d.Pointer + ": " + d.Message
	}
	if e.Cause != nil {
		text += "\n\tcause: " + e.Cause.Error()
	}
	return text
}

// mustBe refuses any other kind of error than the one wanted, and one that
// says nothing.
func mustBe(t testing.TB, kind config.Kind, err error) *config.Error {
	t.Helper()
	var e *config.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Message == "" {
		got := "no error"
		if err != nil {
			got = describe(err)
		}
		t.Fatalf("want %s, got %s", kind, got)
	}
	return e
}

func path(text string) config.Path { return config.MustPath(text) }

func doc(t testing.TB, text string) config.Document {
	t.Helper()
	d, err := config.Decode(config.JSON, []byte(text), config.Limits{})
	must(t, err)
	return d
}

func at(t testing.TB, text string) config.At {
	t.Helper()
	a, err := config.ParseAt(text)
	must(t, err)
	return a
}

// firstToken is the token that a start leaves, "" when it leaves none.
func firstToken(t testing.TB, s *service.Service) (text string, err error) {
	t.Helper()
	err = s.FirstToken(t.Context(), func(token string) error { text = token; return nil })
	return text, err
}
