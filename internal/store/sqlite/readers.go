package sqlite

import (
	"context"
	"errors"
)

// readers holds the connections that are free to read.
type readers chan *conn

func openReaders(path string, n int) (readers, error) {
	r := make(readers, n)
	for range n {
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
