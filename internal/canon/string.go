package canon

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// What a byte within a string needs of the reader.
const (
	plainByte   = iota // part of the string as it stands
	specialByte        // ends the run: quote, backslash or control character
	wideByte           // part of a longer UTF-8 sequence
)

var byteClass = func() (class [256]uint8) {
	for c := range class {
		switch {
		case c < ' ' || c == '"' || c == '\\':
			class[c] = specialByte
		case c >= utf8.RuneSelf:
			class[c] = wideByte
		}
	}
	return class
}()

// string reads the string that opens at pos. One without escapes is a part of
// the text and costs no allocation.
func (d *decoder) string() string {
	d.pos++
	run := d.run()
	if d.err != nil || d.consume('"') {
		return run
	}
	unescaped := append(make([]byte, 0, 2*len(run)+32), run...)
	for d.err == nil && !d.consume('"') {
		unescaped = d.escape(unescaped)
		if d.err == nil {
			unescaped = append(unescaped, d.run()...)
		}
	}
	return string(unescaped)
}

// run reads up to the next quote or backslash.
func (d *decoder) run() string {
	start, i := d.pos, d.pos
	var seen uint8
	for i < len(d.text) {
		class := byteClass[d.text[i]]
		if class == specialByte {
			break
		}
		seen |= class
		i++
	}
	d.pos = i
	run := d.text[start:i]
	if seen != plainByte {
		if reason := CheckString(run); reason != "" {
			d.fail(start, "a string holds "+reason)
			return ""
		}
	}
	if i == len(d.text) {
		d.fail(i, "the text ends within a string")
	} else if d.text[i] < ' ' {
		d.fail(i, "a string holds a control character; write it as an escape such as \\n")
	}
	return run
}

// escape reads the escape at pos and appends what it stands for.
func (d *decoder) escape(dst []byte) []byte {
	start := d.pos
	if start+1 == len(d.text) {
		d.fail(start, "the text ends within a string")
		return dst
	}
	d.pos += 2
	switch c := d.text[start+1]; c {
	case '"', '\\', '/':
		return append(dst, c)
	case 'b':
		return append(dst, '\b')
	case 'f':
		return append(dst, '\f')
	case 'n':
		return append(dst, '\n')
	case 'r':
		return append(dst, '\r')
	case 't':
		return append(dst, '\t')
	case 'u':
		r, ok := d.hex4()
		if utf16.IsSurrogate(r) {
			r, ok = d.lowSurrogate(r)
		}
		switch {
		case !ok:
			d.fail(start, "a \\u escape that is no character: four hexadecimal digits, surrogates in pairs")
		case isNoncharacter(r):
			d.fail(start, "a string holds "+reasonNoncharacter)
		}
		return utf8.AppendRune(dst, r)
	}
	d.fail(start, "an escape that JSON does not have")
	return dst
}

func (d *decoder) hex4() (rune, bool) {
	if len(d.text)-d.pos < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(d.text[d.pos:d.pos+4], 16, 16)
	d.pos += 4
	return rune(n), err == nil
}

// lowSurrogate reads the escape that must follow the high surrogate given.
func (d *decoder) lowSurrogate(high rune) (rune, bool) {
	if !d.consume('\\') || !d.consume('u') {
		return 0, false
	}
	low, ok := d.hex4()
	r := utf16.DecodeRune(high, low)
	return r, ok && r != utf8.RuneError
}
