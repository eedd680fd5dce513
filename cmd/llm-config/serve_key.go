package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/settings"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/store/sqlite"
)

func newKeyGenerateCommand(a *app) *cobra.Command {
	c := a.command("generate", "Make a master key in a file",
		`Make a master key in a new file that only its owner can read. A file that is there
is never replaced: with --add the new key is put in front of those it holds, which
still open what they wrapped, and `+"`llm-config key rotate --master`"+` has the server
take it up. Keep a copy of the file apart from the data.`,
		`  llm-config key generate -f /etc/llm-config/master.key
  llm-config key generate -f /etc/llm-config/master.key --add`)
	var file string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` to make (required)")
	add := c.Flags().Bool("add", false, "put the key in front of those that the file holds")
	c.RunE = func(*cobra.Command, []string) error {
		switch {
		case file == "":
			return failf("no file is given").hint("name the one to make with -f FILE")
		case *add:
			if err := seal.AddFileKey(file); err != nil {
				return err
			}
			a.printer().printf("a new master key is in front of the others in %s; `llm-config key rotate --master` has the server take it up\n", file)
			return nil
		}
		if err := seal.CreateFileKey(file); err != nil {
			return err
		}
		a.printer().printf("a new master key is in %s\n", file)
		return nil
	}
	return c
}

func newKeyBackupCommand(a *app) *cobra.Command {
	c := a.command("backup", "Write the tenants' keys into a file",
		`Write the tenants' keys, wrapped as they are, into a new file. Backups of data hold
no keys, so that deleting a tenant stays final: this is the other half, and to be
kept apart from them. It works on the data itself, so it runs where the server runs,
also while it runs, and needs the master key. The file is of no use without it.`,
		`  llm-config key backup -f keys.backup --data /var/lib/llm-config --master-key-file /etc/llm-config/master.key`)
	settingsFlags(c, dataSettings...)
	out := a.outputFlag(c, listFormats...)
	var file string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` to make, - for standard output (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.keySettings(c, file)
		if err != nil {
			return err
		}
		if file == "-" {
			_, err := backUpKeys(c.Context(), s, a.stdout)
			return err
		}
		report, err := backUpKeysTo(c.Context(), s, file)
		if err != nil {
			return err
		}
		data := keyBackup{file, report.Masters, report.Tenants, report.Tombstones}
		return out.show(view{data: data, values: []string{file}, people: func(p *printer) {
			p.printf("%s holds %s of the master key, %s and %s of deleted tenants; keep it apart from backups of data, and the master key apart from both\n",
				file, counted(data.Masters, "version"), counted(data.Tenants, "key"), counted(data.Tombstones, "mark"))
		}})
	}
	return c
}

// keySettings are the server's settings, for a verb that works on its data.
func (a *app) keySettings(c *cobra.Command, file string) (settings.Settings, error) {
	if file == "" {
		return settings.Settings{}, failf("no file is given").hint("name it with -f FILE")
	}
	s, err := settings.Load(settings.FlagsOf(c.Flags()), a.environ())
	if err != nil {
		return s, err
	}
	s = s.WithDefaults()
	if _, err := os.Stat(s.Data); errors.Is(err, fs.ErrNotExist) {
		return s, failf("there is no folder %s", s.Data).hint("name the server's with --data")
	}
	return s, nil
}

// backUpKeysTo makes the file only when all of it is written.
func backUpKeysTo(ctx context.Context, s settings.Settings, name string) (report seal.BackupReport, err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return report, failf("%s exists already, and a backup is never replaced", name).hint("name another file")
	}
	if err != nil {
		return report, err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if report, err = backUpKeys(ctx, s, file); err != nil {
		return report, err
	}
	return report, file.Sync()
}

func backUpKeys(ctx context.Context, s settings.Settings, w io.Writer) (report seal.BackupReport, err error) {
	err = withKeys(ctx, s, func(keepers seal.Keepers, keys store.Keys) error {
		report, err = seal.Backup(ctx, keepers, keys, w)
		return err
	})
	return report, err
}

