package config

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, text := range []string{"a", "base", "production", "eu-1", "a-", "a--b", strings.Repeat("a", MaxNameBytes)} {
		if err := CheckName(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "A", "aB", "1a", "-a", "a_b", "a.b", "a/b", "a b", "a\x00", "é", "aé", "а", strings.Repeat("a", MaxNameBytes+1)} {
		if err := CheckName(text); KindOf(err) != KindInvalidName {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestCheckTag(t *testing.T) {
	for _, text := range []string{"a", "Z", "v", "v1a", "v1.0", "v-1", "V1", "w1", "release-2026.11_a", strings.Repeat("a", MaxNameBytes)} {
		if err := CheckTag(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "1", "1a", "-a", ".a", "_a", "a b", "a/b", "a@b", "aé", "a\n", "v1", "v0", "v18446744073709551616", strings.Repeat("a", MaxNameBytes+1)} {
		if err := CheckTag(text); KindOf(err) != KindInvalidName {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
