package audit

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-devops/llm-config-manager/internal/config"
)

const tenantA = "tenants/0123456789abcdef0123456789abcdef"

func TestFilterMatches(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 500, time.UTC)
	r := Record{
		Time: noon, Event: "secret.read", Actor: "token:ci", Action: "secret.read", Outcome: Success,
		Resource: tenantA + "/environments/production/secrets/db", Resources: []string{tenantA + "/environments/base/secrets/db", "server/keys"},
		RequestID: "req", Session: "sid", TraceID: "trace", Source: "10.1.2.3",
	}
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"all":                   {Filter{}, true},
		"from the time":         {Filter{From: noon}, true},
		"from after it":         {Filter{From: noon.Add(1)}, false},
		"to the time":           {Filter{To: noon}, false},
		"to after it":           {Filter{To: noon.Add(1)}, true},
		"event":                 {Filter{Events: []string{"secret.read"}}, true},
		"one of events":         {Filter{Events: []string{"tag.set", "secret.read"}}, true},
		"other event":           {Filter{Events: []string{"secret.set"}}, false},
		"family":                {Filter{Events: []string{"secret.*"}}, true},
		"other family":          {Filter{Events: []string{"config.*"}}, false},
		"half a family":         {Filter{Events: []string{"sec*"}}, false},
		"everything's family":   {Filter{Events: []string{"*"}}, false},
		"actor":                 {Filter{Actors: []string{"token:x", "token:ci"}}, true},
		"beginning of actor":    {Filter{Actors: []string{"token:c"}}, false},
		"action":                {Filter{Actions: []string{"secret.*"}}, true},
		"other action":          {Filter{Actions: []string{"config.read"}}, false},
		"outcome":               {Filter{Outcomes: []Outcome{Denied, Success}}, true},
		"other outcome":         {Filter{Outcomes: []Outcome{Denied}}, false},
		"request":               {Filter{RequestID: "req"}, true},
		"other request":         {Filter{RequestID: "re"}, false},
		"session":               {Filter{Session: "sid"}, true},
		"other session":         {Filter{Session: "x"}, false},
		"trace":                 {Filter{TraceID: "trace"}, true},
		"other trace":           {Filter{TraceID: "x"}, false},
		"address":               {Filter{Source: netip.MustParsePrefix("10.1.2.3/32")}, true},
		"network":               {Filter{Source: netip.MustParsePrefix("10.1.9.9/16")}, true},
		"mapped network":        {Filter{Source: netip.MustParsePrefix("::ffff:10.1.0.0/112")}, true},
		"other network":         {Filter{Source: netip.MustParsePrefix("10.2.0.0/16")}, false},
		"all of IPv6":           {Filter{Source: netip.MustParsePrefix("::/0")}, false},
		"resource":              {Filter{Resource: tenantA + "/environments/production/secrets/db"}, true},
		"what it lies in":       {Filter{Resource: tenantA + "/environments/production"}, true},
		"its tenant":            {Filter{Resource: tenantA}, true},
		"tenants":               {Filter{Resource: "tenants"}, true},
		"half a segment":        {Filter{Resource: tenantA + "/environments/prod"}, false},
		"within any tenant":     {Filter{Resource: "environments/production"}, true},
		"half, in any tenant":   {Filter{Resource: "environments/pro"}, false},
		"below it":              {Filter{Resource: "environments/production/secrets/db/x"}, false},
		"another of its things": {Filter{Resource: "environments/base/secrets"}, true},
		"of the server":         {Filter{Resource: "server/keys"}, true},
		"server":                {Filter{Resource: "server"}, true},
		"of no tenant":          {Filter{Resource: "keys"}, false},
		"one member is not so":  {Filter{Events: []string{"secret.read"}, Actors: []string{"token:x"}}, false},
	} {
		if got := c.filter.Matches(&r); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
		if zero := c.filter.IsZero(); zero != (name == "all") {
			t.Errorf("%s: zero is %v", name, zero)
		}
	}
}

