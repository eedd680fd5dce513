package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newListCommand(a *app) *cobra.Command {
	c := a.command("ls [PREFIX]", "List effective documents",
		`List the effective documents of an environment, with the layers each is made of.
PREFIX selects a path and all below it. In --glob a * stands for anything within
a segment, and ** for any number of segments. -o value prints the paths alone.`,
		`  llm-config ls -e production
  llm-config ls -e production gateway
  llm-config ls -e production --glob 'gateway/**/limits-*' -o value`)
	s, out := a.environmentFlags(c), a.outputFlag(c, listFormats...)
	var list client.List
	c.Flags().StringVar(&list.Glob, "glob", "", "only paths that match `GLOB`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			list.Prefix = args[0]
		}
		from, err := s.client(c)
		if err != nil {
			return err
		}
		all := api.ConfigList{Configs: []api.ConfigEntry{}}
		list.Limit = maxPage
		for more := true; more; more = list.Cursor != "" {
			page, err := from.Configs(c.Context(), s.environment, list)
			if err != nil {
				return err
			}
			all.Configs, all.Revision, list.Cursor = append(all.Configs, page.Configs...), page.Revision, page.Next
		}
		if len(all.Configs) == 0 && list.Prefix != "" {
			return failf("there is nothing at %s or below it in %s", list.Prefix, s.environment).hint("`llm-config ls` lists what there is")
		}
		return out.show(listView(all))
	}
	return c
}

// maxPage is the most that a page may hold.
const maxPage = 1000

func listView(list api.ConfigList) view {
	v := view{data: list}
	for _, entry := range list.Configs {
		v.values = append(v.values, entry.Path)
	}
	v.people = func(p *printer) {
		t := newTable("PATH", "REVISION", "TIME", "AUTHOR", "LAYERS")
		for _, e := range list.Configs {
			t.row(e.Path, number(e.Revision), when(e.Time), e.Author, layersText(e.Layers))
		}
		t.print(p)
	}
	return v
}
