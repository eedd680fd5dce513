package config

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	segments := func(n int) string { return strings.Repeat("a/", n-1) + "a" }
	for _, text := range []string{
		"a", "0", "gateway", "gateway/eu-1/models", "A/b.C/d_e~f@g+h=i-j", "a..b", "a.", "a-", "v1.2.3", segments(MaxPathSegments), strings.Repeat("a", MaxPathBytes),
	} {
		p, err := ParsePath(text)
		if err != nil || p.String() != text || p.IsZero() || p != MustPath(text) {
			t.Errorf("%.40q: got %q, %v", text, p, err)
		}
	}
	for _, text := range []string{
		"", "/", "/a", "a/", "a//b", "a/b//", ".", "..", "a/..", "../a", "a/./b", ".a", "-a", "_a", "~a", "@a", "a/-b", "a/.b",
		"a b", " a", "a\x00", "a\n", "a\tb", "a\\b", "a%2fb", "a%2Fb", "%2e%2e/a", "a?b", "a#b", "a:b", "a*", "a,b", "a;b", "a'b", "a\"b", "a|b", "a&b", "a$b", "a!b", "a(b)", "a{b}", "a[b]", "a<b>", "a`b", "a^b",
		"é", "aé", "a\xff", "а", "ａ", "a／b", "a․b", "a\u200Bb", segments(MaxPathSegments + 1), strings.Repeat("a", MaxPathBytes+1),
	} {
		p, err := ParsePath(text)
		if KindOf(err) != KindInvalidPath || !p.IsZero() {
			t.Errorf("%.40q: got %q, %v", text, p, err)
		}
	}
}

func TestMustPathPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	MustPath("../a")
}

func TestPathText(t *testing.T) {
	text, err := MustPath("a/b").MarshalText()
	if string(text) != "a/b" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	var p Path
	if err := p.UnmarshalText([]byte("a/b")); err != nil || p != MustPath("a/b") {
		t.Errorf("got %q, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("a//b")); KindOf(err) != KindInvalidPath || p != MustPath("a/b") {
		t.Errorf("got %q, %v", p, err)
	}
}

func TestPathCompare(t *testing.T) {
	ordered := []string{"A", "Z", "a", "a-b", "a.b", "a/b", "a/b/c", "a0", "aa"}
	for i, x := range ordered {
		for j, y := range ordered {
			if got := MustPath(x).Compare(MustPath(y)); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: got %d", x, y, got)
			}
		}
	}
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		prefix, path string
		want         bool
	}{
		{"", "a", true}, {"", "a/b", true}, {"a", "a", true}, {"a", "a/b", true}, {"a/", "a/b", true}, {"a/", "a", true}, {"a", "a/b/c", true}, {"a/b", "a/b", true}, {"a/b", "a/b/c", true},
		{"a", "ab", false}, {"a", "a-b", false}, {"a", "A", false}, {"a", "b/a", false}, {"a/b", "a", false}, {"a/b", "a/bc", false}, {"a/b/", "a/c", false},
	} {
		prefix, err := ParsePrefix(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		if prefix.Contains(MustPath(c.path)) != c.want {
			t.Errorf("%q and %q: not %v", c.prefix, c.path, c.want)
		}
		if prefix.String() != strings.TrimSuffix(c.prefix, "/") {
			t.Errorf("%q became %q", c.prefix, prefix)
		}
	}
	for _, text := range []string{"/", "a//", "/a", "../", "a/../b", "."} {
		if p, err := ParsePrefix(text); KindOf(err) != KindInvalidPath || p != (Prefix{}) {
			t.Errorf("%q: got %q, %v", text, p, err)
		}
	}
}
