package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/seal"
)

func newKeyCommand(a *app) *cobra.Command {
	return a.group("key", "The server's master key",
		`The master key wraps the keys of all tenants. Whoever has it and the data can read
them; without it nobody can.`,
		`  llm-config key generate -f /etc/llm-config/master.key`,
		newKeyGenerateCommand(a))
}

func newKeyGenerateCommand(a *app) *cobra.Command {
	c := a.command("generate", "Make a master key in a new file",
		`Make a master key in a new file that only its owner can read. A file that is there
is never replaced. Keep a copy apart from the data.`,
		`  llm-config key generate -f /etc/llm-config/master.key`)
	var file string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` to make (required)")
	c.RunE = func(*cobra.Command, []string) error {
		if file == "" {
			return failf("no file is given").hint("name the one to make with -f FILE")
		}
		if err := seal.CreateFileKey(file); err != nil {
			return err
		}
		a.printer().printf("a new master key is in %s\n", file)
		return nil
	}
	return c
}
