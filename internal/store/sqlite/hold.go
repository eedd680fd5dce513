package sqlite

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Hold implements store.Chains.
func (s *Store) Hold(ctx context.Context, tenant config.TenantID, hold store.Hold, record audit.Record, outcome *store.Idempotent) error {
	hold.Time = time.Time{}
	return s.writer.do(ctx, &putHold{tenant: tenant, hold: hold, record: record, outcome: outcome})
}

type putHold struct {
	uncounted
	tenant  config.TenantID
	hold    store.Hold // zero lifts it
	record  audit.Record
	outcome *store.Idempotent
	chains  []*tenantState // that the record is appended to
}

const (
	selectHold = `SELECT hold_time, hold_author FROM audit_chains WHERE tenant = ? AND hold_time != 0`

	upsertHold = `
INSERT INTO audit_chains (tenant, hold_reason, hold_author, hold_time) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    hold_reason = excluded.hold_reason, hold_author = excluded.hold_author, hold_time = excluded.hold_time`
)

func (h *putHold) check(t *tx) error {
	chain, err := t.chain(h.tenant)
	if err != nil {
		return err
	}
	server, err := t.chain(config.TenantID{})
	if err != nil {
		return err
	}
	h.chains = []*tenantState{chain}
	if server != chain {
		h.chains = append(h.chains, server)
	}
	if err := t.checkServerUnkept(h.outcome); err != nil {
		return err
	}
	if h.hold != (store.Hold{}) {
		return nil
	}
	stands, err := t.exists(selectHold, h.tenant[:])
	if err == nil && !stands {
		err = config.Errorf(config.KindNotFound, "no legal hold stands on the audit chain")
	}
	return err
}

func (h *putHold) store(t *tx) error {
	for _, chain := range h.chains {
		record := h.record
		record.Time = t.now(chain)
		if err := t.append(chain, record); err != nil {
			return err
		}
	}
	var since int64
	if h.hold != (store.Hold{}) {
		since = h.chains[0].nanos
	}
	if err := t.keepForServer(h.outcome, h.chains[0].nanos); err != nil {
		return err
	}
	return t.exec(upsertHold, h.tenant[:], h.hold.Reason, h.hold.Author, since)
}

// checkNotHeld refuses what a legal hold stands against: the error is of KindInUse.
func (t *tx) checkNotHeld(tenant config.TenantID) error {
	return t.query(selectHold, func(r row) error {
		return config.Errorf(config.KindInUse, "a legal hold stands on the tenant since %s, by %s", r.time(0).Format(time.RFC3339), r.text(1)).
			Hint("lift the hold first")
	}, tenant[:])
}
