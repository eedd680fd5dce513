package sqlite

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

const selectUsage = `
SELECT documents, bytes, secrets FROM tenants WHERE id = ? AND deleted = 0`

// Usage implements store.Rules.
func (s *Store) Usage(ctx context.Context, tenant config.TenantID) (store.Usage, error) {
	var usage store.Usage
	found := false
	err := s.read(ctx, func(c *conn) error {
		return c.query(selectUsage, func(r row) error {
			usage, found = store.Usage{Documents: r.int(0), Bytes: r.int(1), Secrets: r.int(2)}, true
			return nil
		}, tenant[:])
	})
	if err == nil && !found {
		err = noTenant()
	}
	return usage, err
}

// usage is what the tenant uses once the write is stored.
func (c *commit) usage() store.Usage {
	now, more := c.state.usage, c.write.Uses
	return store.Usage{
		Documents: max(0, now.Documents+more.Documents),
		Bytes:     max(0, now.Bytes+more.Bytes),
		Secrets:   max(0, now.Secrets+more.Secrets),
	}
}

// checkQuota refuses only what grows: who is over a quota may still use less.
func (c *commit) checkQuota(*tx) error {
	more, quota, after := c.write.Uses, c.write.Quota, c.usage()
	for _, of := range [...]struct {
		what               string
		more, quota, after int64
	}{
		{"documents", more.Documents, quota.Documents, after.Documents},
		{"bytes", more.Bytes, quota.Bytes, after.Bytes},
		{"secrets", more.Secrets, quota.Secrets, after.Secrets},
	} {
		if of.more > 0 && of.quota > 0 && of.after > of.quota {
			return config.Errorf(config.KindQuotaExceeded, "the tenant may have no more %s", of.what).
				At(of.what).Over(of.quota, of.after).Hint("delete what is not needed, or ask a server admin for a larger quota")
		}
	}
	return nil
}

// countUsage counts what tenants use where the counts are not of their newest
// revision: the release before has written, or counts are new to the database.
const countUsage = `
UPDATE tenants SET counted = revision,
    documents = (SELECT count(*) FROM layers h WHERE h.tenant = tenants.id AND h.state = ?1),
    bytes = (
        SELECT coalesce(sum(length(v.sealed)), 0) FROM layers h CROSS JOIN layer_versions v ON v.row = h.row
        WHERE h.tenant = tenants.id AND h.state = ?1
    ) + (SELECT coalesce(sum(length(v.sealed)), 0) FROM secret_values v WHERE v.tenant = tenants.id),
    secrets = (SELECT count(*) FROM secrets h WHERE h.tenant = tenants.id AND h.deleted = 0)
WHERE counted != revision AND deleted = 0`
