package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/settings"
)

// newRecoverCommand is for a tenant whose last token expired or was lost.
func newRecoverCommand(a *app) *cobra.Command {
	c := a.command("recover TENANT", "Issue an administrator's token of a tenant that has none left",
		`Issue an administrator's token of a tenant whose tokens have expired or were
lost. It works on the data itself, so it runs where the server runs, while the
server is stopped, and needs the master key. Over the API nobody can do this: a
server administrator manages tenants, and cannot let himself in.

Where the tenant's policies forbid even that, --drop-policies deletes them before;
their versions stay, and "llm-config policy rollback" brings one back.

The token is printed once. What was done is on the tenant's record.`,
		`  llm-config token recover acme --data /var/lib/llm-config --master-key-file /etc/llm-config/master.key
  llm-config token recover acme --drop-policies --data /var/lib/llm-config --master-key-file /etc/llm-config/master.key`)
	drop := c.Flags().Bool("drop-policies", false, "delete the tenant's policies before")
	settingsFlags(c, dataSettings...)
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := settings.Load(settings.FlagsOf(c.Flags()), a.environ())
		if err != nil {
			return err
		}
		p := &process{live: settings.NewLive(s), stdout: a.stdout, stderr: a.stderr}
		return p.recoverTenant(c.Context(), args[0], *drop)
	}
	return c
}

// recoverTenant opens the data, issues the token and closes the data again.
func (p *process) recoverTenant(ctx context.Context, tenant string, drop bool) (err error) {
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.open(ctx); err != nil {
		return err
	}
	token, err := p.service.RecoverTenant(ctx, tenant, drop)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write([]byte(token.Reveal() + "\n"))
	return err
}
