package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

func mustRule(t testing.TB, text string) AlertRule {
	t.Helper()
	r, err := ParseAlertRule(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseAlertRule(t *testing.T) {
	for text, want := range map[string]AlertRule{
		"mass-secret-reads: 200 different secret.read in 5m per actor": {"mass-secret-reads", 200, true, "secret.read", 5 * time.Minute, PerActor, false},
		"a:1 audit.* in 24h per tenant":                                {"a", 1, false, "audit.*", 24 * time.Hour, PerTenant, false},
		"a-1:  1000000\tconfig.reads in 90s  per address ":             {"a-1", 1_000_000, false, "config.reads", 90 * time.Second, PerAddress, false},
		"sink-down: 1 audit.sink.down in 15m per resource":             {"sink-down", 1, false, "audit.sink.down", 15 * time.Minute, PerResource, false},
		"brute-force: off": {Name: "brute-force", Off: true},
	} {
		got, err := ParseAlertRule(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v (%v)", text, got, err)
			continue
		}
		if again := mustRule(t, got.String()); again != want {
			t.Errorf("%s is read as %+v", got, again)
		}
	}
	for text, want := range map[AlertRule]string{
		{"a", 5, true, "secret.read", 5 * time.Minute, PerActor, false}:  "a: 5 different secret.read in 5m per actor",
		{"a", 5, false, "secret.*", time.Hour, PerTenant, false}:         "a: 5 secret.* in 1h per tenant",
		{"a", 5, false, "secret.*", 90 * time.Minute, PerTenant, false}:  "a: 5 secret.* in 1h30m per tenant",
		{"a", 5, false, "secret.*", 10 * time.Second, PerTenant, false}:  "a: 5 secret.* in 10s per tenant",
		{"a", 5, false, "secret.*", 3610 * time.Second, PerActor, false}: "a: 5 secret.* in 1h0m10s per actor",
	} {
		if got := text.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseAlertRuleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "has no name",
		"off":                              "has no name",
		": 5 secret.read in 5m per actor":  "name",
		"A: 5 secret.read in 5m per actor": "a to z",
		"1a: off":                          "begins with a letter",
		" a: off":                          "name",
		strings.Repeat("a", 65) + ": 5 secret.read in 5m per actor": "at most 64",
		"mine: off":                                      "not built in",
		"a: ":                                            "write it as NAME: N",
		"a: off now":                                     "cannot be read",
		"a: 5 secret.read in 5m":                         "cannot be read",
		"a: 5 secret.read within 5m per actor":           "cannot be read",
		"a: 5 secret.read in 5m for actor":               "cannot be read",
		"a: 5 other secret.read in 5m per actor":         "cannot be read",
		"a: 5 different secret.read in 5m per actor":     "",
		"a: 0 secret.read in 5m per actor":               "from 1 to 1000000",
		"a: -1 secret.read in 5m per actor":              "from 1 to 1000000",
		"a: 1000001 secret.read in 5m per actor":         "from 1 to 1000000",
		"a: 10001 different secret.read in 5m per actor": "from 1 to 10000",
		"a: five secret.read in 5m per actor":            "give a number",
		"a: 5 secret.raed in 5m per actor":               "did you mean secret.read",
		"a: 5 secret.read in 0s per actor":               "1s to 24h",
		"a: 5 secret.read in 25h per actor":              "1s to 24h",
		"a: 5 secret.read in 1500ms per actor":           "whole seconds",
		"a: 5 secret.read in five per actor":             "whole seconds",
		"a: 5 secret.read in 5m per token":               "per actor, address, tenant or resource",
		"a: 5 different secret.read in 5m per resource":  "of which there is one",
	} {
		_, err := ParseAlertRule(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
	}
}

func TestParseAlertRules(t *testing.T) {
	rules, err := ParseAlertRules([]string{"a: 5 secret.read in 5m per actor", "brute-force: off"})
	if err != nil || len(rules) != 2 || rules[0].Name != "a" || !rules[1].Off {
		t.Errorf("got %v (%v)", rules, err)
	}
	if _, err := ParseAlertRules([]string{"brute-force: off", "brute-force: off"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the error is %v", err)
	}
	if _, err := ParseAlertRules([]string{"a: on"}); err == nil {
		t.Error("what is no rule is read")
	}
	many := make([]string, maxAlertRules+1)
	for i := range many {
		many[i] = fmt.Sprintf("a%d: 5 secret.read in 5m per actor", i)
	}
	if _, err := ParseAlertRules(many); err == nil || !strings.Contains(err.Error(), "64 are allowed") {
		t.Errorf("the error is %v", err)
	}
	if _, err := ParseAlertRules(many[1:]); err != nil {
		t.Error(err)
	}
}

// FuzzParseAlertRule holds that what parses prints, and parses to the same.
func FuzzParseAlertRule(f *testing.F) {
	for _, r := range BuiltinAlerts {
		f.Add(r.String())
	}
	f.Add("a: 3 different secret.* in 1h0m7s per address")
	f.Add("sink-down:off")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseAlertRule(text)
		if err != nil {
			return
		}
		if again := mustRule(t, r.String()); again != r || again.String() != r.String() {
			t.Fatalf("%q is %q, and that %q", text, r, again)
		}
	})
}

func TestBuiltinAlertsAreRules(t *testing.T) {
	for _, r := range BuiltinAlerts {
		if got := mustRule(t, r.String()); got != r {
			t.Errorf("%s is read as %+v", r, got)
		}
		mustRule(t, r.Name+": off")
	}
}

func TestNewAlerts(t *testing.T) {
	a := NewAlerts([]AlertRule{
		mustRule(t, "brute-force: 3 authentication.failed in 1m per tenant"), mustRule(t, "sink-down: off"),
		mustRule(t, "mine: 3 tag.set in 2h per actor"), mustRule(t, "mine: 4 tag.set in 2h per actor"),
	})
	var got []string
	for _, r := range a.Rules() {
		got = append(got, r.String())
	}
	want := []string{
		"brute-force: 3 authentication.failed in 1m per tenant", "denial-burst: 50 authorization.denied in 5m per actor",
		"mass-secret-reads: 200 different secret.read in 5m per actor", "break-glass: 1 grant.approve in 1m per tenant",
		"break-glass-use: 1 grant.use in 15m per actor", "chain-broken: 1 audit.broken in 15m per tenant", "mine: 4 tag.set in 2h per actor",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if a.Longest() != 2*time.Hour || NewAlerts(nil).Longest() != 15*time.Minute {
		t.Errorf("the longest is %v", a.Longest())
	}
}

var (
	noon   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	chainA = config.TenantID{1}
)

// only raises by one rule alone.
func only(t testing.TB, rule string) *Alerts {
	t.Helper()
	r := mustRule(t, rule)
	rules := []AlertRule{r}
	for _, b := range BuiltinAlerts {
		if b.Name != r.Name {
			rules = append(rules, AlertRule{Name: b.Name, Off: true})
		}
	}
	return NewAlerts(rules)
}

// raisedAt adds a record at each of seconds after noon, and answers which of
// them raised a rule.
func raisedAt(a *Alerts, r Record, seconds ...int) (raised []int) {
	for i, s := range seconds {
		r.Time = noon.Add(time.Duration(s) * time.Second)
		if len(a.Add(chainA, uint64(i), &r)) > 0 {
			raised = append(raised, i)
		}
	}
	return raised
}

func TestAlertsWindow(t *testing.T) {
	const hour = 3600
	for name, c := range map[string]struct {
		rule    string
		seconds []int
		raised  []int // the places of those seconds that raise
	}{
		"enough":                   {"a: 3 tag.set in 10s per actor", []int{0, 1, 2}, []int{2}},
		"enough at the edge":       {"a: 3 tag.set in 10s per actor", []int{0, 5, 9}, []int{2}},
		"not within the window":    {"a: 3 tag.set in 10s per actor", []int{0, 5, 10}, nil},
		"it slides":                {"a: 3 tag.set in 10s per actor", []int{0, 5, 10, 14}, []int{3}},
		"silent while it goes on":  {"a: 3 tag.set in 10s per actor", []int{0, 1, 2, 3, 4, 11}, []int{2}},
		"again when it is over":    {"a: 3 tag.set in 10s per actor", []int{0, 1, 2, 9, 10, 12}, []int{2, 5}},
		"once is enough":           {"a: 1 tag.set in 10s per actor", []int{0, 9, 10, 20}, []int{0, 2, 3}},
		"late ones count":          {"a: 3 tag.set in 10s per actor", []int{60, 0, 59}, []int{2}},
		"late ones raise once":     {"a: 2 tag.set in 10s per actor", []int{60, 61, 0, 59, 62}, []int{1}},
		"put back, nothing lost":   {"a: 3 tag.set in 10s per actor", []int{hour, hour + 1, 0}, []int{2}},
		"put back, it slides":      {"a: 3 tag.set in 10s per actor", []int{hour, hour + 1, 0, 5, 6}, []int{2}},
		"put back, not long ago":   {"a: 3 tag.set in 10s per actor", []int{hour, 0, 10, 11}, nil},
		"put back, not twice":      {"a: 2 tag.set in 10s per actor", []int{hour, hour + 1, 0, 1, 2}, []int{1}},
		"put back, not silent":     {"a: 2 tag.set in 10s per actor", []int{hour, hour + 1, 0, 9, 10}, []int{1, 4}},
		"put forward":              {"a: 2 tag.set in 10s per actor", []int{0, 1, hour, hour + 1}, []int{1, 3}},
		"nothing for other events": {"a: 1 tag.delete in 10s per actor", []int{0}, nil},
	} {
		if got := raisedAt(only(t, c.rule), Record{Event: "tag.set", Actor: "x"}, c.seconds...); !slices.Equal(got, c.raised) {
			t.Errorf("%s: raised at %d, want %d", name, got, c.raised)
		}
	}
}

func TestAlertsOfCounts(t *testing.T) {
	a := only(t, "a: 10 authentication.* in 5m per address")
	first := Record{Time: noon, Event: "authentication.failed", Source: "2001:db8::1"}
	rest := Record{Time: noon.Add(-time.Minute), Event: "authentication.failures", Source: "2001:db8::", Details: map[string]string{"count": "10"}}
	if raised := a.Add(config.TenantID{}, 1, &first); len(raised) != 0 {
		t.Errorf("raised %v", raised)
	}
	raised := a.Add(config.TenantID{}, 2, &rest)
	want := Alert{Rule: a.Rules()[0], Key: "2001:db8::", Count: 10, Sequence: 2, Time: rest.Time}
	if len(raised) != 1 || raised[0] != want {
		t.Errorf("raised %+v, want %+v", raised, want)
	}
}

func TestAlertsOfDifferent(t *testing.T) {
	a := only(t, "a: 3 different secret.* in 10s per actor")
	read := func(second int, resource string, more ...string) bool {
		r := Record{Time: noon.Add(time.Duration(second) * time.Second), Event: "secret.read", Actor: "x", Resource: resource, Resources: more}
		return len(a.Add(chainA, 1, &r)) > 0
	}
	for i, c := range []struct {
		second   int
		resource string
		want     bool
	}{
		{0, "a", false}, {1, "a", false}, {2, "b", false}, {3, "b", false}, // 2
		{10, "a", false},                   // b and a; that of second 1 got younger
		{11, "c", true},                    // b of second 3, a of 10, c
		{12, "d", false}, {21, "d", false}, // silent; then d alone
		{22, "e", false}, {23, "f", true},
	} {
		if got := read(c.second, c.resource); got != c.want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	if !read(60, "a", "b", "c") || read(120, "a", "a", "a") {
		t.Error("the resources of one record do not count apart")
	}
}

func TestAlertsKeys(t *testing.T) {
	for _, c := range []struct {
		per  Per
		r    Record
		id   config.TenantID
		want string
	}{
		{PerActor, Record{Actor: "token:x"}, chainA, "token:x"},
		{PerActor, Record{}, chainA, ""},
		{PerAddress, Record{Source: "10.1.2.3"}, chainA, "10.1.2.3"},
		{PerAddress, Record{Source: "::ffff:10.1.2.3"}, chainA, "10.1.2.3"},
		{PerAddress, Record{Source: "2001:db8:0:1:2::3%eth0"}, chainA, "2001:db8:0:1::"},
		{PerAddress, Record{Source: "invalid IP"}, chainA, "invalid IP"},
		{PerAddress, Record{}, chainA, ""},
		{PerTenant, Record{}, chainA, "01000000000000000000000000000000"},
		{PerTenant, Record{Tenant: "0a"}, config.TenantID{}, "0a"},
		{PerTenant, Record{}, config.TenantID{}, "server"},
		{PerResource, Record{Resource: "server/audit/sinks/s", Resources: []string{"b"}}, chainA, "server/audit/sinks/s"},
		{PerResource, Record{}, chainA, ""},
	} {
		if got := c.per.key(c.id, &c.r); got != c.want {
			t.Errorf("per %s: got %q, want %q", c.per, got, c.want)
		}
	}
	if raised := only(t, "a: 1 tag.set in 1s per actor").Add(chainA, 1, &Record{Time: noon, Event: "tag.set"}); len(raised) != 0 {
		t.Errorf("raised %v for nobody", raised)
	}
}

func TestAlertsAreBounded(t *testing.T) {
	a := only(t, "a: 3 tag.set in 1h per actor")
	a.keys = 2
	add := func(actor string) bool {
		return len(a.Add(chainA, 1, &Record{Time: noon, Event: "tag.set", Actor: actor})) > 0
	}
	for i, c := range []struct {
		actor string
		want  bool
	}{
		{"a", false}, {"b", false}, {"a", false}, {"c", false}, // b is forgotten
		{"b", false}, {"b", false}, // a is forgotten
		{"c", false}, {"c", true}, {"b", true}, {"a", false},
	} {
		if got := add(c.actor); got != c.want {
			t.Errorf("%d: got %v", i, got)
		}
	}
	w := a.watchers[0]
	if len(w.keys) != 2 || w.recent.Len() != 2 {
		t.Errorf("%d keys, %d tallies are kept", len(w.keys), w.recent.Len())
	}
	a.keys, a.entries = 100, 5
	for i := range 50 {
		add(fmt.Sprint(i / 2))
	}
	if w.entries > 5 || len(w.keys) > 5 || w.recent.Len() != len(w.keys) {
		t.Errorf("%d entries of %d keys are kept", w.entries, len(w.keys))
	}
	for range 1000 {
		add("one")
	}
	if tally := w.recent.Front().Value.(*tally); len(tally.entries) != 3 || cap(tally.entries) > 100 { //nolint:forcetypeassert // the list holds nothing else
		t.Errorf("%d entries of a key are kept, in room for %d", len(tally.entries), cap(tally.entries))
	}
}

// plainAlerts count by one rule as it is said, and keep everything.
type plainAlerts struct {
	rule AlertRule
	keys map[string]*plainKey
}

type plainKey struct {
	newest, raised time.Time
	times          []time.Time
	records        []Record
}

// add answers whether the rule is raised, and by how many.
func (p *plainAlerts) add(r Record) (int64, bool) {
	k := p.keys[r.Actor]
	if k == nil {
		k = &plainKey{newest: r.Time}
		p.keys[r.Actor] = k
	}
	switch back := k.newest.Sub(r.Time); {
	case back > 2*time.Minute && back > p.rule.Window: // the clock was put back
		for i := range k.times {
			k.times[i] = k.times[i].Add(-back)
		}
		if !k.raised.IsZero() {
			k.raised = k.raised.Add(-back)
		}
		k.newest = r.Time
	case back < 0:
		k.newest = r.Time
	}
	k.times, k.records = append(k.times, k.newest), append(k.records, r)
	var count int64
	different := map[string]bool{}
	for i, at := range k.times {
		if k.newest.Sub(at) < p.rule.Window {
			count += k.records[i].Weight()
			different[k.records[i].Resource] = true
		}
	}
	if p.rule.Different {
		count = int64(len(different))
	}
	if count < p.rule.Threshold || !k.raised.IsZero() && k.newest.Sub(k.raised) < p.rule.Window {
		return count, false
	}
	k.raised = k.newest
	return count, true
}

func TestAlertsAgainstPlainOnes(t *testing.T) {
	raises := 0
	rapid.Check(t, func(rt *rapid.T) {
		rule := AlertRule{
			Name: "a", Event: "authentication.*", Per: PerActor, Different: rapid.Bool().Draw(rt, "different"),
			Threshold: rapid.Int64Range(1, 6).Draw(rt, "threshold"),
			Window:    rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 5 * time.Minute}).Draw(rt, "window"),
		}
		a, plain := only(t, rule.String()), plainAlerts{rule, map[string]*plainKey{}}
		now := noon
		for i := range rapid.IntRange(1, 80).Draw(rt, "records") {
			step := rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(-100, 400), rapid.SampledFrom([]int{-3600, 3600})).Draw(rt, "step")
			now = now.Add(time.Duration(step) * time.Second / 2)
			r := Record{
				Time: now, Event: rapid.SampledFrom([]string{"authentication.failed", "authentication.failures"}).Draw(rt, "event"),
				Actor: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "actor"), Resource: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g"}).Draw(rt, "resource"),
				Details: map[string]string{"count": fmt.Sprint(rapid.IntRange(1, 3).Draw(rt, "count"))},
			}
			count, want := plain.add(r)
			got := a.Add(chainA, uint64(i), &r)
			if (len(got) == 1) != want {
				rt.Fatalf("record %d: raised %v, want %v", i, got, want)
			}
			if want {
				raises++
				if got[0].Count < rule.Threshold || got[0].Count > count || got[0].Key != r.Actor || got[0].Sequence != uint64(i) {
					rt.Fatalf("record %d: raised %+v of %d", i, got[0], count)
				}
			}
		}
	})
	if raises == 0 {
		t.Error("nothing was raised")
	}
}

func BenchmarkAlertsAdd(b *testing.B) {
	a := NewAlerts(nil)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r := typical
		r.Time, r.Resource = noon.Add(time.Duration(i)*time.Millisecond), someResources[i%len(someResources)]
		a.Add(chainA, uint64(i), &r)
		i++
	}
}
