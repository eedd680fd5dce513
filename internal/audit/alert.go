package audit

import (
	"container/list"
	"net/netip"
	"slices"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

// Alert is a rule that was raised.
type Alert struct {
	Rule     AlertRule
	Key      string // the actor, address, tenant or resource; "server" for what is of no tenant
	Chain    config.TenantID
	Count    int64     // within the window, at least
	Sequence uint64    // of the record that raised it, in Chain
	Time     time.Time // of that record
}

// Bounds of what Alerts keep for a rule. Beyond them the key that has been quiet
// for longest is forgotten.
const (
	maxAlertKeys    = 10_000
	maxAlertEntries = maxThreshold // of all keys together
)

// lateness is how much older than the newest one of its key a record may be and
// still be taken for one that came late, such as a count of the minute before;
// in longer windows it may be as old as the window. What is older is taken for
// that of a clock that was put back.
const lateness = 2 * time.Minute

// Alerts counts records by rules, in bounded memory. It is not for several
// goroutines at a time.
type Alerts struct {
	rules    []AlertRule
	watchers []*watcher // of each rule
	keys     int        // a rule
	entries  int        // a rule
}

// NewAlerts counts by rules: the built-in ones, replaced or turned off by those
// given of the same names; of several of one name the last counts.
func NewAlerts(rules []AlertRule) *Alerts {
	a := &Alerts{keys: maxAlertKeys, entries: maxAlertEntries}
	for _, r := range slices.Concat(BuiltinAlerts, rules) {
		same := func(other AlertRule) bool { return other.Name == r.Name }
		if i := slices.IndexFunc(a.rules, same); i >= 0 {
			a.rules[i] = r
		} else {
			a.rules = append(a.rules, r)
		}
	}
	a.rules = slices.DeleteFunc(a.rules, func(r AlertRule) bool { return r.Off })
	for _, r := range a.rules {
		a.watchers = append(a.watchers, &watcher{rule: r, keys: map[string]*list.Element{}})
	}
	return a
}

// Rules are those in force.
func (a *Alerts) Rules() []AlertRule { return slices.Clone(a.rules) }

// Longest is the longest window of any rule.
func (a *Alerts) Longest() time.Duration {
	var longest time.Duration
	for _, r := range a.rules {
		longest = max(longest, r.Window)
	}
	return longest
}

// Add counts a record and answers the rules that it raises. Time is the record's
// own; records of one chain come in their order. A rule that was raised is silent
// for its key until its window has passed.
func (a *Alerts) Add(chain config.TenantID, sequence uint64, r *Record) []Alert {
	var raised []Alert
	for _, w := range a.watchers {
		if !inFamily(w.rule.Event, r.Event) {
			continue
		}
		key := w.rule.Per.key(chain, r)
		if key == "" {
			continue
		}
		if count, enough := w.add(key, r); enough {
			raised = append(raised, Alert{w.rule, key, chain, count, sequence, r.Time})
		}
		w.bound(a.keys, a.entries)
	}
	return raised
}

// key is whom a record is counted for; "" for nobody. A tenant's record counts
// for it on the server's chain too.
func (p Per) key(chain config.TenantID, r *Record) string {
	switch {
	case p == PerActor:
		return r.Actor
	case p == PerAddress:
		return network(r.Source)
	case p == PerResource:
		return r.Resource
	case r.Tenant != "":
		return r.Tenant
	case chain == config.TenantID{}:
		return "server"
	}
	return chain.String()
}

// network is an IPv4 address, or the first address of an IPv6 /64. What is no
// address, as in the count for sources that there was no room for, stays as it is.
func network(source string) string {
	const sourceBits = 64
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return source
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		addr = netip.PrefixFrom(addr, sourceBits).Masked().Addr()
	}
	return addr.String()
}

// watcher counts for one rule.
type watcher struct {
	rule    AlertRule
	keys    map[string]*list.Element // key → its *tally in recent
	recent  list.List                // of *tally; the one that was added to last is in front
	entries int                      // of all tallies
}

// tally is what is counted for a key.
type tally struct {
	key     string
	newest  time.Time
	raised  time.Time // zero for never
	total   int64     // weight of entries
	entries []entry   // within the window, by time
}

// entry is an occurrence.
type entry struct {
	time     time.Time
	weight   int64
	resource uint64 // hash; where only different ones count
}

// add counts a record for a key, and says whether that is enough to raise the rule.
func (w *watcher) add(key string, r *Record) (count int64, enough bool) {
	element := w.keys[key]
	if element == nil {
		element = w.recent.PushFront(&tally{key: key})
		w.keys[key] = element
	}
	w.recent.MoveToFront(element)
	t := element.Value.(*tally) //nolint:forcetypeassert // the list holds nothing else
	w.entries -= len(t.entries)
	t.turn(r.Time, w.rule.Window)
	if w.rule.Different {
		t.addDifferent(r.Resource)
		for _, resource := range r.Resources {
			t.addDifferent(resource)
		}
	} else if weight := r.Weight(); weight > 0 {
		t.append(entry{time: t.newest, weight: weight})
	}
	if over := len(t.entries) - int(w.rule.Threshold); over > 0 { // the newest alone are enough
		t.forget(over)
	}
	w.entries += len(t.entries)
	if t.total < w.rule.Threshold || !t.raised.IsZero() && t.newest.Sub(t.raised) < w.rule.Window {
		return t.total, false
	}
	t.raised = t.newest
	return t.total, true
}

// turn goes on to the time of the next record, and forgets what is out of the
// window then. A record that comes late counts at the newest time. Where the clock
// was put back, all that is kept is put back with it, so that nothing is forgotten
// and nothing is silent for longer.
func (t *tally) turn(now time.Time, window time.Duration) {
	back := t.newest.Sub(now)
	switch {
	case back < 0 || t.newest.IsZero():
		t.newest = now
	case back > max(window, lateness):
		for i := range t.entries {
			t.entries[i].time = t.entries[i].time.Add(-back)
		}
		if !t.raised.IsZero() {
			t.raised = t.raised.Add(-back)
		}
		t.newest = now
	}
	old := slices.IndexFunc(t.entries, func(e entry) bool { return t.newest.Sub(e.time) < window })
	if old < 0 {
		old = len(t.entries)
	}
	t.forget(old)
}

func (t *tally) append(e entry) {
	t.entries, t.total = append(t.entries, e), t.total+e.weight
}

// addDifferent counts a resource; one that is there already only gets younger.
func (t *tally) addDifferent(resource string) {
	hash := hashOf(resource)
	if i := slices.IndexFunc(t.entries, func(e entry) bool { return e.resource == hash }); i >= 0 {
		t.entries, t.total = slices.Delete(t.entries, i, i+1), t.total-1
	}
	t.append(entry{t.newest, 1, hash})
}

// forget drops the oldest entries.
func (t *tally) forget(n int) {
	for _, e := range t.entries[:n] {
		t.total -= e.weight
	}
	t.entries = t.entries[n:]
}

// bound forgets the keys that have been quiet for longest while there are more
// than may be kept. The one that was added to last stays.
func (w *watcher) bound(keys, entries int) {
	for len(w.keys) > keys || w.entries > entries && len(w.keys) > 1 {
		oldest := w.recent.Back()
		t := w.recent.Remove(oldest).(*tally) //nolint:forcetypeassert // the list holds nothing else
		w.entries -= len(t.entries)
		delete(w.keys, t.key)
	}
}
