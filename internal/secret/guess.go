package secret

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/guess"
)

const (
	minCharacters = 16
	minKinds      = 3
	minKeyBits    = 120  // of what looks drawn: one of 128 may lack a kind of character by chance, and then seems to hold less
	minGuessBits  = 64   // of a password
	minSurprise   = 0.7  // share of a key's characters that do not follow from those before
	minUnknown    = 0.5  // share of a key's bits that no word, date or walk explains; chance writes such into any text
	window        = 64   // characters that patterns are looked for in; the cost of some grows with the square
	maxCandidates = 3    // parts that are looked at for being a key
	minNew        = 0.5  // share of a password's characters that do not follow from those before
	minDistinct   = 0.55 // of the distinct characters that a drawn text of the same length has
)

// hasKey says whether a part of the text looks drawn and is long enough.
func (j judge) hasKey(text string) bool {
	var candidates []string
	for part := range strings.FieldsFuncSeq(text, func(c rune) bool { return !inKey(c) }) {
		if part = strings.Trim(part, "="); capacity(part) >= minKeyBits {
			candidates = append(candidates, part)
		}
	}
	slices.SortStableFunc(candidates, func(a, b string) int { return len(b) - len(a) })
	for _, part := range candidates[:min(len(candidates), maxCandidates)] {
		if j.looksDrawn(part) {
			return true
		}
	}
	return false
}

func inKey(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("+/=-_~", c)
}

// capacity is how many bits a drawn text of these kinds of characters holds.
func capacity(text string) float64 { return float64(len(text)) * bitsOf(text) }

// bitsOf is how many bits a character of the smallest alphabet holds that the
// text is in.
func bitsOf(text string) float64 {
	var lower, upper, digit, other, beyondHex bool
	for i := range len(text) {
		c := text[i]
		beyondHex = beyondHex || (c|0x20) > 'f' && c >= 'A'
		switch {
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= '0' && c <= '9':
			digit = true
		default:
			other = true
		}
	}
	size := 0.0
	for kind, characters := range map[*bool]float64{&lower: 26, &upper: 26, &digit: 10, &other: 2} {
		if *kind {
			size += characters
		}
	}
	if oneCase := !lower || !upper; oneCase && !beyondHex && !other {
		size = min(size, 16)
	}
	return math.Log2(max(size, 1))
}

// looksDrawn says whether chance, and not a person, made a text: it is looked at
// where it begins and where it ends, and one of the two is enough, because what
// is added to a key makes it no weaker.
func (j judge) looksDrawn(text string) bool {
	head, tail := text[:min(len(text), window)], text[max(0, len(text)-window):]
	return j.windowDrawn(head) || head != tail && j.windowDrawn(tail)
}

func (j judge) windowDrawn(text string) bool {
	if isPlaceholder(text) || period(text) <= len(text)/2 {
		return false
	}
	if _, ok := decodedText(text); ok || surprise(text) < minSurprise {
		return false
	}
	w := j.weigh(text)
	return w.Bits >= minUnknown*w.Most
}

// surprise is the share of characters that are new, 0 when too few are different.
func surprise(text string) float64 {
	distinct := map[byte]bool{}
	for i := range len(text) {
		distinct[text[i]] = true
	}
	size := math.Exp2(bitsOf(text))
	expected := size * (1 - math.Pow(1-1/size, float64(len(text))))
	if float64(len(distinct)) < minDistinct*expected {
		return 0
	}
	return newShare(text)
}

// newShare is the share of characters that do not follow from those before: a
// run, a sequence, or what was there already.
func newShare(text string) float64 {
	fresh := 0
	for i := range len(text) {
		if i < 2 || !follows(text[i-2], text[i-1], text[i]) && (i < 3 || !strings.Contains(text[:i], text[i-3:i+1])) {
			fresh++
		}
	}
	return float64(fresh) / float64(len(text))
}

// follows says whether c goes on with what a and b began: aaa, abc, 321.
func follows(a, b, c byte) bool {
	step := int(b) - int(a)
	return step >= -1 && step <= 1 && int(c)-int(b) == step
}

