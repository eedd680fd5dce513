package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/api"
)

// Store is a live local copy of the documents and secrets that a program runs
// on. Reads come from memory; a watch keeps the copy current, and when the server
// is away the program goes on with what it last had. Nothing older ever replaces
// something newer, whatever server answers. Secrets are in memory and nowhere else.
type Store struct {
	client      *Client
	environment string
	reveal      bool
	name        string                 // of this instance, in acknowledgements; empty when none are sent
	paths       []string               // of documents, as they were named
	documents   map[string]*localCopy  // path → its copy; never changes
	secretPaths []string               // as they were named
	secrets     map[string]*secretCopy // path → its copy; never changes
	loads       chan struct{}          // one element for each document or secret being read
	graces      chan struct{}          // a secret came that may have a version in grace
	acks        chan struct{}          // what the program runs may have changed
	lastSeen    atomic.Int64           // when the server last gave a sign of life, in ns since 1970

	stop       context.CancelFunc
	closed     chan struct{}
	closeOnce  sync.Once
	goroutines sync.WaitGroup

	mu       sync.Mutex
	position int64         // the watch has been followed up to this revision
	moved    chan struct{} // closed, and replaced, when Revision may have risen
	link     link
	onStatus *notifier
}

// StoreOptions say what a Store is a copy of.
type StoreOptions struct {
	Environment string       // needed
	Reveal      bool         // documents hold the values of secrets where they refer to them; without it, the references
	Secrets     []string     // paths of secrets that the program uses by name; the token must be allowed to list and read them
	Client      string       // name of this running instance in acknowledgements; empty makes one of host, process and chance
	NoAcks      bool         // do not tell the server what the program runs; it then cannot know when every client has a secret's new version
	OnStatus    func(Status) // told of losses, errors and recoveries, one at a time; a slow one misses what is past, never the last. nil for none
}

// ErrClosed is what whoever waits for a closed Store learns.
var ErrClosed = errors.New("the store is closed")

const concurrentLoads = 8

// OpenStore loads the documents at these paths of an environment, and the secrets
// that the options name, and follows their changes until Close. It answers when
// all of them are loaded; an error names every one that cannot be. The context
// bounds the loading alone.
func OpenStore(ctx context.Context, c *Client, o StoreOptions, paths ...string) (*Store, error) {
	switch {
	case o.Environment == "":
		return nil, errors.New("no environment is given; name one in StoreOptions")
	case len(paths)+len(o.Secrets) == 0:
		return nil, errors.New("no path is given; name the documents and secrets that the program needs")
	}
	name, err := clientName(o)
	if err != nil {
		return nil, err
	}
	s := emptyStore(c, o, name, paths)
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	s.alive()
	s.start(context.WithoutCancel(ctx), o)
	return s, nil
}

func emptyStore(c *Client, o StoreOptions, name string, paths []string) *Store {
	s := &Store{
		client: c, environment: o.Environment, reveal: o.Reveal, name: name,
		documents: make(map[string]*localCopy, len(paths)),
		secrets:   make(map[string]*secretCopy, len(o.Secrets)),
		loads:     make(chan struct{}, concurrentLoads),
		graces:    make(chan struct{}, 1),
		acks:      make(chan struct{}, 1),
		closed:    make(chan struct{}),
		moved:     make(chan struct{}),
	}
	for _, path := range paths {
		if s.documents[path] == nil {
			s.documents[path] = &localCopy{path: path, freshness: newFreshness()}
			s.paths = append(s.paths, path)
		}
	}
	for _, path := range o.Secrets {
		if s.secrets[path] == nil {
			s.secrets[path] = &secretCopy{path: path, freshness: newFreshness()}
			s.secretPaths = append(s.secretPaths, path)
		}
	}
	return s
}

// copied is a copy of a document or of a secret.
type copied interface {
	name() string
	fresh() *freshness
	// load reads it from the server, at a revision or later, and installs it.
	load(ctx context.Context, s *Store, atLeast int64) error
}

var (
	_ copied = (*localCopy)(nil)
	_ copied = (*secretCopy)(nil)
)

