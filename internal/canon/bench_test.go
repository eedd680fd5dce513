package canon

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// gatewayDocument is about 10 KB of the configuration of an LLM gateway.
func gatewayDocument() []byte {
	var b strings.Builder
	b.WriteString("{\n  \"models\": {")
	for i := range 24 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `
    "model-%d": {
      "provider": "azure",
      "deployment": "gpt-4o-2024-08-06",
      "endpoint": "https://gateway-eu-%d.openai.example.com/",
      "api_key": "${secret:providers/azure#key-%d}",
      "temperature": 0.%d, "max_tokens": %d, "stream": true,
      "cost": {"input": 0.0000025, "output": 1e-05},
      "fallbacks": ["claude-sonnet", "gemini-pro"]
    }`, i, i, i, i%9+1, 512*(i+1))
	}
	b.WriteString("\n  },\n  \"prompts\": {\"support\": {\"system\": \"")
	b.WriteString(strings.Repeat("You answer briefly, in the customer’s language. ", 32))
	b.WriteString("\\n\"}}\n}\n")
	return []byte(b.String())
}

func BenchmarkDecode10KB(b *testing.B) {
	text := gatewayDocument()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(text, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode10KBWithEncodingJSON(b *testing.B) {
	text := gatewayDocument()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend10KB(b *testing.B) {
	v, err := Decode(gatewayDocument(), Limits{})
	if err != nil {
		b.Fatal(err)
	}
	dst := Append(nil, v)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], v)
	}
}

func BenchmarkSumSet1000(b *testing.B) {
	members := make([]Named, 1000)
	for i := range members {
		members[i] = Named{Name: fmt.Sprintf("gateway/%d", i)}
	}
	for b.Loop() {
		SumSet(members)
	}
}
