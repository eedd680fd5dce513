package seal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

const keyPrefix = "llm-config-master-key-v1:"

// goodKey is drawn at random, once.
var goodKey = mustHex("c8f1bd0a4a35e65cf3dc9c9d0bb24d0d27baf0b2b74e5d7e8ef0a1f3a9c41762")

// otherKey too.
var otherKey = mustHex("5e0d6f2c91b84a73d8f21be60c97a4353fb1d06a28ce7549bb034ef18a6c92d7")

func mustHex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

func keyLine(key []byte) string {
	return keyPrefix + base64.StdEncoding.EncodeToString(key) + "\n"
}

// manyKeyLines has keys that are all different.
func manyKeyLines(n int) string {
	var text strings.Builder
	for i := range n {
		sum := sha256.Sum256(append(bytes.Clone(goodKey), byte(i)))
		text.WriteString(keyLine(sum[:]))
	}
	return text.String()
}

func writeKeyFile(t testing.TB, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCreateFileKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if err := seal.CreateFileKey(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v, want 0600", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !regexp.MustCompile(`^llm-config-master-key-v1:[A-Za-z0-9+/]{43}=\n$`).Match(text) {
		t.Errorf("the file is not one line of the form documented, %v", err)
	}
	if _, err := seal.OpenFileKeeper(path); err != nil {
		t.Error(err)
	}

	err = seal.CreateFileKey(path)
	if err == nil || !strings.Contains(err.Error(), "is not replaced") {
		t.Errorf("a second CreateFileKey: %v", err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(again, text) {
		t.Error("the key was replaced")
	}
	if err := seal.CreateFileKey(filepath.Join(t.TempDir(), "no", "key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CreateFileKey in no folder: %v", err)
	}
}

func TestFileModes(t *testing.T) {
	cases := []struct {
		mode fs.FileMode
		ok   bool
	}{
		{0o600, true}, {0o400, true},
		{0o640, false}, {0o604, false}, {0o660, false}, {0o644, false}, {0o777, false}, {0o610, false}, {0o602, false},
	}
	for _, c := range cases {
		t.Run(c.mode.String(), func(t *testing.T) {
			path := writeKeyFile(t, keyLine(goodKey), c.mode)
			_, err := seal.OpenFileKeeper(path)
			if c.ok != (err == nil) {
				t.Fatalf("OpenFileKeeper: %v", err)
			}
			if !c.ok && !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("the error %q does not say what to run", err)
			}
		})
	}
}

func TestWhatIsNoKeyFile(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		folder:                           "is no regular file",
		pipe:                             "is no regular file",
		filepath.Join(folder, "none"):    "there is no master key file",
		filepath.Join(pipe, "in a file"): "not a directory",
	} {
		_, err := seal.OpenFileKeeper(name)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("OpenFileKeeper(%s): %v, want %q", name, err, want)
		}
	}
}

