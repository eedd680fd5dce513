package identity

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// maxUsed bounds the tokens of one issuer that are remembered, about 80 bytes each.
const maxUsed = 1 << 16

// used remembers the tokens of one issuer that are good once, until they expire.
// When it is full it refuses: to forget one would be to take it again.
type used struct {
	limit int

	mu       sync.Mutex
	tokens   map[[32]byte]time.Time // SHA-256 of the jti → when the token expires
	earliest time.Time              // no token expires before it
}

func newUsed() *used { return &used{limit: maxUsed, tokens: map[[32]byte]time.Time{}} }

// take notes a token and says whether it may be used.
func (u *used) take(jti string, expires, now time.Time) error {
	key := sha256.Sum256([]byte(jti))
	u.mu.Lock()
	defer u.mu.Unlock()
	if until, twice := u.tokens[key]; twice && now.Before(until) {
		return refused(errors.New("the token was used before"))
	}
	if len(u.tokens) >= u.limit && !now.Before(u.earliest) {
		u.sweep(now)
	}
	if len(u.tokens) >= u.limit {
		return config.Errorf(config.KindOverloaded, "too many identities that are good for one use came at once").
			Hint("try again when earlier ones have expired").Over(int64(u.limit), int64(len(u.tokens)+1))
	}
	if len(u.tokens) == 0 || expires.Before(u.earliest) {
		u.earliest = expires
	}
	u.tokens[key] = expires
	return nil
}

// empty says, when all tokens have expired, that there is nothing to remember.
func (u *used) empty(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep(now)
	return len(u.tokens) == 0
}

func (u *used) sweep(now time.Time) {
	u.earliest = time.Time{}
	for key, expires := range u.tokens {
		if !now.Before(expires) {
			delete(u.tokens, key)
			continue
		}
		if u.earliest.IsZero() || expires.Before(u.earliest) {
			u.earliest = expires
		}
	}
}
