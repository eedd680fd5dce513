package keepers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

const (
	goodPhrase  = "plinth ocelot varnish tugboat quorum bassoon mildew"
	otherPhrase = "gherkin sextant willow oboe parsnip lagoon cinder"
)

func newKeyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := seal.CreateFileKey(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func newFile(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "private")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t testing.TB, url string) seal.Keeper {
	t.Helper()
	k, err := Open(t.Context(), url)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return k
}

func TestFile(t *testing.T) {
	path := newKeyFile(t)
	conform(t, subject{keeper: mustOpen(t, path), other: mustOpen(t, newKeyFile(t)), local: true})
	w := subject{keeper: mustOpen(t, path)}.wrap(t, "key", "use")
	t.Chdir(filepath.Dir(path))
	for _, url := range []string{"file:" + path, "file://" + path, "FILE:" + path, "file:key", "key", "./key"} {
		subject{keeper: mustOpen(t, url)}.opens(t, w, "use", "key")
	}
}

func TestAFileMayHaveAnyName(t *testing.T) {
	for _, name := range []string{"a b", "50%20", "what?not=this", "master:key", "user:pw@host"} {
		path := filepath.Join(t.TempDir(), name)
		if err := seal.CreateFileKey(path); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, path)
		mustOpen(t, "file:"+path)
		mustOpen(t, "file://"+path)
	}
}

func TestPassphrase(t *testing.T) {
	t.Setenv("PASSPHRASE_OF_ANOTHER", otherPhrase)
	keeper := mustOpen(t, "passphrase:?file="+newFile(t, goodPhrase+"\n", 0o600))
	conform(t, subject{keeper: keeper, other: mustOpen(t, "passphrase:?env=PASSPHRASE_OF_ANOTHER"), local: true, dear: true})

	t.Setenv("PASSPHRASE", goodPhrase)
	w := subject{keeper: keeper}.wrap(t, "key", "use")
	subject{keeper: mustOpen(t, "passphrase:?env=PASSPHRASE")}.opens(t, w, "use", "key")
	subject{keeper: mustOpen(t, "passphrase:?file="+newFile(t, goodPhrase+"\r\n", 0o400))}.opens(t, w, "use", "key")
	if strings.Contains(keeper.Name(), "ocelot") {
		t.Errorf("the name %q shows the passphrase", keeper.Name())
	}
}

func TestWhatIsNoPassphrase(t *testing.T) {
	t.Setenv("EMPTY", "")
	cases := []struct{ name, url, want string }{
		{"in the URL", "passphrase:" + strings.ReplaceAll(goodPhrase, " ", "-"), "does not stand in its URL"},
		{"in the URL with slashes", "passphrase://" + strings.ReplaceAll(goodPhrase, " ", "-"), "does not stand in its URL"},
		{"as a parameter", "passphrase:?passphrase=ocelot", "looks like a credential"},
		{"nothing", "passphrase:", "write passphrase:?file=PATH"},
		{"both", "passphrase:?file=/x&env=Y", "write passphrase:?file=PATH"},
		{"twice", "passphrase:?env=X&env=Y", "twice"},
		{"a timeout", "passphrase:?env=X&timeout=3s", "write passphrase:?file=PATH"},
		{"an empty variable", "passphrase:?env=EMPTY", "EMPTY, which is to hold the passphrase, is not set"},
		{"no variable", "passphrase:?env=NEVER_SET_ANYWHERE", "is not set"},
		{"no file", "passphrase:?file=/nowhere/at/all", "no such file"},
		{"a folder", "passphrase:?file=" + t.TempDir(), "no regular file"},
		{"others may read", "passphrase:?file=" + newFile(t, goodPhrase, 0o640), "chmod 600"},
		{"an empty file", "passphrase:?file=" + newFile(t, "\n", 0o600), "is empty"},
		{"a long file", "passphrase:?file=" + newFile(t, strings.Repeat("ocelot ", 1000), 0o600), "more than 4096 bytes"},
		{"weak", "passphrase:?file=" + newFile(t, "correct horse", 0o600), ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.Context(), c.url)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Open: %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "ocelot") || strings.Contains(err.Error(), "horse") {
				t.Errorf("the error %q shows the passphrase", err)
			}
		})
	}
}
