package keepers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// openPassphrase opens passphrase:?file=PATH and passphrase:?env=NAME.
func openPassphrase(_ context.Context, text string) (seal.Keeper, error) {
	rest, raw, _ := strings.Cut(text[len("passphrase:"):], "?")
	if rest != "" && rest != "//" { // it may be the passphrase: never repeat it
		return nil, errors.New("a passphrase does not stand in its URL, where settings and process lists would show it: put it into a file of mode 0600 and write passphrase:?file=PATH, or passphrase:?env=NAME")
	}
	query, err := parseQuery("passphrase", raw)
	if err != nil {
		return nil, err
	}
	if err := query.only("file", "env"); err != nil {
		return nil, err
	}
	path, name := query["file"], query["env"]
	if _, timed := query["timeout"]; timed || (path == "") == (name == "") {
		return nil, errors.New("write passphrase:?file=PATH or passphrase:?env=NAME")
	}
	if path != "" {
		phrase, err := readPrivate("passphrase file", path)
		if err != nil {
			return nil, err
		}
		defer clear(phrase)
		return seal.OpenPassphraseKeeper("passphrase in "+path, phrase)
	}
	phrase := []byte(os.Getenv(name))
	defer clear(phrase)
	if len(phrase) == 0 {
		return nil, fmt.Errorf("the environment variable %s, which is to hold the passphrase, is not set or empty", name)
	}
	return seal.OpenPassphraseKeeper("passphrase in $"+name, phrase)
}
