package seal

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// TenantState is what the stores say of a tenant's key, without opening it.
type TenantState struct {
	Tenant    config.TenantID
	Destroyed bool      // nothing else is known of it
	Rotated   time.Time // when its newest version was made
	Due       time.Time // when it is due to be replaced
	Pending   int64     // data keys that older versions wrap
}

// TenantStates are at most limit states after a tenant's, by tenant id; nil asks
// from the start. No keeper is asked, so that looking at every tenant is cheap.
func (k *Keyring) TenantStates(ctx context.Context, after *config.TenantID, limit int) ([]TenantState, error) {
	rows, err := k.keys.TenantKeys(ctx, after, limit)
	if err != nil {
		return nil, unavailable(err, "the key store does not answer")
	}
	states := make([]TenantState, 0, len(rows))
	for _, row := range rows {
		state := TenantState{Tenant: row.Tenant, Destroyed: row.Wrapped == nil}
		if !state.Destroyed {
			state.Rotated, state.Due = row.Rotated, row.Rotated.Add(TenantKeyAge)
			if state.Pending, err = k.pending(ctx, row.Tenant, row.Newest); err != nil {
				return nil, err
			}
		}
		states = append(states, state)
	}
	return states, nil
}

func (k *Keyring) pending(ctx context.Context, id config.TenantID, newest uint32) (int64, error) {
	counts, err := k.data.KeyVersions(ctx, id)
	if err != nil {
		return 0, unavailable(err, "the database does not answer")
	}
	var pending int64
	for version, keys := range counts {
		if version < newest {
			pending += keys
		}
	}
	return pending, nil
}