// withKeys opens the keepers and the key store for some work.
func withKeys(ctx context.Context, s settings.Settings, work func(seal.Keepers, store.Keys) error) (err error) {
	keepers, err := openKeepers(ctx, s)
	if err != nil {
		return err
	}
	keys, err := sqlite.OpenKeys(ctx, s.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	return work(keepers, keys)
}

func newKeyRestoreCommand(a *app) *cobra.Command {
	c := a.command("restore", "Take tenants' keys back from a backup",
		`Take over from a key backup the keys that are not there, or are there in an older
form. What is there and newer stays. A tenant that was deleted, here or in the
backup, stays deleted: nothing brings its key back. It runs where the server runs,
while the server is stopped, and needs the master key that the backup was made with.`,
		`  llm-config key restore -f keys.backup --data /var/lib/llm-config --master-key-file /etc/llm-config/master.key`)
	settingsFlags(c, dataSettings...)
	out := a.outputFlag(c, listFormats...)
	var file string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` that key backup made, - for standard input (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.keySettings(c, file)
		if err != nil {
			return err
		}
		from := a.stdin
		if file != "-" {
			opened, err := os.Open(file)
			if err != nil {
				return err
			}
			defer opened.Close()
			from = opened
		}
		report, names, err := restoreKeys(c.Context(), s, from)
		if err != nil {
			return err
		}
		return out.show(restoreView(report, names))
	}
	return c
}

// restoreKeys opens the data too, which keeps a server from running meanwhile,
// and knows the tenants' names.
func restoreKeys(ctx context.Context, s settings.Settings, from io.Reader) (report seal.RestoreReport, names map[string]string, err error) {
	data, err := sqlite.Open(ctx, s.Data, sqlite.Options{})
	if err != nil {
		return report, nil, err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	if names, err = tenantNames(ctx, data); err != nil {
		return report, nil, err
	}
	err = withKeys(ctx, s, func(keepers seal.Keepers, keys store.Keys) error {
		report, err = seal.Restore(ctx, keepers, keys, from)
		return err
	})
	if err != nil {
		return report, names, err
	}
	return report, names, data.AppendAudit(ctx, config.TenantID{}, audit.Record{
		Event: "key.restore", Actor: "system:server", Action: "key.restore", Resource: "server/keys", Outcome: audit.Success,
		Details: map[string]string{
			"added": number(int64(report.Added)), "replaced": number(int64(report.Replaced)), "destroyed": number(int64(report.Destroyed)),
		},
	})
}

// tenantNames are the names of the tenants that the data holds, by their ids.
func tenantNames(ctx context.Context, data store.Store) (map[string]string, error) {
	names := map[string]string{}
	page := store.Page{Limit: maxPage}
	for {
		tenants, next, err := data.ListTenants(ctx, page)
		if err != nil {
			return nil, err
		}
		for _, tenant := range tenants {
			names[tenant.ID.String()] = tenant.Name
		}
		if page.Cursor = next; next == "" {
			return names, nil
		}
	}
}

// keyBackup and keyRestore are what the verbs say to programs.
type (
	keyBackup struct {
		File       string `json:"file"`
		Masters    int    `json:"masters"`
		Tenants    int    `json:"tenants"`
		Tombstones int    `json:"tombstones"`
	}
	keyRestore struct {
		Masters   int              `json:"masters"`
		Added     int              `json:"added"`
		Replaced  int              `json:"replaced"`
		Kept      int              `json:"kept"`
		Destroyed int              `json:"destroyed"`
		Tenants   []restoredTenant `json:"tenants"`
	}
	restoredTenant struct {
		Tenant string `json:"tenant"` // its id
		Name   string `json:"name,omitempty"`
		Did    string `json:"did"`
	}
)

// restoreView names tenants, and has ids for those that the data does not hold.
func restoreView(report seal.RestoreReport, names map[string]string) view {
	data := keyRestore{report.Masters, report.Added, report.Replaced, report.Kept, report.Destroyed, []restoredTenant{}}
	v := view{}
	for _, tenant := range report.Tenants {
		data.Tenants = append(data.Tenants, restoredTenant{tenant.Tenant.String(), names[tenant.Tenant.String()], string(tenant.Did)})
		v.values = append(v.values, fmt.Sprintf("%s %s", tenant.Tenant, tenant.Did))
	}
	v.data = data
	v.people = func(p *printer) {
		t := newTable("TENANT", "KEY")
		for _, tenant := range data.Tenants {
			t.row(cmp.Or(tenant.Name, tenant.Tenant), tenant.Did)
		}
		t.print(p)
		p.printf("%d added, %d replaced by newer ones, %d left as they were, %d destroyed; %s of the master key added\n",
			data.Added, data.Replaced, data.Kept, data.Destroyed, counted(data.Masters, "version"))
	}
	return v
}
