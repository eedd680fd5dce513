package transport

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// TestBound opens connections one after the other; the bound changes on the way.
func TestBound(t *testing.T) {
	inner := issue(net.Listen("tcp", "127.0.0.1:0"))(t)
	var most, refused atomic.Int64
	most.Store(2)
	l := Bound(inner, func() int { return int(most.Load()) }, func() { refused.Add(1) })
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		for c := range accepted {
			_ = c.Close()
		}
	})
	dial := func() net.Conn {
		t.Helper()
		c := issue(net.Dial("tcp", inner.Addr().String()))(t)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	taken := func() net.Conn {
		t.Helper()
		dial()
		return <-accepted
	}
	cut := func() {
		t.Helper()
		before := refused.Load()
		if c, err := net.Dial("tcp", inner.Addr().String()); err == nil { // else it was cut before it was told that it is one
			if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("read %d, %v from a connection that was one too many", n, err)
			}
			_ = c.Close()
		}
		if got := refused.Load(); got != before+1 {
			t.Errorf("%d connections are told as refused, and before it %d", got, before)
		}
	}
	first, second := taken(), taken()
	cut()
	cut()
	_ = first.Close()
	_ = first.Close() // gives no second place
	third := taken()
	cut()
	most.Store(3)
	fourth := taken()
	cut()
	most.Store(1)
	_ = second.Close()
	cut()
	if _, err := fourth.Write([]byte("x")); err != nil {
		t.Errorf("a connection from before the bound fell: %v", err)
	}
	_, _ = third.Close(), fourth.Close()
	last := taken()
	if _, err := io.WriteString(last, "x"); err != nil {
		t.Error(err)
	}
	_ = last.Close()
}
