package config

import "strings"

// MaxGlobBytes bounds a glob.
const MaxGlobBytes = 512

// Glob selects paths by pattern, segment by segment: "*" stands for any run of
// characters within a segment, "**" as a whole segment for any number of
// segments. The zero Glob selects every path.
type Glob struct{ segments []string }

// ParseGlob reads a glob; the error is of KindInvalidPath.
func ParseGlob(text string) (Glob, error) {
	if text == "" {
		return Glob{}, nil
	}
	if len(text) > MaxGlobBytes {
		return Glob{}, pathError("a glob is too long").Over(MaxGlobBytes, int64(len(text)))
	}
	segments := strings.Split(text, "/")
	for _, segment := range segments {
		if segment == "" || segment != "**" && strings.Contains(segment, "**") {
			return Glob{}, Errorf(KindInvalidPath, "the glob does not parse").
				Hint("use * within a segment and ** for whole segments, as in gateway/**/limits-*")
		}
		if _, err := ParsePath("a" + strings.ReplaceAll(segment, "*", "x")); err != nil {
			return Glob{}, err
		}
	}
	return Glob{segments}, nil
}

func (g Glob) String() string { return strings.Join(g.segments, "/") }

// Match says whether the glob selects the path.
func (g Glob) Match(path Path) bool {
	return g.segments == nil || matchSegments(g.segments, strings.Split(path.text, "/"))
}

// matchSegments is quadratic at worst: after the last "**" that matched, only
// the part behind it is tried again.
func matchSegments(pattern, segments []string) bool {
	return matchWild(len(pattern), len(segments),
		func(p int) bool { return pattern[p] == "**" },
		func(p, s int) bool { return matchSegment(pattern[p], segments[s]) })
}

func matchSegment(pattern, segment string) bool {
	return matchWild(len(pattern), len(segment),
		func(p int) bool { return pattern[p] == '*' },
		func(p, s int) bool { return pattern[p] == segment[s] })
}

// matchWild matches n items of a pattern against m items of a subject, where a
// wild item stands for any run of the subject's.
func matchWild(n, m int, wild func(p int) bool, equal func(p, s int) bool) bool {
	p, s, star, mark := 0, 0, -1, 0
	for s < m {
		switch {
		case p < n && wild(p):
			star, mark = p, s
			p++
		case p < n && equal(p, s):
			p, s = p+1, s+1
		case star >= 0:
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	for p < n && wild(p) {
		p++
	}
	return p == n
}
