package service

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// How RewrapKeys goes about its work.
const (
	rewrapBatch = 500 // keys in one transaction

	// rewrapAtOnce batches are wrapped before a rotation is answered, so that a
	// small tenant's is done by then.
	rewrapAtOnce = 4

	sweepEvery = 10 * time.Minute // how often every tenant is looked at, for what other instances began
	sweepPage  = 200
)

// TenantKeys answers the versions of a tenant's key, their age and use.
func (s *Service) TenantKeys(ctx context.Context, who Caller, tenant string) (seal.TenantKeyStatus, error) {
	state, err := s.guard(ctx, who, access.KeyRead, tenant, access.Resource{Name: "keys"})
	if err != nil {
		return seal.TenantKeyStatus{}, err
	}
	return s.keyring.TenantStatus(ctx, state.tenant.ID)
}

// RotateTenantKey gives a tenant's key a new version. What is sealed from then
// on is under it; data keys that the old one wraps are wrapped anew by and by.
func (s *Service) RotateTenantKey(ctx context.Context, who Caller, tenant, message string) (KeyResult, error) {
	state, err := s.guard(ctx, who, access.KeyWrite, tenant, access.Resource{Name: "keys"})
	if err != nil {
		return KeyResult{}, err
	}
	if err := checkMessage(message); err != nil {
		return KeyResult{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (KeyResult, error) {
		// The key store is no part of the transaction. That a rotation was asked
		// for is on record before it is made, so none is ever made unrecorded.
		return s.changeKey(ctx, who, state, "key.rotate", message, "its key was rotated", func() (KeyResult, error) {
			version, err := s.keyring.RotateTenant(ctx, state.tenant.ID)
			if err != nil {
				return KeyResult{}, err
			}
			s.rewraps.add(state.tenant.ID)
			for range rewrapAtOnce {
				if left, err := s.rewrapTenant(ctx, state.tenant.ID); err != nil || left == 0 {
					break // what fails now is tried again with the rest
				}
			}
			return s.keyResult(ctx, state.tenant.ID, version)
		})
	})
}

// RetireTenantKey takes away an old version that wraps nothing any more. Data
// backups from before it was rotated cannot be opened afterwards.
func (s *Service) RetireTenantKey(ctx context.Context, who Caller, tenant string, version uint32, message string) (KeyResult, error) {
	state, err := s.guard(ctx, who, access.KeyWrite, tenant, access.Resource{Name: "keys/" + strconv.FormatUint(uint64(version), 10)})
	if err != nil {
		return KeyResult{}, err
	}
	if err := checkMessage(message); err != nil {
		return KeyResult{}, err
	}
	return once(ctx, s, who, state.tenant.ID, func() (KeyResult, error) {
		summary := "version " + strconv.FormatUint(uint64(version), 10) + " of its key was retired"
		if err := s.keyring.CheckRetire(ctx, state.tenant.ID, version); err != nil {
			return KeyResult{}, err // what is refused is not on record as done
		}
		return s.changeKey(ctx, who, state, "key.retire", message, summary, func() (KeyResult, error) {
			if err := s.keyring.RetireTenantKey(ctx, state.tenant.ID, version); err != nil {
				return KeyResult{}, err
			}
			return s.keyResult(ctx, state.tenant.ID, version)
		})
	})
}

// changeKey puts a change of a tenant's key on record and makes it. One that
// fails after that is on record as failed, too.
func (s *Service) changeKey(ctx context.Context, who Caller, state *tenantState, event, message, summary string, change func() (KeyResult, error)) (KeyResult, error) {
	record := s.record(who, event, access.KeyWrite, resourceName(access.Resource{Tenant: state.tenant.ID, Name: "keys"}))
	outcome, err := s.commit(ctx, state, "keys", func(_ context.Context, n *snapshot) (*proposal, error) {
		return s.proposeEntry(who, n, store.EntryKey, "keys", message, summary, record)
	})
	if err != nil {
		return KeyResult{}, err
	}
	result, err := change()
	if err != nil {
		record.Outcome, record.Reason, record.Tenant = audit.Failed, reasonOf(err), state.tenant.ID.String()
		return KeyResult{}, errors.Join(err, s.store.AppendAudit(ctx, state.tenant.ID, record))
	}
	result.Outcome = outcome
	s.rememberKey(ctx, who, state.tenant.ID, result)
	return result, nil
}

// rememberKey keeps the answer for an idempotency key, once it is known. What
// was done is done: that its answer could not be kept is not answered as a
// failure, which would have the caller ask for it again.
func (s *Service) rememberKey(ctx context.Context, who Caller, tenant config.TenantID, result KeyResult) {
	if who.Idempotency != nil {
		_ = s.remember(ctx, who, tenant, result.Outcome, result)
	}
}

func (s *Service) keyResult(ctx context.Context, tenant config.TenantID, version uint32) (KeyResult, error) {
	status, err := s.keyring.TenantStatus(ctx, tenant)
	return KeyResult{Version: version, Pending: Pending(status)}, err
}

// Pending is how many data keys older versions of a tenant's key wrap.
func Pending(status seal.TenantKeyStatus) int64 {
	var pending int64
	for _, v := range status.Versions {
		if !v.Newest {
			pending += v.Keys
		}
	}
	return pending
}

// MasterKeys answers the versions of the master key, and those of the server's own key.
func (s *Service) MasterKeys(ctx context.Context, who Caller) (seal.MasterStatus, seal.TenantKeyStatus, error) {
	if err := s.guardServer(ctx, who, access.ServerKeyRead, access.Resource{Name: "keys"}); err != nil {
		return seal.MasterStatus{}, seal.TenantKeyStatus{}, err
	}
	master, err := s.keyring.MasterStatus(ctx)
	if err != nil {
		return seal.MasterStatus{}, seal.TenantKeyStatus{}, err
	}
	server, err := s.keyring.TenantStatus(ctx, config.TenantID{})
	return master, server, err
}

// RotateMasterKey takes the master key that the keeper now writes with into use,
// and gives the server's own key a new version. Tenant keys are wrapped anew by and by.
func (s *Service) RotateMasterKey(ctx context.Context, who Caller, message string) (KeyResult, error) {
	if err := s.guardServer(ctx, who, access.ServerKeyWrite, access.Resource{Name: "keys"}); err != nil {
		return KeyResult{}, err
	}
	if err := checkMessage(message); err != nil {
		return KeyResult{}, err
	}
	return once(ctx, s, who, config.TenantID{}, func() (KeyResult, error) { return s.rotateMaster(ctx, who, message) })
}

// rotateMaster puts on record that the rotation was asked for before it is made,
// like changeKey: the key store is no part of the transaction.
func (s *Service) rotateMaster(ctx context.Context, who Caller, message string) (KeyResult, error) {
	if err := s.keyring.CheckRotateMaster(ctx); err != nil {
		return KeyResult{}, err // what is refused is not on record as done
	}
	record := s.record(who, "key.rotate", access.ServerKeyWrite, resourceName(access.Resource{Name: "keys"}))
	if message != "" {
		record.Details = map[string]string{"message": message}
	}
	unkept := who
	unkept.Idempotency = nil // the answer is not known yet
	w, err := s.serverWrite(ctx, unkept, store.EntryKey, "keys", "the master key was rotated", record, nil)
	if err != nil {
		return KeyResult{}, err
	}
	outcome, err := s.commitServer(ctx, w)
	if err != nil {
		return KeyResult{}, err
	}
	version, err := s.keyring.RotateMaster(ctx)
	if err == nil {
		_, err = s.keyring.RotateTenant(ctx, config.TenantID{})
	}
	if err != nil {
		record.Outcome, record.Reason = audit.Failed, reasonOf(err)
		return KeyResult{}, errors.Join(err, s.store.AppendAudit(ctx, config.TenantID{}, record))
	}
	s.rewraps.add(config.TenantID{})
	s.rewraps.addMaster()
	status, err := s.keyring.MasterStatus(ctx)
	if err != nil {
		return KeyResult{}, err
	}
	result := KeyResult{Outcome: outcome, Version: version, Pending: PendingTenants(status)}
	s.rememberKey(ctx, who, config.TenantID{}, result)
	return result, nil
}

// PendingTenants is how many tenant keys older versions of the master key wrap.
func PendingTenants(status seal.MasterStatus) int64 {
	var pending int64
	for _, v := range status.Versions {
		if !v.Newest {
			pending += v.Tenants
		}
	}
	return pending
}

// rewraps are the keys that are known to wait for being wrapped anew. What is
// not known, because another process began it, is found by sweeps.
type rewraps struct {
	mu      sync.Mutex
	tenants map[config.TenantID]bool
	master  bool
	swept   time.Time
	after   *config.TenantID // where the sweep is; nil while none is under way
}

func (r *rewraps) add(tenant config.TenantID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tenants == nil {
		r.tenants = map[config.TenantID]bool{}
	}
	r.tenants[tenant] = true
}

func (r *rewraps) addMaster() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.master = true
}