func TestFilterFamilies(t *testing.T) {
	f := Filter{Events: []string{"secret.*"}}
	for event, want := range map[string]bool{"secret.read": true, "secret": false, "secrets.x": false, "secret.": true, "": false} {
		if got := f.Matches(&Record{Event: event}); got != want {
			t.Errorf("%q: got %v", event, got)
		}
	}
}

func TestFilterSources(t *testing.T) {
	for _, c := range []struct {
		network, source string
		want            bool
	}{
		{"10.0.0.0/8", "::ffff:10.1.2.3", true},
		{"0.0.0.0/0", "", false},
		{"0.0.0.0/0", "invalid IP", false},
		{"0.0.0.0/0", "10.1.2.3:80", false},
		{"fe80::/10", "fe80::1%eth0", true},
		{"2001:db8::/32", "2001:db8::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"::/0", "10.1.2.3", false},
		{"::ffff:0:0/90", "10.1.2.3", false},
	} {
		f := Filter{Source: netip.MustParsePrefix(c.network)}
		if got := f.Matches(&Record{Source: c.source}); got != c.want {
			t.Errorf("%s in %s: got %v", c.source, c.network, got)
		}
	}
}

func TestFilterCheck(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	long, many := strings.Repeat("x", maxFilterText+1), make([]string, maxFilterValues+1)
	for i := range many {
		many[i] = "secret.read"
	}
	for _, c := range []struct {
		filter  Filter
		at, say string // the member, and what is said in message or hint; "" when the filter is good
	}{
		{Filter{}, "", ""},
		{Filter{From: noon, To: noon.Add(1), Events: []string{"secret.read", "audit.key.*", "audit.*"}, Actors: []string{"token:x"}, Actions: []string{"config.*", "server-key.write"}}, "", ""},
		{Filter{Outcomes: []Outcome{Success, Denied, Failed}, Resource: "environments/base/a", Source: netip.MustParsePrefix("::1/128")}, "", ""},
		{Filter{RequestID: "any thing", TraceID: "0af7651916cd43dd8448eb211c80319c", Session: "é"}, "", ""},
		{Filter{Events: many[:maxFilterValues], Actors: []string{long[1:]}}, "", ""},

		{Filter{From: noon, To: noon}, "to", "not after"},
		{Filter{Events: many}, "event", "at most 32"},
		{Filter{Actors: many}, "actor", "too many"},
		{Filter{Actions: many}, "action", "too many"},
		{Filter{Outcomes: make([]Outcome, maxFilterValues+1)}, "outcome", "too many"},
		{Filter{Events: []string{""}}, "event", "empty"},
		{Filter{Actors: []string{""}}, "actor", "empty"},
		{Filter{Actions: []string{""}}, "action", "empty"},
		{Filter{Outcomes: []Outcome{""}}, "outcome", "empty"},
		{Filter{Actors: []string{long}}, "actor", "1024 bytes"},
		{Filter{Actions: []string{long}}, "action", "too long"},
		{Filter{Events: []string{long}}, "event", "too long"},
		{Filter{Resource: long}, "resource", "too long"},
		{Filter{RequestID: long}, "request_id", "too long"},
		{Filter{TraceID: long}, "trace_id", "too long"},
		{Filter{Session: long}, "session", "too long"},
		{Filter{Events: []string{"secret.raed"}}, "event", "did you mean secret.read"},
		{Filter{Events: []string{"secrets.*"}}, "event", "did you mean secret.*"},
		{Filter{Events: []string{"audit"}}, "event", "audit.*"},
		{Filter{Events: []string{"nothing-like-it"}}, "event", "such as secret.read"},
		{Filter{Events: []string{"*"}}, "event", "no event"},
		{Filter{Events: []string{"secret*"}}, "event", "secret.*"},
		{Filter{Actions: []string{"*"}}, "action", "family"},
		{Filter{Actions: []string{"con*"}}, "action", "family"},
		{Filter{Actions: []string{".*"}}, "action", "family"},
		{Filter{Outcomes: []Outcome{"ok"}}, "outcome", "ask for success"},
		{Filter{Resource: "/a"}, "resource", "slashes"},
		{Filter{Resource: "a/"}, "resource", "slashes"},
		{Filter{Resource: "a//b"}, "resource", "empty segment"},
		{Filter{Source: netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33)}, "source", "10.1.0.0/16"},
		{Filter{TraceID: "0AF7651916CD43DD8448EB211C80319C"}, "trace_id", "lower-case"},
		{Filter{TraceID: "0af7"}, "trace_id", "32"},
		{Filter{TraceID: strings.Repeat("g", 32)}, "trace_id", "hexadecimal"},
	} {
		err := c.filter.Check()
		if c.at == "" {
			if err != nil {
				t.Errorf("%+v: %v", c.filter, err)
			}
			continue
		}
		var e *config.Error
		if !errors.As(err, &e) || e.Kind != config.KindBadRequest || e.Pointer != c.at || e.Next == "" || !strings.Contains(e.Message+" "+e.Next, c.say) {
			t.Errorf("%.200v: the error is %v (%+v), want %q at %s", c.filter, err, e, c.say, c.at)
		}
	}
}

