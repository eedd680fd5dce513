package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Value is a document decoded into a T, kept current by a Store. A version
// that does not decode leaves the value as it is: there is never half of one.
type Value[T any] struct {
	path    string
	strict  bool
	closed  <-chan struct{}
	current atomic.Pointer[decoded[T]]

	mu        sync.Mutex
	listeners []*listener[T]
	notifier  *notifier // of the listeners; nil until there is one
}

type decoded[T any] struct {
	value    T
	revision int64
	data     []byte // what it was decoded from
}

// listener is a callback and what it was told last.
type listener[T any] struct {
	call func(old, updated *T)
	told *decoded[T]
	gone atomic.Bool
}

// BindOption adjusts how a document is decoded.
type BindOption func(*bindOptions)

type bindOptions struct{ strict bool }

// Strict refuses documents with members that T does not have.
func Strict() BindOption { return func(o *bindOptions) { o.strict = true } }

// Bind decodes the document at a path that was named to OpenStore into a T, by
// the rules of encoding/json, and does so again with every new version.
func Bind[T any](s *Store, path string, options ...BindOption) (*Value[T], error) {
	d := s.documents[path]
	if d == nil {
		return nil, fmt.Errorf("the store does not hold %q; name it in OpenStore", path)
	}
	var o bindOptions
	for _, option := range options {
		option(&o)
	}
	v := &Value[T]{path: path, strict: o.strict, closed: s.closed}
	if err := d.bind(v); err != nil {
		return nil, fmt.Errorf("document %s: %w", path, err)
	}
	return v, nil
}

// Get is the value now. It takes no lock and allocates nothing, so it may be
// called wherever the value is needed. What it points to never changes, and
// must not be changed: a new version is another T.
func (v *Value[T]) Get() *T { return &v.current.Load().value }

// Revision is the revision that the value came with.
func (v *Value[T]) Revision() int64 { return v.current.Load().revision }

// OnChange has a function called after every change from now on, in order and
// one at a time for all functions of the Value, until unregistered. A slow
// function holds up no read; it misses versions that were replaced meanwhile,
// but is always told the last one. A call that has begun when it is
// unregistered still ends.
func (v *Value[T]) OnChange(call func(old, updated *T)) (unregister func()) {
	l := &listener[T]{call: call}
	v.mu.Lock()
	defer v.mu.Unlock()
	l.told = v.current.Load()
	v.listeners = append(v.listeners, l)
	if v.notifier == nil {
		v.notifier = newNotifier(v.closed, v.tell)
	}
	return func() {
		l.gone.Store(true)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.listeners = slices.DeleteFunc(v.listeners, func(other *listener[T]) bool { return other == l })
	}
}

// tell calls every listener that does not know the current version. Only the
// notifier calls it, and so only one goroutine at a time.
func (v *Value[T]) tell() {
	v.mu.Lock()
	listeners := slices.Clone(v.listeners)
	v.mu.Unlock()
	for _, l := range listeners {
		now := v.current.Load()
		if old := l.told; !l.gone.Load() && !bytes.Equal(now.data, old.data) {
			l.told = now
			l.call(&old.value, &now.value)
		}
	}
}

// take decodes a version and, if that succeeds, makes it current.
func (v *Value[T]) take(d *Document) error {
	if last := v.current.Load(); last != nil && bytes.Equal(last.data, d.Data) {
		return nil
	}
	next := &decoded[T]{revision: d.Revision, data: d.Data}
	in := json.NewDecoder(bytes.NewReader(d.Data))
	if v.strict {
		in.DisallowUnknownFields()
	}
	if err := in.Decode(&next.value); err != nil {
		return undecodable(d, next.value, err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("revision %d goes on after the document", d.Revision)
	}
	v.current.Store(next)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.notifier != nil {
		v.notifier.poke()
	}
	return nil
}

// undecodable says why a document does not decode, as far as that shows no
// secret that is in it.
func undecodable(d *Document, into any, err error) error {
	if len(d.Secrets) == 0 {
		return fmt.Errorf("revision %d does not decode into %T: %w", d.Revision, into, err)
	}
	return fmt.Errorf("revision %d does not decode into %T%s; it holds secrets, so no more of it is shown", d.Revision, into, where(err))
}
