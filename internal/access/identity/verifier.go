package identity

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

const (
	// cachedTokens bounds the tokens whose signature is known to be good.
	cachedTokens = 1 << 14
	// tokenFresh is how long that is believed: keys that an issuer takes back
	// while others of its tokens come are not believed for longer.
	tokenFresh = time.Minute
)

// Options are what a Verifier is made with. Zero fields have the defaults noted.
type Options struct {
	Clock func() time.Time // nil for time.Now
	// HTTP lends its Transport to ask issuers that have no CA of their own. Nil:
	// one that uses no proxy and the system's roots.
	HTTP   *http.Client
	Logger *slog.Logger // nil: nothing is logged
}

// Verifier finds out who comes with a JSON Web Token or a certificate. It is safe
// for concurrent use.
type Verifier struct {
	clock  func() time.Time
	base   *http.Client
	logger *slog.Logger

	current atomic.Pointer[snapshot]

	mu   sync.Mutex       // one Use at a time
	used map[string]*used // the issuer's URL → its tokens that are good once; outlives what Use changes
}

// snapshot is a file as it is used. Nothing of it changes, but for what its
// parts remember.
type snapshot struct {
	issuers      map[string]*issuer // by URL
	names        map[string]*issuer
	certificates []CertificateRule
	checked      *otter.Cache[[sha256.Size]byte, checked] // SHA-256 of a token → what came of it
}

// issuer is an issuer with what is remembered of it.
type issuer struct {
	Issuer
	roots string // text of its CA file
	keys  *keyring
	used  *used
}

// checked is a token that was good.
type checked struct {
	claimed Claimed
	at      time.Time
}

// New makes a Verifier that lets nobody in until Use gives it a file.
func New(o Options) *Verifier {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	v := &Verifier{clock: o.Clock, base: o.HTTP, logger: o.Logger, used: map[string]*used{}}
	v.current.Store(newSnapshot(nil))
	return v
}

func newSnapshot(certificates []CertificateRule) *snapshot {
	return &snapshot{
		issuers: map[string]*issuer{}, names: map[string]*issuer{}, certificates: certificates,
		checked: otter.Must(&otter.Options[[sha256.Size]byte, checked]{MaximumSize: cachedTokens}),
	}
}

// Use puts a file in force for every request that comes later; what requests have
// taken before stays as it was. Issuers of the same URL and CA keep the keys that
// are known. The error names a CA file that cannot be read; then the file before
// stays in force. A nil file is one without identities.
func (v *Verifier) Use(file *File) error {
	if file == nil {
		file = &File{}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	before, next := v.current.Load(), newSnapshot(file.Certificates)
	for _, settings := range file.Issuers {
		i, err := v.issuer(settings, before)
		if err != nil {
			return err
		}
		next.issuers[i.URL], next.names[i.Name] = i, i
	}
	for url, u := range v.used {
		if next.issuers[url] == nil && u.empty(v.clock()) {
			delete(v.used, url)
		}
	}
	v.current.Store(next)
	return nil
}

// issuer makes an issuer of its settings, with what is known of it already.
func (v *Verifier) issuer(settings Issuer, before *snapshot) (*issuer, error) {
	i := &issuer{Issuer: settings}
	var roots *x509.CertPool
	if settings.CA != "" {
		var err error
		if roots, i.roots, err = readRoots(settings.CA); err != nil {
			e := config.Errorf(config.KindBadRequest, "the ca of the issuer %q cannot be read: %v", settings.Name, err)
			return nil, e.Hint("check the path, and that the file holds certificates in PEM form")
		}
	}
	if old := before.issuers[settings.URL]; old != nil && old.roots == i.roots {
		i.keys = old.keys
	} else {
		i.keys = &keyring{
			source: source{issuer: settings.URL, client: clientFor(v.base, roots), keys: &location{}},
			clock:  v.clock, logger: v.logger, askTime: askTime,
		}
	}
	if v.used[settings.URL] == nil {
		v.used[settings.URL] = newUsed()
	}
	i.used = v.used[settings.URL]
	return i, nil
}

// JWT finds out who comes with a token of an issuer. The error is of
// KindUnavailable while the issuer's keys cannot be had, of KindOverloaded when
// there is no room to remember a token that is good once, else of
// KindUnauthenticated, always with the same message: its cause is for the log.
func (v *Verifier) JWT(ctx context.Context, bearer string) (Claimed, error) {
	if len(bearer) > maxToken {
		return Claimed{}, refused(fmt.Errorf("the token has %d bytes, and at most %d are read", len(bearer), maxToken))
	}
	now, current, key := v.clock(), v.current.Load(), sha256.Sum256([]byte(bearer))
	if known, ok := current.checked.GetIfPresent(key); ok && known.fresh(now) {
		return known.claimed, nil
	}
	t, err := readToken(bearer)
	if err != nil {
		return Claimed{}, refused(err)
	}
	name, _ := t.payload["iss"].(string)
	i := current.issuers[name]
	if i == nil {
		return Claimed{}, refused(fmt.Errorf("the token is of the issuer %q, which is not in the file", shortened(name)))
	}
	c, err := i.verify(ctx, t, now)
	if err != nil {
		return Claimed{}, err
	}
	if !i.Replay {
		current.checked.Set(key, checked{c, now})
	}
	return c, nil
}

// fresh also refuses what was checked in the future: the clock was put back.
func (c checked) fresh(now time.Time) bool {
	age := now.Sub(c.at)
	return age >= 0 && age < tokenFresh && !c.claimed.over(now)
}

// verify checks a token in the order of cost: what it says, its key, its
// signature, and last whether it was used, so that only good tokens are remembered.
func (i *issuer) verify(ctx context.Context, t token, now time.Time) (Claimed, error) {
	c, err := t.claimed(i.Issuer, now)
	if err != nil {
		return Claimed{}, refused(err)
	}
	keys, err := i.keys.find(ctx, t.key, t.algorithm)
	if err != nil {
		return Claimed{}, err
	}
	if err := t.signedBy(keys); err != nil {
		return Claimed{}, refused(err)
	}
	if !i.Replay {
		return c, nil
	}
	jti, err := t.once()
	if err != nil {
		return Claimed{}, refused(err)
	}
	return c, i.used.take(jti, c.Expires, now)
}

// Still says whether who was let in before would be now, as the same and with the
// same rights, for answers that take long. The error is of KindTokenExpired when
// the time is over, else of KindUnauthenticated.
func (v *Verifier) Still(c Claimed) error {
	now := v.clock()
	if c.over(now) {
		return expired(c.Expires)
	}
	g, err := v.current.Load().given(c, now)
	if err != nil {
		return refused(err)
	}
	if g.tenant != c.Tenant || g.serverAdmin != c.ServerAdmin || !slices.Equal(g.roles, c.Roles) {
		return refused(errors.New("the identities file gives something else by now"))
	}
	return nil
}

// given is what the file gives somebody whose proof was checked before.
func (s *snapshot) given(c Claimed, now time.Time) (grant, error) {
	if c.Method == access.MethodCertificate {
		id, g, ok := s.rule(c.Claims)
		if !ok || id != c.ID {
			return grant{}, errors.New("no rule is about the certificate any more")
		}
		return g, nil
	}
	i := s.names[c.Issuer]
	if i == nil {
		return grant{}, errors.New("the issuer is not in the file any more")
	}
	if err := i.accepts(c.token, now); err != nil {
		return grant{}, err
	}
	g, ok := i.place(c.Claims)
	if !ok {
		return grant{}, errors.New("no binding fits any more")
	}
	return g, nil
}
