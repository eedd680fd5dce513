package audit

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Format is the version of the export's form: lines of canonical JSON (RFC 8785),
// each ended by a newline. docs/audit-schema.json describes them.
const Format = "llm-config-audit/1"

// MaxLine bounds a line of an export in bytes, its newline included.
const MaxLine = 4 << 20

// maxSequence is the last sequence number that canonical JSON writes exactly.
const maxSequence = 1<<53 - 1

// The fixed text of the lines. The Importer takes nothing else.
const (
	headerChain    = `{"chain":"`
	headerFiltered = `,"filtered":true`
	headerFrom     = `,"format":"` + Format + `","from":{"hash":"`
	linkHashText   = `{"hash":"`
	linkRecord     = `","record":`
	linkSequence   = `,"sequence":`
	stubFirst      = `{"disposed":{"first":`
	stubFrom       = `,"from":"`
	stubHash       = `","hash":"`
	stubLast       = `","last":`
	checkpointText = `{"checkpoint":"`
	endHash        = `{"end":{"hash":"`
	headSequence   = `","sequence":`
	closeOne       = "}\n"
	closeTwo       = "}}\n"
)

func appendHeader(b []byte, origin string, from Head, filtered bool) []byte {
	b = append(append(append(b, headerChain...), origin...), '"')
	if filtered {
		b = append(b, headerFiltered...)
	}
	return appendHead(append(b, headerFrom...), from)
}

// appendHead ends a line whose last member is a Head.
func appendHead(b []byte, h Head) []byte {
	b = append(hex.AppendEncode(b, h.Hash[:]), headSequence...)
	return append(strconv.AppendUint(b, h.Sequence, 10), closeTwo...)
}

func appendLink(b []byte, l *Link) []byte {
	b = hex.AppendEncode(append(b, linkHashText...), l.Hash[:])
	b = append(append(append(b, linkRecord...), l.Record...), linkSequence...)
	return append(strconv.AppendUint(b, l.Sequence, 10), closeOne...)
}

func appendStub(b []byte, s *Stub) []byte {
	b = strconv.AppendUint(append(b, stubFirst...), s.First, 10)
	b = hex.AppendEncode(append(b, stubFrom...), s.From[:])
	b = hex.AppendEncode(append(b, stubHash...), s.Hash[:])
	return append(strconv.AppendUint(append(b, stubLast...), s.Last, 10), closeTwo...)
}

func appendCheckpoint(b, note []byte) []byte {
	b = append(append(b, checkpointText...), bytes.ReplaceAll(note, []byte("\n"), []byte(`\n`))...)
	return append(append(b, '"'), closeOne...)
}

// Exporter writes an export. It does not judge: what it is given it writes in
// the order in which it comes, so that whoever verifies the export sees what
// became of a chain. After an error every call answers that error.
type Exporter struct {
	w    io.Writer // gets one Write per line
	line []byte
	head Head
	err  error
}

// NewExporter begins an export of a chain behind from with its header line.
// filtered says that records are left out on purpose.
func NewExporter(w io.Writer, origin string, from Head, filtered bool) (*Exporter, error) {
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	e := &Exporter{w: w, head: from}
	return e, e.write(appendHeader(nil, origin, from, filtered), from.Sequence)
}

// write writes a line, unless one of its numbers or its length has no place in
// an export.
func (e *Exporter) write(line []byte, number uint64) error {
	e.line = line
	switch {
	case e.err != nil:
	case number > maxSequence:
		e.err = fmt.Errorf("an export cannot hold sequence number %d: the last is %d", number, uint64(maxSequence))
	case len(line) > MaxLine:
		e.err = fmt.Errorf("record %d makes a line of %d bytes, and an export has at most %d a line", number, len(line), MaxLine)
	case bytes.IndexByte(line, '\n') != len(line)-1:
		e.err = fmt.Errorf("record %d has a line break in it, which no canonical record has: the store was tampered with", number)
	default:
		_, e.err = e.w.Write(line)
	}
	return e.err
}

// Link writes a record. It keeps nothing of it.
func (e *Exporter) Link(l Link) error {
	e.head = l.Head()
	return e.write(appendLink(e.line[:0], &l), l.Sequence)
}

