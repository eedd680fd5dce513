package secret

import (
	"encoding/json"
	"strings"
	"time"
)

// jsonReader reads a text that is JSON of our own, fast: strings are parts of
// the text, and what is not asked for is passed over. Once something is bad its
// answers mean nothing.
type jsonReader struct {
	text  string
	pos   int
	depth int
	bad   bool
	names []string // room for a list that is being read
}

const maxReaderDepth = 16

func (s *jsonReader) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return
		}
	}
}

// accept passes over c if it comes next.
func (s *jsonReader) accept(c byte) bool {
	s.space()
	if s.bad || s.pos == len(s.text) || s.text[s.pos] != c {
		return false
	}
	s.pos++
	return true
}

func (s *jsonReader) expect(c byte) {
	if !s.accept(c) {
		s.bad = true
	}
}

// object calls member for each name; member reads the value.
func (s *jsonReader) object(member func(name string)) {
	s.enter('{')
	for first := true; !s.bad && !s.accept('}'); first = false {
		if !first {
			s.expect(',')
		}
		name := s.str()
		s.expect(':')
		if !s.bad {
			member(name)
		}
	}
	s.depth--
}

// array calls element for each element; element reads it.
func (s *jsonReader) array(element func()) {
	s.enter('[')
	for first := true; !s.bad && !s.accept(']'); first = false {
		if !first {
			s.expect(',')
		}
		if !s.bad {
			element()
		}
	}
	s.depth--
}

func (s *jsonReader) enter(c byte) {
	s.expect(c)
	if s.depth++; s.depth > maxReaderDepth {
		s.bad = true
	}
}

func (s *jsonReader) str() string {
	s.expect('"')
	if s.bad {
		return ""
	}
	start := s.pos
	if start+1 < len(s.text) && s.text[start+1] == '"' && s.text[start] != '\\' && s.text[start] != '"' {
		s.pos += 2 // most names have one letter
		return s.text[start : start+1]
	}
	length := strings.IndexByte(s.text[start:], '"')
	if length < 0 {
		s.bad = true
		return ""
	}
	run := s.text[start : start+length]
	if strings.IndexByte(run, '\\') >= 0 {
		return s.escaped(start)
	}
	s.pos = start + length + 1
	return run
}

// escaped reads a string with escapes, whose first character is at start.
func (s *jsonReader) escaped(start int) (text string) {
	for i := start; i < len(s.text); i++ {
		switch s.text[i] {
		case '"':
			s.pos = i + 1
			s.bad = s.bad || json.Unmarshal([]byte(s.text[start-1:s.pos]), &text) != nil
			return text
		case '\\':
			i++
		}
	}
	s.bad = true
	return ""
}

// int reads an integer of 64 bits.
func (s *jsonReader) int() int64 {
	negative := s.accept('-')
	start, n := s.pos, int64(0)
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		digit := int64(s.text[s.pos] - '0')
		if n > (1<<63-1-digit)/10 {
			s.bad = true
			return 0
		}
		n = 10*n + digit
		s.pos++
	}
	if s.pos == start {
		s.bad = true
	}
	if negative {
		return -n
	}
	return n
}

func (s *jsonReader) time() time.Time { return time.Unix(0, s.int()).UTC() }

func (s *jsonReader) texts() map[string]string {
	texts := map[string]string{}
	s.object(func(name string) { texts[name] = s.str() })
	return texts
}

// skip passes over any value.
func (s *jsonReader) skip() {
	s.space()
	if s.bad || s.pos == len(s.text) {
		s.bad = true
		return
	}
	switch c := s.text[s.pos]; c {
	case '{':
		s.object(func(string) { s.skip() })
	case '[':
		s.array(s.skip)
	case '"':
		s.str()
	default:
		start := s.pos
		for s.pos < len(s.text) && s.text[s.pos] != ',' && s.text[s.pos] != '}' && s.text[s.pos] != ']' && s.text[s.pos] > ' ' {
			s.pos++
		}
		s.bad = !json.Valid([]byte(s.text[start:s.pos]))
	}
}
