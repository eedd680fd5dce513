package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/settings"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

// endpoint is an address that is listened on, and the server behind it.
type endpoint struct {
	*http.Server
	listener net.Listener
}

func (e endpoint) url(withTLS bool) string {
	if withTLS {
		return "https://" + e.listener.Addr().String()
	}
	return "http://" + e.listener.Addr().String()
}

// listenAPI listens where the API is served: for so many connections, and over
// TLS if there is a certificate.
func (p *process) listenAPI(ctx context.Context, s settings.Settings) (endpoint, error) {
	e, err := p.listen(ctx, "--listen", s.Listen, p.outer(p.api))
	if err != nil {
		return e, err
	}
	e.listener = transport.Bound(e.listener, func() int { return p.live.Get().MaxConnections }, p.metrics.ConnectionRefused)
	if s.TLS() {
		e.listener = tls.NewListener(e.listener, p.tls.Config())
	}
	return e, nil
}

// outer is what a request passes before the routes.
func (p *process) outer(routes http.Handler) http.Handler {
	proxies := func() []netip.Prefix { return p.live.Get().TrustedProxies }
	trusted := transport.OnlyTrusted(proxies, p.tls.StillTrusted(p.cors.Handler(routes)))
	return p.metrics.Requests(patterns(p.api), transport.SecurityHeaders(trusted))
}

func (p *process) listen(ctx context.Context, flag, address string, handler http.Handler) (endpoint, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return endpoint{}, failf("cannot listen on %s: %v", address, err).hint("free the address, or choose another with %s", flag)
	}
	server := transport.NewServer(transport.ServerOptions{Handler: handler, Logger: telemetry.Component(p.logger, "http")})
	return endpoint{server, listener}, nil
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// adminRoutes are for operators only.
func (p *process) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range []string{api.RouteLive, api.RouteReady, api.RouteStartup} {
		mux.Handle("GET "+route, p.api)
	}
	mux.Handle("GET /metrics", p.metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	return mux
}
