package identity

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// keysFresh is how long keys are believed before the issuer is asked again.
	keysFresh = time.Hour
	// keysKept is how long they are believed while it does not answer.
	keysKept = 24 * time.Hour
	// askPause is between two askings for a key that is not there. Anybody can
	// make up ids of keys, so this bounds what they can do to the issuer.
	askPause = 10 * time.Second
	// agePause is between two askings for nothing but newer keys.
	agePause = time.Minute
	// askTime bounds one asking, and so what requests wait for together.
	askTime = 5 * time.Second
)

var errUnknownKey = errors.New("the issuer has no key of this id that fits the algorithm")

// keyring holds the keys of one issuer. It asks when it is asked: an issuer whose
// tokens nobody brings is left alone.
type keyring struct {
	source  source
	clock   func() time.Time
	logger  *slog.Logger
	askTime time.Duration

	mu      sync.Mutex
	keys    []verificationKey // as last fetched
	fetched time.Time         // when the fetch of keys began; zero before the first
	tried   time.Time         // when the last fetch began
	failure error             // of the last fetch
	flight  chan struct{}     // closed when the fetch that runs is done; nil when none does
}

// find gives the keys with which a token of a key id and an algorithm may be
// signed. The error is of KindUnavailable while that cannot be known.
func (k *keyring) find(ctx context.Context, id, algorithm string) ([]crypto.PublicKey, error) {
	if keys, ok := k.known(id, algorithm); ok {
		return keys, nil
	}
	if flight := k.ask(ctx, id, algorithm); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, unreachable(ctx.Err())
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := choose(k.keys, id, algorithm)
	switch {
	case len(keys) > 0 && !k.passed(k.fetched, keysKept):
		return keys, nil
	case k.failure != nil:
		return nil, unreachable(k.failure)
	}
	return nil, refused(errUnknownKey)
}

// known gives keys that are there and fresh.
func (k *keyring) known(id, algorithm string) ([]crypto.PublicKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.passed(k.fetched, keysFresh) {
		return nil, false
	}
	keys := choose(k.keys, id, algorithm)
	return keys, len(keys) > 0
}

// ask joins the fetch that runs, or begins one if it is time for it; nil if not.
func (k *keyring) ask(ctx context.Context, id, algorithm string) chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flight != nil {
		return k.flight
	}
	pause := askPause
	if len(choose(k.keys, id, algorithm)) > 0 && !k.passed(k.fetched, keysKept) {
		pause = agePause
	}
	if !k.passed(k.tried, pause) {
		return nil
	}
	k.tried, k.flight = k.clock(), make(chan struct{})
	go k.fetch(context.WithoutCancel(ctx), k.flight) // one who gives up does not stop it for the others
	return k.flight
}

func (k *keyring) fetch(ctx context.Context, flight chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, k.askTime)
	defer cancel()
	keys, err := k.source.fetch(ctx, k.clock())
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.logger.WarnContext(ctx, "the keys of an issuer cannot be fetched", "issuer", k.source.issuer, "error", err.Error(), "keys_of", k.fetched)
	case k.failure != nil:
		k.logger.InfoContext(ctx, "the keys of an issuer can be fetched again", "issuer", k.source.issuer)
	}
	if k.failure = err; err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	k.flight = nil
	close(flight)
}

// passed says that a time has gone by since a moment, or that the clock was put
// back before it. All times have passed since never.
func (k *keyring) passed(since time.Time, d time.Duration) bool {
	age := k.clock().Sub(since)
	return since.IsZero() || age < 0 || age >= d
}
