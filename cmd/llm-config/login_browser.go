package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/login"
)

const (
	browserTime  = 5 * time.Minute // to log in at the issuer
	callbackPath = "/callback"
)

// byBrowser has the browser of this machine log in, and waits for it to come back.
func (l *loginFlags) byBrowser(ctx context.Context, c login.Client) (login.Tokens, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return login.Tokens{}, failf("cannot listen on 127.0.0.1 for the browser to come back: %v", err).hint("use --device")
	}
	callback := &callback{host: listener.Addr().String(), answer: make(chan url.Values, 1)}
	server := &http.Server{Handler: callback, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the page is still on its way
		defer cancel()
		if server.Shutdown(ending) != nil {
			_ = server.Close()
		}
	}()

	attempt, redirect := login.NewAttempt(), "http://"+callback.host+callbackPath
	address := c.URL(attempt, redirect)
	l.say("open this address in a browser of this machine:")
	l.say("%s", address)
	if !l.noBrowser {
		openBrowser(ctx, address)
	}
	query, err := callback.wait(ctx, l.app)
	if err != nil {
		return login.Tokens{}, err
	}
	code, err := c.Code(attempt, query)
	if err != nil {
		return login.Tokens{}, err
	}
	return c.Exchange(ctx, attempt, redirect, code)
}

// callback answers the one request with which a browser comes back.
type callback struct {
	host   string
	came   atomic.Bool
	answer chan url.Values
}

func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	switch {
	case r.Method != http.MethodGet || r.URL.Path != callbackPath || r.Host != c.host:
		w.WriteHeader(http.StatusNotFound)
		return
	case c.came.Swap(true):
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, "<!doctype html><title>llm-config</title><p>This login is over. Begin it again in the terminal.</p>\n")
		return
	}
	_, _ = io.WriteString(w, "<!doctype html><title>llm-config</title><p>The login goes on in the terminal. This page may be closed.</p>\n")
	c.answer <- r.URL.Query()
}

// wait takes what the browser came back with, if it does so in time.
func (c *callback) wait(ctx context.Context, a *app) (url.Values, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	late := make(chan error, 1)
	go func() { late <- a.pause(ctx, browserTime) }()
	select {
	case query := <-c.answer:
		return query, nil
	case err := <-late:
		if err != nil {
			return nil, err
		}
		return nil, failf("the browser did not come back within %s", browserTime).hint("run it again; where the browser is on another machine, with --device")
	}
}

// openBrowser has the desktop open an address. Who has no desktop reads it.
func openBrowser(ctx context.Context, address string) {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	c := exec.CommandContext(context.WithoutCancel(ctx), program, address) //nolint:gosec // G204: an https URL of the issuer, which is no option
	if c.Start() == nil {
		go func() { _ = c.Wait() }()
	}
}
