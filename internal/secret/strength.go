package secret

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/guess"
)

// Personal are words that whoever guesses a secret would try: the user, the
// tenant, segments of the path, names of environments.
type Personal struct{ Words []string }

// maxWords bounds the words that are looked for.
const maxWords = 64

// Weakness is why a field is too easy to guess. It prints without any part of
// the value.
type Weakness struct {
	Field   string
	Reasons []string
}

// String says the field and the reasons.
func (w *Weakness) String() string {
	return "the field " + w.Field + " is too easy to guess: " + strings.Join(w.Reasons, "; ")
}

// companions are the fields that stand beside a secret without being one, in
// lower case with _ for - and a dot. A name that ends in _id is one as well.
var companions = map[string]bool{
	"username": true, "user": true, "login": true, "email": true, "name": true, "type": true, "id": true,
	"host": true, "hostname": true, "port": true, "scheme": true, "database": true, "dbname": true,
	"url": true, "uri": true, "endpoint": true, "base_url": true, "region": true,
	"account": true, "project": true, "organization": true, "deployment": true, "version": true,
	"public_key": true, "certificate": true, "ca": true,
}

func isCompanion(name string) bool {
	name = strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(name))
	return companions[name] || strings.HasSuffix(name, "_id")
}

// Check answers why the first weak field is too easy to guess, nil when none is.
//
// A text has 16 characters and more. It is strong when any part of it looks
// drawn and is long enough for 128 bits, as keys of providers and tokens are,
// or is a UUID of version 4. Everything else is taken for a password: at least
// three of lower case, upper case, digits and others, unless it makes up for
// that in length, and 2^64 guesses at least for whoever tries words, names,
// dates, sequences, repetitions, walks over the keyboard and the personal words
// before all else. Where the form says which part is the secret, that part
// counts: private keys in PEM (RSA from 2048 bits, curves from 256), the
// password in a URL, the credentials among name=value pairs and JSON members,
// what base64 and hexadecimal stand for.
//
// Companions such as username, host, port, url, region, account, project, id
// and whatever ends in _id are not secrets and are not looked at, but for a
// password in a URL.
func Check(f Fields, who Personal) (weakness *Weakness) {
	words := personalWords(who)
	guess.Load() // here, for word lists need not be erased
	Erase(func() {
		for _, e := range f.list {
			if reasons := (judge{words: words, done: &effort{}}).field(e); len(reasons) > 0 {
				weakness = &Weakness{e.name, reasons}
				return
			}
		}
	})
	return weakness
}

