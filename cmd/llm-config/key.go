package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newKeyCommand(a *app) *cobra.Command {
	return a.group("key", "Keys of a tenant, and the server's master key",
		`Three levels of keys: the master key wraps the tenants' keys, a tenant's key wraps
its data keys, and those seal documents and secrets. A rotation makes a new version,
wraps anew what the old one wrapped, and rewrites no document and no secret.

Whoever has the master key and the data can read them; without it nobody can.
generate, backup and restore work on files, where the server runs.`,
		`  llm-config key status
  llm-config key rotate -m "every half year"
  llm-config key generate -f /etc/llm-config/master.key
  llm-config key backup -f keys.backup --data /var/lib/llm-config --master-key-file /etc/llm-config/master.key`,
		newKeyStatusCommand(a), newKeyRotateCommand(a), newKeyRetireCommand(a), newKeyGenerateCommand(a), newKeyBackupCommand(a), newKeyRestoreCommand(a))
}

// keyScope is a tenant or, with --master, the server itself.
type keyScope struct {
	*scope
	master bool
}

func (a *app) keyScope(c *cobra.Command) *keyScope {
	s := &keyScope{scope: a.tenantFlags(c)}
	c.Flags().BoolVar(&s.master, "master", false, "the server's master key instead of a tenant's")
	return s
}

func (s *keyScope) client(c *cobra.Command) (*client.Client, error) {
	if err := exclusive(c, "master", "tenant"); err != nil {
		return nil, err
	}
	if s.master {
		return s.connect()
	}
	return s.scope.client(c)
}

func newKeyStatusCommand(a *app) *cobra.Command {
	c := a.command("status", "Show the versions of a key, and what is due",
		`Show the versions of a tenant's key or, with --master, of the master key: how old
each is, how many keys it wraps, and when the next rotation is due.`,
		`  llm-config key status
  llm-config key status --master`)
	s, out := a.keyScope(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		if s.master {
			keys, err := from.MasterKeys(c.Context())
			if err != nil {
				return err
			}
			return out.show(masterView(keys, time.Now()))
		}
		keys, err := from.TenantKeys(c.Context())
		if err != nil {
			return err
		}
		v := view{data: keys, people: func(p *printer) {
			printTenantKeys(p, keys, time.Now(), "llm-config key rotate")
			printIdle(p, keys)
		}}
		for _, version := range keys.Versions {
			v.values = append(v.values, number(int64(version.Version)))
		}
		return out.show(v)
	}
	return c
}

func printTenantKeys(p *printer, keys *api.TenantKeys, now time.Time, rotate string) {
	t := newTable("VERSION", "CREATED", "AGE", "DATA KEYS", "USE")
	for _, v := range keys.Versions {
		t.row(number(int64(v.Version)), when(v.Created), ageText(now.Sub(v.Created)), number(v.Keys), useText(v.Newest))
	}
	t.print(p)
	p.printf("wrapped by master key version %d\n", keys.Master)
	printDue(p, keys.Due, keys.Overdue, rotate)
	printPending(p, keys.Pending, "data key")
}

// printIdle names the versions of a tenant's key that could be taken away. Of the
// server's own none can.
func printIdle(p *printer, keys *api.TenantKeys) {
	for _, v := range keys.Versions {
		if !v.Newest && v.Keys == 0 {
			p.printf("version %d wraps nothing; once no backup of data needs it, `llm-config key retire --version %d` takes it away\n", v.Version, v.Version)
		}
	}
}

func masterView(keys *api.MasterKeys, now time.Time) view {
	v := view{data: keys}
	for _, version := range keys.Versions {
		v.values = append(v.values, number(int64(version.Version)))
	}
	v.people = func(p *printer) {
		t := newTable("VERSION", "KEEPER", "CREATED", "AGE", "TENANT KEYS", "USE")
		for _, v := range keys.Versions {
			use := useText(v.Newest)
			if v.Retired != nil {
				use = "retired " + when(*v.Retired)
			}
			t.row(number(int64(v.Version)), v.Keeper, when(v.Created), ageText(now.Sub(v.Created)), number(v.Tenants), use)
		}
		t.print(p)
		printDue(p, keys.Due, keys.Overdue, "llm-config key rotate --master")
		printPending(p, keys.Pending, "tenant key")
		p.printf("\n%s\n", p.paint(styleBold, "the server's own key, which seals its log"))
		printTenantKeys(p, &keys.Server, now, "llm-config key rotate --master")
	}
	return v
}

func useText(newest bool) string {
	if newest {
		return "wraps and reads"
	}
	return "reads"
}

