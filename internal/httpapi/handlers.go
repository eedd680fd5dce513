package httpapi

import (
	"context"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llm-devops/llm-config-manager/api"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/service"
	"github.com/llm-devops/llm-config-manager/internal/store"
)

// The parts that requests are made of. Those that others embed are exported,
// else huma could not fill them in.
type (
	// InTenant is of a tenant.
	InTenant struct {
		Tenant string `path:"tenant" doc:"Name of the tenant"`
	}
	// InEnvironment is of an environment.
	InEnvironment struct {
		InTenant
		Environment string `path:"environment" doc:"Name of the environment"`
	}
	// AtPath is of a path in an environment.
	AtPath struct {
		InEnvironment
		Path string `path:"path" doc:"Address of the document or secret; it contains slashes, which are sent as they are"`
	}
	// OnePage asks for a part of a list.
	OnePage struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many"`
		Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	}
	// Idempotent is a write that may be sent again.
	Idempotent struct {
		Key string `header:"Idempotency-Key" doc:"A write that comes again with the same key is answered as before, for 24 hours"`
	}
	// Why is the message of a write that has no body to hold it.
	Why struct {
		Message string `header:"X-Config-Message" doc:"Why; percent-encoded"`
	}
	body[T any] struct {
		Body T
	}
	// written is the answer of a write.
	written[T any] struct {
		Replayed string `header:"Idempotency-Replayed" doc:"true on an answer that was given before"`
		Body     T
	}
)

// Resolve implements huma.Resolver: of a limit that is out of bounds it says so
// with the figures, which huma does not.
func (p *OnePage) Resolve(huma.Context) []error {
	if p.Limit >= 1 && p.Limit <= service.MaxPage {
		return nil
	}
	e := config.Errorf(config.KindBadRequest, "limit is a number from 1 to %d", service.MaxPage).At("limit").Hint("leave it out for 100")
	if p.Limit > service.MaxPage {
		e = e.Over(service.MaxPage, int64(p.Limit))
	}
	return []error{e}
}

func (p OnePage) page() service.Page {
	return service.Page{Limit: p.Limit, Cursor: service.Cursor(p.Cursor)}
}

func (w Why) message() (string, error) { return headerMessage(w.Message) }

func answerOf[T any](t T) *body[T] { return &body[T]{t} }

func writtenOf[T any](o service.Outcome, t T) *written[T] {
	w := &written[T]{Body: t}
	if o.Replayed {
		w.Replayed = "true"
	}
	return w
}

// parameter says which parameter an error is of.
func parameter[T any](value T, err error) func(name string) (T, error) {
	return func(name string) (T, error) {
		if e, ok := err.(*config.Error); ok && e.Pointer == "" { //nolint:errorlint // parsers wrap nothing
			e.Pointer = name
		}
		return value, err
	}
}

type listConfigsIn struct {
	InEnvironment
	OnePage
	Prefix string `query:"prefix" doc:"Only this path and those below it"`
	Glob   string `query:"glob" doc:"Only paths like this: * within a segment, ** for whole segments"`
	At     string `query:"at" doc:"A revision, an RFC 3339 time or a tag"`
}

func (s *Server) listConfigs(ctx context.Context, in *listConfigsIn) (*body[api.ConfigList], error) {
	request := service.ListRequest{Environment: in.Environment, Page: in.page()}
	var err error
	if request.Prefix, err = parameter(config.ParsePrefix(in.Prefix))("prefix"); err != nil {
		return nil, err
	}
	if request.Glob, err = parameter(config.ParseGlob(in.Glob))("glob"); err != nil {
		return nil, err
	}
	if request.At, err = parameter(config.ParseAt(in.At))("at"); err != nil {
		return nil, err
	}
	list, err := s.service.List(ctx, callerOf(ctx), in.Tenant, request)
	if err != nil {
		return nil, err
	}
	return answerOf(api.ConfigList{
		Configs: convert(list.Entries, configEntry), Revision: int64(list.Revision), Next: string(list.Next),
	}), nil
}

type historyIn struct {
	AtPath
	OnePage
	Effective bool `query:"effective" doc:"Also the versions of what the environment inherits from"`
}