// Stub writes what stands for records that were disposed of. It has its place
// before all records.
func (e *Exporter) Stub(s Stub) error {
	e.head = Head{s.Last, s.Hash}
	return e.write(appendStub(e.line[:0], &s), max(s.First, s.Last))
}

// Checkpoint writes a signed note. It has its place behind the record that it is
// of, or soon after: see Follower.Checkpoint.
func (e *Exporter) Checkpoint(note []byte) error {
	if err := checkCharacters(note); e.err == nil && err != nil {
		e.err = fmt.Errorf("the checkpoint behind record %d cannot be exported: %w", e.head.Sequence, err)
	}
	return e.write(appendCheckpoint(e.line[:0], note), e.head.Sequence)
}

var errEnded = errors.New("the export has its last line already")

// End writes the last line: where the chain stands after what was written.
func (e *Exporter) End() error {
	err := e.write(appendHead(append(e.line[:0], endHash...), e.head), e.head.Sequence)
	if err == nil {
		e.err = errEnded
	}
	return err
}

// Line is one line of an export that was read: one of its members is set.
type Line struct {
	Link       *Link
	Stub       *Stub
	Checkpoint []byte
	End        *Head
}

// Importer reads an export line by line, in memory of one line.
type Importer struct {
	Origin   string
	From     Head
	Filtered bool

	r      *bufio.Reader
	long   []byte // a line that does not fit into r's buffer
	number int    // of the line that was read last
	ended  bool

	link Link // what Line points to
	stub Stub
	end  Head
}

// ErrCutOff is the error of an export that ends before its end line.
var ErrCutOff = errors.New("the export is cut off: it has no end line")

// readBuffer is room for the lines of some dozens of records.
const readBuffer = 64 << 10

// NewImporter reads the header.
func NewImporter(r io.Reader) (*Importer, error) {
	i := &Importer{r: bufio.NewReaderSize(r, readBuffer)}
	line, err := i.read()
	if errors.Is(err, io.EOF) || errors.Is(err, ErrCutOff) {
		return nil, errors.New("not an export of an audit chain: it does not begin with a header line")
	}
	if err != nil {
		return nil, err
	}
	c := cutter{line, true}
	c.text(headerChain)
	i.Origin = string(c.until('"'))
	i.Filtered = c.begins(headerFiltered)
	c.text(headerFrom)
	i.From = c.head()
	if !c.done() || checkOrigin(i.Origin) != nil {
		return nil, fmt.Errorf("line 1: not the header of an export of an audit chain, which names a chain and the format %s", Format)
	}
	return i, nil
}

// Next answers the next line; io.EOF after the last one. What Line holds is good
// until the next call. The error names the line: one that is in none of the
// forms of an export, that is longer than MaxLine, or that comes behind the end
// line. It is ErrCutOff when there is no end line.
func (i *Importer) Next() (Line, error) {
	b, err := i.read()
	switch {
	case i.ended && err == nil:
		return Line{}, fmt.Errorf("line %d: the export goes on behind its end line; verify exports one by one", i.number)
	case errors.Is(err, io.EOF) && !i.ended:
		return Line{}, ErrCutOff
	case err != nil:
		return Line{}, err
	}
	var line Line
	c := cutter{b, true}
	switch {
	case c.begins(linkHashText):
		i.link = c.link()
		line.Link = &i.link
	case c.begins(checkpointText):
		line.Checkpoint = c.checkpoint()
	case c.begins(stubFirst):
		i.stub = c.stub()
		line.Stub = &i.stub
	case c.begins(endHash):
		i.end = c.head()
		line.End = &i.end
	default:
		c.ok = false
	}
	if !c.done() {
		return Line{}, fmt.Errorf("line %d: not a line of an export of an audit chain: it is no record, stub, checkpoint or end as they are written", i.number)
	}
	i.ended = line.End != nil
	return line, nil
}

// read answers a line with its newline; io.EOF when there is no more.
func (i *Importer) read() ([]byte, error) {
	i.number++
	line, err := i.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		i.long = i.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(i.long) <= MaxLine {
			i.long = append(i.long, line...)
			line, err = i.r.ReadSlice('\n')
		}
		i.long = append(i.long, line...)
		line = i.long
	}
	switch {
	case len(line) > MaxLine:
		return nil, fmt.Errorf("line %d: it has more than %d bytes: not an export of an audit chain", i.number, MaxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, fmt.Errorf("line %d: %w", i.number, ErrCutOff)
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", i.number, err)
	}
	return line, nil
}

