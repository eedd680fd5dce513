package service

import (
	"context"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// Bounds of a watch that resumes.
const (
	maxReplay   = 10_000 // revisions that a watcher may be behind
	replayBatch = 256    // log entries that are read at a time
)

// WatchRequest says what to follow.
type WatchRequest struct {
	Environment string
	Prefix      config.Prefix
	Data        bool // with the documents themselves
	Resume      bool // go on after After; else begin now
	After       config.Revision
}

// Watcher follows what an environment says in all. It keeps nothing but its
// position: it reads the feed, and the log where the feed does not reach.
type Watcher struct {
	s           *Service
	who         Caller
	state       *tenantState
	environment config.Environment
	in          WatchRequest
	position    config.Revision
}

// Notice is what a watcher is told of one revision.
type Notice struct {
	Event   *watch.Event
	Changes []watch.Change // those that the watcher sees
	Secrets []watch.SecretNotice
	Reset   string // why everything must be read anew; "" when it need not
	Whole   bool   // nothing was left out for want of rights: all who watch the same are told the same
}

// Watch begins to follow an environment. The watcher must be closed.
func (s *Service) Watch(ctx context.Context, who Caller, tenant string, in WatchRequest) (*Watcher, error) {
	state, err := s.guardReadAny(ctx, who, tenant, access.Resource{Environment: in.Environment, Prefix: in.Prefix})
	if err != nil {
		return nil, err
	}
	env, err := state.tree.Load().Named(in.Environment)
	if err != nil {
		return nil, err
	}
	if limit := int64(s.limits().Watchers); !enter(&s.watchers, limit) {
		return nil, config.Errorf(config.KindOverloaded, "too many watches are open").
			Hint("try again in a moment, or let several services share one watch").Over(limit, limit+1)
	}
	state.watches.Add(1)
	state.feed.Follow()
	w := &Watcher{s: s, who: who, state: state, environment: env, in: in, position: state.feed.Revision()}
	if in.Resume {
		w.position = in.After
	}
	return w, nil
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.state.feed.Unfollow()
	w.state.watches.Add(-1)
	w.s.watchers.Add(-1)
}

// Position is the revision up to which the watcher was told everything.
func (w *Watcher) Position() config.Revision { return w.position }

// FrameKey says which watchers are told the same in the same words. Rights are
// asked before, for each of them.
func (w *Watcher) FrameKey() watch.FrameKey {
	return watch.FrameKey{Environment: w.environment.ID, Prefix: w.in.Prefix, Data: w.in.Data}
}

// Wait answers a channel that is closed once there is more; false means that
// there never will be.
func (w *Watcher) Wait() (<-chan struct{}, bool) { return w.state.feed.Next(w.position) }

// Recheck refuses when the caller may no longer follow.
func (w *Watcher) Recheck(ctx context.Context) error {
	p, err := w.s.recheck(ctx, w.who)
	if err != nil {
		return err
	}
	w.who.Principal = p
	whole := access.Resource{Environment: w.in.Environment, Prefix: w.in.Prefix}
	decision := w.s.decideAny(ctx, w.who, access.ConfigRead, w.state, whole)
	decision.grant = nil // that it is used was put on record when the watch began
	return w.s.answer(ctx, w.who, access.ConfigRead, w.state, whole, decision)
}

// Take answers what was committed since the position and moves it on. It may
// answer nothing although the position moved: nothing that the watcher sees changed.
func (w *Watcher) Take(ctx context.Context) ([]Notice, error) {
	newest := w.state.feed.Revision()
	switch {
	case w.position > newest:
		return w.reset("the position is ahead of the server"), nil
	case newest-w.position > maxReplay:
		return w.reset("the position is too old"), nil
	}
	events, ok := w.state.feed.Since(w.position)
	if !ok {
		var err error
		if events, err = w.replayed(ctx, newest); err != nil {
			return nil, err
		}
	}
	var notices []Notice
	for _, event := range events {
		notice, visible, err := w.notice(ctx, event)
		if err != nil {
			return notices, err
		}
		if visible {
			notices = append(notices, notice)
		}
		w.position = event.Revision
	}
	return notices, nil
}

func (w *Watcher) reset(reason string) []Notice {
	w.position = w.state.feed.Revision()
	return []Notice{{Event: &watch.Event{Revision: w.position}, Reset: reason}}
}

// replayed reads from the log what the feed does not hold any more, and nothing
// that the feed was not told of yet.
func (w *Watcher) replayed(ctx context.Context, newest config.Revision) ([]*watch.Event, error) {
	entries, err := w.s.store.Entries(ctx, w.state.tenant.ID, w.position, replayBatch)
	if err != nil {
		return nil, err
	}
	events := make([]*watch.Event, 0, len(entries))
	for _, entry := range entries {
		if entry.Revision > newest {
			break
		}
		event, err := w.s.event(ctx, w.state.tenant.ID, entry)
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

// notice is what the watcher sees of an event, if anything.
func (w *Watcher) notice(ctx context.Context, event *watch.Event) (Notice, bool, error) {
	if event.Access {
		if err := w.Recheck(ctx); err != nil {
			return Notice{}, false, err
		}
	}
	notice := Notice{Event: event, Whole: true}
	for _, environment := range event.Reset {
		if environment != w.environment.ID {
			continue
		}
		if _, there := w.state.tree.Load().Get(environment); !there {
			return Notice{}, false, config.Errorf(config.KindNotFound, "environment %s was deleted", w.environment.Name)
		}
		notice.Reset = "the environments changed"
		return notice, true, nil
	}
	for _, change := range event.Changes {
		if change.Environment != w.environment.ID || !w.in.Prefix.Contains(change.Path) {
			continue
		}
		change, err := w.seen(ctx, event, change)
		if config.KindOf(err) == config.KindForbidden {
			notice.Whole = false
			continue
		}
		if err != nil {
			return Notice{}, false, err
		}
		if change.Secret != nil && !w.maySee(ctx, change.Secret.Path, change.Secret.Environment) {
			cause := *change.Secret
			cause.Version, change.Secret, notice.Whole = 0, &cause, false
		}
		notice.Changes = append(notice.Changes, change)
	}
	for _, secret := range event.Secrets {
		if secret.Environment != w.environment.ID || !w.in.Prefix.Contains(secret.Path) {
			continue
		}
		if !w.maySee(ctx, secret.Path, secret.Supplier) {
			notice.Whole = false
			continue
		}
		notice.Secrets = append(notice.Secrets, secret)
	}
	return notice, len(notice.Changes) > 0 || len(notice.Secrets) > 0, nil
}

// maySee says whether the watcher may know which version of a secret is in use:
// who may list it or read it, here and where it comes from.
func (w *Watcher) maySee(ctx context.Context, path config.Path, supplier config.EnvironmentID) bool {
	names := []string{w.in.Environment}
	if supplier != 0 && supplier != w.environment.ID {
		names = append(names, w.EnvironmentName(supplier))
	}
	for _, name := range names {
		resource := secretResource(name, path)
		if !w.s.may(ctx, w.who, access.SecretList, w.state, resource) && !w.s.may(ctx, w.who, access.SecretRead, w.state, resource) {
			return false
		}
	}
	return true
}

// seen is a change as the caller may see it, with its document when that is wanted.
func (w *Watcher) seen(ctx context.Context, event *watch.Event, change watch.Change) (watch.Change, error) {
	if !w.s.may(ctx, w.who, access.ConfigRead, w.state, access.Resource{Environment: w.in.Environment, Path: change.Path}) {
		return change, forbidden(access.ConfigRead)
	}
	if !change.Exists || !w.in.Data && w.s.readsAll(w.who, w.state) {
		return change, nil
	}
	if !change.Effective.Document.Exists() {
		n, err := w.s.snapshot(ctx, w.state, event.Revision)
		if err != nil {
			return change, err
		}
		doc, err := n.document(ctx, place{change.Environment, change.Path})
		if config.KindOf(err) == config.KindGone {
			return change, nil // destroyed since: that it changed is all there is to tell
		}
		if err != nil {
			return change, err
		}
		change.Effective = doc.Effective
	}
	if pointer, ok := w.s.mayFollow(ctx, w.who, w.state, w.in.Environment, change.Effective.Targets); !ok {
		return change, unfollowed(pointer)
	}
	return change, nil
}

// EnvironmentName is the name of an environment of the watched tenant.
func (w *Watcher) EnvironmentName(id config.EnvironmentID) string {
	return w.state.tree.Load().Name(id)
}

// EndWatches wakes every watcher for the last time.
func (s *Service) EndWatches() { s.tenants.closeAll() }
