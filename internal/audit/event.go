package audit

// EventInfo is what is known of an event.
type EventInfo struct {
	Name     string
	Meaning  string   // one sentence
	Counts   bool     // a record of it stands for as many as details.count says
	Controls []string // what it is evidence for, as FRAMEWORK:ID, such as soc2:CC6.1
}

// Events are all events that records can have, by name.
var Events = []EventInfo{}

// EventNamed finds an event.
func EventNamed(name string) (EventInfo, bool) { panic("not yet") }

// ParseRecord reads what Canonical wrote. Members that it does not know are
// passed over; a record of a later schema is refused.
func ParseRecord(b []byte) (Record, error) { panic("not yet") }

// Weight is how many occurrences a record stands for.
func (r *Record) Weight() int64 { panic("not yet") }