// personalWords cuts words into what people type: "acme-corp" is typed whole,
// and as acme.
func personalWords(who Personal) []string {
	var words []string
	add := func(word string) {
		if len(word) >= 3 && len(words) < maxWords && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	for _, word := range who.Words {
		word = strings.ToLower(word)
		add(word)
		for part := range strings.FieldsFuncSeq(word, func(c rune) bool { return strings.ContainsRune("-_./~@+= ", c) }) {
			add(part)
		}
	}
	return words
}

// judge says why something is weak: no reasons, and it is strong enough.
type judge struct {
	words []string // personal ones
	depth int      // how many forms were taken off
	done  *effort
}

// effort counts what takes time.
type effort struct{ parts, guesses int }

// Bounds of the work for one field: how deep a form may lie in another (base64
// of JSON with a URL), and how many parts are looked at.
const (
	maxForms = 4
	maxParts = 32
)

func (j judge) field(e entry) []string {
	revealed := e.field.value.Reveal()
	switch {
	case isCompanion(e.name):
		if password, ok := passwordOf(strings.TrimSpace(view(revealed))); ok {
			return j.part("the password in the URL", password)
		}
		return nil
	case e.field.kind == Text:
		return j.text(view(revealed))
	case e.field.kind == Bytes:
		return j.bytes(revealed)
	}
	v, err := canon.Decode(revealed, canon.Limits{Bytes: MaxSecretBytes, Depth: MaxNesting, Nodes: MaxSecretBytes})
	if err != nil {
		return []string{"it is not JSON"}
	}
	reasons, _ := j.members(e.name, v)
	return reasons
}

// members looks at the texts of a JSON value that are named like credentials.
func (j judge) members(name string, v any) (reasons []string, found bool) {
	switch v := v.(type) {
	case string:
		if isCredential(name) {
			return j.part("a member that is named like a credential", v), true
		}
	case []any:
		for _, element := range v {
			if reasons, more := j.members(name, element); more {
				found = true
				if len(reasons) > 0 {
					return reasons, true
				}
			}
		}
	case map[string]any:
		for _, key := range canon.SortedKeys(v) {
			if reasons, more := j.members(key, v[key]); more {
				found = true
				if len(reasons) > 0 {
					return reasons, true
				}
			}
		}
	}
	return nil, found
}

// part looks at a text within another.
func (j judge) part(what, text string) []string {
	if j.depth++; j.depth > maxForms {
		return []string{what + " lies too deep in other forms"}
	}
	if j.done.parts++; j.done.parts > maxParts {
		return []string{"it holds more than 32 credentials, which should be secrets of their own"}
	}
	return prefixed(what+": ", j.text(text))
}

func prefixed(prefix string, reasons []string) []string {
	for i, reason := range reasons {
		reasons[i] = prefix + reason
	}
	return reasons
}

// isCredential says whether a member or parameter is named like a credential.
func isCredential(name string) bool {
	name = strings.ToLower(name)
	if isCompanion(name) {
		return false
	}
	for _, end := range []string{"id", "url", "uri", "type", "name", "email", "expiry", "expires", "alg", "algorithm"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return strings.Contains(name, "key") && !strings.Contains(name, "public") ||
		slices.ContainsFunc([]string{"token", "secret", "password", "passwd", "passphrase", "pwd", "credential"}, func(word string) bool { return strings.Contains(name, word) })
}

// text finds out what a text is and looks at the part that is the secret.
func (j judge) text(text string) []string {
	text = strings.TrimSpace(text)
	if text == "" {
		return []string{"it is empty"}
	}
	if strings.Contains(text, "-----BEGIN ") {
		if reasons, ok := checkPEM([]byte(text)); ok {
			return reasons
		}
	}
	if reasons, ok := j.document(text); ok {
		return reasons
	}
	if password, ok := passwordOf(text); ok {
		return j.part("the password in the URL", password)
	}
	if reasons, ok := j.pairs(text); ok {
		return reasons
	}
	if isUUID(text) {
		return checkUUID(text)
	}
	if isAccessKeyID(text) {
		return nil
	}
	if decoded, ok := decodedText(text); ok {
		return j.part("what it stands for when decoded", decoded)
	}
	if signature, ok := signatureOf(text); ok {
		if !j.hasKey(signature) {
			return []string{"it is a token without a signature"}
		}
		return nil
	}
	if j.hasKey(text) {
		return nil
	}
	return j.password(text)
}

// document looks at a text that is a JSON object or array with credentials in it.
func (j judge) document(text string) ([]string, bool) {
	if text[0] != '{' && text[0] != '[' || !json.Valid([]byte(text)) {
		return nil, false
	}
	v, err := canon.Decode([]byte(text), canon.Limits{Bytes: MaxSecretBytes, Depth: MaxNesting, Nodes: MaxSecretBytes})
	if err != nil {
		return nil, false
	}
	return j.members("", v)
}

// bytes looks at a field of bytes.
func (j judge) bytes(b []byte) []string {
	if printable(b) {
		return j.text(view(b))
	}
	if reasons, ok := checkDER(b); ok {
		return reasons
	}
	if len(b) < minCharacters {
		return []string{"it has fewer than 16 bytes"}
	}
	seen := map[byte]bool{}
	head := b[:min(len(b), window)]
	for _, c := range head {
		seen[c] = true
	}
	if len(seen) < minCharacters/2 || period(view(head)) <= len(head)/2 {
		return []string{"its bytes repeat themselves"}
	}
	return nil
}