// ageText is how old something is, in whole days.
func ageText(age time.Duration) string {
	return counted(max(int(age/(24*time.Hour)), 0), "day")
}

func printDue(p *printer, due time.Time, overdue bool, command string) {
	if overdue {
		p.printf("%s\n", p.paint(styleYellow, "a rotation was due "+when(due)+": `"+command+"`"))
		return
	}
	p.printf("the next rotation is due %s\n", when(due))
}

func printPending(p *printer, pending int64, what string) {
	if pending > 0 {
		p.printf("%s still to be wrapped anew; the server goes on with that by itself\n", counted(int(pending), what))
	}
}

func newKeyRotateCommand(a *app) *cobra.Command {
	c := a.command("rotate", "Give a key a new version",
		`Make a new version of a tenant's key and wrap the data keys anew with it; or with
--master take up the new master key that is with its keeper (`+"`key generate --add`"+`
puts one into a key file) and wrap the tenants' keys anew.

Readers and writers notice nothing. The server goes on by itself, also after it was
stopped; the command waits for the end and shows how far it is, unless --no-wait.`,
		`  llm-config key rotate -m "every half year"
  llm-config key generate -f /etc/llm-config/master.key --add
  llm-config key rotate --master`)
	s, out := a.keyScope(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	noWait := c.Flags().Bool("no-wait", false, "do not wait until all is wrapped anew")
	c.RunE = func(c *cobra.Command, _ []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		rotate := to.RotateTenantKey
		if s.master {
			rotate = to.RotateMasterKey
		}
		result, err := rotate(c.Context(), api.KeyRotate{Message: *message})
		if err != nil {
			return err
		}
		if !*noWait && result.Pending > 0 {
			if result.Pending, err = s.wait(c.Context(), to, result.Pending); err != nil {
				return failf("version %d of the key is made, and the wait for the rest ended: %v", result.Version, asFailure(err)).
					hint("the server goes on by itself, and its log says what keeps it; `llm-config key status` shows how far it is")
			}
		}
		return out.show(view{data: result, values: []string{number(result.Revision)}, people: func(p *printer) {
			p.printf("the key is version %d\n", result.Version)
			printPending(p, result.Pending, "key")
		}})
	}
	return c
}

// pollEvery is how often a rotation is asked how far it is, and maxIdlePolls how
// often in a row it may be where it was.
const (
	pollEvery    = 500 * time.Millisecond
	maxIdlePolls = 240
)

// wait asks until nothing is to be wrapped anew.
func (s *keyScope) wait(ctx context.Context, from *client.Client, pending int64) (int64, error) {
	shown := s.app.progress("wrapping keys anew", int(pending))
	defer shown.end()
	for idle := 0; pending > 0; idle++ {
		if idle == maxIdlePolls {
			return pending, failf("nothing was wrapped anew for %s", maxIdlePolls*pollEvery)
		}
		if err := s.app.pause(ctx, pollEvery); err != nil {
			return pending, err
		}
		left, err := s.pending(ctx, from)
		if err != nil {
			return pending, err
		}
		if left != pending {
			idle = 0
		}
		pending = left
		shown.left(int(pending))
	}
	return pending, nil
}

func (s *keyScope) pending(ctx context.Context, from *client.Client) (int64, error) {
	if s.master {
		keys, err := from.MasterKeys(ctx)
		if err != nil {
			return 0, err
		}
		return keys.Pending, nil
	}
	keys, err := from.TenantKeys(ctx)
	if err != nil {
		return 0, err
	}
	return keys.Pending, nil
}

func newKeyRetireCommand(a *app) *cobra.Command {
	c := a.command("retire", "Take an old version of a tenant's key away",
		`Take an old version of a tenant's key away for good, once it wraps nothing. A backup
of data that was made while it did can then not be read any more; `+"`key status`"+` shows
what each version wraps. It asks first at a terminal, and needs --yes anywhere else.`,
		`  llm-config key retire --version 1 --yes -m "no backup is that old"`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message, yes := a.messageFlag(c), yesFlag(c)
	var version uint32
	c.Flags().Uint32Var(&version, "version", 0, "the version `N` to take away (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if version == 0 {
			return failf("no version is given").hint("name it with --version; `llm-config key status` lists them")
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		what := "version " + number(int64(version)) + " of the key of " + s.tenant
		if err := a.mustConfirm(*yes, "Take "+what+" away for ever?"); err != nil {
			return err
		}
		result, err := to.RetireTenantKey(c.Context(), api.KeyRetire{Version: version, Message: *message})
		if err != nil {
			return err
		}
		return out.showCommitted(result, result.Committed, "%s is taken away", what)
	}
	return c
}
