// Package transport is what a request passes before anybody asks whose it is:
// connections and their bounds, TLS with the certificates of both sides, and what
// browsers are told. It trusts nothing that a peer says and only a handshake
// proves, and decides nothing about who may do what.
package transport

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// The bounds of every connection.
const (
	maxHeader  = 64 << 10 // bytes of a request's line and header
	maxStreams = 250      // requests at once on one connection of HTTP/2
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	stallTime  = 30 * time.Second // in which a client of HTTP/2 takes at least a byte
)

// ServerOptions are what a server is made with.
type ServerOptions struct {
	Handler    http.Handler
	Logger     *slog.Logger
	HeaderTime time.Duration // for the handshake, and for each header to arrive; 0: 10 s
	IdleTime   time.Duration // that a connection is kept without a request; 0: 2 min
}

// NewServer makes a server whose clients can be neither slow nor long-winded. How
// long bodies and answers may take is the handler's to say.
func NewServer(o ServerOptions) *http.Server {
	return &http.Server{
		Handler:           o.Handler,
		ReadHeaderTimeout: cmp.Or(o.HeaderTime, headerTime),
		IdleTimeout:       cmp.Or(o.IdleTime, idleTime),
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: stallTime},
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
}
