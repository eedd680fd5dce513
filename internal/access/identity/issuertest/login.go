package issuertest

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// How long what the issuer hands out is good.
const (
	codeTime   = time.Minute
	deviceTime = 10 * time.Minute
	tokenTime  = 10 * time.Minute
)

// grant is what a code or a refresh token is good for, once.
type grant struct {
	kind      string // the grant_type it is used with
	client    string
	redirect  string
	challenge string
	nonce     string
	scopes    []string
	expires   time.Time
}

// Register adds a client, public when it has no secret.
func (i *Issuer) Register(client, secret string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clients[client] = secret
}

// User sets the claims of whoever logs in next; sub is one of them.
func (i *Issuer) User(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.user = maps.Clone(claims)
}

// Pending has the next polls of devices answered with "not yet".
func (i *Issuer) Pending(polls int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pending = polls
}

// authorize says yes for everybody: it sends the browser back with a code.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	query := r.URL.Query()
	redirect, err := url.Parse(query.Get("redirect_uri"))
	if _, known := i.clients[query.Get("client_id")]; !known || err != nil || redirect.Host == "" {
		refuse(w, "invalid_request", "the client or its redirect_uri is unknown")
		return
	}
	back := redirect.Query()
	back.Set("state", query.Get("state"))
	back.Set("iss", i.URL)
	switch scopes := strings.Fields(query.Get("scope")); {
	case query.Get("response_type") != "code":
		back.Set("error", "unsupported_response_type")
	case !slices.Contains(scopes, "openid"):
		back.Set("error", "invalid_scope")
	case query.Get("code_challenge_method") != "S256" || len(query.Get("code_challenge")) != 43:
		back.Set("error", "invalid_request")
	default:
		back.Set("code", i.hand(grant{
			kind: "authorization_code", client: query.Get("client_id"), redirect: query.Get("redirect_uri"),
			challenge: query.Get("code_challenge"), nonce: query.Get("nonce"), scopes: scopes, expires: i.clock().Add(codeTime),
		}))
	}
	redirect.RawQuery = back.Encode()
	http.Redirect(w, r, redirect.String(), http.StatusFound) //nolint:gosec // G710: a test says where its browser is sent back to
}

func (i *Issuer) device(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	client, ok := i.client(w, r)
	if !ok {
		return
	}
	scopes := strings.Fields(r.PostForm.Get("scope"))
	if !slices.Contains(scopes, "openid") {
		refuse(w, "invalid_scope", "the scope openid is missing")
		return
	}
	code := i.hand(grant{kind: grantDevice, client: client, scopes: scopes, expires: i.clock().Add(deviceTime)})
	answer(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": "BDWP-HQPK", "verification_uri": i.URL + "/device",
		"verification_uri_complete": i.URL + "/device?user_code=BDWP-HQPK", "expires_in": int(deviceTime.Seconds()), "interval": 1,
	})
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	client, ok := i.client(w, r)
	if !ok {
		i.mu.Unlock()
		return
	}
	g, code := i.redeem(r.PostForm, client)
	if code != "" {
		i.mu.Unlock()
		refuse(w, code, "the grant is not good")
		return
	}
	claims := maps.Clone(i.user)
	tokens := map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": int(tokenTime.Seconds()), "scope": strings.Join(g.scopes, " ")}
	if slices.Contains(g.scopes, "offline_access") {
		again := g
		again.kind, again.expires = "refresh_token", i.clock().Add(24*time.Hour)
		tokens["refresh_token"] = i.hand(again)
	}
	i.mu.Unlock()
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	claims["aud"], claims["jti"] = client, rand.Text()
	subject, _ := claims["sub"].(string)
	tokens["id_token"] = i.Sign(i.Claims(subject, claims))
	answer(w, http.StatusOK, tokens)
}

// redeem uses up a grant. The code is that of the refusal, empty when it is good.
func (i *Issuer) redeem(form url.Values, client string) (g grant, code string) {
	kind := form.Get("grant_type")
	member, known := map[string]string{"authorization_code": "code", "refresh_token": "refresh_token", grantDevice: "device_code"}[kind]
	if !known {
		return g, "unsupported_grant_type"
	}
	key := form.Get(member)
	g, there := i.grants[key]
	if !there || g.kind != kind || g.client != client {
		return g, "invalid_grant"
	}
	if !i.clock().Before(g.expires) {
		delete(i.grants, key)
		if kind == grantDevice {
			return g, "expired_token"
		}
		return g, "invalid_grant"
	}
	if kind == grantDevice && i.pending > 0 {
		i.pending--
		return g, "authorization_pending"
	}
	delete(i.grants, key)
	if kind != "authorization_code" {
		return g, ""
	}
	challenge := sha256.Sum256([]byte(form.Get("code_verifier")))
	if encode(challenge[:]) != g.challenge || len(form.Get("code_verifier")) < 43 || form.Get("redirect_uri") != g.redirect {
		return g, "invalid_grant"
	}
	return g, ""
}

// client finds out which client posts a form, and answers when it is none.
func (i *Issuer) client(w http.ResponseWriter, r *http.Request) (string, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		refuse(w, "invalid_request", "this is no form")
		return "", false
	}
	id, given := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(user)
		given, _ = url.QueryUnescape(password)
	}
	secret, known := i.clients[id]
	if !known || secret != given {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return "", false
	}
	return id, true
}

// hand keeps a grant under a name that nobody guesses.
func (i *Issuer) hand(g grant) string {
	name := rand.Text()
	i.grants[name] = g
	return name
}

func refuse(w http.ResponseWriter, code, description string) {
	answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": description})
}
