package keepers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"

	kms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var gcpKeyForm = regexp.MustCompile(`^projects/[a-z0-9:.-]{1,100}/locations/[a-z0-9-]{1,63}/keyRings/[A-Za-z0-9_-]{1,63}/cryptoKeys/[A-Za-z0-9_-]{1,63}$`)

var _ keyService = (*gcpKMS)(nil)

type gcpKMS struct {
	client     *kms.KeyManagementClient
	key        string
	associated []byte // from the URL, before our own digest
}

// openGCP opens gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K with the
// credentials that Google's libraries find by themselves.
func openGCP(ctx context.Context, key string, query query) (keeperParts, error) {
	return newGCP(ctx, key, query)
}

func newGCP(ctx context.Context, key string, query query, options ...option.ClientOption) (keeperParts, error) {
	if err := query.only("additional_authenticated_data"); err != nil {
		return keeperParts{}, err
	}
	if !gcpKeyForm.MatchString(key) {
		return keeperParts{}, errors.New("write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K, without a key version")
	}
	associated, err := base64.URLEncoding.DecodeString(query["additional_authenticated_data"])
	if err != nil || len(associated) > 32<<10 {
		return keeperParts{}, errors.New("additional_authenticated_data in the URL is no base64 in its URL form, or too long")
	}
	// The client outlives the call that opens it.
	client, err := kms.NewKeyManagementClient(context.WithoutCancel(ctx), options...)
	if err != nil {
		return keeperParts{}, fmt.Errorf("no credentials for Google Cloud: set GOOGLE_APPLICATION_CREDENTIALS to a key file's path, or run where a service account is attached: %s%w", oneLine(err.Error()), silent{err})
	}
	return keeperParts{kind: kindGCP, name: "gcpkms " + key, service: &gcpKMS{client: client, key: key, associated: associated}, versions: true}, nil
}

func (g *gcpKMS) bind(bound binding) []byte {
	return append(append([]byte{}, g.associated...), bound[:]...)
}

func (g *gcpKMS) encrypt(ctx context.Context, key []byte, bound binding) ([]byte, string, error) {
	associated := g.bind(bound)
	answer, err := g.client.Encrypt(ctx, &kmspb.EncryptRequest{
		Name: g.key, Plaintext: key, PlaintextCrc32C: checksum(key),
		AdditionalAuthenticatedData: associated, AdditionalAuthenticatedDataCrc32C: checksum(associated),
	})
	if err != nil {
		return nil, "", gcpFailure(err)
	}
	if !answer.GetVerifiedPlaintextCrc32C() || !answer.GetVerifiedAdditionalAuthenticatedDataCrc32C() || answer.GetCiphertextCrc32C().GetValue() != checksum(answer.GetCiphertext()).GetValue() {
		return nil, "", errors.New("request or answer was damaged on its way to Google Cloud KMS: try again, and look for what alters traffic")
	}
	version, ours := strings.CutPrefix(answer.GetName(), g.key+"/cryptoKeyVersions/")
	if !ours || version == "" {
		return nil, "", errors.New("the answer of Google Cloud KMS is for another key than was asked for: see what answers at its address")
	}
	return answer.GetCiphertext(), "cryptoKeyVersions/" + version, nil
}

// decrypt needs no version: Google finds it among those of the key named.
func (g *gcpKMS) decrypt(ctx context.Context, ciphertext []byte, _ string, bound binding) ([]byte, error) {
	associated := g.bind(bound)
	answer, err := g.client.Decrypt(ctx, &kmspb.DecryptRequest{
		Name: g.key, Ciphertext: ciphertext, CiphertextCrc32C: checksum(ciphertext),
		AdditionalAuthenticatedData: associated, AdditionalAuthenticatedDataCrc32C: checksum(associated),
	})
	if status.Code(err) == codes.InvalidArgument {
		return nil, foreign("Google Cloud KMS", status.Convert(err).Message())
	}
	if err != nil {
		return nil, gcpFailure(err)
	}
	if answer.GetPlaintextCrc32C().GetValue() != checksum(answer.GetPlaintext()).GetValue() {
		clear(answer.GetPlaintext())
		return nil, errors.New("the answer of Google Cloud KMS was damaged on its way: try again, and look for what alters traffic")
	}
	return answer.GetPlaintext(), nil
}

func checksum(b []byte) *wrapperspb.Int64Value {
	return wrapperspb.Int64(int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

var gcpRemedies = map[codes.Code]string{
	codes.PermissionDenied:   "the credentials in use may not use the key: grant cloudkms.cryptoKeyVersions.useToEncrypt and useToDecrypt on it (roles/cloudkms.cryptoKeyEncrypterDecrypter)",
	codes.Unauthenticated:    "Google Cloud does not accept the credentials in use: see GOOGLE_APPLICATION_CREDENTIALS or the service account attached",
	codes.NotFound:           "there is no such key: see its project, location, key ring and name",
	codes.FailedPrecondition: "the key, or the version that is asked for, is disabled, destroyed or not for encryption: enable it, or restore the version before it is lost for ever",
	codes.ResourceExhausted:  "Google Cloud KMS takes no more requests for now: try later, or ask for a larger quota",
	codes.InvalidArgument:    "Google Cloud KMS refuses the request: the key's purpose has to be ENCRYPT_DECRYPT",
}

func gcpFailure(err error) error {
	s := status.Convert(err)
	if remedy := gcpRemedies[s.Code()]; remedy != "" {
		return fmt.Errorf("%s (%s)%w", remedy, s.Code(), silent{err})
	}
	return fmt.Errorf("no answer from Google Cloud KMS (%s): see the network: %s%w", s.Code(), oneLine(s.Message()), silent{err})
}
