package config

import (
	"fmt"
	"strings"
	"testing"
)

// modelLayer is about 1 KB of a layer: eight models, of which an environment's
// own layer changes some members.
func modelLayer(b *testing.B, own bool) Document {
	b.Helper()
	var members []string
	for i := range 8 {
		member := fmt.Sprintf(`"model-%d":{"provider":"azure","deployment":"chat-large-2026-08","endpoint":"https://eu-%d.example.com/","rpm":%d,"stream":true}`, i, i, 60*i)
		if own {
			member = fmt.Sprintf(`"model-%d":{"endpoint":"https://us-%d.example.com/v1/projects/llm-platform/locations/global/models","rpm":%d,"stream":null}`, i, i, 600*i)
		}
		members = append(members, member)
	}
	return mustJSON(b, `{"models":{`+strings.Join(members, ",")+`}}`)
}

func BenchmarkMerge(b *testing.B) {
	far, own := modelLayer(b, false), modelLayer(b, true)
	for name, layers := range map[string][]Document{"1 layer": {{}, far}, "2 layers": {own, far}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Merge(layers)
			}
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	doc, limits := MustPath("doc"), MustPath("limits")
	plain := modelLayer(b, false)
	referring := mustJSON(b, strings.ReplaceAll(string(plain.Canonical()), `"stream":true`, `"max":"${config:limits#/tokens/max}","note":"at most ${config:limits#/tokens/max}"`))
	target := mustJSON(b, `{"tokens":{"max":4096}}`)
	for name, asked := range map[string]Document{"plain": plain, "16 references": referring} {
		b.Run(name, func(b *testing.B) {
			merged := func(path Path) Document {
				if path == limits {
					return target
				}
				return asked
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Resolve(doc, merged, MaxDocumentBytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	far, own := modelLayer(b, false), modelLayer(b, true)
	merged := Merge([]Document{own, far})
	for name, to := range map[string]Document{"equal": far, "24 differences": merged} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Diff(far, to)
			}
		})
	}
}

func BenchmarkExplain(b *testing.B) {
	layers := []Document{modelLayer(b, true), modelLayer(b, false)}
	b.ReportAllocs()
	for b.Loop() {
		Explain(layers)
	}
}
