package keepers

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// gcpFake speaks Encrypt and Decrypt of Google Cloud KMS over gRPC.
type gcpFake struct {
	kmspb.UnimplementedKeyManagementServiceServer
	mu      sync.Mutex
	keys    map[string][]cipher.AEAD // key name → its versions
	refusal codes.Code               // for every request
	damage  bool                     // of the answer, on its way
}

func (f *gcpFake) Encrypt(_ context.Context, r *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	versions, err := f.versions(r.GetName())
	if err != nil {
		return nil, err
	}
	if r.GetPlaintextCrc32C().GetValue() != checksum(r.GetPlaintext()).GetValue() || r.GetAdditionalAuthenticatedDataCrc32C().GetValue() != checksum(r.GetAdditionalAuthenticatedData()).GetValue() {
		return nil, status.Error(codes.InvalidArgument, "checksum")
	}
	n := len(versions)
	nonce := make([]byte, nonceBytes)
	rand.Read(nonce)
	out := versions[n-1].Seal(append([]byte{byte(n)}, nonce...), nonce, r.GetPlaintext(), r.GetAdditionalAuthenticatedData())
	answer := &kmspb.EncryptResponse{
		Name: fmt.Sprintf("%s/cryptoKeyVersions/%d", r.GetName(), n), Ciphertext: out, CiphertextCrc32C: checksum(out),
		VerifiedPlaintextCrc32C: true, VerifiedAdditionalAuthenticatedDataCrc32C: true,
	}
	if f.damage {
		answer.Ciphertext[3] ^= 1
	}
	return answer, nil
}

func (f *gcpFake) Decrypt(_ context.Context, r *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	versions, err := f.versions(r.GetName())
	if err != nil {
		return nil, err
	}
	c := r.GetCiphertext()
	if len(c) < 1+nonceBytes || c[0] == 0 || int(c[0]) > len(versions) {
		return nil, status.Error(codes.InvalidArgument, "the ciphertext is invalid")
	}
	plain, err := versions[c[0]-1].Open(nil, c[1:1+nonceBytes], c[1+nonceBytes:], r.GetAdditionalAuthenticatedData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Decryption failed: the ciphertext is invalid")
	}
	answer := &kmspb.DecryptResponse{Plaintext: plain, PlaintextCrc32C: checksum(plain)}
	if f.damage {
		answer.Plaintext[0] ^= 1
	}
	return answer, nil
}

func (f *gcpFake) versions(name string) ([]cipher.AEAD, error) {
	if f.refusal != codes.OK {
		return nil, status.Error(f.refusal, "the fake says no")
	}
	if f.keys[name] == nil {
		return nil, status.Error(codes.NotFound, "no such key")
	}
	return f.keys[name], nil
}

const gcpTestKey = "projects/p/locations/global/keyRings/r/cryptoKeys/"

// startGCP answers the fake and what opens keepers on it.
func startGCP(t *testing.T, keys ...string) (*gcpFake, func(key string, query query) seal.Keeper) {
	t.Helper()
	f := &gcpFake{keys: map[string][]cipher.AEAD{}}
	for _, name := range keys {
		f.keys[gcpTestKey+name] = []cipher.AEAD{newTestAEAD(t)}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmspb.RegisterKeyManagementServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return f, func(key string, query query) seal.Keeper {
		t.Helper()
		parts, err := newGCP(t.Context(), gcpTestKey+key, query, option.WithEndpoint(listener.Addr().String()), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = parts.service.(*gcpKMS).client.Close() })
		return parts.keeper(defaultTimeout)
	}
}

func TestGCPAgainstAFake(t *testing.T) {
	f, open := startGCP(t, "master", "other")
	s := subject{keeper: open("master", nil), other: open("other", nil)}
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
		w.version = "cryptoKeyVersions/2"
		s.refuses(t, "altered version", w.bytes(), "use")
	})
	t.Run("what stands in the URL is bound", func(t *testing.T) {
		own := subject{keeper: open("master", query{"additional_authenticated_data": "dGVhbQ=="})}
		own.refuses(t, "without it", s.wrap(t, "key", "use"), "use")
		own.opens(t, own.wrap(t, "key", "use"), "use", "key")
	})
	t.Run("rotation", func(t *testing.T) {
		named, old := s.keeper.(seal.KeyNamer), s.wrap(t, "key", "use")
		f.mu.Lock()
		f.keys[gcpTestKey+"master"] = append(f.keys[gcpTestKey+"master"], newTestAEAD(t))
		f.mu.Unlock()
		for i, w := range [][]byte{old, s.wrap(t, "key", "use")} {
			s.opens(t, w, "use", "key")
			if got, want := named.KeyOf(w), "cryptoKeyVersions/"+strconv.Itoa(i+1); got != want {
				t.Errorf("KeyOf is %q, want %q", got, want)
			}
		}
	})
}

func TestGCPRefusals(t *testing.T) {
	f, open := startGCP(t, "master")
	s := subject{keeper: open("master", nil)}
	w := s.wrap(t, "key", "use")
	set := func(code codes.Code, damage bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.refusal, f.damage = code, damage
	}
	for code, want := range map[codes.Code]string{
		codes.PermissionDenied:   "useToEncrypt and useToDecrypt",
		codes.Unauthenticated:    "does not accept the credentials",
		codes.NotFound:           "there is no such key",
		codes.FailedPrecondition: "restore the version",
		codes.ResourceExhausted:  "takes no more requests",
		codes.Internal:           "no answer from Google Cloud KMS (Internal)",
	} {
		set(code, false)
		_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
		unavailable(t, err, "gcpkms "+gcpTestKey+"master: ", want)
	}
	set(codes.InvalidArgument, false)
	_, err := s.keeper.Wrap(t.Context(), nil, nil)
	unavailable(t, err, "ENCRYPT_DECRYPT")

	set(codes.OK, true)
	_, err = s.keeper.Wrap(t.Context(), nil, nil)
	unavailable(t, err, "damaged on its way")
	_, err = s.keeper.Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "damaged on its way")

	set(codes.Unavailable, false)
	short := *s.keeper.(*versioned).envelope
	short.timeout = minTimeout / 4
	_, err = short.Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "did not answer within")
}

func TestGCPWithoutCredentials(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
	_, err := Open(t.Context(), "gcpkms://"+gcpTestKey+"k")
	if err == nil || !strings.Contains(err.Error(), "set GOOGLE_APPLICATION_CREDENTIALS") {
		t.Errorf("Open: %v", err)
	}
}
