package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/canon"
)

// MaxRecord bounds a record that ParseRecord reads, in bytes.
const MaxRecord = 4 << 20

// ParseRecord reads what Canonical wrote. Members that it does not know are
// passed over; a record of a later schema is refused. The texts of the record
// share one copy of b.
func ParseRecord(b []byte) (Record, error) {
	if r, ok := parsePlain(b); ok && len(b) <= MaxRecord {
		return r, nil
	}
	return parseAny(b)
}

// parseAny reads a record that is written in any way.
func parseAny(b []byte) (Record, error) {
	v, err := canon.Decode(b, canon.Limits{Bytes: MaxRecord})
	if err != nil {
		return Record{}, fmt.Errorf("this is no audit record: %w", err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return Record{}, errors.New("this is no audit record: it is not an object")
	}
	m := members{of: object}
	if schema := m.integer("schema"); m.err == nil && schema != Schema {
		if schema > Schema {
			return Record{}, fmt.Errorf("the audit record is of schema %d, and this program knows %d: use a newer one", schema, Schema)
		}
		return Record{}, fmt.Errorf("the audit record has no schema that there is: %d", schema)
	}
	r := Record{
		Time: m.time("time"), Event: m.text("event"), Actor: m.text("actor"), Tenant: m.text("tenant"),
		Resource: m.text("resource"), Resources: m.texts("resources"), Action: m.text("action"), Outcome: Outcome(m.text("outcome")),
		Reason: m.text("reason"), Revision: m.integer("revision"), RequestID: m.text("request_id"), Session: m.text("session"),
		Source: m.text("source"), TraceID: m.text("trace_id"), UserAgent: m.text("user_agent"), Details: m.details("details"),
	}
	return r, m.err
}

// members reads the members of a record. Those that are missing are zero; the
// first that is of another form is kept as the error.
type members struct {
	of  map[string]any
	err error
}

func (m *members) fail(name, want string) {
	if m.err == nil {
		m.err = fmt.Errorf("the member %q of an audit record is not %s", name, want)
	}
}

func (m *members) text(name string) string {
	v, there := m.of[name]
	text, ok := v.(string)
	if there && !ok {
		m.fail(name, "a text")
	}
	return text
}

func (m *members) integer(name string) int64 {
	const maxInteger = 1 << 53
	v, there := m.of[name]
	f, ok := v.(float64)
	if there && (!ok || f != float64(int64(f)) || f < -maxInteger || f > maxInteger) {
		m.fail(name, "an integer")
		return 0
	}
	return int64(f)
}

func (m *members) texts(name string) []string {
	v, there := m.of[name]
	if !there {
		return nil
	}
	items, ok := v.([]any)
	texts := make([]string, len(items))
	for i, item := range items {
		text, isText := item.(string)
		texts[i], ok = text, ok && isText
	}
	if !ok {
		m.fail(name, "an array of texts")
	}
	return texts
}

func (m *members) details(name string) map[string]string {
	v, there := m.of[name]
	if !there {
		return nil
	}
	object, ok := v.(map[string]any)
	details := make(map[string]string, len(object))
	for key, item := range object {
		text, isText := item.(string)
		details[key], ok = text, ok && isText
	}
	if !ok {
		m.fail(name, "an object of texts")
	}
	return details
}

// time reads the one form that records have it in. RFC 3339 is what the standard
// library reads fastest, and Z ends it.
func (m *members) time(name string) time.Time {
	text := m.text(name)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || len(text) != len(timeForm) || !strings.HasSuffix(text, "Z") {
		m.fail(name, "a time such as "+timeForm)
	}
	return t
}

// maxWeight bounds what one record stands for, so that sums do not overflow.
const maxWeight = 1 << 40

// Weight is how many occurrences a record stands for: as many as details.count
// says where its event is a count, else 1. The first failed authentication of a
// minute has a record of its own, so that the count of them weighs one less.
func (r *Record) Weight() int64 {
	info, _ := EventNamed(r.Event)
	if !info.Counts {
		return 1
	}
	n, err := strconv.ParseInt(r.Details["count"], 10, 64)
	if err != nil || n < 1 {
		return 1
	}
	if r.Event == countedFailures {
		n--
	}
	return min(n, maxWeight)
}
