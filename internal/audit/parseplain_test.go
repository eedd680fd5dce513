package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plainSeeds are records that are plain, and ones that differ from that by little.
var plainSeeds = []struct {
	text  string
	plain bool
}{
	{`{"action":"a","actor":"b","details":{"c":"d","e":"f"},"event":"g","outcome":"h","reason":"i","request_id":"j","resource":"k","revision":12,"schema":1,"session":"l","source":"m","tenant":"n","time":"2026-11-01T10:20:30.123456789Z","trace_id":"o","user_agent":"p"}`, true},
	{`{"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, true},
	{`{"revision":0,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, true},
	{`{"revision":01,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"revision":1.5,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"revision":-1,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"revision":9999999999999999,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"schema":1,"time":"2026-11-01T10:20:30.123456789Z"} `, false},
	{`{"schema":1,"time":"2026-11-01T10:20:30.123456789Z",}`, false},
	{`{"schema":1,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"time":"2026-11-01T10:20:30.123456789Z","schema":1}`, false},
	{`{"schema":2,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"schema":1,"time":"2026-11-01T10:20:30Z"}`, false},
	{`{"schema":1}`, false},
	{`{"actor":"\u0041","schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"actor":"ä","schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{"{\"actor\":\"a\x01\",\"schema\":1,\"time\":\"2026-11-01T10:20:30.123456789Z\"}", false},
	{`{"actor":1,"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"details":{},"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"details":{"b":"","a":""},"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"details":{"a":"","a":""},"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"resources":["a"],"schema":1,"time":"2026-11-01T10:20:30.123456789Z"}`, false},
	{`{"schema":1,"time":"2026-11-01T10:20:30.123456789Z","zone":"a"}`, false},
	{`{}`, false},
	{``, false},
	{`{"`, false},
	{`{"schema":`, false},
}

func TestWhatIsPlain(t *testing.T) {
	for _, seed := range plainSeeds {
		if _, ok := parsePlain([]byte(seed.text)); ok != seed.plain {
			t.Errorf("%s is plain: %t", seed.text, ok)
		}
	}
	if _, ok := parsePlain(typical.Canonical()); !ok {
		t.Errorf("a typical record is not plain: %s", typical.Canonical())
	}
}

// FuzzParsePlain reads as plain only what the parser of all of JSON reads, and
// reads the same.
func FuzzParsePlain(f *testing.F) {
	for _, seed := range plainSeeds {
		f.Add([]byte(seed.text))
	}
	f.Add([]byte(strings.ReplaceAll(plainSeeds[0].text, `"c":"d"`, `"":"d"`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := parsePlain(b)
		if !ok {
			return
		}
		want, err := parseAny(b)
		if err != nil {
			t.Fatalf("%q is read as plain, and it is not: %v", b, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q is read in another way as plain (-any +plain):\n%s", b, diff)
		}
	})
}

func BenchmarkParsePlain(b *testing.B) {
	text := typical.Canonical()
	for name, parse := range map[string]func([]byte) (Record, error){"plain": ParseRecord, "any": parseAny} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
