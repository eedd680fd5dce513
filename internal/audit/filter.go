package audit

import (
	"net/netip"
	"time"
)

// Filter selects records. The zero Filter selects all of them; of the members
// that are set a record must satisfy each, and of a member with several values
// any one.
type Filter struct {
	From, To  time.Time    // at or after From, before To
	Events    []string     // each an event, or a family as in secret.*
	Actors    []string     // as records name them
	Actions   []string     // each an action, or a family as in config.*
	Outcomes  []Outcome    // any of these
	Resource  string       // the resource or what lies below it; tenants/<id>/ may be left out in front
	Source    netip.Prefix // the address or network that the request came from
	RequestID string
	TraceID   string
	Session   string
}

// Matches says whether the Filter selects a record.
func (f *Filter) Matches(r *Record) bool { panic("not yet") }

// Check refuses a Filter that can select nothing by its form, naming the member:
// an unknown outcome, an end before the beginning, a text that is too long, too
// many values. The error is a *config.Error.
func (f *Filter) Check() error { panic("not yet") }

// IsZero says whether the Filter selects everything.
func (f *Filter) IsZero() bool { panic("not yet") }
