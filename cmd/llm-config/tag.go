package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
)

func newTagCommand(a *app) *cobra.Command {
	c := a.command("tag NAME [REVISION]", "Name a revision",
		`Give a revision a name, by which get, diff, rollback and promote then find it:
REVISION, or without one the newest. A tag that is there already moves. Names like
those of the commands below it are refused.`,
		`  llm-config tag release-12
  llm-config tag before-migration 1042
  llm-config tag ls`)
	s, out := a.tenantFlags(c), a.outputFlag(c, changeFormats...)
	message := a.messageFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := notACommand(c, args[0]); err != nil {
			return err
		}
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
		before, err := to.Tag(c.Context(), args[0])
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			return err
		}
		result, err := to.PutTag(c.Context(), args[0], in)
		if err != nil {
			return err
		}
		if before != nil && before.Revision != result.Tag.Revision {
			return out.showCommitted(result, result.Committed, "tag %s moved from revision %d to %d", result.Tag.Name, before.Revision, result.Tag.Revision)
		}
		return out.showCommitted(result, result.Committed, "tag %s names revision %d", result.Tag.Name, result.Tag.Revision)
	}
	c.SuggestionsMinimumDistance = 1
	c.AddCommand(newTagListCommand(a), newTagDeleteCommand(a))
	return c
}

// notACommand keeps a mistyped command below tag from becoming a tag.
func notACommand(c *cobra.Command, name string) error {
	meant, wrong := map[string]string{
		"list": "tag ls", "show": "tag ls", "get": "tag ls", "remove": "tag delete", "unset": "tag delete",
		"set": "tag NAME", "add": "tag NAME", "create": "tag NAME", "new": "tag NAME", "move": "tag NAME", "help": "tag --help",
	}[strings.ToLower(name)]
	if !wrong {
		near := c.SuggestionsFor(name)
		if len(near) == 0 || len(name) < 3 { // two letters are near to anything
			return nil
		}
		meant = "tag " + near[0]
	}
	return failf("%q is too much like a command to be a tag", name).hint("did you mean `llm-config %s`?", meant)
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
	c.ValidArgsFunction = onlyFirst(s.completeTags)
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