func TestEventsAreInOrder(t *testing.T) {
	if len(Events) < 50 {
		t.Fatalf("there are only %d events", len(Events))
	}
	known := strings.Fields("soc2:CC6.1 soc2:CC6.6 soc2:CC6.7 soc2:CC7.2 iso27001:A.9.4.1 iso27001:A.12.4.1 iso27001:A.14.2.8 iso27001:A.18.1.3 " +
		"gdpr:25 gdpr:30 gdpr:32 gdpr:33 hipaa:164.312(b) nist-800-53:AC-3 nist-800-53:AU-2 nist-800-53:SC-8 nist-800-53:SC-28")
	used := map[string]bool{}
	for i, e := range Events {
		if i > 0 && e.Name <= Events[i-1].Name {
			t.Errorf("%s does not come before %s", Events[i-1].Name, e.Name)
		}
		if family, _, ok := strings.Cut(e.Name, "."); !ok || family == "" || strings.Trim(e.Name, "abcdefghijklmnopqrstuvwxyz.") != "" || strings.HasSuffix(e.Name, ".") || strings.Contains(e.Name, "..") {
			t.Errorf("%q is not the name of an event", e.Name)
		}
		if !strings.HasSuffix(e.Meaning, ".") || strings.Count(e.Meaning, ". ") > 0 || e.Meaning[0] < 'A' || e.Meaning[0] > 'Z' {
			t.Errorf("%s: %q is not one sentence", e.Name, e.Meaning)
		}
		if !slices.IsSorted(e.Controls) || len(slices.Compact(slices.Clone(e.Controls))) != len(e.Controls) {
			t.Errorf("%s: its controls are not sorted: %q", e.Name, e.Controls)
		}
		for _, c := range e.Controls {
			used[c] = true
			if !slices.Contains(known, c) {
				t.Errorf("%s is evidence for %q, which is no control that there is", e.Name, c)
			}
		}
		if got, ok := EventNamed(e.Name); !ok || got.Meaning != e.Meaning {
			t.Errorf("%s is not found", e.Name)
		}
	}
	for _, c := range known {
		if !used[c] {
			t.Errorf("no event is evidence for %s", c)
		}
	}
	for _, name := range []string{"", "secret", "secret.*", "zzz", "secret.reads"} {
		if _, ok := EventNamed(name); ok {
			t.Errorf("%q is found", name)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"abc", "abc", 0}, {"abc", "axc", 1}, {"abc", "bc", 1}, {"abcd", "acbd", 2}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
