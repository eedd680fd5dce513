package httpapi

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/access/identity"
	"github.com/llm-devops/llm-config-manager/internal/access/login"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/telemetry"
	"github.com/llm-devops/llm-config-manager/internal/transport"
)

const (
	loginTime   = 10 * time.Minute // to log in at the issuer
	issuerFresh = time.Hour        // that its addresses are believed
	issuerAway  = 5 * time.Second  // that an issuer is left alone that could not be asked
	maxSecret   = 4 << 10          // bytes of a client's secret
)

// logins are what browsers log in with.
type logins struct {
	issuers func() []identity.Issuer
	sealer  cipher.AEAD // for logins in progress, which end with the process
	clock   func() time.Time

	mu    sync.Mutex
	known map[issuerKey]knownIssuer
}

// issuerKey is what an issuer's addresses depend on.
type issuerKey struct{ url, ca string }

type knownIssuer struct {
	endpoints login.Endpoints
	err       error // why it could not be asked
	asked     time.Time
}

// newLogins draws the key that no other process has.
func newLogins(issuers func() []identity.Issuer, clock func() time.Time) *logins {
	if issuers == nil {
		issuers = func() []identity.Issuer { return nil }
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key is as long as it has to be
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has blocks as GCM needs them
	}
	return &logins{issuers: issuers, sealer: sealer, clock: clock, known: map[issuerKey]knownIssuer{}}
}

// offered are the issuers that people can log in at. A token that is good once
// would be spent by the login itself.
func (l *logins) offered() []identity.Issuer {
	return slices.DeleteFunc(slices.Clone(l.issuers()), func(i identity.Issuer) bool { return i.Login == nil || i.Replay })
}

// loginMethods says where people log in. A client with a secret is the server's
// own: no command line can be it, so that its id is not told.
func (s *Server) loginMethods(context.Context, *struct{}) (*body[api.LoginMethods], error) {
	out := api.LoginMethods{Issuers: []api.LoginIssuer{}}
	for _, i := range s.logins.offered() {
		one := api.LoginIssuer{Name: i.Name, Issuer: i.URL, Scopes: []string{login.ScopeOpenID}, Browser: true}
		for _, scope := range i.Login.Scopes {
			if !slices.Contains(one.Scopes, scope) {
				one.Scopes = append(one.Scopes, scope)
			}
		}
		if i.Login.ClientSecretFile == "" {
			one.ClientID = i.Login.ClientID
		}
		out.Issuers = append(out.Issuers, one)
	}
	return answerOf(out), nil
}

// named is the issuer of a name, or the only one.
func (l *logins) named(name string) (identity.Issuer, error) {
	offered := l.offered()
	if name == "" && len(offered) == 1 {
		return offered[0], nil
	}
	for _, i := range offered {
		if i.Name == name {
			return i, nil
		}
	}
	e := config.Errorf(config.KindNotFound, "there is no such issuer to log in at").At("issuer")
	return identity.Issuer{}, e.Hint("%s lists them", api.RouteLoginMethods)
}

// client is this server as an issuer knows it.
func (l *logins) client(ctx context.Context, i identity.Issuer) (login.Client, error) {
	c := login.Client{Issuer: i.URL, ID: i.Login.ClientID, Scopes: i.Login.Scopes, HTTP: login.HTTP(nil, nil)}
	if i.CA != "" {
		roots, err := login.Roots(i.CA)
		if err != nil {
			return c, issuerUnavailable(err)
		}
		c.HTTP = login.HTTP(roots, nil)
	}
	if file := i.Login.ClientSecretFile; file != "" {
		secret, err := readSecretFile(file)
		if err != nil {
			return c, issuerUnavailable(err)
		}
		c.Secret = secret
	}
	var err error
	c.Endpoints, err = l.endpoints(ctx, i, c.HTTP)
	return c, err
}

func readSecretFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	secret := strings.TrimSpace(string(text))
	if err == nil && (secret == "" || len(text) > maxSecret) {
		err = errors.New("the file of the client's secret is empty or too long")
	}
	return secret, err
}

