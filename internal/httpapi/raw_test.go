package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// raw sends text as it is, and answers what comes back: no library stands in
// between that would clean it.
func (w *world) raw(t testing.TB, text string) *answer {
	t.Helper()
	c := w.open(t)
	c.send(t, text)
	return c.answer(t, "GET")
}

// request is a request as text. Its headers come as lines.
func request(method, target, token string, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: test\r\n", method, target)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	for _, line := range headers {
		b.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

// connection is one that a test writes and reads by hand.
type connection struct {
	*net.TCPConn
	in *bufio.Reader
}

func (w *world) open(t testing.TB) *connection {
	t.Helper()
	conn := w.dial(t)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &connection{conn, bufio.NewReader(conn)}
}

// send writes; a server that has answered already need not read it all.
func (c *connection) send(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
}

// answer reads one answer to a request of the method.
func (c *connection) answer(t testing.TB, method string) *answer {
	t.Helper()
	response, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{response.StatusCode, response.Header, body}
}

// ended waits for the server to close the connection.
func (c *connection) ended(t testing.TB) {
	t.Helper()
	if b, err := c.in.ReadByte(); err == nil {
		t.Errorf("the server sent more, beginning with %q", b)
	} else if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}
