package service

import (
	"context"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// LogEntry is one revision of a tenant.
type LogEntry struct {
	Revision config.Revision
	Time     time.Time
	Kind     store.EntryKind
	Author   string
	Message  string
	Summary  string
	Edits    []EditResult
	Effects  []LogEffect
}

// LogEffect is an effective document that a revision changed.
type LogEffect struct {
	watch.Change
	Environment      string
	CauseEnvironment string
}

// Log answers a page of revisions, newest first.
func (s *Service) Log(ctx context.Context, who Caller, tenant string, kinds []store.EntryKind, page store.Page) ([]LogEntry, store.Cursor, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{})
	if err != nil {
		return nil, "", err
	}
	if page, err = checkPage(page); err != nil {
		return nil, "", err
	}
	rows, next, err := s.store.Log(ctx, state.tenant.ID, kinds, page)
	if err != nil {
		return nil, "", err
	}
	entries := make([]LogEntry, 0, len(rows))
	for _, row := range rows {
		entry, err := s.logEntry(ctx, state, row)
		if err != nil {
			return nil, "", err
		}
		entry.Effects = nil
		entries = append(entries, entry)
	}
	return entries, next, nil
}

// LogEntry answers one revision with the effective documents that it changed.
func (s *Service) LogEntry(ctx context.Context, who Caller, tenant string, revision config.Revision) (LogEntry, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{})
	if err != nil {
		return LogEntry{}, err
	}
	rows, err := s.store.EntriesOf(ctx, state.tenant.ID, []config.Revision{revision})
	if err != nil {
		return LogEntry{}, err
	}
	if len(rows) == 0 {
		return LogEntry{}, noRevision(revision)
	}
	return s.logEntry(ctx, state, rows[0])
}

func (s *Service) logEntry(ctx context.Context, state *tenantState, row store.Entry) (LogEntry, error) {
	body, err := s.openEntry(ctx, state.tenant.ID, row)
	if err != nil {
		return LogEntry{}, err
	}
	tree, err := s.treeAtRevision(ctx, state, row.Revision)
	if err != nil {
		return LogEntry{}, err
	}
	entry := LogEntry{
		Revision: row.Revision, Time: row.Time, Kind: row.Kind, Author: row.Author,
		Message: body.Message, Summary: body.Summary,
	}
	for _, e := range body.Edits {
		path, err := config.ParsePath(e.Path)
		if err != nil {
			return LogEntry{}, unavailable(err, "a stored log entry does not parse")
		}
		op := Put
		if e.Delete {
			op = Delete
		}
		entry.Edits = append(entry.Edits, EditResult{op, tree.Name(e.Environment), path, e.Version})
	}
	for _, e := range body.Effects {
		change, err := e.change()
		if err != nil {
			return LogEntry{}, unavailable(err, "a stored log entry does not parse")
		}
		entry.Effects = append(entry.Effects, LogEffect{change, tree.Name(e.Environment), tree.Name(e.Cause)})
	}
	return entry, nil
}
