package convert

import (
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LooksLikeKey says whether a variable is likely to hold what nobody else may
// know, and by what that was told. It errs on the side of yes: a secret too many
// is a small nuisance, and a key in a document is read by everybody who reads
// the document.
func LooksLikeKey(name, value string) (why string, yes bool) {
	if value == "" || isPlaceholder(value) {
		return "", false
	}
	for _, form := range keyForms {
		if form.pattern.MatchString(value) {
			return form.what, true
		}
	}
	if hasPassword(value) {
		return "an address with a password", true
	}
	if isPublic(name, value) {
		return "", false
	}
	if why := wordOf(name); why != "" && !isHarmless(value) {
		return why, true
	}
	if isRandom(value) && !namesContent(name) {
		return "it looks random", true
	}
	return "", false
}

// keyForms are how the keys of providers and tools look. A form must be so plain
// that the name needs no look.
var keyForms = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY`)},
	{"an age key", regexp.MustCompile(`^AGE-SECRET-KEY-1[0-9A-Z]+$`)},
	{"a service account's key", regexp.MustCompile(`"private_key"\s*:`)},
	{"a signed token (JWT)", regexp.MustCompile(`^eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*$`)},
	{"an authorization header", regexp.MustCompile(`^(?i:bearer|basic) +[A-Za-z0-9._~+/=-]{12,}$`)},
	{"a connection string with a password", regexp.MustCompile(`(?i)(?:^|[;& ])(?:password|pwd|accountkey|sharedaccesskey|sharedsecret|sig)=[^;& ]+`)},
	{"an OpenAI or Anthropic key", regexp.MustCompile(`^sk-[A-Za-z0-9_-]{16,}$`)},
	{"a Google key", regexp.MustCompile(`^AIza[0-9A-Za-z_-]{30,}$`)},
	{"a Google OAuth secret", regexp.MustCompile(`^GOCSPX-[0-9A-Za-z_-]{20,}$`)},
	{"a Hugging Face token", regexp.MustCompile(`^(?:hf|api_org)_[A-Za-z0-9]{20,}$`)},
	{"a key of an inference provider", regexp.MustCompile(`^(?:gsk_|xai-|pplx-|r8_|fw_|nvapi-|csk-|esecret_|jina_|tgp_v1_|pcsk_|voyage-|vk-)[A-Za-z0-9_-]{16,}$`)},
	{"a key of a tracing tool", regexp.MustCompile(`^(?:lsv2_(?:pt|sk)_|phx_|hny|sntrys_|glsa_|glc_)[A-Za-z0-9_=+/-]{16,}$`)},
	{"a GitHub token", regexp.MustCompile(`^(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})$`)},
	{"a GitLab token", regexp.MustCompile(`^gl(?:pat|dt|rt|ptt|oas)-[A-Za-z0-9_-]{16,}$`)},
	{"a Slack token", regexp.MustCompile(`^xox[a-z]-[A-Za-z0-9-]{10,}$|^xapp-[A-Za-z0-9-]{10,}$`)},
	{"a webhook's address, which is its own key", regexp.MustCompile(`^https://(?:hooks\.slack\.com/(?:services|workflows)|discord(?:app)?\.com/api/webhooks|[a-z0-9.-]+\.webhook\.office\.com)/.+`)},
	{"a Stripe key", regexp.MustCompile(`^(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,}$`)},
	{"a webhook's signing key", regexp.MustCompile(`^whsec_[A-Za-z0-9+/=_-]{16,}$`)},
	{"a mail provider's key", regexp.MustCompile(`^(?:SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|key-[0-9a-f]{32}|xkeysib-[0-9a-f-]{32,}|re_[A-Za-z0-9_]{16,})$`)},
	{"a Twilio key", regexp.MustCompile(`^SK[0-9a-f]{32}$`)},
	{"a package registry's token", regexp.MustCompile(`^(?:npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{20,}|dckr_pat_[A-Za-z0-9_-]{16,})$`)},
	{"a cloud provider's token", regexp.MustCompile(`^(?:do[opr]_v1_[0-9a-f]{32,}|dapi[0-9a-f]{32}(?:-\d)?|LTAI[A-Za-z0-9]{16,}|ya29\.[A-Za-z0-9_-]{16,}|[a-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{20,})$`)},
	{"a secret store's token", regexp.MustCompile(`^(?:hv[sbr]\.[A-Za-z0-9_-]{20,}|dp\.[a-z]+\.[A-Za-z0-9.]{20,}|llmc_[A-Za-z0-9_-]{16,})$`)},
	{"a tool's token", regexp.MustCompile(`^(?:lin_api_|ntn_|secret_|figd_|PMAK-|NRAK-|tfp_|sbp_|rdme_)[A-Za-z0-9_-]{16,}$`)},
	{"a Telegram bot's token", regexp.MustCompile(`^\d{8,10}:[A-Za-z0-9_-]{35}$`)},
}

