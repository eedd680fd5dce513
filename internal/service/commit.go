package service

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/audit"
	"github.com/llm-devops/llm-config-manager/internal/config"
	"github.com/llm-devops/llm-config-manager/internal/seal"
	"github.com/llm-devops/llm-config-manager/internal/store"
	"github.com/llm-devops/llm-config-manager/internal/watch"
)

// maxAttempts is how often a write is planned before it is given up.
const maxAttempts = 8

// Status is the outcome of a write that did not fail.
type Status string

// The outcomes.
const (
	Committed Status = "committed"
	Unchanged Status = "unchanged" // it changes nothing, so no revision was made
	Planned   Status = "planned"   // a dry run
)

// Outcome says whether and where a write landed. Revision is the one it made;
// for Unchanged and Planned the one it was compared with.
type Outcome struct {
	Status   Status
	Revision config.Revision
	Time     time.Time
	Replayed bool // the answer to an idempotency key that came before
}

// proposal is a write that was planned, sealed and not yet committed.
type proposal struct {
	write store.Write
	event watch.Event         // Revision and Time come with the commit
	body  entryBody           // sealed as the body of the write's entry
	after func(store.Receipt) // what to do in memory once it is committed, before anybody is told
}

// commit plans a write, and commits it; when something that the plan depends on
// moved meanwhile it plans anew. A nil proposal is one that changes nothing.
// key names what writers may queue up for.
func (s *Service) commit(ctx context.Context, state *tenantState, key string, propose func(context.Context, *snapshot) (*proposal, error)) (Outcome, error) {
	for attempt := 1; ; attempt++ {
		outcome, err := s.attempt(ctx, state, propose)
		if config.KindOf(err) != config.KindConflict || attempt == maxAttempts {
			return outcome, exhausted(err)
		}
		if attempt == 1 {
			// From the second time on those who write the same thing take turns,
			// so that each gets to commit what it planned.
			defer s.queues.enter(state.tenant.ID, key)()
		}
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
	}
}

func exhausted(err error) error {
	if config.KindOf(err) != config.KindConflict {
		return err
	}
	e := config.Errorf(config.KindConflict, "others kept changing what this write depends on").Hint("try again in a moment")
	e.Cause = err
	return e
}

func (s *Service) attempt(ctx context.Context, state *tenantState, propose func(context.Context, *snapshot) (*proposal, error)) (Outcome, error) {
	n, err := s.newest(ctx, state)
	if err != nil {
		return Outcome{}, err
	}
	p, err := propose(ctx, n)
	if err != nil {
		return Outcome{}, err
	}
	if p == nil {
		return Outcome{Status: Unchanged, Revision: n.at}, nil
	}
	if p.write.Entry.Sealed, err = s.sealEntry(ctx, state.tenant.ID, p.write.Entry.Subject, p.body); err != nil {
		return Outcome{}, err
	}
	p.write.Audit.Tenant = state.tenant.ID.String()
	p.write.Committed = func(r store.Receipt) { s.committed(state, p, r) }
	receipt, err := s.store.Commit(ctx, state.tenant.ID, p.write)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Status: Committed, Revision: receipt.Revision, Time: receipt.Time}, nil
}

// committed tells everybody in this process, in the order of revisions: first
// who reads for a cache, so that nobody installs what was before once the
// caches have forgotten it, then the caches, then those who watch.
func (s *Service) committed(state *tenantState, p *proposal, r store.Receipt) {
	if p.after != nil {
		p.after(r)
	}
	state.committed.Store(int64(r.Revision))
	tree := state.tree.Load()
	for i := range p.event.Changes {
		c := &p.event.Changes[i]
		s.documents.Invalidate(tree.key(state.tenant.ID, c.Environment, c.Path))
	}
	p.event.Revision, p.event.Time = r.Revision, r.Time
	state.feed.Publish(&p.event)
}

func (s *Service) sealEntry(ctx context.Context, tenant config.TenantID, subject store.Subject, body entryBody) ([]byte, error) {
	return s.keyring.Seal(ctx, entryPlace(tenant, subject), body.encode())
}

func entryPlace(tenant config.TenantID, subject store.Subject) seal.Place {
	return seal.Place{Kind: seal.Entry, Tenant: tenant, Environment: subject.Environment, Path: subject.Path, Version: subject.Version}
}

// subjectOf is a place for the body of an entry that writes no layer.
func (s *Service) subjectOf(kind store.EntryKind, name string) (store.Subject, error) {
	id, err := s.randomID()
	return store.Subject{Path: ":" + string(kind) + ":" + name, Version: id}, err
}

// proposeEntry begins a proposal that writes no layers.
func (s *Service) proposeEntry(who Caller, n *snapshot, kind store.EntryKind, name, message, summary string, record audit.Record) (*proposal, error) {
	subject, err := s.subjectOf(kind, name)
	if err != nil {
		return nil, err
	}
	p := &proposal{body: entryBody{Message: message, Summary: summary}}
	p.write.Entry = store.Entry{Kind: kind, Author: who.Principal.Author(), Subject: subject}
	p.write.Expect.Revision = n.at
	p.write.Audit = record
	return p, nil
}

// queues lets writers of the same thing take turns.
type queues struct {
	seed  maphash.Seed
	once  sync.Once
	locks [256]sync.Mutex
}

// enter waits for the turn and answers how to end it.
func (q *queues) enter(tenant config.TenantID, key string) (leave func()) {
	q.once.Do(func() { q.seed = maphash.MakeSeed() })
	lock := &q.locks[maphash.Comparable(q.seed, struct {
		tenant config.TenantID
		key    string
	}{tenant, key})%uint64(len(q.locks))]
	lock.Lock()
	return lock.Unlock
}
