package service

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/access"
	"github.com/llm-devops/llm-config-manager/internal/cache"
	"github.com/llm-devops/llm-config-manager/internal/canon"
	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Document is an effective document as it is handed out. It is shared between
// requests and must not be changed.
type Document struct {
	config.Effective
	Digest   canon.Digest
	Revision config.Revision // the one it was read at

	renders [renderKinds]atomic.Pointer[Rendered]
}

// Render says in which form a document is asked for.
type Render uint8

// Encodings of a rendered document.
const (
	Plain Render = iota
	Gzip
	Brotli
	Zstd
	encodings
)

const renderKinds = 3 * int(encodings)

// Rendered is a document in one format and encoding, with its headers ready.
type Rendered struct {
	Body   []byte
	ETag   []string // header values, made once because every read sends them
	Digest []string
	Length []string
}

// weight is about the memory that a document takes with its renderings.
func (d *Document) weight() int { return 8*len(d.Document.Canonical()) + 512 }

// Rendered answers the document in a format and encoding; compress is called
// the first time. A body that compression does not make smaller is nil.
func (d *Document) Rendered(format config.Format, encoding Render, compress func(Render, []byte) []byte) (*Rendered, error) {
	slot := &d.renders[formatIndex(format)*int(encodings)+int(encoding)]
	if r := slot.Load(); r != nil {
		return r, nil
	}
	body := d.Document.Canonical()
	if format != config.JSON {
		var err error
		if body, err = config.Encode(d.Document, format); err != nil {
			return nil, err
		}
	}
	tag := d.Digest.String()[:32] + "-" + string(format)
	if encoding != Plain {
		body = compress(encoding, body)
		tag += "-" + strconv.Itoa(int(encoding))
	}
	r := &Rendered{
		Body: body, ETag: []string{`"` + tag + `"`}, Digest: []string{d.Digest.String()},
		Length: []string{strconv.Itoa(len(body))},
	}
	slot.Store(r)
	return r, nil
}

func formatIndex(format config.Format) int {
	switch format {
	case config.YAML:
		return 1
	case config.TOML:
		return 2
	}
	return 0
}

// ReadOptions say at what point a read is made.
type ReadOptions struct {
	At          config.At
	MinRevision config.Revision // at least this; 0 for none
	Reveal      bool            // of a bundle: with the values of secrets
}

// Read is the answer of a read with the revision it holds for.
type Read struct {
	Document *Document
	Revision config.Revision
}

// Config answers an effective document. It is the hottest of all verbs.
func (s *Service) Config(ctx context.Context, who Caller, tenant, environment string, path config.Path, o ReadOptions) (Read, error) {
	state, err := s.guardRead(ctx, who, tenant, access.Resource{Environment: environment, Path: path})
	if err != nil {
		return Read{}, err
	}
	if err := s.await(ctx, state, o.MinRevision); err != nil {
		return Read{}, err
	}
	read, err := s.config(ctx, state, environment, path, o.At)
	if err != nil {
		return Read{}, err
	}
	return read, s.guardTargets(ctx, who, state, environment, read.Document.Targets)
}

func (s *Service) config(ctx context.Context, state *tenantState, environment string, path config.Path, at config.At) (Read, error) {
	if !at.IsNow() {
		return s.pastConfig(ctx, state, environment, path, at)
	}
	// What is in the cache holds at least for the revision published before it was asked.
	revision := state.feed.Revision()
	tree := state.tree.Load()
	env, err := tree.Named(environment)
	if err != nil {
		return Read{}, err
	}
	key := tree.key(state.tenant.ID, env.ID, path)
	doc, ok := s.documents.Get(key)
	if !ok {
		doc, err = s.documents.Load(ctx, key, func(ctx context.Context) (*Document, error) {
			n, err := s.newest(ctx, state)
			if err != nil {
				return nil, err
			}
			return n.document(ctx, place{env.ID, path})
		})
		if err != nil {
			return Read{}, err
		}
	}
	return Read{doc, max(revision, doc.Revision)}, nil
}

