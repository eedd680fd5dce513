package client

import (
	"bufio"
	"bytes"
	"io"
	"strconv"
	"time"
)

// maxEvent bounds the bytes kept of one event. A server's events stay far
// below; what is over it is read past, and remembered as overflow.
const maxEvent = 16 << 20

// frame is one event of a stream as it came over the wire.
type frame struct {
	kind     string // "message" when the stream names none
	id       string // the last id that the stream gave, here or before
	data     []byte
	overflow bool // it was over the bound, so that data is not whole
}

// frames reads a stream of server-sent events by the rules of the HTML
// standard, with one difference: an event that has a name is given also when
// its data is empty, for that is what a progress event is.
type frames struct {
	in     *bufio.Reader
	bound  int
	line   []byte
	id     string
	retry  time.Duration // how long the server asks to wait before reconnecting
	begun  bool          // what a byte order mark may precede is past
	skipLF bool          // the line before ended in CR, which may be half a line end
}

func newFrames(in io.Reader, bound int) *frames {
	return &frames{in: bufio.NewReaderSize(in, 16<<10), bound: bound}
}

// next is the next whole event. A stream that ends within one ends before it.
func (f *frames) next() (frame, error) {
	event := frame{}
	for {
		whole, err := f.readLine()
		if err != nil {
			return frame{}, err
		}
		event.overflow = event.overflow || !whole
		if len(f.line) > 0 {
			f.field(&event)
			continue
		}
		event.id = f.id
		event.data = bytes.TrimSuffix(event.data, []byte{'\n'})
		if event.kind != "" || len(event.data) > 0 || event.overflow {
			if event.kind == "" {
				event.kind = "message"
			}
			return event, nil
		}
		event = frame{}
	}
}

// field takes up the line that was read last.
func (f *frames) field(event *frame) {
	name, value, _ := bytes.Cut(f.line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "event":
		event.kind = string(value)
	case "data":
		if len(event.data)+len(value) >= f.bound {
			event.data, event.overflow = nil, true
		}
		if !event.overflow {
			event.data = append(append(event.data, value...), '\n')
		}
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			f.id = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			f.retry = time.Duration(ms) * time.Millisecond
		}
	}
}

// readLine reads a line that ends in LF, CR or CRLF, and says whether it fitted.
// A CR ends a line at once: the LF that may follow is awaited by nobody.
func (f *frames) readLine() (whole bool, err error) {
	f.line, whole = f.line[:0], true
	for {
		if _, err := f.in.Peek(1); err != nil {
			return false, err
		}
		chunk, _ := f.in.Peek(f.in.Buffered())
		if f.skipLF {
			f.skipLF = false
			if chunk[0] == '\n' {
				_, _ = f.in.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		text := chunk
		if end >= 0 {
			text = chunk[:end]
		}
		if room := f.bound - len(f.line); len(text) > room {
			text, whole = text[:room], false
		}
		f.line = append(f.line, text...)
		if end < 0 {
			_, _ = f.in.Discard(len(chunk))
			continue
		}
		f.skipLF = chunk[end] == '\r'
		_, _ = f.in.Discard(end + 1)
		f.trimMark()
		return whole, nil
	}
}

// trimMark takes the byte order mark off the first line.
func (f *frames) trimMark() {
	if !f.begun {
		f.line = bytes.TrimPrefix(f.line, []byte("\ufeff"))
	}
	f.begun = true
}
