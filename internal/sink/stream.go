package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// stream sends records over TCP (RFC 6587) or TLS (RFC 5425), each with its
// length before it. Syslog has no answers: what was written to a connection that
// then broke may not have arrived. So the last batch is sent again over the next
// connection.
type stream struct {
	collector
	form    form
	timeout time.Duration // to connect, and for each write
	settle  time.Duration // before a new connection is written to

	mu     sync.Mutex
	conn   *connection // nil: to be made
	unsure []byte      // the batch that was written last
}

// connection is one that a goroutine reads from, to learn when it ends.
type connection struct {
	net.Conn
	gone chan struct{} // closed when the collector closed it
}

var errClosed = errors.New("the collector closed the connection")

func (s *stream) Name() string { return s.name }

func (s *stream) Deliver(ctx context.Context, records []Record) error {
	var batch []byte
	for _, r := range records {
		message := s.form.message(r)
		batch = append(strconv.AppendInt(batch, int64(len(message)), 10), ' ')
		batch = append(batch, message...)
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	frames := batch
	if s.conn == nil || s.conn.ended() {
		if err := errors.Join(s.drop(), s.connect(ctx)); err != nil {
			return s.unreachable(errors.Join(err, s.drop()))
		}
		frames = slices.Concat(s.unsure, batch)
	}
	if err := s.write(ctx, frames); err != nil {
		return s.unreachable(errors.Join(err, s.drop()))
	}
	s.unsure = batch
	return nil
}

// connect also gives the collector time to close a connection that it does not
// want: with TLS 1.3 it sees a client's certificate when the handshake is over
// for the client, and a proxy takes connections that it then has nobody for.
func (s *stream) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	if s.transport == "tls" {
		if conn, err = s.handshake(ctx, conn); err != nil {
			return err
		}
	}
	s.conn = &connection{conn, make(chan struct{})}
	go s.conn.watch()
	select {
	case <-s.conn.gone:
		return errClosed
	case <-time.After(s.settle):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stream) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	settings, err := s.tls()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secure := tls.Client(conn, settings)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// watch reads what a collector has no reason to send, until the connection ends.
func (c *connection) watch() {
	_, _ = io.Copy(io.Discard, c.Conn) // any end is the end
	close(c.gone)
}

func (c *connection) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// write gives up on a collector that takes nothing, and when ctx ends.
func (s *stream) write(ctx context.Context, frames []byte) error {
	conn := s.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // which ends a write
	defer stop()
	for part := range slices.Chunk(frames, writeBytes) {
		if err := conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
			return err
		}
		if _, err := conn.Write(part); err != nil {
			return err
		}
	}
	if conn.ended() {
		return errClosed
	}
	return ctx.Err()
}

// drop ends the connection, if there is one. How it ends says nothing that is
// not known.
func (s *stream) drop() error {
	if s.conn != nil {
		_ = s.conn.Close()
		<-s.conn.gone
		s.conn = nil
	}
	return nil
}

func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop()
}
