package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// style is a rendition that a terminal knows.
type style string

const (
	styleBold   style = "1"
	styleDim    style = "2"
	styleRed    style = "31"
	styleGreen  style = "32"
	styleYellow style = "33"
)

// printer writes for people. It uses colour, and shortens what is long, only
// where a person sees it at once: on a terminal.
type printer struct {
	w        io.Writer
	terminal bool
	columns  int // of the terminal; 0 is not known, or no terminal
	colour   bool
}

func (a *app) printer() *printer { return a.printerFor(a.stdout) }
func (a *app) errors() *printer  { return a.printerFor(a.stderr) }

func (a *app) printerFor(w io.Writer) *printer {
	terminal := isTerminal(w)
	p := &printer{w: w, terminal: terminal, colour: terminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"}
	if terminal {
		p.columns = a.columns(w)
	}
	return p
}

// columns is how wide a terminal is: as it says itself, else as COLUMNS says.
func (a *app) columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	columns, err := strconv.Atoi(a.getenv("COLUMNS"))
	if err != nil {
		return 0
	}
	return max(columns, 0)
}

// isTerminal says whether a person is at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *printer) paint(s style, text string) string {
	if !p.colour || s == "" || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// maxCell bounds a value in a table on a terminal, in columns.
const maxCell = 60

// value is a value's text for a table.
func (p *printer) value(text string) string {
	if !p.terminal {
		return text
	}
	return shorten(text, maxCell)
}

// maxExcerpt bounds a value that is shown for orientation, also in a pipe: a
// document in a plan, what a value shadows. The whole is in -o json.
const maxExcerpt = 200

func (p *printer) excerpt(text string) string { return p.value(shorten(text, maxExcerpt)) }

// cell is one field of a table, coloured or not.
type cell struct {
	text  string
	style style
}

// table aligns columns by what a terminal shows, not by bytes.
type table struct {
	header []string
	rows   [][]cell
}

func newTable(header ...string) *table { return &table{header: header} }

// row adds a row without colours.
func (t *table) row(texts ...string) {
	cells := make([]cell, len(texts))
	for i, text := range texts {
		cells[i] = cell{text: text}
	}
	t.cells(cells...)
}

// cells adds a row.
func (t *table) cells(cells ...cell) { t.rows = append(t.rows, cells) }

func (t *table) print(p *printer) {
	head := make([]cell, len(t.header))
	for i, text := range t.header {
		head[i] = cell{text, styleBold}
	}
	rows := append([][]cell{head}, t.rows...)
	widths := make([]int, len(t.header))
	for _, row := range rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			widths[i] = max(widths[i], displayWidth(row[i].text))
		}
	}
	shrink(widths, p.columns)
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			c.text = shorten(c.text, widths[i])
			line.WriteString(p.paint(c.style, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-displayWidth(c.text)+2))
			}
		}
		p.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

// minCell is what a column keeps however narrow the terminal is.
const minCell = 8

// shrink takes columns from the widest cells until the row fits, 0 being any
// width.
func shrink(widths []int, columns int) {
	if columns == 0 {
		return
	}
	total := 2 * (len(widths) - 1)
	for _, width := range widths {
		total += width
	}
	for ; total > columns; total-- {
		widest := 0
		for i, width := range widths {
			if width > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minCell {
			return
		}
		widths[widest]--
	}
}

// clean replaces what would steer a terminal: names and messages are written by
// others.
func clean(text string) string {
	if strings.IndexFunc(text, steers) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steers(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// steers says that a rune is no text: control characters and those that turn
// the direction of writing.
func steers(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// shorten cuts text to a number of columns, with an ellipsis where it was cut.
func shorten(text string, columns int) string {
	if displayWidth(text) <= columns {
		return text
	}
	used := 0
	for i, r := range text {
		if used += runeWidth(r); used >= columns {
			return text[:i] + "…"
		}
	}
	return text
}

// displayWidth is how many columns a terminal gives to text.
func displayWidth(text string) int {
	width := 0
	for _, r := range text {
		width += runeWidth(r)
	}
	return width
}

func runeWidth(r rune) int {
	switch {
	case r < utf8.RuneSelf:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide are the East Asian wide and full-width runes and the emoji (UAX 11).
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115F, Stride: 1},
		{Lo: 0x231A, Hi: 0x231B, Stride: 1},
		{Lo: 0x23E9, Hi: 0x23EC, Stride: 1},
		{Lo: 0x25FD, Hi: 0x25FE, Stride: 1},
		{Lo: 0x2614, Hi: 0x2615, Stride: 1},
		{Lo: 0x26A1, Hi: 0x26A1, Stride: 1},
		{Lo: 0x2705, Hi: 0x2705, Stride: 1},
		{Lo: 0x274C, Hi: 0x274C, Stride: 1},
		{Lo: 0x2795, Hi: 0x2797, Stride: 1},
		{Lo: 0x2E80, Hi: 0x303E, Stride: 1},
		{Lo: 0x3041, Hi: 0xA4CF, Stride: 1},
		{Lo: 0xA960, Hi: 0xA97F, Stride: 1},
		{Lo: 0xAC00, Hi: 0xD7A3, Stride: 1},
		{Lo: 0xF900, Hi: 0xFAFF, Stride: 1},
		{Lo: 0xFE30, Hi: 0xFE6F, Stride: 1},
		{Lo: 0xFF00, Hi: 0xFF60, Stride: 1},
		{Lo: 0xFFE0, Hi: 0xFFE6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16FE0, Hi: 0x18CFF, Stride: 1},
		{Lo: 0x1AFF0, Hi: 0x1B2FF, Stride: 1},
		{Lo: 0x1F300, Hi: 0x1F64F, Stride: 1},
		{Lo: 0x1F680, Hi: 0x1F6FF, Stride: 1},
		{Lo: 0x1F900, Hi: 0x1FAFF, Stride: 1},
		{Lo: 0x20000, Hi: 0x3FFFD, Stride: 1},
	},
}

// when writes a time the same for everybody: UTC, to the second.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// counted is a number of things, in words.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
