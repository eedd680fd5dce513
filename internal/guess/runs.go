package guess

import "math"

// repeats finds the same letter, large or small, or other character three times
// and more.
func repeats(parts []part, text, low string) []part {
	for from := 0; from < len(low); {
		to := from + 1
		for to < len(low) && low[to] == low[from] {
			to++
		}
		if to-from >= 3 {
			parts = append(parts, part{Repeat, from, to, math.Log2(alphabet(text[from:to]) * float64(to-from))})
		}
		from = to
	}
	return parts
}

// sequences finds three letters or digits and more that follow each other in the
// alphabet, up or down. Where one turns, its last character is the first of the
// next.
func sequences(parts []part, text string) []part {
	for from := 0; from+1 < len(text); {
		to := from + 1
		if direction := along(text[from], text[to]); direction != 0 {
			for to < len(text) && along(text[to-1], text[to]) == direction {
				to++
			}
			if to-from >= 3 {
				parts = append(parts, part{Sequence, from, to, sequenceBits(text[from], direction, to-from)})
			}
			to--
		}
		from = to
	}
	return parts
}

// along is 1 or -1 when b is before or after a in the alphabet or among the
// digits. In ASCII those do not touch each other.
func along(a, b byte) int {
	inOrder := func(c byte) bool { return isLower(c) || isUpper(c) || isDigit(c) }
	if step := int(b) - int(a); inOrder(a) && inOrder(b) && (step == 1 || step == -1) {
		return step
	}
	return 0
}

// sequenceBits counts where a sequence may begin, its length, and a bit for what
// is less usual.
func sequenceBits(first byte, direction, length int) float64 {
	bits := math.Log2(float64(length))
	if first != 'a' && first != '1' {
		bits += math.Log2(alphabet(string(rune(first))))
	}
	if isUpper(first) {
		bits++
	}
	if direction < 0 {
		bits++
	}
	return bits
}
