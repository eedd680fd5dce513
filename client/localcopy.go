package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync/atomic"

	"github.com/llm-devops/llm-config-manager/api"
)

// localCopy is a Store's copy of one document. Versions come in two ways, by the
// watch and by reads.
type localCopy struct {
	path    string
	current atomic.Pointer[Document] // what the Store serves; set before the Store is handed out

	freshness
	valueErr error     // why a value could not follow the current version
	bindings []binding // values decoded from the document
	running  *Document // the newest version that every value followed
	ranAt    int64     // the newest revision at which running was current
}

// binding is a Value of whatever type.
type binding interface {
	take(*Document) error
}

func (d *localCopy) name() string { return "document " + d.path }

// load reads the document from the server and installs it. The digest of a
// revealed one is of the references, which are no more in it.
func (d *localCopy) load(ctx context.Context, s *Store, atLeast int64) error {
	var next *Document
	err := s.read(atLeast, func() (revision int64, err error) {
		next, err = s.client.Config(ctx, s.environment, d.path, Read{MinRevision: atLeast, Reveal: s.reveal})
		if err != nil {
			return 0, err
		}
		return next.Revision, nil
	})
	if err != nil {
		return err
	}
	switch digest := digestOf(next.Data); {
	case s.reveal && !isDigest(next.Digest):
		return s.client.unexpected(&answer{status: http.StatusOK}, "it does not say its digest in "+api.HeaderDigest)
	case !s.reveal && digest != next.Digest:
		return &damaged{d.path, digest, next.Digest}
	}
	s.install(d, next)
	return nil
}

// install takes up a version, unless something newer is known. It says whether
// the document was in trouble before and is no more.
func (d *localCopy) install(next *Document) (recovered bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := d.current.Load()
	switch {
	case next.Revision < d.seen:
		return false, nil
	case next.Revision == d.seen && last != nil && anyOlder(next.Secrets, last.Secrets):
		// A secret may be ahead of the revision that its document was read at.
		d.settle(next.Revision)
		return false, nil
	}
	wasTroubled := d.missing || d.err() != nil
	d.settle(next.Revision)
	if last == nil || !last.same(next) {
		d.current.Store(next)
	}
	var errs []error
	for _, b := range d.bindings {
		errs = append(errs, b.take(next))
	}
	if d.valueErr = errors.Join(errs...); d.valueErr == nil {
		d.running, d.ranAt = d.current.Load(), next.Revision
	}
	return wasTroubled && d.valueErr == nil, d.valueErr
}

// same says whether two versions of a document are the same, values of secrets
// and their versions included.
func (d *Document) same(o *Document) bool {
	return d.Digest == o.Digest && maps.Equal(d.Secrets, o.Secrets) && bytes.Equal(d.Data, o.Data)
}

// anyOlder says whether a secret is there in an older version than before.
func anyOlder(now, before map[string]int64) bool {
	for path, version := range now {
		if version < before[path] {
			return true
		}
	}
	return false
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

// runs is the version that the program runs on, and the newest revision at which
// that was the current one.
func (d *localCopy) runs() (running *Document, revision int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running, d.ranAt
}

func digestOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// isDigest says whether a text has the form of a digest.
func isDigest(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size && hex.EncodeToString(sum) == text
}

// damaged says that a document is not what its digest says.
type damaged struct{ path, got, want string }

func (e *damaged) Error() string {
	return fmt.Sprintf("document %s arrived altered: its digest is %.12s… and should be %.12s…; look for what rewrites answers on the way", e.path, e.got, e.want)
}
