package main

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/llm-devops/llm-config-manager/internal/settings"
)

// settingFlag marks flags that are settings, which say themselves what a second
// one means.
const settingFlag = "setting"

// settingsFlags gives a verb the settings of these names as flags, or all.
func settingsFlags(c *cobra.Command, names ...string) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	settings.AddFlags(all)
	all.VisitAll(func(flag *pflag.Flag) {
		if names == nil || slices.Contains(names, flag.Name) {
			flag.Annotations = map[string][]string{settingFlag: nil}
			c.Flags().AddFlag(flag)
		}
	})
}

// dataSettings are those of verbs that work on the data itself: where it is, and
// with which key it opens. A development server has its own.
var dataSettings = []string{settings.SettingsFile, "dev", "data", "master-key", "master-key-file", "previous-master-keys"}

func newServeCommand(a *app) *cobra.Command {
	c := a.command("serve", "Run the server",
		`Run the server: the API on --listen, and operators' routes on --admin-listen.

With --dev it needs nothing: an embedded database and a master key are made in
--data, the tenant "default" and a token are made, and the lines to export are
printed. Without --dev it needs a master key (`+"`llm-config key generate`"+`), and on its
first start leaves a server administrator's token in --data.

Every setting can be a flag, an environment variable (LLM_CONFIG_SERVER_…) or a
line of the --settings file, in this order. SIGHUP, or a change of that file,
reloads what can be changed while the server runs.`,
		`  llm-config serve --dev
  llm-config key generate -f master.key
  llm-config serve --master-key-file master.key --data /var/lib/llm-config --tls-cert tls.crt --tls-key tls.key --listen :8700
  llm-config serve --master-key awskms://alias/llm-config --previous-master-keys file:master.key --settings server.yaml`)
	settingsFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		load := func() (settings.Settings, error) {
			return settings.Load(settings.FlagsOf(c.Flags()), a.environ())
		}
		s, err := load()
		if err != nil {
			return err
		}
		p := &process{live: settings.NewLive(s), load: load, stdout: a.stdout, stderr: a.stderr}
		return p.run(c.Context())
	}
	return c
}
