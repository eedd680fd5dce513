// Package sqlite is the embedded engine: one file, one process, one writer that
// commits waiting writes together, and a pool of readers that never wait for it.
//
// A revision is never read half written: readers see the database as it was
// after some commit. The writer alone knows where each tenant's log and audit
// chain end, and keeps that in memory, because no other process may write.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Options are the engine's options; the zero Options are good ones.
type Options struct {
	Clock func() time.Time // nil is time.Now
}

// The files of a data directory.
const (
	dataFile = "data.db"
	keysFile = "keys.db"
	lockFile = "lock"
)

// Store is the whole data of a server, in one directory.
type Store struct {
	lock    *os.File
	writer  *writer
	readers readers
	closing chan struct{} // closed when Close begins
	close   func() error  // runs once, whoever calls it
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a directory, which it makes when there is none, and
// brings it to the form this code knows. Only one process can have it open.
func Open(ctx context.Context, dir string, options Options) (_ *Store, err error) {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	dir, err = makeDirectory(dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDirectory(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, closing: make(chan struct{})}
	s.close = sync.OnceValue(s.shut)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	path := filepath.Join(dir, dataFile)
	if err := prepareFile(ctx, path, "data"); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if s.readers, err = openReaders(path); err != nil {
		return nil, err
	}
	if s.writer, err = startWriter(path, options.Clock); err != nil {
		return nil, err
	}
	return s, s.writer.do(ctx, takeOver{})
}

// takeOver puts right what the process before this one left behind. Nobody else
// has the directory, so whoever held a lease is gone.
type takeOver struct{ uncounted }

const deleteLeases = `DELETE FROM leases`

func (takeOver) check(*tx) error { return nil }

func (takeOver) store(t *tx) error {
	if err := t.exec(deleteLeases); err != nil {
		return err
	}
	return t.exec(countUsage, int64(store.Live))
}

// Close implements store.Store.
func (s *Store) Close() error { return s.close() }

// shut lets the group under way and the reads under way end. The writer's
// connection goes last, because the last one brings the write-ahead log home.
func (s *Store) shut() error {
	close(s.closing)
	var errs []error
	if s.writer != nil {
		s.writer.stop()
	}
	errs = append(errs, s.readers.close(cap(s.readers)))
	if s.writer != nil {
		errs = append(errs, s.writer.conn.close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

func closedError() error {
	return config.Errorf(config.KindUnavailable, "the store is closed").Hint("the server is stopping; try again")
}

// Ping implements store.Store: it reads, and commits a write that changes nothing.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.read(ctx, func(c *conn) error { return c.exec("SELECT 1") }); err != nil {
		return err
	}
	return s.writer.do(ctx, touch{})
}

// makeDirectory makes a directory that only its owner can enter, if there is
// none, and answers its absolute path.
func makeDirectory(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// prepareFile makes a database file that only its owner can read, if there is
// none, and migrates it.
func prepareFile(ctx context.Context, path, migrations string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), syncDirectory(filepath.Dir(path))); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path, "journal_mode(WAL)", "synchronous(FULL)"))
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, db, migrations), db.Close())
}

// syncDirectory makes the names of new files as durable as what is in them.
func syncDirectory(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// dsn names a database file and what its connection is told first.
func dsn(path string, pragmas ...string) string {
	query := url.Values{"_pragma": append([]string{"busy_timeout(10000)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}
