package keepers

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// vaultBinary is what `make vaultd` builds of test/vaultd.
const vaultBinary = "../../../bin/tools/vaultd"

// vault is a real Vault server of one test, with its transit engine mounted.
type vault struct {
	root    *api.Client
	unseal  string
	process *exec.Cmd
}

// startVault starts a server and points the environment of the keepers at it.
func startVault(t *testing.T) *vault {
	t.Helper()
	path, err := filepath.Abs(vaultBinary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, "the Vault server for tests is not built; run `make vaultd`")
	}
	process := exec.Command(path)
	process.Stderr = os.Stderr
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	v := &vault{process: process}
	t.Cleanup(v.stop)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("vaultd does not say where it listens: %v", err)
	}
	t.Setenv("VAULT_ADDR", strings.TrimSpace(address))
	v.initialise(t)
	t.Setenv("VAULT_TOKEN", v.root.Token())
	return v
}

func (v *vault) stop() {
	_ = v.process.Process.Kill()
	_ = v.process.Wait()
}

func (v *vault) initialise(t *testing.T) {
	t.Helper()
	var err error
	if v.root, err = api.NewClient(nil); err != nil {
		t.Fatal(err)
	}
	first, err := v.root.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	v.unseal = first.Keys[0]
	if _, err := v.root.Sys().Unseal(v.unseal); err != nil {
		t.Fatal(err)
	}
	v.root.SetToken(first.RootToken)
	if err := v.root.Sys().Mount("transit", &api.MountInput{Type: "transit"}); err != nil {
		t.Fatal(err)
	}
	v.write(t, "transit/keys/master", nil)
	v.write(t, "transit/keys/other", nil)
}

func (v *vault) write(t *testing.T, path string, data map[string]any) {
	t.Helper()
	if _, err := v.root.Logical().Write(path, data); err != nil {
		t.Fatal(err)
	}
}

// token makes a token with one policy.
func (v *vault) token(t *testing.T, policy string) string {
	t.Helper()
	if err := v.root.Sys().PutPolicy("test", policy); err != nil {
		t.Fatal(err)
	}
	made, err := v.root.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"test"}})
	if err != nil {
		t.Fatal(err)
	}
	return made.Auth.ClientToken
}

const enough = `
path "transit/encrypt/master" { capabilities = ["update"] }
path "transit/decrypt/master" { capabilities = ["update"] }`

func TestVault(t *testing.T) {
	v := startVault(t)
	t.Run("conforms", func(t *testing.T) {
		conform(t, subject{keeper: mustOpen(t, "hashivault://master"), other: mustOpen(t, "hashivault://other")})
	})
	t.Run("another cipher", func(t *testing.T) {
		v.write(t, "transit/keys/chacha", map[string]any{"type": "chacha20-poly1305"})
		s := subject{keeper: mustOpen(t, "hashivault://chacha")}
		s.opens(t, s.wrap(t, "key", "use"), "use", "key")
	})
	t.Run("the documented policy is enough", func(t *testing.T) {
		t.Setenv("VAULT_TOKEN", v.token(t, enough))
		s := subject{keeper: mustOpen(t, "hashivault://master")}
		s.opens(t, s.wrap(t, "key", "use"), "use", "key")
	})
	t.Run("refusals", v.refusals)
	t.Run("altered behind the check", v.alteredBehindTheCheck)
	t.Run("rotation", v.rotation)
	t.Run("token file", v.tokenFile)
	t.Run("seal", v.sealed)
	t.Run("down", v.down)
}

