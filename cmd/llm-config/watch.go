package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/client"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

func newWatchCommand(a *app) *cobra.Command {
	c := a.command("watch [PREFIX]", "Print changes as they happen",
		`Print each effective document that changes in the environment, as it changes, until
Ctrl-C. A lost connection is made again, and nothing between is missed.

-o json prints one object a line: {"event":"change","data":…} with a WatchEvent, or
{"event":"reset","data":…} when everything is to be read anew.`,
		`  llm-config watch -e production
  llm-config watch -e production gateway --data
  llm-config watch -e production -o json | jq .data.changes`)
	s, out := a.environmentFlags(c), a.outputFlag(c, asTable, asJSON, asValue)
	var query client.WatchQuery
	c.Flags().BoolVar(&query.Data, "data", false, "print the documents as well")
	c.RunE = func(c *cobra.Command, args []string) error {
		if query.Data && out.format == asValue {
			return failf("-o value prints paths alone, and --data asks for documents").hint("leave one out")
		}
		if len(args) > 0 {
			query.Prefix = args[0]
		}
		from, err := s.client(c)
		if err != nil {
			return err
		}
		return out.follow(c.Context(), from, s.environment, query)
	}
	return c
}

func (o *output) follow(ctx context.Context, from *client.Client, environment string, query client.WatchQuery) error {
	// Asking first tells a wrong name or address at once, and where to begin.
	page, err := from.Configs(ctx, environment, client.List{Prefix: query.Prefix, Page: client.Page{Limit: 1}})
	if err != nil {
		return err
	}
	query.After = page.Revision
	if o.format == asTable {
		o.app.note("watching %s from revision %d on; Ctrl-C ends it", strings.TrimSuffix(environment+":"+query.Prefix, ":"), page.Revision)
	}
	if err := o.events(from.Watch(ctx, environment, query)); err != nil {
		return err
	}
	return ctx.Err()
}

// events prints what happens, and once for each outage that there is one.
func (o *output) events(all iter.Seq2[client.Event, error]) error {
	told := false // that the connection is lost
	for event, err := range all {
		switch {
		case err == nil:
			told = false
			err = o.event(event)
		case !final(err):
			if !told {
				o.app.note("%v; trying again", err)
			}
			told = true
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// final says that trying again will not help: the server understood and said no.
func final(err error) bool {
	var problem *api.Problem
	return errors.As(err, &problem) && problem.Status >= 400 && problem.Status < 500 && problem.Code != api.CodeRateLimited
}

func (o *output) event(event client.Event) error {
	switch {
	case event.Change == nil && event.Reset == nil:
		return nil
	case o.format == asJSON && event.Change != nil:
		return o.line(event.Kind, event.Change)
	case o.format == asJSON:
		return o.line(event.Kind, event.Reset)
	case event.Change == nil:
		o.app.note("read everything anew from revision %d on: %s", event.Revision, event.Reset.Reason)
		return nil
	}
	for _, change := range event.Change.Changes {
		if o.format == asValue {
			o.app.printer().printf("%s\n", change.Path)
			continue
		}
		if err := printWatchChange(o.app.printer(), event.Change, change); err != nil {
			return err
		}
	}
	return nil
}

func (o *output) line(kind string, data any) error {
	text, err := json.Marshal(map[string]any{"event": kind, "data": data})
	if err != nil {
		return err
	}
	_, err = o.app.stdout.Write(append(text, '\n'))
	return err
}

func printWatchChange(p *printer, event *api.WatchEvent, change api.WatchChange) error {
	cause := cmp.Or(strings.TrimSpace(goneText(change.Digest)), "(changed)")
	if change.Cause != nil {
		cause = "by " + layersText([]api.LayerRef{*change.Cause})
		if change.Digest == "" {
			cause = "(gone) " + cause
		}
	}
	p.printf("%s  revision %d  %s  %s\n", when(event.Time), event.Revision, p.paint(styleBold, change.Path), cause)
	if change.Document == nil {
		return nil
	}
	value, err := canon.Decode(change.Document, canon.Limits{Bytes: len(change.Document), Nodes: len(change.Document)})
	if err != nil {
		return err
	}
	text, err := config.EncodeValue(value, config.YAML)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		p.printf("  %s\n", clean(strings.TrimRight(line, "\n")))
	}
	return nil
}
