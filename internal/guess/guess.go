// Package guess estimates how many guesses a text takes: passwords and
// passphrases that people think up are made of words, names, dates, walks over
// the keyboard, sequences and repetitions, and whoever guesses tries those
// first.
//
// The way of counting and the lists are those of zxcvbn. Of the library only
// the lists are used, and they are read when the first text is weighed: the
// library reads them at the start of every process, whatever it is started for.
//
// Texts are secrets. Nothing here keeps one, and nothing that it answers has a
// part of one in it.
package guess

import (
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Kind is what a part of a text is.
type Kind int

// What is looked for.
const (
	Own      Kind = iota + 1 // one of the words that were handed in
	Word                     // a common word, name or password
	Walk                     // neighbouring keys of a keyboard
	Repeat                   // one character, three times and more
	Sequence                 // letters or digits in their usual order, either way
	Date
)

// Weight is what a text is worth.
type Weight struct {
	Bits  float64 // the logarithm of the guesses that it takes
	Most  float64 // the bits if nothing had been found in it
	Kinds []Kind  // what makes them fewer: each once, in the order of the text
}

// A part of a text is found to be something.
type part struct {
	kind     Kind
	from, to int     // text[from:to]
	bits     float64 // of the guesses that this part takes
}

// Weigh estimates the guesses for a text by somebody who knows these words,
// the likeliest first. The time grows with the length, and for long walks over
// the keyboard with its square.
func Weigh(text string, words []string) Weight {
	if text == "" {
		return Weight{}
	}
	text = plain(text)
	perCharacter := math.Log2(alphabet(text))
	bits, kinds := cheapest(len(text), perCharacter, find(text, words))
	return Weight{Bits: bits, Most: float64(len(text)) * perCharacter, Kinds: kinds}
}

// find looks for everything in a plain text.
func find(text string, words []string) []part {
	low := lower(text)
	parts := own(nil, text, low, words)
	parts = dictionary(parts, text, low)
	parts = walks(parts, text)
	parts = repeats(parts, text, low)
	parts = sequences(parts, text)
	return dates(parts, text)
}

// cheapest covers a text with parts that do not overlap, and single characters
// between them, so that they take the fewest guesses. Of equals the first part
// is taken.
func cheapest(length int, perCharacter float64, parts []part) (float64, []Kind) {
	slices.SortStableFunc(parts, func(a, b part) int { return a.to - b.to })
	bits := make([]float64, length+1) // of the first characters of the text
	last := make([]*part, length+1)   // what those end with, nil for a single character
	next := 0
	for end := 1; end <= length; end++ {
		bits[end] = bits[end-1] + perCharacter
		for ; next < len(parts) && parts[next].to == end; next++ {
			if p := &parts[next]; bits[p.from]+p.bits < bits[end] {
				bits[end], last[end] = bits[p.from]+p.bits, p
			}
		}
	}
	var kinds []Kind
	for end := length; end > 0; {
		if p := last[end]; p != nil {
			kinds = append(kinds, p.kind)
			end = p.from
		} else {
			end--
		}
	}
	slices.Reverse(kinds)
	return bits[length], firsts(kinds)
}

// firsts leaves out what was there before.
func firsts(kinds []Kind) []Kind {
	var seen []Kind
	for _, kind := range kinds {
		if !slices.Contains(seen, kind) {
			seen = append(seen, kind)
		}
	}
	return seen
}

// plain makes one byte of every character, so that places in a text and lengths
// are those of characters. A character beyond ASCII becomes some byte beyond
// ASCII, the same for a lower-case letter and its capital.
func plain(text string) string {
	if isASCII(text) {
		return text
	}
	b := make([]byte, 0, len(text))
	for _, c := range text {
		if c >= utf8.RuneSelf {
			if c = unicode.ToLower(c); c >= utf8.RuneSelf {
				c = utf8.RuneSelf | c%utf8.RuneSelf
			}
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lower makes small letters of the capitals of a plain text. The bytes beyond
// ASCII are no UTF-8, so strings.ToLower is not for them.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if isUpper(c) {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// alphabet is how many characters there are of the kinds that a text has.
func alphabet(text string) float64 {
	var lower, upper, digits, others float64
	for i := range len(text) {
		switch c := text[i]; {
		case isLower(c):
			lower = 26
		case isUpper(c):
			upper = 26
		case isDigit(c):
			digits = 10
		default:
			others = 33
		}
	}
	return lower + upper + digits + others
}

// choices is in how many ways at most so many of n can be chosen, none included.
func choices(n, most int) float64 {
	ways, sum := 1.0, 1.0
	for k := 1; k <= most; k++ {
		ways *= float64(n-k+1) / float64(k)
		sum += ways
	}
	return sum
}