func (v *vault) refusals(t *testing.T) {
	w := subject{keeper: mustOpen(t, "hashivault://master")}.wrap(t, "key", "use")
	// Transit makes a missing key by itself when a policy allows to create.
	t.Setenv("VAULT_TOKEN", v.token(t, `path "transit/*" { capabilities = ["update"] }`))
	v.write(t, "transit/keys/rsa", map[string]any{"type": "rsa-2048"})
	v.write(t, "transit/keys/derived", map[string]any{"derived": true})
	for url, parts := range map[string][]string{
		"hashivault://nosuch":                {"see the name in the URL", "403"},
		"hashivault://master?engine=nowhere": {"403"},
		"hashivault://rsa":                   {"aes256-gcm96"},
		"hashivault://derived":               {"missing 'context'"},
	} {
		_, err := mustOpen(t, url).Wrap(t.Context(), []byte("key"), nil)
		if strings.Contains(url, "nosuch") || strings.Contains(url, "nowhere") {
			unavailable(t, err, "hashivault ")
			continue
		}
		unavailable(t, err, parts...)
	}
	_, err := mustOpen(t, "hashivault://nosuch").Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "there is no such transit key")

	t.Setenv("VAULT_TOKEN", v.token(t, `path "transit/encrypt/master" { capabilities = ["update"] }`))
	_, err = mustOpen(t, "hashivault://master").Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "give it `update` on transit/encrypt/KEY and transit/decrypt/KEY", "403")

	t.Setenv("VAULT_TOKEN", "no-such-token")
	_, err = mustOpen(t, "hashivault://master").Wrap(t.Context(), []byte("key"), nil)
	unavailable(t, err, "the token may not use the key, or has ended")
	if err != nil && strings.Contains(err.Error(), "no-such-token") {
		t.Errorf("the error %q shows the token", err)
	}
}

// alteredBehindTheCheck alters what Vault gets to see.
func (v *vault) alteredBehindTheCheck(t *testing.T) {
	s := subject{keeper: mustOpen(t, "hashivault://master")}
	w, err := parseWrapped(s.wrap(t, "key", "use"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.ciphertext {
		w.ciphertext[i] ^= 1
		s.refuses(t, "altered ciphertext", w.bytes(), "use")
		w.ciphertext[i] ^= 1
	}
	for _, version := range []string{"", "vault:v2", "vault:v0", "vault:v01", "vault:v-1", "vault:v99999999999", "other:v1", "vault:v1:x"} {
		other := w
		other.version = version
		s.refuses(t, "version "+version, other.bytes(), "use")
	}
	other := w
	other.ciphertext = append(other.ciphertext, 0)
	s.refuses(t, "longer ciphertext", other.bytes(), "use")
}

func (v *vault) rotation(t *testing.T) {
	s := subject{keeper: mustOpen(t, "hashivault://master")}
	named := s.keeper.(seal.KeyNamer)
	old := s.wrap(t, "key", "use")
	v.write(t, "transit/keys/master/rotate", nil)
	renewed := s.wrap(t, "key", "use")
	if named.KeyOf(old) != "vault:v1" || named.KeyOf(renewed) != "vault:v2" {
		t.Errorf("KeyOf before and after rotation: %q, %q", named.KeyOf(old), named.KeyOf(renewed))
	}
	s.opens(t, old, "use", "key")
	s.opens(t, renewed, "use", "key")

	v.write(t, "transit/keys/master/config", map[string]any{"min_decryption_version": 2})
	_, err := s.keeper.Unwrap(t.Context(), old, []byte("use"))
	unavailable(t, err, "lower it until everything is wrapped anew")
	v.write(t, "transit/keys/master/config", map[string]any{"min_decryption_version": 1})
	s.opens(t, old, "use", "key")
}

func (v *vault) tokenFile(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "")
	path := newFile(t, "ended\n", 0o600)
	s := subject{keeper: mustOpen(t, "hashivault://master?token-file="+path)}
	_, err := s.keeper.Wrap(t.Context(), []byte("key"), nil)
	unavailable(t, err, "the token may not use the key, or has ended")
	if err := os.WriteFile(path, []byte(v.token(t, enough)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.opens(t, s.wrap(t, "key", "use"), "use", "key") // no restart was needed
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = s.keeper.Wrap(t.Context(), []byte("key"), nil)
	unavailable(t, err, "Vault token file", "chmod 600")
}

func (v *vault) sealed(t *testing.T) {
	s := subject{keeper: mustOpen(t, "hashivault://master")}
	w := s.wrap(t, "key", "use")
	if err := v.root.Sys().Seal(); err != nil {
		t.Fatal(err)
	}
	_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "sealed", "unseal it")
	if _, err := v.root.Sys().Unseal(v.unseal); err != nil {
		t.Fatal(err)
	}
	s.opens(t, w, "use", "key")
}

func (v *vault) down(t *testing.T) {
	s := subject{keeper: mustOpen(t, "hashivault://master?timeout=1s")}
	w := s.wrap(t, "key", "use")
	v.stop()
	_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
	unavailable(t, err, "hashivault transit/master")
	if errors.Is(err, seal.ErrNotWrapped) {
		t.Error("a server that is down is taken for a wrong key")
	}
}
