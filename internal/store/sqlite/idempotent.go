package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const selectIdempotent = `
SELECT fingerprint, sealed, revision, time, expires FROM idempotent WHERE tenant = ? AND principal = ? AND key = ? AND expires > ?`

// Idempotent implements store.Writer.
func (s *Store) Idempotent(ctx context.Context, tenant config.TenantID, principal, key string) (store.Idempotent, error) {
	outcome, found := store.Idempotent{Principal: principal, Key: key}, false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectIdempotent, func(r row) error {
			found = true
			outcome.Fingerprint, outcome.Sealed = r.hash(0), r.bytes(1)
			outcome.Revision, outcome.Time, outcome.Expires = config.Revision(r.int(2)), r.time(3), r.time(4)
			return nil
		}, tenant[:], principal, key, s.writer.clock().UnixNano())
	})
	if err == nil && !found {
		err = config.Errorf(config.KindNotFound, "no outcome is kept for this idempotency key")
	}
	return outcome, err
}

// Remember implements store.Writer.
func (s *Store) Remember(ctx context.Context, tenant config.TenantID, outcome store.Idempotent) error {
	return s.writer.do(ctx, &remember{tenant, outcome})
}

type remember struct {
	tenant  config.TenantID
	outcome store.Idempotent
}

func (m *remember) check(t *tx) error {
	if _, err := t.tenant(m.tenant); err != nil {
		return err
	}
	return t.checkUnkept(m.tenant, m.outcome)
}

func (m *remember) store(t *tx) error { return t.keep(m.tenant, m.outcome) }
func (m *remember) committed()        {}
func (m *remember) size() int         { return len(m.outcome.Sealed) }

// checkUnkept refuses a key whose outcome is kept and has not expired.
func (t *tx) checkUnkept(tenant config.TenantID, outcome store.Idempotent) error {
	kept, err := t.exists(selectIdempotent, tenant[:], outcome.Principal, outcome.Key, t.clock().UnixNano())
	if err != nil {
		return err
	}
	if kept {
		return config.Errorf(config.KindIdempotencyInFlight, "a request with this idempotency key was answered in the meantime").
			Hint("repeat the request to get its answer")
	}
	return nil
}

const replaceIdempotent = `
INSERT OR REPLACE INTO idempotent (tenant, principal, key, fingerprint, sealed, revision, time, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)`

func (t *tx) keep(tenant config.TenantID, outcome store.Idempotent) error {
	return t.exec(replaceIdempotent, tenant[:], outcome.Principal, outcome.Key, outcome.Fingerprint[:], outcome.Sealed,
		int64(outcome.Revision), toNanos(outcome.Time), toNanos(outcome.Expires))
}

// checkServerUnkept is checkUnkept for what is kept for the server, if anything.
func (t *tx) checkServerUnkept(outcome *store.Idempotent) error {
	if outcome == nil {
		return nil
	}
	return t.checkUnkept(config.TenantID{}, *outcome)
}

func (t *tx) keepForServer(outcome *store.Idempotent, nanos int64) error {
	if outcome == nil {
		return nil
	}
	kept := *outcome
	kept.Time = fromNanos(nanos)
	return t.keep(config.TenantID{}, kept)
}

// ForgetIdempotent implements store.Writer.
func (s *Store) ForgetIdempotent(ctx context.Context, now time.Time) error {
	return s.writer.do(ctx, &forget{now: now})
}

type forget struct {
	uncounted
	now time.Time
}

const deleteExpired = `
DELETE FROM idempotent WHERE expires <= ?`

func (f *forget) check(*tx) error   { return nil }
func (f *forget) store(t *tx) error { return t.exec(deleteExpired, toNanos(f.now)) }
