package sqlite

import (
	"context"
	"time"
)

// TakeLease implements store.Leases.
func (s *Store) TakeLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	l := &takeLease{name: name, holder: holder, now: now, until: until}
	err := s.writer.do(ctx, l)
	return l.taken && err == nil, err
}

type takeLease struct {
	uncounted
	name, holder string
	now, until   time.Time
	taken        bool
}

const (
	existsOtherLease = `SELECT 1 FROM leases WHERE name = ? AND holder != ? AND until > ?`
	replaceLease     = `INSERT OR REPLACE INTO leases (name, holder, until) VALUES (?, ?, ?)`
)

func (l *takeLease) check(t *tx) error {
	held, err := t.exists(existsOtherLease, l.name, l.holder, toNanos(l.now))
	l.taken = !held
	return err
}

func (l *takeLease) store(t *tx) error {
	if !l.taken {
		return nil
	}
	return t.exec(replaceLease, l.name, l.holder, toNanos(l.until))
}

// DropLease implements store.Leases.
func (s *Store) DropLease(ctx context.Context, name, holder string) error {
	return s.writer.do(ctx, &dropLease{name: name, holder: holder})
}

type dropLease struct {
	uncounted
	name, holder string
}

const deleteLease = `DELETE FROM leases WHERE name = ? AND holder = ?`

func (*dropLease) check(*tx) error     { return nil }
func (l *dropLease) store(t *tx) error { return t.exec(deleteLease, l.name, l.holder) }