// publicForms are what providers give out to be shown to everybody, or names
// rather than keys, however they look.
var publicForms = regexp.MustCompile(`^(?:pk[-_][A-Za-z0-9_-]+|(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|arn:aws:.*|[A-Za-z0-9-]+\.apps\.googleusercontent\.com|(?:ssh-(?:rsa|ed25519)|ecdsa-sha2-\S+) .*|sha(?:1|256|384|512)[-:].*)$`)

func isPublic(name, value string) bool {
	words := wordsOf(name)
	if strings.Contains(value, "-----BEGIN PUBLIC KEY") || strings.HasPrefix(value, "-----BEGIN CERTIFICATE") {
		return true
	}
	if publicForms.MatchString(value) {
		// A UUID may be a key where the name says so: some providers' are.
		return wordOf(name) == "" || !isUUID(value)
	}
	return slices.Contains(words, "public") || slices.Contains(words, "publishable")
}

func isUUID(value string) bool { return len(value) == 36 && strings.Count(value, "-") == 4 }

// isPlaceholder says that a value only holds the place of one.
func isPlaceholder(value string) bool {
	lower := strings.ToLower(value)
	switch {
	case strings.Trim(lower, "x*.-_ ") == "", strings.HasPrefix(lower, "<") && strings.HasSuffix(lower, ">"):
		return true
	}
	for _, start := range []string{"your-", "your_", "your ", "replace-", "replace_", "insert-", "insert_", "todo", "${", "{{"} {
		if strings.HasPrefix(lower, start) {
			return true
		}
	}
	return strings.HasSuffix(lower, "-here") || strings.HasSuffix(lower, "_here")
}

// hasPassword says that an address holds one, or a token in its query.
func hasPassword(value string) bool {
	if !strings.Contains(value, "://") {
		return false
	}
	for address := range strings.SplitSeq(value, ",") { // some drivers take several
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil {
			// What does not parse and has both a colon and an @ is taken for one.
			_, rest, _ := strings.Cut(address, "://")
			before, _, at := strings.Cut(rest, "@")
			if at && strings.Contains(before, ":") {
				return true
			}
			continue
		}
		if password, _ := u.User.Password(); password != "" {
			return true
		}
		for parameter, values := range u.Query() {
			if wordOf(parameter) != "" && values[0] != "" && !isHarmless(values[0]) {
				return true
			}
		}
	}
	return false
}

