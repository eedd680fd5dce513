package access

import (
	"context"
	"crypto/subtle"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Tokens is where an Authenticator finds tokens. One that is not there is of
// KindNotFound.
type Tokens interface {
	Token(ctx context.Context, id string) (store.Token, error)
}

const (
	// tokenFresh is how long what was read of a token is believed. Another
	// process may revoke it meanwhile; nobody is let in on older knowledge.
	tokenFresh = time.Second
	// cachedTokens bounds the memory of tokens, about 400 bytes each.
	cachedTokens = 1 << 16
	// loadTime bounds what requests with the same token wait for together.
	loadTime = 10 * time.Second
)

// Authenticator finds out who asks. It is safe for concurrent use.
type Authenticator struct {
	tokens Tokens
	clock  func() time.Time
	loads  singleflight.Group // one at a time per token id
	cache  *otter.Cache[tokenID, *known]

	mu      sync.Mutex
	forgets uint64                                   // calls of Forget; a load that saw one happen is not kept
	uses    map[config.TenantID]map[string]time.Time // id → when a token was used since the last Uses
}

// Connection is what is known of how a request came.
type Connection struct {
	Source      netip.Addr
	Certificate *Certificate // of the client, verified; nil for none
}

// tokenID is a token's id; a string would keep the request's header, and with
// it the secret, in memory.
type tokenID [idChars]byte

// known is what was read about one id; that there is no such token is known too.
type known struct {
	principal Principal
	hash      [32]byte
	exists    bool
	revoked   bool
	read      time.Time   // when the reading began
	used      atomic.Bool // since then, and noted
}

// NewAuthenticator begins without knowing any token.
func NewAuthenticator(tokens Tokens, clock func() time.Time) *Authenticator {
	return &Authenticator{
		tokens: tokens,
		clock:  clock,
		cache:  otter.Must(&otter.Options[tokenID, *known]{MaximumSize: cachedTokens}),
	}
}

// Authenticate finds out who came with a bearer token. The error is of
// KindTokenExpired or KindTokenRevoked for a token that once was good, of
// KindUnavailable when tokens cannot be read, else of KindUnauthenticated: an
// unknown id, a wrong secret and a connection that the token is not bound to
// get the same answer.
func (a *Authenticator) Authenticate(ctx context.Context, bearer string, from Connection) (Principal, error) {
	id, hash, ok := ParseToken(bearer)
	if !ok {
		return Principal{}, Unauthenticated()
	}
	k, err := a.find(ctx, id)
	if err != nil {
		return Principal{}, err
	}
	if match := subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1; !match || !k.exists {
		return Principal{}, Unauthenticated()
	}
	p, err := a.standing(k, from)
	if err == nil && !k.used.Load() && !k.used.Swap(true) {
		a.note(k.principal)
	}
	return p, err
}

// note keeps that a token was used.
func (a *Authenticator) note(p Principal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.uses == nil {
		a.uses = map[config.TenantID]map[string]time.Time{}
	}
	if a.uses[p.Tenant] == nil {
		a.uses[p.Tenant] = map[string]time.Time{}
	}
	a.uses[p.Tenant][p.ID] = a.clock()
}

// Uses answers, once, when tokens were last used.
func (a *Authenticator) Uses() map[config.TenantID][]store.TokenUse {
	a.mu.Lock()
	defer a.mu.Unlock()
	uses := make(map[config.TenantID][]store.TokenUse, len(a.uses))
	for tenant, all := range a.uses {
		for id, at := range all {
			uses[tenant] = append(uses[tenant], store.TokenUse{ID: id, Time: at})
		}
	}
	a.uses = nil
	return uses
}

// Known answers who would come with a token, whether it still stands or not. An
// id that there is no token of is of KindNotFound.
func (a *Authenticator) Known(ctx context.Context, id string) (Principal, error) {
	if len(id) != idChars {
		return Principal{}, config.Errorf(config.KindNotFound, "there is no such token")
	}
	k, err := a.find(ctx, id)
	if err == nil && !k.exists {
		err = config.Errorf(config.KindNotFound, "there is no such token")
	}
	if err != nil {
		return Principal{}, err
	}
	return k.principal, nil
}

// Recheck says whether a principal that was let in before still would be, for
// answers that take long. Its errors are those of Authenticate.
func (a *Authenticator) Recheck(ctx context.Context, p Principal, from Connection) (Principal, error) {
	if p.Method != MethodToken || len(p.ID) != idChars {
		return Principal{}, Unauthenticated()
	}
	k, err := a.find(ctx, p.ID)
	if err != nil {
		return Principal{}, err
	}
	if !k.exists { // its tenant was deleted
		return Principal{}, revoked()
	}
	return a.standing(k, from)
}

// Forget makes the next request with a token read it anew: call it when this
// process has revoked one.
func (a *Authenticator) Forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgets++
	a.loads.Forget(id)
	a.cache.Invalidate(keyOf(id))
}

