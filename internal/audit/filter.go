package audit

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
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

// Bounds of a Filter.
const (
	maxFilterValues = 32
	maxFilterText   = 1024 // bytes
)

// Matches says whether the Filter selects a record.
func (f *Filter) Matches(r *Record) bool {
	return f.inTime(r.Time) &&
		f.hasEvent(r.Event) && f.hasActor(r.Actor) && f.hasAction(r.Action) && f.hasOutcome(string(r.Outcome)) &&
		(f.RequestID == "" || f.RequestID == r.RequestID) &&
		(f.TraceID == "" || f.TraceID == r.TraceID) &&
		(f.Session == "" || f.Session == r.Session) &&
		(!f.Source.IsValid() || f.hasSource(r.Source)) &&
		(f.Resource == "" || f.hasResource(r.Resource) || slices.ContainsFunc(r.Resources, f.hasResource))
}

// IsZero says whether the Filter selects everything.
func (f *Filter) IsZero() bool {
	return f.From.IsZero() && f.To.IsZero() &&
		len(f.Events) == 0 && len(f.Actors) == 0 && len(f.Actions) == 0 && len(f.Outcomes) == 0 &&
		f.Resource == "" && f.Source == (netip.Prefix{}) && f.RequestID == "" && f.TraceID == "" && f.Session == ""
}

func (f *Filter) inTime(t time.Time) bool {
	return (f.From.IsZero() || !t.Before(f.From)) && (f.To.IsZero() || t.Before(f.To))
}

func (f *Filter) hasEvent(event string) bool { return inAny(f.Events, event) }

func (f *Filter) hasAction(action string) bool { return inAny(f.Actions, action) }

func (f *Filter) hasActor(actor string) bool {
	return len(f.Actors) == 0 || slices.Contains(f.Actors, actor)
}

func (f *Filter) hasOutcome(outcome string) bool {
	return len(f.Outcomes) == 0 || slices.Contains(f.Outcomes, Outcome(outcome))
}

func inAny(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool { return inFamily(pattern, name) })
}

// hasSource says whether a source is in the network asked for. An IPv4 address
// is the same however it is written.
func (f *Filter) hasSource(source string) bool {
	addr, err := netip.ParseAddr(source)
	return err == nil && unmapped(f.Source).Contains(addr.Unmap().WithZone(""))
}

// unmapped is an IPv4 network that was written as IPv6 as IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	const mappedBits = 96
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p
}

// hasResource says whether a resource is the one asked for or lies below it.
func (f *Filter) hasResource(resource string) bool {
	const tenants = "tenants/"
	if !isWhole(f.Resource) {
		rest, ofTenant := strings.CutPrefix(resource, tenants)
		slash := strings.IndexByte(rest, '/')
		if !ofTenant || slash < 0 {
			return false
		}
		resource = rest[slash+1:]
	}
	below, ok := strings.CutPrefix(resource, f.Resource)
	return ok && (below == "" || below[0] == '/')
}

// isWhole says whether a resource is named from the beginning, and not within
// whichever tenant.
func isWhole(resource string) bool {
	first, _, _ := strings.Cut(resource, "/")
	return first == "tenants" || first == "server"
}

// Check refuses a Filter that can select nothing by its form, naming the member:
// an event or outcome that there is not, an end before the beginning, a text that
// is too long, too many values. The error is a *config.Error.
func (f *Filter) Check() error {
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return wrong("to", "the time to which to search is not after the one from which").Hint("from is the earlier time, to the later")
	}
	for _, m := range []struct {
		name   string
		values []string
	}{
		{"event", f.Events}, {"actor", f.Actors}, {"action", f.Actions}, {"outcome", texts(f.Outcomes)},
	} {
		if err := checkValues(m.name, m.values); err != nil {
			return err
		}
	}
	for _, m := range []struct{ name, text string }{
		{"resource", f.Resource}, {"request_id", f.RequestID}, {"trace_id", f.TraceID}, {"session", f.Session},
	} {
		if err := checkText(m.name, m.text); err != nil {
			return err
		}
	}
	return f.checkForms()
}

// checkForms refuses what no record can have.
func (f *Filter) checkForms() error {
	for _, event := range f.Events {
		if !anyEvent(event) {
			return wrong("event", "there is no event %q", event).Hint("%s", eventHint(event))
		}
	}
	for _, action := range f.Actions {
		if name := strings.TrimSuffix(action, ".*"); name == "" || strings.Contains(name, "*") {
			return wrong("action", "%q is neither an action nor a family of them", action).Hint("a family is such as config.*")
		}
	}
	for _, outcome := range f.Outcomes {
		if outcome != Success && outcome != Denied && outcome != Failed {
			return wrong("outcome", "there is no outcome %q", outcome).Hint("ask for %s, %s or %s", Success, Denied, Failed)
		}
	}
	if f.Resource != "" && slices.Contains(strings.Split(f.Resource, "/"), "") {
		return wrong("resource", "the resource has an empty segment").Hint("leave out slashes at its beginning and end, as in environments/production")
	}
	if f.Source != (netip.Prefix{}) && !f.Source.IsValid() {
		return wrong("source", "the source is no network").Hint("give an address or a network, as in 10.1.0.0/16")
	}
	if _, err := hex.DecodeString(f.TraceID); f.TraceID != "" && (err != nil || len(f.TraceID) != traceDigits || f.TraceID != strings.ToLower(f.TraceID)) {
		return wrong("trace_id", "a trace id has %d lower-case hexadecimal digits", traceDigits).Hint("give the second part of the request's traceparent")
	}
	return nil
}

// traceDigits are those of a trace id (W3C Trace Context, section 3.2.2.3).
const traceDigits = 32

func texts(outcomes []Outcome) []string {
	all := make([]string, len(outcomes))
	for i, o := range outcomes {
		all[i] = string(o)
	}
	return all
}

func checkValues(member string, values []string) error {
	if len(values) > maxFilterValues {
		return wrong(member, "too many values are asked for").Over(maxFilterValues, int64(len(values))).
			Hint("ask for at most %d at a time, or for a family as in secret.*", maxFilterValues)
	}
	for _, value := range values {
		if value == "" {
			return wrong(member, "an empty text is asked for").Hint("leave it out to search whatever it is")
		}
		if err := checkText(member, value); err != nil {
			return err
		}
	}
	return nil
}

func checkText(member, text string) error {
	if len(text) > maxFilterText {
		return wrong(member, "the text is too long").Over(maxFilterText, int64(len(text))).Hint("give at most %d bytes", maxFilterText)
	}
	return nil
}

func wrong(member, format string, args ...any) *config.Error {
	return config.Errorf(config.KindBadRequest, format, args...).At(member)
}

// eventHint says what one may have meant by an event that there is not.
func eventHint(event string) string {
	if near := nearestEvents(event); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "events are such as secret.read, and families such as secret.*"
}
