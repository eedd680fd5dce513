package sqlite

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Bounds of the writer.
const (
	maxQueued     = 1024    // writes that wait; more of them block their callers
	maxGroup      = 256     // writes in one transaction
	maxGroupBytes = 8 << 20 // of bodies in one transaction, before the last write
)

// task is a write as the writer runs it, perhaps twice: once in a group, and
// once more alone when the group failed.
type task interface {
	// check refuses the write before anything of it is stored.
	check(*tx) error
	// store stores it; an error is the engine's, and fails the transaction.
	store(*tx) error
	// committed is called once what was stored is durable.
	committed()
	// size is about how many bytes will be stored.
	size() int
}

// uncounted is what tasks share that hold no body and that nobody hears of.
type uncounted struct{}

func (uncounted) committed() {}
func (uncounted) size() int  { return 0 }

// writer is the only one to write. What waits while a transaction commits is
// the next group, and shares one sync of the disk.
type writer struct {
	conn    *conn
	clock   func() time.Time
	tenants map[config.TenantID]*tenantState // as committed; see tx.tenant
	erase   bool                             // the write-ahead log holds a body that was destroyed
	links   []newLink                        // room for those of a group
	queue   chan *request
	closing chan struct{}
	stopped chan struct{}
}

// request is a task and the caller that waits for it.
type request struct {
	ctx  context.Context
	task task
	err  error
	done chan struct{}
}

// writerPragmas are measured: a larger cache costs more at each commit than it
// saves, and a log that is written over in place is faster than one that grows.
var writerPragmas = []string{
	"synchronous(FULL)",            // what was acknowledged is on the disk
	"secure_delete(ON)",            // what was destroyed is overwritten
	"cache_size(-8192)",            // KiB
	"wal_autocheckpoint(8192)",     // pages; 32 MiB
	"journal_size_limit(67108864)", // bytes that the log keeps after a large write
}

func startWriter(path string, clock func() time.Time) (*writer, error) {
	c, err := openConn(dsn(path, writerPragmas...))
	if err != nil {
		return nil, err
	}
	w := &writer{
		conn:    c,
		clock:   clock,
		tenants: map[config.TenantID]*tenantState{},
		queue:   make(chan *request, maxQueued),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go w.run()
	return w, nil
}

// stop waits for the group under way; what is still queued is refused.
func (w *writer) stop() {
	close(w.closing)
	<-w.stopped
}

// do runs a task and waits until it is durable or refused. Once the task is
// queued only the writer decides what becomes of it.
func (w *writer) do(ctx context.Context, t task) error {
	r := &request{ctx: ctx, task: t, done: make(chan struct{})}
	select {
	case w.queue <- r:
	default:
		select {
		case w.queue <- r:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.closing:
			return closedError()
		}
	}
	select {
	case <-r.done:
		return r.err
	case <-w.stopped:
	}
	select {
	case <-r.done:
		return r.err
	default:
		return closedError()
	}
}

func (w *writer) run() {
	defer close(w.stopped)
	group := make([]*request, 0, maxGroup)
	for {
		select {
		case <-w.closing:
			return
		default:
		}
		select {
		case <-w.closing:
			return
		case r := <-w.queue:
			// Who was answered by the last group may run before this one is
			// gathered: what they write next shares its sync.
			runtime.Gosched()
			group = w.gather(append(group[:0], r))
			w.commit(group)
			clear(group)
		}
	}
}

// gather adds what is queued by now to a group.
func (w *writer) gather(group []*request) []*request {
	bytes := group[0].task.size()
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case r := <-w.queue:
			group, bytes = append(group, r), bytes+r.task.size()
		default:
			return group
		}
	}
	return group
}

// commit runs a group in one transaction. If that fails, each request gets a
// transaction of its own, so that one bad write never fails its neighbours.
func (w *writer) commit(group []*request) {
	err := w.transact(group)
	if err != nil && len(group) > 1 {
		for i := range group {
			w.commit(group[i : i+1])
		}
		return
	}
	for _, r := range group {
		if r.err == nil {
			r.err = err
		}
		if r.err == nil {
			r.task.committed()
		}
		close(r.done)
	}
}

// transact stores a group. The error is the engine's; a request that was
// refused has its own, and stored nothing.
func (w *writer) transact(group []*request) error {
	if len(w.tenants) > maxTenantStates {
		clear(w.tenants)
	}
	if err := w.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	t := &tx{conn: w.conn, clock: w.clock, tenants: w.tenants, links: w.links}
	err := t.apply(group)
	clear(t.links)
	w.links = t.links[:0]
	if err == nil {
		err = w.conn.exec("COMMIT")
	}
	if err != nil {
		clear(w.tenants)
		return errors.Join(err, w.rollBack())
	}
	if w.erase = w.erase || t.erase; w.erase {
		w.emptyLog()
	}
	return nil
}

// emptyLog brings the write-ahead log home and cuts it to nothing. A reader can
// be in the way; then the next commit tries again.
func (w *writer) emptyLog() {
	err := w.conn.query("PRAGMA wal_checkpoint(TRUNCATE)", func(r row) error {
		w.erase = r.bool(0)
		return nil
	})
	w.erase = w.erase || err != nil
}

// rollBack ends a transaction that failed, unless the engine did so itself.
func (w *writer) rollBack() error {
	err := w.conn.exec("ROLLBACK")
	if err != nil && w.conn.exec("BEGIN") == nil {
		return w.conn.exec("ROLLBACK")
	}
	return err
}
