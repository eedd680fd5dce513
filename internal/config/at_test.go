package config

import (
	"testing"
	"time"
)

func TestParseAt(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]At{
		"": {}, "1": {Revision: 1}, "1042": {Revision: 1042}, "007": {Revision: 7}, "9223372036854775807": {Revision: 1<<63 - 1},
		"v1": {Version: 1}, "v3": {Version: 3}, "v9223372036854775807": {Version: 1<<63 - 1},
		"2026-11-01T12:00:00Z": {Time: noon}, "2026-11-01T12:00:00.000000001Z": {Time: noon.Add(1)},
		"v": {Tag: "v"}, "v1.0": {Tag: "v1.0"}, "V3": {Tag: "V3"}, "release-1": {Tag: "release-1"}, "now": {Tag: "now"}, "v-1": {Tag: "v-1"},
	} {
		got, err := ParseAt(text)
		if err != nil || got != want || got.IsNow() != (text == "") {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		if again, err := ParseAt(got.String()); err != nil || again != got {
			t.Errorf("%q: %q is read as %+v, %v", text, got, again, err)
		}
	}
	got, err := ParseAt("2026-11-01T14:00:00+02:00")
	if err != nil || !got.Time.Equal(noon) {
		t.Errorf("with an offset: got %+v, %v", got, err)
	}
	for _, text := range []string{
		"0", "00", "v0", "v00", "9223372036854775808", "v9223372036854775808", "-1", "+1", "1.5", "1e3", " 1", "1 ", "v 1", "2026", "2026-11-01", "2026-11-01T12:00:00", "2026-11-01 12:00:00Z",
		"2026-13-01T12:00:00Z", "2026-11-01T25:00:00Z", "2026-11-01T12:00:00z", "0001-01-01T00:00:00Z", "2026-11-01T1:00:00Z", "2026-11-01T12:00:00,5Z", "2026-11-01T12:00:00+24:00", "a b", "a/b", "é", "a\x00", "@{1}", "production@v3",
	} {
		if got, err := ParseAt(text); text == "2026" {
			if got != (At{Revision: 2026}) || err != nil {
				t.Errorf("%q: got %+v, %v", text, got, err)
			}
		} else if KindOf(err) != KindInvalidAt {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}
