package httpapi

import (
	"regexp"
	"strings"
	"testing"
)

func TestTraceID(t *testing.T) {
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for header, want := range map[string]string{
		"00-" + id + "-" + parent + "-01": id,
		"00-" + id + "-" + parent + "-00": id,
		"00-" + id + "-" + parent + "-ff": id,

		"": "", id: "", "00": "", "---": "",
		"01-" + id + "-" + parent + "-01":                      "",
		"ff-" + id + "-" + parent + "-01":                      "",
		"0-" + id + "-" + parent + "-01":                       "",
		"00-" + strings.ToUpper(id) + "-" + parent + "-01":     "",
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01": "",
		"00-" + id + "-" + strings.Repeat("0", 16) + "-01":     "",
		"00-" + id[1:] + "-" + parent + "-01":                  "",
		"00-" + id + "0-" + parent + "-01":                     "",
		"00-" + id + "-" + parent[1:] + "-01":                  "",
		"00-" + id + "-" + parent + "-1":                       "",
		"00-" + id + "-" + parent + "-0g":                      "",
		"00-" + id + "-" + parent + "-01-more":                 "",
		"00-" + id + "-" + parent + "-01 ":                     "",
		" 00-" + id + "-" + parent + "-01":                     "",
		"00-" + id[:31] + "g-" + parent + "-01":                "",
	} {
		if got := traceID([]string{header}); got != want {
			t.Errorf("%q is of trace %q, want %q", header, got, want)
		}
	}
	valid := "00-" + id + "-" + parent + "-01"
	for _, headers := range [][]string{nil, {valid, valid}} {
		if got := traceID(headers); got != "" {
			t.Errorf("%d headers are of trace %q", len(headers), got)
		}
	}
}

// traceparent is the grammar of version 00, whose ids are not all 0.
var traceparent = regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)

func FuzzTraceID(f *testing.F) {
	for _, header := range []string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00--",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		want := ""
		if m := traceparent.FindStringSubmatch(header); len(m) > 0 && strings.Trim(m[1], "0") != "" && strings.Trim(m[2], "0") != "" && !strings.HasSuffix(header, "\n") {
			want = m[1]
		}
		if got := traceID([]string{header}); got != want {
			t.Errorf("%q is of trace %q, want %q", header, got, want)
		}
	})
}