// cutter cuts a line of fixed form. What is written in any other way makes ok
// false, and it stays so.
type cutter struct {
	rest []byte
	ok   bool
}

// begins cuts want off if the rest begins with it.
func (c *cutter) begins(want string) bool {
	if len(c.rest) < len(want) || string(c.rest[:len(want)]) != want {
		return false
	}
	c.rest = c.rest[len(want):]
	return true
}

func (c *cutter) text(want string) { c.ok = c.begins(want) && c.ok }

// until cuts what comes before end, and end.
func (c *cutter) until(end byte) []byte {
	before, after, found := bytes.Cut(c.rest, []byte{end})
	c.rest, c.ok = after, c.ok && found
	return before
}

// unhex has the values of lower-case hexadecimal digits, and 255 for the rest.
var unhex = func() (values [256]byte) {
	for i := range values {
		values[i] = 255
	}
	for i, digit := range []byte("0123456789abcdef") {
		values[digit] = byte(i)
	}
	return values
}()

func (c *cutter) hash() (hash [32]byte) {
	if len(c.rest) < 2*len(hash) {
		c.ok = false
		return hash
	}
	bad := byte(0)
	for i := range hash {
		high, low := unhex[c.rest[2*i]], unhex[c.rest[2*i+1]]
		bad |= (high | low) & 0xf0
		hash[i] = high<<4 | low
	}
	c.rest, c.ok = c.rest[2*len(hash):], c.ok && bad == 0
	return hash
}

// number cuts a sequence number, which has no zero in front.
func (c *cutter) number() uint64 {
	n, digits := uint64(0), 0
	for digits < len(c.rest) && c.rest[digits] >= '0' && c.rest[digits] <= '9' && n <= maxSequence {
		n = 10*n + uint64(c.rest[digits]-'0')
		digits++
	}
	if digits == 0 || n > maxSequence || digits > 1 && c.rest[0] == '0' {
		c.ok = false
	}
	c.rest = c.rest[digits:]
	return n
}

func (c *cutter) head() (h Head) {
	h.Hash = c.hash()
	c.text(headSequence)
	h.Sequence = c.number()
	c.text(closeTwo)
	return h
}

// link cuts a record's line. There is one way only to cut it, whatever the
// record says: what stands before it has a fixed length, and what stands behind
// it is found from the line's end, back over digits, which the text before them
// cannot be taken for. So a `,"sequence":` within the record is the record's,
// and the hash is over exactly the bytes that an Exporter was given. That these
// are one JSON object is for the Follower to check: it can name the record.
func (c *cutter) link() (l Link) {
	l.Hash = c.hash()
	c.text(linkRecord)
	at := len(c.rest) - len(closeOne)
	for at > 0 && c.rest[at-1] >= '0' && c.rest[at-1] <= '9' {
		at--
	}
	at -= len(linkSequence)
	if at < 0 {
		c.ok = false
		return l
	}
	l.Record, c.rest = c.rest[:at:at], c.rest[at:]
	c.text(linkSequence)
	l.Sequence = c.number()
	c.text(closeOne)
	return l
}

func (c *cutter) stub() (s Stub) {
	s.First = c.number()
	c.text(stubFrom)
	s.From = c.hash()
	c.text(stubHash)
	s.Hash = c.hash()
	c.text(stubLast)
	s.Last = c.number()
	c.text(closeTwo)
	return s
}

// checkpoint cuts a note. Of all escapes it can only need that of the newline.
func (c *cutter) checkpoint() []byte {
	note := append([]byte{}, bytes.ReplaceAll(c.until('"'), []byte(`\n`), []byte("\n"))...) // not nil when it is empty
	c.text(closeOne)
	c.ok = c.ok && checkCharacters(note) == nil
	return note
}

// done says that the line was of its form and nothing is left of it.
func (c *cutter) done() bool { return c.ok && len(c.rest) == 0 }
