package keepers

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys/fake"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// azureFake is a vault with real RSA keys behind the SDK's own fake server, over
// TLS and with the challenge that Key Vault sends first.
type azureFake struct {
	server  *httptest.Server
	mu      sync.Mutex
	keys    map[string][]*rsa.PrivateKey // key name → its versions
	refusal string                       // an error code for every request
	status  int
}

// azureVersion names the nth version of a key, counted from 0.
func azureVersion(name string, n int) string {
	sum := sha256.Sum256(append([]byte(name), byte(n)))
	return hex.EncodeToString(sum[:16])
}

func startAzure(t *testing.T, names ...string) *azureFake {
	t.Helper()
	f := &azureFake{keys: map[string][]*rsa.PrivateKey{}}
	for _, name := range names {
		f.rotate(t, name)
	}
	transport := fake.NewServerTransport(&fake.Server{Encrypt: f.encrypt, Decrypt: f.decrypt, Sign: f.sign, Verify: f.verify})
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.example/tenant", resource="https://vault.azure.net"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		path := strings.Split(r.URL.Path, "/")
		operation := path[len(path)-1]
		call := r.Clone(context.WithValue(r.Context(), runtime.CtxAPINameKey{}, "Client."+strings.ToUpper(operation[:1])+operation[1:]))
		call.URL.Scheme, call.URL.Host, call.RequestURI = "https", r.Host, ""
		answer, err := transport.Do(call)
		var refusal *azcore.ResponseError
		if errors.As(err, &refusal) {
			answer, err = refusal.RawResponse, nil
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(f.server.Close)
	return f
}

func (f *azureFake) rotate(t *testing.T, name string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[name] = append(f.keys[name], key)
}

func (f *azureFake) refuse(status int, code string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.refusal = status, code
}

// find answers a version of a key, the newest when none is named, and its id.
func (f *azureFake) find(name, version string, fail *azfake.ErrorResponder) (*rsa.PrivateKey, *azkeys.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refusal != "" {
		fail.SetResponseError(f.status, f.refusal)
		return nil, nil
	}
	if whole, part, ok := strings.Cut(name, "/"); ok { // the SDK's fake leaves the version at the name
		name, version = whole, part
	}
	versions := f.keys[name]
	for n, key := range versions {
		if version == azureVersion(name, n) || version == "" && n == len(versions)-1 {
			return key, to.Ptr(azkeys.ID(f.server.URL + "/keys/" + name + "/" + azureVersion(name, n)))
		}
	}
	fail.SetResponseError(http.StatusNotFound, "KeyNotFound")
	return nil, nil
}

func (f *azureFake) encrypt(_ context.Context, name, version string, p azkeys.KeyOperationParameters, _ *azkeys.EncryptOptions) (answer azfake.Responder[azkeys.EncryptResponse], fail azfake.ErrorResponder) {
	key, id := f.find(name, version, &fail)
	if key == nil {
		return answer, fail
	}
	out, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, p.Value, nil)
	if err != nil || *p.Algorithm != azkeys.EncryptionAlgorithmRSAOAEP256 {
		fail.SetResponseError(http.StatusBadRequest, "BadParameter")
		return answer, fail
	}
	answer.SetResponse(http.StatusOK, azkeys.EncryptResponse{KeyOperationResult: azkeys.KeyOperationResult{KID: id, Result: out}}, nil)
	return answer, fail
}

func (f *azureFake) decrypt(_ context.Context, name, version string, p azkeys.KeyOperationParameters, _ *azkeys.DecryptOptions) (answer azfake.Responder[azkeys.DecryptResponse], fail azfake.ErrorResponder) {
	key, id := f.find(name, version, &fail)
	if key == nil {
		return answer, fail
	}
	out, err := rsa.DecryptOAEP(sha256.New(), nil, key, p.Value, nil)
	if err != nil {
		fail.SetResponseError(http.StatusBadRequest, "BadParameter")
		return answer, fail
	}
	answer.SetResponse(http.StatusOK, azkeys.DecryptResponse{KeyOperationResult: azkeys.KeyOperationResult{KID: id, Result: out}}, nil)
	return answer, fail
}

func (f *azureFake) sign(_ context.Context, name, version string, p azkeys.SignParameters, _ *azkeys.SignOptions) (answer azfake.Responder[azkeys.SignResponse], fail azfake.ErrorResponder) {
	key, id := f.find(name, version, &fail)
	if key == nil {
		return answer, fail
	}
	out, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, p.Value, nil)
	if err != nil || *p.Algorithm != azkeys.SignatureAlgorithmPS256 {
		fail.SetResponseError(http.StatusBadRequest, "BadParameter")
		return answer, fail
	}
	answer.SetResponse(http.StatusOK, azkeys.SignResponse{KeyOperationResult: azkeys.KeyOperationResult{KID: id, Result: out}}, nil)
	return answer, fail
}

func (f *azureFake) verify(_ context.Context, name, version string, p azkeys.VerifyParameters, _ *azkeys.VerifyOptions) (answer azfake.Responder[azkeys.VerifyResponse], fail azfake.ErrorResponder) {
	key, _ := f.find(name, version, &fail)
	if key == nil {
		return answer, fail
	}
	err := rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, p.Digest, p.Signature, nil)
	answer.SetResponse(http.StatusOK, azkeys.VerifyResponse{KeyVerifyResult: azkeys.KeyVerifyResult{Value: to.Ptr(err == nil)}}, nil)
	return answer, fail
}

