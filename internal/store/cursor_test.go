package store_test

import (
	"os"
	"strings"
	"testing"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

var query = store.Query{Tenant: config.TenantID{1}, Parts: []string{"layers", "7", "gateway"}}

func TestCursor(t *testing.T) {
	for _, position := range []string{"a", "gateway/eu", strings.Repeat("x", config.MaxPathBytes), "\x00\xff"} {
		cursor := store.EncodeCursor(query, position)
		got, err := store.DecodeCursor(query, cursor)
		if err != nil || got != position {
			t.Errorf("%q comes back as %q (%v)", position, got, err)
		}
	}
	if got, err := store.DecodeCursor(query, ""); got != "" || err != nil {
		t.Errorf("no cursor is %q (%v)", got, err)
	}
}

// TestCursorIsBound reads a cursor for other questions.
func TestCursorIsBound(t *testing.T) {
	cursor := store.EncodeCursor(query, "position")
	for name, other := range map[string]store.Query{
		"another tenant":   {Tenant: config.TenantID{2}, Parts: query.Parts},
		"another method":   {Tenant: query.Tenant, Parts: []string{"tags", "7", "gateway"}},
		"another argument": {Tenant: query.Tenant, Parts: []string{"layers", "8", "gateway"}},
		"a part less":      {Tenant: query.Tenant, Parts: []string{"layers", "7"}},
		"parts joined":     {Tenant: query.Tenant, Parts: []string{"layers", "7gateway"}},
		"parts shifted":    {Tenant: query.Tenant, Parts: []string{"layers7", "", "gateway"}},
	} {
		if got, err := store.DecodeCursor(other, cursor); config.KindOf(err) != config.KindInvalidCursor {
			t.Errorf("%s: read as %q (%v)", name, got, err)
		}
	}
}

func TestCursorRefused(t *testing.T) {
	whole := string(store.EncodeCursor(query, "twenty3"))
	for name, text := range map[string]string{
		"no base64":        "!" + whole[1:],
		"padded":           whole + "==",
		"line break":       whole[:4] + "\n" + whole[4:],
		"cut":              whole[:10],
		"empty position":   string(store.EncodeCursor(query, "")),
		"too long":         strings.Repeat("A", 4096),
		"stray last bits":  whole[:len(whole)-1] + string(whole[len(whole)-1]+1), // 23 bytes leave two bits of the last digit unused
		"another alphabet": strings.Repeat("+/", 20),
	} {
		if got, err := store.DecodeCursor(query, store.Cursor(text)); config.KindOf(err) != config.KindInvalidCursor {
			t.Errorf("%s: read as %q (%v)", name, got, err)
		}
	}
}

// FuzzCursor: what is read prints back to the same text.
func FuzzCursor(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		position, err := store.DecodeCursor(query, store.Cursor(text))
		if err != nil {
			if config.KindOf(err) != config.KindInvalidCursor {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if text != "" && string(store.EncodeCursor(query, position)) != text {
			t.Fatalf("%q is read as %q, which prints as %q", text, position, store.EncodeCursor(query, position))
		}
	})
}

func TestFuzzSeeds(t *testing.T) {
	entries, err := os.ReadDir("testdata/fuzz/FuzzCursor")
	if err != nil || len(entries) < 5 {
		t.Errorf("FuzzCursor has %d seeds (%v), want at least 5", len(entries), err)
	}
}