func (s *Server) history(ctx context.Context, in *historyIn) (*body[api.History], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	h, err := s.service.History(ctx, callerOf(ctx), in.Tenant, in.Environment, path, in.Effective, in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.History{
		Environment: in.Environment, Path: in.Path, Entries: convert(h.Versions, historyEntry), Next: string(h.Next),
	}), nil
}

type diffIn struct {
	AtPath
	From  string `query:"from" doc:"[environment@]AT; left out, the revision before the newest of the path's layers"`
	To    string `query:"to" doc:"[environment@]AT; left out, now"`
	Layer bool   `query:"layer" doc:"Compare layers instead of effective documents"`
}

func (s *Server) diff(ctx context.Context, in *diffIn) (*body[api.Diff], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	from, err := parameter(diffPoint(in.From, in.Environment))("from")
	if err != nil {
		return nil, err
	}
	to, err := parameter(diffPoint(in.To, in.Environment))("to")
	if err != nil {
		return nil, err
	}
	if in.From == "" {
		from.Before = true
	}
	d, err := s.service.Diff(ctx, callerOf(ctx), in.Tenant, path, from, to, in.Layer)
	if err != nil {
		return nil, err
	}
	return answerOf(diff(d)), nil
}

// diffPoint reads [environment@]AT. An environment alone, as in "staging@", is its now.
func diffPoint(text, environment string) (service.DiffPoint, error) {
	if name, at, found := strings.Cut(text, "@"); found {
		environment, text = name, at
	}
	at, err := config.ParseAt(text)
	return service.DiffPoint{Environment: environment, At: at}, err
}

type destroyIn struct {
	AtPath
	Idempotent
	Why
	Version int64 `query:"version" required:"true" minimum:"1" doc:"The version to destroy; not the newest"`
}

func (s *Server) destroy(ctx context.Context, in *destroyIn) (*written[api.Destroyed], error) {
	path, err := config.ParsePath(in.Path)
	if err != nil {
		return nil, err
	}
	message, err := in.message()
	if err != nil {
		return nil, err
	}
	d, err := s.service.Destroy(ctx, callerOf(ctx), in.Tenant, in.Environment, path, config.Version(in.Version), message)
	if err != nil {
		return nil, err
	}
	return writtenOf(d.Outcome, api.Destroyed{
		Committed: committed(d.Outcome), Environment: d.Environment, Path: d.Path.String(), Version: int64(d.Version),
	}), nil
}

type changeIn struct {
	InTenant
	Idempotent
	Body api.Change
}

func (s *Server) change(ctx context.Context, in *changeIn) (*written[api.ChangeResult], error) {
	edits, err := s.edits(in.Body.Edits)
	if err != nil {
		return nil, err
	}
	return s.changed(s.service.Change(ctx, callerOf(ctx), in.Tenant,
		service.ChangeRequest{Message: in.Body.Message, Edits: edits, DryRun: in.Body.DryRun}))
}

func (s *Server) changed(r service.ChangeResult, err error) (*written[api.ChangeResult], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, changeResult(r)), nil
}

type listChangesIn struct {
	InTenant
	OnePage
	Kind []string `query:"kind,explode" enum:"tenant,change,destroy,environment,tag,token,secret,key,rule" doc:"Only revisions of these kinds"`
}

func (s *Server) listChanges(ctx context.Context, in *listChangesIn) (*body[api.LogList], error) {
	kinds := convert(in.Kind, func(k string) store.EntryKind { return store.EntryKind(k) })
	entries, next, err := s.service.Log(ctx, callerOf(ctx), in.Tenant, kinds, in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.LogList{Changes: convert(entries, logEntry), Next: string(next)}), nil
}

type getChangeIn struct {
	InTenant
	Revision int64 `path:"revision" minimum:"1" doc:"The revision"`
}

func (s *Server) getChange(ctx context.Context, in *getChangeIn) (*body[api.LogEntry], error) {
	entry, err := s.service.LogEntry(ctx, callerOf(ctx), in.Tenant, config.Revision(in.Revision))
	if err != nil {
		return nil, err
	}
	return answerOf(logEntry(entry)), nil
}

