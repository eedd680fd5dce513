// Package service holds the use cases, one file per verb. Each begins with the
// guard, and none trusts its caller to have asked it. It knows no HTTP and no
// SQL: it plans on snapshots of the store, seals what it writes, and lets the
// store's one Commit decide whether the plan still stands.
package service

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/policy"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/webhook"
)

// Limits bound what one request may cost. Zero fields have the defaults noted.
type Limits struct {
	Document int // bytes of a document, layer or effective: 1 MiB
	Watchers int // watches open at once: 10,000
	Waiters  int // reads waiting for a revision at once: 1,000

	// What a tenant may store unless its quota says otherwise; 0 for no limit.
	Documents int64
	Bytes     int64
	Secrets   int64
}

// Options are what a Service is made with.
type Options struct {
	Store   store.Store
	Keyring *seal.Keyring
	Limits  func() Limits    // asked at each request, so that they can be reloaded; nil for the defaults
	Clock   func() time.Time // nil for time.Now
	Random  io.Reader        // nil for crypto/rand

	Identities Identities // who has credentials that are no tokens; nil lets none of them in

	Webhooks Webhooks           // calls rotation webhooks; nil refuses them
	Archive  Archive            // keeps old audit records; nil leaves them in the store
	Audit    func() AuditSetup  // asked at each use, so that it can be reloaded; nil for the defaults
	Posture  func() Posture     // what compliance checks ask of the process; nil for nothing known
	Metrics  *telemetry.Metrics // nil for none
	Logger   *slog.Logger       // told of what an operator should see to; nil for nobody
}

// Webhooks calls the receivers that rotate secrets.
type Webhooks interface {
	Check(url string) error
	Call(ctx context.Context, r webhook.Request) (webhook.Answer, error)
}

// Service is the product without its edges.
type Service struct {
	store   store.Store
	keyring *seal.Keyring
	tokens  *access.Authenticator
	builtin *policy.Set // what decides on the server itself

	identities Identities
	decisions  *policy.Cache
	samples    samples
	turns      turns // of work on policies, of all tenants

	limits func() Limits
	clock  func() time.Time
	random io.Reader

	tenants   tenants
	documents *cache.Cache[cache.Key, *Document]
	layers    *cache.Cache[cache.VersionKey, opened]

	secretHeads  *cache.Cache[cache.PathKey, secretHeads]
	secretValues *cache.Cache[cache.VersionKey, store.SecretValue] // sealed
	served       *cache.Cache[servedKey, struct{}]
	adoptions    *cache.Cache[cache.VersionKey, time.Time] // when that of a record is to be looked at again
	webhooks     Webhooks
	metrics      *telemetry.Metrics
	logger       *slog.Logger
	rewraps      rewraps
	archive      Archive // nil for none
	blocks       *cache.Cache[chainKey, *audit.Block]
	segments     *cache.Cache[chainKey, []audit.Link]
	broken       brokenChains
	readings     readings
	patrol       patrol
	alerts       alertFollower
	keeping      keeping
	auditSetup   func() AuditSetup
	posture      func() Posture
	unsettled    unsettled
	rotating     sync.Map // dueKey → struct{}: secrets that are being rotated

	queues   queues
	inFlight sync.Map // idempotencyKey → struct{}: requests that run with a key
	reads    readCounts
	failures *access.Failures
	denials  *access.Denials
	watchers atomic.Int64
	waiters  atomic.Int64
}

// The bounds of the caches, and how long what is in them stays (C1).
const (
	documentCacheBytes = 128 << 20
	layerCacheBytes    = 128 << 20
	secretCacheBytes   = 32 << 20
	servedCacheBytes   = 16 << 20
	cacheAge           = 5 * time.Minute
	servedAge          = 24 * time.Hour

	decisionCacheEntries = 100_000
)

// failureSources is how many sources of failed authentications are told apart.
const failureSources = 10_000

// deniedPrincipals is how many principals who are denied something are told apart.
const deniedPrincipals = 10_000

