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
		return Glob{}, Errorf(KindInvalidPath, "a glob is too long").Over(MaxGlobBytes, int64(len(text)))
	}
	segments := strings.Split(text, "/")
	for _, segment := range segments {
		_, err := ParsePath(strings.ReplaceAll(segment, "*", "x"))
		if err != nil || segment != "**" && strings.Contains(segment, "**") {
			return Glob{}, Errorf(KindInvalidPath, "the glob does not parse").
				Hint("use * within a segment and ** for whole segments, as in gateway/**/limits-*")
		}
	}
	return Glob{segments}, nil
}

func (g Glob) String() string { return strings.Join(g.segments, "/") }

// Match says whether the glob selects the path.
func (g Glob) Match(path Path) bool {
	return g.segments == nil || matchSegments(g.segments, strings.Split(path.text, "/"))
}

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
// wild item stands for any run of the subject's. It takes n·m steps at worst:
// only the last wild item is ever tried with a longer run, because what stands
// before it has matched as early as it can.
func matchWild(n, m int, wild func(p int) bool, equal func(p, s int) bool) bool {
	p, s := 0, 0
	star, run := -1, 0 // the last wild item, and where its run ends
	for s < m {
		switch {
		case p < n && wild(p):
			star, run = p, s
			p++
		case p < n && equal(p, s):
			p, s = p+1, s+1
		case star >= 0:
			run++
			p, s = star+1, run
		default:
			return false
		}
	}
	for p < n && wild(p) {
		p++
	}
	return p == n
}
