package keepers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

// maxURLBytes is more than any keeper needs: an ARN has at most 2,048.
const maxURLBytes = 4 << 10

// How long one call to a key management service may take, retries included.
const (
	defaultTimeout = 10 * time.Second
	minTimeout     = time.Second
	maxTimeout     = time.Minute
)

var (
	schemeForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	controlForm = regexp.MustCompile(`[\x00-\x1f\x7f]`)
	// What people call things that do not belong into settings.
	credentialForm = regexp.MustCompile(`(?i)token|secret|passw|passphrase|credential|signature|access.?key|api.?key|client.?key|^(pin|pin-value|sig|key|auth)$`)
)

// openers are the keepers that take a whole URL apart themselves, by scheme.
var openers = map[string]func(context.Context, string) (seal.Keeper, error){
	"file":          openFile,
	"passphrase":    openPassphrase,
	"pkcs11":        openPKCS11,
	"awskms":        service(openAWS),
	"gcpkms":        service(openGCP),
	"azurekeyvault": service(openAzure),
	"hashivault":    service(openVault),
}

// Open answers the keeper that a URL names; a path alone names a key file. It
// refuses a URL that holds a credential, and its errors never repeat one.
// Services are not asked yet: whether a key can be used shows with the first
// wrap. A token behind PKCS#11 is, because its key has to be looked at.
func Open(ctx context.Context, text string) (seal.Keeper, error) {
	switch {
	case text == "":
		return nil, errors.New("no master key is named: give the path of a key file, or the URL of a keeper, with a scheme of " + schemes())
	case len(text) > maxURLBytes:
		return nil, fmt.Errorf("the master key's URL has %d bytes, and at most %d are read", len(text), maxURLBytes)
	case controlForm.MatchString(text):
		return nil, errors.New("the master key's URL has a control character in it, a line break perhaps: remove it")
	}
	scheme := strings.TrimSuffix(schemeForm.FindString(text), ":")
	if scheme == "" {
		return seal.OpenFileKeeper(text)
	}
	open, known := openers[strings.ToLower(scheme)]
	if !known {
		return nil, fmt.Errorf("%q is no scheme of a master key: take one of %s; a file with such a name is file:NAME", scheme, schemes())
	}
	return open(ctx, text)
}

func schemes() string { return strings.Join(slices.Sorted(maps.Keys(openers)), ", ") }

// openFile takes the path as it stands: in file:/a%20b the percent sign belongs
// to the name.
func openFile(_ context.Context, text string) (seal.Keeper, error) {
	path := text[len("file:"):]
	if rest, slashes := strings.CutPrefix(path, "//"); slashes {
		if !strings.HasPrefix(rest, "/") {
			return nil, errors.New("a key file's URL names no host: write file:///absolute/path or file:relative/path")
		}
		path = rest
	}
	if path == "" {
		return nil, errors.New("file: names no file: write file:PATH")
	}
	return seal.OpenFileKeeper(path)
}

// service checks what holds for the URLs of all services, and hands on what is
// left of the query.
func service(open func(ctx context.Context, key string, query query) (keeperParts, error)) func(context.Context, string) (seal.Keeper, error) {
	return func(ctx context.Context, text string) (seal.Keeper, error) {
		u, err := url.Parse(text)
		if err != nil { // the error of url.Parse repeats the URL
			return nil, fmt.Errorf("the master key's %s URL cannot be read: %s", strings.SplitN(text, ":", 2)[0], withoutURL(err))
		}
		scheme := strings.ToLower(u.Scheme)
		if u.User != nil {
			return nil, fmt.Errorf("the %s URL holds a user or password, which would stand in settings and logs: remove it and give credentials by environment variables or by the machine's own identity", scheme)
		}
		if u.Opaque != "" || u.Fragment != "" {
			return nil, fmt.Errorf("the %s URL has another form than %s://KEY?NAME=VALUE", scheme, scheme)
		}
		query, err := parseQuery(scheme, u.RawQuery)
		if err != nil {
			return nil, err
		}
		timeout, err := query.timeout()
		if err != nil {
			return nil, err
		}
		parts, err := open(ctx, strings.Trim(u.Host+u.Path, "/"), query)
		if err != nil {
			return nil, fmt.Errorf("master key by %s: %w", scheme, err)
		}
		return parts.keeper(timeout), nil
	}
}

// withoutURL is the reason of an error of url.Parse.
func withoutURL(err error) string {
	var parse *url.Error
	if errors.As(err, &parse) {
		// Escapes and ports are quoted in the reason; they may be of a password.
		reason, _, _ := strings.Cut(parse.Err.Error(), ` "`)
		return reason
	}
	return "it is malformed"
}
