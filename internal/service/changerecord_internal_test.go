package service

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestInParts holds that parts leave nothing out, keep the order, and are no
// longer than they may be.
func TestInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringN(1, 20, 40), 1, 60).Draw(t, "texts")
		most := rapid.IntRange(1, 200).Draw(t, "most")
		parts := inParts(texts, most)
		if !slices.Equal(slices.Concat(parts...), texts) {
			t.Fatalf("the parts %q are not %q", parts, texts)
		}
		for _, part := range parts {
			if len(part) == 0 || len(part) > 1 && len(strings.Join(part, "")) > most {
				t.Fatalf("a part is %q, and may have %d bytes", part, most)
			}
		}
	})
}