func (r *rewraps) next() (tenant config.TenantID, found, master bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tenant := range r.tenants {
		return tenant, true, r.master
	}
	return tenant, false, r.master
}

func (r *rewraps) done(tenant config.TenantID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.tenants, tenant)
}

func (r *rewraps) doneMaster() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.master = false
}

// RewrapKeys wraps some of the keys that wait for it under the newest key above
// them, and says whether there may be more. It goes on where it was stopped,
// also after a crash: what waits is seen from the keys themselves. It is for the
// one instance that runs jobs; two at a time do no harm.
func (s *Service) RewrapKeys(ctx context.Context) (more bool, err error) {
	if more, err := s.sweep(ctx); more || err != nil {
		return more, err
	}
	tenant, found, master := s.rewraps.next()
	if master {
		_, left, err := s.keyring.RewrapTenants(ctx, rewrapBatch)
		if err != nil {
			return false, err
		}
		if left == 0 {
			s.rewraps.doneMaster()
		}
		s.tellMasterState(ctx)
		return true, nil
	}
	if !found {
		return false, nil
	}
	_, err = s.rewrapTenant(ctx, tenant)
	return err == nil, err
}

// rewrapTenant wraps one batch of a tenant's data keys, and puts on record when
// none is left.
func (s *Service) rewrapTenant(ctx context.Context, tenant config.TenantID) (left int64, err error) {
	done, left, err := s.keyring.RewrapData(ctx, tenant, rewrapBatch)
	if kind := config.KindOf(err); kind == config.KindGone || kind == config.KindNotFound {
		s.rewraps.done(tenant) // deleted meanwhile
		return 0, nil
	}
	if err != nil || left > 0 {
		return left, err
	}
	s.rewraps.done(tenant)
	return 0, s.rewrapped(ctx, tenant, done)
}

