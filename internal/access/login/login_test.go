package login

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func TestBrowserFlow(t *testing.T) {
	for name, secret := range map[string]string{"a public client": "", "a client with a secret": "se:cret/+ 1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, secret)
			got := w.login()
			if got.Subject != "user-1" || got.Refresh == "" || strings.Count(got.ID, ".") != 2 || time.Until(got.Expires) < time.Minute {
				t.Errorf("got the tokens of %q until %s, refresh %t", got.Subject, got.Expires, got.Refresh != "")
			}
		})
	}
}

func TestSecretInBodyWhereTheIssuerWantsIt(t *testing.T) {
	w := newWorld(t, "secret")
	w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) {
		d := w.issuer.Discovery()
		d["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
		_ = json.NewEncoder(rw).Encode(d)
	})
	w.discover()
	if !w.client.SecretInBody {
		t.Fatal("the secret would be sent in the header")
	}
	w.login()
}

func TestCodeIsOfThisAttempt(t *testing.T) {
	w := newWorld(t, "")
	a := NewAttempt()
	good := w.browse(a)
	if code, err := w.client.Code(a, good); err != nil || code == "" {
		t.Fatalf("got %q and %v", code, err)
	}
	for says, change := range map[string]url.Values{
		"answer to another login":                   {"state": {NewAttempt().State}},
		"from another issuer":                       {"iss": {"https://evil.test"}},
		"without a code":                            {"code": {""}},
		"refused the login: access_denied (no?way)": {"error": {"access_denied"}, "error_description": {"no\nway"}},
	} {
		query := maps.Clone(good)
		maps.Copy(query, change)
		_, err := w.client.Code(a, query)
		wantRefusal(t, config.KindUnauthenticated, says, err)
	}
	_, err := w.client.Code(Attempt{}, url.Values{"code": {"c"}})
	wantRefusal(t, config.KindUnauthenticated, "answer to another login", err)
}

func TestExchangeRefuses(t *testing.T) {
	w := newWorld(t, "")
	a, others := NewAttempt(), NewAttempt()
	code := w.browse(a).Get("code")
	_, err := w.client.Exchange(t.Context(), others, redirect, code)
	wantRefusal(t, config.KindUnauthenticated, "refused the login: invalid_grant", err) // the verifier is another

	code = w.browse(a).Get("code")
	if _, err := w.client.Exchange(t.Context(), a, redirect, code); err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Exchange(t.Context(), a, redirect, code)
	wantRefusal(t, config.KindUnauthenticated, "invalid_grant", err) // a code is good once

	for says, claims := range map[string]map[string]any{
		"another login":    {"aud": "cli", "nonce": others.Nonce},
		"to another login": {"aud": "cli"},
		"another client":   {"aud": []string{"web"}, "nonce": a.Nonce},
		"another issuer":   {"aud": "cli", "nonce": a.Nonce, "iss": "https://evil.test"},
		"does not say":     {"aud": "cli", "nonce": a.Nonce, "sub": nil},
		"until when":       {"aud": "cli", "nonce": a.Nonce, "exp": "soon"},
	} {
		w.gives(claims)
		_, err := w.client.Exchange(t.Context(), a, redirect, "code")
		wantRefusal(t, config.KindUnauthenticated, says, err)
	}
	w.gives(map[string]any{"aud": []string{"web", "cli"}, "nonce": a.Nonce})
	if _, err := w.client.Exchange(t.Context(), a, redirect, "code"); err != nil {
		t.Errorf("one of several audiences: %v", err)
	}
}

// What an issuer answers may hold tokens, so it is never told.
func TestFailuresTellNoAnswer(t *testing.T) {
	w := newWorld(t, "")
	for name, test := range map[string]struct {
		status int
		kind   string
		body   string
		want   config.Kind
	}{
		"its own page":   {http.StatusForbidden, "text/html", "<p>canary</p>", config.KindUnauthenticated},
		"away":           {http.StatusBadGateway, "text/html", "<p>canary</p>", config.KindUnavailable},
		"no JSON":        {http.StatusOK, "application/json", "canary", config.KindUnavailable},
		"no ID token":    {http.StatusOK, "application/json", `{"access_token":"canary"}`, config.KindUnauthenticated},
		"no token":       {http.StatusOK, "application/json", `{"id_token":"canary"}`, config.KindUnavailable},
		"no JWT":         {http.StatusOK, "application/json", `{"access_token":"a","id_token":"canary"}`, config.KindUnauthenticated},
		"no base64":      {http.StatusOK, "application/json", `{"access_token":"a","id_token":"canary.!.x"}`, config.KindUnauthenticated},
		"no JSON within": {http.StatusOK, "application/json", `{"access_token":"a","id_token":"canary.Y2FuYXJ5.x"}`, config.KindUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", test.kind)
				rw.WriteHeader(test.status)
				_, _ = rw.Write([]byte(test.body))
			})
			_, err := w.client.Exchange(t.Context(), NewAttempt(), redirect, "code")
			wantRefusal(t, test.want, "", err)
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("the answer is told: %v", err)
			}
		})
	}
}

// A code is not sent on to where an answer redirects.
func TestNothingIsSentOn(t *testing.T) {
	w := newWorld(t, "")
	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	_, err := w.client.Exchange(t.Context(), NewAttempt(), redirect, "code")
	wantRefusal(t, config.KindUnavailable, "redirects", err)
	if w.issuer.Asked("/elsewhere") != 0 {
		t.Error("the code was sent on")
	}
}