// copies are all copies, in the order in which they were named.
func (s *Store) copies() []copied {
	all := make([]copied, 0, len(s.paths)+len(s.secretPaths))
	for _, path := range s.paths {
		all = append(all, s.documents[path])
	}
	for _, path := range s.secretPaths {
		all = append(all, s.secrets[path])
	}
	return all
}

// load reads every document and secret once.
func (s *Store) load(ctx context.Context) error {
	copies := s.copies()
	errs := make([]error, len(copies))
	var wg sync.WaitGroup
	for i, c := range copies {
		wg.Go(func() {
			if err := c.load(ctx, s, 0); err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.name(), err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not everything that is needed of environment %q can be loaded: %w", s.environment, err)
	}
	s.position = math.MaxInt64
	for _, c := range copies {
		s.position = min(s.position, c.fresh().seen)
	}
	return nil
}

func (s *Store) start(ctx context.Context, o StoreOptions) {
	ctx, cancel := context.WithCancel(ctx)
	s.stop = cancel
	if o.OnStatus != nil {
		s.onStatus = newNotifier(s.closed, func() { o.OnStatus(s.Status()) })
	}
	s.goroutines.Go(func() { s.follow(ctx) })
	if len(s.secrets) > 0 {
		s.goroutines.Go(func() { s.endGraces(ctx) })
	}
	if s.name != "" {
		s.goroutines.Go(func() { s.acknowledge(ctx) })
	}
}

// Close ends the watch, the acknowledgements and everything else that runs for
// the Store. What was read stays readable. A callback that is running may outlive it.
func (s *Store) Close() {
	s.stop()
	s.goroutines.Wait()
	s.closeOnce.Do(func() { close(s.closed) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.connected = false
}

// Document is the copy of a document; false when the path was not named to
// OpenStore. Its Data and Secrets are shared, and must not be changed.
func (s *Store) Document(path string) (Document, bool) {
	d := s.documents[path]
	if d == nil {
		return Document{}, false
	}
	return *d.current.Load(), true
}

// Secret is the copy of a secret; false when it was not named in StoreOptions.
// It takes no lock and allocates nothing, so it may be called wherever the secret
// is needed. What it points to is shared, and must not be changed.
func (s *Store) Secret(path string) (SecretPair, bool) {
	c := s.secrets[path]
	if c == nil {
		return SecretPair{}, false
	}
	return *c.current.Load(), true
}

// read reads from the server, not too much at once, and refuses what is behind.
func (s *Store) read(atLeast int64, read func() (revision int64, err error)) error {
	s.loads <- struct{}{}
	defer func() { <-s.loads }()
	revision, err := read()
	if err == nil && revision < atLeast {
		err = fmt.Errorf("%s is behind: it answered at revision %d when asked for %d or later", s.client.Address(), revision, atLeast)
	}
	return err
}

// follow applies what the watch tells, in its order. It never tells values, so
// documents that are to be revealed need not come with it.
func (s *Store) follow(ctx context.Context) {
	w := s.client.watch(s.environment, WatchQuery{
		Prefix: commonPrefix(slices.Concat(s.paths, s.secretPaths)), After: s.position, Data: !s.reveal,
	})
	w.opened, w.alive = s.connected, s.alive
	for event, err := range w.events(ctx) {
		if err != nil {
			s.disconnected(err)
			continue
		}
		s.apply(ctx, event)
	}
}

func (s *Store) apply(ctx context.Context, e Event) {
	switch e.Kind {
	case api.EventChange:
		s.applyEvent(ctx, e.Change)
	case api.EventReset:
		for _, c := range s.copies() {
			s.reread(ctx, c, e.Revision)
		}
	}
	s.mu.Lock()
	s.position = e.Revision
	s.mu.Unlock()
	s.progress()
}

func (s *Store) applyEvent(ctx context.Context, e *api.WatchEvent) {
	var secrets []string // each once, though documents may have changed with it
	for _, change := range e.Changes {
		if d := s.documents[change.Path]; d != nil {
			s.applyChange(ctx, d, e.Revision, change)
		}
		if change.Secret != nil {
			secrets = append(secrets, change.Secret.Path)
		}
	}
	for _, notice := range e.Secrets {
		secrets = append(secrets, notice.Path)
	}
	slices.Sort(secrets)
	for _, path := range slices.Compact(secrets) {
		if c := s.secrets[path]; c != nil {
			s.reread(ctx, c, e.Revision)
		}
	}
}

func (s *Store) applyChange(ctx context.Context, d *localCopy, revision int64, change api.WatchChange) {
	switch {
	case change.Digest == "":
		if d.remove(revision) {
			s.report(fmt.Errorf("document %s was deleted at revision %d; its last value stays in use", d.path, revision))
		}
	case s.reveal:
		// That the digest is what it was says nothing of the secrets.
		s.reread(ctx, d, revision)
	case change.Document == nil:
		if !d.confirm(revision, change.Digest) {
			s.reread(ctx, d, revision)
		}
	default:
		next := &Document{Data: change.Document, Format: api.TypeJSON, Revision: revision, Digest: change.Digest}
		if digest := digestOf(next.Data); digest != change.Digest {
			s.report(&damaged{d.path, digest, change.Digest})
			s.reread(ctx, d, revision)
			return
		}
		s.install(d, next)
	}
}

// install takes up a version and reports whether values could follow it.
func (s *Store) install(d *localCopy, next *Document) {
	recovered, err := d.install(next)
	switch {
	case err != nil:
		s.report(fmt.Errorf("document %s: %w", d.path, err))
	case recovered:
		s.tellStatus()
	}
}

// reread has something read at this revision or later, soon and until it
// succeeds, by one goroutine for each copy.
func (s *Store) reread(ctx context.Context, c copied, atLeast int64) {
	s.mu.Lock()
	position := s.position
	s.mu.Unlock()
	if c.fresh().want(atLeast, position) {
		s.goroutines.Go(func() { s.refresh(ctx, c) })
	}
}

func (s *Store) refresh(ctx context.Context, c copied) {
	fresh := c.fresh()
	for failures := 1; ; failures++ {
		atLeast, needed := fresh.wanted()
		if !needed {
			s.progress()
			return
		}
		err := c.load(ctx, s, atLeast)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		fresh.failed(err, atLeast)
		s.report(fmt.Errorf("%s: %w", c.name(), err))
		s.progress()
		if !fresh.rest(ctx, s.client.delay(failures, err)) {
			return
		}
	}
}

// Revision is how far the copy is current: every document and secret is as it
// was at this revision, or newer.
func (s *Store) Revision() int64 {
	s.mu.Lock()
	revision := s.position
	s.mu.Unlock()
	for _, d := range s.documents {
		revision = min(revision, d.currentUntil())
	}
	for _, c := range s.secrets {
		revision = min(revision, c.currentUntil())
	}
	return revision
}

// Wait waits until the copy is current up to a revision, such as the one that a
// write of the program's own has made.
func (s *Store) Wait(ctx context.Context, revision int64) error {
	for {
		s.mu.Lock()
		moved := s.moved
		s.mu.Unlock()
		at := s.Revision()
		if at >= revision {
			return nil
		}
		select {
		case <-moved:
		case <-s.closed:
			return ErrClosed
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting for revision %d at revision %d: %w", revision, at, context.Cause(ctx)), s.Status().LastError)
		}
	}
}

// progress wakes whoever waits for a revision, and has it acknowledged.
func (s *Store) progress() {
	poke(s.acks)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.moved)
	s.moved = make(chan struct{})
}

// commonPrefix is the longest prefix, in whole segments, of all paths.
func commonPrefix(paths []string) string {
	common := strings.Split(paths[0], "/")
	for _, path := range paths[1:] {
		segments := strings.Split(path, "/")
		n := 0
		for n < min(len(common), len(segments)) && common[n] == segments[n] {
			n++
		}
		common = common[:n]
	}
	return strings.Join(common, "/")
}
