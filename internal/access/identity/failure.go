package identity

import (
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// refused is the one answer to everything that proves nobody: whoever tries is
// not told how near they were. The cause is for the log; it holds no token.
func refused(cause error) error {
	e := config.Errorf(config.KindUnauthenticated, "the request carries no identity that this server knows")
	e.Cause = cause
	return e.Hint("log in again: `llm-config login`")
}

// unreachable is the answer while an issuer's keys cannot be had: the token may
// be good.
func unreachable(cause error) error {
	e := config.Errorf(config.KindUnavailable, "the issuer of this identity cannot be asked for its keys now")
	e.Cause = cause
	return e.Hint("try again in a moment")
}

// expired is the answer to who was known, and whose time is over.
func expired(at time.Time) error {
	return config.Errorf(config.KindTokenExpired, "the identity expired at %s", at.UTC().Format(time.RFC3339)).
		Hint("log in again: `llm-config login`")
}
