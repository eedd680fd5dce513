package config

import "strings"

// Bounds of a path.
const (
	MaxPathBytes    = 512
	MaxPathSegments = 16
)

// Path is the address of a document or secret: 1–16 segments joined by "/",
// each [A-Za-z0-9][A-Za-z0-9._~@+=-]*, 512 bytes at most, case-sensitive. The
// only way to one is ParsePath, so that what is authorised is byte for byte
// what is stored. The zero Path is no path.
type Path struct{ text string }

// ParsePath reads a path; the error is of KindInvalidPath.
func ParsePath(text string) (Path, error) {
	if text == "" {
		return Path{}, pathError("a path is empty")
	}
	if len(text) > MaxPathBytes {
		return Path{}, pathError("a path is too long").Over(MaxPathBytes, int64(len(text)))
	}
	segments, start := 1, true
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '/':
			if start {
				return Path{}, pathError("a path has an empty segment")
			}
			segments, start = segments+1, true
		case isAlphanumeric(c):
			start = false
		case start:
			return Path{}, pathError("a path segment must begin with a letter or digit")
		case !strings.ContainsRune("._~@+=-", rune(c)):
			return Path{}, pathError("a path may hold only letters, digits and . _ ~ @ + = - between its slashes")
		}
	}
	if start {
		return Path{}, pathError("a path ends with a slash")
	}
	if segments > MaxPathSegments {
		return Path{}, pathError("a path has too many segments").Over(MaxPathSegments, int64(segments))
	}
	return Path{text}, nil
}

// MustPath is ParsePath for constants; it panics on anything else.
func MustPath(text string) Path {
	p, err := ParsePath(text)
	if err != nil {
		panic(err)
	}
	return p
}

func (p Path) String() string { return p.text }

// MarshalText writes the path as String does.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText reads a path as ParsePath does.
func (p *Path) UnmarshalText(text []byte) error {
	parsed, err := ParsePath(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// IsZero says that p is no path at all.
func (p Path) IsZero() bool { return p.text == "" }

// Compare orders paths by their bytes, as every store does.
func (p Path) Compare(q Path) int { return strings.Compare(p.text, q.text) }

// Prefix selects paths: all of them when zero, else the path itself and all
// below it. "gateway" selects "gateway" and "gateway/eu", not "gateway-eu".
type Prefix struct{ text string }

// ParsePrefix reads a prefix, which is "" or a path, with or without one
// closing slash; the error is of KindInvalidPath.
func ParsePrefix(text string) (Prefix, error) {
	trimmed := strings.TrimSuffix(text, "/")
	if text == "" {
		return Prefix{}, nil
	}
	p, err := ParsePath(trimmed)
	return Prefix(p), err
}

func (p Prefix) String() string { return p.text }

// MarshalText writes the prefix as String does.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.text), nil }

// UnmarshalText reads a prefix as ParsePrefix does.
func (p *Prefix) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrefix(string(text))
	return err
}

// Contains says whether the prefix selects the path.
func (p Prefix) Contains(path Path) bool {
	if p.text == "" || p.text == path.text {
		return true
	}
	return len(path.text) > len(p.text) && path.text[len(p.text)] == '/' && path.text[:len(p.text)] == p.text
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func pathError(message string) *Error {
	return Errorf(KindInvalidPath, "%s", message).Hint("write it like gateway/eu-1/models")
}
