package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// ListRequest selects effective documents.
type ListRequest struct {
	Environment string
	Prefix      config.Prefix
	Glob        config.Glob
	At          config.At
	Page        Page
}

// List is a page of the effective documents of an environment.
type List struct {
	Entries  []ListEntry
	Revision config.Revision
	Next     Cursor
}

// ListEntry is one effective document in a list.
type ListEntry struct {
	Path     config.Path
	Revision config.Revision // the newest among its layers
	Time     time.Time
	Author   string
	Layers   []Origin // from the environment up
}

// List answers which effective documents there are.
func (s *Service) List(ctx context.Context, who Caller, tenant string, in ListRequest) (List, error) {
	state, err := s.guardReadAny(ctx, who, tenant, access.Resource{Environment: in.Environment, Prefix: in.Prefix})
	if err != nil {
		return List{}, err
	}
	pages := s.pagesOf(who, state.tenant.ID, "configs")
	page, err := pages.open(ctx, in.Page)
	if err != nil {
		return List{}, err
	}
	n, err := s.past(ctx, state, in.Environment, config.Path{}, in.At)
	if err != nil {
		return List{}, err
	}
	env, err := n.tree.Named(in.Environment)
	if err != nil {
		return List{}, err
	}
	// A list of now takes each page as it then stands; only one of the past is fixed.
	at := config.Revision(0)
	if !in.At.IsNow() {
		at = n.at
	}
	list := List{Revision: n.at}
	scan := store.Scan{At: at, Environments: n.tree.Chain(env.ID), Prefix: in.Prefix, Glob: in.Glob, Page: page}
	for looked := 0; ; {
		rows, next, err := s.store.ScanLayers(ctx, state.tenant.ID, scan)
		if err != nil {
			return List{}, err
		}
		for _, group := range byPath(rows) {
			if ctx.Err() != nil { // what cannot be decided any more is not what may not be read
				return List{}, ctx.Err()
			}
			if looked++; s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: in.Environment, Path: group[0].Path}) {
				list.Entries = append(list.Entries, listEntry(n.tree, env.ID, group))
			}
		}
		// A page of what rights let through may be short, and is filled up only as
		// long as nothing was found, and not for ever.
		if next == "" || len(list.Entries) > 0 || looked >= maxLooked || ctx.Err() != nil {
			if list.Next, err = pages.seal(ctx, next); err != nil {
				return List{}, err
			}
			return list, ctx.Err()
		}
		scan.Page.Cursor = next
	}
}

func listEntry(tree *config.Tree, environment config.EnvironmentID, rows []store.Layer) ListEntry {
	entry := ListEntry{Path: rows[0].Path}
	for _, env := range tree.Chain(environment) {
		for _, row := range rows {
			if row.Environment != env || row.State == store.Deleted {
				continue
			}
			entry.Layers = append(entry.Layers, originOf(tree, row))
			if row.Revision > entry.Revision {
				entry.Revision, entry.Time, entry.Author = row.Revision, row.Time, row.Author
			}
		}
	}
	return entry
}

// byPath cuts rows, which are sorted by path, into one group for each.
func byPath(rows []store.Layer) [][]store.Layer {
	var groups [][]store.Layer
	for start, i := 0, 1; i <= len(rows); i++ {
		if i == len(rows) || rows[i].Path != rows[start].Path {
			groups = append(groups, rows[start:i])
			start = i
		}
	}
	return groups
}

// scanAll reads every path that the environments say something at, for verbs
// that are of a whole environment. visit gets the layers of one path at a time.
func (n *snapshot) scanAll(ctx context.Context, environments []config.EnvironmentID, prefix config.Prefix, limit int, visit func(path config.Path) error) error {
	scan := store.Scan{At: n.at, Environments: environments, Prefix: prefix, Page: store.Page{Limit: MaxPage}}
	for seen := 0; ; {
		rows, next, err := n.s.store.ScanLayers(ctx, n.tenant, scan)
		if err != nil {
			return err
		}
		for _, group := range byPath(rows) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if seen++; seen > limit {
				return config.Errorf(config.KindTooLarge, "there are too many documents for one request").
					Hint("ask for a prefix or for single paths").Over(int64(limit), int64(seen))
			}
			if err := visit(group[0].Path); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		scan.Page.Cursor = next
	}
}
