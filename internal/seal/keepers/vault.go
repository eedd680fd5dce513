package keepers

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"
)

// transitBytes is what an AEAD key of transit makes of our key: nonce 12, key,
// tag 16. An RSA key makes more, and is refused for it: anyone who has its
// public half could make wrapped forms.
const transitBytes = 12 + keyBytes + 16

var (
	vaultNameForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	vaultEngineForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)
	transitForm     = regexp.MustCompile(`^(vault:v[1-9][0-9]{0,9}):([A-Za-z0-9+/]+=*)$`)
)

var _ keyService = (*vaultTransit)(nil)

type vaultTransit struct {
	client    *api.Client
	engine    string
	key       string
	tokenFile string // read with each call; "" takes the token of the environment
}

// openVault opens hashivault://KEY of the transit engine at VAULT_ADDR.
func openVault(_ context.Context, key string, query query) (keeperParts, error) {
	if err := query.only("engine", "token-file"); err != nil {
		return keeperParts{}, err
	}
	engine := cmp.Or(query["engine"], "transit")
	if !vaultNameForm.MatchString(key) || !vaultEngineForm.MatchString(engine) || len(engine) > 256 {
		return keeperParts{}, errors.New("write hashivault://KEY, or hashivault://KEY?engine=PATH where the transit engine is not mounted at transit")
	}
	client, err := vaultClient()
	if err != nil {
		return keeperParts{}, err
	}
	v := &vaultTransit{client: client, engine: engine, key: key, tokenFile: query["token-file"]}
	return keeperParts{kind: kindVault, name: "hashivault " + engine + "/" + key, service: v, versions: true}, nil
}

// vaultClient reads the environment anew for each keeper.
func vaultClient() (*api.Client, error) {
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, fmt.Errorf("read the VAULT_ variables: %w", cfg.Error)
	}
	address := cmp.Or(os.Getenv("VAULT_SERVER_URL"), os.Getenv("VAULT_ADDR"))
	u, err := url.Parse(address)
	switch {
	case address == "":
		return nil, errors.New("where Vault is, is not known: set VAULT_ADDR")
	case err != nil || u.Scheme == "":
		return nil, errors.New("VAULT_ADDR is no address such as https://HOST:8200")
	case u.User != nil:
		return nil, errors.New("VAULT_ADDR holds a user or password: remove it and set VAULT_TOKEN")
	}
	if err := checkPrivate(u); err != nil {
		return nil, fmt.Errorf("VAULT_ADDR: %w", err)
	}
	if transport, ok := cfg.HttpClient.Transport.(*http.Transport); ok && transport.TLSClientConfig != nil && transport.TLSClientConfig.InsecureSkipVerify {
		return nil, errors.New("VAULT_SKIP_VERIFY would let anyone answer for Vault: unset it and name the authority's certificate with VAULT_CACERT")
	}
	cfg.Address = address
	cfg.DisableRedirects = true // a redirect could lead keys elsewhere
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare for Vault: %s", oneLine(err.Error()))
	}
	if token := os.Getenv("VAULT_SERVER_TOKEN"); token != "" {
		client.SetToken(token)
	}
	return client, nil
}

func (v *vaultTransit) encrypt(ctx context.Context, key []byte, bound binding) ([]byte, string, error) {
	answer, err := v.ask(ctx, "encrypt", "ciphertext", map[string]any{
		"plaintext":       base64.StdEncoding.EncodeToString(key),
		"associated_data": base64.StdEncoding.EncodeToString(bound[:]),
	})
	if err != nil {
		return nil, "", vaultFailure(err)
	}
	version, ciphertext, err := parseTransit(answer)
	if err != nil {
		return nil, "", err
	}
	return ciphertext, version, nil
}

