package sqlite

import (
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// maxTenantStates bounds the writer's memory of tenants.
const maxTenantStates = 10_000

// unknown is a count that is yet to be made.
const unknown = -1

// tenantState is where a tenant's log and audit chain end. Within a transaction
// it runs ahead of the tenants table, which is updated once at the end.
type tenantState struct {
	id           config.TenantID
	revision     config.Revision
	nanos        int64 // time of the revision, or of the last audit record
	environments config.Revision
	rules        config.Revision
	usage        store.Usage
	audit        audit.Head
	acks         int64 // how many there are, or unknown
	deleted      bool  // only its audit chain goes on
	dirty        bool
}

// tx is the transaction of one group.
type tx struct {
	*conn
	clock   func() time.Time
	tenants map[config.TenantID]*tenantState
	dirty   []*tenantState
	links   []newLink // that are yet to be inserted
	erase   bool      // a body is destroyed
}

// apply runs the requests in their order. It answers the engine's failure; a
// request that is refused keeps the reason for itself.
func (t *tx) apply(group []*request) error {
	for _, r := range group {
		r.err = r.ctx.Err()
		if r.err != nil {
			continue
		}
		if err := r.task.check(t); err != nil {
			if !refusal(err) {
				return err
			}
			r.err = err
			continue
		}
		if err := r.task.store(t); err != nil {
			return err
		}
	}
	for _, s := range t.dirty {
		if err := t.saveTenant(s); err != nil {
			return err
		}
	}
	return t.insertLinks()
}

// refusal tells a precondition that does not hold from a failure of the engine.
func refusal(err error) bool {
	var e *config.Error
	return errors.As(err, &e) && e.Kind != config.KindUnavailable
}

const selectTenant = `
SELECT revision, time, environments, audit_sequence, audit_hash, rules, documents, bytes, secrets, deleted
FROM tenants WHERE id = ?`

// tenant is the state of a live tenant; the error is of KindNotFound.
func (t *tx) tenant(id config.TenantID) (*tenantState, error) {
	s, err := t.state(id)
	if err == nil && (s == nil || s.deleted) {
		return nil, noTenant()
	}
	return s, err
}

// chain is the state of a tenant whose audit chain there is, deleted or not; the
// error is of KindNotFound.
func (t *tx) chain(id config.TenantID) (*tenantState, error) {
	s, err := t.state(id)
	if err == nil && s == nil {
		return nil, noChain()
	}
	return s, err
}

// state is the state of a tenant, nil when there never was one.
func (t *tx) state(id config.TenantID) (*tenantState, error) {
	if s, ok := t.tenants[id]; ok {
		return s, nil
	}
	var s *tenantState
	err := t.query(selectTenant, func(r row) error {
		s = &tenantState{
			id: id, revision: config.Revision(r.int(0)), nanos: r.int(1), environments: config.Revision(r.int(2)),
			audit: audit.Head{Sequence: uint64(r.int(3)), Hash: r.hash(4)}, acks: unknown,
			rules:   config.Revision(r.int(5)),
			usage:   store.Usage{Documents: r.int(6), Bytes: r.int(7), Secrets: r.int(8)},
			deleted: r.bool(9),
		}
		return nil
	}, id[:])
	if err == nil && s != nil {
		t.tenants[id] = s
	}
	return s, err
}

const updateTenant = `
UPDATE tenants SET revision = ?1, counted = ?1, time = ?2, environments = ?3, audit_sequence = ?4, audit_hash = ?5,
    rules = ?6, documents = ?7, bytes = ?8, secrets = ?9
WHERE id = ?10`

func (t *tx) saveTenant(s *tenantState) error {
	if !s.dirty { // saved already, before its tenant was deleted
		return nil
	}
	s.dirty = false
	return t.exec(updateTenant, int64(s.revision), s.nanos, int64(s.environments),
		int64(s.audit.Sequence), s.audit.Hash[:],
		int64(s.rules), s.usage.Documents, s.usage.Bytes, s.usage.Secrets, s.id[:])
}

func (t *tx) touch(s *tenantState) {
	if !s.dirty {
		s.dirty = true
		t.dirty = append(t.dirty, s)
	}
}

// now is the time of the tenant's next record: never before its last one.
func (t *tx) now(s *tenantState) time.Time {
	t.touch(s)
	s.nanos = t.nanos(s)
	return fromNanos(s.nanos)
}

// nanos is the time of what is no record: it does not become the tenant's.
func (t *tx) nanos(s *tenantState) int64 { return max(s.nanos, t.clock().UnixNano()) }

// next begins the tenant's next revision.
func (t *tx) next(s *tenantState) store.Receipt {
	s.revision++
	return store.Receipt{Revision: s.revision, Time: t.now(s)}
}

func noTenant() error {
	return config.Errorf(config.KindNotFound, "there is no such tenant").Hint("`llm-config tenant ls` lists them")
}

// touch is a task that writes a row as it is, to see that rows can be written.
type touch struct{ uncounted }

func (touch) check(*tx) error { return nil }

func (touch) store(t *tx) error {
	s, err := t.tenant(config.TenantID{})
	if err == nil {
		t.touch(s)
	}
	return err
}