// endpoints asks an issuer for its addresses once in a while: anybody may begin a
// login, and the issuer is not to notice.
func (l *logins) endpoints(ctx context.Context, i identity.Issuer, h *http.Client) (login.Endpoints, error) {
	key, now := issuerKey{i.URL, i.CA}, l.clock()
	l.mu.Lock()
	known, there := l.known[key]
	l.mu.Unlock()
	fresh := issuerFresh
	if known.err != nil {
		fresh = issuerAway
	}
	if age := now.Sub(known.asked); there && age >= 0 && age < fresh {
		return known.endpoints, known.err
	}
	known = knownIssuer{asked: now}
	if known.endpoints, known.err = login.Discover(ctx, i.URL, h); known.err != nil {
		known.err = issuerUnavailable(known.err)
	}
	if ctx.Err() != nil { // it says nothing of the issuer
		return known.endpoints, known.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[key] = known
	return known.endpoints, known.err
}

// begun is a login in progress, as the browser keeps it.
type begun struct {
	login.Attempt
	Issuer  string    `json:"issuer"` // name
	URL     string    `json:"url"`    // of the issuer: a name may become another's
	To      string    `json:"to"`
	Expires time.Time `json:"expires"`
}

// loginPurpose keeps what is sealed here from being taken for anything else.
var loginPurpose = []byte("llm-config login in progress")

func (l *logins) seal(b begun) (string, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(l.sealer.Seal(nil, nil, text, loginPurpose)), nil //nolint:gosec // G407: this sealer draws each nonce itself
}

// open reads what seal wrote in this process within the last ten minutes.
func (l *logins) open(sealed string) (begun, error) {
	var b begun
	text, err := base64.RawURLEncoding.DecodeString(sealed)
	if err == nil {
		text, err = l.sealer.Open(nil, nil, text, loginPurpose)
	}
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return b, errors.New("the browser brought no login that this process began")
	}
	if !l.clock().Before(b.Expires) {
		return b, errors.New("the login took too long")
	}
	return b, nil
}

// login sends a browser to an issuer.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	target, err := s.beginLogin(w, r)
	if err != nil {
		s.failedPage(w, r, err)
		return
	}
	pageHeader(w.Header())
	w.Header().Set("Location", target) // of the issuer, which the settings name
	w.WriteHeader(http.StatusFound)
}

func (s *Server) beginLogin(w http.ResponseWriter, r *http.Request) (target string, err error) {
	query, err := parseQuery(r)
	if err != nil {
		return "", err
	}
	for name := range query {
		if name != "issuer" && name != "to" {
			return "", config.Errorf(config.KindBadRequest, "this route takes issuer and to").At(plain(name)).Hint("leave the other parameters out")
		}
	}
	to := api.RouteDocumentation
	if query.Has("to") {
		if to = query.Get("to"); !isLocal(to) {
			return "", config.Errorf(config.KindBadRequest, "after a login nobody is sent to there").At("to").Hint("give a path of this server, like /docs")
		}
	}
	issuer, err := s.logins.named(query.Get("issuer"))
	if err != nil {
		return "", err
	}
	client, err := s.logins.client(r.Context(), issuer)
	if err != nil {
		return "", err
	}
	b := begun{Attempt: login.NewAttempt(), Issuer: issuer.Name, URL: issuer.URL, To: to, Expires: s.clock().Add(loginTime)}
	sealed, err := s.logins.seal(b)
	if err != nil {
		return "", err
	}
	http.SetCookie(w, browserCookie(r, loginCookie(r), sealed, loginTime, http.SameSiteLaxMode))
	return client.URL(b.Attempt, callbackOf(r)), nil
}

// loginCallback is where an issuer sends a browser back to.
func (s *Server) loginCallback(w http.ResponseWriter, r *http.Request) {
	to, err := s.endLogin(w, r)
	if err != nil {
		s.failedPage(w, r, s.holdBack(r.Context(), err))
		return
	}
	s.goOnPage(w, to)
}

