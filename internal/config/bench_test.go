package config

import (
	"fmt"
	"strings"
	"testing"
)

// gatewayJSON is about 10 KB of the configuration of an LLM gateway.
func gatewayJSON() string {
	var b strings.Builder
	b.WriteString(`{"models": {`)
	for i := range 26 {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `    "model-%d": {
      "provider": "azure", "deployment": "chat-large-2026-08", "endpoint": "https://gateway-eu-%d.example.com/",
      "api_key": "${secret:providers/azure#key-%d}", "temperature": 0.%d, "max_tokens": %d, "stream": true,
      "cost": {"input": 0.0000025, "output": 0.00001}, "fallbacks": ["chat-medium", "chat-small"]
    }`, i, i, i, i%9+1, 512*(i+1))
	}
	b.WriteString(`}, "prompts": {"support": {"system": "` + strings.Repeat("You answer briefly, in the customer’s language. ", 32) + `\n"}}}`)
	return b.String()
}

func BenchmarkDecode10KB(b *testing.B) {
	doc := mustJSON(b, gatewayJSON())
	for _, format := range []Format{JSON, YAML, TOML} {
		text, err := Encode(doc, format)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(format), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(format, text, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

func BenchmarkEncode10KB(b *testing.B) {
	doc := mustJSON(b, gatewayJSON())
	for _, format := range []Format{JSON, YAML, TOML} {
		b.Run(string(format), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(doc, format); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
