package httpapi

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/limit"
)

// Places that tenants' requests cannot take. Whoever manages the server gets in
// while it is full, probes have places that nobody can hold for long, and who
// reads the documentation slowly is in nobody's way.
const (
	reservedPlaces = 64
	probePlaces    = 64
	pagePlaces     = 64
)

// accounts is how many tenants, and principals of none, are charged apart.
const accounts = 1 << 17

// pool is a number of places for requests that are worked on.
type pool struct{ taken atomic.Int64 }

// enter takes a place, and says how many are taken with it.
func (p *pool) enter(most int64) (taken int64, ok bool) {
	if taken = p.taken.Add(1); taken > most {
		p.taken.Add(-1)
		return taken, false
	}
	return taken, true
}

// held is what a request has taken, to be given back when it ends.
type held struct {
	pool   *pool // nil when it needs no place, and when it gave it back
	visit  limit.Visit
	key    limit.Key    // who is charged
	limits limit.Limits // theirs
	owes   debt
}

// debt is what a request is charged for when it is known how it ended.
type debt uint8

const (
	nothing         debt = iota
	unlessUnchanged      // of a read that had a condition
	ifRefused            // of what watchers do
)

func (h *held) leave() {
	if h.pool != nil {
		h.pool.taken.Add(-1)
	}
	h.visit.Leave()
	h.pool, h.visit = nil, limit.Visit{}
}

// enter finds a place for a request of which nothing but its address is known.
// A watch needs none while it is open: the service counts those.
func (s *Server) enter(r *http.Request, h *held) error {
	switch path := r.URL.Path; {
	case path == api.RouteLive, isWatch(r):
		return nil
	case path == api.RouteReady, path == api.RouteStartup:
		return h.take(&s.probes, probePlaces)
	case isPublic(path):
		return h.take(&s.pages, pagePlaces)
	case ofServer(path) && h.take(&s.reserved, reservedPlaces) == nil:
		return nil
	}
	return h.take(&s.general, int64(s.limits().InFlight))
}

// take moves to a place of another pool.
func (h *held) take(p *pool, most int64) error {
	taken, ok := p.enter(most)
	if !ok {
		return config.Errorf(config.KindOverloaded, "too many requests are in flight").Hint("try again in a moment").Over(most, taken)
	}
	h.leave()
	h.pool = p
	return nil
}

// ofServer says whether a path is of the server itself, or is a tenant as a
// server admin sees it: its existence and its quota.
func ofServer(path string) bool {
	rest, below := strings.CutPrefix(path, api.RouteTenants+"/")
	if !below {
		return strings.HasPrefix(path, api.Prefix+"/")
	}
	_, rest, below = strings.Cut(rest, "/")
	return !below || rest == "quota"
}

// admit charges a request whose principal is known, and refuses it when there
// is nothing left for its tenant. Nothing of its body was read by then.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, p access.Principal, h *held) error {
	manages := p.ServerAdmin && ofServer(r.URL.Path)
	if h.pool == &s.reserved && !manages {
		if err := h.take(&s.general, int64(s.limits().InFlight)); err != nil {
			return err
		}
	}
	now := s.clock()
	h.key, h.limits = s.account(p, manages)
	place, bucket := limit.Connection, limit.Requests
	switch reads := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case isWatch(r):
		place, bucket, h.owes = limit.Watch, limit.Watching, ifRefused
	case r.Method == http.MethodPost && isOfEnvironment(r.URL.Path, "/acks"):
		bucket, h.owes = limit.Watching, ifRefused
	case reads && len(r.Header["If-None-Match"]) > 0:
		bucket, h.owes = limit.Conditional, unlessUnchanged
	}
	v := s.limiter.Take(h.key, h.limits, bucket, now)
	tell(w.Header(), v)
	if !v.Allowed {
		h.owes = nothing
		return config.Errorf(config.KindRateLimited, "the tenant made as many requests as it may make in a minute").
			Hint("wait as long as Retry-After says; watch instead of asking again and again, or ask for a higher limit").
			Over(int64(v.Limit), 0).After(spread(v.RetryAfter))
	}
	visit, taken, ok := s.limiter.Enter(h.key, h.limits, place, now)
	if !ok {
		h.owes = nothing
		return noPlace(place, h.limits, taken)
	}
	h.visit = visit
	return nil
}

