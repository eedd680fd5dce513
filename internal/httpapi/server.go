// Package httpapi is the product over HTTP: it decodes one typed request for one
// function of the service, and encodes its answer. It decides nothing.
package httpapi

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/limit"
	"github.com/llm-devops/llm-config-manager/internal/service"
)

// Limits bound requests. Zero fields have the defaults noted.
type Limits struct {
	Body           int64          // bytes of a request's body: 10 MiB
	InFlight       int            // requests worked on at once: 1,024
	BodyTime       time.Duration  // for a body to arrive: 30 s
	Document       int            // bytes of a document: 1 MiB
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed: nobody's

	RequestsPerMinute int // of a tenant: 1,000; negative for no limit
	TenantWatchers    int // watches of a tenant that are open at once: 1,000
	TenantConnections int // requests of a tenant that are worked on at once: half of InFlight

	// Tenant is what a tenant has instead of these three; nil for nothing else.
	Tenant func(config.TenantID) limit.Limits
}

// Options are what a Server is made with.
type Options struct {
	Service *service.Service
	Logger  *slog.Logger
	Limits  func() Limits // asked at each request, so that they can be reloaded; nil for the defaults
	Version string        // of the program
	Ready   func() error  // nil when only the store must answer

	// Logins are the issuers in force, asked at each login; nil for none. People
	// can log in at those that have a Login and take a token more than once.
	Logins func() []identity.Issuer

	Limiter *limit.Limiter                       // what tenants have used; nil for one of its own
	Clock   func() time.Time                     // for what tenants have used; nil for time.Now
	After   func(time.Duration) <-chan time.Time // holds back answers to failed logins; nil for time.After
}

// Server serves the API. It is an http.Handler.
type Server struct {
	service *service.Service
	logger  *slog.Logger
	limits  func() Limits
	version string
	ready   func() error
	pace    pace

	limiter *limit.Limiter
	delays  *limit.Delays
	clock   func() time.Time
	logins  *logins

	general  pool // of tenants' requests
	reserved pool // of those who manage the server
	probes   pool // of whoever asks whether the server is ready
	pages    pool // of whoever reads the documentation

	mux      *http.ServeMux
	handler  http.Handler // mux behind everything that each request passes
	spec     *huma.OpenAPI
	routes   []Route
	stopping chan struct{}
	probed   probed
}

// Route is one row of the route table.
type Route struct {
	Method  string
	Pattern string
	Public  bool   // needs no credentials
	Action  string // what its caller must be allowed, as in config.read+secret.read; "authenticated" where that is enough
}

// New makes a Server. It refuses to work without a service and a logger.
func New(o Options) *Server {
	if o.Service == nil || o.Logger == nil {
		panic("httpapi: a service and a logger are needed")
	}
	if o.Limits == nil {
		o.Limits = func() Limits { return Limits{} }
	}
	if o.Limiter == nil {
		o.Limiter = limit.New(accounts)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	s := &Server{
		service: o.Service, logger: o.Logger, version: o.Version, ready: o.Ready, pace: defaultPace,
		limits:  func() Limits { return o.Limits().withDefaults() },
		limiter: o.Limiter, delays: limit.NewDelays(o.After), clock: o.Clock,
		logins:   newLogins(o.Logins, o.Clock),
		mux:      http.NewServeMux(),
		stopping: make(chan struct{}),
	}
	s.register()
	s.handler = s.outermost(s.mux)
	return s
}

func (l Limits) withDefaults() Limits {
	if l.Body == 0 {
		l.Body = 10 << 20
	}
	if l.InFlight == 0 {
		l.InFlight = 1024
	}
	if l.BodyTime == 0 {
		l.BodyTime = 30 * time.Second
	}
	if l.RequestsPerMinute == 0 {
		l.RequestsPerMinute = 1000
	}
	if l.TenantWatchers == 0 {
		l.TenantWatchers = 1000
	}
	if l.TenantConnections == 0 {
		l.TenantConnections = max(l.InFlight/2, 1)
	}
	return l
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Routes is the route table, in the order of registration.
func (s *Server) Routes() []Route { return s.routes }

// Stop tells every watcher where to resume, and readiness checks that the
// server goes. Requests in flight are not touched. It must be called once.
func (s *Server) Stop() { close(s.stopping) }
