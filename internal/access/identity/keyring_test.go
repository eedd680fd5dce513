package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access/identity/issuertest"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func (w *world) asked(discovery, keys int) {
	w.Helper()
	if d, k := w.issuer.Asked(issuertest.PathDiscovery), w.issuer.Asked(issuertest.PathKeys); d != discovery || k != keys {
		w.Errorf("the discovery document was asked for %d times and the keys %d times, not %d and %d", d, k, discovery, keys)
	}
}

func (w *world) keysAre(text string) {
	w.issuer.Answer(issuertest.PathKeys, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, text) })
}

func (w *world) discoveryHas(members map[string]any) {
	document := w.issuer.Discovery()
	maps.Copy(document, members)
	text, _ := json.Marshal(document)
	w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(text) })
}

func TestRandomKeyIDsAskTheIssuerOnceInTenSeconds(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	w.asked(1, 1)
	attack := func() {
		for i := range 50 {
			w.deny(config.KindUnauthenticated, errUnknownKey.Error(), w.good("a", nil, issuertest.Header("kid", fmt.Sprint("random-", i))))
		}
	}
	attack()
	w.asked(1, 1)
	w.clock.add(askPause - time.Nanosecond)
	attack()
	w.asked(1, 1)
	w.clock.add(time.Nanosecond)
	attack()
	w.asked(1, 2)
}

func TestWrongSignaturesAskNobody(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	w.clock.add(time.Minute)
	stranger := &issuertest.Key{ID: w.issuer.Key("RS256").ID, Algorithm: "RS256", Private: issuertest.RSA(2048, 4)}
	for range 5 {
		w.deny(config.KindUnauthenticated, "signature is wrong", w.good("a", nil, issuertest.With(stranger)))
	}
	w.asked(1, 1)
}

func TestKeysThatMoveAreFound(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	w.issuer.Rotate()
	w.issuer.Answer(issuertest.PathKeys, http.NotFound)
	w.discoveryHas(map[string]any{"jwks_uri": w.issuer.URL + "/moved"})
	w.issuer.Answer("/moved", func(rw http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(rw).Encode(w.issuer.KeySet()) })
	w.clock.add(askPause)
	w.deny(config.KindUnavailable, "status 404", w.good("a", nil))
	w.clock.add(askPause)
	w.allow(w.good("a", nil))
}

func TestRotationIsPickedUp(t *testing.T) {
	w := newWorld(t)
	before := w.good("before", nil)
	w.allow(w.good("a", nil))
	w.issuer.Rotate()
	after := w.good("after", nil)
	w.deny(config.KindUnauthenticated, errUnknownKey.Error(), after)
	w.clock.add(askPause)
	w.allow(after)
	w.asked(1, 2)
	w.deny(config.KindUnauthenticated, errUnknownKey.Error(), before)
}

func TestKeysAreRefreshedEveryHour(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	taken := w.issuer.Key("RS256")
	w.issuer.Rotate()
	old := func() string { return w.good("a", nil, issuertest.With(taken)) }
	w.clock.add(keysFresh - time.Nanosecond)
	w.allow(old())
	w.asked(1, 1)
	w.clock.add(time.Nanosecond)
	w.deny(config.KindUnauthenticated, errUnknownKey.Error(), old())
	w.asked(2, 2)
}

func TestOutage(t *testing.T) {
	w := newWorld(t)
	w.issuer.Away(true)
	w.deny(config.KindUnavailable, "status 503", w.good("a", nil))
	w.issuer.Away(false)
	w.deny(config.KindUnavailable, "status 503", w.good("a", nil)) // it is not asked again at once
	w.asked(1, 0)
	w.clock.add(askPause)
	w.allow(w.good("a", nil))

	w.issuer.Away(true)
	w.clock.add(keysFresh)
	w.allow(w.good("old keys are kept", nil))
	failed := w.issuer.Asked(issuertest.PathDiscovery)
	w.clock.add(agePause - time.Nanosecond)
	w.allow(w.good("and the issuer is left alone", nil))
	if again := w.issuer.Asked(issuertest.PathDiscovery); again != failed {
		t.Errorf("it was asked %d times more", again-failed)
	}
	w.deny(config.KindUnavailable, "status 503", w.good("a", nil, issuertest.Header("kid", "new"))) // it may be a new one
	w.clock.add(keysKept - keysFresh - agePause)
	w.allow(w.good("a", nil))
	w.clock.add(time.Nanosecond)
	w.deny(config.KindUnavailable, "status 503", w.good("a", nil))
	w.issuer.Away(false)
	w.clock.add(askPause)
	w.allow(w.good("a", nil))
	if log := w.log.String(); !strings.Contains(log, "cannot be fetched") || !strings.Contains(log, "can be fetched again") {
		t.Errorf("the log says %s", log)
	}
}

func TestClockPutBackAsksAgain(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	w.clock.add(-48 * time.Hour)
	w.allow(w.good("a", nil))
	w.asked(2, 2)
}

