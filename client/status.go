package client

import (
	"maps"
	"time"
)

// Status is how a Store is doing.
type Status struct {
	Environment   string
	Connected     bool      // a watch is open, and was heard of within 45 s
	Revision      int64     // every document is as it was at this revision, or newer
	LastSeen      time.Time // the server's last sign of life
	StaleSince    time.Time // since when changes may have been missed; zero while connected
	LastError     error     // what went wrong last, be it past or not
	LastErrorTime time.Time
	Documents     []DocumentStatus // in the order in which they were named
	Secrets       []SecretStatus   // those that are used by name, in the order in which they were named
	LastAck       time.Time        // when the server last took note of what the program runs; zero for never
	AckErr        error            // why it does not now; nil when it does
}

// DocumentStatus is how the copy of one document is doing.
type DocumentStatus struct {
	Path     string
	Revision int64            // the revision that the served text came with
	Digest   string           // of the served text; references count as they are
	Secrets  map[string]int64 // revealed: path and version of each secret in the served text
	Missing  bool             // the server has no such document now; the last one is served
	Err      error            // why the document, or a value bound to it, is not the newest; nil when it is
}

// SecretStatus is how the copy of one secret is doing.
type SecretStatus struct {
	Path     string
	Revision int64 // the revision that the served values came with
	Version  int64 // of the served value
	Previous int64 // the version in grace; 0 when there is none
	Missing  bool  // the server has no such secret now; the last one is served
	Err      error // why the secret is not the newest; nil when it is
}

// link is how the connection is doing.
type link struct {
	connected   bool
	lastError   error
	lastErrorAt time.Time
	lastAck     time.Time
	ackErr      error
}

// Status is how the Store is doing now.
func (s *Store) Status() Status {
	revision := s.Revision()
	s.mu.Lock()
	link := s.link
	s.mu.Unlock()
	status := Status{
		Environment: s.environment, Connected: link.connected, Revision: revision,
		LastSeen:  time.Unix(0, s.lastSeen.Load()),
		LastError: link.lastError, LastErrorTime: link.lastErrorAt,
		LastAck: link.lastAck, AckErr: link.ackErr,
	}
	if !link.connected {
		status.StaleSince = status.LastSeen
	}
	for _, path := range s.paths {
		status.Documents = append(status.Documents, s.documents[path].status())
	}
	for _, path := range s.secretPaths {
		status.Secrets = append(status.Secrets, s.secrets[path].status())
	}
	return status
}

func (d *localCopy) status() DocumentStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	current := d.current.Load()
	return DocumentStatus{
		Path: d.path, Revision: current.Revision, Digest: current.Digest, Secrets: maps.Clone(current.Secrets),
		Missing: d.missing, Err: d.err(),
	}
}

func (c *secretCopy) status() SecretStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	pair := c.current.Load()
	status := SecretStatus{Path: c.path, Revision: pair.Revision, Version: pair.Current.Version, Missing: c.missing, Err: c.readErr}
	if pair.Previous != nil {
		status.Previous = pair.Previous.Version
	}
	return status
}

func (s *Store) alive() { s.lastSeen.Store(time.Now().UnixNano()) }

func (s *Store) connected() {
	s.alive()
	s.mu.Lock()
	s.link.connected = true
	s.mu.Unlock()
	s.tellStatus()
}

func (s *Store) disconnected(err error) {
	s.mu.Lock()
	s.link.connected = false
	s.mu.Unlock()
	s.report(err)
}

// report keeps an error for the status, and tells of it.
func (s *Store) report(err error) {
	s.mu.Lock()
	s.link.lastError, s.link.lastErrorAt = err, time.Now()
	s.mu.Unlock()
	s.tellStatus()
}

// acknowledged notes how an acknowledgement went, and tells when that is news.
func (s *Store) acknowledged(err error) {
	s.mu.Lock()
	news := (err == nil) != (s.link.ackErr == nil)
	if s.link.ackErr = err; err == nil {
		s.link.lastAck = time.Now()
	}
	s.mu.Unlock()
	if news {
		s.tellStatus()
	}
}

func (s *Store) tellStatus() {
	if s.onStatus != nil {
		s.onStatus.poke()
	}
}

// notifier calls a function after every poke, on a goroutine of its own and so
// one call at a time. Pokes that come during a call make one call together.
type notifier struct{ pokes chan struct{} }

func newNotifier(done <-chan struct{}, call func()) *notifier {
	n := &notifier{pokes: make(chan struct{}, 1)}
	go func() {
		for {
			select {
			case <-done:
				return
			case <-n.pokes:
				call()
			}
		}
	}()
	return n
}

func (n *notifier) poke() { poke(n.pokes) }

// poke leaves word in a channel that has room for one, unless there is some.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