// New makes a Service. It refuses to work without a store, which keeps the
// audit chains, and a keyring.
func New(o Options) *Service {
	if o.Store == nil || o.Keyring == nil {
		panic("service: a store and a keyring are needed")
	}
	if o.Limits == nil {
		o.Limits = func() Limits { return Limits{} }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	s := &Service{
		store: o.Store, keyring: o.Keyring, limits: func() Limits { return o.Limits().withDefaults() },
		clock: o.Clock, random: o.Random,
		tokens:    access.NewAuthenticator(provenTokens{o.Store, o.Keyring}, o.Clock),
		decisions: policy.NewCache(decisionCacheEntries), identities: o.Identities,
		failures: access.NewFailures(o.Clock, failureSources),
		denials:  access.NewDenials(o.Clock, deniedPrincipals),
		turns:    make(turns, turnsOfServer),
		documents: cache.New(cache.Options[cache.Key, *Document]{
			Weight: documentCacheBytes, Age: cacheAge,
			Weigh: func(k cache.Key, d *Document) uint32 { return uint32(len(k.Path.String()) + d.weight()) },
		}),
		layers: cache.New(cache.Options[cache.VersionKey, opened]{
			Weight: layerCacheBytes, Age: cacheAge,
			Weigh: func(k cache.VersionKey, o opened) uint32 { return uint32(len(k.Path.String()) + o.weight()) },
		}),
	}
	var err error
	if s.builtin, err = policy.Compile(policy.Source{}); err != nil {
		panic("service: the built-in policies do not compile: " + err.Error())
	}
	s.webhooks, s.metrics, s.logger = o.Webhooks, o.Metrics, o.Logger
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.secretHeads = cache.New(cache.Options[cache.PathKey, secretHeads]{
		Weight: secretCacheBytes, Age: cacheAge,
		Weigh: func(k cache.PathKey, h secretHeads) uint32 { return uint32(len(k.Path.String()) + h.weight()) },
	})
	s.secretValues = cache.New(cache.Options[cache.VersionKey, store.SecretValue]{
		Weight: secretCacheBytes, Age: cacheAge,
		Weigh: func(k cache.VersionKey, v store.SecretValue) uint32 {
			return uint32(len(k.Path.String()) + len(v.Sealed) + len(v.Wrapped) + 128)
		},
	})
	s.served = cache.New(cache.Options[servedKey, struct{}]{
		Weight: servedCacheBytes, Age: servedAge,
		Weigh: func(k servedKey, _ struct{}) uint32 { return uint32(len(k.Path.String()) + len(k.Principal) + 128) },
	})
	s.blocks, s.segments = newBlockCache(), newSegmentCache()
	s.archive, s.auditSetup, s.posture = o.Archive, o.Audit, o.Posture
	if s.auditSetup == nil {
		s.auditSetup = func() AuditSetup { return AuditSetup{} }
	}
	if s.posture == nil {
		s.posture = func() Posture { return Posture{} }
	}
	s.adoptions = cache.New(cache.Options[cache.VersionKey, time.Time]{
		Weight: 1 << 20, Age: ackTime, Weigh: func(k cache.VersionKey, _ time.Time) uint32 { return uint32(len(k.Path.String()) + 128) },
	})
	s.tenants.load = s.loadTenant
	return s
}

func (l Limits) withDefaults() Limits {
	if l.Document == 0 {
		l.Document = config.MaxDocumentBytes
	}
	if l.Watchers == 0 {
		l.Watchers = 10_000
	}
	if l.Waiters == 0 {
		l.Waiters = 1_000
	}
	return l
}

// Caller is who asks, and how the request is to be known in the records.
type Caller struct {
	Principal   access.Principal
	RequestID   string
	Source      netip.Addr        // network address; the zero Addr when it is unknown
	Claimed     *identity.Claimed // what vouches for the principal; nil for a token
	UserAgent   string
	TraceID     string       // of the caller's trace; "" for none
	Session     string       // what tells one login of the principal from another; "" for none
	Idempotency *Idempotency // nil when the request carries no key
}

// Ping says whether the service can do its work.
func (s *Service) Ping(ctx context.Context) error { return s.store.Ping(ctx) }

// randomID is a positive number that was never given before.
func (s *Service) randomID() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		return 0, unavailable(err, "no random numbers can be had")
	}
	return int64(binary.BigEndian.Uint64(b[:]) >> 1), nil
}

func unavailable(cause error, message string) error {
	e := config.Errorf(config.KindUnavailable, "%s", message).Hint("try again; if it stays so, the server's log says why")
	var known *config.Error
	if errors.As(cause, &known) && known.Next != "" {
		e.Next = known.Next
	}
	e.Cause = cause
	return e
}
