package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// PutAck implements store.Acks.
func (s *Store) PutAck(ctx context.Context, tenant config.TenantID, ack store.Ack, most int) error {
	return s.writer.do(ctx, &putAck{tenant: tenant, ack: ack, most: int64(most)})
}

type putAck struct {
	tenant config.TenantID
	ack    store.Ack
	most   int64
	state  *tenantState
	left   int64 // how many there will be
}

const (
	countAcks        = `SELECT count(*) FROM acks WHERE tenant = ?`
	countExpiredAcks = `SELECT count(*) FROM acks WHERE tenant = ? AND expires <= ?`
	existsLiveAck    = `
SELECT 1 FROM acks WHERE tenant = ? AND environment = ? AND client = ? AND principal = ? AND expires > ?`
)

// check counts what would be there. All acks are counted once for as long as
// the writer remembers the tenant: clients send theirs over and over.
func (p *putAck) check(t *tx) error {
	state, err := t.tenant(p.tenant)
	if err != nil {
		return err
	}
	p.state = state
	if state.acks == unknown {
		if state.acks, err = t.count(countAcks, p.tenant[:]); err != nil {
			return err
		}
	}
	expired, err := t.count(countExpiredAcks, p.tenant[:], toNanos(p.ack.Time))
	if err != nil {
		return err
	}
	p.left = state.acks - expired
	again, err := t.exists(existsLiveAck, p.tenant[:], int64(p.ack.Environment), p.ack.Client, p.ack.Principal, toNanos(p.ack.Time))
	if err != nil || again {
		return err
	}
	if p.left++; p.left > p.most {
		return config.Errorf(config.KindOverloaded, "too many clients tell what they run").Over(p.most, p.left).
			Hint("it is tried again; a client that ends is forgotten soon")
	}
	return nil
}

const (
	deleteExpiredAcks = `DELETE FROM acks WHERE tenant = ? AND expires <= ?`

	upsertAck = `
INSERT INTO acks (tenant, environment, client, principal, time, expires, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET time = excluded.time, expires = excluded.expires, sealed = excluded.sealed`
)

func (p *putAck) store(t *tx) error {
	p.state.acks = p.left
	if err := t.exec(deleteExpiredAcks, p.tenant[:], toNanos(p.ack.Time)); err != nil {
		return err
	}
	return t.exec(upsertAck, p.tenant[:], int64(p.ack.Environment), p.ack.Client, p.ack.Principal,
		toNanos(p.ack.Time), toNanos(p.ack.Expires), p.ack.Sealed)
}

func (p *putAck) committed() {}
func (p *putAck) size() int  { return len(p.ack.Sealed) }

// selectAcks keeps to the environment's own: by the end of their time ("+" rules
// that index out) they lie among those of all environments.
const selectAcks = `
SELECT client, principal, time, expires, sealed FROM acks
WHERE tenant = ? AND environment = ? AND +expires > ? ORDER BY client, principal`

// Acks implements store.Acks.
func (s *Store) Acks(
	ctx context.Context, tenant config.TenantID, environment config.EnvironmentID, now time.Time,
) ([]store.Ack, error) {
	var acks []store.Ack
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectAcks, func(r row) error {
			acks = append(acks, store.Ack{
				Environment: environment, Client: r.text(0), Principal: r.text(1),
				Time: r.time(2), Expires: r.time(3), Sealed: r.bytes(4),
			})
			return nil
		}, tenant[:], int64(environment), toNanos(now))
	})
	return acks, err
}
