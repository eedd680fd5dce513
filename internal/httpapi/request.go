package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

// requestState is what is known of a request while it runs.
type requestState struct {
	requestID string
	source    netip.Addr
	caller    service.Caller
	body      []byte
	held      held
	err       error    // why it failed, for the log
	code      api.Code // what the caller was told
}

// wipe clears what came in the body. Nothing that outlives the request holds a
// part of it.
func (s *requestState) wipe() {
	clear(s.body)
	if s.caller.Idempotency != nil {
		clear(s.caller.Idempotency.Request)
	}
}

func (s *requestState) failed(err error, code api.Code) { s.err, s.code = err, code }

type stateKey struct{}

// stateOf is the state of the request that a context belongs to.
func stateOf(ctx context.Context) *requestState {
	if state, ok := ctx.Value(stateKey{}).(*requestState); ok {
		return state
	}
	return &requestState{}
}

// callerOf is who makes the request.
func callerOf(ctx context.Context) service.Caller { return stateOf(ctx).caller }

// outermost is what every request passes: an id, a log line, bounds, the check
// of its path and, unless the route is public, authentication.
func (s *Server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		state := &requestState{requestID: requestID(r.Header.Get(api.HeaderRequestID)), source: s.source(r)}
		r = r.WithContext(context.WithValue(r.Context(), stateKey{}, state))
		w.Header()[api.HeaderRequestID] = []string{state.requestID}
		w.Header()["X-Content-Type-Options"] = nosniff
		out := &observedWriter{ResponseWriter: w}
		defer s.log(out, r, state, began)
		if o, ok := w.(interface{ Matched(pattern string) }); ok {
			defer func() { o.Matched(r.Pattern) }()
		}
		defer s.recoverPanic(out, r)
		s.pass(out, r, state, next)
	})
}