// held is an issuer whose keys come only when the test says so.
func (w *world) held() (asked chan struct{}, release func()) {
	asked, gate := make(chan struct{}, 100), make(chan struct{})
	set := w.issuer.KeySet()
	w.issuer.Answer(issuertest.PathKeys, func(rw http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-gate:
			_ = json.NewEncoder(rw).Encode(set)
		case <-r.Context().Done():
		}
	})
	release = sync.OnceFunc(func() { close(gate) })
	w.Cleanup(release)
	return asked, release
}

func TestManyWaitForOneFetch(t *testing.T) {
	w := newWorld(t)
	asked, release := w.held()
	token := w.good("a", nil)
	var all sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		all.Go(func() { _, errs[i] = w.verifier.JWT(t.Context(), token) })
	}
	<-asked
	release()
	all.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	w.asked(1, 1)
}

func TestWhoGivesUpStopsNobodyElse(t *testing.T) {
	w := newWorld(t)
	asked, release := w.held()
	token := w.good("a", nil)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error), make(chan error)
	go func() { _, err := w.verifier.JWT(ctx, token); first <- err }()
	<-asked
	go func() { _, err := w.verifier.JWT(t.Context(), token); second <- err }()
	cancel()
	wantRefusal(t, config.KindUnavailable, "canceled", <-first)
	release()
	if err := <-second; err != nil {
		t.Error(err)
	}
	w.asked(1, 1)
}

func TestSlowIssuerIsNotWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.held()
	w.verifier.current.Load().names["corp"].keys.askTime = time.Millisecond
	w.deny(config.KindUnavailable, "deadline exceeded", w.good("a", nil))
}

// copied is a copy of a file in another place.
func copied(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "copy.pem")
	if err := os.WriteFile(other, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}

func TestWhatIssuersAnswer(t *testing.T) {
	rsa := &issuertest.Key{ID: "k", Algorithm: "RS256", Private: issuertest.RSA(2048, 0)}
	public := func(change map[string]any) string {
		key := rsa.Public()
		maps.Copy(key, change)
		text, _ := json.Marshal(key)
		return string(text)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	large := strings.Repeat(" ", maxAnswer)
	for _, row := range []struct {
		name  string
		set   func(w *world)
		cause string // empty: the token is taken
	}{
		{"a key", func(w *world) { w.keysAre(set(public(nil))) }, ""},
		{"a key among others that are not understood", func(w *world) {
			w.keysAre(set(`{"kty":"AKP2"}`, `{"kty":"RSA"}`, `7`, public(nil)))
		}, ""},
		{"a key without use and alg", func(w *world) {
			w.keysAre(set(public(map[string]any{"use": "", "alg": ""})))
		}, ""},
		{"a redirect on the same host", func(w *world) {
			w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) })
			w.issuer.Answer("/elsewhere", func(rw http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(rw).Encode(w.issuer.Discovery()) })
			w.keysAre(set(public(nil)))
		}, ""},

		{"a key for encryption", func(w *world) { w.keysAre(set(public(map[string]any{"use": "enc"}))) }, "no key that a signature"},
		{"a private key", func(w *world) {
			w.keysAre(set(public(map[string]any{"d": "AQAB"}), public(map[string]any{"kty": "oct", "k": "c2VjcmV0"})))
		}, "no key that a signature"},
		{"a key for another algorithm", func(w *world) { w.keysAre(set(public(map[string]any{"alg": "RS512"}))) }, errUnknownKey.Error()},
		{"a key with the exponent 1", func(w *world) { w.keysAre(set(public(map[string]any{"e": "AQ"}))) }, "no key that a signature"},
		{"an EC key off its curve", func(w *world) {
			w.keysAre(set(`{"kty":"EC","kid":"k","crv":"P-256","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}`))
		}, "no key that a signature"},
		{"no keys", func(w *world) { w.keysAre(set()) }, "no key that a signature"},
		{"101 keys", func(w *world) { w.keysAre(set(slices.Repeat([]string{public(nil)}, 101)...)) }, "101 keys"},
		{"keys that are not JSON", func(w *world) { w.keysAre("<html>") }, "not JSON"},
		{"more than 1 MiB of keys", func(w *world) { w.keysAre(large + set(public(nil))) }, "more than 1048576 bytes"},
		{"keys without end", func(w *world) {
			w.issuer.Answer(issuertest.PathKeys, func(rw http.ResponseWriter, _ *http.Request) {
				for {
					if _, err := io.WriteString(rw, large); err != nil {
						return
					}
				}
			})
		}, "more than 1048576 bytes"},
		{"keys not found", func(w *world) { w.issuer.Answer(issuertest.PathKeys, http.NotFound) }, "status 404"},
		{"another issuer's discovery document", func(w *world) { w.discoveryHas(map[string]any{"issuer": "https://else.example.com"}) }, "is of the issuer"},
		{"a discovery document with a slash more", func(w *world) { w.discoveryHas(map[string]any{"issuer": w.issuer.URL + "/"}) }, "is of the issuer"},
		{"no jwks_uri", func(w *world) { w.discoveryHas(map[string]any{"jwks_uri": ""}) }, "no jwks_uri"},
		{"jwks_uri over http", func(w *world) { w.discoveryHas(map[string]any{"jwks_uri": "http://example.com/keys"}) }, "not https"},
		{"jwks_uri over http on loopback, of an issuer on https", func(w *world) { w.discoveryHas(map[string]any{"jwks_uri": "http://127.0.0.1/keys"}) }, "not https"},
		{"jwks_uri is a file", func(w *world) { w.discoveryHas(map[string]any{"jwks_uri": "file:///etc/passwd"}) }, "jwks_uri"},
		{"jwks_uri with a password", func(w *world) { w.discoveryHas(map[string]any{"jwks_uri": "https://a:b@example.com/"}) }, "no jwks_uri"},
		{"a discovery document that is not JSON", func(w *world) {
			w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello") })
		}, "not JSON"},
		{"a circle of redirects", func(w *world) {
			w.issuer.Answer(issuertest.PathDiscovery, func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) })
		}, "redirects too often"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			row.set(w)
			token := w.good("a", nil, issuertest.With(rsa))
			switch row.cause {
			case "":
				w.allow(token)
			case errUnknownKey.Error():
				w.deny(config.KindUnauthenticated, row.cause, token)
			default:
				w.deny(config.KindUnavailable, row.cause, token)
			}
		})
	}
}

