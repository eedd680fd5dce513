package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTableAlignsByColumns(t *testing.T) {
	var b bytes.Buffer
	table := newTable("NAME", "VALUE")
	table.row("plain", "1")
	table.row("日本語", "2")
	table.row("e\u0301te\u0301", "3")
	table.row("🚀", "")
	table.print(&printer{w: &b})
	want := "" +
		"NAME    VALUE\n" +
		"plain   1\n" +
		"日本語  2\n" +
		"e\u0301te\u0301     3\n" +
		"🚀\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTableColoursOnlyOnATerminal(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b bytes.Buffer
		table := newTable("A")
		table.cells(cell{"x", styleRed})
		table.print(&printer{w: &b, colour: colour})
		want := map[bool]string{false: "A\nx\n", true: "\x1b[1mA\x1b[0m\n\x1b[31mx\x1b[0m\n"}[colour]
		if b.String() != want {
			t.Errorf("colour %v: %q, want %q", colour, b.String(), want)
		}
	}
}

func TestCleanDisarmsWhatSteersATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain äöü 日本":            "plain äöü 日本",
		"\x1b[31mred":             `\x1b[31mred`,
		"two\nlines\r":            `two\nlines\r`,
		"a\u202eb":                `a\u202eb`,
		"csi \u009b31m, del \x7f": `csi \u009b31m, del \x7f`,
	} {
		if got := clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestShortenCutsAtColumns(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"four", 4, "four"},
		{"fives", 4, "fiv…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
	} {
		if got := shorten(c.text, c.columns); got != c.want || displayWidth(got) > c.columns {
			t.Errorf("shorten(%q, %d) = %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	for _, c := range []struct {
		columns int
		want    string
	}{
		{0, "NAME  VALUE\nn     a value that is much too long\n"},
		{20, "NAME  VALUE\nn     a value that …\n"},
		{1, "NAME  VALUE\nn     a value…\n"}, // no narrower than can be read
	} {
		var b bytes.Buffer
		table := newTable("NAME", "VALUE")
		table.row("n", "a value that is much too long")
		table.print(&printer{w: &b, columns: c.columns})
		if b.String() != c.want {
			t.Errorf("%d columns: %q, want %q", c.columns, b.String(), c.want)
		}
	}
}
