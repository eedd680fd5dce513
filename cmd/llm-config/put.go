package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newPutCommand(a *app) *cobra.Command {
	c := a.command("put PATH", "Make a file the whole layer",
		`Make a file what the environment itself says at PATH, in place of all it said
before. The format is told by the file's ending, or by --format, which standard
input (-f -) needs. Comments and the order of keys are not kept.`,
		`  llm-config put -e base gateway/models -f models.yaml -m "four more models"
  generate | llm-config put -e staging gateway/limits -f - --format json
  llm-config put -e production gateway/limits -f limits.toml --dry-run`)
	w := a.writer(c)
	var file, format string
	c.Flags().StringVarP(&file, "file", "f", "", "`FILE` to read, - for standard input (required)")
	c.Flags().StringVar(&format, "format", "", "what the file is written in: json, yaml, toml")
	c.RunE = func(c *cobra.Command, args []string) error {
		document, err := a.readDocument(file, format)
		if err != nil {
			return err
		}
		to, err := w.client(c)
		if err != nil {
			return err
		}
		return w.write(c.Context(), to, args[0], document, w.version(c))
	}
	return c
}

// readDocument reads a document from a file, or from standard input.
func (a *app) readDocument(name, format string) (config.Document, error) {
	if name == "" {
		return config.Document{}, failf("no file is given").hint("name one with -f FILE, or -f - for standard input")
	}
	kind, err := documentFormat(name, format)
	if err != nil {
		return config.Document{}, err
	}
	from := a.stdin
	if name == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(name)
		if err != nil {
			return config.Document{}, err
		}
		defer file.Close()
		from = file
	}
	text, err := readBounded(from)
	if err != nil {
		return config.Document{}, inArgument(name, err)
	}
	document, err := config.Decode(kind, text, localLimits)
	if err != nil {
		return document, inArgument(name, err)
	}
	return document, nil
}

func documentFormat(name, format string) (config.Format, error) {
	if format != "" {
		return config.ParseFormat(format)
	}
	if kind := formatOfFile(name); name != "-" && kind != "" {
		return kind, nil
	}
	if name == "-" {
		name = "standard input"
	}
	return "", failf("%s does not tell its format", name).hint("give --format json, yaml or toml")
}

func newDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete PATH", "Delete a layer",
		`Delete what the environment itself says at PATH. What it inherits there shows
again, and every version stays in the history: rollback brings the layer back.`,
		`  llm-config delete -e staging gateway/limits -m "same as base again"`)
	c.Aliases = []string{"rm"}
	w := a.writer(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := w.client(c)
		if err != nil {
			return err
		}
		return w.write(c.Context(), to, args[0], config.Document{}, w.version(c))
	}
	return c
}