func TestALinkToAKeyFileWillDo(t *testing.T) {
	path := writeKeyFile(t, keyLine(goodKey), 0o600)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenFileKeeper(link); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoKey(t *testing.T) {
	sum := sha256.Sum256([]byte("changeme"))
	down := make([]byte, 32)
	for i := range down {
		down[i] = byte(200 - 3*i)
	}
	cases := []struct{ name, text, want string }{
		{"good", keyLine(goodKey), ""},
		{"good without its newline", strings.TrimSpace(keyLine(goodKey)), ""},
		{"good with a newline of Windows", strings.TrimSpace(keyLine(goodKey)) + "\r\n", ""},
		{"two", keyLine(goodKey) + keyLine(otherKey), ""},
		{"two with newlines of Windows", strings.ReplaceAll(keyLine(goodKey)+keyLine(otherKey), "\n", "\r\n"), ""},
		{"empty", "", "is empty"},
		{"blank", "\n\n", "is empty"},
		{"foreign", "-----BEGIN PRIVATE KEY-----\n", "does not begin with llm-config-master-key-v1"},
		{"a later version", "llm-config-master-key-v2:AAAA\n", "does not begin with"},
		{"prefix cut", keyPrefix[:10], "does not begin with"},
		{"too large", keyLine(bytes.Repeat(goodKey, 200)), "is larger than"},
		{"too many", manyKeyLines(17), "holds more than 16 keys"},
		{"an empty line", keyLine(goodKey) + "\n" + keyLine(otherKey), "does not begin with"},
		{"a good one and a weak one", keyLine(goodKey) + keyLine(make([]byte, 32)), "count up or down"},
		{"two in one line", strings.TrimSpace(keyLine(goodKey)) + keyLine(otherKey), "is damaged"},
		{"a break in the key", keyLine(goodKey)[:60] + "\r" + keyLine(goodKey)[60:], "is damaged"},
		{"cut in its key", keyLine(goodKey)[:50], "is damaged or cut short"},
		{"not base64", keyPrefix + strings.Repeat("!", 44) + "\n", "is damaged"},
		{"one twice", keyLine(goodKey) + keyLine(goodKey), "same key twice"},
		{"loose bits in its end", keyPrefix + strings.Repeat("A", 42) + "B=\n", "is damaged"},
		{"no key", keyPrefix + "\n", "key of 0 bits where 256"},
		{"short", keyLine(goodKey[:16]), "key of 128 bits where 256"},
		{"long", keyLine(append(bytes.Clone(goodKey), 1)), "key of 264 bits where 256"},
		{"zeros", keyLine(make([]byte, 32)), "count up or down"},
		{"all ones", keyLine(bytes.Repeat([]byte{0xff}, 32)), "count up or down"},
		{"counting down", keyLine(down), "count up or down"},
		{"FIPS 197", keyLine(mustHex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")), "count up or down"},
		{"the GCM paper", keyLine(mustHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")), "repeats itself"},
		{"repeating with a rest", keyLine(bytes.Repeat([]byte{7, 1, 9}, 11)[:32]), "repeats itself"},
		{"text", keyLine([]byte("correct horse battery staple! ok")), "is text"},
		{"hexadecimal text", keyLine([]byte(hex.EncodeToString(goodKey[:16]))), "is text"},
		{"hash of a word", keyLine(sum[:]), "is well known"},
		{"SP 800-38A", keyLine(mustHex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")), "is well known"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := writeKeyFile(t, c.text, 0o600)
			_, err := seal.OpenFileKeeper(path)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)):
				t.Errorf("error is %v, want %q", err, c.want)
			case c.want != "" && !strings.Contains(err.Error(), ": "):
				t.Errorf("the error %q gives no next step", err)
			}
			if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(goodKey)[:20]) {
				t.Errorf("the error shows the key")
			}
		})
	}
}

func TestFileKeeper(t *testing.T) {
	path := writeKeyFile(t, keyLine(goodKey), 0o600)
	k, err := seal.OpenFileKeeper(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "file " + path; k.Name() != want {
		t.Errorf("Name is %q, want %q", k.Name(), want)
	}
	wrapped, err := k.Wrap(t.Context(), []byte("plain"), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := k.Unwrap(t.Context(), wrapped, []byte("here")); err != nil || string(plain) != "plain" {
		t.Errorf("Unwrap = %q, %v", plain, err)
	}
	refuse := func(what string, wrapped []byte, associated string) {
		t.Helper()
		if plain, err := k.Unwrap(t.Context(), wrapped, []byte(associated)); !errors.Is(err, seal.ErrNotWrapped) {
			t.Errorf("Unwrap %s = %q, %v, want ErrNotWrapped", what, plain, err)
		}
	}
	refuse("elsewhere", wrapped, "there")
	for i := range wrapped {
		refuse("altered", alter(wrapped, i), "here")
		refuse("cut", wrapped[:i], "here")
	}
	_, err = newFileKeeper(t).Unwrap(t.Context(), wrapped, []byte("here"))
	if !errors.Is(err, seal.ErrNotWrapped) || !strings.Contains(err.Error(), "was wrapped by key") {
		t.Errorf("Unwrap by another key: %v, want ErrNotWrapped that names both", err)
	}
}