func (f *azureFake) open(t *testing.T, key string) seal.Keeper {
	t.Helper()
	options := &azkeys.ClientOptions{
		ClientOptions:                        azcore.ClientOptions{Transport: f.server.Client(), Retry: policy.RetryOptions{MaxRetries: -1}},
		DisableChallengeResourceVerification: true, // the fake is at 127.0.0.1
	}
	parts, err := newAzure(strings.TrimPrefix(f.server.URL, "https://")+"/keys/"+key, nil, &azfake.TokenCredential{}, options)
	if err != nil {
		t.Fatal(err)
	}
	return parts.keeper(defaultTimeout)
}

func TestAzureAgainstAFake(t *testing.T) {
	f := startAzure(t, "master", "other")
	s := subject{keeper: f.open(t, "master"), other: f.open(t, "other")}
	conform(t, s)
	t.Run("altered behind the check", func(t *testing.T) {
		w, err := parseWrapped(s.wrap(t, "key", "use"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.ciphertext {
			w.ciphertext[i] ^= 1
			s.refuses(t, "altered ciphertext or signature", w.bytes(), "use")
			w.ciphertext[i] ^= 1
		}
		for _, version := range []string{"", "x", w.version[1:], strings.Replace(w.version, "master", "other", 1), w.version + "0"} {
			other := w
			other.version = version
			s.refuses(t, "version "+version, other.bytes(), "use")
		}
		w.ciphertext = w.ciphertext[1:]
		s.refuses(t, "odd length", w.bytes(), "use")
	})
	t.Run("forged with the public key", func(t *testing.T) { f.forged(t, s) })
	t.Run("rotation", func(t *testing.T) { f.rotation(t, s) })
}

// forged is what whoever writes to the store could do: everyone may have the
// public half of an RSA key.
func (f *azureFake) forged(t *testing.T, s subject) {
	genuine, err := parseWrapped(s.wrap(t, "key", "use"))
	if err != nil {
		t.Fatal(err)
	}
	key := make([]byte, keyBytes)
	rand.Read(key)
	ciphertext, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.keys["master"][0].PublicKey, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, signature := range map[string][]byte{"a signature of another": genuine.ciphertext[len(ciphertext):], "no signature": make([]byte, len(ciphertext))} {
		w := wrapped{kind: kindAzure, version: genuine.version, ciphertext: append(ciphertext[:len(ciphertext):len(ciphertext)], signature...)}
		w.body = make([]byte, nonceBytes)
		w.body = aead.Seal(w.body, w.body[:nonceBytes], []byte("a key of the attacker"), append(w.head(), "use"...))
		s.refuses(t, name, w.bytes(), "use")
	}
}

func (f *azureFake) rotation(t *testing.T, s subject) {
	named, old := s.keeper.(seal.KeyNamer), s.wrap(t, "key", "use")
	f.rotate(t, "master")
	renewed := s.wrap(t, "key", "use")
	s.opens(t, old, "use", "key")
	s.opens(t, renewed, "use", "key")
	if !strings.HasSuffix(named.KeyOf(old), azureVersion("master", 0)) || !strings.HasSuffix(named.KeyOf(renewed), azureVersion("master", 1)) {
		t.Errorf("KeyOf before and after rotation: %q, %q", named.KeyOf(old), named.KeyOf(renewed))
	}
	pinned := subject{keeper: f.open(t, "master/"+azureVersion("master", 0))}
	if got := named.KeyOf(pinned.wrap(t, "key", "use")); got != named.KeyOf(old) {
		t.Errorf("a keeper whose URL names a version wraps with %q", got)
	}
	pinned.opens(t, renewed, "use", "key")
}

func TestAzureRefusals(t *testing.T) {
	f := startAzure(t, "master")
	s := subject{keeper: f.open(t, "master")}
	w := s.wrap(t, "key", "use")
	for _, c := range []struct {
		status int
		code   string
		want   string
	}{
		{http.StatusForbidden, "Forbidden", "allow encrypt, decrypt, sign and verify"},
		{http.StatusUnauthorized, "Unauthorized", "does not accept the credentials"},
		{http.StatusNotFound, "KeyNotFound", "recover the key if it was deleted"},
		{http.StatusConflict, "ObjectIsDeletedButRecoverable", "recover it"},
		{http.StatusTooManyRequests, "Throttled", "takes no more requests"},
		{http.StatusBadRequest, "KeyOperationNotPermitted", "among its operations"},
		{http.StatusInternalServerError, "InternalServerError", "is 500 InternalServerError"},
	} {
		f.refuse(c.status, c.code)
		_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
		unavailable(t, err, "azurekeyvault 127.0.0.1:", "/keys/master: ", c.want)
		_, err = s.keeper.Wrap(t.Context(), nil, nil)
		unavailable(t, err, c.want)
	}
	f.server.Close()
	_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "no answer from Azure Key Vault")
}
