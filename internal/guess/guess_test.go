package guess

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKinds(t *testing.T) {
	for text, want := range map[string][]Kind{
		"":                     nil,
		"%":                    nil,
		"dragon":               {Word},
		"Acme-corp":            {Own},
		"ACME":                 {Own},
		"you":                  {Own}, // and the first of the common words
		"dvghtrfgbvcxz":        {Walk},
		"%%%%":                 {Repeat},
		"mnopqrstuv":           {Sequence},
		"31.12.2024":           {Date},
		"dragon%%%%31.12.2024": {Word, Repeat, Date},
		"Düsseldorf":           {Own},
		"DÜSSELDORF":           {Own},
		"ППппП":                {Repeat},
	} {
		if got := Weigh(text, []string{"you", "ACME", "acme-corp", "düsseldorf", ""}); !slices.Equal(got.Kinds, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestDates(t *testing.T) {
	for text, want := range map[string]bool{
		"20240131": true, "31012024": true, "01312024": true, "240131": true, "310124": true, "013124": true,
		"2024-01-31": true, "31.1.2024": true, "1/31/24": true, "2024_1_3": true, "31 12 99": true, `3\1\99`: true,
		"19000101": true, "20491231": true, "20501231": false, "18991231": false,
		"20240132": false, "20241301": true, "20241332": false, "20240001": false, "20240100": false, "31.13.2024": false,
		"31.1-2024": false, "31.1.024": false, "1.2.3": false, "2024-1": false, "12/2024": false, "31.12.": false, "2024": false, "319912": false,
	} {
		found := slices.ContainsFunc(dates(nil, text), func(p part) bool { return p.from == 0 && p.to == len(text) })
		if found != want {
			t.Errorf("%q is a date: %v, want %v", text, found, want)
		}
	}
}

func TestWeigh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,60}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		words := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z]{1,3}`)), 0, 3).Draw(t, "words")
		w := Weigh(text, words)
		if w.Bits < 0 || w.Bits > w.Most+1e-9 || math.IsNaN(w.Bits) || (text == "") != (w.Most == 0) {
			t.Fatalf("%q: %v", text, w)
		}
		if len(w.Kinds) == 0 != (w.Bits > w.Most-1e-9) {
			t.Fatalf("%q: %v bits of %v, for %v", text, w.Bits, w.Most, w.Kinds)
		}
		for _, p := range find(plain(text), words) {
			if p.from < 0 || p.from >= p.to || p.to > len(plain(text)) || p.bits < 0 {
				t.Fatalf("%q: %v", text, p)
			}
		}
		if more := Weigh(text, append(slices.Clone(words), text)); more.Bits > w.Bits+1e-9 {
			t.Fatalf("%q: knowing it makes it %v bits where it was %v", text, more.Bits, w.Bits)
		}
	})
}

// What finds nothing in a text for a second time allocates for what it answers,
// not for every substring.
func TestWeighAllocatesLittle(t *testing.T) {
	text := strings.Repeat("kT7vWm9zRq2LnHc8", 4)
	Load()
	if n := testing.AllocsPerRun(20, func() { Weigh(text, nil) }); n > 30 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWeigh(b *testing.B) {
	for name, text := range map[string]string{
		"key":    "4rTq9ZLwXb2VnKc81HdYsF0eUaGm7JpRiO3tBxWv5QzNkEyC",
		"phrase": "glacier pelican ottoman verdict bagpipe mosaic turbine kelp",
		"walk":   strings.Repeat("qazwsxedc", 7),
	} {
		b.Run(name, func(b *testing.B) {
			Load()
			b.ReportAllocs()
			for b.Loop() {
				Weigh(text, nil)
			}
		})
	}
}
