// Package audit says what an audit record is and how records are chained, so
// that one that was edited, removed or moved is found. It is pure: whoever has
// the records can check them, and needs to trust nobody who kept them.
package audit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// Schema is the version of the record's form.
const Schema = 1

// Outcome says how an audited action ended.
type Outcome string

// The outcomes.
const (
	Success Outcome = "success"
	Denied  Outcome = "denied"
	Failed  Outcome = "failed"
)

// Record is one audited event. It never holds a value of a document or secret;
// where sameness matters, Details holds keyed hashes.
type Record struct {
	Time      time.Time
	Event     string   // what happened, as in config.change or authentication.failed
	Actor     string   // who did it: token:ID and the like, system:server or anonymous; no name that somebody chose
	Tenant    string   // the tenant's id in hexadecimal; empty for the server
	Resource  string   // what it was done to
	Resources []string // what else it was done to, sorted; only of what is done to several things at once
	Action    string   // the guard's action
	Outcome   Outcome
	Reason    string
	Revision  int64 // the revision that it made; zero when it made none
	RequestID string
	Session   string // what tells one login of the actor from another
	Source    string // network address of the caller
	TraceID   string // of the caller's trace: 32 hexadecimal digits (W3C Trace Context)
	UserAgent string
	Details   map[string]string
}

// timeForm has all nine digits, so that records sort by their text.
const timeForm = "2006-01-02T15:04:05.000000000Z"

// typicalBytes is room for most records, so that Canonical allocates once.
const typicalBytes = 512

// Canonical is the record in RFC 8785 form, its empty fields left out. Members
// are written in their sorted order, which spares the map this would else take
// on every write.
func (r Record) Canonical() []byte {
	b := append(make([]byte, 0, typicalBytes), '{')
	b = appendText(b, "action", r.Action)
	b = appendText(b, "actor", r.Actor)
	b = appendDetails(b, r.Details)
	b = appendText(b, "event", r.Event)
	b = appendText(b, "outcome", string(r.Outcome))
	b = appendText(b, "reason", r.Reason)
	b = appendText(b, "request_id", r.RequestID)
	b = appendText(b, "resource", r.Resource)
	b = appendTexts(b, "resources", r.Resources)
	if r.Revision != 0 {
		b = strconv.AppendInt(appendName(b, "revision"), r.Revision, 10)
	}
	b = strconv.AppendInt(appendName(b, "schema"), Schema, 10)
	b = appendText(b, "session", r.Session)
	b = appendText(b, "source", r.Source)
	b = appendText(b, "tenant", r.Tenant)
	b = append(appendName(b, "time"), '"')
	b = append(r.Time.UTC().AppendFormat(b, timeForm), '"')
	b = appendText(b, "trace_id", r.TraceID)
	b = appendText(b, "user_agent", r.UserAgent)
	return append(b, '}')
}

// appendText adds a member. What a caller sent, such as its user agent, need not
// be UTF-8; a record always is.
func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return canon.AppendString(appendName(b, name), valid(text))
}

func appendTexts(b []byte, name string, texts []string) []byte {
	if len(texts) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = canon.AppendString(b, valid(text))
	}
	return append(b, ']')
}

// typicalDetails is how many details most records have at most.
const typicalDetails = 8

// appendDetails sorts names as they are written. Of two that are the same when
// they are made valid, the first counts.
func appendDetails(b []byte, details map[string]string) []byte {
	if len(details) == 0 {
		return b
	}
	var room [typicalDetails]string
	names := room[:0]
	for name := range details {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(canon.CompareKeys(valid(a), valid(b)), strings.Compare(a, b))
	})
	b = append(appendName(b, "details"), '{')
	for i, name := range names {
		if i > 0 && valid(name) == valid(names[i-1]) {
			continue
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(canon.AppendString(b, valid(name)), ':')
		b = canon.AppendString(b, valid(details[name]))
	}
	return append(b, '}')
}

// valid is text as I-JSON may hold it: what is no UTF-8 and Unicode's
// noncharacters are replaced, so that whatever was written can be read.
func valid(text string) string {
	if canon.CheckString(text) == "" {
		return text
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, string(utf8.RuneError)) {
		if canon.CheckString(string(r)) != "" {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

// appendName begins a member; names are plain ASCII and need no escaping.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	return append(b, '"', ':')
}
