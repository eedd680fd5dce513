package sqlite

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const (
	entryColumns = `revision, time, kind, author, subject_environment, subject_path, subject_version, sealed`

	selectEntries       = `SELECT ` + entryColumns + ` FROM log WHERE tenant = ? AND revision > ? ORDER BY revision LIMIT ?`
	selectEntry         = `SELECT ` + entryColumns + ` FROM log WHERE tenant = ? AND revision = ?`
	selectEntriesBefore = `SELECT ` + entryColumns + ` FROM log WHERE tenant = ? AND revision < ? ORDER BY revision DESC`
)

// Entries implements store.History.
func (s *Store) Entries(ctx context.Context, tenant config.TenantID, after config.Revision, limit int) ([]store.Entry, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	var entries []store.Entry
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectEntries, func(r row) error { entries = append(entries, entryOf(r)); return nil },
			tenant[:], int64(after), int64(limit))
	})
	return entries, err
}

// EntriesOf implements store.History.
func (s *Store) EntriesOf(ctx context.Context, tenant config.TenantID, revisions []config.Revision) ([]store.Entry, error) {
	var entries []store.Entry
	err := s.snapshot(ctx, func(c *conn) error {
		for _, revision := range revisions {
			err := c.query(selectEntry, func(r row) error { entries = append(entries, entryOf(r)); return nil },
				tenant[:], int64(revision))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return entries, err
}

// Log implements store.History.
func (s *Store) Log(
	ctx context.Context, tenant config.TenantID, kinds []store.EntryKind, page store.Page,
) ([]store.Entry, store.Cursor, error) {
	parts := []string{"log"}
	for _, k := range kinds {
		parts = append(parts, string(k))
	}
	list := list[store.Entry]{
		query:    store.Query{Tenant: tenant, Parts: parts},
		page:     page,
		position: func(e *store.Entry) string { return strconv.FormatInt(int64(e.Revision), 10) },
	}
	return list.read(ctx, s, func(c *conn, after string, limit int64, add func(store.Entry)) error {
		before := int64(newest)
		if after != "" {
			var err error
			if before, err = strconv.ParseInt(after, 10, 64); err != nil {
				return err
			}
		}
		return c.entriesBefore(ctx, tenant, before, kinds, limit, add)
	})
}

// entriesBefore adds the newest entries before a revision, of the kinds given
// if any are.
func (c *conn) entriesBefore(
	ctx context.Context, tenant config.TenantID, before int64, kinds []store.EntryKind, limit int64, add func(store.Entry),
) error {
	rows := 0
	err := c.query(selectEntriesBefore, func(r row) error {
		if rows++; rows%heedEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(kinds) > 0 && !slices.Contains(kinds, store.EntryKind(r.text(2))) {
			return nil
		}
		add(entryOf(r))
		if limit--; limit == 0 {
			return errPageFull
		}
		return nil
	}, tenant[:], before)
	if errors.Is(err, errPageFull) {
		return nil
	}
	return err
}

func entryOf(r row) store.Entry {
	return store.Entry{
		Revision: config.Revision(r.int(0)), Time: r.time(1), Kind: store.EntryKind(r.text(2)), Author: r.text(3),
		Subject: store.Subject{Environment: config.EnvironmentID(r.int(4)), Path: r.text(5), Version: r.int(6)},
		Sealed:  r.bytes(7),
	}
}

const selectTimeAt = `
SELECT revision, time FROM log WHERE tenant = ? AND revision <= ? ORDER BY revision DESC LIMIT 1`

// RevisionAt implements store.History. Times never decrease along the log, so
// halving finds the place without an index of times.
func (s *Store) RevisionAt(ctx context.Context, tenant config.TenantID, t time.Time) (config.Revision, error) {
	var last config.Revision
	err := s.snapshot(ctx, func(c *conn) error {
		low, high := int64(0), int64(newest) // the answer is neither below low nor above high
		for at := high; low < high; at = low + (high-low+1)/2 {
			var revision, nanos int64
			err := c.query(selectTimeAt, func(r row) error { revision, nanos = r.int(0), r.int(1); return nil }, tenant[:], at)
			switch {
			case err != nil:
				return err
			case revision == 0 || nanos > toNanos(t):
				high = revision - 1
			default:
				low, last = at, config.Revision(revision)
			}
		}
		return nil
	})
	return last, err
}
