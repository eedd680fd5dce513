package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// localCopy is a Store's copy of one document and what is known about it.
// Versions come in two ways, by the watch and by reads; whichever comes later
// with the lower revision is left aside.
type localCopy struct {
	path    string
	current atomic.Pointer[Document] // what the Store serves; set before the Store is handed out
	wake    chan struct{}            // something newer is wanted than what is being read

	mu        sync.Mutex
	seen      int64     // the revision of the newest thing known about the document
	missing   bool      // the server has it no more; current is what it last was
	readErr   error     // why a newer version could not be read
	valueErr  error     // why a value could not follow the current version
	bindings  []binding // values decoded from the document
	unread    int64     // a read must be of this revision or later; 0 when none is due
	until     int64     // while one is due: current is known to be right up to here
	rereading bool      // a goroutine is seeing to it
}

// binding is a Value of whatever type.
type binding interface {
	take(*Document) error
}

// install takes up a version, unless something newer is known. It says whether
// the document was in trouble before and is no more.
func (d *localCopy) install(next *Document) (recovered bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if next.Revision < d.seen {
		return false, nil
	}
	wasTroubled := d.missing || d.err() != nil
	d.settle(next.Revision)
	if last := d.current.Load(); last == nil || last.Digest != next.Digest {
		d.current.Store(next)
	}
	var errs []error
	for _, b := range d.bindings {
		errs = append(errs, b.take(next))
	}
	d.valueErr = errors.Join(errs...)
	return wasTroubled && d.valueErr == nil, d.valueErr
}

// bind adds a value, unless the current version does not decode into it.
func (d *localCopy) bind(b binding) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := b.take(d.current.Load()); err != nil {
		return err
	}
	d.bindings = append(d.bindings, b)
	return nil
}

// err is what keeps the document or a value from being the newest. d.mu is held.
func (d *localCopy) err() error { return errors.Join(d.readErr, d.valueErr) }

// settle notes that the document is known as of a revision. d.mu is held.
func (d *localCopy) settle(revision int64) {
	d.seen, d.missing = revision, false
	if d.unread <= revision {
		d.unread, d.readErr = 0, nil
	}
}

// confirm notes that the document is what it was, if that is so, or that
// something newer is known already.
func (d *localCopy) confirm(revision int64, digest string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if revision < d.seen {
		return true
	}
	if d.missing || d.current.Load().Digest != digest {
		return false
	}
	d.settle(revision)
	return true
}

// remove notes that the document was deleted, and says whether that is news.
func (d *localCopy) remove(revision int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if revision < d.seen {
		return false
	}
	news := !d.missing
	d.settle(revision)
	d.missing = true
	return news
}

// want asks for a read at a revision or later, of a document that is right up
// to another one. It says whether the caller has to see to it.
func (d *localCopy) want(atLeast, until int64) (start bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread == 0 {
		d.until = math.MaxInt64
	}
	d.until = min(d.until, until)
	d.unread = max(d.unread, atLeast, d.seen, 1)
	if d.rereading {
		select {
		case d.wake <- struct{}{}:
		default:
		}
		return false
	}
	d.rereading = true
	return true
}

// wanted is the read that is due. Where none is, whoever asked is dismissed.
func (d *localCopy) wanted() (atLeast int64, needed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rereading = d.unread != 0
	return d.unread, d.rereading
}

// failed notes why a read at a revision failed. That there is no such document
// is an answer too: nobody waits for more, though it is asked again, for a right
// or a tenant that was lost for a while looks the same.
func (d *localCopy) failed(err error, atLeast int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readErr = err
	if errors.Is(err, ErrNotFound) && atLeast == d.unread {
		d.missing = true
		d.until = math.MaxInt64
	}
}

// rest waits before the next read, unless something newer is wanted meanwhile.
func (d *localCopy) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-d.wake:
	case <-timer.C:
	}
	return true
}

// currentUntil is the revision up to which the copy is known to be right, as
// far as it alone is concerned.
func (d *localCopy) currentUntil() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread == 0 {
		return math.MaxInt64
	}
	return d.until
}

func digestOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}
