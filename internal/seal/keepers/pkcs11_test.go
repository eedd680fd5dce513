//go:build pkcs11

package keepers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// softHSM is where Debian puts the library of softhsm2.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

const testPIN = "135790"

// newToken makes a token in a folder of the test's own, with the keys "master"
// and "other", and answers the start of its URIs and the PIN's file.
func newToken(t *testing.T) (pinFile string) {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		missing(t, "SoftHSM is not installed (packages softhsm2 and opensc)")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(settings, []byte("directories.tokendir = "+dir+"/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", settings)
	run(t, "softhsm2-util", "--init-token", "--free", "--label", "test", "--so-pin", "246800", "--pin", testPIN)
	for id, label := range []string{"master", "other"} {
		run(t, "pkcs11-tool", "--module", softHSM, "--token-label", "test", "--login", "--pin", testPIN,
			"--keygen", "--key-type", "AES:32", "--sensitive", "--private", "--label", label, "--id", fmt.Sprintf("%02x", id+1))
	}
	return newFile(t, testPIN+"\n", 0o600)
}

func run(t *testing.T, name string, arguments ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name+" is not installed (packages softhsm2 and opensc)")
	}
	if out, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func tokenURL(pinFile, key string) string {
	return "pkcs11:token=test;" + key + "?module-path=" + softHSM + "&pin-source=file:" + pinFile
}

// openToken opens a keeper and closes the library again after the test, so that
// the next one sees its own tokens.
func openToken(t *testing.T, url string) *versioned {
	t.Helper()
	k := mustOpen(t, url).(*versioned)
	t.Cleanup(func() { _ = k.service.(*hsm).token.Close() })
	return k
}

func TestSoftHSM(t *testing.T) {
	pin := newToken(t)
	s := subject{keeper: openToken(t, tokenURL(pin, "object=master")), other: openToken(t, tokenURL(pin, "object=other"))}
	conform(t, s)
	t.Run("by id", func(t *testing.T) {
		byID := subject{keeper: openToken(t, tokenURL(pin, "id=%01"))}
		byID.opens(t, s.wrap(t, "key", "use"), "use", "key")
		if got := s.keeper.(seal.KeyNamer).KeyOf(byID.wrap(t, "key", "use")); got != "object=master;id=01" {
			t.Errorf("KeyOf is %q", got)
		}
	})
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
		other := w
		other.ciphertext = w.ciphertext[1:]
		s.refuses(t, "cut ciphertext", other.bytes(), "use")
		other = w
		other.version = "object=other;id=02"
		s.refuses(t, "another key's name", other.bytes(), "use")
	})
	t.Run("sessions are lost", func(t *testing.T) {
		w := s.wrap(t, "key", "use")
		for range 3 {
			loseSessions(t)
			s.manyAtOnce(t)
			s.opens(t, w, "use", "key")
		}
	})
	t.Run("the PIN is changed while sessions are lost", func(t *testing.T) {
		w := s.wrap(t, "key", "use")
		if err := os.WriteFile(pin, []byte("111111"), 0o600); err != nil {
			t.Fatal(err)
		}
		loseSessions(t)
		_, err := s.keeper.Unwrap(t.Context(), w, []byte("use"))
		unavailable(t, err, "does not accept the PIN")
		_, err = s.keeper.Unwrap(t.Context(), w, []byte("use"))
		unavailable(t, err, "refused the PIN in", "could lock the token")
		if strings.Contains(err.Error(), "111111") {
			t.Errorf("the error %q shows the PIN", err)
		}
		if err := os.WriteFile(pin, []byte(testPIN), 0o600); err != nil {
			t.Fatal(err)
		}
		s.opens(t, w, "use", "key")
	})
}

// loseSessions does what a token does that was reset.
func loseSessions(t *testing.T) {
	t.Helper()
	module := pkcs11.New(softHSM)
	if module == nil {
		t.Fatal("the library does not load")
	}
	slots, err := module.GetSlotList(true) // initialised by the keeper: it is one library per process
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if err := module.CloseAllSessions(slot); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	pin := newToken(t)
	token, err := crypto11.Configure(&crypto11.Config{Path: softHSM, TokenLabel: "test", Pin: testPIN})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	generate := func(label string, bits int, change map[crypto11.AttributeType]any) {
		t.Helper()
		set := crypto11.NewAttributeSet()
		for name, v := range map[crypto11.AttributeType]any{crypto11.CkaLabel: label, crypto11.CkaId: label, crypto11.CkaExtractable: false, crypto11.CkaSensitive: true} {
			if err := set.Set(name, v); err != nil {
				t.Fatal(err)
			}
		}
		for name, v := range change {
			if err := set.Set(name, v); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := token.GenerateSecretKeyWithAttributes(set, bits, crypto11.CipherAES); err != nil {
			t.Fatal(err)
		}
	}
	generate("extractable", 256, map[crypto11.AttributeType]any{crypto11.CkaExtractable: true})
	generate("plain", 256, map[crypto11.AttributeType]any{crypto11.CkaSensitive: false})
	generate("short", 128, nil)
	generate("idle", 256, map[crypto11.AttributeType]any{crypto11.CkaDecrypt: false})
	generate("twin", 256, nil)
	generate("twin", 256, map[crypto11.AttributeType]any{crypto11.CkaId: "second"})
	for key, want := range map[string]string{
		"object=extractable": "can be taken out of the token",
		"object=plain":       "is not sensitive",
		"object=short":       "has 128 bits",
		"object=idle":        "may not encrypt and decrypt",
		"object=twin":        "has 2 keys with object=twin: name one by object= and id=",
		"object=none":        "has no secret key with object=none",
	} {
		_, err := Open(t.Context(), tokenURL(pin, key))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", key, err, want)
		}
	}
	openToken(t, tokenURL(pin, "object=twin;id=second"))
}

func TestTokensThatCannotBeUsed(t *testing.T) {
	pin := newToken(t)
	loose := newFile(t, "x", 0o602)
	for name, c := range map[string]struct{ url, want string }{
		"another token":    {strings.Replace(tokenURL(pin, "object=master"), "token=test", "token=none", 1), "the token cannot be used"},
		"no library":       {strings.Replace(tokenURL(pin, "object=master"), softHSM, "/nowhere.so", 1), "no such file"},
		"a loose library":  {strings.Replace(tokenURL(pin, "object=master"), softHSM, loose, 1), "chmod go-w"},
		"no PIN":           {"pkcs11:token=test;object=master?module-path=" + softHSM, "give a pin-source"},
		"a wrong PIN":      {tokenURL(newFile(t, "999999", 0o600), "object=master"), "does not accept the PIN"},
		"a loose PIN file": {tokenURL(newFile(t, testPIN, 0o640), "object=master"), "chmod 600"},
		"no PIN file":      {tokenURL("/nowhere", "object=master"), "PIN file"},
	} {
		_, err := Open(t.Context(), c.url)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
