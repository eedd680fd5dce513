package settings

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Live hands out the settings in force. A request takes them once and finishes
// on what it took.
type Live struct {
	current atomic.Pointer[Settings]

	mu sync.Mutex // one reload at a time
}

// NewLive starts with settings that Load answered.
func NewLive(first Settings) *Live {
	l := &Live{}
	l.current.Store(&first)
	return l
}

// Get is the settings in force. Callers must not change them.
func (l *Live) Get() *Settings { return l.current.Load() }

// Reload puts next in force as far as a running server can: changed names what
// is new, refused says what stays as it was and why. When what would come of it
// is not valid, nothing changes.
func (l *Live) Reload(next Settings) (changed, refused []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	merged, changed, refused := l.Get().merge(next)
	if err := merged.Validate(); err != nil {
		return nil, nil, fmt.Errorf("the settings in force stay: %w", err)
	}
	l.current.Store(&merged)
	return changed, refused, nil
}

// ofTLS says whether an option decides if the API is served over TLS.
func (o option) ofTLS() bool { return o.name == "tls-cert" || o.name == "tls-key" }

// merge takes from next what may change while the server runs.
func (s Settings) merge(next Settings) (merged Settings, changed, refused []string) {
	merged = s
	switched := s.TLS() != next.TLS() // a listener speaks TLS or it does not, for as long as it is there
	for _, o := range options {
		o.live = o.live && (!switched || !o.ofTLS())
		before, after := o.get(&s), o.get(&next)
		if before == after {
			continue
		}
		if !o.live && o.hidden {
			refused = append(refused, o.name+" stays as it is until the server is started again")
			continue
		}
		if !o.live {
			refused = append(refused, fmt.Sprintf("%s stays %q until the server is started again; %q needs a restart", o.name, before, after))
			continue
		}
		o.copy(&merged, &next)
		changed = append(changed, o.name)
	}
	return merged, changed, refused
}