type rollbackIn struct {
	InTenant
	Idempotent
	Body api.Rollback
}

func (s *Server) rollback(ctx context.Context, in *rollbackIn) (*written[api.ChangeResult], error) {
	request := service.RollbackRequest{Environment: in.Body.Environment, Message: in.Body.Message, DryRun: in.Body.DryRun}
	var err error
	if in.Body.Path != "" {
		if request.Path, err = parameter(config.ParsePath(in.Body.Path))("/path"); err != nil {
			return nil, err
		}
	}
	if request.To, err = parameter(config.ParseAt(in.Body.To))("/to"); err != nil {
		return nil, err
	}
	return s.changed(s.service.Rollback(ctx, callerOf(ctx), in.Tenant, request))
}

type revertIn struct {
	InTenant
	Idempotent
	Body api.Revert
}

func (s *Server) revert(ctx context.Context, in *revertIn) (*written[api.ChangeResult], error) {
	return s.changed(s.service.Revert(ctx, callerOf(ctx), in.Tenant, service.RevertRequest{
		Revision: config.Revision(in.Body.Revision), Force: in.Body.Force, Message: in.Body.Message, DryRun: in.Body.DryRun,
	}))
}

type promoteIn struct {
	InTenant
	Idempotent
	Body api.Promote
}

func (s *Server) promote(ctx context.Context, in *promoteIn) (*written[api.ChangeResult], error) {
	request := service.PromoteRequest{
		From: in.Body.From, To: in.Body.To, All: in.Body.All, Prune: in.Body.Prune, Message: in.Body.Message, DryRun: in.Body.DryRun,
	}
	for i, text := range in.Body.Paths {
		path, err := parameter(config.ParsePath(text))("/paths/" + strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		request.Paths = append(request.Paths, path)
	}
	var err error
	if request.At, err = parameter(config.ParseAt(in.Body.At))("/at"); err != nil {
		return nil, err
	}
	return s.changed(s.service.Promote(ctx, callerOf(ctx), in.Tenant, request))
}

type tagsIn struct {
	InTenant
	OnePage
}

func (s *Server) listTags(ctx context.Context, in *tagsIn) (*body[api.TagList], error) {
	tags, next, err := s.service.Tags(ctx, callerOf(ctx), in.Tenant, in.page())
	if err != nil {
		return nil, err
	}
	return answerOf(api.TagList{Tags: convert(tags, tag), Next: string(next)}), nil
}

// TagIn is of a tag.
type TagIn struct {
	InTenant
	Tag string `path:"tag" doc:"Name of the tag"`
}

func (s *Server) getTag(ctx context.Context, in *TagIn) (*body[api.Tag], error) {
	t, err := s.service.Tag(ctx, callerOf(ctx), in.Tenant, in.Tag)
	if err != nil {
		return nil, err
	}
	return answerOf(tag(t)), nil
}

type setTagIn struct {
	TagIn
	Idempotent
	Body api.TagInput
}

func (s *Server) setTag(ctx context.Context, in *setTagIn) (*written[api.TagResult], error) {
	r, err := s.service.SetTag(ctx, callerOf(ctx), in.Tenant, in.Tag, config.Revision(in.Body.Revision), in.Body.Message)
	if err != nil {
		return nil, err
	}
	return writtenOf(r.Outcome, api.TagResult{Committed: committed(r.Outcome), Tag: tag(r.Tag)}), nil
}

type deleteTagIn struct {
	TagIn
	Idempotent
	Why
}

func (s *Server) deleteTag(ctx context.Context, in *deleteTagIn) (*written[api.Deleted], error) {
	message, err := in.message()
	if err != nil {
		return nil, err
	}
	return wasDeleted(s.service.DeleteTag(ctx, callerOf(ctx), in.Tenant, in.Tag, message))
}

func wasDeleted(d service.Deleted, err error) (*written[api.Deleted], error) {
	if err != nil {
		return nil, err
	}
	return writtenOf(d.Outcome, deleted(d)), nil
}
