package seal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// A backup of the key store is lines of JSON: one that names the format, the
// versions of the master key, the tenants' keys and tombstones by tenant, and
// one that ends it with the SHA-256 of all before it, wrapped by the master
// key. Each line has one spelling only. It holds no key that is not wrapped.
const (
	backupFormat     = "llm-config key backup 1"
	maxBackupBytes   = 256 << 20
	maxBackupLine    = 64 << 10
	maxBackupMasters = 10_000
	maxKeeperName    = 4 << 10
	maxWrappedBytes  = 32 << 10
)

var backupAssociated = []byte(backupFormat)

// backupLine has exactly one of its fields.
type backupLine struct {
	Format string        `json:"format,omitempty"`
	Master *backupMaster `json:"master,omitempty"`
	Tenant *backupTenant `json:"tenant,omitempty"`
	End    *backupEnd    `json:"end,omitempty"`
}

type backupMaster struct {
	Version uint32    `json:"version"`
	Keeper  string    `json:"keeper"`
	Check   []byte    `json:"check"`
	Created time.Time `json:"created,omitzero"`
	Retired time.Time `json:"retired,omitzero"`
}

// backupTenant is a tombstone when it is destroyed; it has then no other field.
type backupTenant struct {
	ID         string    `json:"id"`
	Destroyed  bool      `json:"destroyed,omitempty"`
	Wrapped    []byte    `json:"wrapped,omitempty"`
	Master     uint32    `json:"master,omitempty"`
	Generation int64     `json:"generation,omitempty"`
	Newest     uint32    `json:"newest,omitempty"`
	Created    time.Time `json:"created,omitzero"`
	Rotated    time.Time `json:"rotated,omitzero"`
}

type backupEnd struct {
	Masters int    `json:"masters"`
	Tenants int    `json:"tenants"` // tombstones included
	Check   []byte `json:"check"`
}

// backup is what a file holds.
type backup struct {
	masters []store.Master
	tenants []store.TenantKey
	sum     [sha256.Size]byte // of all lines but the last
	check   []byte            // what it is said to be, wrapped
}

func masterLine(m store.Master) backupLine {
	return backupLine{Master: &backupMaster{m.Version, m.Keeper, m.Check, m.Created.UTC(), m.Retired.UTC()}}
}

func tenantLine(t store.TenantKey) backupLine {
	if t.Wrapped == nil {
		return backupLine{Tenant: &backupTenant{ID: t.Tenant.String(), Destroyed: true}}
	}
	return backupLine{Tenant: &backupTenant{
		ID: t.Tenant.String(), Wrapped: t.Wrapped, Master: t.Master, Generation: t.Generation,
		Newest: t.Newest, Created: t.Created.UTC(), Rotated: t.Rotated.UTC(),
	}}
}

func badBackup(line int, format string, args ...any) error {
	return config.Errorf(config.KindBadRequest, "line %d of the key backup %s", line, fmt.Sprintf(format, args...)).
		Hint("take another copy of the backup; nothing was restored")
}

// parseBackup reads a whole file; what it answers is well formed, and nothing
// vouches for it yet.
func parseBackup(r io.Reader) (*backup, error) {
	limited := &io.LimitedReader{R: r, N: maxBackupBytes + 1}
	lines := bufio.NewReaderSize(limited, maxBackupLine)
	b, sum := &backup{}, sha256.New()
	for n := 1; ; n++ {
		text, err := lines.ReadSlice('\n')
		switch {
		case limited.N == 0:
			return nil, badBackup(n, "is beyond %d bytes", maxBackupBytes)
		case errors.Is(err, io.EOF):
			return nil, badBackup(n, "is missing or cut short")
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, badBackup(n, "is longer than %d bytes", maxBackupLine)
		case err != nil:
			return nil, fmt.Errorf("read the key backup: %w", err)
		}
		line, ok := parseBackupLine(text)
		if !ok {
			return nil, badBackup(n, "has not the form of one")
		}
		if line.End != nil {
			sum.Sum(b.sum[:0])
			if line != (backupLine{End: line.End}) {
				return nil, badBackup(n, "has more than the end")
			}
			if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
				return nil, badBackup(n+1, "follows its end")
			}
			return b, b.end(n, line.End)
		}
		sum.Write(text)
		if err := b.add(n, line); err != nil {
			return nil, err
		}
	}
}