// requestID takes over the id that a client sent, if it is one, else makes one.
func requestID(sent string) string {
	if telemetry.ValidRequestID(sent) {
		return sent
	}
	id, err := telemetry.NewRequestID(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return id
}

var nosniff = []string{"nosniff"}

// answerTime is how long an answer may take to be made and taken, besides the
// time that the request's body may take.
const answerTime = time.Minute

// pass lets a request through to its route, if it may. Whatever is refused for
// want of a place or of a right is refused before its body is read.
func (s *Server) pass(w *observedWriter, r *http.Request, state *requestState, next http.Handler) {
	// Who does not take its answer is left, or a few such would hold all places.
	// A watch has a deadline of its own for each of its writes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits().BodyTime + answerTime))
	defer state.held.leave()
	err := s.enter(r, &state.held)
	if err == nil {
		err = checkPath(r)
	}
	if err == nil && !isPublic(r.URL.Path) {
		defer state.wipe()
		err = s.identify(w, r, state)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	next.ServeHTTP(w, r)
	s.settle(&state.held, w.status)
}

// identify finds out whose request it is and, if there is room for it, takes
// its body.
func (s *Server) identify(w http.ResponseWriter, r *http.Request, state *requestState) error {
	if err := s.authenticate(r, state); err != nil {
		return s.holdBack(r.Context(), err)
	}
	if err := s.admit(w, r, state.caller.Principal, &state.held); err != nil {
		return err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return s.readBody(w, r, state)
}

// isPublic names the routes that need no credentials.
func isPublic(path string) bool {
	switch path {
	case api.RouteLive, api.RouteReady, api.RouteStartup, api.RouteOpenAPI, api.RouteDocumentation, api.RouteAuditSchema,
		api.RouteLoginMethods, api.RouteLogin, api.RouteLoginCallback, api.RouteLogout:
		return true
	}
	return false
}

// isWatch says whether a request is a watch or follows an audit chain, which are
// counted by the service. A document may be called watch as well; it lies deeper.
func isWatch(r *http.Request) bool {
	return r.Method == http.MethodGet && (isOfEnvironment(r.URL.Path, "/watch") || isTail(r.URL.Path))
}

// isTail says whether a path is that of the tail of an audit chain.
func isTail(path string) bool {
	_, ofTenant, _ := strings.Cut(strings.TrimPrefix(path, api.RouteTenants+"/"), "/")
	return path == api.RouteServerTail || strings.HasPrefix(path, api.RouteTenants+"/") && ofTenant == "audit/tail"
}

// isOfEnvironment says whether a path is this one of an environment.
func isOfEnvironment(path, suffix string) bool {
	return strings.HasSuffix(path, suffix) && strings.HasPrefix(path, api.RouteTenants+"/") &&
		strings.Count(path, "/") == strings.Count(api.RouteEnvironment, "/")+1
}

// checkPath refuses what a router would clean, decode or redirect: what is
// authorised must be byte for byte what was sent.
func checkPath(r *http.Request) error {
	escaped := r.URL.EscapedPath()
	bad := escaped == "" || escaped[0] != '/' || r.RequestURI == "*"
	for i := 0; i+2 < len(escaped) && !bad; i++ {
		if escaped[i] != '%' {
			continue
		}
		switch strings.ToLower(escaped[i+1 : i+3]) {
		case "2f", "5c", "00":
			bad = true
		}
	}
	if !bad && escaped != "/" {
		for segment := range strings.SplitSeq(r.URL.Path[1:], "/") {
			bad = bad || segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\x00\\")
		}
	}
	if bad {
		return config.Errorf(config.KindInvalidPath, "the URL's path has an empty or dot segment, or an encoded slash, backslash or NUL").
			Hint("write paths like gateway/eu-1/models, unencoded")
	}
	return nil
}

func (s *Server) authenticate(r *http.Request, state *requestState) error {
	state.caller = anonymous(r, state)
	c := credentials(r)
	if c.Bearer != "" || c.Leaf != nil {
		if err := transport.CheckCrossOrigin(r); err != nil { // a browser adds cookies and certificates by itself
			return err
		}
	}
	known, err := s.service.Authenticate(r.Context(), c, state.caller)
	state.caller = known
	return err
}

// anonymous is a caller of whom nothing is known but where from and how.
func anonymous(r *http.Request, state *requestState) service.Caller {
	return service.Caller{
		RequestID: state.requestID, Source: state.source, UserAgent: bounded(r.UserAgent(), 256),
		TraceID: traceID(r.Header["Traceparent"]),
	}
}

// credentials are what a request comes with. The header beats a browser's login.
func credentials(r *http.Request) (c service.Credentials) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case len(r.Header["Authorization"]) > 1: // whoever put them there may mean another one to count
		c.Bearer = noToken
	case strings.EqualFold(scheme, "Bearer"):
		c.Bearer = token
	case scheme == "":
		c.Bearer = sessionOf(r)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && len(r.TLS.VerifiedChains[0]) > 0 {
		c.Leaf = r.TLS.VerifiedChains[0][0]
	}
	return c
}

// noToken is what lets nobody in, not even who has a certificate.
const noToken = "-"

// bounded is the text, or as much of its beginning as fits into n bytes.
func bounded(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}

// source is the caller's network address. A proxy's word is believed only if
// the proxy is trusted, and then the last address that no trusted proxy added.
// Where it says something that is no address, nobody knows: that is the zero Addr,
// and never the proxy, as which a caller could else come.
func (s *Server) source(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	source, trusted := peer.Addr().Unmap(), s.limits().TrustedProxies
	if len(trusted) == 0 || !within(source, trusted) || len(r.Header["X-Forwarded-For"]) == 0 {
		return source
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if source = hopOf(hops[i]); !within(source, trusted) { // as is what does not parse
			break
		}
	}
	return source
}

// hopOf is an address as proxies write them, some with the port; the zero Addr
// for what is none.
func hopOf(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap()
	}
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.HasSuffix(inner, "]") {
		text = strings.TrimSuffix(inner, "]")
	}
	address, _ := netip.ParseAddr(text) // the zero Addr if it is none
	return address.Unmap()
}

func within(address netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// believedLength is how much memory a body gets for saying that it is long;
// more it gets as it comes.
const believedLength = 64 << 10

// readBody takes the whole body, within its bounds of size and time, so that no
// route can forget them.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, state *requestState) error {
	limits := s.limits()
	if isSecret(r.URL.Path) {
		limits.Body = min(limits.Body, maxSecretBody)
	}
	if r.ContentLength > limits.Body {
		return bodyTooLarge(limits.Body, r.ContentLength)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return config.Errorf(config.KindUnsupportedMediaType, "request bodies must not be compressed").At("Content-Encoding").Hint("send the body as it is")
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(limits.BodyTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	body, err := readAtMost(r.Body, limits.Body+1, r.ContentLength)
	state.body = body // which is cleared at the end, however this ends
	switch {
	case int64(len(body)) > limits.Body:
		return bodyTooLarge(limits.Body, int64(len(body)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return config.Errorf(config.KindTimeout, "the body did not arrive within %s", limits.BodyTime).Hint("send it faster, or in smaller parts")
	case err != nil:
		return config.Errorf(config.KindBadRequest, "the body ended early")
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if key := r.Header.Get(api.HeaderIdempotent); key != "" {
		state.caller.Idempotency = &service.Idempotency{Key: key, Request: fingerprint(r, body)}
	}
	return nil
}

// readAtMost reads until the end, or so many bytes. It clears what it outgrows:
// there may be values of secrets in it.
func readAtMost(body io.Reader, limit, told int64) (text []byte, err error) {
	text = make([]byte, 0, min(max(told, 0), believedLength)+bytes.MinRead)
	for int64(len(text)) < limit {
		if len(text) == cap(text) {
			grown := append(make([]byte, 0, 2*cap(text)), text...)
			clear(text)
			text = grown
		}
		room := text[len(text):min(int64(cap(text)), limit)]
		n, err := body.Read(room)
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
	}
	return text, nil
}

// isSecret says whether a path is that of a secret, whose bodies are bounded
// more closely.
func isSecret(path string) bool {
	for range strings.Count(api.RouteSecrets, "/") - 1 {
		_, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if !found {
			return false
		}
		path = rest
	}
	return strings.HasPrefix(path, "secrets/")
}

// fingerprint is all of a request that must be the same when its key comes again.
func fingerprint(r *http.Request, body []byte) []byte {
	var head bytes.Buffer
	for _, part := range []string{
		r.Method, r.URL.RequestURI(), r.Header.Get("If-Match"), r.Header.Get("If-None-Match"),
		r.Header.Get("Content-Type"), r.Header.Get(api.HeaderMessage),
	} {
		fmt.Fprintf(&head, "%d:%s,", len(part), part)
	}
	return append(append(make([]byte, 0, head.Len()+len(body)), head.Bytes()...), body...) // one copy, which is cleared
}

func bodyTooLarge(limit, actual int64) error {
	return config.Errorf(config.KindTooLarge, "the request's body is too large").Hint("send it in smaller parts").Over(limit, actual)
}

// recoverPanic makes of a panic an opaque 500, and lets net/http end a
// connection whose answer had begun.
func (s *Server) recoverPanic(w *observedWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
		panic(cause)
	}
	s.logger.ErrorContext(r.Context(), "panic", "request", stateOf(r.Context()).requestID, "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	s.fail(w, r, internalError)
}

// loggedMethod is a method that HTTP knows; callers can make up others, and
// broken ones send the beginning of a body as one.
func loggedMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// maxLoggedName bounds what the log says of names, which callers choose.
const maxLoggedName = 128

// log writes the one line that each request has.
func (s *Server) log(w *observedWriter, r *http.Request, state *requestState, began time.Time) {
	level := slog.LevelInfo
	if w.status >= http.StatusInternalServerError && state.code != api.CodeNotYet {
		level = slog.LevelError
	}
	if !s.logger.Enabled(r.Context(), level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("request", state.requestID),
		slog.String("method", loggedMethod(r.Method)),
		slog.String("path", bounded(r.URL.Path, 1024)),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Int64("duration_us", time.Since(began).Microseconds()),
		slog.String("actor", state.caller.Principal.Actor()),
		slog.String("client", clientName(state.source)),
	}
	if tenant := r.PathValue("tenant"); tenant != "" {
		attributes = append(attributes, slog.String("tenant", bounded(tenant, maxLoggedName)))
	}
	if state.code != "" {
		attributes = append(attributes, slog.String("code", string(state.code)))
	}
	if state.err != nil && level == slog.LevelError {
		attributes = append(attributes, slog.String("error", telemetry.Causes(state.err)))
	}
	if why := refusedFor(state.err); why != "" {
		attributes = append(attributes, slog.String("why", why))
	}
	s.logger.LogAttrs(r.Context(), level, "request", attributes...)
}

// refusedFor is why credentials were refused, which only the log tells: whoever
// sets an issuer up has to find out.
func refusedFor(err error) string {
	var e *config.Error
	if !errors.As(err, &e) || e.Kind != config.KindUnauthenticated || e.Cause == nil {
		return ""
	}
	return bounded(telemetry.Causes(e.Cause), 256)
}

// clientName is whence a request came, for the log.
func clientName(source netip.Addr) string {
	if !source.IsValid() {
		return "unknown"
	}
	return source.String()
}

// observedWriter notes what was answered.
type observedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *observedWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *observedWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *observedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
