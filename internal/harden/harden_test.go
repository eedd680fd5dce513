package harden

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	for _, c := range []struct {
		report Report
		want   string
	}{
		{Report{true, true, true, nil}, "core dumps off, process closed to debuggers, memory locked"},
		{Report{Notes: []string{"a", "b"}}, "core dumps on, process open to debuggers, memory not locked as a whole (a; b)"},
	} {
		if got := c.report.String(); got != c.want || strings.Contains(got, "\n") {
			t.Errorf("got %q", got)
		}
	}
}