// endLogin makes of the answer of an issuer a session. Whatever the browser
// brought is used up.
func (s *Server) endLogin(w http.ResponseWriter, r *http.Request) (to string, err error) {
	state := stateOf(r.Context())
	state.caller = anonymous(r, state)
	http.SetCookie(w, browserCookie(r, loginCookie(r), "", -1, http.SameSiteLaxMode))
	b, tokens, err := s.takeTokens(r)
	if err != nil {
		return "", s.refuseLogin(r, b.Issuer, err)
	}
	known, err := s.service.Authenticate(r.Context(), service.Credentials{Bearer: tokens.ID}, state.caller)
	if err != nil {
		return "", s.loginRefused(r, b.Issuer, err)
	}
	state.caller = known
	if len(tokens.ID) > maxSession {
		return "", config.Errorf(config.KindTooLarge, "the issuer's token is too large for a browser to keep").
			Hint("use `llm-config login`, or have the issuer put less into ID tokens").Over(maxSession, int64(len(tokens.ID)))
	}
	lasts := known.Principal.Expires.Sub(s.clock())
	http.SetCookie(w, browserCookie(r, sessionCookie(r), tokens.ID, lasts, http.SameSiteStrictMode))
	return b.To, nil
}

// takeTokens trades what a browser came back with for tokens.
func (s *Server) takeTokens(r *http.Request) (b begun, t login.Tokens, err error) {
	query, err := parseQuery(r)
	if err != nil {
		return b, t, err
	}
	cookie, err := r.Cookie(loginCookie(r))
	if err != nil {
		return b, t, errors.New("the browser brought no login at all")
	}
	if b, err = s.logins.open(cookie.Value); err != nil {
		return b, t, err
	}
	issuer, err := s.logins.named(b.Issuer)
	if err == nil && issuer.URL != b.URL {
		err = errors.New("the issuer is another by now")
	}
	if err != nil {
		return b, t, err
	}
	client, err := s.logins.client(r.Context(), issuer)
	if err != nil {
		return b, t, err
	}
	code, err := client.Code(b.Attempt, query)
	if err != nil {
		return b, t, err
	}
	t, err = client.Exchange(r.Context(), b.Attempt, callbackOf(r), code)
	return b, t, err
}

// refuseLogin counts a login that did not get as far as a token as the failed
// authentication that it is. An issuer that is away is nobody's failure.
func (s *Server) refuseLogin(r *http.Request, issuer string, cause error) error {
	if config.KindOf(cause) != config.KindUnavailable {
		if _, err := s.service.Authenticate(r.Context(), service.Credentials{}, stateOf(r.Context()).caller); config.KindOf(err) == config.KindUnavailable {
			return err // it could not be put on record
		}
	}
	return s.loginRefused(r, issuer, cause)
}

// loginRefused is the one answer to every login that does not work. Why, is for
// the log.
func (s *Server) loginRefused(r *http.Request, issuer string, cause error) error {
	s.logger.InfoContext(r.Context(), "login refused", "request", stateOf(r.Context()).requestID, "issuer", issuer, "error", telemetry.Causes(cause))
	if config.KindOf(cause) == config.KindUnavailable {
		return issuerUnavailable(cause)
	}
	e := config.Errorf(config.KindUnauthenticated, "the login did not work")
	e.Cause = cause
	return e.Hint("begin it again; if it goes on, ask whoever runs this server")
}

func issuerUnavailable(cause error) error {
	e := config.Errorf(config.KindUnavailable, "nobody can log in at this issuer now")
	e.Cause = cause
	return e.Hint("try again in a moment; if it goes on, ask whoever runs this server")
}

// logout makes a browser forget its session. The token in it stays good until it
// expires: it is the issuer's to end it earlier.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if err := transport.CheckCrossOrigin(r); err != nil {
		s.failedPage(w, r, err)
		return
	}
	http.SetCookie(w, browserCookie(r, sessionCookie(r), "", -1, http.SameSiteStrictMode))
	http.SetCookie(w, browserCookie(r, loginCookie(r), "", -1, http.SameSiteLaxMode))
	s.loggedOutPage(w)
}

// callbackOf is where the browser is to come back to, as the issuer knows it.
func callbackOf(r *http.Request) string {
	scheme := "https"
	if plainLoopback(r) {
		scheme = "http"
	}
	return (&url.URL{Scheme: scheme, Host: r.Host, Path: api.RouteLoginCallback}).String()
}
