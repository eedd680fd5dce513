package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newExportCommand(a *app) *cobra.Command {
	c := a.command("export DIR", "Write a tenant's layers into a folder",
		`Write what the environments themselves say into files, as apply reads them:
DIR/<environment>/<path>.yaml. A file that is there keeps its format, and is left
alone when it says the same, comments and all.

Files of documents that are no more are named and left; --prune removes them.
Paths whose files would be one on a disk that ignores letter case are refused.
Secrets are never written.`,
		`  llm-config export platform --all
  llm-config export platform -e production --format json
  llm-config export platform --all --prefix gateway --prune`)
	s := a.tenantFlags(c)
	x := &exporting{app: a}
	c.Flags().StringVarP(&x.environment, "env", "e", "", "`NAME` of the environment (default $"+envEnvironment+")")
	c.Flags().BoolVar(&x.all, "all", false, "every environment")
	c.Flags().StringVar(&x.formatText, "format", "", "what to write files in: json, yaml, toml (default as they are, new ones yaml)")
	c.Flags().StringVar(&x.prefixText, "prefix", "", "only the path `PREFIX` and those below it")
	c.Flags().BoolVar(&x.prune, "prune", false, "remove files of documents that are no more")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := exclusive(c, "env", "all"); err != nil {
			return err
		}
		if !c.Flags().Changed("env") && !x.all {
			x.environment = a.getenv(envEnvironment)
		}
		if x.environment == "" && !x.all {
			return failf("no environment is given").hint("name one with --env, -e or %s, or export them with --all", envEnvironment)
		}
		var err error
		if x.client, err = s.client(c); err != nil {
			return err
		}
		return x.run(c.Context(), args[0])
	}
	return c
}

// exporting is one `export` on its way.
type exporting struct {
	app         *app
	client      *client.Client
	environment string
	all         bool
	formatText  string
	format      config.Format // "" leaves files the format they have
	prefixText  string
	prefix      config.Prefix
	prune       bool

	folder    *folder
	files     map[layerKey][]string // names of the files that are there
	written   int
	unchanged int
}

func (x *exporting) run(ctx context.Context, dir string) (err error) {
	if x.formatText != "" {
		if x.format, err = config.ParseFormat(x.formatText); err != nil {
			return err
		}
	}
	if x.prefix, err = config.ParsePrefix(x.prefixText); err != nil {
		return err
	}
	environments, err := x.environments(ctx)
	if err != nil {
		return err
	}
	now, err := listHeads(ctx, x.client, environments, x.prefix.String())
	if err != nil {
		return err
	}
	if len(now.versions) == 0 && x.prefixText != "" && !x.prune {
		return failf("there is nothing at %s or below it in %s", x.prefixText, strings.Join(environments, ", ")).hint("`llm-config ls` lists what there is")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // documents are for colleagues to read; secrets are not among them
		return err
	}
	if x.folder, err = openFolder(dir); err != nil {
		return err
	}
	defer x.folder.close()
	if err := x.look(environments); err != nil {
		return err
	}
	return x.export(ctx, now)
}

func (x *exporting) environments(ctx context.Context) ([]string, error) {
	if !x.all {
		return []string{x.environment}, nil
	}
	list, err := x.client.Environments(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list.Environments))
	for i, e := range list.Environments {
		names[i] = e.Name
	}
	return names, nil
}

// look finds the files that are there.
func (x *exporting) look(environments []string) error {
	x.files = map[layerKey][]string{}
	for _, environment := range environments {
		if _, err := x.folder.root.Stat(environment); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		names, _, wrong := x.folder.files(environment)
		if wrong != nil {
			refusal := failf("cannot export into %s", x.folder.name).hint("mend what is listed")
			refusal.details = wrong
			return refusal
		}
		for _, name := range names {
			key := layerKey{environment, strings.TrimPrefix(strings.TrimSuffix(name, path.Ext(name)), environment+"/")}
			if at, err := config.ParsePath(key.path); err == nil && x.prefix.Contains(at) {
				x.files[key] = append(x.files[key], name)
			}
		}
	}
	return nil
}

