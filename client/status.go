package client

import "time"

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
}

// DocumentStatus is how the copy of one document is doing.
type DocumentStatus struct {
	Path     string
	Revision int64  // the revision that the served text came with
	Digest   string // of the served text
	Missing  bool   // the server has no such document now; the last one is served
	Err      error  // why the document, or a value bound to it, is not the newest; nil when it is
}

// link is how the connection is doing.
type link struct {
	connected   bool
	lastError   error
	lastErrorAt time.Time
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
	}
	if !link.connected {
		status.StaleSince = status.LastSeen
	}
	for _, path := range s.paths {
		status.Documents = append(status.Documents, s.documents[path].status())
	}
	return status
}

func (d *localCopy) status() DocumentStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	current := d.current.Load()
	return DocumentStatus{Path: d.path, Revision: current.Revision, Digest: current.Digest, Missing: d.missing, Err: d.err()}
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

func (n *notifier) poke() {
	select {
	case n.pokes <- struct{}{}:
	default:
	}
}
