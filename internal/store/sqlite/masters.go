package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// Masters implements store.Keys.
func (k *Keys) Masters(ctx context.Context) ([]store.Master, error) {
	rows, err := k.db.QueryContext(ctx, `
SELECT version, keeper, check_value, created, retired FROM masters ORDER BY version`)
	if err != nil {
		return nil, engineError(err)
	}
	defer rows.Close()
	var masters []store.Master
	for rows.Next() {
		var m store.Master
		var created, retired int64
		if err := rows.Scan(&m.Version, &m.Keeper, &m.Check, &created, &retired); err != nil {
			return nil, engineError(err)
		}
		m.Created, m.Retired = fromNanos(created), fromNanos(retired)
		masters = append(masters, m)
	}
	return masters, engineError(rows.Err())
}

// AddMaster implements store.Keys. The table master keeps the newest check
// value, by which the release before this one knows its key.
func (k *Keys) AddMaster(ctx context.Context, master store.Master) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return engineError(err)
	}
	defer tx.Rollback()
	result, err := tx.ExecContext(ctx, `
INSERT INTO masters (version, keeper, check_value, created, retired)
SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?1 = (SELECT coalesce(max(version), 0) + 1 FROM masters)`,
		master.Version, master.Keeper, master.Check, toNanos(master.Created), toNanos(master.Retired))
	if err != nil {
		return engineError(err)
	}
	if n, err := result.RowsAffected(); err != nil {
		return err
	} else if n == 0 {
		return moved("the master key")
	}
	_, err = tx.ExecContext(ctx, `
INSERT INTO master (only, value) VALUES (1, ?) ON CONFLICT DO UPDATE SET value = excluded.value`, master.Check)
	if err != nil {
		return engineError(err)
	}
	return engineError(tx.Commit())
}

// RetireMaster implements store.Keys. It also empties the log of what the
// version wrapped: whoever comes by the old key later finds nothing to open.
func (k *Keys) RetireMaster(ctx context.Context, version uint32, at time.Time) error {
	retired, err := k.changes(ctx, `
UPDATE masters SET retired = ?1 WHERE version = ?2 AND retired = 0
AND NOT EXISTS (SELECT 1 FROM tenant_keys WHERE master = ?2 AND wrapped IS NOT NULL)`, toNanos(at), version)
	if err != nil {
		return err
	}
	if !retired {
		if err := k.checkRetired(ctx, version); err != nil {
			return err
		}
	}
	return k.emptyLog(ctx, "the version is retired")
}

// checkRetired says why a version was not retired, nil when it was before.
func (k *Keys) checkRetired(ctx context.Context, version uint32) error {
	var nanos int64
	err := k.db.QueryRowContext(ctx, `SELECT retired FROM masters WHERE version = ?`, version).Scan(&nanos)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return config.Errorf(config.KindNotFound, "there is no version %d of the master key", version)
	case err != nil || nanos != 0:
		return engineError(err)
	}
	counts, err := k.MasterVersions(ctx)
	if err != nil {
		return err
	}
	return config.Errorf(config.KindInUse, "version %d of the master key wraps %d tenant keys", version, counts[version]).
		Over(0, counts[version]).Hint("`llm-config key rotate --master` wraps them with the newest version")
}

// MasterVersions implements store.Keys.
func (k *Keys) MasterVersions(ctx context.Context) (map[uint32]int64, error) {
	rows, err := k.db.QueryContext(ctx, `
SELECT master, count(*) FROM tenant_keys WHERE wrapped IS NOT NULL GROUP BY master`)
	if err != nil {
		return nil, engineError(err)
	}
	defer rows.Close()
	counts := map[uint32]int64{}
	for rows.Next() {
		var version uint32
		var n int64
		if err := rows.Scan(&version, &n); err != nil {
			return nil, engineError(err)
		}
		counts[version] = n
	}
	return counts, engineError(rows.Err())
}
