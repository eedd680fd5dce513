package audit

import (
	"strings"
	"time"
)

// maxPlainDigits keeps an integer within what RFC 8785 writes exactly.
const maxPlainDigits = 15

// parsePlain reads a record as nearly all are: members that are known, in their
// order, texts of ASCII without escapes. Of anything else it says that it is not
// plain, and leaves it to the parser that knows all of JSON. It takes a fraction
// of the time, which every record costs that is indexed, counted or packed.
func parsePlain(b []byte) (Record, bool) {
	p := plain{rest: string(b)}
	var r Record
	var when string
	var schema int64
	p.take('{')
	for name := ""; ; {
		next := p.text()
		p.take(':')
		if next <= name {
			p.failed = true
		}
		if p.failed {
			return Record{}, false
		}
		switch name = next; name {
		case "action":
			r.Action = p.text()
		case "actor":
			r.Actor = p.text()
		case "details":
			r.Details = p.details()
		case "event":
			r.Event = p.text()
		case "outcome":
			r.Outcome = Outcome(p.text())
		case "reason":
			r.Reason = p.text()
		case "request_id":
			r.RequestID = p.text()
		case "resource":
			r.Resource = p.text()
		case "revision":
			r.Revision = p.integer()
		case "schema":
			schema = p.integer()
		case "session":
			r.Session = p.text()
		case "source":
			r.Source = p.text()
		case "tenant":
			r.Tenant = p.text()
		case "time":
			when = p.text()
		case "trace_id":
			r.TraceID = p.text()
		case "user_agent":
			r.UserAgent = p.text()
		default:
			return Record{}, false
		}
		if !p.more() {
			break
		}
	}
	t, err := time.Parse(time.RFC3339Nano, when)
	if p.failed || p.rest != "" || err != nil || len(when) != len(timeForm) || !strings.HasSuffix(when, "Z") || schema != Schema {
		return Record{}, false
	}
	r.Time = t
	return r, true
}

// plain reads from the front of what is left, until something is not plain.
type plain struct {
	rest   string
	failed bool
}

// take reads one byte, which has to be c.
func (p *plain) take(c byte) {
	if p.failed || p.rest == "" || p.rest[0] != c {
		p.failed = true
		return
	}
	p.rest = p.rest[1:]
}

// more reads what is behind a member, and says whether that is another one.
func (p *plain) more() bool {
	if !p.failed && p.rest != "" && p.rest[0] == ',' {
		p.rest = p.rest[1:]
		return true
	}
	p.take('}')
	return false
}

func (p *plain) text() string {
	p.take('"')
	for i := 0; i < len(p.rest) && !p.failed; i++ {
		switch c := p.rest[i]; {
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			return text
		case c < ' ' || c > '~' || c == '\\':
			p.failed = true
		}
	}
	p.failed = true
	return ""
}

func (p *plain) integer() (n int64) {
	i := 0
	for i < len(p.rest) && '0' <= p.rest[i] && p.rest[i] <= '9' {
		n = n*10 + int64(p.rest[i]-'0')
		if i++; i > maxPlainDigits {
			break
		}
	}
	if i == 0 || i > maxPlainDigits || i > 1 && p.rest[0] == '0' {
		p.failed = true
	}
	p.rest = p.rest[i:]
	return n
}

func (p *plain) details() map[string]string {
	p.take('{')
	details := map[string]string{}
	for name := ""; !p.failed; {
		next := p.text()
		if p.take(':'); next <= name {
			p.failed = true
		}
		name = next
		details[name] = p.text()
		if !p.more() {
			break
		}
	}
	return details
}