// wordsOf are the words of a name, in lower case: DB_PASSWORD and dbPassword
// are db and password.
func wordsOf(name string) []string {
	spaced := camel.ReplaceAllString(name, "${1}_${2}")
	return strings.FieldsFunc(strings.ToLower(spaced), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

var camel = regexp.MustCompile(`([a-z0-9])([A-Z])`)

var (
	// keyWords say by themselves that something is a key.
	keyWords = []string{
		"password", "passwd", "pass", "pwd", "passphrase", "passcode", "pin", "secret", "secrets", "token", "apikey", "accesskey", "secretkey",
		"privatekey", "credential", "credentials", "creds", "jwt", "bearer", "pat", "auth", "salt", "pepper", "cookie", "hmac",
	}
	// notKeys are words before KEY that make it a key of another sort.
	notKeys = []string{"primary", "foreign", "partition", "sort", "cache", "routing", "hot", "lookup", "map", "index", "group", "idempotency", "shard", "row", "range", "dedupe"}
	// aboutKeys are last words that speak about a key and are none.
	aboutKeys = []string{
		"id", "ids", "name", "names", "path", "paths", "file", "dir", "folder", "url", "uri", "host", "hostname", "port", "user", "username", "ttl",
		"expiry", "expires", "expiration", "lifetime", "age", "length", "len", "limit", "limits", "count", "max", "min", "size", "timeout", "type",
		"kind", "algorithm", "alg", "algo", "enabled", "disabled", "required", "header", "prefix", "suffix", "region", "version", "issuer", "audience",
		"endpoint", "method", "mode", "provider", "backend", "store", "policy", "domain", "scope", "scopes", "rotation", "interval", "window",
		"budget", "rate", "price", "cost", "format", "field", "column", "strategy", "arn", "alias", "hint", "rounds", "samesite",
	}
)

// wordOf is the word of a name that says it is a key, "" when none does.
func wordOf(name string) string {
	words := wordsOf(name)
	if len(words) == 0 || slices.Contains(aboutKeys, words[len(words)-1]) {
		return ""
	}
	for i, word := range words {
		switch {
		case slices.Contains(keyWords, word):
			return "its name says " + word
		case word == "key" || word == "keys" && i == len(words)-1:
			if i == 0 || !slices.Contains(notKeys, words[i-1]) {
				return "its name says key"
			}
		case word == "dsn", word == "connection" && i+1 < len(words) && words[i+1] == "string":
			return "" // told by its value
		}
	}
	return ""
}

// isHarmless says that a value is none that could be a key, whatever its name.
func isHarmless(value string) bool {
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "on", "off", "none", "null", "enabled", "disabled", "required", "optional", "oauth", "oauth2", "oidc", "jwt", "basic", "bearer":
		return true
	}
	if strings.HasPrefix(value, "/") || strings.HasPrefix(value, "./") || strings.HasPrefix(value, "../") {
		return !isRandom(strings.TrimLeft(value, "./"))
	}
	u, err := url.Parse(value)
	return err == nil && u.Scheme != "" && u.Host != ""
}

// namesContent says that a name speaks of what random-looking text is usual for.
func namesContent(name string) bool {
	words := wordsOf(name)
	return slices.ContainsFunc(words, func(w string) bool {
		return slices.Contains([]string{"sha", "sha1", "sha256", "sha512", "commit", "digest", "hash", "checksum", "revision", "rev", "uuid", "image", "etag", "fingerprint", "build", "model", "id", "ids", "cert", "certificate"}, w)
	})
}

// isRandom says that text looks drawn rather than written: long, of one piece,
// letters among digits, and with few repetitions.
func isRandom(text string) bool {
	if len(text) < 24 || !randomText.MatchString(text) {
		return false
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return false
	}
	if hexText.MatchString(text) {
		return len(text) >= 32 && entropy(text) >= 3
	}
	return entropy(text) >= 3.9 && longestRun(text) < 10 && slices.ContainsFunc(strings.FieldsFunc(text, separates), isMixed)
}

func separates(r rune) bool { return r == '-' || r == '_' || r == '/' }

// isMixed says that a piece of text has letters among its digits, and is longer
// than the words and numbers that names are made of.
func isMixed(piece string) bool {
	return len(piece) >= 12 && strings.ContainsAny(piece, "0123456789") && strings.ContainsFunc(piece, func(r rune) bool { return r >= 'A' })
}

var (
	randomText = regexp.MustCompile(`^[A-Za-z0-9+/_-]+=*$`)
	hexText    = regexp.MustCompile(`^[0-9a-fA-F]+$`)
)

// entropy is the Shannon entropy of a text's bytes, in bits for each.
func entropy(text string) float64 {
	var counts [256]int
	for _, c := range []byte(text) {
		counts[c]++
	}
	bits := 0.0
	for _, n := range &counts {
		if n > 0 {
			share := float64(n) / float64(len(text))
			bits -= share * math.Log2(share)
		}
	}
	return bits
}

// longestRun is the most small letters in a row, as words have them.
func longestRun(text string) (most int) {
	run := 0
	for _, c := range []byte(text) {
		if run++; c < 'a' || c > 'z' {
			run = 0
		}
		most = max(most, run)
	}
	return most
}