func (s *Service) pastConfig(ctx context.Context, state *tenantState, environment string, path config.Path, at config.At) (Read, error) {
	revision, err := s.resolveAt(ctx, state, environment, path, at)
	if err != nil {
		return Read{}, err
	}
	n, err := s.snapshot(ctx, state, revision)
	if err != nil {
		return Read{}, err
	}
	env, err := n.tree.Named(environment)
	if err != nil {
		return Read{}, err
	}
	doc, err := n.document(ctx, place{env.ID, path})
	return Read{doc, revision}, err
}

// document works out an effective document; one that is not there is of KindNotFound.
func (n *snapshot) document(ctx context.Context, at place) (*Document, error) {
	if err := n.readAll(ctx, at.path); err != nil {
		return nil, err
	}
	effective, err := n.view(nil).effective(at)
	if err != nil {
		return nil, err
	}
	if !effective.Document.Exists() {
		return nil, noDocument(n.tree.Name(at.environment), at.path)
	}
	return &Document{Effective: effective, Digest: effective.Document.Digest(), Revision: n.at}, nil
}

// guardTargets asks for the right to read what a document took values from.
func (s *Service) guardTargets(ctx context.Context, who Caller, state *tenantState, environment string, targets []config.Target) error {
	for _, t := range targets {
		err := s.guardIn(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: t.Path})
		if config.KindOf(err) == config.KindForbidden {
			return unfollowed(t.Pointer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayFollow says whether the caller may read what a document took values from,
// and puts nothing on record; pointer is the first place at which he may not.
func (s *Service) mayFollow(ctx context.Context, who Caller, state *tenantState, environment string, targets []config.Target) (pointer string, ok bool) {
	for _, t := range targets {
		if !s.may(ctx, who, access.ConfigRead, state, access.Resource{Environment: environment, Path: t.Path}) {
			return t.Pointer, false
		}
	}
	return "", true
}

func unfollowed(pointer string) error {
	return config.Errorf(config.KindForbidden, "the document holds a reference that you may not follow").At(pointer).
		Hint("ask an administrator of the tenant")
}

func (t *treeAt) key(tenant config.TenantID, environment config.EnvironmentID, path config.Path) cache.Key {
	return cache.Key{Tenant: tenant, Generation: t.since, Environment: environment, Path: path}
}

func noDocument(environment string, path config.Path) error {
	return config.Errorf(config.KindNotFound, "there is no document %s in %s", path, environment).
		Hint("`llm-config ls` lists what there is")
}

// enter takes one of so many places, if there is one. Who is turned away is not
// counted meanwhile, and stands in nobody's way.
func enter(taken *atomic.Int64, places int64) bool {
	for {
		n := taken.Load()
		if n >= places {
			return false
		}
		if taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// awaitTime is how long a read waits for a revision that is on its way.
const awaitTime = 2 * time.Second

// await waits until the tenant is at a revision that was committed, here or by
// another instance.
func (s *Service) await(ctx context.Context, state *tenantState, least config.Revision) error {
	if state.feed.Revision() >= least {
		return nil
	}
	committed, err := s.store.Revision(ctx, state.tenant.ID)
	if err != nil {
		return err
	}
	if committed < least {
		return config.Errorf(config.KindRevisionInFuture, "the newest revision is %d, below %d", committed, least).At("min_revision").
			Hint("ask for a revision that a write has answered")
	}
	if limit := int64(s.limits().Waiters); !enter(&s.waiters, limit) {
		return config.Errorf(config.KindOverloaded, "too many reads wait for a revision").Over(limit, limit+1)
	}
	defer s.waiters.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for {
		at := state.feed.Revision()
		if at >= least {
			return nil
		}
		next, open := state.feed.Next(at)
		if !open {
			return noTenant(state.tenant.Name)
		}
		select {
		case <-next:
		case <-ctx.Done():
			return config.Errorf(config.KindNotYet, "revision %d has not arrived here yet", least).At("min_revision").Hint("try again in a moment")
		}
	}
}
