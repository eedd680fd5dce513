package config

import (
	"strings"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// tomlScanner looks over TOML before the library reads it. It finds numbers
// that a double does not hold, which the library would round, and nesting in
// brackets and dotted keys, over which the library's time grows with the
// square. It refuses empty keys, because the library loses values beside them
// (https://github.com/BurntSushi/toml/pull/492). It judges nothing else.
type tomlScanner struct {
	text    string
	pos     int
	inValue bool
	depth   int // of open brackets and of the dots in keys
	deepest int
	open    []tomlBracket
}

const (
	reasonEmptyKey = "an empty key, which is not supported in TOML"
	hintEmptyKey   = "use json or yaml"
)

type tomlBracket struct {
	outside int // the depth before it
	array   bool
}

func (s *tomlScanner) scan() *Error {
	for s.pos < len(s.text) {
		if fault := s.token(); fault != nil {
			return fault
		}
		s.deepest = max(s.deepest, s.depth)
	}
	if s.deepest > MaxNesting {
		return Errorf(KindTooLarge, "the document is nested too deep").Over(MaxNesting, int64(s.deepest))
	}
	return nil
}

func (s *tomlScanner) token() *Error {
	c := s.text[s.pos]
	switch {
	case c == '#':
		s.skipComment()
		return nil
	case c == '"' || c == '\'':
		if !s.inValue && s.pos+1 < len(s.text) && s.text[s.pos+1] == c {
			return s.faultAt(s.pos, reasonEmptyKey).Hint(hintEmptyKey)
		}
		s.skipString(c)
		return nil
	case s.inValue && isBareValueByte(c):
		return s.bareValue()
	case c == '{', c == '[' && s.inValue: // otherwise [ begins a header
		s.open = append(s.open, tomlBracket{outside: s.depth, array: c == '['})
		s.depth, s.inValue = s.depth+1, c == '['
	case c == '}' || c == ']':
		s.close()
	case c == ',' && len(s.open) > 0:
		inner := s.open[len(s.open)-1]
		s.depth, s.inValue = inner.outside+1, inner.array
	case c == '=':
		s.inValue = true
	case c == '.':
		s.depth++
	case c == '\n' && len(s.open) == 0:
		s.depth, s.inValue = 0, false
	}
	s.pos++
	return nil
}

func (s *tomlScanner) close() {
	if n := len(s.open); n > 0 {
		s.depth, s.inValue = s.open[n-1].outside, true
		s.open = s.open[:n-1]
	}
}

func (s *tomlScanner) skipComment() {
	end := strings.IndexByte(s.text[s.pos:], '\n')
	if end < 0 {
		end = len(s.text) - s.pos
	}
	s.pos += end
}

// skipString moves behind the string that opens at pos.
func (s *tomlScanner) skipString(quote byte) {
	closing := string(quote)
	if triple := strings.Repeat(closing, 3); strings.HasPrefix(s.text[s.pos:], triple) {
		closing = triple
	}
	s.pos += len(closing)
	for s.pos < len(s.text) && !strings.HasPrefix(s.text[s.pos:], closing) {
		if quote == '"' && s.text[s.pos] == '\\' {
			s.pos++
		}
		s.pos++
	}
	s.pos += len(closing)
	// Up to two quotes more may belong to the text of a multi-line string.
	for range len(closing) - 1 {
		if s.pos < len(s.text) && s.text[s.pos] == quote {
			s.pos++
		}
	}
}

// bareValue checks the number that begins at pos, if it is a decimal one.
func (s *tomlScanner) bareValue() *Error {
	start := s.pos
	for s.pos < len(s.text) && isBareValueByte(s.text[s.pos]) {
		s.pos++
	}
	text := strings.TrimPrefix(strings.ReplaceAll(s.text[start:s.pos], "_", ""), "+")
	if _, err := canon.ParseNumber(text); err != nil && isInexact(err) {
		return s.faultAt(start, reasonInexact).Hint(hintInexact)
	}
	return nil
}

func (s *tomlScanner) faultAt(offset int, reason string) *Error {
	before := s.text[:offset]
	return faultAt(1+strings.Count(before, "\n"), offset-strings.LastIndexByte(before, '\n'), reason)
}

func isBareValueByte(c byte) bool {
	return isAlphanumeric(c) || c == '+' || c == '-' || c == '.' || c == '_' || c == ':'
}