func TestIssuersCertificateIsVerified(t *testing.T) {
	w := newWorld(t)
	w.useText(strings.Replace(w.text("", bindings), "ca: "+w.issuer.CA, "", 1))
	w.deny(config.KindUnavailable, "certificate", w.good("a", nil))

	lent := New(Options{Clock: w.clock.time, HTTP: w.issuer.Client})
	w.verifier = lent
	w.useText(strings.Replace(w.text("", bindings), "ca: "+w.issuer.CA, "", 1))
	w.allow(w.good("a", nil))
}

func TestClientsOfIssuersAskNoProxy(t *testing.T) {
	transport, ok := clientFor(nil, nil).Transport.(*http.Transport)
	if !ok || transport.Proxy != nil || transport.TLSClientConfig.InsecureSkipVerify {
		t.Error("the environment, or no authority, decides who answers")
	}
}

func TestPlainIssuerOnLoopback(t *testing.T) {
	w := newWorld(t)
	w.issuer.URL = strings.Replace(w.issuer.Plain(t), "127.0.0.1", "localhost", 1)
	w.use("")
	w.allow(w.good("a", nil))
}

func TestUseKeepsKeysOfTheSameIssuer(t *testing.T) {
	w := newWorld(t)
	w.allow(w.good("a", nil))
	w.use("  leeway: 1m\n  max_age: 1h")
	w.allow(w.good("b", nil))
	w.asked(1, 1)
	w.useText(strings.Replace(w.text("", bindings), "ca: "+w.issuer.CA, "ca: "+copied(t, w.issuer.CA), 1))
	w.allow(w.good("c", nil))
	w.asked(1, 1) // the same authorities in another place

	text, err := os.ReadFile(w.issuer.CA)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.issuer.CA, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	w.use("")
	w.allow(w.good("d", nil))
	w.asked(2, 2) // other authorities
}

func TestUseRefusesACAThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	token := w.good("a", nil)
	w.allow(token)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{empty, filepath.Join(t.TempDir(), "absent.pem")} {
		file, err := ParseFile([]byte(strings.Replace(w.text("", bindings), "ca: "+w.issuer.CA, "ca: "+ca, 1)))
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, config.KindBadRequest, "", w.verifier.Use(file))
	}
	w.allow(token) // the file before stays in force
}

// A key that does not say what it is for is used for what it fits.
func TestKeysAreChosenByWhatTheyFit(t *testing.T) {
	signers := map[string]crypto.Signer{"RSA": issuertest.RSA(2048, 0)}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers[name] = key
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signers["Ed25519"] = edwards
	var keys []verificationKey
	for name, signer := range signers {
		keys = append(keys, verificationKey{id: name, public: signer.Public()})
	}
	wanted := map[string]string{
		"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "ES256": "P-256", "ES384": "P-384", "EdDSA": "Ed25519",
		"ES512": "", "PS384": "", "HS256": "", "none": "", "": "",
	}
	for algorithm, want := range wanted {
		for name := range signers {
			if got := len(choose(keys, name, algorithm)) == 1; got != (name == want) {
				t.Errorf("%s by a key on %s: %t", algorithm, name, got)
			}
		}
		if got := len(choose(keys, "", algorithm)) == 1; got != (want != "") {
			t.Errorf("%s without a key's id: %t", algorithm, got)
		}
	}
}
