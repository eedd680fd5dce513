package keepers

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// awsFake speaks as much of AWS KMS as Encrypt and Decrypt need: signed JSON 1.1
// requests, and ciphertexts that say which key made them.
type awsFake struct {
	mu     sync.Mutex
	keys   map[string]cipher.AEAD // key id → key
	fail   []string               // codes to answer next, before anything else
	asked  int
	closed string // a code for every request
}

type awsRequest struct {
	KeyID               string `json:"KeyId"`
	EncryptionAlgorithm string
	Plaintext           []byte
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
}

func startAWS(t *testing.T, keys ...string) *awsFake {
	t.Helper()
	f := &awsFake{keys: map[string]cipher.AEAD{}}
	for _, name := range keys {
		f.keys[name] = newTestAEAD(t)
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-one")
	t.Setenv("AWS_CONFIG_FILE", "/nowhere")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
	return f
}

func newTestAEAD(t *testing.T) cipher.AEAD {
	t.Helper()
	key := make([]byte, keyBytes)
	rand.Read(key)
	aead, err := newAEAD(key)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func (f *awsFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	answer, code := f.answer(r)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if code != "" {
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": code, "message": "the fake says " + code}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func (f *awsFake) answer(r *http.Request) (answer map[string]any, code string) {
	signature := r.Header.Get("Authorization")
	var in awsRequest
	switch {
	case !strings.HasPrefix(signature, "AWS4-HMAC-SHA256 Credential=AKIDTEST/") || !strings.Contains(signature, "/eu-west-1/kms/aws4_request"):
		return nil, "MissingAuthenticationTokenException"
	case r.Header.Get("Content-Type") != "application/x-amz-json-1.1" || json.NewDecoder(r.Body).Decode(&in) != nil:
		return nil, "SerializationException"
	case in.EncryptionAlgorithm != "SYMMETRIC_DEFAULT":
		return nil, "ValidationException"
	case f.closed != "":
		return nil, f.closed
	case len(f.fail) > 0:
		code, f.fail = f.fail[0], f.fail[1:]
		return nil, code
	}
	aead := f.keys[in.KeyID]
	if aead == nil {
		return nil, "NotFoundException"
	}
	bound, _ := json.Marshal(in.EncryptionContext)
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		nonce := make([]byte, nonceBytes)
		rand.Read(nonce)
		blob := append([]byte(in.KeyID+"\x00"), nonce...)
		return map[string]any{"KeyId": in.KeyID, "CiphertextBlob": aead.Seal(blob, nonce, in.Plaintext, bound)}, ""
	case "TrentService.Decrypt":
		return f.decrypt(in, bound)
	}
	return nil, "UnknownOperationException"
}

func (f *awsFake) decrypt(in awsRequest, bound []byte) (answer map[string]any, code string) {
	name, sealed, _ := bytes.Cut(in.CiphertextBlob, []byte{0})
	switch {
	case f.keys[string(name)] == nil || len(sealed) < nonceBytes:
		return nil, "InvalidCiphertextException"
	case string(name) != in.KeyID:
		return nil, "IncorrectKeyException"
	}
	plain, err := f.keys[in.KeyID].Open(nil, sealed[:nonceBytes], sealed[nonceBytes:], bound)
	if err != nil {
		return nil, "InvalidCiphertextException"
	}
	return map[string]any{"KeyId": in.KeyID, "Plaintext": plain}, ""
}

const awsTestKey = "awskms://alias/master?region=eu-west-1"

func TestAWSAgainstAFake(t *testing.T) {
	f := startAWS(t, "alias/master", "alias/other")
	s := subject{keeper: mustOpen(t, awsTestKey), other: mustOpen(t, "awskms://alias/other?region=eu-west-1")}
	conform(t, s)
	t.Run("altered behind the check", func(t *testing.T) {
		w, err := parseWrapped(s.wrap(t, "key", "use"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.ciphertext {
			w.ciphertext[i] ^= 1
			s.refuses(t, "altered ciphertext", w.bytes(), "use")
			w.ciphertext[i] ^= 1
		}
	})
	t.Run("throttled for a moment", func(t *testing.T) {
		f.mu.Lock()
		f.fail = []string{"ThrottlingException"}
		f.mu.Unlock()
		s.opens(t, s.wrap(t, "key", "use"), "use", "key")
	})
	t.Run("what stands in the URL is bound", func(t *testing.T) {
		w := s.wrap(t, "key", "use")
		team := subject{keeper: mustOpen(t, awsTestKey+"&context_team=a")}
		team.refuses(t, "without its context", w, "use")
		team.opens(t, team.wrap(t, "key", "use"), "use", "key")
	})
	t.Run("endpoint in the URL", func(t *testing.T) {
		endpoint := httptest.NewServer(f)
		defer endpoint.Close()
		t.Setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
		own := subject{keeper: mustOpen(t, awsTestKey+"&endpoint="+endpoint.URL)}
		own.opens(t, s.wrap(t, "key", "use"), "use", "key")
	})
}

func TestAWSRefusals(t *testing.T) {
	f := startAWS(t, "alias/master")
	s := subject{keeper: mustOpen(t, awsTestKey)}
	w := s.wrap(t, "key", "use")
	for code, want := range map[string]string{
		"AccessDeniedException":       "allow kms:Encrypt and kms:Decrypt",
		"UnrecognizedClientException": "does not accept the credentials",
		"ExpiredTokenException":       "does not accept the credentials",
		"NotFoundException":           "there is no such key in this account and region",
		"DisabledException":           "enable it",
		"KMSInvalidStateException":    "cancel the deletion",
		"InvalidKeyUsageException":    "SYMMETRIC_DEFAULT",
		"ThrottlingException":         "takes no more requests for now",
		"SomethingNewException":       "AWS KMS answered SomethingNewException: the fake says",
	} {
		f.mu.Lock()
		f.closed, f.asked = code, 0
		f.mu.Unlock()
		_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
		unavailable(t, err, "awskms alias/master: ", want)
		if f.asked > 3 {
			t.Errorf("%s was asked for %d times", code, f.asked)
		}
	}
	_, err := mustOpen(t, "awskms://alias/none?region=eu-west-1").Wrap(t.Context(), nil, nil)
	unavailable(t, err)
}

func TestAWSOnlyOverAPrivateConnection(t *testing.T) {
	startAWS(t, "alias/master")
	t.Setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:1")
	_, err := mustOpen(t, awsTestKey+"&timeout=5s").Wrap(t.Context(), nil, nil)
	unavailable(t, err, "would travel to 192.0.2.1:1 in clear")
}

func TestAWSThatIsDown(t *testing.T) {
	startAWS(t, "alias/master")
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	_, err := mustOpen(t, awsTestKey+"&timeout=1s").Wrap(t.Context(), nil, nil)
	unavailable(t, err, "awskms alias/master")
}