// rewrapped puts on record that nothing is left on older versions of a key.
func (s *Service) rewrapped(ctx context.Context, tenant config.TenantID, done int) error {
	s.tellKeyState(ctx, tenant)
	if done == 0 {
		return nil
	}
	record := s.record(system(), "key.rewrapped", access.KeyWrite, resourceName(access.Resource{Tenant: tenant, Name: "keys"}))
	if tenant != (config.TenantID{}) {
		record.Tenant = tenant.String()
	}
	return absentIsFine(s.store.AppendAudit(ctx, tenant, record))
}

// sweep looks at every tenant's key once in a while, a page at a time.
func (s *Service) sweep(ctx context.Context) (more bool, err error) {
	r := &s.rewraps
	r.mu.Lock()
	after, due := r.after, r.after != nil || s.clock().Sub(r.swept) >= sweepEvery
	r.mu.Unlock()
	if !due {
		return false, nil
	}
	if after == nil {
		r.addMaster()
	}
	states, err := s.keyring.TenantStates(ctx, after, sweepPage)
	if err != nil {
		return false, err
	}
	for _, state := range states {
		if state.Pending > 0 {
			r.add(state.Tenant)
		}
		if !state.Destroyed {
			s.setKeyState(ctx, state.Tenant, state.Rotated, state.Due, state.Pending)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(states) < sweepPage {
		r.after, r.swept = nil, s.clock()
		return false, nil
	}
	r.after = &states[len(states)-1].Tenant
	return true, nil
}

func (s *Service) tellKeyState(ctx context.Context, tenant config.TenantID) {
	if status, err := s.keyring.TenantStatus(ctx, tenant); err == nil {
		s.setKeyState(ctx, tenant, status.Rotated, status.Due, Pending(status))
	}
}

func (s *Service) setKeyState(ctx context.Context, tenant config.TenantID, rotated, due time.Time, pending int64) {
	level, name := "tenant", ""
	if tenant == (config.TenantID{}) {
		level = "server"
	} else if t, err := s.store.Tenant(ctx, tenant); err == nil {
		name = t.Name
	} else {
		return
	}
	s.metrics.KeyState(level, name, rotated, due, pending)
}

func (s *Service) tellMasterState(ctx context.Context) {
	status, err := s.keyring.MasterStatus(ctx)
	if err != nil {
		return
	}
	for _, v := range status.Versions {
		if v.Newest {
			s.metrics.KeyState("master", "", v.Created, status.Due, PendingTenants(status))
		}
	}
}
