package issuertest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	redirect = "http://127.0.0.1:1/callback"
	verifier = "a-verifier-that-is-long-enough-to-be-one-by-the-standard"
)

type browser struct {
	*testing.T
	*Issuer
}

func newBrowser(t *testing.T) browser {
	i := New(t)
	i.Register("cli", "")
	i.Register("web", "a secret")
	return browser{t, i}
}

// code logs in and gives what the browser is sent back with.
func (b browser) code(change url.Values) url.Values {
	b.Helper()
	challenge := sha256.Sum256([]byte(verifier))
	query := url.Values{
		"response_type": {"code"}, "client_id": {"cli"}, "redirect_uri": {redirect}, "scope": {"openid offline_access"}, "state": {"st"}, "nonce": {"no"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for name, value := range change {
		query[name] = value
	}
	client := *b.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Get(b.URL + PathAuthorize + "?" + query.Encode())
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	location, err := response.Location()
	if err != nil {
		return nil
	}
	return location.Query()
}

func (b browser) post(path string, form url.Values) map[string]any {
	b.Helper()
	response, err := b.Client.PostForm(b.URL+path, form)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	return answer
}

func (b browser) refused(code string, answer map[string]any) {
	b.Helper()
	if answer["error"] != code {
		b.Errorf("want %s, got %v", code, answer)
	}
}

func claims(t *testing.T, token any) map[string]any {
	t.Helper()
	text, _ := token.(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %v", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBrowserFlow(t *testing.T) {
	b := newBrowser(t)
	back := b.code(nil)
	if back.Get("state") != "st" || back.Get("code") == "" {
		t.Fatalf("sent back with %v", back)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": back["code"], "client_id": {"cli"}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	tokens := b.post(PathToken, form)
	got := claims(t, tokens["id_token"])
	if got["aud"] != "cli" || got["nonce"] != "no" || got["sub"] != "user-1" || got["iss"] != b.URL {
		t.Errorf("got %v", got)
	}
	b.refused("invalid_grant", b.post(PathToken, form)) // a code is good once

	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}, "client_id": {"cli"}}
	b.User(map[string]any{"sub": "user-2"})
	if got := claims(t, b.post(PathToken, again)["id_token"]); got["sub"] != "user-2" {
		t.Errorf("got %v", got)
	}
	b.refused("invalid_grant", b.post(PathToken, again))
}

func TestBrowserFlowRefuses(t *testing.T) {
	b := newBrowser(t)
	for name, change := range map[string]url.Values{
		"unsupported_response_type": {"response_type": {"token"}},
		"invalid_scope":             {"scope": {"email"}},
		"invalid_request":           {"code_challenge_method": {"plain"}},
	} {
		if back := b.code(change); back.Get("error") != name || back.Has("code") {
			t.Errorf("%s: sent back with %v", name, back)
		}
	}
	if back := b.code(url.Values{"code_challenge": {""}}); back.Get("error") != "invalid_request" {
		t.Errorf("without PKCE: %v", back)
	}
	if back := b.code(url.Values{"client_id": {"nobody"}}); back != nil {
		t.Errorf("an unknown client is sent to %v", back)
	}
	for name, change := range map[string]string{"code_verifier": "another-verifier-that-is-long-enough-to-be-one", "redirect_uri": redirect + "2", "client_id": "web"} {
		form := url.Values{"grant_type": {"authorization_code"}, "code": b.code(nil)["code"], "client_id": {"cli"}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
		form.Set(name, change)
		if answer := b.post(PathToken, form); answer["error"] == nil {
			t.Errorf("another %s is taken", name)
		}
	}
	b.refused("unsupported_grant_type", b.post(PathToken, url.Values{"grant_type": {"password"}, "client_id": {"cli"}}))
}

func TestDeviceFlow(t *testing.T) {
	b := newBrowser(t)
	b.refused("invalid_client", b.post(PathDevice, url.Values{"client_id": {"web"}, "scope": {"openid"}}))
	device := b.post(PathDevice, url.Values{"client_id": {"web"}, "client_secret": {"a secret"}, "scope": {"openid"}})
	form := url.Values{"grant_type": {grantDevice}, "device_code": {device["device_code"].(string)}, "client_id": {"web"}, "client_secret": {"a secret"}}
	b.Pending(2)
	b.refused("authorization_pending", b.post(PathToken, form))
	b.refused("authorization_pending", b.post(PathToken, form))
	tokens := b.post(PathToken, form)
	if got := claims(t, tokens["id_token"]); got["aud"] != "web" || tokens["refresh_token"] != nil {
		t.Errorf("got %v of %v", got, tokens)
	}
	b.refused("invalid_grant", b.post(PathToken, form))
}
