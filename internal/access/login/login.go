// Package login is this program as a client of OpenID Connect issuers. It sends
// people to one, by a browser of this machine or by any other device, and takes
// the token they come back with; it renews that token and gives it back.
//
// It believes an issuer's addresses and tokens because they came over TLS from
// where the operator said. What a token is worth here is not decided by it: that
// is for the server's verifier, which checks signatures.
package login

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// ScopeOpenID is the scope without which there is no token to log in with.
const ScopeOpenID = "openid"

// Client is this program as one issuer knows it.
type Client struct {
	Endpoints
	Issuer string // its URL
	ID     string
	Secret string   // empty: a public client
	Scopes []string // beside openid
	HTTP   *http.Client
}

// Tokens are what an issuer hands out.
type Tokens struct {
	ID      string // the JWT that proves who it is
	Refresh string // empty when the issuer gives none
	Subject string // whom the ID token is of
	Expires time.Time
}

// Attempt is what ties an answer to the one who asked. All of it is drawn anew
// for each login.
type Attempt struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

// NewAttempt begins a login.
func NewAttempt() Attempt {
	return Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
}

// URL is where the browser is sent.
func (c Client) URL(a Attempt, redirect string) string {
	return c.config(redirect).AuthCodeURL(a.State, oauth2.S256ChallengeOption(a.Verifier), oauth2.SetAuthURLParam("nonce", a.Nonce))
}

// Code reads what the browser came back with. The error is of
// KindUnauthenticated when it is not the answer to this attempt, or a refusal.
func (c Client) Code(a Attempt, query url.Values) (string, error) {
	state, issuer, code := query.Get("state"), query.Get("iss"), query.Get("code")
	switch {
	case a.State == "" || subtle.ConstantTimeCompare([]byte(state), []byte(a.State)) != 1:
		return "", refused("the browser came back with the answer to another login", "log in again, and in one window only")
	case issuer != "" && issuer != c.Issuer:
		return "", refused("the browser came back from another issuer", "log in again")
	case query.Get("error") != "":
		return "", refusedAs(query.Get("error"), query.Get("error_description"))
	case code == "":
		return "", refused("the browser came back without a code", "log in again")
	}
	return code, nil
}

// Exchange takes the tokens for a code, if they are the answer to this attempt.
func (c Client) Exchange(ctx context.Context, a Attempt, redirect, code string) (Tokens, error) {
	answer, err := c.config(redirect).Exchange(c.context(ctx), code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Tokens{}, c.failure(err)
	}
	t, claims, err := c.tokens(answer)
	if err != nil {
		return Tokens{}, err
	}
	if nonce, _ := claims["nonce"].(string); a.Nonce == "" || subtle.ConstantTimeCompare([]byte(nonce), []byte(a.Nonce)) != 1 {
		return Tokens{}, refused("the issuer's token is the answer to another login", "log in again")
	}
	return t, nil
}

// Refresh renews tokens, of whom they are. Where the issuer changes the refresh
// token, the one before is spent.
func (c Client) Refresh(ctx context.Context, old Tokens) (Tokens, error) {
	source := c.config("").TokenSource(c.context(ctx), &oauth2.Token{RefreshToken: old.Refresh})
	answer, err := source.Token()
	if err != nil {
		return Tokens{}, c.failure(err)
	}
	t, _, err := c.tokens(answer)
	if err != nil {
		return Tokens{}, err
	}
	if t.Subject != old.Subject {
		return Tokens{}, refused("the issuer renewed the login as somebody else's", "log in again")
	}
	return t, nil
}

// Revoke takes a refresh token back. It does nothing where the issuer has no
// address for that.
func (c Client) Revoke(ctx context.Context, refresh string) error {
	if c.Revocation == "" {
		return nil
	}
	form := url.Values{"token": {refresh}, "token_type_hint": {"refresh_token"}, "client_id": {c.ID}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.HTTP.Do(request)
	if err != nil {
		return c.failure(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return refused("the issuer did not take the login back: it answered "+response.Status, "end the session at the issuer")
	}
	return nil
}

func (c Client) config(redirect string) *oauth2.Config {
	scopes := []string{ScopeOpenID}
	for _, scope := range c.Scopes {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	style := oauth2.AuthStyleInHeader
	if c.Secret == "" || c.SecretInBody {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: c.ID, ClientSecret: c.Secret, RedirectURL: redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: c.Authorization, TokenURL: c.Token, DeviceAuthURL: c.Device, AuthStyle: style},
	}
}

func (c Client) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.HTTP)
}

// failure puts what the library says into words. A refusal keeps the issuer's
// code and never its whole answer, in which there may be tokens.
func (c Client) failure(err error) error {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if answer.ErrorCode == "" && answer.Response.StatusCode >= http.StatusInternalServerError {
			return unavailable(c.Issuer, errors.New("it answered "+answer.Response.Status))
		}
		return refusedAs(cmp.Or(answer.ErrorCode, answer.Response.Status), answer.ErrorDescription)
	}
	if network, ok := errors.AsType[*url.Error](err); ok {
		return unavailable(c.Issuer, network.Err)
	}
	return unavailable(c.Issuer, errors.New("its answer holds no tokens"))
}

// refusal is a refusal with the issuer's own code.
type refusal struct{ code string }

func (r refusal) Error() string { return "the issuer answered " + r.code }

// codeOf is the issuer's code of a refusal, empty where there is none.
func codeOf(err error) string {
	if r, ok := errors.AsType[refusal](err); ok {
		return r.code
	}
	return ""
}

const maxQuoted = 200 // bytes of what an issuer says

func refusedAs(code, description string) error {
	message := "the issuer refused the login: " + quoted(code)
	if description != "" {
		message += " (" + quoted(description) + ")"
	}
	e := config.Errorf(config.KindUnauthenticated, "%s", message)
	e.Cause = refusal{quoted(code)}
	return e.Hint("log in again; if it goes on, ask whoever runs the issuer")
}

// quoted is what somebody else says, in one line of bounded length.
func quoted(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxQuoted)]
}

func refused(message, next string) error {
	return config.Errorf(config.KindUnauthenticated, "%s", message).Hint("%s", next)
}

func unavailable(issuer string, cause error) error {
	e := config.Errorf(config.KindUnavailable, "the issuer %s cannot be asked now: %v", issuer, cause)
	e.Cause = cause
	return e.Hint("check its address and its certificate, and try again in a moment")
}
