package service

import (
	"context"
	"slices"
	"strconv"
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

// Log answers a page of revisions, newest first: those of which the caller may
// know anything, and of each what he may know.
func (s *Service) Log(ctx context.Context, who Caller, tenant string, kinds []store.EntryKind, page Page) ([]LogEntry, Cursor, error) {
	state, err := s.guardReadAny(ctx, who, tenant, access.Resource{})
	if err != nil {
		return nil, "", err
	}
	pages := s.pagesOf(who, state.tenant.ID, "log")
	asked, err := pages.open(ctx, page)
	if err != nil {
		return nil, "", err
	}
	for looked := 0; ; {
		rows, next, err := s.store.Log(ctx, state.tenant.ID, kinds, asked)
		if err != nil {
			return nil, "", err
		}
		entries := make([]LogEntry, 0, len(rows))
		for _, row := range rows {
			entry, visible, err := s.seenEntry(ctx, who, state, row)
			if err != nil {
				return nil, "", err
			}
			if entry.Effects = nil; visible {
				entries = append(entries, entry)
			}
		}
		looked += len(rows)
		if next == "" || len(entries) > 0 || looked >= maxLooked || ctx.Err() != nil {
			cursor, err := pages.seal(ctx, next)
			if err != nil {
				return nil, "", err
			}
			return entries, cursor, ctx.Err()
		}
		asked.Cursor = next
	}
}

// LogEntry answers one revision with the effective documents that it changed.
func (s *Service) LogEntry(ctx context.Context, who Caller, tenant string, revision config.Revision) (LogEntry, error) {
	state, err := s.guardReadAny(ctx, who, tenant, access.Resource{})
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
	entry, visible, err := s.seenEntry(ctx, who, state, rows[0])
	if err == nil && !visible {
		err = s.answer(ctx, who, access.ConfigRead, state, access.Resource{Name: "log/" + strconv.FormatInt(int64(revision), 10)}, denied("nothing of the revision may be read"))
	}
	if err == nil {
		err = s.hideDigests(ctx, who, state, &entry)
	}
	if err != nil {
		return LogEntry{}, err
	}
	return entry, nil
}

// hideDigests leaves out the effects on documents that take values from where the
// caller may not look: by a digest a value can be guessed.
func (s *Service) hideDigests(ctx context.Context, who Caller, state *tenantState, entry *LogEntry) error {
	if s.readsAll(who, state) {
		return nil
	}
	n, err := s.snapshot(ctx, state, entry.Revision)
	if err != nil {
		return err
	}
	var faults error
	entry.Effects = slices.DeleteFunc(entry.Effects, func(e LogEffect) bool {
		if !e.Exists || faults != nil {
			return false
		}
		doc, err := n.document(ctx, place{e.Change.Environment, e.Path})
		switch config.KindOf(err) {
		case "":
			_, ok := s.mayFollow(ctx, who, state, e.Environment, doc.Targets)
			return !ok
		case config.KindGone, config.KindNotFound, config.KindInvalidReference:
			return true // nobody knows any more what it was made of
		}
		faults = err
		return false
	})
	return faults
}

// readsAll says whether who may read anything in the tenant may read everything,
// so that no reference need be looked at.
func (s *Service) readsAll(who Caller, state *tenantState) bool {
	return len(state.rules.Load().source.Files) == 0 && who.Principal.Scope == nil
}

// seenEntry is a revision as the caller may see it: its edits and effects that
// he may read, and what else it was if he may read such things. Its message is
// for whoever may see any of it.
func (s *Service) seenEntry(ctx context.Context, who Caller, state *tenantState, row store.Entry) (LogEntry, bool, error) {
	entry, tree, body, err := s.logEntry(ctx, state, row)
	if err != nil {
		return LogEntry{}, false, err
	}
	reads := func(environment string, path config.Path) bool {
		return s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: path})
	}
	entry.Edits = slices.DeleteFunc(entry.Edits, func(e EditResult) bool { return !reads(e.Environment, e.Path) })
	entry.Effects = slices.DeleteFunc(entry.Effects, func(e LogEffect) bool { return !reads(e.Environment, e.Path) })
	for i := range entry.Effects {
		if cause := entry.Effects[i].Secret; cause != nil && !s.may(ctx, who, access.SecretList, state, secretResource(entry.Effects[i].Environment, cause.Path)) {
			hidden := *cause
			hidden.Version, entry.Effects[i].Secret = 0, &hidden
		}
	}
	switch row.Kind {
	case store.EntryChange:
		return entry, len(entry.Edits) > 0 || len(entry.Effects) > 0, nil
	case store.EntryDestroy:
		return entry, s.may(ctx, who, access.ConfigRead, state, aboutWhat(tree, body)), nil
	case store.EntrySecret:
		r := aboutWhat(tree, body)
		r.Secret = true
		return entry, s.may(ctx, who, access.SecretList, state, r), nil
	case store.EntryEnvironment:
		return entry, s.may(ctx, who, access.EnvironmentRead, state, access.Resource{}), nil
	}
	action := entryActions[row.Kind]
	return entry, action != "" && s.may(ctx, who, action, state, access.Resource{}), nil
}

// aboutWhat is what an entry without edits is of. One that does not say so, as
// older ones do not, is for those who may see all of the tenant.
func aboutWhat(tree *config.Tree, body entryBody) access.Resource {
	if body.About == nil {
		return access.Resource{}
	}
	path, err := config.ParsePath(body.About.Path)
	if err != nil {
		return access.Resource{}
	}
	return access.Resource{Environment: tree.Name(body.About.Environment), Path: path}
}

// entryActions are what entries of the whole tenant need to be seen.
var entryActions = map[store.EntryKind]access.Action{
	store.EntryTenant: access.TenantRead,
	store.EntryTag:    access.TagRead,
	store.EntryToken:  access.TokenRead,
	store.EntryKey:    access.KeyRead,
	store.EntryRule:   access.PolicyRead,
}

func (s *Service) logEntry(ctx context.Context, state *tenantState, row store.Entry) (LogEntry, *config.Tree, entryBody, error) {
	body, err := s.openEntry(ctx, state.tenant.ID, row)
	if err != nil {
		return LogEntry{}, nil, body, err
	}
	tree, err := s.treeAtRevision(ctx, state, row.Revision)
	if err != nil {
		return LogEntry{}, nil, body, err
	}
	entry := LogEntry{
		Revision: row.Revision, Time: row.Time, Kind: row.Kind, Author: row.Author,
		Message: body.Message, Summary: body.Summary,
	}
	for _, e := range body.Edits {
		path, err := config.ParsePath(e.Path)
		if err != nil {
			return LogEntry{}, nil, body, unavailable(err, "a stored log entry does not parse")
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
			return LogEntry{}, nil, body, unavailable(err, "a stored log entry does not parse")
		}
		entry.Effects = append(entry.Effects, LogEffect{change, tree.Name(e.Environment), tree.Name(e.Cause)})
	}
	return entry, tree, body, nil
}
