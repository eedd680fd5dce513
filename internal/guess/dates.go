package guess

import (
	"math"
	"strings"
)

const (
	firstYear, lastYear = 1900, 2049
	separators          = "-/. _\\\t"
	separatorBits       = 2 // for which one it is
)

// A form is in how many digits the numbers of a date are written.
type form [3]int

// Without separators only the forms count that leave no doubt.
var (
	joined    = []form{{4, 2, 2}, {2, 2, 4}, {2, 2, 2}}
	separated = []form{
		{4, 2, 2}, {4, 2, 1}, {4, 1, 2}, {4, 1, 1},
		{2, 2, 4}, {2, 1, 4}, {1, 2, 4}, {1, 1, 4},
		{2, 2, 2}, {2, 2, 1}, {2, 1, 2}, {2, 1, 1}, {1, 2, 2}, {1, 1, 2},
	}
)

// dates finds days of the calendar with their year first or last: 20240131,
// 31.1.2024, 1/31/24.
func dates(parts []part, text string) []part {
	for from := range len(text) {
		if !isDigit(text[from]) {
			continue
		}
		for _, f := range joined {
			parts = date(parts, text, from, f, 0)
		}
		for _, f := range separated {
			parts = date(parts, text, from, f, 1)
		}
	}
	return parts
}

// date looks for a date of this form, with a gap for a separator or without.
func date(parts []part, text string, from int, f form, gap int) []part {
	var numbers [3]int
	at := from
	for i, digits := range f {
		if i > 0 && gap > 0 {
			if at >= len(text) || strings.IndexByte(separators, text[at]) < 0 || text[at] != text[from+f[0]] {
				return parts
			}
			at++
		}
		number, ok := number(text, at, digits)
		if !ok {
			return parts
		}
		numbers[i] = number
		at += digits
	}
	yearFirst := f[2] < 4 && isYear(numbers[0], f[0]) && isDay(numbers[1], numbers[2])
	yearLast := f[0] < 4 && isYear(numbers[2], f[2]) && isDay(numbers[0], numbers[1])
	if !yearFirst && !yearLast {
		return parts
	}
	years := 100.0
	if f[0] == 4 || f[2] == 4 {
		years = lastYear - firstYear + 1
	}
	return append(parts, part{Date, from, at, math.Log2(31*12*years) + float64(gap)*separatorBits})
}

// number reads so many digits.
func number(text string, at, digits int) (n int, ok bool) {
	if at+digits > len(text) {
		return 0, false
	}
	for _, c := range []byte(text[at : at+digits]) {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func isYear(n, digits int) bool { return digits == 2 || n >= firstYear && n <= lastYear && digits == 4 }

// isDay says that of two numbers one is a month and the other a day.
func isDay(a, b int) bool {
	return a >= 1 && b >= 1 && (a <= 12 && b <= 31 || a <= 31 && b <= 12)
}
