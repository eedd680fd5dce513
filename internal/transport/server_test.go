package transport

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSlowClientsAreCut has clients that begin and do not go on. Nobody waits
// longer than the short time that the server is given here.
func TestSlowClientsAreCut(t *testing.T) {
	w := newWorld(t)
	server := NewServer(ServerOptions{Handler: ok, Logger: slog.New(slog.DiscardHandler), HeaderTime: 20 * time.Millisecond, IdleTime: 20 * time.Millisecond})
	plain, secure := issue(net.Listen("tcp", "127.0.0.1:0"))(t), issue(net.Listen("tcp", "127.0.0.1:0"))(t)
	go func() { _ = server.Serve(plain) }()
	go func() { _ = server.Serve(tls.NewListener(secure, w.tls.Config())) }()
	t.Cleanup(func() { _ = server.Close() })
	for what, test := range map[string]struct {
		address net.Addr
		says    string
	}{
		"says nothing":                    {plain.Addr(), ""},
		"stops within a header":           {plain.Addr(), "GET / HTTP/1.1\r\nHost: a.test\r\nX-Slow: "},
		"goes idle after a request":       {plain.Addr(), "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"},
		"says nothing where TLS is":       {secure.Addr(), ""},
		"stops within the handshake":      {secure.Addr(), "\x16\x03\x01\x02\x00\x01"},
		"stops within the second request": {plain.Addr(), "GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET / HTTP"},
	} {
		t.Run(what, func(t *testing.T) {
			c := issue(net.Dial("tcp", test.address.String()))(t)
			defer c.Close()
			if _, err := io.WriteString(c, test.says); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil {
				t.Errorf("it was not cut: %v", err)
			}
		})
	}
}

func TestTheUsualTimes(t *testing.T) {
	s := NewServer(ServerOptions{Handler: ok, Logger: slog.New(slog.DiscardHandler)})
	if s.ReadHeaderTimeout != 10*time.Second || s.IdleTimeout != 2*time.Minute || s.IdleTimeout >= renewBefore {
		t.Errorf("headers have %s, idle connections %s", s.ReadHeaderTimeout, s.IdleTimeout)
	}
}

// TestLongHeaders are answered 431, or not even sent.
func TestLongHeaders(t *testing.T) {
	w := newWorld(t)
	w.serve(t, ok)
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			config := w.trusting(nil)
			config.NextProtos = []string{protocol}
			c := w.client(t, config)
			for _, test := range [][2]int{{60 << 10, 200}, {80 << 10, 431}} { // in this order: by the second the bound has been told
				bytes, status := test[0], test[1]
				r := issue(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+w.address+"/", http.NoBody))(t)
				for i := range bytes / 1024 {
					r.Header.Set("X-Long-"+string(rune('A'+i/26))+string(rune('A'+i%26)), strings.Repeat("x", 1000))
				}
				answer, err := c.Do(r)
				if err != nil && protocol == "h2" && status == 431 && strings.Contains(err.Error(), "larger than peer's advertised limit") {
					continue // clients of HTTP/2 are told the bound, and Go's keeps to it
				}
				if err != nil {
					t.Fatalf("%d bytes: %v", bytes, err)
				}
				_ = answer.Body.Close()
				want(t, protocol, answer.StatusCode, status)
			}
		})
	}
}

// TestStreamsAreBounded reads what the server says at the beginning of a
// connection of HTTP/2.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.serve(t, ok)
	config := w.trusting(nil)
	config.NextProtos = []string{"h2"}
	c := issue(tls.Dial("tcp", w.address, config))(t)
	defer c.Close()
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	head := make([]byte, 9)
	if _, err := io.ReadFull(in, head); err != nil || head[3] != 4 {
		t.Fatalf("no settings: % x, %v", head, err)
	}
	body := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(in, body); err != nil {
		t.Fatal(err)
	}
	const concurrentStreams = 3
	for ; len(body) >= 6; body = body[6:] {
		if body[1] == concurrentStreams {
			if n := int(body[4])<<8 | int(body[5]); n != maxStreams {
				t.Errorf("%d streams", n)
			}
			return
		}
	}
	t.Error("no bound of streams is told")
}
