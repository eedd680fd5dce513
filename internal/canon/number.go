package canon

import (
	"strconv"
	"strings"
)

const (
	reasonInexact   = "a number that its nearest double does not equal; write it as a string"
	reasonNotNumber = "this is not a JSON number"
)

// ParseNumber reads a number in JSON's grammar. It answers an *Error for
// anything else, and for a number whose decimal value is not that of the RFC
// 8785 form of its nearest double.
func ParseNumber(text string) (float64, error) {
	end := scanNumber(text, 0)
	if text == "" || end != len(text) {
		return 0, &Error{Reason: reasonNotNumber, Line: 1, Column: 1}
	}
	f, reason := parseNumber(text)
	if reason != "" {
		return 0, &Error{Reason: reason, Line: 1, Column: 1, Inexact: reason == reasonInexact}
	}
	return f, nil
}

// shortInteger reads an integer of at most 15 digits, which every double
// holds. It is not ok for anything else, and when more of a number follows.
func shortInteger(text string, start int) (end int, f float64, ok bool) {
	const maxDigits = 15
	i, negative := start, text[start] == '-'
	if negative {
		i++
	}
	first, n := i, int64(0)
	for i < len(text) && i-first <= maxDigits && text[i]-'0' <= 9 {
		n = n*10 + int64(text[i]-'0')
		i++
	}
	digits := i - first
	switch {
	case digits == 0 || digits > maxDigits || text[first] == '0' && digits > 1:
		return 0, 0, false
	case i < len(text) && (text[i] == '.' || text[i] == 'e' || text[i] == 'E'):
		return 0, 0, false
	case negative && n != 0:
		n = -n
	}
	return i, float64(n), true
}

// scanNumber finds the end of what may be a number.
func scanNumber(text string, start int) int {
	i := start
	for i < len(text) && (text[i]-'0' <= 9 || strings.IndexByte("+-.eE", text[i]) >= 0) {
		i++
	}
	return i
}

// parseNumber reads a number; the reason tells why text is none, or not exact.
func parseNumber(text string) (f float64, reason string) {
	given, ok := parseDecimal(text)
	if !ok {
		return 0, reasonNotNumber
	}
	if given.isZero() {
		return 0, ""
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, reasonInexact
	}
	// A decimal of 15 digits in the normal range is its double's shortest form.
	if given.exponent == 0 && len(given.integer)+len(given.fraction) <= 15 {
		return f, ""
	}
	var buffer [32]byte
	nearest, _ := parseDecimal(string(strconv.AppendFloat(buffer[:0], f, 'e', -1, 64)))
	if !given.equal(nearest) {
		return 0, reasonInexact
	}
	return f, ""
}

// decimal is ±0.digits × 10^exponent, as written.
type decimal struct {
	negative          bool
	integer, fraction string // digits on either side of the point
	exponent          int64
}

// maxExponent bounds what is read of an exponent. It is far beyond what the
// digits of any text can make up for.
const maxExponent = 1 << 50

// parseDecimal takes text apart; it is not ok if text is not a JSON number.
func parseDecimal(text string) (d decimal, ok bool) {
	d.negative = strings.HasPrefix(text, "-")
	rest := strings.TrimPrefix(text, "-")
	d.integer, rest = splitDigits(rest)
	if d.integer == "" || len(d.integer) > 1 && d.integer[0] == '0' {
		return d, false
	}
	if strings.HasPrefix(rest, ".") {
		if d.fraction, rest = splitDigits(rest[1:]); d.fraction == "" {
			return d, false
		}
	}
	if rest == "" {
		return d, true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return d, false
	}
	sign := int64(1)
	switch rest = rest[1:]; {
	case strings.HasPrefix(rest, "-"):
		sign, rest = -1, rest[1:]
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	digits, rest := splitDigits(rest)
	for i := 0; i < len(digits) && d.exponent < maxExponent; i++ {
		d.exponent = d.exponent*10 + int64(digits[i]-'0')
	}
	d.exponent *= sign
	return d, digits != "" && rest == ""
}

func splitDigits(text string) (digits, rest string) {
	i := 0
	for i < len(text) && text[i]-'0' <= 9 {
		i++
	}
	return text[:i], text[i:]
}

func (d decimal) isZero() bool {
	return strings.Trim(d.integer, "0") == "" && strings.Trim(d.fraction, "0") == ""
}

// equal compares two decimals that are not zero.
func (d decimal) equal(e decimal) bool {
	x, xExponent := d.significant()
	y, yExponent := e.significant()
	return d.negative == e.negative && xExponent == yExponent && x == y
}

// significant answers the digits from the first to the last that is not zero,
// and the exponent of ten that goes with 0.digits.
func (d decimal) significant() (digits string, exponent int64) {
	if d.fraction == "" {
		digits = strings.TrimLeft(d.integer, "0")
	} else {
		digits = strings.TrimLeft(d.integer+d.fraction, "0")
	}
	exponent = d.exponent + int64(len(digits)) - int64(len(d.fraction))
	return strings.TrimRight(digits, "0"), exponent
}
