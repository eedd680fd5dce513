package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/api"
)

// Store is a live local copy of the documents that a program runs on. Reads
// come from memory; a watch keeps the copy current, and when the server is away
// the program goes on with what it last had. Nothing older ever replaces
// something newer, whatever server answers.
type Store struct {
	client      *Client
	environment string
	paths       []string              // as they were named
	documents   map[string]*localCopy // path → its copy; never changes
	loads       chan struct{}         // one element for each document being read
	lastSeen    atomic.Int64          // when the server last gave a sign of life, in ns since 1970

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
	OnStatus    func(Status) // told of losses, errors and recoveries, one at a time; a slow one misses what is past, never the last. nil for none
}

// ErrClosed is what whoever waits for a closed Store learns.
var ErrClosed = errors.New("the store is closed")

const concurrentLoads = 8

// OpenStore loads the documents at these paths of an environment, and follows
// their changes until Close. It answers when all of them are loaded; an error
// names every one that cannot be. The context bounds the loading alone.
func OpenStore(ctx context.Context, c *Client, o StoreOptions, paths ...string) (*Store, error) {
	if o.Environment == "" {
		return nil, errors.New("no environment is given; name one in StoreOptions")
	}
	if len(paths) == 0 {
		return nil, errors.New("no path is given; name the documents that the program needs")
	}
	s := &Store{
		client: c, environment: o.Environment,
		documents: make(map[string]*localCopy, len(paths)),
		loads:     make(chan struct{}, concurrentLoads),
		closed:    make(chan struct{}),
		moved:     make(chan struct{}),
	}
	for _, path := range paths {
		if s.documents[path] == nil {
			s.documents[path] = &localCopy{path: path, wake: make(chan struct{}, 1)}
			s.paths = append(s.paths, path)
		}
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	s.alive()
	s.start(context.WithoutCancel(ctx), o)
	return s, nil
}

// load reads every document once.
func (s *Store) load(ctx context.Context) error {
	errs := make([]error, len(s.paths))
	revisions := make([]int64, len(s.paths))
	var wg sync.WaitGroup
	for i, path := range s.paths {
		wg.Go(func() {
			d, err := s.read(ctx, path, 0)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", path, err)
				return
			}
			revisions[i] = d.Revision
			_, errs[i] = s.documents[path].install(d)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("not every document of environment %q can be loaded: %w", s.environment, err)
	}
	s.position = slices.Min(revisions)
	return nil
}

func (s *Store) start(ctx context.Context, o StoreOptions) {
	ctx, cancel := context.WithCancel(ctx)
	s.stop = cancel
	if o.OnStatus != nil {
		s.onStatus = newNotifier(s.closed, func() { o.OnStatus(s.Status()) })
	}
	s.goroutines.Go(func() { s.follow(ctx) })
}

// Close ends the watch and everything else that runs for the Store. What was
// read stays readable. A callback that is running may outlive it.
func (s *Store) Close() {
	s.stop()
	s.goroutines.Wait()
	s.closeOnce.Do(func() { close(s.closed) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link.connected = false
}

// Document is the copy of a document; false when the path was not named to
// OpenStore. Its Data is shared, and must not be changed.
func (s *Store) Document(path string) (Document, bool) {
	d := s.documents[path]
	if d == nil {
		return Document{}, false
	}
	return *d.current.Load(), true
}

// read reads a document from the server and checks that it is whole and new
// enough.
func (s *Store) read(ctx context.Context, path string, atLeast int64) (*Document, error) {
	s.loads <- struct{}{}
	defer func() { <-s.loads }()
	d, err := s.client.Config(ctx, s.environment, path, Read{MinRevision: atLeast})
	if err != nil {
		return nil, err
	}
	if d.Revision < atLeast {
		return nil, fmt.Errorf("%s is behind: it answered at revision %d when asked for %d or later", s.client.Address(), d.Revision, atLeast)
	}
	if digest := digestOf(d.Data); digest != d.Digest {
		return nil, &damaged{path, digest, d.Digest}
	}
	return d, nil
}

// damaged says that a document is not what its digest says.
type damaged struct{ path, got, want string }

func (e *damaged) Error() string {
	return fmt.Sprintf("document %s arrived altered: its digest is %.12s… and should be %.12s…; look for what rewrites answers on the way", e.path, e.got, e.want)
}

// follow applies what the watch tells, in its order.
func (s *Store) follow(ctx context.Context) {
	f := &follower{
		client: s.client, environment: s.environment,
		query:  WatchQuery{Prefix: commonPrefix(s.paths), After: s.position, Data: true},
		opened: s.connected, alive: s.alive,
	}
	for event, err := range f.events(ctx) {
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
		for _, change := range e.Change.Changes {
			if d := s.documents[change.Path]; d != nil {
				s.applyChange(ctx, d, e.Revision, change)
			}
		}
	case api.EventReset:
		for _, d := range s.documents {
			s.reread(ctx, d, e.Revision)
		}
	}
	s.mu.Lock()
	s.position = e.Revision
	s.mu.Unlock()
	s.progress()
}

func (s *Store) applyChange(ctx context.Context, d *localCopy, revision int64, change api.WatchChange) {
	switch {
	case change.Digest == "":
		if d.remove(revision) {
			s.report(fmt.Errorf("document %s was deleted at revision %d; its last value stays in use", d.path, revision))
		}
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

// reread has the document read at this revision or later, soon and until it
// succeeds, by one goroutine for each document.
func (s *Store) reread(ctx context.Context, d *localCopy, atLeast int64) {
	s.mu.Lock()
	position := s.position
	s.mu.Unlock()
	if d.want(atLeast, position) {
		s.goroutines.Go(func() { s.refresh(ctx, d) })
	}
}

func (s *Store) refresh(ctx context.Context, d *localCopy) {
	for failures := 1; ; failures++ {
		atLeast, needed := d.wanted()
		if !needed {
			s.progress()
			return
		}
		next, err := s.read(ctx, d.path, atLeast)
		if err == nil {
			s.install(d, next)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		d.failed(err, atLeast)
		s.report(fmt.Errorf("document %s: %w", d.path, err))
		s.progress()
		if !d.rest(ctx, s.client.delay(failures, err)) {
			return
		}
	}
}

// Revision is how far the copy is current: every document is as it was at this
// revision, or newer.
func (s *Store) Revision() int64 {
	s.mu.Lock()
	revision := s.position
	s.mu.Unlock()
	for _, d := range s.documents {
		revision = min(revision, d.currentUntil())
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

// progress wakes whoever waits for a revision.
func (s *Store) progress() {
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
