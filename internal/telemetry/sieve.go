package telemetry

import (
	"bytes"
	"io"
	"math/bits"
	"strings"
)

// A pattern is what a kind of credential begins with, and how the rest of it is
// measured.
type pattern struct {
	prefix string
	word   bool // only where no letter or digit stands before
	// rest is the part of what follows the prefix that is hidden; nothing is
	// when from is not before to.
	rest func(after []byte) (from, to int)
}

// patterns must not be more than the bits of a mask, and no prefix shorter than
// the three bytes that the scan looks at.
var patterns = [...]pattern{
	{"llmc_", false, ownToken},
	{"sk-", true, atLeast(16)},           // OpenAI, Anthropic, DeepSeek
	{"AKIA", true, atLeast(16)},          // AWS
	{"ASIA", true, atLeast(16)},          // AWS, temporary
	{"AIza", true, atLeast(30)},          // Google
	{"eyJ", false, atLeast(20)},          // JWT
	{"ghp_", true, atLeast(20)},          // GitHub
	{"gho_", true, atLeast(20)},          // GitHub
	{"ghs_", true, atLeast(20)},          // GitHub
	{"github_pat_", true, atLeast(20)},   // GitHub
	{"glpat-", true, atLeast(16)},        // GitLab
	{"gsk_", true, atLeast(20)},          // Groq
	{"xai-", true, atLeast(20)},          // xAI
	{"xoxb-", true, atLeast(10)},         // Slack
	{"xoxp-", true, atLeast(10)},         // Slack
	{"hf_", true, atLeast(20)},           // Hugging Face
	{"hvs.", true, atLeast(20)},          // Vault
	{"pplx-", true, atLeast(20)},         // Perplexity
	{"Bearer ", false, atLeast(16)},      // header values
	{"bearer ", false, atLeast(16)},      //
	{"BEARER ", false, atLeast(16)},      //
	{"Basic ", false, atLeast(16)},       //
	{"basic ", false, atLeast(16)},       //
	{"token=", false, untilDelimiter},    // queries and messages
	{"secret=", false, untilDelimiter},   //
	{"password=", false, untilDelimiter}, //
	{"api_key=", false, untilDelimiter},  //
	{"apikey=", false, untilDelimiter},   //
	{"://", false, urlPassword},
	{"-----BEGIN ", false, pemBlock},
}

// first, second and third say, as a set of bits, which patterns have a byte there.
var first, second, third = masks()

func masks() (first, second, third [256]uint32) {
	for i := range patterns {
		p := &patterns[i]
		first[p.prefix[0]] |= 1 << i
		second[p.prefix[1]] |= 1 << i
		third[p.prefix[2]] |= 1 << i
	}
	return first, second, third
}

// find is the first part of a line, from a position on, that must not be seen.
func find(line []byte, at int) (from, to int, found bool) {
	var one, two uint32 // the patterns whose first byte was the last, whose first two were the last two
	for i, c := range line[at:] {
		if three := two & third[c]; three != 0 {
			if from, to, found := match(line, at+i-2, three); found {
				return from, to, true
			}
		}
		two, one = one&second[c], first[c]
	}
	return 0, 0, false
}

// match tries the patterns of a set at a position.
func match(line []byte, at int, set uint32) (from, to int, found bool) {
	for ; set != 0; set &= set - 1 {
		p := &patterns[bits.TrailingZeros32(set)]
		if !bytes.HasPrefix(line[at:], []byte(p.prefix)) || p.word && inWord(line, at) {
			continue
		}
		after := at + len(p.prefix)
		if from, to := p.rest(line[after:]); from < to {
			return after + from, after + to, true
		}
	}
	return 0, 0, false
}

// inWord says whether the byte before a position belongs to the same word. It
// may instead end an escape, of six bytes at most (\n, \x01, \u000a).
func inWord(line []byte, at int) bool {
	return at > 0 && alphanumeric(line[at-1]) && bytes.IndexByte(line[max(0, at-6):at], '\\') < 0
}

// ownToken hides the secret half of a token of ours; its id may be seen.
func ownToken(after []byte) (from, to int) {
	const id = 16
	end := tokenEnd(after)
	if end > id && after[id] == '_' {
		return id + 1, end
	}
	if end < id {
		return 0, 0
	}
	return 0, end
}

// atLeast hides a run of n bytes or more, of those that tokens are made of.
func atLeast(n int) func([]byte) (int, int) {
	return func(after []byte) (int, int) {
		if end := tokenEnd(after); end >= n {
			return 0, end
		}
		return 0, 0
	}
}

func tokenEnd(text []byte) int {
	for i, c := range text {
		if !alphanumeric(c) && strings.IndexByte("_-.~+/=", c) < 0 {
			return i
		}
	}
	return len(text)
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func untilDelimiter(after []byte) (from, to int) {
	if bytes.HasPrefix(after, []byte(Redacted)) {
		return 0, 0
	}
	return 0, until(after, "&;, \t\r\n\"'\\)")
}

// until is the position of the first of some bytes, the end when there is none.
func until(text []byte, delimiters string) int {
	if end := bytes.IndexAny(text, delimiters); end >= 0 {
		return end
	}
	return len(text)
}

// urlPassword hides the user part of a URL that has a password in it.
func urlPassword(after []byte) (from, to int) {
	authority := after[:until(after, "/?# \t\r\n\"'\\")]
	at := bytes.LastIndexByte(authority, '@')
	if at < 0 || bytes.IndexByte(authority[:at], ':') < 0 {
		return 0, 0
	}
	return 0, at
}

// pemBlock hides a block of PEM that is a private key, to its end line if there is one.
func pemBlock(after []byte) (from, to int) {
	const longest = len("ENCRYPTED PRIVATE KEY")
	kind, _, found := bytes.Cut(after, []byte("-----"))
	if !found || len(kind) > longest || !bytes.HasSuffix(kind, []byte("PRIVATE KEY")) {
		return 0, 0
	}
	body := len(kind) + len("-----")
	if end := bytes.Index(after[body:], []byte("-----END")); end >= 0 {
		return body, body + end
	}
	return body, body + until(after[body:], "\"")
}

// A sieve lets lines through, less what looks like a credential.
type sieve struct{ to io.Writer }

func (s *sieve) Write(line []byte) (int, error) {
	from, to, found := find(line, 0)
	if !found {
		return s.to.Write(line)
	}
	cleaned, rest := make([]byte, 0, len(line)), 0
	for found {
		cleaned = append(append(cleaned, line[rest:from]...), Redacted...)
		rest = to
		from, to, found = find(line, rest)
	}
	if _, err := s.to.Write(append(cleaned, line[rest:]...)); err != nil {
		return 0, err
	}
	return len(line), nil
}
