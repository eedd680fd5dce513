package sqlite

import (
	"context"
	"errors"
	"runtime"
)

// readers holds the connections that are free to read.
type readers chan *conn

// openReaders opens two for each processor, since a read may wait for the disk;
// each has a cache of its own.
func openReaders(path string) (readers, error) {
	r := make(readers, min(max(4, 2*runtime.GOMAXPROCS(0)), 32))
	for range cap(r) {
		c, err := openConn(dsn(path, "query_only(1)", "cache_size(-4096)"))
		if err != nil {
			return nil, errors.Join(err, r.close(len(r)))
		}
		r <- c
	}
	return r, nil
}

// close closes n connections and waits for those that are in use.
func (r readers) close(n int) error {
	var errs []error
	for range n {
		errs = append(errs, (<-r).close())
	}
	return errors.Join(errs...)
}

// read calls f with a connection of its own.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	select {
	case c := <-s.readers:
		defer func() { s.readers <- c }()
		return f(c)
	case <-s.closing:
		return closedError()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// snapshot calls f with a connection on which all reads see the same commit.
func (s *Store) snapshot(ctx context.Context, f func(*conn) error) error {
	return s.read(ctx, func(c *conn) error {
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		err := f(c)
		if ended := c.exec("COMMIT"); err == nil {
			err = ended
		}
		return err
	})
}
