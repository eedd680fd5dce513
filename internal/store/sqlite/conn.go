package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// conn is one connection with its prepared statements, used by one goroutine at
// a time. It talks to the driver directly, because database/sql would cost more
// than the statements themselves.
type conn struct {
	driver     driver.Conn
	statements map[string]driver.Stmt // text → prepared
	arguments  []driver.NamedValue    // reused between calls
}

func openConn(dsn string) (*conn, error) {
	c, err := (&sqlite.Driver{}).Open(dsn)
	if err != nil {
		return nil, engineError(err)
	}
	return &conn{driver: c, statements: map[string]driver.Stmt{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.driver.Close())...)
}

// exec runs a statement that answers no rows.
func (c *conn) exec(text string, arguments ...driver.Value) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	_, err = s.(driver.StmtExecContext).ExecContext(context.Background(), c.named(arguments))
	return engineError(err)
}

// query runs a statement and calls each with every row, until one fails.
func (c *conn) query(text string, each func(row) error, arguments ...driver.Value) error {
	s, err := c.prepare(text)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.named(arguments))
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	r := make(row, len(rows.Columns()))
	for {
		if err := rows.Next(r); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return engineError(err)
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// exists says whether a statement answers any row.
func (c *conn) exists(text string, arguments ...driver.Value) (bool, error) {
	found := false
	err := c.query(text, func(row) error { found = true; return nil }, arguments...)
	return found, err
}

// count runs a statement that answers one number.
func (c *conn) count(text string, arguments ...driver.Value) (int64, error) {
	var n int64
	err := c.query(text, func(r row) error { n = r.int(0); return nil }, arguments...)
	return n, err
}

func (c *conn) prepare(text string) (driver.Stmt, error) {
	if s, ok := c.statements[text]; ok {
		return s, nil
	}
	s, err := c.driver.Prepare(planOnce(text))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, engineError(err))
	}
	c.statements[text] = s
	return s, nil
}

// planOnce keeps SQLite from planning a statement again on every run, which
// takes longer than the run. It does so for a parameter whose value its planner
// looked at (a bare one after "=" or LIMIT) whenever bindings are cleared, and
// the driver clears them after each run. The planner does not look behind "+".
func planOnce(text string) string { return strings.ReplaceAll(text, "?", "+?") }

func (c *conn) named(values []driver.Value) []driver.NamedValue {
	c.arguments = c.arguments[:0]
	for i, v := range values {
		c.arguments = append(c.arguments, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.arguments
}

// row is one row of an answer. A column of another type than asked for is a
// zero value: the tables are STRICT, so it can only be NULL.
type row []driver.Value

func (r row) int(i int) int64         { v, _ := r[i].(int64); return v }
func (r row) bool(i int) bool         { return r.int(i) != 0 }
func (r row) text(i int) string       { v, _ := r[i].(string); return v }
func (r row) bytes(i int) []byte      { v, _ := r[i].([]byte); return v }
func (r row) hash(i int) (h [32]byte) { copy(h[:], r.bytes(i)); return h }
func (r row) time(i int) time.Time    { return fromNanos(r.int(i)) }

func (r row) tenant(i int) (id config.TenantID) { copy(id[:], r.bytes(i)); return id }

// path reads a path back. Only parsed paths are stored, so another text means
// that somebody else wrote it.
func (r row) path(i int) (config.Path, error) {
	p, err := config.ParsePath(r.text(i))
	if err != nil {
		return p, fmt.Errorf("the database was altered: %q is stored as a path", r.text(i))
	}
	return p, nil
}

// The times that nanoseconds since 1970 can hold.
var (
	firstTime = time.Unix(0, math.MinInt64)
	lastTime  = time.Unix(0, math.MaxInt64)
)

// toNanos is t as it is stored: 0 for no time, the nearest for one out of range.
func toNanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Before(firstTime):
		return math.MinInt64
	case t.After(lastTime):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func toInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// engineError gives a failure of the disk its kind, so that callers can say
// "try again later"; any other failure is a fault of ours.
func engineError(err error) error {
	if err == nil {
		return nil
	}
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	switch failure.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return unavailable("the disk is full", err).Hint("free space below the data directory; writes go on by themselves")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY:
		return unavailable("the database cannot be read or written", err).Hint("the server's log names the cause")
	}
	return err
}

func unavailable(message string, cause error) *config.Error {
	e := config.Errorf(config.KindUnavailable, "%s", message)
	e.Cause = cause
	return e
}
