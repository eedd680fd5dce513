package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	slowOfTenant = 400 // connections of each slow tenant that are held up; it may have 512 places
	slowAnswers  = 16  // asked for at once by who takes none: more than the buffers of a connection hold

	reachAtOnce = 4  // connections that ask at once who must get in
	reachTimes  = 60 // requests of each, which leaves them within their own limit
	reachWithin = 100 * time.Millisecond
)

// shed fills all places of the server with requests whose clients send nothing
// or take nothing, and measures how those are answered who must get in.
func (n *neighbours) shed(ctx context.Context) error {
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			conn.Close()
		}
	}()
	for t := noisy + 1; t <= noisy+slowTenants; t++ {
		for i := range slowOfTenant {
			conn, err := n.hold(ctx, t, i%4 == 0)
			if err != nil {
				return err
			}
			held = append(held, conn)
		}
	}
	if err := n.untilFull(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%d requests held up by slow bodies and slow readers; meanwhile others are answered:\n\n| | how | p50 | p99 | most |\n| --- | --- | --- | --- | --- |\n", len(held))
	var failures []error
	for _, route := range []struct{ what, target string }{
		{"liveness", "/health/live"}, {"readiness", "/health/ready"},
		{"who manages the server: tenants", "/api/v1/tenants?limit=4"}, {"a tenant's quota", "/api/v1/tenants/" + n.names[0] + "/quota"},
	} {
		failures = append(failures, n.reach(ctx, route.what, request("GET", route.target, n.admin, nil)))
	}
	return errors.Join(failures...)
}

// untilFull waits until a quiet tenant is told that there is no place.
func (n *neighbours) untilFull(ctx context.Context) error {
	var quiet heard
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := n.once(ctx, n.read(0), &quiet); err != nil {
			return err
		}
		if quiet.statuses[503] > 0 {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("requests are held up on many connections, and the server is not full; it answers %s", &quiet)
}

// hold begins a request that does not come to its end: a write whose body does
// not come, or a read whose answer is not taken.
func (n *neighbours) hold(ctx context.Context, tenant int, reads bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	conn, err := dialer.DialContext(ctx, "tcp", n.server.address)
	if err != nil {
		return nil, err
	}
	ask := request("PUT", below(n.names[tenant])+"base/layers/slow", n.tokens[tenant], []byte(`{"a":"b"}`))
	ask = ask[:len(ask)-1]
	if reads {
		ask = bytes.Repeat(request("GET", below(n.names[tenant])+"production/configs/large", n.tokens[tenant], nil), slowAnswers)
		if tcp, ok := conn.(*net.TCPConn); ok {
			err = tcp.SetReadBuffer(4 << 10)
		}
	}
	if err == nil {
		_, err = conn.Write(ask)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// once asks over a connection of its own.
func (n *neighbours) once(ctx context.Context, ask []byte, all *heard) error {
	asked := false
	return ceaselessly(ctx, n.server, ask, all, func() bool { first := !asked; asked = true; return first })
}

// reach asks over new connections, some at a time, and prints how it was answered.
func (n *neighbours) reach(ctx context.Context, what string, ask []byte) error {
	var all heard
	var mu sync.Mutex
	var took histogram
	var most time.Duration
	var failure error
	var asking sync.WaitGroup
	for range reachAtOnce {
		asking.Go(func() {
			for range reachTimes {
				begin := time.Now()
				err := n.once(ctx, ask, &all)
				mu.Lock()
				took.add(time.Since(begin))
				most = max(most, time.Since(begin))
				failure = errors.Join(failure, err)
				mu.Unlock()
				if err != nil || pause(ctx, 10*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	asking.Wait()
	fmt.Printf("| %s | %s | %s | %s | %s |\n", what, &all, rounded(took.quantile(0.5)), rounded(took.quantile(0.99)), rounded(most))
	if failure == nil && (len(all.statuses) != 1 || all.statuses[200] == 0 || took.quantile(0.99) > reachWithin) {
		failure = fmt.Errorf("%s: was to be answered within %s, and always", what, reachWithin)
	}
	return failure
}
