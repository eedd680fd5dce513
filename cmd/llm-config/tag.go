package main

import (
	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newTagCommand(a *app) *cobra.Command {
	c := a.command("tag NAME [REVISION]", "Name a revision",
		`Give a revision a name, by which get, diff, rollback and promote then find it:
REVISION, or without one the newest. A tag that is there already moves.`,
		`  llm-config tag release-12
  llm-config tag before-migration 1042
  llm-config tag ls`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		in := api.TagInput{Message: *message}
		if len(args) > 1 {
			var err error
			if in.Revision, err = parseRevision(args[1]); err != nil {
				return err
			}
		}
		to, err := s.client(c)
		if err != nil {
			return err
		}
		result, err := to.PutTag(c.Context(), args[0], in)
		if err != nil {
			return err
		}
		return out.showCommitted(result, result.Committed, "tag %s names revision %d", result.Tag.Name, result.Tag.Revision)
	}
	c.AddCommand(newTagListCommand(a), newTagDeleteCommand(a))
	return c
}

func newTagListCommand(a *app) *cobra.Command {
	c := a.command("ls", "List tags", "List the tags of a tenant by name.", `  llm-config tag ls -o json`)
	s, out := a.tenantFlags(c), a.outputFlag(c, listFormats...)
	c.RunE = func(c *cobra.Command, _ []string) error {
		from, err := s.client(c)
		if err != nil {
			return err
		}
		list := api.TagList{Tags: []api.Tag{}}
		v := view{}
		for tag, err := range from.AllTags(c.Context(), client.Page{Limit: maxPage}) {
			if err != nil {
				return err
			}
			list.Tags = append(list.Tags, tag)
			v.values = append(v.values, tag.Name)
		}
		v.data = list
		v.people = func(p *printer) {
			t := newTable("NAME", "REVISION", "TIME", "AUTHOR")
			for _, tag := range list.Tags {
				t.row(tag.Name, number(tag.Revision), when(tag.Time), tag.Author)
			}
			t.print(p)
		}
		return out.show(v)
	}
	return c
}

func newTagDeleteCommand(a *app) *cobra.Command {
	c := a.command("delete NAME", "Delete a tag", "Delete the name; the revision it named stays.", `  llm-config tag delete before-migration`)
	c.Aliases = []string{"rm"}
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		to, err := s.client(c)
		if err != nil {
			return err
		}
		deleted, err := to.DeleteTag(c.Context(), args[0], *message)
		if err != nil {
			return err
		}
		return out.showCommitted(deleted, deleted.Committed, "tag %s is deleted", deleted.Name)
	}
	return c
}