func (v *vaultTransit) decrypt(ctx context.Context, ciphertext []byte, version string, bound binding) ([]byte, error) {
	text := version + ":" + base64.StdEncoding.EncodeToString(ciphertext)
	if _, _, err := parseTransit(text); err != nil {
		return nil, foreign("its wrapped form", err.Error())
	}
	answer, err := v.ask(ctx, "decrypt", "plaintext", map[string]any{
		"ciphertext":      text,
		"associated_data": base64.StdEncoding.EncodeToString(bound[:]),
	})
	if reason := vaultForeign(err); reason != "" {
		return nil, foreign("Vault", reason)
	}
	if err != nil {
		return nil, vaultFailure(err)
	}
	key, err := base64.StdEncoding.DecodeString(answer)
	if err != nil {
		return nil, errors.New("the plaintext that Vault answered is no base64: see what answers at VAULT_ADDR")
	}
	return key, nil
}

// parseTransit takes vault:vN:BASE64 apart.
func parseTransit(text string) (version string, ciphertext []byte, err error) {
	parts := transitForm.FindStringSubmatch(text)
	if parts == nil {
		return "", nil, errors.New("the ciphertext is not of the form that transit has")
	}
	ciphertext, err = base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(ciphertext) != transitBytes {
		return "", nil, errors.New("the ciphertext is none of a key of type aes256-gcm96 or chacha20-poly1305: make a key of such a type for this use")
	}
	return parts[1], ciphertext, nil
}

// ask calls an operation of the key and takes one text of the answer.
func (v *vaultTransit) ask(ctx context.Context, operation, field string, body map[string]any) (string, error) {
	client := v.client
	if v.tokenFile != "" {
		token, err := readPrivate("Vault token file", v.tokenFile)
		if err != nil {
			return "", err
		}
		defer clear(token)
		client.SetToken(string(token))
	}
	answer, err := client.Logical().WriteWithContext(ctx, v.engine+"/"+operation+"/"+v.key, body)
	if err != nil {
		return "", err
	}
	if answer != nil {
		if text, ok := answer.Data[field].(string); ok {
			return text, nil
		}
	}
	return "", errNotTransit
}

var errNotTransit = errors.New("what answers is no transit engine: see VAULT_ADDR, and engine in the URL; redirects are not followed")

// vaultForeign is Vault's reason when it says that it did not make a ciphertext.
func vaultForeign(err error) string {
	var answer *api.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusBadRequest {
		return ""
	}
	reason := strings.Join(answer.Errors, " ")
	for _, sign := range []string{"invalid ciphertext", "message authentication failed", "unable to decrypt"} {
		if strings.Contains(reason, sign) {
			return reason
		}
	}
	return ""
}

func vaultFailure(err error) error {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		if errors.Is(err, errNotTransit) || strings.HasPrefix(err.Error(), "Vault token file") {
			return err
		}
		return fmt.Errorf("no answer from Vault: see VAULT_ADDR and the network: %s%w", oneLine(err.Error()), silent{err})
	}
	said := oneLine(strings.Join(answer.Errors, " "))
	return fmt.Errorf("%s (%d: %s)%w", vaultRemedy(answer.StatusCode, said), answer.StatusCode, said, silent{err})
}

func vaultRemedy(code int, said string) string {
	switch {
	case strings.Contains(said, "encryption key not found"):
		return "there is no such transit key: see the name in the URL, and make it with `vault write -f transit/keys/NAME`"
	case strings.Contains(said, "non-AEAD"):
		return "the key does not authenticate what it encrypts: make one of type aes256-gcm96 or chacha20-poly1305"
	case strings.Contains(said, "too old"):
		return "the key's min_decryption_version forbids the version that wrapped this: lower it until everything is wrapped anew"
	case code == http.StatusForbidden:
		return "the token may not use the key, or has ended: give it `update` on transit/encrypt/KEY and transit/decrypt/KEY, by VAULT_TOKEN or ?token-file="
	case code == http.StatusNotFound:
		return "there is no transit engine: see engine in the URL, VAULT_NAMESPACE, and run `vault secrets enable transit`"
	case code == http.StatusServiceUnavailable:
		return "Vault is sealed or has no active node: unseal it"
	case code == http.StatusTooManyRequests:
		return "Vault takes no more requests for now: try later, or raise its quota"
	case code >= 500:
		return "Vault failed: see its log"
	}
	return "Vault refuses the request"
}
