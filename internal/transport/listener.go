package transport

import (
	"net"
	"sync"
	"sync/atomic"
)

// Bound answers a listener that keeps so many connections open at most. One more
// is closed at once, and told to refused: it would only wait where nobody sees it.
// The bound is asked for at each connection, so that it can be reloaded.
func Bound(l net.Listener, most func() int, refused func()) net.Listener {
	return &boundListener{Listener: l, most: most, refused: refused}
}

type boundListener struct {
	net.Listener
	most    func() int
	refused func()
	open    atomic.Int64
}

func (l *boundListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= int64(l.most()) {
			return &boundConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		l.refused()
		drop(conn)
	}
}

// drop ends a connection without leaving its end to be waited for.
func drop(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// boundConn gives its place back once, however often it is closed.
type boundConn struct {
	net.Conn
	closed func()
}

func (c *boundConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
