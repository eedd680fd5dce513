package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Formats of -o.
const (
	asJSON  = "json"
	asYAML  = "yaml"
	asTOML  = "toml"
	asEnv   = "env"
	asTable = "table"
	asValue = "value"
)

// output is the -o flag of a verb: of all formats those that make sense there,
// its default first.
type output struct {
	app     *app
	format  string
	formats []string
}

// outputFlag gives a verb its -o flag.
func (a *app) outputFlag(c *cobra.Command, formats ...string) *output {
	o := &output{app: a, format: formats[0], formats: formats}
	c.Flags().VarP(o, "output", "o", "how to print: "+strings.Join(formats, ", "))
	complete(c, "output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return o
}

// String, Set and Type make output a flag.
func (o *output) String() string { return o.format }
func (o *output) Type() string   { return "FORMAT" }

func (o *output) Set(text string) error {
	if !slices.Contains(o.formats, text) {
		return failf("%q is not among %s", text, strings.Join(o.formats, ", "))
	}
	o.format = text
	return nil
}

// view is what a verb has to show: data for programs, the rest for people.
type view struct {
	data   any            // a type of package api
	people func(*printer) // -o table
	values []string       // -o value: what is essential, one to a line
}

// show prints a view in the format that was asked for.
func (o *output) show(v view) error {
	switch o.format {
	case asTable:
		v.people(o.app.printer())
		return nil
	case asValue:
		p := o.app.printer()
		for _, line := range v.values {
			p.printf("%s\n", line)
		}
		return nil
	}
	text, err := encodeData(o.format, v.data)
	if err != nil {
		return err
	}
	_, err = o.app.stdout.Write(text)
	return err
}

// encodeData writes one of api's types as JSON, YAML or TOML, under the names
// that it has on the wire.
func encodeData(format string, data any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(data); err != nil || format == asJSON {
		return b.Bytes(), err
	}
	value, err := canon.Decode(b.Bytes(), canon.Limits{Bytes: b.Len(), Nodes: b.Len()})
	if err != nil {
		return nil, err
	}
	return config.EncodeValue(value, config.Format(format))
}
