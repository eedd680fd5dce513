// Package canon gives every JSON value one text and one digest: it reads I-JSON
// (RFC 7493) strictly and writes the canonical form of RFC 8785. It trusts
// nobody's text. What it reads it can write back without loss, because it
// refuses what two readers could understand differently: duplicate keys, broken
// Unicode, and numbers that a double does not hold.
//
// A value is one of nil, bool, float64, string, []any and map[string]any.
package canon

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The limits that stand where Limits has a zero.
const (
	DefaultBytes = 1 << 20
	DefaultDepth = 64
	DefaultNodes = 1 << 18
)

// Limits bound what Decode accepts. Zero means the default of each.
type Limits struct {
	Bytes int // length of the text
	Depth int // objects and arrays around the innermost value
	Nodes int // values, the root and containers included, keys not
}

// OrDefault replaces each zero by its default.
func (l Limits) OrDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.Depth == 0 {
		l.Depth = DefaultDepth
	}
	if l.Nodes == 0 {
		l.Nodes = DefaultNodes
	}
	return l
}

// Error says why a text was refused and where. It never quotes a value.
type Error struct {
	Reason   string
	Offset   int    // in bytes, from 0
	Line     int    // from 1
	Column   int    // in characters, from 1
	Pointer  string // RFC 6901: the value that was being read
	Limit    int64  // with TooLarge: the bound that was passed
	Actual   int64  // with TooLarge: the figure that passed it
	TooLarge bool   // the text is over one of the Limits
	Inexact  bool   // a number that a double does not hold; a string would
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: %s", e.Line, e.Column, e.Reason)
	if e.TooLarge {
		fmt.Fprintf(&b, " (%d, the limit is %d)", e.Actual, e.Limit)
	}
	return b.String()
}

// CheckString says why text may not stand in I-JSON; "" when it may.
func CheckString(text string) (reason string) {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return "invalid UTF-8"
		case isNoncharacter(r):
			return reasonNoncharacter
		}
		i += size
	}
	return ""
}

const reasonNoncharacter = "a Unicode noncharacter, which I-JSON does not allow"

func isNoncharacter(r rune) bool {
	return r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF
}
