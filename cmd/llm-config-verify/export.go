package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	format  = "llm-config-audit/1"
	maxLine = 4 << 20 // bytes, with the newline
	// readBuffer is room for the lines of some hundreds of records.
	readBuffer = 256 << 10
)

// export reads an export line by line, in memory of one line. A line has one
// spelling only, so that what was checked is what every other reader sees: all of
// a record's line is either fixed, or covered by its hash.
type export struct {
	name   string // for messages
	in     *bufio.Reader
	long   []byte // a line that is longer than the buffer of in
	line   int    // number of the line read last, from 1
	origin string
	from   position
}

// kind tells the lines of an export apart.
type kind int

const (
	recordLine kind = iota
	disposedLine
	checkpointLine
	endLine
)

// stub stands for records first to last, which were disposed of.
type stub struct {
	first    uint64
	from     [32]byte // hash before first
	position          // last, and its hash
}

// line is one line behind the first; what it holds is good until the next one.
type line struct {
	kind     kind
	position // of a record, or the end
	record   []byte
	disposed stub
	note     []byte
}

// errCutOff says that the input ended where a line should have been.
var errCutOff = errors.New("the export was cut off")

// openExport reads the first line.
func openExport(name string, in io.Reader) (*export, error) {
	e := &export{name: name, in: bufio.NewReaderSize(in, readBuffer)}
	text, err := e.next()
	if errors.Is(err, errCutOff) {
		return nil, e.unfit("it is empty, or was cut off in its first line")
	}
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return nil, e.unfit("it is compressed; pipe it through: zstd -dc FILE | llm-config-verify … -")
	}
	c := cutter{rest: text}
	c.want(`{"chain":"`)
	origin := c.until('"')
	filtered := c.has(`,"filtered":true`)
	c.want(`,"format":"`)
	version := c.until('"')
	if !c.bad && string(version) != format {
		return nil, e.unfit(fmt.Sprintf("it is of format %.40q, and this program knows %s; use the program of that release", version, format))
	}
	c.want(`,"from":{"hash":"`)
	e.from.hash = c.hash()
	c.want(`","sequence":`)
	e.from.sequence = c.sequence()
	c.want(`}}`)
	if !c.done() || !isOrigin(string(origin)) {
		return nil, e.unfit("its first line is not that of an export")
	}
	if filtered {
		return nil, e.unfit("records were left out of it on purpose, so its chain cannot be followed; export it without filters")
	}
	e.origin = string(origin)
	return e, nil
}

// unfit says where the input is no export.
func (e *export) unfit(reason string) error {
	return fmt.Errorf("%s, line %d: not an export that can be checked: %s", e.name, e.line, reason)
}

// next reads a line and takes its newline off.
func (e *export) next() ([]byte, error) {
	e.line++
	text, err := e.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		e.long = e.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(e.long) <= maxLine {
			e.long = append(e.long, text...)
			text, err = e.in.ReadSlice('\n')
		}
		e.long = append(e.long, text...)
		text = e.long
	}
	switch {
	case err == nil && len(text) <= maxLine:
		return text[:len(text)-1], nil
	case len(text) > maxLine:
		return nil, e.unfit(fmt.Sprintf("the line is longer than %d bytes", maxLine))
	case errors.Is(err, io.EOF):
		return nil, errCutOff
	}
	return nil, fmt.Errorf("%s, line %d: %w", e.name, e.line, err)
}

// read reads a line behind the first, into l.
func (e *export) read(l *line) error {
	text, err := e.next()
	if err != nil {
		return err
	}
	c := cutter{rest: text}
	switch {
	case c.has(`{"hash":"`):
		l.kind = recordLine
		l.hash = c.hash()
		c.want(`","record":`)
		l.record, l.sequence = c.recordAndSequence()
	case c.has(`{"disposed":{"first":`):
		l.kind = disposedLine
		l.disposed.first = c.sequence()
		c.want(`,"from":"`)
		l.disposed.from = c.hash()
		c.want(`","hash":"`)
		l.disposed.hash = c.hash()
		c.want(`","last":`)
		l.disposed.sequence = c.sequence()
		c.want(`}}`)
	case c.has(`{"checkpoint":"`):
		l.kind = checkpointLine
		// Of all escapes a note can only need that of the newline.
		l.note = bytes.ReplaceAll(c.until('"'), []byte(`\n`), []byte("\n"))
		c.want("}")
		c.bad = c.bad || !hasNoteCharacters(l.note)
	case c.has(`{"end":{"hash":"`):
		l.kind = endLine
		l.hash = c.hash()
		c.want(`","sequence":`)
		l.sequence = c.sequence()
		c.want(`}}`)
	default:
		return e.unfit("the line is none of an export")
	}
	if !c.done() {
		return e.unfit("the line is not as an export has it")
	}
	return nil
}

// finish checks that nothing follows the last line.
func (e *export) finish() error {
	if _, err := e.in.ReadByte(); err == nil {
		return fmt.Errorf("%s, line %d: not an export that can be checked: something follows its last line; give several exports as files of their own", e.name, e.line+1)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s, line %d: %w", e.name, e.line+1, err)
	}
	return nil
}

// cutter takes a line apart from its front. What does not fit makes it bad, and
// it stays so.
type cutter struct {
	rest []byte
	bad  bool
}

func (c *cutter) has(text string) bool {
	if len(c.rest) < len(text) || string(c.rest[:len(text)]) != text {
		return false
	}
	c.rest = c.rest[len(text):]
	return true
}

func (c *cutter) want(text string) {
	if !c.has(text) {
		c.bad = true
	}
}

func (c *cutter) take(n int) []byte {
	if n < 0 || len(c.rest) < n {
		c.bad = true
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

// until takes all before a byte, and the byte.
func (c *cutter) until(b byte) []byte {
	taken := c.take(bytes.IndexByte(c.rest, b))
	c.take(1)
	return taken
}

// hash takes 64 hexadecimal digits in lower case.
func (c *cutter) hash() (hash [32]byte) {
	text := c.take(2 * len(hash))
	if _, err := hex.Decode(hash[:], text); err != nil || text == nil || bytes.ContainsAny(text, "ABCDEF") {
		c.bad = true
	}
	return hash
}

// sequence takes a decimal number in its only form.
func (c *cutter) sequence() uint64 {
	digits, n := 0, uint64(0)
	for digits < len(c.rest) && digits < 17 && c.rest[digits] >= '0' && c.rest[digits] <= '9' {
		n = n*10 + uint64(c.rest[digits]-'0')
		digits++
	}
	if digits == 0 || digits > 1 && c.rest[0] == '0' || n > maxSequence {
		c.bad = true
	}
	c.rest = c.rest[digits:]
	return n
}

// recordAndSequence takes all to the line's end. The record is what stands
// before the last member, whatever it holds; its hash tells whether it is right.
func (c *cutter) recordAndSequence() ([]byte, uint64) {
	const member = `,"sequence":`
	start := len(c.rest) - len("}")
	for start > 0 && c.rest[start-1] >= '0' && c.rest[start-1] <= '9' {
		start--
	}
	record := c.take(start - len(member))
	c.want(member)
	sequence := c.sequence()
	c.want("}")
	return record, sequence
}

func (c *cutter) done() bool { return !c.bad && len(c.rest) == 0 }

// isObject says that text is UTF-8, and one JSON object as far as braces and quotes go.
// A record that were more than that could bring members of its own to its line.
func isObject(text []byte) bool {
	if len(text) == 0 || text[0] != '{' || !utf8.Valid(text) {
		return false
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i == len(text)-1
			}
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}