func TestRefreshRotates(t *testing.T) {
	w := newWorld(t, "")
	first := w.login()
	second, err := w.client.Refresh(t.Context(), first)
	if err != nil || second.ID == first.ID || second.Refresh == "" || second.Refresh == first.Refresh {
		t.Fatalf("got the same tokens, or %v", err)
	}
	_, err = w.client.Refresh(t.Context(), first)
	wantRefusal(t, config.KindUnauthenticated, "invalid_grant", err)
	w.issuer.User(map[string]any{"sub": "user-2"})
	_, err = w.client.Refresh(t.Context(), second)
	wantRefusal(t, config.KindUnauthenticated, "somebody else", err)
	if SubjectOf(first.ID) != "user-1" || SubjectOf("x") != "" {
		t.Error("the subject is not read")
	}
}

func TestDeviceFlow(t *testing.T) {
	w := newWorld(t, "")
	d, err := w.client.StartDevice(t.Context())
	if err != nil || d.Code != "BDWP-HQPK" || !strings.HasPrefix(d.URL, w.issuer.URL) || !strings.Contains(d.Complete, d.Code) {
		t.Fatalf("got %+v and %v", d, err)
	}
	w.issuer.Pending(2)
	polls := 0
	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
		polls++
		rw.Header().Set("Content-Type", "application/json")
		switch polls {
		case 1:
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte(`{"error":"slow_down"}`))
		default:
			rw.WriteHeader(http.StatusServiceUnavailable)
			w.issuer.Answer(issuertest.PathToken, nil)
		}
	})
	p := &patient{}
	tokens, err := w.client.Await(t.Context(), d, p.pause)
	if err != nil || tokens.Subject != "user-1" || tokens.Refresh == "" {
		t.Fatalf("got the tokens of %q and %v", tokens.Subject, err)
	}
	want := []time.Duration{time.Second, 6 * time.Second, 11 * time.Second, 11 * time.Second, 11 * time.Second}
	if !slices.Equal(p.waits, want) {
		t.Errorf("polled after %s, want %s", p.waits, want)
	}
}

func TestDeviceFlowEnds(t *testing.T) {
	w := newWorld(t, "")
	start := func() *Device {
		d, err := w.client.StartDevice(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	late := start()
	late.Expires = time.Now().Add(-time.Second)
	_, err := w.client.Await(t.Context(), late, (&patient{}).pause)
	wantRefusal(t, config.KindUnauthenticated, "in time", err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.client.Await(ctx, start(), (&patient{}).pause); err == nil {
		t.Error("it goes on after it was given up")
	}

	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	p := &patient{}
	_, err = w.client.Await(t.Context(), start(), p.pause)
	wantRefusal(t, config.KindUnavailable, "502", err)
	if len(p.waits) != maxUnanswered+1 {
		t.Errorf("polled %d times", len(p.waits))
	}
	w.issuer.Answer(issuertest.PathToken, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(`{"error":"access_denied"}`))
	})
	_, err = w.client.Await(t.Context(), start(), p.pause)
	wantRefusal(t, config.KindUnauthenticated, "access_denied", err)

	w.client.Device = ""
	_, err = w.client.StartDevice(t.Context())
	wantRefusal(t, config.KindUnavailable, "no login for devices", err)
}

func TestRevoke(t *testing.T) {
	w := newWorld(t, "")
	if err := w.client.Revoke(t.Context(), "refresh"); err != nil {
		t.Errorf("an issuer that takes nothing back: %v", err)
	}
	status, form := http.StatusOK, url.Values{}
	w.issuer.Answer("/revoke", func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm
		rw.WriteHeader(status)
	})
	w.client.Revocation = w.issuer.URL + "/revoke"
	if err := w.client.Revoke(t.Context(), "refresh"); err != nil || form.Get("token") != "refresh" || form.Get("client_id") != "cli" {
		t.Errorf("sent %v: %v", form, err)
	}
	status = http.StatusBadRequest
	wantRefusal(t, config.KindUnauthenticated, "400", w.client.Revoke(t.Context(), "refresh"))
}

func TestDiscoverRefuses(t *testing.T) {
	w := newWorld(t, "")
	for says, change := range map[string]map[string]any{
		"of another issuer":                     {"issuer": "https://evil.test"},
		"token_endpoint is not https":           {"token_endpoint": "http://127.0.0.1/token"},
		"token_endpoint is no URL":              {"token_endpoint": "https://user@evil.test/token"},
		"authorization_endpoint is not https":   {"authorization_endpoint": "javascript://x/alert"},
		"authorization_endpoint is no URL":      {"authorization_endpoint": nil},
		"discovery document is not JSON":        nil,
		"discovery document was answered with ": {"status": 404},
	} {
		w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) {
			d := w.issuer.Discovery()
			maps.Copy(d, change)
			switch {
			case change == nil:
				_, _ = rw.Write([]byte("<html>"))
			case change["status"] != nil:
				rw.WriteHeader(http.StatusNotFound)
			default:
				_ = json.NewEncoder(rw).Encode(d)
			}
		})
		_, err := Discover(t.Context(), w.issuer.URL, w.client.HTTP)
		wantRefusal(t, config.KindUnavailable, says, err)
	}
	_, err := Discover(t.Context(), w.issuer.URL, HTTP(nil, nil))
	wantRefusal(t, config.KindUnavailable, "certificate", err)
	if _, err := Roots("login.go"); err == nil {
		t.Error("code counts as an authority")
	}
	for address, ok := range map[string]bool{"http://127.0.0.1/t": true, "http://[::1]/t": true, "http://localhost:1/t": true, "http://10.0.0.1/t": false, "https://a.test/t": true} {
		if got := mayBeAsked("http://127.0.0.1:1", address) == nil; got != ok {
			t.Errorf("%s below a plain issuer: %t", address, got)
		}
	}
}
