package config

import (
	"slices"
	"strings"
)

// Pointer is a JSON pointer (RFC 6901). The zero Pointer is the whole document.
type Pointer struct{ tokens []string }

// ParsePointer reads a pointer such as "/models/0/name"; the error is of
// KindBadRequest.
func ParsePointer(text string) (Pointer, error) {
	if text == "" {
		return Pointer{}, nil
	}
	if text[0] != '/' {
		return Pointer{}, pointerError("a JSON pointer begins with a slash")
	}
	tokens := strings.Split(text[1:], "/")
	for i, token := range tokens {
		for j := range len(token) {
			if token[j] == '~' && (j+1 == len(token) || token[j+1] != '0' && token[j+1] != '1') {
				return Pointer{}, pointerError("in a JSON pointer ~ is followed by 0 or 1")
			}
		}
		tokens[i] = unescapeToken.Replace(token)
	}
	return Pointer{tokens}, nil
}

func pointerError(message string) *Error {
	return Errorf(KindBadRequest, "%s", message).Hint("write it like /models/0/name, with ~1 for / and ~0 for ~ in a name")
}

// String writes p the way ParsePointer reads it.
func (p Pointer) String() string {
	var text strings.Builder
	for _, token := range p.tokens {
		text.WriteByte('/')
		text.WriteString(escapeToken(token))
	}
	return text.String()
}

// Tokens are the names and indices on the way down. Callers must not change them.
func (p Pointer) Tokens() []string { return p.tokens }

// Append is the pointer to a member or element of what p points to.
func (p Pointer) Append(token string) Pointer {
	return Pointer{append(slices.Clip(p.tokens), token)}
}

// Lookup finds what p points to below root.
func (p Pointer) Lookup(root any) (any, bool) {
	v := root
	for _, token := range p.tokens {
		var found bool
		if v, found = member(v, token); !found {
			return nil, false
		}
	}
	return v, true
}

var (
	tokenEscaper  = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")
)

// escapeToken writes a name as a token of a pointer.
func escapeToken(token string) string { return tokenEscaper.Replace(token) }
