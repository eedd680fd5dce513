package archive

import (
	"context"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// place is where a URL leads to.
type place struct {
	url    *url.URL
	name   string // the URL without what may hold a credential
	folder string // of the scheme file
	prefix string // of all keys in a bucket; empty or with a slash at its end
}

// A scheme is a kind of place, with the parameters that its URLs may have.
type scheme struct {
	parameters []string
	open       func(context.Context, place) (store, error)
}

var schemes = map[string]scheme{
	"file":   {nil, openFolder},
	"s3":     {[]string{"region", "endpoint", "use_path_style", "profile", "dualstack", "fips", "anonymous", "accelerate", "ssetype", "kmskeyid", "request_checksum_calculation", "response_checksum_validation"}, openS3},
	"gs":     {[]string{"anonymous", "universe_domain"}, openGCS},
	"azblob": {[]string{"storage_account", "domain", "protocol", "localemu", "cdn"}, openAzure},
}

func (p place) open(ctx context.Context) (store, error) { return schemes[p.url.Scheme].open(ctx, p) }

// Check says whether a text is the URL of an archive, and what would have to
// change. It asks nothing of the place. The error is a *config.Error that shows
// nothing of the URL but its scheme and the names of parameters.
func Check(url string) error {
	_, err := parse(url)
	return err
}

// NameOf is the Name of the archive that a URL would open.
func NameOf(url string) (string, error) {
	p, err := parse(url)
	return p.name, err
}

func parse(text string) (place, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return place{}, badURL("is no URL")
	}
	kind, known := schemes[u.Scheme]
	query, queryErr := url.ParseQuery(u.RawQuery)
	switch {
	case !known:
		return place{}, badURL("has the scheme %q, which is none of file, s3, gs and azblob", u.Scheme)
	case u.User != nil:
		return place{}, badURL("holds a user name or password").Hint("leave it out, and give the server credentials by its environment")
	case u.Fragment != "" || queryErr != nil:
		return place{}, badURL("has a fragment, or parameters that cannot be read")
	}
	for name, values := range query {
		if !slices.Contains(kind.parameters, name) || len(values) != 1 {
			return place{}, badParameter(u.Scheme, name, kind.parameters)
		}
	}
	if err := checkPlain(query); err != nil {
		return place{}, err
	}
	if u.Scheme == "file" {
		return parseFolder(u)
	}
	return parseBucket(u)
}

// badParameter is of a parameter that a scheme does not take, or that is there twice.
func badParameter(scheme, name string, known []string) error {
	switch {
	case slices.Contains(known, name):
		return badURL("has the parameter %q more than once", name).Hint("give it once")
	case len(known) == 0:
		return badURL("has a parameter %q, and %s takes none", name, scheme).Hint("leave out what follows the question mark")
	}
	return badURL("has a parameter %q, which %s does not take", name, scheme).Hint("%s takes %s", scheme, strings.Join(known, ", "))
}

func parseFolder(u *url.URL) (place, error) {
	folder := u.Path
	if u.Opaque != "" {
		folder, _ = url.PathUnescape(u.Opaque)
	}
	if folder == "" || u.Host != "" && u.Host != "localhost" {
		return place{}, badURL("names no folder of this machine")
	}
	folder = filepath.Clean(filepath.FromSlash(folder))
	return place{url: u, name: "file:" + folder, folder: folder}, nil
}

func parseBucket(u *url.URL) (place, error) {
	if u.Opaque != "" || u.Host == "" {
		return place{}, badURL("names no bucket")
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return place{}, badURL("has a path that cannot begin keys; it has letters, digits, . _ - and / between them")
		}
		prefix += "/"
	}
	return place{url: u, name: u.Scheme + "://" + u.Host + "/" + prefix, prefix: prefix}, nil
}

// checkPlain keeps audit records off networks as plain text: plain HTTP is for
// what stands on this machine.
func checkPlain(query url.Values) error {
	if endpoint := query.Get("endpoint"); endpoint != "" {
		to, err := url.Parse(endpoint)
		switch {
		case err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http":
			return badURL("has an endpoint that is no URL").Hint("write it like endpoint=https://storage.example.com")
		case to.User != nil || to.RawQuery != "":
			return badURL("has an endpoint with more than scheme, host and path").Hint("give the server credentials by its environment")
		case to.Scheme == "http" && !local(to.Hostname()):
			return badURL("has an endpoint of plain http that is not on this machine").Hint("use https")
		}
	}
	domain, _, _ := strings.Cut(query.Get("domain"), ":")
	if protocol := query.Get("protocol"); protocol != "" && protocol != "https" && (protocol != "http" || !local(domain)) {
		return badURL("has a protocol other than https for what is not on this machine").Hint("leave protocol out")
	}
	return nil
}

func local(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

func badURL(format string, args ...any) *config.Error {
	return config.Errorf(config.KindBadRequest, "the archive's URL "+format, args...).
		Hint("write it like file:///var/archive, s3://bucket?region=eu-central-1, gs://bucket or azblob://container?storage_account=name")
}

// maxKey is the length of a key in bytes, with which a prefix fits into what
// every kind of place takes.
const maxKey = 512

// checkKey takes segments of letters, digits, . _ and - with slashes between
// them. None begins with a dot: keys lead nowhere else, and to no file that the
// archive itself keeps.
func checkKey(key string) error {
	if len(key) > maxKey {
		return badKey().Over(maxKey, int64(len(key)))
	}
	if path.Clean(key) != key {
		return badKey()
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment[0] == '.' || strings.ContainsFunc(segment, unusual) {
			return badKey()
		}
	}
	return nil
}

func unusual(r rune) bool {
	usual := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '_' || r == '-'
	return !usual
}

func badKey() *config.Error {
	return config.Errorf(config.KindBadRequest, "the key of an object has up to %d letters, digits, . _ - with / between them", maxKey).
		Hint("give it segments like records/0001, none of which begins with a dot")
}

// secrets are the parts of URLs that may hold one, such as the token of a shared
// access signature.
var secrets = regexp.MustCompile(`\?[^\s"'<>]+|//[^\s/@"']+@`)

func clean(text string) string {
	return secrets.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '?' {
			return "?…"
		}
		return "//…@"
	})
}