// parseBackupLine accepts what printing gives back, and nothing else: no second
// spelling, no unknown or doubled names.
func parseBackupLine(text []byte) (line backupLine, ok bool) {
	if err := json.Unmarshal(text, &line); err != nil {
		return line, false
	}
	again, err := json.Marshal(line)
	return line, err == nil && bytes.Equal(append(again, '\n'), text)
}

func (b *backup) add(n int, line backupLine) error {
	switch {
	case (n == 1) != (line == backupLine{Format: backupFormat}):
		return badBackup(n, "is not of a key backup of this version")
	case n == 1:
		return nil
	case line.Master != nil && line.Tenant == nil && line.Format == "":
		return b.addMaster(n, line.Master)
	case line.Tenant != nil && line.Master == nil && line.Format == "":
		return b.addTenant(n, line.Tenant)
	}
	return badBackup(n, "is neither a master key nor a tenant's")
}

func (b *backup) addMaster(n int, m *backupMaster) error {
	switch {
	case len(b.tenants) > 0, int(m.Version) != len(b.masters)+1, len(b.masters) == maxBackupMasters:
		return badBackup(n, "is out of order")
	case len(m.Check) == 0, len(m.Check) > maxWrappedBytes, len(m.Keeper) > maxKeeperName, !isUTC(m.Created, m.Retired):
		return badBackup(n, "is no version of a master key")
	}
	b.masters = append(b.masters, store.Master{
		Version: m.Version, Keeper: m.Keeper, Check: m.Check, Created: m.Created.UTC(), Retired: m.Retired.UTC(),
	})
	return nil
}

func (b *backup) addTenant(n int, t *backupTenant) error {
	id, err := config.ParseTenantID(t.ID)
	if err != nil {
		return badBackup(n, "names no tenant")
	}
	if last := len(b.tenants) - 1; last >= 0 && bytes.Compare(b.tenants[last].Tenant[:], id[:]) >= 0 {
		return badBackup(n, "is out of order")
	}
	key := store.TenantKey{
		Tenant: id, Wrapped: t.Wrapped, Master: t.Master, Generation: t.Generation,
		Newest: t.Newest, Created: t.Created.UTC(), Rotated: t.Rotated.UTC(),
	}
	if t.Destroyed {
		if t.Wrapped != nil || t.Master != 0 || t.Generation != 0 || t.Newest != 0 || !t.Created.IsZero() || !t.Rotated.IsZero() {
			return badBackup(n, "is a tombstone with a key")
		}
		b.tenants = append(b.tenants, key)
		return nil
	}
	if len(t.Wrapped) == 0 || len(t.Wrapped) > maxWrappedBytes || t.Generation < 1 || t.Newest < 1 ||
		t.Master < 1 || int(t.Master) > len(b.masters) || !isUTC(t.Created, t.Rotated) {
		return badBackup(n, "is no tenant's key")
	}
	b.tenants = append(b.tenants, key)
	return nil
}

func isUTC(times ...time.Time) bool {
	return !slices.ContainsFunc(times, func(t time.Time) bool { _, offset := t.Zone(); return offset != 0 })
}

func (b *backup) end(n int, e *backupEnd) error {
	if e.Masters != len(b.masters) || e.Tenants != len(b.tenants) || len(b.masters) == 0 ||
		len(e.Check) == 0 || len(e.Check) > maxWrappedBytes {
		return badBackup(n, "does not end what is before it")
	}
	b.check = e.Check
	return nil
}
