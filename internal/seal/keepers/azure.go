package keepers

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

var (
	// The clouds of Azure; a credential's tokens go nowhere else.
	azureHostForm    = regexp.MustCompile(`^[A-Za-z0-9-]{1,127}\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net|managedhsm\.azure\.net|managedhsm\.azure\.cn|managedhsm\.usgovcloudapi\.net)$`)
	azureKeyForm     = regexp.MustCompile(`^([^/]+)/keys/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?$`)
	azureVersionForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

var _ keyService = (*azureVault)(nil)

// azureVault encrypts with an RSA key, whose public half anyone may have, and
// signs what it encrypted: otherwise whoever writes to the store could put keys
// of their own there. Both operations name the key's version: Azure would take
// the newest, which does not open what an older one made.
type azureVault struct {
	client    *azkeys.Client
	host      string
	name      string
	version   string // "" for the newest
	algorithm azkeys.EncryptionAlgorithm
}

// openAzure opens azurekeyvault://NAME.vault.azure.net/keys/KEY[/VERSION] with
// the credentials that Azure's library finds by itself.
func openAzure(_ context.Context, key string, query query) (keeperParts, error) {
	host, _, _ := strings.Cut(key, "/")
	if !azureHostForm.MatchString(host) {
		return keeperParts{}, errors.New("write azurekeyvault://NAME.vault.azure.net/keys/KEY, with the host name that Azure shows")
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return keeperParts{}, fmt.Errorf("no credentials for Azure: %s%w", oneLine(err.Error()), silent{err})
	}
	return newAzure(key, query, credential, nil)
}

func newAzure(key string, query query, credential azcore.TokenCredential, options *azkeys.ClientOptions) (keeperParts, error) {
	if err := query.only("algorithm"); err != nil {
		return keeperParts{}, err
	}
	parts := azureKeyForm.FindStringSubmatch(key)
	if parts == nil {
		return keeperParts{}, errors.New("write azurekeyvault://NAME.vault.azure.net/keys/KEY or …/keys/KEY/VERSION")
	}
	a := &azureVault{host: strings.ToLower(parts[1]), name: parts[2], version: parts[3], algorithm: azkeys.EncryptionAlgorithmRSAOAEP256}
	switch algorithm := query["algorithm"]; algorithm {
	case "", string(azkeys.EncryptionAlgorithmRSAOAEP256):
	case string(azkeys.EncryptionAlgorithmRSAOAEP):
		a.algorithm = azkeys.EncryptionAlgorithmRSAOAEP
	default:
		return keeperParts{}, errors.New("algorithm in the URL is neither RSA-OAEP-256 nor RSA-OAEP")
	}
	var err error
	if a.client, err = azkeys.NewClient("https://"+parts[1], credential, options); err != nil {
		return keeperParts{}, err
	}
	return keeperParts{kind: kindAzure, name: "azurekeyvault " + a.keyName(), service: a, versions: true}, nil
}

// keyName is the key's address without its version.
func (a *azureVault) keyName() string { return a.host + "/keys/" + a.name }

func (a *azureVault) encrypt(ctx context.Context, key []byte, bound binding) ([]byte, string, error) {
	answer, err := a.client.Encrypt(ctx, a.name, a.version, azkeys.KeyOperationParameters{Algorithm: &a.algorithm, Value: key}, nil)
	if err != nil {
		return nil, "", azureFailure(err)
	}
	version := ""
	if answer.KID != nil {
		version = answer.KID.Version()
	}
	if !azureVersionForm.MatchString(version) || a.version != "" && version != a.version {
		return nil, "", errors.New("the answer of Azure Key Vault came without saying which version of the key it used: see what answers at its address")
	}
	signed, err := a.client.Sign(ctx, a.name, version, azkeys.SignParameters{
		Algorithm: to.Ptr(azkeys.SignatureAlgorithmPS256), Value: azureDigest(bound, answer.Result),
	}, nil)
	if err != nil {
		return nil, "", azureFailure(err)
	}
	if len(signed.Result) != len(answer.Result) {
		return nil, "", errors.New("the answer of Azure Key Vault is a signature of another length than the key's: the key has to be RSA")
	}
	return append(answer.Result, signed.Result...), a.keyName() + "/" + version, nil
}

func (a *azureVault) decrypt(ctx context.Context, both []byte, version string, bound binding) ([]byte, error) {
	version, ours := strings.CutPrefix(version, a.keyName()+"/")
	if !ours || !azureVersionForm.MatchString(version) || len(both)%2 != 0 {
		return nil, foreign("its wrapped form", "it was made with another key of Azure Key Vault")
	}
	ciphertext, signature := both[:len(both)/2], both[len(both)/2:]
	verified, err := a.client.Verify(ctx, a.name, version, azkeys.VerifyParameters{
		Algorithm: to.Ptr(azkeys.SignatureAlgorithmPS256), Digest: azureDigest(bound, ciphertext), Signature: signature,
	}, nil)
	if err != nil {
		return nil, azureDecryptFailure(err)
	}
	if verified.Value == nil || !*verified.Value {
		return nil, foreign("Azure Key Vault", "its signature is not valid for this key and use")
	}
	answer, err := a.client.Decrypt(ctx, a.name, version, azkeys.KeyOperationParameters{Algorithm: &a.algorithm, Value: ciphertext}, nil)
	if err != nil {
		return nil, azureDecryptFailure(err)
	}
	return answer.Result, nil
}

// azureDigest is what is signed.
func azureDigest(bound binding, ciphertext []byte) []byte {
	sum := sha256.New()
	sum.Write([]byte("llm-config azure envelope v1\x00"))
	sum.Write(bound[:])
	sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(ciphertext))))
	sum.Write(ciphertext)
	return sum.Sum(nil)
}

// azureDecryptFailure tells a refusal of what was sent from one to work at all.
func azureDecryptFailure(err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusBadRequest && answer.ErrorCode == "BadParameter" {
		return foreign("Azure Key Vault", "the ciphertext or signature is none of this key's")
	}
	return azureFailure(err)
}

var azureRemedies = map[int]string{
	http.StatusUnauthorized:    "Azure does not accept the credentials in use: see AZURE_TENANT_ID, AZURE_CLIENT_ID and the managed identity",
	http.StatusForbidden:       "the credentials in use may not use the key, or it is disabled: allow encrypt, decrypt, sign and verify on it (role Key Vault Crypto User), and see the vault's firewall",
	http.StatusNotFound:        "there is no such key or key version: see the vault's name and the key's, and recover the key if it was deleted",
	http.StatusConflict:        "the key was deleted and can still be recovered: recover it before it is lost for ever",
	http.StatusTooManyRequests: "Azure Key Vault takes no more requests for now: try later, or spread the load",
	http.StatusBadRequest:      "Azure Key Vault refuses the request: the key has to be RSA, with encrypt, decrypt, sign and verify among its operations",
}

func azureFailure(err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		if remedy := azureRemedies[answer.StatusCode]; remedy != "" {
			return fmt.Errorf("%s (%d %s)%w", remedy, answer.StatusCode, oneLine(answer.ErrorCode), silent{err})
		}
		return fmt.Errorf("the answer of Azure Key Vault is %d %s: try later%w", answer.StatusCode, oneLine(answer.ErrorCode), silent{err})
	}
	return fmt.Errorf("no answer from Azure Key Vault: see the network, and where the credentials come from: %s%w", oneLine(err.Error()), silent{err})
}