// period is the length of the shortest text of which text is the repetition,
// the last one perhaps cut short: its own length when it repeats nothing.
func period(text string) int {
	border := make([]int, len(text)+1) // of each prefix, the longest end that is also its start
	for i, k := 1, 0; i < len(text); i++ {
		for k > 0 && text[i] != text[k] {
			k = border[k]
		}
		if text[i] == text[k] {
			k++
		}
		border[i+1] = k
	}
	return len(text) - border[len(text)]
}

// placeholders stand in examples for a value. Chance does not write them.
var placeholders = []string{"changeme", "change-me", "change_me", "replaceme", "replace-me", "replace_me", "placeholder", "example", "your-key", "your_key", "yourkey", "your-api-key", "your_api_key", "yourapikey", "xxxxxxxx"}

func isPlaceholder(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(placeholders, func(p string) bool { return strings.Contains(text, p) })
}

// password looks at a text that a person may have thought up.
func (j judge) password(text string) []string {
	var reasons []string
	runes := utf8.RuneCountInString(text)
	if runes < minCharacters {
		reasons = append(reasons, "it has fewer than 16 characters")
	}
	unit := text
	if p := period(text); p <= len(text)/2 || newShare(text[:min(len(text), window)]) < minNew {
		reasons = append(reasons, "it repeats itself, or goes on as expected")
		unit = strings.ToValidUTF8(text[:p], "")
	}
	if isPlaceholder(text) {
		reasons = append(reasons, "it is a placeholder from an example")
	}
	found, bits := j.guesses(unit)
	if kinds(text) < minKinds && bits < minKeyBits {
		reasons = append(reasons, "it has fewer than three of: lower-case letters, upper-case letters, digits, other characters")
	}
	if bits < minGuessBits {
		reasons = append(reasons, found...)
		reasons = append(reasons, "it takes fewer than 2^64 guesses")
	}
	return reasons
}

// kinds counts the kinds of characters.
func kinds(text string) int {
	var lower, upper, digit, other int
	for _, c := range text {
		switch {
		case unicode.IsLower(c):
			lower = 1
		case unicode.IsUpper(c):
			upper = 1
		case unicode.IsDigit(c):
			digit = 1
		default:
			other = 1
		}
	}
	return lower + upper + digit + other
}

// guesses is the logarithm of the guesses that a text takes, and what makes
// them few.
func (j judge) guesses(text string) (reasons []string, bits float64) {
	bits = math.Inf(1)
	for _, variant := range disguises(beginning(text)) {
		if w := j.weigh(variant); w.Bits < bits {
			bits, reasons = w.Bits, patterns(w.Kinds)
		}
	}
	return reasons, bits
}

// beginning is the first characters of a text.
func beginning(text string) string {
	characters := 0
	for at := range text {
		if characters++; characters > window {
			return text[:at]
		}
	}
	return text
}

// disguises are the text and what it looks like when signs that stand for
// letters are read as them. All combinations would take seconds for some texts.
func disguises(text string) []string {
	variants := []string{text}
	for _, replacer := range []*strings.Replacer{leetI, leetL} {
		if variant := replacer.Replace(text); !slices.Contains(variants, variant) {
			variants = append(variants, variant)
		}
	}
	return variants
}

var (
	leetI = strings.NewReplacer("4", "a", "@", "a", "3", "e", "0", "o", "$", "s", "5", "s", "7", "t", "1", "i", "!", "i")
	leetL = strings.NewReplacer("4", "a", "@", "a", "3", "e", "0", "o", "$", "s", "5", "s", "7", "t", "1", "l", "!", "l")
)

func (j judge) weigh(text string) guess.Weight {
	j.done.guesses++
	return guess.Weigh(text, j.words)
}

var patternReasons = map[guess.Kind]string{
	guess.Own:      "it has words in it that belong to the user, the tenant or the place of the secret",
	guess.Word:     "it has common words, names or passwords in it",
	guess.Walk:     "it has neighbouring keys of a keyboard in it",
	guess.Repeat:   "it has repeated characters in it",
	guess.Sequence: "it has characters in their usual order in it",
	guess.Date:     "it has a date in it",
}

// patterns says in words what was found.
func patterns(kinds []guess.Kind) []string {
	reasons := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		reasons = append(reasons, patternReasons[kind])
	}
	return reasons
}