func (x *exporting) export(ctx context.Context, now heads) error {
	keys := now.keys()
	if err := sameName(keys, x.target); err != nil {
		return err
	}
	stale, err := x.stale(now)
	if err != nil {
		return err
	}
	files, err := x.encode(ctx, keys, now)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := x.put(file); err != nil {
			return err
		}
	}
	if err := x.clear(stale); err != nil {
		return err
	}
	p := x.app.printer()
	p.printf("revision %d: %d written, %d unchanged", now.revision, x.written, x.unchanged)
	if x.prune {
		p.printf(", %d removed", len(stale))
	}
	p.printf("\n")
	return nil
}

// target is the file that a layer is written to.
func (x *exporting) target(key layerKey) string {
	there := x.files[key]
	format := x.format
	for _, name := range there {
		if format == "" || formatOfFile(name) == format {
			return name
		}
	}
	if format == "" {
		format = config.YAML
	}
	return fileName(key, format)
}

// stale are the files that an apply would take for documents that are no more,
// or take for one that another file is too.
func (x *exporting) stale(now heads) ([]string, error) {
	var stale, twice []string
	for key, names := range x.files {
		_, live := now.versions[key]
		for _, name := range names {
			switch {
			case !live:
				stale = append(stale, name)
			case name != x.target(key):
				stale = append(stale, name)
				twice = append(twice, name+" and "+x.target(key)+": both would be "+key.String())
			}
		}
	}
	slices.Sort(stale)
	slices.Sort(twice)
	if twice != nil && !x.prune {
		refusal := failf("some documents would have two files").hint("--prune removes the first of each")
		refusal.details = twice
		return nil, refusal
	}
	return stale, nil
}

// exportFile is a file as it will be.
type exportFile struct {
	name string
	text []byte // nil when the file says the same already
}

// encode makes the files of all layers before any is written, so that one that
// its format cannot hold leaves the folder as it is.
func (x *exporting) encode(ctx context.Context, keys []layerKey, now heads) ([]exportFile, error) {
	files, wrong := make([]exportFile, len(keys)), make([]string, len(keys))
	err := x.app.each(ctx, "exporting", len(keys), func(ctx context.Context, i int) error {
		document, err := readVersion(ctx, x.client, keys[i], now.versions[keys[i]])
		if err != nil {
			return err
		}
		files[i].name = x.target(keys[i])
		if x.says(files[i].name, document) {
			return nil
		}
		if files[i].text, err = config.Encode(document, formatOfFile(files[i].name)); err != nil {
			f := asFailure(err)
			wrong[i] = violationLine(keys[i].environment, keys[i].path, f.where, f.what)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if wrong = keep(wrong, func(line string) bool { return line != "" }); len(wrong) > 0 {
		refusal := failf("some documents cannot be written in their files' format, so no file was").
			hint("export with --format yaml or json, or leave --format out")
		refusal.details = wrong
		return nil, refusal
	}
	return files, nil
}

func (x *exporting) put(file exportFile) error {
	if file.text == nil {
		x.unchanged++
		return nil
	}
	x.written++
	return x.folder.write(file.name, file.text)
}

// says reports that a file holds the document already, in whatever words.
func (x *exporting) says(name string, document config.Document) bool {
	text, err := x.folder.readFile(name)
	if err != nil {
		return false
	}
	there, err := config.Decode(formatOfFile(name), text, localLimits)
	return err == nil && bytes.Equal(there.Canonical(), document.Canonical())
}

func (x *exporting) clear(stale []string) error {
	for _, name := range stale {
		if !x.prune {
			x.app.note("%s is of no document; --prune removes it", name)
			continue
		}
		if err := x.folder.root.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