// account says who is charged for what a principal does: its tenant, also for
// what it tries elsewhere. Who manages the server is charged alone, so that no
// tenant's load is in the way.
func (s *Server) account(p access.Principal, manages bool) (limit.Key, limit.Limits) {
	limits := s.limits()
	if p.Tenant == (config.TenantID{}) || manages {
		return limit.Key{Method: p.Method, Principal: p.ID}, limits.ofEverybody()
	}
	if limits.Tenant != nil {
		return limit.Key{Tenant: p.Tenant}, limits.Tenant(p.Tenant)
	}
	return limit.Key{Tenant: p.Tenant}, limits.ofEverybody()
}

// ofEverybody is what a tenant has for which nothing else was said.
func (l Limits) ofEverybody() limit.Limits {
	return limit.Limits{Requests: max(l.RequestsPerMinute, 0), Watchers: l.TenantWatchers, Connections: l.TenantConnections}
}

func noPlace(p limit.Place, limits limit.Limits, taken int) error {
	if p == limit.Watch {
		return config.Errorf(config.KindRateLimited, "the tenant has too many watches open").
			Hint("let several services share one watch, or ask for a higher limit").
			Over(int64(limits.Watchers), int64(taken)).After(spread(watchReturn))
	}
	return config.Errorf(config.KindRateLimited, "the tenant has too many requests in flight").
		Hint("make fewer at the same time, or ask for a higher limit").
		Over(int64(limits.Connections), int64(taken)).After(time.Second)
}

// watchReturn is when to come back for a watch that there was no place for.
const watchReturn = 5 * time.Second

// spread is a time or up to a fifth more, so that those who were refused
// together do not come back together.
func spread(d time.Duration) time.Duration {
	return d + rand.N(d/5+1) //nolint:gosec // spreading load needs no secret
}

// settle charges a read that had a condition and was not unchanged, and a watch or
// an acknowledgement that was the caller's mistake: it may leave a record, which a
// watch does not. What fails for the server's own reasons is not on the tenant.
func (s *Server) settle(h *held, status int) {
	switch {
	case h.owes == unlessUnchanged && status != http.StatusNotModified:
		s.limiter.Owe(h.key, h.limits, s.clock())
	case h.owes == ifRefused && status >= http.StatusBadRequest && status < http.StatusInternalServerError:
		s.limiter.OweFailure(h.key, h.limits, s.clock())
	}
}

// holdBack answers the error of a failed authentication, when it is time to say
// it: each further failure of a source within a minute takes longer, and while
// it waits it has no place. Nobody else waits, whatever their address.
func (s *Server) holdBack(ctx context.Context, err error) error {
	if config.KindOf(err) == config.KindUnavailable { // which is not the caller's failure
		return err
	}
	state := stateOf(ctx)
	state.held.leave()
	delay := limit.Delay(s.service.Failures(state.source))
	if !s.delays.Hold(ctx, s.stopping, access.Network(state.source), delay) {
		return config.Errorf(config.KindRateLimited, "too many failed logins from this address wait for their answers").
			Hint("see that the token is right before trying again").After(spread(10 * time.Second))
	}
	return err
}

// The headers that tell how much is left. They are written as they are known,
// which is not how net/http would.
const (
	headerLimit     = "RateLimit-Limit"
	headerRemaining = "RateLimit-Remaining"
	headerReset     = "RateLimit-Reset"
)

// tell says how much is left, if there is a limit.
func tell(header http.Header, v limit.Verdict) {
	if v.Limit == 0 {
		return
	}
	header[headerLimit] = numeral(v.Limit)
	header[headerRemaining] = numeral(v.Remaining)
	header[headerReset] = numeral(int(wholeSeconds(v.Reset)))
}

// wholeSeconds is a time in seconds, of which the last counts when it has begun.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// numerals are small numbers as values of headers, which nobody changes.
var numerals = func() (all [1001][]string) {
	for i := range all {
		all[i] = []string{strconv.Itoa(i)}
	}
	return all
}()

func numeral(n int) []string {
	if n >= 0 && n < len(numerals) {
		return numerals[n]
	}
	return []string{strconv.Itoa(n)}
}
