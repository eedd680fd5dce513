// Package archive keeps objects at a place that the operator names by a URL: a
// folder, which may be of another mount, or a bucket of a cloud. It does not
// trust that place to keep them unaltered: what is read back is to be verified
// by whoever reads it.
package archive

import (
	"context"
	"errors"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// MaxObject is the size of the largest object in bytes.
const MaxObject = 256 << 20

// callTime bounds every call. What it interrupts was done whole or not at all.
const callTime = 30 * time.Second

// store is a kind of place. Keys were checked; get answers errAbsent and
// errTooLarge.
type store interface {
	put(ctx context.Context, key string, body []byte) error
	get(ctx context.Context, key string, most int64) ([]byte, error)
	delete(ctx context.Context, key string) error // of what is absent: no error
	close() error
}

var (
	errAbsent   = errors.New("there is no such object")
	errTooLarge = errors.New("the object is too large")
)

// Archive is a place for objects.
type Archive struct {
	store   store
	name    string
	timeout time.Duration
	most    int64
}

// Open opens the archive of a URL: file:///FOLDER, which is made when it is not
// there, s3://BUCKET, gs://BUCKET or azblob://CONTAINER, the last three with
// /PREFIX if one is wanted, and the credentials of the server's environment. It
// does not ask a cloud whether the bucket is there. Errors are a *config.Error.
func Open(ctx context.Context, url string) (*Archive, error) {
	p, err := parse(url)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	s, err := p.open(ctx)
	if err != nil {
		return nil, unavailable(p.name, "cannot be opened", err)
	}
	return &Archive{store: s, name: p.name, timeout: callTime, most: MaxObject}, nil
}

// Name is the archive's URL without what may hold a credential.
func (a *Archive) Name() string { return a.name }

// Put keeps an object, durably, in the place of any other of its key. It is
// there whole or not at all. The error is a *config.Error; the object may be
// there nevertheless.
func (a *Archive) Put(ctx context.Context, key string, body []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if int64(len(body)) > a.most {
		return a.tooLarge(int64(len(body)))
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := a.store.put(ctx, key, body); err != nil {
		return unavailable(a.name, "did not take an object", err)
	}
	return nil
}

// Get is the object of a key; config.KindNotFound when there is none,
// config.KindTooLarge when it has more than MaxObject bytes.
func (a *Archive) Get(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	body, err := a.store.get(ctx, key, a.most)
	switch {
	case errors.Is(err, errAbsent):
		return nil, config.Errorf(config.KindNotFound, "the archive %s has no object %q", a.name, key).
			Hint("check that the archive is the one that the object was put into, and that nothing else deletes there")
	case errors.Is(err, errTooLarge):
		return nil, a.tooLarge(a.most + 1)
	case err != nil:
		return nil, unavailable(a.name, "did not hand out an object", err)
	}
	return body, nil
}

// Delete takes an object away; that there is none is fine.
func (a *Archive) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if err := a.store.delete(ctx, key); err != nil {
		return unavailable(a.name, "did not delete an object", err)
	}
	return nil
}

// Close ends the use of the archive.
func (a *Archive) Close() error { return a.store.close() }

func (a *Archive) tooLarge(actual int64) error {
	return config.Errorf(config.KindTooLarge, "an object of the archive %s is larger than %d bytes", a.name, a.most).
		Hint("this server puts no such object there; look at what did").Over(a.most, actual)
}

// unavailable is a call that failed. What the cause says goes to the log only,
// and there without what may be a credential.
func unavailable(name, what string, cause error) error {
	e := config.Errorf(config.KindUnavailable, "the archive %s %s", name, what)
	e.Cause = errors.New(clean(cause.Error()))
	if errors.Is(cause, context.DeadlineExceeded) {
		return e.Hint("it did not answer in time; check that the network and the place itself are well, it is tried again")
	}
	return e.Hint("check that it is there, and that the server's credentials or file permissions let it read, write and delete; the server's log has the cause")
}
