package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"time"
)

// patience bounds every wait for bytes, so that the tool always ends.
const patience = 20 * time.Second

// A wire is one HTTP/1.1 connection that is kept alive. It does no more than a
// measurement needs, so that what is measured is the server.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte // of the last answer
}

func dial(ctx context.Context, address string) (*wire, error) {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 8<<10)}, nil
}

func (w *wire) close() { w.conn.Close() }

// answer is what a measurement looks at in a response.
type answer struct {
	status   int
	revision int64 // X-Config-Revision, 0 when there is none
	length   int   // Content-Length, -1 when there is none
	chunked  bool
}

// do sends a request and reads its answer, whose body stands in w.body until the next.
func (w *wire) do(request []byte) (answer, error) {
	if _, err := w.conn.Write(request); err != nil {
		return answer{}, err
	}
	a, _, err := w.head(false)
	if err != nil {
		return a, err
	}
	switch {
	case a.chunked:
		return a, w.chunks()
	case a.length < 0:
		return a, errors.New("the answer does not say where it ends")
	}
	if cap(w.body) < a.length {
		w.body = make([]byte, a.length)
	}
	w.body = w.body[:a.length]
	_, err = io.ReadFull(w.in, w.body)
	return a, err
}

// chunks reads a body that comes in chunks, with the empty line after it.
func (w *wire) chunks() (err error) {
	if w.body, err = io.ReadAll(httputil.NewChunkedReader(w.in)); err != nil {
		return err
	}
	_, err = w.in.ReadSlice('\n')
	return err
}

// must is do for requests that are expected to succeed.
func (w *wire) must(request []byte) (answer, error) {
	a, err := w.do(request)
	if err == nil && (a.status < 200 || a.status > 299) {
		line, _, _ := bytes.Cut(request, []byte("\r\n"))
		err = fmt.Errorf("%s is answered with %d: %s", line, a.status, w.body)
	}
	return a, err
}

// head reads the status line and the header, which it answers when asked to keep it.
func (w *wire) head(keep bool) (a answer, header []byte, err error) {
	a.length = -1
	for first := true; ; first = false {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return a, nil, fmt.Errorf("no header: %w", err)
		}
		if keep {
			header = append(header, line...)
		}
		switch line = bytes.TrimRight(line, "\r\n"); {
		case first:
			if len(line) < 12 {
				return a, nil, fmt.Errorf("no status line: %q", line)
			}
			if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return a, nil, fmt.Errorf("no status in %q", line)
			}
		case len(line) == 0:
			return a, header, nil
		default:
			a.field(line)
		}
	}
}

func (a *answer) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(": "))
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		a.length, _ = strconv.Atoi(string(value))
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		a.chunked = true
	case bytes.EqualFold(name, []byte("X-Config-Revision")):
		a.revision, _ = strconv.ParseInt(string(value), 10, 64)
	}
}

// request encodes a request without a body when body is nil.
func request(method, target, token string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n", method, target, token)
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
