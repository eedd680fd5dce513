package secret

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

func BenchmarkValue(b *testing.B) {
	for _, size := range []int{48, 4096} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			text := bytes.Repeat([]byte{'x'}, size)
			b.ReportAllocs()
			for b.Loop() {
				NewValue(text).Wipe()
			}
		})
	}
}

func BenchmarkDecodeFields(b *testing.B) {
	fields := TextFields(map[string][]byte{"value": []byte("sk-proj-4rTq9ZLwXb2VnKc81HdYsF0eUaGm7JpRiO3tBxWv5QzNkEyC")})
	text := fields.Encode()
	kept := bytes.Clone(text)
	b.ReportAllocs()
	for b.Loop() {
		copy(text, kept)
		f, err := DecodeFields(text)
		if err != nil {
			b.Fatal(err)
		}
		f.Wipe()
	}
}

// tenVersions is a record as the tenth rotation leaves it.
func tenVersions(tb testing.TB) Record {
	tb.Helper()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	r := Record{Description: "the key of the gateway", Owner: "team-llm", Labels: map[string]string{"provider": "openai"}, Rotation: &Rotation{Every: 30 * 24 * time.Hour, Generator: &Generator{Kind: GeneratePassword}}}
	for range 10 {
		var err error
		r, _, _, err = r.Add(Addition{Source: FromGenerator, Fields: []string{"value"}, Hashes: map[string]string{"value": strings.Repeat("ab", 32)}, Author: "token:rotator", Message: "scheduled"}, now)
		if err != nil {
			tb.Fatal(err)
		}
		now = now.Add(30 * 24 * time.Hour)
	}
	return r.Reschedule(now)
}

func BenchmarkDecodeRecord(b *testing.B) {
	text := tenVersions(b).Encode()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeRecord(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, text := range map[string]string{"key": "sk-proj-4rTq9ZLwXb2VnKc81HdYsF0eUaGm7JpRiO3tBxWv5QzNkEyC", "password": "xK7!vQ2m#Lz9@Tb4"} {
		b.Run(name, func(b *testing.B) {
			f := TextFields(map[string][]byte{"value": []byte(text)})
			for b.Loop() {
				if w := Check(f, Personal{Words: []string{"acme-corp"}}); w != nil {
					b.Fatal(w)
				}
			}
		})
	}
}
