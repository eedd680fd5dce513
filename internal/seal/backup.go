package seal

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// BackupReport says what a backup holds.
type BackupReport struct {
	Masters    int // versions of the master key
	Tenants    int // tenants' keys, the server's own included
	Tombstones int // tenants whose key was destroyed
}

// Backup writes all that the key store holds. It is of use only together with
// the master key, which it does not hold; that the keepers are the right ones
// is seen first, because later may be too late. A server may run meanwhile.
func Backup(ctx context.Context, keepers Keepers, keys store.Keys, w io.Writer) (BackupReport, error) {
	var report BackupReport
	masters, err := keys.Masters(ctx)
	if err != nil {
		return report, unavailable(err, "the key store does not answer")
	}
	if len(masters) == 0 {
		return report, config.Errorf(config.KindNotFound, "the key store is empty").Hint("name the data directory of a server that has run")
	}
	inUse := func(m store.Master) bool { return m.Retired.IsZero() }
	if err := keepers.openMasters(ctx, masters, inUse); err != nil {
		return report, err
	}
	out := newBackupWriter(w)
	out.line(backupLine{Format: backupFormat})
	for _, m := range masters {
		out.line(masterLine(m))
	}
	report.Masters = len(masters)
	if err := report.writeTenants(ctx, keys, out); err != nil {
		return report, err
	}
	check, err := keepers.Write.Wrap(ctx, out.sum.Sum(nil), backupAssociated)
	if err != nil {
		return report, silent(keepers.Write, err)
	}
	out.line(backupLine{End: &backupEnd{Masters: report.Masters, Tenants: report.Tenants + report.Tombstones, Check: check}})
	return report, out.flush()
}

func (r *BackupReport) writeTenants(ctx context.Context, keys store.Keys, out *backupWriter) error {
	var after *config.TenantID
	for out.err == nil {
		page, err := keys.TenantKeys(ctx, after, tenantKeyPage)
		if err != nil {
			return unavailable(err, "the key store does not answer")
		}
		if len(page) == 0 {
			return nil
		}
		for _, key := range page {
			if key.Wrapped == nil {
				r.Tombstones++
			} else {
				r.Tenants++
			}
			if int(key.Master) > r.Masters {
				return config.Errorf(config.KindConflict, "the master key was rotated while the backup was being made").Hint("make it again")
			}
			out.line(tenantLine(key))
		}
		after = &page[len(page)-1].Tenant
	}
	return out.err
}

// backupWriter writes lines, and remembers the first error.
type backupWriter struct {
	out     *bufio.Writer
	sum     hash.Hash
	written int
	err     error
}

func newBackupWriter(w io.Writer) *backupWriter {
	return &backupWriter{out: bufio.NewWriter(w), sum: sha256.New()}
}

func (w *backupWriter) line(l backupLine) {
	if w.err != nil {
		return
	}
	text, err := json.Marshal(l)
	if err != nil {
		w.err = err
		return
	}
	text = append(text, '\n')
	if w.written += len(text); len(text) > maxBackupLine || w.written > maxBackupBytes {
		w.err = config.Errorf(config.KindTooLarge, "the key store is too large for a key backup").Over(maxBackupBytes, int64(w.written))
		return
	}
	w.sum.Write(text)
	if _, err := w.out.Write(text); err != nil {
		w.err = fmt.Errorf("write the key backup: %w", err)
	}
}

func (w *backupWriter) flush() error {
	if w.err == nil {
		if err := w.out.Flush(); err != nil {
			w.err = fmt.Errorf("write the key backup: %w", err)
		}
	}
	return w.err
}