func (a *Authenticator) standing(k *known, from Connection) (Principal, error) {
	switch {
	case !k.principal.Bound.Allows(from):
		return Principal{}, Unauthenticated()
	case k.revoked:
		return Principal{}, revoked()
	case !a.clock().Before(k.principal.Expires):
		return Principal{}, config.Errorf(config.KindTokenExpired, "the token expired at %s", k.principal.Expires.UTC().Format(time.RFC3339)).
			Hint("ask an admin for a new one: `llm-config token create`")
	}
	p := k.principal
	p.Certificate = from.Certificate
	return p, nil
}

// find answers what is known of an id, and was read within the last second.
func (a *Authenticator) find(ctx context.Context, id string) (*known, error) {
	k, ok := a.cache.GetIfPresent(keyOf(id))
	for !ok || !a.fresh(k) {
		var err error
		if k, err = a.share(ctx, id); err != nil {
			return nil, err
		}
		ok = true
	}
	return k, nil
}

// share loads a token once for all who ask for it at the same time. One who
// gives up does not stop it for the others.
func (a *Authenticator) share(ctx context.Context, id string) (*known, error) {
	result := a.loads.DoChan(id, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		defer cancel()
		return a.load(detached, id)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, unavailable(r.Err)
		}
		return r.Val.(*known), nil
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

// fresh also refuses what was read in the future: the clock was put back.
func (a *Authenticator) fresh(k *known) bool {
	age := a.clock().Sub(k.read)
	return age >= 0 && age < tokenFresh
}

func (a *Authenticator) load(ctx context.Context, id string) (*known, error) {
	a.mu.Lock()
	forgets := a.forgets
	a.mu.Unlock()
	k := &known{read: a.clock()}
	t, err := a.tokens.Token(ctx, id)
	switch {
	case err == nil:
		grants, err := ParseGrants(t.Grants)
		if err != nil {
			return nil, err
		}
		k.exists, k.hash, k.revoked = true, t.Hash, !t.Revoked.IsZero()
		k.principal = tokenPrincipal(t, grants)
	case config.KindOf(err) != config.KindNotFound:
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.forgets == forgets {
		a.cache.Set(keyOf(id), k)
	}
	return k, nil
}

func keyOf(id string) (key tokenID) {
	copy(key[:], id)
	return key
}

// Unauthenticated is the one answer to credentials that are no good, whatever
// is wrong with them.
func Unauthenticated() *config.Error {
	return config.Errorf(config.KindUnauthenticated, "the request carries no credentials that this server knows").
		Hint("send `Authorization: Bearer llmc_…`, set LLM_CONFIG_TOKEN, or run `llm-config login`")
}

func revoked() error {
	return config.Errorf(config.KindTokenRevoked, "the token was revoked").
		Hint("ask an admin for a new one: `llm-config token create`")
}

func unavailable(cause error) error {
	e := config.Errorf(config.KindUnavailable, "tokens cannot be read now")
	e.Cause = cause
	return e.Hint("try again in a moment")
}
